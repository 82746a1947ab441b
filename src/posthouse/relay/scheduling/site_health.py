"""Site health: the concurrency limit, the pauses and the circuit breaker of one next hop.

A *site* is where mail goes next: a chosen ``host:port``, or the set of mail exchangers that several domains may share.
What is learnt about it is kept here, for all its domains together, in memory: a restart begins gently.

**Concurrency limit.**  It begins at 2 (*slow start*): enough that one hanging attempt does not stop the rest, few
enough that a host which takes no mail from this one sees only two.  While it is used up, each success adds 1, so it
doubles with each round (a limit of 20 is reached after 18 messages).  After the first failure it adds 1 for as many
successes as the limit is, as TCP does.  A session that is refused, breaks off or stays silent halves it, once for all
attempts that were under way at that time.

**Limit of the host.**  A host that refuses one more session while others to it are open allows so many at one time
(for example Postfix, ``421 4.7.0 too many connections``).  The limit becomes the number that is open, and nothing
pauses: what was refused goes on in the sessions that are open.  The limit then does not grow for 10 s, and for twice as
long each time the host refuses again, up to 10 min, so that growth does not bring a refusal with every success.

**Pause.**  A reply 421, or 4.7.x for all recipients of a transaction, asks for a pause: for as long as the reply says
("try again in 5 minutes"), else for 15 s, and then twice as long each time.  Where another attempt succeeded meanwhile,
only too many attempts were made, and halving is enough.  4.2.x and greylisting concern one recipient.

**Circuit breaker.**  After 3 connections in a row that could not be opened, the site is suspended for 60 s and then for
twice as long each time.  Then one attempt goes as a probe: its success closes the circuit, its failure opens it again.

All pauses are lengthened by a random part, so that sites that failed together do not return together.  Times are the
clock's ``monotonic`` seconds.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from posthouse.delivery.feedback import Feedback

__all__ = ["SiteHealth", "SiteStatus"]

_START: Final = 2.0  # attempts at one time, before anything is known
_FAILURES: Final = 3  # in a row, after which a site is suspended
_FIRST_PAUSE: Final = 15.0  # seconds
_LONGEST_PAUSE: Final = 900.0
_FIRST_SUSPENSION: Final = 60.0
_LONGEST_SUSPENSION: Final = 1800.0
_JITTER: Final = 0.25  # the largest part that is added to a pause at random
_DOUBLINGS: Final = 10
_FIRST_HOLD: Final = 10.0  # seconds for which a limit of the host stands
_LONGEST_HOLD: Final = 600.0


class SiteStatus(NamedTuple):
    """The status of a site, for operators: its concurrency limit, until when it is suspended (None if it is not), and
    why."""

    limit: int
    until: float | None
    why: str


class SiteHealth:
    """The health of one site.  ``most`` is the most attempts at one time that configuration allows."""

    __slots__ = (
        "_cut",
        "_exact",
        "_failures",
        "_held_until",
        "_limits_heard",
        "_most",
        "_pauses",
        "_slow_from",
        "_succeeded",
        "limit",
        "until",
        "why",
    )

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._exact = min(_START, self._most)
        #: Attempts that may be under way.
        self.limit = int(self._exact)
        #: When the suspension ends; 0.0 while there is none.
        self.until = 0.0
        #: Why it is suspended, in words.
        self.why = ""
        self._slow_from = self._most  # the limit from which on it grows slowly
        self._failures = 0
        self._pauses = 0  # in a row
        self._cut = -1.0  # when the limit was last halved, or a pause began
        self._succeeded = -1.0  # when an attempt last succeeded
        self._limits_heard = 0  # how often the host has refused one session more
        self._held_until = -1.0  # when the limit may grow again

    @property
    def failing(self) -> bool:
        """True if the last feedback was a failure."""
        return self._failures > 0 or self._pauses > 0

    @property
    def unreachable(self) -> bool:
        """True if it is suspended because no connection could be opened."""
        return self._failures >= _FAILURES

    @property
    def proven(self) -> bool:
        """True if the last feedback was a success."""
        return self._succeeded >= 0.0 and not self.failing

    def is_first_refusal(self, began: float) -> bool:
        """True if a refusal of an attempt that began then is the first one, or one of those that began the pause."""
        return self._failures == 0 and (self._pauses == 0 or (self._pauses == 1 and began <= self._cut))

    def status(self) -> SiteStatus:
        """The status for operators."""
        return SiteStatus(self.limit, self.until or None, self.why)

    def learn(
        self, feedback: Feedback, began: float, now: float, random: Random, *, full: bool, asked: float | None
    ) -> bool:
        """Take the feedback of an attempt that began at ``began`` and ended now; returns True if the site is suspended
        from now on.

        ``full`` says that the limit was used up; ``asked`` is the wait in seconds that the host asked for.
        """
        if feedback is Feedback.OK:
            self._learn_ok(now, full)
        elif feedback is Feedback.THROTTLED:
            return self._learn_throttled(began, now, random, asked)
        elif feedback is Feedback.UNREACHABLE:
            return self._learn_unreachable(began, now, random)
        return False

    def allow_only(self, allowed: int, now: float) -> None:
        """The host has refused one more session than the ``allowed`` ones that are open: let no more be opened."""
        if now >= self._held_until:
            hold = _FIRST_HOLD * 2.0 ** min(self._limits_heard, _DOUBLINGS)
            self._held_until = now + min(_LONGEST_HOLD, hold)
            self._limits_heard += 1
        self._slow_from = max(1.0, min(self._exact, float(allowed)))
        self._set(self._slow_from)

    def resume(self) -> None:
        """End the suspension; after failed connections, with a limit of 1."""
        self.until = 0.0
        self.why = ""

    def reset(self) -> None:
        """Forget all failures."""
        self.resume()
        self._failures = self._pauses = self._limits_heard = 0
        self._held_until = -1.0
        self._set(max(self._exact, min(_START, self._most)))

    def _set(self, limit: float) -> None:
        self._exact = limit
        self.limit = int(limit)

    def _learn_ok(self, now: float, full: bool) -> None:
        self._succeeded = now
        if self._failures >= _FAILURES:  # the probe succeeded
            self._set(min(_START, self._most))
        self._failures = self._pauses = 0
        if full and self._exact < self._most and now >= self._held_until:
            step = 1.0 if self._exact < self._slow_from else 1.0 / self._exact
            self._set(min(self._most, self._exact + step))

    def _learn_throttled(self, began: float, now: float, random: Random, asked: float | None) -> bool:
        if began <= self._cut:  # another attempt has reported this failure
            return False
        self._cut = now
        self._slow_from = max(1.0, self._exact / 2)
        self._set(self._slow_from)
        if asked is None and self._succeeded >= began:
            return False
        pause = _FIRST_PAUSE * 2.0 ** min(self._pauses, _DOUBLINGS)
        pause = min(_LONGEST_PAUSE, pause) if asked is None else asked
        self._pauses += 1
        self._failures = 0
        return self._suspend(now, pause, random, "it asked for a pause, refused sessions or did not answer")

    def _learn_unreachable(self, began: float, now: float, random: Random) -> bool:
        if began <= self._cut:
            return False
        self._failures += 1
        self._slow_from = max(1.0, self._exact / 2)
        if self._failures < _FAILURES:
            return False
        self._cut = now
        self._set(1.0)
        pause = _FIRST_SUSPENSION * 2.0 ** min(self._failures - _FAILURES, _DOUBLINGS)
        return self._suspend(
            now, min(_LONGEST_SUSPENSION, pause), random, f"{self._failures} connections in a row could not be opened"
        )

    def _suspend(self, now: float, pause: float, random: Random, why: str) -> bool:
        self.until = now + pause * (1.0 + _JITTER * random.random())
        self.why = why
        return True
