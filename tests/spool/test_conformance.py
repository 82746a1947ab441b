"""Both queues do what every queue must do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.spool import MemorySpool, Spool, SqliteSpool
from posthouse.testing.spool_conformance import CHECKS, NEIGHBOUR_CHECKS, Check, NeighbourCheck


async def bounded(check: Check | NeighbourCheck, make) -> None:
    async with asyncio.timeout(60):
        await check(make)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_memory(check: Check) -> None:
    async def make() -> Spool:
        queue = MemorySpool()
        await queue.open(1_700_000_000.0)
        return queue

    asyncio.run(bounded(check, make))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite(check: Check, tmp_path: Path) -> None:
    async def make() -> Spool:
        queue = SqliteSpool(tmp_path)
        await queue.open(1_700_000_000.0)
        return queue

    asyncio.run(bounded(check, make))
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite_with_everything_in_files(check: Check, tmp_path: Path) -> None:
    async def make() -> Spool:
        queue = SqliteSpool(tmp_path, threshold=0)
        await queue.open(1_700_000_000.0)
        return queue

    asyncio.run(bounded(check, make))
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


@pytest.mark.parametrize("check", NEIGHBOUR_CHECKS, ids=lambda check: check.__name__)
def test_neighbours_in_memory(check: NeighbourCheck) -> None:
    async def two() -> tuple[Spool, Spool]:
        one = MemorySpool()
        other = one.beside()
        assert other.slot != one.slot
        for queue in (one, other):
            await queue.open(1_700_000_000.0)
        return one, other

    asyncio.run(bounded(check, two))


@pytest.mark.parametrize("check", NEIGHBOUR_CHECKS, ids=lambda check: check.__name__)
def test_neighbours_on_sqlite(check: NeighbourCheck, tmp_path: Path) -> None:
    async def two() -> tuple[Spool, Spool]:
        one, other = SqliteSpool(tmp_path), SqliteSpool(tmp_path)
        for queue in (one, other):
            await queue.open(1_700_000_000.0)
        return one, other

    asyncio.run(bounded(check, two))
