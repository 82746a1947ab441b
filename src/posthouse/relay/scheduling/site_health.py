"""How much one next hop is asked to take: a window of attempts, pauses, and a circuit breaker.

A *site* is where mail goes next: a chosen ``host:port``, or the set of mail exchangers that several domains may share.
What is learnt of it is kept here, for all its domains together, in memory: a restart begins gently.

**Window.**  It begins at 2: enough that one stuck attempt does not stop the rest, little enough that a host which
takes no strangers sees only two.  While it is full, each success adds one, so it doubles with each round (a cap of 20
is reached after 18 messages); after the first trouble it adds one for a whole window of successes, as TCP does.  A
session that is refused, breaks or stays silent halves it, once for all attempts that were under way at the time.

**Pause.**  421, or 4.7.x for everybody in a transaction, is the host's wish to be left alone: for as long as it says
("try again in 5 minutes"), else for 15 seconds and then twice as long each time.  Where other attempts succeed
meanwhile, only too much was asked, and halving is enough.  4.2.x and greylisting are a recipient's affair.

**Breaker.**  After three failures in a row to open a connection the site is *closed*, for a minute and then for twice
as long each time.  Then one attempt goes, as a probe: success opens it, failure closes it again.

All pauses are lengthened by chance, so that many sites that failed together do not come back together.  Times are the
clock's ``monotonic`` seconds.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from posthouse.delivery.feedback import Feedback

__all__ = ["SiteHealth", "SiteStatus"]

_START: Final = 2.0  # attempts at one time, before anything is known
_FAILURES: Final = 3  # in a row, which close a site
_FIRST_PAUSE: Final = 15.0  # seconds
_LONGEST_PAUSE: Final = 900.0
_FIRST_CLOSURE: Final = 60.0
_LONGEST_CLOSURE: Final = 1800.0
_LATENESS: Final = 0.25  # the largest share that chance adds to a pause
_DOUBLINGS: Final = 10


class SiteStatus(NamedTuple):
    """A site for people to look at: its window, and until when it is left alone (None if it is not) and why."""

    limit: int
    until: float | None
    why: str


class SiteHealth:
    """One site's standing.  ``cap`` is the most attempts at one time that configuration allows."""

    __slots__ = ("_cap", "_cuts", "_failures", "_limit", "_pauses", "_slow_from", "_well", "limit", "until", "why")

    def __init__(self, cap: int) -> None:
        self._cap = float(cap)
        self._limit = min(_START, self._cap)
        #: Attempts that may be under way.
        self.limit = int(self._limit)
        #: Left alone until then; 0.0 when it is not.
        self.until = 0.0
        #: Why it is left alone, in words.
        self.why = ""
        self._slow_from = self._cap  # the window from which on it grows slowly
        self._failures = 0
        self._pauses = 0  # in a row
        self._cuts = -1.0  # when the window was last cut, or a pause began
        self._well = -1.0  # when an attempt last went well

    @property
    def doubtful(self) -> bool:
        """True if the last that was heard was trouble."""
        return self._failures > 0 or self._pauses > 0

    @property
    def proven(self) -> bool:
        """True if the last that was heard was good."""
        return self._well >= 0.0 and not self.doubtful

    def standing(self) -> SiteStatus:
        """The site for people to look at."""
        return SiteStatus(self.limit, self.until or None, self.why)

    def hear(
        self, sign: Feedback, began: float, now: float, random: Random, *, full: bool, asked: float | None
    ) -> bool:
        """Learn from an attempt that ``began`` then and ended now; True if the site is to be left alone from now on.

        ``full``: the window was used up; ``asked``: seconds the host asked us to wait.
        """
        if sign is Feedback.OK:
            self._hear_well(now, full)
        elif sign is Feedback.THROTTLED:
            return self._hear_busy(began, now, random, asked)
        elif sign is Feedback.UNREACHABLE:
            return self._hear_dead(began, now, random)
        return False

    def reopen(self) -> None:
        """The pause is over, or an operator says so: go on, with a single attempt if the site was closed."""
        self.until = 0.0
        self.why = ""

    def forgive(self) -> None:
        """Forget all troubles."""
        self.reopen()
        self._failures = self._pauses = 0
        self._set(max(self._limit, min(_START, self._cap)))

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.limit = int(limit)

    def _hear_well(self, now: float, full: bool) -> None:
        self._well = now
        if self._failures >= _FAILURES:  # the probe came through
            self._set(min(_START, self._cap))
        self._failures = self._pauses = 0
        if full and self._limit < self._cap:
            step = 1.0 if self._limit < self._slow_from else 1.0 / self._limit
            self._set(min(self._cap, self._limit + step))

    def _hear_busy(self, began: float, now: float, random: Random, asked: float | None) -> bool:
        if began <= self._cuts:  # the same trouble, seen by another attempt
            return False
        self._cuts = now
        self._slow_from = max(1.0, self._limit / 2)
        self._set(self._slow_from)
        if asked is None and self._well >= began:
            return False
        pause = _FIRST_PAUSE * 2.0 ** min(self._pauses, _DOUBLINGS)
        pause = min(_LONGEST_PAUSE, pause) if asked is None else asked
        self._pauses += 1
        self._failures = 0
        return self._rest(now, pause, random, "it asked to be left alone, refused sessions or did not answer")

    def _hear_dead(self, began: float, now: float, random: Random) -> bool:
        if began <= self._cuts:
            return False
        self._failures += 1
        self._slow_from = max(1.0, self._limit / 2)
        if self._failures < _FAILURES:
            return False
        self._cuts = now
        self._set(1.0)
        pause = _FIRST_CLOSURE * 2.0 ** min(self._failures - _FAILURES, _DOUBLINGS)
        return self._rest(
            now, min(_LONGEST_CLOSURE, pause), random, f"{self._failures} connections in a row could not be opened"
        )

    def _rest(self, now: float, pause: float, random: Random, why: str) -> bool:
        self.until = now + pause * (1.0 + _LATENESS * random.random())
        self.why = why
        return True
