"""Message content in files: read in chunks with CRLF line ends, whatever ends the lines of the file.

The length in octets must be known before anything is sent (SIZE, RFC 1870), so a long file is read once to count, and
again when it is sent.  A file that cannot be read twice, for example a pipe, is copied into a temporary file first.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Final, Protocol, cast

from posthouse.core import Bytes, Content, LocalError
from posthouse.message.compose import to_crlf

__all__ = ["MessageFile", "content_of_file", "content_of_path"]

_CHUNK: Final = 262_144


class _BinaryFile(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class MessageFile:
    """Content that is read from a file at each reading.  The file must not change meanwhile.

    ``opened`` returns the file, at its beginning, as a context manager.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> None:
        self._opened = opened
        #: Length in octets, after the line ends have become CRLF.
        self.size = sum(map(len, self.chunks()))

    def chunks(self, at_most: int = _CHUNK) -> Iterator[bytes]:
        """The octets in order; the last line ends with CRLF."""
        end = b"\r\n"
        held = b""
        with self._opened() as file:
            while chunk := file.read(max(1, at_most // 2 - 1)):  # each octet may become two
                chunk = held + chunk
                held = b"\r" if chunk.endswith(b"\r") else b""
                chunk = to_crlf(chunk[: len(chunk) - len(held)])
                if chunk:
                    end = chunk[-2:]
                    yield chunk
        if held or end != b"\r\n":
            yield b"\r\n"

    async def stream(self, at_most: int = _CHUNK) -> AsyncIterator[bytes]:
        """``chunks`` for an event loop: threads read the file."""
        chunks = self.chunks(at_most)
        try:
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]


def content_of_path(path: str, short: int) -> Content:
    """The message in the file at ``path``; in memory if it has at most ``short`` octets.  Raises ``OSError``."""
    if os.stat(path).st_size <= short:
        with open(path, "rb") as file:
            return _short(file.read())
    return MessageFile(lambda: open(path, "rb"))


def content_of_file(file: _BinaryFile, short: int) -> Content:
    """The message in an open file, from its current position.  Raises ``LocalError`` for one that is open as text."""
    seekable = getattr(file, "seekable", None)
    if seekable is not None and seekable():
        whole = cast(IO[bytes], file)
        start = whole.tell()
        data = whole.read(short + 1)
        _refuse_text(data)
        if len(data) <= short:
            return _short(data)

        def again() -> AbstractContextManager[IO[bytes]]:
            whole.seek(start)
            return nullcontext(whole)

        return MessageFile(again)
    data = file.read(short + 1)
    _refuse_text(data)
    parts = [data]
    size = len(data)
    while data and size <= short:
        data = file.read(short + 1 - size)
        parts.append(data)
        size += len(data)
    if size <= short:
        return _short(b"".join(parts))
    return _copied(b"".join(parts), file)


def _copied(begun: bytes, file: _BinaryFile) -> MessageFile:
    import tempfile

    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed, and removed, with the content
    copy.write(begun)
    while data := file.read(_CHUNK):
        copy.write(data)

    def again() -> AbstractContextManager[IO[bytes]]:
        copy.seek(0)
        return nullcontext(cast(IO[bytes], copy))

    content = MessageFile(again)
    weakref.finalize(content, copy.close)
    return content


def _short(data: bytes) -> Bytes:
    data = to_crlf(data)
    return Bytes(data if data.endswith(b"\r\n") else data + b"\r\n")


def _refuse_text(data: Any) -> None:
    if not isinstance(data, bytes):
        raise LocalError("the file is open as text; open it with the mode 'rb'")
