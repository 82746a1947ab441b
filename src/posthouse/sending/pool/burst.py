"""A burst: several messages of one caller, sent over as many connections as the pool gives, without I/O and colour.

``burst`` is a generator of steps, which the driver of a colour carries out: take a connection, open a fresh one in the
place of one that is dead, wait until something has ended.  On each connection the next messages stand in line, so that
their envelopes leave behind the content of the one before (RFC 2920).  No user code runs while a transaction is open: a
server waits for its content only as long as the network takes.

A message whose connection ends before its transaction has begun is tried once more on a fresh connection, as
``pool_base`` says.  If no connection can be opened, the attempt is made again after the engine's growing delay, 5 times
in all; then the messages that were not tried have the failure as their ``error``.  A fresh connection that ends in
place of beginning its first message is such an attempt: that message has its result, those behind it wait for the next
one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from posthouse.client.deadline import Deadline
from posthouse.client.model import LoginDeferred, SessionRefused
from posthouse.core import CannotConnect, Result, TimedOut
from posthouse.sending.pool.pool_base import OpenConnection, PoolCall, failure_of, may_try_again, was_begun
from posthouse.sending.pool.pool_engine import PoolRequest
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.pool.pooled_sending import PooledSending

__all__ = [
    "Burst",
    "BurstConnection",
    "BurstItem",
    "BurstPool",
    "Failures",
    "Line",
    "ReplaceStep",
    "TakeStep",
    "WaitStep",
    "burst",
]

#: Messages that stand in line on one connection, the one under way included.
_DEPTH: Final = 3
#: How often a message moves to another connection because the message before it was the last of a session; each time
#: it stands nearer to the front.
_MOST_MOVES: Final = 2 * _DEPTH
#: Connections that fail one after another before a series gives up.
_MOST_FAILURES: Final = 5
_DEFERRED: Final = Result.DEFERRED  # an attribute of an enumeration costs ten times a global name


class BurstConnection(OpenConnection, Protocol):
    """A connection on which messages are begun, and end by themselves while the driver waits."""

    def begin(self, call: PoolCall) -> PooledSending:
        """Begin to send one message, behind those that are under way."""
        ...


C = TypeVar("C", bound=BurstConnection)


class BurstItem:
    """One message of a burst.  In the end it has ``delivered`` or ``error``; ``begun`` says whether the burst was
    begun, ``tried`` whether a server has seen anything of this message."""

    __slots__ = ("begun", "call", "delivered", "error", "moves", "retried", "sending", "tried")

    def __init__(self, call: PoolCall) -> None:
        self.call = call
        self.delivered: Delivered | None = None
        self.error: Exception | None = None
        self.sending: PooledSending | None = None
        self.begun = False
        self.retried = False
        self.moves = 0  # to another connection, because the one that it stood in line for has ended
        self.tried = False


class Failures:
    """The connections of a series that failed one after another; each burst of the series goes on with the count."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last: Exception | None = None


class Line(Generic[C]):
    """A connection of a burst, and the messages that were begun on it."""

    __slots__ = ("deadline", "proved", "request", "under_way")

    def __init__(self, request: PoolRequest[C]) -> None:
        self.request = request
        self.proved = request.kept is not None and request.kept.proved  # asked for each message
        self.under_way: deque[BurstItem] = deque()
        #: The time limit of the first message in line.
        self.deadline: Deadline | None = None

    @property
    def connection(self) -> C:
        """The connection."""
        return self.request.connection

    @property
    def ended(self) -> bool:
        """Whether the first message in line has ended."""
        head = self.under_way[0].sending if self.under_way else None
        return head is None or head.done


class BurstPool(Protocol[C]):
    """What a burst asks of its pool; nothing of it waits."""

    def another(self, line: Line[C]) -> float:
        """As ``PoolEngine.another``."""
        ...

    def broken(self, line: Line[C], fault: Exception) -> None:
        """As ``PoolEngine.broken``."""
        ...

    def give_back(self, line: Line[C]) -> None:
        """The burst needs the connection no more."""
        ...

    def give_up(self, request: PoolRequest[C]) -> None:
        """End the connection of a line at once."""
        ...

    def limit_of(self, call: PoolCall) -> Deadline | None:
        """The time limit of a call that begins now; None for none."""
        ...

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        ...

    def proved(self, line: Line[C]) -> None:
        """As ``PoolEngine.proved``."""
        ...

    def renewed(self, call: PoolCall) -> PoolCall:
        """The call as if it began now: a message does not pay for those before it."""
        ...


class TakeStep(NamedTuple):
    """Take a connection for a message; the answer is its ``Line``.  Without ``wait`` the answer is None if there is
    none at once."""

    call: PoolCall
    wait: bool


class ReplaceStep(NamedTuple, Generic[C]):
    """Close the connection of the line, which is dead, and open a fresh one in its slot for a message."""

    line: Line[C]
    call: PoolCall


class WaitStep(NamedTuple, Generic[C]):
    """Wait until the first message of a line has ended, at most for ``seconds`` if that is not None."""

    lines: list[Line[C]]
    seconds: float | None


_Steps = Generator[TakeStep | ReplaceStep[C] | WaitStep[C], Any, None]


def burst(pool: BurstPool[C], items: Iterable[BurstItem], failures: Failures | None = None) -> _Steps[C]:
    """Send the messages.  If it is closed or an exception is thrown in, the connections with messages under way end.
    ``failures``: those of the bursts before it, of the same series."""
    return Burst(pool, items, failures or Failures()).run()


class Burst(Generic[C]):
    """The state of one burst."""

    def __init__(self, pool: BurstPool[C], items: Iterable[BurstItem], failures: Failures) -> None:
        self._pool = pool
        self._waiting = deque(items)
        self._lines: list[Line[C]] = []
        self._failures = failures
        self._grows = True  # another connection may be asked for

    def run(self) -> _Steps[C]:
        """The steps."""
        failures = self._failures
        if failures.last is not None and failures.count >= _MOST_FAILURES:
            self._stop(failures.last)
        try:
            while self._waiting or self._lines:
                pause = self._fill()
                if self._waiting and (not self._lines or self._grows):
                    yield from self._take()
                elif self._lines:
                    if self._waits():
                        yield WaitStep(self._lines, pause)
                    yield from self._collect()
        finally:
            for line in self._lines:  # only after an exception
                self._pool.give_up(line.request)

    def _waits(self) -> bool:
        """Whether a line has not ended its first message."""
        for line in self._lines:
            under_way = line.under_way
            head = under_way[0].sending if under_way else None
            if head is not None and not head.done:
                return True
        return False

    def _fill(self) -> float | None:
        """Begin as many messages as may stand in line; returns the seconds after which the rate allows another."""
        pool, waiting = self._pool, self._waiting
        pause: float | None = None
        for line in list(self._lines):
            under_way = line.under_way
            if waiting and len(under_way) < _DEPTH:
                connection = line.request.connection
            while waiting and len(under_way) < _DEPTH and connection.usable:
                seconds = pool.another(line)
                if seconds:
                    if seconds > 0:
                        pause = seconds
                    break
                self._begin(line, waiting.popleft())
            if not under_way:
                self._lines.remove(line)
                pool.give_back(line)
        return pause

    def _begin(self, line: Line[C], item: BurstItem) -> None:
        try:
            item.sending = line.request.connection.begin(item.call)
        except Exception as error:  # of this side: content that cannot be read, an address that cannot be written
            item.error = error
            item.tried = True
            return
        item.tried = True
        if not line.under_way:
            line.deadline = self._pool.limit_of(item.call)
        line.under_way.append(item)

    def _take(self) -> _Steps[C]:
        """Take one more connection for the first message that waits."""
        item = self._waiting[0]
        item.call = self._pool.renewed(item.call)
        try:
            line: Line[C] | None = yield TakeStep(item.call, not self._lines)
        except Exception as error:
            self._failed(error)
            return
        if line is None:
            self._grows = False
            return
        self._lines.append(line)
        self._begin(line, self._waiting.popleft())

    def _failed(self, error: Exception) -> None:
        failures = self._failures
        failures.count += 1
        failures.last = error
        if failures.count >= _MOST_FAILURES or not _is_temporary(error):
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """Try the messages that wait no more."""
        while self._waiting:
            item = self._waiting.popleft()
            if item.delivered is None:
                item.error = error

    def _collect(self) -> _Steps[C]:
        """Take the messages that have ended out of their lines."""
        pool, failures = self._pool, self._failures
        now = pool.now()
        for line in list(self._lines):
            again: list[BurstItem] = []
            first = True
            failure: Exception | None = None
            request = line.request
            under_way = line.under_way
            while under_way:
                item = under_way[0]
                sending = item.sending
                if sending is None or not sending.done:
                    break
                under_way.popleft()
                item.sending = None  # the collector of garbage has that much less to look at
                try:
                    item.delivered = sending.end(now)
                except Exception as error:
                    item.error = error
                delivered = item.delivered
                # Nearly all are delivered: the other questions are asked of those that are not.
                if delivered is not None and delivered.outcomes and delivered.outcomes[0].result is _DEFERRED:
                    used = not request.fresh or request.messages > 0
                    if used and self._goes_again(item, first and not again):
                        again.append(item)
                    if failure is None:
                        failure = failure_of(request, delivered)
                if delivered is not None and (failures.count or not line.proved) and was_begun(delivered.outcomes):
                    failures.count = 0
                    if not line.proved:
                        line.proved = True
                        pool.proved(line)
                first = False
                request.carried()
                line.deadline = pool.limit_of(under_way[0].call) if under_way else None
            if failure is not None:
                self._broken(line, failure, again)
            elif again:
                yield from self._replace(line, again)
                now = pool.now()  # that has taken time, in which messages of other lines have ended

    def _goes_again(self, item: BurstItem, first: bool) -> bool:
        """Whether a message is tried on a fresh connection: once for the message at which the session ended, and for
        those that stood in line behind it, which the server may not have seen."""
        delivered = item.delivered
        if delivered is None or not may_try_again(delivered.outcomes, delivered.fault):
            return False
        if first or any(each.reply is not None for each in delivered.outcomes):
            again, item.retried = not item.retried, True
            return again
        item.moves += 1
        return item.moves <= _MOST_MOVES

    def _replace(self, line: Line[C], again: list[BurstItem]) -> _Steps[C]:
        """Try messages once more on a fresh connection; if there is none, what the first attempt gave stays."""
        if line.under_way:  # cannot be: a connection that has ended ends all that were under way
            return
        again[0].call = self._pool.renewed(again[0].call)
        try:
            yield ReplaceStep(line, again[0].call)
        except Exception:
            self._lines.remove(line)
            return
        line.proved = False
        for item in again:
            _wait_again(item)
        self._waiting.extendleft(reversed(again[1:]))
        self._begin(line, again[0])

    def _broken(self, line: Line[C], failure: Exception, again: list[BurstItem]) -> None:
        """A fresh connection has ended in place of beginning its first message: it counts as one that could not be
        opened, and the messages behind that one wait for the next."""
        self._lines.remove(line)
        self._pool.broken(line, failure)
        for item in again:
            _wait_again(item)
        self._waiting.extendleft(reversed(again))
        self._failed(failure)


def _wait_again(item: BurstItem) -> None:
    """Forget the attempt whose connection has ended.  Where nothing of it was sent, no server has seen the message."""
    delivered, item.delivered = item.delivered, None
    if delivered is not None and not any(each.phase or each.reply is not None for each in delivered.outcomes):
        item.tried = False


def _is_temporary(error: Exception) -> bool:
    """Whether the next attempt to open a connection may succeed."""
    if isinstance(error, SessionRefused):
        return error.reply.transient
    return isinstance(error, CannotConnect | TimedOut | LoginDeferred)
