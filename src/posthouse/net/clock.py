"""Clock: the source of time for all packages, given as an argument so that tests need not sleep.

``time`` is the calendar, for time stamps and due times; it may jump.  ``monotonic`` is for timeouts; it never goes
back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call; has no effect after it has happened."""
        ...


class Clock(Protocol):
    """The protocol of clocks."""

    def time(self) -> float:
        """Seconds since 1970-01-01T00:00Z by the calendar."""
        ...

    def monotonic(self) -> float:
        """Seconds since a fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` once, ``seconds`` from now, from the running loop."""
        ...


class SystemClock:
    """``Clock`` of the machine, with timers on the running asyncio loop.

    ``time`` and ``monotonic`` are the functions of the module ``time`` themselves, because they are called several
    times for each message.
    """

    def __init__(self) -> None:
        self.time: Callable[[], float] = time.time
        self.monotonic: Callable[[], float] = time.monotonic

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)
