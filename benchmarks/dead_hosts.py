"""Cost of a million queued recipients at dead hosts for other mail.

    scripts/bench dead_hosts [--rows 1000000] [--rounds 2] [--overdue] [--settle SECONDS] [--silent] [--json]

Two daemons (``posthouse run`` with one worker for each processor) are measured in turn, one at a time: one with an
empty spool, and one whose spool holds that many recipients in 3,000 domains of very different sizes, inserted directly
into the database.  Each domain has a mail exchanger of its own in a DNS server on loopback.  The exchangers refuse
every connection; with ``--silent`` they do not answer, so that each attempt lasts until it times out.  The recipients
are due within the next 4 hours, or all at once with ``--overdue``, so the daemon makes attempts during the whole
measurement.

* **start**: time until the daemon greets.
* **intake**: smtp-source, 20 sessions, 4 KiB, stored durably and discarded at once.
* **relay**: as intake, with each message relayed to a live host, until that host has all messages.
* **latency**: one message at a time to the live host, from the first command until it has arrived there.
* **memory**: resident memory of all processes of the daemon; shared pages count in each process.
* **attempts**: recipients deferred during the measurement.
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

DOMAINS = 3000  # the number of domains in ``fill``
SILENT = "127.2.0.1"
MESSAGE = b"From: load@src.test\r\nSubject: a measurement\r\n\r\n" + b"All that travels here is counted.\r\n" * 100
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
    """A zone in which each domain has a mail exchanger of its own name, and of its own address unless ``silent``."""
    found: dict[str, dict[str, list[str]]] = {}
    for n in range(DOMAINS):
        found[f"d{n}.test"] = {"MX": [f"10 mx.d{n}.test"]}
        found[f"mx.d{n}.test"] = {"A": [SILENT if silent else f"127.1.{n >> 8}.{n & 255}"]}
    return found


def _serve_dns(silent: bool, pipe: Any) -> None:
    """The main function of the DNS server's process; the endpoint is sent on ``pipe``."""

    async def serve() -> None:
        async with DnsServer(zone(silent)) as server:
            pipe.send(str(server.endpoint))
            await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def dns_server(silent: bool) -> Iterator[str]:
    """A DNS server in a process of its own; gives its endpoint."""
    spawn = multiprocessing.get_context("spawn")
    receiving, sending = spawn.Pipe(duplex=False)
    server = spawn.Process(target=_serve_dns, args=(silent, sending), daemon=True)
    server.start()
    try:
        yield receiving.recv()
    finally:
        server.terminate()
        server.join(10)


@contextlib.contextmanager
def silent_host() -> Iterator[None]:
    """A port 25 whose backlog is full, so that further connections are neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((SILENT, 25))
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((SILENT, 25))
        yield


def measure(home: Path, sink: loads.CountingSink, dns: str, seconds: float, settle: float) -> dict[str, float]:
    """All figures of the daemon whose spool is in ``home``.  Raises ``RuntimeError`` if mail does not arrive."""
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
    """The latency of each message in milliseconds."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as session:
        for _ in range(times):
            with sink.expecting(1) as clock:
                session.sendmail("load@src.test", ["someone@sink.test"], MESSAGE)
            yield clock.seconds * 1000


async def make(home: Path) -> Path:
    """Make an empty spool; returns its database."""
    spool = SqliteSpool(home / "data")
    await spool.open(time.time())
    await spool.close()
    return home / "data" / "spool" / "queue.sqlite3"


def run(given: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Fill one spool and measure both daemons in turn; returns the figures and medians of each."""
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
        dns = stack.enter_context(dns_server(given.silent))
        if given.silent:
            stack.enter_context(silent_host())
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
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench dead_hosts", description="Cost of a queue for other mail.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="recipients in the queue (1,000,000)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each daemon is measured (2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds for each load (5)")
    parser.add_argument("--overdue", action="store_true", help="all recipients are due at the start")
    parser.add_argument(
        "--settle",
        type=float,
        default=0.0,
        help="seconds that the daemon with the backlog runs before it is measured (0)",
    )
    parser.add_argument("--silent", action="store_true", help="dead hosts do not answer; needs root, for port 25")
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
