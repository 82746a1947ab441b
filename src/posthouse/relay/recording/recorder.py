"""Recording what became of an attempt, durably and without hurry.

One transaction for each attempt (``recording.settlement`` says what goes into it).  On the hot path it costs no task:
the queue's own
future is all there is.  If the spool cannot take the record now, it is offered again for as long as the process lives,
after pauses of 1, 2, 4 … 64 seconds.  Meanwhile the lease may expire and be taken again: the recipients of a record
that is still to be made are not attempted again (``pending_keys``), as that would duplicate the message.

Where the sender is owed a report, it is written first and stored in the same transaction.  If it cannot be written,
failed recipients are HELD instead: nobody is forgotten unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

from posthouse.core import AttemptTrace, Bytes, EventSink, Outcome, Result, StorageCorrupt, StorageError
from posthouse.message import OriginalMessage
from posthouse.net import Clock
from posthouse.relay.recording.dsn import DsnWriter, Ends, original_of
from posthouse.relay.recording.retry import ScheduleFor
from posthouse.relay.recording.settlement import settle
from posthouse.spool.alike import alike
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Report, Settlement, Spool, StoredMessage

__all__ = ["Recorder"]

_DELIVERED: Final = Result.DELIVERED
_SETTLED: Final = RecipientState.DELIVERED
_WAITING: Final = RecipientState.WAITING
_LONGEST_PAUSE = 64.0  # seconds between two tries
_TRIES = 7  # of a record that is refused for a fault of ours, which no time mends


class _Record(NamedTuple):
    """What ``Spool.record`` is given."""

    work: Lease
    settlements: Sequence[Settlement]
    reports: Sequence[Report]
    trace: AttemptTrace | None


class _Pending:
    """A record that the spool has refused so far."""

    __slots__ = ("record",)

    def __init__(self, record: _Record) -> None:
        self.record = record


class Recorder:
    """Records for one worker; ``under_way`` is what has not ended yet, errands of the worker included.

    ``bouncer`` writes reports; without one, what failed is HELD.  ``moved`` is called when something ended,
    ``falls_due`` with the time at which a recipient is to be tried again, ``reported`` when reports wait in the queue.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        schedule_for: ScheduleFor,
        random: Random,
        log: EventSink | None,
        bouncer: DsnWriter | None,
        moved: Callable[[], None],
        falls_due: Callable[[float], None],
        reported: Callable[[], None],
    ) -> None:
        self.under_way: set[asyncio.Future[None]] = set()
        self._spool = spool
        self._clock = clock
        self._schedule_for = schedule_for
        self._random = random
        self._log = log
        self._moved = moved
        self._falls_due = falls_due
        self._bouncer = bouncer
        self._reported = reported
        self._pending: dict[tuple[str, int], _Pending] = {}  # records refused so far, by message and recipient

    def pending_keys(self, work: Lease) -> set[int]:
        """Those recipients of a lease just taken whose outcome is still to be recorded: it will be under this lease."""
        if not self._pending:
            return set()
        keys = set()
        for waiting in work.recipients:
            pending = self._pending.get((work.message.id, waiting.key))
            if pending is not None:
                keys.add(waiting.key)
                record = pending.record
                lease = record.work._replace(owner=work.owner, until=work.until, token=work.token)
                pending.record = record._replace(work=lease)
        return keys

    def record(
        self, work: Lease, ends: Sequence[tuple[QueuedRecipient, Outcome]], trace: AttemptTrace | None = None
    ) -> None:
        """Begin to record how some or all recipients of ``work`` ended; the others stay leased.  ``trace`` is for the
        story."""
        now = self._clock.time()
        if len(ends) < len(work.recipients):
            work = work._replace(recipients=tuple(waiting for waiting, _ in ends))
        message = work.message
        if len(ends) == 1 and ends[0][1].result is _DELIVERED and self._bouncer is not None:
            # Most mail: one recipient, delivered at once, and usually nobody asked to hear of it.
            ((waiting, outcome),) = ends
            settlement = Settlement(waiting.key, _SETTLED, now, outcome)
            if not self._bouncer.owes(message, ((waiting, settlement),)):
                self._record(_Record(work, (settlement,), (), trace))
                return
        settlements = settle(message, ends, self._schedule_for, now, self._random)
        told = [(waiting, settlement) for (waiting, _), settlement in zip(ends, settlements, strict=True)]
        if self._bouncer is None:
            self._record(_Record(work, _all_held(settlements), (), trace))
        elif self._bouncer.owes(work.message, told):
            self.errand(self._report(self._bouncer, work, told, now, trace))
        else:
            self._record(_Record(work, settlements, (), trace))

    def _record(self, record: _Record) -> None:
        work, settlements, reports, trace = record
        future = asyncio.ensure_future(self._spool.record(work, settlements, reports, trace=trace))
        self.under_way.add(future)
        future.add_done_callback(partial(self._recorded, record))
        if self._log is not None:
            for run in alike(settlements):
                _tell(self._log, work, run)
            for report in reports:
                to = ", ".join(str(recipient.address) for recipient in report.envelope.recipients)
                self._log("report", id=work.message.id, to=to)

    async def _report(
        self, bouncer: DsnWriter, work: Lease, ends: Ends, now: float, trace: AttemptTrace | None
    ) -> None:
        """Write what the sender is owed, and record all of it."""
        settlements = [settlement for _, settlement in ends]
        reports: list[Report] = []
        try:
            original = await self._original(work.message)
            patience = max(self._schedule_for(work.message, waiting).patience for waiting, _ in ends)
            until = work.message.received + patience
            reports = bouncer.reports(original, ends, now=now, until=until)
        except Exception as error:
            self.fault(f"no report about {work.message.id} could be written; what failed is held", error)
            settlements = _all_held(settlements)
        self._record(_Record(work, settlements, reports, trace))

    def errand(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something beside the attempts."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.under_way.add(task)
        task.add_done_callback(self._returned)

    def fault(self, what: str, error: BaseException) -> None:
        """Tell the log of a fault of ours or of the storage; ``error`` is for whoever wants its traceback."""
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
            self.fault(f"the outcome of {record.work.message.id} could not be recorded; trying again", error)
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

    async def _again(self, refused: _Record) -> None:
        """Offer a record until the spool takes it."""
        pending = _Pending(refused)
        keys = [(refused.work.message.id, waiting.key) for waiting in refused.work.recipients]
        self._pending |= dict.fromkeys(keys, pending)
        try:
            tried, pause = 0, 1.0
            while True:
                await self._clock.sleep(pause)
                tried, pause = tried + 1, min(2 * pause, _LONGEST_PAUSE)
                work, settlements, reports, trace = pending.record
                try:
                    await self._spool.record(work, settlements, reports, trace=trace)
                    break
                except StorageError:
                    continue
                except Exception as error:
                    if tried >= _TRIES:
                        what = f"the outcome of {work.message.id} cannot be recorded; it will be attempted again"
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


def _all_held(settlements: Sequence[Settlement]) -> list[Settlement]:
    """The same with whoever has failed waiting for an operator."""
    return [
        each._replace(state=RecipientState.HELD) if each.state is RecipientState.FAILED else each
        for each in settlements
    ]


def _tell(log: EventSink, work: Lease, settlements: Sequence[Settlement]) -> None:
    """Tell the log of settlements that are alike: a line for each recipient."""
    _, state, due, (_, result, reply, reason, peer, _), why, _ = settlements[0]
    event = "held" if state is RecipientState.HELD else result.value
    said: dict[str, object] = {
        "destination": work.destination,
        "peer": peer,
        "reply": "" if reply is None else str(reply),
        "reason": reason,
    }
    if state is _WAITING:
        said |= {"again": due, "why": why}
    if len(settlements) == 1:
        log(event, id=work.message.id, recipient=str(settlements[0].outcome.recipient.address), **said)
    else:
        recipients = [str(settlement.outcome.recipient.address) for settlement in settlements]
        log.each(event, "recipient", recipients, id=work.message.id, recipient=None, **said)
