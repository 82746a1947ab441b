"""A whole daemon as a child process, as an operator runs it: ``posthouse run --config FILE``."""

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

PATIENCE = 60.0


def until(ready: Callable[[], Any], what: Callable[[], str] = lambda: "") -> Any:
    """Wait until ``ready`` returns something true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < end, what()
        time.sleep(0.02)
    return found


class Dialogue:
    """An open session."""

    def __init__(self, place: int | str) -> None:
        if isinstance(place, int):
            self.sock = socket.create_connection(("127.0.0.1", place), PATIENCE)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(PATIENCE)
            self.sock.connect(place)
        self._replies: IO[bytes] = self.sock.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        lines = []
        while line := self._replies.readline().decode():
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    def ask(self, command: str) -> str:
        self.sock.sendall(command.encode() + b"\r\n")
        return self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._replies.close()
        self.sock.close()


class WholeDaemon:
    """The daemon of a configuration file in ``home``; ``settings`` is the file's text without data_dir and workers."""

    def __init__(
        self,
        home: Path,
        settings: str,
        *,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        **how: Any,
    ) -> None:
        self.home = home
        self.workers = workers
        self.config = home / "posthouse.toml"
        self.write(settings)
        self.log = home / "log"
        command = [sys.executable, "-m", "posthouse", "run", "--config", str(self.config), *options]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env={**os.environ, **(environment or {})}, **how
            )

    def write(self, settings: str) -> None:
        self.config.write_text(
            f'hostname = "daemon.test"\ndata_dir = "{self.home}/data"\nworkers = {self.workers}\n{settings}'
        )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until the log has a pattern, so many times; returns the last."""

        def said() -> re.Match[str] | None:
            found = list(re.finditer(pattern, self.text(), re.MULTILINE))
            assert len(found) >= times or self.process.poll() is None, self.text()
            return found[times - 1] if len(found) >= times else None

        found = until(said, self.text)
        assert isinstance(found, re.Match)
        return found

    def port(self, name: str = "mx") -> int:
        """The port of a listener, once it is open in every worker."""
        return int(self.until(rf"^\S+ listening name={name} .*at=\S+:(\d+)$", self.workers).group(1))

    def up(self) -> None:
        """Wait until the daemon has said that it is up."""
        self.until("^mail is kept in ")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The end of a command beside the daemon."""
        return subprocess.run(
            [sys.executable, "-m", "posthouse", *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def reload(self) -> str:
        """What a reload says; it must succeed."""
        done = self.command("reload")
        assert done.returncode == 0, done.stderr + self.text()
        return done.stdout

    def send(self, port: int, recipient: str = "renping@sina.com", number: int = 1) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            for each in range(number):
                client.sendmail("langrui@sohu.com", [recipient], f"Subject: {each}\r\n\r\nhello\r\n")

    def children(self) -> list[int]:
        pid = self.process.pid
        try:
            return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def stop(self) -> int:
        """Stop it in order; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        pids = [*self.children(), self.process.pid] if self.process.poll() is None else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def refused(port: int) -> bool:
    """Whether nothing listens at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False
