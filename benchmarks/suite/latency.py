"""Latency of one message: alone until its delivery, and among other sessions until its 250.

``Alone``: one message at a time on a kept session, relayed; a sink in this process records its arrival.
``Crowd``: smtp-source keeps all sessions but one busy, and the suite times each message on the last one, so throughput
and latency are measured at the same time.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from suite.dialogue import Session
from suite.figures import percentile
from suite.loads import CountingSink, smtp_source_command
from suite.peers import Absent, Side
from suite.running import Found, Run, Start, start_all

__all__ = ["Alone", "Crowd", "Relayed"]


class Relayed(NamedTuple):
    """A receiver that relays ``sink.test`` to ``sink``."""

    side: Side
    sink: CountingSink


class Alone(NamedTuple):
    """One message at a time; ``aims`` are the largest ratios by side."""

    sides: Mapping[str, Start[Relayed]]
    aims: Mapping[str, float]

    def measure(self, run: Run, found: Found) -> None:
        shares = {"p50": 0.5, "p99": 0.99}
        rows = {
            (what, share): found.row(f"{what}, {share}", "ms", self.aims, lower=True)
            for what in ("until the 250", "until delivered")
            for share in shares
        }
        with contextlib.ExitStack() as stack:
            ready = start_all(self.sides, run, found, stack)
            for relayed in ready.values():
                _one_by_one(relayed, run.seconds / 8)
            for turn in range(run.rounds):
                for name, relayed in ready.items():
                    run.tell(f"round {turn + 1} of {run.rounds}, {name}")
                    taken = _one_by_one(relayed, run.seconds / run.rounds)
                    for (what, share), figures in rows.items():
                        times = [each[what == "until delivered"] for each in taken]
                        figures.setdefault(name, []).append(percentile(times, shares[share]) * 1000)


def _one_by_one(relayed: Relayed, seconds: float) -> list[tuple[float, float]]:
    """The seconds until the 250 and until delivery, for each message."""
    found = []
    end = time.perf_counter() + seconds
    with Session(relayed.side.port) as session:
        while time.perf_counter() < end:
            begun = time.perf_counter()
            with relayed.sink.expecting(1, limit=30.0):
                answered = session.send(b"someone@sink.test")
            found.append((answered, relayed.sink.last - begun))
    return found


class Crowd(NamedTuple):
    """Throughput and latency for each number of concurrent ``sessions``."""

    sides: Mapping[str, Start[Side]]
    sessions: Sequence[int]

    def measure(self, run: Run, found: Found) -> None:
        if shutil.which("smtp-source") is None:
            raise Absent("smtp-source is not here: apt-get install postfix")
        with contextlib.ExitStack() as stack:
            ready = start_all(self.sides, run, found, stack)
            for number in self.sessions:
                many = f"{number} session{'' if number == 1 else 's'}"
                rate = found.row(many, "messages/s", {})
                p50, p99 = (found.row(f"{many}, {each}", "ms", {}, lower=True) for each in ("p50", "p99"))
                seconds = run.seconds / run.rounds / 2
                amounts = {name: _enough(side.port, number, seconds) for name, side in ready.items()}
                for turn in range(run.rounds):
                    for name, side in ready.items():
                        run.tell(f"{many}, round {turn + 1} of {run.rounds}, {name}")
                        messages, times = _crowded(side.port, number, amounts[name], seconds)
                        rate.setdefault(name, []).append(messages)
                        p50.setdefault(name, []).append(percentile(times, 0.5) * 1000)
                        p99.setdefault(name, []).append(percentile(times, 0.99) * 1000)


def _enough(port: int, sessions: int, seconds: float) -> int:
    """The number of messages that keeps ``sessions`` busy for about ``seconds``."""
    first = max(200, 2 * sessions)
    rate, _ = _crowded(port, sessions, first, seconds / 4)
    return max(first, int(rate * seconds))


def _crowded(port: int, sessions: int, amount: int, seconds: float) -> tuple[float, list[float]]:
    """Messages per second of all sessions, and the seconds of each message of our session.

    One session alone runs for ``seconds``; several run until smtp-source has sent ``amount`` messages.
    """
    begun = time.perf_counter()
    with Session(port) as session:
        if sessions == 1:
            times = list(session.messages(seconds))
            return len(times) / (time.perf_counter() - begun), times
        times = []
        command = smtp_source_command(port, amount, sessions=sessions - 1)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as others:
            try:
                while others.poll() is None:
                    times.append(session.send())
            finally:
                others.kill()
        if others.returncode != 0:
            raise RuntimeError(f"smtp-source ended with {others.returncode}")
        return (amount + len(times)) / (time.perf_counter() - begun), times
