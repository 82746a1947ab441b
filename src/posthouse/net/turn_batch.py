"""Batches by turn of the event loop: what several callbacks of one turn hand over is taken together, in a later turn.

A message is given to the relay only when its 250 has been written.  A callback that has written the reply itself puts
the message for the next turn.  What a callback or a task puts whose own end lets the reply be written, in that turn or
the next, is taken one turn later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TurnBatch"]

_T = TypeVar("_T")


class TurnBatch(Generic[_T]):
    """Calls ``take`` with the items that were put in one turn of the event loop."""

    __slots__ = ("_is_due", "_items", "_later", "_take")

    def __init__(self, take: Callable[[list[_T]], object]) -> None:
        self._take = take
        self._items: list[_T] = []
        self._later: list[_T] = []
        self._is_due = False

    def put(self, item: _T, is_answered: bool = False) -> None:
        """Add an item: it is taken two turns later, and in the next turn if the reply to it has been written."""
        if is_answered:
            self._items.append(item)
            self._schedule()
            return
        self._later.append(item)
        if len(self._later) == 1:
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        later, self._later = self._later, []
        if later:
            self._items += later
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take_due)

    def _take_due(self) -> None:
        self._is_due = False
        items, self._items = self._items, []
        if items:
            self._take(items)

    def flush(self) -> None:
        """Hand over at once what there is."""
        self._items += self._later
        self._later = []
        items, self._items = self._items, []
        if items:
            self._take(items)

    def __bool__(self) -> bool:
        return bool(self._items or self._later)
