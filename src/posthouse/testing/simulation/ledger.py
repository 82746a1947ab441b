"""Who saw what: the book that the invariants are checked against, and the queue's witness who writes in it.

The book is God's: it knows what each house promised, attempted and recorded, what arrived where, and which accidents
excuse a second copy.  It is written as things happen, so that a run that ends anywhere can be judged.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from posthouse.core import Content, Envelope, Notify, Outcome, Result
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

__all__ = ["Auditor", "CopyEnd", "DeliveredCopy", "Entered", "FIELD", "Held", "Ledger", "quoted_in", "token_of"]

_TOKEN = re.compile(rb"^X-Simulation: ([0-9a-z.-]+)\r$", re.MULTILINE)
_TRACE = re.compile(rb"(?:(?:Received|Return-Path):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")
FIELD = b"X-Simulation: "
"""The field that the world puts before a letter's content."""


def token_of(content: bytes) -> str:
    """The token of a sent letter, whose first field but trace fields it is; "" for anything else."""
    trace = _TRACE.match(content)
    match = _TOKEN.match(content, trace.end() if trace else 0)
    return match[1].decode() if match else ""


def quoted_in(content: bytes) -> str:
    """The token of the letter that a report quotes; "" where there is none."""
    match = _TOKEN.search(content)
    return match[1].decode() if match else ""


class Entered(NamedTuple):
    """One message in one house's queue: what was promised."""

    house: str
    queue_id: str
    token: str
    envelope: Envelope


class CopyEnd(NamedTuple):
    """One recipient's end in one attempt, as it was to be recorded; ``time`` in virtual seconds."""

    time: float
    house: str
    queue_id: str
    state: RecipientState
    outcome: Outcome


class DeliveredCopy(NamedTuple):
    """One copy for one recipient at its end: a destination's or a mailbox's."""

    time: float
    place: str
    recipient: str
    token: str
    report: bool


class Held(NamedTuple):
    """A lease: whose, until when by the calendar, since when by virtual seconds, and whether it is on its way back."""

    owner: str
    until: float
    since: float
    giving: bool = False


class Ledger:
    """What happened, and what was wrong with it (``violations``).  ``now`` gives virtual seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.sent: dict[str, bytes] = {}
        """Token → content as its client gave it."""
        self.entered: dict[tuple[str, str], Entered] = {}
        self.settled: dict[tuple[str, str, int], RecipientState] = {}
        self.arrivals: list[DeliveredCopy] = []
        self.ends: list[CopyEnd] = []
        self.excuses: dict[tuple[str, str], set[tuple[object, ...]]] = {}
        """(token, recipient) → the accidents that each may have made one copy more."""
        self.reports = 0
        self.lost_reports: set[str] = set()
        """Tokens of letters about which a report could not be delivered; the postmaster has been told."""

    def tell(self, who: str, what: str, **facts: object) -> None:
        """One line of the trace."""
        words = " ".join(f"{name}={value}" for name, value in facts.items() if value not in ("", None))
        self.trace.append(f"{self.now():14.6f} {who:<16} {what} {words}".rstrip())

    def excuse(self, house: str, queue_id: str, recipient: object, *accident: object) -> None:
        """An accident befell an attempt: a second copy for this recipient is nobody's fault."""
        entered = self.entered.get((house, queue_id))
        if entered is not None:
            self.excuses.setdefault((entered.token, str(recipient)), set()).add((house, queue_id, *accident))

    def wrong(self, who: str, what: str) -> None:
        """An invariant does not hold."""
        self.violations.append(f"at {self.now():.6f}, {who}: {what}")
        self.tell(who, "VIOLATION", text=what)

    @property
    def digest(self) -> str:
        """Of the whole trace: equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def arrived(self, place: str, envelope_sender: object, recipients: Sequence[str], content: bytes) -> None:
        """A message is at its end, for these recipients; its content must be what was sent."""
        token = token_of(content)
        report = envelope_sender is None and not token
        if report:
            token = quoted_in(content)
        for recipient in recipients:
            self.arrivals.append(DeliveredCopy(self.now(), place, recipient, token, report))
            self.tell(place, "arrival", token=token, recipient=recipient, report=report or "")
        if report:
            return
        sent = self.sent.get(token)
        if sent is None:
            self.wrong(place, f"a message arrived that nobody sent: {content[:60]!r}")
        elif not content.endswith(sent) or _TRACE.fullmatch(content[: len(content) - len(sent)]) is None:
            self.wrong(place, f"the content of {token} was changed on its way")


class Auditor:
    """A ``Spool`` that passes everything on to another and writes in the book; for one incarnation of a house.

    Leases are watched.  What one house holds is no other's until it gives it back or dies, whatever the calendar says
    (and however long it does not renew it, but for the hour after which it counts as hanging); what it holds itself it
    may take again when its time is over.  ``held`` and ``kept`` go from one incarnation to the next, and to all houses
    of a spool: the leases, and what the mailboxes have.
    """

    def __init__(
        self,
        inner: Spool,
        book: Ledger,
        house: str,
        held: dict[tuple[str, int], Held],
        kept: set[tuple[str, str]],
    ) -> None:
        self._inner = inner
        self.kept = kept
        self._book = book
        self._house = house
        self.held = held
        self.owners: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    # -- inward --

    def receive(self) -> _WatchedReceipt:
        """See ``Spool.receive``."""
        return _WatchedReceipt(self, self._inner.receive())

    def stored(self, content: bytes, future: asyncio.Future[Stored]) -> None:
        """A commit has ended; for receipts."""
        if future.cancelled() or future.exception() is not None:
            return
        message = future.result().message
        self.enter(message, token_of(content))
        for work in future.result().work:
            self._hold(work)

    def enter(self, message: StoredMessage, token: str) -> None:
        """A message is in the queue."""
        key = (self._house, message.id)
        if key not in self._book.entered:
            self._book.entered[key] = Entered(self._house, message.id, token, message.envelope)
            self._book.tell(self._house, "promised", id=message.id, token=token)

    # -- work --

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
        """See ``Spool.lease``."""
        works = await self._inner.lease(
            owner, now, until, limit=limit, due_before=due_before, wanted=wanted, probe=probe
        )
        for work in works:
            for waiting in work.recipients:
                held = self.held.get((work.message.id, waiting.key))
                if held is not None and not self._may_take(held, now):
                    self._book.wrong(self._house, f"{work.message.id}/{waiting.key} was leased twice at one time")
            self._hold(work)
        return works

    def _hold(self, work: Lease) -> None:
        self.owners.add(work.owner)
        for waiting in work.recipients:
            self.held[work.message.id, waiting.key] = Held(work.owner, work.until, self._book.now())

    def _may_take(self, held: Held, now: float) -> bool:
        if held.owner in self.owners:
            return held.until <= now
        return held.giving or self._book.now() - held.since >= HANGS

    def record(
        self, work: Lease, settlements: Sequence[Settlement], reports: Sequence[Report] = (), *rest: Any, **more: Any
    ) -> Awaitable[None]:
        """See ``Spool.record``."""
        message = work.message
        if reports:
            self._book.reports += len(reports)
            if message.envelope.sender is None and not all(map(_to_postmaster, reports)):
                self._book.wrong(self._house, f"a report about a report, {message.id}")
        for settlement in settlements:
            self._judge(work, settlement, reports)
        for report in reports:
            if report.envelope.sender is not None:
                self._book.wrong(self._house, f"a report with a reverse-path, about {message.id}")
        self._give(work, giving=True)
        future = asyncio.ensure_future(self._inner.record(work, settlements, reports, *rest, **more))
        future.add_done_callback(partial(self._recorded, work))
        return future

    def _judge(self, work: Lease, settlement: Settlement, reports: Sequence[Report]) -> None:
        message, outcome, state = work.message, settlement.outcome, settlement.state
        name = f"{message.id}/{settlement.key}"
        self._book.ends.append(CopyEnd(self._book.now(), self._house, message.id, state, outcome))
        if not outcome.reason and outcome.reply is None:
            self._book.wrong(self._house, f"{name} ended as {state.value} without a reason")
        if state is RecipientState.FAILED and _is_ours(message):
            self._book.lost_reports.add(quoted_in(b"".join(self._inner.content(message).chunks())))
            if not reports and not outcome.recipient.address.is_postmaster:
                self._book.wrong(self._house, f"{name}, a report, failed and the postmaster was not told")
        wanted = message.envelope.sender is not None and outcome.recipient.notify is not Notify.NEVER
        if state is RecipientState.FAILED and wanted and not reports:
            self._book.wrong(self._house, f"{name} failed and nobody was told")
        if outcome.result is Result.AMBIGUOUS:
            self._book.excuse(self._house, message.id, outcome.recipient.address, "ambiguous", work.until)
        key = (self._house, message.id, settlement.key)
        before = self._book.settled.get(key)
        if before in (RecipientState.DELIVERED, RecipientState.FAILED) and state is not before:
            self._book.tell(self._house, "again", id=name, was=before.value, now=state.value)
        if before is None or state in (RecipientState.DELIVERED, RecipientState.FAILED):
            self._book.settled[key] = state

    def _recorded(self, work: Lease, future: asyncio.Future[None]) -> None:
        if future.cancelled():
            return
        if future.exception() is None:
            self._let_go(work)
            return
        self._give(work, giving=False)
        for waiting in work.recipients:  # if it never can be recorded, it is done again
            self._book.excuse(self._house, work.message.id, waiting.recipient.address, "unrecorded", work.until)

    def accident(self, what: str, number: float) -> None:
        """Attempts that are under way may be made again."""
        for (queue_id, number), held in self.held.items():
            if held.owner not in self.owners:
                continue
            entered = self._book.entered.get((self._house, queue_id))
            if entered is not None and number < len(entered.envelope.recipients):
                recipient = entered.envelope.recipients[number].address
                self._book.excuse(self._house, queue_id, recipient, what, number)

    def died(self, why: str, life: int) -> None:
        """The house has stopped in the middle.  Its leases are anybody's at once."""
        self.accident(why, life)
        for key in [key for key, held in self.held.items() if held.owner in self.owners]:
            del self.held[key]

    def _give(self, work: Lease, *, giving: bool) -> None:
        for waiting in work.recipients:
            held = self.held.get((work.message.id, waiting.key))
            if held is not None and held.owner == work.owner:
                self.held[work.message.id, waiting.key] = held._replace(giving=giving)

    def _let_go(self, work: Lease) -> None:
        for waiting in work.recipients:
            held = self.held.get((work.message.id, waiting.key))
            if held is not None and held.owner == work.owner:
                del self.held[work.message.id, waiting.key]

    def renew(self, works: Sequence[Lease], until: float) -> Renewal:
        renewal = self._inner.renew(works, until)
        return renewal._replace(done=self._renewed(works, until, renewal))

    async def _renewed(self, works: Sequence[Lease], until: float, renewal: Renewal) -> None:
        await renewal.done
        for work in works:
            for waiting in work.recipients:
                held = self.held.get((work.message.id, waiting.key))
                if held is not None and held[:2] == (work.owner, work.until):
                    self.held[work.message.id, waiting.key] = Held(work.owner, until, self._book.now())

    async def release(self, work: Lease) -> None:
        """See ``Spool.release``."""
        self._give(work, giving=True)
        await self._inner.release(work)
        self._let_go(work)

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        """See ``Spool.keep``; a mailbox keeps one copy of a message however often it is given."""
        await self._inner.keep(inbox, message, content)
        if (message.id, inbox) not in self.kept:
            self.kept.add((message.id, inbox))
            self._book.arrived(self._house, message.envelope.sender, [inbox], b"".join(content.chunks()))


class _WatchedReceipt:
    """A receipt that tells the witness of its commit."""

    def __init__(self, witness: Auditor, inner: IncomingMessage) -> None:
        self._witness = witness
        self._inner = inner
        self._chunks: list[bytes] = []
        self.id = inner.id

    @property
    def size(self) -> int:
        """See ``IncomingMessage.size``."""
        return self._inner.size

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """See ``IncomingMessage.write``."""
        self._chunks.append(bytes(chunk))
        return self._inner.write(chunk)

    def commit(self, envelope: Envelope, destinations: Sequence[str], **rest: Any) -> Awaitable[Stored]:
        """See ``IncomingMessage.commit``."""
        future = asyncio.ensure_future(self._inner.commit(envelope, destinations, **rest))
        content = b"".join(self._chunks)
        future.add_done_callback(partial(self._witness.stored, content))
        return future

    def abort(self) -> None:
        """See ``IncomingMessage.abort``."""
        self._inner.abort()


def _to_postmaster(report: Report) -> bool:
    return all(recipient.address.is_postmaster for recipient in report.envelope.recipients)


def _is_ours(message: StoredMessage) -> bool:
    """Whether it is a report that a house has written."""
    return message.envelope.sender is None and message.source == "report"
