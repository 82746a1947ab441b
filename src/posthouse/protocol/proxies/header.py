"""Reader of the PROXY protocol's header, versions 1 and 2 (HAProxy's ``proxy-protocol.txt``), without I/O.

A proxy writes the header in front of everything else that it passes on, TLS included.  The reader takes the octets in
pieces of any size, keeps no more than one header, and gives an error at the first octet that cannot belong to one.  It
must be used only for connections of known proxies: whoever may write the header may claim any address.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from posthouse.core import RemoteError

__all__ = ["ProxyHeader", "ProxyHeaderError", "ProxyHeaderReader"]

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16  # octets of version 2 in front of the addresses
#: Octets of a header of version 2; real ones have less than 1,000 unless they carry certificates.
_LONGEST: Final = 16_384
_FIRST_WORD: Final = b"PROXY "
_LONGEST_LINE: Final = 107  # with CRLF, as the specification computes it
_PORT: Final = "(0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(f"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) {_PORT} {_PORT}", re.ASCII)
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: .*)?", re.DOTALL)
_ADDRESSES: Final = {1: 12, 2: 36, 3: 216}  # family → octets
_LOCAL, _PROXY = 0x20, 0x21
_STREAM: Final = 1


class ProxyHeaderError(RemoteError):
    """The octets are no header of the PROXY protocol."""


class ProxyHeader(NamedTuple):
    """What a header says: the client's address, and the address that it connected to.

    ``host`` is "" if the connection is the proxy's own (LOCAL), or if the proxy does not know the client (UNKNOWN):
    then the real addresses hold.
    """

    host: str = ""
    port: int = 0
    local_host: str = ""
    local_port: int = 0


class ProxyHeaderReader:
    """Reads one header; ``rest`` are the octets behind it."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""

    def receive(self, data: bytes) -> ProxyHeader | None:
        """The header, or None if more octets are needed.  Raises ``ProxyHeaderError``."""
        buffer = self._buffer = self._buffer + data
        if buffer[:1] == b"P":
            return self._line(buffer)
        if buffer[: len(_SIGNATURE)] != _SIGNATURE[: len(buffer)]:
            raise ProxyHeaderError("the connection does not begin with a PROXY header")
        return self._block(buffer) if len(buffer) >= _FIXED else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has arrived."""
        return not self._buffer

    def _line(self, buffer: bytes) -> ProxyHeader | None:
        """Version 1: one line of text."""
        if buffer[: len(_FIRST_WORD)] != _FIRST_WORD[: len(buffer)]:
            raise ProxyHeaderError("the connection does not begin with a PROXY header")
        end = buffer.find(b"\n", 0, _LONGEST_LINE)
        if end < 0:
            if len(buffer) >= _LONGEST_LINE:
                raise ProxyHeaderError(f"the PROXY header has no end within {_LONGEST_LINE} octets")
            return None
        line, self.rest = buffer[: end - 1], buffer[end + 1 :]
        if buffer[end - 1 : end] != b"\r" or b"\r" in line:
            raise ProxyHeaderError("the PROXY header does not end with CRLF")
        if _UNKNOWN.fullmatch(line):
            return ProxyHeader()
        match = _LINE.fullmatch(line.decode("latin-1"))
        if match is None:
            raise ProxyHeaderError("the PROXY header is malformed")
        kind = ipaddress.IPv4Address if match[1] == "TCP4" else ipaddress.IPv6Address
        try:
            source, destination = kind(match[2]), kind(match[3])
        except ValueError as error:
            raise ProxyHeaderError(f"the PROXY header has no {match[1]} address where one must be") from error
        ports = int(match[4]), int(match[5])
        if max(ports) > 65_535:
            raise ProxyHeaderError("the PROXY header has a port above 65535")
        return ProxyHeader(_text(source), ports[0], _text(destination), ports[1])

    def _block(self, buffer: bytes) -> ProxyHeader | None:
        """Version 2: fixed octets, addresses, and further fields, which are skipped."""
        command, family, transport = buffer[12], buffer[13] >> 4, buffer[13] & 15
        size = int.from_bytes(buffer[14:16], "big")
        if command not in (_LOCAL, _PROXY):
            raise ProxyHeaderError("the PROXY header has a version or command that does not exist")
        if _FIXED + size > _LONGEST:
            raise ProxyHeaderError(f"the PROXY header is longer than {_LONGEST} octets")
        if command == _PROXY and (family > 3 or transport > 2 or size < _ADDRESSES.get(family, 0)):
            raise ProxyHeaderError("the PROXY header has a family or length that does not exist")
        if len(buffer) < _FIXED + size:
            return None
        body, self.rest = buffer[_FIXED : _FIXED + size], buffer[_FIXED + size :]
        if command == _LOCAL:  # a health check; whatever stands in the addresses is skipped
            return ProxyHeader()
        _check_fields(body[_ADDRESSES.get(family, size) :])
        if transport != _STREAM or family not in (1, 2):
            return ProxyHeader()
        octets = 4 if family == 1 else 16
        source, destination = ipaddress.ip_address(body[:octets]), ipaddress.ip_address(body[octets : 2 * octets])
        ports = body[2 * octets : 2 * octets + 4]
        return ProxyHeader(
            _text(source), int.from_bytes(ports[:2], "big"), _text(destination), int.from_bytes(ports[2:], "big")
        )


def _check_fields(fields: bytes) -> None:
    """Whether the further fields (type, length, value) fill what the header's length leaves for them."""
    while fields:
        end = 3 + int.from_bytes(fields[1:3], "big")
        if len(fields) < 3 or end > len(fields):
            raise ProxyHeaderError("the PROXY header has a field that is longer than the header")
        fields = fields[end:]


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address as a text; an IPv4 address in IPv6's form is IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
