"""kill -9 20 times under load, while mail is relayed to a host that counts: no message is lost, and each second copy
is explained by a kill.

The daemon relays to a sink in this process, which identifies each message by its name.  The load is Postfix's
smtp-source, or our own client (``loads``).  The moments of the kills are drawn from a seed, as a number of messages
that were answered 250 to the load, or accepted by the sink: some kills fall into the receiving of mail, some into its
delivery.

**Lost.**  All that was answered 250 must reach the sink when the last run has emptied the queue.

**Twice.**  A kill between the sink's 250 and its record cannot be told from one before that 250; the crash table allows
one more copy for it, and for nothing else.  So the spool is read after each kill.  What the sink accepted in the run
that has ended, and what is still queued, will be sent again: these messages and no others, once for each such kill.
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
WORKERS = (1, 0)  # alternating; 0: one for each processor
PER_SITE = 10
CONFIG = """
workers = {workers}
hostname = "mx.test"
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
    """Accepts messages, and keeps in which run of the daemon each copy came."""

    def __init__(self, octets_of: Callable[[str], bytes]) -> None:
        self._octets_of = octets_of
        self.run = 0
        self.copies: dict[str, list[int]] = {}  # name → runs, in the order of the copies
        self.accepted = 0
        self.wrong: list[str] = []  # faults; an exception would stay in the event loop
        self.on_accepted: Callable[[], None] = _nothing
        self.sessions: set[SinkSession] = set()
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true; it is evaluated after each message and each end of a session."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def accept(self, name: str, octets: bytes) -> None:
        """Accept a message, which must be as it was sent, after its trace field."""
        _, found, rest = octets.partition(b"From: <langrui@sohu.com>\r\n")
        if found + rest != self._octets_of(name):
            self.wrong.append(f"{name} was corrupted: {octets[:300]!r}")
        self.copies.setdefault(name, []).append(self.run)
        self.accepted += 1
        self.changed.set()
        self.on_accepted()


class SinkSession(asyncio.Protocol):
    """One session with the daemon: enough of SMTP for a client that pipelines."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""
        self._content: str | None = None  # the name of the message whose content is being received
        self._name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.sessions.add(self)
        transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.sessions.discard(self)
        self._sink.changed.set()

    def data_received(self, data: bytes) -> None:
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
                self._sink.accept(name, octets)
                replies.append(b"250 2.0.0 accepted\r\n")
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
                return b"550 5.1.1 unknown\r\n"
            self._name = match[1].decode()
        if verb == b"DATA":
            self._content = self._name
            return b"354 go on\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"


def _nothing() -> None:
    """Do nothing."""


@contextlib.asynccontextmanager
async def running_sink(octets_of: Callable[[str], bytes]) -> AsyncIterator[tuple[Sink, Endpoint]]:
    """Run a sink for messages with this content; the sink and its endpoint."""
    sink = Sink(octets_of)
    server = await asyncio.get_running_loop().create_server(lambda: SinkSession(sink), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield sink, Endpoint(host, port)
    finally:
        server.close()
        await server.wait_closed()


async def queued(directory: Path) -> set[str]:
    """The names of the messages in a spool, held ones included."""
    queue = SqliteSpool.read_only(directory / "data")
    await queue.open(0.0)
    try:
        rows = await queue.queries.select(limit=1_000_000)
    finally:
        await queue.close()
    return {row.address.partition("@")[0] for row in rows}


async def operate(directory: Path, act: str) -> None:
    """Run an action of ``posthouse queue`` on all messages."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posthouse", "queue", act, "--all", "--yes"),
        *("--config", str(directory / "posthouse.toml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def one_run(directory: Path, text: str, sink: Sink, load: Load, moment: tuple[str, int]) -> None:
    """Run the daemon under load until so many messages were promised or accepted by the sink, and kill it."""
    left = moment[1]
    async with running(directory, text) as daemon:

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                daemon.kill()
                load.over = True

        if moment[0] == "promised":
            load.on_promised, sink.on_accepted = count, _nothing
        else:
            load.on_promised, sink.on_accepted = _nothing, count
        await load.run(await daemon.endpoint())
        assert await daemon.ended() == -9
        assert not [event for event in daemon.events if event["event"] == "fault"]
    # What the daemon had sent before the kill may still arrive.
    await sink.until(lambda: not sink.sessions)
    load.on_promised = sink.on_accepted = _nothing


@pytest.mark.parametrize(
    "kind", [pytest.param(SmtpSource, marks=pytest.mark.system("postfix", "smtp-source")), OurClient]
)
def test_twenty_kills_lose_nothing_and_explain_each_copy(
    tmp_path: Path, kind: Callable[[Path], Load], record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(20)
    moments = [(chance.choice(("promised", "accepted")), chance.randint(1, 150)) for _ in range(KILLS)]
    again: list[tuple[int, str]] = []  # run and name of what was accepted and not recorded

    async def scenario() -> None:
        load = kind(tmp_path)
        async with running_sink(load.octets) as (sink, place):
            for run, moment in enumerate(moments):
                sink.run = run
                text = CONFIG.format(workers=WORKERS[run % len(WORKERS)], sink=place, per_site=PER_SITE)
                await one_run(tmp_path, text, sink, load, moment)
                waiting = await queued(tmp_path)
                unrecorded = [name for name in waiting if sink.copies.get(name, [])[-1:] == [run]]
                again.extend((run, name) for name in unrecorded)
            sink.run = KILLS
            await empty_the_queue(tmp_path, text)
            assert sink.wrong == []
            assert load.promised - set(sink.copies) == set(), "promised, and lost"
            assert set(sink.copies) - load.sent == set()
            for name, runs in sink.copies.items():
                assert runs[:-1] == [run for run, one in again if one == name], "a copy that no kill explains"
            assert sink.accepted == len(sink.copies) + len(again)
            # Few: at a kill a message is being sent, or its record is in a group that is about to be synced.
            assert 0 < len(again) <= KILLS * 2 * PER_SITE
            copies = (
                f"{len(load.promised)} messages promised, 0 lost, {len(again)} second copies, each explained by a kill"
            )
            record_property("note", f"{KILLS} kills under {kind.__name__}: {copies}")

    asyncio.run(asyncio.wait_for(scenario(), 120))


async def empty_the_queue(directory: Path, text: str) -> None:
    """Run the daemon without load until the queue is empty.

    Messages that are held as poison are released, and all are tried at once, as an operator does who knows that the
    messages were not the cause.
    """
    async with running(directory, text) as daemon:
        await daemon.endpoint()
        await operate(directory, "release")
        await operate(directory, "retry")
        while await queued(directory):
            await asyncio.sleep(0.05)
        daemon.process.terminate()
        assert await daemon.ended() == 0
