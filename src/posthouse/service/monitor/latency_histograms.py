"""Latencies of recorded dialogues, as histograms with fixed bounds.

Measured are the sessions and attempts that are recorded anyway (``session_book``, ``attempt_book``), so that nothing is
timed for this purpose: on a busy daemon they are a sample.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

__all__ = ["BOUNDS", "LatencyHistograms", "quantile"]

#: The upper bounds of the buckets, in seconds; a last bucket has what took longer.
BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
)


class LatencyHistograms:
    """Histograms by name.

    ``commit``: from the end of a content to its reply.  ``delivery``: from the acceptance of a message to the end of an
    attempt that delivered it.  ``attempt``: from the beginning of an attempt to its end.
    """

    NAMES: Final = ("commit", "delivery", "attempt")

    def __init__(self) -> None:
        self._buckets = {name: [0] * (len(BOUNDS) + 1) for name in self.NAMES}
        self._sums = dict.fromkeys(self.NAMES, 0.0)

    def add(self, name: str, seconds: float) -> None:
        """Count one latency; below 0 (a calendar that was set back) it is 0."""
        seconds = max(0.0, seconds)
        self._buckets[name][bisect_left(BOUNDS, seconds)] += 1
        self._sums[name] += seconds

    def of(self, name: str) -> tuple[list[int], float]:
        """How many were in each bucket, and the sum of all in seconds."""
        return list(self._buckets[name]), self._sums[name]


def quantile(buckets: list[int], share: float) -> float | None:
    """The bound below which this share of the values lies; None without values, the last bound if it is above it."""
    total = sum(buckets)
    if not total:
        return None
    seen = 0
    for at, number in enumerate(buckets):
        seen += number
        if seen >= share * total:
            return BOUNDS[min(at, len(BOUNDS) - 1)]
    return BOUNDS[-1]
