"""Connecting to a host with several addresses ("Happy Eyeballs", RFC 8305).

The addresses are tried in the order of §4: IPv6 first, then the families in turn.  An attempt starts when the one
before it has failed or has not answered within ``attempt_delay`` (§5); earlier attempts continue.  The first success
wins and the other attempts are cancelled.  A broken IPv6 path costs 0.25 s instead of a timeout.

All waiting is on the given clock, so that a test has one order of events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from posthouse.core import NetworkError, Unreachable
from posthouse.net.clock import Clock, Timer
from posthouse.net.stream import Endpoint, Handler, Network, Stream, interleave

__all__ = ["connect_any"]

_H = TypeVar("_H", bound=Handler)


async def connect_any(
    network: Network,
    clock: Clock,
    endpoints: Iterable[Endpoint],
    make_handler: Callable[[], _H],
    *,
    source: str = "",
    attempt_delay: float = 0.25,
    timeout: float = 30.0,
) -> tuple[Stream, _H]:
    """Open a channel to the first of ``endpoints`` that answers; returns the stream and its handler.

    ``make_handler`` is called for each attempt.  The handler of an attempt that lost gets no call, or ``connected`` and
    then ``disconnected(None)``: a handler should not write before this function returns it, or before the peer has
    sent.

    ``source``: the local address to use.  ``attempt_delay``: seconds without an answer after which the next attempt
    starts.  ``timeout``: seconds for all attempts together.

    Raises ``Unreachable``, its text naming each address and why it failed.  Cancelling leaves nothing open.
    """
    race = _Race(network, clock, interleave(endpoints), make_handler, source)
    try:
        return await race.run(attempt_delay, timeout)
    finally:
        await race.clear_up()


class _Race(Generic[_H]):
    """The attempts of one call: waiting, running and failed."""

    def __init__(
        self, network: Network, clock: Clock, endpoints: list[Endpoint], make_handler: Callable[[], _H], source: str
    ) -> None:
        self._network = network
        self._clock = clock
        self._waiting = deque(endpoints)
        self._make_handler = make_handler
        self._source = source
        self._running: dict[asyncio.Task[Stream], tuple[Endpoint, _H]] = {}  # in the order of starting
        self._failures: list[NetworkError] = []
        self._wake = asyncio.Event()
        self._may_start = True
        self._expired = False
        self._next: Timer | None = None
        self._end: Timer | None = None

    async def run(self, delay: float, timeout: float) -> tuple[Stream, _H]:
        """The stream and the handler of the winner.  Raises ``Unreachable``."""
        if not self._waiting:
            raise Unreachable("there is no address to connect to")
        self._end = self._clock.call_later(timeout, self._expire)
        while not self._expired and (self._waiting or self._running):
            if self._may_start and self._waiting:
                self._start(delay)
            await self._wake.wait()
            self._wake.clear()
            for task in [task for task in self._running if task.done()]:
                _, handler = self._running.pop(task)
                error = task.exception()
                if error is None:
                    return task.result(), handler
                if not isinstance(error, NetworkError):
                    raise error
                self._failures.append(error)
                self._may_start = True
        raise self._lost(timeout)

    async def clear_up(self) -> None:
        """Cancel the remaining attempts, and close one that succeeds at the same time."""
        for timer in (self._next, self._end):
            if timer is not None:
                timer.cancel()
        for task in self._running:
            if task.done():
                _take_back(task)
            else:
                task.add_done_callback(_take_back)
                task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _start(self, delay: float) -> None:
        """Start the next attempt, and, if more wait, the timer after which another may start."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._may_start = False
        endpoint = self._waiting.popleft()
        handler = self._make_handler()
        task = asyncio.get_running_loop().create_task(_attempt(self._network, endpoint, handler, self._source))
        task.add_done_callback(lambda _: self._wake.set())
        self._running[task] = (endpoint, handler)
        if self._waiting:
            self._next = self._clock.call_later(delay, self._let_join)

    def _let_join(self) -> None:
        self._may_start = True
        self._wake.set()

    def _expire(self) -> None:
        self._expired = True
        self._wake.set()

    def _lost(self, timeout: float) -> Unreachable:
        """The error that names all attempts."""
        parts = [str(error) for error in self._failures]
        parts += [f"{endpoint} did not answer within {timeout:g} s" for endpoint, _ in self._running.values()]
        parts += [f"{endpoint} was not tried in time" for endpoint in self._waiting]
        lost = Unreachable(parts[0] if len(parts) == 1 else "no address could be reached: " + "; ".join(parts))
        if self._failures:
            lost.__cause__ = ExceptionGroup("attempts that failed", self._failures)
        return lost


async def _attempt(network: Network, endpoint: Endpoint, handler: Handler, source: str) -> Stream:
    """One attempt; nothing is begun before the task of it runs, because it may be cancelled before."""
    return await network.connect(endpoint, handler, source=source)


def _take_back(task: asyncio.Task[Stream]) -> None:
    """Close the channel of an attempt that lost."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
