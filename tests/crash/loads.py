"""Load generators for the daemon that is killed: sessions of our own client, and Postfix's smtp-source.

Each message has a name, the local part of its recipient, by which the sink knows its content.  A load keeps the names
that it sent, and those for which it has read 250.

**smtp-source** runs one session in each of several processes.  Its counter (-c) is the number of messages *sent*: it is
printed after the dot, before the reply.  With -v it also prints each command and each reply, and a message counts as
promised when a positive reply to the dot has been read.  The counter must then be equal, or one more if the last reply
never came.  -N numbers the recipients, and the name of the process follows the number.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path

from posthouse.client import connect
from posthouse.core import Address, Bytes, Envelope, NetworkError, Recipient, RemoteError, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock

from .daemon import content

__all__ = ["Load", "OurClient", "SmtpSource"]

SESSIONS = 8
SMALL, LARGE = 4096, 300_000  # octets; large content is in files
EACH_LARGE = 16  # of our client's messages, one in so many is large
_SAID = "smtp-source: "
_RCPT = re.compile(r"RCPT TO:<([0-9a-z]+)@sink\.test>")


def _nothing() -> None:
    """Do nothing."""


class Load:
    """Sessions that send messages to the daemon.

    ``sent`` and ``promised`` (answered 250) have names; ``on_promised`` is called for each that is promised; when
    ``over`` is set no new session begins.
    """

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.promised: set[str] = set()
        self.on_promised: Callable[[], None] = _nothing
        self.over = False

    async def run(self, endpoint: Endpoint) -> None:
        """Send, with a new session for each that ends, until ``over`` is set."""
        self.over = False
        await asyncio.gather(*(self._one(endpoint, number) for number in range(SESSIONS)))

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        raise NotImplementedError

    def octets(self, name: str) -> bytes:
        """The content that was sent under that name."""
        raise NotImplementedError

    def _answered(self, name: str) -> None:
        self.promised.add(name)
        self.on_promised()


class OurClient(Load):
    """Our own client.  Names are ``n`` and a number."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def octets(self, name: str) -> bytes:
        number = int(name.removeprefix("n"))
        return content(number, SMALL if number % EACH_LARGE else LARGE)

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        while not self.over:
            try:
                session = await connect([endpoint], network=SocketNetwork(), clock=SystemClock(), hostname="load.test")
            except (NetworkError, RemoteError):
                continue
            try:
                while session.usable and not self.over:
                    name = f"n{next(self._numbers)}"
                    self.sent.add(name)
                    envelope = Envelope(Address("langrui", "sohu.com"), (Recipient(Address(name, "sink.test")),))
                    (outcome,) = await session.deliver(envelope, Bytes(self.octets(name)))
                    if outcome.result is Result.DELIVERED:
                        self._answered(name)
            finally:
                session.abort()


class SmtpSource(Load):
    """Postfix's smtp-source.  Names are its number, ``x``, and the number of the process.

    The first process of each run sends large messages; every second process opens a connection for each message.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._runs: list[bytes] = []  # the content that each process sends

    def octets(self, name: str) -> bytes:
        return self._runs[int(name.partition("x")[2])] + b"\r\n"  # it adds an empty line to each message

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        while not self.over:
            run = len(self._runs)
            self._runs.append(content(run, SMALL if number else LARGE))
            file = self._directory / f"content{run}"
            file.write_bytes(self._runs[run].replace(b"\r\n", b"\n"))
            process = await asyncio.create_subprocess_exec(
                *("smtp-source", "-v", "-c", "-N", "-s", "1", "-m", "1000000", *(("-d",) if number % 2 else ())),
                *("-f", f"source{run}@sohu.com", "-t", f"x{run}@sink.test", "-F", str(file), str(endpoint)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                sent, promised, last = await self._follow(process.stderr)
            finally:
                if process.returncode is None:
                    process.kill()  # it sleeps for a second between its last line and its end
                counted = await process.stdout.read()
                await process.wait()
            assert last.startswith("fatal: "), last  # it ends only when its connection is lost
            assert int(counted.split(b"\r")[-2]) == sent if sent else counted == b""
            assert sent - promised in (0, 1)

    async def _follow(self, stream: asyncio.StreamReader) -> tuple[int, int, str]:
        """Read its dialogue up to the last line: the messages sent, those promised, and that line."""
        sent = promised = 0
        name = line = ""
        dot = False
        async for octets in stream:
            line = octets.decode("utf-8", "replace").removeprefix(_SAID).rstrip()
            match = _RCPT.fullmatch(line)
            if match is not None:
                name = match[1]
                self.sent.add(name)
            elif line == ".":
                sent += 1
                dot = True
            elif dot and line.startswith("<<< "):
                dot = False
                if line.startswith("<<< 2"):
                    promised += 1
                    self._answered(name)
            elif line.startswith("fatal: "):
                break
        return sent, promised, line
