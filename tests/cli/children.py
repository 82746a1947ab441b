"""The command line as processes: started for real, waited for by what they say, always ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60.0  # seconds; far above what anything here takes

POSTHOUSE = [sys.executable, "-m", "posthouse"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a child: nobody's home but ours, no colours, English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "POSTHOUSE"))}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", **more}


def finished(home: Path, *arguments: str, stdin: bytes | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    done = subprocess.run(
        [*POSTHOUSE, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, env=environment(home, **more)
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class Child:
    """A command that keeps running."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*POSTHOUSE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home)
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept))
            for stream, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: object, kept: list[str]) -> None:
        for raw in stream:  # type: ignore[attr-defined]
            line = raw.decode().rstrip("\n")
            kept.append(line)
            self._lines.put(line)

    def line_with(self, text: str) -> str:
        """Wait for a line, of either stream, that holds ``text``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"never said {text!r}; out: {self.out}; err: {self.err}") from None
            if text in line:
                return line

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def running(home: Path, *arguments: str) -> Iterator[Child]:
    """A child, killed at the end if it still runs."""
    child = Child(home, *arguments)
    try:
        yield child
    finally:
        if child.process.poll() is None:
            child.process.kill()
        child.ended()
        for stream in (child.process.stdout, child.process.stderr):
            assert stream is not None
            stream.close()
