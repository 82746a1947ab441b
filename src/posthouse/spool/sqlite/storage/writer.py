"""Writer thread with group commit.

Operations are created on the event loop and handed to the thread once per turn of the loop.  The thread takes all that
wait, runs them in one transaction, syncs once, and wakes the loop once.  The next group gathers while a commit syncs.

An operation of a daemon that has little to do never waits: it is committed at once, and alone.  After a group that is
about five messages or more, a group of fewer than eight operations waits 1 ms for others.  Many sessions have a
message under way then, and larger groups cost them less than the millisecond: with 20 sessions on two processors, a
message took 11 % less processor time, and 15 % more messages were taken in a second.

*Patient* operations (records of attempts, for which no client waits) go with the next operation that is not patient,
or after 2 ms.  Under load this halves the number of transactions, and no client's commit waits behind a record.

If a group fails, it is rolled back and each operation is run again in a transaction of its own, so that only the
faulty one fails.  ``_until_synced`` has the rule for a group that was committed and could not be synced.

No operation succeeds before its commit has been followed by a look at the place of the files (``place``).  If these
were replaced or removed, or the database is damaged, the writer is *out of order*: this group and all later ones fail,
nothing more is written, and only opening the spool again ends it.

The thread and the loop share the interpreter's lock, and a thread that gave it up may wait 5 ms to get it back while
the loop computes.  The cost of a group is therefore the number of calls into SQLite rather than the work of the
statements, and a group's messages are inserted by one statement with many rows (``batch``).

Over budget: the thread, and each way in which a disk, another process or an operator can fail it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from posthouse.core import StorageBusy, StorageError, StorageUncertain
from posthouse.core._mypyc import mypyc_attr
from posthouse.spool.model import SpoolEvent
from posthouse.spool.sqlite.storage.durability import Durable, NotSynced, damaged, is_damage, storage_error
from posthouse.spool.sqlite.storage.operations import Accept, Op, RecordAttempt
from posthouse.spool.sqlite.storage.place import LOOKS_APART
from posthouse.spool.sqlite.storage.thread_pool import no_threads

__all__ = ["History", "REPLACED", "Writer"]

_DOING = "writing to the spool"
_GROUP = 512  # operations in one transaction, at most
_GROUP_OCTETS = 8 << 20  # and about so much content
_REST = 1.0  # seconds without work before tidying
_SHORT_REST = 0.01  # seconds between two transactions of it
_PATIENT = 0.002  # seconds that a patient operation waits for company
_CROWD = 5  # messages in a group that show many sessions at work
_ENOUGH = 8  # operations in a group that waits for no others
_COMPANY = 0.001  # seconds that a smaller group waits after a crowd
_SYNC_AGAIN = 0.5  # seconds until a disk that did not sync is asked again
#: What happens when the spool's files were replaced or removed, and what to do.
REPLACED = (
    "the spool was replaced or removed while it was in use; nothing is accepted or delivered any more: put it back as"
    " it should be, and start the daemon again"
)
_DEAD = "the thread that writes to the spool has ended"
_RESTART = "nothing is accepted or delivered by this process any more, which ends; report this fault"
_POLL = 0.0005  # seconds between attempts to get the write lock from another process; SQLite's own steps reach 100 ms


class History(Protocol):
    """The writer's view of the history that its transactions write."""

    added: bool
    """The transaction under way has added something."""

    def ended(self, committed: bool) -> None:
        """The transaction under way has ended."""
        ...

    def has_work(self) -> bool:
        """Whether an idle step may find something to remove."""
        ...

    def idle(self, connection: sqlite3.Connection) -> bool:
        """Remove what is old, within a transaction; returns whether more is left."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Writer:
    """The writer thread of a spool.  ``start`` and ``stop`` block; the other methods are called on the loop.

    ``connect`` opens the connection, in the writer's thread, and ``disconnect`` closes it; ``complaint`` says what is
    wrong with the place of the spool's files ("" for nothing), and is asked on the loop after each commit, with True
    if it is asked again soon.  ``run`` runs a group within its transaction; ``at_once`` may give a group that begins
    with a ``fresh`` operation as one statement instead, with its values, which is a transaction then.  ``at_most``
    operations may wait, more are refused with ``StorageBusy``; so is an operation that finds the spool locked by
    another process for ``patience`` seconds.  When there is nothing to write, ``history`` is tidied.  ``events`` are
    those of the transaction under way; ``publish`` gets them, in the thread, once it is committed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[], sqlite3.Connection],
        run: Callable[[sqlite3.Connection, Sequence[Op]], None],
        *,
        durable: Durable,
        history: History,
        events: list[SpoolEvent],
        publish: Callable[[list[SpoolEvent]], None],
        at_most: int,
        patience: float,
        at_once: Callable[[Sequence[Op]], tuple[str, Sequence[Any]] | None] | None = None,
        disconnect: Callable[[sqlite3.Connection, str], None] | None = None,
        complaint: Callable[[bool], str] | None = None,
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._run = run
        self._durable = durable
        self._at_most = at_most
        self._patience = patience
        self._at_once = at_once
        self._disconnect = disconnect
        self._complaint = complaint
        self._history = history
        self._events = events
        self._publish = publish
        self._pending = 0
        self._gathered: list[Op] = []
        self._soon = False  # the gathered operations are handed over at the end of this turn
        self._crowded = False  # the last group was a crowd; the thread's
        self._later = False  # they are handed over when the 2 ms of the first patient one have ended
        self._look_due: asyncio.TimerHandle | None = None  # a look at the place, whether or not more is committed
        self._inbound: queue.SimpleQueue[list[Op] | None] = queue.SimpleQueue()
        self._spool_thread: threading.Thread | None = None
        self._stopping = threading.Event()
        #: Why nothing is written until the spool is opened again, in a sentence; "" while all is well.
        self.out_of_order = ""
        #: Groups committed and operations in them, for measurements.
        self.groups = 0
        self.operations = 0

    def start(self) -> None:
        """Open the connection and begin; raises what opening it raises."""
        opened: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._spool_thread = threading.Thread(target=self._live, args=(opened,), name="posthouse-spool", daemon=True)
        try:
            self._spool_thread.start()
        except RuntimeError as failed:
            self._spool_thread = None
            raise no_threads(failed) from failed
        error = opened.get()
        if error is not None:
            self._spool_thread.join()
            raise error

    def stop(self) -> None:
        """Finish everything that was handed over, close the connection and end.  Not on the loop."""
        self._stopping.set()
        self._inbound.put(None)
        if self._spool_thread is not None:
            self._spool_thread.join()

    def submit(self, op: Op, *, patient: bool = False) -> None:
        """Take an operation, from the loop; its future gets ``StorageBusy`` if too many wait.

        They are run in the order in which they were taken, patient or not.
        """
        if self._pending >= self._at_most:
            self.refuse(op, StorageBusy(f"storage is behind: {self._pending} operations wait"))
            return
        if self.out_of_order:
            self.refuse(op, StorageError(self.out_of_order))
            return
        self._pending += 1
        self._gathered.append(op)
        if self._soon:
            return
        if not patient:
            self._soon = True
            self._loop.call_soon(self.flush)
        elif not self._later:
            self._later = True
            self._loop.call_later(_PATIENT, self._flush_patient)

    def refuse(self, op: Op, error: StorageError) -> None:
        """Settle an operation that never reaches the thread; on the loop."""
        op.error = error
        _decide(op)

    def flush(self) -> None:
        """Hand over what has been gathered."""
        self._soon = False
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._hand_over(gathered)

    def _hand_over(self, ops: list[Op]) -> None:
        self._inbound.put(ops)

    def _flush_patient(self) -> None:
        # The operations that set the timer may have been handed over already; younger ones then go a little early.
        self._later = False
        self.flush()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _live(self, opened: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            opened.put(error)
            return
        opened.put(None)
        del opened
        ops: list[Op] = []
        more = True
        try:
            while more:
                more = self._take(connection, ops)
                for group in _groups(ops):
                    self._settle_group(connection, group)
                    del ops[: len(group)]
        except BaseException as fault:
            self.break_off(f"{_DEAD} ({type(fault).__name__}: {fault}); {_RESTART}", fault)
            try:
                self._close(connection)
            finally:
                self._fail(ops, more)
        else:
            self._close(connection)

    def _fail(self, ops: list[Op], more: bool) -> None:
        """Fail these operations, and with ``more`` all that come until ``stop``: without a thread nobody would settle
        them."""
        taken: list[Op] | None = ops
        while taken is not None:
            for op in taken:
                op.error = op.error or StorageUncertain(self.out_of_order)
            try:
                self._loop.call_soon_threadsafe(self._tell, taken)
            except RuntimeError:  # the loop was closed meanwhile
                return
            taken = self._inbound.get() if more else None

    def _close(self, connection: sqlite3.Connection) -> None:
        if self._disconnect is None:
            connection.close()
        else:
            self._disconnect(connection, self.out_of_order)

    def _take(self, connection: sqlite3.Connection, ops: list[Op]) -> bool:
        """Wait for operations, tidying meanwhile; add all that wait to ``ops``, and return false if no more will
        come."""
        inbound = self._inbound
        rest = _REST
        while True:
            try:
                taken = inbound.get(timeout=rest)
                break
            except queue.Empty:
                rest = _SHORT_REST if self._history.has_work() and self._clean(connection) else _REST
        waits = self._crowded
        while True:
            if taken is None:
                return False
            ops += taken
            try:
                taken = inbound.get_nowait()
            except queue.Empty:
                if not waits or len(ops) >= _ENOUGH:
                    self._crowded = _is_crowd(ops)
                    return True
                waits, taken = False, []
                time.sleep(_COMPANY)

    def _clean(self, connection: sqlite3.Connection) -> bool:
        """One transaction of tidying; a fault is not reported; the step is tried again after a while."""
        if self.out_of_order:
            return False
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                more = self._history.idle(connection)
                self._durable.commit(connection)
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._end(isinstance(error, NotSynced))
                raise
            self._end(True)
        except (sqlite3.Error, OSError):
            return False
        return more

    def _settle_group(self, connection: sqlite3.Connection, group: list[Op]) -> None:
        try:
            if not self.out_of_order:
                self._transact(connection, group)
        except Exception as error:
            self._judge(error)
            if (
                len(group) == 1
                or self.out_of_order
                or isinstance(error, NotSynced)
                or isinstance(storage_error(error, _DOING), StorageBusy)
            ):
                for op in group:
                    op.error = storage_error(error, _DOING)
            else:
                for op in group:
                    self._alone(connection, op)
        self.groups += 1
        self.operations += len(group)
        try:
            self._loop.call_soon_threadsafe(self._tell, group)
        except RuntimeError:  # the loop was closed meanwhile; what is stored is stored
            return

    def _alone(self, connection: sqlite3.Connection, op: Op) -> None:
        try:
            if not self.out_of_order:
                self._transact(connection, [op])
        except Exception as error:
            self._judge(error)
            op.error = storage_error(error, _DOING)

    def _judge(self, error: Exception) -> None:
        """Put the writer out of order if the database is damaged."""
        if is_damage(error):
            self.break_off(damaged(error))

    def break_off(self, sentence: str, fault: BaseException | None = None) -> None:
        """Put the writer out of order; from any thread.  The event loop's exception handler is told once; after a
        ``fault`` of this program's own its context has ``spool_ended``, because another process would not have it."""
        if self.out_of_order:
            return
        self.out_of_order = sentence
        context: dict[str, Any] = {"message": sentence, "spool": self}
        if fault is not None:
            context |= {"exception": fault, "spool_ended": True}
        with contextlib.suppress(RuntimeError):  # a loop that is closed
            self._loop.call_soon_threadsafe(self._loop.call_exception_handler, context)

    def _transact(self, connection: sqlite3.Connection, group: list[Op]) -> None:
        once = self._at_once(group) if self._at_once is not None and group[0].fresh else None
        if once is not None:
            try:
                self._when_free(partial(self._durable.commit, connection, *once))
                self._end(True)
                return
            except NotSynced as unsynced:
                self._end(True)
                self._until_synced(connection, unsynced)
                return
            except sqlite3.IntegrityError:  # one of the messages is not fresh any more
                self._end(False)
            except BaseException:
                self._end(False)
                raise
        self._when_free(partial(connection.execute, "BEGIN IMMEDIATE"))
        try:
            self._run(connection, group)
            self._durable.commit(connection)
        except NotSynced as error:
            self._end(True)
            self._until_synced(connection, error)
            return
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._end(False)
            raise
        self._end(True)

    def _end(self, committed: bool) -> None:
        if self._history.added:
            self._history.ended(committed)
        if self._events:
            events = self._events.copy()
            self._events.clear()
            if committed:
                self._publish(events)

    def _until_synced(self, connection: sqlite3.Connection, error: NotSynced) -> None:
        """Retry the sync of a group that is committed but would not survive a power cut.

        Until a sync succeeds, none of the group's futures is settled, because neither success nor failure would be
        true.  Later operations wait, and are refused once too many do.  If the writer is stopped first, the group's
        operations fail.
        """
        what = "the disk did not sync the spool's log; nothing is accepted until it does"
        with contextlib.suppress(RuntimeError):  # a loop that is closed
            self._loop.call_soon_threadsafe(self._loop.call_exception_handler, {"message": what, "exception": error})
        while not self._stopping.wait(_SYNC_AGAIN):
            try:
                self._durable.sync_log(connection)
                return
            except NotSynced:
                continue
        raise error

    def _when_free(self, act: Callable[[], object]) -> None:
        """Run ``act``, which needs the spool's write lock; another process may hold the lock for a moment."""
        deadline = 0.0
        while True:
            try:
                act()
                return
            except sqlite3.OperationalError as error:
                if not isinstance(storage_error(error, _DOING), StorageBusy):
                    raise
                now = time.monotonic()
                deadline = deadline or now + self._patience
                if now >= deadline:
                    raise
            time.sleep(_POLL)

    # -- back on the loop ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Put the writer out of order if the spool's files are not in their place; on the loop."""
        if self._look_due is not None:
            self._look_due.cancel()
            self._look_due = None
        self._look(False)

    def _look(self, more_follows: bool) -> None:
        if self._complaint is None or self.out_of_order:
            return
        if complaint := self._complaint(more_follows):
            self.break_off(f"{complaint}; {REPLACED}")

    def _looks_later(self) -> bool:
        """See to it that a look follows, whether or not more is committed; False if the writer is about to end."""
        if self._stopping.is_set():
            return False
        if self._look_due is None and self._complaint is not None:
            self._look_due = self._loop.call_later(LOOKS_APART, self.look)
        return True

    def _tell(self, group: list[Op]) -> None:
        self._pending -= len(group)
        self._look(self._looks_later())
        for op in group:
            if op.check is not None and op.error is None and not self.out_of_order and (complaint := op.check()):
                self.break_off(f"{complaint}; {REPLACED}")
            if self.out_of_order and op.error is None:
                op.error = StorageUncertain(self.out_of_order)
            _decide(op)


def _decide(op: Op) -> None:
    """Settle the future of an operation, if it is still awaited."""
    if op.finished is not None:
        op.finished(op.error is None)
    if op.refused is not None and op.error is not None:
        op.refused()
    future = op.future
    if future.done():
        return
    if op.error is None:
        future.set_result(op.result)
    else:
        future.set_exception(op.error)


def _is_crowd(ops: list[Op]) -> bool:
    """Whether operations are about many messages: the outcomes of one message to many domains are no crowd."""
    if len(ops) < _CROWD:
        return False
    messages = {op.work.message.id for op in ops if isinstance(op, RecordAttempt)}
    return len(messages) + sum(isinstance(op, Accept) for op in ops) >= _CROWD


def _groups(ops: list[Op]) -> list[list[Op]]:
    """The operations in groups of bounded size."""
    groups: list[list[Op]] = []
    group: list[Op] = []
    octets = 0
    for op in ops:
        if group and (len(group) >= _GROUP or octets + op.octets > _GROUP_OCTETS):
            groups.append(group)
            group, octets = [], 0
        group.append(op)
        octets += op.octets
    if group:
        groups.append(group)
    return groups
