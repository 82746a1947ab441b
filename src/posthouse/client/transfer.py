"""The transfer of one message to a peer: what can be decided before anything is sent, and as many transactions as the
recipients take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.client.features import Features
from posthouse.client.pipeline import Pipeline
from posthouse.client.transaction import Transaction
from posthouse.core import AsyncContent, Body, Content, Envelope, Outcome, Recipient, Reply, Result

__all__ = ["Transfer"]

_TOO_LARGE: Final = Reply(552, "5.3.4", "Message is larger than the receiver announced with SIZE")
_NEEDS_UTF8: Final = Reply(553, "5.6.7", "Address or header needs SMTPUTF8, which the receiver does not offer")
_NEEDS_8BIT: Final = Reply(554, "5.6.3", "Content has 8-bit octets and the receiver does not offer 8BITMIME")
_NEEDS_BINARY: Final = Reply(554, "5.6.1", "Content is binary and the receiver does not offer BINARYMIME")
_NEEDS_TLS: Final = Reply(530, "5.7.30", "The sender asked for REQUIRETLS and the channel is not protected")

# An attribute of an enumeration costs ten times a global name.
_DELIVERED: Final = Result.DELIVERED
_SEVENBIT: Final = Body.SEVENBIT


class Transfer:
    """The transfer of one message to the peer of a channel: one transaction, or several if the peer takes only some
    recipients at a time (452 4.5.3, RFC 5321 §4.5.3.1.10; LIMITS RCPTMAX, RFC 9422).

    It has begun when it is made.  ``ended`` is called once, when ``outcomes`` or ``error`` is set after that.
    ``holds`` is asked before the content is ended (``Transaction``).
    """

    __slots__ = (
        "_channel",
        "_content",
        "_envelope",
        "_holds",
        "_several",
        "_transaction",
        "_utf8",
        "ended",
        "error",
        "outcomes",
    )

    def __init__(
        self,
        channel: Pipeline,
        envelope: Envelope,
        content: Content | AsyncContent,
        holds: Callable[[], bool] | None = None,
    ) -> None:
        #: One outcome for each recipient, in the order of the envelope, once the transfer has ended.
        self.outcomes: tuple[Outcome, ...] | None = None
        #: The exception of this side that ended the transfer.
        self.error: Exception | None = None
        self.ended: Callable[[], object] | None = None
        self._channel = channel
        self._envelope = envelope
        self._content = content
        self._holds = holds
        self._several: _Several | None = None
        self._transaction: Transaction | None = None
        features = channel.features
        self._utf8 = utf8 = _needs_utf8(envelope)
        refusal = _cannot(features, envelope, content, utf8)
        if refusal is not None:
            self.outcomes = tuple([_not_sent(channel, each, refusal) for each in envelope.recipients])
            return
        most = features.most_recipients
        if most and len(envelope.recipients) > most:
            self._several = _Several(envelope, most)
            envelope = self._several.envelope()
        self._transaction = transaction = Transaction(
            channel, envelope, content, utf8, features, self._transaction_ended, holds
        )
        channel.enter(transaction)

    def withdraw(self) -> None:
        """The caller does not want the outcomes any more; see ``Pipeline.withdraw``."""
        self.ended = None
        if self._transaction is not None:
            self._channel.withdraw(self._transaction)

    def _transaction_ended(self, transaction: Transaction) -> None:
        """End, or begin a transaction for the recipients that the peer did not take because there were too many."""
        self._transaction = None  # no cycle is left for the garbage collector
        outcomes = transaction.outcomes
        several = self._several
        if outcomes is None:
            self.error = transaction.error
        elif several is None and (len(outcomes) == 1 or all(each.result is _DELIVERED for each in outcomes)):
            self.outcomes = outcomes
        else:
            channel = self._channel
            if several is None:
                self._several = several = _Several(self._envelope, len(outcomes))
            several.sort(outcomes, channel.usable)
            if several.left and channel.usable:
                features = channel.features
                several.next_batch(features.most_recipients or len(self._envelope.recipients))
                envelope = several.envelope()
                self._transaction = Transaction(
                    channel, envelope, self._content, self._utf8, features, self._transaction_ended, self._holds
                )
                channel.enter(self._transaction)
                return
            self.outcomes = several.outcomes(transaction)
        if self.ended is not None:
            self.ended()


class _Several:
    """The recipients of a transfer that takes several transactions, as indices: decided, tried now, left."""

    def __init__(self, envelope: Envelope, most: int) -> None:
        self._envelope = envelope
        self._decided: dict[int, Outcome] = {}
        self._batch: list[int] = []
        self.left = list(range(len(envelope.recipients)))
        self.next_batch(most)

    def next_batch(self, most: int) -> None:
        """Take the recipients of the next transaction."""
        self._batch, self.left = self.left[:most], self.left[most:]

    def envelope(self) -> Envelope:
        """The envelope of the next transaction."""
        recipients = self._envelope.recipients
        return self._envelope._replace(recipients=tuple([recipients[i] for i in self._batch]))

    def sort(self, outcomes: tuple[Outcome, ...], usable: bool) -> None:
        """Keep the outcomes of a transaction that are final.  The recipients that were too many are left, if the peer
        took others and the channel is usable."""
        again = []
        progress = any(outcome.result is _DELIVERED for outcome in outcomes)
        for i, outcome in zip(self._batch, outcomes, strict=True):
            if progress and usable and _too_many(outcome):
                again.append(i)
            else:
                self._decided[i] = outcome
        self.left = again + self.left

    def outcomes(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """All outcomes; those of recipients that are left say why the connection of ``transaction`` was lost."""
        recipients = self._envelope.recipients
        for i in self.left:
            self._decided[i] = transaction.outcome(recipients[i], connection_lost=True)
        return tuple([self._decided[i] for i in range(len(recipients))])


def _too_many(outcome: Outcome) -> bool:
    """Whether this recipient was refused only because there were others before it."""
    reply = outcome.reply
    if reply is None:
        return False
    return (reply.code == 452 and reply.enhanced in ("4.5.3", "")) or (reply.code == 552 and reply.enhanced == "5.5.3")


def _cannot(features: Features, envelope: Envelope, content: Content | AsyncContent, utf8: bool) -> Reply | None:
    """The reason why this message cannot be sent to this peer at all, or None."""
    if features.largest is not None and content.size > features.largest:
        return _TOO_LARGE
    if utf8 and not features.utf8:
        return _NEEDS_UTF8
    if envelope.body is not _SEVENBIT:
        if envelope.body is Body.EIGHTBITMIME and not features.eightbit:
            return _NEEDS_8BIT
        if envelope.body is Body.BINARYMIME and not features.binary:
            return _NEEDS_BINARY
    # A report asks for REQUIRETLS where the peer has it, and is not lost where it has not (RFC 8689 §5).
    if envelope.require_tls and envelope.sender is not None and not features.require_tls:
        return _NEEDS_TLS
    return None


def _needs_utf8(envelope: Envelope) -> bool:
    sender = envelope.sender
    if envelope.smtputf8 or not (sender is None or sender.local.isascii()):
        return True
    recipients = envelope.recipients
    if len(recipients) == 1:  # a generator costs more than the question
        return not recipients[0].address.local.isascii()
    return any(not recipient.address.local.isascii() for recipient in recipients)


def _not_sent(channel: Pipeline, recipient: Recipient, reply: Reply) -> Outcome:
    return Outcome(recipient, Result.FAILED, reply, f"not sent to {channel.peer}: {reply.text}", channel.peer)
