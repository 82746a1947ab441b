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


class PriorityQuota:
    """Quotas of ``limit`` places.  ``take`` does not check them, so more may be taken where nobody asked before."""

    __slots__ = ("_bounds", "_taken")

    def __init__(self, limit: int) -> None:
        self._bounds = [max(1, limit * _EIGHTHS[priority] // 8) for priority in Priority]
        self._taken = [0] * len(Priority)  # in this class and those below it

    def room(self, priority: Priority) -> int:
        """How many more of this class there may be."""
        return max(0, min(self._bounds[each] - self._taken[each] for each in _WITH[priority]))

    def free(self, priority: Priority) -> bool:
        """True if there is room for one more."""
        bounds, taken = self._bounds, self._taken
        return all(taken[each] < bounds[each] for each in _WITH[priority]) if priority else taken[0] < bounds[0]

    def take(self, priority: Priority) -> None:
        """Count one more."""
        for each in _WITH[priority]:
            self._taken[each] += 1

    def release(self, priority: Priority) -> None:
        """Count one less."""
        for each in _WITH[priority]:
            self._taken[each] -= 1

    @property
    def taken(self) -> int:
        """How many places are taken in all classes together."""
        return self._taken[0]


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
