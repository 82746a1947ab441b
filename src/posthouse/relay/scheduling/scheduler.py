"""Delivery scheduler: one ready queue per site, a global and a per-site concurrency limit, round robin between queues.

A *ready queue* belongs to one site, or, for deliverers without sites, to one target.  An attempt that finds its site or
the whole worker at its limit waits in the line of its queue.  When an attempt ends, the queues that have a line and are
below their limit are served in turn, so that a long line has no more weight than a short one.  Queues of unproven and
failing sites have quotas (``scheduling.concurrency``), so that many dead sites at once leave slots to the others.

**Stalled attempts.**  An attempt whose host has not answered for 2 s, not even with a greeting, needs little but its
socket.  If another attempt needs its slot, it continues without one and is counted as stalled: there may be twice as
many stalled attempts as slots, with the same quotas.  So a host that does not answer occupies a slot for 2 s, and not
until the attempt times out.

**Suspended sites.**  The queue of a suspended site (``scheduling.site_health``) has no line: the attempts in it go back
to the spool.  While a site is suspended, and while its line is four times as long as its limit, its queue is *closed*:
no more mail is leased for its destinations (``scheduling.destinations``).  So a dead site costs one look at the clock,
whatever waits for it.

A target whose site is not known yet has a ready queue of its own.  The attempt that finds out the site moves to that
site's queue, and so do the attempts behind it.  What is known of targets and sites is bounded; what was not used for
the longest time is forgotten first.

**Local deliverers** wait for this daemon's spool only, whose throughput grows with the group: all targets of one share
a queue, with 256 slots that do not count in the global limit.  Measured with 4 KiB messages into one mailbox on SQLite,
two cores: 2,500 messages/s with 10 slots, 6,000 with 256.

Over budget: an attempt's slot, the state of its queue and the health of its site change together in most methods.
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
from posthouse.relay.scheduling.ready_queue import UNKNOWN, Attempt, Key, QueuePosition, ReadyQueue
from posthouse.relay.scheduling.site_health import SiteHealth, SiteStatus

__all__ = ["Scheduler"]

_HEALTHY: Final = Priority.HEALTHY
_NEW_MAIL: Final = Priority.NEW_MAIL
_LOCAL_SLOTS: Final = 256
_LONG_LINE: Final = 4  # times the limit of a site
_SPARE: Final = 256  # attempts by which a long line may still grow: those that were leased before it was long
_MOST_IDLE: Final = 4096  # empty ready queues whose site is remembered
_MOST_TARGETS: Final = 16_384  # whose site is remembered
_MOST_DESTINATIONS: Final = 100_000  # of one ready queue
_MOST_WAITING: Final = 4096  # attempts in all lines
_STALLED: Final = 2.0  # seconds without an answer
_MOST_STALLED: Final = 2  # times the number of slots
_MOST_TURNS: Final = 8  # times that one attempt waits again because its host takes no more sessions
_LOOK: Final = 0.5  # seconds between two looks for stalled attempts, while a slot is wanted


class Scheduler:
    """The ready queues of one worker.

    Args:
        limit: Attempts at one time.
        limit_each: Attempts at one time at one site.
        clock: For pauses and rate limits.
        random: Spreads the end of pauses.
        look: Is called when mail that was left in the spool may be leased now.
        changed: Is called when slots have become free while no attempt ended, or a site is suspended or resumed.

    ``start`` must be set to the function that starts an attempt which got its slot later.
    """

    start: Callable[[Attempt], object]

    def __init__(
        self,
        limit: int,
        limit_each: int,
        *,
        clock: Clock,
        random: Random,
        look: Callable[[], object],
        changed: Callable[[], object],
    ) -> None:
        self.destinations = DestinationTable(clock, look)
        #: Places in the lines.
        self.places = PriorityQuota(_MOST_WAITING)
        #: Attempts under way, in the order of their start.
        self.active: dict[Attempt, None] = {}
        #: Is called with the ready queue of a site that is suspended or resumed.
        self.site_changed: Callable[[ReadyQueue], object] = _nothing
        #: True while some site is suspended.
        self.any_suspended = False
        self._slots = PriorityQuota(limit)
        self._stalled = PriorityQuota(_MOST_STALLED * limit)
        self._limit_each = limit_each
        self._clock = clock
        self._random = random
        self._changed = changed
        self._timer: Timer | None = None
        self._slot_wanted = False  # for mail that is still in the spool
        self._stopped = False
        self._queues: dict[Key, ReadyQueue] = {}
        #: The ready queues, for operators to read (``scheduling.outlook``).
        self.queues = self._queues
        self._idle: dict[ReadyQueue, None] = {}  # with a site, and empty; the longest idle one first
        self._suspended: set[ReadyQueue] = set()
        self._turns: RoundRobin[ReadyQueue] = RoundRobin()  # queues with a line, below their limit
        self._sites: dict[Key, str] = {}  # of targets

    # -- questions

    def room(self, priority: Priority) -> int:
        """How many more attempts of a class could start, if their sites' limits allow it, or wait in a line.

        If no slot is free, ``changed`` is called when stalled attempts have given slots away."""
        room = self._slots.room[priority]
        if room <= 0:
            self._slot_wanted = True
            self._look_for_stalled()
            return 0
        return max(0, min(room, self.places.room[priority]))

    def takes(self, destinations: Collection[str]) -> bool:
        """True if there is a place for new mail to these destinations."""
        table = self.destinations
        if table.suspended and not table.suspended.isdisjoint(destinations):
            return False
        if self.places.room[_NEW_MAIL] > 0:
            return True
        return self.places.room[_HEALTHY] > 0 and table.proven.keys() >= set(destinations)

    def suspended_destinations(self) -> frozenset[str]:
        """The destinations of suspended sites."""
        return frozenset().union(*(queue.destinations for queue in self._suspended))

    def status(self) -> dict[str, SiteStatus]:
        """The sites that are remembered, by name, for operators to read."""
        return {queue.key[1]: queue.health.status() for queue in self._queues.values() if queue.health is not None}

    def key(self, route: Route) -> Key:
        """What an attempt on this route shares with others: the site where it is known, else the target."""
        deliverer, target, _, _ = route
        if not deliverer.sited:
            return deliverer, target
        site = self._sites.get((deliverer, target))
        if site is None:
            site = deliverer.site_now(target)
        return deliverer, site or f"{target}{UNKNOWN}"

    def waiting(self) -> list[Attempt]:
        """The attempts in all lines."""
        return [attempt for queue in self._queues.values() for attempt in queue.line]

    # -- attempts

    def enter(self, attempt: Attempt) -> QueuePosition:
        """Let an attempt start, wait, or go back; if it may start, it has its slot."""
        key = attempt.key
        deliverer = key[0]
        if deliverer.local:
            key = deliverer, ""
        queue = self._queues.get(key)
        if queue is None:
            most = _LOCAL_SLOTS if deliverer.local else self._limit_each
            health = SiteHealth(most) if deliverer.sited else None
            queue = self._queues[key] = ReadyQueue(key, most, health, local=deliverer.local)
        attempt.queue = queue
        _add_destinations(self.destinations, queue, attempt)
        if queue.suspended:
            return self._refuse(queue, attempt)
        priority = _HEALTHY if queue.health is None else queue.priority(not attempt.from_spool)
        if attempt.from_spool:
            if priority is not _HEALTHY:
                if attempt.probe is None:
                    names = tuple([lease.destination for lease in attempt.leases])
                    attempt.probe = self.destinations.begin(names, len(attempt.recipients))
            elif queue.health is None:
                self.destinations.prove([lease.destination for lease in attempt.leases])
        if not queue.line and _below_limit(queue) and (queue.local or self._slots.room[priority] > 0):
            self._take_slot(queue, attempt, priority)
            return QueuePosition.STARTS
        if len(queue.line) >= _LONG_LINE * queue.most + _SPARE:
            return self._refuse(queue, attempt)
        queue.line.append(attempt)
        self._idle.pop(queue, None)
        attempt.priority = priority
        self.places.take(priority)
        queue.new_mail += not attempt.from_spool
        self._offer(queue)
        if len(queue.line) >= _LONG_LINE * queue.most:
            self._close(queue)
        return QueuePosition.WAITS

    def leave(self, attempt: Attempt) -> list[Attempt]:
        """End an attempt; returns the attempts that have their slots now and must be started."""
        if attempt.probe is not None:
            self.destinations.end(attempt.probe)
        queue = self._release_slot(attempt)
        if queue.line and _below_limit(queue):
            if queue.local:
                return [self._next(queue)]
            self._offer(queue)
        return self._serve() if self._turns.classes else []

    def arrive(self, attempt: Attempt, site: str) -> tuple[QueuePosition, list[Attempt], list[Attempt]]:
        """Move an attempt under way to the site that it has found out.

        Returns whether it may go on (if it waits or is refused, it has no slot any more), the attempts that must be
        started now, and those that were refused of the attempts behind it.
        """
        deliverer, old = attempt.key
        for target in attempt.targets:
            self._remember((deliverer, target), site)
        if old == site:
            return QueuePosition.STARTS, [], []
        queue = attempt.queue
        assert queue is not None
        behind = self._clear(queue) if old.endswith(UNKNOWN) else []
        if behind:
            self._reopen(queue)
        self._release_slot(attempt)
        attempt.key = deliverer, site
        position = self.enter(attempt)
        started: list[Attempt] = []
        refused: list[Attempt] = []
        for other in behind:
            other.key = deliverer, site
            entered = self.enter(other)
            if entered is QueuePosition.STARTS:
                started.append(other)
            elif entered is QueuePosition.REFUSED:
                refused.append(other)
        return position, started + self._serve(), refused

    def learn(self, attempt: Attempt, feedback: Feedback, asked: float | None, said: str = "") -> list[Attempt]:
        """Take an attempt's feedback about its site; ``said`` is what the host said or did.  If the site is suspended
        now, the attempts in its line are returned, and go back to the spool."""
        queue = attempt.queue
        if queue is None or queue.health is None:
            return []
        health, table = queue.health, self.destinations
        now = self._clock.monotonic()
        full = queue.active >= health.limit
        proven = feedback is not Feedback.OK and health.proven
        suspended = health.learn(feedback, attempt.began, now, self._random, full=full, asked=asked)
        if feedback is Feedback.OK:
            if attempt.probe is not None:
                table.refund(attempt.probe)
            table.prove([lease.destination for lease in attempt.leases])
        elif proven and not health.proven:
            table.doubt(queue.destinations)
        if suspended:
            if said:
                health.why = said if feedback is Feedback.THROTTLED else f"{health.why}: {said}"
            return self._suspend(queue, health.until - now)
        self._offer(queue)
        return []

    def turn_away(self, attempt: Attempt, allowed: int, *, again: bool) -> list[Attempt] | None:
        """Let an attempt wait again, at the head of its line, because its host allows no more than the ``allowed``
        sessions that are open.  Returns the attempts that have their slots now and must be started.

        Returns None if it may not wait ``again`` or has waited so too often, or its site is suspended: then it has
        ended like any other.
        """
        queue = attempt.queue
        if queue is None or queue.health is None:
            return None
        queue.health.allow_only(allowed, self._clock.monotonic())
        if not again or attempt.turned_away >= _MOST_TURNS or queue.suspended or self._stopped:
            return None
        attempt.turned_away += 1
        queue.line.appendleft(attempt)
        queue.new_mail += not attempt.from_spool
        self._release_slot(attempt)
        attempt.priority = queue.priority(not attempt.from_spool)
        self.places.take(attempt.priority)
        self._offer(queue)
        return self._serve()

    def reset(self, destinations: Collection[str] = ()) -> None:
        """Forget the failures of the sites of these destinations (of all, if none is named), for an operator."""
        for queue in list(self._queues.values()):
            if queue.health is not None and (
                not destinations or not queue.destinations.keys().isdisjoint(destinations)
            ):
                queue.health.reset()
                self._resume(queue)

    def stop(self) -> list[Attempt]:
        """Empty all lines and stop all timers; returns the attempts that waited."""
        waited = self.waiting()
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for queue in list(self._queues.values()):
            for attempt in self._clear(queue):
                if attempt.probe is not None:
                    self.destinations.end(attempt.probe)
            queue.closed = False
            if queue.timer is not None:
                queue.timer.cancel()
                queue.timer = None
            self._tidy(queue)
        self._suspended.clear()
        self.any_suspended = False
        self._turns.clear()
        self.destinations.suspended.clear()
        return waited

    # -- ready queues

    def _remember(self, key: Key, site: str) -> None:
        if self._sites.get(key) == site:
            return
        self._sites.pop(key, None)
        if len(self._sites) >= _MOST_TARGETS:
            del self._sites[next(iter(self._sites))]
        self._sites[key] = site

    def _tidy(self, queue: ReadyQueue) -> None:
        """Forget a queue if it is empty: one with a known site when there are too many of them, others at once."""
        if queue.active or queue.line:
            return
        if queue in self._turns.classes:
            self._turns.remove(queue)
        if queue.health is None or queue.key[1].endswith(UNKNOWN):
            self._forget(queue)
            return
        self._idle.pop(queue, None)
        self._idle[queue] = None
        if len(self._idle) > _MOST_IDLE:
            self._forget(next(iter(self._idle)))

    def _forget(self, queue: ReadyQueue) -> None:
        self._idle.pop(queue, None)
        if queue.timer is not None:
            queue.timer.cancel()
        self._suspended.discard(queue)
        self.any_suspended = bool(self._suspended)
        self._reopen(queue)
        self._queues.pop(queue.key, None)

    def _refuse(self, queue: ReadyQueue, attempt: Attempt) -> QueuePosition:
        # Also where the queue is closed already: another queue may have resumed the destinations.
        self.destinations.suspend(lease.destination for lease in attempt.leases)
        if attempt.probe is not None:
            self.destinations.end(attempt.probe)
        queue.closed = True
        return QueuePosition.REFUSED

    def _close(self, queue: ReadyQueue) -> None:
        """Have no more mail leased for the queue's destinations."""
        if not queue.closed:
            queue.closed = True
            self.destinations.suspend(queue.destinations)

    def _reopen(self, queue: ReadyQueue) -> None:
        """Have mail leased for the queue's destinations again."""
        if queue.closed:
            queue.closed = False
            self.destinations.resume(queue.destinations)

    def _clear(self, queue: ReadyQueue) -> list[Attempt]:
        """Empty the line of a queue; returns the attempts that waited there."""
        waited = list(queue.line)
        queue.line.clear()
        queue.new_mail = 0
        for attempt in waited:
            self.places.release(attempt.priority)
        return waited

    def _suspend(self, queue: ReadyQueue, seconds: float) -> list[Attempt]:
        queue.suspended = self.any_suspended = True
        self._suspended.add(queue)
        self._close(queue)
        self._turns.remove(queue)
        if queue.timer is not None:
            queue.timer.cancel()
        queue.timer = self._clock.call_later(seconds, lambda: self._resume(queue))
        waited = self._clear(queue)
        for attempt in waited:
            if attempt.probe is not None:
                self.destinations.end(attempt.probe)
        self._tidy(queue)
        self.site_changed(queue)
        self._changed()
        return waited

    def _resume(self, queue: ReadyQueue) -> None:
        """End the suspension of a site."""
        if queue.timer is not None:
            queue.timer.cancel()
            queue.timer = None
        if queue.health is not None:
            queue.health.resume()
        was_suspended, queue.suspended = queue.suspended, False
        self._suspended.discard(queue)
        self.any_suspended = bool(self._suspended)
        if was_suspended:
            self.site_changed(queue)
        self._reopen(queue)
        self._changed()

    # -- slots

    def _take_slot(self, queue: ReadyQueue, attempt: Attempt, priority: Priority) -> None:
        if queue.health is not None:
            self._idle.pop(queue, None)
        attempt.began = self._clock.monotonic()
        attempt.priority = priority
        attempt.stalled = False
        self.active[attempt] = None
        queue.active += 1
        if not queue.local:
            self._slots.take(priority)

    def _release_slot(self, attempt: Attempt) -> ReadyQueue:
        queue = attempt.queue
        assert queue is not None
        del self.active[attempt]
        queue.active -= 1
        if not queue.local:
            (self._stalled if attempt.stalled else self._slots).release(attempt.priority)
        self._tidy(queue)
        return queue

    def _offer(self, queue: ReadyQueue) -> None:
        """Let a queue wait for its turn, in its priority class of now, if it has a line and is below its limit."""
        if queue.line and _below_limit(queue):
            self._turns.put(queue, queue.priority(queue.new_mail > 0))
            self._look_for_stalled()
        elif queue in self._turns.classes:
            self._turns.remove(queue)

    def _serve(self) -> list[Attempt]:
        """Give slots to the first attempt of each line in turn, while there are any."""
        started: list[Attempt] = []
        while self._turns.classes and (queue := self._turns.next(self._slots.free)) is not None:
            started.append(self._next(queue))
            self._offer(queue)
        return started

    def _next(self, queue: ReadyQueue) -> Attempt:
        """Give the first attempt of a line its slot."""
        attempt = queue.line.popleft()
        self.places.release(attempt.priority)
        priority = queue.priority(queue.new_mail > 0)
        queue.new_mail -= not attempt.from_spool
        self._take_slot(queue, attempt, priority)
        if queue.closed and len(queue.line) < _LONG_LINE * queue.most:
            self._reopen(queue)
        return attempt

    def _look_for_stalled(self) -> None:
        """A slot is wanted: see from time to time whether an attempt has stalled."""
        if self._timer is None and not self._stopped:
            self._timer = self._clock.call_later(_LOOK, self._free_stalled)

    def _free_stalled(self) -> None:
        """Take the slots of stalled attempts, and give them to others, as long as slots are wanted."""
        self._timer = None
        latest = self._clock.monotonic() - _STALLED
        for attempt in self.active:
            if attempt.began <= latest and not attempt.stalled and attempt.unanswered:
                priority = attempt.priority
                if self._stalled.room[priority] > 0:
                    attempt.stalled = True
                    self._slots.release(priority)
                    self._stalled.take(priority)
        for attempt in self._serve():
            self.start(attempt)
        if self._slot_wanted and self._slots.room[_HEALTHY] > 0:
            self._slot_wanted = False
            self._changed()
        if self._turns.classes or self._slot_wanted:
            self._look_for_stalled()


def _below_limit(queue: ReadyQueue) -> bool:
    """True if the site may have one more attempt."""
    return queue.active < (queue.most if queue.health is None else queue.health.limit)


def _add_destinations(table: DestinationTable, queue: ReadyQueue, attempt: Attempt) -> None:
    """Remember which destinations lead to a queue, for the time when it is closed."""
    known = queue.destinations
    for lease in attempt.leases:
        name = lease.destination
        if name not in known:
            if len(known) >= _MOST_DESTINATIONS:
                oldest = next(iter(known))
                del known[oldest]
                table.resume((oldest,))
            known[name] = None
            if queue.closed:
                table.suspend((name,))


def _nothing(queue: ReadyQueue) -> None:
    pass
