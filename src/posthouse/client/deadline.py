"""Time limit of a whole call, over all of the phases of a session; each phase has its own besides (``Timeouts``)."""

from __future__ import annotations

from posthouse.core import TimedOut
from posthouse.net.clock import Clock

__all__ = ["Deadline"]


class Deadline:
    """The time limit of a whole call, over all of its phases; ``seconds`` None is no limit."""

    __slots__ = ("_clock", "ends", "seconds")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self.seconds = seconds
        #: When it is over, on the monotonic clock.
        self.ends = float("inf") if seconds is None else clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 or more; infinite without a limit."""
        return self.ends if self.seconds is None else max(0.0, self.ends - self._clock.monotonic())

    def error(self, waiting_for: str) -> TimedOut:
        """The exception of a call that has not ended in time."""
        return TimedOut(f"the time limit of {self.seconds or 0:g} seconds was over while waiting for {waiting_for}")
