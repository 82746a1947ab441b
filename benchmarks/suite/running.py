"""Runs a scenario: starts its sides, loads them in turn within a time limit, and keeps faults in the result.

The sides take turns, so a machine that becomes slower or faster during a scenario does so for all of them.  A scenario
adds each figure to ``Found`` at once, so a fault or the time limit loses only later figures.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from suite.figures import Aim, Result, Row
from suite.peers import Absent, Side

__all__ = ["Found", "Loaded", "Run", "Scenario", "Start", "Throughput", "TooLong", "run_scenario", "start_all"]

_T = TypeVar("_T")

#: A context manager that runs a side in a directory of its own.
Start = Callable[[Path], contextlib.AbstractContextManager[_T]]


class TooLong(Exception):
    """A scenario exceeded its time limit."""


class Run(NamedTuple):
    """The parameters of a run.

    Args:
        home: A directory.
        seconds: Time for which each side is loaded, in all rounds together.
        rounds: Number of rounds.
        tell: Called with a line of progress.
    """

    home: Path
    seconds: float
    rounds: int
    tell: Callable[[str], None]


class Found:
    """The figures of a scenario so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.absent: dict[str, str] = {}
        self.notes: list[str] = []

    def row(self, what: str, unit: str, aims: Mapping[str, float], *, lower: bool = False) -> dict[str, list[float]]:
        """Add a row; returns its empty figures, to be filled in."""
        figures: dict[str, list[float]] = {}
        self.rows.append(Row(what, unit, figures, tuple(Aim(*each) for each in aims.items()), lower))
        return figures


class Scenario(NamedTuple):
    """A scenario; ``limit`` is its time limit in seconds, whatever ``--seconds`` is."""

    about: str
    measure: Callable[[Run, Found], None]
    limit: float = 240.0


class Loaded:
    """A running side; a call with a number of messages (or other units) loads it and returns the seconds."""

    def __init__(self, load: Callable[[int], float], side: Side | None = None) -> None:
        self._load = load
        self.side = side

    def __call__(self, amount: int) -> float:
        return self._load(amount)


def start_all(sides: Mapping[str, Start[_T]], run: Run, found: Found, stack: contextlib.ExitStack) -> dict[str, _T]:
    """Start each installed side, and note the others as absent."""
    ready = {}
    for name, start in sides.items():
        run.tell(f"starting {name}")
        try:
            ready[name] = stack.enter_context(start(run.home / f"{len(list(run.home.iterdir()))}"))
        except Absent as error:
            found.absent[name] = str(error)
    return ready


class Throughput(NamedTuple):
    """Throughput in ``unit``, and with ``memory`` (MiB, the aim) the growth of our side's memory.

    ``aims`` are the least ratios by side.  The amount is found by a trial with ``first`` messages: it is the amount
    that takes each side its share of the time, and at most ``most``.  A figure is amount × ``step`` / seconds.
    """

    sides: Mapping[str, Start[Loaded]]
    aims: Mapping[str, float]
    unit: str = "messages/s"
    first: int = 400
    most: int = 200_000
    step: float = 1.0
    what: str = ""
    memory: float = 0.0

    def measure(self, run: Run, found: Found) -> None:
        figures = found.row(self.what, self.unit, self.aims)
        with contextlib.ExitStack() as stack:
            ready = start_all(self.sides, run, found, stack)
            grown = found.row("memory grows by", "MiB", {"": self.memory}, lower=True) if self.memory else {}
            before = {name: load.side.begin_peak() for name, load in ready.items() if self.memory and load.side}
            amounts = {name: self._amount(load, run) for name, load in ready.items()}
            for turn in range(run.rounds):
                for name, load in ready.items():
                    run.tell(f"round {turn + 1} of {run.rounds}, {name}")
                    amount = amounts[name]
                    figures.setdefault(name, []).append(amount * self.step / load(amount))
            for name, resident in before.items():
                side = ready[name].side
                assert side is not None
                grown[name] = [max(0.0, (side.peak() - resident) / (1 << 20))]

    def _amount(self, load: Loaded, run: Run) -> int:
        """The amount that takes a side its share of a round."""
        amount, taken = self.first, load(self.first)
        if taken < run.seconds / 8:  # too short to measure: try a larger amount
            amount = min(self.most, int(amount * min(50.0, run.seconds / 4 / max(taken, 0.01))))
            taken = load(amount)
        return max(self.first, min(self.most, int(amount * run.seconds / run.rounds / taken)))


def run_scenario(
    name: str, scenario: Scenario, seconds: float, rounds: int, tell: Callable[[str], None] = lambda text: None
) -> Result:
    """Run one scenario; a fault is part of the result.  Only the main thread may call it: the time limit is SIGALRM."""
    found = Found()
    home = Path(tempfile.mkdtemp(prefix="posthouse-bench-"))
    home.chmod(0o755)  # the user postfix must have access
    fault = ""
    try:
        with _limited(max(scenario.limit, 16 * seconds)):
            scenario.measure(Run(home, seconds, rounds, lambda text: tell(f"{name}: {text}")), found)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return Result(
        name,
        scenario.about,
        [row for row in found.rows if row.figures],
        found.absent,
        found.notes,
        fault,
        time.strftime("%Y-%m-%d"),
        seconds,
        rounds,
    )


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise ``TooLong`` in the main thread after ``seconds``."""

    def ring(*_: object) -> None:
        raise TooLong(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
