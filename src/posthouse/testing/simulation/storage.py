"""Spools for simulated houses: what was committed survives a death, the rest does not.

``MemoryStore`` is the queue in memory, slowed down: every durable act happens at some moment after it was asked for,
in the order of asking, and is told some moment later; a house that dies between the two has done it and does not know.
``SqliteStore`` is the real spool with its writer run on the loop, in the same manner: a group is gathered, committed at
one moment, and told.  No thread is started, not even for what nobody waits for: a content file that a busy machine's
thread removed a little later, behind the start that sweeps, once made two days of one seed.

Neither syncs anything: what dies here is the house, not the machine the simulation runs on
(``tests/spool/test_crash.py`` drops un-synced writes).

Both are one object for the whole life of a house's disk: a new incarnation of the house opens it again.  Houses that
share a spool have one each.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

from posthouse.core import Content, Envelope, LocalError, StorageError
from posthouse.net import Clock
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import IncomingMessage, Lease, MessageEntry, Report, Settlement, Stored, StoredMessage
from posthouse.spool.memory import MemorySpool
from posthouse.spool.probe_limit import ProbeLimit
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.writer import Op, Writer

__all__ = ["Disk", "MemoryStore", "SqliteStore"]

T = TypeVar("T")

_MOST = 1_000_000  # messages that anybody looks at
_SHARED_MEMORY = "/dev/shm"


class Disk(Protocol):
    """How a disk behaves: seconds that an act takes, and what goes wrong with it."""

    def pause(self) -> float:
        """Seconds until the next act, or its answer."""
        ...

    def trouble(self) -> StorageError | None:
        """What the next act meets, if anything."""
        ...


class MemoryStore(MemorySpool):
    """A ``MemorySpool`` that takes its time, and forgets on a death what it had not done yet."""

    def __init__(self, disk: Disk, clock: Clock, random: Random) -> None:
        super().__init__(capacity=1 << 40, random=random, time=clock.time)
        self._disk = disk
        self._last = 0.0  # when the last act will have been done
        self._told = 0.0

    def crashed(self) -> None:
        """Its house has died; what was under way died with it."""
        self._living.discard(self.slot)

    def remove(self) -> None:
        """The world ends."""

    async def look(self) -> list[tuple[MessageEntry, bytes]]:
        """Unfinished messages with their content, whether a house has it open or not."""
        entries = await self.entries(limit=_MOST)
        return [(entry, b"".join(self.content(entry.message).chunks())) for entry in entries]

    def _later(self, act: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Do it after what was asked for before, then tell."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._last = max(loop.time(), self._last) + self._disk.pause()

        def do() -> None:
            trouble = self._disk.trouble()
            result: T | None = None
            try:
                if trouble is None:
                    result = _at_once(act())
            except StorageError as error:
                trouble = error
            self._told = max(loop.time(), self._told) + self._disk.pause()
            loop.call_at(self._told, tell, result, trouble)

        def tell(result: Any, trouble: StorageError | None) -> None:
            if future.done():
                return
            if trouble is None:
                future.set_result(result)
            else:
                future.set_exception(trouble)
                future.exception()  # a house that dies in this very moment never fetches it

        loop.call_at(self._last, do)
        return future

    def receive(self) -> Any:
        """See ``Queue.receive``."""
        return _Receipt(self, super().receive())

    def later(self, act: Callable[[], Awaitable[Stored]]) -> asyncio.Future[Stored]:
        """For receipts."""
        return self._later(act)

    async def lease(
        self,
        owner: str,
        now: float,
        until: float,
        *,
        limit: int,
        skip: Collection[str] = (),
        few: ProbeLimit | None = None,
    ) -> list[Lease]:
        """See ``Queue.lease``."""
        ask = super().lease
        return await self._later(lambda: ask(owner, now, until, limit=limit, skip=skip, few=few))

    def record(
        self, work: Lease, settlements: Sequence[Settlement], reports: Sequence[Report] = (), *rest: Any, **more: Any
    ) -> Awaitable[None]:
        """See ``Queue.record``."""
        ask = super().record
        return self._later(lambda: ask(work, settlements, reports, *rest, **more))

    async def renew(self, works: Sequence[Lease], until: float) -> None:
        """See ``Queue.renew``."""
        ask = super().renew
        await self._later(lambda: ask(works, until))

    async def release(self, work: Lease) -> None:
        """See ``Queue.release``."""
        ask = super().release
        await self._later(lambda: ask(work))

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        """See ``Queue.keep``."""
        ask = super().keep
        await self._later(lambda: ask(inbox, message, content))


class SqliteStore:
    """The real spool of one house, in a temporary directory; ``shares`` names a store whose directory it is in."""

    directory: tempfile.TemporaryDirectory[str]

    def __init__(self, disk: Disk, clock: Clock, random: Random, *, shares: SqliteStore | None = None) -> None:
        if shares is None:
            place = _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else None
            self.directory = tempfile.TemporaryDirectory(prefix="simulated-", dir=place, ignore_cleanup_errors=True)
        else:
            self.directory = shares.directory
        self._disk = disk
        self._clock = clock
        self._random = random
        self._open: _Inline | None = None

    def __getattr__(self, name: str) -> Any:
        if self._open is None:
            raise LocalError("this spool is not open")
        return getattr(self._open, name)

    async def open(self, now: float) -> Sequence[str]:
        """See ``Queue.open``."""
        durable, time, watch = _Unsynced(self._disk), self._clock.time, self._clock.monotonic
        self._open = _Inline(self.directory.name, durable=durable, random=self._random, time=time, stopwatch=watch)
        return await self._open.open(now)

    async def close(self) -> None:
        """See ``Queue.close``."""
        if self._open is not None:
            closing, self._open = self._open, None
            await closing.close()

    def crashed(self) -> None:
        """Its house has died: no file stays open, nothing is finished."""
        if self._open is not None:
            self._open.drop()
            self._open = None

    def remove(self) -> None:
        """The world ends."""
        self.crashed()
        self.directory.cleanup()

    async def look(self) -> list[tuple[MessageEntry, bytes]]:
        """Unfinished messages with their content, whether a house has it open or not."""
        if not os.path.isdir(os.path.join(self.directory.name, "spool")):
            return []
        queue = SqliteSpool.read_only(self.directory.name)
        await queue.open(self._clock.time())
        try:
            entries = await queue.entries(limit=_MOST)
            return [(entry, b"".join(queue.content(entry.message).chunks())) for entry in entries]
        finally:
            await queue.close()


class _InlineWriter(Writer):
    """Commits its groups on the loop, one moment after they were gathered."""

    _connection: sqlite3.Connection

    def start(self) -> None:
        """See ``Writer.start``."""
        self._connection = self._connect()
        self._ready: list[Op] = []

    def stop(self) -> None:
        """See ``Writer.stop``."""
        self._write()
        self._connection.close()

    def _hand_over(self, ops: list[Op]) -> None:
        self._ready += ops
        pause = self._durable.pause() if isinstance(self._durable, _Unsynced) else 0.0
        self._loop.call_later(pause, self._write)

    def _write(self) -> None:
        group, self._ready = self._ready, []
        if group:
            self._settle_group(self._connection, group)

    def drop(self) -> None:
        """The end, without a word."""
        self._connection.close()


class _NoThreads(Executor):
    """What threads would do behind everybody's back is done on the loop, after a moment; never, if the house dies."""

    def __init__(self) -> None:
        self._left: dict[int, Callable[[], object]] | None = {}  # by number
        self._number = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """See ``Executor.submit``."""
        if self._left is None:
            raise RuntimeError("it has been shut down")
        future: Future[T] = Future()
        self._number += 1
        self._left[self._number] = partial(_into, future, partial(fn, *args, **kwargs))
        asyncio.get_running_loop().run_in_executor(None, self._do, self._number)
        return future

    def _do(self, number: int) -> None:
        job = None if self._left is None else self._left.pop(number, None)
        if job is not None:
            job()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``Executor.shutdown``: what is left is done."""
        left, self._left = self._left, None
        for job in (left or {}).values():
            job()


def _into(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)


class _Inline(SqliteSpool):
    """The spool without threads."""

    writer_kind = _InlineWriter

    def file_threads(self, most: int) -> Executor:
        """See ``SqliteSpool.file_threads``."""
        return _NoThreads()

    def drop(self) -> None:
        """What the system does for a process that has died: close its files."""
        owner, self._owner = self._owner, None
        if owner is not None:
            assert isinstance(self.writer, _InlineWriter)
            self.writer.drop()
            self._reader._close()
            owner.leave()


class _Unsynced(Durable):
    """Acts without syncs, on a disk that may fail."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.pause = disk.pause

    def sync(self, descriptor: int) -> None:
        """See ``Durable.sync``."""
        self._trouble()

    def sync_directory(self, path: str) -> None:
        """See ``Durable.sync_directory``."""

    def commit(self, connection: sqlite3.Connection, sql: str = "COMMIT", values: Sequence[object] = ()) -> None:
        """See ``Durable.commit``."""
        self._trouble()
        super().commit(connection, sql, values)

    def sync_log(self, connection: sqlite3.Connection) -> None:
        """See ``Durable.sync_log``."""

    def _trouble(self) -> None:
        if self._disk.trouble() is not None:
            raise OSError(errno.EIO, "the simulated disk failed")


class _Receipt:
    """A receipt whose commit takes its time."""

    def __init__(self, store: MemoryStore, inner: IncomingMessage) -> None:
        self._store = store
        self._inner = inner
        self.id = inner.id

    @property
    def size(self) -> int:
        """See ``IncomingMessage.size``."""
        return self._inner.size

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """See ``IncomingMessage.write``."""
        return self._inner.write(chunk)

    def commit(self, envelope: Envelope, destinations: Sequence[str], **rest: Any) -> Awaitable[Stored]:
        """See ``IncomingMessage.commit``."""
        return self._store.later(lambda: self._inner.commit(envelope, destinations, **rest))

    def abort(self) -> None:
        """See ``IncomingMessage.abort``."""
        self._inner.abort()


def _at_once(awaitable: Awaitable[T]) -> T:
    """The result of something that does not really wait."""
    if isinstance(awaitable, asyncio.Future):
        return awaitable.result()  # type: ignore[no-any-return]
    assert isinstance(awaitable, Coroutine)
    try:
        awaitable.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    awaitable.close()
    raise LocalError("the memory queue waited for something")
