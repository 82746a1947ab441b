"""Batches by turn of the event loop: what several callbacks of one turn hand over is taken together, two turns later.

Two turns are late enough for all that the callbacks of this turn set off at once.  In particular, a message's commit
ends in one turn and its 250 is written in that turn or the next, so what takes messages from a batch runs after the
replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TurnBatch"]

_T = TypeVar("_T")


class TurnBatch(Generic[_T]):
    """Calls ``take`` with the items that were put in one turn of the event loop, two turns later."""

    __slots__ = ("_items", "_take")

    def __init__(self, take: Callable[[list[_T]], object]) -> None:
        self._take = take
        self._items: list[_T] = []

    def put(self, item: _T) -> None:
        """Add an item."""
        self._items.append(item)
        if len(self._items) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.flush)

    def flush(self) -> None:
        """Hand over at once what there is."""
        items, self._items = self._items, []
        if items:
            self._take(items)

    def __bool__(self) -> bool:
        return bool(self._items)
