"""Ephemeral spools: a private directory, no syncs, no threads, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.core import Address, Envelope, LocalError, Recipient
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock

ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))
LARGE = b"x" * 100_000  # in a file


async def store(spool: SqliteSpool, content: bytes, now: float) -> str:
    incoming = spool.receive()
    waiting = incoming.write(content)
    if waiting is not None:
        await waiting
    return (await incoming.commit(ENVELOPE, ["x.test"], received=now, due=now)).message.id


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


def directory_of(spool: SqliteSpool) -> Path:
    assert spool._private is not None
    return Path(spool._private.path)


def test_its_directory_is_private_and_removed_on_close() -> None:
    async def scenario() -> None:
        async with SqliteSpool.ephemeral() as spool:
            directory = directory_of(spool)
            assert directory.stat().st_mode & 0o777 == 0o700
            await store(spool, LARGE, 0.0)
            assert list((directory / "spool" / "content").glob("*/*"))
        assert not directory.exists()

    run(scenario)


def test_it_is_opened_once() -> None:
    async def scenario() -> None:
        async with SqliteSpool.ephemeral() as spool:
            pass
        with pytest.raises(LocalError, match="opened once"):
            await spool.open(0.0)
        assert not directory_of(spool).exists()

    run(scenario)


def test_one_that_is_never_opened_leaves_nothing() -> None:
    spool = SqliteSpool.ephemeral()
    directory = directory_of(spool)
    assert directory.exists()
    del spool
    gc.collect()
    assert not directory.exists()


def test_two_have_nothing_in_common() -> None:
    async def scenario() -> None:
        async with SqliteSpool.ephemeral() as one, SqliteSpool.ephemeral() as two:
            await store(one, b"x", 0.0)
            assert (await one.queries.count(), await two.queries.count()) == (1, 0)

    run(scenario)


def test_it_syncs_nothing_and_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor, name=name: calls.append(name))
    monkeypatch.setattr(threading.Thread, "start", lambda thread: calls.append(thread.name))

    async def scenario() -> None:
        async with SqliteSpool.ephemeral() as spool:
            await store(spool, b"x", 0.0)
            queue_id = await store(spool, LARGE, 0.0)
            assert await spool.queries.entry(queue_id) is not None
            assert len(await spool.lease("w", 1.0, 60.0, limit=10)) == 2

    run(scenario)
    assert calls == []


def test_a_clock_that_a_test_moves_sees_that_operations_are_done() -> None:
    """No operation waits for a thread or for real time, so virtual time never passes before it is done."""

    async def scenario() -> None:
        clock = ManualClock()
        async with SqliteSpool.ephemeral(time=clock.time) as spool:
            storing = asyncio.ensure_future(store(spool, LARGE, clock.time()))
            await clock.settle()
            assert storing.done()
            (lease,) = await spool.lease("w", clock.time(), clock.time() + 60, limit=10)
            recording = spool.record(lease, [])  # patient: it need not be committed at once
            await clock.settle()
            assert recording.done()

    run(scenario)
