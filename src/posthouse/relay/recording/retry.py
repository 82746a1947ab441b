"""Retry schedule: exponential back-off with jitter, a longest delay, and an end (RFC 5321 §4.5.4.1).

The RFC asks for frequent attempts at first and rare ones later, for 4 to 5 days.  The delay after attempt *n* is
``first * 2**(n - 1)`` up to ``ceiling``.  Jitter only shortens it, by less than half, so that a delay is never longer
than the ceiling and, while delays double, never shorter than the one before.  When the next delay would end after the
last day, one attempt is made at that day's end, and then no more.

The calendar may be wrong (``relay.recording.steady_clock``).  While it may be ahead, nothing is given up.  For a
message from the future, which came while the calendar was ahead, the waits between its attempts are its age.

A host may ask for a delay of its own ("try again in 10 minutes").  A longer delay than the schedule's is granted, up to
the ceiling.  A shorter one is granted after the first 3 attempts only, so that a host that always says "in a second" is
not asked every second for 5 days.

After an *ambiguous* end (the connection was lost behind the end of the message, before the host confirmed it) every
further attempt may make a further copy.  The delays are 6 times as long then and grow by 4, not 2: 30 min, 2 h, 8 h,
then 24 h with the values that are the default, so that a host that always breaks off there gets at most 10 copies.

Time and randomness are arguments.  For other limits (RFC 2852 DELIVERBY, a domain's own settings) the worker is given a
function that returns the schedule for a recipient.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from posthouse.core.units import duration_in_words
from posthouse.spool.interface import QueuedRecipient, StoredMessage

__all__ = ["RetryPlan", "RetrySchedule", "ScheduleFor"]

_DOUBLINGS = 40  # after which any delay is the ceiling; keeps 2**n small for any count
_SOONER_ATTEMPTS = 3  # after which no delay shorter than the schedule's is granted
_SOONEST = 30.0  # seconds; the shortest delay that is granted
_DOUBT, _DOUBT_GROWTH = 6.0, 4.0  # of delays after an ambiguous end: times the schedule's, and their growth
_IN_DOUBT = "the message may be younger than the calendar says: the calendar was set, or the daemon has just started"
_LATENESS = 0.1  # largest part that is added to a granted delay at random: many may have been given the same


class RetryPlan(NamedTuple):
    """The plan for a recipient: when it is ``due`` (calendar seconds), None to give up, and ``why``, in a sentence."""

    due: float | None
    why: str


class RetrySchedule(NamedTuple):
    """A retry schedule; all times are in seconds.

    ``first`` is the delay after the first attempt, ``ceiling`` the longest delay, ``patience`` the age of the message
    at the last attempt, ``jitter`` the largest part (0 to 0.5) that is taken off a delay at random, ``warn_after`` the
    age at which the sender gets one report of the delay.
    """

    first: float = 300.0
    ceiling: float = 14_400.0
    patience: float = 432_000.0
    jitter: float = 0.2
    warn_after: float = 14_400.0

    def delay(self, attempts: int) -> float:
        """The delay after the ``attempts``-th attempt (1 for the first) before jitter; never shrinks as they grow."""
        return min(self.ceiling, self.first * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS))

    @property
    def longest(self) -> float:
        """The longest delay of any plan: that after an ambiguous end."""
        return _DOUBT * self.ceiling

    def delay_in_doubt(self, attempts: int) -> float:
        """The delay after the ``attempts``-th attempt, before jitter, if its end was ambiguous."""
        growth = _DOUBT_GROWTH ** min(max(attempts, 1) - 1, _DOUBLINGS)
        return _DOUBT * min(self.ceiling, self.first * growth)

    def waited(self, attempts: int, ambiguous: bool = False) -> float:
        """The sum of the delays between ``attempts`` attempts, before jitter; ``ambiguous`` as all of their ends."""
        total = 0.0
        for each in range(1, min(attempts, _DOUBLINGS)):
            total += self.delay_in_doubt(each) if ambiguous else self.delay(each)
        rest = max(attempts - _DOUBLINGS, 0)
        return total + rest * (self.longest if ambiguous else self.ceiling)

    def next_attempt(self, attempts: int, first_seen: float, now: float, random: Random) -> float | None:
        """The ``due`` of ``plan``, where the host asked for no delay."""
        return self.plan(attempts, first_seen, now, random).due

    def plan(
        self,
        attempts: int,
        first_seen: float,
        now: float,
        random: Random,
        *,
        asked: float | None = None,
        ambiguous: bool = False,
        certain: bool = True,
    ) -> RetryPlan:
        """The plan after ``attempts`` attempts.

        ``first_seen`` is when the message arrived, ``asked`` the delay that the host asked for; ``ambiguous`` says that
        the message may have arrived, and ``certain`` that ``now`` is not ahead of the true time, as far as can be
        known.  The due time is always after ``now``, and at most ``ceiling`` after it, or 6 times that after an
        ambiguous end.
        """
        if first_seen > now:
            first_seen = now - self.waited(attempts, ambiguous)
        end = first_seen + self.patience
        if now >= end and certain:
            return RetryPlan(None, f"no more attempts: the message is older than {duration_in_words(self.patience)}")
        delay = self.delay(attempts)
        wait = delay * (1.0 - self.jitter * random.random())
        why = f"attempt {attempts} did not succeed; the wait doubles from {duration_in_words(self.first)}"
        why += f" to at most {duration_in_words(self.ceiling)}, less a random part"
        if ambiguous:
            wait = self.delay_in_doubt(attempts) * (1.0 - self.jitter * random.random())
            why = f"attempt {attempts} may have succeeded, and each further one may make a copy; so the wait is longer,"
            why += f" from {duration_in_words(self.delay_in_doubt(1))} to at most"
            why += f" {duration_in_words(self.longest)}, less a random part"
        elif asked is not None and (asked > delay or attempts <= _SOONER_ATTEMPTS):
            wait = min(self.ceiling, max(_SOONEST, asked) * (1.0 + _LATENESS * random.random()))
            why = f"the other side asked for {duration_in_words(asked)}"
        if now >= end:
            why = _IN_DOUBT
        if now + wait <= end or now >= end:
            return RetryPlan(now + wait, why)
        if end - now < self.first / 2:  # the last attempt would come right after this one
            return RetryPlan(None, f"no more attempts: the message will soon be {duration_in_words(self.patience)} old")
        return RetryPlan(end, f"the last attempt: the message will be {duration_in_words(self.patience)} old then")

    def warn_at(self, first_seen: float) -> float:
        """The time of the delay report for a message that arrived at ``first_seen``."""
        return first_seen + self.warn_after


#: The schedule for one recipient of a message: the seam for DELIVERBY and for settings of single domains.
ScheduleFor = Callable[[StoredMessage, QueuedRecipient], RetrySchedule]
