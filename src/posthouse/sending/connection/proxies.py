"""Proxies on the way to a server, without I/O: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 §9.3.6).

A dialogue is a generator: it yields octets to send, or what it needs of the proxy's answer, and ends when the
connection reaches the server.  It reads no octet more than the proxy's answer has, because the server's greeting may
follow at once.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

from posthouse.core import CannotConnect, Phase, SettingError

__all__ = ["ProxyAddress", "ProxyDialogue", "ProxyRefused", "parse_proxy", "proxy_dialogue"]

_PORTS: Final = {"socks5h": 1080, "socks5": 1080, "http": 8080}
_REMEDY: Final = 'write it like "socks5h://name:password@127.0.0.1:1080" or "http://proxy.example.org:3128"'
#: The octets of an answer of HTTP that are read.
_MOST_HEAD: Final = 16_384
#: RFC 1928 §6.
_SOCKS_REPLIES: Final = {
    1: "general failure",
    2: "its rules do not allow the connection",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the server refused the connection",
    6: "the time to live is over",
    7: "it does not know CONNECT",
    8: "it does not know this kind of address",
}

#: Yields octets to send; or a number of octets to read, or 0 for a head that ends with an empty line.
ProxyDialogue = Generator[bytes | int, bytes, None]


class ProxyRefused(CannotConnect):
    """The proxy did not make the connection; the server was not asked, unless the text says that it refused."""

    phase = Phase.PROXY


class ProxyAddress(NamedTuple):
    """A proxy.  ``scheme``: socks5h (the proxy looks the server's name up), socks5 (this machine does) or http.  No
    text of this value has the password."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @property
    def resolves(self) -> bool:
        """Whether the proxy looks the server's name up."""
        return self.scheme != "socks5"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"ProxyAddress({str(self)!r})"  # logs show repr


def parse_proxy(url: str) -> ProxyAddress:
    """Read the URL of a proxy; without a scheme it is socks5h.  Raises ``SettingError``, whose text has no password."""
    from urllib.parse import unquote

    scheme, colon, rest = url.strip().partition("://")
    if not colon:
        scheme, rest = "socks5h", url.strip()
    scheme = scheme.lower()
    userinfo, at, place = rest.rpartition("@")
    shown = f"{scheme}://{'…@' if at else ''}{place}"
    if scheme not in _PORTS:
        raise SettingError(f'"{scheme}" is no kind of proxy', where=f"proxy {shown}", remedy=_REMEDY)
    from posthouse.net.stream import Endpoint

    try:
        found = Endpoint.parse(place.rstrip("/"), default_port=_PORTS[scheme])
    except SettingError as error:
        raise SettingError(error.message, where=f"proxy {shown}", remedy=_REMEDY) from None
    if found.is_path or not found.port or not found.host:
        raise SettingError("no proxy can be there", where=f"proxy {shown}", remedy=_REMEDY)
    user, _, password = userinfo.partition(":")
    user, password = unquote(user), unquote(password)
    if scheme != "http" and max(len(user.encode()), len(password.encode())) > 255:
        raise SettingError("SOCKS5 has at most 255 octets for a name or password", where=f"proxy {shown}")
    return ProxyAddress(scheme, found.host, found.port, user, password)


def proxy_dialogue(proxy: ProxyAddress, host: str, port: int) -> ProxyDialogue:
    """Ask the proxy for a connection to ``host``.  Raises ``ProxyRefused``."""
    return _http(proxy, host, port) if proxy.scheme == "http" else _socks(proxy, host, port)


def _socks(proxy: ProxyAddress, host: str, port: int) -> ProxyDialogue:
    yield b"\x05\x02\x00\x02" if proxy.user else b"\x05\x01\x00"
    version, method = yield 2
    if version != 5:
        raise ProxyRefused(f"{proxy} does not speak SOCKS5")
    if method == 2 and proxy.user:
        user, password = proxy.user.encode(), proxy.password.encode()
        yield b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
        _, status = yield 2
        if status:
            raise ProxyRefused(f"the proxy {proxy} refused the name and the password")
    elif method == 2:
        raise ProxyRefused(f"the proxy {proxy} asks for a name and a password; write name:password@ before its host")
    elif method:
        raise ProxyRefused(f"the proxy {proxy} accepts no way to log in that this side has")
    yield b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big")
    _, code, _, kind = yield 4
    if code:
        said = _SOCKS_REPLIES.get(code, f"code {code}")
        raise ProxyRefused(f"the proxy {proxy} did not connect to {_place(host, port)}: {said}")
    if kind == 3:
        (length,) = yield 1
        yield length + 2
    elif kind in (1, 4):
        yield (4 if kind == 1 else 16) + 2
    else:
        raise ProxyRefused(f"{proxy} does not speak SOCKS5")


def _socks_address(host: str) -> bytes:
    import ipaddress

    try:
        packed = ipaddress.ip_address(host.partition("%")[0]).packed
    except ValueError:
        name = _ascii(host)
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if len(packed) == 4 else b"\x04") + packed


def _ascii(host: str) -> bytes:
    from posthouse.protocol.grammar import GrammarError, domain_to_ascii

    try:
        return domain_to_ascii(host.rstrip(".")).encode()
    except GrammarError as error:
        raise SettingError(f'"{host}" cannot be the name of a host: {error}') from None


def _http(proxy: ProxyAddress, host: str, port: int) -> ProxyDialogue:
    place = _place(host if ":" in host else _ascii(host).decode(), port)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.user:
        import base64

        credentials = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    yield "\r\n".join([*lines, "", ""]).encode()
    if (begun := (yield 5)) != b"HTTP/":
        raise ProxyRefused(f"{proxy} does not speak HTTP")
    head = begun + (yield 0)
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or len(words[1]) != 3 or not words[1].isdecimal():
        raise ProxyRefused(f"{proxy} does not speak HTTP")
    if words[1] == "407":
        remedy = "it refused the name and the password" if proxy.user else "write name:password@ before its host"
        raise ProxyRefused(f"the proxy {proxy} asks for a name and a password; {remedy}")
    if not words[1].startswith("2"):
        said = "".join(sign for sign in " ".join(words[1:])[:80] if sign.isprintable())
        raise ProxyRefused(f"the proxy {proxy} did not connect to {place}: {said}")


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
