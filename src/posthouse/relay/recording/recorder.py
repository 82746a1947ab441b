"""The recorder: has the outcomes of an attempt recorded durably, while the next attempts go on.

Each attempt is one transaction; ``recording.settlement`` says what it contains.  A record needs no task: the future
that the spool returns is enough.  If the spool cannot take a record now, it is offered again until the process ends,
after pauses of 1, 2, 4 … 64 seconds.  Meanwhile the lease may end and the same mail may be leased again.  The
recipients of a record that is still to be made are not attempted again (``pending_keys``), as that would duplicate the
message.

A report that the sender is owed is written first and stored in the same transaction.  If it cannot be written, failed
recipients are HELD instead, so that an operator sees them.

**One report for one instant.**  Outcomes of one message that come together share a report: those of several leases in
one attempt, and those of mailboxes here (Maildirs, inboxes), whose attempts are waited for, 1 s at most.  The first of
these records is stored with the report, and the others after it.  A crash in between makes the others be attempted, and
reported, once more; no report is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

from posthouse.core import AttemptTrace, Bytes, EventSink, Outcome, Result, StorageCorrupt, StorageError
from posthouse.message import OriginalMessage
from posthouse.net import Clock
from posthouse.relay.recording.dsn import DsnWriter, Ends, original_of
from posthouse.relay.recording.retry import ScheduleFor
from posthouse.relay.recording.settlement import settle
from posthouse.relay.recording.steady_clock import SteadyClock
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Report, Settlement, Spool, StoredMessage
from posthouse.spool.model import runs_of_equal_results

__all__ = ["Recorder"]

_DELIVERED: Final = Result.DELIVERED
_SETTLED: Final = RecipientState.DELIVERED
_WAITING: Final = RecipientState.WAITING
_LONGEST_PAUSE = 64.0  # seconds between two tries
_LONGEST_GATHERING = 1.0  # seconds that a report waits for outcomes of other mailboxes here
_TRIES = 7  # of a record that is refused for a local fault, which waiting does not mend


class _Record(NamedTuple):
    """What ``Spool.record`` is given; ``others`` share the report, and are recorded when this one is stored."""

    lease: Lease
    settlements: Sequence[Settlement]
    reports: Sequence[Report]
    trace: AttemptTrace | None
    others: Sequence[_Record] = ()


class _Owed:
    """Outcomes of one message that a report is being written about."""

    __slots__ = ("changed", "parts")

    def __init__(self) -> None:
        self.parts: list[tuple[Lease, Ends, AttemptTrace | None]] = []
        self.changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Pending:
    """A record that the spool has refused so far."""

    __slots__ = ("record",)

    def __init__(self, record: _Record) -> None:
        self.record = record


class Recorder:
    """The recorder of one worker; ``under_way`` holds the records and errands that have not ended yet.

    ``dsn_writer`` writes reports; without one, what failed is HELD.  ``moved`` is called when something ended,
    ``falls_due`` with the time at which a recipient is to be tried again, ``reported`` when reports wait in the spool.
    ``active`` are the attempts under way.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        schedule_for: ScheduleFor,
        random: Random,
        log: EventSink | None,
        dsn_writer: DsnWriter | None,
        moved: Callable[[], None],
        falls_due: Callable[[float], None],
        reported: Callable[[], None],
        active: Collection[Attempt],
    ) -> None:
        self.under_way: set[asyncio.Future[None]] = set()
        self._spool = spool
        self._clock = clock
        self._schedule_for = schedule_for
        self._random = random
        self._steady = SteadyClock(clock)
        self._log = log
        self._moved = moved
        self._falls_due = falls_due
        self._dsn_writer = dsn_writer
        self._reported = reported
        self._active = active
        self._owed: dict[str, _Owed] = {}  # by message
        self._pending: dict[tuple[str, int], _Pending] = {}  # records refused so far, by message and recipient

    def pending_keys(self, lease: Lease) -> set[int]:
        """The recipients of a new lease whose outcome is still to be recorded: it will be under this lease."""
        if not self._pending:
            return set()
        keys = set()
        for waiting in lease.recipients:
            pending = self._pending.get((lease.message.id, waiting.key))
            if pending is not None:
                keys.add(waiting.key)
                record = pending.record
                renewed = record.lease._replace(owner=lease.owner, until=lease.until, token=lease.token)
                pending.record = record._replace(lease=renewed)
        return keys

    def record(
        self, lease: Lease, ends: Sequence[tuple[QueuedRecipient, Outcome]], trace: AttemptTrace | None = None
    ) -> None:
        """Begin to record the outcomes of some or all recipients of ``lease``; the others stay leased.  ``trace`` goes
        into the message's history."""
        now = self._clock.time()
        if len(ends) < len(lease.recipients):
            lease = lease._replace(recipients=tuple(waiting for waiting, _ in ends))
        message = lease.message
        if self._owed and message.id in self._owed:
            _note(self._owed[message.id])
        if len(ends) == 1 and ends[0][1].result is _DELIVERED and self._dsn_writer is not None:
            # Most mail: one recipient, delivered at the first attempt, and no report of success was asked for.
            ((waiting, outcome),) = ends
            settlement = Settlement(waiting.key, _SETTLED, now, outcome)
            if not self._dsn_writer.owes(message, ((waiting, settlement),)):
                self._record(_Record(lease, (settlement,), (), trace))
                return
        settlements = settle(message, ends, self._schedule_for, now, self._random, self._steady)
        recorded = [(waiting, settlement) for (waiting, _), settlement in zip(ends, settlements, strict=True)]
        if self._dsn_writer is None:
            self._record(_Record(lease, _all_held(settlements), (), trace))
        elif self._dsn_writer.owes(lease.message, recorded):
            self._gather(self._dsn_writer, (lease, recorded, trace))
        else:
            self._record(_Record(lease, settlements, (), trace))

    def _record(self, record: _Record) -> None:
        lease, settlements, reports, trace, _ = record
        future = asyncio.ensure_future(self._spool.record(lease, settlements, reports, trace=trace))
        self.under_way.add(future)
        future.add_done_callback(partial(self._recorded, record))
        if self._log is not None:
            tls = trace.connections[-1].tls if trace is not None and trace.connections else ""
            for run in [settlements] if len(settlements) == 1 else runs_of_equal_results(settlements):
                _log_settlements(self._log, lease, run, tls)
            for report in reports:
                to = ", ".join(str(recipient.address) for recipient in report.envelope.recipients)
                self._log("report", id=lease.message.id, to=to)

    def _gather(self, dsn_writer: DsnWriter, part: tuple[Lease, Ends, AttemptTrace | None]) -> None:
        """Add outcomes to the report that is being written about their message, or begin one."""
        message = part[0].message
        owed = self._owed.get(message.id)
        if owed is None:
            self._owed[message.id] = owed = _Owed()
            self.errand(self._report(dsn_writer, message, owed))
        owed.parts.append(part)

    async def _report(self, dsn_writer: DsnWriter, message: StoredMessage, owed: _Owed) -> None:
        """Write the reports that the sender is owed, and record them with the settlements."""
        await self._all_gathered(message, owed)
        now = self._clock.time()
        reports: Sequence[Report] = ()
        written = True
        try:
            original = await self._original(message)
            ends = [end for _, part, _ in owed.parts for end in part]
            patience = max(self._schedule_for(message, waiting).patience for waiting, _ in ends)
            reports = dsn_writer.reports(original, ends, now=now, until=message.received + patience)
        except Exception as error:
            self.fault(f"no report about {message.id} could be written; what failed is held", error)
            written = False
        self._owed.pop(message.id, None)
        records = []
        for lease, part, trace in owed.parts:
            settlements = [settlement for _, settlement in part]
            records.append(_Record(lease, settlements if written else _all_held(settlements), (), trace))
        self._record(records[0]._replace(reports=reports, others=records[1:]))

    async def _all_gathered(self, message: StoredMessage, owed: _Owed) -> None:
        """Return when no attempt of this message at a mailbox here is under way any more, or after a second."""
        pause: asyncio.Future[None] | None = None
        while self._delivers_here(message.id):
            if pause is None:
                pause = asyncio.ensure_future(self._clock.sleep(_LONGEST_GATHERING))
            await asyncio.wait({owed.changed, pause}, return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                return
            owed.changed = asyncio.get_running_loop().create_future()
            await asyncio.sleep(0)  # the attempt that has changed something ends in this turn
        if pause is not None:
            pause.cancel()

    def _delivers_here(self, message_id: str) -> bool:
        """Whether an attempt under way brings this message to a mailbox here, or to a deliverer without sites."""
        return any(
            not attempt.route.deliverer.sited and attempt.leases[0].message.id == message_id for attempt in self._active
        )

    def errand(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the attempts."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.under_way.add(task)
        task.add_done_callback(self._returned)

    def fault(self, what: str, error: BaseException) -> None:
        """Log a local fault or one of the storage; ``error`` is in the event, so that its traceback can be printed."""
        if self._log is not None:
            self._log("fault", reason=f"{what}: {type(error).__name__}: {error}", error=error)

    async def _original(self, message: StoredMessage) -> OriginalMessage:
        try:
            content = await self._spool.open_content(message)
            if isinstance(content, Bytes):
                return original_of(message, content)
            return await asyncio.to_thread(original_of, message, content)  # it may read a disk
        except StorageCorrupt:
            return original_of(message, None)

    def _recorded(self, record: _Record, future: asyncio.Future[None]) -> None:
        self.under_way.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self.fault(f"the outcome of {record.lease.message.id} could not be recorded; trying again", error)
            self.errand(self._again(record))
        else:
            self._stored(record)
        self._moved()

    def _stored(self, record: _Record) -> None:
        """Name the times at which mail is due by this record.  Not before it is stored: a worker that looked at such a
        time would not find the mail while its lease stands."""
        for settlement in record.settlements:
            if settlement.state is _WAITING:
                self._falls_due(settlement.due)
        if record.reports:
            self._reported()
        for other in record.others:
            self._record(other)

    async def _again(self, refused: _Record) -> None:
        """Offer a record until the spool takes it."""
        pending = _Pending(refused)
        keys = [(refused.lease.message.id, waiting.key) for waiting in refused.lease.recipients]
        self._pending |= dict.fromkeys(keys, pending)
        try:
            tried, pause = 0, 1.0
            while True:
                await self._clock.sleep(pause)
                tried, pause = tried + 1, min(2 * pause, _LONGEST_PAUSE)
                lease, settlements, reports, trace, _ = pending.record
                try:
                    await self._spool.record(lease, settlements, reports, trace=trace)
                    break
                except StorageError:
                    continue
                except Exception as error:
                    if tried >= _TRIES:
                        what = f"the outcome of {lease.message.id} cannot be recorded; it will be attempted again"
                        self.fault(what, error)
                        return
            self._stored(pending.record)
        finally:
            for key in keys:
                self._pending.pop(key, None)

    def _returned(self, task: asyncio.Future[None]) -> None:
        self.under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault("an errand of the worker failed", error)
        self._moved()


def _note(owed: _Owed) -> None:
    """Wake the report that waits for outcomes of its message."""
    if not owed.changed.done():
        owed.changed.set_result(None)


def _all_held(settlements: Sequence[Settlement]) -> list[Settlement]:
    """These settlements, with HELD instead of FAILED, and without warnings, because no report tells of them."""
    return [
        each._replace(state=RecipientState.HELD if each.state is RecipientState.FAILED else each.state, warned=False)
        for each in settlements
    ]


def _log_settlements(log: EventSink, lease: Lease, settlements: Sequence[Settlement], tls: str) -> None:
    """Log settlements that are alike: one event for each recipient."""
    _, state, due, (_, result, reply, reason, peer, *_), why, _ = settlements[0]
    event = "held" if state is RecipientState.HELD else result.value
    said: dict[str, object] = {
        "destination": lease.destination,
        "peer": peer,
        "reply": "" if reply is None else str(reply),
        "reason": reason,
    }
    if tls:
        said["tls"] = tls
    if state is _WAITING:
        said |= {"again": due, "why": why}
    if len(settlements) == 1:
        log(event, id=lease.message.id, recipient=str(settlements[0].outcome.recipient.address), **said)
    else:
        recipients = [str(settlement.outcome.recipient.address) for settlement in settlements]
        log.each(event, "recipient", recipients, id=lease.message.id, recipient=None, **said)
