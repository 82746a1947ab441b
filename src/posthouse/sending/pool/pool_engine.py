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
* 421: a host that turns one more connection away while others are open has said how many it takes.  That number is the
  size for a minute, and the request stands first in the queue again.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from posthouse.sending.pool.pool_limits import PoolLimits

__all__ = ["IDLE_BEFORE_NOOP", "PATIENCE", "PoolEngine", "PoolRequest", "PoolStatus", "RequestState", "Uniform"]

C = TypeVar("C")

#: Seconds of idleness after which a connection is asked by NOOP before it is used again.
IDLE_BEFORE_NOOP: Final = 30.0
#: Seconds of a delay after failures for which one message waits; a series of messages waits for any delay.
PATIENCE: Final = 5.0

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
_TURNED_AWAY: Final = 60.0  # seconds for which the size is what the host allowed


class RequestState(enum.Enum):
    """The states of a request for a connection."""

    WAITING = enum.auto()
    OPENING = enum.auto()  # the slot is its own; the caller opens a connection
    USING = enum.auto()
    REFUSED = enum.auto()  # ``fault`` says why
    ENDED = enum.auto()


_WAITING, _OPENING, _USING, _REFUSED, _ENDED = RequestState


class Uniform(Protocol):
    """The part of ``random.Random`` that is needed here."""

    def uniform(self, a: float, b: float, /) -> float:
        """A random number between ``a`` and ``b``."""
        ...


class PoolRequest(Generic[C]):
    """One caller's request for a connection, until it is given back or given up.

    ``connection`` is set while USING.  ``fresh`` says that this request has opened it, ``idle`` for how many seconds
    it has had no work.  ``fault`` is the failure because of which the request is REFUSED.  ``wake`` is called when the
    state of a request that waits has changed, or when its caller should look at ``due`` again; it must not call the
    engine.
    """

    __slots__ = ("_counted", "_kept", "deadline", "fault", "fresh", "idle", "patience", "state", "wake")

    def __init__(self, deadline: float, patience: float) -> None:
        self.state = _WAITING
        self.deadline = deadline
        self.patience = patience
        self.fault: BaseException | None = None
        self.fresh = False
        self.idle = 0.0
        self._kept: _Kept[C] | None = None
        self._counted: float | None = None  # when the rate allowed this message
        self.wake: Callable[[], object] = _nothing

    @property
    def connection(self) -> C:
        """The connection that this request uses."""
        assert self._kept is not None, "a request that is USING"
        return self._kept.connection

    def carried(self) -> None:
        """A message has ended.  Only the user of the connection calls this, and reads the count while it has it."""
        if self._kept is not None:
            self._kept.messages += 1

    @property
    def messages(self) -> int:
        """Messages that the connection has carried before."""
        return 0 if self._kept is None else self._kept.messages


class _Kept(Generic[C]):
    """A connection with its counts and times."""

    __slots__ = ("connection", "ends", "idle_since", "messages", "most")

    def __init__(self, connection: C, now: float, ends: float, most: int) -> None:
        self.connection = connection
        self.idle_since = now
        self.ends = ends
        self.messages = 0
        self.most = most


class PoolStatus(NamedTuple):
    """What a pool has at one moment: connections in use (those being opened included) and without work, requests that
    wait, attempts to open a connection that failed one after another, and in how many seconds the next is allowed."""

    in_use: int
    idle: int
    waiting: int
    failures: int
    delay: float


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
        self._idle: list[_Kept[C]] = []  # the one used last is last
        self._busy: set[PoolRequest[C]] = set()  # OPENING or USING: each has one slot
        self._opening = 0
        self._failures = 0
        self._failure: BaseException | None = None
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
            elif (self._failures and self._opening) or not self._spend(request, now):
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
            elif self._failures and self._opening:
                moment = math.inf
            else:
                moment = max(moment, self._not_before)
        return min(max(moment, now), request.deadline)

    def _size(self, now: float) -> int:
        return self.limits.size if now >= self._allowed_until else self._allowed

    def _spend(self, request: PoolRequest[C], now: float) -> bool:
        """Whether the rate allows one more message now; it is counted then."""
        rate = self.limits.rate
        if rate is None or request._counted is not None:
            return True
        sent = self._sent
        while sent and sent[0] + rate.seconds <= now:
            sent.popleft()
        if len(sent) >= rate.messages:
            return False
        sent.append(now)
        request._counted = now
        return True

    def _grant(self, request: PoolRequest[C], state: RequestState, kept: _Kept[C] | None) -> None:
        self._queue.popleft()
        self._busy.add(request)
        request.state = state
        request._kept = kept
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
        self._failures = 0
        self._failure = None
        self._not_before = -math.inf
        limits = self.limits
        ends = now + limits.max_age * self._random.uniform(0.9, 1.1) if limits.max_age < math.inf else math.inf
        request._kept = _Kept(connection, now, ends, limits.messages if most is None else min(most, limits.messages))
        request.state = _USING
        if self.closed:
            request._kept.ends = now
        self.look(now)

    def failed(self, request: PoolRequest[C], fault: BaseException, now: float) -> None:
        """The caller could not open a connection; the request has ended."""
        self._opening -= 1
        self._failures += 1
        self._failure = fault
        delay = min(_LONGEST_DELAY, self.first_delay * 2.0 ** min(self._failures - 1, 16))
        self._not_before = now + delay * self._random.uniform(0.9, 1.1)
        self._release(request)
        self._unspend(request)
        self.look(now)

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
        request._kept = None
        request.fresh = True
        request.state = _OPENING
        self._opening += 1
        return kept.connection

    def another(self, request: PoolRequest[C], now: float, under_way: int) -> float:
        """Whether the connection may carry one more message of the same caller behind the ``under_way`` that have not
        ended: 0 if so (it is counted then), a positive number of seconds after which the rate allows it, -1 if the
        connection must be given back first, because others wait or because it has carried enough."""
        kept = request._kept
        if self._queue or self.closed or kept is None or kept.messages + under_way >= kept.most or now >= kept.ends:
            return -1.0
        rate = self.limits.rate
        if rate is not None:
            request._counted = None
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
            self.look(now)
        elif request.state is _USING:
            self.give_back(request, now, usable=False)

    def _release(self, request: PoolRequest[C]) -> None:
        self._busy.remove(request)
        request._kept = None
        request.state = _ENDED

    def _unspend(self, request: PoolRequest[C]) -> None:
        """Nothing was sent: the rate counts it no more."""
        counted, request._counted = request._counted, None
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


def _used_by(request: PoolRequest[C]) -> _Kept[C]:
    kept = request._kept
    assert kept is not None, "a request that is USING"
    return kept


def _nothing() -> None:
    """The wake-up call of a request that does not wait."""
