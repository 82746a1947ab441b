"""The recorder: has the outcomes of an attempt recorded durably, while the next attempts go on.

Each attempt is one transaction; ``recording.settlement`` says what it contains.  A record needs no task: the future
that the spool returns is enough.  If the spool cannot take a record now, it is offered again until the process ends,
after pauses of 1, 2, 4 … 64 seconds.  Meanwhile the lease may end and the same mail may be leased again.  The
recipients of a record that is still to be made are not attempted again (``pending_keys``), as that would duplicate the
message.

A report that the sender is owed is written first and stored in the same transaction.  If it cannot be written, failed
recipients are HELD instead, so that an operator sees them.
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
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Report, Settlement, Spool, StoredMessage
from posthouse.spool.model import runs_of_equal_results

__all__ = ["Recorder"]

_DELIVERED: Final = Result.DELIVERED
_SETTLED: Final = RecipientState.DELIVERED
_WAITING: Final = RecipientState.WAITING
_LONGEST_PAUSE = 64.0  # seconds between two tries
_TRIES = 7  # of a record that is refused for a local fault, which waiting does not mend


class _Record(NamedTuple):
    """What ``Spool.record`` is given."""

    lease: Lease
    settlements: Sequence[Settlement]
    reports: Sequence[Report]
    trace: AttemptTrace | None


class _Pending:
    """A record that the spool has refused so far."""

    __slots__ = ("record",)

    def __init__(self, record: _Record) -> None:
        self.record = record


class Recorder:
    """The recorder of one worker; ``under_way`` holds the records and errands that have not ended yet.

    ``dsn_writer`` writes reports; without one, what failed is HELD.  ``moved`` is called when something ended,
    ``falls_due`` with the time at which a recipient is to be tried again, ``reported`` when reports wait in the spool.
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
    ) -> None:
        self.under_way: set[asyncio.Future[None]] = set()
        self._spool = spool
        self._clock = clock
        self._schedule_for = schedule_for
        self._random = random
        self._log = log
        self._moved = moved
        self._falls_due = falls_due
        self._dsn_writer = dsn_writer
        self._reported = reported
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
        if len(ends) == 1 and ends[0][1].result is _DELIVERED and self._dsn_writer is not None:
            # Most mail: one recipient, delivered at the first attempt, and no report of success was asked for.
            ((waiting, outcome),) = ends
            settlement = Settlement(waiting.key, _SETTLED, now, outcome)
            if not self._dsn_writer.owes(message, ((waiting, settlement),)):
                self._record(_Record(lease, (settlement,), (), trace))
                return
        settlements = settle(message, ends, self._schedule_for, now, self._random)
        recorded = [(waiting, settlement) for (waiting, _), settlement in zip(ends, settlements, strict=True)]
        if self._dsn_writer is None:
            self._record(_Record(lease, _all_held(settlements), (), trace))
        elif self._dsn_writer.owes(lease.message, recorded):
            self.errand(self._report(self._dsn_writer, lease, recorded, now, trace))
        else:
            self._record(_Record(lease, settlements, (), trace))

    def _record(self, record: _Record) -> None:
        lease, settlements, reports, trace = record
        future = asyncio.ensure_future(self._spool.record(lease, settlements, reports, trace=trace))
        self.under_way.add(future)
        future.add_done_callback(partial(self._recorded, record))
        if self._log is not None:
            for run in [settlements] if len(settlements) == 1 else runs_of_equal_results(settlements):
                _log_settlements(self._log, lease, run)
            for report in reports:
                to = ", ".join(str(recipient.address) for recipient in report.envelope.recipients)
                self._log("report", id=lease.message.id, to=to)

    async def _report(
        self, dsn_writer: DsnWriter, lease: Lease, ends: Ends, now: float, trace: AttemptTrace | None
    ) -> None:
        """Write the reports that the sender is owed, and record them with the settlements."""
        settlements = [settlement for _, settlement in ends]
        reports: list[Report] = []
        try:
            original = await self._original(lease.message)
            patience = max(self._schedule_for(lease.message, waiting).patience for waiting, _ in ends)
            until = lease.message.received + patience
            reports = dsn_writer.reports(original, ends, now=now, until=until)
        except Exception as error:
            self.fault(f"no report about {lease.message.id} could be written; what failed is held", error)
            settlements = _all_held(settlements)
        self._record(_Record(lease, settlements, reports, trace))

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
                lease, settlements, reports, trace = pending.record
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


def _all_held(settlements: Sequence[Settlement]) -> list[Settlement]:
    """These settlements, with HELD instead of FAILED."""
    return [
        each._replace(state=RecipientState.HELD) if each.state is RecipientState.FAILED else each
        for each in settlements
    ]


def _log_settlements(log: EventSink, lease: Lease, settlements: Sequence[Settlement]) -> None:
    """Log settlements that are alike: one event for each recipient."""
    _, state, due, (_, result, reply, reason, peer, _), why, _ = settlements[0]
    event = "held" if state is RecipientState.HELD else result.value
    said: dict[str, object] = {
        "destination": lease.destination,
        "peer": peer,
        "reply": "" if reply is None else str(reply),
        "reason": reason,
    }
    if state is _WAITING:
        said |= {"again": due, "why": why}
    if len(settlements) == 1:
        log(event, id=lease.message.id, recipient=str(settlements[0].outcome.recipient.address), **said)
    else:
        recipients = [str(settlement.outcome.recipient.address) for settlement in settlements]
        log.each(event, "recipient", recipients, id=lease.message.id, recipient=None, **said)
