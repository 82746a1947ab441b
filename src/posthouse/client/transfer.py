"""The transfer of one message to a peer: what can be decided before anything is sent, and as many transactions as the
recipients take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.client.features import Features, check_domain, commands_of
from posthouse.client.pipeline import Pipeline
from posthouse.client.transaction import Transaction
from posthouse.core import AsyncContent, Body, Bytes, Content, Envelope, LocalError, Outcome, Recipient, Reply, Result
from posthouse.protocol import write_command

__all__ = ["Transfer"]

#: What a message needs and the peer does not offer: the reply of this side, whose text is completed with the peer.
_NEEDS_UTF8: Final = Reply(553, "5.6.7", "an address or the header needs SMTPUTF8, which this host does not offer")
_NEEDS_8BIT: Final = Reply(554, "5.6.3", "the content has 8-bit octets and this host does not offer 8BITMIME")
_NEEDS_BINARY: Final = Reply(554, "5.6.1", "the content is binary and this host does not offer BINARYMIME")
_NEEDS_TLS: Final = Reply(530, "5.7.30", "the sender asked for REQUIRETLS, which this host does not offer")

# An attribute of an enumeration costs ten times a global name.
_DELIVERED: Final = Result.DELIVERED
_EIGHTBIT: Final = Body.EIGHTBITMIME
_SEVENBIT: Final = Body.SEVENBIT


class Transfer:
    """The transfer of one message to the peer of a channel: one transaction, or several if the peer takes only some
    recipients at a time (452 or 552 to RCPT, RFC 5321 §4.5.3.1.10; LIMITS RCPTMAX, RFC 9422).

    Short content with 8-bit octets is declared as such (RFC 6152 §3), also if its sender has not done so.

    It has begun when it is made.  ``ended`` is called once, when ``outcomes`` or ``error`` is set after that.
    ``holds`` is asked before the content is ended (``Transaction``).  ``promised`` says that the mail was accepted from
    somebody else: then a domain with an underscore is written, which a lenient receiver accepts.
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
        promised: bool = False,
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
        recipients = envelope.recipients
        single = recipients[0].address if len(recipients) == 1 else None  # nearly always, and asked without a loop
        sender = envelope.sender
        if single is None:
            utf8 = _needs_utf8(envelope)
        else:
            utf8 = envelope.smtputf8 or not (single.local.isascii() and (sender is None or sender.local.isascii()))
        self._utf8 = utf8
        refusal = None
        if utf8 or features.largest is not None or envelope.body is not _SEVENBIT or envelope.require_tls:
            refusal = _cannot(features, envelope, content, utf8)
        if refusal is not None:
            self.outcomes = tuple([_not_sent(channel, each, refusal) for each in recipients])
            return
        if envelope.body is _SEVENBIT and features.eightbit and type(content) is Bytes and not content.data.isascii():
            self._envelope = envelope = envelope._replace(body=_EIGHTBIT)
        most = features.most_recipients
        if not promised:
            try:
                if sender is not None and "_" in sender.domain:
                    check_domain(sender.domain)
                for recipient in recipients:
                    if "_" in recipient.address.domain:
                        check_domain(recipient.address.domain)
            except LocalError as error:
                self.error = error
                return
        if most and len(recipients) > most:
            try:
                _check_all(envelope, content, features, utf8)
            except LocalError as error:
                self.error = error
                return
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
        self._transaction = None  # no cycle is left, as below
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
            taken = several.sort(outcomes, transaction, channel.usable)
            if several.left and channel.usable:
                features = channel.features
                several.next_batch(taken or features.most_recipients or len(self._envelope.recipients))
                envelope = several.envelope()
                self._transaction = Transaction(
                    channel, envelope, self._content, self._utf8, features, self._transaction_ended, self._holds
                )
                channel.enter(self._transaction)
                return
            self.outcomes = several.outcomes(transaction)
        ended, self.ended = self.ended, None  # no cycle is left for the garbage collector
        if ended is not None:
            ended()


class _Several:
    """The recipients of a transfer that takes several transactions, as indices: decided, tried now, left."""

    def __init__(self, envelope: Envelope, most: int) -> None:
        self._envelope = envelope
        self._decided: dict[int, Outcome] = {}
        self._batch: list[int] = []
        self._most = most
        self.left = list(range(len(envelope.recipients)))
        self.next_batch(most)

    def next_batch(self, most: int) -> None:
        """Take the recipients of the next transaction: at most ``most``, and never more than in the one before."""
        self._most = most = min(self._most, most)
        self._batch, self.left = self.left[:most], self.left[most:]

    def envelope(self) -> Envelope:
        """The envelope of the next transaction."""
        recipients = self._envelope.recipients
        return self._envelope._replace(recipients=tuple([recipients[i] for i in self._batch]))

    def sort(self, outcomes: tuple[Outcome, ...], transaction: Transaction, usable: bool) -> int:
        """Keep the outcomes of a transaction that are final.  The recipients that were too many are left, if the peer
        took others and the channel is usable.  Returns how many it took: more would be refused again in the next
        transaction, and many hosts end a session in which they have refused much."""
        again: list[int] = []
        taken = sum([outcome.result is _DELIVERED for outcome in outcomes])
        for place, (i, outcome) in enumerate(zip(self._batch, outcomes, strict=True)):
            if taken and usable and transaction.too_many(place):
                again.append(i)
            else:
                self._decided[i] = outcome
        self.left = again + self.left
        return taken

    def outcomes(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """All outcomes; those of recipients that are left say why the connection of ``transaction`` was lost."""
        recipients = self._envelope.recipients
        for i in self.left:
            self._decided[i] = transaction.outcome(recipients[i], connection_lost=True)
        return tuple([self._decided[i] for i in range(len(recipients))])


def _check_all(envelope: Envelope, content: Content | AsyncContent, features: Features, utf8: bool) -> None:
    """Raise ``LocalError`` if an address of any transaction to come cannot be written: none shall be sent then."""
    mail, recipients = commands_of(envelope, content.size, features, utf8)
    write_command(mail)
    for recipient in recipients:
        write_command(recipient)


def _cannot(features: Features, envelope: Envelope, content: Content | AsyncContent, utf8: bool) -> Reply | None:
    """The reason why this message cannot be sent to this peer at all, or None."""
    if features.largest is not None and content.size > features.largest:
        text = f"the message has {content.size} octets and this host takes at most {features.largest} (SIZE)"
        return Reply(552, "5.3.4", text)
    if utf8 and not features.utf8:
        return _NEEDS_UTF8
    if envelope.body is not _SEVENBIT:
        if envelope.body is _EIGHTBIT and not features.eightbit:
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
    return any(not recipient.address.local.isascii() for recipient in envelope.recipients)


def _not_sent(channel: Pipeline, recipient: Recipient, reply: Reply) -> Outcome:
    """The outcome of a decision of this side: without a peer, because no host gave this reply."""
    reason = f"not sent to {channel.peer}: {reply.text}"
    return Outcome(recipient, Result.FAILED, reply._replace(text=reason), reason)
