"""Ready message of ``posthouse send --raw``: streamed from a file or from standard input, and what is found in it.

``file_content`` reads it: long content is never held whole.
"""

from __future__ import annotations

import os
import stat
from typing import IO, NamedTuple

from posthouse.core import Content
from posthouse.message.mime import Scanner
from posthouse.sending.messages.file_content import content_of_file, content_of_path

__all__ = ["LONGEST_LINE", "ReadyMessage", "read_ready"]

#: Octets that a line of a message may have, without its end.
LONGEST_LINE = 998
#: Octets of a message up to which it is read at once.
_SHORT = 1_048_576


class ReadyMessage(NamedTuple):
    """A ready message with CRLF line ends, and what was found in it.

    Args:
        changed: Line ends were changed to CRLF.
        empty: It has nothing but white space.
        eightbit: It has octets above 127.
        binary: It has NUL.
        utf8_headers: Its header section is not ASCII.
        long_line: The number of the first line that is longer than 998 octets, and its octets; None without one.
    """

    content: Content
    changed: bool
    empty: bool
    eightbit: bool
    binary: bool
    utf8_headers: bool
    long_line: tuple[int, int] | None


def read_ready(source: str | IO[bytes]) -> ReadyMessage:
    """The message in a file that is named, or in one that is open and is read once.  Raises ``OSError``."""
    if isinstance(source, str):
        found = os.stat(source)
        if stat.S_ISREG(found.st_mode):
            return _found(content_of_path(source, _SHORT), found.st_size)
        with open(source, "rb") as pipe:
            return read_ready(pipe)
    counted = _Counted(source)
    content = content_of_file(counted, _SHORT)
    return _found(content, counted.octets)


def _found(content: Content, length: int) -> ReadyMessage:
    """What is found in the content of a file that has so many octets."""
    scanner, lines = Scanner(), _LineLengths()
    empty, binary = True, False
    for chunk in content.chunks():
        scanner.feed(chunk)
        lines.feed(chunk)
        empty = empty and not chunk.strip()
        binary = binary or b"\0" in chunk
    asks = scanner.result()
    return ReadyMessage(
        content, content.size != length, empty, asks.eightbit, binary, asks.utf8_headers, lines.first_long
    )


class _Counted:
    """A file that counts the octets which were read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.octets = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.octets += len(data)
        return data


class _LineLengths:
    """The first line that is too long, in chunks whose line ends are CRLF."""

    def __init__(self) -> None:
        self.first_long: tuple[int, int] | None = None
        self._number = 1
        self._octets = 0  # of the line that has not ended

    def feed(self, chunk: bytes) -> None:
        """Look at the next octets."""
        if self.first_long is not None:
            return
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            octets = self._octets + len(part) - 1  # without its CR, which may stand in the chunk before
            if octets > LONGEST_LINE:
                self.first_long = self._number, octets
                return
            self._number += 1
            self._octets = 0
        self._octets += len(rest)
