"""``Pool``: connections to one server for blocking calls, shared by threads.

A lock is held while the engine's state changes, and never while anything is sent, received or waited for.  There is no
thread of the pool's own: idle connections are closed by the next call after their time, or by ``close``.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from posthouse.client.blocking_channel import BlockingChannel
from posthouse.sending.connection.blocking_driver import open_blocking_session
from posthouse.sending.connection.dialogue_record import DialogueRecord, TranscriptLike
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.blocking_connection import BlockingConnection, BlockingTransport
from posthouse.sending.pool.burst import BurstItem, Failures, Line, ReplaceStep, TakeStep, WaitStep, burst
from posthouse.sending.pool.pool_base import BasePool, NoneFree, PoolCall, length_of, may_try_again, transcript_of
from posthouse.sending.pool.pool_engine import PATIENCE, PoolRequest, RequestState
from posthouse.sending.pool.pool_limits import Duration, read_seconds
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.send_many import SendMany, SendManyOptions
from posthouse.sending.pool.socket_wait import LONGEST_WAIT, SocketWait
from posthouse.sending.results import SendResult
from posthouse.sending.transports.schemes import Transport

if TYPE_CHECKING:
    from posthouse.sending.messages.batches import EnvelopesLike
    from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike
    from posthouse.sending.pool.async_pool import AsyncPool

__all__ = ["Pool"]

_WAITING, _OPENING, _REFUSED = RequestState.WAITING, RequestState.OPENING, RequestState.REFUSED


_Connection = BlockingConnection | BlockingTransport


class Pool(BasePool[_Connection]):
    """Connections to one server that are kept between messages.  Threads may share a pool: any may call any method at
    any time.  ``async with Pool(…) as pool`` gives an ``AsyncPool`` with the same arguments.

    Nothing is opened before the first message.  Leaving ``with`` says QUIT and waits for the replies, at most 1 s.

    Args:
        via: As for ``posthouse.send``; None is looked up at the first message.
        size: Connections at one time.  Further callers wait, first come, first served, and their time limit runs.
        idle: For how long a connection without work is used again: seconds, a ``timedelta`` or text (``"60s"``).  No
            thread watches the clock: an older one is closed at the next call.
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
        self._less_busy = threading.Condition(self._lock)
        super()._start_empty()

    # -- one message ---------------------------------------------------------------------------------------------------

    def send(
        self,
        message: MessageLike,
        *,
        timeout: Duration | None = None,
        envelope: EnvelopesLike | None = None,
        transcript: TranscriptLike = False,
        verp: bool | str = False,
    ) -> SendResult:
        """Send one message; as ``posthouse.send``, on a connection of the pool.

        If the server ended a kept connection in place of beginning the message, it is tried once on a fresh one.

        Raises:
            LocalError: The message or an argument cannot be sent, or the pool is closed.
            CannotConnect, TimedOut, TLSFailed, AuthRefused: Nothing was tried: there was no connection in time, or none
                could be opened.  After such a failure the next attempt waits 0.5 s, then 1 s, 2 s … 30 s; a message
                that would have to wait for more than 5 s is not tried, and the exception says so.  A fresh connection
                that answers its first MAIL with 421, or ends there, has failed too: its message has the result
                *deferred*.
        """
        calls = self.calls_of(message, envelope, timeout, transcript, verp)
        found = [self._send_one(each) for each in calls]
        outcomes = found[0].outcomes if len(found) == 1 else [each for one in found for each in one.outcomes]
        return SendResult(outcomes, queue_id=found[0].queue_id, transcript=transcript_of(calls))

    def _send_one(self, call: PoolCall) -> Delivered:
        request = self._take(call, PATIENCE)
        retried = False
        try:
            while True:
                delivered = request.connection.deliver(call)
                if retried or request.fresh or not may_try_again(delivered.outcomes, delivered.fault):
                    break
                retried = True
                self._replace(request, call)
        except BaseException:
            self.give_up(request)
            raise
        with self._lock:
            self._message_ended(request, delivered)
        self._close_leaving()
        return delivered

    # -- many messages -------------------------------------------------------------------------------------------------

    def send_many(
        self,
        messages: Iterable[MessageLike | tuple[MessageLike, EnvelopeLike]],
        **options: Unpack[SendManyOptions],
    ) -> Iterator[SendResult]:
        """Send messages over the connections of the pool; gives one result for each, in their order, lazily.

        Messages are taken from ``messages`` as results are asked for.  Those that are taken ahead (``ahead``) have been
        sent when the result of the first of them is given; closing the iterator closes ``messages``.

        Args:
            messages: Messages, or pairs of a message and its envelope.
            **options: See ``SendManyOptions``.

        Raises:
            TypeError: ``messages`` is asynchronous.
            LocalError: An option is wrong, or the journal belongs to another series.
            CannotConnect, TimedOut, TLSFailed, AuthRefused: While iterating: no connection could be opened, or the
                server ended it in place of beginning the first message, 5 times one after another.  No message whose
                result was not given has been tried.
        """
        if not hasattr(messages, "__iter__"):
            kind = type(messages).__name__
            if hasattr(messages, "__aiter__"):
                raise TypeError(f"{kind} is asynchronous: use `async with Pool(…) as pool`, and `async for`")
            raise TypeError(f"{kind} cannot be iterated over")
        return self._results(iter(messages), SendMany(self, self._limits.size, options, length_of(messages)))

    def _results(self, source: Iterator[Any], series: SendMany) -> Iterator[SendResult]:
        with series, _closing(source):
            while series.goes_on:
                series.gather(source)
                self._send_burst(series.begin(), series.failures)
                yield from series.results()

    def _send_burst(self, items: list[BurstItem], failures: Failures) -> None:
        steps = burst(self, items, failures)
        answer: Line[_Connection] | None = None
        error: Exception | None = None
        with contextlib.closing(steps), SocketWait() as wait:
            while True:
                try:
                    step = steps.send(answer) if error is None else steps.throw(error)
                except StopIteration:
                    return
                answer = error = None
                try:
                    if isinstance(step, TakeStep):
                        answer = Line(self._take(step.call, math.inf, wait=step.wait))
                    elif isinstance(step, ReplaceStep):
                        self._replace(step.line.request, step.call)
                    else:
                        _wait_for_one(step, wait)
                except NoneFree:
                    answer = None
                except Exception as found:
                    error = found

    # -- what a burst asks for -----------------------------------------------------------------------------------------

    def another(self, line: Line[_Connection]) -> float:
        """Whether the connection of the line may carry one more message; as ``PoolEngine.another``."""
        with self._lock:
            return self._engine.another(line.request, time.monotonic(), len(line.under_way))

    def give_back(self, line: Line[_Connection]) -> None:
        """The burst needs the connection no more."""
        connection = line.connection
        if isinstance(connection, BlockingConnection):
            connection.session.limit(None)
        with self._lock:
            self._engine.give_back(line.request, time.monotonic(), usable=connection.usable)
        self._close_leaving()

    def broken(self, line: Line[_Connection], fault: Exception) -> None:
        """As ``PoolEngine.broken``."""
        with self._lock:
            self._engine.broken(line.request, fault, time.monotonic())
        self._close_leaving()

    def proved(self, line: Line[_Connection]) -> None:
        """As ``PoolEngine.proved``."""
        with self._lock:
            self._engine.proved(line.request, time.monotonic())

    # -- connections ---------------------------------------------------------------------------------------------------

    def _take(self, call: PoolCall, patience: float, *, wait: bool = True) -> PoolRequest[_Connection]:
        """A request whose connection is open and alive, as far as can be known."""
        with self._lock:
            request = self._ask(call, patience)
        try:
            if request.state is _WAITING and not wait:
                raise NoneFree
            self._wait_for(request, call)
            while request.state is not _OPENING:
                connection = request.connection
                if connection.alive(request.idle, call):
                    return request
                with self._lock:
                    self._forget_one(self._engine.lost(request))
                connection.abort()
            self._open(request, call, wait=wait)
        except BaseException:
            self.give_up(request)
            raise
        self._close_leaving()
        return request

    def _wait_for(self, request: PoolRequest[_Connection], call: PoolCall) -> None:
        """Wait until the request has a slot or a connection.  Raises ``TimedOut``, or why it was refused."""
        if request.state is _WAITING:
            woken = threading.Event()
            request.wake = woken.set
            while request.state is _WAITING:
                with self._lock:
                    now = time.monotonic()
                    if request.state is _WAITING and now >= request.deadline:
                        raise self._waited_enough(request, call)
                    pause = self._engine.due(request, now) - now
                woken.wait(min(pause, LONGEST_WAIT))
                woken.clear()
                with self._lock:
                    self._engine.look(time.monotonic())
        if request.state is _REFUSED:
            raise self._refusal(request)

    def _replace(self, request: PoolRequest[_Connection], call: PoolCall) -> None:
        """Open a fresh connection in the slot of one that is dead."""
        connection = request.connection
        with self._lock:
            self._forget_one(self._engine.lost(request))
        connection.abort()
        self._open(request, call)

    def _open(self, request: PoolRequest[_Connection], call: PoolCall, *, wait: bool = True) -> None:
        """Open the connection of a request.  A host that takes no more sessions now makes the request wait for one that
        is open."""
        while request.state is _OPENING:
            try:
                connection = self._connect(call)
            except BaseException as error:
                with self._lock:
                    queued = self._opening_failed(request, error, call)
                    self._less_busy.notify_all()
                if not queued:
                    raise
                if not wait:
                    raise NoneFree from error
                self._wait_for(request, call)
            else:
                with self._lock:
                    self._connections.add(connection)
                    self._engine.opened(request, connection, time.monotonic(), connection.most_messages)

    def _connect(self, call: PoolCall) -> _Connection:
        route = self._route
        if isinstance(route, ServerTarget):
            record = DialogueRecord(peer=str(route))
            record.also = call.record
            session = open_blocking_session(route, record, call.deadline, self._clock)
            session.limit(None)
            return BlockingConnection(session, record, self._clock)
        assert isinstance(route, Transport), "a route that is no server"
        return BlockingTransport(route)

    def _forget_one(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def give_up(self, request: PoolRequest[_Connection]) -> None:
        """The caller was interrupted: the request frees its place, and its connection ends."""
        with self._lock:
            before = len(self._engine.leaving)
            self._engine.give_up(request, time.monotonic())
            given_up = self._engine.leaving[before:]
        for each in given_up:
            each.abort()
        self._close_leaving()

    def _close_leaving(self) -> None:
        if self._engine.leaving or self._engine.closed:
            with self._lock:
                leaving = self._take_leaving()
                self._less_busy.notify_all()
            for each in leaving:
                each.leave()

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, grace: Duration = 1.0) -> None:
        """Close the pool: callers that wait get a ``LocalError``, messages under way have ``grace`` to end, and every
        connection says QUIT and waits for the reply within the same time.  A message that takes longer ends by itself,
        and its connection is closed then.  A second call does nothing."""
        ends = time.monotonic() + read_seconds(grace, "grace")
        with self._lock:
            self._engine.close(self._closed_error())
            leaving = self._take_leaving()
        for each in leaving:  # all together: the grace is for one round trip, and not for one of each connection
            each.say_quit()
        for each in leaving:
            each.quit(max(0.0, ends - time.monotonic()))
        with self._lock:
            while self._engine.busy and (left := ends - time.monotonic()) > 0:
                self._less_busy.wait(left)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> AsyncPool:
        from posthouse.sending.pool.async_pool import AsyncPool

        self._twin: AsyncPool = AsyncPool(self._via, **self._arguments)
        return self._twin

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._twin.close()


def _wait_for_one(step: WaitStep[_Connection], wait: SocketWait) -> None:
    """Send and receive on the connections of a burst until one of its first messages may have ended."""
    wanted: dict[BlockingChannel, int] = {}
    for line in step.lines:
        head = line.under_way[0].sending if line.under_way else None
        if head is None or head.done:
            continue
        connection = line.connection
        assert isinstance(connection, BlockingConnection), "a transport ends its messages at once"
        channel = connection.session.channel
        channel.deadline = line.deadline
        events = channel.advance(lambda: line.ended)  # noqa: B023 (called here)
        if not events:
            return
        wanted[channel] = events
    wait.for_any(wanted, step.seconds)


@contextlib.contextmanager
def _closing(source: Iterator[Any]) -> Iterator[None]:
    """Close a generator at the end."""
    try:
        yield
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
