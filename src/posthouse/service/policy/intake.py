"""Spool intake: one message on its way from the session into the spool; the 250 is earned here.

The content is written to the spool as it comes.  What stands in front of it, the *prefix*, is made when the content has
ended: the header fields of the content checks, the Received field, and an empty line if the content has no header.

Content is counted as it grows, and its header section is scanned (``header_scan``).  Once the message cannot succeed
any more, what is stored of it is removed at once, the rest is taken and dropped, and the final verdict gives the
reason.  A client that vanishes while the content checks are asked has its message dropped: it will send it again.

Usually one envelope is stored.  A list among the recipients adds one for its owner, who becomes the sender; each
envelope is a message of its own, and all are committed before the 250.  If a later one fails after an earlier one was
promised, the client is told to try again: the worst outcome is a duplicate.

A sender who asked for a report of success gets it for what a list has taken or an alias has expanded (RFC 3461 §5.2.7);
the report is stored after the message.  If that fails, the message is promised all the same.

Over budget: one message's way from its first octet to its verdict, step by step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from posthouse.codes.leniencies import remark_in_brief
from posthouse.core import (
    Address,
    Body,
    Envelope,
    EventSink,
    MethodVerdict,
    Remark,
    Reply,
    StorageError,
    Verdict,
    path_text,
)
from posthouse.message.dsn.model import Action, OriginalMessage, RecipientStatus
from posthouse.net.clock import Clock
from posthouse.protocol.commands import Greet
from posthouse.relay import DsnWriter
from posthouse.server.content_check import CheckedMessage, CheckFactory, CheckResult, ContentChecks
from posthouse.server.pending_result import PendingResult
from posthouse.server.policy import Peer
from posthouse.service.directory.directory import Directory
from posthouse.service.directory.expansion import expansions, log_expansions, successes
from posthouse.service.mailauth.auth_terms import HeaderFilter
from posthouse.service.policy.client_limits import Sending
from posthouse.service.policy.header_scan import HEAD_AT_MOST, HeaderLimits, HeaderScan
from posthouse.service.policy.trace import NOT_SECURED, Secured, trace_field
from posthouse.service.policy.verdicts import GONE, TOO_LARGE, storage_verdict
from posthouse.spool.history import Expansion, Origin
from posthouse.spool.interface import IncomingMessage, Spool, Stored

__all__ = ["IntakeContext", "SpoolIntake"]

_SEVENBIT: Final = Body.SEVENBIT


class IntakeContext(NamedTuple):
    """What all intakes of one listener have in common.

    ``listener`` is its name; ``destination`` gives the spool's key for an address; ``claim`` says until when the
    relay named ``owner`` will have new mail for these destinations leased to it from the start (0.0: it will not).
    ``offset`` gives the minutes that local time is ahead of UTC in a minute, counted from 1970.  ``stored`` is called
    for each promised message, with True if its 250 has been written, ``refused`` for each refusal, with the source, the
    command, the verdict, and further facts for the log, and ``fault`` for each fault, with its facts.
    ``dsn_writer`` writes the reports of success that lists and aliases owe; without one there are none.  ``checks``
    make the content checks, and ``header_filter`` what removes header fields of messages that are checked.
    """

    listener: str
    lmtp: bool
    hostname: str
    headers: HeaderLimits
    max_message_size: int
    spool: Spool
    clock: Clock
    directory: Directory
    destination: Callable[[Address], str]
    owner: str
    claim: Callable[[Sequence[str]], float]
    offset: Callable[[int], int]
    stored: Callable[[Stored, bool], None]
    refused: Callable[..., None]
    log: EventSink
    fault: Callable[..., None]
    dsn_writer: DsnWriter | None = None
    checks: Sequence[CheckFactory] = ()
    header_filter: Callable[[], HeaderFilter] | None = None


class SpoolIntake:
    """An ``Intake`` that ends in the spool."""

    __slots__ = (
        "_beginning",
        "_checks",
        "_context",
        "_eightbit",
        "_envelope",
        "_envelopes",
        "_expansions",
        "_fault",
        "_fields",
        "_filter",
        "_greet",
        "_held",
        "_helo",
        "_incoming",
        "_peer",
        "_remarks",
        "_scan",
        "_secured",
        "_sending",
        "_size",
        "_source",
        "_successes",
        "_verdicts",
    )

    def __init__(
        self,
        context: IntakeContext,
        peer: Peer,
        greet: Greet,
        envelope: Envelope,
        envelopes: Sequence[Envelope],
        secured: Secured = NOT_SECURED,
        sending: Sending | None = None,
    ) -> None:
        """``envelope`` is what the client was answered for, ``envelopes`` what is stored; ``sending`` is told whether
        it was.  Raises ``StorageError``."""
        self._context = context
        self._peer = peer
        self._greet = greet
        self._secured = secured
        self._sending = sending
        self._envelope = envelope
        self._envelopes = envelopes
        self._helo = greet.domain
        self._source = f"{context.listener} {peer.host or 'unix socket'}:{peer.port}"
        self._fault: Verdict | None = None
        self._remarks: tuple[Remark, ...] = ()
        self._scan = HeaderScan(context.headers)
        self._size = 0
        self._eightbit = False  # the content has octets over 127
        plain = len(envelopes) == 1 and envelopes[0] is envelope
        self._successes = () if plain else tuple(successes(context.directory, envelope))
        self._expansions: Sequence[tuple[Expansion, ...]] = ()
        self._beginning = bytearray()  # of the content, where a report will quote it
        self._fields = b""
        self._held = ""
        self._verdicts: tuple[MethodVerdict, ...] = ()
        self._checks: ContentChecks | None = None
        self._filter: HeaderFilter | None = None
        self._incoming: list[IncomingMessage] = []
        try:
            for _ in envelopes:
                self._incoming.append(context.spool.receive(envelope.size or 0))
        except StorageError:
            self.abort()
            raise
        if not plain:
            ids = [incoming.id for incoming in self._incoming]
            self._expansions = expansions(context.directory, envelope, envelopes, ids)
        if context.checks:
            checked = CheckedMessage(peer, greet, envelope, self._incoming[0].id, context.hostname)
            self._checks = ContentChecks(context.checks, checked, clock=context.clock, on_error=self._check_failed)
            if context.header_filter is not None:
                self._filter = context.header_filter()

    def recorded_as(self, source: str, helo: str | None = None) -> None:
        """Record this source in log and history, in place of the peer (XFORWARD), and unless it is None the name that
        this client gave itself."""
        self._source = source
        if helo is not None:
            self._helo = helo

    def hide_client(self) -> None:
        """Leave the client out of the trace field."""
        self._secured = self._secured._replace(hidden=True)

    @property
    def queue_id(self) -> str:
        """The id that the message will have; of several, the first."""
        return self._incoming[0].id

    # -- the content -------------------------------------------------------------------------------------------------

    def write(self, chunk: bytes, end: int = -1, lowered: bytes = b"") -> Awaitable[None] | None:
        """Take the next octets of the content.

        A caller that knows it may say where the header section ends, if the first octets have the whole of it, and give
        it in lower case, with a CRLF in front.
        """
        if self._fault is not None:
            return None
        self._size += len(chunk)
        if self._size > self._context.max_message_size:
            self.fail(TOO_LARGE)
            return None
        self._eightbit = self._eightbit or not chunk.isascii()
        scan = self._scan
        if not scan.done:
            if end < 0:
                scan.write(chunk)
            else:
                scan.begin(chunk, end, lowered)
            if scan.refusal is not None:
                self.fail(scan.refusal)
                return None
        if self._successes:
            self._beginning += chunk[: HEAD_AT_MOST - len(self._beginning)]
        incoming = self._incoming
        try:
            if len(incoming) == 1 and self._checks is None:
                pressure = incoming[0].write(chunk)
                return None if pressure is None else self._guarded((pressure,))
            waits = []
            if self._checks is not None:
                if (wait := self._checks.write(chunk)) is not None:
                    waits.append(wait)
                if self._filter is not None:
                    chunk = self._filter.write(chunk)
            if chunk:
                waits += [wait for each in incoming if (wait := each.write(chunk)) is not None]
        except StorageError as error:
            self.fail(storage_verdict(error))
            return None
        return self._guarded(waits) if waits else None

    async def _guarded(self, waits: Sequence[Awaitable[None]]) -> None:
        try:
            for each in waits:
                await each
        except StorageError as error:
            self.fail(storage_verdict(error))

    def fail(self, verdict: Verdict) -> None:
        """The message cannot succeed any more: drop what is stored and what still comes, and refuse it in the end."""
        self._fault = verdict
        self.abort()

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """What was tolerated, for history and log."""
        self._remarks = remarks

    # -- the checks --------------------------------------------------------------------------------------------------

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        """The content is complete: check it, store it, and give the verdicts."""
        scan = self._scan
        if self._fault is None and not scan.done:
            scan.end()
            if scan.refusal is not None:
                self.fail(scan.refusal)
        if self._fault is not None:
            return self._refuse(self._fault)
        if self._checks is None:
            return self._store()
        if self._filter is not None and (rest := self._filter.end()):
            try:
                for incoming in self._incoming:
                    incoming.write(rest)  # a header section, far below the size from which the spool asks to wait
            except StorageError as error:
                return self._failed(error)
        result = self._checks.finish(self._size)
        return self._checked(result) if isinstance(result, CheckResult) else self._checked_later(result)

    async def _checked_later(self, awaitable: Awaitable[CheckResult]) -> tuple[Verdict, ...]:
        answer = self._checked(await awaitable)
        return answer if isinstance(answer, tuple) else await answer

    def _checked(self, result: CheckResult) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        if self._fault is not None:  # the client vanished meanwhile
            return self._refuse(self._fault)
        if result.refusal is not None:
            self.fail(result.refusal)
            return self._refuse(result.refusal, result.verdicts)
        self._fields = result.fields
        self._held = result.quarantine
        self._verdicts = result.verdicts
        return self._store()

    def _check_failed(self, error: BaseException) -> None:
        self._context.fault(reason=f"a content check failed: {type(error).__name__}: {error}", error=error)

    # -- storing -----------------------------------------------------------------------------------------------------

    def _store(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        if len(self._incoming) > 1 or self._successes:
            return self._store_all()
        try:
            storing = self._offer(self._envelopes[0], self._incoming[0])
        except StorageError as error:
            return self._failed(error)
        if not isinstance(storing, asyncio.Future):
            return self._store_one(storing)
        # The common case, without a task: the spool's future, and what is made of its result.
        verdicts = PendingResult()
        storing.add_done_callback(partial(self._settled, verdicts))
        return verdicts

    def _prefix(self, queue_id: str, now: float) -> bytes:
        """What stands in front of the content; see ``server.content_check`` for the order."""
        context = self._context
        offset = context.offset(int(now // 60.0))
        trace = trace_field(
            context.hostname, self._peer, self._greet, self._envelope, queue_id, now, offset, self._secured
        )
        gap = self._scan.gap
        return self._fields + trace + gap if self._fields or gap else trace

    def _offer(self, envelope: Envelope, incoming: IncomingMessage) -> Awaitable[Stored]:
        context = self._context
        now = context.clock.time()
        destinations = self._destinations(envelope)
        if self._eightbit and envelope.body is _SEVENBIT:  # announced to the next host, also if MAIL did not
            envelope = envelope._replace(body=Body.EIGHTBITMIME)
        until = 0.0 if self._held else context.claim(destinations)
        return incoming.commit(
            envelope,
            destinations,
            received=now,
            due=now,
            prefix=self._prefix(incoming.id, now),
            source=self._source,
            owner=context.owner if until else "",
            until=until,
            arrival=self._origin(incoming),
            held=self._held,
        )

    def _origin(self, incoming: IncomingMessage) -> Origin:
        scan, secured = self._scan, self._secured
        origin = Origin(scan.message_id, self._helo, secured.tls, secured.user, remarks=self._remarks)
        if self._verdicts:
            origin = origin._replace(verdicts=self._verdicts)
        if not self._expansions:
            return origin
        number = self._incoming.index(incoming)
        sender = self._envelope.sender
        return origin._replace(
            expansions=self._expansions[number],
            sender=path_text(sender) if sender != self._envelopes[number].sender else "",
            parent=self._incoming[0].id if number else "",
        )

    def _destinations(self, envelope: Envelope) -> list[str]:
        """The destination of each recipient; asked once for each domain."""
        if len(envelope.recipients) == 1:
            return [self._context.destination(envelope.recipients[0].address)]
        known: dict[str, str] = {}
        names: list[str] = []
        for recipient in envelope.recipients:
            address = recipient.address
            name = known.get(address.domain)
            if name is None:
                name = known[address.domain] = self._context.destination(address)
            names.append(name)
        return names

    def _settled(self, verdicts: PendingResult, storing: asyncio.Future[Stored]) -> None:
        if storing.cancelled():
            verdicts.settle(None, asyncio.CancelledError())
            return
        stored: Stored | None = None
        answer: tuple[Verdict, ...] = ()
        fault: BaseException | None = None
        try:
            stored = storing.result()
            self._keep()
            answer = self._promised()
        except StorageError as error:
            answer = self._failed(error)
        except Exception as other:
            fault = other
        try:
            verdicts.settle(answer, fault)
        finally:
            if stored is not None:
                self._stored(stored, is_answered=True)

    async def _store_one(self, storing: Awaitable[Stored]) -> tuple[Verdict, ...]:
        try:
            stored = await storing
            self._keep()
            self._stored(stored)
        except StorageError as error:
            return self._failed(error)
        return self._promised()

    async def _store_all(self) -> tuple[Verdict, ...]:
        try:
            for number, (envelope, incoming) in enumerate(zip(self._envelopes, self._incoming, strict=True)):
                if self._fault is not None:
                    return self._refuse(self._fault)
                stored = await self._offer(envelope, incoming)
                self._keep()
                self._stored(stored, number)
        except StorageError as error:
            return self._failed(error)
        if self._successes and not self._held:  # what is held has not been delivered or expanded yet
            await self._report()
        return self._promised()

    def _keep(self) -> None:
        """The message is stored: it stays counted among those of its sender."""
        if self._sending is not None:
            self._sending.keep(self._context.clock.monotonic())

    def _stored(self, stored: Stored, number: int = 0, is_answered: bool = False) -> None:
        self._context.stored(stored, is_answered)
        if self._expansions:
            log_expansions(self._context.log, stored.message, self._incoming[0].id, self._expansions[number])
        if self._remarks:
            said = "; ".join(map(remark_in_brief, self._remarks))
            self._context.log("lenient", id=stored.message.id, source=self._source, remarks=said)
        if self._verdicts:
            said = " ".join(map(str, self._verdicts))
            self._context.log("verified", id=stored.message.id, source=self._source, results=said)
        if self._held:
            self._context.log("quarantined", id=stored.message.id, source=self._source, reason=self._held)

    async def _report(self) -> None:
        """Report to the sender the success that storing has brought about."""
        context = self._context
        now = context.clock.time()
        original = OriginalMessage(self._incoming[0].id, self._envelope, now, bytes(self._beginning))
        statuses = [
            RecipientStatus(who, Action.DELIVERED if a_list else Action.EXPANDED) for who, a_list in self._successes
        ]
        try:
            for report in context.dsn_writer.write(original, statuses, now) if context.dsn_writer is not None else ():
                incoming = context.spool.receive()
                incoming.write(report.content)  # far below the size from which the spool asks to wait
                stored = await incoming.commit(
                    report.envelope, report.destinations, received=now, due=report.due, source="report"
                )
                context.stored(stored, False)
        except Exception as error:  # the message itself is safe
            reason = f"no report of success about {original.id} could be stored: {error}"
            context.fault(reason=reason, error=error)

    # -- the verdicts ------------------------------------------------------------------------------------------------

    def _promised(self) -> tuple[Verdict, ...]:
        return self._each(Verdict(Reply(250, "2.0.0", f"Ok: queued as {self._incoming[0].id}"), "stored"))

    def _failed(self, error: StorageError) -> tuple[Verdict, ...]:
        self.abort()
        return self._refuse(storage_verdict(error))

    def _refuse(self, verdict: Verdict, verdicts: Sequence[MethodVerdict] = ()) -> tuple[Verdict, ...]:
        if verdicts:
            self._context.refused(self._source, "DATA", verdict, results=" ".join(map(str, verdicts)))
        else:
            self._context.refused(self._source, "DATA", verdict)
        return self._each(verdict)

    def _each(self, verdict: Verdict) -> tuple[Verdict, ...]:
        return (verdict,) * (len(self._envelope.recipients) if self._context.lmtp else 1)

    def abort(self) -> None:
        """Forget the message.  After ``commit``: what is being stored is stored, and nothing else."""
        if self._fault is None:
            self._fault = GONE
        if self._sending is not None:
            self._sending.take_back()
        for incoming in self._incoming:
            incoming.abort()
        if self._checks is not None:
            self._checks.abort()
