"""Queue of sessions that have more to do than one turn of the event loop allows them.

Two of them go on in each turn, in the order in which they came, so that a thousand busy sessions cost a client that has
just said something no more time than two.  The more sessions wait, the less each may do at one time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["EVENTS_AT_ONCE", "TurnQueue"]

#: Events that one session may handle in one turn of the loop while hardly any other waits.
EVENTS_AT_ONCE: Final = 100
_IN_A_CROWD: Final = 20
_ARRIVED_IN_A_CROWD: Final = 10
_CROWD: Final = 4
_IN_ONE_TURN: Final = 2


class TurnQueue:
    """The callbacks that continue the waiting sessions; each is given the number of events that it may handle."""

    __slots__ = ("_scheduled", "_waiting", "at_arrival")

    def __init__(self) -> None:
        self._waiting: deque[Callable[[int], object]] = deque()
        self._scheduled = False
        #: Events that a session may handle when octets arrive for it.
        self.at_arrival = EVENTS_AT_ONCE

    def put(self, go_on: Callable[[int], object]) -> None:
        """Call ``go_on`` in a later turn of the loop."""
        self._waiting.append(go_on)
        self._schedule()

    def _schedule(self) -> None:
        self.at_arrival = _ARRIVED_IN_A_CROWD
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        events = EVENTS_AT_ONCE if len(waiting) <= _CROWD else _IN_A_CROWD
        try:
            for _ in range(min(_IN_ONE_TURN, len(waiting))):
                waiting.popleft()(events)
        finally:
            if waiting:
                self._schedule()
            else:
                self.at_arrival = EVENTS_AT_ONCE
