"""Clock: the source of time for all packages, given as an argument so that tests need not sleep.

``time`` is the calendar, for time stamps and due times; it may jump.  ``monotonic`` is for timeouts; it never goes
back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from posthouse.core import LocalError

__all__ = ["BlockingClock", "Clock", "Timer"]


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


class BlockingClock:
    """``Clock`` of the machine for code without an event loop: it has no timers."""

    def __init__(self) -> None:
        self.time: Callable[[], float] = time.time
        self.monotonic: Callable[[], float] = time.monotonic

    async def sleep(self, seconds: float) -> None:
        raise LocalError("this clock is for blocking code; an event loop needs a SystemClock")

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        raise LocalError("this clock is for blocking code; an event loop needs a SystemClock")
