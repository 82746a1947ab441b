"""Who may start now: attempts bounded in all and for each site, the rest in line, the lanes in turn.

A *lane* is one site, or, for deliverers that know no sites, one target.  An attempt that finds its lane or the whole
house full stands in its lane's line; when one leaves, the lanes that have room and a line are served in turn, so that
a long line has no more weight than a short one.  Scheduler that promise less have shares (``scheduling.concurrency``):
many dead sites at once leave the rest to those that live.  Hosts that do not answer hold a slot for two seconds
(``scheduling.seats``), if anybody waits for it.

A lane that is left alone (``scheduling.site_health``) has no line: who stood there goes back to the queue.  More work
for a lane that is left alone, or whose line is four times as long as the most that it ever has at one time, is not
worth leasing now: its destinations are skipped (``scheduling.destinations``).  So a dead site costs one look at the
clock, whatever waits for it.

A target whose site is not known yet has a lane of its own; the attempt that finds out the site goes over to its lane,
and so do those who stood in line behind it.  What was learnt is remembered for a bounded number of targets and sites,
and forgotten first where nothing happened for the longest time.

A deliverer that is ``mailbox`` waits for our own spool only, which is the faster the more arrives at once: all its
targets are one lane, with many slots that do not count with those of the world outside.  Measured with 4 KiB messages
into one mailbox on SQLite, two cores: 2,500 messages a second with ten slots, 6,000 with 256.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import Final

from posthouse.delivery.feedback import Feedback
from posthouse.net import Clock, Timer
from posthouse.relay.routes import Route
from posthouse.relay.scheduling.concurrency import Priority, PriorityQuota, RoundRobin
from posthouse.relay.scheduling.destinations import DestinationTable
from posthouse.relay.scheduling.lane import QueuePosition, ReadyQueue
from posthouse.relay.scheduling.ready_queue import UNKNOWN, Attempt, Key
from posthouse.relay.scheduling.seats import ConnectionSlots
from posthouse.relay.scheduling.site_health import SiteHealth, SiteStatus

__all__ = ["Scheduler"]

_LOCAL_SLOTS: Final = 256
_LONG_LINE: Final = 4  # times the most that may be under way
_SPARE: Final = 256  # attempts that a long line may still grow by: what was leased before it was long
_MOST_IDLE: Final = 4096  # lanes that are remembered though nothing is in them
_MOST_TARGETS: Final = 16_384  # whose site is remembered
_MOST_DESTINATIONS: Final = 100_000  # of one lane that are remembered
_MOST_IN_LINE: Final = 4096  # attempts leased and not started
_LOOK: Final = 0.5  # seconds between two looks for silent attempts, while somebody waits


class Scheduler:
    """All lanes.  ``limit`` bounds attempts in all, ``limit_each`` those of one lane.  ``opened`` is called when
    something that was left in the queue may be asked for again.  ``start`` must be set to what starts an attempt that
    got its slot while nobody asked for one."""

    start: Callable[[Attempt], object]

    def __init__(
        self, limit: int, limit_each: int, *, clock: Clock, random: Random, opened: Callable[[], object]
    ) -> None:
        self.names = DestinationTable(clock)
        #: Places in line.
        self.lines = PriorityQuota(_MOST_IN_LINE)
        self._limit_each = limit_each
        self._clock = clock
        self._random = random
        self._opened = opened
        self._seats = ConnectionSlots(limit, clock)
        self.active = self._seats.active
        self._look: Timer | None = None
        self._wanted = False  # slots, by somebody who has not come in
        self._over = False
        self._lanes: dict[Key, ReadyQueue] = {}
        self._idle: dict[ReadyQueue, None] = {}  # with a site, and nothing in them; the longest first
        self._alone: set[ReadyQueue] = set()
        self._turns: RoundRobin[ReadyQueue] = RoundRobin()  # with a line and a free slot
        self._sites: dict[Key, str] = {}  # of targets

    def room(self, rank: Priority) -> int:
        """How many more attempts of a rank could start, if their lanes agree.  Who is told none will be called
        (``opened``) when silent ones have made some."""
        room = self._seats.slots.room(rank)
        if not room:
            self._wanted = True
            self._look_out()
        return room

    def takes(self, destinations: Collection[str]) -> bool:
        """True if there is a place in line for fresh mail to these."""
        names = self.names
        if names.skip and not names.skip.isdisjoint(destinations):
            return False
        if self.lines.free(Priority.FRESH):
            return True
        return self.lines.free(Priority.PROVEN) and names.known.keys() >= set(destinations)

    @property
    def any_alone(self) -> bool:
        """True if some site is left alone."""
        return bool(self._alone)

    def alone(self) -> frozenset[str]:
        """The destinations of sites that are left alone."""
        return frozenset().union(*(lane.destinations for lane in self._alone))

    def standing(self) -> dict[str, SiteStatus]:
        """The sites that something is known of, by name, for people."""
        return {lane.key[1]: lane.site.standing() for lane in self._lanes.values() if lane.site is not None}

    def key(self, route: Route) -> Key:
        """What an attempt on this route shares with others: the site where it is known, else the target."""
        deliverer, target, _, _ = route
        if not deliverer.sited:
            return deliverer, target
        known = self._sites.get((deliverer, target))
        if known is None:
            known = deliverer.site_now(target)
        return deliverer, known or f"{target}{UNKNOWN}"

    # -- coming and going

    def enter(self, attempt: Attempt) -> QueuePosition:
        """An attempt wants to start; if it may, it has its slot."""
        lane = self._lane(attempt)
        attempt.lane = lane
        self._leads_here(lane, attempt)
        if lane.alone:
            return self._turn_away(attempt)
        rank = lane.rank(not attempt.leased)
        if attempt.leased:
            self._notice(attempt, rank)
        if lane.free and not lane.line and (attempt.local or self._seats.slots.free(rank)):
            self._seat(lane, attempt, rank)
            return QueuePosition.STARTS
        if len(lane.line) >= _LONG_LINE * lane.most + _SPARE:
            return self._turn_away(attempt)
        lane.line.append(attempt)
        self._idle.pop(lane, None)
        attempt.rank = rank
        self.lines.take(rank)
        lane.fresh += not attempt.leased
        self._queue(lane)
        if len(lane.line) >= _LONG_LINE * lane.most:
            self._name(lane)
        return QueuePosition.WAITS

    def leave(self, attempt: Attempt) -> list[Attempt]:
        """``scheduling.ready_queue`` is over; those that have their slots now and must be started."""
        self.names.release(attempt)
        lane = self._unseat(attempt)
        if lane.line and lane.free:
            if attempt.local:
                return [self._next(lane)]
            self._queue(lane)
        return self._serve()

    def arrive(self, attempt: Attempt, site: str) -> tuple[QueuePosition, list[Attempt], list[Attempt]]:
        """An attempt under way has found out its site: whether it may go on (if it waits or is turned away, it has no
        slot any more), who must be started now, and who is turned away of those that stood in line with it."""
        deliverer, old = attempt.key
        for target in attempt.targets:
            self._remember((deliverer, target), site)
        if old == site:
            return QueuePosition.STARTS, [], []
        lane = attempt.lane
        assert lane is not None
        behind = self._clear(lane) if old.endswith(UNKNOWN) else []
        if behind:
            self._unname(lane)
        self._unseat(attempt)
        attempt.key = deliverer, site
        entry = self.enter(attempt)
        started: list[Attempt] = []
        away: list[Attempt] = []
        for other in behind:
            other.key = deliverer, site
            entered = self.enter(other)
            if entered is QueuePosition.STARTS:
                started.append(other)
            elif entered is QueuePosition.TURNED_AWAY:
                away.append(other)
        return entry, started + self._serve(), away

    def hear(self, attempt: Attempt, sign: Feedback, asked: float | None) -> list[Attempt]:
        """What an attempt under way tells of its site; those who stood in line, if it is to be left alone now."""
        lane = attempt.lane
        if lane is None or lane.site is None:
            return []
        now = self._clock.monotonic()
        full = lane.active >= lane.site.limit
        proven = lane.site.proven
        closed = lane.site.hear(sign, attempt.began, now, self._random, full=full, asked=asked)
        if sign is Feedback.OK:
            self.names.trust(attempt)
        elif proven and not lane.site.proven:
            self.names.doubt(lane.destinations)
        if not closed:
            self._queue(lane)
            return []
        return self._leave_alone(lane, lane.site.until - now)

    def forgive(self, destinations: Collection[str] = ()) -> None:
        """Ask the sites of these destinations (of all, if none is named) again now: an operator says so."""
        for lane in list(self._lanes.values()):
            if lane.site is not None and (not destinations or not lane.destinations.keys().isdisjoint(destinations)):
                lane.site.forgive()
                self._open(lane)

    def in_lines(self) -> list[Attempt]:
        """Those that stand in line."""
        return [attempt for lane in self._lanes.values() for attempt in lane.line]

    def dissolve(self) -> list[Attempt]:
        """Empty all lines, stop all timers; those who stood there."""
        standing = self.in_lines()
        self._over = True
        if self._look is not None:
            self._look.cancel()
        for lane in list(self._lanes.values()):
            for attempt in self._clear(lane):
                self.names.release(attempt)
            lane.named = False
            if lane.timer is not None:
                lane.timer.cancel()
                lane.timer = None
            self._tidy(lane)
        self._alone.clear()
        self._turns.clear()
        self.names.skip.clear()
        return standing

    # -- lanes

    def _lane(self, attempt: Attempt) -> ReadyQueue:
        deliverer, name = attempt.key
        key = (deliverer, "") if attempt.local else (deliverer, name)
        lane = self._lanes.get(key)
        if lane is None:
            most = _LOCAL_SLOTS if attempt.local else self._limit_each
            lane = self._lanes[key] = ReadyQueue(key, most, SiteHealth(most) if deliverer.sited else None)
        return lane

    def _remember(self, key: Key, site: str) -> None:
        if self._sites.get(key) == site:
            return
        self._sites.pop(key, None)
        if len(self._sites) >= _MOST_TARGETS:
            del self._sites[next(iter(self._sites))]
        self._sites[key] = site

    def _tidy(self, lane: ReadyQueue) -> None:
        """Forget a lane that nothing is in, at once or when there are too many of them."""
        if lane.active or lane.line:
            return
        self._turns.remove(lane)
        if lane.site is None or lane.key[1].endswith(UNKNOWN):
            self._drop(lane)
            return
        self._idle.pop(lane, None)
        self._idle[lane] = None
        if len(self._idle) > _MOST_IDLE:
            self._drop(next(iter(self._idle)))

    def _drop(self, lane: ReadyQueue) -> None:
        self._idle.pop(lane, None)
        if lane.timer is not None:
            lane.timer.cancel()
        self._alone.discard(lane)
        self._unname(lane)
        self._lanes.pop(lane.key, None)

    def _leads_here(self, lane: ReadyQueue, attempt: Attempt) -> None:
        """Remember the destinations, to name them when the lane is to have no more."""
        for part in attempt.parts:
            if part.destination not in lane.destinations:
                if len(lane.destinations) >= _MOST_DESTINATIONS:
                    oldest = next(iter(lane.destinations))
                    del lane.destinations[oldest]
                    self.names.welcome((oldest,))
                lane.destinations[part.destination] = None
                if lane.named:
                    self.names.avoid((part.destination,))

    def _notice(self, attempt: Attempt, rank: Priority) -> None:
        """It waited in the queue: is more of that worth leasing?"""
        if rank is not Priority.PROVEN:
            self.names.engage(attempt)
        elif attempt.lane is not None and attempt.lane.site is None:
            self.names.trust(attempt)

    def _turn_away(self, attempt: Attempt) -> QueuePosition:
        # Also where the lane is named already: another lane may have taken the name back.
        self.names.avoid(part.destination for part in attempt.parts)
        self.names.release(attempt)
        if attempt.lane is not None:
            attempt.lane.named = True
        return QueuePosition.TURNED_AWAY

    def _name(self, lane: ReadyQueue) -> None:
        """Its destinations are not worth leasing for now."""
        if not lane.named:
            lane.named = True
            self.names.avoid(lane.destinations)

    def _unname(self, lane: ReadyQueue) -> None:
        if lane.named:
            lane.named = False
            self.names.welcome(lane.destinations)

    def _leave_alone(self, lane: ReadyQueue, seconds: float) -> list[Attempt]:
        self._name(lane)
        self._alone.add(lane)
        self._turns.remove(lane)
        if lane.timer is not None:
            lane.timer.cancel()
        lane.timer = self._clock.call_later(seconds, lambda: self._open(lane))
        away = self._clear(lane)
        for attempt in away:
            self.names.release(attempt)
        self._tidy(lane)
        return away

    def _clear(self, lane: ReadyQueue) -> list[Attempt]:
        """Empty its line; those who stood there."""
        away = list(lane.line)
        lane.line.clear()
        lane.fresh = 0
        for attempt in away:
            self.lines.give(attempt.rank)
        return away

    def _open(self, lane: ReadyQueue) -> None:
        """The site may be asked again."""
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if lane.site is not None:
            lane.site.reopen()
        self._alone.discard(lane)
        self._unname(lane)
        self._opened()

    # -- slots

    def _queue(self, lane: ReadyQueue) -> None:
        """See that it has its turn if it needs one, in its rank of now."""
        if lane.line and lane.free:
            self._turns.put(lane, lane.rank(lane.fresh > 0))
            self._look_out()
        elif self._turns:
            self._turns.remove(lane)

    def _serve(self) -> list[Attempt]:
        """Seat the first of each line in turn, while there is room."""
        started: list[Attempt] = []
        while self._turns and (lane := self._turns.next(self._seats.slots.free)) is not None:
            started.append(self._next(lane))
            self._queue(lane)
        return started

    def _look_out(self) -> None:
        """Somebody wants a slot."""
        if self._look is None and not self._over:
            self._look = self._clock.call_later(_LOOK, self._free_silent)

    def _free_silent(self) -> None:
        """Take the slots of attempts whose hosts are silent, as long as somebody wants them."""
        self._look = None
        self._seats.hush()
        for attempt in self._serve():
            self.start(attempt)
        if self._wanted and self._seats.slots.free(Priority.PROVEN):
            self._wanted = False
            self._opened()
        if self._turns or self._wanted:
            self._look_out()

    def _next(self, lane: ReadyQueue) -> Attempt:
        """Seat the first in line."""
        attempt = lane.line.popleft()
        self.lines.give(attempt.rank)
        rank = lane.rank(lane.fresh > 0)
        lane.fresh -= not attempt.leased
        self._seat(lane, attempt, rank)
        if lane.named and len(lane.line) < _LONG_LINE * lane.most:
            self._unname(lane)
        return attempt

    def _seat(self, lane: ReadyQueue, attempt: Attempt, rank: Priority) -> None:
        if lane.site is not None:
            self._idle.pop(lane, None)
        self._seats.take(attempt, rank)
        lane.active += 1

    def _unseat(self, attempt: Attempt) -> ReadyQueue:
        lane = attempt.lane
        assert lane is not None
        self._seats.give(attempt)
        lane.active -= 1
        self._tidy(lane)
        return lane
