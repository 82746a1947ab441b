"""Arguments of the judgements, checked where a wrong type would give a wrong result or a misleading error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from posthouse.core import LocalError

__all__ = ["client_address", "demand_names", "demand_text"]

_LONGEST_ADDRESS = 45  # characters of an IPv6 address


def demand_text(value: object, name: str, example: str) -> None:
    """Raise ``TypeError`` unless an argument is text; ``example`` is such a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is text (str), not {type(value).__name__}; write it as {example!r}")


def demand_names(value: Sequence[str] | None, name: str) -> None:
    """Raise ``TypeError`` unless an argument is a sequence of field names, or None."""
    if value is None:
        return
    if isinstance(value, str) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name}: a list of field names, each of them text (str), as ['From', 'Subject'], is needed")


def client_address(ip: str | IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A client's address; the IPv4 address of one that is mapped into IPv6 (RFC 7208 §5).

    Raises:
        LocalError: ``ip`` is no IP address.
    """
    return _read(ip) if not isinstance(ip, str) or len(ip) > _LONGEST_ADDRESS else _known(ip)


def _read(ip: str | IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    try:
        if not isinstance(ip, (str, IPv4Address, IPv6Address)):
            raise ValueError  # ip_address() takes numbers and octets too
        client = ip_address(ip.partition("%")[0] if isinstance(ip, str) else ip)
    except ValueError:
        raise LocalError(f"{ip!r:.80} is no IP address; give the client's address, as 192.0.2.1") from None
    return client.ipv4_mapped or client if isinstance(client, IPv6Address) else client


_known = lru_cache(maxsize=1024)(_read)
