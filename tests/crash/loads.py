"""What loads the daemon while it is killed: sessions of our own client, and Postfix's smtp-source.

Each letter has a name, the local part of its recipient, by which the sink knows it and what must be in it.  A load
knows which names it gave, and for which of them it has read 250.

**smtp-source** speaks one session in each of several processes.  Its running counter (-c) says how many letters have
been *sent*: it is printed behind the dot, before the answer.  So with -v it tells each command and each answer, and a
letter is promised when a positive answer to the dot has been read; the counter must then be as many, or one more if the
answer to the last never came.  -N numbers the recipients, and each process has a name of its own behind the number.
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

from .daemon import letter

__all__ = ["Load", "OurClient", "SmtpSource"]

SESSIONS = 8
SMALL, LARGE = 4096, 300_000  # the large ones lie in files of their own
EACH_LARGE = 16  # of our client's letters, one of so many
_SAID = "smtp-source: "
_RCPT = re.compile(r"RCPT TO:<([0-9a-z]+)@sink\.test>")


def _nothing() -> None:
    """Nobody wants to know."""


class Load:
    """Sessions that give letters to the daemon.  ``promised`` are those that were answered 250; ``on_promised`` is
    called for each; once it is ``over`` no new one begins."""

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.promised: set[str] = set()
        self.on_promised: Callable[[], None] = _nothing
        self.over = False

    async def run(self, endpoint: Endpoint) -> None:
        """Send, with new sessions for those that end, until it is over."""
        self.over = False
        await asyncio.gather(*(self._one(endpoint, number) for number in range(SESSIONS)))

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        raise NotImplementedError

    def octets(self, name: str) -> bytes:
        """What was sent under that name."""
        raise NotImplementedError

    def _answered(self, name: str) -> None:
        self.promised.add(name)
        self.on_promised()


class OurClient(Load):
    """Names are numbers behind an n."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def octets(self, name: str) -> bytes:
        """See ``Load.octets``."""
        number = int(name.removeprefix("n"))
        return letter(number, SMALL if number % EACH_LARGE else LARGE)

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        while not self.over:
            try:
                session = await connect([endpoint], network=SocketNetwork(), clock=SystemClock(), hostname="load.test")
            except (NetworkError, RemoteError):
                continue
            try:
                while session.usable and not self.over:
                    name = f"n{next(self._numbers)}"
                    self.given.add(name)
                    envelope = Envelope(Address("langrui", "sohu.com"), (Recipient(Address(name, "sink.test")),))
                    (outcome,) = await session.deliver(envelope, Bytes(self.octets(name)))
                    if outcome.result is Result.DELIVERED:
                        self._answered(name)
            finally:
                session.abort()


class SmtpSource(Load):
    """Names are smtp-source's number, an x, and the number of its process.  The first process of each life sends large
    letters; every other one opens a connection for each letter."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._runs: list[bytes] = []  # what each process sends

    def octets(self, name: str) -> bytes:
        """See ``Load.octets``."""
        return self._runs[int(name.partition("x")[2])] + b"\r\n"  # it ends every letter with an empty line

    async def _one(self, endpoint: Endpoint, number: int) -> None:
        while not self.over:
            run = len(self._runs)
            self._runs.append(letter(run, SMALL if number else LARGE))
            content = self._directory / f"letter{run}"
            content.write_bytes(self._runs[run].replace(b"\r\n", b"\n"))
            process = await asyncio.create_subprocess_exec(
                *("smtp-source", "-v", "-c", "-N", "-s", "1", "-m", "1000000", *(("-d",) if number % 2 else ())),
                *("-f", f"source{run}@sohu.com", "-t", f"x{run}@sink.test", "-F", str(content), str(endpoint)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                sent, promised, last = await self._hear(process.stderr)
            finally:
                if process.returncode is None:
                    process.kill()  # it rests for a second between its last word and its end
                counted = await process.stdout.read()
                await process.wait()
            assert last.startswith("fatal: "), last  # it has no other end than the loss of its connection
            assert int(counted.split(b"\r")[-2]) == sent if sent else counted == b""
            assert sent - promised in (0, 1)

    async def _hear(self, stream: asyncio.StreamReader) -> tuple[int, int, str]:
        """Follow its dialogue to its last line: letters sent, letters promised, and that line."""
        sent = promised = 0
        name = line = ""
        dot = False
        async for octets in stream:
            line = octets.decode("utf-8", "replace").removeprefix(_SAID).rstrip()
            match = _RCPT.fullmatch(line)
            if match is not None:
                name = match[1]
                self.given.add(name)
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
