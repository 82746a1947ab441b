"""``AsyncPool``: connections to one server in an event loop of asyncio, shared by tasks.

A pool remembers its loop.  Called from another one (``asyncio.run`` a second time) it starts empty, and closes the
descriptors of the old loop without awaiting anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import time
import weakref
from collections.abc import Awaitable
from functools import partial
from typing import Any

from posthouse.client.deadline import Deadline
from posthouse.client.session import Session
from posthouse.core import LocalError, NetworkError, RemoteError
from posthouse.net import SocketNetwork
from posthouse.net.system_clock import SystemClock
from posthouse.protocol import Noop
from posthouse.sending.connection.async_driver import deliver_async, open_async_session
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.burst import Line
from posthouse.sending.pool.pool_base import PoolCall, most_messages_of
from posthouse.sending.pool.pool_engine import IDLE_BEFORE_NOOP, PoolRequest
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.pooled_sending import PooledSending, SessionSending
from posthouse.sending.pool.send_many import SLOW, SendMany
from posthouse.sending.pool.task_pool import NOOP_SECONDS, TaskPool, TaskTransport
from posthouse.sending.transports.schemes import Transport

__all__ = ["AsyncPool"]

_FRESH = 1.0  # seconds without work after which the loop is given two turns to read what has arrived


class _AsyncConnection:
    """One connection of an ``AsyncPool``."""

    __slots__ = ("_channel", "_clock", "record", "session")

    def __init__(self, session: Session, record: DialogueRecord, clock: SystemClock) -> None:
        self.session = session
        self.record = record
        self._channel = session.channel
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

    async def alive(self, idle: float, call: PoolCall) -> bool:
        """As ``TaskConnection.alive``.  The loop reads by itself what arrives; it is given the turns for that, because
        the program may have kept it from reading."""
        session = self.session
        if idle > _FRESH:
            await asyncio.sleep(0)  # this turn's input is read behind what is ready now …
            await asyncio.sleep(0)  # … and before what is ready then
        if not session.usable or idle < IDLE_BEFORE_NOOP:
            return session.usable
        self.record.also = call.record
        try:
            async with asyncio.timeout(min(NOOP_SECONDS, call.deadline.left)):
                return (await session.command(Noop())).positive and session.usable
        except (NetworkError, RemoteError, TimeoutError):
            return False

    async def deliver(self, call: PoolCall) -> Delivered:
        self.record.also = call.record
        outcomes = await deliver_async(self.session, call.message, call.deadline, call.began, self._clock)
        return Delivered(outcomes, "", self.session.fault)

    def begin(self, call: PoolCall) -> PooledSending:
        self.record.also = call.record
        return SessionSending(self._channel, call)

    def expire(self, limit: Deadline) -> None:
        self.session.limit_first(limit)

    async def quit(self) -> None:
        await self.session.quit()

    def leave(self) -> None:
        self.session.leave()

    def abort(self) -> None:
        self.session.abort()

    def forget(self) -> None:
        self.session.forget()


_Connection = _AsyncConnection | TaskTransport


class AsyncPool(TaskPool[_Connection]):
    """Connections to one server that are kept between messages.  Tasks of one event loop may share a pool.

    Arguments, results and exceptions are those of ``Pool``.  Nothing is opened before the first message.  Leaving
    ``async with`` says QUIT and waits for the replies, at most 1 s.

    A cancelled call returns at once: its connection is closed, or was not taken, and its place is free.  A pool that is
    used in a second event loop, after the first has ended, starts empty there.
    """

    def _start_empty(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._less_busy: list[asyncio.Future[None]] = []
        super()._start_empty()

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

    def _source(self, messages: Any) -> _AsyncioSource:
        return _AsyncioSource(messages)

    async def _open_session(self, target: ServerTarget, call: PoolCall) -> _Connection:
        record = DialogueRecord(peer=str(target))
        record.also = call.record
        session = await open_async_session(target, record, call.deadline, self._clock, self._network)
        return _AsyncConnection(session, record, self._clock)

    def _of_transport(self, transport: Transport) -> _Connection:
        return TaskTransport(transport)

    async def _pause(self, request: PoolRequest[_Connection], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        request.wake = partial(_set, woken)
        timer = loop.call_later(seconds, request.wake)
        try:
            await woken
        finally:
            timer.cancel()

    def _burst_wait(self) -> _AsyncWait:
        return _AsyncWait()

    # -- the end of connections ----------------------------------------------------------------------------------------

    def _close_leaving(self) -> None:
        super()._close_leaving()
        loop = self._loop
        if self._sweeper is None and loop is not None and not loop.is_closed():
            moment = self._engine.expires()
            if moment < math.inf:
                seconds = max(0.0, moment - time.monotonic())
                self._sweeper = loop.call_later(seconds, _sweep, weakref.ref(self))

    def swept(self) -> None:
        """Close the connections that have been idle for long enough; a timer calls this."""
        self._sweeper = None
        self._engine.look(time.monotonic())
        self._close_leaving()

    def _tell_less_busy(self) -> None:
        if self._less_busy and not self._engine.busy:
            waiters, self._less_busy = self._less_busy, []
            for each in waiters:
                _set(each)

    async def _end_within(self, seconds: float, leaving: list[_Connection]) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*[each.quit() for each in leaving])  # one round trip for all
                while self._engine.busy:
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._less_busy.append(waiter)
                    await waiter


class _AsyncWait:
    """The waits of one burst: every message in line tells when it has ended, also one that ends between two waits."""

    __slots__ = ("_watched", "_woken")

    def __init__(self) -> None:
        self._watched: set[PooledSending] = set()
        self._woken: asyncio.Future[None] | None = None

    def _wake(self) -> None:
        woken = self._woken
        if woken is not None and not woken.done():
            woken.set_result(None)

    async def for_lines(self, lines: list[Line[_Connection]], seconds: float) -> None:
        """As ``BurstWait.for_lines``."""
        heads: list[PooledSending] = []
        for line in lines:
            head = line.under_way[0].sending if line.under_way else None
            if head is None or head.done:
                return
            heads.append(head)
        loop = asyncio.get_running_loop()
        wake, watched = self._wake, self._watched
        for head in heads:
            if head not in watched:
                head.tell(wake)
        self._watched = set(heads)
        self._woken = woken = loop.create_future()
        timer = loop.call_later(seconds, self._wake) if seconds < math.inf else None
        try:
            await woken
        finally:
            if timer is not None:
                timer.cancel()


class _AsyncioSource:
    """The messages of a series.  While others wait to be sent, an asynchronous iterator has 50 ms for the next one; it
    is asked in a task, and goes on while they are sent."""

    def __init__(self, messages: Any) -> None:
        self._iterator: Any = messages.__aiter__() if hasattr(messages, "__aiter__") else iter(messages)
        self._waits = hasattr(self._iterator, "__anext__")
        self._pending: asyncio.Future[Any] | None = None

    async def gather(self, series: SendMany) -> None:
        if not self._waits:
            series.gather(self._iterator)
            return
        while series.wants_more:
            began = time.monotonic()
            if self._pending is None:
                self._pending = asyncio.ensure_future(_found(self._iterator.__anext__()))
            pending = self._pending
            await asyncio.wait([pending], timeout=SLOW if series.has_some else None)
            if not pending.done():
                series.gathered()
                return
            self._pending = None
            found = pending.result()
            if found is None:
                series.source_ended()
            else:
                series.take(found[0], time.monotonic() - began)

    async def aclose(self) -> None:
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


async def _found(following: Awaitable[Any]) -> tuple[Any] | None:
    """The next message; None at the end, because a task cannot raise ``StopAsyncIteration``'s kin."""
    try:
        return (await following,)
    except StopAsyncIteration:
        return None


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _sweep(pool: weakref.ref[AsyncPool]) -> None:
    found = pool()
    if found is not None:
        found.swept()
