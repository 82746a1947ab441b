"""Cost of hostile clients for an honest one, for memory and for the log.

    scripts/bench abuse [attack...] [--seconds 8] [--workers 1] [--home DIR] [--json]

A daemon (``posthouse run``, the limits as they are by default but for 12,000 sessions in all, mail stored durably) is
attacked from one or two addresses, for the largest numbers of sessions from many, by one kind of client after the
other.  Beside each attack an honest client at another address opens a fresh connection up to 45 times a second, and
times a whole transaction from connect to the reply to QUIT.  Before each attack the same client is timed as long while
nothing else happens.

* **quiet, attacked**: the honest client's p50 and p99 in ms.  The aim is a p99 of at most 3 × the quiet one; *quiet*
  is the median of all quiet p99, because one alone is the time of a single transaction.
* **KiB/session**: how much the daemon's memory grows at its peak, for each hostile session that is open at one time;
  only for attacks that hold many.  The aim is at most 64 KiB.
* **log**, **sent**, **cpu**: KiB of log lines, MiB that the attackers have sent, processor time of the daemon.

A hostile client that is refused or ended connects again at once.  The attackers run at the lowest priority, because in
truth they are on other machines.  On a machine that does other work as well, ``chrt -r 5 scripts/bench abuse`` (as
root) keeps that work out of the figures, and ``--home /dev/shm`` the waiting for a disk that others use.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from suite import machine, peers

HONEST = "127.0.0.9"
AIM = 3.0  # × the quiet p99
AIM_KIB = 64.0  # for each hostile session
_PAUSE = 0.02  # seconds between two transactions of the honest client: p99 of fewer would be that of one slow sync
_PER_ADDRESS = 190  # sessions of one address, below the limit for one host
CONFIG = """
workers = {workers}
hostname = "bench.test"
data_dir = "{home}/data"
[[listener]]
bind = "127.0.0.1:{port}"
max_connections = 12000
[relay]
trusted_networks = ["127.0.0.2/32"]
[[domain]]
name = "hold.test"
deliver = "discard"
[[domain]]
name = "named.test"
mailboxes = ["someone"]
"""
EHLO = b"EHLO a\r\n"
MAIL = b"MAIL FROM:<a@b.test>\r\n"
RCPT = b"RCPT TO:<someone@hold.test>\r\n"
OPEN = EHLO + MAIL + RCPT
HOPS = (b"Received: by a\r\nX-Filler: " + b"x" * 926 + b"\r\n") * 5000 + b"\r\n.\r\n"


class Attack(NamedTuple):
    """One kind of hostile client.

    ``before`` is sent first, then ``repeated`` again and again in pieces of ``piece`` octets with ``pause`` seconds
    between them, in all at most ``most`` octets for each connection.  ``reads``: whether replies are read.
    ``at_most``: KiB for each session, the aim.  More than 190 sessions come from several addresses.
    ``open_first``: the honest client is timed when all sessions are open and have sent ``before``, else from the first
    connection on.
    """

    about: str
    repeated: bytes
    before: bytes = b""
    sessions: int = 1
    piece: int = 65_536
    pause: float = 0.0
    most: int = 1 << 60
    reads: bool = True
    source: str = "127.0.0.3"
    at_most: float = AIM_KIB
    open_first: bool = False


def _lines(line: bytes) -> bytes:
    return line * (65_536 // len(line))


TRUSTED = "127.0.0.2"
ATTACKS: dict[str, Attack] = {
    "hops": Attack("5,000 Received fields in a header of 5 MB", HOPS, OPEN + b"DATA\r\n"),
    "header": Attack("a header section without end", _lines(b"X-Y: " + b"x" * 70 + b"\r\n"), OPEN + b"DATA\r\n"),
    "helo": Attack("HELO", _lines(b"HELO a\r\n")),
    "helo-4": Attack("HELO, 4 connections", _lines(b"HELO a\r\n"), sessions=4),
    "helo-150": Attack("HELO, 150 connections", _lines(b"HELO a\r\n"), sessions=150),
    "ehlo": Attack("EHLO", _lines(EHLO)),
    "noop-one": Attack("NOOP, one at a time, 50 connections", b"NOOP\r\n", piece=6, sessions=50),
    "mail-ehlo": Attack("MAIL and EHLO", _lines(MAIL + EHLO), EHLO),
    "mail-size": Attack("MAIL with a SIZE too large", _lines(b"MAIL FROM:<> SIZE=99999999999\r\n"), EHLO),
    "rcpt-unknown": Attack("RCPT for unknown mailboxes", _lines(b"RCPT TO:<u@named.test>\r\n"), EHLO + MAIL),
    "rcpt-relay": Attack("RCPT where relaying is denied", _lines(b"RCPT TO:<u@else.test>\r\n"), EHLO + MAIL),
    "rcpt-452": Attack("RCPT beyond max_recipients", _lines(RCPT), EHLO + MAIL, source=TRUSTED),
    "syntax": Attack("lines that are no commands", _lines(b"FOO\r\n")),
    "connect": Attack("a connection and QUIT, 8 connections", b"QUIT\r\n", sessions=8),
    "bdat-0": Attack("BDAT 0", _lines(b"BDAT 0\r\n"), OPEN),
    "bdat-1": Attack("BDAT 1", _lines(b"BDAT 1\r\nx"), OPEN),
    "ehlo-unread": Attack("EHLO, replies not read", _lines(EHLO), sessions=195, reads=False),
    "help-unread": Attack("HELP, replies not read", _lines(b"HELP\r\n"), sessions=195, reads=False),
    "bdat-held": Attack("64 KB in BDAT 2", b"BDAT 2\r\nxy" * 32_000, OPEN, sessions=100, most=320_000),
    "data-held": Attack("content in pieces of 2 octets", b"xy", OPEN + b"DATA\r\n", 50, 2, 0.0005, 32_000),
    "content-held": Attack("60,000 octets of content", b"x" * 60_000, OPEN + b"DATA\r\n", 195, most=60_000),
    "half-command": Attack("half a command, an octet each 0.5 s", b"N", EHLO, 195, 1, 0.5),
    "endless-line": Attack("a command line without end", b"x" * 65_536, EHLO),
    "open-10000": Attack("10,000 sessions while they are opened", b"", EHLO, 10_000, at_most=8.0),
    "idle-10000": Attack("10,000 sessions, idle after EHLO", b"", EHLO, 10_000, at_most=8.0, open_first=True),
    "octet-1000": Attack("1,000 sessions, an octet of content a second", b"x", OPEN + b"DATA\r\n", 1_000, 1, 1.0),
    "noop": Attack("NOOP, pipelined, 20 connections", _lines(b"NOOP\r\n"), EHLO, 20),
    "garbage": Attack("pipelined octets of all kinds, 20 connections", bytes(range(1, 256)) * 256, EHLO, 20),
    "endless-chunk": Attack("chunks without a last one", b"BDAT 60000\r\n" + b"x" * 60_000, OPEN),
    "endless-data": Attack("a line of content without end", b"x" * 65_536, OPEN + b"DATA\r\n"),
}


# -- the attackers -----------------------------------------------------------------------------------------------------


class _Connection:
    """One hostile connection, opened again whenever it ends."""

    def __init__(self, attack: Attack, port: int, number: int) -> None:
        self._attack = attack
        self._source = attack.source if number < _PER_ADDRESS else f"127.1.{number // _PER_ADDRESS}.1"
        self._port = port
        self._socket: socket.socket | None = None
        self._due = 0.0
        self._rest = b""
        self._sent = 0

    def run(self, selector: selectors.BaseSelector, now: float) -> int:
        """Send and read what is possible now; returns the octets sent."""
        try:
            if self._socket is None:
                self._open(selector)
            return self._exchange(now)
        except BlockingIOError:
            return 0
        except OSError:
            self._close(selector)
            self._due = now + 0.002
            return 0

    def _open(self, selector: selectors.BaseSelector) -> None:
        attack = self._attack
        self._socket = socket.socket()
        # The kernel would else copy 4 MiB for each into buffers of this machine, which are no cost of the daemon's.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        if not attack.reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind((self._source, 0))
        self._socket.connect(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._rest, self._sent = attack.before, 0
        selector.register(self._socket, selectors.EVENT_READ if attack.reads else selectors.EVENT_WRITE)

    def _close(self, selector: selectors.BaseSelector) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError, ValueError):
                selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _exchange(self, now: float) -> int:
        assert self._socket is not None
        attack = self._attack
        if attack.reads:
            with contextlib.suppress(BlockingIOError):
                while data := self._socket.recv(65_536):
                    if len(data) < 65_536:
                        break
                if not data:
                    raise ConnectionError
        if now < self._due or (not self._rest and self._sent >= attack.most):
            return 0
        if not self._rest:
            if not attack.repeated:
                return 0
            self._rest = attack.repeated
        sent = self._socket.send(self._rest[: attack.piece])
        self._rest = self._rest[sent:]
        self._sent += sent
        self._due = now + attack.pause
        return sent


def _attack(name: str, port: int, over: Event, sent: Any) -> None:
    """The process of the attackers."""
    os.nice(19)
    with contextlib.suppress(OSError):  # under chrt, which keeps other programs of the machine out of the figures
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    attack = ATTACKS[name]
    selector = selectors.DefaultSelector()
    machine.raise_file_limit()
    connections = [_Connection(attack, port, number) for number in range(attack.sessions)]
    while not over.is_set():
        now = time.monotonic()
        moved = 0
        for each in connections:
            moved += each.run(selector, now)
        with sent.get_lock():
            sent.value += moved
        if not moved:
            time.sleep(0.001)


# -- the honest client -------------------------------------------------------------------------------------------------


def _honest(port: int, seconds: float, found: Any) -> None:
    """The process of the honest client: the seconds of each transaction."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.perf_counter()
        _transaction(port)
        times.append(time.perf_counter() - begun)
        time.sleep(_PAUSE)
    found.put(times)


def _transaction(port: int) -> None:
    content = b"From: a@b.test\r\nSubject: honest\r\n\r\n" + b"x" * 70 + b"\r\n.\r\n"
    with socket.create_connection(("127.0.0.1", port), 60, (HONEST, 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _hear(sock, b"220")
        for octets, code in ((EHLO, b"250"), (MAIL, b"250"), (RCPT, b"250"), (b"DATA\r\n", b"354"), (content, b"250")):
            sock.sendall(octets)
            _hear(sock, code)
        sock.sendall(b"QUIT\r\n")
        _hear(sock, b"221")


def _hear(sock: socket.socket, code: bytes) -> None:
    reply = b""
    while not (reply.endswith(b"\n") and reply[:-1].rpartition(b"\n")[2][3:4] in (b" ", b"\r")):
        more = sock.recv(4096)
        if not more:
            raise RuntimeError(f"the daemon closed the honest session; it had said {reply!r}")
        reply += more
    if not reply.startswith(code):
        raise RuntimeError(f"the daemon said {reply!r} to the honest client, not {code.decode()}")


def _timed(port: int, seconds: float) -> list[float]:
    """The honest client's times in ms, sorted; it runs in a process of its own."""
    found: Any = multiprocessing.Queue()
    client = multiprocessing.Process(target=_honest, args=(port, seconds, found))
    client.start()
    try:
        times: list[float] = found.get(timeout=seconds + 120)
    finally:
        client.kill()
        client.join()
    return sorted(1000 * each for each in times)


# -- the measurement ---------------------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """What one attack costs; times in ms.  ``session`` is KiB for each hostile session, or None."""

    attack: str
    about: str
    quiet_p50: float
    quiet_p99: float
    p50: float
    p99: float
    session: float | None
    log_kib: float
    sent_mib: float
    processor: float


def share(times: list[float], part: float) -> float:
    """The smallest of the sorted times that at least ``part`` of them do not exceed."""
    return times[max(0, math.ceil(part * len(times)) - 1)]


def _wait_until_open(attack: Attack, sent: Any) -> None:
    """Wait until all sessions have sent what comes first, and for the end of what that has set off."""
    end = time.monotonic() + 120
    while sent.value < attack.sessions * len(attack.before):
        if time.monotonic() > end:
            raise RuntimeError(f"{attack.sessions:,} sessions were not open within 120 s")
        time.sleep(0.1)
    time.sleep(2.0)


def measure(name: str, side: peers.Side, seconds: float) -> Figures:
    """Attack ``side`` for ``seconds``."""
    attack = ATTACKS[name]
    quiet = _timed(side.port, seconds)
    log = side.home / "posthouse.log"
    before, lines = side.begin_peak(), log.stat().st_size
    over, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
    attacker = multiprocessing.Process(target=_attack, args=(name, side.port, over, sent))
    attacker.start()
    try:
        if attack.open_first:
            _wait_until_open(attack, sent)
        begun, used = time.monotonic(), side.cpu()
        times = _timed(side.port, seconds)
        used = (side.cpu() - used) / (time.monotonic() - begun)
        grown = side.peak() - before
    finally:
        over.set()
        attacker.join(10)
        attacker.kill()
    held = grown / 1024 / attack.sessions if attack.sessions >= 50 else None
    return Figures(
        name,
        attack.about,
        share(quiet, 0.5),
        share(quiet, 0.99),
        share(times, 0.5),
        share(times, 0.99),
        held,
        (log.stat().st_size - lines) / 1024,
        sent.value / (1 << 20),
        100.0 * used,
    )


def table(found: list[Figures]) -> str:
    """The figures as an aligned table."""
    usual = quiet_p99(found)
    rows = [
        (
            "attack",
            "quiet p50/p99",
            "attacked p50/p99",
            "p99 ratio",
            "KiB/session",
            "log KiB",
            "sent MiB",
            "cpu",
            "what",
        )
    ]
    rows += [
        (
            each.attack,
            f"{each.quiet_p50:.1f}/{each.quiet_p99:.1f}",
            f"{each.p50:.1f}/{each.p99:.1f}",
            f"{each.p99 / usual:.2f}",
            "" if each.session is None else f"{each.session:.1f}",
            f"{each.log_kib:.0f}",
            f"{each.sent_mib:.1f}",
            f"{each.processor:.0f} %",
            each.about,
        )
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def quiet_p99(found: list[Figures]) -> float:
    """The usual p99 while nothing else happens."""
    return statistics.median(each.quiet_p99 for each in found)


def missed(found: list[Figures]) -> list[str]:
    """The attacks that missed an aim."""
    usual = quiet_p99(found)
    return [
        each.attack for each in found if each.p99 > AIM * usual or (each.session or 0.0) > ATTACKS[each.attack].at_most
    ]


@contextlib.contextmanager
def daemon(home: Path, workers: int) -> Iterator[peers.Side]:
    """A daemon with the default limits."""
    port = peers.free_port()
    (home / "posthouse.toml").write_text(CONFIG.format(home=home, port=port, workers=workers))
    command = [sys.executable, "-m", "posthouse", "run", "--config", str(home / "posthouse.toml")]
    with peers.running("posthouse", "", port, command, home) as side:
        yield side


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for; 1 if an aim was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench abuse", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("attack", nargs="*", help=f"{', '.join(ATTACKS)}; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack, and of quiet before it (8)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the daemon (1)")
    parser.add_argument(
        "--home", type=Path, help="where the spool is for the time being; a directory of temporary files"
    )
    parser.add_argument("--json", action="store_true", help="a JSON list instead of the table")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.attack if name not in ATTACKS]
    if unknown:
        parser.error(f"there is no attack {unknown[0]!r}; choose from {', '.join(ATTACKS)}")
    machine.raise_file_limit()
    home = Path(tempfile.mkdtemp(prefix="posthouse-bench-", dir=given.home))
    found = []
    try:
        with daemon(home, given.workers) as side:
            _timed(side.port, 1.0)
            for name in given.attack or ATTACKS:
                print(f"{name} …", file=sys.stderr)
                found.append(measure(name, side, given.seconds))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps([each._asdict() for each in found], indent=1) if given.json else table(found))
    late = missed(found)
    if late:
        print(f"an aim was missed: {', '.join(late)}", file=sys.stderr)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
