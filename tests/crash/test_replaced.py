"""Data directories under a running daemon: replaced or removed while mail arrives, and used by a second daemon."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.client import connect
from posthouse.core import Address, Bytes, Envelope, NetworkError, Recipient, RemoteError, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.spool import SqliteSpool

from .daemon import content, running

SESSIONS = 6
BEFORE, AFTER = 60, 40  # messages that are promised before the act, and answered otherwise after it
PATIENCE = 120.0
CONFIG = """
workers = {workers}
hostname = "mx.test"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "smtp://127.0.0.1:1"
"""


def restored(data: Path) -> None:
    data.rename(data.with_name("old"))
    shutil.copytree(data.with_name("old"), data, copy_function=_copied)


def _copied(source: str, target: str) -> None:
    if not source.endswith(".sock"):
        shutil.copy2(source, target)


def moved_away(data: Path) -> None:
    data.rename(data.with_name("old"))


def emptied(data: Path) -> None:
    remove(data)
    data.mkdir(0o700)


def spool_removed(data: Path) -> None:
    remove(data / "spool")


def remove(folder: Path) -> None:
    """Remove a folder in which a daemon makes files meanwhile."""
    end = time.monotonic() + PATIENCE
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        assert time.monotonic() < end


def database_removed(data: Path) -> None:
    for path in (data / "spool").glob("queue.sqlite3*"):
        path.unlink()


def log_removed(data: Path) -> None:
    (data / "spool" / "queue.sqlite3-wal").unlink()


class Load:
    """Sessions that send until enough messages were not answered 250 after the act; the ids that were."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.promised: dict[int, str] = {}
        self.other: Counter[str] = Counter()
        self.enough = asyncio.Event()
        self._others_before: int | None = None

    def acted(self) -> None:
        """What is answered otherwise counts from here on."""
        self._others_before = self.other.total()

    @property
    def ended(self) -> bool:
        """Enough messages were not answered 250 since the act."""
        return self._others_before is not None and self.other.total() - self._others_before >= AFTER

    async def run(self, endpoint: Endpoint) -> None:
        await asyncio.gather(*(self._one(endpoint, nth) for nth in range(SESSIONS)))

    async def _one(self, endpoint: Endpoint, nth: int) -> None:
        while not self.ended:
            try:
                session = await connect([endpoint], network=SocketNetwork(), clock=SystemClock(), hostname="load.test")
            except (NetworkError, RemoteError) as error:
                self.other[type(error).__name__] += 1
                continue
            try:
                while session.usable and not self.ended:
                    number = next(self.numbers)
                    envelope = Envelope(Address("a", "sohu.com"), (Recipient(Address(f"b{number}", "x.test")),))
                    octets = content(number, 100_000 if nth == 0 else 2000)
                    (outcome,) = await session.deliver(envelope, Bytes(octets))
                    if outcome.result is Result.DELIVERED:
                        assert outcome.reply is not None
                        self.promised[number] = outcome.reply.text.split()[-1]
                        if len(self.promised) >= BEFORE:
                            self.enough.set()
                    else:
                        self.other[str(outcome.reply.code) if outcome.reply is not None else "none"] += 1
            finally:
                session.abort()


async def stored_in(data: Path) -> set[str]:
    """The queue ids of a data directory whose daemon has ended."""
    spool = SqliteSpool(data)
    await spool.open(SystemClock().time())
    try:
        found: set[str] = set()
        after = None
        while rows := await spool.queries.select(now=0.0, limit=1000, after=after):
            found |= {row.id for row in rows}
            after = (rows[-1].id, rows[-1].key)
        return found
    finally:
        await spool.close()


@pytest.mark.parametrize(
    ("happens", "workers"),
    [
        (restored, 1),
        (restored, 2),
        (moved_away, 1),
        (moved_away, 2),
        (emptied, 1),
        (emptied, 2),
        (spool_removed, 1),
        (database_removed, 1),
        (database_removed, 2),
        (log_removed, 1),
    ],
)
def test_no_250_after_the_spool_was_replaced(tmp_path: Path, happens: Callable[[Path], None], workers: int) -> None:
    data = tmp_path / "data"

    async def scenario() -> None:
        load = Load()
        async with running(tmp_path, CONFIG.format(workers=workers)) as daemon:
            endpoint = await daemon.endpoint()
            sending = asyncio.create_task(load.run(endpoint))
            await load.enough.wait()
            await asyncio.to_thread(happens, data)
            first = next(load.numbers)  # messages from here on were begun when it was done
            load.acted()
            await sending
            late = {number: name for number, name in load.promised.items() if number > first}
            assert late == {}
            assert set(load.other) <= {"451", "421", "none", "NetworkError", "RemoteError"}, load.other
            assert load.other["451"] > 0, load.other
            os.kill(daemon.pid, signal.SIGTERM)
            code = await daemon.ended()
        faults = [event for event in daemon.events if event["event"] == "fault" and "replaced or removed" in str(event)]
        assert faults, daemon.events[-10:]
        assert code == 74
        assert "start the daemon again" in "".join(daemon.other_lines)
        if happens is restored:
            assert set(load.promised.values()) <= await stored_in(data)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


# -- two daemons -------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "posthouse", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_daemon_on_the_directory_is_refused(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with running(tmp_path, CONFIG.format(workers=workers)) as daemon:
            await daemon.endpoint()
            other = tmp_path / "other.toml"
            for second in (1, 2):
                other.write_text(f'data_dir = "{tmp_path}/data"\n' + CONFIG.format(workers=second))
                ended = await asyncio.to_thread(command, "run", "--config", str(other))
                assert ended.returncode == 69
                assert (
                    f"{tmp_path}/data is in use by the daemon with process {daemon.pid};"
                    " stop it or choose another data_dir"
                ) in ended.stderr
                assert "Traceback" not in ended.stderr
            ended = await asyncio.to_thread(command, "run", "--data-dir", str(tmp_path / "data"))
            assert ended.returncode == 69
            listed = await asyncio.to_thread(command, "queue", "summary", "--config", str(other))
            assert listed.returncode == 0  # it asks the daemon that runs
            daemon.kill()
            await daemon.ended()
        ended = await asyncio.to_thread(command, "run", "--data-dir", str(tmp_path / "data"))
        assert ended.returncode == 65
        assert re.search(r"the spool belongs to a daemon with a configuration, .*; choose another", ended.stderr)
        async with running(tmp_path, CONFIG.format(workers=workers)) as daemon:  # what was killed left no lock
            await daemon.endpoint()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_relay_does_not_open_what_a_catcher_took(tmp_path: Path) -> None:
    catcher = '[[listener]]\nbind = "127.0.0.1:0"\n[[domain]]\nname = "*"\ndeliver = "mailbox"\nmailboxes = "any"\n'

    async def scenario() -> None:
        async with running(tmp_path, "workers = 1\n" + catcher) as daemon:
            await daemon.endpoint()
            daemon.kill()
            await daemon.ended()
        async with running(tmp_path, CONFIG.format(workers=1)) as daemon:
            assert await daemon.ended() == 65
            said = "".join(daemon.other_lines)
            assert re.search(r"the spool belongs to a catcher .*; choose another data_dir", said)
            assert "Traceback" not in said

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
