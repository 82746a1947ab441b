"""A session of the sending SMTP over a blocking socket: no event loop and no hidden thread.

The transactions, their order, the octets and the time limits are those of ``client.session``: both stand on
``client.pipeline``.  The channel here sends and receives inside the call of its user.  While content is sent it also
looks for replies, so that an early refusal ends the transaction.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, TypeVar

from posthouse.client.model import Greeted, SessionRefused, Timeouts
from posthouse.client.pipeline import Pipeline
from posthouse.client.session import BaseSession, CommandStep, greet, say
from posthouse.client.transfer import Transfer
from posthouse.core import (
    Closed,
    Content,
    Envelope,
    LocalError,
    NetworkError,
    Outcome,
    RemoteError,
    Reply,
)
from posthouse.net import Clock, Endpoint, SystemClock
from posthouse.net.blocking_connect import connect_blocking
from posthouse.net.system import broken_by, endpoint_of
from posthouse.protocol import Command, Limits, Quit, State, Tap, Transcript

__all__ = ["BlockingChannel", "BlockingSession", "open_blocking"]

_NEVER: Final = -1.0
_ENDED: Final = State.CLOSED
_READ: Final = 262_144
#: Octets that are queued before the transaction pauses, and those with which it goes on (the marks of asyncio).
_HIGH_WATER: Final = 65_536
_LOW_WATER: Final = 16_384

_M = TypeVar("_M", bound=tuple[Envelope, Content])


class BlockingChannel(Pipeline):
    """A pipeline of transactions on one socket that does not block; ``run`` waits for it."""

    def __init__(
        self,
        sock: socket.socket,
        endpoint: Endpoint,
        *,
        clock: Clock,
        name: str = "",
        lmtp: bool = False,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        tap: Tap | None = None,
    ) -> None:
        super().__init__(
            clock=clock, name=name, lmtp=lmtp, timeouts=timeouts, limits=limits, transcript=transcript, tap=tap
        )
        self._socket = sock
        self._endpoint = endpoint
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._events = selectors.EVENT_READ
        self._open(endpoint)

    @property
    def local_host(self) -> str:
        return endpoint_of(self._socket.getsockname()).host

    def write(self, data: bytes) -> None:
        """Queue octets; ``run`` sends them."""
        if data and self.fault is None:
            self._queue.append(memoryview(data))
            self._queued += len(data)
            self.paused = self._queued > _HIGH_WATER

    def run(self, done: Callable[[], bool]) -> None:
        """Send and receive until ``done`` is true or the connection has ended."""
        while not done() and self.fault is None and self.sender.state is not _ENDED:
            if not self._flush():
                return
            if self.paused and self._queued <= _LOW_WATER:
                self._receive()  # a reply that is here already may end the content
                if self.fault is None and self.paused:
                    self.resume_writing()
            elif self._line and self._line[0].wants_turn:
                self._receive()
                if self._line and self._line[0].wants_turn:
                    self._line[0].resume()
            else:
                self._wait()

    def _flush(self) -> bool:
        """Send as much of the queue as the socket takes; returns whether the connection lives."""
        queue = self._queue
        try:
            while queue:
                sent = self._socket.send(queue[0])
                self._queued -= sent
                if sent < len(queue[0]):
                    queue[0] = queue[0][sent:]
                else:
                    queue.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self._receive()  # what the peer said before it closed the connection counts
            self.disconnected(broken_by(error, self._endpoint))
        return self.fault is None

    def _receive(self) -> None:
        """Take in the octets that are here."""
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.disconnected(broken_by(error, self._endpoint))
            return
        if data:
            self.data_received(data)
        else:
            self.eof_received()

    def _wait(self) -> None:
        """Wait for octets, or for room in the socket if some are queued, within the time limit that is running."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._queue else 0)
        if events != self._events:
            self._selector.modify(self._socket, events)
            self._events = events
        left = None if self._deadline == _NEVER else self._deadline - self._clock.monotonic()
        if left is not None and left <= 0:
            self._timed_out()
            return
        for _, ready in self._selector.select(left):
            if ready & selectors.EVENT_READ:
                self._receive()

    def reply(self, seconds: float, what: str) -> Reply:
        """The next reply to a command outside of transactions.  Raises the error that ended the connection."""
        self.expect(seconds, what)
        self.run(lambda: bool(self._answers))
        self._deadline = _NEVER
        if not self._answers:
            raise self.fault or Closed("the session is over")
        return self._answers.popleft()

    def close(self, why: str) -> None:
        """Close the connection."""
        self.fault = self.fault or Closed(why)
        self._queue.clear()
        self._selector.close()
        self._socket.close()

    def abort(self) -> None:
        """End the connection now; transactions under way end with what is known of them."""
        self.close("the session was aborted")
        self._over()


class BlockingSession(BaseSession):
    """A session over a blocking socket, for one thread at a time; ``open_blocking`` makes it.  As a context manager it
    ends with QUIT, or aborts the connection if the block raises."""

    def __init__(self, channel: BlockingChannel, hostname: str) -> None:
        super().__init__(channel, hostname)
        self._channel = channel

    def open(self) -> Greeted:
        """Await the greeting, send EHLO, or HELO to a peer that refuses EHLO (RFC 5321 §3.2, §4.1.4).

        Raises ``SessionRefused``, or the ``NetworkError`` or ``RemoteError`` that ended the connection.
        """
        dialogue = greet(self._channel, self._hostname)
        try:
            step = next(dialogue)
            while True:
                step = dialogue.send(self._exchange(step))
        except StopIteration as stop:
            greeted: Greeted = stop.value
        return greeted

    def command(self, command: Command) -> Reply:
        """Send one command and return its reply.  Raises the error that ended the connection."""
        return self._exchange(say(self._channel, command))

    def _exchange(self, step: CommandStep) -> Reply:
        self._channel.write(step.wire)
        return self._channel.reply(step.seconds, step.what)

    def deliver(self, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
        """Send one message to the peer; returns an outcome for each recipient, in the order of the envelope.

        Every reply and fault of the peer is an outcome.  An exception while a message is under way,
        ``KeyboardInterrupt`` included, aborts the connection: nothing may follow a message that is half sent.
        """
        return self._end_of(self._begin(envelope, content))

    def _begin(self, envelope: Envelope, content: Content) -> Transfer:
        if not hasattr(content, "chunks"):
            raise LocalError("this content can be read in an event loop only")
        return Transfer(self._channel, envelope, content)

    def deliver_each(self, messages: Iterable[_M], *, ahead: int = 2) -> Iterator[tuple[_M, tuple[Outcome, ...]]]:
        """Send many messages: ``for (envelope, content), outcomes in session.deliver_each(messages)``.

        As ``Session.deliver_each``: the next ``ahead`` messages stand in line while the outcomes of one are awaited.
        They go on when the next outcomes are asked for, or with ``quit``.
        """
        if ahead < 0:
            raise LocalError(f"ahead={ahead}: a number of messages, 0 or more")
        return self._each(iter(messages), ahead)

    def _each(self, messages: Iterator[_M], ahead: int) -> Iterator[tuple[_M, tuple[Outcome, ...]]]:
        channel = self._channel
        line: deque[tuple[_M, Transfer]] = deque()
        more = True
        while True:
            while more and len(line) <= ahead:
                message = next(messages, None) if channel.usable else None
                if message is None:
                    more = False
                else:
                    line.append((message, self._begin(message[0], message[1])))
            if not line:
                return
            message, transfer = line.popleft()
            yield message, self._end_of(transfer)

    def _end_of(self, transfer: Transfer) -> tuple[Outcome, ...]:
        """The outcomes of a transfer, when it has ended."""
        try:
            self._channel.run(lambda: transfer.outcomes is not None or transfer.error is not None)
        except BaseException:
            self.abort()
            raise
        if transfer.outcomes is None:
            raise transfer.error or LocalError("the transfer has not ended")
        return transfer.outcomes

    def quit(self) -> None:
        """End the session in order: await the messages under way, send QUIT, await its reply, close the connection.
        Never raises for what the peer does."""
        channel = self._channel
        try:
            channel.run(lambda: channel.idle)
            if channel.fault is None and channel.sender.may_send(Quit()):
                channel.write(channel.sender.send(Quit()))
                with contextlib.suppress(NetworkError, RemoteError):
                    channel.reply(channel.timeouts.quit, "QUIT")
        finally:
            channel.close("the session was ended with QUIT")

    def abort(self) -> None:
        """End the connection now."""
        self._channel.abort()

    def __enter__(self) -> BlockingSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.quit()
        else:
            self.abort()


def open_blocking(
    endpoints: Sequence[Endpoint],
    *,
    hostname: str,
    clock: Clock | None = None,
    name: str = "",
    lmtp: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
    tap: Tap | None = None,
    source: str = "",
) -> BlockingSession:
    """Open a session with one host without an event loop: race its addresses, then the dialogue up to the reply to
    EHLO.  Arguments and exceptions are those of ``client.connect``."""
    clock = clock or SystemClock()
    timeouts = timeouts or Timeouts()
    sock, endpoint = connect_blocking(endpoints, clock, source=source, timeout=timeouts.connect)
    channel = BlockingChannel(
        sock,
        endpoint,
        clock=clock,
        name=name,
        lmtp=lmtp,
        timeouts=timeouts,
        limits=limits,
        transcript=transcript,
        tap=tap,
    )
    session = BlockingSession(channel, hostname)
    try:
        session.open()
    except (RemoteError, NetworkError) as error:
        if isinstance(error, SessionRefused) and session.fault is None:
            session.quit()
        else:
            session.abort()
        raise
    except BaseException:
        session.abort()
        raise
    return session
