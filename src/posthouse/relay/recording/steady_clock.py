"""Clock that knows since when it has not been set, and so whether the age of a message in calendar time is certain.

A machine may start with its calendar days ahead, until a time server corrects it; often it has no network until then,
so that every delivery fails.  A calendar may also be set ahead by mistake, and a machine that slept for a week wakes
with mail that was hardly tried.  Mail that was given up by such a calendar would be returned after one attempt.

So the calendar is compared with the stopwatch (monotonic time).  What came since the calendar was last set, or since
this process began, is as old as the calendar says.  What came before is so once the calendar has run for an hour
without being set.
"""

from __future__ import annotations

from typing import Final

from posthouse.net.clock import Clock

__all__ = ["SteadyClock"]

_PROBATION: Final = 3_600.0  # seconds after which a calendar counts that was not set
_SET: Final = 60.0  # seconds; the least difference to the stopwatch that is no drift


class SteadyClock:
    """Watch over the calendar of ``clock``, as one worker sees it; it begins in doubt."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._ahead = clock.time() - self._since  # calendar seconds at the stopwatch's zero

    def tells_age(self, received: float, patience: float) -> bool:
        """Whether the calendar tells if a message that came at ``received`` is older than ``patience`` seconds."""
        at = self._clock.monotonic()
        ahead = self._clock.time() - at
        if abs(ahead - self._ahead) > _SET:
            self._since = at
            self._ahead = ahead
        return received >= self._since + self._ahead - _SET or at - self._since >= min(_PROBATION, patience)
