"""Connections of a ``Pool``: a session over a blocking socket, or a transport in its place."""

from __future__ import annotations

from posthouse.client.blocking import BlockingSession
from posthouse.client.deadline import Deadline
from posthouse.core import NetworkError, RemoteError
from posthouse.net.system_clock import SystemClock
from posthouse.protocol import Noop
from posthouse.sending.connection.blocking_driver import deliver_blocking
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.pool.pool_base import PoolCall, most_messages_of
from posthouse.sending.pool.pool_engine import IDLE_BEFORE_NOOP
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.pooled_sending import (
    PooledSending,
    SessionSending,
    TransportConnection,
    TransportSending,
)

__all__ = ["BlockingConnection", "BlockingTransport"]

#: Seconds that are waited for the reply to NOOP.
_NOOP_SECONDS = 10.0


class BlockingConnection:
    """One connection of a ``Pool``."""

    __slots__ = ("_channel", "_clock", "record", "session")

    def __init__(self, session: BlockingSession, record: DialogueRecord, clock: SystemClock) -> None:
        self.session = session
        self._channel = session.channel
        self.record = record
        self._clock = clock

    @property
    def usable(self) -> bool:
        return self._channel.usable

    @property
    def most_messages(self) -> int | None:
        return most_messages_of(self.session.capabilities)

    @property
    def tail(self) -> tuple[str, ...]:
        return self.record.tail

    def alive(self, idle: float, call: PoolCall) -> bool:
        """Whether the server has not ended the session: what has arrived is looked at, and after 30 s without work the
        server is asked."""
        session = self.session
        session.look()
        if not session.usable or idle < IDLE_BEFORE_NOOP:
            return session.usable
        self.record.also = call.record
        session.limit(Deadline(self._clock, min(_NOOP_SECONDS, call.deadline.left)))
        try:
            return session.command(Noop()).positive and session.usable
        except (NetworkError, RemoteError):
            return False
        finally:
            session.limit(None)

    def deliver(self, call: PoolCall) -> Delivered:
        """Send one message.  If it raises, the connection has ended."""
        self.record.also = call.record
        try:
            outcomes = deliver_blocking(self.session, call.message, call.deadline, call.began, self._clock)
            return Delivered(outcomes, "", self.session.fault)
        finally:
            self.session.limit(None)

    def begin(self, call: PoolCall) -> PooledSending:
        self.record.also = call.record
        return SessionSending(self._channel, call)

    def say_quit(self) -> None:
        """Say QUIT, and do not wait for the reply."""
        self.session.say_quit()

    def quit(self, seconds: float) -> None:
        """Say QUIT, wait for the reply for at most so long, and close."""
        self.session.limit(Deadline(self._clock, seconds))
        self.session.quit()

    def leave(self) -> None:
        self.session.leave()

    def abort(self) -> None:
        self.session.abort()

    def forget(self) -> None:
        self.session.forget()


class BlockingTransport(TransportConnection):
    """A transport that does not wait for an event loop, in the place of a connection."""

    def alive(self, idle: float, call: PoolCall) -> bool:
        return True

    def deliver(self, call: PoolCall) -> Delivered:
        return self.begin(call).end(0.0)

    def begin(self, call: PoolCall) -> PooledSending:
        sending = TransportSending(self.transport, call)
        if sending.pending is not None:
            sending.refuse(type(self.transport).__name__)
        return sending

    def say_quit(self) -> None: ...

    def quit(self, seconds: float) -> None: ...
