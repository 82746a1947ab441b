"""History of the counts: what they were at regular moments of the last hour and day, in bounded memory.

A sample is taken every 10 s.  The finer series keeps 360 of them (1 h), the coarser one each 30th (24 h).  Only worker
0 of a running daemon takes samples: the tally has the counts of all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from posthouse.net import Clock, Timer

__all__ = ["CountHistory", "CountSample", "EVERY", "rates"]

#: Seconds between two samples.
EVERY: Final = 10.0
_FINE: Final = 361
_COARSE: Final = 289
_EACH: Final = 30  # samples of the fine series for one of the coarse series


class CountSample(NamedTuple):
    """The counts at a moment: ``at`` in calendar seconds, ``counts`` since the start of the daemon by name."""

    at: float
    counts: dict[str, int]


class CountHistory:
    """Samples of what ``counts`` gives."""

    def __init__(self, clock: Clock, counts: Callable[[], dict[str, int]]) -> None:
        self._clock = clock
        self._counts = counts
        self._taken = 0
        self._timer: Timer | None = None
        #: The last hour, and the last day, the oldest sample first.
        self.hour: deque[CountSample] = deque(maxlen=_FINE)
        self.day: deque[CountSample] = deque(maxlen=_COARSE)

    def start(self) -> None:
        """Take a sample now, and then every 10 s until ``stop``."""
        self.take()
        self._timer = self._clock.call_later(EVERY, self.start)

    def stop(self) -> None:
        """Take no more samples."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> None:
        """Take one sample."""
        sample = CountSample(self._clock.time(), self._counts())
        self.hour.append(sample)
        if self._taken % _EACH == 0:
            self.day.append(sample)
        self._taken += 1


def rates(samples: Sequence[CountSample], name: str) -> list[float]:
    """Events a second of one counter between each sample and the next one."""
    return [
        max(0.0, (after.counts.get(name, 0) - before.counts.get(name, 0)) / max(after.at - before.at, 0.001))
        for before, after in pairwise(samples)
    ]
