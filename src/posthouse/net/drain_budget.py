"""Budget for what is read and dropped on connections that are being ended gently.

A connection that ends with a last reply is read until its peer has ended it too (``Stream.close_gently``).  Peers that
send without end would then have the loop read as fast as they can send: 20 of them took the whole processor, and an
honest client waited ten times as long.  So all such connections of one loop share ``OCTETS`` in each ``EVERY`` seconds,
26 MB a second; one that comes when they are used up is not read for a while.  Nothing is lost by that: what is dropped
may wait in the kernel, and its peer with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

__all__ = ["DrainBudget", "Draining", "EVERY", "OCTETS"]

OCTETS: Final = 131_072
EVERY: Final = 0.005
#: Connections that are read again at one time; each may be read once before it is known that the budget is used up.
_AT_ONCE: Final = 8


class Draining(Protocol):
    """A connection whose octets are dropped."""

    def hold(self) -> None:
        """Read no more for the moment."""
        ...

    def drain_on(self) -> bool:
        """Read on; false if the connection has ended meanwhile."""
        ...


class DrainBudget:
    """The budget of one event loop, in which all methods are called."""

    __slots__ = ("_held", "_left", "_renewed_at")

    def __init__(self) -> None:
        self._left = OCTETS
        self._renewed_at = -EVERY
        self._held: deque[Draining] = deque()

    def spend(self, connection: Draining, octets: int) -> None:
        """So many octets were dropped on a connection, which is held if they were too many."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._held and now - self._renewed_at >= EVERY:
            self._renew(now)
        self._left -= octets
        if self._left < 0 or self._held:  # while others wait, each is read once and waits again
            connection.hold()
            self._held.append(connection)
            if len(self._held) == 1:
                loop.call_later(EVERY, self._go_on)

    def _renew(self, now: float) -> None:
        self._renewed_at = now
        self._left = OCTETS

    def _go_on(self) -> None:
        """Read the next connections again, in the order in which they were held."""
        loop = asyncio.get_running_loop()
        self._renew(loop.time())
        reading = 0
        try:
            while self._held and reading < _AT_ONCE:
                reading += self._held.popleft().drain_on()
        finally:  # whatever happens to one, the others are read
            if self._held:
                loop.call_later(EVERY, self._go_on)
