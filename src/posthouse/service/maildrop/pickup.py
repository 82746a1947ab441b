"""Pickup: the daemon's side of the maildrop.  Takes what programs have left, by name as they tell it, and by looking.

**Once.**  A file is removed after its message has been stored.  A crash in between leaves a file whose message is in
the spool: at its start, the pickup compares each file with the youngest messages of the history, by Message-ID and drop
id, and removes what was taken.  (Without a history a crash may make a duplicate.)  A key outlives its file: a small
file in ``data_dir`` has the queue id that a key led to, for 7 days.

**Who may write.**  A maildrop that other users may write into must have the sticky bit, or they could remove each
other's mail; without it none is taken.  Files that no program of ours has written are given another name and logged.

One process of a daemon runs the pickup, and holds a lock on the directory: two daemons that were given one maildrop
would take a message twice.  At most 8 files are taken at one time, and the directory is looked at every
60 s, because a program may have been unable to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Awaitable, Callable
from typing import Final

from posthouse.core import EventSink, StorageError
from posthouse.net.clock import Clock
from posthouse.service.maildrop.drop_file import DropFile
from posthouse.service.maildrop.form import ARRIVING, DROP_ID, TERMS, Malformed
from posthouse.service.maildrop.local_intake import Taken
from posthouse.service.maildrop.maildrop import Terms, own_directory, socket_path
from posthouse.service.process import forks
from posthouse.spool.history import Accepted
from posthouse.spool.interface import SpoolQueries

__all__ = ["KEYS", "Pickup"]

#: The directory of keys in ``data_dir``.
KEYS: Final = "maildrop.keys"
_AT_ONCE: Final = 8
_LOOK: Final = 60.0  # seconds between two looks at the directory
_LOCK: Final = "pickup.lock"
_LATER: Final = 10.0  # seconds until the next try for what could not be stored
_CONNECTIONS: Final = 200
_PATIENCE: Final = 30.0  # seconds for a program to say a name
_ABANDONED: Final = 86_400.0  # seconds after which a file that was never completed is removed
_KEPT: Final = 7 * 86_400.0  # seconds for which a key is remembered
_MOST_NAMES: Final = 100_000  # files that one look finds
_YOUNGEST: Final = 1_000  # messages of the history that files are compared with at the start


class Pickup:
    """The pickup of one daemon.

    Args:
        path: The maildrop, which is made for the daemon's user alone if it is missing.
        keys: The directory of keys.
        accept: Judges and stores the message of an open file.
        queries: The spool's, for what was taken before a crash.
        log: For what an operator should know.
    """

    def __init__(
        self,
        path: str,
        keys: str,
        accept: Callable[[DropFile, str], Awaitable[Taken]],
        *,
        queries: SpoolQueries,
        clock: Clock,
        log: EventSink,
    ) -> None:
        self.path = path
        self._keys = keys
        self._accept = accept
        self._queries = queries
        self._clock = clock
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._taking: dict[str, asyncio.Task[str]] = {}
        self._stuck: set[str] = set()  # taken, and cannot be removed
        self._recent: dict[str, str] = {}  # taken: drop id → queue id, for programs that tell of a file that was found
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._looker: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._complained = ""
        self._lock: int | None = None
        self._terms = Terms()
        self._descriptors: set[int] = set()

    async def open(self, terms: Terms) -> None:
        """Make the directory, listen, and take what is there.  A failure is logged, and tried again every 60 s; the
        daemon works without.  A second call tells programs what has changed of the daemon."""
        self._terms = terms
        if self._looker is not None:
            await self._tell_changes()
            return
        begun = await self._begin()
        self._looker = asyncio.ensure_future(self._run(begun))

    async def _begin(self) -> bool:
        try:
            await asyncio.to_thread(self._prepare)
            await self._listen()
        except OSError as error:
            self._complain(f"{self.path} cannot be used: {error.strerror or error}")
            return False
        return True

    async def close(self) -> None:
        """Stop listening, and finish the files under way."""
        if self._server is not None:
            forks.private.difference_update(self._descriptors)
            self._server.close()
            with contextlib.suppress(OSError), socket_path(self.path) as path:
                os.unlink(path)
        if self._looker is not None:
            self._looker.cancel()
        if self._taking:
            await asyncio.wait(self._taking.values(), timeout=_LATER)
        ending: list[asyncio.Task[None] | asyncio.Task[str]] = [*self._taking.values(), *self._connections]
        ending += [self._looker] if self._looker is not None else []
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._lock is not None:
            forks.private.discard(self._lock)
            os.close(self._lock)
            self._lock = None

    async def _tell_changes(self) -> None:
        if self._lock is not None:
            try:
                await asyncio.to_thread(self._tell)
            except OSError as error:
                self._complain(f"{self.path} cannot be written: {error.strerror or error}")

    def _tell(self) -> None:
        """Write what programs should know of the daemon.  Raises ``OSError``."""
        mode = 0o644 if self._is_shared() else 0o600
        facts = {"hostname": self._terms.hostname, "max_message_size": self._terms.max_message_size}
        new = os.path.join(self.path, f".{TERMS}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)
            os.write(descriptor, json.dumps(facts).encode() + b"\n")
        finally:
            os.close(descriptor)
        os.replace(new, os.path.join(self.path, TERMS))

    # -- the directory -----------------------------------------------------------------------------------------------

    def _is_shared(self) -> bool:
        """Whether other users may use the directory, and so what is in it."""
        return os.stat(self.path).st_mode & 0o077 != 0

    def _prepare(self) -> None:
        own_directory(self.path)
        own_directory(self._keys)
        place = os.stat(self.path)
        if place.st_uid not in (os.geteuid(), 0):
            raise OSError(errno.EPERM, "it belongs to another user than the daemon's; give it to that one (chown)")
        if place.st_mode & 0o022 and not place.st_mode & stat.S_ISVTX:
            raise OSError(errno.EPERM, "others may remove files in it; set the sticky bit (mode 3733)")
        self._take_lock()
        self._tell()
        self._sweep()

    def _take_lock(self) -> None:
        """Hold the lock on the directory, which the kernel drops with the process."""
        if self._lock is not None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(self.path, _LOCK), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise OSError(errno.EBUSY, "another daemon takes from it; give each its own maildrop") from error
        self._lock = descriptor
        forks.private.add(descriptor)  # a child that an operator's code forks must not hold it

    def _sweep(self) -> None:
        """Remove files that were never completed, and keys that are too old."""
        now = self._clock.time()
        for directory, age in ((self.path, _ABANDONED), (self._keys, _KEPT)):
            with os.scandir(directory) as entries:
                for entry in entries:
                    if directory == self.path and not entry.name.startswith(ARRIVING):
                        continue
                    with contextlib.suppress(OSError):
                        if entry.stat(follow_symlinks=False).st_mtime < now - age:
                            os.unlink(entry.path)

    def _names(self) -> list[str]:
        """The complete files, the oldest first."""
        found: list[tuple[float, str]] = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if DROP_ID.fullmatch(entry.name) and entry.name not in self._stuck:
                    with contextlib.suppress(OSError):
                        found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
                if len(found) >= _MOST_NAMES:
                    break
        return [name for _, name in sorted(found)]

    async def _run(self, begun: bool) -> None:
        while not begun:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._wake.wait()
            self._wake.clear()
            begun = await self._begin()
        with contextlib.suppress(StorageError):
            await self._forget_what_was_taken()
        swept = self._clock.monotonic()
        while True:
            try:
                names = await asyncio.to_thread(self._names)
                for name in names:
                    while len(self._taking) >= _AT_ONCE * 2:
                        await asyncio.wait(self._taking.values(), return_when=asyncio.FIRST_COMPLETED)
                    self._take(name)
                if self._clock.monotonic() - swept > _ABANDONED / 24:
                    swept = self._clock.monotonic()
                    await asyncio.to_thread(self._sweep)
            except OSError as error:
                self._complain(f"{self.path} cannot be read: {error.strerror or error}")
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._wake.wait()

    async def _forget_what_was_taken(self) -> None:
        """Remove files whose message was stored before a crash."""
        names = await asyncio.to_thread(self._names)
        if not names:
            return
        youngest: dict[str, list[str]] = {}
        for each in await self._queries.find(limit=_YOUNGEST):
            youngest.setdefault(each.message_id, []).append(each.id)
        for name in names[:_YOUNGEST]:
            try:
                message_id = await asyncio.to_thread(self._message_id, name)
            except (OSError, Malformed):
                continue
            for queue_id in youngest.get(message_id, ()) if message_id else ():
                events = await self._queries.history(queue_id)
                if events and isinstance(events[0], Accepted) and events[0].source.endswith(f" {name}"):
                    await asyncio.to_thread(self._end, name, queue_id)
                    break

    def _message_id(self, name: str) -> str:
        file = DropFile(os.path.join(self.path, name))
        file.close()
        return file.dropped.message_id

    # -- one file ----------------------------------------------------------------------------------------------------

    def _take(self, name: str) -> asyncio.Task[str]:
        """Take a file, or join those who wait for it; the queue id, or ""."""
        task = self._taking.get(name)
        if task is None:
            task = self._taking[name] = asyncio.ensure_future(self._taken(name))
            task.add_done_callback(lambda _: self._taking.pop(name, None))
        return task

    async def _taken(self, name: str) -> str:
        async with self._slots:
            try:
                return await self._take_now(name)
            except FileNotFoundError:
                return self._recent.get(name, "")  # it has been taken meanwhile
            except Malformed as error:
                await asyncio.to_thread(self._put_aside, name, str(error))
            except (OSError, StorageError) as error:
                self._retry(name, str(error))
            except Exception as error:
                self._stuck.add(name)  # the next start tries again
                self._log("fault", reason=f"maildrop {name}: {type(error).__name__}: {error}", error=error)
            return ""

    async def _take_now(self, name: str) -> str:
        queue_id = await asyncio.to_thread(self._remembered, name)
        if not queue_id:
            file = await asyncio.to_thread(DropFile, os.path.join(self.path, name))
            try:
                accepted = await self._accept(file, name)
            finally:
                file.close()
            if accepted.later:
                self._retry(name, accepted.later)
                return ""
            queue_id = accepted.queue_id
        try:
            await asyncio.to_thread(self._end, name, queue_id)
        except OSError as error:
            self._stuck.add(name)
            self._complain(f"{self.path}: {name} is stored and cannot be removed: {error.strerror or error}")
        self._complained = ""
        self._recent[name] = queue_id
        if len(self._recent) > _YOUNGEST:
            del self._recent[next(iter(self._recent))]
        return queue_id

    def _retry(self, name: str, reason: str) -> None:
        self._complain(f"{self.path}: {name} cannot be taken now, and stays: {reason}")
        self._clock.call_later(_LATER, self._wake.set)

    def _complain(self, reason: str) -> None:
        """Log a fault, the same one once until a file has been taken again."""
        kind = reason.rpartition(": ")[2]
        if kind != self._complained:
            self._complained = kind
            self._log("maildrop", reason=reason)

    def _end(self, name: str, queue_id: str) -> None:
        """Remember the key of a file whose message is stored, and remove the file."""
        if name.startswith("k") and queue_id:
            path = os.path.join(self._keys, name)
            descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, queue_id.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(f"{path}.new", path)
            _sync_directory(self._keys)
        os.unlink(os.path.join(self.path, name))

    def _remembered(self, name: str) -> str:
        """The queue id that a key led to before, "" if it is new."""
        if not name.startswith("k"):
            return ""
        try:
            path = os.path.join(self._keys, name)
            if os.stat(path).st_mtime < self._clock.time() - _KEPT:
                return ""
            with open(path, encoding="ascii") as file:
                return file.read(64)
        except FileNotFoundError:
            return ""

    def _put_aside(self, name: str, reason: str) -> None:
        """Rename a file that cannot be a message, so that it is looked at no more."""
        path = os.path.join(self.path, name)
        with contextlib.suppress(OSError):
            owner = os.lstat(path).st_uid
            os.rename(path, os.path.join(self.path, f"bad.{name}"))
            text = f"{path} of userid {owner} is no message of Posthouse ({reason}); it is bad.{name} now"
            self._log("maildrop", reason=text)
            return
        self._stuck.add(name)

    # -- who tells ---------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        with socket_path(self.path) as path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # of a daemon before this one, which holds the lock on data_dir
            self._server = await asyncio.start_unix_server(self._connected, path=path, limit=256)
            os.chmod(path, 0o666 if self._is_shared() else 0o600)
            self._descriptors = {each.fileno() for each in self._server.sockets}
            forks.private.update(self._descriptors)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS:
            self._wake.set()
            writer.close()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            name = line.strip().decode("ascii", "replace")
            if DROP_ID.fullmatch(name) and name not in self._stuck:
                queue_id = await asyncio.shield(self._take(name))
                writer.write(json.dumps({"id": queue_id}).encode() + b"\n")
                async with asyncio.timeout(_PATIENCE):
                    await writer.drain()
        except (TimeoutError, OSError, ValueError, asyncio.CancelledError):
            pass  # the program has gone, or the daemon ends: the file is taken, or stays
        finally:
            self._connections.discard(task)
            writer.close()


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
