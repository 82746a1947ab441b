"""Bounded log lines: events of one name, of which those beyond a rate are counted and told in one line.

Whatever a peer can repeat can be repeated thousands of times a second, and each time it is worth a line in the log.
"""

from __future__ import annotations

from typing import Any, Final

from posthouse.core import EventSink
from posthouse.net.clock import Clock, Timer

__all__ = ["LogRate"]

#: Seconds from the first event that is only counted to the line that tells their number.
_SUMMED_FOR: Final = 10.0


class LogRate:
    """Token bucket in front of the log for events named ``event``: ``burst`` at once, ``per_second`` in the long run.

    The others are told in a line of their own every 10 s: ``more`` is their number, and ``reason`` says what is meant.
    """

    __slots__ = ("_at", "_burst", "_clock", "_event", "_log", "_more", "_per_second", "_timer", "_tokens")

    def __init__(self, log: EventSink, clock: Clock, event: str, *, per_second: float, burst: int) -> None:
        self._log = log
        self._clock = clock
        self._event = event
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._at = clock.monotonic()
        self._more = 0
        self._timer: Timer | None = None

    def write(self, **fields: Any) -> None:
        """Write an event, or count it."""
        if self.takes():
            self._log(self._event, **fields)

    def takes(self) -> bool:
        """Whether an event may be written now, which the caller does then; otherwise it is counted."""
        now = self._clock.monotonic()
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._per_second)
        self._at = now
        enough = self._tokens >= 1.0
        if enough:
            self._tokens -= 1.0
        else:
            self.count(1)
        return enough

    def count(self, events: int) -> None:
        """Count events that are told as a number only."""
        self._more += events
        if self._timer is None:
            self._timer = self._clock.call_later(_SUMMED_FOR, self.flush)

    def flush(self) -> None:
        """Tell the number at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._more = self._more, 0
        if more:
            reason = f"{more:,} more events of this name, too many to be written one by one"
            self._log(self._event, more=more, reason=reason)
