"""``AsyncPool``: connections to one server in an event loop, shared by tasks.

Nothing is awaited while the engine's state changes, so there is no lock.  A pool remembers its loop.  Called from
another one (``asyncio.run`` a second time) it starts empty, and closes the descriptors of the old loop without awaiting
anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from posthouse.client.model import Deadline
from posthouse.client.session import Session
from posthouse.core import LocalError, NetworkError, RemoteError
from posthouse.net import SocketNetwork
from posthouse.net.clock import SystemClock
from posthouse.protocol import Noop
from posthouse.sending.async_driver import deliver_async, open_async_session
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.burst import BurstItem, Line, ReplaceStep, TakeStep, WaitStep, burst
from posthouse.sending.pool.pool_base import BasePool, PoolCall, length_of, may_try_again
from posthouse.sending.pool.pool_engine import IDLE_BEFORE_NOOP, PATIENCE, PoolRequest, RequestState
from posthouse.sending.pool.pool_limits import Duration, read_seconds
from posthouse.sending.pool.pooled_record import PooledRecord
from posthouse.sending.pool.pooled_sending import (
    Delivered,
    PooledSending,
    SessionSending,
    TransportConnection,
    TransportSending,
)
from posthouse.sending.pool.send_many import SLOW, SendMany, SendManyOptions
from posthouse.sending.results import SendResult
from posthouse.sending.transports import Transport

if TYPE_CHECKING:
    from posthouse.sending.dialogue_record import TranscriptLike
    from posthouse.sending.outgoing import EnvelopeLike, MessageLike

__all__ = ["AsyncPool"]

_NOOP_SECONDS = 10.0
_FRESH = 1.0  # seconds without work after which the loop is given two turns to read what has arrived
_WAITING, _OPENING, _REFUSED = RequestState.WAITING, RequestState.OPENING, RequestState.REFUSED


class _AsyncConnection:
    """One connection of an ``AsyncPool``."""

    __slots__ = ("_clock", "record", "session")

    def __init__(self, session: Session, record: PooledRecord, clock: SystemClock) -> None:
        self.session = session
        self.record = record
        self._clock = clock

    @property
    def usable(self) -> bool:
        return self.session.usable

    @property
    def most_messages(self) -> int | None:
        capabilities = self.session.capabilities
        return capabilities.limits.get("MAILMAX") if "LIMITS" in capabilities.keywords else None

    async def alive(self, idle: float, call: PoolCall) -> bool:
        """Whether the server has not ended the session.  The loop reads by itself what arrives; it is given the turns
        for that, because the program may have kept it from reading."""
        session = self.session
        if idle > _FRESH:
            await asyncio.sleep(0)  # this turn's input is read behind what is ready now …
            await asyncio.sleep(0)  # … and before what is ready then
        if not session.usable or idle < IDLE_BEFORE_NOOP:
            return session.usable
        self.record.current = call.record
        try:
            async with asyncio.timeout(min(_NOOP_SECONDS, call.deadline.left)):
                return (await session.command(Noop())).positive and session.usable
        except (NetworkError, RemoteError, TimeoutError):
            return False

    async def deliver(self, call: PoolCall) -> Delivered:
        """Send one message.  If it raises, the connection has ended."""
        self.record.current = call.record
        return Delivered(await deliver_async(self.session, call.message, call.deadline, call.began, self._clock))

    def begin(self, call: PoolCall) -> PooledSending:
        self.record.current = call.record
        self.session.cautious = True
        return SessionSending(self.session, call)

    async def quit(self) -> None:
        """Say QUIT, wait for the reply, and close."""
        await self.session.quit()

    def leave(self) -> None:
        self.session.leave()

    def abort(self) -> None:
        self.session.abort()

    def forget(self) -> None:
        self.session.forget()


class _AsyncTransport(TransportConnection):
    """A transport in the place of a connection; it may be asynchronous."""

    async def alive(self, idle: float, call: PoolCall) -> bool:
        return True

    async def deliver(self, call: PoolCall) -> Delivered:
        sending = self.begin(call)
        if sending.pending is not None:
            sending.answered(await sending.pending)
        return sending.end(0.0)

    def begin(self, call: PoolCall) -> PooledSending:
        return TransportSending(self.transport, call)

    async def quit(self) -> None: ...


_Connection = _AsyncConnection | _AsyncTransport


class AsyncPool(BasePool[_Connection]):
    """Connections to one server that are kept between messages.  Tasks of one event loop may share a pool.

    Arguments, results and exceptions are those of ``Pool``.  Nothing is opened before the first message.  Leaving
    ``async with`` says QUIT and waits for the replies, at most 1 s.

    A cancelled call returns at once: its connection is closed, or was not taken, and its place is free.  A pool that is
    used in a second event loop, after the first has ended, starts empty there.
    """

    _asynchronous = True

    def _start_empty(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._less_busy: list[asyncio.Future[None]] = []
        super()._start_empty()

    # -- one message ---------------------------------------------------------------------------------------------------

    async def send(
        self,
        message: MessageLike,
        *,
        timeout: Duration | None = None,
        envelope: EnvelopeLike | None = None,
        transcript: TranscriptLike = False,
    ) -> SendResult:
        """Send one message; as ``Pool.send``.  Cancelled, it ends the connection at once: nothing may follow a message
        that is half sent."""
        self._enter_loop()
        call = self._call(message, envelope, timeout, transcript)
        request = await self._take(call, PATIENCE)
        retried = False
        try:
            while True:
                delivered = await request.connection.deliver(call)
                if retried or request.fresh or not may_try_again(delivered.outcomes):
                    break
                retried = True
                await self._replace(request, call)
        except BaseException:
            self._give_up(request)
            raise
        self._give_back(request)
        return SendResult(delivered.outcomes, queue_id=delivered.queue_id, transcript=call.record.lines)

    # -- many messages -------------------------------------------------------------------------------------------------

    def send_many(
        self,
        messages: (
            Iterable[MessageLike | tuple[MessageLike, EnvelopeLike]]
            | AsyncIterable[MessageLike | tuple[MessageLike, EnvelopeLike]]
        ),
        **options: Unpack[SendManyOptions],
    ) -> AsyncIterator[SendResult]:
        """Send messages, which may come from an asynchronous source; as ``Pool.send_many``.

        Use ``contextlib.aclosing`` where the iteration may end early: it closes the source at once.
        """
        if not hasattr(messages, "__aiter__") and not hasattr(messages, "__iter__"):
            raise TypeError(f"{type(messages).__name__} cannot be iterated over")
        return self._results(messages, SendMany(self, self._limits.size, options, length_of(messages)))

    async def _results(self, messages: Any, series: SendMany) -> AsyncGenerator[SendResult, None]:
        with series:
            async with contextlib.aclosing(_Source(messages)) as source:
                while series.goes_on:
                    while series.wants_more:
                        began = time.monotonic()
                        if await source.next(series):
                            series.take(source.message, time.monotonic() - began)
                    self._enter_loop()
                    await self._send_burst(series.begin())
                    for result in series.results():
                        yield result

    async def _send_burst(self, items: list[BurstItem]) -> None:
        steps = burst(self, items)
        answer: Line[_Connection] | None = None
        error: Exception | None = None
        with contextlib.closing(steps):
            while True:
                try:
                    step = steps.send(answer) if error is None else steps.throw(error)
                except StopIteration:
                    return
                answer = error = None
                try:
                    if isinstance(step, TakeStep):
                        answer = await self._take_line(step)
                    elif isinstance(step, ReplaceStep):
                        await self._replace(step.line.request, step.call)
                    else:
                        await self._wait_for_one(step)
                except Exception as found:
                    error = found

    async def _take_line(self, step: TakeStep) -> Line[_Connection] | None:
        try:
            return Line(await self._take(step.call, math.inf, wait=step.wait))
        except _NoneFree:
            return None

    async def _wait_for_one(self, step: WaitStep[_Connection]) -> None:
        """Wait until the first message of a line has ended."""
        for line in step.lines:
            head = line.under_way[0].sending if line.under_way else None
            if head is not None and head.pending is not None:
                try:
                    head.answered(await head.pending)
                except Exception as error:
                    head.answered(error)
                return
        limits = [
            line.deadline for line in step.lines if line.deadline is not None and line.deadline.seconds is not None
        ]
        seconds = min([each.left for each in limits], default=math.inf)
        await self._sleep_until_woken(min(seconds, math.inf if step.seconds is None else step.seconds), step.lines)
        for line in step.lines:
            connection, limit = line.connection, line.deadline
            if isinstance(connection, _AsyncConnection) and limit is not None and limit.left <= 0 and not line.ended:
                connection.session.limit_first(limit)

    async def _sleep_until_woken(self, seconds: float, lines: list[Line[_Connection]]) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        wake = partial(_set, woken)
        for line in lines:
            if line.under_way and (sending := line.under_way[0].sending) is not None:
                sending.tell(wake)
        if any(line.ended for line in lines):
            return
        timer = loop.call_later(seconds, wake) if seconds < math.inf else None
        try:
            await woken
        finally:
            if timer is not None:
                timer.cancel()

    # -- what a burst asks for -----------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def limit_of(self, call: PoolCall) -> Deadline:
        """The time limit of a call that begins now."""
        return Deadline(self._clock, call.deadline.seconds)

    def another(self, line: Line[_Connection]) -> float:
        """Whether the connection of the line may carry one more message; as ``PoolEngine.another``."""
        return self._engine.another(line.request, time.monotonic(), len(line.under_way))

    def carried(self, line: Line[_Connection]) -> None:
        """A message on the connection of the line has ended."""
        self._engine.carried(line.request)

    def give_back(self, line: Line[_Connection]) -> None:
        """The burst needs the connection no more."""
        self._engine.give_back(line.request, time.monotonic(), usable=line.connection.usable)
        self._close_leaving()

    def give_up(self, line: Line[_Connection]) -> None:
        """End the connection of the line at once."""
        self._give_up(line.request)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _take(self, call: PoolCall, patience: float, *, wait: bool = True) -> PoolRequest[_Connection]:
        """A request whose connection is open and alive, as far as can be known."""
        request = self._ask(call, patience)
        try:
            if request.state is _WAITING and not wait:
                raise _NoneFree
            await self._wait_for(request, call)
            while request.state is not _OPENING:
                connection = request.connection
                if await connection.alive(request.idle, call):
                    return request
                self._connections.discard(self._engine.lost(request))
                connection.abort()
            await self._open(request, call, wait=wait)
        except BaseException:
            self._give_up(request)
            raise
        self._close_leaving()
        return request

    async def _wait_for(self, request: PoolRequest[_Connection], call: PoolCall) -> None:
        """Wait until the request has a slot or a connection.  Raises ``TimedOut``, or why it was refused."""
        while request.state is _WAITING:
            now = time.monotonic()
            if now >= request.deadline:
                raise self._waited_enough(request, call)
            await self._pause(request, self._engine.due(request, now) - now)
            self._engine.look(time.monotonic())
        if request.state is _REFUSED:
            raise self._refusal(request)

    async def _pause(self, request: PoolRequest[_Connection], seconds: float) -> None:
        """Return when the request is woken, or after some seconds."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        request.wake = partial(_set, woken)
        timer = loop.call_later(seconds, request.wake)
        try:
            await woken
        finally:
            timer.cancel()

    async def _replace(self, request: PoolRequest[_Connection], call: PoolCall) -> None:
        """Open a fresh connection in the slot of one that is dead."""
        connection = request.connection
        self._connections.discard(self._engine.lost(request))
        connection.abort()
        await self._open(request, call)

    async def _open(self, request: PoolRequest[_Connection], call: PoolCall, *, wait: bool = True) -> None:
        """Open the connection of a request.  A host that takes no more sessions now makes the request wait for one that
        is open."""
        while request.state is _OPENING:
            try:
                connection = await self._connect(call)
            except BaseException as error:
                queued = self._opening_failed(request, error, call)
                self._tell_less_busy()
                if not queued:
                    raise
                busy = error
            else:
                self._connections.add(connection)
                self._engine.opened(request, connection, time.monotonic(), connection.most_messages)
                return
            if not wait:
                raise _NoneFree from busy
            await self._wait_for(request, call)

    async def _connect(self, call: PoolCall) -> _Connection:
        route = self._route
        if isinstance(route, ServerTarget):
            record = PooledRecord(call.record)
            session = await open_async_session(route, record, call.deadline, self._clock, self._network)
            return _AsyncConnection(session, record, self._clock)
        assert isinstance(route, Transport), "a route that is no server"
        return _AsyncTransport(route)

    def _give_back(self, request: PoolRequest[_Connection]) -> None:
        """A message has ended: the connection is free for the next, if it is usable."""
        self._engine.carried(request)
        self._engine.give_back(request, time.monotonic(), usable=request.connection.usable)
        self._close_leaving()

    def _give_up(self, request: PoolRequest[_Connection]) -> None:
        """The caller was cancelled: the request frees its place, and its connection ends."""
        before = len(self._engine.leaving)
        self._engine.give_up(request, time.monotonic())
        for each in self._engine.leaving[before:]:
            each.abort()
        self._close_leaving()

    def _close_leaving(self) -> None:
        for each in self._take_leaving():
            each.leave()
        self._tell_less_busy()
        if self._sweeper is None and self._loop is not None and (moment := self._engine.expires()) < math.inf:
            seconds = max(0.0, moment - time.monotonic())
            self._sweeper = self._loop.call_later(seconds, _sweep, weakref.ref(self))

    def _swept(self) -> None:
        """Close the connections that have been idle for long enough."""
        self._sweeper = None
        self._engine.look(time.monotonic())
        self._close_leaving()

    def _tell_less_busy(self) -> None:
        if self._less_busy and not self._engine.busy:
            waiters, self._less_busy = self._less_busy, []
            for each in waiters:
                _set(each)

    # -- event loops ---------------------------------------------------------------------------------------------------

    def _enter_loop(self) -> None:
        """Begin in this event loop, if another one was used before.  Raises ``LocalError`` if that one still runs."""
        loop = asyncio.get_running_loop()
        old = self._loop
        if old is loop:
            return
        if old is not None:
            if old.is_running():
                raise LocalError(
                    f"the pool that was made at {self._made_at} is in use in the event loop {old!r}, and was called "
                    f"from {loop!r}; make one pool for each loop, or a Pool for threads"
                )
            closed, connections = self._engine.closed, self._connections
            self._start_empty()
            self._engine.closed = closed
            for each in connections:
                if old.is_closed():
                    each.forget()
                else:
                    each.abort()
        self._loop = loop
        self._network = SocketNetwork()

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self, grace: Duration = 1.0) -> None:
        """Close the pool; as ``Pool.close``."""
        self._enter_loop()
        seconds = read_seconds(grace, "grace")
        self._engine.close(self._closed_error())
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        leaving = self._take_leaving()
        try:
            async with asyncio.timeout(seconds):
                for each in leaving:
                    await each.quit()
                while self._engine.busy:
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._less_busy.append(waiter)
                    await waiter
        except TimeoutError:
            pass
        finally:
            for each in leaving:
                each.abort()  # does nothing to one that has ended

    async def __aenter__(self) -> AsyncPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _NoneFree(Exception):
    """No connection can be had without waiting."""


class _Source:
    """The messages of a series, from an iterator of either colour."""

    def __init__(self, messages: Any) -> None:
        self._iterator: Any = messages.__aiter__() if hasattr(messages, "__aiter__") else iter(messages)
        self._pending: asyncio.Future[Any] | None = None
        self.message: Any = None

    async def next(self, series: SendMany) -> bool:
        """Put the next message into ``message``; False if there is none, or none yet while others wait to be sent."""
        try:
            if hasattr(self._iterator, "__anext__"):
                return await self._awaited(series)
            self.message = next(self._iterator)
        except (StopIteration, StopAsyncIteration):
            series.source_ended()
            return False
        return True

    async def _awaited(self, series: SendMany) -> bool:
        if self._pending is None:
            self._pending = asyncio.ensure_future(_as_coroutine(self._iterator.__anext__()))
        pending = self._pending
        await asyncio.wait([pending], timeout=SLOW if series.has_some else None)
        if not pending.done():
            series.gathered()
            return False
        self._pending = None
        self.message = pending.result()
        return True

    async def aclose(self) -> None:
        """Close the source."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            await asyncio.wait([pending])
            if not pending.cancelled():
                pending.exception()  # it was seen
        for name in ("aclose", "close"):
            close = getattr(self._iterator, name, None)
            if close is not None:
                result = close()
                if inspect.isawaitable(result):
                    await result
                return


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _sweep(pool: weakref.ref[AsyncPool]) -> None:
    found = pool()
    if found is not None:
        found._swept()
