"""Without threads a spool is not opened, or every message is answered; nothing waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Recipient, StorageError, StorageUncertain
from posthouse.spool import SqliteSpool
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.thread_pool import ThreadPool

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))
BIG = bytes(300_000)
PATIENCE = 60.0


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many more threads the system gives."""
    left = [1000]
    start = threading.Thread.start

    def limited(self: threading.Thread) -> None:
        if left[0] <= 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return left


async def store(spool: SqliteSpool, content: bytes) -> None:
    incoming = spool.receive()
    try:
        waiting = incoming.write(content)
        if waiting is not None:
            await waiting
        await incoming.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
    finally:
        incoming.abort()


def test_large_content_is_stored_when_no_thread_can_be_started_any_more(tmp_path: Path, limit: list[int]) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        limit[0] = 0
        await asyncio.gather(*[store(spool, BIG) for _ in range(20)])
        assert await spool.queries.count() == 20
        for row in await spool.queries.select(now=NOW):
            entry = await spool.queries.entry(row.id)
            assert entry is not None
            assert (await spool.open_content(entry.message)).size == len(BIG)
        await spool.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


@pytest.mark.parametrize("threads", range(7))
def test_a_spool_without_its_threads_is_not_opened(tmp_path: Path, limit: list[int], threads: int) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        limit[0] = threads
        (fault,) = await asyncio.gather(spool.open(NOW), return_exceptions=True)
        if isinstance(fault, BaseException):
            assert isinstance(fault, StorageError)
            assert "allow more (TasksMax, nproc)" in str(fault)
        else:
            assert threads >= 5
            await store(spool, BIG)
        await spool.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_commit_is_answered_when_files_cannot_be_given_to_a_thread(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)

        def refused(*_: Any, **__: Any) -> Any:
            raise RuntimeError("can't start new thread")

        assert spool._files is not None
        spool._files.submit = refused  # type: ignore[method-assign]
        with pytest.raises(StorageError, match="can't start new thread"):
            await store(spool, BIG)
        await store(spool, b"small")
        del spool._files.submit
        await store(spool, BIG)
        await spool.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_pool_does_all_work_and_ends() -> None:
    pool = ThreadPool(3, "test")
    pool.start()
    together = threading.Barrier(3)
    futures = [pool.submit(together.wait, 30) for _ in range(3)]  # three threads at one time
    assert sorted(future.result(30) for future in futures) == [0, 1, 2]
    failing = pool.submit(int, "x")
    assert isinstance(failing.exception(30), ValueError)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="has ended"):
        pool.submit(int)
    pool.shutdown()


class Deadly(Durable):
    """A commit that ends the writer's thread, as a fault of the program does."""

    armed = False

    def commit(self, connection: sqlite3.Connection, sql: str = "COMMIT", values: Sequence[object] = ()) -> None:
        if self.armed:
            raise SystemExit("a fault")
        super().commit(connection, sql, values)


def test_nobody_waits_for_a_writer_whose_thread_has_ended(tmp_path: Path) -> None:
    durable = Deadly()
    said: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        spool = SqliteSpool(tmp_path, time=lambda: NOW, durable=durable)
        await spool.open(NOW)
        await store(spool, b"kept\r\n")
        durable.armed = True
        async with asyncio.timeout(PATIENCE):
            results = await asyncio.gather(*[store(spool, b"x\r\n") for _ in range(5)], return_exceptions=True)
            assert [type(each) for each in results] == [StorageUncertain] * 5
            with pytest.raises(StorageError, match="has ended"):
                await store(spool, b"later\r\n")
            durable.armed = False
            await spool.close()
            # Another connection is not kept waiting by the dead thread's transaction, and what was promised is there.
            other = SqliteSpool(tmp_path, time=lambda: NOW)
            await other.open(NOW)
            assert await other.queries.count() >= 1
            await store(other, b"again\r\n")
            await other.close()

    asyncio.run(scenario())
    assert [type(each.get("exception")) for each in said] == [SystemExit]
    assert "the thread that writes to the spool has ended (SystemExit: a fault)" in said[0]["message"]


def test_a_writer_that_dies_while_it_is_stopped_ends(tmp_path: Path) -> None:
    durable = Deadly()

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        spool = SqliteSpool(tmp_path, time=lambda: NOW, durable=durable)
        await spool.open(NOW)
        durable.armed = True
        storing = asyncio.ensure_future(store(spool, b"x\r\n"))
        await asyncio.sleep(0)
        thread = spool.writer._spool_thread
        assert thread is not None
        spool.writer.flush()
        spool.writer._inbound.put(None)  # as ``stop`` does it, right behind the last operations
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StorageUncertain):
                await storing
            await asyncio.to_thread(thread.join, 10.0)
            assert not thread.is_alive()
            await spool.close()

    asyncio.run(scenario())
