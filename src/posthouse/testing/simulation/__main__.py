"""``scripts/simulate``: many bad days, or the trace of one.

A day is a function of its seed: a seed that fails here fails in the same way everywhere, and ``--trace`` shows how.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from posthouse.testing.simulation.scenario import bad_day

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Simulated days with faults, by seed.")
    parser.add_argument("--seed", type=int, help="one day only")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="number of days (1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first day (0)")
    parser.add_argument("--hours", type=float, default=1.0, help="hours with faults in each day (1)")
    parser.add_argument("--trace", action="store_true", help="print what happens, with --seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.hours, options.trace)
    seeds = range(options.first, options.first + options.seeds)
    return _many(seeds, options.hours, options.jobs)


def _one(seed: int, hours: float, trace: bool) -> int:
    with bad_day(seed, hours=hours) as world:
        found = world.violations(quiet=True)
        if trace:
            print("\n".join(world.trace))
        copies = len(world.copies)
        print(f"seed {seed}: {len(world.messages)} messages, {copies} copies, {len(world.trace)} lines")
        print(f"trace {world.digest}")
    for each in found:
        print(f"  {each}", file=sys.stderr)
    return 1 if found else 0


def _many(seeds: range, hours: float, jobs: int) -> int:
    begun = time.monotonic()
    failed = messages = 0
    with ProcessPoolExecutor(jobs) as pool:
        days = pool.map(_day, seeds, [hours] * len(seeds), chunksize=8)
        for done, (seed, sent, found) in enumerate(days, start=1):
            messages += sent
            if found:
                failed += 1
                print(f"seed {seed} fails:", *found, sep="\n  ", file=sys.stderr)
            if done % 100 == 0 or done == len(seeds):
                seconds = time.monotonic() - begun
                print(f"{done} of {len(seeds)} days, {messages} messages, {failed} failed, {seconds:.0f} s", flush=True)
    if failed:
        print("to see what happened: scripts/simulate --seed SEED --trace", file=sys.stderr)
    return 1 if failed else 0


def _day(seed: int, hours: float) -> tuple[int, int, list[str]]:
    """Run one day: its seed, the number of messages sent, the violations."""
    try:
        with bad_day(seed, hours=hours) as world:
            return seed, len(world.messages), world.violations(quiet=True)
    except Exception as error:  # a day that cannot be run is a finding, and the other days go on
        return seed, 0, [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
