"""Time that has certainly come: by it is decided what is old enough to be deleted.

A machine may start with its clock ahead, by an hour or a year, until a time server or a person corrects it.  What is
young must not be deleted meanwhile.  So time is counted from the newest record, and from there as a stopwatch runs; it
is never ahead of the clock.  When the clock has run as the stopwatch does for an hour, it is right as far as can be
known, and counts.  A clock that is set, and a machine that slept, begin that hour anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["CertainTime"]

_PROBATION: Final = 3_600.0  # seconds after which a clock counts that was not set
_SET: Final = 60.0  # seconds; the least difference to the stopwatch that is no drift


class CertainTime:
    """Certain time, in calendar seconds, each time it is called.

    ``newest`` is when the newest record was made; ``time`` gives calendar seconds, ``stopwatch`` those that never jump.
    """

    def __init__(self, newest: float, time: Callable[[], float], stopwatch: Callable[[], float]) -> None:
        self._time = time
        self._stopwatch = stopwatch
        self._at = self._since = stopwatch()
        now = time()
        self._ahead = now - self._at  # calendar seconds at the stopwatch's zero, as the clock has it
        self._certain = min(now, newest)

    def __call__(self) -> float:
        """Never later than the clock."""
        at, now = self._stopwatch(), self._time()
        if abs(now - at - self._ahead) > _SET:
            self._ahead = now - at
            self._since = at
        certain = now if at - self._since >= _PROBATION else self._certain + at - self._at
        self._at = at
        self._certain = min(certain, now)
        return self._certain
