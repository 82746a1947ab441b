"""When to try again: a doubling delay with jitter, a ceiling, and an end (RFC 5321 §4.5.4.1).

The RFC asks for quick attempts at first and rare ones later, and for patience of four to five days.  The delay after
attempt *n* is ``first * 2**(n - 1)`` up to ``ceiling``; jitter only shortens it, by less than half, so that delays
never pass the ceiling and, while they double, never shrink.  When the next delay would end after the last day, one
attempt is made on that day's end, and then no more.

A host may ask for a time of its own ("try again in 10 minutes").  If it asks for longer than the schedule's own delay
it gets that, up to the ceiling; if for less, it gets that in the first attempts only, so that a host that always says
"in a second" is not asked every second for five days.

A value and a pure function: time and chance are handed in.  Who has other limits (RFC 2852 DELIVERBY, a domain's own
settings) hands the worker a function that gives the schedule for a recipient.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from posthouse.core.units import duration_in_words
from posthouse.spool.interface import QueuedRecipient, StoredMessage

__all__ = ["RetryPlan", "RetrySchedule", "ScheduleFor"]

_DOUBLINGS = 40  # beyond it any delay is the ceiling; keeps 2**n small whatever count a caller hands in
_SOONER_ATTEMPTS = 3  # a host that asks to be tried sooner than planned gets that so many times
_SOONEST = 30.0  # seconds; and never sooner than this
_LATENESS = 0.1  # the largest share that chance adds to a time that was asked for: many may have been told the same


class RetryPlan(NamedTuple):
    """What comes next: ``due`` in calendar seconds, None to give up; ``why`` says the reason in one sentence."""

    due: float | None
    why: str


class RetrySchedule(NamedTuple):
    """How patiently to try; all times in seconds.

    ``first`` is the delay after the first attempt, ``ceiling`` the longest one, ``patience`` how long after the
    message arrived the last attempt may be, ``jitter`` the largest share (0 to 0.5) that chance takes off a delay,
    ``warn_after`` the age at which a sender hears, once, that the message is late.
    """

    first: float = 300.0
    ceiling: float = 14_400.0
    patience: float = 432_000.0
    jitter: float = 0.2
    warn_after: float = 14_400.0

    def delay(self, attempts: int) -> float:
        """The delay after the ``attempts``-th attempt (1 for the first) before jitter; never shrinks as they grow."""
        return min(self.ceiling, self.first * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS))

    def next_attempt(self, attempts: int, first_seen: float, now: float, random: Random) -> float | None:
        """``plan`` without its reason, where nobody asked for a time."""
        return self.plan(attempts, first_seen, now, random).due

    def plan(
        self, attempts: int, first_seen: float, now: float, random: Random, *, asked: float | None = None
    ) -> RetryPlan:
        """When to try again after ``attempts`` attempts, and why then.

        ``first_seen`` is when the message arrived, ``asked`` the delay that the other side asked for.  The time is
        always after ``now`` and at most ``ceiling`` away.
        """
        end = first_seen + self.patience
        if now >= end:
            return RetryPlan(None, f"no more attempts: the message is older than {duration_in_words(self.patience)}")
        delay = self.delay(attempts)
        wait = delay * (1.0 - self.jitter * random.random())
        why = f"attempt {attempts} did not succeed; the wait doubles from {duration_in_words(self.first)}"
        why += f" to at most {duration_in_words(self.ceiling)}, less a part by chance"
        if asked is not None and (asked > delay or attempts <= _SOONER_ATTEMPTS):
            wait = min(self.ceiling, max(_SOONEST, asked) * (1.0 + _LATENESS * random.random()))
            why = f"the other side asked for {duration_in_words(asked)}"
        if now + wait <= end:
            return RetryPlan(now + wait, why)
        if end - now < self.first / 2:  # the last attempt of all; not worth making right after this one
            return RetryPlan(None, f"no more attempts: the message will soon be {duration_in_words(self.patience)} old")
        return RetryPlan(end, f"the last attempt: the message will be {duration_in_words(self.patience)} old then")

    def warn_at(self, first_seen: float) -> float:
        """From when on the sender of a message that arrived at ``first_seen`` may be told that it is late."""
        return first_seen + self.warn_after


#: The schedule for one recipient of a message: the seam for DELIVERBY and for settings of single domains.
ScheduleFor = Callable[[StoredMessage, QueuedRecipient], RetrySchedule]
