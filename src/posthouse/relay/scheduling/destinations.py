"""Which destinations are worth leasing for: the queue knows mail by destination only, lanes know sites.

*Skipped* are those of sites that are left alone, and of long lines.  *Known* are those whose last attempt went well, or
that are delivered here: as much of their mail is leased as there is room for.  All others are *strangers*: one message
of each is leased at a time, at a bounded pace (``scheduling.pace``), and no other while that is under way.  So a dead
site is found dead by three messages, whatever waits for it, and a living one proves itself with its first.

A destination may lead to several lanes and several to one; a name that one lane takes back and another would want is
set again with the next attempt there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from posthouse.net import Clock
from posthouse.relay.scheduling.pace import RetryRateLimit
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.spool.interface import DueDestination

__all__ = ["DestinationTable", "LeaseChoice"]

_MOST_KNOWN: Final = 100_000  # destinations


class DestinationTable:
    """The names of one worker's lanes."""

    def __init__(self, clock: Clock) -> None:
        #: For which no more work should be leased.
        self.skip: set[str] = set()
        #: Of which as much as there is may be.
        self.known: dict[str, None] = {}
        self.pace = RetryRateLimit(clock)
        #: Something that was left out may be leased now.
        self.wanted = False
        #: There may be strangers' mail that nobody has.
        self.strangers = True
        self._engaged: dict[str, int] = {}  # strangers with leased mail under way or in line, how often

    def left_out(self, name: str) -> bool:
        """Whether no more mail for a destination should be leased now."""
        return name in self.skip or (name in self._engaged and name not in self.known)

    def avoid(self, destinations: Iterable[str]) -> None:
        """Skip these."""
        self.skip.update(destinations)

    def welcome(self, destinations: Iterable[str]) -> None:
        """Do not skip these any more."""
        self.skip.difference_update(destinations)
        self.wanted = self.strangers = True

    def engage(self, attempt: Attempt) -> None:
        """Leased mail for a site that has not proved itself is on its way."""
        if attempt.engaged:
            return
        attempt.engaged = tuple(part.destination for part in attempt.parts)
        attempt.charged = sum(len(part.recipients) for part in attempt.parts)
        self.pace.spend(attempt.charged)
        for name in attempt.engaged:
            self._engaged[name] = self._engaged.get(name, 0) + 1

    def release(self, attempt: Attempt) -> None:
        """It is on its way no more."""
        for name in attempt.engaged:
            left = self._engaged[name] - 1
            if left:
                self._engaged[name] = left
            else:
                del self._engaged[name]
                self.strangers = True
                self.wanted = self.wanted or name in self.known
        attempt.engaged = ()

    def trust(self, attempt: Attempt) -> None:
        """It went well."""
        if attempt.charged:
            self.pace.refund(attempt.charged)
            attempt.charged = 0
        self.meet(part.destination for part in attempt.parts)

    def meet(self, destinations: Iterable[str]) -> None:
        """These are strangers no more."""
        for name in destinations:
            if name not in self.known:
                if len(self.known) >= _MOST_KNOWN:
                    del self.known[next(iter(self.known))]
                self.known[name] = None

    def doubt(self, destinations: Collection[str]) -> None:
        """Their site is in trouble."""
        for name in destinations:
            self.known.pop(name, None)


class LeaseChoice:
    """Choice of the destinations to lease for, from those with waiting mail, the oldest first.

    All mail of proven destinations is wanted, and of unproven ones a message each, until as many destinations are
    chosen as recipients may be leased: ``most`` in all, ``probes`` of unproven ones.
    """

    __slots__ = ("_names", "_now", "complete", "most", "next_due", "probed", "probes", "wanted")

    def __init__(self, names: DestinationTable, now: float, *, most: int, probes: int) -> None:
        self._names = names
        self._now = now
        self.most = most
        self.probes = probes
        self.wanted: list[str] = []
        self.probed: list[str] = []
        #: When the first destination that is not left out and not chosen is due.
        self.next_due: float | None = None
        #: No destination behind those that were looked at can be chosen.
        self.complete = False

    def look(self, page: Sequence[DueDestination]) -> None:
        """Choose from a page of destinations."""
        names = self._names
        for name, ready in page:
            if names.left_out(name):
                continue
            if ready <= self._now:
                if name in names.known:
                    self.wanted.append(name)
                    if len(self.wanted) >= self.most:
                        self.complete = True
                        return
                    continue
                if len(self.probed) < self.probes:
                    self.probed.append(name)
                    continue
            if self.next_due is None:
                self.next_due = ready
            if ready > self._now:
                self.complete = True
                return
