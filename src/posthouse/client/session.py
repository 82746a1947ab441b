"""One session of the sending SMTP: from an open channel to one outcome per recipient.

The shell around ``protocol.Sender``.  Its one idea is to wait as seldom as possible: with PIPELINING the whole envelope
and the word DATA leave in one write and their replies are awaited together (RFC 2920 §3.1); with CHUNKING a short
message goes along in the same write, and one round trip is the whole delivery.

Whatever the receiver does becomes an ``Outcome``; exceptions are for what our caller does wrong.  The one distinction
everything else serves: until the last octet that could complete the message has been written, a lost connection means
*deferred*; after that, and before the reply, nobody knows, and the outcome says *ambiguous*.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.client.transaction import deliver
from posthouse.net import Clock, Endpoint, Network, Stream, Timer, connect_any
from posthouse.protocol import (
    Answered,
    Capabilities,
    Command,
    Greet,
    Limits,
    Pause,
    Quit,
    Sender,
    State,
    Transcript,
)
from posthouse.words import (
    Broken,
    Closed,
    Content,
    Envelope,
    NetworkError,
    Outcome,
    PosthouseError,
    RemoteError,
    Reply,
    TimedOut,
)

__all__ = ["Greeted", "Refused", "Session", "Timeouts", "connect"]


class Timeouts(NamedTuple):
    """How long to wait, in seconds: RFC 5321 §4.5.3.2's values, and one for opening the channel."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    quit: float = 5.0


class Refused(RemoteError):
    """The peer would not open a session: its greeting or its reply to EHLO and HELO was negative.

    ``reply`` is that reply.
    """

    reply: Reply


class Greeted(NamedTuple):
    """What opening a session told: the greeting, and the reply to EHLO, LHLO or HELO."""

    greeting: Reply
    hello: Reply


class Session:
    """The sending end of one channel; a ``net.Handler``.  Made by ``connect``.

    Not for concurrent use: one transaction at a time.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        hostname: str,
        name: str = "",
        lmtp: bool = False,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.sender = Sender(lmtp=lmtp, limits=limits, transcript=transcript)
        #: Messages given to ``deliver``.
        self.messages = 0
        #: When the channel was open, by the stopwatch.
        self.opened = 0.0
        #: Set for a session that rested and may be lost: no content goes before the next transaction is answered.
        self.cautious = False
        self._clock = clock
        self._hostname = hostname
        self._name = name
        self._stream: Stream | None = None
        self._answers: deque[Answered] = deque()
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._fault: PosthouseError | None = None
        self._paused = False
        self._timer: Timer | None = None  # rings at some wait's end, or before
        self._rings = 0.0
        self._deadline = 0.0  # of the wait under way
        self._expired = False

    # -- net.Handler -------------------------------------------------------------------------------------------

    def connected(self, stream: Stream) -> None:
        """The channel is open."""
        self._stream = stream
        self.opened = self._clock.monotonic()

    def data_received(self, data: bytes) -> None:
        """Octets arrived: turn them into answers, and wake whoever waits for as many."""
        if self._fault is not None:
            return
        self.sender.receive_data(data)
        try:
            while isinstance(event := self.sender.next_event(), Answered):
                self._answers.append(event)
        except RemoteError as error:
            self._fail(error)
            self.abort()
            return
        if event is Pause.CLOSED or len(self._answers) >= self._wanted:
            self._wake()

    def eof_received(self) -> None:
        """The peer will say no more; nothing that is still owed can come."""
        self._fail(Broken("the peer closed the connection"))

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._paused = False
        self._wake()

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended."""
        if isinstance(error, PosthouseError):
            self._fail(error)
        else:
            self._fail(Broken("the connection was lost"))

    def _fail(self, error: PosthouseError) -> None:
        if self._fault is None:
            self._fault = error
        self._stop_timer()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- waiting -----------------------------------------------------------------------------------------------

    async def _sleep_until_woken(self, seconds: float, what: str) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self._expired = False
        self._deadline = self._clock.monotonic() + seconds
        if self._timer is None or self._rings > self._deadline:
            self._set_timer(seconds)
        try:
            await waiter
        finally:
            self._waiter = None
        if self._expired and self._fault is None:
            self._fault = TimedOut(f"no answer to {what} within {seconds:g} seconds")

    def _set_timer(self, seconds: float) -> None:
        """One timer serves many waits: it is left to ring, and set again for what is left of the wait it finds."""
        self._stop_timer()
        self._rings = self._clock.monotonic() + seconds
        self._timer = self._clock.call_later(seconds, self._ring)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        left = self._deadline - self._clock.monotonic()
        if left > 1e-6:
            self._set_timer(left)
        else:
            self._expired = True
            self._wake()

    async def answers(self, count: int, seconds: float, what: str) -> list[Answered]:
        """The next ``count`` answers; fewer if the channel ends, the time is up or the peer says 421 first (then
        ``fault`` tells)."""
        self._wanted = count
        while len(self._answers) < count and self._fault is None and self.sender.state is not State.CLOSED:
            await self._sleep_until_woken(seconds, what)
        self._wanted = 0
        got = min(count, len(self._answers))
        return [self._answers.popleft() for _ in range(got)]

    @property
    def fault(self) -> PosthouseError | None:
        """Why the channel is of no more use, or None."""
        return self._fault

    def write(self, data: bytes) -> None:
        """Octets for the peer; dropped if the channel has ended."""
        if self._stream is not None and self._fault is None:
            self._stream.write(data)

    async def drained(self, seconds: float) -> bool:
        """Wait until the peer keeps up; False if the channel ended (or the peer answered early) instead."""
        while self._paused and self._fault is None and self.sender.state is not State.CLOSED:
            await self._sleep_until_woken(seconds, "content")
        return self._fault is None and self.sender.state is not State.CLOSED

    # -- what users do -----------------------------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """Who is on the other end, for people: ``mx.sina.com[192.0.2.7]:25``."""
        if self._stream is None:
            return self._name
        address = self._stream.peer
        if not self._name or self._name == address.host or not address.port:
            return str(address)
        return f"{self._name}[{address.host}]:{address.port}"

    @property
    def capabilities(self) -> Capabilities:
        """What the peer announced."""
        return self.sender.capabilities

    @property
    def usable(self) -> bool:
        """Can another transaction begin?"""
        return (
            self._fault is None
            and not self.sender.outstanding
            and self.sender.state in (State.READY, State.SENDER, State.RECIPIENTS)
        )

    async def open(self) -> Greeted:
        """Await the greeting, say EHLO, or HELO to a peer that refuses EHLO (RFC 5321 §3.2, §4.1.4).

        Raises Refused, or NetworkError or RemoteError.
        """
        greeting = await self._one(self.timeouts.greeting, "the connection (no greeting)")
        if not greeting.positive:
            raise Refused(f"{self.peer} refused the session: {greeting}", greeting)
        verb = "LHLO" if self.sender.lmtp else "EHLO"
        hello = await self.command(Greet(verb, self._hostname))
        if hello.permanent and verb == "EHLO":
            hello = await self.command(Greet("HELO", self._hostname))
        if not hello.positive:
            raise Refused(f"{self.peer} refused {verb}: {hello}", hello)
        return Greeted(greeting, hello)

    async def _one(self, seconds: float, what: str) -> Reply:
        got = await self.answers(1, seconds, what)
        if not got:
            raise self._fault or Closed("the session is over")
        return got[0].reply

    async def command(self, command: Command) -> Reply:
        """Send one command and await its reply.  Raises LocalError, NetworkError or RemoteError."""
        if self._fault is not None:
            raise self._fault
        self.write(self.sender.send(command))
        return await self._one(self.timeouts.command, type(command).__name__.upper())

    async def deliver(self, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
        """Give one message to the peer: an outcome for each of the envelope's recipients, in their order.

        Whatever the peer does is an outcome; look at ``usable`` before the next message.
        """
        return await deliver(self, envelope, content)

    async def quit(self) -> None:
        """End in order: QUIT, its reply, close.  Never raises for what the peer does."""
        try:
            if self._fault is None and self.sender.may_send(Quit()):
                self.write(self.sender.send(Quit()))
                await self.answers(1, self.timeouts.quit, "QUIT")
        finally:
            self._fault = self._fault or Closed("the session was ended with QUIT")
            self._stop_timer()
            if self._stream is not None:
                self._stream.close()

    def abort(self) -> None:
        """End the channel now."""
        self._fault = self._fault or Closed("the session was aborted")
        self._stop_timer()
        if self._stream is not None:
            self._stream.abort()


async def connect(
    endpoints: Sequence[Endpoint],
    *,
    network: Network,
    clock: Clock,
    hostname: str,
    name: str = "",
    lmtp: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
    source: str = "",
) -> Session:
    """Open a session with whichever of one host's addresses answers first (RFC 8305), up to the reply to EHLO.

    ``hostname`` is how we name ourselves, ``name`` the host's name for people, ``source`` the local address to use.
    Raises Unreachable, Refused, TimedOut, Broken or RemoteError; the channel is closed then.
    """
    timeouts = timeouts or Timeouts()

    def make() -> Session:
        return Session(
            clock=clock,
            hostname=hostname,
            name=name,
            lmtp=lmtp,
            timeouts=timeouts,
            limits=limits,
            transcript=transcript,
        )

    _, session = await connect_any(network, clock, endpoints, make, source=source, timeout=timeouts.connect)
    try:
        await session.open()
    except (RemoteError, NetworkError) as error:
        if isinstance(error, Refused) and session.fault is None:
            await session.quit()
        else:
            session.abort()
        raise
    except BaseException:
        session.abort()
        raise
    return session
