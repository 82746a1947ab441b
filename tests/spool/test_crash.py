"""The crash table: a process stops after each of its durable acts, and a disk fails at each of them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from posthouse.spool import Durable, SqliteQueue, State
from posthouse.spool.ids import number_of

SCRIPT = Path(__file__).with_name("life.py")
LIFE = runpy.run_path(str(SCRIPT))
NOW = LIFE["NOW"]


def digest(content) -> str:
    return hashlib.sha256(b"".join(content.chunks())).hexdigest()


def files_of(directory: Path) -> set[int]:
    return {number_of(path.name) or 0 for path in (directory / "spool" / "content").glob("*/*")}


async def check_table(directory: Path, lines: Sequence[str]) -> None:
    """What is left after a life of which these lines were told is a state of the table."""
    queue = SqliteQueue(directory)
    said = await queue.open(NOW)
    assert not [sentence for sentence in said if "corrupt" in sentence]

    assert list((directory / "spool" / "tmp").iterdir()) == [], "S1 was not swept"
    with sqlite3.connect(directory / "spool" / "queue.sqlite3") as connection:
        promised_files = {number for (number,) in connection.execute("SELECT id FROM file")}
    connection.close()
    assert files_of(directory) == promised_files, "S2 was not swept, or promised content is gone"

    told = [line.split() for line in lines]
    begun = {words[2] for words in told if words[:2] == ["begun", "settle"]}
    done = {words[2] for words in told if words[:2] == ["done", "settle"]}
    refused = {words[2] for words in told if words[0] == "refused" and words[1] in ("settle", "part")}
    for words in told:
        if words[0] != "promised":
            continue
        entry = await queue.entry(words[1])
        if words[1] in done - refused:
            assert entry is None, "finished, and still there"
        elif words[1] not in begun or words[1] in refused:
            assert entry is not None, "promised, and lost"
        if entry is not None:
            assert digest(queue.content(entry.message)) == words[2]
            assert any(waiting.state is State.WAITING for waiting in entry.recipients)
    kept = [words[2] for words in told if words[:2] == ["done", "keep"]]
    assert set(kept) <= {message.queue_id for message in await queue.inbox("me")}
    for message in await queue.inbox():
        found = await queue.kept(message.number)
        assert found is not None
        assert digest(found[1]) == hashlib.sha256(LIFE["LARGE"]).hexdigest()

    # The dead owner's leases ended: everything that waits is due now.
    count = await queue.count()
    works = await queue.lease("next", NOW, NOW + 60, limit=1000)
    assert sum(len(work.recipients) for work in works) == count
    for work in works:
        assert queue.content(work.message).size == work.message.size
    await queue.close()


def run_until(directory: Path, act: int) -> tuple[int, list[str]]:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory), str(act)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode in (0, 7), ended.stderr
    return ended.returncode, ended.stdout.splitlines()


async def make_empty(directory: Path) -> None:
    queue = SqliteQueue(directory)
    await queue.open(NOW)
    await queue.close()


def test_stopped_after_each_act(tmp_path: Path) -> None:
    template = tmp_path / "template"
    asyncio.run(make_empty(template))
    acts = 0
    while True:
        acts += 1
        directory = tmp_path / str(acts)
        shutil.copytree(template, directory)
        code, lines = run_until(directory, acts)
        asyncio.run(check_table(directory, lines))
        if code == 0:
            break
        assert acts < 200
    assert lines[-1] == "closed"
    # Commits, and for three large files open, 2 or 3 writes, sync, rename, directory sync, and an unlink of two
    assert acts > 25


@pytest.mark.parametrize("act", [1, 2, 5, 33, 34, 35, 36, 37, 38, 39, 40])
def test_stopped_while_it_was_made(tmp_path: Path, act: int) -> None:
    _, lines = run_until(tmp_path / "data", act)
    assert "promised" not in " ".join(lines) or act > 38
    asyncio.run(check_table(tmp_path / "data", lines))


def failing(at: int, error: int, lasting: int) -> Durable:
    """Fails at the n-th act and the next few; unlinking works on a full disk."""
    count = 0

    def before() -> None:
        nonlocal count
        count += 1
        if at <= count < at + lasting:
            raise OSError(error, "no such luck")

    durable = Durable()
    unlink = durable.unlink
    durable = LIFE["after_each_act"](durable, lambda: None, before)
    if error == errno.ENOSPC:
        durable.unlink = unlink  # type: ignore[method-assign]
    return durable


@pytest.mark.parametrize("lasting", [1, 3])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_disk_fails_at_each_act(tmp_path: Path, error: int, lasting: int) -> None:
    asyncio.run(make_empty(tmp_path / "template"))

    async def life(directory: Path, act: int) -> list[str]:
        lines: list[str] = []
        queue = SqliteQueue(directory, durable=Durable())
        await queue.open(NOW)
        # The disk is well while the spool opens; the fake is in every act from here on.
        fake = failing(act, error, lasting)
        for name in LIFE["ACTS"]:
            setattr(queue._durable, name, getattr(fake, name))
        await LIFE["live"](queue, lambda *words: lines.append(" ".join(map(str, words))))
        await queue.close()
        return lines

    act, failures = 0, 0
    while True:
        act += 1
        directory = tmp_path / str(act)
        shutil.copytree(tmp_path / "template", directory)
        lines = asyncio.run(life(directory, act))
        asyncio.run(check_table(directory, lines))
        refusals = [line.split()[-1] for line in lines if line.startswith(("refused", "notstored"))]
        if error == errno.ENOSPC:
            assert set(refusals) <= {"StorageFull"}
        failures += bool(refusals)
        promised = sum(line.startswith("promised") for line in lines)
        assert promised >= 5 - lasting, "it did not recover"
        if promised == 5 and not refusals and act > 20:
            break
        assert act < 200
        shutil.rmtree(directory)
    assert failures > 15
