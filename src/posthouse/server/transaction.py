"""Mail transaction of a server session: MAIL, RCPT, DATA, BDAT, and the content (RFC 5321 §3.3).

Each method takes one event of the engine and returns the next *step*: octets of a reply, None, or ``Waiting`` with an
awaitable that must be done first.  So the transaction needs neither the channel nor the event loop; the session writes
the octets and waits.

The transaction adds the limits on recipients and on transactions to the protocol's rules and the policy's answers, and
counts what is refused (``conduct``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from posthouse.core import Envelope, LocalError, Recipient, Reply, Verdict
from posthouse.protocol import Bdat, ContentChunk, Data, EndOfChunk, EndOfContent, Mail, Rcpt, Receiver, State
from posthouse.server.conduct import SMALL_CHUNK, Conduct
from posthouse.server.policy import Intake, Policy
from posthouse.server.settings import SessionSettings

__all__ = ["NOT_DATED", "OUR_VERDICT", "ServerTransaction", "Step", "Waiting", "outside_transaction"]

_START: Final = Reply(354, "", "Send the message, end it with a dot on a line of its own")
_TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients; send to the others in another transaction")
_TOO_MANY_TRANSACTIONS: Final = Reply(421, "4.7.0", "Enough messages for one connection; connect again for more")
#: The answer in place of one that a policy or an intake failed to give.
OUR_VERDICT: Final = Verdict(
    Reply(451, "4.3.0", "Something went wrong here; try again later"), "an exception in the policy"
)

#: In place of a moment in the clock's monotonic seconds: since the last look at the clock.
NOT_DATED: Final = -1.0

_NO_ENVELOPE: Final = Envelope(None)
_OUTSIDE: Final = frozenset({State.CONNECTED, State.REFUSED, State.GREETED, State.READY})


class Waiting(NamedTuple):
    """A step that must wait: ``then`` is called with the result of ``awaitable``, or with ``fallback`` if it raised."""

    awaitable: Awaitable[Any]
    then: Callable[[Any], bytes | Waiting | None]
    fallback: Any


Step = bytes | Waiting | None


def outside_transaction(state: State) -> bool:
    """Is this a state in which no transaction is open?"""
    return state in _OUTSIDE


class ServerTransaction:
    """The transaction of one session, used again for each message."""

    __slots__ = (
        "_committing",
        "_conduct",
        "_count",
        "_envelope",
        "_intake",
        "_limits",
        "_on_error",
        "_policy",
        "_receiver",
        "_recipients",
        "_refusal",
        "_small_chunk",
        "content_began",
        "is_open",
    )

    def __init__(self, receiver: Receiver, policy: Policy, settings: SessionSettings, conduct: Conduct) -> None:
        self._receiver = receiver
        self._policy = policy
        self._conduct = conduct
        self._limits = settings.limits
        self._on_error = settings.on_error
        self._count = 0  # transactions of this session
        self._envelope = _NO_ENVELOPE
        self._recipients: list[Recipient] = []  # accepted in the open transaction
        self._intake: Intake | None = None
        self._committing: Intake | None = None  # the intake whose commit is waited for
        self._refusal: Verdict | None = None  # the reason why content that is arriving will be refused
        self._small_chunk = False  # the chunk that is arriving counts as an idle command
        #: When the arriving content began, in the clock's monotonic seconds; None while no intake takes content.  The
        #: session replaces ``NOT_DATED``.
        self.content_began: float | None = None
        #: True from an accepted MAIL until ``forget``.
        self.is_open = False

    @property
    def recipients(self) -> int:
        """How many recipients were accepted in the open transaction."""
        return len(self._recipients)

    # -- the envelope ------------------------------------------------------------------------------------------------

    def mail(self, event: Mail) -> Step:
        """MAIL."""
        most = self._limits.transactions
        if most and self._count >= most:
            return self._receiver.close(_TOO_MANY_TRANSACTIONS)
        answer = self._policy.mail(event)
        if type(answer) is Verdict:
            return self._mail_answered(event, answer)
        return Waiting(
            answer,  # type: ignore[arg-type]
            lambda verdict: self._mail_answered(event, verdict),
            OUR_VERDICT,
        )

    def _mail_answered(self, event: Mail, verdict: Verdict) -> bytes:
        if verdict.reply.code >= 400:
            return self._conduct.error(self._receiver.send(verdict.reply))
        self._count += 1
        self.is_open = True
        self._envelope = Envelope(
            event.sender,
            (),
            event.body,
            event.smtputf8,
            event.size,
            event.ret,
            event.envid,
            event.auth,
            event.require_tls,
        )
        return self._receiver.send(verdict.reply)

    def rcpt(self, event: Rcpt) -> Step:
        """RCPT."""
        accepted = self._recipients
        if len(accepted) >= self._limits.recipients:
            self._policy.refused("RCPT", _TOO_MANY_RECIPIENTS)
            return self._conduct.excess(self._receiver.send(_TOO_MANY_RECIPIENTS))
        answer = self._policy.rcpt(self._envelope, event, accepted)
        if type(answer) is Verdict:
            return self._rcpt_answered(event, answer)
        return Waiting(
            answer,  # type: ignore[arg-type]
            lambda verdict: self._rcpt_answered(event, verdict),
            OUR_VERDICT,
        )

    def _rcpt_answered(self, event: Rcpt, verdict: Verdict) -> bytes:
        # RFC 6531 §3.7.4.1: the mailbox in 251 or 551 may be UTF-8 if MAIL said SMTPUTF8.
        wire = self._receiver.send(verdict.reply, utf8=self._envelope.smtputf8)
        if verdict.reply.code >= 400:
            return self._conduct.refused(wire, len(self._recipients))
        self._recipients.append(Recipient(event.address, event.notify, event.orcpt))
        return wire

    # -- the content -------------------------------------------------------------------------------------------------

    def data(self, event: Data) -> Step:
        """DATA."""
        refusal = self._begin_content()
        if refusal is not None:
            return self._conduct.error(self._receiver.send(refusal.reply))
        return self._receiver.send(_START)

    def bdat(self, event: Bdat) -> Step:
        """BDAT: the reply comes at the end of the chunk."""
        if self._intake is None and self._refusal is None:
            self._refusal = self._begin_content()
        self._small_chunk = event.size < SMALL_CHUNK
        return None

    def _begin_content(self) -> Verdict | None:
        """Ask the policy for an intake; returns the verdict if it refuses."""
        sender, _, *rest = self._envelope
        # A third of the time of ``_replace``, and this is done for each message.
        envelope = tuple.__new__(Envelope, (sender, tuple(self._recipients), *rest))
        self._envelope = envelope._replace(smtputf8=True) if self._receiver.utf8_tolerated else envelope
        intake = self._policy.intake(self._envelope)
        if type(intake) is Verdict:
            return intake
        self._intake = intake  # type: ignore[assignment]
        self.content_began = NOT_DATED
        return None

    def content(self, event: ContentChunk) -> Step:
        """Octets of the content."""
        if self._intake is None:
            return None
        pressure = self._intake.write(event.data)
        return None if pressure is None else Waiting(pressure, _go_on, None)

    def end_of_chunk(self, event: EndOfChunk) -> Step:
        """The end of a BDAT chunk that is not the last."""
        if self._refusal is not None:
            wire = self._receiver.send(self._refusal.reply)
            self.forget_if_over()
            return self._conduct.error(wire)
        wire = self._receiver.send(Reply(250, "2.0.0", f"{event.size} octets received"))
        return self._conduct.idle(wire) if self._small_chunk else wire

    def end_of_content(self, event: EndOfContent) -> Step:
        """The end of the content: commit it, and reply as the verdicts say."""
        owed = event.owed
        intake, self._intake, self.content_began = self._intake, None, None
        if intake is None:
            return self._committed((self._refusal or OUR_VERDICT,) * owed, owed)
        if event.remarks:
            intake.remarked(event.remarks)
        answer = intake.commit()
        if type(answer) is tuple:
            return self._committed(answer, owed)
        self._committing = intake
        return Waiting(
            answer,  # type: ignore[arg-type]
            lambda verdicts: self._committed(verdicts, owed),
            (OUR_VERDICT,) * owed,
        )

    def _committed(self, verdicts: tuple[Verdict, ...], owed: int) -> bytes:
        self._committing = None
        if len(verdicts) != owed:
            self._on_error(LocalError(f"{owed} verdicts were owed, {len(verdicts)} were given"))
            verdicts = (OUR_VERDICT,) * owed
        send = self._receiver.send
        wire = send(verdicts[0].reply) if owed == 1 else b"".join([send(verdict.reply) for verdict in verdicts])
        self.forget_if_over()
        for verdict in verdicts:
            if verdict.reply.code < 400:
                self._conduct.accepted()
                return wire
        return self._conduct.error(wire)

    # -- the end -----------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """End the transaction; content that is arriving is dropped, and a commit that is waited for is given up."""
        self.is_open = False
        self._envelope = _NO_ENVELOPE
        if self._recipients:
            self._recipients = []  # a new list, because the policy may have kept the old one
        self._refusal = None
        if self._intake is not None:
            intake, self._intake, self.content_began = self._intake, None, None
            intake.abort()
        elif self._committing is not None:
            intake, self._committing = self._committing, None
            intake.abort()

    def forget_if_over(self) -> None:
        """End the transaction if the last reply has moved the dialogue out of it."""
        state = self._receiver.state
        if state in _OUTSIDE or state is State.CLOSED:
            self.forget()


def _go_on(result: object) -> None:
    """The step after back-pressure: there is no reply."""
