"""PriorityQuota: how many at one time in all, and how many of them may be of little promise.

What is counted has a *rank*, by what is known of its site.  Each rank is bounded together with all that promise less:
sites in trouble fill half at most, with the unknown three quarters, with fresh mail to unknown sites seven eighths.
Sites that have proved themselves may fill everything.  A host that nothing is known of is most often alive, and one
that nobody can reach holds its place for half a minute: so dead hosts fill their share and no more, whichever way
their mail came.

PriorityQuota bound, turns are fair: whoever hands places out goes through the ranks in turn (``RoundRobin``), so the
least of them has its share for certain.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

__all__ = ["Priority", "PriorityQuota", "RoundRobin"]

_T = TypeVar("_T", bound=Hashable)


class Priority(enum.IntEnum):
    """How much a site promises; the smaller the better."""

    PROVEN = 0  # the last attempt there went well, or the deliverer is our own
    FRESH = 1  # nothing is known, and the mail has just come
    UNKNOWN = 2  # nothing is known, and the mail waited in the queue
    TROUBLED = 3  # the last that was heard was trouble


_EIGHTHS: Final = {Priority.PROVEN: 8, Priority.FRESH: 7, Priority.UNKNOWN: 6, Priority.TROUBLED: 4}
#: For each rank, itself and those that promise more: what an attempt of that rank counts with.
_WITH: Final = [range(rank + 1) for rank in Priority]


class PriorityQuota:
    """Places, ``limit`` in all.  Whoever has one keeps it: what is taken may be more than a share where it was not
    asked before."""

    __slots__ = ("_bounds", "_taken")

    def __init__(self, limit: int) -> None:
        self._bounds = [max(1, limit * _EIGHTHS[rank] // 8) for rank in Priority]
        self._taken = [0] * len(Priority)  # of this rank and those that promise less

    def room(self, rank: Priority) -> int:
        """How many more of this rank may be."""
        return max(0, min(self._bounds[each] - self._taken[each] for each in _WITH[rank]))

    def free(self, rank: Priority) -> bool:
        """True if there is room for one more."""
        bounds, taken = self._bounds, self._taken
        return all(taken[each] < bounds[each] for each in _WITH[rank]) if rank else taken[0] < bounds[0]

    def take(self, rank: Priority) -> None:
        """One more."""
        for each in _WITH[rank]:
            self._taken[each] += 1

    def give(self, rank: Priority) -> None:
        """One less."""
        for each in _WITH[rank]:
            self._taken[each] -= 1

    @property
    def taken(self) -> int:
        """How many there are."""
        return self._taken[0]


class RoundRobin(Generic[_T]):
    """Who waits for a place, by rank; the ranks have their turns, and within each those who wait."""

    __slots__ = ("_first", "_ranks", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[dict[_T, None]] = [{} for _ in Priority]
        self._ranks: dict[_T, Priority] = {}
        self._first = 0  # the rank whose turn it is

    def __bool__(self) -> bool:
        return bool(self._ranks)

    def put(self, who: _T, rank: Priority) -> None:
        """``who`` waits, behind the others of its rank; it keeps its place if it waits there already."""
        if self._ranks.get(who) is not rank:
            self.remove(who)
            self._ranks[who] = rank
            self._waiting[rank][who] = None

    def remove(self, who: _T) -> None:
        """``who`` does not wait."""
        rank = self._ranks.pop(who, None)
        if rank is not None:
            del self._waiting[rank][who]

    def next(self, free: Callable[[Priority], bool]) -> _T | None:
        """Whose turn it is among the ranks that are ``free``; it waits no more.  None if nobody's."""
        for step in range(len(Priority)):
            rank = Priority((self._first + step) % len(Priority))
            waiting = self._waiting[rank]
            if waiting and free(rank):
                self._first = (rank + 1) % len(Priority)
                who = next(iter(waiting))
                self.remove(who)
                return who
        return None

    def clear(self) -> None:
        """Nobody waits."""
        self._ranks.clear()
        for waiting in self._waiting:
            waiting.clear()
