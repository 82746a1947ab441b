"""Pieces of a rendered message: octets, and sources that are encoded while they are read.

The length of base64 follows from the length of its source, so the size of a message is known before its content is
read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from posthouse.core import LocalError
from posthouse.message.encode import Base64Encoder

__all__ = [
    "Base64Piece",
    "CHUNK",
    "Part",
    "Piece",
    "PieceContent",
    "Source",
    "chunked",
    "file_state",
    "has_long_line",
    "join",
    "size_of",
]

#: Octets of the largest chunk of a rendered message.
CHUNK = 65_536
_READ = 57 * 836  # octets of a source that are encoded at a time: 65,208 octets of base64
_LONGEST_LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)
_LINE = 57  # octets that a line of base64 stands for


class Source(Protocol):
    """What an attachment is read from; reading may be repeated."""

    @property
    def size(self) -> int:
        """Length in octets.  Raises ``LocalError`` if it cannot be read."""
        ...

    def chunks(self, at_most: int) -> Iterator[bytes]:
        """The octets in order.  Raises ``LocalError`` if they cannot be read."""
        ...


class Base64Piece:
    """A source in base64, with its size as it was when the message was rendered."""

    __slots__ = ("_length", "_name", "_source", "size")

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._length = source.size
        lines = -(-self._length // _LINE)
        #: Length of the encoded octets.
        self.size = -(-self._length // 3) * 4 + max(0, lines - 1) * 2

    def chunks(self) -> Iterator[bytes]:
        """The encoded octets, at most 65,536 at a time.

        Raises ``LocalError`` if the source no longer has the length that it had.
        """
        encoder = Base64Encoder()
        read = 0
        for chunk in self._source.chunks(_READ):
            read += len(chunk)
            if read > self._length:
                break
            yield encoder.feed(chunk)
        if read != self._length:
            raise LocalError(
                f"{self._name} had {self._length} octets when the message was rendered and changed while it was sent; "
                "send the message again when the file no longer changes"
            )
        yield encoder.end()


Piece = bytes | Base64Piece


class Part(NamedTuple):
    """A body part: its header fields, each with its CRLF, and the pieces of its encoded body."""

    fields: bytes
    body: tuple[Piece, ...]

    def holds(self, octets: bytes) -> bool:
        """Whether the octets occur in it; base64 has no ``=_`` and is not searched."""
        return any(isinstance(piece, bytes) and octets in piece for piece in self.body)


def has_long_line(data: bytes) -> bool:
    """Whether a line is longer than a message may have; all line ends are CRLF."""
    return max(map(len, data.split(b"\r\n"))) > _LONGEST_LINE


def join(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The pieces, those of octets that follow each other put together."""
    made: list[Piece] = []
    held: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            held.append(piece)
            continue
        if held:
            made.append(b"".join(held))
            held = []
        made.append(piece)
    if held:
        made.append(b"".join(held))
    return tuple(made)


def file_state(content: object) -> object:
    """What changes when an attached file does: its time and size, None if it cannot be read."""
    if not isinstance(content, os.PathLike):
        return None
    try:
        status = os.stat(content)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def size_of(pieces: Iterable[Piece]) -> int:
    """The number of octets."""
    return sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in pieces)


class PieceContent:
    """Content that is written from pieces at each reading; what a source has is not held."""

    __slots__ = ("_pieces", "size")

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = join(pieces)
        #: Length in octets.
        self.size = size_of(self._pieces)

    @property
    def is_ascii(self) -> bool:
        """Whether no octet is above 127."""
        return all(piece.isascii() for piece in self._pieces if isinstance(piece, bytes))

    def chunks(self, at_most: int = CHUNK) -> Iterator[bytes]:
        """The octets in chunks of ``at_most``, the last one shorter.  Raises ``LocalError`` if a source cannot be read,
        or has changed."""
        return chunked(self._pieces, at_most)


def _octets(pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from piece.chunks()


def chunked(pieces: Iterable[Piece], at_most: int = CHUNK) -> Iterator[bytes]:
    """The octets in chunks of exactly ``at_most``, the last one shorter; no chunk if there are none."""
    if at_most < 1:
        raise LocalError(f"a chunk of {at_most} octets holds nothing; give 1 or more")
    held: list[bytes] = []
    room = at_most
    for octets in _octets(pieces):
        start = 0
        while len(octets) - start >= room:
            held.append(octets[start : start + room])
            start += room
            yield b"".join(held)
            held, room = [], at_most
        if start < len(octets):
            held.append(octets[start:])
            room -= len(octets) - start
    if held:
        yield b"".join(held)
