"""Content of a message that is received: in memory up to 1 MiB, above that in a temporary file without a name.

The file is gone when the last user of the content has dropped it; a handler that is still reading when its time is over
reads to the end.  Files are written in a thread, 1 MiB at a time, and the session waits for it.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
from collections.abc import Awaitable, Iterator
from typing import Final

from posthouse.core import Bytes, Content
from posthouse.message.reading import ReadMessage, read_octets

__all__ = ["ContentBuffer", "TemporaryContent", "read_content"]

#: Octets that are held in memory, and that are written to the file at one time.
_IN_MEMORY: Final = 1_048_576


class _Descriptor:
    """A file without a name, closed when nothing refers to it any more."""

    number = -1

    def __init__(self) -> None:
        self.number, path = tempfile.mkstemp(prefix="posthouse-")
        os.unlink(path)

    def append(self, data: bytes) -> None:
        """Write all of ``data``.  Raises ``OSError``."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.number, rest) :]

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class TemporaryContent:
    """``Content`` in a temporary file."""

    __slots__ = ("_file", "size")

    def __init__(self, file: _Descriptor, size: int) -> None:
        self._file = file
        self.size = size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order, in chunks of at most ``at_most`` octets.  Reads a disk."""
        at = 0
        while chunk := os.pread(self._file.number, at_most, at):
            at += len(chunk)
            yield chunk

    def mapped(self) -> mmap.mmap:
        """The octets as memory that the system reads when it is looked at."""
        return mmap.mmap(self._file.number, 0, access=mmap.ACCESS_READ)


class ContentBuffer:
    """Takes content as it arrives.  ``error`` is set when the disk has failed; what comes later is dropped."""

    def __init__(self) -> None:
        self.size = 0
        self.error: OSError | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._file: _Descriptor | None = None

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets; an awaitable means that the disk has to be waited for."""
        if self.error is not None:
            return None
        self.size += len(chunk)
        self._pieces.append(chunk)
        self._held += len(chunk)
        return self._spill() if self._held > _IN_MEMORY else None

    async def _spill(self) -> None:
        data = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        await asyncio.to_thread(self._append, data)

    def _append(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = _Descriptor()
            self._file.append(data)
        except OSError as error:
            self.error = error

    def drop(self) -> None:
        """Give up what was taken."""
        self._pieces, self._held, self._file = [], 0, None

    async def finished(self) -> Content:
        """The whole content.  Raises ``OSError`` if the disk has failed."""
        if self._file is not None and self._held:
            await self._spill()
        if self.error is not None:
            raise self.error
        if self._file is not None:
            return TemporaryContent(self._file, self.size)
        return Bytes(b"".join(self._pieces))


def read_content(content: Content) -> ReadMessage:
    """A content, read as a message."""
    if isinstance(content, Bytes):
        return read_octets(content.data)
    if isinstance(content, TemporaryContent):
        return read_octets(content.mapped())
    return read_octets(b"".join(content.chunks()))
