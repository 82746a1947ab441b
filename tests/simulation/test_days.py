"""Hundreds of days with faults, by seed: the invariants hold on each.

``scripts/simulate --seed N --trace`` shows what happened on the day of a seed that fails.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import pytest

from posthouse.testing.simulation.__main__ import main
from posthouse.testing.simulation.scenario import bad_day

pytestmark = pytest.mark.leaves_open("databases that were replaced stay open")

EACH = 10
#: Days whose traces are kept, so that two tests can look at one day.
TRACED = range(40)
FIRSTS = [*range(0, 180, EACH), *range(10_000, 10_060, EACH)]
if os.environ.get("POSTHOUSE_TESTED") == "compiled":
    FIRSTS = FIRSTS[::2]  # every second ten: the build that is not compiled is tested with all of them


class Day(NamedTuple):
    """What was wrong on a day, and its trace if it is one of ``TRACED``."""

    violations: list[str]
    trace: str


@functools.cache
def day(seed: int) -> Day:
    with bad_day(seed) as world:
        assert world.messages
        return Day(world.violations(quiet=True), "\n".join(world.trace) if seed in TRACED else "")


@pytest.mark.parametrize("first", FIRSTS)
def test_the_invariants_hold(first: int) -> None:
    assert {seed: day(seed).violations for seed in range(first, first + EACH) if day(seed).violations} == {}


def test_the_days_are_bad_enough() -> None:
    """Forty days together have every kind of fault in them."""
    text = "\n".join(day(seed).trace for seed in TRACED)
    for wanted in (
        "crash kind=killed",
        "crash kind=reset",
        "crash kind=silent",
        "start incarnation=3",
        "calendar jump=-",
        "drain",
        "fault source=",
        "reset_after=",
        "silent=True",
        "delay=400.0",
        "dns              fails",
        "step=lose",
        "step=wait:end:700",
        "the simulated disk failed",
        " ambiguous id=",
        " report id=",
        "report=True",
        "5.1.10",
        "5.1.2",
    ):
        assert wanted in text, wanted


def test_a_day_is_a_function_of_its_seed() -> None:
    """To the last line of the trace, in another process, with another order of its sets.

    Days 113 and 10003 have large contents, whose files are removed by a call that no caller waits for.
    """
    program = (
        "from posthouse.testing.simulation.scenario import bad_day\n"
        "for seed in (3, 113, 10003):\n    with bad_day(seed) as world: print(world.digest)\n"
    )
    reported = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": order},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for order in ("1", "2")
    ]
    assert reported[0] == reported[1]
    assert len(set(reported[0].split())) == 3


def test_no_thread_and_no_pause_has_a_part_in_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The effect of a thread or of a real pause would depend on how busy the machine is."""
    found = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: found.append(thread.name))
    monkeypatch.setattr(time, "sleep", lambda seconds: found.append(f"sleep {seconds}"))
    for seed in (113, 10003):
        with bad_day(seed) as world:
            assert world.messages
    assert found == []


def test_the_trace_of_one_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--trace"]) == 0
    reported = capsys.readouterr().out
    assert "mail.a.test      start incarnation=1" in reported
    assert "trace " in reported
    assert "seed 3: " in reported


def test_many_days_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--first", "7", "--jobs", "1"]) == 0
    assert "4 of 4 days" in capsys.readouterr().out
