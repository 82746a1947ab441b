"""A clock that jumps: time passes when the test says so, and nothing sleeps.

Timers fire in the order of their due times, equal ones in the order of their making.  Between two timers everything
that can run is run, until the loop has nothing left to do: so whatever a timer sets off has happened before the next
one fires, and the same test always tells the same story.

"Nothing left to do" is asked of the loop's own list of ready calls.  Work that waits for real sockets or threads is not
seen by it: use this clock with ``MemoryNetwork``, or advance only after a condition of yours has come true.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from posthouse.core import LocalError

__all__ = ["ManualClock"]

_T = TypeVar("_T")
_TURNS = 100_000  # of the loop, before we say that it will never be idle
_BLIND_TURNS = 100  # on a loop that does not show its ready calls


class _JumpTimer:
    """One entry of the clock's heap."""

    __slots__ = ("callback", "due", "number")

    def __init__(self, due: float, number: int, callback: Callable[[], object]) -> None:
        self.due = due
        self.number = number
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """See ``Timer.cancel``."""
        self.callback = None

    def __lt__(self, other: _JumpTimer) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class ManualClock:
    """``Clock`` whose hands the test moves.

    ``start`` is what the calendar shows at first, in seconds since 1970 (2027-01-15T08:00Z unless told); the stopwatch
    starts at 0.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._calendar = start
        self._now = 0.0
        self._timers: list[_JumpTimer] = []
        self._made = 0
        self._moving = False

    def time(self) -> float:
        """See ``Clock.time``."""
        return self._calendar + self._now

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``; no time at all lets others run once."""
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

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _JumpTimer:
        """See ``Clock.call_later``."""
        self._made += 1
        timer = _JumpTimer(self._now + max(seconds, 0.0), self._made, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def set_calendar(self, time: float) -> None:
        """Put the calendar to ``time``, as an operator or NTP does; the stopwatch and all timers do not notice."""
        self._calendar = time - self._now

    @property
    def waiting(self) -> int:
        """How many timers have not fired."""
        self._drop_cancelled()
        return sum(timer.callback is not None for timer in self._timers)

    async def settle(self) -> None:
        """Run whatever can run without time passing.  Raises ``LocalError`` if that never ends."""
        loop = asyncio.get_running_loop()
        ready = getattr(loop, "_ready", None)
        for turn in range(_TURNS):
            await asyncio.sleep(0)
            if not ready and (ready is not None or turn >= _BLIND_TURNS):
                return
        raise LocalError("something runs in circles: the loop is never idle (two tasks that move one clock?)")

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: fire what falls due, in order, each at its own time, and run what it sets off.

        An exception of a timer's callback comes out here.
        """
        if self._moving:
            raise LocalError("this clock is being moved already; let one task at a time do it")
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

    async def run(self, story: Coroutine[Any, Any, _T]) -> _T:
        """What ``story`` returns; whenever nothing can run, time jumps to the next timer.

        Raises ``LocalError`` if it can never end, because no timer is left, and cancels it.
        """
        task = asyncio.get_running_loop().create_task(story)
        try:
            await self.settle()
            while not task.done():
                if not self._drop_cancelled():
                    raise LocalError("the story waits for something that will never happen: no timer is left")
                self._fire()
                await self.settle()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _drop_cancelled(self) -> bool:
        """Whether a timer is left; the first of the heap is one that will fire."""
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
