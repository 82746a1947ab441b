"""``AnyioPool``: connections to one server for AnyIO, and so for Trio; needs the package ``anyio`` (4.7 or later).

A connection is opened by a worker thread, with everything that belongs to that: names, proxy, TLS, login.  After that a
task moves its octets itself: it sends and receives on the socket, which does not block, as far as that is possible, and
waits for the socket in between.  What is said, and when, is the same as in the other pools, because
``client.pipeline`` says it.

Trio gives a task that is cancelled no chance to await anything.  So nothing here awaits while it cleans up.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import selectors
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread

from posthouse.client.blocking import BlockingSession
from posthouse.client.blocking_channel import BlockingChannel
from posthouse.client.deadline import Deadline
from posthouse.client.pipeline import say
from posthouse.core import NetworkError, RemoteError
from posthouse.net.system_clock import SystemClock
from posthouse.protocol import Noop, Quit
from posthouse.sending.connection.blocking_driver import open_blocking_session
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.burst import Line
from posthouse.sending.pool.pool_base import PoolCall, most_messages_of
from posthouse.sending.pool.pool_engine import IDLE_BEFORE_NOOP, PoolRequest
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.pooled_sending import PooledSending, SessionSending
from posthouse.sending.pool.send_many import SendMany
from posthouse.sending.pool.socket_wait import earliest
from posthouse.sending.pool.task_pool import NOOP_SECONDS, TaskPool, TaskTransport
from posthouse.sending.transports.schemes import Transport

__all__ = ["AnyioPool"]


class _AnyioConnection:
    """One connection of an ``AnyioPool``."""

    __slots__ = ("_clock", "channel", "record", "session")

    def __init__(self, session: BlockingSession, record: DialogueRecord, clock: SystemClock) -> None:
        self.session = session
        self.channel = session.channel
        self.record = record
        self._clock = clock

    @property
    def usable(self) -> bool:
        return self.channel.usable

    @property
    def most_messages(self) -> int | None:
        return most_messages_of(self.session.capabilities)

    @property
    def tail(self) -> tuple[str, ...]:
        return self.record.tail

    async def alive(self, idle: float, call: PoolCall) -> bool:
        self.session.look()
        if not self.session.usable or idle < IDLE_BEFORE_NOOP:
            return self.session.usable
        self.record.also = call.record
        self.session.limit(Deadline(self._clock, min(NOOP_SECONDS, call.deadline.left)))
        step = say(self.channel, Noop())
        self.channel.write(step.wire)
        try:
            await self._run(lambda: self.channel.answered)
            return self.channel.reply(step.seconds, step.what).positive and self.session.usable
        except (NetworkError, RemoteError):
            return False
        finally:
            self.session.limit(None)

    async def deliver(self, call: PoolCall) -> Delivered:
        self.session.limit(call.deadline)
        try:
            sending = self.begin(call)
            await self._run(lambda: sending.done)
            return sending.end(self._clock.monotonic())
        except BaseException:
            self.session.abort()
            raise
        finally:
            self.session.limit(None)

    def begin(self, call: PoolCall) -> PooledSending:
        self.record.also = call.record
        return SessionSending(self.channel, call)

    def expire(self, limit: Deadline) -> None:
        self.session.limit(limit)
        self.channel.advance(lambda: False)

    async def quit(self) -> None:
        channel = self.channel
        if channel.fault is None and channel.idle and channel.sender.may_send(Quit()):
            channel.write(channel.sender.send(Quit()))
            await self._run(lambda: channel.answered)
        channel.close("the session was ended with QUIT")

    async def _run(self, done: Callable[[], bool]) -> None:
        """Send and receive until ``done`` is true or the connection has ended."""
        while events := self.channel.advance(done):
            await _wait_for_any({self.channel: events}, math.inf)

    def leave(self) -> None:
        self.session.leave()

    def abort(self) -> None:
        self.session.abort()

    def forget(self) -> None:
        self.session.forget()


_Connection = _AnyioConnection | TaskTransport


class AnyioPool(TaskPool[_Connection]):
    """Connections to one server that are kept between messages, for tasks of AnyIO or Trio.

    Arguments, results and exceptions are those of ``Pool``; what ``AsyncPool`` says about tasks holds here.  An
    asynchronous source is asked for one message at a time, each is sent before the next is asked for.
    """

    def _start_empty(self) -> None:
        self._less_busy: anyio.Event | None = None
        super()._start_empty()

    def _source(self, messages: Any) -> _AnyioSource:
        return _AnyioSource(messages)

    async def _open_session(self, target: ServerTarget, call: PoolCall) -> _Connection:
        record = DialogueRecord(peer=str(target))
        record.also = call.record
        opening = _Opening(target, record, call.deadline, self._clock)
        try:
            await anyio.to_thread.run_sync(opening.run, abandon_on_cancel=True)
        except BaseException:
            opening.abandon()
            raise
        return _AnyioConnection(opening.session, record, self._clock)

    def _of_transport(self, transport: Transport) -> _Connection:
        return TaskTransport(transport)

    async def _pause(self, request: PoolRequest[_Connection], seconds: float) -> None:
        woken = anyio.Event()
        request.wake = woken.set
        with anyio.move_on_after(seconds):
            await woken.wait()

    def _burst_wait(self) -> _AnyioWait:
        return _AnyioWait()

    def _tell_less_busy(self) -> None:
        if self._less_busy is not None and not self._engine.busy:
            self._less_busy.set()

    async def _end_within(self, seconds: float, leaving: list[_Connection]) -> None:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as ending:  # one round trip for all
                for each in leaving:
                    ending.start_soon(each.quit)
            if self._engine.busy:
                self._less_busy = anyio.Event()
                await self._less_busy.wait()


class _AnyioWait:
    """The waits of one burst."""

    async def for_lines(self, lines: list[Line[_Connection]], seconds: float) -> None:
        """As ``BurstWait.for_lines``."""
        wanted: dict[BlockingChannel, int] = {}
        for line in lines:
            connection = line.connection
            assert isinstance(connection, _AnyioConnection), "a transport is awaited"
            events = connection.channel.advance(lambda: line.ended)  # noqa: B023 (called here)
            if not events:
                return
            wanted[connection.channel] = events
        await _wait_for_any(wanted, seconds)


class _Opening:
    """The opening of a session by a worker thread, which may be given up."""

    def __init__(self, target: ServerTarget, record: DialogueRecord, deadline: Deadline, clock: SystemClock) -> None:
        credentials = target.credentials
        if callable(credentials):
            target = target._replace(credentials=_from_thread(credentials))
        self._open: Callable[[], BlockingSession] = lambda: open_blocking_session(target, record, deadline, clock)
        self._lock = threading.Lock()
        self._session: BlockingSession | None = None
        self._abandoned = False

    def run(self) -> None:
        """In the thread: open the session, and close it if it is not wanted any more."""
        session = self._open()
        session.limit(None)
        with self._lock:
            self._session = session
            if not self._abandoned:
                return
        session.abort()

    def abandon(self) -> None:
        """The session is not wanted any more; returns at once."""
        with self._lock:
            self._abandoned = True
            session = self._session
        if session is not None:
            session.abort()

    @property
    def session(self) -> BlockingSession:
        """The session that was opened."""
        assert self._session is not None, "an opening that has succeeded"
        return self._session


def _from_thread(function: Callable[..., Any]) -> Callable[[str, str, bool], Any]:
    """A function for tokens as a worker thread calls it: if it is asynchronous, its event loop runs it."""

    def call(host: str, user: str, fresh: bool) -> Any:
        found = function(host, user, fresh)
        return anyio.from_thread.run(_awaited, found) if inspect.isawaitable(found) else found

    return call


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


async def _wait_for_any(wanted: dict[BlockingChannel, int], seconds: float) -> None:
    """Wait until one of the channels can go on, at most for ``seconds``, and take in what has arrived.  ``wanted`` has
    what each channel waits for, as its ``advance`` has said."""
    now = next(iter(wanted)).clock.monotonic()
    with anyio.move_on_after(earliest(wanted, seconds, now)):
        if len(wanted) == 1 and selectors.EVENT_READ in wanted.values():
            await anyio.wait_readable(next(iter(wanted)))
        else:
            async with anyio.create_task_group() as group:

                async def one(wait: Callable[[BlockingChannel], Awaitable[None]], channel: BlockingChannel) -> None:
                    await wait(channel)
                    group.cancel_scope.cancel()

                for channel, events in wanted.items():
                    group.start_soon(one, anyio.wait_readable, channel)
                    if events & selectors.EVENT_WRITE:
                        group.start_soon(one, anyio.wait_writable, channel)
    for channel in wanted:
        channel.ready()
        if channel.fault is None and channel.due <= channel.clock.monotonic():
            channel.expired()


class _AnyioSource:
    """The messages of a series."""

    def __init__(self, messages: Any) -> None:
        self._asynchronous: AsyncIterator[Any] | None = messages.__aiter__() if hasattr(messages, "__aiter__") else None
        self._iterator: Any = iter(messages) if self._asynchronous is None else self._asynchronous

    async def gather(self, series: SendMany) -> None:
        if self._asynchronous is None:
            series.gather(self._iterator)
            return
        try:
            message = await self._asynchronous.__anext__()
        except StopAsyncIteration:
            series.source_ended()
            return
        series.take(message, 0.0)
        series.gathered()

    async def aclose(self) -> None:
        with contextlib.suppress(AttributeError):
            if self._asynchronous is None:
                self._iterator.close()
            else:
                with anyio.move_on_after(1.0, shield=True):  # a source may await at its end, but not for ever
                    await self._iterator.aclose()
