"""Runs fuzz targets, several at one time, each in a process of its own: ``python -m fuzz``, or ``scripts/fuzz``.

With atheris the inputs are guided by coverage; without it (no wheel for this Python or machine) a small driver changes
the corpus at random, which finds less.  New inputs that reach new code are kept in ``build/fuzz/<target>``; one that
fails is written to ``build/fuzz/<target>-crash-…``, and the run ends with exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from fuzz import CORPUS, TARGETS, target

_ROOT = Path(__file__).parent.parent
_BUILD = _ROOT / "build" / "fuzz"
#: Octets of an input, seconds for one, MiB of memory.
_LONGEST, _SECONDS, _MEMORY = 4_096, 25, 2_048


def main() -> int:
    """The command line; the exit code is 1 if a target failed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzz the readers of what others send.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; without it, all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at one time")
    parser.add_argument("--input", type=Path, help="run one target on one file, and show what happens")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if given.input is not None:
        if len(given.targets) != 1:
            parser.error("--input needs one target")
        target(given.targets[0])(given.input.read_bytes())
        return 0
    if given.worker:
        _fuzz(given.targets[0], given.seconds)
        return 0
    return _run_all(given.targets or list(TARGETS), given.seconds, given.jobs)


def _run_all(names: list[str], seconds: int, jobs: int) -> int:
    guided = importlib.util.find_spec("atheris") is not None
    print(f"fuzz: {len(names)} targets, {seconds} s each, {jobs} at one time, ", end="")
    print("guided by coverage" if guided else "without coverage (atheris is not installed)", flush=True)
    _BUILD.mkdir(parents=True, exist_ok=True)
    waiting, running, failed = list(names), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                log = (_BUILD / f"{name}.log").open("wb")
                command = [sys.executable, "-m", "fuzz", "--worker", name, "--seconds", str(seconds)]
                # With one order of sets and one seed two runs of one tree try the same inputs, as far as they get.
                environment = {**os.environ, "PYTHONHASHSEED": "0"}
                process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=_ROOT, env=environment)
                running[name] = process, log
            for name, (process, log) in list(running.items()):
                if process.poll() is None:
                    continue
                log.close()
                del running[name]
                text = (_BUILD / f"{name}.log").read_text("utf-8", "replace")
                print(f"fuzz: {name}: {_summary(text) if process.returncode == 0 else 'FAILED'}", flush=True)
                if process.returncode:
                    failed.append(name)
                    print("\n".join(text.splitlines()[-30:]), flush=True)
            time.sleep(0.2)
    finally:
        for process, _ in running.values():
            process.kill()
    if failed:
        print(f"fuzz: failed: {', '.join(failed)}; repeat one with scripts/fuzz TARGET --input FILE", file=sys.stderr)
    return 1 if failed else 0


def _summary(text: str) -> str:
    done = [line for line in text.splitlines() if line.startswith(("Done ", "done: "))]
    return done[-1] if done else "done"


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; ends the process if an input fails."""
    kept = _BUILD / name
    kept.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        _change_at_random(target(name), CORPUS / name, seconds, name)
        return
    with atheris.instrument_imports(include=["posthouse", "fuzz"], enable_loader_override=False):
        function = target(name)
        function(b"")  # what is imported at the first use
    arguments = [
        *(sys.argv[0], str(kept), str(CORPUS / name), f"-max_total_time={seconds}", f"-max_len={_LONGEST}"),
        *(f"-timeout={_SECONDS}", f"-rss_limit_mb={_MEMORY}", f"-artifact_prefix={_BUILD}/{name}-", "-verbosity=1"),
        *("-print_final_stats=0", f"-seed={1 + zlib.crc32(name.encode()) % 2**31}"),
    ]
    atheris.Setup(arguments, function)
    atheris.Fuzz()


def _change_at_random(function: Callable[[bytes], None], corpus: Path, seconds: int, name: str) -> None:
    """The driver without coverage: seeds with octets changed, taken out, doubled and joined."""
    seeds = [file.read_bytes() for file in sorted(corpus.iterdir())]
    source = random.Random(name)
    end = time.monotonic() + seconds
    runs = 0
    for data in seeds:
        function(data)
    while time.monotonic() < end:
        data = bytearray(source.choice(seeds))
        for _ in range(source.randrange(1, 8)):
            place = source.randrange(len(data) + 1)
            match source.randrange(5):
                case 0:
                    data[place : place + 1] = source.randbytes(1)
                case 1:
                    del data[place : place + source.randrange(1, 8)]
                case 2:
                    data[place:place] = data[: source.randrange(16)]
                case 3:
                    data[place:place] = source.choice((b"\r\n", b"\r", b"\n", b".", b"\0", b"\xff", b" ", b"<", b'"'))
                case _:
                    other = source.choice(seeds)
                    data[place:] = other[source.randrange(len(other) + 1) :]
        octets = bytes(data[:_LONGEST])
        try:
            function(octets)
        except Exception:
            place_of = _BUILD / f"{name}-crash-{runs}"
            place_of.write_bytes(octets)
            print(f"the input is in {place_of}")
            raise
        runs += 1
    print(f"done: {runs} runs without coverage")


if __name__ == "__main__":
    sys.exit(main())
