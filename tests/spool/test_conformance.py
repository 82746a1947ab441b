"""Each spool does what every spool must do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.spool import Spool, SqliteSpool
from posthouse.spool.sqlite.storage.threads import InlineThreads, Unsynced
from posthouse.testing.conformance import PEER_CHECKS, SPOOL_CHECKS, Check, PeerCheck


async def bounded(check: Check | PeerCheck, make) -> None:
    async with asyncio.timeout(60):
        await check(make)


@pytest.mark.parametrize("check", SPOOL_CHECKS, ids=lambda check: check.__name__)
def test_ephemeral(check: Check) -> None:
    made: list[SqliteSpool] = []

    async def make() -> Spool:
        made.append(SqliteSpool.ephemeral())
        await made[0].open(1_700_000_000.0)
        return made[0]

    asyncio.run(bounded(check, make))
    assert made[0]._private is not None
    assert not made[0]._private.exists


@pytest.mark.parametrize("check", SPOOL_CHECKS, ids=lambda check: check.__name__)
def test_sqlite(check: Check, tmp_path: Path) -> None:
    async def make() -> Spool:
        spool = SqliteSpool(tmp_path)
        await spool.open(1_700_000_000.0)
        return spool

    asyncio.run(bounded(check, make))
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


@pytest.mark.parametrize("check", SPOOL_CHECKS, ids=lambda check: check.__name__)
def test_sqlite_with_everything_in_files(check: Check, tmp_path: Path) -> None:
    async def make() -> Spool:
        spool = SqliteSpool(tmp_path, threshold=0)
        await spool.open(1_700_000_000.0)
        return spool

    asyncio.run(bounded(check, make))
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []


@pytest.mark.parametrize("check", PEER_CHECKS, ids=lambda check: check.__name__)
def test_peers_without_threads(check: PeerCheck, tmp_path: Path) -> None:
    async def two() -> tuple[Spool, Spool]:
        one, other = (SqliteSpool(tmp_path, durable=Unsynced(), threads=InlineThreads()) for _ in range(2))
        for spool in (one, other):
            await spool.open(1_700_000_000.0)
        return one, other

    asyncio.run(bounded(check, two))


@pytest.mark.parametrize("check", PEER_CHECKS, ids=lambda check: check.__name__)
def test_peers_on_sqlite(check: PeerCheck, tmp_path: Path) -> None:
    async def two() -> tuple[Spool, Spool]:
        one, other = SqliteSpool(tmp_path), SqliteSpool(tmp_path)
        for spool in (one, other):
            await spool.open(1_700_000_000.0)
        return one, other

    asyncio.run(bounded(check, two))
