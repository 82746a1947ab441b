"""What a million queued recipients on dead destinations cost everybody else.

    scripts/bench dead_hosts [--rows 1000000] [--rounds 2] [--overdue] [--settle SECONDS] [--silent] [--json]

Two houses (``posthouse run``, as many workers as there are processors) are measured in turn, one at a time: one with
an empty spool, one whose spool holds that many recipients in 3,000 domains of very different sizes, bulk inserted.
Each domain has a mail exchanger of its own, as a DNS server on loopback says, which refuses every connection (with
``--silent``: answers nothing, so that each attempt lasts until it times out).  They are due within the next four hours,
as a schedule would have it, or all of them at once (``--overdue``); so the house tries them all the while.

* **start**: until it greets.
* **intake**: smtp-source, 20 sessions, 4 KiB, stored durably and discarded at once.
* **relay**: the same, each forwarded to a live host, until that has all.
* **latency**: one message at a time to the live host, from the first command until it has arrived there.
* **memory**: resident, all processes of the house, pages they share counted in each.
* **attempts**: recipients deferred while all that was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import platform
import shutil
import smtplib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spool_query import fill
from suite import loads, peers

from posthouse.spool import SqliteSpool
from posthouse.testing import DnsServer, Zone

DOMAINS = 3000  # as many as ``fill`` has
SILENT = "127.2.0.1"
LETTER = b"From: load@src.test\r\nSubject: a measurement\r\n\r\n" + b"All that travels here is counted.\r\n" * 100
CONFIG = """
hostname = "bench.test"
data_dir = "{home}/data"
[[listener]]
bind = "127.0.0.1:{port}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "hold.test"
deliver = "discard"
[[route]]
to = "sink.test"
via = "smtp://127.0.0.1:{sink}"
[dns]
nameservers = ["{dns}"]
"""
ROWS = {
    "start": ("seconds until it greets", "s"),
    "intake": ("intake", "messages/s"),
    "relay": ("relay to a live host", "messages/s"),
    "p50": ("latency to a live host, p50", "ms"),
    "p99": ("latency to a live host, p99", "ms"),
    "worst": ("latency to a live host, worst", "ms"),
    "memory": ("memory", "MiB"),
    "attempts": ("attempts at dead hosts meanwhile", ""),
}


def zone(silent: bool) -> Zone:
    """Each domain with a mail exchanger of its own name, and of its own address unless that stays silent."""
    found: dict[str, dict[str, list[str]]] = {}
    for n in range(DOMAINS):
        found[f"d{n}.test"] = {"MX": [f"10 mx.d{n}.test"]}
        found[f"mx.d{n}.test"] = {"A": [SILENT if silent else f"127.1.{n >> 8}.{n & 255}"]}
    return found


def _answer(silent: bool, told: Any) -> None:
    """Be the DNS server, in a process of its own; ``told`` gets its place."""

    async def serve() -> None:
        async with DnsServer(zone(silent)) as server:
            told.send(str(server.endpoint))
            await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def answering(silent: bool) -> Iterator[str]:
    """A DNS server; where it is."""
    spawn = multiprocessing.get_context("spawn")
    place, told = spawn.Pipe(duplex=False)
    server = spawn.Process(target=_answer, args=(silent, told), daemon=True)
    server.start()
    try:
        yield place.recv()
    finally:
        server.terminate()
        server.join(10)


@contextlib.contextmanager
def saying_nothing() -> Iterator[None]:
    """A port 25 whose line of waiting connections is full, so that further ones are not even refused."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind((SILENT, 25))
        door.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((SILENT, 25))
        yield


def measure(home: Path, sink: loads.CountingSink, dns: str, seconds: float, settle: float) -> dict[str, float]:
    """All figures of the house whose spool is in ``home``.  Raises ``RuntimeError`` if mail does not arrive."""
    port = peers.free_port()
    (home / "posthouse.toml").write_text(CONFIG.format(home=home, port=port, sink=sink.port, dns=dns))
    command = [sys.executable, "-m", "posthouse", "run", "--config", str(home / "posthouse.toml")]
    begun = time.perf_counter()
    with peers.running("posthouse", "", port, command, home) as side:
        found = {"start": time.perf_counter() - begun}
        time.sleep(settle)
        loads.smtp_source(port, 500)  # warm
        took = sorted(_latencies(port, sink, 400))
        found["p50"], found["p99"], found["worst"] = took[len(took) // 2], took[-len(took) // 100 - 1], took[-1]

        def relay(amount: int) -> float:
            with sink.expecting(amount) as clock:
                loads.smtp_source(port, amount, to="someone@sink.test")
            return clock.seconds

        for name, run in (("intake", lambda amount: loads.smtp_source(port, amount)), ("relay", relay)):
            amount = max(500, int(1000 * seconds / max(run(1000), 0.01)))
            found[name] = amount / run(amount)
        found["memory"] = side.memory() / (1 << 20)
        found["attempts"] = (home / "posthouse.log").read_bytes().count(b" deferred ")
    return found


def _latencies(port: int, sink: loads.CountingSink, times: int) -> Iterator[float]:
    """In milliseconds."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as session:
        for _ in range(times):
            with sink.expecting(1) as clock:
                session.sendmail("load@src.test", ["someone@sink.test"], LETTER)
            yield clock.seconds * 1000


async def make(home: Path) -> Path:
    """An empty spool; its database."""
    queue = SqliteSpool(home / "data")
    await queue.open(time.time())
    await queue.close()
    return home / "data" / "spool" / "queue.sqlite3"


def run(given: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Fill one spool, measure both in turn; medians by house."""
    homes = {"empty": directory / "empty", "backlog": directory / "backlog"}
    for home in homes.values():
        home.mkdir()
    database = asyncio.run(make(homes["backlog"]))
    begun = time.perf_counter()
    fill(database, given.rows, time.time(), oldest=400_000.0, spread=0.0 if given.overdue else 14_400.0)
    size = database.stat().st_size >> 20
    if not given.json:
        print(f"{given.rows:,} recipients in {time.perf_counter() - begun:.0f} s, {size:,} MiB\n", flush=True)
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in homes}
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(loads.CountingSink())
        dns = stack.enter_context(answering(given.silent))
        if given.silent:
            stack.enter_context(saying_nothing())
        for _ in range(given.rounds):
            for name, home in homes.items():
                settle = given.settle if name == "backlog" else 0.0
                for what, figure in measure(home, sink, dns, given.seconds, settle).items():
                    figures[name].setdefault(what, []).append(figure)
    return {
        "rows": given.rows,
        "overdue": given.overdue,
        "silent": given.silent,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "figures": figures,
        "medians": {
            name: {what: statistics.median(each) for what, each in all_.items()} for name, all_ in figures.items()
        },
    }


def table(found: dict[str, Any]) -> str:
    """The figures as lines."""
    empty, backlog = found["medians"]["empty"], found["medians"]["backlog"]
    lines = [f"{'':32} {'empty':>10} {'backlog':>10} {'':12} backlog / empty"]
    for key, (name, unit) in ROWS.items():
        ratio = f"{backlog[key] / empty[key]:.2f} ×" if empty[key] else ""
        lines.append(f"{name:32} {empty[key]:>10,.1f} {backlog[key]:>10,.1f} {unit:12} {ratio}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="scripts/bench dead_hosts", description="What a long queue costs other mail.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="recipients in the queue (1,000,000)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each house is measured (2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each load (5)")
    parser.add_argument("--overdue", action="store_true", help="all of them are due at the start")
    parser.add_argument(
        "--settle",
        type=float,
        default=0.0,
        help="seconds that the house with the backlog runs before it is measured (0)",
    )
    parser.add_argument("--silent", action="store_true", help="dead hosts stay silent; needs root, for port 25")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="posthouse-backlog-"))
    try:
        found = run(given, directory)
    except RuntimeError as error:
        sys.exit(f"backlog: {error}")
    finally:
        shutil.rmtree(directory)
    print(json.dumps(found, indent=1) if given.json else table(found))


if __name__ == "__main__":
    main()
