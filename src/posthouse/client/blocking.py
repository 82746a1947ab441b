"""A session of the sending SMTP over a blocking socket: no event loop and no hidden thread.

The transactions, their order, the octets and the time limits are those of ``client.session``: both stand on
``client.pipeline``.  ``client.blocking_channel`` sends and receives inside the call of the session's user.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from posthouse.client.base_session import BaseSession
from posthouse.client.blocking_channel import BlockingChannel
from posthouse.client.deadline import Deadline
from posthouse.client.model import (
    CommandStep,
    Greeted,
    HandshakeStep,
    LoginFailed,
    SessionRefused,
    Step,
    Timeouts,
    TlsUnavailable,
    WorkStep,
)
from posthouse.client.opening import greet
from posthouse.client.pipeline import say
from posthouse.client.transfer import Transfer
from posthouse.core import (
    Broken,
    Closed,
    Content,
    Envelope,
    LocalError,
    NetworkError,
    Outcome,
    RemoteError,
    Reply,
)
from posthouse.net import BlockingClock, Clock, Endpoint
from posthouse.net.blocking_connect import connect_blocking
from posthouse.protocol import Command, Limits, Quit, Tap, Transcript

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.tls_policy import TlsPolicy

__all__ = ["BlockingSession", "Dial", "open_blocking"]


class Dial(Protocol):
    """Makes a connection to one of a host's addresses: a socket that does not block, and the address."""

    def __call__(
        self, endpoints: Iterable[Endpoint], clock: Clock, /, *, source: str, timeout: float
    ) -> tuple[socket.socket, Endpoint]: ...


_M = TypeVar("_M", bound=tuple[Envelope, Content])


class BlockingSession(BaseSession):
    """A session over a blocking socket, for one thread at a time; ``open_blocking`` makes it.  As a context manager it
    ends with QUIT, or aborts the connection if the block raises."""

    def __init__(
        self,
        channel: BlockingChannel,
        hostname: str,
        tls: TlsPolicy | None = None,
        login: LoginSettings | None = None,
    ) -> None:
        super().__init__(channel, hostname, tls, login)
        self._channel = channel
        self._quit_said = False

    def open(self) -> Greeted:
        """Open the session: greeting, EHLO, STARTTLS and AUTH as its settings say; as ``Session.open``."""
        dialogue = greet(self._channel, self._hostname, self._policy, self._credentials)
        answer: Any = None
        lost: NetworkError | None = None
        try:
            while True:
                step = dialogue.send(answer) if lost is None else dialogue.throw(lost)
                lost = None
                try:
                    answer = self._take(step)
                except (Broken, Closed) as error:  # the dialogue may know why
                    lost = error
        except StopIteration as stop:
            greeted: Greeted = stop.value
        self.greeted = greeted
        self._keep_tls(self._channel.resumable())
        return greeted

    def _take(self, step: Step) -> Any:
        """Carry out one step."""
        channel = self._channel
        if isinstance(step, CommandStep):
            return self._exchange(step)
        if isinstance(step, HandshakeStep):
            return channel.start_tls(*self._handshake_with(step))
        if isinstance(step, WorkStep):
            result = step.call()
            if hasattr(result, "__await__"):
                if (close := getattr(result, "close", None)) is not None:
                    close()
                raise LocalError("a token source that is awaited works in an event loop only")
            return result
        if channel.silent(step.seconds):
            from posthouse.net.tls_port import speaks_tls_blocking

            if speaks_tls_blocking(channel.clock, channel.address) and not channel.answered:
                raise channel.speaks_tls()
        return None

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
        return self._end_of(self.begin(envelope, content))

    def begin(self, envelope: Envelope, content: Content) -> Transfer:
        """Begin to send one message, behind those that are under way; ``channel`` goes on with it."""
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
                    line.append((message, self.begin(message[0], message[1])))
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

    def limit(self, deadline: Deadline | None) -> None:
        """Set the time limit of the calls that follow, over all of their phases; None for none."""
        self._channel.deadline = None if deadline is None or deadline.seconds is None else deadline

    def quit(self) -> None:
        """End the session in order: await the messages under way, send QUIT, await its reply, close the connection.
        Never raises for what the peer does."""
        channel = self._channel
        try:
            channel.run(lambda: channel.idle)
            self.say_quit()
            if self._quit_said:
                with contextlib.suppress(NetworkError, RemoteError):
                    channel.reply(channel.timeouts.quit, "QUIT")
        finally:
            channel.close("the session was ended with QUIT")

    def say_quit(self) -> None:
        """Send QUIT, if no message is under way; ``quit`` awaits the reply."""
        channel = self._channel
        if channel.fault is None and channel.idle and channel.sender.may_send(Quit()):
            channel.write(channel.sender.send(Quit()))
            channel.advance(lambda: channel.answered)  # sends, and waits for nothing
            self._quit_said = True

    @property
    def channel(self) -> BlockingChannel:
        """The channel, for a caller that waits for several sessions at a time."""
        return self._channel

    def look(self) -> None:
        """Take in what the peer has sent while the session was idle: a 421, close_notify, or the end.  Sends nothing
        and does not wait; ``usable`` tells what follows from it."""
        self._channel.look()

    def leave(self) -> None:
        """End the session: send QUIT without awaiting its reply, and close the connection."""
        self._channel.leave_now()

    def abort(self) -> None:
        """End the connection now."""
        self._channel.abort()

    def forget(self) -> None:
        """Close this process's descriptors and say nothing: the connection belongs to the process from which this one
        was forked."""
        self._channel.forget()

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
    tls: TlsPolicy | None = None,
    login: LoginSettings | None = None,
    deadline: Deadline | None = None,
    dial: Dial = connect_blocking,
) -> BlockingSession:
    """Open a session with one host without an event loop: race its addresses, then the dialogue that opens it.
    Arguments and exceptions are those of ``client.connect``; ``dial`` makes the connection, for example by a proxy."""
    clock = clock or BlockingClock()
    timeouts = timeouts or Timeouts()
    seconds = timeouts.connect if deadline is None else min(timeouts.connect, deadline.left)
    sock, endpoint = dial(endpoints, clock, source=source, timeout=seconds)
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
    session = BlockingSession(channel, hostname, tls, login)
    channel.deadline = deadline
    try:
        session.open()
    except (RemoteError, NetworkError) as error:
        if isinstance(error, (SessionRefused, TlsUnavailable, LoginFailed)) and session.fault is None:
            session.quit()
        else:
            session.abort()
        raise
    except BaseException:
        session.abort()
        raise
    return session
