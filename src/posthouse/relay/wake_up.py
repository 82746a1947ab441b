"""The wake-up of the worker: the one time at which it looks into the spool next.

Whatever may make mail due names a time: a recipient that is deferred, a look that found the next due time, new mail, a
site that is resumed.  The wake-up keeps the earliest of these times, so no time can replace an earlier one.  The worker
clears it *before* a look begins; a time that is named while the look is under way is therefore kept for the next look.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from posthouse.net import Clock

__all__ = ["WakeUp"]

_ROUNDING: Final = 0.001  # seconds by which a sleep is longer, so that its end is not a moment before ``until``


class WakeUp:
    """The earliest time that was named since the last look, and the worker's sleep until then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()
        #: When to look next, in calendar seconds; the worker sets it when a look or a sleep begins.
        self.due = 0.0

    def at(self, due: float = 0.0) -> None:
        """Look at ``due`` at the latest; 0.0 is now."""
        if due <= self.due:
            self.due = due
            self._rung.set()

    def ring(self) -> None:
        """End the sleep without a look being due: something else has changed."""
        self._rung.set()

    async def sleep(self, until: float) -> None:
        """Return at ``until`` (calendar seconds; infinity for never), when an earlier time is named, or at ``ring``."""
        self._rung.clear()
        timer = None
        if until < inf:
            timer = self._clock.call_later(max(0.0, until - self._clock.time()) + _ROUNDING, self._rung.set)
        try:
            await self._rung.wait()
        finally:
            if timer is not None:
                timer.cancel()
