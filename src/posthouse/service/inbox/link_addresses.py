"""Addresses of links: a web address taken apart, and which hosts of the network may be asked for one.

A message may name any host.  A program that asks for its links therefore judges each address that a name has before it
connects (server-side request forgery): the addresses of this machine, of private networks and of everything else that
the IANA registries of special-purpose addresses (RFC 6890) call not globally reachable are asked only where the
configuration names their network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from posthouse.protocol.grammar import GrammarError, domain_to_ascii

__all__ = ["LinkFault", "Network", "WebAddress", "is_public", "may_ask", "read_link", "site_of"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Not globally reachable, or for groups of hosts, by IANA's registries; the standard library's answer changed.
_SPECIAL_4: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
#: The one block that global unicast addresses are given out of, and what in it is not reachable as itself.
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6: Final = tuple(
    ipaddress.IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_PORTS: Final = {"http": 80, "https": 443}
#: From here on, ports are given to users' programs; below, only those of the web are asked.
_FIRST_FREE_PORT: Final = 1024
_LONGEST: Final = 4000
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_SAFE: Final = "%/:=&?~#+!$,;'@()*[]|"


class LinkFault(Exception):
    """A link that is not asked for: the ``kind`` of reason (``link_words``), and what it is about."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


class WebAddress(NamedTuple):
    """A web address taken apart: http or https, the host as the DNS has it, the port, and what is asked for there."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host field (RFC 9110 §7.2): no port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def read_link(text: str, base: str = "") -> WebAddress:
    """A link as a web address; one that is relative (RFC 3986 §5.2) belongs to ``base``.

    Raises ``LinkFault``: ``invalid``, ``scheme`` (mailto, tel …), ``login`` (a name or a password in it) or ``port``.
    """
    if len(text) > _LONGEST:
        raise LinkFault("invalid", text[:100])
    try:
        parts = urlsplit(urljoin(base, text.strip()) if base else text.strip())
        scheme, host, netloc = parts.scheme.lower(), parts.hostname or "", parts.netloc
    except ValueError:
        raise LinkFault("invalid", text[:100]) from None
    if scheme not in _PORTS:
        raise LinkFault("scheme" if scheme else "invalid", scheme[:20] or text[:100])
    if "@" in netloc:
        raise LinkFault("login")
    ending = netloc.rpartition("]")[2].rpartition(":")[2] if ":" in netloc.rpartition("]")[2] else ""
    if ending and not (_NUMBER.fullmatch(ending) and 0 < int(ending) < 65_536):
        raise LinkFault("invalid", text[:100])
    port = int(ending) if ending else _PORTS[scheme]
    if port < _FIRST_FREE_PORT and port not in _PORTS.values():
        raise LinkFault("port", str(port))
    target = quote(parts.path or "/", safe=_SAFE.replace("?", "").replace("#", ""))
    query = quote(parts.query, safe=_SAFE.replace("#", ""))
    return WebAddress(scheme, _host(host, text), port, target + (f"?{query}" if query else ""))


def _host(host: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return domain_to_ascii(host.removesuffix("."))
    except GrammarError:
        raise LinkFault("invalid", text[:100]) from None


def site_of(host: str) -> str:
    """The owner's part of a host's name, for bounds: its last two labels, or the whole of an IP address."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ".".join(host.split(".")[-2:])


def is_public(address: _Address) -> bool:
    """Whether an address belongs to a host that the whole Internet reaches (RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)
    return not any(address in network for network in _SPECIAL_4)


def may_ask(text: str, networks: Sequence[Network]) -> bool:
    """Whether a host at this IP address may be asked: it is public, or in one of the networks."""
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return is_public(address) or any(address in network for network in networks)
