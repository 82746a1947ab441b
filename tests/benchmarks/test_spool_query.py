"""The bulk insert of the spool's benchmarks: the spool can read what it has inserted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from spool_query import NOW, fill, make

from posthouse.spool import Condition, SqliteSpool


def test_the_spool_reads_the_inserted_messages(tmp_path: Path) -> None:
    async def scenario() -> None:
        await make(tmp_path)
        fill(tmp_path / "spool" / "queue.sqlite3", 1000)
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        try:
            count = await spool.queries.count((), now=NOW)
            assert 1000 <= count < 1004
            held = await spool.queries.count((Condition("state", "=", "held"),), now=NOW)
            assert 0 < held < 50
            (entry,) = await spool.queries.select(limit=1)
            assert entry.id
        finally:
            await spool.close()

    asyncio.run(scenario())
