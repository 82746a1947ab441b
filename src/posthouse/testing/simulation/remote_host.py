"""Destinations that follow a script: the other people's hosts.

A destination is a real receiving SMTP (or LMTP) with a policy that obeys *steps*.  Each attempt takes the next step;
behind the last one everything goes well.  A step is written as people say it:

    =========================  =====================================================================================
    step                       what happens
    =========================  =====================================================================================
    ``ok``                     the message is taken
    ``refuse``                 nobody listens
    ``silent``                 no answer to the connection at all
    ``STAGE:CODE[:ENHANCED]``  that reply at ``connect``, ``helo``, ``mail``, ``rcpt``, ``data`` or ``end``
    ``drop:STAGE``             the channel is reset there, nothing is kept
    ``lose``                   the message is kept, and the channel reset before the reply
    ``wait:STAGE:SECONDS``     everything goes well, but there it takes so long
    =========================  =====================================================================================

A script may also be a function that is asked for the next step.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from posthouse.core import Envelope, LocalError, Recipient, Reply, Verdict, path_text
from posthouse.net import Endpoint
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.server import Answer, Peer, Server
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.simulation.ledger import Ledger
from posthouse.testing.simulation.loop import Life, VirtualClock
from posthouse.testing.simulation.network import Port, SimulatedNetwork

__all__ = ["Received", "RemoteHost", "STAGES", "Script", "Step", "parse_step"]

STAGES: Final = ("connect", "helo", "mail", "rcpt", "data", "end")
_STEP = re.compile(
    r"(?P<plain>ok|refuse|silent|lose)"
    r"|drop:(?P<drop>[a-z]+)"
    r"|wait:(?P<wait>[a-z]+):(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,3})?)"
    r"|(?P<stage>[a-z]+):(?P<code>[45][0-9]{2})(?::(?P<enhanced>[45]\.[0-9]{1,3}\.[0-9]{1,3}))?"
)
_OK: Final = Verdict(Reply(250, "2.0.0", "OK"))
_GONE: Final = Verdict(Reply(451, "4.3.0", "cut"))  # said to a channel that is gone
_GONE_AT_ONCE: Final = Verdict(Reply(421, "4.3.0", "cut"))


class Step(NamedTuple):
    """One attempt's fate: at ``stage``, wait ``seconds``, then reset the channel (``drop``; with ``keep`` the message
    is kept first) or give ``reply`` or, with neither, go on.  ``memory_stream`` is what happens to the connection."""

    stage: str = ""
    reply: Reply | None = None
    drop: bool = False
    keep: bool = False
    seconds: float = 0.0
    channel: StreamFault = StreamFault()


class Received(NamedTuple):
    """A message that a destination has taken; ``time`` in virtual seconds, ``sender`` "" for the null reverse-path."""

    time: float
    sender: str
    recipients: tuple[str, ...]
    content: bytes


Script = Sequence[str] | Callable[[], str]


def parse_step(text: str) -> Step:
    """A step from its words.  Raises ``LocalError``."""
    match = _STEP.fullmatch(text)
    stage = (match["drop"] or match["wait"] or match["stage"] or "end") if match else ""
    if match is None or stage not in STAGES:
        raise LocalError(f'"{text}" is no step; write "ok", "rcpt:450:4.2.1", "drop:data", "wait:end:30" …')
    if match["drop"]:
        return Step(stage, drop=True)
    if match["wait"]:
        return Step(stage, seconds=float(match["seconds"]))
    if match["stage"]:
        code = int(match["code"])
        enhanced = "" if stage == "connect" else match["enhanced"] or f"{code // 100}.0.0"
        return Step(stage, Reply(code, enhanced, "as the script says"))
    fault = StreamFault(refuse=match["plain"] == "refuse", silent=match["plain"] == "silent")
    return Step("end" if match["plain"] == "lose" else "", drop=match["plain"] == "lose", keep=True, channel=fault)


class RemoteHost:
    """One host that takes mail, as its script says."""

    def __init__(
        self,
        name: str,
        address: str,
        script: Script,
        *,
        wires: SimulatedNetwork,
        clock: VirtualClock,
        book: Ledger,
        lmtp: bool,
    ) -> None:
        self.name = name
        self.endpoint = Endpoint(address, 24 if lmtp else 25)
        self.lmtp = lmtp
        self.steps: list[str] = []
        """The steps taken so far."""
        self.received: list[Received] = []
        """What it has taken."""
        self.clock = clock
        self.book = book
        self.life = Life(name)
        self.port = Port(wires, address, self.life)
        self._next: Callable[[], str] = script if callable(script) else _one_by_one(script)
        self._waiting: Step | None = None
        self._server = Server(
            lambda peer: _HostPolicy(self, peer), network=self.port, clock=clock, hostname=name, lmtp=lmtp
        )

    async def open(self) -> None:
        """Listen."""
        await self._server.listen(self.endpoint)

    def take(self) -> Step:
        """The next attempt begins: its step."""
        if self._waiting is not None:
            step, self._waiting = self._waiting, None
            return step
        text = self._next()
        self.steps.append(text)
        self.book.tell(self.name, "step", step=text)
        return parse_step(text)

    def keep(self, envelope: Envelope, content: bytes) -> None:
        """A message is taken."""
        sender = path_text(envelope.sender)
        recipients = tuple(str(recipient.address) for recipient in envelope.recipients)
        self.received.append(Received(self.clock.monotonic(), sender, recipients, content))
        self.book.arrived(self.name, envelope.sender, recipients, content)

    def channel(self) -> StreamFault:
        """Somebody opens a channel: what happens to it."""
        step = self.take()
        if not (step.channel.refuse or step.channel.silent):
            self._waiting = step  # for the session
        return step.channel


def _one_by_one(script: Sequence[str]) -> Callable[[], str]:
    steps: Iterator[str] = iter(script)
    return lambda: next(steps, "ok")


class _HostPolicy:
    """One session with a destination; its first transaction obeys the step that the connection took."""

    def __init__(self, destination: RemoteHost, peer: Peer) -> None:
        self.destination = destination
        self.peer = Endpoint(peer.host, peer.port)
        self.step = destination.take()
        self._first = True

    def at(self, stage: str) -> Answer:
        """What the step says of a stage."""
        step = self.step
        if step.stage != stage:
            return _OK
        return self._wait(step) if step.seconds else self.end(step)

    async def _wait(self, step: Step) -> Verdict:
        await self.destination.clock.sleep(step.seconds)
        return self.end(step)

    def end(self, step: Step) -> Verdict:
        """What is answered in the end."""
        if step.drop:
            self.destination.port.cut(self.peer)
            return _GONE_AT_ONCE if step.stage == "connect" else _GONE
        return Verdict(step.reply) if step.reply is not None else _OK

    def connected(self) -> Answer:
        """See ``Policy.connected``."""
        answer = self.at("connect")
        if answer is not _OK:
            return answer
        return Verdict(Reply(220, "", f"{self.destination.name} ESMTP"))

    def greeted(self, greet: Greet) -> Answer:
        """See ``Policy.greeted``."""
        answer = self.at("helo")
        return Verdict(Reply(250, "", self.destination.name)) if answer is _OK else answer

    def mail(self, mail: Mail) -> Answer:
        """See ``Policy.mail``: a transaction on a session that is used again takes a step of its own."""
        if not self._first:
            self.step = self.destination.take()
            if self.step.channel.refuse or self.step.channel.silent or self.step.stage in ("connect", "helo"):
                return self.end(Step(drop=True))
        self._first = False
        return self.at("mail")

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        """See ``Policy.rcpt``."""
        return self.at("rcpt")

    def verify(self, text: str) -> Answer:
        """See ``Policy.verify``."""
        return _OK

    def expand(self, text: str) -> Answer:
        """See ``Policy.expand``."""
        return _OK

    def help(self, topic: str) -> Answer:
        """See ``Policy.help``."""
        return _OK

    def intake(self, envelope: Envelope) -> _HostIntake | Verdict:
        """See ``Policy.intake``; a step that waits at ``data`` waits before it takes anything."""
        step = self.step
        if step.stage == "data" and not step.seconds:
            return self.end(step)
        return _HostIntake(self, envelope, step)

    def refused(self, what: str, reply: Reply) -> None:
        """See ``Policy.refused``."""

    def disconnected(self) -> None:
        """See ``Policy.disconnected``."""


class _HostIntake:
    """One message on its way into a destination."""

    def __init__(self, policy: _HostPolicy, envelope: Envelope, step: Step) -> None:
        self._policy = policy
        self._envelope = envelope
        self._step = step
        self._content = bytearray()

    def write(self, chunk: bytes) -> None:
        """See ``Intake.write``."""
        self._content += chunk

    def commit(self) -> tuple[Verdict, ...] | asyncio.Future[tuple[Verdict, ...]]:
        """See ``Intake.commit``."""
        step = self._step
        taken = step.stage != "end" or step.keep or (step.reply is None and not step.drop)
        destination = self._policy.destination
        if taken:
            destination.keep(self._envelope, bytes(self._content))
        count = len(self._envelope.recipients) if destination.lmtp else 1
        if step.seconds and step.stage in ("data", "end"):
            return asyncio.ensure_future(self._wait(count))
        return (self._policy.end(step) if step.stage == "end" else _OK,) * count

    async def _wait(self, count: int) -> tuple[Verdict, ...]:
        await self._policy.destination.clock.sleep(self._step.seconds)
        return (self._policy.end(self._step),) * count

    def abort(self) -> None:
        """See ``Intake.abort``."""
