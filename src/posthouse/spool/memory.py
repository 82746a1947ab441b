"""The queue in memory: the SQLite queue's twin for tests, and for a catcher that need not survive.

It keeps the same promises but one: nothing outlives the process.  It is bounded by ``capacity`` octets of content
(``StorageFull`` beyond it), and a lease looks at every waiting recipient, so it is not meant for a backlog.

Several queue objects may share one memory (``beside``), as several processes share a spool on a disk, and the same
holds between them: what a living one has leased is its own whatever the clock says, and what a closed one had is
anybody's.  Here it is known at once who lives, nobody is poisoned, and nobody hangs.
"""

from __future__ import annotations

import copy
import heapq
import random as random_module
import time as time_module
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import Self, TypeVar

from posthouse.core import AttemptTrace, Bytes, Content, StorageCorrupt
from posthouse.spool.annals import Annals
from posthouse.spool.filters import Condition, RecipientRow, SummaryRow, matches, summarized, text_of_conditions
from posthouse.spool.history import Event, MessageSummary, Origin, QueueEvent
from posthouse.spool.ids import WORKERS, QueueIds, text_of
from posthouse.spool.interface import (
    AuditRecord,
    Lease,
    MessageEntry,
    QueueAction,
    QueuedRecipient,
    RecipientState,
    Report,
    Settlement,
    Stored,
    StoredMessage,
)
from posthouse.spool.memory_inboxes import MemoryInboxes
from posthouse.spool.memory_receiving import Incoming, done
from posthouse.spool.memory_rows import UNSETTLED, Kept, KeptRecipient, MemoryLease, do, entry_of, row_of, works_of
from posthouse.spool.probe_limit import Due, ProbeLimit, few_of
from posthouse.spool.sqlite.liveness import LOOK
from posthouse.spool.sqlite.rows import TOLD, in_words

__all__ = ["MemorySpool"]

T = TypeVar("T")

_CAPACITY = 256 << 20


class MemorySpool(MemoryInboxes):
    """A ``Queue`` without a disk.

    ``capacity`` octets of content are held at most; ``keep_finished``, ``random`` and ``time`` as for ``SqliteSpool``;
    ``history`` is how many stories it keeps.
    """

    def __init__(
        self,
        *,
        capacity: int = _CAPACITY,
        keep_finished: float = 0.0,
        history: int = 20_000,
        random: random_module.Random | None = None,
        time: Callable[[], float] = time_module.time,
    ) -> None:
        super().__init__(capacity)
        self._random = random_module.SystemRandom() if random is None else random
        self._time = time
        self._keep_finished = keep_finished
        self._slots: set[int] = set()
        self._living: set[int] = set()  # of them
        self._messages: dict[str, Kept] = {}
        self._annals = Annals(history, self._waits)
        self._move_in(self._random.randrange(WORKERS))

    def _move_in(self, slot: int) -> None:
        self.slot = slot
        self._slots.add(slot)
        self._ids = QueueIds(slot, random=self._random, time=self._time)

    def beside(self) -> Self:
        """Another queue on the same memory, to be opened and closed for itself, as another process would have."""
        other = copy.copy(self)
        other._move_in(next(slot for slot in range(WORKERS) if slot not in self._slots))
        return other

    async def open(self, now: float) -> Sequence[str]:
        """See ``Queue.open``."""
        self._living.discard(self.slot)
        self._free_the_dead()  # what an earlier life had, too
        self._living.add(self.slot)
        return ()

    async def close(self) -> None:
        """See ``Queue.close``."""
        self._living.discard(self.slot)

    def _free_the_dead(self) -> None:
        for _, recipient in self._waiting():
            if recipient.lease is not None and recipient.lease.slot not in self._living:
                recipient.lease = None

    def take_notes(self) -> list[str]:
        """See ``Queue.take_notes``: nobody dies alone here."""
        return []

    # -- inward ----------------------------------------------------------------------------------------------------

    def receive(self) -> Incoming:
        """See ``Queue.receive``."""
        return Incoming(self, text_of(self._ids.next()))

    def store(
        self,
        message: StoredMessage,
        content: bytes,
        destinations: Sequence[str],
        due: float,
        claim: tuple[str, float] | None,
        arrival: Origin | None = None,
    ) -> Stored:
        """Keep a message whose octets are counted already; for receipts."""
        lease = None if claim is None else MemoryLease(self.slot, *claim)
        recipients = [
            KeptRecipient(QueuedRecipient(nth, recipient, name, RecipientState.WAITING, 0, due), lease)
            for nth, (recipient, name) in enumerate(zip(message.envelope.recipients, destinations, strict=True))
        ]
        self._messages[message.id] = Kept(message, content, recipients)
        self._annals.accepted(message, arrival)
        if claim is None:
            return Stored(message)
        return Stored(message, tuple(works_of(message, recipients, *claim)))

    # -- work ------------------------------------------------------------------------------------------------------

    def _waiting(self) -> Iterator[tuple[Kept, KeptRecipient]]:
        for kept in self._messages.values():
            for recipient in kept.recipients:
                if recipient.waiting.state is RecipientState.WAITING:
                    yield kept, recipient

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
        self._free_the_dead()
        due: Iterable[Due] = (
            (recipient.ready, kept.message.id, recipient.waiting.key, recipient.waiting.destination)
            for kept, recipient in self._waiting()
            if recipient.ready <= now
            and recipient.waiting.destination not in skip
            and (recipient.lease is None or recipient.lease.slot == self.slot)
        )
        due = due if few is None else few_of(sorted(due), few)
        by_message: dict[str, list[int]] = {}
        for _, queue_id, key, _ in heapq.nsmallest(limit, due):
            by_message.setdefault(queue_id, []).append(key)
        works: list[Lease] = []
        for queue_id, keys in by_message.items():
            kept = self._messages[queue_id]
            taken = [kept.recipients[key] for key in sorted(keys)]
            for recipient in taken:
                recipient.lease = MemoryLease(self.slot, owner, until)
            works += works_of(kept.message, taken, owner, until)
        return works

    async def next_due(self, now: float, *, skip: Collection[str] = ()) -> float | None:
        """See ``Queue.next_due``."""
        due = min((r.ready for _, r in self._waiting() if r.waiting.destination not in skip), default=None)
        if self._living <= {self.slot}:
            return due
        return now + LOOK if due is None else min(due, now + LOOK)  # a neighbour may die meanwhile

    async def destinations(self, now: float, *, limit: int = 100) -> list[tuple[str, float]]:
        """See ``Queue.destinations``."""
        due: dict[str, float] = {}
        for _, recipient in self._waiting():
            name = recipient.waiting.destination
            due[name] = min(due.get(name, recipient.ready), recipient.ready)
        return sorted(((n, r) for n, r in due.items() if r <= now), key=lambda item: item[1])[:limit]

    def record(
        self,
        work: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        *,
        trail: AttemptTrace | None = None,
    ) -> Awaitable[None]:
        """See ``Queue.record``."""
        future = done(None)
        stored = self._store_reports(reports)
        self._purge()
        kept = self._messages.get(work.message.id)
        if kept is None:
            return future
        if settlements:
            self._annals.attempt(work, settlements, self._time(), trail, stored)
        for settlement in settlements:
            self._settle(kept.recipients[settlement.key], work, settlement)
        settled = {settlement.key for settlement in settlements}
        self._release(kept, work, [waiting.key for waiting in work.recipients if waiting.key not in settled])
        self._finish(kept)
        return future

    def _store_reports(self, reports: Sequence[Report]) -> list[str]:
        for report in reports:
            self.grow(len(report.content))
        stored = []
        for report in reports:
            queue_id = text_of(self._ids.next())
            message = StoredMessage(queue_id, report.envelope, report.due, len(report.content), "report")
            self.store(message, report.content, report.destinations, report.due, None)
            stored.append(queue_id)
        return stored

    def _finish(self, kept: Kept) -> None:
        if not any(recipient.waiting.state in UNSETTLED for recipient in kept.recipients):
            if kept.finished is None:
                kept.finished = self._time()
            self._purge()

    def _waits(self, queue_id: str) -> bool:
        kept = self._messages.get(queue_id)
        return kept is not None and kept.finished is None

    def _settle(self, recipient: KeptRecipient, work: Lease, settlement: Settlement) -> None:
        waiting = recipient.waiting
        ours = recipient.lease == (self.slot, work.owner, work.until)
        if waiting.state not in UNSETTLED or (settlement.state in UNSETTLED and not ours):
            return
        recipient.lease = None
        recipient.waiting = waiting._replace(
            state=settlement.state,
            attempts=waiting.attempts + 1,
            due=settlement.due,
            last=in_words(settlement.outcome),
            warned=waiting.warned or settlement.warned,
        )

    def _purge(self) -> None:
        before = self._time() - self._keep_finished
        over = [k for k in self._messages.values() if k.finished is not None and k.finished <= before]
        for kept in over:
            del self._messages[kept.message.id]
            self.shrink(len(kept.content))

    async def renew(self, works: Sequence[Lease], until: float) -> None:
        """See ``Queue.renew``."""
        for work in works:
            kept = self._messages.get(work.message.id)
            if kept is None:
                continue
            for recipient in (kept.recipients[waiting.key] for waiting in work.recipients):
                if recipient.lease == (self.slot, work.owner, work.until):
                    recipient.lease = MemoryLease(self.slot, work.owner, until)

    async def release(self, work: Lease) -> None:
        """See ``Queue.release``."""
        kept = self._messages.get(work.message.id)
        if kept is not None:
            self._release(kept, work, [waiting.key for waiting in work.recipients])

    def _release(self, kept: Kept, work: Lease, keys: Sequence[int]) -> None:
        for key in keys:
            if kept.recipients[key].lease == (self.slot, work.owner, work.until):
                kept.recipients[key].lease = None

    def content(self, message: StoredMessage) -> Content:
        """See ``Queue.content``."""
        kept = self._messages.get(message.id)
        if kept is None:
            raise StorageCorrupt(f"there is no message {message.id} in the spool")
        return Bytes(kept.content)

    # -- for people ------------------------------------------------------------------------------------------------

    async def entries(self, *, limit: int = 1000, after: str = "") -> list[MessageEntry]:
        """See ``Queue.entries``."""
        unfinished = (k for k in self._messages.values() if k.finished is None and k.message.id > after)
        return [entry_of(kept) for kept in heapq.nsmallest(limit, unfinished, key=lambda k: k.message.id)]

    async def entry(self, queue_id: str) -> MessageEntry | None:
        """See ``Queue.entry``."""
        kept = self._messages.get(queue_id)
        return None if kept is None else entry_of(kept)

    def _rows(self) -> Iterator[tuple[Kept, KeptRecipient, RecipientRow]]:
        for kept in self._messages.values():
            for recipient in kept.recipients:
                if kept.finished is None:
                    yield kept, recipient, row_of(kept.message, recipient)

    async def count(self, conditions: Sequence[Condition] = (), *, now: float = 0.0) -> int:
        """See ``Queue.count``."""
        return sum(matches(conditions, row, now) for _, _, row in self._rows())

    async def select(
        self,
        conditions: Sequence[Condition] = (),
        *,
        now: float = 0.0,
        limit: int = 1000,
        after: tuple[str, int] | None = None,
    ) -> list[RecipientRow]:
        """See ``Queue.select``."""
        rows = (row for _, _, row in self._rows() if after is None or (row.id, row.key) > after)
        return heapq.nsmallest(
            limit, (row for row in rows if matches(conditions, row, now)), key=lambda row: (row.id, row.key)
        )

    async def summary(self, conditions: Sequence[Condition] = (), *, now: float) -> list[SummaryRow]:
        """See ``Queue.summary``."""
        rows = [row for _, _, row in self._rows() if matches(conditions, row, now)]
        return summarized([(row.destination, row.state, row.received) for row in rows], now)

    async def act(
        self,
        act: QueueAction,
        conditions: Sequence[Condition],
        *,
        now: float,
        who: str = "",
        target: str = "",
        report: Callable[[StoredMessage, Sequence[QueuedRecipient]], Sequence[Report]] | None = None,
    ) -> int:
        """See ``Queue.act``."""
        changed: dict[str, list[KeptRecipient]] = {}
        for kept, recipient, row in list(self._rows()):
            if matches(conditions, row, now) and do(act, recipient, now, who, target):
                changed.setdefault(kept.message.id, []).append(recipient)
        for queue_id, recipients in changed.items():
            kept = self._messages[queue_id]
            people = [recipient.waiting for recipient in recipients]
            note = QueueEvent(now, TOLD[act], tuple(waiting.key for waiting in people), who, target)
            self._annals.tell(queue_id, note)
            if act is QueueAction.DROP:
                reports = () if report is None else report(kept.message, people)
                for stored in self._store_reports(reports):
                    self._annals.tell(queue_id, QueueEvent(now, "reported", (), "", stored))
                self._finish(kept)
        count = sum(map(len, changed.values()))
        self._annals.audit.append(AuditRecord(now, who, act.value, text_of_conditions(conditions), target, count))
        return count

    async def audit(self, *, limit: int = 100) -> list[AuditRecord]:
        """See ``Queue.audit``."""
        return list(self._annals.audit)[::-1][:limit]

    async def story(self, queue_id: str) -> list[Event]:
        """See ``Queue.story``."""
        return self._annals.story(queue_id)

    async def find(self, *, address: str = "", message_id: str = "", limit: int = 20) -> list[MessageSummary]:
        """See ``Queue.find``."""
        return self._annals.find(address, message_id, limit)
