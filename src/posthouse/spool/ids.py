"""Queue ids: short, unique, sortable by time, made without touching the disk.

An id is 63 bits: milliseconds since 1970 (42 bits, until 2109), the worker's number (10 bits; no two living processes
of one spool have the same, see ``files.Owner``), and a counter (11 bits) that starts anywhere in its lower half at
each new millisecond.  Ids of one maker strictly grow, even where the clock goes back.  SQLite uses the number itself as
its row key, so there is no second index for ids; people see it in base 30, digits and consonants without ``l``: it
spells no words, and no two of its letters look alike.
"""

from __future__ import annotations

import random as random_module
import re
from collections.abc import Callable

__all__ = ["QueueIds", "WORKERS", "earliest", "made_at", "number_of", "text_of", "worker_of"]

WORKERS = 1024
_COUNTS = 2048
_SHIFT = 21  # bits of worker and counter together

_ALPHABET = "0123456789bcdfghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_ID = re.compile(f"[{_ALPHABET}]{{13}}")
_MAX = (1 << 63) - 1


def text_of(number: int) -> str:
    """The 13 letters of an id."""
    number, p6 = divmod(number, 900)
    number, p5 = divmod(number, 900)
    number, p4 = divmod(number, 900)
    number, p3 = divmod(number, 900)
    number, p2 = divmod(number, 900)
    number, p1 = divmod(number, 900)
    pairs = _PAIRS
    return _ALPHABET[number] + pairs[p1] + pairs[p2] + pairs[p3] + pairs[p4] + pairs[p5] + pairs[p6]


def number_of(text: str) -> int | None:
    """The number behind 13 letters, or None if they are no id."""
    if _ID.fullmatch(text) is None:
        return None
    number = 0
    for letter in text:
        number = number * 30 + _VALUES[letter]
    return number if number <= _MAX else None


def worker_of(number: int) -> int:
    """Which worker made the id."""
    return (number >> 11) & (WORKERS - 1)


def earliest(seconds: float) -> int:
    """A number below those of all ids made at ``seconds`` (calendar) or later, and above those made before."""
    return max(0, int(seconds * 1000)) << _SHIFT


def made_at(number: int) -> float:
    """When the id was made, in calendar seconds."""
    return (number >> _SHIFT) / 1000


class QueueIds:
    """Makes ids for one worker.

    ``time`` gives calendar seconds; ``after`` is a number that all new ids must exceed (the greatest that is stored).
    """

    __slots__ = ("_base", "_count", "_millisecond", "_random", "_time")

    def __init__(self, worker: int, *, random: random_module.Random, time: Callable[[], float], after: int = 0) -> None:
        if not 0 <= worker < WORKERS:
            raise ValueError(f"a worker's number is 0 to {WORKERS - 1}, not {worker}")
        self._base = worker << 11
        self._random = random
        self._time = time
        self._millisecond = after >> _SHIFT
        self._count = _COUNTS - 1

    def next(self) -> int:
        """A number greater than all before it."""
        now = int(self._time() * 1000)
        if now > self._millisecond:
            self._millisecond = now
            self._count = int(self._random.random() * (_COUNTS // 2))
        elif self._count < _COUNTS - 1:
            self._count += 1
        else:  # more than the counter holds, or the clock went back: borrow the next millisecond
            self._millisecond += 1
            self._count = 0
        return self._millisecond << _SHIFT | self._base | self._count
