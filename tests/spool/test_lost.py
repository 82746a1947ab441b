"""Contents that the database does not know are put aside, told, and come back with their rows."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from posthouse.core import Address, Envelope, Recipient, SettingError
from posthouse.spool import SqliteSpool
from posthouse.spool.sqlite.storage import lost
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.layout import Layout

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))
BIG = b"0123456789abcdef" * 6000  # in a file


async def fill(data: Path, count: int, now: float = NOW) -> list[str]:
    """Store large messages, and close in good order."""
    spool = SqliteSpool(data, time=lambda: now)
    await spool.open(now)
    found = []
    for number in range(count):
        receipt = spool.receive()
        waiting = receipt.write(BIG + b"%d" % number)
        if waiting is not None:
            await waiting
        stored = await receipt.commit(ENVELOPE, ["x.test"], received=now, due=now)
        found.append(stored.message.id)
    await spool.close()
    return found


async def reopen(data: Path, durable: Durable | None = None) -> tuple[list[str], dict[str, bytes]]:
    """What opening says, and the messages with their content."""
    spool = SqliteSpool(data, time=lambda: NOW, durable=durable or Durable())
    said = await spool.open(NOW)
    assert await spool.queries.lost() == len(lost_in(data))
    contents = {}
    for row in await spool.queries.select(now=NOW):
        entry = await spool.queries.entry(row.id)
        assert entry is not None
        contents[row.id] = b"".join((await spool.open_content(entry.message)).chunks())
    await spool.close()
    return list(said), contents


async def restore_yesterday(data: Path, count: int) -> tuple[list[str], list[str]]:
    """Store one message yesterday and ``count`` today, and put yesterday's database back; today's is kept beside it."""
    old = await fill(data, 1)
    shutil.copy(data / "spool" / "queue.sqlite3", data / "yesterday")
    new = await fill(data, count)
    shutil.copy(data / "spool" / "queue.sqlite3", data / "today")
    shutil.copy(data / "yesterday", data / "spool" / "queue.sqlite3")
    return old, new


class Rival(Durable):
    """Another worker that starts at the same time moves each file first."""

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        super().rename(old, new)


def lost_in(data: Path) -> set[str]:
    return {path.name for path in (data / "spool" / "lost").glob("*")}


def test_workers_that_start_together_move_the_same_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        old, new = await restore_yesterday(tmp_path, 3)
        said, contents = await reopen(tmp_path, Rival())
        assert said == []  # the other worker says it
        assert set(contents) == set(old)
        assert lost_in(tmp_path) == set(new)
        shutil.copy(tmp_path / "today", tmp_path / "spool" / "queue.sqlite3")
        said, contents = await reopen(tmp_path, Rival())
        assert said == []
        assert set(contents) == {*old, *new}
        assert lost_in(tmp_path) == set()

    asyncio.run(scenario())


def test_contents_come_back_with_the_database_that_knows_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        old, new = await restore_yesterday(tmp_path, 30)
        said, contents = await reopen(tmp_path)
        assert any("30 contents without a row in the database moved to" in each for each in said)
        assert set(contents) == set(old)
        assert lost_in(tmp_path) == set(new)
        assert await reopen(tmp_path) == ([], contents)  # they stay, and are told once
        shutil.copy(tmp_path / "today", tmp_path / "spool" / "queue.sqlite3")
        said, contents = await reopen(tmp_path)
        assert any("30 contents moved back from" in each for each in said)
        assert [contents[name] for name in new] == [BIG + b"%d" % number for number in range(30)]
        assert not lost_in(tmp_path)

    asyncio.run(scenario())


def test_a_young_content_is_kept_and_an_old_one_is_deleted_where_there_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await fill(tmp_path, 0)
        shutil.copy(tmp_path / "spool" / "queue.sqlite3", tmp_path / "empty")
        (name,) = await fill(tmp_path, 1)
        shutil.copy(tmp_path / "empty", tmp_path / "spool" / "queue.sqlite3")
        old = os.path.getmtime(tmp_path / "empty") - 10 * lost.KEPT
        os.utime(tmp_path / "spool" / "content" / name[-1] / name, (old, old))  # old mail may be promised, too
        said, _ = await reopen(tmp_path)
        assert len(said) == 1
        assert lost_in(tmp_path) == {name}
        assert (await reopen(tmp_path))[0] == []
        then = os.stat(tmp_path / "spool" / "lost" / name).st_ctime
        # The clock is a year ahead, which the mail does not confirm.
        monkeypatch.setattr(lost, "time", SimpleNamespace(time=lambda: then + 365 * 86_400.0))
        await fill(tmp_path, 1, then + lost.KEPT - 1)
        assert (await reopen(tmp_path))[0] == []
        assert lost_in(tmp_path) == {name}
        await fill(tmp_path, 1, then + lost.KEPT + 1)
        said, _ = await reopen(tmp_path)
        assert said == [f"1 content deleted from {tmp_path}/spool/lost, without a row for more than 7 days"]
        assert not lost_in(tmp_path)

    asyncio.run(scenario())


def test_many_lost_contents_are_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await fill(tmp_path, 0)
        shutil.copy(tmp_path / "spool" / "queue.sqlite3", tmp_path / "empty")
        names = await fill(tmp_path, lost.FEW + 1)
        shutil.copy(tmp_path / "empty", tmp_path / "spool" / "queue.sqlite3")
        await reopen(tmp_path)
        later = os.stat(tmp_path / "spool" / "lost" / names[0]).st_ctime + 2 * lost.KEPT
        monkeypatch.setattr(lost, "time", SimpleNamespace(time=lambda: later))
        await fill(tmp_path, 1, later)
        await reopen(tmp_path)
        assert lost_in(tmp_path) == set(names)
        monkeypatch.setattr(lost, "FEW", len(names))
        await reopen(tmp_path)
        assert not lost_in(tmp_path)

    asyncio.run(scenario())


def test_a_file_of_another_size_is_not_taken_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        (name,) = await fill(tmp_path, 1)
        layout = Layout(str(tmp_path / "spool"))
        (tmp_path / "spool" / "lost").mkdir()
        content = tmp_path / "spool" / "content" / name[-1] / name
        content.rename(tmp_path / "spool" / "lost" / name)
        (tmp_path / "spool" / "lost" / name).write_bytes(b"short")
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        (said,) = await spool.open(NOW)
        assert "is corrupt and kept as it is" in said
        await spool.close()
        assert len(lost.lost_contents(layout)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("missing", ["log", "all"])
def test_a_database_without_tables_beside_contents_is_refused(tmp_path: Path, missing: str) -> None:
    """The trap of a copy without its -wal: obeying the next start must not cost the mail."""

    async def scenario() -> None:
        names = await fill(tmp_path, 2)
        database = tmp_path / "spool" / "queue.sqlite3"
        database.rename(tmp_path / "whole")
        if missing == "log":
            database.write_bytes(b"")
            cause = "queue.sqlite3 has no tables, which are in queue.sqlite3-wal, and beside it are 2 content files of"
        else:
            cause = "queue.sqlite3 is missing, and beside it are 2 content files of mail"
        for _ in range(2):  # a refusal leaves nothing
            with pytest.raises(SettingError, match=r"has no tables|is missing") as refused:
                await reopen(tmp_path)
            assert cause in str(refused.value)
        assert "restore queue.sqlite3" in str(refused.value)
        assert "to begin with an empty spool" in str(refused.value)
        with pytest.raises(SettingError, match=r"its -wal is missing, or no daemon|there is no spool here"):
            await SqliteSpool.read_only(tmp_path).open(NOW)
        assert not lost_in(tmp_path)
        for left in database.parent.glob("queue.sqlite3*"):
            left.unlink()
        (tmp_path / "whole").rename(database)
        said, contents = await reopen(tmp_path)
        assert (said, set(contents)) == ([], set(names))

    asyncio.run(scenario())


def test_an_orderly_end_leaves_the_database_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = await fill(tmp_path, 3)
        (tmp_path / "copy" / "spool").mkdir(parents=True)
        shutil.copy(tmp_path / "spool" / "queue.sqlite3", tmp_path / "copy" / "spool")
        shutil.copytree(tmp_path / "spool" / "content", tmp_path / "copy" / "spool" / "content")
        assert not list((tmp_path / "spool").glob("queue.sqlite3-*"))
        said, contents = await reopen(tmp_path / "copy")
        assert (said, set(contents)) == ([], set(names))

    asyncio.run(scenario())


def test_an_orderly_end_beside_a_reader_leaves_the_database_whole(tmp_path: Path) -> None:
    """A reader keeps the log, which is empty then."""

    async def scenario() -> None:
        await fill(tmp_path, 0)
        reader = SqliteSpool.read_only(tmp_path)
        await reader.open(NOW)
        names = await fill(tmp_path, 3)
        (tmp_path / "copy" / "spool").mkdir(parents=True)
        shutil.copy(tmp_path / "spool" / "queue.sqlite3", tmp_path / "copy" / "spool")
        shutil.copytree(tmp_path / "spool" / "content", tmp_path / "copy" / "spool" / "content")
        await reader.close()
        said, contents = await reopen(tmp_path / "copy")
        assert (said, set(contents)) == ([], set(names))

    asyncio.run(scenario())


def test_the_last_of_several_processes_leaves_the_database_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        spools = [SqliteSpool(tmp_path, time=lambda: NOW) for _ in range(3)]
        for spool in spools:
            await spool.open(NOW)
        for spool in spools:
            receipt = spool.receive()
            receipt.write(b"content")
            await receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
        for spool in spools:
            await spool.close()
        assert not list((tmp_path / "spool").glob("queue.sqlite3-*"))
        _, contents = await reopen(tmp_path)
        assert len(contents) == 3

    asyncio.run(scenario())
