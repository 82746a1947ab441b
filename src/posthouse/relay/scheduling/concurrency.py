"""Concurrency quotas by priority class, and round robin between queues.

An attempt, in a slot or waiting for one, counts in the priority class of its site.  Each class is limited together with
all classes below it, so that many dead sites at once leave slots to the others: failing sites may use 1/2 of all slots;
failing and unproven sites together 3/4; with new mail for unproven sites 7/8; healthy sites all.  An unproven site is
most often alive, and an attempt at a dead one occupies its slot for 30 s, hence the class between.

The quotas only limit.  Fairness comes from ``RoundRobin``, which serves the classes in turn, so that the lowest class
is certain to get its quota.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from itertools import accumulate
from typing import Final, Generic, TypeVar

__all__ = ["Priority", "PriorityQuota", "RoundRobin"]

_T = TypeVar("_T", bound=Hashable)


class Priority(enum.IntEnum):
    """Priority class of an attempt; the smaller number comes first."""

    HEALTHY = 0  # the site's last attempt went well, or the deliverer has no sites
    NEW_MAIL = 1  # the site is unproven, and the mail has just arrived
    UNPROVEN = 2  # the site is unproven, and the mail waited in the spool
    FAILING = 3  # the site's last attempt failed


_EIGHTHS: Final = {Priority.HEALTHY: 8, Priority.NEW_MAIL: 7, Priority.UNPROVEN: 6, Priority.FAILING: 4}
#: For each class, itself and those above it: all of them must have room for an attempt of the class.
_WITH: Final = [range(priority + 1) for priority in Priority]
_ALL: Final = range(len(Priority))


class PriorityQuota:
    """Quotas of ``limit`` places.  ``take`` does not check them, so more may be taken by a caller that does not ask
    first."""

    __slots__ = ("_left", "room", "taken")

    def __init__(self, limit: int) -> None:
        self._left = [max(1, limit * _EIGHTHS[priority] // 8) for priority in Priority]  # here and in the classes below
        #: How many places are taken in all classes together.
        self.taken = 0
        #: How many more of each class there may be; 0 or less is none.
        self.room = list(accumulate(self._left, min))

    def free(self, priority: Priority) -> bool:
        """True if there is room for one more."""
        return self.room[priority] > 0

    def take(self, priority: Priority) -> None:
        """Count one more."""
        self.taken += 1
        self._change(priority, -1)

    def release(self, priority: Priority) -> None:
        """Count one less."""
        self.taken -= 1
        self._change(priority, 1)

    def _change(self, priority: Priority, places: int) -> None:
        left, room = self._left, self.room
        for each in _WITH[priority]:
            left[each] += places
        least = left[0]
        for each in _ALL:
            if left[each] < least:
                least = left[each]
            room[each] = least


class RoundRobin(Generic[_T]):
    """Queues that wait to be served, by priority class: the classes are served in turn, and so are the queues within
    each class."""

    __slots__ = ("_first", "_waiting", "classes")

    def __init__(self) -> None:
        #: The queues that wait, each with its class.
        self.classes: dict[_T, Priority] = {}
        self._waiting: list[dict[_T, None]] = [{} for _ in Priority]
        self._first = 0  # the class that is served next

    def put(self, queue: _T, priority: Priority) -> None:
        """Let ``queue`` wait behind the others of its class; it keeps its place if it waits in that class already."""
        if self.classes.get(queue) is not priority:
            self.remove(queue)
            self.classes[queue] = priority
            self._waiting[priority][queue] = None

    def remove(self, queue: _T) -> None:
        """Let ``queue`` wait no more."""
        priority = self.classes.pop(queue, None)
        if priority is not None:
            del self._waiting[priority][queue]

    def next(self, free: Callable[[Priority], bool]) -> _T | None:
        """Remove and return the queue that is next among the classes that are ``free``; None if there is none."""
        for step in range(len(Priority)):
            priority = Priority((self._first + step) % len(Priority))
            waiting = self._waiting[priority]
            if waiting and free(priority):
                self._first = (priority + 1) % len(Priority)
                queue = next(iter(waiting))
                self.remove(queue)
                return queue
        return None

    def clear(self) -> None:
        """Remove all queues."""
        self.classes.clear()
        for waiting in self._waiting:
            waiting.clear()
