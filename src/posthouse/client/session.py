"""One session of the sending SMTP: from an open channel to one outcome per recipient.

The shell around ``protocol.Sender``.  Its one idea is to wait as seldom as possible: with PIPELINING the whole envelope
and the word DATA leave in one write and their replies are awaited together (RFC 2920 §3.1); with CHUNKING a short
message goes along in the same write, and one round trip is the whole delivery.

Messages that are given to it while one is under way stand in line, and the next envelope leaves with the last octets of
the content before it, so that a session that always has mail needs one round trip for each message (RFC 2920 §3.1 lets
any command follow the end of content).  Each reply is heard by the message that it is for.

Whatever the receiver does becomes an ``Outcome``; exceptions are for what our caller does wrong.  The one distinction
everything else serves: until the last octet that could complete the message has been written, a lost connection means
*deferred*; after that, and before the reply, nobody knows, and the outcome says *ambiguous*.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from posthouse.client.features import Features
from posthouse.client.model import Greeted, SessionRefused, Timeouts
from posthouse.client.pipeline import deliver
from posthouse.client.series import M, Series
from posthouse.client.transaction import Transaction
from posthouse.core import (
    Broken,
    Closed,
    Content,
    Envelope,
    LocalError,
    NetworkError,
    Outcome,
    PosthouseError,
    RemoteError,
    Reply,
    TimedOut,
)
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Clock, Stream, Timer
from posthouse.protocol import (
    Capabilities,
    Command,
    Greet,
    Limits,
    Pause,
    Quit,
    Sender,
    Sent,
    State,
    Tap,
    Transcript,
)

__all__ = ["Session"]

_NEVER: Final = -1.0
_CLOSED: Final = Pause.CLOSED
_ENDED: Final = State.CLOSED
_AT_REST: Final = (State.READY, State.SENDER, State.RECIPIENTS)


@mypyc_attr(allow_interpreted_subclasses=True)
class Session:
    """The sending end of one channel, a ``net.Handler``; ``client.connector`` makes it.  What it gets stands in
    line."""

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
        tap: Tap | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.sender = Sender(lmtp=lmtp, limits=limits, transcript=transcript, tap=tap)
        #: Messages that were begun, counting each of the transactions that one took.
        self.messages = 0
        #: When the channel was open, by the stopwatch.
        self.opened = 0.0
        #: Set for a session that rested and may be lost: no content goes before the next transaction is answered.
        self.cautious = False
        #: The peer does not keep up with what we write.
        self.paused = False
        #: Why the channel is of no more use, or None.
        self.fault: PosthouseError | None = None
        #: Who is on the other end, for people: ``mx.sina.com[192.0.2.7]:25``.
        self.peer = name
        self._clock = clock
        self._hostname = hostname
        self._stream: Stream | None = None
        self._line: deque[Transaction] = deque()  # replies are for the first; the second may have been begun
        self._traits = Features.of(self.sender.capabilities)
        self._traits_of = self.sender.capabilities
        self._answers: deque[Reply] = deque()  # to what no transaction said
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: Timer | None = None  # rings at some wait's end, or before
        self._rings = 0.0
        self._deadline = _NEVER  # of the wait under way
        self._seconds = 0.0
        self._what = ""

    # -- net.Handler -------------------------------------------------------------------------------------------

    def connected(self, stream: Stream) -> None:
        """The channel is open."""
        self._stream = stream
        #: The loop that serves the channel.
        self.loop = asyncio.get_running_loop()
        self.opened = self._clock.monotonic()
        address, name = stream.peer, self.peer
        if not name or name == address.host or not address.port:
            self.peer = str(address)
        else:
            self.peer = f"{name}[{address.host}]:{address.port}"

    def data_received(self, data: bytes) -> None:
        """Octets arrived: each reply goes to the transaction it is for, or to whoever waits for as many."""
        if self.fault is not None:
            return
        answers: list[tuple[Command | Sent | None, Reply]] = []
        error = None
        try:
            goes_on = self.sender.receive(data, answers)
        except RemoteError as found:
            error = found
        line = self._line
        for to, reply in answers:
            if line:
                line[0].hear(to, reply)
            else:
                self._answers.append(reply)
        if error is not None:
            self._fail(error)
            self.abort()
        elif not goes_on:
            self._over()
        elif self._wanted and self._answers:
            self._wake()

    def eof_received(self) -> None:
        """The peer will say no more; nothing that is still owed can come."""
        self._fail(Broken("the peer closed the connection"))

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self.paused = False
        if self._line:
            self._line[0].go_on()

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended."""
        if isinstance(error, PosthouseError):
            self._fail(error)
        else:
            self._fail(Broken("the connection was lost"))

    def _fail(self, error: PosthouseError) -> None:
        if self.fault is None:
            self.fault = error
        self._stop_timer()
        self._over()

    def _over(self) -> None:
        """Nothing that is still owed will come."""
        had_line = bool(self._line)
        while self._line:
            self._line.popleft().lost()
        self._wake()
        if had_line and self.fault is not None:
            self.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- the line ----------------------------------------------------------------------------------------------

    def enter(self, transaction: Transaction) -> None:
        """A transaction wants to be carried out.  It begins at once, or behind the content of the one before it, or
        when that has ended."""
        if self.fault is not None or self.sender.state is _ENDED:
            transaction.lost()
            return
        self._line.append(transaction)
        if len(self._line) == 1:
            self._advance()
        elif len(self._line) == 2:
            self.write(self.following())

    def following(self) -> bytes:
        """What the second in line can say already, behind everything that the first has to say (RFC 2920 §3.1: any
        command may follow the end of content)."""
        line = self._line
        while len(line) > 1 and not line[1].begun and self.sender.may_pipeline:
            try:
                return line[1].open()
            except Exception as error:
                self._turn_away(line[1], error)
        return b""

    def leave(self, transaction: Transaction) -> None:
        """The first in line has ended."""
        self._line.remove(transaction)
        self._deadline = _NEVER
        if self._line and self.sender.state is not _ENDED:
            self._advance()

    def leave_out(self, transaction: Transaction) -> None:
        """Nobody waits for this one any more.  What was begun can only be stopped by ending the channel; but not
        before the message in front of it has its answer."""
        if transaction not in self._line:
            return
        if not transaction.begun:
            self._line.remove(transaction)
        elif transaction is self._line[0]:
            self.abort()
        else:
            transaction.unwanted = True

    def _advance(self) -> None:
        """Somebody else is the first in line, or nobody."""
        self._deadline = _NEVER
        while self._line and self.fault is None:
            first = self._line[0]
            if first.unwanted:
                self.abort()
                return
            if not first.begun:
                try:
                    wire = first.open()
                except Exception as error:
                    self._turn_away(first, error)
                    continue
                self.write(wire)
            if len(self._line) > 1:
                self.write(self.following())
            self.expect(first.seconds, first.what)
            return

    def _turn_away(self, transaction: Transaction, error: Exception) -> None:
        self._line.remove(transaction)
        transaction.fail(error)

    # -- waiting -----------------------------------------------------------------------------------------------

    def expect(self, seconds: float, what: str) -> None:
        """From now on there are so many seconds for the next answer, or for the peer to keep up."""
        self._seconds, self._what = seconds, what
        self._deadline = self._clock.monotonic() + seconds
        if self._timer is None or self._rings > self._deadline:
            self._set_timer(seconds)

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
        if self._deadline == _NEVER:
            return
        left = self._deadline - self._clock.monotonic()
        if left > 1e-6:
            self._set_timer(left)
        else:
            self._fail(TimedOut(f"no answer to {self._what} within {self._seconds:g} seconds"))

    async def _one(self, seconds: float, what: str) -> Reply:
        """The next answer to what no transaction said."""
        self._wanted = 1
        self.expect(seconds, what)
        try:
            while not self._answers and self.fault is None and self.sender.state is not _ENDED:
                self._waiter = self.loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            self._wanted = 0
            self._deadline = _NEVER
        if not self._answers:
            raise self.fault or Closed("the session is over")
        return self._answers.popleft()

    def write(self, data: bytes) -> None:
        """Octets for the peer; dropped if the channel has ended."""
        if data and self._stream is not None and self.fault is None:
            self._stream.write(data)

    # -- what users do -----------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What the peer announced."""
        return self.sender.capabilities

    @property
    def traits(self) -> Features:
        """The same, as a transaction asks for it."""
        capabilities = self.sender.capabilities
        if capabilities is not self._traits_of:
            self._traits_of = capabilities
            self._traits = Features.of(capabilities)
        return self._traits

    @property
    def usable(self) -> bool:
        """Can another transaction begin, now or when those that are under way have ended?"""
        if self.fault is not None or self.sender.state is _ENDED:
            return False
        return bool(self._line) or (not self.sender.outstanding and self.sender.state in _AT_REST)

    async def open(self) -> Greeted:
        """Await the greeting, say EHLO, or HELO to a peer that refuses EHLO (RFC 5321 §3.2, §4.1.4).

        Raises SessionRefused, or NetworkError or RemoteError.
        """
        greeting = await self._one(self.timeouts.greeting, "the connection (no greeting)")
        if not greeting.positive:
            raise SessionRefused(f"{self.peer} refused the session: {greeting}", greeting)
        verb = "LHLO" if self.sender.lmtp else "EHLO"
        hello = await self.command(Greet(verb, self._hostname))
        if hello.permanent and verb == "EHLO":
            hello = await self.command(Greet("HELO", self._hostname))
        if not hello.positive:
            raise SessionRefused(f"{self.peer} refused {verb}: {hello}", hello)
        return Greeted(greeting, hello)

    async def command(self, command: Command) -> Reply:
        """Send one command and await its reply.  Raises LocalError (a message is under way) or what the channel met."""
        if self.fault is not None:
            raise self.fault
        if self._line:
            raise LocalError("a message is under way; await it before a command of your own")
        self.write(self.sender.send(command))
        return await self._one(self.timeouts.command, type(command).__name__.upper())

    def deliver(self, envelope: Envelope, content: Content) -> Coroutine[Any, Any, tuple[Outcome, ...]]:
        """Give one message to the peer: an outcome for each of the envelope's recipients, in their order.

        Whatever the peer does is an outcome; look at ``usable`` before the next message.  May be called again before
        it has ended: messages are sent in the order of the calls, the next envelope behind the content before it.  If
        the channel is lost then, only a message whose content had been completed is ambiguous.  Cancelled, it ends the
        channel, once the message before it has its answer.
        """
        return deliver(self, envelope, content)

    def deliver_each(self, messages: Iterable[M], *, ahead: int = 2) -> Series[M]:
        """Give many messages to the peer, and hear of each in turn: ``async for (envelope, content), outcomes in …``.

        The next ``ahead`` stand in line while the outcome of one is awaited, so that the session is never idle.  What
        was taken from ``messages`` has its outcomes, whatever happens; once the session is of no more use nothing is
        taken, so an iterator can go on with another session.  Who leaves the loop early leaves those in line under way
        (``quit`` awaits them).  Raises LocalError for a negative ``ahead``, and as ``deliver``; cancelled, it ends
        the channel.
        """
        return Series(self, messages, ahead)

    async def quit(self) -> None:
        """End in order: await the messages under way, QUIT, its reply, close.  Never raises for what the peer does."""
        try:
            while self._line:
                await asyncio.wait([self._line[-1].ended])
            if self.fault is None and self.sender.may_send(Quit()):
                self.write(self.sender.send(Quit()))
                with contextlib.suppress(NetworkError, RemoteError):
                    await self._one(self.timeouts.quit, "QUIT")
        finally:
            self.fault = self.fault or Closed("the session was ended with QUIT")
            self._stop_timer()
            if self._stream is not None:
                self._stream.close()

    def abort(self) -> None:
        """End the channel now; messages under way end with what is known of them."""
        self.fault = self.fault or Closed("the session was aborted")
        self._stop_timer()
        if self._stream is not None:
            self._stream.abort()
        self._over()
