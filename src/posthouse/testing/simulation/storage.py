"""The spool of a simulated node: what was committed survives a crash, the rest does not.

``SimulatedSpool`` is the SQLite spool with its writer on the event loop: a group of operations is gathered, committed
at one moment of virtual time, and answered.  No thread is started, not even for what no caller waits for: a content
file that a thread removed a little later on a busy machine once made two different days of one seed.

Nothing is synced: a node crashes here, not the machine that the simulation runs on (``tests/spool/test_crash.py`` drops
writes that were not synced).

A ``SimulatedSpool`` lives as long as its node's disk: each incarnation of the node opens it again.  Nodes that share a
spool have one each.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from math import inf
from random import Random
from typing import Any, Protocol, TypeVar

from posthouse.core import LocalError, SettingError, StorageError
from posthouse.net import Clock
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import MessageEntry
from posthouse.spool.sqlite.storage.data_dir import DataDirLock
from posthouse.spool.sqlite.storage.durability import keep_open
from posthouse.spool.sqlite.storage.operations import Op
from posthouse.spool.sqlite.storage.threads import InlineWriter, PrivateDirectory, Threads, Unsynced
from posthouse.spool.sqlite.storage.writer import Writer
from posthouse.testing.queue_listing import unfinished

__all__ = ["DiskFaults", "SimulatedSpool"]

T = TypeVar("T")


class DiskFaults(Protocol):
    """How a disk behaves: the seconds that an operation takes, and what goes wrong with it."""

    def pause(self) -> float:
        """Seconds until the next operation is done, or answered."""
        ...

    def error(self) -> StorageError | None:
        """The error that the next operation meets, or None."""
        ...


class SimulatedSpool:
    """The spool of one node, in a temporary directory.

    ``shares`` names a spool whose directory it is in, as another worker's; ``beside`` one whose directory it is in
    although it belongs to another daemon.  ``kind`` and ``horizon`` are those of ``SqliteSpool``.
    """

    def __init__(
        self,
        disk: DiskFaults,
        clock: Clock,
        random: Random,
        *,
        shares: SimulatedSpool | None = None,
        beside: SimulatedSpool | None = None,
        kind: str = "",
        horizon: float = inf,
    ) -> None:
        other = beside if shares is None else shares
        self.directory: PrivateDirectory = PrivateDirectory() if other is None else other.directory
        self._locks = shares is None
        self._lock: DataDirLock | None = None
        self._kind = kind
        self._horizon = horizon
        self._copies = 0
        self._disk = disk
        self._clock = clock
        self._random = random
        self._open: _OpenSpool | None = None
        self._ended = ""  # why the last one that was closed was out of order
        self._intruders: list[str] = [] if other is None else other._intruders  # under way, in this directory
        #: True if the last ``open`` found the directory taken by an intruder that was still to be refused.
        self.found_intruder = False

    def __getattr__(self, name: str) -> Any:
        if self._open is None:
            raise LocalError("this spool is not open")
        return getattr(self._open, name)

    async def open(self, now: float) -> Sequence[str]:
        if self._locks:
            self.found_intruder = bool(self._intruders)
            self._lock = DataDirLock(self.directory.path, durable=Unsynced())
            self.found_intruder = False
        self._open = _OpenSpool(
            self.directory.path,
            kind=self._kind,
            horizon=self._horizon,
            durable=_FaultyDisk(self._disk),
            threads=_VirtualThreads(),
            random=self._random,
            time=self._clock.time,
            stopwatch=self._clock.monotonic,
        )
        try:
            return await self._open.open(now)
        except BaseException as error:
            fault = error
        self._unlock()
        raise fault

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def close(self) -> None:
        if self._open is not None:
            closing, self._open = self._open, None
            await closing.close()
            self._ended = closing.out_of_order()
        self._unlock()

    def out_of_order(self) -> str:
        return self._ended

    def crashed(self) -> None:
        """The node has crashed: no file stays open, nothing that was under way is finished."""
        if self._open is not None:
            self._open.drop()
            self._open = None
        self._unlock()

    def restored(self) -> None:
        """An operator moves the spool's directory away and puts a copy of it in its place."""
        spool = os.path.join(self.directory.path, "spool")
        if os.path.isdir(spool):
            self._copies += 1
            os.rename(spool, f"{spool}.{self._copies}")
            shutil.copytree(f"{spool}.{self._copies}", spool)

    async def intruded(self, kind: str) -> str:
        """Another daemon of that kind is started on the directory, and stopped; returns why it could not be, or ""."""
        other = SimulatedSpool(self._disk, self._clock, self._random, beside=self, kind=kind)
        self._intruders.append(kind)
        try:
            await other.open(self._clock.time())
            await other.close()
        except (SettingError, StorageError) as error:
            return str(error)
        finally:
            self._intruders.remove(kind)
        return ""

    def remove(self) -> None:
        """Remove the disk, at the end of the world."""
        self.crashed()
        self.directory.remove()

    async def look(self) -> list[tuple[MessageEntry, bytes]]:
        """The unfinished messages with their content, whether a node has the spool open or not."""
        if not os.path.isdir(os.path.join(self.directory.path, "spool")):
            return []
        spool = _Look(self.directory.path, threads=_VirtualThreads())
        await spool.open(self._clock.time())
        try:
            entries = await unfinished(spool)
            return [(entry, b"".join((await spool.open_content(entry.message)).chunks())) for entry in entries]
        finally:
            await spool.close()


class _SlowWriter(InlineWriter):
    """Commits its groups on the loop, a moment after they were gathered."""

    def start(self) -> None:
        super().start()
        self._ready: list[Op] = []

    def stop(self) -> None:
        self._write()
        super().stop()

    def submit(self, op: Op, *, patient: bool = False) -> None:
        Writer.submit(self, op, patient=patient)

    def _hand_over(self, ops: list[Op]) -> None:
        self._ready += ops
        pause = self._durable.pause() if isinstance(self._durable, _FaultyDisk) else 0.0
        self._loop.call_later(pause, self._write)

    def _write(self) -> None:
        group, self._ready = self._ready, []
        if group:
            self._settle_group(self._connection, group)

    def drop(self) -> None:
        """Close the connection; what waits is never written, and nothing is looked at any more."""
        if self._look_due is not None:
            self._look_due.cancel()
        self._connection.close()


class _LaterExecutor(Executor):
    """An executor that runs each call on the loop after a moment; never, if the node crashes before."""

    def __init__(self) -> None:
        self._left: dict[int, Callable[[], object]] | None = {}  # by number
        self._number = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        if self._left is None:
            raise RuntimeError("the executor has been shut down")
        future: Future[T] = Future()
        self._number += 1
        self._left[self._number] = partial(_into, future, partial(fn, *args, **kwargs))
        asyncio.get_running_loop().run_in_executor(None, self._do, self._number)
        return future

    def _do(self, number: int) -> None:
        call = None if self._left is None else self._left.pop(number, None)
        if call is not None:
            call()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Run what is left."""
        left, self._left = self._left, None
        for call in (left or {}).values():
            call()


def _into(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)


class _VirtualThreads(Threads):
    """No threads: the work of each is done on the virtual loop, a moment later."""

    writer = _SlowWriter

    def pool(self, size: int, name: str) -> Executor:
        return _LaterExecutor()


class _OpenSpool(SqliteSpool):
    """A spool that one incarnation of a node has open."""

    def drop(self) -> None:
        """Close the files of a process that has crashed, as the operating system does."""
        owner, self._owner = self._owner, None
        if owner is not None:
            assert isinstance(self.writer, _SlowWriter)
            if self.writer.out_of_order or self._place.complaint():
                keep_open(self.writer._connection)
            else:
                self.writer.drop()
            self._reader._close()
            self._place.close()
            owner.leave()


class _Look(SqliteSpool):
    """A spool to look at, without a thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read_only = True


class _FaultyDisk(Unsynced):
    """A disk that may fail where the spool would sync."""

    def __init__(self, disk: DiskFaults) -> None:
        super().__init__()
        self._disk = disk
        self.pause = disk.pause

    def sync(self, descriptor: int) -> None:
        self._fail()

    def commit(self, connection: sqlite3.Connection, sql: str = "COMMIT", values: Sequence[object] = ()) -> None:
        self._fail()
        super().commit(connection, sql, values)

    def _fail(self) -> None:
        if self._disk.error() is not None:
            raise OSError(errno.EIO, "the simulated disk failed")
