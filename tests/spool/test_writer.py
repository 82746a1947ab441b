"""When the writer's operations are handed over: the turn's at its end, patient ones with the next or after a moment.

The loop is a list of what was asked of it, so that no test waits and no thread runs.
"""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.spool.sqlite.history_store import HistoryWriter
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.operations import Op
from posthouse.spool.sqlite.storage.writer import Writer


class Loop:
    """Remembers what it is to call."""

    def __init__(self) -> None:
        self.soon: list[Any] = []
        self.later: list[tuple[float, Any]] = []

    def call_soon(self, call: Any) -> None:
        self.soon.append(call)

    def call_later(self, seconds: float, call: Any) -> None:
        self.later.append((seconds, call))

    def turn(self) -> None:
        calls, self.soon = self.soon, []
        for call in calls:
            call()

    def time_passes(self) -> None:
        calls, self.later = self.later, []
        for _, call in calls:
            call()


class Handing(Writer):
    """Notes what would reach the thread."""

    groups_handed: list[list[Op]]

    def _hand_over(self, ops: list[Op]) -> None:
        self.groups_handed.append(ops)


def no_connection(*_: object) -> Any:
    raise AssertionError("the thread is not started here")


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def writer(loop: Loop) -> Handing:
    history = HistoryWriter(history=0.0, rows=0, octets=0, time=float)
    made = Handing(
        loop,  # type: ignore[arg-type]
        no_connection,
        no_connection,
        durable=Durable(),
        history=history,
        events=[],
        publish=no_connection,
        at_most=10,
        patience=1.0,
    )
    made.groups_handed = []
    return made


def op() -> Op:
    return Op(None)  # type: ignore[arg-type]


def test_what_one_turn_gathers_is_handed_over_at_its_end(writer: Handing, loop: Loop) -> None:
    ops = [op(), op()]
    for each in ops:
        writer.submit(each)
    assert writer.groups_handed == []
    loop.turn()
    assert writer.groups_handed == [ops]
    assert loop.soon == []
    assert loop.later == []


def test_a_patient_one_goes_with_the_next_that_is_not_and_keeps_its_place(writer: Handing, loop: Loop) -> None:
    record, commit, later = op(), op(), op()
    writer.submit(record, patient=True)
    loop.turn()
    assert writer.groups_handed == []
    writer.submit(commit)
    writer.submit(later, patient=True)
    loop.turn()
    assert writer.groups_handed == [[record, commit, later]]


def test_a_patient_one_that_stays_alone_goes_after_a_moment(writer: Handing, loop: Loop) -> None:
    first, second = op(), op()
    writer.submit(first, patient=True)
    writer.submit(second, patient=True)
    assert [seconds for seconds, _ in loop.later] == [0.002]
    loop.time_passes()
    assert writer.groups_handed == [[first, second]]
    third = op()
    writer.submit(third, patient=True)
    loop.time_passes()
    assert writer.groups_handed == [[first, second], [third]]


def test_a_timer_that_finds_nothing_hands_nothing_over(writer: Handing, loop: Loop) -> None:
    writer.submit(op(), patient=True)
    writer.submit(op())
    loop.turn()
    loop.time_passes()
    assert len(writer.groups_handed) == 1
