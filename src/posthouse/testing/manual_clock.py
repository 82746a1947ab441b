"""Manual clock: its time advances only when a test says so, and nothing sleeps.

Timers fire in the order of their due times, equal ones in the order of their creation.  Between two timers the loop
runs until it is idle, so all effects of a timer have happened before the next one fires, and a test always runs in one
order.

The loop is idle when its list of ready calls is empty.  Waits for real sockets or threads are not in that list: use
this clock with ``MemoryNetwork`` and ``SqliteSpool.ephemeral``, or advance it only after a condition has become true.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from posthouse.core import LocalError

__all__ = ["ManualClock"]

_T = TypeVar("_T")
_TURNS = 100_000  # of the loop, after which it counts as never idle
_BLIND_TURNS = 100  # on a loop without a list of ready calls


class _ManualTimer:
    """One entry of the clock's heap."""

    __slots__ = ("callback", "due", "number")

    def __init__(self, due: float, number: int, callback: Callable[[], object]) -> None:
        self.due = due
        self.number = number
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: _ManualTimer) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class ManualClock:
    """``Clock`` that a test advances.

    ``start`` is the first calendar time in seconds since 1970 (default 2027-01-15T08:00Z); the monotonic time starts at
    0.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._calendar = start
        self._now = 0.0
        self._timers: list[_ManualTimer] = []
        self._made = 0
        self._moving = False

    def time(self) -> float:
        return self._calendar + self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; 0 lets other tasks run once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _ManualTimer:
        self._made += 1
        timer = _ManualTimer(self._now + max(seconds, 0.0), self._made, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def set_calendar(self, time: float) -> None:
        """Set the calendar to ``time``, as an operator or NTP does; the monotonic time and all timers are unchanged."""
        self._calendar = time - self._now

    @property
    def waiting(self) -> int:
        """The number of timers that have not fired."""
        self._drop_cancelled()
        return sum(timer.callback is not None for timer in self._timers)

    async def settle(self) -> None:
        """Run all tasks that can run without time passing.  Raises ``LocalError`` if that never ends."""
        loop = asyncio.get_running_loop()
        ready = getattr(loop, "_ready", None)
        for turn in range(_TURNS):
            await asyncio.sleep(0)
            if not ready and (ready is not None or turn >= _BLIND_TURNS):
                return
        raise LocalError("the loop is never idle (a task that never waits, or two tasks that move one clock)")

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: fire the due timers in order, each at its own time, and run the tasks that they wake.

        Raises the exceptions of the timers' callbacks.
        """
        if self._moving:
            raise LocalError("another task is moving this clock; let one task at a time do it")
        self._moving = True
        try:
            end = self._now + seconds
            await self.settle()
            while self._drop_cancelled() and self._timers[0].due <= end:
                self._fire()
                await self.settle()
            self._now = end
        finally:
            self._moving = False

    async def run(self, scenario: Coroutine[Any, Any, _T]) -> _T:
        """Run ``scenario`` and return its result; whenever the loop is idle, time jumps to the next timer.

        Raises ``LocalError``, and cancels ``scenario``, if it waits and no timer is left.
        """
        task = asyncio.get_running_loop().create_task(scenario)
        try:
            await self.settle()
            while not task.done():
                if not self._drop_cancelled():
                    raise LocalError("the scenario waits for something that cannot happen: no timer is left")
                self._fire()
                await self.settle()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _drop_cancelled(self) -> bool:
        """True if a timer is left; the first of the heap is then one that will fire."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return bool(self._timers)

    def _fire(self) -> None:
        """Jump to the first timer and fire it."""
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.due)
        callback, timer.callback = timer.callback, None
        if callback is not None:
            callback()
