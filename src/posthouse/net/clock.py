"""Time as something that is handed in.

Two hands: ``time`` is the calendar (stamps, due times; it may jump), ``monotonic`` is the stopwatch (timeouts; it may
not).  A test hands in a clock that jumps, and nothing sleeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """A call that is going to happen."""

    def cancel(self) -> None:
        """Prevent it; harmless when it has happened."""
        ...


class Clock(Protocol):
    """Where every room above gets its time from."""

    def time(self) -> float:
        """Seconds since 1970-01-01T00:00Z, as on the calendar."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` once, ``seconds`` from now, from the running loop."""
        ...


class SystemClock:
    """The machine's own time, on the running asyncio loop."""

    def time(self) -> float:
        """See ``Clock.time``."""
        return time.time()

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See ``Clock.call_later``."""
        return asyncio.get_running_loop().call_later(seconds, callback)
