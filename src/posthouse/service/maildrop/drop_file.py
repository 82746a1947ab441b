"""Reading a file of the maildrop, which any user may have written: bounded, and without following a link.

Blocking; the daemon reads in threads.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from typing import Final, Protocol

from posthouse.core import Envelope
from posthouse.service.maildrop.form import LONGEST_HEAD, DroppedEnvelope, Malformed, read_head

__all__ = ["DropFile", "DroppedMessage", "LineEnds", "MemoryDrop", "PIECE", "user_of"]

#: Octets that are read at one time.
PIECE: Final = 262_144
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class LineEnds:
    """Content whose line ends become CRLF while it streams: ``feed`` gives what can be told by now, ``end`` the rest,
    with the CRLF that the last line may lack."""

    __slots__ = ("_cr", "_open")

    def __init__(self) -> None:
        self._cr = False  # the last piece ended with CR, which has not been given yet
        self._open = False  # the last line has no end yet

    def feed(self, piece: bytes) -> bytes:
        """The next octets, with CRLF for every CRLF, LF and CR."""
        if not piece:
            return b""
        if self._cr:
            piece = b"\r" + piece
        self._cr = piece.endswith(b"\r")
        if self._cr:
            piece = piece[:-1]
        made = _LINE_END.sub(b"\r\n", piece)
        if made:
            self._open = not made.endswith(b"\n")
        return made

    def end(self) -> bytes:
        """What is left at the end of the content."""
        return b"\r\n" if self._cr or self._open else b""


class DroppedMessage(Protocol):
    """A message of a user of this machine: the user as logs name one, envelope, size, and the content in pieces."""

    user: str
    dropped: DroppedEnvelope
    size: int

    def read(self) -> bytes:
        """The next octets of the content; b"" at its end."""
        ...


class MemoryDrop:
    """A message in memory, of the ``user``."""

    def __init__(self, envelope: Envelope, octets: bytes, user: str) -> None:
        self.user = user
        self.dropped = DroppedEnvelope(envelope)
        self.size = len(octets)
        self._octets = octets

    def read(self) -> bytes:
        octets, self._octets = self._octets, b""
        return octets


class DropFile:
    """An open file of the maildrop.  Raises ``Malformed`` for what is none, ``OSError`` where it cannot be read."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(self._descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Malformed("it is no file")
            if status.st_nlink > 1:
                raise Malformed("it has another name elsewhere, so it may be another user's file")
            self.user = user_of(status.st_uid)
            self.modified = status.st_mtime
            head, self._rest = self._first_line()
            self.dropped: DroppedEnvelope = read_head(head)
            self.size = max(0, status.st_size - len(head) - 1)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _first_line(self) -> tuple[bytes, bytes]:
        pieces, octets = [], 0
        while octets <= LONGEST_HEAD:
            piece = os.read(self._descriptor, PIECE)
            line, found, rest = piece.partition(b"\n")
            pieces.append(line)
            if found:
                return b"".join(pieces), rest
            if not piece:
                raise Malformed("its first line does not end")
            octets += len(piece)
        raise Malformed(f"its first line has more than {LONGEST_HEAD} octets")

    def read(self) -> bytes:
        """The next octets of the content as they are in the file; b"" at its end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return os.read(self._descriptor, PIECE)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def user_of(uid: int) -> str:
    """A user as logs and trace fields name one: ``www-data userid 33``."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} userid {uid}"
    except (KeyError, OverflowError):
        return f"userid {uid}"
