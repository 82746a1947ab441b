"""Canonicalization of header fields and bodies (RFC 6376 §3.4), for DKIM and ARC.

A body is canonicalized while it passes by, in memory that does not depend on its size: what a chunk ends with and what
the next one decides (white space, a CR, empty lines) is held as two octets and a count.  All work is done by searches
and replacements over whole chunks, so time is linear in the octets.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final

from posthouse.core import SettingError

__all__ = ["BodyCanonicalizer", "Canonicalization", "header_and_body", "is_canonical", "reduced", "relaxed_field"]

_RUN = re.compile(rb"  ++")
_LINES: Final = b"\r\n" * 4096


class Canonicalization(enum.StrEnum):
    """The two algorithms of ``c=``."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def header_and_body(option: str) -> tuple[Canonicalization, Canonicalization]:
    """The algorithms of a text such as "relaxed/simple".  Raises ``SettingError`` for any other."""
    header, _, body = option.partition("/")
    try:
        return Canonicalization(header), Canonicalization(body)
    except ValueError:
        raise SettingError(f"{option!r:.40} is no canonicalization", remedy='write "relaxed/relaxed"') from None


def relaxed_field(raw: bytes) -> bytes:
    """A header field in the relaxed form (§3.4.2), with its CRLF.

    Args:
        raw: The octets of one field: name, colon, value, folded lines, with or without the CRLF at the end.
    """
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + reduced(value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"


def reduced(octets: bytes) -> bytes:
    """Each run of spaces and tabs as one space."""
    # Most runs are one space: the expression must not match those, each match costs more than 100 octets of search.
    # Most texts have no other run; CPython finds that out from the end in half the time of a search from the front.
    octets = octets.replace(b"\t", b" ")
    return _RUN.sub(b" ", octets) if octets.rfind(b"  ") >= 0 else octets


def is_canonical(body: bytes, canonicalization: Canonicalization) -> bool:
    """Whether a whole body is its own canonical form, as far as can be told at once: not of one without content."""
    if not body.endswith(b"\r\n") or body[-3:-2] in b"\r\n":
        return False
    if canonicalization is Canonicalization.SIMPLE:
        return True
    # From the end, as in reduced().
    return body.find(b"\t") < 0 and body.rfind(b"  ") < 0 and body.rfind(b" \r\n") < 0


class BodyCanonicalizer:
    """The canonical form of a body, made of chunks of any size and passed on at once.

    Args:
        canonicalization: Simple (§3.4.3) or relaxed (§3.4.4).
        emit: Called with each part of the canonical body, which is never empty.

    Attributes:
        total: Octets that were emitted.
    """

    __slots__ = ("_carry", "_ended", "_lines", "_relaxed", "canonicalization", "emit", "total")

    def __init__(self, canonicalization: Canonicalization, emit: Callable[[bytes], object]) -> None:
        self.canonicalization = canonicalization
        self.emit = emit
        self.total = 0
        self._relaxed = canonicalization is Canonicalization.RELAXED
        self._carry = b""  # b"", b" ", b"\r" or b" \r": its meaning depends on what follows
        self._lines = 0  # line ends not emitted: of empty lines, and before them the one of the last line
        self._ended = False  # the line end of the last line was emitted with it

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        data = self._carry + chunk if self._carry else chunk
        if self._relaxed:
            data = reduced(data)
            if data.rfind(b" \r\n") >= 0:  # from the end, as in reduced()
                data = data.replace(b" \r\n", b"\r\n")
        if data.endswith(b"\r\n") and data[-3:-2] not in b"\r\n":  # the common case: it ends with one line
            self._carry = b""
            if self._lines:
                self._emit_lines()
            self._ended = True
            self.total += len(data)
            self.emit(data)
            return
        content = data.rstrip(b" \r\n" if self._relaxed else b"\r\n")
        keep = _pending_from(data, len(content))
        carry = data[keep:].lstrip(b"\r\n") if self._relaxed else b""
        if data.endswith(b"\r") and not carry.endswith(b"\r"):
            carry = b"\r"
        self._carry = carry
        self._pass_on(data[:keep])
        self._lines += (len(data) - keep - len(carry)) // 2

    def finish(self) -> None:
        """The body has ended: emit what is held, and the last CRLF."""
        if self._carry.endswith(b"\r"):  # a bare CR is content; white space at the end is not
            self._pass_on(self._carry)
        if not self._ended and not (self._relaxed and not self.total):
            self.total += 2
            self.emit(b"\r\n")
        self._carry, self._lines = b"", 0

    def _pass_on(self, content: bytes) -> None:
        if not content:
            return
        self._emit_lines()
        self._ended = False
        self.total += len(content)
        self.emit(content)

    def _emit_lines(self) -> None:
        """Emit the line ends that are held: content follows."""
        lines, self._lines = self._lines, 0
        self.total += 2 * lines
        while lines > 0:
            self.emit(_LINES[: 2 * lines])
            lines -= len(_LINES) // 2


def _pending_from(data: bytes, start: int) -> int:
    """Where the end of ``data`` begins that has the form ``*CRLF [SP] [CR]``; from ``start`` on only such octets stand.

    Line ends that are not CRLF are content.  They are found by the last place where two octets stand side by side that
    the form does not have.
    """
    end = len(data)
    # Relaxed data has no "  " and no " \r\n", and simple data has no space here.
    for pair, width in _NOT_PENDING:
        found = data.rfind(pair, start, end)
        if found >= 0:
            start = max(start, found + width)
    if data.startswith(b"\n", start):
        start += 1
    return start


# Two octets that no pending end has → how many of them are content.  After "\n\n" the second LF is content too.
_NOT_PENDING: Final = ((b"\n\n", 2), (b"\r\r", 1), (b" \n", 2), (b"\r ", 1))
