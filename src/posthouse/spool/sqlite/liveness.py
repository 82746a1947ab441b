"""Liveness of the other processes on a spool, by file locks: when their leases may be taken.

A lease ends at a calendar time, and calendars are set and jump.  Between processes the clock therefore decides nothing:
a living process keeps its leases until it gives them back, and a dead one loses them at once.  The kernel says which
processes live, by the lock on each owner file (``layout.ProcessSlot``).  The lock is looked at

*  when a process opens the spool, for all slots that hold leases (``recovery``);
*  every ``LOOK`` seconds, for each peer that lived at the last look, so that a crash is noticed long before the leases
   would expire;
*  when an expired lease is found, for its holder, once in each call.

Within one process the clock does end leases: those that could not be given back, or that were committed for a caller
that had stopped waiting.  The process knows which attempts it has under way, and takes the other mail again.

**A stalled process** holds its lock as a slow one does.  But a process that works renews its leases at each third of
their length, also after they expired by a jump of the calendar.  Leases that have expired and are not renewed for 1 h
by this process's *stopwatch* are therefore taken: no session of a process that hung for so long is alive on the other
side (RFC 5321 §4.5.3.2 has 10 minutes as the longest wait).  If the calendar is set within that hour, the hour begins
anew.  A second copy would need a process that wakes after 1 h in the last moment of an attempt; without this rule its
mail would wait until an operator intervenes.

Where locks cannot be looked at (other machines), leases would have to end by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf
from typing import NamedTuple

from posthouse.spool.sqlite.storage.layout import ProcessSlot

__all__ = ["FlockLiveness", "HANGS", "LOOK"]

LOOK = 30.0
"""Seconds between two looks at whether the peers live."""

HANGS = 3600.0
"""Seconds of our stopwatch after which leases that ran out and were not renewed are taken from a living process."""

_JUMPED = 60.0  # seconds by which calendar and stopwatch may disagree about what has passed


class _Watch(NamedTuple):
    """Leases of one process that had run out: those until ``bound`` at the latest."""

    bound: float
    since: float  # by the stopwatch
    calendar: float  # at that moment


class FlockLiveness:
    """``PeerLiveness`` by the locks on the processes' owner files.

    ``time`` gives calendar seconds, ``stopwatch`` those of a clock that never jumps.
    """

    def __init__(self, owner: ProcessSlot, *, time: Callable[[], float], stopwatch: Callable[[], float]) -> None:
        self._owner = owner
        self._time = time
        self._stopwatch = stopwatch
        self.next_look = -inf
        self.interval: float | None = None
        self._lives = owner.others()
        self._known = set(self._lives)  # have lived, and have not been found dead and without leases
        self._watched: dict[int, _Watch] = {}

    def dead(self, slot: int) -> AbstractContextManager[bool]:
        return self._owner.dead(slot)

    def gone(self) -> list[int]:
        """Slots of peers that have crashed, if it is time to look; each is returned until ``left_nothing`` is
        called."""
        moment = self._stopwatch()
        if moment < self.next_look:
            return []
        self.next_look = moment + LOOK
        gone = []
        try:
            lives, before = self._owner.others(), self._lives
            self._known |= {slot for slot, life in lives.items() if before.get(slot) != life}
            self._lives = lives
            for slot in sorted(self._known):
                with self._owner.dead(slot) as dead:
                    if dead:
                        gone.append(slot)
        except OSError:  # no descriptor is left, perhaps; the work that is due has no part in it
            return []
        self.interval = LOOK if len(gone) < len(self._known) else None
        return gone

    def left_nothing(self, slot: int) -> None:
        """A dead one has no leases any more."""
        self._known.discard(slot)
        self._watched.pop(slot, None)

    def hangs(self, slot: int, now: float) -> float | None:
        """A living one has leases that ran out before ``now``.  Once it has not renewed them for ``HANGS`` seconds:
        until when those ran that may be taken; else None."""
        moment, calendar = self._stopwatch(), self._time()
        watch = self._watched.get(slot)
        if watch is not None and abs((calendar - watch.calendar) - (moment - watch.since)) <= _JUMPED:
            if moment - watch.since < HANGS:
                return None
            del self._watched[slot]
            return watch.bound
        self._watched[slot] = _Watch(now, moment, calendar)
        return None
