"""Sources of attachments: octets in memory, a file that is read when the message is sent, and the copy of a stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Protocol

from posthouse.core import Bytes, LocalError
from posthouse.message.composing.pieces import Source

__all__ = ["FileSource", "Readable", "StreamCopy", "content_key", "copy_of", "source_of"]

#: Octets of a stream that are kept in memory; a longer one is copied to a temporary file.
_IN_MEMORY = 1_048_576
_AT_A_TIME = 262_144
#: Octets of a temporary file that pickling and JSON take along.
_CARRIED = 67_108_864


class Readable(Protocol):
    """An open binary file, a pipe, the body of a response."""

    def read(self, size: int = ..., /) -> bytes: ...


class FileSource:
    """A file that is opened at each reading."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def size(self) -> int:
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if not os.path.isfile(self._path):
            raise _not_a_file(self._path)
        return status.st_size

    def chunks(self, at_most: int) -> Iterator[bytes]:
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            raise _not_a_file(self._path)  # opening a pipe would wait for its writer
        try:
            with open(self._path, "rb") as file:
                while chunk := file.read(at_most):
                    yield chunk
        except OSError as error:
            raise _unreadable(self._path, error) from error


def _not_a_file(path: str) -> LocalError:
    return LocalError(f"the attachment {path} is not a file; name a file, or attach its content as bytes")


def _unreadable(path: str, error: OSError) -> LocalError:
    return LocalError(
        f"the attachment {path} cannot be read: {error.strerror}; a path is read when the message is sent, so the file "
        "must be there then"
    )


class StreamCopy:
    """The copy of a long stream in a temporary file without a name, which ends with the last use of it.

    Several threads may read one.  Pickled, it is its octets.
    """

    __slots__ = ("_digest", "_file", "_lock", "size")

    def __init__(self, file: IO[bytes], size: int, digest: str) -> None:
        from threading import Lock

        self._file = file
        self._lock = Lock()
        self._digest = digest
        #: Length in octets.
        self.size = size

    def __del__(self) -> None:
        self._file.close()

    def chunks(self, at_most: int) -> Iterator[bytes]:
        """The octets in order."""
        at = 0
        while at < self.size:
            with self._lock:
                self._file.seek(at)
                chunk = self._file.read(at_most)
            if not chunk:
                return
            at += len(chunk)
            yield chunk

    def whole(self) -> bytes:
        """All octets, to be carried to another process.  Raises ``LocalError`` if they are more than 64 MiB."""
        if self.size > _CARRIED:
            raise LocalError(
                f"an attachment of {self.size} octets that was given as a stream lies in a temporary file of this "
                "process and is too large to be pickled; attach the Path of a file"
            )
        return b"".join(self.chunks(_AT_A_TIME))

    @property
    def key(self) -> tuple[int, str]:
        """What equal contents share: their length and SHA-256."""
        return self.size, self._digest

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (self.whole(),)


def content_key(content: bytes | os.PathLike[str] | StreamCopy) -> object:
    """What equal contents share: the path of a file, else the octets or their length and SHA-256."""
    if isinstance(content, StreamCopy):
        return content.key
    if isinstance(content, bytes) and len(content) > _IN_MEMORY:
        from hashlib import sha256

        return len(content), sha256(content).hexdigest()
    return content


def copy_of(stream: Readable) -> bytes | StreamCopy:
    """What a stream gives from here to its end: in memory up to 1 MiB, else in a temporary file.

    Raises:
        LocalError: The stream gives text, or is one of asyncio.
        OSError: It cannot be read, or the disk is full.
    """
    from hashlib import sha256
    from tempfile import TemporaryFile  # slow to import

    held: list[bytes] = []
    size = 0
    file: IO[bytes] | None = None
    digest = sha256()
    while chunk := _read(stream):
        digest.update(chunk)
        size += len(chunk)
        if file is not None:
            file.write(chunk)
            continue
        held.append(chunk)
        if size > _IN_MEMORY:
            from tempfile import TemporaryFile  # takes longer than composing a short message

            file = TemporaryFile()  # noqa: SIM115 - it lives as long as the attachment
            file.writelines(held)
            held = []
    if file is None:
        return b"".join(held)
    file.flush()
    return StreamCopy(file, size, digest.hexdigest())


def _read(stream: Readable) -> bytes:
    chunk: object = stream.read(_AT_A_TIME)
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        raise LocalError("a stream of an attachment gives text; open the file with the mode 'rb'")
    close = getattr(chunk, "close", None)
    if callable(close):
        close()  # a coroutine that nobody awaits
    raise LocalError("a stream of an attachment gives no octets; read an asynchronous one first, and attach the bytes")


def source_of(content: bytes | os.PathLike[str] | StreamCopy) -> Source:
    """The source that reads a content."""
    if isinstance(content, bytes):
        return Bytes(content)
    return content if isinstance(content, StreamCopy) else FileSource(os.fspath(content))
