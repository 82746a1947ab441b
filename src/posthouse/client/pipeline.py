"""Giving one message to the peer of a session: what is known before anything is sent, and as many transactions as its
recipients take.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from posthouse.client.features import Features
from posthouse.client.transaction import Transaction
from posthouse.core import Body, Content, Envelope, Outcome, Recipient, Reply, Result

if TYPE_CHECKING:
    from posthouse.client.session import Session

__all__ = ["Begun", "deliver"]

_TOO_LARGE: Final = Reply(552, "5.3.4", "Message is larger than the receiver announced with SIZE")
_NEEDS_UTF8: Final = Reply(553, "5.6.7", "Address or header needs SMTPUTF8, which the receiver does not offer")
_NEEDS_8BIT: Final = Reply(554, "5.6.3", "Content has 8-bit octets and the receiver does not offer 8BITMIME")
_NEEDS_BINARY: Final = Reply(554, "5.6.1", "Content is binary and the receiver does not offer BINARYMIME")
_NEEDS_TLS: Final = Reply(530, "5.7.30", "The sender asked for REQUIRETLS and the channel is not protected")

# An attribute of an enumeration costs ten times a global name.
_DELIVERED: Final = Result.DELIVERED
_SEVENBIT: Final = Body.SEVENBIT


async def deliver(session: Session, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
    """Give one message to the peer: an outcome for each of the envelope's recipients, in their order.

    A receiver that takes only some recipients at a time (452 4.5.3; RFC 5321 §4.5.3.1.10; LIMITS RCPTMAX, RFC 9422) is
    given the others in further transactions on the same session.
    """
    return await Begun(session, envelope, content).end()


class Begun:
    """A message that has been handed to its session: it is under way, stands in line, or was not for this peer.

    ``end`` must be awaited once, or ``leave_out`` called.
    """

    __slots__ = ("_outcomes", "_session", "_transaction", "_whole")

    def __init__(self, session: Session, envelope: Envelope, content: Content) -> None:
        traits = session.traits
        utf8 = _needs_utf8(envelope)
        refusal = _cannot(traits, envelope, content, utf8)
        people = envelope.recipients
        self._session = session
        self._transaction: Transaction | None = None
        self._outcomes: tuple[Outcome, ...] = ()
        self._whole = not traits.most_recipients or len(people) <= traits.most_recipients
        if refusal is not None:
            self._outcomes = tuple(_local(session, each, refusal) for each in people)
            return
        self._transaction = transaction = Transaction(session, envelope, content, utf8)
        if self._whole:
            session.enter(transaction)

    async def end(self) -> tuple[Outcome, ...]:
        """What became of it: an outcome for each recipient, in their order.  Cancelled, it ends the channel."""
        transaction = self._transaction
        if transaction is None:
            return self._outcomes
        outcomes: tuple[Outcome, ...] = ()
        first: list[int] = []
        if self._whole:
            try:
                outcomes = await transaction.ended
            except asyncio.CancelledError:
                self._session.leave_out(transaction)
                raise
            many = len(outcomes)
            if many == 1 or all(outcome.result is _DELIVERED for outcome in outcomes):
                return outcomes
            first = list(range(many))
        return await _in_parts(self._session, transaction, first, outcomes)

    def leave_out(self) -> None:
        """Nobody waits for it any more."""
        if self._transaction is not None:
            self._session.leave_out(self._transaction)


async def _in_parts(
    session: Session, transaction: Transaction, batch: list[int], outcomes: tuple[Outcome, ...]
) -> tuple[Outcome, ...]:
    """As many transactions as it takes; the first is ``transaction``, of which ``outcomes`` came for the recipients in
    ``batch``."""
    envelope = transaction.envelope
    most = session.traits.most_recipients or len(envelope.recipients)
    decided: dict[int, Outcome] = {}
    rest = [] if batch else list(range(len(envelope.recipients)))
    while True:
        again = []
        taken = any(outcome.result is _DELIVERED for outcome in outcomes)
        for i, outcome in zip(batch, outcomes, strict=True):
            if taken and session.usable and _too_many(outcome):
                again.append(i)
            else:
                decided[i] = outcome
        waiting = again + rest
        if not waiting:
            break
        if batch and not session.usable:
            for i in waiting:
                decided[i] = transaction.outcome(envelope.recipients[i], session_lost=True)
            break
        batch, rest = waiting[:most], waiting[most:]
        part = envelope._replace(recipients=tuple(envelope.recipients[i] for i in batch))
        transaction = Transaction(session, part, transaction.content, transaction.utf8)
        session.enter(transaction)
        try:
            outcomes = await transaction.ended
        except asyncio.CancelledError:
            session.leave_out(transaction)
            raise
    return tuple(decided[i] for i in range(len(envelope.recipients)))


def _too_many(outcome: Outcome) -> bool:
    """Was this recipient refused only because there were others before it?"""
    reply = outcome.reply
    if reply is None:
        return False
    return (reply.code == 452 and reply.enhanced in ("4.5.3", "")) or (reply.code == 552 and reply.enhanced == "5.5.3")


def _cannot(traits: Features, envelope: Envelope, content: Content, utf8: bool) -> Reply | None:
    """Why this message cannot go to this peer at all, if so."""
    if traits.largest is not None and content.size > traits.largest:
        return _TOO_LARGE
    if utf8 and not traits.utf8:
        return _NEEDS_UTF8
    if envelope.body is not _SEVENBIT:
        if envelope.body is Body.EIGHTBITMIME and not traits.eightbit:
            return _NEEDS_8BIT
        if envelope.body is Body.BINARYMIME and not traits.binary:
            return _NEEDS_BINARY
    # A report asks for it where the channel has it, and is not lost where not (RFC 8689 §5).
    if envelope.require_tls and envelope.sender is not None and not traits.require_tls:
        return _NEEDS_TLS
    return None


def _needs_utf8(envelope: Envelope) -> bool:
    sender = envelope.sender
    if envelope.smtputf8 or not (sender is None or sender.local.isascii()):
        return True
    recipients = envelope.recipients
    if len(recipients) == 1:  # a generator costs more than its question
        return not recipients[0].address.local.isascii()
    return any(not recipient.address.local.isascii() for recipient in recipients)


def _local(session: Session, recipient: Recipient, reply: Reply) -> Outcome:
    return Outcome(recipient, Result.FAILED, reply, f"not sent to {session.peer}: {reply.text}", session.peer)
