"""We sync the log, after COMMIT has let go of the lock: who may write meanwhile, and what if the disk refuses."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Recipient, StorageUncertain
from posthouse.spool import SqliteSpool
from posthouse.spool.sqlite.storage import writer
from posthouse.spool.sqlite.storage.durability import Durable, NotSynced, WalConnection

NOW = 1_700_000_000.0


class Disk(Durable):
    """Syncs the log when it is let, and refuses as often as it is told to."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.asked = threading.Event()
        self.refuse = 0
        self.syncs = 0

    def sync_log(self, connection: sqlite3.Connection) -> None:
        self.asked.set()
        assert self.let.wait(30)
        if self.refuse:
            self.refuse -= 1
            raise NotSynced(errno.EIO, "the disk sulks")
        super().sync_log(connection)
        self.syncs += 1


async def opened(directory: Path, disk: Durable) -> SqliteSpool:
    queue = SqliteSpool(directory, durable=disk)
    await queue.open(NOW)
    return queue


def store(queue: SqliteSpool) -> asyncio.Task[Any]:
    receipt = queue.receive()
    receipt.write(b"content")
    envelope = Envelope(None, (Recipient(Address("b", "d.test")),))
    return asyncio.ensure_future(receipt.commit(envelope, ["d.test"], received=NOW, due=NOW))


def test_while_one_waits_for_the_disk_another_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        slow, quick = Disk(), Disk()
        one, two = await opened(tmp_path, slow), await opened(tmp_path, quick)
        slow.let.clear()
        slow.asked.clear()
        waiting = store(one)
        assert await asyncio.to_thread(slow.asked.wait, 30)
        await store(two)
        assert not waiting.done()
        assert await two.queries.count() == 2  # seen before it is promised
        slow.let.set()
        await waiting
        await one.close()
        await two.close()

    asyncio.run(scenario())


def test_nobody_is_told_anything_until_the_disk_obeys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_SYNC_AGAIN", 0.001)

    async def scenario() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, reported: faults.append(reported))
        disk = Disk()
        queue = await opened(tmp_path, disk)
        disk.refuse = 3
        syncs = disk.syncs
        stored = [store(queue) for _ in range(3)]
        await asyncio.gather(*stored)
        assert disk.refuse == 0
        assert disk.syncs == syncs + 1
        assert await queue.queries.count() == 3  # once each: what was committed is not run again
        assert [type(reported["exception"]) for reported in faults] == [NotSynced]
        await queue.close()

    asyncio.run(scenario())


def test_the_end_is_not_waited_for_and_then_the_answer_is_no(tmp_path: Path) -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, reported: None)
        disk = Disk()
        queue = await opened(tmp_path, disk)
        disk.refuse = 1_000_000
        disk.asked.clear()
        stored = store(queue)
        assert await asyncio.to_thread(disk.asked.wait, 30)
        await queue.close()
        with pytest.raises(StorageUncertain, match="the disk sulks"):
            await stored

    asyncio.run(scenario())


@contextmanager
def logged(directory: Path) -> Iterator[WalConnection]:
    connection = sqlite3.connect(directory / "a.sqlite3", isolation_level=None, factory=WalConnection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE t (n)")
    try:
        yield connection
    finally:
        connection.close()


def test_a_log_that_was_not_synced_is_emptied_before_it_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that could not write may forget what it could not, and say yes the next time."""
    real = os.fdatasync

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "no")

    with logged(tmp_path) as connection:
        log = tmp_path / "a.sqlite3-wal"
        connection.execute("INSERT INTO t VALUES (1)")
        monkeypatch.setattr(os, "fdatasync", failing)
        with pytest.raises(NotSynced):
            connection.sync_log()
        assert log.stat().st_size > 0
        monkeypatch.setattr(os, "fdatasync", real)
        reader = sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        connection.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(NotSynced, match="in use"):  # somebody reads in it, so it cannot begin anew
            connection.sync_log()
        reader.execute("ROLLBACK")
        reader.close()
        connection.sync_log()
        assert log.stat().st_size == 0
        (tmp_path / "b.sqlite3").write_bytes((tmp_path / "a.sqlite3").read_bytes())
    with sqlite3.connect(tmp_path / "b.sqlite3") as copy:
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (2,)  # without any log
    copy.close()


def test_who_is_alone_lets_sqlite_sync(tmp_path: Path) -> None:
    async def scenario(disk: Disk) -> int:
        queue = await opened(tmp_path, disk)
        before = disk.syncs
        await store(queue)
        syncs = disk.syncs - before
        (level,) = await queue._call(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
        await queue.close()
        assert level == (1 if disk.shared else 2)  # NORMAL, FULL
        return syncs

    alone = Disk()
    alone.shared = False
    assert asyncio.run(scenario(alone)) == 0
    assert asyncio.run(scenario(Disk())) == 1


def test_the_log_stays_open_and_is_closed_with_the_connection(tmp_path: Path) -> None:
    with logged(tmp_path) as connection:
        connection.sync_log()
        descriptor = connection._log
        assert descriptor is not None
        connection.execute("INSERT INTO t VALUES (1)")
        connection.sync_log()
        assert connection._log == descriptor
    assert connection._log is None
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        os.fstat(descriptor)
