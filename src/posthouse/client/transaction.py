"""One mail transaction, from the envelope to one outcome per recipient (RFC 5321 §3.3, RFC 2920 §3.1, RFC 3030).

Two ways through it:

    DATA   MAIL RCPT… DATA → replies → content, dot → final reply
    BDAT   MAIL RCPT… [BDAT LAST content] → replies          short content, with PIPELINING: one round trip
           MAIL RCPT… → replies → BDAT… BDAT LAST → replies  otherwise

Without PIPELINING the first group is sent a command at a time; nothing else differs, because the replies are matched to
what they answer and not to how it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from posthouse.protocol import Answered, Bdat, Capabilities, Command, Data, Mail, Rcpt, Rset, Sent, State
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.protocol.parameters import orcpt_encode
from posthouse.words import (
    Address,
    Body,
    Content,
    Envelope,
    Handover,
    LocalError,
    OriginalRecipient,
    Outcome,
    Recipient,
    RemoteError,
    Reply,
    Result,
)

if TYPE_CHECKING:
    from posthouse.client.session import Session

__all__ = ["Transaction", "deliver", "result_of"]

#: Content up to this many octets travels in the same write as the envelope, where CHUNKING and PIPELINING allow it.
_SHORT = 65_536
#: Octets of one BDAT chunk of longer content.
_CHUNK = 1_048_576

_TOO_LARGE = Reply(552, "5.3.4", "Message is larger than the receiver announced with SIZE")
_NEEDS_UTF8 = Reply(553, "5.6.7", "Address or header needs SMTPUTF8, which the receiver does not offer")
_NEEDS_8BIT = Reply(554, "5.6.3", "Content has 8-bit octets and the receiver does not offer 8BITMIME")
_NEEDS_BINARY = Reply(554, "5.6.1", "Content is binary and the receiver does not offer BINARYMIME")
_NEEDS_TLS = Reply(530, "5.7.30", "The sender asked for REQUIRETLS and the channel is not protected")


def result_of(reply: Reply) -> Result:
    """What a reply that decided a recipient means for it."""
    if reply.positive:
        return Result.DELIVERED
    return Result.DEFERRED if reply.transient else Result.FAILED


async def deliver(session: Session, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
    """Give one message to the peer: an outcome for each of the envelope's recipients, in their order.

    A receiver that takes only some recipients at a time (452 4.5.3; RFC 5321 §4.5.3.1.10; LIMITS RCPTMAX, RFC 9422) is
    given the others in further transactions on the same session.
    """
    refusal = _cannot(session.capabilities, envelope, content)
    if refusal is not None:
        return tuple(_local(session, each, refusal) for each in envelope.recipients)
    most = session.capabilities.limits.get("RCPTMAX", 0) or len(envelope.recipients)
    decided: dict[int, Outcome] = {}
    waiting = list(range(len(envelope.recipients)))
    while waiting:
        batch, rest = waiting[:most], waiting[most:]
        part = envelope._replace(recipients=tuple(envelope.recipients[i] for i in batch))
        transaction = Transaction(session, part, content)
        outcomes = await transaction.run()
        again = []
        taken = any(outcome.result is Result.DELIVERED for outcome in outcomes)
        for i, outcome in zip(batch, outcomes, strict=True):
            if taken and session.usable and _too_many(outcome):
                again.append(i)
            else:
                decided[i] = outcome
        waiting = again + rest
        if waiting and not session.usable:
            for i in waiting:
                decided[i] = transaction.outcome(envelope.recipients[i], session_lost=True)
            break
    return tuple(decided[i] for i in range(len(envelope.recipients)))


def _too_many(outcome: Outcome) -> bool:
    """Was this recipient refused only because there were others before it?"""
    reply = outcome.reply
    if reply is None:
        return False
    return (reply.code == 452 and reply.enhanced in ("4.5.3", "")) or (reply.code == 552 and reply.enhanced == "5.5.3")


def _cannot(capabilities: Capabilities, envelope: Envelope, content: Content) -> Reply | None:
    """Why this message cannot go to this peer at all, if so."""
    if capabilities.size is not None and content.size > capabilities.size:
        return _TOO_LARGE
    if not capabilities.has("SMTPUTF8") and _needs_utf8(envelope):
        return _NEEDS_UTF8
    if envelope.body is Body.EIGHTBITMIME and not capabilities.has("8BITMIME"):
        return _NEEDS_8BIT
    if envelope.body is Body.BINARYMIME and not (capabilities.has("BINARYMIME") and capabilities.has("CHUNKING")):
        return _NEEDS_BINARY
    # A report asks for it where the channel has it, and is not lost where not (RFC 8689 §5).
    if envelope.require_tls and envelope.sender is not None and not capabilities.has("REQUIRETLS"):
        return _NEEDS_TLS
    return None


def _needs_utf8(envelope: Envelope) -> bool:
    if envelope.smtputf8 or not (envelope.sender is None or envelope.sender.local.isascii()):
        return True
    return any(not recipient.address.local.isascii() for recipient in envelope.recipients)


def _local(session: Session, recipient: Recipient, reply: Reply) -> Outcome:
    return Outcome(recipient, Result.FAILED, reply, f"not sent to {session.peer}: {reply.text}", session.peer)


def _sayable(orcpt: OriginalRecipient | None) -> OriginalRecipient | None:
    """None for one that cannot be written: in its 7-bit form a UTF-8 address may be longer than an ORCPT may be.  A
    report that names the recipient less well is better than a message that never goes on."""
    if orcpt is not None:
        try:
            orcpt_encode(orcpt)
        except GrammarError:
            return None
    return orcpt


class Transaction:
    """The course of one transaction; ``run`` once."""

    def __init__(self, session: Session, envelope: Envelope, content: Content) -> None:
        self._session = session
        self._envelope = envelope
        self._content = content
        self._replies: dict[int, Reply] = {}  # recipient's index → the reply that decided it
        self._accepted: dict[int, int] = {}  # recipient's index → how many were accepted before it
        self._next_rcpt = 0
        self._refused: Reply | None = None  # what MAIL or DATA was refused with: everybody's reply
        self._may_go = False  # DATA was answered 354
        self._completed = False  # everything that completes the message has been written
        self._finals: list[Reply] = []
        self._utf8 = _needs_utf8(envelope)

    async def run(self) -> tuple[Outcome, ...]:
        """Carry it out."""
        session = self._session
        session.messages += 1
        capabilities = session.capabilities
        chunking = capabilities.has("CHUNKING")
        group: list[Command] = [self._mail(), *self._rcpts()]
        if session.sender.state is not State.READY:
            group.insert(0, Rset())
        if chunking:
            together = capabilities.has("PIPELINING") and not session.sender.lmtp and self._content.size <= _SHORT
            together = together and not session.cautious
            session.cautious = False
            await self._envelope_group(group, b"".join(self._content.chunks()) if together else None)
            if not together and self._accepted and self._refused is None and session.fault is None:
                await self._chunks()
        else:
            await self._envelope_group([*group, Data()], None)
            if self._may_go:
                await self._data()
        if session.fault is not None:
            session.abort()
        return tuple(self.outcome(each, i) for i, each in enumerate(self._envelope.recipients))

    # -- the envelope ------------------------------------------------------------------------------------------

    def _mail(self) -> Mail:
        """MAIL with the parameters that this peer understands."""
        envelope, capabilities = self._envelope, self._session.capabilities
        dsn = capabilities.has("DSN")
        utf8 = self._utf8
        return Mail(
            None if envelope.sender is None else self._spelt(envelope.sender, utf8),
            size=self._content.size if capabilities.has("SIZE") else None,
            body=envelope.body if capabilities.has("8BITMIME") else Body.SEVENBIT,
            smtputf8=utf8,
            ret=envelope.ret if dsn else None,
            envid=envelope.envid if dsn else None,
            require_tls=envelope.require_tls and capabilities.has("REQUIRETLS"),
        )

    def _rcpts(self) -> Iterator[Rcpt]:
        dsn = self._session.capabilities.has("DSN")
        utf8 = self._utf8
        for recipient in self._envelope.recipients:
            address = self._spelt(recipient.address, utf8)
            yield Rcpt(address, recipient.notify if dsn else None, _sayable(recipient.orcpt) if dsn else None)

    @staticmethod
    def _spelt(address: Address, utf8: bool) -> Address:
        """Without SMTPUTF8 a domain in U-labels goes out as A-labels (RFC 6531 §3.2): it is the same domain."""
        if utf8 or address.domain.isascii():
            return address
        return Address(address.local, domain_to_ascii(address.domain))

    async def _envelope_group(self, group: list[Command], content: bytes | None) -> None:
        """Send the group, in one write if the peer takes that, and hear every reply.  ``content`` goes along as the
        only chunk."""
        session = self._session
        sender = session.sender
        if session.capabilities.has("PIPELINING"):
            wire = [sender.send(command) for command in group]
            if content is not None:
                wire.append(sender.send_chunk(content, last=True))
                self._completed = True
            expected = len(wire)
            session.write(b"".join(wire))
            seconds = session.timeouts.final if content is not None else session.timeouts.command
            self._hear(await session.answers(expected, seconds, "the envelope"))
            return
        for command in group:
            if isinstance(command, Data) and not self._accepted:
                return
            session.write(sender.send(command))
            seconds = session.timeouts.data if isinstance(command, Data) else session.timeouts.command
            answers = await session.answers(1, seconds, command.verb)
            self._hear(answers)
            if not answers or self._refused is not None or sender.state is State.CLOSED:
                return

    def _hear(self, answers: list[Answered]) -> None:
        for to, reply in answers:
            if isinstance(to, Mail):
                if not reply.positive:
                    self._refused = reply
            elif isinstance(to, Rcpt):
                if reply.positive:
                    self._accepted[self._next_rcpt] = len(self._accepted)
                elif self._refused is None:
                    self._replies[self._next_rcpt] = reply
                self._next_rcpt += 1
            elif isinstance(to, Data):
                if reply.code // 100 == 3:
                    self._may_go = True
                elif self._refused is None:
                    self._refused = reply
            elif isinstance(to, Bdat) and not to.last:
                if not reply.positive and self._refused is None:
                    self._refused = reply
            elif to is Sent.CONTENT_END or isinstance(to, Bdat):
                if self._refused is None:  # behind a refused MAIL or chunk it tells nothing new
                    self._finals.append(reply)
            elif to is None and self._refused is None:
                self._refused = reply  # an unsolicited 421: everybody's reply
            if reply.code == 421 and self._refused is None and not self._finals:
                self._refused = reply

    # -- the content -------------------------------------------------------------------------------------------

    async def _data(self) -> None:
        """After 354: content and dot; the dot alone if no recipient was accepted (RFC 2920 §3.1)."""
        session = self._session
        sender = session.sender
        wire = b""  # the last piece goes with the dot: a short message is one write
        try:
            for chunk in self._content.chunks() if self._accepted else ():
                if wire:
                    session.write(wire)
                    if not await session.drained(session.timeouts.block):
                        break
                wire = sender.send_content(chunk)
        except LocalError as error:  # a bare CR or LF: what was sent so far must never be ended with a dot
            self._refused = Reply(554, "5.6.0", str(error))
            session.abort()
        if session.fault is None and sender.state is State.CONTENT:
            session.write(wire + sender.end_content())
            self._completed = bool(self._accepted)
        expected = max(1, len(self._accepted)) if sender.lmtp else 1
        self._hear(await session.answers(expected, session.timeouts.final, "the content"))

    async def _chunks(self) -> None:
        """BDAT after the envelope was heard.  Chunks are pipelined; the first refusal stops them."""
        session = self._session
        sender = session.sender
        pieces = self._content.chunks(_CHUNK)
        piece = next(pieces, b"")
        unheard = 0
        pipelining = session.capabilities.has("PIPELINING")
        while self._refused is None and session.fault is None:
            following = next(pieces, None)
            last = following is None
            session.write(sender.send_chunk(piece, last=last))
            unheard += 1
            if last:
                self._completed = True
                break
            assert following is not None
            piece = following
            await session.drained(session.timeouts.block)
            if not pipelining or unheard >= 4:
                self._hear(await session.answers(1, session.timeouts.final, "BDAT"))
                unheard -= 1
        if self._completed and sender.lmtp:
            unheard += len(self._accepted) - 1
        self._hear(await session.answers(unheard, session.timeouts.final, "BDAT"))

    # -- the outcomes ------------------------------------------------------------------------------------------

    def outcome(self, recipient: Recipient, index: int = -1, *, session_lost: bool = False) -> Outcome:
        """What became of one recipient."""
        peer = self._session.peer
        if not session_lost:
            reply = self._decisive(index)
            if reply is not None:
                return Outcome(recipient, result_of(reply), reply, f"{peer} said: {reply}", peer, self._handover())
        fault = self._session.fault
        why = str(fault) if fault is not None else "the session ended"
        maybe_accepted = index in self._accepted or index >= self._next_rcpt
        if self._completed and not session_lost and maybe_accepted:
            reason = f"{why} after the whole message had been sent to {peer}; it may have arrived"
            return Outcome(recipient, Result.AMBIGUOUS, None, reason, peer)
        if isinstance(fault, RemoteError):
            why = f"protocol error: {why}"
        return Outcome(recipient, Result.DEFERRED, None, f"{why} (talking to {peer})", peer)

    def _handover(self) -> Handover:
        """Who reports success from here on (RFC 3461 §5.2): LMTP without DSN is the final delivery."""
        if self._session.capabilities.has("DSN"):
            return Handover.TAKEN
        return Handover.FINAL if self._session.sender.lmtp else Handover.RELAYED

    def _decisive(self, index: int) -> Reply | None:
        """The reply that decided a recipient, if one did."""
        if index in self._replies:
            return self._replies[index]
        if index in self._accepted:
            position = self._accepted[index] if self._session.sender.lmtp else 0
            if position < len(self._finals):
                return self._finals[position]
            if len(self._finals) == 1 and self._session.sender.state is State.CLOSED:
                return self._finals[0]  # one early refusal, or 421, for all
        return self._refused
