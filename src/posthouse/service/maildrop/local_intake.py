"""Acceptance of a message that a program of this machine has left: judged and stored as a submitted one.

The local user is trusted as a host of ``trusted_networks`` is: mail may go anywhere, and what a listener would refuse
for its size, its hops or its mailbox is refused here too.  There is no client to whom a refusal could be said, so the
sender gets a delivery status notification; what can only not be stored *now* stays in the maildrop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from posthouse.core import Envelope, Recipient, Reply, StorageError, Verdict
from posthouse.message.dsn.model import Action, OriginalMessage, RecipientStatus
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.server.policy import Peer
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.maildrop.drop_file import DroppedMessage, LineEnds
from posthouse.service.policy.header_scan import HEAD_AT_MOST
from posthouse.service.policy.intake import SpoolIntake
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.service.policy.submission import SubmissionTerms, SubmittedIntake
from posthouse.service.policy.trace import Secured
from posthouse.service.policy.verdicts import storage_verdict

__all__ = ["Taken", "accept"]

T = TypeVar("T")

_HERE: Final = Peer("", 0)
_LOCAL: Final = Greet("EHLO", "localhost")


class Taken(NamedTuple):
    """How a file ended: ``queue_id`` where the message was stored, "" where it was refused as a whole and reported.
    ``later``: nothing was done, for this reason, and the file must stay."""

    queue_id: str = ""
    later: str = ""


class _Refusals:
    """The refusals of one message, and the report about them."""

    def __init__(self) -> None:
        self.of: list[tuple[Recipient, Reply]] = []

    def statuses(self, now: float) -> list[RecipientStatus]:
        """What the report says of each."""
        return [RecipientStatus(who, Action.FAILED, reply, attempted=now) for who, reply in self.of]


async def accept(policy: ListenerPolicy, file: DroppedMessage, drop_id: str) -> Taken:
    """Judge and store the message of an open file."""
    session = SessionPolicy(policy, _HERE)
    try:
        return await _accept(policy, session, file, drop_id)
    finally:
        session.disconnected()


async def _accept(policy: ListenerPolicy, session: SessionPolicy, file: DroppedMessage, drop_id: str) -> Taken:
    whole = file.dropped.envelope._replace(size=file.size)
    refusals = _Refusals()
    beginning = bytearray()
    envelope = await _judged(session, whole, refusals)
    if isinstance(envelope, Verdict):
        return Taken(later=str(envelope.reply))
    verdict: Verdict | None = None
    if envelope.recipients:
        verdict = await _stored(policy, envelope, file, drop_id, beginning)
        if verdict.reply.transient:
            return Taken(later=f"{verdict.reply} ({verdict.reason})")
        if not verdict.reply.positive:
            refusals.of += [(each, verdict.reply) for each in envelope.recipients]
    else:
        beginning += LineEnds().feed(await asyncio.to_thread(file.read))
    if refusals.of:
        try:
            await _report(policy, whole, refusals, drop_id, bytes(beginning))
        except StorageError as error:
            if verdict is None or not verdict.reply.positive:
                return Taken(later=f"no report could be stored: {error}")
            policy.intake.fault(reason=f"no report of refusals of {drop_id} could be stored: {error}", error=error)
    stored = verdict is not None and verdict.reply.positive
    return Taken(_queue_id(verdict.reply) if stored and verdict is not None else "")


def _queue_id(reply: Reply) -> str:
    """The id at the end of ``Ok: queued as <id>``."""
    return str(reply).rpartition(" ")[2]


async def _answer(answer: T | Awaitable[T]) -> T:
    return await answer if isinstance(answer, Awaitable) else answer


async def _judged(session: SessionPolicy, envelope: Envelope, refusals: _Refusals) -> Envelope | Verdict:
    """The envelope with the recipients that are accepted; a verdict if nothing can be taken now."""
    for first in (session.connected(), session.greeted(_LOCAL)):
        verdict = await _answer(first)
        if not verdict.reply.positive:
            return verdict
    verdict = await _answer(
        session.mail(Mail(envelope.sender, envelope.size, envelope.body, envelope.smtputf8, envelope.ret))
    )
    if verdict.reply.transient:
        return verdict
    if not verdict.reply.positive:
        refusals.of += [(each, verdict.reply) for each in envelope.recipients]
        return envelope._replace(recipients=())
    accepted: list[Recipient] = []
    for each in envelope.recipients:
        verdict = await _answer(session.rcpt(envelope, Rcpt(each.address, each.notify, each.orcpt), accepted))
        if verdict.reply.positive:
            accepted.append(each)
        else:
            refusals.of.append((each, verdict.reply))
    return envelope._replace(recipients=tuple(accepted))


async def _stored(
    policy: ListenerPolicy, envelope: Envelope, file: DroppedMessage, drop_id: str, beginning: bytearray
) -> Verdict:
    """Store the message; its verdict.  The first octets are put into ``beginning``."""
    shared = policy.signing()
    settings = policy.settings
    try:
        envelopes = expand_envelope(policy.directory, envelope)
        inner = SpoolIntake(shared, _HERE, _LOCAL, envelope, envelopes, Secured(local=file.user))
    except StorageError as error:
        return storage_verdict(error)
    inner.recorded_as(f"maildrop {file.user} {drop_id}")
    terms = SubmissionTerms(
        policy.config.hostname, settings.max_message_size, settings.max_header_size, "", None, True, True, False
    )
    intake = SubmittedIntake(terms, envelope.sender, inner, policy.clock, shared.offset)
    ends = LineEnds()
    try:
        while piece := await asyncio.to_thread(file.read):
            await _write(intake.write, ends.feed(piece), beginning)
        await _write(intake.write, ends.end(), beginning)
    except BaseException:
        intake.abort()
        raise
    verdicts = intake.commit()
    return (verdicts if isinstance(verdicts, tuple) else await verdicts)[0]


async def _write(write: Callable[[bytes], Awaitable[None] | None], octets: bytes, beginning: bytearray) -> None:
    if octets:
        beginning += octets[: max(0, HEAD_AT_MOST - len(beginning))]
        pressure = write(octets)
        if pressure is not None:
            await pressure


async def _report(
    policy: ListenerPolicy, envelope: Envelope, refusals: _Refusals, drop_id: str, beginning: bytes
) -> None:
    """Store the reports that tell the sender what was refused.  Raises ``StorageError``."""
    context = policy.intake
    now = policy.clock.time()
    original = OriginalMessage(drop_id, envelope, now, beginning)
    writer = context.dsn_writer
    for report in writer.write(original, refusals.statuses(now), now) if writer is not None else ():
        incoming = context.spool.receive()
        pressure = incoming.write(report.content)
        if pressure is not None:
            await pressure
        stored = await incoming.commit(
            report.envelope, report.destinations, received=now, due=report.due, source="report"
        )
        context.stored(stored, False)
