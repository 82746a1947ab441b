"""``--all`` selects mail of any age, also what came while the clock was ahead."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from posthouse.cli import main
from posthouse.core import Address, Envelope, Recipient
from posthouse.spool import SqliteSpool

NEXT_YEAR = time.time() + 366 * 86_400.0


async def _filled(directory: Path) -> None:
    spool = SqliteSpool(directory, time=lambda: NEXT_YEAR)
    await spool.open(NEXT_YEAR)
    for number in range(3):
        incoming = spool.receive()
        incoming.write(b"content")
        envelope = Envelope(None, (Recipient(Address(f"b{number}", "x.test")),))
        await incoming.commit(envelope, ["x.test"], received=NEXT_YEAR, due=NEXT_YEAR)
    await spool.close()


@pytest.mark.parametrize(
    ("command", "done"),
    [
        (("hold",), "3 recipients held."),
        (("retry",), "3 recipients due now."),
        (("drop",), "3 recipients dropped."),
        (("reroute", "--via", "smtp://192.0.2.1:25"), "3 recipients rerouted."),
    ],
)
def test_all_is_all(tmp_path: Path, command: tuple[str, ...], done: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_filled(tmp_path))
    assert main(["queue", *command, "--all", "--yes", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == done


def test_all_that_is_held_is_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_filled(tmp_path))
    for command in ("hold", "release"):
        assert main(["queue", command, "--all", "--yes", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 recipients released."
