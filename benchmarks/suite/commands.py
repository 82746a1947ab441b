"""Start-up time: ``posthouse --help``, ``posthouse send``, ``import posthouse`` and a program with
``posthouse.send``, beside ``python -c pass``.

Modules are compiled to bytecode as after an installation, in a directory of this run, whatever the environment says.
The commands take turns.  The aims are for wall time; processor time is shown because it depends less on other load.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from suite.peers import posthouse_sink
from suite.running import Found, Run

__all__ = ["start"]

_PASS = "python -c pass"
_MOST = 60  # times each
_IMPORT, _PROGRAM = "import posthouse", "posthouse.send"
_AIMS = {"posthouse --help": 5.0, "posthouse send": 8.0, _IMPORT: 2.0, _PROGRAM: 8.0}
_SENDS = """
import sys, posthouse
message = posthouse.Message(sender="load@src.test", to="someone@hold.test", subject="load", text="load")
posthouse.send(message, via=sys.argv[1]).raise_for_failures()
"""


def start(run: Run, found: Found) -> None:
    """Measure wall and processor time of each command."""
    script = Path(sys.executable).with_name("posthouse")
    posthouse = [str(script)] if script.exists() else [sys.executable, "-m", "posthouse"]
    message = ["--from", "load@src.test", "--to", "someone@hold.test", "--subject", "load", "--text", "load"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(run.home / "compiled")
    with posthouse_sink(run.home / "sink") as sink:
        commands = {
            _PASS: [sys.executable, "-c", "pass"],
            "posthouse --help": [*posthouse, "--help"],
            "posthouse send": [*posthouse, "send", *message, "--server", f"smtp://127.0.0.1:{sink.port}"],
            _IMPORT: [sys.executable, "-c", "import posthouse"],
            _PROGRAM: [sys.executable, "-c", _SENDS, f"smtp://127.0.0.1:{sink.port}"],
        }
        rows = {
            (name, kind): found.row(f"{name}, {kind}", "ms", {_PASS: aim} if kind == "wall" else {}, lower=True)
            for name, aim in _AIMS.items()
            for kind in ("wall", "processor")
        }
        for command in commands.values():  # compiles to bytecode, and warms the page cache
            _once(command, environment)
        end = time.perf_counter() + run.seconds * 2
        turns = 0
        while turns < _MOST and (turns < 5 or time.perf_counter() < end):
            turns += 1
            run.tell(f"turn {turns}")
            taken = {name: _once(command, environment) for name, command in commands.items()}
            for (name, kind), figures in rows.items():
                for label, source in (("posthouse", name), (_PASS, _PASS)):
                    figures.setdefault(label, []).append(taken[source][kind == "processor"] * 1000)
    found.notes.append(f"medians of {turns} turns")


def _once(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall time and processor time of one command in seconds.  RuntimeError if it fails."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        taken = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.decode()[-500:]}")
    return taken, used.ru_utime + used.ru_stime
