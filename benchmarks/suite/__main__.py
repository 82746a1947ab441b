"""The suite's command line: runs scenarios, prints medians and ratios, saves and draws them (``scripts/bench``)."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from suite import machine, peers, plot
from suite.figures import result_from, text_table
from suite.running import run_scenario
from suite.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
PLOT = ROOT / "docs" / "performance.svg"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 if a scenario failed."""
    given = _arguments(arguments)
    machine.raise_file_limit()
    stored: dict[str, Any] = {}
    if given.scenario:
        stored = _run(given)
        if given.save:
            _save(stored, replace=set(given.scenario) >= set(SCENARIOS))
    if given.plot is not None:
        if not stored or given.save:
            stored = json.loads(LATEST.read_text(encoding="utf-8"))
        given.plot.write_text(plot.svg([result_from(each) for each in stored["results"]]), encoding="utf-8")
        print(f"drawn: {given.plot}", file=sys.stderr)
    return 1 if given.scenario and any(each["fault"] for each in stored["results"]) else 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Ours and theirs, side by side in one run.")
    parser.add_argument("scenario", nargs="*", help=f"{', '.join(SCENARIOS)}; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each side, all rounds together (15)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is loaded (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--save", action="store_true", help="save the results in benchmarks/results/latest.json")
    parser.add_argument(
        "--plot",
        nargs="?",
        type=Path,
        const=PLOT,
        metavar="FILE.svg",
        help="draw the results (docs/performance.svg); without a scenario, those saved",
    )
    given = parser.parse_args(arguments)
    if given.plot is not None and given.plot.suffix != ".svg":
        parser.error(f"{given.plot} is not the name of an SVG file; write FILE.svg, or name scenarios before --plot")
    unknown = [name for name in given.scenario if name not in SCENARIOS and name != "all"]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}; choose from {', '.join(SCENARIOS)}, all")
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("at least one round, and some time for it")
    if "all" in given.scenario or (not given.scenario and (given.plot is None or given.save)):
        given.scenario = list(SCENARIOS)
    return given


def _run(given: argparse.Namespace) -> dict[str, Any]:
    """Run the scenarios and print each as it ends; returns everything for ``--json`` and ``--save``."""
    found: dict[str, Any] = {
        "machine": machine.describe(),
        "versions": machine.versions(),
        "settings": peers.SETTINGS,
        "results": [],
    }
    if not given.json:
        here = found["machine"]
        print(f"{here['processors']} × {here['processor']}, {here['system']}, Python {platform.python_version()}")
        print(f"posthouse {found['versions']['posthouse']}")
        print(f"a sync of 4 KiB takes {here['sync']} on {here['file system'] or 'this file system'}\n", flush=True)
    for name in given.scenario:
        result = run_scenario(name, SCENARIOS[name], given.seconds, given.rounds, _tell)
        _tell("")
        found["results"].append(result.json())
        if not given.json:
            print(text_table(result) + "\n", flush=True)
    if given.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    return found


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what[:78]:<78}\r")
        sys.stderr.flush()


def _save(found: dict[str, Any], *, replace: bool) -> None:
    """Save the results; scenarios that were not run keep their earlier results, with their dates."""
    known: dict[str, Any] = {}
    if not replace and LATEST.exists():
        known = {each["scenario"]: each for each in json.loads(LATEST.read_text(encoding="utf-8"))["results"]}
    known |= {each["scenario"]: each for each in found["results"]}
    kept = {**found, "results": [known[name] for name in SCENARIOS if name in known]}
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"saved: {LATEST.relative_to(ROOT)}; scripts/docs writes docs/performance.md from it", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
