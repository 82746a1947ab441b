"""kill -9 twenty times under load, with mail going on to a host that counts: nothing is lost, and every copy too many
has a kill to answer for it.

The daemon relays to a sink in this process, which knows each letter by its number.  The moments of death are drawn
from a seed, and counted in letters: answered 250 to the load, or taken by the sink, so that some deaths come while
mail comes in and some in the middle of what is being sent on.

**Lost.**  Whatever was answered 250 must reach the sink once the last life has emptied the queue.

**Twice.**  A kill between the sink's 250 and the record of it cannot be told from one before that 250; the crash table
allows one copy too many for it, and for nothing else.  So the spool is read after each kill.  What the sink took in
the life that just ended, and what is still queued, will be sent again: these and no others, once for each such kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from posthouse.client import connect
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.spool import SqliteQueue
from posthouse.words import Address, Bytes, Envelope, NetworkError, Recipient, RemoteError, Result

from .daemon import letter, running

KILLS = 20
SESSIONS = 8
SMALL, LARGE = 4096, 300_000  # the large ones lie in files of their own
EACH_LARGE = 16  # one of so many
WORKERS = (1, 0)  # by turns; 0 is as many as there are processors
PER_SITE = 10
CONFIG = """
workers = {workers}
hostname = "house.test"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
concurrency_per_destination = {per_site}
[[route]]
to = "sink.test"
via = "smtp://{sink}"
"""
_RCPT = re.compile(rb"RCPT TO:<n([0-9]{1,9})@sink\.test>", re.IGNORECASE)


class Sink:
    """Takes letters, and remembers in which life of the daemon each copy came."""

    def __init__(self) -> None:
        self.life = 0
        self.copies: dict[int, list[int]] = {}  # number → lives, in the order of their copies
        self.taken = 0
        self.wrong: list[str] = []  # what is not as it should be; an exception would stay in the loop
        self.on_taken: Callable[[], None] = _nothing
        self.sessions: set[Sinking] = set()
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a letter or the end of a session may bring about."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def took(self, number: int, octets: bytes) -> None:
        """A letter was taken; it must be the one that was sent, below its trace field."""
        _, found, rest = octets.partition(b"From: <langrui@sohu.com>\r\n")
        if found + rest != letter(number, size_of(number)):
            self.wrong.append(f"{number} was corrupted: {octets[:300]!r}")
        self.copies.setdefault(number, []).append(self.life)
        self.taken += 1
        self.changed.set()
        self.on_taken()


class Sinking(asyncio.Protocol):
    """One session with the daemon: enough of SMTP for a sender that pipelines."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._content: int | None = None  # whose content is coming
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of ``asyncio.Protocol``."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.sessions.add(self)
        transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """As of ``asyncio.Protocol``."""
        self._sink.sessions.discard(self)
        self._sink.changed.set()

    def data_received(self, data: bytes) -> None:
        """As of ``asyncio.Protocol``."""
        data = self._rest + data
        replies = []
        while data:
            end = b"\r\n" if self._content is None else b"\r\n.\r\n"
            piece, found, rest = data.partition(end)
            if not found:
                break
            data = rest
            if self._content is not None:
                octets = piece.replace(b"\r\n..", b"\r\n.") + b"\r\n"
                number, self._content = self._content, None
                self._sink.took(number, octets)
                replies.append(b"250 2.0.0 taken\r\n")
            else:
                replies.append(self._answer(piece))
        self._rest = data
        self._transport.write(b"".join(replies))

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if verb == b"RCPT":
            match = _RCPT.match(line)
            if match is None:
                self._sink.wrong.append(f"a recipient that was not sent: {line!r}")
                return b"550 5.1.1 nobody\r\n"
            self._number = int(match[1])
        if verb == b"DATA":
            self._content = self._number
            return b"354 go on\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"


def size_of(number: int) -> int:
    """About how many octets the letter of that number has."""
    return SMALL if number % EACH_LARGE else LARGE


def _nothing() -> None:
    """Nobody wants to know."""


@contextlib.asynccontextmanager
async def sinking() -> AsyncIterator[tuple[Sink, Endpoint]]:
    """A sink, and where it is."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: Sinking(sink), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield sink, Endpoint(host, port)
    finally:
        server.close()
        await server.wait_closed()


class Load:
    """Sessions that send numbered letters, and which of those were answered 250."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.given: set[int] = set()
        self.promised: set[int] = set()
        self.on_promised: Callable[[], None] = _nothing
        self.over = False

    async def run(self, endpoint: Endpoint) -> None:
        """Send, with new sessions for those that end, until it is over."""
        self.over = False
        await asyncio.gather(*(self._one(endpoint) for _ in range(SESSIONS)))

    async def _one(self, endpoint: Endpoint) -> None:
        while not self.over:
            try:
                session = await connect([endpoint], network=SocketNetwork(), clock=SystemClock(), hostname="load.test")
            except (NetworkError, RemoteError):
                continue
            try:
                while session.usable and not self.over:
                    number = next(self.numbers)
                    self.given.add(number)
                    people = (Recipient(Address(f"n{number}", "sink.test")),)
                    octets = letter(number, size_of(number))
                    (outcome,) = await session.deliver(Envelope(Address("langrui", "sohu.com"), people), Bytes(octets))
                    if outcome.result is Result.DELIVERED:
                        self.promised.add(number)
                        self.on_promised()
            finally:
                session.abort()


async def queued(directory: Path) -> set[int]:
    """The numbers that a spool still has to deliver, held ones included."""
    queue = SqliteQueue.read_only(directory / "data")
    await queue.open(0.0)
    try:
        rows = await queue.select(limit=1_000_000)
    finally:
        await queue.close()
    return {int(row.address[1:].partition("@")[0]) for row in rows}


async def operate(directory: Path, act: str) -> None:
    """Have ``posthouse queue`` do something to all that it can be done to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posthouse", "queue", act, "--all", "--yes"),
        *("--config", str(directory / "posthouse.toml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def one_life(directory: Path, text: str, sink: Sink, load: Load, moment: tuple[str, int]) -> None:
    """Run the daemon under load until so many letters were promised or taken, and kill it."""
    left = moment[1]
    async with running(directory, text) as daemon:

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                daemon.kill()
                load.over = True

        if moment[0] == "promised":
            load.on_promised, sink.on_taken = count, _nothing
        else:
            load.on_promised, sink.on_taken = _nothing, count
        await load.run(await daemon.endpoint())
        assert await daemon.ended() == -9
        assert not [event for event in daemon.told if event["event"] == "fault"]
    # What had left the daemon before it died may still arrive.
    await sink.until(lambda: not sink.sessions)
    load.on_promised = sink.on_taken = _nothing


def test_twenty_kills_lose_nothing_and_each_copy_has_its_kill(tmp_path: Path) -> None:
    chance = random.Random(20)
    moments = [(chance.choice(("promised", "taken")), chance.randint(1, 150)) for _ in range(KILLS)]
    again: list[tuple[int, int]] = []  # life and number of what was taken and not recorded

    async def story() -> None:
        async with sinking() as (sink, place):
            load = Load()
            for life, moment in enumerate(moments):
                sink.life = life
                text = CONFIG.format(workers=WORKERS[life % len(WORKERS)], sink=place, per_site=PER_SITE)
                await one_life(tmp_path, text, sink, load, moment)
                waiting = await queued(tmp_path)
                unrecorded = [number for number in waiting if sink.copies.get(number, [])[-1:] == [life]]
                again.extend((life, number) for number in unrecorded)
            sink.life = KILLS
            await empty_the_queue(tmp_path, text)
            assert sink.wrong == []
            assert load.promised - set(sink.copies) == set(), "promised, and lost"
            assert set(sink.copies) - load.given == set()
            for number, lives in sink.copies.items():
                assert lives[:-1] == [life for life, one in again if one == number], "a copy that no kill explains"
            assert sink.taken == len(sink.copies) + len(again)
            # Few: what a kill meets is on its way, or its record is, in a group that is about to be synced.
            assert 0 < len(again) <= KILLS * 2 * PER_SITE

    asyncio.run(asyncio.wait_for(story(), 120))


async def empty_the_queue(directory: Path, text: str) -> None:
    """A last life without load.  What was held as poison is released, and what waits is tried now, as an operator
    would who knows that it was the machine."""
    async with running(directory, text) as daemon:
        await daemon.endpoint()
        await operate(directory, "release")
        await operate(directory, "retry")
        while await queued(directory):
            await asyncio.sleep(0.05)
        daemon.process.terminate()
        assert await daemon.ended() == 0
