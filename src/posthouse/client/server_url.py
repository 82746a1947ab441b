"""Server URLs, and a session with the server that a URL names.

``smtp://host:port`` is a session in clear, ``smtps://`` one with TLS from the first octet, ``smtp+starttls://`` one
with STARTTLS; the last two always verify the server's certificate, unless ``?tls=require`` takes the check away (never
TLS itself).  A name and password may stand before the host, percent-encoded where they hold ``@ : / ? # %``.

The system resolves the host name, not the DNS resolver of the relay (see ``net.hosts``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.client.model import Timeouts
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import SettingError, TlsFailed
from posthouse.net import Clock, Endpoint, Network
from posthouse.net.hosts import NoSuchHost, addresses_of
from posthouse.protocol import Transcript

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.session import Session

__all__ = ["NoSuchHost", "ServerAddress", "URL_PARAMETERS", "locate", "open_session", "parse_server"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://|(?=/))(?P<rest>.*)", re.DOTALL)
_PORTS: Final = {"smtp": 25, "lmtp": 24, "smtps": 465, "smtp+starttls": 587}
#: The TLS modes that ``?tls=`` may name, the first being the scheme's own.
_MODES: Final = {
    "smtp": ("off", "opportunistic", "require", "verify"),
    "lmtp": ("off", "opportunistic", "require", "verify"),
    "smtps": ("verify", "require"),
    "smtp+starttls": ("verify", "require"),
}
URL_PARAMETERS: Final = ("allow_plain_text", "ca", "mechanisms", "name", "tls")
_REMEDY: Final = (
    'write it like "smtps://name@mail.example.org", "smtp+starttls://name@mail.example.org:587", '
    '"smtp://127.0.0.1:25", "lmtp://127.0.0.1:24" or "lmtp:/run/lmtp.sock"'
)


class ServerAddress(NamedTuple):
    """The server that a URL names, and how a session with it is protected.

    Args:
        scheme: smtp, smtps, smtp+starttls or lmtp.
        host: A name, an IP address without brackets, or the path of a unix socket (then ``port`` is 0).
        user: The name to log in with; "" for no login.
        password: Its password; None if it has to come from elsewhere.  No text of this value has it.
        tls: ``?tls=``; "" for what the scheme says.
        ca: ``?ca=``: a file or folder of certificates to trust in place of the system's.
        name: ``?name=``: the name to verify, if it is another than the host's.
        mechanisms: ``?mechanisms=``: the SASL mechanisms that may be used; empty for all.
        allow_plain_text: ``?allow_plain_text=true``: the password may be sent without TLS.
    """

    scheme: str
    host: str
    port: int = 0
    user: str = ""
    password: str | None = None
    tls: str = ""
    ca: str = ""
    name: str = ""
    mechanisms: tuple[str, ...] = ()
    allow_plain_text: bool = False

    @property
    def lmtp(self) -> bool:
        """Whether the protocol is LMTP (RFC 2033) and not SMTP."""
        return self.scheme == "lmtp"

    @property
    def is_path(self) -> bool:
        """Whether this is a unix socket."""
        return self.host.startswith("/")

    @property
    def mode(self) -> TlsMode:
        """How TLS begins."""
        if self.scheme == "smtps":
            return TlsMode.IMPLICIT
        return TlsMode(self.tls or _MODES[self.scheme][0])

    def policy(self) -> TlsPolicy | None:
        """The TLS policy of a session; None in clear.  Equal addresses share one, with its certificates."""
        if self.mode is TlsMode.OFF:
            return None
        return _policy(self.mode, self.tls != TlsMode.REQUIRE, self.ca, self.name)

    def login(self) -> LoginSettings | None:
        """The login of a session; None without a user.  Raises ``SettingError`` if the password is missing."""
        if not self.user:
            return None
        if self.password is None:
            remedy = "write it behind the name, name:password@host, or give it as your program does"
            raise SettingError(f"the password of {self.user} is missing", where=str(self), remedy=remedy)
        from posthouse.client.auth import LoginSettings  # imports the mechanisms
        from posthouse.protocol.sasl import Credentials

        credentials = Credentials(self.user, self.password)
        return LoginSettings(credentials, mechanisms=self.mechanisms or None, allow_plain_text=self.allow_plain_text)

    def __str__(self) -> str:
        """The URL with its user, and without the password."""
        if self.is_path:
            return f"{self.scheme}:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = ""
        if self.user:
            from urllib.parse import quote  # takes a while, and few URLs need it

            user = f"{quote(self.user, safe='')}@"
        return f"{self.scheme}://{user}{host}:{self.port}"

    def __repr__(self) -> str:
        return f"ServerAddress({str(self)!r})"  # logs show repr


@functools.lru_cache(maxsize=64)
def _policy(mode: TlsMode, verify: bool, ca: str, name: str) -> TlsPolicy:
    return TlsPolicy(mode, verify=verify, ca=ca, name=name)


def parse_server(url: str) -> ServerAddress:
    """Read ``smtp://host:port``, ``smtps://user:password@host``, ``smtp+starttls://user@host:587?ca=FILE``,
    ``lmtp://host:port`` or ``lmtp:/path/of/socket`` (three slashes are read as well).

    The scheme may be left out (smtp), and the port (25, 465, 587, for LMTP 24).  Raises ``SettingError``, whose text
    has no password.
    """
    text = url.strip()
    shown = _without_password(text)
    match = _URL.fullmatch(text)
    scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("smtp", text)
    if scheme not in _PORTS:
        raise SettingError(f'"{scheme}" is not a protocol to send mail by', where=shown, remedy=_REMEDY)
    if match is None and text.startswith("//"):
        raise SettingError("there is no protocol before //", where=shown, remedy=_REMEDY)
    if rest.startswith("/") and len(rest) > 1:
        if scheme in ("smtps", "smtp+starttls"):
            raise SettingError("a socket of this machine needs no TLS", where=shown, remedy=_REMEDY)
        return ServerAddress(scheme, rest)
    rest, _, query = rest.partition("?")
    userinfo, at, place = rest.rpartition("@")
    try:
        endpoint = Endpoint.parse(place.removesuffix("/"), default_port=_PORTS[scheme])
    except SettingError as error:
        cause = error.message if "@" not in query else 'a "?" in a name or password must be written %3F'
        raise SettingError(cause, where=shown, remedy=_REMEDY) from None
    if endpoint.is_path or not endpoint.port:
        raise SettingError("no server can be there", where=shown, remedy=_REMEDY)
    server = ServerAddress(scheme, endpoint.host, endpoint.port)
    if at:
        server = _with_user(server, userinfo, shown)
    return _with_parameters(server, query, shown) if query else server


def _without_password(text: str) -> str:
    """The URL for texts: what stands before the last ``@`` may be a password, or hold one."""
    before, at, after = text.rpartition("@")
    if not at:
        return text
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}://…@{after}" if slashes else f"…@{after}"


def _with_user(server: ServerAddress, userinfo: str, shown: str) -> ServerAddress:
    from urllib.parse import unquote

    user, colon, password = userinfo.partition(":")
    try:
        name, secret = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise SettingError("the name or password is not UTF-8", where=shown, remedy="percent-encode UTF-8") from None
    if not name:
        raise SettingError("the name before the @ is missing", where=shown, remedy=_REMEDY)
    return server._replace(user=name, password=secret if colon else None)


def _with_parameters(server: ServerAddress, query: str, shown: str) -> ServerAddress:
    from urllib.parse import unquote

    for each in query.split("&"):
        key, _, raw = each.partition("=")
        value = unquote(raw)
        if key not in URL_PARAMETERS:
            known = ", ".join(URL_PARAMETERS)
            raise SettingError("a parameter behind the ? is not known", where=shown, remedy=f"there are {known}")
        if not value:
            raise SettingError(f"{key} has no value", where=shown, remedy=f"write {key}=… or leave it out")
        if key == "tls":
            modes = _MODES[server.scheme]
            if value not in modes:
                remedy = f"with {server.scheme}:// write one of {', '.join(modes)}"
                raise SettingError(f'tls cannot be "{value}" here', where=shown, remedy=remedy)
            server = server._replace(tls=value)
        elif key == "ca":
            server = server._replace(ca=value)
        elif key == "name":
            server = server._replace(name=value)
        elif key == "mechanisms":
            server = server._replace(mechanisms=tuple(filter(None, value.replace(" ", ",").split(","))))
        else:
            if value not in ("true", "false"):
                raise SettingError("allow_plain_text is true or false", where=shown, remedy="write one of them")
            server = server._replace(allow_plain_text=value == "true")
    return server


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
    """Open a session with ``server`` at the ``endpoints`` that ``locate`` returned.  Raises as ``client.connect``.

    If TLS is opportunistic and its handshake fails, the session is opened anew in clear, once (RFC 7435).
    """

    from posthouse.client.connector import connect  # imports asyncio, which blocking code does without

    async def opened(policy: TlsPolicy | None) -> Session:
        return await connect(
            endpoints,
            network=network,
            clock=clock,
            hostname=hostname,
            name=server.host,
            lmtp=server.lmtp,
            timeouts=timeouts,
            transcript=transcript,
            tls=policy,
            login=server.login(),
        )

    try:
        return await opened(server.policy())
    except TlsFailed:
        if server.mode is not TlsMode.OPPORTUNISTIC:
            raise
    return await opened(None)
