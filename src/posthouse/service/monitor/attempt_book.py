"""Attempt book: the sessions of sending SMTP that are under way, and the last ones that have ended.

The tracer of an attempt has its dialogue already, with the time of each step, so that the book costs the relay one
entry in a list for each attempt.  The last 100 attempts are kept, and apart from them the last 100 in which some
recipient was not delivered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from posthouse.core import Outcome, Result
from posthouse.delivery.tracer import AttemptTracer, ConnectionTracer
from posthouse.net import Clock
from posthouse.protocol.tap import dialogue_lines
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.service.monitor.session_book import SessionLine

__all__ = ["AttemptBook", "AttemptRecord", "lines_of"]

_KEPT: Final = 100
_MOST_LINES: Final = 300
_LONGEST: Final = 1_000  # characters of a line
_DELIVERED: Final = Result.DELIVERED


class AttemptRecord(NamedTuple):
    """One attempt that has ended, or is under way: then ``ended`` (calendar seconds) is None and ``outcomes`` is empty.

    ``received`` is when its message came in.
    """

    number: int
    queue_id: str
    received: float
    destination: str
    target: str
    tracer: AttemptTracer
    outcomes: Sequence[Outcome] = ()
    ended: float | None = None

    @property
    def site(self) -> str:
        """The site, or the target while that is not known."""
        return self.tracer.site or self.target

    @property
    def began(self) -> float:
        """When it began, in calendar seconds."""
        return self.tracer.at

    @property
    def problem(self) -> str:
        """What went wrong for the first recipient that was not delivered: the host's reply, or the reason where no host
        has replied; "" if nothing went wrong."""
        for outcome in self.outcomes:
            if outcome.result is not _DELIVERED:
                said = "" if outcome.reply is None else str(outcome.reply)
                return said if said and outcome.peer else outcome.reason or said
        return ""


class AttemptBook:
    """The book of one worker process; ``active`` are the attempts under way."""

    def __init__(self, clock: Clock, active: Callable[[], Iterable[Attempt]]) -> None:
        self._clock = clock
        self._active = active
        self._number = 0
        self._ended: deque[AttemptRecord] = deque(maxlen=_KEPT)
        self._failures: deque[AttemptRecord] = deque(maxlen=_KEPT)

    def ended(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> None:
        """An attempt at another host has ended."""
        if attempt.tracer is None:
            return
        self._number += 1
        record = _record(self._number, attempt, attempt.tracer, outcomes, self._clock.time())
        others = [outcome for outcome in outcomes if outcome.result is not _DELIVERED]
        (self._failures if others else self._ended).append(record)

    @property
    def under_way(self) -> int:
        """How many attempts at other hosts are under way."""
        return sum(attempt.tracer is not None for attempt in self._active())

    def live(self, most: int) -> list[AttemptRecord]:
        """Attempts under way at other hosts."""
        found: list[AttemptRecord] = []
        for attempt in self._active():
            if attempt.tracer is not None and len(found) < most:
                found.append(_record(0, attempt, attempt.tracer))
        return found

    def recent(self, most: int, *, failures: bool = False) -> list[AttemptRecord]:
        """Attempts that have ended, the newest first."""
        return list(self._failures if failures else self._ended)[-most:][::-1]

    def find(self, number: int, queue_id: str = "") -> AttemptRecord | None:
        """The attempt of this number; with number 0, the one under way for a message."""
        if not number:
            return next((each for each in self.live(10_000) if each.queue_id == queue_id), None)
        for records in (self._failures, self._ended):
            for record in records:
                if record.number == number:
                    return record
        return None


def _record(
    number: int, attempt: Attempt, tracer: AttemptTracer, outcomes: Sequence[Outcome] = (), ended: float | None = None
) -> AttemptRecord:
    lease = attempt.leases[0]
    message = lease.message
    return AttemptRecord(
        number, message.id, message.received, lease.destination, attempt.route.target, tracer, outcomes, ended
    )


def lines_of(record: AttemptRecord, offset: float) -> list[SessionLine]:
    """The dialogue of each connection of an attempt; a note stands before each.  ``offset`` leads from monotonic to
    calendar seconds."""
    found: list[SessionLine] = []
    for connection in record.tracer.connections:
        found.append(SessionLine(offset + connection.began, "N", _opening(connection)))
        for at, step in connection.steps:
            lines = dialogue_lines(((at, step),))
            found += [SessionLine(offset + at, text[0], text[3:][:_LONGEST]) for text in lines]
        if connection.ended:
            found.append(SessionLine(found[-1].at, "N", connection.ended[:_LONGEST]))
        if len(found) > _MOST_LINES:
            return [*found[: _MOST_LINES - 50], SessionLine(found[-50].at, "N", "…"), *found[-50:]]
    return found


def _opening(connection: ConnectionTracer) -> str:
    place = f"{connection.mx} ({connection.peer})" if connection.peer else connection.mx
    if connection.reused:
        messages = "message" if connection.reused == 1 else "messages"
        return f"{place}: session kept open, {connection.reused} {messages} before"
    return place
