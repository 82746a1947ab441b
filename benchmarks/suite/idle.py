"""Open sessions that say nothing: what each costs the receiver in memory.

The sessions have said EHLO, then nothing.  They come from several loopback addresses, so that none runs out of ports.
Each side is measured once: memory does not come back as it went, and the figure hardly varies.
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
    """``most`` sessions at most; ``shared``: a process a session, so pages shared by several are divided among them."""

    start: Start[Side]
    most: int = 1 << 30
    shared: bool = False


class Idle(NamedTuple):
    """``sessions`` open sessions on each side; ``limit`` KiB for each of ours."""

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
    with Session(side.port) as session:  # what the first session alone costs is not the sessions'
        session.send()
    before = side.memory(shared=shared)
    for each in range(number):
        at_end(Session(side.port, f"127.0.0.{1 + each % _SOURCES}").close)
    return side.memory(shared=shared) - before
