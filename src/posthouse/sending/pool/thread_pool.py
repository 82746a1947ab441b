"""``Pool``: connections to one server for blocking calls, shared by threads.

A lock is held while the engine's state changes, and never while anything is sent, received or waited for.  There is no
thread of the pool's own: idle connections are closed by the next call after their time, or by ``close``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from posthouse.client.blocking import BlockingSession
from posthouse.client.model import Deadline
from posthouse.core import LocalError, NetworkError, Outcome, RemoteError
from posthouse.net import SystemClock
from posthouse.protocol import Noop
from posthouse.sending.blocking_driver import deliver_blocking, open_blocking_session
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.burst import Line, Sending, TakeStep, WaitStep, burst
from posthouse.sending.pool.pool_base import BasePool, PoolCall, may_try_again
from posthouse.sending.pool.pool_engine import IDLE_BEFORE_NOOP, PATIENCE, PoolRequest, RequestState
from posthouse.sending.pool.pool_limits import Duration, read_seconds
from posthouse.sending.pool.pooled_record import PooledRecord
from posthouse.sending.pool.series import Series, SeriesItem
from posthouse.sending.pool.socket_wait import SocketWait
from posthouse.sending.results import SendResult
from posthouse.sending.transports import Transport

if TYPE_CHECKING:
    from posthouse.sending.dialogue_record import TranscriptLike
    from posthouse.sending.outgoing import EnvelopeLike, MessageLike
    from posthouse.sending.pool.async_pool import AsyncPool
    from posthouse.sending.pool.series import JournalLike, KeyFunction, ProgressLike

__all__ = ["BlockingConnection", "Pool"]

_NOOP_SECONDS = 10.0
_DAY = 86_400.0  # the longest single wait; some systems take no longer one


class BlockingConnection:
    """One connection of a ``Pool``."""

    __slots__ = ("record", "session")

    def __init__(self, session: BlockingSession, record: PooledRecord) -> None:
        self.session = session
        self.record = record

    @property
    def usable(self) -> bool:
        return self.session.usable

    @property
    def most_messages(self) -> int | None:
        capabilities = self.session.capabilities
        return capabilities.limits.get("MAILMAX") if "LIMITS" in capabilities.keywords else None

    def alive(self, idle: float, call: PoolCall) -> bool:
        """Whether the server has not ended the session: what has arrived is looked at, and after 30 s without work the
        server is asked."""
        session = self.session
        session.look()
        if not session.usable or idle < IDLE_BEFORE_NOOP:
            return session.usable
        self.record.current = call.record
        session.limit(Deadline(SystemClock(), min(_NOOP_SECONDS, call.deadline.left)))
        try:
            return session.command(Noop()).positive and session.usable
        except (NetworkError, RemoteError):
            return False

    def deliver(self, call: PoolCall, clock: SystemClock) -> tuple[Outcome, ...]:
        """Send one message.  If it raises, the connection has ended."""
        self.record.current = call.record
        try:
            return deliver_blocking(self.session, call.message, call.deadline, call.began, clock)
        finally:
            self.session.limit(None)

    def begin(self, call: PoolCall) -> Sending:
        """Begin to send one message, behind those that are under way."""
        self.record.current = call.record
        self.session.cautious = True
        return Sending(self.session, call)

    def quit(self, seconds: float) -> None:
        """Say QUIT, wait for the reply for at most so long, and close."""
        self.session.limit(Deadline(SystemClock(), seconds))
        self.session.quit()

    def leave(self) -> None:
        self.session.leave()

    def abort(self) -> None:
        self.session.abort()

    def forget(self) -> None:
        self.session.forget()


class TransportConnection:
    """A transport in the place of a connection, so that the limits of the pool hold for it too."""

    usable = True
    most_messages = None

    def leave(self) -> None: ...

    def abort(self) -> None: ...

    def forget(self) -> None: ...


class Pool(BasePool[BlockingConnection]):
    """Connections to one server that are kept between messages.  Threads may share a pool: any may call any method at
    any time.  ``async with Pool(…) as pool`` gives an ``AsyncPool`` with the same arguments.

    Nothing is opened before the first message.  Leaving ``with`` says QUIT and waits for the replies, at most 1 s.

    Args:
        via: As for ``posthouse.send``; None is looked up at the first message.
        size: Connections at one time.  Further callers wait, first come, first served, and their time limit runs.
        idle: For how long a connection without work is kept: seconds, a ``timedelta`` or text (``"60s"``).
        max_age: The age at which a connection is not used again, varied by 10 %; None for no limit.
        messages: How many messages one connection carries; None for no limit.
        rate: The most messages in any stretch of time: ``"20/s"``, ``"500/h"``; None for no limit.
        timeout: The time limit of each call, waiting for a connection included.  Without it each phase has its own, and
            600 s are waited for a connection.
        credentials: As for ``posthouse.send``.
        **options: See ``SendOptions``.

    Raises:
        LocalError, SettingError: An argument is wrong.
    """

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        super()._start_empty()

    # -- one message ---------------------------------------------------------------------------------------------------

    def send(
        self,
        message: MessageLike,
        *,
        timeout: Duration | None = None,
        envelope: EnvelopeLike | None = None,
        transcript: TranscriptLike = False,
    ) -> SendResult:
        """Send one message; as ``posthouse.send``, on a connection of the pool.

        If the server ended a kept connection in place of beginning the message, it is tried once on a fresh one.

        Raises:
            LocalError: The message or an argument cannot be sent, or the pool is closed.
            CannotConnect, TimedOut, TLSFailed, AuthRefused: Nothing was tried: there was no connection in time, or none
                could be opened.  After such a failure the next attempt waits 0.5 s, then 1 s, 2 s … 30 s; a message
                that would have to wait for more than 5 s is not tried, and the exception says so.
        """
        call = self._call(message, envelope, timeout, transcript)
        if not isinstance(self._route, ServerTarget):
            return self._by_transport(self._route, call)
        request = self._take(call, PATIENCE)
        retried = False
        try:
            while True:
                connection = request.connection
                outcomes = connection.deliver(call, self._clock)
                if retried or request.fresh or not may_try_again(outcomes):
                    break
                retried = True
                self._replace(request, call)
        except BaseException:
            self._give_up(request)
            raise
        self._give_back(request)
        return SendResult(outcomes, transcript=call.record.lines)
