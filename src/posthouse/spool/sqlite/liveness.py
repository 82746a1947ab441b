"""Liveness of the other processes on a spool, by file locks: when their leases may be taken.

A lease stands in calendar time, and calendars are set and jump.  So between processes the clock decides nothing: what
a living process has leased is its own until it gives it back, and what a dead one had is anybody's at once.  Who lives
is asked of the kernel, by the lock on each owner file (``files.ProcessSlot``), and only

*  when a process opens the spool, of all that hold leases (``starting``);
*  every ``LOOK`` seconds, of each peer that lived at the last look, so that a crash is noticed soon, and long
   before the dead one's leases would run out;
*  when a lease is met that has run out, of whoever holds it: once in each call, however many leases there are.

Within one process the clock does end leases, for those that were mislaid (a lease that could not be given back, or was
committed for somebody who had stopped waiting): the process knows what it has in hand, and takes the rest again.

**A process that lives and hangs** cannot be distinguished from a slow one by its lock.  But one that is well renews
what it has in hand each third of a lease, also after its leases ran out by a jump of the calendar.  So leases that ran
out and are not renewed while our *stopwatch* counts an hour are taken: no session of a process that hung for so long is
alive on the other side (RFC 5321 §4.5.3.2 has ten minutes as the longest wait).  If the calendar is set within that
hour, it
begins anew.  A second copy would need a process that wakes after an hour in the last moment of an attempt; never to
take them would leave mail lying until somebody notices.

Where owners cannot be asked (other machines, one day), leases will have to end by the clock.
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
