"""``posthouse run`` with its workers, as a process group that can be killed; and numbered messages."""

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

__all__ = ["DaemonProcess", "content", "number_of", "running"]


class DaemonProcess:
    """One run of the daemon.  ``events`` are those of its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self.events: list[dict[str, Any]] = []
        self.other_lines: list[str] = []  # lines on standard error that are not events
        self._changed = asyncio.Event()
        self._listening: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Read its log, so that the daemon never waits for a reader."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                self.other_lines.append(line.decode("utf-8", "replace"))
                continue
            self.events.append(event)
            self._changed.set()
            if event["event"] == "listening" and not self._listening.done():
                host, _, port = event["at"].rpartition(":")
                self._listening.set_result(Endpoint(host, int(port)))
        if not self._listening.done():
            self._listening.set_exception(RuntimeError("the daemon did not start: " + "".join(self.other_lines)))

    async def endpoint(self) -> Endpoint:
        """Wait until it listens; its endpoint."""
        return await asyncio.shield(self._listening)

    async def until(self, event: str, times: int) -> None:
        """Wait for that many events of that name."""
        while sum(each["event"] == event for each in self.events) < times:
            self._changed.clear()
            await self._changed.wait()

    def kill(self) -> None:
        """Kill all its processes at once (SIGKILL); their process group has no others."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and asyncio does not know yet
                os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait until it has ended and its log is read; its exit code."""
        code = await self.process.wait()
        await self._reading
        return code


@contextlib.asynccontextmanager
async def running(directory: Path, text: str) -> AsyncIterator[DaemonProcess]:
    """Start ``posthouse run`` with a configuration; it is killed at the end if it still runs."""
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
    daemon = DaemonProcess(process)
    try:
        yield daemon
    finally:
        daemon.kill()
        await daemon.ended()


def content(number: int, size: int) -> bytes:
    """The content of message ``number``, about ``size`` octets; lines begin with dots."""
    stamp = hashlib.sha256(str(number).encode()).hexdigest().encode()
    head = b"From: <langrui@sohu.com>\r\nSubject: %d\r\nX-Size: %d\r\n" % (number, size)
    head += b"Date: Sun, 29 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@sohu.com>\r\n\r\n" % number
    line = b".%s %d\r\n" % (stamp, number)
    return head + line * (size // len(line)) + b"the end of %d\r\n" % number


def number_of(octets: bytes) -> tuple[int, int]:
    """The number and the size that stand in the header of a stored message."""
    head = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in head if line.startswith((b"Subject: ", b"X-Size: ")))
    return int(fields[b"Subject"]), int(fields[b"X-Size"])
