"""A spool in a dictionary, and deliverers that follow a script; for the worker's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from posthouse.core import (
    Address,
    AttemptTrace,
    Bytes,
    Content,
    Envelope,
    Outcome,
    Recipient,
    Reply,
    Result,
    StorageBusy,
    StorageCorrupt,
)
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.spool.interface import (
    DueDestination,
    DuePage,
    Lease,
    QueuedRecipient,
    RecipientState,
    Renewal,
    Report,
    Settlement,
    SpoolEvent,
    SpoolEventKind,
    Stored,
    StoredMessage,
)
from posthouse.spool.probe_limit import ProbeLimit


class Row(NamedTuple):
    waiting: QueuedRecipient
    message: StoredMessage
    until: float = 0.0
    outcomes: tuple[Outcome, ...] = ()


class FakeQueue:
    """The part of ``spool.Queue`` that a worker uses.  ``calls`` counts; ``broken`` is raised while it is set."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.calls = {"lease": 0, "record": 0, "release": 0, "renew": 0, "due": 0}
        self.leased: list[tuple[float, float, float | None]] = []  # of each call: now, until, due_before
        self.broken: Exception | None = None
        self.no_renewals = False
        self.lost: set[int] = set()  # keys whose lease another worker has now
        self.corrupt: set[str] = set()
        self._messages = 0
        self._tokens = 0
        self._due: list[DueDestination] = []
        self.reported: list[SpoolEvent] = []
        self._telling = asyncio.Event()

    def put(
        self, recipients: Sequence[str], *, now: float, due: float | None = None, owner: str = "", until: float = 0.0
    ) -> Stored:
        """What a commit leaves, and gives."""
        self._messages += 1
        people = tuple(Recipient(Address(*address.rsplit("@", 1))) for address in recipients)
        message = StoredMessage(f"m{self._messages}", Envelope(Address("a", "sender.test"), people), now, 5)
        works: dict[str, list[QueuedRecipient]] = {}
        for person in people:
            key = len(self.rows) + 1
            domain = person.address.domain
            waiting = QueuedRecipient(key, person, domain, RecipientState.WAITING, 0, now if due is None else due)
            self.rows[key] = Row(waiting, message, until if owner else 0.0)
            works.setdefault(domain, []).append(waiting)
        leased = [Lease(message, domain, tuple(some), owner, until) for domain, some in works.items()]
        return Stored(message, tuple(leased) if owner else ())

    def state(self, address: str) -> Row:
        (row,) = [row for row in self.rows.values() if str(row.waiting.recipient.address) == address]
        return row

    def _check(self, call: str) -> None:
        self.calls[call] += 1
        if self.broken is not None:
            raise self.broken

    def _waiting(self) -> list[Row]:
        rows = [row for row in self.rows.values() if row.waiting.state is RecipientState.WAITING]
        return sorted(rows, key=lambda row: max(row.waiting.due, row.until))

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
        self._check("lease")
        self.leased.append((now, until, due_before))
        groups: dict[tuple[str, str], list[Row]] = {}
        due_at = now if due_before is None else due_before
        rows = [row for row in self._waiting() if max(row.waiting.due, row.until) <= due_at]
        if wanted is not None or probe is not None:
            rows = list(_chosen(rows, wanted or (), probe or ProbeLimit((), 0)))
        self._tokens += 1
        for row in rows[:limit]:
            self.rows[row.waiting.key] = row._replace(until=until)
            groups.setdefault((row.message.id, row.waiting.destination), []).append(row)
        return [
            Lease(
                rows[0].message,
                rows[0].waiting.destination,
                tuple(row.waiting for row in rows),
                owner,
                until,
                self._tokens,
            )
            for rows in groups.values()
        ]

    async def due(self, now: float, *, limit: int = 1000, after: DueDestination | None = None) -> DuePage:
        self._check("due")
        if after is None:
            first: dict[str, float] = {}
            for waiting, _, until, _ in self.rows.values():
                if waiting.state is RecipientState.WAITING:
                    ready = max(waiting.due, until)
                    if ready < first.get(waiting.destination, ready + 1):
                        first[waiting.destination] = ready
            in_order = sorted((ready, name) for name, ready in first.items())
            self._due = [DueDestination(name, ready) for ready, name in in_order]
            return DuePage(tuple(self._due[:limit]))
        start = self._due.index(after) + 1  # pages of one look show one moment
        return DuePage(tuple(self._due[start : start + limit]))

    def accepting(self) -> bool:
        return True

    def holds(self, lease: Lease) -> bool:
        return not any(each.key in self.lost for each in lease.recipients)

    async def events(self) -> AsyncIterator[SpoolEvent]:
        while True:
            while self.reported:
                yield self.reported.pop(0)
            await self._telling.wait()
            self._telling.clear()

    def tell(self, text: str) -> None:
        self.reported.append(SpoolEvent(SpoolEventKind.POISON, text))
        self._telling.set()

    def record(
        self,
        work: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        *,
        trace: AttemptTrace | None = None,
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._record, work, settlements, future)
        return future

    def _record(self, work: Lease, settlements: Sequence[Settlement], future: asyncio.Future[None]) -> None:
        try:
            self._check("record")
        except Exception as error:
            future.set_exception(error)
            return
        for waiting in work.recipients:
            row = self.rows[waiting.key]
            if waiting.key in self.lost:
                continue
            assert row.until in (0.0, work.until), "recorded under a lease that is not the row's"
            self.rows[waiting.key] = row._replace(until=0.0)
        for settlement in settlements:
            assert settlement.key in [waiting.key for waiting in work.recipients]
            row = self.rows[settlement.key]
            if settlement.key in self.lost:
                continue
            waiting = row.waiting._replace(
                state=settlement.state,
                due=settlement.due,
                attempts=row.waiting.attempts + 1,
                last=settlement.outcome.reason,
            )
            self.rows[settlement.key] = Row(waiting, row.message, 0.0, (*row.outcomes, settlement.outcome))
        future.set_result(None)

    def renew(self, leases: Sequence[Lease], until: float) -> Renewal:
        self._tokens += 1
        renewed = tuple(lease._replace(until=until, token=self._tokens) for lease in leases)
        return Renewal(renewed, self._renew(leases, until))

    async def _renew(self, leases: Sequence[Lease], until: float) -> None:
        self._check("renew")
        if self.no_renewals:
            raise StorageBusy("behind")
        for work in leases:
            for waiting in work.recipients:
                row = self.rows[waiting.key]
                assert row.until == work.until
                self.rows[waiting.key] = row._replace(until=until)

    async def release(self, work: Lease) -> None:
        self._check("release")
        for waiting in work.recipients:
            self.rows[waiting.key] = self.rows[waiting.key]._replace(until=0.0)

    def content_now(self, message: StoredMessage) -> Content | None:
        return None if message.id in self.corrupt else Bytes(b"hello")

    async def open_content(self, message: StoredMessage) -> Content:
        if message.id in self.corrupt:
            raise StorageCorrupt(f"the content of {message.id} is gone")
        return Bytes(b"hello")


def _chosen(rows: Iterable[Row], wanted: Collection[str], probe: ProbeLimit) -> Iterator[Row]:
    """What a lease takes of ``rows``: a message for each destination of the probe."""
    messages: dict[str, str] = {}
    left = probe.at_most
    for row in rows:
        name = row.waiting.destination
        if name in probe.destinations:
            if left <= 0 or messages.setdefault(name, row.message.id) != row.message.id:
                continue
            left -= 1
        elif name not in wanted:
            continue
        yield row


Answer = Result | Exception | Callable[[Recipient], Result]


class FakeDeliverer(Deliverer):
    """Gives the same answer to everyone, until told another; ``hold`` keeps attempts waiting until ``let_go``."""

    def __init__(self, answer: Answer = Result.DELIVERED, *, hold: bool = False) -> None:
        self.answer = answer
        self.jobs: list[tuple[Delivery, str]] = []
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self._gate = asyncio.Event()
        if not hold:
            self._gate.set()

    def let_go(self) -> None:
        self._gate.set()

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        self.jobs.append((job, target))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._gate.wait()
            return self.outcomes(job)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def outcomes(self, job: Delivery) -> list[Outcome]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return [
            outcome(person, self.answer(person) if callable(self.answer) else self.answer) for person in job.recipients
        ]


class InstantFake(FakeDeliverer):
    """Is done at once."""

    immediate = True

    def deliver_now(self, job: Delivery, target: str) -> Sequence[Outcome]:
        self.jobs.append((job, target))
        return self.outcomes(job)


_REPLIES = {
    Result.DELIVERED: Reply(250, "2.0.0", "OK"),
    Result.DEFERRED: Reply(451, "4.2.0", "not now"),
    Result.FAILED: Reply(550, "5.1.1", "no such mailbox"),
    Result.AMBIGUOUS: None,
}


def outcome(recipient: Recipient, result: Result) -> Outcome:
    return Outcome(recipient, result, _REPLIES[result], f"the host said {result.value}", "mx.test[192.0.2.1]:25")
