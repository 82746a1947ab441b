"""The load generator: many sessions that send equal messages to a server, and their measurements.

Each session is a task that takes the next number from one counter and sends a message, so that the figures are those of
the receiver and of ``client.Session``.  Latency is the time from the first octet of MAIL to the final reply; with a new
connection for each message it is measured from the start of connecting, and with messages in line from the time when a
message joined the line.

Latencies are counted in steps of 1 %, so memory does not grow with the number of messages.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS, Timeouts
from posthouse.client.server_url import ServerAddress, locate, open_session
from posthouse.client.session import Session
from posthouse.core import (
    Address,
    Bytes,
    Content,
    Envelope,
    NetworkError,
    Outcome,
    Recipient,
    RemoteError,
    Result,
    SettingError,
)
from posthouse.net import Clock, Endpoint, Network, SocketNetwork, SystemClock
from posthouse.protocol.grammar import GrammarError, parse_mailbox

__all__ = ["Latencies", "Load", "LoadPlan", "LoadReport", "filler", "measure"]

_STEP = math.log(1.01)
_KINDS = 20  # different errors that are counted apart


class LoadPlan(NamedTuple):
    """What to send: ``envelope`` and ``content``, ``messages`` times, over ``connections`` sessions at one time;
    ``reconnect`` opens a new one for each message, otherwise ``ahead`` more stand in line in each session."""

    envelope: Envelope
    content: Content
    messages: int
    connections: int = 1
    reconnect: bool = False
    ahead: int = 0


class Latencies:
    """A histogram of times in seconds, in steps of 1 %."""

    __slots__ = ("_steps", "count", "longest")

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        self._steps[math.ceil(math.log(max(seconds, 1e-7)) / _STEP)] += 1

    def percentile(self, share: float) -> float:
        """The time that ``share`` (0 to 1) of all did not exceed, to 1 %; 0.0 if nothing was counted."""
        wanted = share * self.count
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return min(math.exp(step * _STEP), self.longest)
        return self.longest


class LoadReport(NamedTuple):
    """The measurements of a load; times are in seconds.

    ``delivered`` messages reached every recipient; ``errors`` counts the others by their reason.
    """

    messages: int
    delivered: int
    recipients: int
    octets: int
    seconds: float
    p50: float
    p99: float
    longest: float
    errors: dict[str, int]

    @property
    def rate(self) -> float:
        """Delivered messages a second."""
        return self.delivered / self.seconds if self.seconds else 0.0


class Load:
    """One load.  Call ``run`` once; ``done`` tells its progress."""

    def __init__(
        self,
        server: ServerAddress,
        plan: LoadPlan,
        *,
        network: Network,
        clock: Clock,
        hostname: str,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.plan = plan
        #: Messages that have ended, delivered or not.
        self.done = 0
        self._server = server
        self._network = network
        self._clock = clock
        self._hostname = hostname
        self._timeouts = timeouts or Timeouts()
        self._endpoints: Sequence[Endpoint] = ()
        self._left = plan.messages
        self._delivered = 0
        self._recipients = 0
        self._latencies = Latencies()
        self._errors: Counter[str] = Counter()

    async def run(self) -> LoadReport:
        """Send all.  Raises as ``submit`` if not even the first session can be opened; later faults are counted."""
        self._endpoints = await locate(self._server, timeout=self._timeouts.connect)
        first = await self._open()
        begun = self._clock.monotonic()
        sessions = min(self.plan.connections, self.plan.messages)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work(first))
            for _ in range(sessions - 1):
                group.create_task(self._work(None))
        seconds = self._clock.monotonic() - begun
        return self._report(seconds)

    async def _open(self) -> Session:
        return await open_session(
            self._server,
            self._endpoints,
            network=self._network,
            clock=self._clock,
            hostname=self._hostname,
            timeouts=self._timeouts,
        )

    async def _work(self, session: Session | None) -> None:
        """Send in one session after another, until no message is left."""
        try:
            while self._left > 0:
                self._left -= 1  # before others look: it is this session's
                begun = self._clock.monotonic()
                if session is None:
                    try:
                        session = await self._open()
                    except (NetworkError, RemoteError) as error:
                        self._failed(str(error))
                        continue
                await self._use(session, begun)
                if self.plan.reconnect or not session.usable:
                    await session.quit()
                    session = None
        except BaseException:
            if session is not None:
                session.abort()
            raise
        if session is not None:
            await session.quit()

    async def _use(self, session: Session, begun: float) -> None:
        """Send one message, or as many as there are while the session is usable."""
        plan, clock = self.plan, self._clock
        if plan.reconnect or not session.usable:
            self._ended(await session.deliver(plan.envelope, plan.content), clock.monotonic() - begun)
            return
        joined: deque[float] = deque()
        async for _, outcomes in session.deliver_each(self._messages(joined), ahead=plan.ahead):
            self._ended(outcomes, clock.monotonic() - joined.popleft())

    def _messages(self, joined: deque[float]) -> Iterator[tuple[Envelope, Content]]:
        """The message whose number was taken already, and as many more as there are."""
        message = self.plan.envelope, self.plan.content
        joined.append(self._clock.monotonic())
        yield message
        while self._left > 0:
            self._left -= 1
            joined.append(self._clock.monotonic())
            yield message

    def _ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        taken = sum(outcome.result is Result.DELIVERED for outcome in outcomes)
        self._recipients += taken
        if taken == len(outcomes):
            self._delivered += 1
            self.done += 1
            self._latencies.add(seconds)
        else:
            bad = next(outcome for outcome in outcomes if outcome.result is not Result.DELIVERED)
            self._failed(str(bad.reply) if bad.reply is not None else bad.reason)

    def _failed(self, why: str) -> None:
        self.done += 1
        if why not in self._errors and len(self._errors) >= _KINDS:
            why = "other errors"
        self._errors[why] += 1

    def _report(self, seconds: float) -> LoadReport:
        times = self._latencies
        return LoadReport(
            messages=self.done,
            delivered=self._delivered,
            recipients=self._recipients,
            octets=self._delivered * self.plan.content.size,
            seconds=seconds,
            p50=times.percentile(0.5),
            p99=times.percentile(0.99),
            longest=times.longest,
            errors=dict(self._errors.most_common()),
        )


def measure(
    server: ServerAddress,
    *,
    sender: str,
    recipient: str,
    recipients: int,
    size: int,
    messages: int,
    connections: int,
    reconnect: bool,
    ahead: int = 0,
) -> Load:
    """A load of ``messages`` equal messages of ``size`` octets, ready to run, over the sockets of this machine.

    Several ``recipients`` are numbered: ``sink-1@…``.  ``ahead`` messages stand in line in each session.  Raises
    ``SettingError`` for a text that is no address.
    """
    writer, reader = _mailbox(sender, "--from"), _mailbox(recipient, "--to")
    readers = (
        [reader]
        if recipients == 1
        else [Address(f"{reader.local}-{number}", reader.domain) for number in range(1, recipients + 1)]
    )
    content = Bytes(filler(str(writer), str(reader), size))
    plan = LoadPlan(Envelope(writer, tuple(map(Recipient, readers))), content, messages, connections, reconnect, ahead)
    return Load(
        server,
        plan,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname=name_for_ehlo(),
        timeouts=INTERACTIVE_TIMEOUTS,
    )


def _mailbox(text: str, where: str) -> Address:
    try:
        return parse_mailbox(text)
    except GrammarError as error:
        remedy = "" if "write" in str(error) else "write user@domain"
        raise SettingError(f'"{text}" is no address: {error}', where=where, remedy=remedy) from error


def filler(sender: str, recipient: str, size: int) -> bytes:
    """A message of ``size`` octets, or of its header fields if that is more: lines of printable ASCII."""
    head = f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: a measurement\r\n\r\n".encode()
    line = b"Load generator filler line, of printable ASCII characters only: 01234567\r\n"
    wanted = size - len(head)
    if wanted < 2:
        return head
    body = line * (wanted // len(line))
    rest = wanted - len(body)
    if rest == 1:  # no room for a line end of its own: the last line but one gives up an octet
        return head + body[: -len(line)] + line[:-3] + line[-2:] + b"\r\n"
    return head + body + (line[: rest - 2] + b"\r\n" if rest else b"")
