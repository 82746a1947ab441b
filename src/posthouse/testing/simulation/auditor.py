"""The auditor between a daemon and its spool: it passes every call on, writes in the ledger, and checks the leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple

from posthouse.core import Content, Envelope, Notify, Result, StorageUncertain
from posthouse.spool.interface import (
    IncomingMessage,
    Lease,
    RecipientState,
    Renewal,
    Report,
    Settlement,
    Spool,
    Stored,
    StoredMessage,
)
from posthouse.spool.probe_limit import ProbeLimit
from posthouse.spool.sqlite.liveness import HANGS
from posthouse.testing.simulation.ledger import Ledger, PromisedMessage, RecordedOutcome, quoted_in, token_of

__all__ = ["Auditor", "HeldLease", "SharedAudit"]


class HeldLease(NamedTuple):
    """A lease of one recipient.

    ``until`` is its end by the calendar, ``since`` its begin in virtual seconds; ``ending``: its record or its release
    is under way.
    """

    owner: str
    until: float
    since: float
    ending: bool = False


class SharedAudit:
    """State that the auditors of one spool share, from one incarnation of a node to the next and between nodes."""

    def __init__(self) -> None:
        self.leases: dict[tuple[str, int], HeldLease] = {}
        """(queue id, key of the recipient) → its lease."""
        self.kept: set[tuple[str, str]] = set()
        """(queue id, inbox) of each message in an inbox."""


class Auditor:
    """A ``Spool`` for one incarnation of a node, around the spool ``inner`` that is named ``name``.

    What one node has leased is not leased by another until it is released or the node crashes, whatever the calendar
    says.  The exception is a node that does not renew its leases for an hour, which counts as stalled.  A node may
    lease again what it holds itself, when that lease has expired.
    """

    def __init__(self, inner: Spool, ledger: Ledger, name: str, shared: SharedAudit) -> None:
        self._inner = inner
        self._ledger = ledger
        self._name = name
        self._leases = shared.leases
        self._kept = shared.kept
        self._owners: set[str] = set()
        self._reports: dict[str, bytes] = {}  # by message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    # -- incoming messages --

    def receive(self, announced: int = 0) -> _AuditedIncoming:
        return _AuditedIncoming(self, self._inner.receive(announced))

    def stored(self, content: bytes, future: asyncio.Future[Stored]) -> None:
        """A commit has ended; called by the incoming message."""
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            if isinstance(error, StorageUncertain):
                self._ledger.uncertain.add(token_of(content))
            return
        self.promised(future.result().message, content)
        for lease in future.result().leases:
            self._hold(lease)

    def promised(self, message: StoredMessage, content: bytes) -> None:
        """A message is in the spool."""
        self._ledger.promise(PromisedMessage(self._name, message.id, token_of(content), message.envelope))

    # -- leases --

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
        leases = await self._inner.lease(
            owner, now, until, limit=limit, due_before=due_before, wanted=wanted, probe=probe
        )
        for lease in leases:
            for recipient in lease.recipients:
                held = self._leases.get((lease.message.id, recipient.key))
                if held is not None and not self._may_lease(held, now):
                    self._ledger.violation(
                        self._name, f"{lease.message.id}/{recipient.key} was leased twice at one time"
                    )
            self._hold(lease)
        return leases

    def _hold(self, lease: Lease) -> None:
        self._owners.add(lease.owner)
        for recipient in lease.recipients:
            self._leases[lease.message.id, recipient.key] = HeldLease(lease.owner, lease.until, self._ledger.now())

    def _may_lease(self, held: HeldLease, now: float) -> bool:
        if held.owner in self._owners:
            return held.until <= now
        return held.ending or self._ledger.now() - held.since >= HANGS

    def record(
        self, work: Lease, settlements: Sequence[Settlement], reports: Sequence[Report] = (), *rest: Any, **more: Any
    ) -> Awaitable[None]:
        message = work.message
        if reports and message.envelope.sender is None and not all(map(_to_postmaster, reports)):
            self._ledger.violation(self._name, f"a report about a report, {message.id}")
        for settlement in settlements:
            self._check(work, settlement, reports)
        for report in reports:
            if report.envelope.sender is not None:
                self._ledger.violation(self._name, f"a report with a reverse-path, about {message.id}")
        self._mark(work, ending=True)
        future = asyncio.ensure_future(self._inner.record(work, settlements, reports, *rest, **more))
        future.add_done_callback(partial(self._recorded, work))
        return future

    def _check(self, lease: Lease, settlement: Settlement, reports: Sequence[Report]) -> None:
        """Check one settlement, and write it in the ledger."""
        ledger = self._ledger
        message, outcome, state = lease.message, settlement.outcome, settlement.state
        name = f"{message.id}/{settlement.key}"
        ledger.outcomes.append(RecordedOutcome(ledger.now(), self._name, message.id, state, outcome))
        if not outcome.reason and outcome.reply is None:
            ledger.violation(self._name, f"{name} ended as {state.value} without a reason")
        if state is RecipientState.FAILED and _is_report(message):
            ledger.lost_reports.add(quoted_in(_small(self._inner.content_now(message))))
            if not reports and not outcome.recipient.address.is_postmaster:
                ledger.violation(self._name, f"{name}, a report, failed and the postmaster was not told")
        wanted = message.envelope.sender is not None and outcome.recipient.notify is not Notify.NEVER
        if reports:  # others of the message that failed at this time may share them
            self._reports[message.id] = self._reports.get(message.id, b"") + b"".join(each.content for each in reports)
        reported = str(outcome.recipient.address).encode() in self._reports.get(message.id, b"")
        if state is RecipientState.FAILED and wanted and not reports and not reported:
            ledger.violation(self._name, f"{name} failed and the sender was not told")
        if outcome.result is Result.AMBIGUOUS:
            ledger.excuse(self._name, message.id, outcome.recipient.address, "ambiguous", lease.until)
        key = (self._name, message.id, settlement.key)
        before = ledger.settled.get(key)
        if before in (RecipientState.DELIVERED, RecipientState.FAILED) and state is not before:
            ledger.log(self._name, "again", id=name, was=before.value, now=state.value)
        if before is None or state in (RecipientState.DELIVERED, RecipientState.FAILED):
            ledger.settled[key] = state

    def _recorded(self, lease: Lease, future: asyncio.Future[None]) -> None:
        if future.cancelled():
            return
        if future.exception() is None:
            self._drop(lease)
            return
        self._mark(lease, ending=False)
        for recipient in lease.recipients:  # if it can never be recorded, the attempt is made again
            self._ledger.excuse(self._name, lease.message.id, recipient.recipient.address, "unrecorded", lease.until)

    def accident(self, what: str, process: str) -> None:
        """Something interrupts the attempts that are under way in ``process``; they may be made again.

        Two processes may be interrupted in one way, and each interruption excuses a copy: ``process`` has to be unique
        in the world.
        """
        for (queue_id, key), held in self._leases.items():
            if held.owner in self._owners:
                self._excuse(queue_id, key, what, process)

    def _excuse(self, queue_id: str, key: int, what: str, process: str) -> None:
        message = self._ledger.promised.get((self._name, queue_id))
        if message is not None and key < len(message.envelope.recipients):
            recipient = message.envelope.recipients[key].address
            self._ledger.excuse(self._name, queue_id, recipient, what, process)

    def replaced(self, process: str) -> None:
        """A copy stands where the spool was.  Who starts on it finds no process that holds the leases in it, while the
        other processes go on with their attempts."""
        for (queue_id, key), held in list(self._leases.items()):
            self._excuse(queue_id, key, "replaced", process)
            self._leases[queue_id, key] = held._replace(since=-inf)  # as if it had not been renewed

    def stopped(self, why: str, process: str) -> None:
        """The node's ``process`` has stopped with attempts under way.  Its leases may be taken at once."""
        self.accident(why, process)
        for key in [key for key, held in self._leases.items() if held.owner in self._owners]:
            del self._leases[key]

    def _mark(self, lease: Lease, *, ending: bool) -> None:
        for recipient in lease.recipients:
            held = self._leases.get((lease.message.id, recipient.key))
            if held is not None and held.owner == lease.owner:
                self._leases[lease.message.id, recipient.key] = held._replace(ending=ending)

    def _drop(self, lease: Lease) -> None:
        for recipient in lease.recipients:
            held = self._leases.get((lease.message.id, recipient.key))
            if held is not None and held.owner == lease.owner:
                del self._leases[lease.message.id, recipient.key]

    def renew(self, leases: Sequence[Lease], until: float) -> Renewal:
        renewal = self._inner.renew(leases, until)
        return renewal._replace(done=self._renewed(leases, until, renewal))

    async def _renewed(self, leases: Sequence[Lease], until: float, renewal: Renewal) -> None:
        await renewal.done
        for lease in leases:
            for recipient in lease.recipients:
                held = self._leases.get((lease.message.id, recipient.key))
                if held is not None and held[:2] == (lease.owner, lease.until):
                    renewed = HeldLease(lease.owner, until, self._ledger.now())
                    self._leases[lease.message.id, recipient.key] = renewed

    async def release(self, work: Lease) -> None:
        self._mark(work, ending=True)
        await self._inner.release(work)
        self._drop(work)

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        """Put a message into an inbox, which keeps one copy however often it is delivered."""
        await self._inner.keep(inbox, message, content)
        if (message.id, inbox) not in self._kept:
            self._kept.add((message.id, inbox))
            self._ledger.delivered(self._name, message.envelope.sender, [inbox], b"".join(content.chunks()))


class _AuditedIncoming:
    """An ``IncomingMessage`` that tells the auditor of its commit."""

    def __init__(self, auditor: Auditor, inner: IncomingMessage) -> None:
        self._auditor = auditor
        self._inner = inner
        self._chunks: list[bytes] = []
        self.id = inner.id

    @property
    def size(self) -> int:
        return self._inner.size

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self._chunks.append(bytes(chunk))
        return self._inner.write(chunk)

    def commit(
        self, envelope: Envelope, destinations: Sequence[str], *, prefix: bytes = b"", **rest: Any
    ) -> Awaitable[Stored]:
        future = asyncio.ensure_future(self._inner.commit(envelope, destinations, prefix=prefix, **rest))
        content = b"".join((prefix, *self._chunks))
        future.add_done_callback(partial(self._auditor.stored, content))
        return future

    def abort(self) -> None:
        self._inner.abort()


def _to_postmaster(report: Report) -> bool:
    return all(recipient.address.is_postmaster for recipient in report.envelope.recipients)


def _is_report(message: StoredMessage) -> bool:
    """Whether a daemon of ours has written the message as a delivery report."""
    return message.envelope.sender is None and message.source == "report"


def _small(content: Content | None) -> bytes:
    """The octets of a report, which are always in a row."""
    assert content is not None
    return b"".join(content.chunks())
