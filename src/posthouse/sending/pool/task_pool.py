"""The parts that pools for tasks share, whatever runs the tasks: ``AsyncPool`` and ``AnyioPool`` add how a task waits.

Nothing is awaited while the engine's state changes, so there is no lock.  A task that is cancelled gives its request up
without awaiting anything.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, Unpack

from posthouse.client.deadline import Deadline
from posthouse.sending.options import ServerTarget
from posthouse.sending.pool.burst import (
    BurstConnection,
    BurstItem,
    Failures,
    Line,
    ReplaceStep,
    TakeStep,
    WaitStep,
    burst,
)
from posthouse.sending.pool.pool_base import BasePool, NoneFree, PoolCall, length_of, may_try_again, transcript_of
from posthouse.sending.pool.pool_engine import PATIENCE, PoolRequest, RequestState
from posthouse.sending.pool.pool_limits import Duration, read_seconds
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.pooled_sending import PooledSending, TransportConnection, TransportSending
from posthouse.sending.pool.send_many import SendMany, SendManyOptions
from posthouse.sending.results import SendResult
from posthouse.sending.transports.schemes import Transport

if TYPE_CHECKING:
    from posthouse.sending.connection.dialogue_record import TranscriptLike
    from posthouse.sending.messages.batches import EnvelopesLike
    from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike

__all__ = ["BurstWait", "MessageSource", "NOOP_SECONDS", "TaskConnection", "TaskPool", "TaskTransport"]

#: Seconds that are waited for the reply to NOOP.
NOOP_SECONDS = 10.0
_WAITING, _OPENING, _REFUSED = RequestState.WAITING, RequestState.OPENING, RequestState.REFUSED


class TaskConnection(BurstConnection, Protocol):
    """A connection that tasks use."""

    async def alive(self, idle: float, call: PoolCall) -> bool:
        """Whether the server has not ended the session, which had no work for ``idle`` seconds; after 30 s it is asked
        by NOOP."""
        ...

    async def deliver(self, call: PoolCall) -> Delivered:
        """Send one message.  If it raises, the connection has ended."""
        ...

    def expire(self, limit: Deadline) -> None:
        """The time limit of the message that is first in line is over: the connection ends."""
        ...

    async def quit(self) -> None:
        """Say QUIT, wait for the reply, and close."""
        ...


class TaskTransport(TransportConnection):
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

    def expire(self, limit: Deadline) -> None: ...

    async def quit(self) -> None: ...


class MessageSource(Protocol):
    """The messages of a series, from an iterator of either colour."""

    async def gather(self, series: SendMany) -> None:
        """Give the series messages until its burst has enough.  It is told when there is none any more, or none yet
        while others wait to be sent."""
        ...

    async def aclose(self) -> None:
        """Close the iterator."""
        ...


C = TypeVar("C", bound=TaskConnection)


class BurstWait(Protocol[C]):
    """The waits of one burst."""

    async def for_lines(self, lines: list[Line[C]], seconds: float) -> None:
        """Return when the first message of a line may have ended, or after some seconds."""
        ...


class TaskPool(BasePool[C]):
    """A pool for tasks, without the ways in which a task waits."""

    _asynchronous = True

    # -- one message ---------------------------------------------------------------------------------------------------

    async def send(
        self,
        message: MessageLike,
        *,
        timeout: Duration | None = None,
        envelope: EnvelopesLike | None = None,
        transcript: TranscriptLike = False,
        verp: bool | str = False,
    ) -> SendResult:
        """Send one message; as ``Pool.send``.  Cancelled, it ends the connection at once: nothing may follow a message
        that is half sent."""
        self._enter_loop()
        calls = self.calls_of(message, envelope, timeout, transcript, verp)
        found = [await self._send_one(each) for each in calls]
        outcomes = found[0].outcomes if len(found) == 1 else [each for one in found for each in one.outcomes]
        return SendResult(outcomes, queue_id=found[0].queue_id, transcript=transcript_of(calls))

    async def _send_one(self, call: PoolCall) -> Delivered:
        request = await self._take(call, PATIENCE)
        retried = False
        try:
            while True:
                delivered = await request.connection.deliver(call)
                if retried or request.fresh or not may_try_again(delivered.outcomes, delivered.fault):
                    break
                retried = True
                await self._replace(request, call)
        except BaseException:
            self.give_up(request)
            raise
        self._message_ended(request, delivered)
        self._close_leaving()
        return delivered

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
            async with contextlib.aclosing(self._source(messages)) as source:
                while series.goes_on:
                    await source.gather(series)
                    self._enter_loop()
                    await self._send_burst(series.begin(), series.failures)
                    for result in series.results():
                        yield result

    async def _send_burst(self, items: list[BurstItem], failures: Failures) -> None:
        steps = burst(self, items, failures)
        answer: Line[C] | None = None
        error: Exception | None = None
        wait = self._burst_wait()
        with contextlib.closing(steps):
            while True:
                try:
                    step = steps.send(answer) if error is None else steps.throw(error)
                except StopIteration:
                    return
                answer = error = None
                try:
                    if isinstance(step, TakeStep):
                        answer = Line(await self._take(step.call, math.inf, wait=step.wait))
                    elif isinstance(step, ReplaceStep):
                        await self._replace(step.line.request, step.call)
                    else:
                        await _wait_for_one(step, wait)
                except NoneFree:
                    answer = None
                except Exception as found:
                    error = found

    # -- what a burst asks for -----------------------------------------------------------------------------------------

    def another(self, line: Line[C]) -> float:
        """Whether the connection of the line may carry one more message; as ``PoolEngine.another``."""
        return self._engine.another(line.request, time.monotonic(), len(line.under_way))

    def give_back(self, line: Line[C]) -> None:
        """The burst needs the connection no more."""
        self._engine.give_back(line.request, time.monotonic(), usable=line.connection.usable)
        self._close_leaving()

    def broken(self, line: Line[C], fault: Exception) -> None:
        """As ``PoolEngine.broken``."""
        self._engine.broken(line.request, fault, time.monotonic())
        self._close_leaving()

    def proved(self, line: Line[C]) -> None:
        """As ``PoolEngine.proved``."""
        self._engine.proved(line.request, time.monotonic())

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _take(self, call: PoolCall, patience: float, *, wait: bool = True) -> PoolRequest[C]:
        """A request whose connection is open and alive, as far as can be known."""
        request = self._ask(call, patience)
        try:
            if request.state is _WAITING and not wait:
                raise NoneFree
            await self._wait_for(request, call)
            while request.state is not _OPENING:
                connection = request.connection
                if await connection.alive(request.idle, call):
                    return request
                self._connections.discard(self._engine.lost(request))
                connection.abort()
            await self._open(request, call, wait=wait)
        except BaseException:
            self.give_up(request)
            raise
        self._close_leaving()
        return request

    async def _wait_for(self, request: PoolRequest[C], call: PoolCall) -> None:
        """Wait until the request has a slot or a connection.  Raises ``TimedOut``, or why it was refused."""
        while request.state is _WAITING:
            now = time.monotonic()
            if now >= request.deadline:
                raise self._waited_enough(request, call)
            await self._pause(request, self._engine.due(request, now) - now)
            self._engine.look(time.monotonic())
        if request.state is _REFUSED:
            raise self._refusal(request)

    async def _replace(self, request: PoolRequest[C], call: PoolCall) -> None:
        """Open a fresh connection in the slot of one that is dead."""
        connection = request.connection
        self._connections.discard(self._engine.lost(request))
        connection.abort()
        await self._open(request, call)

    async def _open(self, request: PoolRequest[C], call: PoolCall, *, wait: bool = True) -> None:
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
                refused = error
            else:
                self._connections.add(connection)
                self._engine.opened(request, connection, time.monotonic(), connection.most_messages)
                return
            if not wait:
                raise NoneFree from refused
            await self._wait_for(request, call)

    async def _connect(self, call: PoolCall) -> C:
        route = self._route
        if isinstance(route, ServerTarget):
            return await self._open_session(route, call)
        assert isinstance(route, Transport), "a route that is no server"
        return self._of_transport(route)

    def give_up(self, request: PoolRequest[C]) -> None:
        """The caller was cancelled: the request frees its place, and its connection ends."""
        before = len(self._engine.leaving)
        self._engine.give_up(request, time.monotonic())
        for each in self._engine.leaving[before:]:
            each.abort()
        self._close_leaving()

    def _close_leaving(self) -> None:
        if self._engine.leaving:
            for each in self._take_leaving():
                each.leave()
        self._tell_less_busy()

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self, grace: Duration = 1.0) -> None:
        """Close the pool; as ``Pool.close``."""
        self._enter_loop()
        seconds = read_seconds(grace, "grace")
        self._engine.close(self._closed_error())
        leaving = self._take_leaving()
        try:
            await self._end_within(seconds, leaving)
        finally:
            for each in leaving:
                each.abort()  # does nothing to one that has ended

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- how a task waits ----------------------------------------------------------------------------------------------

    def _enter_loop(self) -> None:
        """The pool is called from this event loop."""

    @abstractmethod
    def _source(self, messages: Any) -> MessageSource: ...

    @abstractmethod
    async def _open_session(self, target: ServerTarget, call: PoolCall) -> C: ...

    @abstractmethod
    def _of_transport(self, transport: Transport) -> C: ...

    @abstractmethod
    async def _pause(self, request: PoolRequest[C], seconds: float) -> None:
        """Return when the request is woken, or after some seconds."""

    @abstractmethod
    def _burst_wait(self) -> BurstWait[C]:
        """The waits of one burst."""

    @abstractmethod
    def _tell_less_busy(self) -> None:
        """Wake those who wait in ``_end_within``, if no connection is in use."""

    @abstractmethod
    async def _end_within(self, seconds: float, leaving: list[C]) -> None:
        """Let these connections say QUIT, and wait until none is in use, for so long."""


async def _wait_for_one(step: WaitStep[C], wait: BurstWait[C]) -> None:
    """Wait until the first message of a line has ended."""
    seconds = math.inf if step.seconds is None else step.seconds
    limited = False
    for line in step.lines:
        head = line.under_way[0].sending if line.under_way else None
        if head is not None and head.pending is not None:
            try:
                head.answered(await head.pending)
            except Exception as error:
                head.answered(error)
            return
        if line.deadline is not None:
            limited = True
            seconds = min(seconds, line.deadline.left)
    await wait.for_lines(step.lines, seconds)
    if not limited:
        return
    for line in step.lines:
        limit = line.deadline
        if limit is not None and limit.left <= 0 and not line.ended:
            line.connection.expire(limit)
