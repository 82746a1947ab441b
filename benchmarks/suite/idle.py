"""Memory of a receiver for each idle session.

The sessions are idle after EHLO.  They come from several loopback addresses, because one address has too few ports.
Each side is measured once, because a process does not give all memory back, and because the figure hardly varies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from suite.dialogue import Session
from suite.machine import raise_file_limit
from suite.peers import Side
from suite.running import Found, Run, Start, start_all

__all__ = ["Idle", "IdleSide"]

_SOURCES = 4
_KEPT_FREE = 500  # descriptors for everything else


class IdleSide(NamedTuple):
    """At most ``most`` sessions; ``shared``: each is a process, and shared pages are divided among them."""

    start: Start[Side]
    most: int = 1 << 30
    shared: bool = False


class Idle(NamedTuple):
    """``sessions`` idle sessions on each side; the aim is ``limit`` KiB for each of ours."""

    sides: Mapping[str, IdleSide]
    sessions: int
    limit: float

    def measure(self, run: Run, found: Found) -> None:
        figures = found.row("", "KiB/session", {"": self.limit}, lower=True)
        number = min(self.sessions, raise_file_limit() - _KEPT_FREE)
        if number < self.sessions:
            found.notes.append(f"{number:,} sessions: this system allows a process no more open files")
        for name, each in self.sides.items():
            with contextlib.ExitStack() as stack:
                here = min(number, each.most)
                for side in start_all({name: each.start}, run, found, stack).values():
                    run.tell(f"{name}, {here:,} sessions")
                    figures[name] = [_grown(side, here, each.shared, stack.callback) / here / 1024]
                    if here < number:
                        found.notes.append(
                            f"{name}: {here:,} sessions, each a process of its own; pages they share are divided"
                        )


def _grown(side: Side, number: int, shared: bool, at_end: Callable[[Callable[[], None]], object]) -> int:
    with Session(side.port) as session:  # the cost of the first session is start-up
        session.send()
    before = side.memory(shared=shared)
    for each in range(number):
        at_end(Session(side.port, f"127.0.0.{1 + each % _SOURCES}").close)
    return side.memory(shared=shared) - before
