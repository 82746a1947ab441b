"""SMTP extensions that a message needs of the next host (RFC 6152, RFC 3030, RFC 6532).

``needs`` reads a message in chunks of any size, with a few primitives for each chunk.  ``message.conversion`` converts
a message so that it needs fewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from posthouse.message.headers import HEADER_LIMIT, split

__all__ = ["Needs", "Scanner", "needs"]

_LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)


class Needs(NamedTuple):
    """The SMTP extensions that a message needs.

    Args:
        eightbit: 8BITMIME; the message has octets over 127.
        utf8_headers: SMTPUTF8; its header section has octets over 127 (the header sections of parts do not count).
        binary: BINARYMIME; it has a NUL, a CR or LF outside CRLF, or a line over 998 octets.
    """

    eightbit: bool = False
    utf8_headers: bool = False
    binary: bool = False


class Scanner:
    """Incremental scanner for ``Needs``: call ``feed`` with each chunk, then ``result``."""

    __slots__ = ("_binary", "_cr", "_eightbit", "_head", "_line", "_utf8")

    def __init__(self, *, headers: bool = True) -> None:
        """``headers=False`` if the octets are not a whole message; ``utf8_headers`` then stays False."""
        self._eightbit = False
        self._utf8 = False
        self._binary = False
        self._head = bytearray() if headers else None  # the header section, while it has not ended
        self._line = 0  # octets of the unfinished line at the end of the last chunk
        self._cr = False  # the last chunk ended with CR

    def feed(self, chunk: bytes) -> None:
        """Scan the next octets."""
        if not chunk:
            return
        if self._head is not None:
            self._look_for_body(self._head, chunk)
        self._eightbit = self._eightbit or not chunk.isascii()
        if not self._binary:
            self._binary = self._has_binary(chunk)

    def result(self) -> Needs:
        """The needs of all octets fed, taken as complete."""
        open_end = self._cr or self._line > _LINE
        return Needs(self._eightbit, self._utf8 or self._ended(), self._binary or open_end)

    def _look_for_body(self, head: bytearray, chunk: bytes) -> None:
        start = max(0, len(head) - 3)
        head += chunk[:HEADER_LIMIT]
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) >= HEADER_LIMIT:
            self._utf8 = self._ended()
            self._head = None

    def _ended(self) -> bool:
        head = self._head
        return head is not None and not head.isascii() and not split(bytes(head)).headers.isascii()

    def _has_binary(self, chunk: bytes) -> bool:
        pairs, returns, feeds = chunk.count(b"\r\n"), chunk.count(b"\r"), chunk.count(b"\n")
        if self._cr:
            if not chunk.startswith(b"\n"):
                return True
            feeds -= 1
        self._cr = chunk.endswith(b"\r")
        if feeds != pairs or returns - self._cr != pairs or b"\0" in chunk:
            return True
        return self._has_long_line(chunk)

    def _has_long_line(self, chunk: bytes) -> bool:
        # The last LF within 1,000 octets of a line's start shows that all lines up to there are short enough.
        start = -self._line
        while len(chunk) - start > _LINE + 2:
            end = chunk.rfind(b"\n", max(start, 0), start + _LINE + 2)
            if end < 0:
                return True
            start = end + 1
        last = chunk.rfind(b"\n", max(start, 0))
        self._line = len(chunk) - (last + 1 if last >= 0 else start)
        return False


def needs(chunks: Iterable[bytes], *, headers: bool = True) -> Needs:
    """The needs of a whole message, given in chunks (``content.chunks()``); ``headers=False`` as for ``Scanner``."""
    scanner = Scanner(headers=headers)
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.result()
