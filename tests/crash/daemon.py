"""``posthouse run`` with its workers as a process group that can be killed; and letters that name themselves."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from posthouse.net import Endpoint

__all__ = ["Daemon", "letter", "number_of", "running"]


class Daemon:
    """One life of the daemon.  ``told`` is what its log said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self.told: list[dict[str, Any]] = []
        self.noise: list[str] = []  # lines on standard error that are no events
        self._changed = asyncio.Event()
        self._listening: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Take its log, so that it never waits for a reader."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                self.noise.append(line.decode("utf-8", "replace"))
                continue
            self.told.append(event)
            self._changed.set()
            if event["event"] == "listening" and not self._listening.done():
                host, _, port = event["at"].rpartition(":")
                self._listening.set_result(Endpoint(host, int(port)))
        if not self._listening.done():
            self._listening.set_exception(RuntimeError("the daemon did not start: " + "".join(self.noise)))

    async def endpoint(self) -> Endpoint:
        """Where it listens, as soon as it does."""
        return await asyncio.shield(self._listening)

    async def until(self, event: str, times: int) -> None:
        """Wait for that many events of that name."""
        while sum(each["event"] == event for each in self.told) < times:
            self._changed.clear()
            await self._changed.wait()

    def kill(self) -> None:
        """kill -9 for all its processes at once; they are alone in their group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and nobody has heard of it yet
                os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Its exit code, when it has ended and everything it said was read."""
        code = await self.process.wait()
        await self._reading
        return code


@contextlib.asynccontextmanager
async def running(directory: Path, text: str) -> AsyncIterator[Daemon]:
    """Start ``posthouse run`` with a configuration; killed at the end if it still lives."""
    directory.mkdir(exist_ok=True)
    config = directory / "posthouse.toml"
    config.write_text(f'data_dir = "{directory}/data"\n{text}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posthouse", "run", "--log", "json", "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        limit=1 << 20,
        start_new_session=True,
    )
    daemon = Daemon(process)
    try:
        yield daemon
    finally:
        daemon.kill()
        await daemon.ended()


def letter(number: int, size: int) -> bytes:
    """A letter of about ``size`` octets that no other number has, dots at the start of lines included."""
    stamp = hashlib.sha256(str(number).encode()).hexdigest().encode()
    head = b"From: <langrui@sohu.com>\r\nSubject: %d\r\nX-Size: %d\r\n\r\n" % (number, size)
    line = b".%s %d\r\n" % (stamp, number)
    return head + line * (size // len(line)) + b"the end of %d\r\n" % number


def number_of(octets: bytes) -> tuple[int, int]:
    """Number and size that a stored letter says it has."""
    head = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in head if line.startswith((b"Subject: ", b"X-Size: ")))
    return int(fields[b"Subject"]), int(fields[b"X-Size"])
