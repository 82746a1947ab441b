"""The sink: a receiving SMTP that counts and discards, and fails on demand; lenient, and counts what it tolerates.

Senders are tested and measured against it.  Without fault rules all sessions share one policy and one intake, whose
only state are the counters, and no verdict is made twice: a measurement is one of the dialogue and nothing else.  Fault
rules (``sandbox.faults``) are asked in their order; the first that applies decides.  ``addresses`` are recipients that
ask for a fault (``sandbox.address_faults``), where the rules let them pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from posthouse.client.hostname import machine_name
from posthouse.core import Envelope, Recipient, Remark, Reply, SettingError, Verdict
from posthouse.net import Clock, Endpoint, Network, SocketNetwork, SystemClock
from posthouse.protocol import LENIENT, Limits, Offer
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.sandbox.address_faults import AddressFaults
from posthouse.sandbox.faults import STAGES, FaultRule
from posthouse.sandbox.faulty_policy import FaultSource, FaultyPolicy, Moment, Strike
from posthouse.server import Answer, Peer, Policy, Server, ServerSession

__all__ = ["Counts", "Sink", "open_sink"]

_OK: Final = Verdict(Reply(250, "2.0.0", "OK"))
_GONE: Final = Verdict(Reply(421, "4.3.0", "Dropped on demand"))  # said to a channel that has just been cut
_UNLIMITED = 2**40


class Counts(NamedTuple):
    """Counters of a sink.  ``refused`` are the replies of fault rules, ``dropped`` the connections that they aborted;
    ``octets`` is the size of all content that arrived."""

    connections: int
    messages: int
    recipients: int
    octets: int
    refused: int
    dropped: int


class Sink:
    """A receiving SMTP that counts and discards.  Call ``listen``, read ``counts``, call ``stop``."""

    def __init__(
        self,
        *,
        network: Network,
        clock: Clock,
        hostname: str,
        lmtp: bool = False,
        faults: Sequence[FaultRule] = (),
        random: Random | None = None,
        offer: Offer | None = None,
        addresses: FaultSource | None = None,
    ) -> None:
        self.addresses = addresses
        self.clock = clock
        self.lmtp = lmtp
        self.faults: dict[str, tuple[FaultRule, ...]] = {
            stage: found for stage in STAGES if (found := tuple(each for each in faults if each.stage == stage))
        }
        self.random = random or Random()
        self.greeting = Verdict(Reply(220, "", f"{hostname} {'LMTP' if lmtp else 'ESMTP'} Posthouse sink"))
        self.hello = Verdict(Reply(250, "", hostname))
        self.connections = 0
        self.messages = 0
        self.recipients = 0
        self.octets = 0
        self.refused = 0
        self.dropped = 0
        #: How often each kind of deviation was tolerated (``core.Remark``).
        self.tolerated: dict[str, int] = {}
        self.goal = -1
        self.reached: Callable[[], object] = int
        self.newest: ServerSession | None = None
        limits = Limits(
            message=_UNLIMITED,
            chunk=_UNLIMITED,
            recipients=100_000,
            errors=2**31,
            idle_commands=2**31,
            refused_recipients=2**31,
        )
        lenient = LENIENT._replace(domain=hostname)
        self._server = _SinkServer(
            self._policy,
            network=network,
            clock=clock,
            hostname=hostname,
            offer=offer or Offer(size=0),
            lmtp=lmtp,
            limits=limits,
            leniency=lambda peer: lenient,
        )
        self._server.sink = self
        self._shared = None if self.faults else _SinkPolicy(self, None)

    def _policy(self, peer: Peer) -> Policy:
        self.connections += 1
        policy = self._shared or _SinkPolicy(self, self.newest)
        if self.addresses is None or self.newest is None:
            return policy
        cut = self.newest.abort
        return FaultyPolicy(policy, self.addresses, clock=self.clock, abort=cut, lmtp=self.lmtp, struck=self._struck)

    def _struck(self, moment: Moment, strike: Strike) -> None:
        """Count what an address has asked for."""
        if strike.drop:
            self.dropped += 1
        elif strike.reply is not None:
            self.refused += 1

    def when(self, messages: int, call: Callable[[], object]) -> None:
        """Call ``call`` once, when ``messages`` have been received."""
        self.goal, self.reached = messages, call

    def count(self, recipients: int) -> None:
        """Count one message with this number of recipients."""
        self.messages += 1
        self.recipients += recipients
        if self.messages == self.goal:
            self.reached()

    @property
    def counts(self) -> Counts:
        """The counters now."""
        return Counts(self.connections, self.messages, self.recipients, self.octets, self.refused, self.dropped)

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Begin to listen; returns the endpoint with its real port.  Raises ``SettingError``."""
        return await self._server.listen(endpoint)

    async def stop(self, seconds: float = 1.0) -> None:
        """Accept no more, and end open connections within about ``seconds``."""
        await self._server.drain(seconds)


async def open_sink(
    bind: str,
    *,
    lmtp: bool = False,
    faults: Sequence[FaultRule] = (),
    seed: int | None = None,
    fault_addresses: bool = False,
) -> tuple[Sink, Endpoint]:
    """Open a sink at ``bind``, as in ``host:port`` or ``unix:/path``; returns it and its endpoint.

    With ``fault_addresses``, recipients such as ``tempfail+3@…`` fail on demand.
    With a ``seed``, faults by chance strike the same moments in every run in which the commands come in the same order.
    Raises ``SettingError``.
    """
    try:
        endpoint = Endpoint.parse(bind)
    except SettingError as error:
        raise SettingError(error.message, where="--bind", remedy=error.remedy) from None
    sink = Sink(
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=machine_name(),
        lmtp=lmtp,
        faults=faults,
        random=Random(seed),
        addresses=AddressFaults() if fault_addresses else None,
    )
    return sink, await sink.listen(endpoint)


class _SinkServer(Server):
    """A server that tells the sink which session the next policy is for: it joins right before it asks for one."""

    sink: Sink

    def joined(self, session: ServerSession) -> None:
        self.sink.newest = session
        super().joined(session)


class _SinkPolicy:
    """The policy of one session with faults, or of all sessions without."""

    __slots__ = ("_intake", "_session", "_sink")

    def __init__(self, sink: Sink, session: ServerSession | None) -> None:
        self._sink = sink
        self._session = session
        self._intake = _SinkIntake(sink, self, 1)

    def connected(self) -> Answer:
        return self._at("connect", self._sink.greeting)

    def greeted(self, greet: Greet) -> Answer:
        return self._at("helo", self._sink.hello)

    def mail(self, mail: Mail) -> Answer:
        return self._at("mail", _OK)

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        return self._at("rcpt", _OK)

    def verify(self, text: str) -> Answer:
        return _VRFY

    def expand(self, text: str) -> Answer:
        return _EXPN

    def help(self, topic: str) -> Answer:
        return _HELP

    def intake(self, envelope: Envelope) -> Any:
        sink = self._sink
        if sink.faults:
            answer = self._at("data", _OK)
            if isinstance(answer, Verdict) and not answer.reply.positive:
                return answer
            if not isinstance(answer, Verdict):  # DATA cannot wait: the delay comes with the content's end
                return _SinkIntake(sink, self, len(envelope.recipients), late=answer)
            return _SinkIntake(sink, self, len(envelope.recipients))
        if sink.lmtp or len(envelope.recipients) != 1:
            return _SinkIntake(sink, self, len(envelope.recipients))
        return self._intake

    def refused(self, what: str, reply: Reply) -> None:
        pass

    def disconnected(self) -> None:
        self._session = None

    def _at(self, stage: str, otherwise: Verdict) -> Answer:
        """The answer at ``stage``: that of the first fault that applies, or ``otherwise``."""
        sink = self._sink
        for fault in sink.faults.get(stage, ()) if sink.faults else ():
            if fault.share >= 1.0 or sink.random.random() < fault.share:
                return self._later(fault, otherwise) if fault.delay else self._now(fault, otherwise)
        return otherwise

    def _now(self, fault: FaultRule, otherwise: Verdict) -> Verdict:
        if fault.drop:
            self._sink.dropped += 1
            if self._session is not None:
                self._session.abort()
            return _GONE
        if fault.reply is not None:
            self._sink.refused += 1
            return Verdict(fault.reply, "on demand")
        return otherwise

    async def _later(self, fault: FaultRule, otherwise: Verdict) -> Verdict:
        await self._sink.clock.sleep(fault.delay)
        return self._now(fault, otherwise)


_VRFY: Final = Verdict(Reply(252, "2.5.0", "Every recipient is accepted here"))
_EXPN: Final = Verdict(Reply(252, "2.5.0", "Every recipient is accepted here"))
_HELP: Final = Verdict(Reply(214, "2.0.0", "All mail is counted and discarded here"))


class _SinkIntake:
    """An intake that counts and discards.  Sessions without faults share one; it has no state of a message."""

    __slots__ = ("_late", "_policy", "_recipients", "_sink", "_verdicts")

    def __init__(self, sink: Sink, policy: _SinkPolicy, recipients: int, late: Any = None) -> None:
        self._sink = sink
        self._policy = policy
        self._recipients = recipients
        self._late = late
        self._verdicts = (_OK,) * (recipients if sink.lmtp else 1)

    def write(self, chunk: bytes) -> None:
        self._sink.octets += len(chunk)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        tolerated = self._sink.tolerated
        for remark in remarks:
            tolerated[remark.kind] = tolerated.get(remark.kind, 0) + remark.times

    def commit(self) -> Any:
        sink = self._sink
        if sink.faults:
            answers = [self._policy._at("end", _OK) for _ in self._verdicts]
            if self._late is not None or not all(isinstance(each, Verdict) for each in answers):
                return self._commit_later(answers)
            return self._counted(tuple(each for each in answers if isinstance(each, Verdict)))
        sink.count(self._recipients)
        return self._verdicts

    async def _commit_later(self, answers: list[Answer]) -> tuple[Verdict, ...]:
        if self._late is not None:
            late, self._late = self._late, None
            verdict = await late
            if not verdict.reply.positive:
                answers = [verdict] * len(answers)
        return self._counted(tuple([each if isinstance(each, Verdict) else await each for each in answers]))

    def _counted(self, verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
        good = sum(verdict.reply.positive for verdict in verdicts)
        if good:
            self._sink.count(good if self._sink.lmtp else self._recipients)
        return verdicts

    def abort(self) -> None:
        if asyncio.iscoroutine(self._late):
            self._late.close()
        self._late = None
