"""The clock of this machine for code in an event loop; it imports asyncio, which blocking code does without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from posthouse.net.clock import Timer

__all__ = ["SystemClock"]


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
