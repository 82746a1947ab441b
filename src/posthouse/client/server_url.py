"""Server URLs (``smtp://host:port``, ``lmtp:/run/lmtp.sock``), and a session with the server that a URL names.

The system resolves the host name, not the DNS resolver of the relay (see ``net.hosts``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.client.connector import connect
from posthouse.client.model import Timeouts
from posthouse.client.session import Session
from posthouse.core import SettingError
from posthouse.net import Clock, Endpoint, Network
from posthouse.net.hosts import NoSuchHost, addresses_of
from posthouse.protocol import Transcript

__all__ = ["NoSuchHost", "ServerAddress", "locate", "open_session", "parse_server"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://|(?=/))(?P<rest>.*)")
_PORTS: Final = {"smtp": 25, "lmtp": 24}
_REMEDY: Final = 'write it like "smtp://mail.example.org:25", "lmtp://127.0.0.1:24" or "lmtp:/run/lmtp.sock"'


class ServerAddress(NamedTuple):
    """The server that a URL names.

    ``scheme`` is smtp or lmtp; ``host`` a name, an IP address without brackets, or the path of a unix socket (then
    ``port`` is 0).
    """

    scheme: str
    host: str
    port: int = 0

    @property
    def lmtp(self) -> bool:
        """Whether the protocol is LMTP (RFC 2033) and not SMTP."""
        return self.scheme == "lmtp"

    @property
    def is_path(self) -> bool:
        """Whether this is a unix socket."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        if self.is_path:
            return f"{self.scheme}:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_server(url: str) -> ServerAddress:
    """Read ``smtp://host:port``, ``lmtp://host:port`` or ``lmtp:/path/of/socket`` (three slashes are read as well).

    The scheme may be left out (smtp), and the port (25, for LMTP 24).  Raises ``SettingError``.
    """
    text = url.strip()
    match = _URL.fullmatch(text)
    scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("smtp", text)
    if scheme == "smtps":
        raise SettingError(
            "smtps is not available in this version", where=url, remedy="use smtp:// to a host on your own network"
        )
    if scheme not in _PORTS:
        raise SettingError(f'"{scheme}" is not a protocol to send mail by', where=url, remedy=_REMEDY)
    if rest.startswith("/") and len(rest) > 1:
        return ServerAddress(scheme, rest)
    if "@" in rest:
        raise SettingError("a name and password are not available in this version", where=url, remedy=_REMEDY)
    try:
        endpoint = Endpoint.parse(rest.removesuffix("/"), default_port=_PORTS[scheme])
    except SettingError as error:
        raise SettingError(error.message, where=url, remedy=_REMEDY) from None
    if endpoint.is_path or not endpoint.port:
        raise SettingError("no server can be there", where=url, remedy=_REMEDY)
    return ServerAddress(scheme, endpoint.host, endpoint.port)


async def locate(server: ServerAddress, *, timeout: float = 30.0) -> list[Endpoint]:
    """All addresses of a server, in the system's order.  Raises ``NoSuchHost``, ``Unreachable`` or ``TimedOut``."""
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
    """Open a session with ``server`` at the ``endpoints`` that ``locate`` returned.  Raises as ``client.connect``."""
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
