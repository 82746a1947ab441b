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

import enum
import re
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from posthouse.core import Outcome, Reply, Result

__all__ = ["Feedback", "SiteHealth", "SiteStatus", "asked_of", "asked_wait", "sign_of"]

_START: Final = 2.0  # attempts at one time, before anything is known
_FAILURES: Final = 3  # in a row, which close a site
_FIRST_PAUSE: Final = 15.0  # seconds
_LONGEST_PAUSE: Final = 900.0
_FIRST_CLOSURE: Final = 60.0
_LONGEST_CLOSURE: Final = 1800.0
_LATENESS: Final = 0.25  # the largest share that chance adds to a pause
_LONGEST_ASKED: Final = 86_400.0
_DOUBLINGS: Final = 10


class Feedback(enum.Enum):
    """What an attempt tells of the site."""

    NOTHING = enum.auto()  # it did not come so far, or the fault was ours
    WELL = enum.auto()  # it talked to us, whatever it thought of the message
    BUSY = enum.auto()  # it refused the session, said 421 or 4.7.x to all, broke off, or stayed silent
    DEAD = enum.auto()  # no connection could be opened


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
        if sign is Feedback.WELL:
            self._hear_well(now, full)
        elif sign is Feedback.BUSY:
            return self._hear_busy(began, now, random, asked)
        elif sign is Feedback.DEAD:
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


# -- reading what a host said

#: "try again in 5 minutes", "please retry after 300 seconds", "wait 1 hour", "greylisted for 60 sec".  The number has
#: at most five digits and stands within 24 characters of the word.
_ASKED: Final = re.compile(
    r"\b(?:again|retry|wait|gr[ea]y-?list(?:ed|ing)?)\b[^0-9]{0,24}([0-9]{1,5}) ?"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE | re.ASCII,
)
_GREYLIST: Final = re.compile(r"gr[ea]y-?list", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_READ: Final = 1000  # characters of a reply that are searched


def asked_wait(reply: Reply | None) -> float | None:
    """The seconds after which a transient reply asks us to come again, a day at most; None if it does not say."""
    if reply is None or not reply.transient:
        return None
    found = _ASKED.search(reply.text[:_READ])
    if found is None:
        return None
    return min(_LONGEST_ASKED, float(found[1]) * _UNITS[found[2][0].lower()])


def asked_of(outcomes: Sequence[Outcome]) -> float | None:
    """The longest time that replies to an attempt asked for."""
    return max((asked for outcome in outcomes if (asked := asked_wait(outcome.reply)) is not None), default=None)


def sign_of(outcomes: Sequence[Outcome]) -> Feedback:
    """What the outcomes of a transaction tell of the host that gave them."""
    delivered = False
    held_off = bool(outcomes)
    for outcome in outcomes:
        reply = outcome.reply
        if outcome.result is Result.DELIVERED:
            delivered = True
        elif reply is None or reply.code == 421:  # silence, a lost connection, or good-bye
            return Feedback.BUSY
        elif held_off:
            greylisted = _GREYLIST.search(reply.text[:_READ]) is not None
            held_off = reply.transient and reply.enhanced.startswith("4.7.") and not greylisted
    if delivered or not outcomes:
        return Feedback.WELL if delivered else Feedback.NOTHING
    return Feedback.BUSY if held_off else Feedback.WELL
