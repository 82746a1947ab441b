"""``scripts/simulate``: many bad days, or one of them told step by step.

A day is a function of its seed: a seed that fails here fails in the same way everywhere, and ``--trace`` tells it.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from posthouse.testing.simulation.scenario import bad_day

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Post houses on bad days, by seed.")
    parser.add_argument("--seed", type=int, help="one day only")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="so many days (1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (0)")
    parser.add_argument("--hours", type=float, default=1.0, help="how long each storm lasts (1)")
    parser.add_argument("--trace", action="store_true", help="tell what happens, with --seed")
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
        arrivals = len(world.book.arrivals)
        print(f"seed {seed}: {len(world.letters)} letters, {arrivals} arrivals, {len(world.trace)} lines")
        print(f"trace {world.digest}")
    for each in found:
        print(f"  {each}", file=sys.stderr)
    return 1 if found else 0


def _many(seeds: range, hours: float, jobs: int) -> int:
    begun = time.monotonic()
    failed = letters = 0
    with ProcessPoolExecutor(jobs) as pool:
        days = pool.map(_day, seeds, [hours] * len(seeds), chunksize=8)
        for done, (seed, sent, found) in enumerate(days, start=1):
            letters += sent
            if found:
                failed += 1
                print(f"seed {seed} fails:", *found, sep="\n  ", file=sys.stderr)
            if done % 100 == 0 or done == len(seeds):
                seconds = time.monotonic() - begun
                print(f"{done} of {len(seeds)} days, {letters} letters, {failed} failed, {seconds:.0f} s", flush=True)
    if failed:
        print("tell one of them: scripts/simulate --seed SEED --trace", file=sys.stderr)
    return 1 if failed else 0


def _day(seed: int, hours: float) -> tuple[int, int, list[str]]:
    """One day: its seed, how many letters were sent, what was wrong."""
    try:
        with bad_day(seed, hours=hours) as world:
            return seed, len(world.letters), world.violations(quiet=True)
    except Exception as error:  # a day that cannot even be lived through is a finding, and the others go on
        return seed, 0, [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
