"""Policy with faults: it asks another policy, and a source of faults whether this moment is one to fail at.

The policy behind it decides first, so that its counts stay right.  Where it says yes, the source may say otherwise:
wait, answer with another reply, or cut the connection.  A fault at the content's end decides before the message is
stored: what is refused there, or cut, is not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

from posthouse.core import Address, Envelope, NetworkError, Recipient, Remark, Reply, Verdict
from posthouse.net import Clock
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl.exchange import Authenticated, Denied
from posthouse.server import Answer, Intake, Peer, Policy
from posthouse.server.policy import ForwardingPolicy, SecuredPolicy

__all__ = ["FaultSource", "FaultyPolicy", "Moment", "Strike"]

_GONE: Final = Verdict(Reply(421, "4.3.0", "Dropped on demand"))  # said to a channel that has just been cut


class Moment(NamedTuple):
    """A moment of a session at which a fault may strike.

    Args:
        stage: ``connect``, ``helo``, ``auth``, ``mail``, ``rcpt``, ``data`` (DATA or the first BDAT) or ``end`` (the
            content has come, and the last reply is owed).
        sender: Of MAIL; None before it, and for the null sender.
        recipients: At ``rcpt`` the one of this command, later all that were accepted; in LMTP, at ``end``, the one
            whose reply is owed.
        user: At ``auth``, the account that has logged in; else "".
    """

    stage: str
    sender: Address | None = None
    recipients: tuple[Address, ...] = ()
    user: str = ""


class Strike(NamedTuple):
    """What a fault does: wait ``delay`` seconds; then cut the connection (``drop``), or send ``reply``, or (with
    neither) go on.  ``keep``: a message whose last reply is dropped is stored all the same.  ``why`` is for logs."""

    delay: float = 0.0
    reply: Reply | None = None
    drop: bool = False
    keep: bool = False
    why: str = "on demand"


class FaultSource(Protocol):
    """Chooser of the faults of a server's sessions."""

    #: Whether a transaction has no fault unless ``watches`` is true of one of its recipients.
    by_recipient: bool

    def strike(self, moment: Moment) -> Strike | None:
        """The fault of this moment, None for none.  A fault that strikes a number of times is counted by the call."""
        ...

    def watches(self, stage: str, recipients: Sequence[Address] = ()) -> bool:
        """Whether a fault is possible here; asked first, because it is quick.  At ``data`` the question is about
        ``end`` as well."""
        ...


class FaultyPolicy:
    """The policy of one session: ``inner``'s, with the faults of ``source``.

    ``abort`` cuts the connection.  ``struck`` is told of each fault and its moment.
    """

    __slots__ = ("_abort", "_by_recipient", "_clock", "_inner", "_lmtp", "_sender", "_source", "_struck", "_watched")

    def __init__(
        self,
        inner: Policy,
        source: FaultSource,
        *,
        clock: Clock,
        abort: Callable[[], object],
        lmtp: bool = False,
        struck: Callable[[Moment, Strike], object] | None = None,
    ) -> None:
        self._inner = inner
        self._source = source
        self._clock = clock
        self._abort = abort
        self._lmtp = lmtp
        self._struck = struck
        self._by_recipient = source.by_recipient
        self._sender: Address | None = None
        self._watched = False  # a recipient of this transaction

    # -- decisions that a fault may change -----------------------------------------------------------------------------

    def connected(self) -> Answer:
        answer = self._inner.connected()
        return self._at(Moment("connect"), answer) if self._source.watches("connect") else answer

    def greeted(self, greet: Greet) -> Answer:
        answer = self._inner.greeted(greet)
        return self._at(Moment("helo"), answer) if self._source.watches("helo") else answer

    def mail(self, mail: Mail) -> Answer:
        self._sender = mail.sender
        self._watched = False
        answer = self._inner.mail(mail)
        if self._by_recipient or not self._source.watches("mail"):
            return answer
        return self._at(Moment("mail", mail.sender), answer)

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        answer = self._inner.rcpt(envelope, rcpt, accepted)
        address = (rcpt.address,)
        if not self._source.watches("rcpt", address):
            return answer
        self._watched = True
        return self._at(Moment("rcpt", self._sender, address), answer)

    def logged_in(self, outcome: Authenticated) -> Answer:
        return self._at(Moment("auth", user=outcome.user), cast(SecuredPolicy, self._inner).logged_in(outcome))

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        if self._by_recipient and not self._watched:
            return self._inner.intake(envelope)
        addresses = tuple([each.address for each in envelope.recipients])
        if not self._source.watches("data", addresses):
            return self._inner.intake(envelope)
        moment = Moment("data", self._sender, addresses)
        strike = self._source.strike(moment)
        if strike is not None and not strike.delay and (strike.drop or strike.reply is not None):
            return self.answer_of(moment, strike, _GONE)
        inner = self._inner.intake(envelope)
        if isinstance(inner, Verdict):
            return inner
        return _FaultyIntake(self, inner, moment, strike)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def verify(self, text: str) -> Answer:
        return self._inner.verify(text)

    def expand(self, text: str) -> Answer:
        return self._inner.expand(text)

    def help(self, topic: str) -> Answer:
        return self._inner.help(topic)

    def refused(self, what: str, reply: Reply) -> None:
        self._inner.refused(what, reply)

    def disconnected(self) -> None:
        self._inner.disconnected()

    def tls_started(self, info: TlsInfo) -> None:
        cast(SecuredPolicy, self._inner).tls_started(info)

    def tls_failed(self, error: NetworkError) -> None:
        cast(SecuredPolicy, self._inner).tls_failed(error)

    def login_denied(self, outcome: Denied) -> Answer:
        return cast(SecuredPolicy, self._inner).login_denied(outcome)

    def named(self, by: Peer, name: str, helo: str, protocol: str) -> None:
        cast(ForwardingPolicy, self._inner).named(by, name, helo, protocol)

    def forwarded(self, attributes: Mapping[str, str]) -> None:
        cast(ForwardingPolicy, self._inner).forwarded(attributes)

    # -- faults --------------------------------------------------------------------------------------------------------

    @property
    def lmtp(self) -> bool:
        """Whether each recipient gets a reply at the content's end."""
        return self._lmtp

    def strike(self, moment: Moment) -> Strike | None:
        """The fault of a moment."""
        return self._source.strike(moment)

    async def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        await self._clock.sleep(seconds)

    def answer_of(self, moment: Moment, strike: Strike, otherwise: Verdict) -> Verdict:
        """The verdict after a fault's delay: its reply, or ``otherwise``; the connection is cut here."""
        if self._struck is not None:
            self._struck(moment, strike)
        if strike.drop:
            self._abort()
            return _GONE
        return otherwise if strike.reply is None else Verdict(strike.reply, strike.why)

    def _at(self, moment: Moment, answer: Answer) -> Answer:
        if isinstance(answer, Verdict) and not answer.reply.positive:
            return answer
        strike = self._source.strike(moment)
        return answer if strike is None else self._done(moment, strike, answer)

    def _done(self, moment: Moment, strike: Strike, answer: Answer) -> Answer:
        if strike.delay or not isinstance(answer, Verdict):
            return self._done_later(moment, strike, answer)
        return self.answer_of(moment, strike, answer) if answer.reply.positive else answer

    async def _done_later(self, moment: Moment, strike: Strike, answer: Answer) -> Verdict:
        verdict = answer if isinstance(answer, Verdict) else await answer
        if not verdict.reply.positive:
            return verdict
        if strike.delay:
            await self.wait(strike.delay)
        return self.answer_of(moment, strike, verdict)


class _FaultyIntake:
    """The intake of one message: ``inner``'s, with the faults of its policy; ``early`` is a fault of DATA that has to
    wait, which it does here, because a reply to DATA cannot be awaited."""

    __slots__ = ("_early", "_inner", "_moment", "_over", "_policy")

    def __init__(self, policy: FaultyPolicy, inner: Intake, moment: Moment, early: Strike | None) -> None:
        self._policy = policy
        self._inner = inner
        self._moment = moment
        self._early = early
        self._over = False  # commit or abort of ``inner`` was called

    def write(self, chunk: bytes) -> Any:
        return self._inner.write(chunk)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        self._inner.remarked(remarks)

    def abort(self) -> None:
        self._over = True
        self._inner.abort()

    def commit(self) -> Any:
        policy, moment = self._policy, self._moment._replace(stage="end")
        if policy.lmtp:
            moments = [moment._replace(recipients=(address,)) for address in moment.recipients]
        else:
            moments = [moment]
        strikes = [policy.strike(each) for each in moments]
        if self._early is None and not any(strikes):
            self._over = True
            return self._inner.commit()
        return self._struck(moments, strikes)

    async def _struck(self, moments: Sequence[Moment], strikes: Sequence[Strike | None]) -> tuple[Verdict, ...]:
        policy, early = self._policy, self._early
        for each in (early, *strikes):
            if each is not None and each.delay:
                await policy.wait(each.delay)
        if self._over:  # the client vanished meanwhile
            return (_GONE,) * len(moments)
        if early is not None:
            refusal = policy.answer_of(self._moment, early, _OPEN)
            if refusal is not _OPEN:
                self.abort()
                return (refusal,) * len(moments)
        if all(_refuses(each) for each in strikes):
            self.abort()
            verdicts: Sequence[Verdict] = (_GONE,) * len(moments)
        else:
            self._over = True
            answer = self._inner.commit()
            verdicts = answer if isinstance(answer, tuple) else await answer
        return tuple(
            verdict if strike is None else policy.answer_of(moment, strike, verdict)
            for moment, strike, verdict in zip(moments, strikes, verdicts, strict=True)
        )


_OPEN: Final = Verdict(Reply(250))


def _refuses(strike: Strike | None) -> bool:
    """Whether a fault at the content's end keeps the message from being stored."""
    if strike is None or strike.keep:
        return False
    return strike.drop or (strike.reply is not None and not strike.reply.positive)
