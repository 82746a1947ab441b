"""The scenario ``backlog``: runs ``benchmarks/dead_hosts.py`` and reads its figures."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.figures import Aim, Row
from suite.peers import end_process
from suite.running import Found, Run

__all__ = ["backlog", "rows_of"]

OURS = "a million queued"
EMPTY = "an empty queue"


def rows_of(printed: Mapping[str, Any]) -> list[Row]:
    """The rows from the output of ``benchmarks/dead_hosts.py --json``.  KeyError if a figure is missing."""
    full, empty = printed["figures"]["backlog"], printed["figures"]["empty"]

    def row(key: str, what: str, unit: str, aim: float = 0.0, *, lower: bool = False) -> Row:
        aims = (Aim(EMPTY, aim),) if aim else ()
        return Row(what, unit, {OURS: full[key], EMPTY: empty[key]}, aims, lower, OURS)

    more = printed["medians"]["backlog"]["memory"] - printed["medians"]["empty"]["memory"]
    return [
        row("intake", "intake", "messages/s", 0.85),
        row("relay", "relay to a live host", "messages/s"),
        row("p50", "latency to a live host, p50", "ms", lower=True),
        row("p99", "latency to a live host, p99", "ms", 2.0, lower=True),
        Row("memory, more than with an empty queue", "MiB", {OURS: [max(0.0, more)]}, (Aim("", 100.0),), True, OURS),
    ]


def backlog(run: Run, found: Found) -> None:
    """Run it for one round, with 1 s for each 2 s of the suite."""
    script = Path(__file__).resolve().parents[1] / "dead_hosts.py"
    command = [sys.executable, str(script), "--json", "--rounds", "1", "--seconds", f"{max(2.0, run.seconds / 2):g}"]
    run.tell("filling a queue with a million recipients")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=run.home
    )
    try:
        output, errors = process.communicate()
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)  # so that it ends the processes it has started
        end_process(process)
    if process.returncode != 0:
        raise RuntimeError(f"benchmarks/dead_hosts.py ended with {process.returncode}: {errors.strip()[-500:]}")
    found.rows += rows_of(json.loads(output))
