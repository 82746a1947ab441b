"""The data directory: made, judged, and locked by the one daemon that runs on it.

A daemon holds an exclusive ``flock`` on ``data_dir/daemon.lock`` from its start to its end; the file has its process
id.  It holds one on the directory itself too, because a file can be removed as if it were stale, and on the directory
where the spool really is, if ``spool`` is a symbolic link.  With several workers it is the parent that holds them.  The
kernel drops a lock when the process ends, however it ends, so a lock that is left behind does not exist.  A process
that was forked from the holder (a worker, or a process of a user's Python handler) closes its copies at once: it must
not keep the directory after the daemon has gone.

Commands that change the spool beside a daemon, or without one, do not take this lock: many processes may share a spool
by lease (``layout.ProcessSlot``).  What the lock excludes is a second daemon, with another configuration.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import weakref

from posthouse.core import SettingError
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["DataDirLock", "LOCK_FILE", "holder_of", "make_data_dir", "refuse_open_to_all"]

LOCK_FILE = "daemon.lock"
_SPOOL = "spool"
_TRIES = 10  # openings of the lock's file, which somebody else may remove meanwhile


def make_data_dir(path: str, durable: Durable) -> None:
    """Make the data directory and the directories above it that are missing, durably.

    Raises ``OSError``, and ``SettingError`` if every user may write into it.
    """
    missing = []
    at = path
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    for each in reversed(missing):
        durable.make_directory(each)
    for each in dict.fromkeys(os.path.dirname(each) for each in missing):
        durable.sync_directory(each)
    refuse_open_to_all(path)


def refuse_open_to_all(path: str) -> None:
    """Raise ``SettingError`` if every user may put files into a directory, and so replace those of the spool."""
    mode = os.stat(path).st_mode
    if mode & stat.S_IWOTH:
        raise SettingError(
            f"every user may write into this directory (mode {stat.S_IMODE(mode):04o})",
            where=path,
            remedy="take that right away (chmod o-w), or set data_dir to a directory of the daemon's own",
        )


class DataDirLock:
    """The lock of one daemon on its data directory, which is made if it is missing.

    Raises ``SettingError`` if another daemon has it, or if the directory cannot be used.
    """

    def __init__(self, data_dir: str, *, durable: Durable | None = None) -> None:
        self._data_dir = os.path.abspath(data_dir)
        self._path = os.path.join(self._data_dir, LOCK_FILE)
        self._directories: list[int] = []
        self._descriptor: int | None = None
        try:
            make_data_dir(self._data_dir, Durable() if durable is None else durable)
            self._take_directories()
            self._descriptor = self._take()
        except SettingError:
            self.close_copy()
            raise
        except OSError as error:
            self.close_copy()
            raise SettingError(
                f"the data directory cannot be used: {error.strerror or error}",
                where=self._data_dir,
                remedy="set data_dir to a directory on a local disk that this user may write",
            ) from error
        _HELD.add(self)

    def _take_directories(self) -> None:
        spool = os.path.realpath(os.path.join(self._data_dir, _SPOOL))
        for path in dict.fromkeys((os.path.realpath(self._data_dir), os.path.dirname(spool))):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._directories.append(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._in_use(_written_in(path)) from error

    def _in_use(self, holder: bytes) -> SettingError:
        process = holder.strip().decode("ascii", "replace") or "unknown"
        return SettingError(
            f"{self._data_dir} is in use by the daemon with process {process}",
            remedy="stop it or choose another data_dir",
        )

    def _take(self) -> int:
        for _ in range(_TRIES):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                leave_to_owner(self._path, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0)
                os.close(descriptor)
                raise self._in_use(holder) from error
            except BaseException:
                os.close(descriptor)
                raise
            if self._leads_to(descriptor):
                with contextlib.suppress(OSError):  # the number is for people; a full disk is no reason not to run
                    os.ftruncate(descriptor, os.pwrite(descriptor, b"%d\n" % os.getpid(), 0))
                return descriptor
            os.close(descriptor)  # the file was removed before it was locked
        raise OSError(None, f"{LOCK_FILE} is removed again and again")

    def _leads_to(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    @property
    def in_place(self) -> bool:
        """Whether the lock's path still leads to the file that is locked: false if the directory was replaced."""
        return self._descriptor is not None and self._leads_to(self._descriptor)

    def release(self) -> None:
        """Let another daemon start here, also if a process that was forked has a copy of the lock still."""
        if self._descriptor is not None:
            for descriptor in (self._descriptor, *self._directories):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            self.close_copy()

    def close_copy(self) -> None:
        """Close the copy of a forked process, by which the holder loses nothing."""
        descriptors, self._directories = self._directories, []
        if self._descriptor is not None:
            descriptors.append(self._descriptor)
            self._descriptor = None
        for descriptor in descriptors:
            os.close(descriptor)


def holder_of(data_dir: str) -> str:
    """The process id of the daemon that has the lock, "" if none has, or if the system does not tell.

    The lock itself is not tried: a daemon that starts in that moment would be refused.
    """
    try:
        inode = os.stat(os.path.join(data_dir, LOCK_FILE)).st_ino
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            held = any(f":{inode} " in line and " FLOCK " in line for line in file)
    except OSError:
        return ""
    return _written_in(data_dir).strip().decode("ascii", "replace") if held else ""


def _written_in(directory: str) -> bytes:
    """The process id that the daemon's lock file has, b"" where the file was removed."""
    try:
        with open(os.path.join(directory, LOCK_FILE), "rb") as file:
            return file.read(32)
    except OSError:
        return b""


_HELD: weakref.WeakSet[DataDirLock] = weakref.WeakSet()


def _close_copies() -> None:
    for lock in tuple(_HELD):
        lock.close_copy()


os.register_at_fork(after_in_child=_close_copies)
