"""kill -9 while mail is received: what was answered 250 is stored afterwards, unchanged, and nothing else is.

The moment of each kill is a number of messages that were answered 250, never a time.  (What is left after a loss of
power is tested in tests/spool: the kernel keeps the buffers of a process that is killed.)  Small messages are in rows
of the spool, large ones in files; a third of each kind goes to inboxes of the spool, to Maildirs, and to a host that
cannot be reached, so that they stay queued.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from posthouse.client import Session, connect
from posthouse.core import Address, Bytes, Envelope, NetworkError, Recipient, RemoteError, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.service import Daemon, load
from posthouse.spool import QueueAction, SqliteSpool
from posthouse.testing import unfinished

from .daemon import content, number_of, running

SMALL = 4096
LARGE = 300_000  # over the threshold up to which content lies in its row
HALF = 8 << 20
SESSIONS = 8
PLACES = ("inbox.test", "maildir.test", "waiting.test")
CONFIG = """
workers = {workers}
hostname = "mx.test"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "inbox.test"
mailboxes = "any"
[[domain]]
name = "maildir.test"
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
mailboxes = "any"
[[route]]
to = "waiting.test"
via = "smtp://127.0.0.1:1"
"""


class Load:
    """Sessions that send numbered messages until the daemon is gone, and the replies to them."""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = itertools.count(1)
        self.sent: set[int] = set()  # begun, with any result
        self.promised: set[int] = set()  # answered 250
        self.other: Counter[str] = Counter()  # other results

    async def run(self, endpoint: Endpoint, acts: Mapping[int, Callable[[], None]]) -> None:
        """Send over ``SESSIONS`` sessions, with a new one for each that ends.

        ``acts`` are called when so many more messages have been answered 250; after the last act the sessions go on
        until each has ended.
        """
        before = len(self.promised)
        last = before + max(acts)
        over = False

        async def one(nth: int) -> None:
            nonlocal over
            while not over:
                try:
                    session = await connect(
                        [endpoint], network=SocketNetwork(), clock=SystemClock(), hostname="load.test"
                    )
                except (NetworkError, RemoteError):
                    continue
                try:
                    while session.usable:
                        if await self._send(session, large=nth < 2):
                            now = len(self.promised)
                            over = over or now >= last
                            acts.get(now - before, _nothing)()
                finally:
                    session.abort()

        await asyncio.gather(*(one(nth) for nth in range(SESSIONS)))

    async def _send(self, session: Session, *, large: bool) -> bool:
        number = next(self.numbers)
        self.sent.add(number)
        place = PLACES[number % len(PLACES)]
        envelope = Envelope(Address("langrui", "sohu.com"), (Recipient(Address(f"box{number % 7}", place)),))
        (outcome,) = await session.deliver(envelope, Bytes(content(number, LARGE if large else SMALL)))
        if outcome.result is Result.DELIVERED:
            assert outcome.reply is not None
            assert outcome.reply.code == 250
            self.promised.add(number)
            return True
        self.other[outcome.result.value if outcome.reply is None else str(outcome.reply.code)] += 1
        return False


def _nothing() -> None:
    """Do nothing."""


async def begin_one_that_never_ends(endpoint: Endpoint) -> asyncio.StreamWriter:
    """Send half of a large content, and wait until the daemon has confirmed it.

    That is more than the daemon buffers in memory, so a part is in a file in the spool's ``tmp``.
    """
    reader, writer = await asyncio.open_connection(*endpoint)
    half = content(0, 2 * HALF)[:HALF]
    writer.write(b"EHLO half.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@inbox.test>\r\nBDAT %d\r\n%s" % (len(half), half))
    while not (await reader.readline()).startswith(b"250 2.0.0 %d octets" % len(half)):
        pass
    return writer


_TRACE = re.compile(
    rb"(?:(?:Return-Path|X-Original-To|Delivered-To): [^\r\n]*\r\n)*Received: from [^\r\n]*\r\n(?:\t[^\r\n]*\r\n)+"
)


async def make_all_due(directory: Path) -> None:
    """Make everything due now.

    A message that was being delivered in two crashes in a row is retried alone, and after three it is held; here the
    message was not the cause.
    """
    queue, now = SqliteSpool(directory / "data"), SystemClock().time()
    await queue.open(now)
    for act in (QueueAction.RELEASE, QueueAction.RETRY):
        await queue.act(act, [], now=now)
    await queue.close()


async def check(directory: Path, load_: Load) -> Counter[str]:
    """Open the spool again and compare all that is stored with what was promised; the number of messages by place."""
    await make_all_due(directory)
    daemon = Daemon(load(directory / "posthouse.toml"), log=lambda event, /, **fields: None)
    await daemon.start()
    try:
        assert list((directory / "data/spool/tmp").iterdir()) == []
        await daemon.wait_idle()
        found: Counter[int] = Counter()
        where: Counter[str] = Counter()
        queue = daemon.spool
        for inboxed in await queue.queries.inbox(limit=1_000_000):
            kept = await queue.queries.kept(inboxed.number)
            assert kept is not None
            found[_whole(b"".join(kept[1].chunks()), inboxed.inbox)] += 1
            where["inbox"] += 1
        for entry in await unfinished(queue):
            assert not entry.corrupt
            (waiting,) = entry.recipients
            assert waiting.destination == "waiting.test"
            octets = b"".join((await queue.open_content(entry.message)).chunks())
            assert len(octets) == entry.message.size
            found[_whole(octets, str(waiting.recipient.address))] += 1
            where["queue"] += 1
    finally:
        await daemon.drain(10)
    for path in (directory / "mail").glob("*/new/*"):
        found[_whole(path.read_bytes(), f"{path.parent.parent.name}@maildir.test")] += 1
        where["maildir"] += 1
    assert load_.promised - set(found) == set(), "promised, and lost"
    assert set(found) - load_.sent == set()
    twice = {number for number, times in found.items() if times > 1}
    assert {PLACES[number % len(PLACES)] for number in twice} <= {"maildir.test"}, "two copies where one is kept"
    _no_strays(directory, where)
    return where


def _whole(octets: bytes, place: str) -> int:
    """The number of a stored message, which must be as it was sent, at the place to which it was sent."""
    trace = _TRACE.match(octets)
    assert trace is not None, octets[:300]
    number, size = number_of(octets)
    assert octets[trace.end() :] == content(number, size), f"{number} was corrupted"
    assert place == f"box{number % 7}@{PLACES[number % len(PLACES)]}"
    return number


def _no_strays(directory: Path, where: Counter[str]) -> None:
    """Check that there are no more content files than large messages in the spool, and that each is whole."""
    files = [path for path in (directory / "data/spool/content").glob("*/*") if path.is_file()]
    assert len(files) <= where["inbox"] + where["queue"]
    assert all(path.stat().st_size > LARGE - 200 for path in files)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_that_was_promised_is_lost_by_kill(tmp_path: Path, workers: int) -> None:
    sent = Load()

    async def scenario() -> None:
        # Early, in the middle of a few, and with a queue and leases behind it.
        for promised in (1, 7, 40, 150, 300, 3):
            async with running(tmp_path, CONFIG.format(root=tmp_path, workers=workers)) as daemon:
                endpoint = await daemon.endpoint()
                half = await begin_one_that_never_ends(endpoint)
                await sent.run(endpoint, {promised: daemon.kill})
                assert await daemon.ended() == -9
                half.close()
                assert not [event for event in daemon.events if event["event"] == "fault"]
                assert list((tmp_path / "data/spool/tmp").iterdir()), "the kill came too late to leave anything"
        where = await check(tmp_path, sent)
        assert len(sent.promised) >= 501
        assert min(where["inbox"], where["queue"], where["maildir"]) > 20

    asyncio.run(asyncio.wait_for(scenario(), 90))


def test_a_killed_daemon_continues_after_its_restart(tmp_path: Path) -> None:
    """The next start delivers what was promised before, without a command, and logs what it found."""
    sent = Load()

    async def scenario() -> None:
        async with running(tmp_path, CONFIG.format(root=tmp_path, workers=1)) as daemon:
            endpoint = await daemon.endpoint()
            half = await begin_one_that_never_ends(endpoint)
            await sent.run(endpoint, {60: daemon.kill})
            await daemon.ended()
            half.close()
        async with running(tmp_path, CONFIG.format(root=tmp_path, workers=1)) as daemon:
            await daemon.endpoint()
            said = [event["text"] for event in daemon.events if event["event"] == "spool"]
            assert any("that had not arrived completely removed" in text for text in said)
            daemon.process.terminate()
            assert await daemon.ended() == 0
        await check(tmp_path, sent)

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process from /proc: run it on Linux")
def test_a_worker_that_is_killed_loses_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    sent = Load()

    async def scenario() -> None:
        async with running(tmp_path, CONFIG.format(root=tmp_path, workers=2)) as daemon:
            endpoint = await daemon.endpoint()

            def kill_one() -> None:
                children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
                os.kill(int(children[0]), signal.SIGKILL)

            enough = asyncio.Event()

            async def end() -> None:
                await enough.wait()
                await daemon.until("worker died", 2)
                daemon.process.terminate()

            await asyncio.gather(sent.run(endpoint, {50: kill_one, 150: kill_one, 250: enough.set}), end())
            assert await daemon.ended() == 0
        await check(tmp_path, sent)

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load(tmp_path: Path, workers: int) -> None:
    """The daemon ends in order: sessions finish their transaction or get 421, and all that was promised is stored."""
    sent = Load()

    async def scenario() -> None:
        async with running(tmp_path, CONFIG.format(root=tmp_path, workers=workers)) as daemon:
            endpoint = await daemon.endpoint()
            await sent.run(endpoint, {100: daemon.process.terminate})
            assert await daemon.ended() == 0
            assert [event["event"] for event in daemon.events][-1] == "ended"
            assert "Traceback" not in "".join(daemon.other_lines)
        # No client was left without a reply: a message that was not accepted was answered 421.
        assert set(sent.other) <= {"421"}, sent.other
        where = await check(tmp_path, sent)
        assert where.total() == len(sent.promised)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_sigterm_lets_a_transaction_finish_and_begins_no_other(tmp_path: Path) -> None:
    text = content(0, LARGE).replace(b"\r\n.", b"\r\n..") + b".\r\n"

    async def scenario() -> None:
        async with running(tmp_path, CONFIG.format(root=tmp_path, workers=1)) as daemon:
            endpoint = await daemon.endpoint()
            idle, idle_writer = await asyncio.open_connection(*endpoint)
            await idle.readline()
            busy, busy_writer = await asyncio.open_connection(*endpoint)
            busy_writer.write(b"HELO busy.test\r\nMAIL FROM:<>\r\nRCPT TO:<box0@inbox.test>\r\nDATA\r\n" + text[:1000])
            while not (await busy.readline()).startswith(b"354 "):
                pass
            daemon.process.terminate()
            # The 421 to the idle session shows that the signal was received.
            assert (await idle.read()).startswith(b"421 4.3.2 ")
            idle_writer.close()
            busy_writer.write(text[1000:])
            assert (await busy.readline()).startswith(b"250 2.0.0 ")
            assert (await busy.read()).startswith(b"421 4.3.2 ")
            busy_writer.close()
            assert await daemon.ended() == 0
        sent = Load()
        sent.sent = sent.promised = {0}
        await check(tmp_path, sent)

    asyncio.run(asyncio.wait_for(scenario(), 60))
