"""How a scenario is run: its sides started and all kept up, loaded in turn, ended within a time limit, faults kept.

A machine that grows slower or faster while a scenario runs does so for both sides, because they take turns.  A scenario
fills in what it finds as it goes (``Found``), so a fault or the time limit costs what came after and nothing else.
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

#: Starts a side in a directory of its own; ended when the block is left.
Start = Callable[[Path], contextlib.AbstractContextManager[_T]]


class TooLong(Exception):
    """A scenario did not end within its time."""


class Run(NamedTuple):
    """What a scenario is given: a directory, how long each side is loaded in all its rounds together, how many those
    are, and whom to tell what is being done."""

    home: Path
    seconds: float
    rounds: int
    tell: Callable[[str], None]


class Found:
    """What a scenario has found so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.absent: dict[str, str] = {}
        self.notes: list[str] = []

    def row(self, what: str, unit: str, aims: Mapping[str, float], *, lower: bool = False) -> dict[str, list[float]]:
        """A new row; the figures that are to be filled in."""
        figures: dict[str, list[float]] = {}
        self.rows.append(Row(what, unit, figures, tuple(Aim(*each) for each in aims.items()), lower))
        return figures


class Scenario(NamedTuple):
    """``limit`` is the most seconds it may take, whatever it was asked for."""

    about: str
    measure: Callable[[Run, Found], None]
    limit: float = 240.0


class Loaded:
    """A side that has been started: called with a number of messages (or what the scenario counts), gives seconds."""

    def __init__(self, load: Callable[[int], float], side: Side | None = None) -> None:
        self._load = load
        self.side = side

    def __call__(self, amount: int) -> float:
        return self._load(amount)


def start_all(sides: Mapping[str, Start[_T]], run: Run, found: Found, stack: contextlib.ExitStack) -> dict[str, _T]:
    """Start each side that is here, and note the others."""
    ready = {}
    for name, start in sides.items():
        run.tell(f"starting {name}")
        try:
            ready[name] = stack.enter_context(start(run.home / f"{len(list(run.home.iterdir()))}"))
        except Absent as error:
            found.absent[name] = str(error)
    return ready


class Throughput(NamedTuple):
    """Messages (or whatever ``unit`` says) a second, and, with ``memory`` (MiB), how much memory our side grows.

    ``aims``: the least ratio by side.  The amount is found by trying: first ``first``, then as much as takes each side
    its share of the time, and ``most`` at most, so that a slow side is not waited for and a fast one is not over before
    it has begun.  A figure is amount × ``step`` / seconds.
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
        """How much takes a side its share of a round."""
        amount, taken = self.first, load(self.first)
        if taken < run.seconds / 8:  # too short to tell: try again larger
            amount = min(self.most, int(amount * min(50.0, run.seconds / 4 / max(taken, 0.01))))
            taken = load(amount)
        return max(self.first, min(self.most, int(amount * run.seconds / run.rounds / taken)))


def run_scenario(
    name: str, scenario: Scenario, seconds: float, rounds: int, tell: Callable[[str], None] = lambda text: None
) -> Result:
    """One scenario's result; a fault in it is part of that.  Only for the main thread: the time limit is an alarm."""
    found = Found()
    home = Path(tempfile.mkdtemp(prefix="posthouse-bench-"))
    home.chmod(0o755)  # Postfix's own user must get through
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
    """Raise ``TooLong`` in the main thread when time is up."""

    def ring(*_: object) -> None:
        raise TooLong(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
