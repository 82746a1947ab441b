"""A/B measurement of two source trees of the product, alternating in one run.

``scripts/bench before_after --before TREE accept relay`` runs each scenario of the suite in turn against the tree
``TREE`` (another checkout) and against this one, so that a machine that becomes slower or faster during the run does so
for both.  Each tree is measured by its own suite, in a
process of its own; only our side of each scenario is started.  The result is the median of each tree's figures and
their ratio, after to before.

With ``--cpu`` a figure is the processor time that our side uses for one message (or other unit) and not the clock's: it
changes less while other programs use the machine.  Only scenarios of throughput have it.

With ``--compiled`` both trees are measured with compiled modules (``scripts/compile`` makes them, once in each tree).
The exit code is 1 if a ratio is worse than ``--allowed`` (0.95).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Comparison", "compare", "main", "text_of"]

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ("accept", "accept-new", "relay", "discard", "client", "client-one", "many", "latency", "start")
_LONGEST = 300.0  # seconds for one scenario in one tree

# Runs inside the process of one tree, with that tree's suite: scenarios with sides keep ours alone.
_INSIDE = """
import contextlib, json, sys, time
from suite import machine, peers, running

started = []

class Side(peers.Side):
    def __init__(self, name, *rest):
        super().__init__(name, *rest)
        started.extend([self] if name.startswith("posthouse") else [])

def processor_time(self, run, found):
    figures = found.row(self.what, "µs of processor time a " + self.unit.removesuffix("s/s"), {}, lower=True)
    with contextlib.ExitStack() as stack:
        (load,) = running.start_all(self.sides, run, found, stack).values()
        amount = self._amount(load, run)
        used = started[-1].cpu if started else time.process_time  # without a process our side is this one
        begun = used()
        load(amount)
        figures["posthouse"] = [(used() - begun) / (amount * self.step) * 1e6]

if "cpu" in sys.argv:
    peers.Side = Side
    running.Throughput.measure = processor_time
from suite import scenarios
machine.raise_file_limit()
name, seconds = sys.argv[1], float(sys.argv[2])
scenario = scenarios.SCENARIOS[name]
owner = getattr(scenario.measure, "__self__", None)
if owner is not None and hasattr(owner, "sides"):
    ours = {side: start for side, start in owner.sides.items() if side == "posthouse"}
    scenario = scenario._replace(measure=owner._replace(sides=ours).measure)
print(json.dumps(running.run_scenario(name, scenario, seconds, 1).json()))
"""


class Comparison(NamedTuple):
    """One figure of both trees: the medians, and after ÷ before turned so that above 1.0 is better."""

    scenario: str
    what: str
    unit: str
    before: float
    after: float
    ratio: float


def measure(
    tree: Path, scenario: str, seconds: float, compiled: bool, cpu: bool = False
) -> dict[tuple[str, str, bool], float]:
    """(what, unit, lower is better) → our figure of one scenario in one tree.  RuntimeError if the scenario fails."""
    product = tree / "build" / "compiled" if compiled else tree / "src"
    if not (product / "posthouse").is_dir():
        raise SystemExit(f"there is no {product / 'posthouse'}; scripts/compile in {tree} makes it")
    environment = {**os.environ, "PYTHONPATH": f"{product}:{tree / 'benchmarks'}"}
    done = subprocess.run(
        [sys.executable, "-c", _INSIDE, scenario, str(seconds), *(["cpu"] if cpu else [])],
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        env=environment,
        cwd=tree,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{scenario} in {tree}: {done.stderr[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    if result["fault"]:
        raise RuntimeError(f"{scenario} in {tree}: {result['fault']}")
    return {
        (row["what"], row["unit"], row["lower"]): row["medians"]["posthouse"]
        for row in result["rows"]
        if row["medians"].get("posthouse")
    }


def compare(scenario: str, before: list[dict[Any, float]], after: list[dict[Any, float]]) -> list[Comparison]:
    """The medians of all rounds and their ratios; figures that only one tree has are left out."""
    found = []
    for what, unit, lower in before[0]:
        key = (what, unit, lower)
        old = [figures[key] for figures in before if key in figures]
        new = [figures[key] for figures in after if key in figures]
        if old and new:
            first, second = statistics.median(old), statistics.median(new)
            found.append(Comparison(scenario, what, unit, first, second, first / second if lower else second / first))
    return found


def text_of(found: list[Comparison]) -> str:
    """The comparisons as an aligned table."""
    rows = [("scenario", "what", "before", "after", "unit", "ratio (above 1: better)")]
    rows += [
        (each.scenario, each.what, f"{each.before:,.4g}", f"{each.after:,.4g}", each.unit, f"{each.ratio:.3f}")
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for; 1 if a ratio is worse than allowed."""
    parser = argparse.ArgumentParser(prog="scripts/bench before_after", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scenario", nargs="*", default=[*SCENARIOS], help=f"default: {' '.join(SCENARIOS)}")
    parser.add_argument("--before", type=Path, required=True, metavar="TREE", help="the other checkout")
    parser.add_argument("--compiled", action="store_true", help="measure build/compiled of both trees")
    parser.add_argument("--cpu", action="store_true", help="measure processor time for one message, not throughput")
    parser.add_argument("--rounds", type=int, default=5, help="how often each tree runs each scenario (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each tree in each round (3)")
    parser.add_argument("--allowed", type=float, default=0.95, help="the worst ratio that is let pass (0.95)")
    given = parser.parse_args(arguments)
    trees = (given.before.resolve(), ROOT)
    found: list[Comparison] = []
    for scenario in given.scenario:
        figures: tuple[list[dict[Any, float]], list[dict[Any, float]]] = ([], [])
        for turn in range(given.rounds):
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            for side in order:
                figures[side].append(measure(trees[side], scenario, given.seconds, given.compiled, given.cpu))
            print(f"{scenario}: round {turn + 1} of {given.rounds}", file=sys.stderr)
        found += compare(scenario, *figures)
    print(text_of(found))
    return 1 if any(each.ratio < given.allowed for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
