"""``posthouse queue summary`` says that there are contents without rows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.cli import main
from posthouse.spool import SqliteSpool
from posthouse.spool.ids import text_of

NOW = 1_700_000_000.0


async def _made(directory: Path) -> None:
    spool = SqliteSpool(directory)
    await spool.open(NOW)
    await spool.close()


def test_the_summary_names_lost_contents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_made(tmp_path))
    summary = ["queue", "summary", "--data-dir", str(tmp_path)]
    assert main(summary) == 0
    assert "lost" not in capsys.readouterr().out
    (tmp_path / "spool" / "lost").mkdir()
    for number in (1 << 40, 1 << 41):
        (tmp_path / "spool" / "lost" / text_of(number)).write_bytes(b"content")
    assert main(summary) == 0
    assert "2 contents in spool/lost, without a row in the database" in capsys.readouterr().out
