"""Spool on SQLite, which many processes of one machine may share.

This module puts the parts together and gives them the contract's names.  Each part explains its own strategy:
``storage.schema`` (tables), ``storage.writer`` (group commit), ``batch``, ``leases`` and ``settle`` (SQL),
``storage.content_files`` (large content), ``storage.layout`` (directories, process slots), ``recovery`` (after a
crash), ``queries`` (listings), ``storage.durability`` (every act that must survive).

Over budget: the methods of the contract, most of them a few lines that hand over to a part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random as random_module
import sqlite3
import time as time_module
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import Executor
from functools import partial
from math import inf
from typing import Any, Self, TypeVar

from posthouse.core import AttemptTrace, Bytes, Content, LocalError, StorageCorrupt
from posthouse.core._mypyc import mypyc_attr
from posthouse.spool.certain_time import CertainTime
from posthouse.spool.filters import Condition, text_of_conditions
from posthouse.spool.ids import QueueIds, made_at, number_of, text_of
from posthouse.spool.interface import Compose
from posthouse.spool.model import (
    ChangedRecipient,
    DueDestination,
    DuePage,
    FormerPlace,
    Lease,
    QueueAction,
    RecipientState,
    Renewal,
    Report,
    Settlement,
    SpoolEvent,
    StoredMessage,
)
from posthouse.spool.probe_limit import MOST_NAMES, ProbeLimit
from posthouse.spool.sqlite.actions import ActionBatch, ActionRequest, apply, composed, youngest
from posthouse.spool.sqlite.batch import run
from posthouse.spool.sqlite.fast_path import at_once, make_operation
from posthouse.spool.sqlite.history_store import HistoryWriter
from posthouse.spool.sqlite.inbox import discard, keep, note
from posthouse.spool.sqlite.incoming import ContentCache, IncomingHost, SqliteIncoming, new_message
from posthouse.spool.sqlite.indexing.mailbox_index import SqliteMailIndex
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.liveness import FlockLiveness
from posthouse.spool.sqlite.ownership import adopt
from posthouse.spool.sqlite.put_back import PutBack, put_back
from posthouse.spool.sqlite.queries.reader import Reader, SqliteQueries
from posthouse.spool.sqlite.recovery import (
    check_database,
    disconnect,
    greatest_id,
    in_transaction,
    open_database,
    recover,
)
from posthouse.spool.sqlite.settle import Settler
from posthouse.spool.sqlite.storage.content_files import ContentWriters, store_file
from posthouse.spool.sqlite.storage.disk_room import DiskRoom
from posthouse.spool.sqlite.storage.durability import Durable, storage_error
from posthouse.spool.sqlite.storage.event_feed import EventFeed
from posthouse.spool.sqlite.storage.layout import Layout, ProcessSlot, prepare
from posthouse.spool.sqlite.storage.operations import Call, NewMessage, RecordAttempt
from posthouse.spool.sqlite.storage.place import OpenPlace
from posthouse.spool.sqlite.storage.threads import InlineThreads, PrivateDirectory, Threads, Unsynced
from posthouse.spool.sqlite.storage.writer import Writer

__all__ = ["SqliteSpool"]

T = TypeVar("T")

_THRESHOLD = 64 << 10  # octets of content that lie in the row at most
_FILE_THREADS = 4
_BATCH = 500  # recipients that one transaction of an operator's act changes
_PULL_IN = 60.0  # seconds between two searches for mail that is due too late
_REPORTED = 100  # where reports are made about them
_PAGE = 10_000  # recipients that one search for them gives
_FINAL = (RecipientState.DELIVERED, RecipientState.FAILED)


@mypyc_attr(allow_interpreted_subclasses=True)
class SqliteSpool:
    """A ``Spool`` in ``data_dir/spool``; between ``open`` and ``close`` it belongs to the event loop that opened it.

    ``kind``           whose mail it holds: "catcher" or "relay"; "" opens either and marks nothing (``ownership``)
    ``min_free``       octets that must stay free on the disk; content that would take them raises ``StorageFull``
    ``horizon``        seconds from now within which every retry is due; one that is later counts as due, because the
                       calendar was set back
    ``threshold``      octets of content that lie in the message's row at most; larger content has a file
    ``keep_finished``  seconds for which a finished message can still be looked at; 0 erases it at once
    ``history``        seconds, from its arrival, for which a finished message's history is kept; 0: none is written
    ``history_rows``, ``history_octets`` what the history may fill, approximately; the oldest finished ones go first
    ``waiting``        operations that may wait for the writer; more raise ``StorageBusy``
    ``patience``       seconds to wait for another process's transaction before ``StorageBusy``
    ``durable``        the acts that must survive; tests hand in one that fails
    ``threads``        where blocking work runs
    ``random``, ``time`` where ids come from; ``time`` gives calendar seconds, ``stopwatch`` those that never jump
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        kind: str = "",
        min_free: int = 0,
        horizon: float = inf,
        threshold: int = _THRESHOLD,
        keep_finished: float = 0.0,
        history: float = 604_800.0,
        history_rows: int = 5_000_000,
        history_octets: int = 4 << 30,
        waiting: int = 10_000,
        patience: float = 10.0,
        durable: Durable | None = None,
        threads: Threads | None = None,
        random: random_module.Random | None = None,
        time: Callable[[], float] = time_module.time,
        stopwatch: Callable[[], float] = time_module.monotonic,
    ) -> None:
        self._kind = kind
        self._min_free = min_free
        self._horizon = horizon
        self._pull_in_at = -inf  # when to search for such mail, by the stopwatch
        self._threshold = threshold
        self._layout = Layout(os.path.join(os.path.abspath(data_dir), "spool"))
        self._keep_finished = keep_finished
        self._waiting = waiting
        self._patience = patience
        self._durable = Durable() if durable is None else durable
        self._threads = Threads() if threads is None else threads
        self._private: PrivateDirectory | None = None
        self._random = random_module.Random() if random is None else random  # ids are unique without it, and no secret
        self._time = time
        self._stopwatch = stopwatch
        self._read_only = False
        self._place = OpenPlace(self._layout)
        self._closed = False
        self._owner: ProcessSlot | None = None
        self._files: Executor | None = None
        self._make_history_writer = partial(
            HistoryWriter, history=history, rows=history_rows, octets=history_octets, time=time
        )
        self._cache = ContentCache()
        self._reader = Reader(self._layout, self._threads)
        self.queries = SqliteQueries(self._reader)
        self.index = SqliteMailIndex(self._layout.mail_index, self.queries, self._threads)
        self.loop: asyncio.AbstractEventLoop
        self.writer: Writer
        self._feed: EventFeed
        self._flight: ContentWriters
        self._ids: QueueIds
        self._history_writer: HistoryWriter
        self._leases: LeaseTable
        self._settler: Settler
        self.incoming: IncomingHost

    @classmethod
    def ephemeral(cls, **options: Any) -> Self:
        """A spool in a private temporary directory (in RAM where the system has shared memory) that does not sync, has
        no threads, is opened once and is removed when it is closed.  It takes the constructor's ``options``."""
        directory = PrivateDirectory()
        spool = cls(directory.path, **{"durable": Unsynced(), "threads": InlineThreads(), **options})
        spool._private = directory
        return spool

    @classmethod
    def read_only(cls, data_dir: str | os.PathLike[str]) -> SqliteSpool:
        """Another process's spool, running or stopped, to look at: only what reads may be used; it changes nothing."""
        queue = cls(data_dir)
        queue._read_only = True
        return queue

    # -- life ------------------------------------------------------------------------------------------------------

    async def open(self, now: float) -> Sequence[str]:
        """Open the spool.  Raises ``SettingError`` if the directory cannot be used or a newer version wrote it, and
        ``StorageError`` if it cannot be opened otherwise; then nothing stays open or locked."""
        self.loop = asyncio.get_running_loop()
        if self._private is not None and not self._private.exists:
            raise LocalError("an ephemeral spool is opened once; make another")
        said: list[str] = []
        if not self._read_only:
            starting = self.loop.run_in_executor(self._threads.blocking, self._start, now)
            cancelled: asyncio.CancelledError | None = None
            try:
                said = await asyncio.shield(starting)
            except asyncio.CancelledError as gone:
                cancelled = gone
            if cancelled is not None:
                await asyncio.wait([starting])  # the thread goes on, and what it opens is closed
                await self.close()
                raise cancelled
        try:
            await self._reader.open(damaged=None if self._read_only else self.writer.break_off)
            return said
        except BaseException as error:
            fault = error
        await self.close()
        raise fault

    def _start(self, now: float) -> list[str]:
        prepare(self._layout, self._durable)
        owner = ProcessSlot(self._layout.owners)
        try:
            said = self._start_as(owner, now)
        except (OSError, sqlite3.Error) as error:
            owner.leave()
            self._place.close()
            raise storage_error(error, "opening the spool") from error
        except BaseException:
            owner.leave()
            self._place.close()
            raise
        self._owner = owner
        return said

    def _start_as(self, owner: ProcessSlot, now: float) -> list[str]:
        said: list[str] = []
        history_writer = self._history_writer = self._make_history_writer()
        root = self._layout.root
        if os.path.islink(root):
            said.append(f"{root} is a symbolic link; mail is kept in {os.path.realpath(root)}")

        def connect() -> sqlite3.Connection:
            connection = open_database(self._layout, self._durable, self._kind)
            try:
                if not owner.has_company():
                    check_database(connection, self._layout)
                said.extend(recover(connection, self._layout, owner, self._leases, self._settler, self._durable, now))
                adoption = partial(adopt, kind=self._kind, leases=self._leases, now=now)
                said.extend(in_transaction(connection, self._durable, adoption))
                self._place.open()
                greatest = greatest_id(connection)
                self._ids = QueueIds(owner.slot, random=self._random, time=self._time, after=greatest)
                newest = made_at(greatest) if greatest else inf
                history_writer.certain_time = CertainTime(newest, self._time, self._stopwatch)
                make_operation(connection, history_writer.writes)
                connection.execute("PRAGMA busy_timeout = 0")  # from here on the writer waits in its own way
            except BaseException:
                connection.close()
                raise
            return connection

        peers = FlockLiveness(owner, time=self._time, stopwatch=self._stopwatch)
        self._leases = LeaseTable(owner.slot, time=self._time, history_writer=history_writer, peers=peers)
        self._settler = Settler(self._leases, keep_finished=self._keep_finished, time=self._time, unlink=self._unlink)
        self._files = self._threads.pool(_FILE_THREADS, "posthouse-files")
        self._threads.start(self._files)
        self._feed = EventFeed(self.loop)
        room = DiskRoom(self._layout.tmp, self._min_free, self._stopwatch)
        self._flight = ContentWriters(self.loop, self._files, self._durable, self._layout, room)
        self.writer = self._threads.writer(
            self.loop,
            connect,
            partial(run, recording=self._settler, history_writer=history_writer),
            at_once=partial(at_once, history_writer=history_writer),
            durable=self._durable,
            at_most=self._waiting,
            patience=self._patience,
            history=history_writer,
            events=self._leases.deaths.events,
            publish=self._feed.tell,
            disconnect=disconnect,
            complaint=self._place.complaint if self._private is None else None,
        )
        self.incoming = IncomingHost(
            owner.slot, self.loop, self.writer, self._flight, self._cache, self._unlink, threshold=self._threshold
        )
        self.writer.start()
        return said

    async def close(self) -> None:
        """Close the spool; messages still arriving are aborted.  A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        owner, self._owner = self._owner, None
        if owner is not None:
            await self._flight.land()
            self.writer.flush()
            self.writer.look()
        await self.index.close()
        await self._reader.close()  # before the writer, whose connection is the last one then and removes the log
        if owner is not None:
            await self.loop.run_in_executor(self._threads.blocking, self.writer.stop)
            assert self._files is not None
            await self.loop.run_in_executor(self._threads.blocking, self._files.shutdown)
            self._feed.close()
            self._place.close()
            owner.leave()
        self._threads.blocking.shutdown(wait=False)
        if self._private is not None:
            self._private.remove()

    async def __aenter__(self) -> Self:
        """Open the spool, at the present time of its clock."""
        await self.open(self._time())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _call(self, function: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        self._must_write()
        future: asyncio.Future[T] = self.loop.create_future()
        self.writer.submit(Call(future, function))
        return future

    def _must_write(self) -> None:
        if self._owner is None:
            raise LocalError("this spool is not open for writing")

    # -- inward ----------------------------------------------------------------------------------------------------

    def receive(self, announced: int = 0) -> SqliteIncoming:
        self._must_write()
        return SqliteIncoming(self.incoming, self._ids.next(), announced)

    def _unlink(self, numbers: Sequence[int]) -> None:
        """Remove content files that nothing promises, in the background."""
        assert self._files is not None
        if self.writer.out_of_order:
            return  # these paths may lead to another spool's files
        for number in numbers:
            # No caller waits for an error, or learns that the spool is closed; the next start sweeps.
            with contextlib.suppress(RuntimeError):
                self._files.submit(self._durable.unlink, self._layout.content_of(number))

    # -- work ------------------------------------------------------------------------------------------------------

    async def lease(
        self,
        owner: str,
        now: float,
        until: float,
        *,
        limit: int,
        due_before: float | None = None,
        wanted: Collection[str] | None = None,
        probe: ProbeLimit | None = None,
    ) -> list[Lease]:
        if len(wanted or ()) + len(() if probe is None else probe.destinations) > MOST_NAMES:
            raise LocalError(f"a lease may name {MOST_NAMES} destinations at most")
        due_at = now if due_before is None else due_before
        return await self._call(
            lambda connection: self._leases.lease(connection, owner, now, until, limit, due_at, wanted, probe)
        )

    async def due(self, now: float, *, limit: int = 1000, after: DueDestination | None = None) -> DuePage:
        page, latest = await self._reader.due(limit, after)
        if self._owner is None:
            return page
        if latest > now + self._horizon and after is None and self._stopwatch() >= self._pull_in_at:
            self._pull_in_at = self._stopwatch() + _PULL_IN
            names: Sequence[str] = await self._call(partial(self._leases.too_late, latest=now + self._horizon))
            while names:
                pull_in = partial(self._leases.pull_in, names=names, now=now, horizon=self._horizon)
                names = await self._call(pull_in)
            page, _ = await self._reader.due(limit, after)
        peers = self._leases.peers
        if after is None and (self._stopwatch() >= peers.next_look or (page.again is not None and page.again <= now)):
            await self._call(partial(self._leases.sweep, now=now))
            page, _ = await self._reader.due(limit, after)
        if peers.interval is None:
            return page
        look = now + peers.interval
        return page._replace(again=look if page.again is None else min(page.again, look))

    def accepting(self) -> bool:
        return not self.writer.out_of_order

    def out_of_order(self) -> str:
        return self.writer.out_of_order

    def holds(self, lease: Lease) -> bool:
        return True

    def events(self) -> AsyncIterator[SpoolEvent]:
        self._must_write()
        return self._feed.listen()

    def record(
        self,
        work: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        *,
        trace: AttemptTrace | None = None,
    ) -> asyncio.Future[None]:
        self._must_write()
        count = len(settlements)
        remembered = self._cache.part(work.message.id, count, len(work.message.envelope.recipients))
        number = number_of(work.message.id) if remembered is None else remembered[0]
        if number is None:
            raise LocalError(f"{work.message.id!r} is no queue id of this spool")
        fresh = (
            remembered is not None
            and not reports
            and self._keep_finished <= 0
            and count == len(work.recipients)
            and (settlements[0].state in _FINAL if count == 1 else all(each.state in _FINAL for each in settlements))
        )
        future: asyncio.Future[None] = self.loop.create_future()
        op = RecordAttempt(
            future,
            number,
            work,
            settlements,
            [_new_report(self._ids, report) for report in reports] if reports else (),
            fresh,
            at=self._time(),
            trace=trace,
            arrival=None if remembered is None else remembered[2],
        )
        self.writer.submit(op, patient=True)
        return future

    def renew(self, leases: Sequence[Lease], until: float) -> Renewal:
        self._must_write()
        table = self._leases
        token = next(table.tokens)
        renewed = tuple([lease._replace(until=until, token=token) for lease in leases])
        return Renewal(renewed, self._call(lambda connection: table.renew(connection, leases, until, token)))

    async def release(self, work: Lease) -> None:
        self._must_write()
        leases = self._leases
        self._cache.pop(work.message.id)
        await self._call(lambda connection: leases.release(connection, work))

    def content_now(self, message: StoredMessage) -> Bytes | None:
        remembered = self._cache.messages.get(message.id)
        if remembered is not None:
            return remembered[1]
        return self._reader.content_in_row(_number_of(message))

    async def open_content(self, message: StoredMessage) -> Content:
        content = self.content_now(message)
        if content is not None:
            return content
        number = _number_of(message)
        try:
            return await self._reader.content_in_file(number, message.size)
        except StorageCorrupt as error:
            if self._owner is not None:
                leases, reason = self._leases, str(error)
                marked = self._call(lambda connection: leases.mark_corrupt(connection, number, reason))
                marked.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    # -- what operators do -----------------------------------------------------------------------------------------

    async def act(
        self,
        act: QueueAction,
        conditions: Sequence[Condition],
        *,
        now: float,
        who: str = "",
        target: str = "",
        report: Compose | None = None,
        among: Sequence[tuple[str, int]] | None = None,
        undoes: QueueAction | None = None,
        on_change: Callable[[Sequence[ChangedRecipient]], object] | None = None,
    ) -> int:
        self._must_write()
        held_only = among is not None and act is QueueAction.DROP
        request = ActionRequest(act, now, who, target, text_of_conditions(conditions), held_only, undoes)
        compose = report if act is QueueAction.DROP else None
        size = _BATCH if compose is None else _REPORTED
        last = await self._call(youngest)
        after: tuple[str, int] | None = None
        count, number = 0, None
        while True:
            if among is None:
                rows = await self.queries.select(conditions, now=now, limit=_PAGE, after=after)
                page = [(row.id, row.key) for row in rows]
            else:
                page, among = list(among[:_PAGE]), among[_PAGE:]
            chosen = [(found, key) for name, key in page if (found := number_of(name)) is not None and found <= last]
            for start in range(0, max(1, len(chosen)), size):
                some, first = chosen[start : start + size], True
                while some or first:
                    batch = ActionBatch(some, number)
                    if compose is not None:
                        made = partial(_new_report, self._ids)
                        batch = await composed(request, batch, compose, self._reader.entry, made)
                    done = await self._call(partial(apply, request, batch, self._leases, self._settler))
                    self._unlink(done.files)
                    count, number = count + len(done.changed), done.audit
                    if on_change is not None and done.changed:
                        on_change(done.changed)
                    some, first = done.stale, False
            if len(chosen) < _PAGE:
                return count
            after = page[-1]

    async def put_back(
        self,
        act: QueueAction,
        recipients: Sequence[FormerPlace],
        conditions: Sequence[Condition],
        *,
        since: float,
        now: float,
        who: str = "",
        target: str = "",
    ) -> int:
        self._must_write()
        request = PutBack(act, since, target, now, who, text_of_conditions(conditions))
        count, audit = 0, None
        for start in range(0, max(1, len(recipients)), _BATCH):
            some = recipients[start : start + _BATCH]
            changed, audit = await self._call(partial(put_back, request, some, audit, self._leases))
            count += changed
        return count

    async def tidy(self) -> None:
        """Remove, now, the histories that need not be kept longer; the writer does so when it is idle."""
        self._must_write()
        while await self._call(self._history_writer.idle):
            pass

    # -- mailboxes -------------------------------------------------------------------------------------------------

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        self._must_write()
        size = content.size
        if size <= self._threshold:
            await self._call(partial(keep, inbox, message, size, None, b"".join(content.chunks())))
            return
        number = self._ids.next()
        job = partial(store_file, self._durable, self._layout, number, content.chunks())
        room = self._flight.room
        room.check_announced(size)
        room.announced += size
        try:
            await self.loop.run_in_executor(self._files, job)
        except OSError as error:
            raise storage_error(error, "writing content") from error
        finally:
            room.announced -= size
        future: asyncio.Future[bool] = self.loop.create_future()
        op = Call(future, partial(keep, inbox, message, size, number, None))
        op.check = partial(self._flight.complaint, number, size)

        def finished(success: bool) -> None:
            if not (success and op.result):
                self._unlink([number])

        op.finished = finished
        self.writer.submit(op)
        await future

    async def discard(self, numbers: Collection[int], *, now: float, who: str = "", audited: bool = True) -> int:
        count, files = await self._call(partial(discard, tuple(numbers), now, who, audited))
        self._unlink(files)
        return count

    async def note(self, act: str, filter: str, count: int, *, now: float, who: str = "") -> None:  # noqa: A002
        await self._call(partial(note, act, filter, count, now, who))


def _number_of(message: StoredMessage) -> int:
    number = number_of(message.id)
    if number is None:
        raise StorageCorrupt(f"{message.id!r} is no queue id of this spool")
    return number


def _new_report(ids: QueueIds, report: Report) -> NewMessage:
    number = ids.next()
    message = StoredMessage(text_of(number), report.envelope, report.due, len(report.content), "report")
    return new_message(number, message, report.destinations, report.due, report.content, lease=None)
