"""A scenario's sides take turns; who is not here is named; a fault or too long a run costs no other figure."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import suite
from suite.backlog import EMPTY, OURS, rows_of
from suite.peers import Absent
from suite.running import Found, Loaded, Run, Scenario, Throughput, run_scenario
from suite.scenarios import SCENARIOS


class Bench:
    """Sides that take a fixed time for each message, on no clock at all."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, int]] = []
        self.ended: list[str] = []

    def side(self, name: str, each: float) -> Callable[[Path], contextlib.AbstractContextManager[Loaded]]:
        @contextlib.contextmanager
        def start(home: Path) -> Iterator[Loaded]:
            def load(amount: int) -> float:
                self.loads.append((name, amount))
                return amount * each

            try:
                yield Loaded(load)
            finally:
                self.ended.append(name)

        return start


@contextlib.contextmanager
def absent(home: Path) -> Iterator[Loaded]:
    raise Absent("not here: install it")
    yield


def test_sides_take_turns_and_get_what_they_can_do() -> None:
    bench = Bench()
    sides = {"posthouse": bench.side("posthouse", 0.001), "Postfix": bench.side("Postfix", 0.01), "other": absent}
    throughput = Throughput(sides, {"Postfix": 7.0}, first=100)
    result = run_scenario("x", Scenario("y", throughput.measure), seconds=9.0, rounds=3)
    assert (result.fault, result.absent) == ("", {"other": "not here: install it"})
    (row,) = result.rows
    assert {name: [round(each, 6) for each in values] for name, values in row.figures.items()} == {
        "posthouse": [1000.0] * 3,
        "Postfix": [100.0] * 3,
    }
    assert [(aim.reached, aim.met) for aim in row.verdicts()] == [(row.ratio("Postfix"), True)]
    assert [name for name, _ in bench.loads[-6:]] == ["posthouse", "Postfix"] * 3
    assert dict(bench.loads[-6:]) == {"posthouse": 3000, "Postfix": 300}
    assert sorted(bench.ended) == ["Postfix", "posthouse"]


def test_a_fault_keeps_what_was_measured_before_it() -> None:
    bench = Bench()

    def measure(run: Run, found: Found) -> None:
        Throughput({"posthouse": bench.side("posthouse", 0.01)}, {}).measure(run, found)
        found.row("never filled", "ms", {})
        raise RuntimeError("the disk is gone")

    result = run_scenario("x", Scenario("y", measure), seconds=1.0, rounds=1)
    assert result.fault == "RuntimeError: the disk is gone"
    assert [round(each) for each in result.rows[0].figures["posthouse"]] == [100]
    assert len(result.rows) == 1
    assert bench.ended == ["posthouse"]


def test_what_takes_too_long_is_ended() -> None:
    ended = []

    def measure(run: Run, found: Found) -> None:
        (run.home / "something").write_text("left here")
        ended.append(run.home)
        threading.Event().wait()

    result = run_scenario("x", Scenario("y", measure, limit=0.1), seconds=0.001, rounds=1)
    assert result.fault == "TooLong: not done after 0.1 seconds"
    assert not ended[0].exists()


def test_no_scenario_hides_behind_a_measurement_of_its_name() -> None:
    alone = {path.stem for path in Path(suite.__file__).resolve().parents[1].glob("*.py")}
    assert alone
    assert not alone & set(SCENARIOS)


def test_the_backlog_is_read_as_it_is_told() -> None:
    empty = {"intake": 1000.0, "relay": 900.0, "p50": 1.0, "p99": 4.0, "memory": 100.0}
    full = {"intake": 900.0, "relay": 800.0, "p50": 1.0, "p99": 10.0, "memory": 130.0}
    reported = {
        "figures": {
            "empty": {key: [each] for key, each in empty.items()},
            "backlog": {k: [v] for k, v in full.items()},
        },
        "medians": {"empty": empty, "backlog": full},
    }
    rows = {row.what: row for row in rows_of(reported)}
    assert [each.met for each in rows["intake"].verdicts()] == [True]
    assert [each.reached for each in rows["latency to a live host, p99"].verdicts()] == [2.5]
    assert [each.met for each in rows["latency to a live host, p99"].verdicts()] == [False]
    (memory,) = rows["memory, more than with an empty queue"].verdicts()
    assert (memory.reached, memory.met) == (30.0, True)
    assert all(set(row.figures) <= {OURS, EMPTY} for row in rows.values())
