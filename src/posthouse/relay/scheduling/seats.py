"""Slots of attempts under way; those whose hosts say nothing are counted apart.

An attempt whose host has said nothing for two seconds, not even a greeting, needs no more of us than its socket.  When
somebody wants a slot (``hush``) it goes on without one and is counted with the *silent*: twice as many as there are
slots, in the same shares.  So a host that does not answer holds a slot for two seconds and not until it times out.

Attempts that are ``mailbox`` are under way without a slot.
"""

from __future__ import annotations

from typing import Final

from posthouse.net import Clock
from posthouse.relay.scheduling.concurrency import Priority, PriorityQuota
from posthouse.relay.scheduling.ready_queue import Attempt

__all__ = ["ConnectionSlots"]

_SILENCE: Final = 2.0  # seconds
_MOST_SILENT: Final = 2  # times as many as there are slots


class ConnectionSlots:
    """``limit`` slots."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self.active: dict[Attempt, None] = {}  # in the order of their starts
        self.slots = PriorityQuota(limit)
        self.silent = PriorityQuota(_MOST_SILENT * limit)
        self._clock = clock

    def take(self, attempt: Attempt, rank: Priority) -> None:
        """It begins."""
        attempt.began = self._clock.monotonic()
        attempt.rank = rank
        attempt.silent = False
        self.active[attempt] = None
        if not attempt.local:
            self.slots.take(rank)

    def give(self, attempt: Attempt) -> None:
        """It is over."""
        del self.active[attempt]
        if not attempt.local:
            (self.silent if attempt.silent else self.slots).give(attempt.rank)

    def hush(self) -> None:
        """Those whose hosts have been silent for long enough go on without a slot."""
        latest = self._clock.monotonic() - _SILENCE
        for attempt in self.active:
            if attempt.began > latest or attempt.silent or attempt.local or not attempt.unanswered:
                continue
            if self.silent.free(attempt.rank):
                attempt.silent = True
                self.slots.give(attempt.rank)
                self.silent.take(attempt.rank)
