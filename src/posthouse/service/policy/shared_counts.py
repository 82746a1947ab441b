"""Counts that all worker processes of a machine share: sessions that are open, and events of the last minute or hour.

The counts are count-min sketches (Cormode and Muthukrishnan, 2005) in anonymous shared memory, which the parent maps
before it forks its workers.  Each worker has a slot of its own and writes nowhere else; the count of a key is the sum
over all slots.  So no lock is needed, a worker that is killed in the midst of a change leaves nothing locked, and the
parent gives the sessions of a dead worker back by clearing its slot.  Events stay counted when a worker dies, because
they have happened.

Memory is fixed: 1.3 MiB for each worker, of which only the pages in use are real.  A count is never too low, except
that workers which ask at the same instant do not see each other, so that a limit may be exceeded by one for each
further worker.  It is too high only if all cells of a key are shared with busier keys: for 1,000 keys that happens to 1
key in 400 with 4 rows of 4,096 cells, to 1 in 285 with 2 rows of 16,384, and then mostly by 1.  Open sessions, which
are counted with each connection, have 2 rows, because each row costs the same time again.  The cells are chosen by a
hash with a secret, so that nobody can look for keys that share the cells of another.

Events are counted in windows of fixed length.  The number within the last minute or hour is that of the current window
plus the part of the window before that still lies within: an estimate, exact where events come evenly.
"""

from __future__ import annotations

import mmap
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from posthouse.service.monitor.tally import Tally

__all__ = ["Cells", "EventCounts", "Places", "SessionCounts", "SharedCounts", "session_places"]

_ROWS: Final = 4
_SESSION_ROWS: Final = 2
_SESSION_CELLS: Final = 16_384  # of each row
_MINUTE_CELLS: Final = 4_096
_HOUR_CELLS: Final = 32_768
_MOST: Final = 0xFFFF_FFFF

#: The hashed key of one count, one number for each row.
Cells = tuple[int, ...]


#: Where the sessions of a key are counted, in each row.
Places = tuple[int, int]


def session_places(cells: Cells) -> Places:
    """Where the sessions of a key are counted."""
    return cells[0] % _SESSION_CELLS, cells[1] % _SESSION_CELLS + _SESSION_CELLS


class SessionCounts:
    """Sessions that are open now, by the places of a key (``session_places``)."""

    __slots__ = ("_memory", "_own", "_slots")

    def __init__(self, memory: memoryview, slots: Sequence[int], own: int) -> None:
        self._memory = memory
        self._slots = slots
        self._own = slots[own]

    def first_full(self, keys: Sequence[tuple[Places, int]]) -> int:
        """The first of several keys, each with its limit, of which as many are open in all workers; -1 for none."""
        memory, slots = self._memory, self._slots
        for number, ((first, second), most) in enumerate(keys):
            one = two = 0
            for slot in slots:
                one += memory[slot + first]
                two += memory[slot + second]
            if one >= most and two >= most:
                return number
        return -1

    def add(self, keys: Sequence[tuple[Places, int]]) -> None:
        """A session of this worker begins, which counts for each of these keys."""
        memory, own = self._memory, self._own
        for (first, second), _ in keys:
            memory[own + first] += 1
            memory[own + second] += 1

    def remove(self, keys: Sequence[tuple[Places, int]]) -> None:
        """A session of this worker has ended."""
        memory, own = self._memory, self._own
        for places, _ in keys:
            for place in places:
                if count := memory[own + place]:
                    memory[own + place] = count - 1


class EventCounts:
    """Events within the last ``seconds``, by key.

    Each worker has two windows, each with its number in front of its cells.  Times are monotonic seconds, which all
    processes of a machine count alike.
    """

    __slots__ = ("_cells", "_memory", "_own", "_size", "_slots", "seconds")

    def __init__(self, memory: memoryview, slots: Sequence[int], own: int, cells: int, seconds: float) -> None:
        self._memory = memory
        self._slots = slots
        self._own = slots[own]
        self._cells = cells
        self._size = 1 + _ROWS * cells  # of one window
        self.seconds = seconds

    def of(self, cells: Cells, now: float) -> float:
        """About how many there were, in all workers."""
        window = int(now // self.seconds)
        left = 1.0 - now % self.seconds / self.seconds  # the share of the window before that still counts
        current, before = self._windows(window), self._windows(window - 1)
        memory = self._memory
        found = float(_MOST)
        for row, cell in enumerate(cells):
            place = 1 + row * self._cells + cell % self._cells
            count = 0.0
            for start in current:
                count += memory[start + place]
            for start in before:
                count += left * memory[start + place]
            found = min(found, count)
        return found

    def add(self, cells: Cells, events: int, now: float) -> int:
        """Count events; returns the number of the window, by which they can be taken back."""
        window = int(now // self.seconds)
        start = self._own + window % 2 * self._size
        memory = self._memory
        if memory[start] != window & _MOST:
            memory[start + 1 : start + self._size] = memoryview(bytes(4 * (self._size - 1))).cast("I")
            memory[start] = window & _MOST
        for row, cell in enumerate(cells):
            place = start + 1 + row * self._cells + cell % self._cells
            memory[place] = min(_MOST, memory[place] + events)
        return window

    def take_back(self, cells: Cells, events: int, window: int) -> None:
        """Events that this worker counted in ``window`` did not come about."""
        start = self._own + window % 2 * self._size
        memory = self._memory
        if memory[start] != window & _MOST:  # forgotten already
            return
        for row, cell in enumerate(cells):
            place = start + 1 + row * self._cells + cell % self._cells
            memory[place] = max(0, memory[place] - events)

    def _windows(self, window: int) -> list[int]:
        """Where the window of this number is, in each worker that has one."""
        at = window % 2 * self._size
        return [slot + at for slot in self._slots if self._memory[slot + at] == window & _MOST]


class SharedCounts:
    """The counts of all workers, as the worker with the number ``own`` sees them.

    The parent makes one before it forks; ``seen_by`` gives that of a worker.
    """

    def __init__(self, workers: int = 1) -> None:
        minute, hour = 2 * (1 + _ROWS * _MINUTE_CELLS), 2 * (1 + _ROWS * _HOUR_CELLS)
        sessions = _SESSION_ROWS * _SESSION_CELLS
        self._slots = {
            "sessions": range(0, workers * sessions, sessions),
            "minute": range(workers * sessions, workers * (sessions + minute), minute),
            "hour": range(workers * (sessions + minute), workers * (sessions + minute + hour), hour),
        }
        self._mapped = mmap.mmap(-1, 4 * workers * (sessions + minute + hour))
        self._secret = secrets.token_bytes(16)
        #: Counts of events, for operators.
        self.tally = Tally(workers)
        self._see(0)

    def _see(self, own: int) -> None:
        memory = memoryview(self._mapped).cast("I")
        #: Open sessions.
        self.sessions = SessionCounts(memory, self._slots["sessions"], own)
        #: Events of the last minute, and of the last hour.
        self.minute = EventCounts(memory, self._slots["minute"], own, _MINUTE_CELLS, 60.0)
        self.hour = EventCounts(memory, self._slots["hour"], own, _HOUR_CELLS, 3_600.0)

    def seen_by(self, worker: int) -> SharedCounts:
        """The same counts, for the worker of this number to write to."""
        other = SharedCounts.__new__(SharedCounts)
        other._slots, other._mapped, other._secret = self._slots, self._mapped, self._secret
        other.tally = self.tally.seen_by(worker)
        other._see(worker)
        return other

    def cells(self, key: str) -> Cells:
        """Where the counts of a key are; it may be kept."""
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=2 * _ROWS, key=self._secret).digest()
        return tuple(memoryview(digest).cast("H"))

    def worker_died(self, worker: int) -> None:
        """Give back the sessions of a worker that has ended; called before its replacement starts."""
        start = 4 * self._slots["sessions"][worker]
        self._mapped[start : start + 4 * _SESSION_ROWS * _SESSION_CELLS] = bytes(4 * _SESSION_ROWS * _SESSION_CELLS)
