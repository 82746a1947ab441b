"""Queue of sessions that have more to do than one turn of the event loop allows them.

Two of them go on in each turn, in the order in which they came, so that a thousand busy sessions cost a client that has
just said something no more time than two.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["TurnQueue"]

_IN_ONE_TURN: Final = 2


class TurnQueue:
    """The callbacks that continue the waiting sessions."""

    __slots__ = ("_scheduled", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._scheduled = False

    def put(self, go_on: Callable[[], object]) -> None:
        """Call ``go_on`` in a later turn of the loop."""
        self._waiting.append(go_on)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        try:
            for _ in range(min(_IN_ONE_TURN, len(waiting))):
                waiting.popleft()()
        finally:
            if waiting:
                self._schedule()
