"""Several workers: they share the ports and the spool, are replaced when they die, and end with their parent."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE = 60.0


def until(what: str, ready: Callable[[], object]) -> object:
    """Wait for a condition, bounded."""
    end = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.02)
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Daemon:
    def __init__(self, home: Path, port: int = 0, listener: str = "") -> None:
        self.log = home / f"log{time.monotonic_ns()}"
        config = home / "posthouse.toml"
        config.write_text(
            f'hostname = "daemon.test"\ndata_dir = "{home}/data"\nworkers = 2\n'
            f'[[listener]]\nbind = "127.0.0.1:{port}"\nkind = "mx"\n{listener}\n'
            '[[domain]]\nname = "sina.com"\ndeliver = "mailbox"\nmailboxes = ["renping"]\n'
        )
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "posthouse", "run", "--config", str(config)], stdout=out, stderr=out
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def opened(self) -> int:
        """The port, once every worker is ready."""

        def said() -> re.Match[str] | None:
            assert self.process.poll() is None, self.text()
            return re.search(r"^listening on 127\.0\.0\.1:(\d+)", self.text(), re.MULTILINE)

        found = until("listening", said)
        assert isinstance(found, re.Match)
        return int(found.group(1))

    def kill(self) -> None:
        for pid in [*children(self.process.pid), self.process.pid]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    started = Daemon(tmp_path)
    try:
        yield started
    finally:
        started.kill()


pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the workers")


def test_workers_share_the_port_and_the_spool(daemon: Daemon, tmp_path: Path) -> None:
    port = daemon.opened()
    assert len(children(daemon.process.pid)) == 2
    for number in range(12):
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail("langrui@sohu.com", ["renping@sina.com"], f"Subject: {number}\r\n\r\nhello\r\n")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE) == 0, daemon.text()
    listing = subprocess.run(
        [sys.executable, "-m", "posthouse", "inbox", "list", "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert listing.stdout.count("renping@sina.com") == 12
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5.0).close()


def test_a_worker_that_dies_is_replaced(daemon: Daemon) -> None:
    port = daemon.opened()
    before = children(daemon.process.pid)
    os.kill(before[0], signal.SIGKILL)

    def replaced() -> bool:
        now = children(daemon.process.pid)
        return len(now) == 2 and before[0] not in now

    until("another worker", replaced)
    assert "worker died" in daemon.text()
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        assert client.noop()[0] == 250


def test_workers_end_when_their_parent_vanishes(daemon: Daemon) -> None:
    daemon.opened()
    workers = children(daemon.process.pid)
    daemon.process.kill()
    daemon.process.wait(PATIENCE)
    until("the workers' end", lambda: not any(alive(pid) for pid in workers))


#: A worker that logs an event in the turn in which it learns that its parent has gone.
ORPHAN = """
import asyncio, os, socket, types
from posthouse.net import SystemClock
from posthouse.service.daemon.event_log import EventLog
from posthouse.service.daemon.parent import ParentLink
from posthouse.service.policy.shared_counts import SharedCounts

async def main():
    log = EventLog(SystemClock())
    ours, theirs = socket.socketpair()
    link = ParentLink(0, [{}], os.pipe()[1], ours, SharedCounts(1))
    link.watch(types.SimpleNamespace(log=log))
    theirs.close()
    log("accepted", id="Q1")
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_worker_whose_parent_vanishes_writes_its_log_first() -> None:
    ended = subprocess.run([sys.executable, "-c", ORPHAN], stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode().endswith("accepted id=Q1\n")


#: A worker that is ordered to abandon a change and to prepare another while it still prepares the first.
OVERTAKEN = """
import asyncio, os, socket, types
from posthouse.service import parse
from posthouse.service.daemon.parent import ParentLink, send_change
from posthouse.service.policy.shared_counts import SharedCounts

CONFIG = parse('hostname = "x.test"')

async def main():
    ours, theirs = socket.socketpair()
    told, status = os.pipe()
    link = ParentLink(0, [{}], status, ours, SharedCounts(1))
    begun, imported = asyncio.Event(), asyncio.Event()

    async def prepare(config):
        begun.set()
        await imported.wait()

    link.watch(types.SimpleNamespace(prepare=prepare, log=print))
    send_change(theirs, 1, CONFIG, [])
    await begun.wait()
    theirs.sendall(b"abandon 1\\n")
    send_change(theirs, 2, CONFIG, [])
    while len(link._wanted) < 2:
        await asyncio.sleep(0)
    imported.set()
    heard = b""
    while b"prepared 2\\n" not in heard:
        heard += await asyncio.to_thread(os.read, told, 4096)

asyncio.run(asyncio.wait_for(main(), 20))
"""


def test_a_change_that_comes_while_an_abandoned_one_is_prepared_is_prepared_next() -> None:
    """A handler's module may take long to import; what belongs to the next order must not go with the first."""
    command = [sys.executable, "-c", OVERTAKEN]
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_second_signal_loses_no_line_of_the_log(daemon: Daemon) -> None:
    port = daemon.opened()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock, sock.makefile("rb") as replies:
        sock.sendall(b"EHLO x.test\r\nMAIL FROM:<ann@x.test>\r\n")
        while not replies.readline().startswith(b"250 2.1.0"):
            pass
        daemon.process.send_signal(signal.SIGTERM)
        until("the drain", lambda: " draining " in daemon.text())
        sock.sendall(b"RCPT TO:<nobody@sina.com>\r\n")
        assert replies.readline().startswith(b"550 ")
        daemon.process.send_signal(signal.SIGTERM)  # the line about the 550 is gathered for 5 ms
        assert daemon.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert "recipient=nobody@sina.com" in daemon.text()
    assert 'ended reason="a second signal"' in daemon.text()


def test_a_second_daemon_cannot_share_the_port_by_mistake(daemon: Daemon, tmp_path: Path) -> None:
    port = daemon.opened()
    other = tmp_path / "other"
    other.mkdir()
    second = Daemon(other, port)
    try:
        assert second.process.wait(PATIENCE) != 0
        assert str(port) in second.text()
        assert "Traceback" not in second.text()
    finally:
        second.kill()


def test_a_limit_on_sessions_holds_for_all_workers_and_a_killed_one_gives_its_sessions_back(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, listener="max_connections_per_host = 6")
    try:
        port = daemon.opened()

        def greeted() -> tuple[socket.socket, bytes]:
            sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
            return sock, sock.recv(4096)[:4]

        sessions = [greeted() for _ in range(6)]
        assert [said for _, said in sessions] == [b"220 "] * 6
        refused, said = greeted()
        assert said == b"421 "
        refused.close()
        for pid in children(daemon.process.pid):
            os.kill(pid, signal.SIGKILL)
        for sock, _ in sessions:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(4096) == b""
            sock.close()

        def opens_six() -> bool:
            with contextlib.ExitStack() as opened:
                try:
                    again = [
                        opened.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE)) for _ in "123456"
                    ]
                    return [sock.recv(4096)[:4] for sock in again] == [b"220 "] * 6
                except ConnectionError:
                    return False

        until("new workers with all six places", opens_six)
    finally:
        daemon.kill()
