"""Queue of sessions that have more to do than one turn of the event loop allows them.

Two of them go on in each turn, in the order in which they came, so that a thousand busy sessions cost a client that has
just said something no more time than two.  The more sessions wait, the less each may do at one time.

Sessions whose clients have brought nothing but idle commands and errors so far wait in a queue of their own, of which
two go on every 2 ms.  Between them the loop rests, so that a flood takes neither the processor nor the interpreter's
lock from those who work: without that, each step of a commit in the writer's thread would wait 5 ms for the lock.

What arrives in one turn is bounded in octets too: libuv reads up to 32 times from a socket that has more, and handling
256 KiB of content takes up to 30 ms, handling 16 KiB of commands up to 7 ms.  Beyond 512 KiB of content, or 128 KiB of
commands, the sessions that bring more stop reading until their turn comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from posthouse.net import Clock

__all__ = ["EVENTS_AT_ONCE", "TurnQueue"]

#: Events that one session may handle in one turn of the loop while hardly any other waits.
EVENTS_AT_ONCE: Final = 100
_IN_A_CROWD: Final = 20
_ARRIVED_IN_A_CROWD: Final = 10
_CROWD: Final = 4
_IN_ONE_TURN: Final = 2
_FRUITLESS_EVERY: Final = 0.002  # seconds
_OCTETS_IN_ONE_TURN: Final = 524_288
_COMMANDS_WEIGH: Final = 4


class TurnQueue:
    """The callbacks that continue the waiting sessions; each is given the number of events that it may handle."""

    __slots__ = ("_clock", "_fruitless", "_octets", "_renewing", "_scheduled", "_timed", "_waiting", "at_arrival")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[int], object]] = deque()
        self._fruitless: deque[Callable[[int], object]] = deque()
        self._scheduled = False
        self._timed = False
        self._octets = 0  # in this turn of the loop
        self._renewing = False
        #: Events that a session may handle when octets arrive for it.
        self.at_arrival = EVENTS_AT_ONCE

    def put(self, go_on: Callable[[int], object], *, fruitless: bool = False) -> None:
        """Call ``go_on`` in a later turn of the loop."""
        self.at_arrival = _ARRIVED_IN_A_CROWD
        if fruitless:
            self._fruitless.append(go_on)
        else:
            self._waiting.append(go_on)
        self._schedule()

    @property
    def is_short(self) -> bool:
        """Whether a session that is put now goes on in the next turn of the loop."""
        return len(self._waiting) < _IN_ONE_TURN

    def spend(self, octets: int, *, content: bool) -> bool:
        """Count a large piece of input; returns whether its session must wait for its turn before it reads more."""
        self._octets += octets if content else octets * _COMMANDS_WEIGH
        if not self._renewing:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)
        return self._octets > _OCTETS_IN_ONE_TURN

    def _renew(self) -> None:
        self._renewing = False
        self._octets = 0

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._fruitless and not self._timed:
            self._timed = True
            self._clock.call_later(_FRUITLESS_EVERY, self._fruitless_turn)
        if not self._waiting and not self._fruitless:
            self.at_arrival = EVENTS_AT_ONCE

    def _turn(self) -> None:
        self._scheduled = False
        self._take(self._waiting)

    def _fruitless_turn(self) -> None:
        self._timed = False
        self._take(self._fruitless)

    def _take(self, waiting: deque[Callable[[int], object]]) -> None:
        events = EVENTS_AT_ONCE if len(waiting) <= _CROWD else _IN_A_CROWD
        try:
            for _ in range(min(_IN_ONE_TURN, len(waiting))):
                waiting.popleft()(events)
        finally:
            self._schedule()
