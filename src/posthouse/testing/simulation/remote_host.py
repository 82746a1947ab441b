"""Remote hosts that receive mail and follow a script.

A remote host is a real SMTP (or LMTP) server with a policy that follows *steps*.  Each attempt takes the next step;
after the last one every attempt succeeds.  A step is written in words:

    =========================  =====================================================================================
    step                       what happens
    =========================  =====================================================================================
    ``ok``                     the message is accepted
    ``refuse``                 the connection is refused
    ``silent``                 the connection is never answered
    ``STAGE:CODE[:ENHANCED]``  that reply at ``connect``, ``helo``, ``mail``, ``rcpt``, ``data`` or ``end``
    ``drop:STAGE``             the connection is reset at that stage, nothing is kept
    ``lose``                   the message is kept, and the connection is reset before the reply
    ``wait:STAGE:SECONDS``     the message is accepted, but that stage takes so long
    =========================  =====================================================================================

A script may also be a function that returns the next step.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from posthouse.core import Envelope, LocalError, Recipient, Remark, Reply, Verdict, path_text
from posthouse.net import Endpoint
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.server import Answer, Peer, Server
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.simulation.ledger import Ledger
from posthouse.testing.simulation.loop import VirtualClock, VirtualProcess
from posthouse.testing.simulation.network import Port, SimulatedNetwork

__all__ = ["ReceivedMessage", "RemoteHost", "STAGES", "Script", "Step", "parse_step"]

STAGES: Final = ("connect", "helo", "mail", "rcpt", "data", "end")
_STEP = re.compile(
    r"(?P<plain>ok|refuse|silent|lose)"
    r"|drop:(?P<drop>[a-z]+)"
    r"|wait:(?P<wait>[a-z]+):(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,3})?)"
    r"|(?P<stage>[a-z]+):(?P<code>[45][0-9]{2})(?::(?P<enhanced>[45]\.[0-9]{1,3}\.[0-9]{1,3}))?"
)
_OK: Final = Verdict(Reply(250, "2.0.0", "OK"))
_TOO_MANY: Final = Verdict(Reply(421, "4.7.0", "Too many connections, try again later"))
_GONE: Final = Verdict(Reply(451, "4.3.0", "cut"))  # for a connection that is reset
_GONE_AT_ONCE: Final = Verdict(Reply(421, "4.3.0", "cut"))


class Step(NamedTuple):
    """One attempt: at ``stage``, wait ``seconds``, then reset the connection (``drop``; with ``keep`` the message is
    kept first) or give ``reply`` or, with neither, go on.  ``fault`` is the fault of the connection."""

    stage: str = ""
    reply: Reply | None = None
    drop: bool = False
    keep: bool = False
    seconds: float = 0.0
    fault: StreamFault = StreamFault()


class ReceivedMessage(NamedTuple):
    """A message that a remote host has accepted.

    ``time`` in virtual seconds; ``sender`` is "" for the null reverse-path.
    """

    time: float
    sender: str
    recipients: tuple[str, ...]
    content: bytes


Script = Sequence[str] | Callable[[], str]


def parse_step(text: str) -> Step:
    """Parse a step.  Raises ``LocalError``."""
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
    return Step("end" if match["plain"] == "lose" else "", drop=match["plain"] == "lose", keep=True, fault=fault)


class RemoteHost:
    """Host that receives mail as its script says."""

    def __init__(
        self,
        name: str,
        address: str,
        script: Script,
        *,
        network: SimulatedNetwork,
        clock: VirtualClock,
        ledger: Ledger,
        lmtp: bool,
        most: int = 0,
    ) -> None:
        self.name = name
        self.endpoint = Endpoint(address, 24 if lmtp else 25)
        self.lmtp = lmtp
        self.steps: list[str] = []
        """The steps taken so far."""
        self.received: list[ReceivedMessage] = []
        self.most = most
        self.sessions = 0
        """Open sessions."""
        self.turned_away = 0
        """Sessions that were answered 421, because ``most`` were open."""
        self.clock = clock
        self.process = VirtualProcess(name)
        self.port = Port(network, address, self.process)
        self._ledger = ledger
        self._next: Callable[[], str] = script if callable(script) else _one_by_one(script)
        self._connecting: Step | None = None
        self._server = Server(
            lambda peer: _HostPolicy(self, peer), network=self.port, clock=clock, hostname=name, lmtp=lmtp
        )

    async def open(self) -> None:
        """Listen."""
        await self._server.listen(self.endpoint)

    def next_step(self) -> Step:
        """An attempt begins: take its step."""
        if self._connecting is not None:
            step, self._connecting = self._connecting, None
            return step
        text = self._next()
        self.steps.append(text)
        self._ledger.log(self.name, "step", step=text)
        return parse_step(text)

    def keep(self, envelope: Envelope, content: bytes) -> None:
        """Keep a message."""
        recipients = tuple(str(recipient.address) for recipient in envelope.recipients)
        received = ReceivedMessage(self.clock.monotonic(), path_text(envelope.sender), recipients, content)
        self.received.append(received)
        self._ledger.delivered(self.name, envelope.sender, recipients, content)

    def connection_fault(self) -> StreamFault:
        """A client connects: take the step of this attempt, and return the fault of its connection."""
        step = self.next_step()
        if not (step.fault.refuse or step.fault.silent):
            self._connecting = step  # for the session
        return step.fault


def _one_by_one(script: Sequence[str]) -> Callable[[], str]:
    steps: Iterator[str] = iter(script)
    return lambda: next(steps, "ok")


class _HostPolicy:
    """The policy of one session.

    The first transaction follows the step that the connection took; each further one takes a step of its own.
    """

    def __init__(self, host: RemoteHost, peer: Peer) -> None:
        self.host = host
        self.peer = Endpoint(peer.host, peer.port)
        self.step = host.next_step()
        self._first = True
        self._counted = False

    def at(self, stage: str) -> Answer:
        """The answer of the step at a stage."""
        step = self.step
        if step.stage != stage:
            return _OK
        return self._wait(step) if step.seconds else self.end(step)

    async def _wait(self, step: Step) -> Verdict:
        await self.host.clock.sleep(step.seconds)
        return self.end(step)

    def end(self, step: Step) -> Verdict:
        """The answer of a step, after its wait."""
        if step.drop:
            self.host.port.cut(self.peer)
            return _GONE_AT_ONCE if step.stage == "connect" else _GONE
        return Verdict(step.reply) if step.reply is not None else _OK

    def connected(self) -> Answer:
        host = self.host
        if host.most and host.sessions >= host.most:
            host.turned_away += 1
            return _TOO_MANY
        host.sessions += 1
        self._counted = True
        answer = self.at("connect")
        if answer is not _OK:
            return answer
        return Verdict(Reply(220, "", f"{self.host.name} ESMTP"))

    def greeted(self, greet: Greet) -> Answer:
        answer = self.at("helo")
        return Verdict(Reply(250, "", self.host.name)) if answer is _OK else answer

    def mail(self, mail: Mail) -> Answer:
        if not self._first:
            self.step = self.host.next_step()
            if self.step.fault.refuse or self.step.fault.silent or self.step.stage in ("connect", "helo"):
                return self.end(Step(drop=True))
        self._first = False
        return self.at("mail")

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        return self.at("rcpt")

    def verify(self, text: str) -> Answer:
        return _OK

    def expand(self, text: str) -> Answer:
        return _OK

    def help(self, topic: str) -> Answer:
        return _OK

    def intake(self, envelope: Envelope) -> _HostIntake | Verdict:
        """An intake, or the reply of a step at ``data``; a step that waits there waits before it keeps the message."""
        step = self.step
        if step.stage == "data" and not step.seconds:
            return self.end(step)
        return _HostIntake(self, envelope, step)

    def refused(self, what: str, reply: Reply) -> None:
        pass

    def disconnected(self) -> None:
        if self._counted:
            self._counted = False
            self.host.sessions -= 1


class _HostIntake:
    """The content of one message."""

    def __init__(self, policy: _HostPolicy, envelope: Envelope, step: Step) -> None:
        self._policy = policy
        self._envelope = envelope
        self._step = step
        self._content = bytearray()

    def write(self, chunk: bytes) -> None:
        self._content += chunk

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        pass

    def commit(self) -> tuple[Verdict, ...] | asyncio.Future[tuple[Verdict, ...]]:
        step = self._step
        kept = step.stage != "end" or step.keep or (step.reply is None and not step.drop)
        host = self._policy.host
        if kept:
            host.keep(self._envelope, bytes(self._content))
        count = len(self._envelope.recipients) if host.lmtp else 1
        if step.seconds and step.stage in ("data", "end"):
            return asyncio.ensure_future(self._wait(count))
        return (self._policy.end(step) if step.stage == "end" else _OK,) * count

    async def _wait(self, count: int) -> tuple[Verdict, ...]:
        await self._policy.host.clock.sleep(self._step.seconds)
        return (self._policy.end(self._step),) * count

    def abort(self) -> None:
        pass
