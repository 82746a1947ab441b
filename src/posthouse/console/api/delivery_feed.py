"""Reader of the delivery journal, in the console's process: hands each line to webhooks and traces.

The place up to which everything is settled stands in a file beside the journal, so a process that takes over goes on
there: a line may be handed on twice, with the same id, and none is left out.  While a taker has no room nothing more is
read, and the journal on the disk is the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

__all__ = ["DeliveryFeed", "DeliveryLine", "DeliveryTaker"]

_PERIOD: Final = 0.25
_READ: Final = 256 << 10  # octets of one look
_LONGEST: Final = 64 << 10  # octets of a line
_STATE: Final = "settled.json"


class DeliveryLine(NamedTuple):
    """One line: its ``number`` in this process, its ``id`` for ever, the ``event``, and its facts as JSON has them."""

    number: int
    id: str
    event: str
    facts: dict[str, Any]


class DeliveryTaker(Protocol):
    """What gets the lines: ``settled`` is the number of the last one that is done, all before it included."""

    @property
    def settled(self) -> int: ...

    def has_room(self) -> bool:
        """Whether ``take`` may be called."""
        ...

    def take(self, line: DeliveryLine) -> None:
        """Take a line; it is settled at once, or later."""
        ...


class _ReadTo(NamedTuple):
    number: int
    file: str
    offset: int


class DeliveryFeed:
    """The reader of the journal in ``folder`` for these takers."""

    def __init__(self, folder: str, takers: Sequence[DeliveryTaker]) -> None:
        self._folder = folder
        self._takers = takers
        self._number = 0
        self._places: deque[_ReadTo] = deque()
        self._read: dict[str, int] = {}  # how far each file was handed on
        self._settled: dict[str, int] = {}
        self._written: dict[str, int] | None = None

    async def run(self) -> None:
        """Read and hand on until cancelled."""
        self._settled = await asyncio.to_thread(self._load)
        self._read = dict(self._settled)
        while True:
            more = await self.look()
            await self.settle()
            await asyncio.sleep(0 if more else _PERIOD)

    async def look(self) -> bool:
        """Hand on what is new, as far as there is room; whether there may be more."""
        if not all(each.has_room() for each in self._takers):
            return False
        found = await asyncio.to_thread(self._next)
        if found is None:
            return False
        name, octets = found
        offset = self._read.get(name, 0)
        for line in octets.splitlines(keepends=True):
            if not all(each.has_room() for each in self._takers):
                return False
            self._hand_on(name, offset, line)
            offset += len(line)
            self._read[name] = offset
        return True

    def _hand_on(self, name: str, offset: int, line: bytes) -> None:
        self._number += 1
        self._places.append(_ReadTo(self._number, name, offset + len(line)))
        facts: Any = None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            facts = msgspec.json.decode(line)
        known = isinstance(facts, dict) and isinstance(facts.get("event"), str)
        event = facts.pop("event") if known else ""
        made = DeliveryLine(self._number, f"{name.removesuffix('.jsonl')}-{offset}", event, facts if known else {})
        for each in self._takers:  # a damaged line is settled by all of them at once, as one of no event
            each.take(made)

    async def settle(self) -> None:
        """Note how far everything is settled, and remove files that are done."""
        until = min((each.settled for each in self._takers), default=self._number)
        while self._places and self._places[0].number <= until:
            _, name, offset = self._places.popleft()
            self._settled[name] = offset
        if self._settled != self._written:
            self._written = dict(self._settled)
            await asyncio.to_thread(self._store, self._written)

    # -- in a thread -------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        try:
            return sorted(each for each in os.listdir(self._folder) if each.endswith(".jsonl"))
        except OSError:
            return []

    def _next(self) -> tuple[str, bytes] | None:
        """Whole lines of the oldest file that has more; a file that is done, and that its worker has left, goes."""
        names = self._names()
        last = {each.split("-")[1]: each for each in names if each.count("-") == 2}
        for name in names:
            at, path = self._read.get(name, 0), os.path.join(self._folder, name)
            try:
                with open(path, "rb") as file:
                    file.seek(at)
                    octets = file.read(_READ)
            except OSError:
                continue
            whole = octets[: octets.rfind(b"\n") + 1]
            if not whole and len(octets) > _LONGEST:
                whole = octets  # no line of ours is so long: it is damaged
            if whole:
                return name, whole
            if name not in last.values() and self._settled.get(name, 0) >= at:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        return None

    def _load(self) -> dict[str, int]:
        try:
            with open(os.path.join(self._folder, _STATE), "rb") as file:
                found = msgspec.json.decode(file.read(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            return {}
        names = set(self._names())
        return {name: offset for name, offset in found.items() if name in names}

    def _store(self, settled: dict[str, int]) -> None:
        path = os.path.join(self._folder, _STATE)
        there = set(self._names())
        with contextlib.suppress(OSError):  # it is written again
            with open(f"{path}.new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(msgspec.json.encode({name: at for name, at in settled.items() if name in there}))
            os.replace(f"{path}.new", path)
