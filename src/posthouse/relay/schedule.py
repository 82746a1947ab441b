"""When to try again: a doubling delay with jitter, a ceiling, and an end (RFC 5321 §4.5.4.1).

The RFC asks for quick attempts at first and rare ones later, and for patience of four to five days.  The delay after
attempt *n* is ``first * 2**(n - 1)`` up to ``ceiling``; jitter only shortens it, by less than half, so that delays
never pass the ceiling and, while they double, never shrink.  When the next delay would end after the last day, one
attempt is made on that day's end, and then no more.

A value and a pure function: time and chance are handed in.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

__all__ = ["Schedule"]

_DOUBLINGS = 40  # beyond it any delay is the ceiling; keeps 2**n small whatever count a caller hands in


class Schedule(NamedTuple):
    """How patiently to try; all times in seconds.

    ``first`` is the delay after the first attempt, ``ceiling`` the longest one, ``patience`` how long after the
    message arrived the last attempt may be, ``jitter`` the largest share (0 to 0.5) that chance takes off a delay.
    """

    first: float = 300.0
    ceiling: float = 14_400.0
    patience: float = 432_000.0
    jitter: float = 0.2

    def delay(self, attempts: int) -> float:
        """The delay after the ``attempts``-th attempt (1 for the first) before jitter; never shrinks as they grow."""
        return min(self.ceiling, self.first * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS))

    def next_attempt(self, attempts: int, first_seen: float, now: float, random: Random) -> float | None:
        """When to try again after ``attempts`` attempts, in calendar seconds, or None to give up.

        ``first_seen`` is when the message arrived.  The answer is always after ``now`` and at most ``ceiling`` away.
        """
        end = first_seen + self.patience
        if now >= end:
            return None
        due = now + self.delay(attempts) * (1.0 - self.jitter * random.random())
        if due <= end:
            return due
        # The last attempt of all; not worth making right after this one.
        return end if end - now >= self.first / 2 else None
