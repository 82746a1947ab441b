"""Bookkeeping of a connection pool without I/O, clock, lock or colour: which request has which connection, which
requests wait, when a connection is opened or closed, and when nothing is tried.

The drivers (``blocking_pool``, ``async_pool``, ``anyio_pool``) call one method at a time and do the I/O between the
calls; times are seconds on a monotonic clock.  No method waits, so each change of state is one step: a connection slot
belongs to one request or to none, whenever a caller is cancelled or its thread raises.

    WAITING ──→ OPENING ──→ USING ──→ ENDED
       │           │          ↑ ↓
       │           │          (lost: a kept connection was dead; the request opens a fresh one)
       └→ REFUSED ←┘

* Order: first come, first served; the first request alone may take what is free.
* Connections: the one that was used last is taken first, so that connections which are not needed expire.
* Failures: after an attempt to open a connection has failed, the next waits 0.5 s, then 1 s, 2 s … 30 s, varied by 10 %
  either way; one request at a time tries.  A request that would wait for longer than its patience is refused with the
  last failure.  Nothing is queued again: the request whose attempt failed has the failure.
* A connection that the host ends in place of beginning its first message is such a failure too.  So the row of failures
  ends when the host has begun a message on a fresh connection; after a failure of this kind one at a time is tried
  until then.
* 421: a host that turns one more connection away while others are open has said how many it takes.  That number is the
  size for a minute, and the request stands first in the queue again.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Generic, TypeVar

from posthouse.sending.pool.pool_limits import PoolLimits
from posthouse.sending.pool.pool_request import Kept, PoolRequest, PoolStatus, RequestState, Uniform

__all__ = ["IDLE_BEFORE_NOOP", "PATIENCE", "PoolEngine", "PoolRequest", "PoolStatus", "RequestState", "Uniform"]

C = TypeVar("C")

#: Seconds of idleness after which a connection is asked by NOOP before it is used again.
IDLE_BEFORE_NOOP: Final = 30.0
#: Seconds of a delay after failures for which one message waits; a series of messages waits for any delay.
PATIENCE: Final = 5.0

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
_TURNED_AWAY: Final = 60.0  # seconds for which the size is what the host allowed
_WAITING, _OPENING, _USING, _REFUSED, _ENDED = RequestState


class PoolEngine(Generic[C]):
    """The state of one pool.  After each call the caller closes what ``leaving`` has gathered, and empties it."""

    def __init__(self, limits: PoolLimits, random: Uniform) -> None:
        self.limits = limits
        self.first_delay = _FIRST_DELAY  # seconds, after the first failure
        #: Connections that are no part of the pool any more; the caller says QUIT and closes them.
        self.leaving: list[C] = []
        self.closed = False
        self._random = random
        self._queue: deque[PoolRequest[C]] = deque()
        self._idle: list[Kept[C]] = []  # the one used last is last
        self._busy: set[PoolRequest[C]] = set()  # OPENING or USING: each has one slot
        self._opening = 0
        self._failures = 0
        self._failure: BaseException | None = None
        self._at_mail = False  # one of these failures was of a connection that could be opened
        self._answers = True  # a connection could be opened since the last failure
        self._not_before = -math.inf  # for an attempt to open a connection
        self._allowed = limits.size  # what the host takes at one time
        self._allowed_until = -math.inf
        self._sent: deque[float] = deque()  # when the rate allowed the last messages
        self._expires = math.inf  # no idle connection has to be closed before

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self, now: float, deadline: float = math.inf, *, patience: float = PATIENCE) -> PoolRequest[C]:
        """A request for a connection, served at once if that is possible.  The pool must not be closed."""
        request: PoolRequest[C] = PoolRequest(deadline, patience)
        self._queue.append(request)
        self.look(now)
        return request

    def look(self, now: float) -> None:
        """Serve the requests that can be served now."""
        self._expire(now)
        queue = self._queue
        first = queue[0] if queue else None
        while queue:
            request = queue[0]
            if self._idle and self._spend(request, now):
                kept = self._idle.pop()
                request.idle = now - kept.idle_since
                self._grant(request, _USING, kept)
            elif self._idle or len(self._busy) + len(self._idle) >= self._size(now):
                break
            elif now < self._not_before:
                if self._busy or self._not_before - now <= request.patience:
                    break
                self._refuse(request, self._failure)
            elif self._on_trial() or not self._spend(request, now):
                break
            else:
                self._opening += 1
                request.fresh = True
                self._grant(request, _OPENING, None)
        if queue and queue[0] is not first:
            queue[0].wake()  # it is the one now that must look at ``due``

    def due(self, request: PoolRequest[C], now: float) -> float:
        """When the caller must call ``look`` for this request if it has not been woken before: its deadline, or the
        moment at which a clock lets it go on if it is the first in the queue."""
        if not self._queue or self._queue[0] is not request:
            return request.deadline
        rate = self.limits.rate
        moment = -math.inf
        if rate is not None and len(self._sent) >= rate.messages:
            moment = self._sent[0] + rate.seconds
        if not self._idle:
            size = self._size(now)
            if len(self._busy) >= size:
                moment = self._allowed_until if size < self.limits.size else math.inf
            elif self._on_trial():
                moment = math.inf
            else:
                moment = max(moment, self._not_before)
        return min(max(moment, now), request.deadline)

    def _on_trial(self) -> bool:
        """Whether a host that failed is being tried already."""
        if not self._failures:
            return False
        if self._opening:
            return self._at_mail or not self._answers
        return self._at_mail and any(each.kept is not None and not each.kept.proved for each in self._busy)

    def _size(self, now: float) -> int:
        return self.limits.size if now >= self._allowed_until else self._allowed

    def _spend(self, request: PoolRequest[C], now: float) -> bool:
        """Whether the rate allows one more message now; it is counted then."""
        rate = self.limits.rate
        if rate is None or request.counted is not None:
            return True
        sent = self._sent
        while sent and sent[0] + rate.seconds <= now:
            sent.popleft()
        if len(sent) >= rate.messages:
            return False
        sent.append(now)
        request.counted = now
        return True

    def _grant(self, request: PoolRequest[C], state: RequestState, kept: Kept[C] | None) -> None:
        self._queue.popleft()
        self._busy.add(request)
        request.state = state
        request.kept = kept
        request.wake()

    def _refuse(self, request: PoolRequest[C], fault: BaseException | None) -> None:
        self._queue.remove(request)
        request.state = _REFUSED
        request.fault = fault
        request.wake()

    # -- opening -------------------------------------------------------------------------------------------------------

    def opened(self, request: PoolRequest[C], connection: C, now: float, most: int | None = None) -> None:
        """The caller has opened a connection.  ``most``: the messages that the host takes on it (LIMITS MAILMAX,
        RFC 9422 §4.1), None if it has not said."""
        self._opening -= 1
        self._answers = True
        limits = self.limits
        ends = now + limits.max_age * self._random.uniform(0.9, 1.1) if limits.max_age < math.inf else math.inf
        request.kept = Kept(connection, now, ends, limits.messages if most is None else min(most, limits.messages))
        request.state = _USING
        if self.closed:
            request.kept.ends = now
        self.look(now)

    def failed(self, request: PoolRequest[C], fault: BaseException, now: float) -> None:
        """The caller could not open a connection; the request has ended."""
        self._opening -= 1
        self._delay(fault, now)
        self._release(request)
        self._unspend(request)
        self._changed(now)

    def broken(self, request: PoolRequest[C], fault: BaseException, now: float) -> None:
        """The host has ended a fresh connection in place of beginning its first message; the request has ended."""
        if request not in self._busy:  # as in ``give_back``
            return
        self.leaving.append(request.connection)
        self._at_mail = True
        self._delay(fault, now)
        self._release(request)
        self._changed(now)

    def proved(self, request: PoolRequest[C], now: float) -> None:
        """The host has begun a message on the connection: whatever failed before, it works now."""
        if request not in self._busy:
            return
        _used_by(request).proved = True
        if self._failures:
            self._failures = 0
            self._failure = None
            self._at_mail = False
            self._not_before = -math.inf
            self._changed(now)

    def _delay(self, fault: BaseException, now: float) -> None:
        """Let the next attempt wait, for longer with each failure."""
        self._failures += 1
        self._failure = fault
        self._answers = False
        delay = min(_LONGEST_DELAY, self.first_delay * 2.0 ** min(self._failures - 1, 16))
        self._not_before = now + delay * self._random.uniform(0.9, 1.1)

    def _changed(self, now: float) -> None:
        """Serve those that can be served.  The first of the others sleeps perhaps until something that comes later, or
        never, and must look at ``due`` again."""
        self.look(now)
        if self._queue:
            self._queue[0].wake()

    def turned_away(self, request: PoolRequest[C], now: float) -> bool:
        """The host takes no further connection now (421).  True if others are open: the request stands first in the
        queue again, until one of them is free.  False if there is none; the caller calls ``failed`` then."""
        others = len(self._busy) + len(self._idle) - self._opening
        if others < 1 or self.closed:
            return False
        self._opening -= 1
        self._release(request)
        self._unspend(request)
        self._allowed = others
        self._allowed_until = now + _TURNED_AWAY * self._random.uniform(0.9, 1.1)
        request.state = _WAITING
        request.fresh = False
        self._queue.appendleft(request)
        self.look(now)
        return True

    # -- using ---------------------------------------------------------------------------------------------------------

    def lost(self, request: PoolRequest[C]) -> C:
        """The connection that was given to the request is dead.  The request keeps its slot, and the caller opens a
        fresh connection for it (OPENING).  Returns the dead one, for the caller to close."""
        kept = _used_by(request)
        request.kept = None
        request.fresh = True
        request.state = _OPENING
        self._opening += 1
        return kept.connection

    def another(self, request: PoolRequest[C], now: float, under_way: int) -> float:
        """Whether the connection may carry one more message of the same caller behind the ``under_way`` that have not
        ended: 0 if so (it is counted then), a positive number of seconds after which the rate allows it, -1 if the
        connection must be given back first, because others wait or because it has carried enough."""
        kept = request.kept
        if self._queue or self.closed or kept is None or kept.messages + under_way >= kept.most or now >= kept.ends:
            return -1.0
        rate = self.limits.rate
        if rate is not None:
            request.counted = None
            if not self._spend(request, now):
                return self._sent[0] + rate.seconds - now
        return 0.0

    def give_back(self, request: PoolRequest[C], now: float, *, usable: bool) -> None:
        """The request has ended.  A usable connection is kept if it may carry more; else it is to be closed."""
        if request not in self._busy:  # of the process from which this one was forked, or of another event loop
            return
        kept = _used_by(request)
        self._release(request)
        if usable and not self.closed and kept.messages < kept.most and now < kept.ends:
            kept.idle_since = now
            self._idle.append(kept)
            self._expires = min(self._expires, kept.ends, now + self.limits.idle)
        else:
            self.leaving.append(kept.connection)
        self.look(now)
        if self._queue:  # as in ``_changed``
            self._queue[0].wake()
        if self.limits.idle <= 0 and self._idle:  # only a request that waited could have it
            self.leaving += [each.connection for each in self._idle]
            self._idle = []

    def give_up(self, request: PoolRequest[C], now: float) -> None:
        """The caller was cancelled, or ran out of time, at any place: a request that waited leaves the queue, one that
        was opening frees its slot, and the connection of one that was using it is to be closed."""
        if request.state is _WAITING:
            if request in self._queue:
                self._queue.remove(request)
            request.state = _ENDED
            if self._queue:
                self._queue[0].wake()
            self.look(now)
        elif request.state is _OPENING and request in self._busy:
            self._opening -= 1
            self._release(request)
            self._unspend(request)
            self._changed(now)
        elif request.state is _USING:
            self.give_back(request, now, usable=False)

    def _release(self, request: PoolRequest[C]) -> None:
        self._busy.remove(request)
        request.kept = None
        request.state = _ENDED

    def _unspend(self, request: PoolRequest[C]) -> None:
        """Nothing was sent: the rate counts it no more."""
        counted, request.counted = request.counted, None
        if counted is not None and counted in self._sent:
            self._sent.remove(counted)

    # -- idle connections, and the end ---------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        """Part with connections that have been idle for long enough, or are too old; not with one that was given back
        at this moment."""
        if self._idle and now >= self._expires:
            idle = self.limits.idle
            keep = [
                each for each in self._idle if each.idle_since == now or now < min(each.ends, each.idle_since + idle)
            ]
            if len(keep) != len(self._idle):
                self.leaving += [each.connection for each in self._idle if each not in keep]
                self._idle = keep
            self._expires = self.expires()

    def expires(self) -> float:
        """When the next idle connection has to be closed; infinity if there is none."""
        idle = self.limits.idle
        return min((min(each.idle_since + idle, each.ends) for each in self._idle), default=math.inf)

    def close(self, fault: BaseException) -> None:
        """End: requests that wait are refused with ``fault``, idle connections are to be closed, and those in use when
        they are given back."""
        self.closed = True
        for request in list(self._queue):
            self._refuse(request, fault)
        self.leaving += [each.connection for each in self._idle]
        self._idle = []

    @property
    def busy(self) -> int:
        """Requests that have a slot: their connection is open or being opened."""
        return len(self._busy)

    def status(self, now: float) -> PoolStatus:
        """What the pool has at this moment."""
        delay = max(0.0, self._not_before - now) if self._failures else 0.0
        return PoolStatus(len(self._busy), len(self._idle), len(self._queue), self._failures, delay)


def _used_by(request: PoolRequest[C]) -> Kept[C]:
    kept = request.kept
    assert kept is not None, "a request that is USING"
    return kept
