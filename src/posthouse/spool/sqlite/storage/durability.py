"""The acts that make something durable, all behind one small object.

Every change a crash could interrupt goes through ``Durable``: opening a temp file, writing, syncing, renaming, syncing
a directory, unlinking, committing a transaction.  No other module of the spool calls the operating system for them, so
a test can hand in an object that stops the process, or fails, at the n-th act and see what is left (the crash table of
``spool.interface``).

All methods block; they are called from the writer's thread and the file threads, never from the event loop.

With a single process, SQLite syncs within COMMIT: one call, and so one wait for the interpreter's lock.  Where
processes share a spool, a commit has two steps: the transaction is written to SQLite's write-ahead log, which releases
the database's lock, and then the log is synced.  While one process waits for its sync the next one writes; with a sync
within COMMIT the lock would be held meanwhile, and the processes would wait for the disk one after the other.  Both are
equally safe: a log is read back as far as its frames follow each other, and a sync covers everything that was written
before it, by whichever process.  Another process may see a transaction before it is on the disk, but what that process
then writes comes after it in the log, and cannot survive without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Sequence

from posthouse.core import StorageBusy, StorageError, StorageFull, StorageUncertain
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["Durable", "NotSynced", "WalConnection", "damaged", "is_damage", "keep_open", "storage_error"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_CORRUPT, _SQLITE_FULL, _SQLITE_NOTADB = 5, 6, 11, 13, 26


class NotSynced(OSError):
    """A transaction was committed, and it is not known whether it is on stable storage; the cause is chained."""


class WalConnection(sqlite3.Connection):
    """A connection in WAL mode that can sync its log, which lies beside the database as ``-wal``.

    With ``synchronous = NORMAL`` SQLite leaves that to the application, and still syncs the log before what is in it
    goes to the database, and when it begins anew.
    """

    _log: int | None = None
    _doubtful = False

    def sync_log(self) -> None:
        """Return when every transaction that has been committed, by any process, is on stable storage.

        Raises ``NotSynced``.  The system may forget what it could not write, and report the next sync as a success.
        After a failure the log is therefore not trusted until all of it has been written to the database, which must
        succeed before anything else does.
        """
        try:
            if self._doubtful:
                (busy, _, _) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise sqlite3.OperationalError("the log is in use and cannot be brought to the database")
                self._doubtful = False
            if self._log is None:
                self._open_log()
            assert self._log is not None
            os.fdatasync(self._log)
        except (OSError, sqlite3.Error) as error:
            self._doubtful = True
            raise NotSynced(getattr(error, "errno", None) or errno.EIO, f"the log was not synced: {error}") from error

    def _open_log(self) -> None:
        """Open the log, and see to it that its name survives; SQLite keeps both while a connection is open."""
        path = next(path for _, name, path in self.execute("PRAGMA database_list") if name == "main")
        self._log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Close both."""
        if self._log is not None:
            os.close(self._log)  # SQLite has no lock on this file, so closing it loses none
            self._log = None
        super().close()


class Durable:
    """The real acts.  A fake overrides the methods it wants to disturb.

    ``shared``: other processes write to the same spool, so the lock is released before the log is synced.  Both ways
    are safe, whichever processes write.
    """

    shared = True

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared

    def make_directory(self, path: str) -> None:
        """Make a directory that only its owner enters (0700); its parent must be synced for it to last."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            leave_to_owner(path)

    def open_temp(self, path: str) -> int:
        """Make a new file that only its owner reads (0600), for writing; returns its descriptor."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        leave_to_owner(path, descriptor)
        return descriptor

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

    def commit(self, connection: sqlite3.Connection, sql: str = "COMMIT", values: Sequence[object] = ()) -> None:
        """Return when the open transaction is on stable storage; or, without one, what ``sql`` does, which is a
        transaction then.  Raises ``NotSynced`` if it is committed and may not be, and SQLite's errors if it is not
        committed."""
        connection.execute(sql, values)
        if self.shared:
            self.sync_log(connection)

    def sync_log(self, connection: sqlite3.Connection) -> None:
        """Return when all that was committed is on stable storage; see ``WalConnection.sync_log``."""
        assert isinstance(connection, WalConnection)
        connection.sync_log()


def storage_error(error: BaseException, doing: str) -> StorageError:
    """The error of storage for an exception of SQLite or the system; the cause is kept.

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
    elif isinstance(error, NotSynced):
        kind, cause = StorageUncertain, error.strerror or cause
    elif isinstance(error, OSError):
        cause = error.strerror or cause
        if error.filename:
            cause = f"{cause} ({error.filename})"
        if error.errno in _FULL:
            kind = StorageFull
    translated = kind(f"{doing} failed: {cause}")
    translated.__cause__ = error
    return translated


def is_damage(error: BaseException) -> bool:
    """Whether SQLite found that the database is damaged."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        _SQLITE_CORRUPT,
        _SQLITE_NOTADB,
    )


def damaged(error: BaseException) -> str:
    """The cause and the remedy when ``is_damage``, in a sentence."""
    return (
        f"the spool's database is damaged ({error}); nothing is accepted or delivered any more: stop the daemon, copy"
        " the spool, and restore a backup or run `sqlite3 queue.sqlite3 .recover`"
    )


def keep_open(connection: sqlite3.Connection) -> None:
    """Leave a connection open until the process ends, and do not let the interpreter close it.

    SQLite's last act on a database is to remove its log *by name*.  Where the files have been replaced, that is the log
    of another database, and mail is in it.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
