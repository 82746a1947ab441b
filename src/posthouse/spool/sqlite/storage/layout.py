"""Layout of the spool's directory, process slots, and files that a crash has left over.

    data_dir/spool/queue.sqlite3      the rows (``schema``)
                   inbox.sqlite3      the mail index (``indexing``), which may be deleted
                   content/q/<id>     large contents, in a directory named for the id's last letter
                   tmp/<id>           contents still arriving
                   lost/<id>          contents that the database does not know (``lost``)
                   owners/<slot>      one small file for each process, locked while it lives

A process is known by its *slot*: the number of the owner file on which it holds the lock.  The slot is part of every
queue id it makes and of every lease it takes.  The kernel drops the lock when the process ends, however it ends, so the
lock says exactly whether a file or a lease has a living owner; process ids would not, because they are used again.
Owner files are never removed: removing a locked file is a race, and there are at most 1024 small ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

from posthouse.core import SettingError, StorageCorrupt
from posthouse.spool.ids import WORKERS, number_of, text_of
from posthouse.spool.sqlite.storage.data_dir import make_data_dir, refuse_open_to_all
from posthouse.spool.sqlite.storage.durability import Durable, storage_error
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["FileContent", "Layout", "ProcessSlot", "complaint_about", "prepare", "strays"]

_SHELVES = "0123456789bcdfghjkmnpqrstvwxyz"


class Layout(NamedTuple):
    """The paths of one spool."""

    root: str

    @property
    def database(self) -> str:
        """The rows."""
        return os.path.join(self.root, "queue.sqlite3")

    @property
    def mail_index(self) -> str:
        """The mail index."""
        return os.path.join(self.root, "inbox.sqlite3")

    @property
    def content(self) -> str:
        """Large contents, on shelves."""
        return os.path.join(self.root, "content")

    @property
    def tmp(self) -> str:
        """Contents that are still arriving."""
        return os.path.join(self.root, "tmp")

    @property
    def lost(self) -> str:
        """Contents that the database does not know; made when there is one."""
        return os.path.join(self.root, "lost")

    @property
    def owners(self) -> str:
        """One file for each process."""
        return os.path.join(self.root, "owners")

    def shelf(self, number: int) -> str:
        """The directory of a content file."""
        return os.path.join(self.root, "content", text_of(number)[-1])

    def content_of(self, number: int) -> str:
        """A content file."""
        return os.path.join(self.shelf(number), text_of(number))

    def temp_of(self, number: int) -> str:
        """A content file before it has its lasting name."""
        return os.path.join(self.root, "tmp", text_of(number))

    def lost_of(self, number: int) -> str:
        """A content file that the database does not know."""
        return os.path.join(self.root, "lost", text_of(number))


def prepare(layout: Layout, durable: Durable) -> None:
    """Make the directories that are missing.  Raises ``SettingError`` if they cannot be made or written, or if other
    users may write into them."""
    root = layout.root
    try:
        make_data_dir(os.path.dirname(root), durable)
        shelves = [os.path.join(layout.content, letter) for letter in _SHELVES]
        missing = [
            path for path in (root, layout.content, layout.tmp, layout.owners, *shelves) if not os.path.isdir(path)
        ]
        for path in missing:
            durable.make_directory(path)
        for parent in dict.fromkeys(os.path.dirname(path) for path in reversed(missing)):
            durable.sync_directory(parent)
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it may not be written by this user")
        refuse_open_to_all(root)
    except OSError as error:
        raise SettingError(
            f"the spool's directory cannot be used: {error.strerror or error}",
            where=root,
            remedy="set data_dir to a directory that this user may write",
        ) from error


class ProcessSlot:
    """A slot, ours until ``leave`` or the end of the process.  Raises ``SettingError`` if none can be had."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.slot, self._descriptor = self._take()

    def _take(self) -> tuple[int, int]:
        for slot in range(WORKERS):
            try:
                descriptor = _lock(os.path.join(self._directory, str(slot)))
            except OSError as error:
                raise SettingError(
                    f"the spool's directory cannot be used: {error.strerror or error}",
                    where=self._directory,
                    remedy="see that the disk has room, and that its file system can lock files",
                ) from error
            if descriptor is not None:
                with contextlib.suppress(OSError):  # then processes cannot be told apart by it; leases end by the clock
                    life = _life(descriptor) + 1
                    os.ftruncate(descriptor, os.pwrite(descriptor, b"%d %d\n" % (life, os.getpid()), 0))
                return slot, descriptor
        raise SettingError(
            f"{WORKERS} processes use this spool already", where=self._directory, remedy="stop some of them"
        )

    def leave(self) -> None:
        """Give the slot up."""
        os.close(self._descriptor)

    def others(self) -> dict[int, int]:
        """The other slots that anybody ever lived in, each with the number of those who have."""
        lives = {}
        for name in os.listdir(self._directory):
            if name.isascii() and name.isdigit() and int(name) != self.slot:
                descriptor = os.open(os.path.join(self._directory, name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    lives[int(name)] = _life(descriptor)
                finally:
                    os.close(descriptor)
        return lives

    def has_company(self) -> bool:
        """Whether another process has the spool open now."""
        for slot in self.others():
            with self.dead(slot) as dead:
                if not dead:
                    return True
        return False

    @contextlib.contextmanager
    def dead(self, slot: int) -> Iterator[bool]:
        """Whether no process lives in a slot; none can take it while the context lasts.  This process's own slot counts
        as dead: ask before using it."""
        if slot == self.slot:
            yield True
            return
        descriptor = _lock(os.path.join(self._directory, str(slot)))
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _life(descriptor: int) -> int:
    """The number of processes that have lived in a slot, from its owner file, which also has the last process id."""
    lives, _, _ = os.pread(descriptor, 64, 0).partition(b" ")
    return int(lives) if lives.isdigit() else 0


def _lock(path: str) -> int | None:
    """The descriptor that holds the lock of an owner file, or None if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
    try:
        leave_to_owner(path, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def strays(*directories: str) -> Iterator[tuple[int, str]]:
    """Number and path of each file in the directories whose name is a queue id; other files are left in place."""
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                number = number_of(entry.name)
                if number is not None and entry.is_file(follow_symlinks=False):
                    yield number, entry.path


class FileContent:
    """Content in a file, with a prefix in front of it; read anew each time: by ``chunks`` in a thread, by ``stream`` on
    an event loop, which has ``executor`` read.

    Raises ``StorageCorrupt`` where the file is not what was stored, ``StorageError`` where it cannot be read.
    ``size`` is the file's.
    """

    __slots__ = ("_executor", "_path", "_prefix", "_size")

    def __init__(self, path: str, size: int, prefix: bytes = b"", executor: Executor | None = None) -> None:
        self._path = path
        self._size = size
        self._prefix = prefix
        self._executor = executor
        complaint = complaint_about(path, size)
        if complaint:
            raise StorageCorrupt(complaint)

    @property
    def size(self) -> int:
        return len(self._prefix) + self._size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for start in range(0, len(self._prefix), at_most):
            yield self._prefix[start : start + at_most]
        descriptor = self._open()
        left = self._size
        try:
            while left:
                chunk = self._read(descriptor, at_most, left)
                left -= len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def stream(self, at_most: int = 262_144) -> AsyncIterator[bytes]:
        for start in range(0, len(self._prefix), at_most):
            yield self._prefix[start : start + at_most]
        run = asyncio.get_running_loop().run_in_executor
        descriptor = self._open()
        left = self._size
        reading: asyncio.Future[bytes] | None = None
        try:
            while left:
                reading = run(self._executor, self._read, descriptor, at_most, left)
                chunk = await asyncio.shield(reading)
                left -= len(chunk)
                yield chunk
        finally:
            if reading is None or reading.done():
                os.close(descriptor)
            else:  # cancelled: a thread reads from the descriptor still
                reading.add_done_callback(partial(_close, descriptor))

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise StorageCorrupt(f"content is missing: {self._path}") from error
        except OSError as error:
            raise storage_error(error, f"reading {self._path}") from error

    def _read(self, descriptor: int, at_most: int, left: int) -> bytes:
        try:
            chunk = os.read(descriptor, min(at_most, left))
        except OSError as error:
            raise storage_error(error, f"reading {self._path}") from error
        if not chunk:
            raise StorageCorrupt(f"content ends {left} octets early: {self._path}")
        return chunk


def _close(descriptor: int, reading: asyncio.Future[bytes]) -> None:
    os.close(descriptor)
    if not reading.cancelled():
        reading.exception()  # no caller waits for it any more


def complaint_about(path: str, size: int) -> str:
    """The fault of a promised content file, or ""."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return f"content is missing: {path}"
    except OSError as error:
        raise storage_error(error, f"looking at {path}") from error
    if not stat.S_ISREG(found.st_mode):
        return f"content is not a file: {path}"
    if found.st_size != size:
        return f"content has {found.st_size} octets instead of {size}: {path}"
    return ""
