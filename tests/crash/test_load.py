"""kill -9 twenty times under load, with mail going on to a host that counts: nothing is lost, and every copy too many
has a kill to answer for it.

The daemon relays to a sink in this process, which knows each letter by its name.  The load is Postfix's smtp-source,
or our own client (``loads``).  The moments of death are drawn from a seed, and counted in letters: answered 250 to the
load, or taken by the sink, so that some deaths come while mail comes in, and some in the middle of what is sent on.

**Lost.**  Whatever was answered 250 must reach the sink once the last life has emptied the queue.

**Twice.**  A kill between the sink's 250 and the record of it cannot be told from one before that 250; the crash table
allows one copy too many for it, and for nothing else.  So the spool is read after each kill.  What the sink took in
the life that just ended, and what is still queued, will be sent again: these and no others, once for each such kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from posthouse.net import Endpoint
from posthouse.spool import SqliteSpool

from .daemon import running
from .loads import Load, OurClient, SmtpSource

KILLS = 20
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
_RCPT = re.compile(rb"RCPT TO:<([0-9a-z]{1,20})@sink\.test>", re.IGNORECASE)


class Sink:
    """Takes letters, and remembers in which life of the daemon each copy came."""

    def __init__(self, octets_of: Callable[[str], bytes]) -> None:
        self._octets_of = octets_of
        self.life = 0
        self.copies: dict[str, list[int]] = {}  # name → lives, in the order of their copies
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

    def took(self, name: str, octets: bytes) -> None:
        """A letter was taken; it must be the one that was sent, below its trace field."""
        _, found, rest = octets.partition(b"From: <langrui@sohu.com>\r\n")
        if found + rest != self._octets_of(name):
            self.wrong.append(f"{name} was corrupted: {octets[:300]!r}")
        self.copies.setdefault(name, []).append(self.life)
        self.taken += 1
        self.changed.set()
        self.on_taken()


class Sinking(asyncio.Protocol):
    """One session with the daemon: enough of SMTP for a sender that pipelines."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._content: str | None = None  # whose content is coming
        self._name = ""

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
                name, self._content = self._content, None
                self._sink.took(name, octets)
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
            self._name = match[1].decode()
        if verb == b"DATA":
            self._content = self._name
            return b"354 go on\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"


def _nothing() -> None:
    """Nobody wants to know."""


@contextlib.asynccontextmanager
async def sinking(octets_of: Callable[[str], bytes]) -> AsyncIterator[tuple[Sink, Endpoint]]:
    """A sink for such letters, and where it is."""
    sink = Sink(octets_of)
    server = await asyncio.get_running_loop().create_server(lambda: Sinking(sink), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield sink, Endpoint(host, port)
    finally:
        server.close()
        await server.wait_closed()


async def queued(directory: Path) -> set[str]:
    """The names that a spool still has to deliver, held ones included."""
    queue = SqliteSpool.read_only(directory / "data")
    await queue.open(0.0)
    try:
        rows = await queue.select(limit=1_000_000)
    finally:
        await queue.close()
    return {row.address.partition("@")[0] for row in rows}


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


@pytest.mark.parametrize(
    "kind", [pytest.param(SmtpSource, marks=pytest.mark.system("postfix", "smtp-source")), OurClient]
)
def test_twenty_kills_lose_nothing_and_each_copy_has_its_kill(
    tmp_path: Path, kind: Callable[[Path], Load], record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(20)
    moments = [(chance.choice(("promised", "taken")), chance.randint(1, 150)) for _ in range(KILLS)]
    again: list[tuple[int, str]] = []  # life and name of what was taken and not recorded

    async def story() -> None:
        load = kind(tmp_path)
        async with sinking(load.octets) as (sink, place):
            for life, moment in enumerate(moments):
                sink.life = life
                text = CONFIG.format(workers=WORKERS[life % len(WORKERS)], sink=place, per_site=PER_SITE)
                await one_life(tmp_path, text, sink, load, moment)
                waiting = await queued(tmp_path)
                unrecorded = [name for name in waiting if sink.copies.get(name, [])[-1:] == [life]]
                again.extend((life, name) for name in unrecorded)
            sink.life = KILLS
            await empty_the_queue(tmp_path, text)
            assert sink.wrong == []
            assert load.promised - set(sink.copies) == set(), "promised, and lost"
            assert set(sink.copies) - load.given == set()
            for name, lives in sink.copies.items():
                assert lives[:-1] == [life for life, one in again if one == name], "a copy that no kill explains"
            assert sink.taken == len(sink.copies) + len(again)
            # Few: what a kill meets is on its way, or its record is, in a group that is about to be synced.
            assert 0 < len(again) <= KILLS * 2 * PER_SITE
            copies = f"{len(load.promised)} letters promised, 0 lost, {len(again)} copies too many, each with its kill"
            record_property("note", f"{KILLS} kills under {kind.__name__}: {copies}")

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
