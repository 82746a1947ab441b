"""Handing one message to a server that is named by a URL: the way out by hand (DESIGN §5).

The name is looked up by the system, the addresses are raced, one session carries one message, and QUIT ends it.  What
the server says about a recipient is an outcome; a server that cannot be reached, or will not talk, is an exception,
because then nobody was asked anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.client.connector import connect
from posthouse.client.session import Session
from posthouse.client.types import Timeouts
from posthouse.core import Content, Envelope, Outcome, SettingError
from posthouse.net import Clock, Endpoint, Network
from posthouse.net.hosts import NoSuchHost, addresses_of
from posthouse.protocol import Capabilities, Transcript

__all__ = ["NoSuchHost", "ServerAddress", "locate", "open_session", "parse_server", "submit"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%A-Za-z]+\]|[^\s:/@\[\]?#]+)(?::(?P<port>[0-9]{1,5}))?/?")
_USUAL = {"smtp": 25, "lmtp": 24}
_REMEDY = 'write it like "smtp://mail.example.org:25", "lmtp://127.0.0.1:24" or "lmtp:///run/lmtp.sock"'


class ServerAddress(NamedTuple):
    """A server as a URL names it: ``scheme`` is smtp or lmtp; ``host`` a name, an IP address without brackets, or the
    path of a unix socket (then ``port`` is 0)."""

    scheme: str
    host: str
    port: int = 0

    @property
    def lmtp(self) -> bool:
        """Whether LMTP is spoken there."""
        return self.scheme == "lmtp"

    @property
    def is_path(self) -> bool:
        """Whether this is a unix socket."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        if self.is_path:
            return f"{self.scheme}://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_server(url: str) -> ServerAddress:
    """Read ``smtp://host:port`` or ``lmtp://host:port``; the scheme (smtp) and the port (25, 24) may be left out, and
    the host may be a unix socket's path.  Raises ``SettingError``."""
    text = url.strip()
    match = _URL.fullmatch(text)
    scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("smtp", text)
    if scheme == "smtps":
        raise SettingError(
            "smtps is not available in this version", where=url, remedy="use smtp:// to a host on your own network"
        )
    if scheme not in _USUAL:
        raise SettingError(f'"{scheme}" is not a protocol to send mail by', where=url, remedy=_REMEDY)
    if rest.startswith("/") and len(rest) > 1:
        return ServerAddress(scheme, rest)
    if "@" in rest:
        raise SettingError("a name and password are not available in this version", where=url, remedy=_REMEDY)
    place = _HOST_PORT.fullmatch(rest)
    if place is None:
        raise SettingError("this is not a server", where=url, remedy=_REMEDY)
    port = int(place["port"]) if place["port"] else _USUAL[scheme]
    if not 0 < port < 65_536:
        raise SettingError(f"there is no port {port}", where=url, remedy="write one from 1 to 65535")
    return ServerAddress(scheme, place["host"].removeprefix("[").removesuffix("]"), port)


async def locate(server: ServerAddress, *, timeout: float = 30.0) -> list[Endpoint]:
    """Every address of a server.  Raises ``NoSuchHost``, ``Unreachable`` or ``TimedOut``."""
    if server.is_path:
        return [Endpoint(server.host)]
    return await addresses_of(server.host, server.port, timeout=timeout)


async def open_session(
    server: ServerAddress,
    endpoints: Sequence[Endpoint],
    *,
    network: Network,
    clock: Clock,
    hostname: str,
    timeouts: Timeouts | None = None,
    transcript: Transcript | None = None,
) -> Session:
    """A session with a server whose ``endpoints`` are known.  Raises as ``client.connector``."""
    return await connect(
        endpoints,
        network=network,
        clock=clock,
        hostname=hostname,
        name=server.host,
        lmtp=server.lmtp,
        timeouts=timeouts,
        transcript=transcript,
    )


async def submit(
    server: ServerAddress,
    envelope: Envelope,
    content: Content,
    *,
    network: Network,
    clock: Clock,
    hostname: str,
    timeouts: Timeouts | None = None,
    transcript: Transcript | None = None,
    chunking: bool = True,
) -> tuple[Outcome, ...]:
    """Hand over one message; an outcome for each recipient, in their order.  ``hostname`` is how we name ourselves;
    without ``chunking`` the content goes by DATA even where BDAT is offered.

    Raises ``NoSuchHost``, ``Unreachable``, ``TimedOut``, ``Broken``, ``Refused`` or ``RemoteError`` where no session
    could be opened; nothing was handed over then.  Bounded by ``timeouts``; cancelled, it ends the channel.
    """
    timeouts = timeouts or Timeouts()
    endpoints = await locate(server, timeout=timeouts.connect)
    session = await open_session(
        server,
        endpoints,
        network=network,
        clock=clock,
        hostname=hostname,
        timeouts=timeouts,
        transcript=transcript,
    )
    if not chunking:
        offered = session.capabilities.keywords
        kept = {name: value for name, value in offered.items() if name not in ("CHUNKING", "BINARYMIME")}
        session.sender.capabilities = Capabilities(kept)
    try:
        outcomes = await session.deliver(envelope, content)
    except BaseException:
        session.abort()
        raise
    await session.quit()
    return outcomes
