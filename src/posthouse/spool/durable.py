"""The acts that make something survive, all of them, behind one small object.

Every change a crash could interrupt goes through ``Durable``: opening a temp file, writing, syncing, renaming, syncing
a directory, unlinking, committing a transaction.  Nothing else in this room calls the operating system for them, so a
test can hand in an object that stops the process, or fails, at the n-th act and see what is left (the crash table of
``queue``).

All methods block; they are called from the writer's thread and the file threads, never from the event loop.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3

from posthouse.words import StorageBusy, StorageError, StorageFull

__all__ = ["Durable", "storage_error"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_FULL = 5, 6, 13


class Durable:
    """The real acts.  A fake overrides the methods it wants to disturb."""

    def make_directory(self, path: str) -> None:
        """Make a directory that only its owner enters (0700); its parent must be synced for it to last."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)

    def open_temp(self, path: str) -> int:
        """Make a new file that only its owner reads (0600), for writing; returns its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of ``data``."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        """Return when the file's octets and its length are on stable storage."""
        os.fsync(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give a file its lasting name."""
        os.rename(old, new)

    def sync_directory(self, path: str) -> None:
        """Return when the directory's entries are on stable storage."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: str) -> None:
        """Remove a file; that it is gone already is no fault."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def commit(self, connection: sqlite3.Connection) -> None:
        """Return when the open transaction is on stable storage."""
        connection.execute("COMMIT")


def storage_error(error: BaseException, doing: str) -> StorageError:
    """What a foreign exception means to whoever wanted something stored; the cause is kept.

    ``doing`` says what was being done: ``"storing a message"``.
    """
    if isinstance(error, StorageError):
        return error
    kind: type[StorageError] = StorageError
    cause = str(error) or type(error).__name__
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == _SQLITE_FULL:
            kind = StorageFull
        elif code in (_SQLITE_BUSY, _SQLITE_LOCKED):
            kind = StorageBusy
    elif isinstance(error, OSError):
        cause = error.strerror or cause
        if error.errno in _FULL:
            kind = StorageFull
    translated = kind(f"{doing} failed: {cause}")
    translated.__cause__ = error
    return translated
