"""Signals to the daemon, and functions of the operator's own that do not let it end."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0

HANDLERS = '''
import asyncio, multiprocessing, os, time

async def swallows(envelope, content):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def blocks(envelope, content):
    time.sleep(3600)

def forks(envelope, content):
    """A child that lives on and holds whatever it inherits."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
        os._exit(0)
    with open(os.environ["CHILD_PID"], "a") as file:
        file.write(f"{pid}\\n")
'''


class Daemon:
    """The daemon of a configuration with one domain, run by a script that may change constants first."""

    def __init__(
        self, home: Path, *, workers: int = 1, deliver: str = "mailbox", before: str = "", drain: float = 30.0
    ):
        self.home = home
        self.pid_file = home / "children"
        (home / "odd_handlers.py").write_text(HANDLERS)
        self.config = home / "posthouse.toml"
        self.config.write_text(
            f'hostname = "daemon.test"\ndata_dir = "{home}/data"\nworkers = {workers}\n'
            f'[[listener]]\nbind = "127.0.0.1:0"\n'
            f'[[domain]]\nname = "sina.com"\ndeliver = "{deliver}"\nmailboxes = "any"\n'
        )
        self.script = (
            "import faulthandler, os, signal, sys\n"
            "faulthandler.register(signal.SIGRTMIN)\n"  # for ``stacks``
            "from posthouse.cli.context import run as loop\n"
            "from posthouse.service.config_file import load\n"
            "from posthouse.service.daemon import serve, supervisor\n"
            f"{before}\n"
            "def ready(opened):\n"
            # In one write: the workers write to this file too, and ``print`` writes in pieces if nothing is buffered.
            "    os.write(1, f'listening on {opened.endpoints[\"mx\"]}\\n'.encode())\n"
            f"supervisor.run(load(sys.argv[1]), loop=loop, ready=ready, drain={drain})\n"
        )
        self.log = home / "log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(self.home), *filter(None, [os.environ.get("PYTHONPATH")])])
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-c", self.script, str(self.config)],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": path, "CHILD_PID": str(self.pid_file)},
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until the log has it."""

        def said() -> re.Match[str] | None:
            found = re.search(pattern, self.text(), re.MULTILINE)
            assert found or self.process.poll() is None, self.text()
            return found

        try:
            found = until(lambda: said())
        except AssertionError as late:
            raise AssertionError(f"the log lacks {pattern}:\n{self.stacks()}") from late
        assert isinstance(found, re.Match)
        return found

    def stacks(self) -> str:
        """The log, after what each process was doing and how much processor time it has had is written there."""
        if self.process.poll() is not None:
            return self.text()
        for pid in [self.process.pid, *self.workers()]:
            with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as log:
                times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks = os.sysconf("SC_CLK_TCK")
                waits = Path(f"/proc/{pid}/wchan").read_text()
                log.write(
                    f"process {pid}: {times[0]} in {waits}, {int(times[11]) / ticks} + {int(times[12]) / ticks} s\n"
                )
                before = log.tell()
                log.flush()
                os.kill(pid, signal.SIGRTMIN)
                with contextlib.suppress(AssertionError):  # a process that is starved does not answer
                    until(lambda before=before: "most recent call first" in self.text()[before:], 10.0)
        return self.text()

    def port(self) -> int:
        return int(self.until(r"^listening on 127\.0\.0\.1:(\d+)").group(1))

    def send(self, number: int = 1) -> None:
        with smtplib.SMTP("127.0.0.1", self.port(), timeout=PATIENCE) as client:
            for each in range(number):
                client.sendmail("a@far.test", ["b@sina.com"], f"Subject: {each}\r\n\r\nx\r\n")

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def children(self) -> list[int]:
        return [int(each) for each in self.pid_file.read_text().split()] if self.pid_file.exists() else []

    def end(self) -> None:
        pids = [*self.children()]
        if self.process.poll() is None:
            pids += [*self.workers(), self.process.pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def until(ready: Callable[..., object], seconds: float = PATIENCE) -> object:
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def refused(port: int) -> bool:
    """Whether nothing listens; a connection that is accepted by the kernel and answered by nobody is not enough."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def start(**how: Any) -> Daemon:
        started.append(Daemon(tmp_path, **how))
        return started[-1]

    yield start
    for each in started:
        each.end()


pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the workers")


@pytest.mark.parametrize("workers", [1, 2])
def test_other_signals_are_logged_and_end_nothing(daemon: Callable[..., Daemon], workers: int) -> None:
    running = daemon(workers=workers)
    with socket.create_connection(("127.0.0.1", running.port()), PATIENCE) as sock, sock.makefile("rb") as replies:
        sock.sendall(b"EHLO me\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<b@sina.com>\r\nDATA\r\n")
        while not (line := replies.readline()).startswith(b"354"):
            assert line
        for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF"):
            number = getattr(signal, name)
            for pid in [running.process.pid, *(running.workers() if workers > 1 else [])]:
                os.kill(pid, number)
            running.until(f" signal name={name} text=")
        running.until(" reload by=SIGHUP reason=.* was started without a configuration file")
        running.process.send_signal(signal.SIGQUIT)
        running.until(" draining ")
        until(lambda: refused(running.port()))
        sock.sendall(b"Subject: in time\r\n\r\nx\r\n.\r\n")
        assert replies.readline().startswith(b"250 ")
        assert replies.readline().startswith(b"421 ")
    assert running.process.wait(PATIENCE) == 0
    assert running.text().count(" signal name=SIGHUP ") == 1
    assert "Traceback" not in running.text()


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored(daemon: Callable[..., Daemon]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        running = daemon()
    finally:
        signal.signal(signal.SIGHUP, before)
    running.port()
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGUSR1)
    running.until(" signal name=SIGUSR1 ")
    assert "SIGHUP" not in running.text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_stops_the_daemon_in_order(tmp_path: Path, workers: int) -> None:
    (tmp_path / "posthouse.toml").write_text(
        f'data_dir = "{tmp_path}/data"\nworkers = {workers}\n[[listener]]\nbind = "127.0.0.1:0"\n'
    )
    pid, terminal = pty.fork()
    if pid == 0:
        with open(tmp_path / "log", "wb") as log:
            os.dup2(log.fileno(), 2)
        command = [sys.executable, "-m", "posthouse", "run", "--config", str(tmp_path / "posthouse.toml")]
        os.execv(command[0], command)
    timer = threading.Timer(PATIENCE, os.kill, (pid, signal.SIGKILL))
    timer.start()
    try:
        said = b""
        while b"Ctrl-C stops the daemon" not in said:
            said += os.read(terminal, 4096)
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    finally:
        timer.cancel()
    log = (tmp_path / "log").read_text("utf-8")
    assert os.waitstatus_to_exitcode(status) == 0, log
    assert "the terminal was closed" in log
    assert " ended" in log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_that_swallows_its_cancellation_does_not_keep_the_daemon(
    daemon: Callable[..., Daemon], workers: int
) -> None:
    running = daemon(workers=workers, deliver="python:odd_handlers:swallows", drain=0.2)
    running.send()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0, running.text()
    assert "ignored their cancellation" in running.text()


def test_a_function_that_blocks_the_event_loop_does_not_keep_the_daemon(daemon: Callable[..., Daemon]) -> None:
    running = daemon(deliver="python:odd_handlers:blocks", drain=0.2, before="serve.REST = 0.2")
    running.send()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 70
    assert "had not stopped 0.4 s after it was asked to" in running.text()


def test_a_second_signal_ends_a_daemon_whose_event_loop_is_blocked(daemon: Callable[..., Daemon]) -> None:
    running = daemon(deliver="python:odd_handlers:blocks")
    running.send()
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGTERM)
    # Two signals of one number may become one: the second is sent until it has been noticed.
    while running.process.poll() is None:
        running.process.send_signal(signal.SIGQUIT)
        time.sleep(0.05)
    assert running.process.wait(PATIENCE) in (128 + signal.SIGTERM, 128 + signal.SIGQUIT)


# Workers -------------------------------------------------------------------------------------------------------------


def greeted(port: int) -> None:
    """One connection is answered."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        assert sock.recv(4) == b"220 "


def leads(pid: int) -> list[str]:
    """Where the descriptors of a process lead; one that is closed meanwhile leads nowhere."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(each))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_children_of_a_handler_hold_neither_the_worker_nor_its_port(
    daemon: Callable[..., Daemon], workers: int
) -> None:
    running = daemon(workers=workers, deliver="python:odd_handlers:forks")
    port = running.port()
    running.send(4)
    until(lambda: len(running.children()) >= 4)
    for pid in running.children():  # each gives up what it has inherited before its own code goes on
        until(lambda pid=pid: not [each for each in leads(pid) if each.startswith(str(running.home / "data"))])
        assert str(running.log) in leads(pid)  # what is not the daemon's stays
    # A signal to such a child is no signal to the daemon.
    os.kill(running.children()[0], signal.SIGTERM)
    if workers > 1:
        before = running.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and not set(before) & set(running.workers()))
        assert running.text().count(" worker died ") == 2
    for _ in range(8):
        greeted(port)
    assert " draining" not in running.text()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()


HASTY = "supervisor._HANGS, supervisor._KILLED = 3.0, {}"


def test_new_connections_do_not_wait_for_a_worker_that_hangs(daemon: Callable[..., Daemon]) -> None:
    running = daemon(workers=2, before=HASTY.format(3600))
    port = running.port()
    stopped = running.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        # Some of these go to the worker that is stopped; they are answered when the other takes them.
        for _ in range(12):
            greeted(port)
        running.until(rf" worker hangs worker=0 pid={stopped} text=\"not heard for 3 s; others take its connections")
        for _ in range(12):
            greeted(port)
    finally:
        os.kill(stopped, signal.SIGCONT)
    running.until(rf" worker hangs worker=0 pid={stopped} text=\"it is heard again\"")
    for _ in range(12):
        greeted(port)
    assert stopped in running.workers()
    assert " fault " not in running.text()


def test_a_worker_that_hangs_for_long_is_killed_and_replaced(daemon: Callable[..., Daemon]) -> None:
    running = daemon(workers=2, before=HASTY.format(6.0))
    port = running.port()
    stopped = running.workers()[1]
    os.kill(stopped, signal.SIGSTOP)
    running.until(rf" worker died worker=1 pid={stopped} reason=\"killed, because it had not been heard for 6 s\"")
    until(lambda: len(running.workers()) == 2)
    for _ in range(12):
        greeted(port)


HANGS_AT_ITS_START = """
import os, time
from posthouse.service.daemon import daemon
start = daemon.Daemon.start
async def hangs_once(self):
    try:
        os.close(os.open(os.environ["CHILD_PID"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return await start(self)
    time.sleep(3600)
daemon.Daemon.start = hangs_once
"""


def test_a_worker_that_hangs_while_it_starts_is_killed_and_replaced(daemon: Callable[..., Daemon]) -> None:
    running = daemon(workers=2, before=HASTY.format(6.0) + HANGS_AT_ITS_START)
    greeted(running.port())
    assert running.text().count("killed, because it had not been heard for 6 s") == 1


def test_connections_are_answered_while_a_dead_worker_is_replaced(daemon: Callable[..., Daemon]) -> None:
    running = daemon(workers=2)
    port = running.port()
    for _ in range(2):
        os.kill(running.workers()[0], signal.SIGKILL)
        for _ in range(6):
            greeted(port)


def test_connections_do_not_wait_for_a_worker_that_drains_alone(daemon: Callable[..., Daemon]) -> None:
    running = daemon(workers=2)
    port = running.port()
    drained = running.workers()[0]
    held = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(12)]
    for sock in held:  # some of these are in the middle of a message, and keep the worker for its whole time
        sock.sendall(b"EHLO me\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<b@sina.com>\r\nDATA\r\n")
        with sock.makefile("rb") as replies:
            while not (line := replies.readline()).startswith(b"354"):
                assert line
    os.kill(drained, signal.SIGTERM)
    running.until(" draining ")
    for _ in range(12):
        greeted(port)
    assert drained in running.workers()
    for sock in held:
        sock.close()
    until(lambda: drained not in running.workers() and len(running.workers()) == 2)
