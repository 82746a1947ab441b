"""Runs scenarios and prints medians and ratios; ``scripts/bench`` calls it.

Both sides of a scenario stay up while it runs and are loaded in turn, several rounds, so that a machine that grows
slower or faster meanwhile does so for all of them.  Medians are printed, and the ratio of ours to theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from suite.peers import Absent
from suite.scenarios import SCENARIOS, Scenario

OURS = "posthouse"


def measure(name: str, scenario: Scenario, seconds: float, rounds: int, tell: bool) -> dict[str, object]:
    """One scenario: the figures of each side, its median, and the ratios to ours."""
    figures: dict[str, list[float]] = {}
    absent: dict[str, str] = {}
    home = Path(tempfile.mkdtemp(prefix="posthouse-bench-"))
    home.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            ready = {}
            for number, (side, start) in enumerate(scenario.sides.items()):
                try:
                    ready[side] = stack.enter_context(start(home / f"side{number}"))
                except Absent as error:
                    absent[side] = str(error)
            amounts = {}
            for side, run in ready.items():
                amount, taken = scenario.first, run(scenario.first)
                if taken < seconds / 8:  # too short to tell: try again larger
                    amount = min(scenario.most, int(amount * min(50.0, seconds / 4 / max(taken, 0.01))))
                    taken = run(amount)
                amounts[side] = max(scenario.first, min(scenario.most, int(amount * seconds / rounds / taken)))
            for number in range(rounds):
                for side, run in ready.items():
                    if tell:
                        sys.stderr.write(f"\r{name}: round {number + 1} of {rounds}, {side:<24}")
                        sys.stderr.flush()
                    figures.setdefault(side, []).append(amounts[side] * scenario.step / run(amounts[side]))
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if tell:
            sys.stderr.write("\r" + " " * 70 + "\r")
    medians = {side: statistics.median(each) for side, each in figures.items()}
    ratios = {side: medians[OURS] / median for side, median in medians.items() if side != OURS and OURS in medians}
    return {
        "scenario": name,
        "about": scenario.about,
        "unit": scenario.unit,
        "figures": figures,
        "medians": medians,
        "ratios": ratios,
        "aims": scenario.aims,
        "absent": absent,
    }


def table(result: dict[str, object]) -> str:
    """A scenario's figures as lines."""
    lines = [f"{result['scenario']}: {result['about']}"]
    medians: dict[str, float] = result["medians"]  # type: ignore[assignment]
    figures: dict[str, list[float]] = result["figures"]  # type: ignore[assignment]
    ratios: dict[str, float] = result["ratios"]  # type: ignore[assignment]
    aims: dict[str, float] = result["aims"]  # type: ignore[assignment]
    for side, median in medians.items():
        spread = f"{min(figures[side]):,.0f} to {max(figures[side]):,.0f}"
        line = f"  {side:<20} {median:>10,.0f} {result['unit']:<13} ({spread})"
        if side in ratios:
            line += f"   ours is {ratios[side]:.2f} ×"
            if side in aims:
                line += f", aim {aims[side]:g} ×: {'met' if ratios[side] >= aims[side] else 'NOT met'}"
        lines.append(line)
    absent: dict[str, str] = result["absent"]  # type: ignore[assignment]
    lines += [f"  {side:<20} left out: {why}" for side, why in absent.items()]
    return "\n".join(lines)


def main() -> None:
    """Run the scenarios asked for, or all."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Ours and theirs, side by side in one run.")
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=15.0, help="for each side, all rounds together (15)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is loaded (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args()
    unknown = [name for name in given.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}; choose from {', '.join(SCENARIOS)}")
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }
    results = []
    if not given.json:
        print(f"Python {machine['python']}, {machine['processors']} processors, {machine['system']}\n", flush=True)
    for name in given.scenario or SCENARIOS:
        result = measure(name, SCENARIOS[name], given.seconds, given.rounds, sys.stderr.isatty())
        results.append(result)
        if not given.json:
            print(table(result) + "\n", flush=True)
    if given.json:
        print(json.dumps({"machine": machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
