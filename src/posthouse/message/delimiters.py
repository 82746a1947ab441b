"""Delimiter lines of multiparts in a message that streams (RFC 2046 §5.1.1).

The cutter keeps one chunk and one unfinished line of at most 4,200 octets; only lines that begin with ``--`` are looked
at one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Cutter", "Delimiter"]

# A line that may be a delimiter.  No boundary holds CR or LF.
_CANDIDATE = re.compile(rb"\r\n--([^\r\n]{0,4096}+)(?=\r\n)")
_LAST_CANDIDATE = re.compile(rb"\r\n--([^\r\n]{0,4096}+)(?=\r\n|\Z)")
_OPENING = re.compile(rb"--([^\r\n]{0,4096}+)(?=\r\n|\Z)")
_UNFINISHED = 4_200  # octets behind a CRLF in which a delimiter must have ended


class Delimiter(NamedTuple):
    """A delimiter line without its own CRLF; ``raw`` begins with the CRLF in front of the line (RFC 2046 §5.1.1)."""

    raw: bytes
    level: int  # of the multipart that it belongs to
    closing: bool


class Cutter:
    """Cuts a message at the delimiter lines of the multiparts that are open.

    The whole line must match, except trailing white space.  RFC 2046 §5.1.1 asks for a prefix match only, but some
    programs write an inner boundary that begins with the outer one, and a prefix match would split the inner part.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._fresh = False  # a line begins here, though no CRLF stands in front
        self._marks: dict[bytes, tuple[int, bool]] = {}

    def watch(self, marks: dict[bytes, tuple[int, bool]], *, fresh: bool = False) -> None:
        """Cut at these lines from now on; each has the level of its multipart, and whether it closes it."""
        self._marks = marks
        self._fresh = fresh

    def unread(self, data: bytes) -> None:
        """Give back the last octets that ``next`` returned."""
        start = self._at - len(data)
        if start >= 0 and self._buffer.startswith(data, start):
            self._at = start
        else:
            self._buffer = data + self._buffer[self._at :]
            self._at = 0

    def next(self) -> bytes | Delimiter | None:
        """Octets in front of the next delimiter, or that delimiter, or None at the end."""
        while True:
            if self._at >= len(self._buffer) and not self._fill():
                return None
            if not self._marks:
                return self._take(len(self._buffer))
            if self._fresh:
                if self._is_short() and self._fill():
                    continue
                self._fresh = False
                match = _OPENING.match(self._buffer, self._at)
                if match is not None and match[1].rstrip(b" \t") in self._marks:
                    return self._delimiter(match)
            found = self._search()
            if found is not None:
                return self._take(found.start()) if found.start() > self._at else self._delimiter(found)
            until = len(self._buffer) if self._ended else self._hold()
            if until > self._at:
                return self._take(until)
            self._fill()

    def _search(self) -> re.Match[bytes] | None:
        pattern = _LAST_CANDIDATE if self._ended else _CANDIDATE
        for match in pattern.finditer(self._buffer, self._at):
            if match[1].rstrip(b" \t") in self._marks:
                return match
        return None

    def _is_short(self) -> bool:
        """True if a delimiter at this place may not have come whole."""
        end = self._buffer.find(b"\r\n", self._at)
        return end < 0 and len(self._buffer) - self._at < _UNFINISHED

    def _hold(self) -> int:
        """The place from which the octets wait for further ones, because a delimiter may have begun there."""
        size = len(self._buffer)
        line = self._buffer.rfind(b"\r\n", self._at)
        if line >= 0 and size - line < _UNFINISHED and b"--".startswith(self._buffer[line + 2 : line + 4]):
            return line
        return size - self._buffer.endswith(b"\r")

    def _fill(self) -> bool:
        """Read one chunk more; False at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
            return False
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return True

    def _take(self, until: int) -> bytes:
        data = self._buffer[self._at : until]
        self._at = until
        return data

    def _delimiter(self, match: re.Match[bytes]) -> Delimiter:
        level, closing = self._marks[match[1].rstrip(b" \t")]
        return Delimiter(self._take(match.end()), level, closing)
