"""Nothing is promised into a spool that was moved, replaced, removed, cut or damaged while it was open."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from posthouse.core import Address, Envelope, Recipient, SettingError, StorageError, StorageFull, StorageUncertain
from posthouse.spool import SqliteSpool
from posthouse.spool.sqlite.storage import place as place_module
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.layout import Layout
from posthouse.spool.sqlite.storage.place import OpenPlace

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))
BIG = b"0123456789abcdef" * 6000  # in a file


async def store(spool: SqliteSpool, content: bytes = b"content") -> str:
    receipt = spool.receive()
    try:
        waiting = receipt.write(content)
        if waiting is not None:
            await waiting
        stored = await receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
    finally:
        receipt.abort()
    return stored.message.id


async def ids(data: Path) -> set[str]:
    spool = SqliteSpool(data, time=lambda: NOW)
    await spool.open(NOW)
    try:
        return {row.id for row in await spool.queries.select(now=NOW)}
    finally:
        await spool.close()


# What operators do to a spool that is open: each returns when it is done.


def restored(data: Path) -> None:
    data.rename(data.with_name("old"))
    shutil.copytree(data.with_name("old"), data)


def emptied(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir(0o700)


def removed(data: Path) -> None:
    shutil.rmtree(data)


def moved(data: Path) -> None:
    data.rename(data.with_name("old"))


def spool_removed(data: Path) -> None:
    shutil.rmtree(data / "spool")


def spool_restored(data: Path) -> None:
    restored(data / "spool")


def database_removed(data: Path) -> None:
    for path in (data / "spool").glob("queue.sqlite3*"):
        path.unlink()


def only_database_removed(data: Path) -> None:
    (data / "spool" / "queue.sqlite3").unlink()


def log_removed(data: Path) -> None:
    (data / "spool" / "queue.sqlite3-wal").unlink()


def index_removed(data: Path) -> None:
    (data / "spool" / "queue.sqlite3-shm").unlink()


def database_restored(data: Path) -> None:
    for path in list((data / "spool").glob("queue.sqlite3*")):
        copy = path.with_name("copy")
        shutil.copy2(path, copy)
        copy.rename(path)


def content_removed(data: Path) -> None:
    shutil.rmtree(data / "spool" / "content")


def content_restored(data: Path) -> None:
    restored(data / "spool" / "content")


def temporary_removed(data: Path) -> None:
    shutil.rmtree(data / "spool" / "tmp")


def owners_removed(data: Path) -> None:
    shutil.rmtree(data / "spool" / "owners")


def database_cut(data: Path) -> None:
    os.truncate(data / "spool" / "queue.sqlite3", 4096)


def log_cut(data: Path) -> None:
    os.truncate(data / "spool" / "queue.sqlite3-wal", 0)


def log_halved(data: Path) -> None:
    path = data / "spool" / "queue.sqlite3-wal"
    os.truncate(path, path.stat().st_size // 2)


def log_written_over(data: Path) -> None:
    (data / "spool" / "queue.sqlite3-wal").write_bytes(b"restored" * 8192)


def linked_elsewhere(data: Path) -> None:
    shutil.copytree(data, data.with_name("copy"))
    data.rename(data.with_name("old"))
    data.symlink_to(data.with_name("copy"))


CASES: list[Callable[[Path], None]] = [
    restored,
    emptied,
    removed,
    moved,
    spool_removed,
    spool_restored,
    database_removed,
    only_database_removed,
    log_removed,
    index_removed,
    database_restored,
    content_removed,
    content_restored,
    temporary_removed,
    owners_removed,
    database_cut,
    log_cut,
    log_halved,
    log_written_over,
    linked_elsewhere,
]


#: What destroys promises that were made before: seen by a look that is due within 20 ms, which this test does not wait.
IN_PLACE = (database_cut, log_cut, log_halved, log_written_over)


@pytest.mark.parametrize("min_free", [0, 1])
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("happens", CASES, ids=lambda case: case.__name__)
def test_no_promise_is_made_into_a_spool_that_was_replaced(
    tmp_path: Path, happens: Callable[[Path], None], size: str, min_free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if happens in IN_PLACE:
        monkeypatch.setattr(place_module, "LOOKS_APART", 0.0)
    data = tmp_path / "data"
    content = b"small" if size == "small" else BIG
    told: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: told.append(problem))
        spool = SqliteSpool(data, time=lambda: NOW)
        await spool.open(NOW)
        for _ in range(20):
            await store(spool)
        await spool.close()
        spool = SqliteSpool(data, time=lambda: NOW, min_free=min_free)
        await spool.open(NOW)
        await store(spool)
        assert spool.accepting()
        happens(data)
        for _ in range(3):
            with pytest.raises(StorageError) as caught:
                await store(spool, content)
            assert not isinstance(caught.value, StorageFull)  # a path that is gone is no full disk
        assert not spool.accepting()
        assert "start the daemon again" in spool.out_of_order()
        assert [problem["message"] for problem in told] == [spool.out_of_order()]
        with pytest.raises(StorageError):
            await spool.lease("w", NOW, NOW + 60, limit=10)
        await spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("happens", [restored, spool_restored, database_restored], ids=lambda case: case.__name__)
@pytest.mark.parametrize("noticed", [True, False])
def test_an_old_process_does_not_remove_the_log_of_a_restored_copy(
    tmp_path: Path, happens: Callable[[Path], None], noticed: bool
) -> None:
    data = tmp_path / "data"
    promised: set[str] = set()

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        spool = SqliteSpool(data, time=lambda: NOW)
        await spool.open(NOW)
        promised.update([await store(spool), await store(spool, BIG)])
        happens(data)
        if noticed:
            with pytest.raises(StorageUncertain):
                await store(spool)
        await spool.close()
        assert spool.out_of_order()
        assert await ids(data) >= promised

    asyncio.run(scenario())


@pytest.mark.parametrize("noticed", [True, False])
def test_an_old_process_does_not_remove_a_log_that_was_put_back(tmp_path: Path, noticed: bool) -> None:
    log = tmp_path / "data" / "spool" / "queue.sqlite3-wal"

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        spool = SqliteSpool(tmp_path / "data", time=lambda: NOW)
        await spool.open(NOW)
        await store(spool)
        copy = log.with_name("copy")
        shutil.copy2(log, copy)
        copy.rename(log)
        octets = log.read_bytes()
        if noticed:
            with pytest.raises(StorageUncertain):
                await store(spool)
        await spool.close()
        assert log.read_bytes() == octets

    asyncio.run(scenario())


def test_what_was_committed_before_the_look_is_refused_with_its_group(tmp_path: Path) -> None:
    """The spool is moved between the commit and the answer."""
    data = tmp_path / "data"

    class Moving(Durable):
        armed = False

        def commit(self, connection: sqlite3.Connection, *rest: Any) -> None:
            super().commit(connection, *rest)
            if self.armed:
                self.armed = False
                moved(data)

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        durable = Moving()
        spool = SqliteSpool(data, time=lambda: NOW, durable=durable)
        await spool.open(NOW)
        durable.armed = True
        answers = await asyncio.gather(*[store(spool) for _ in range(5)], return_exceptions=True)
        assert [type(answer) for answer in answers] == [StorageUncertain] * 5
        await spool.close()

    asyncio.run(scenario())


def test_a_content_file_that_vanished_before_the_commit_is_not_promised(tmp_path: Path) -> None:
    class Forgetful(Durable):
        def rename(self, old: str, new: str) -> None:
            super().rename(old, new)
            os.unlink(new)

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        spool = SqliteSpool(tmp_path, time=lambda: NOW, durable=Forgetful())
        await spool.open(NOW)
        await store(spool)
        with pytest.raises(StorageError, match="content is missing"):
            await store(spool, BIG)
        assert not spool.accepting()
        await spool.close()

    asyncio.run(scenario())


def test_other_changes_in_the_spools_directory_are_none_of_its_business(tmp_path: Path) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        (tmp_path / "spool" / "note").write_text("from an operator")
        (tmp_path / "spool" / "lost").mkdir()
        await store(spool)
        (tmp_path / "spool" / "note").unlink()
        await store(spool, BIG)
        other = SqliteSpool(tmp_path, time=lambda: NOW)
        await other.open(NOW)
        await store(other)
        await other.close()
        await store(spool)
        assert spool.accepting()
        await spool.close()

    asyncio.run(scenario())


def test_a_change_right_behind_a_look_is_seen_by_the_next(tmp_path: Path) -> None:
    """A change time that is younger than its own resolution is not believed."""
    spool = tmp_path / "spool"
    for name in ("content", "tmp", "owners"):
        (spool / name).mkdir(parents=True)
    for name in ("", "-wal", "-shm"):
        (spool / f"queue.sqlite3{name}").write_bytes(b"")
    place = OpenPlace(Layout(str(spool)))
    place.open()
    for _ in range(200):
        assert place.complaint() == ""
    with (spool / "queue.sqlite3-wal").open("rb"):  # as SQLite has it
        (spool / "queue.sqlite3-wal").unlink()
        (spool / "queue.sqlite3-wal").write_bytes(b"")
    assert "queue.sqlite3-wal" in place.complaint()


def test_while_more_is_committed_the_log_is_looked_at_again_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    for name in ("content", "tmp", "owners"):
        (spool / name).mkdir(parents=True)
    for name in ("", "-wal", "-shm"):
        (spool / f"queue.sqlite3{name}").write_bytes(b"\x37\x7f\x06\x82" * 100)
    os.utime(spool)
    now = [100.0]
    monkeypatch.setattr(place_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(place_module.time, "time_ns", lambda: spool.stat().st_ctime_ns + 10_000_000_000)
    place = OpenPlace(Layout(str(spool)))
    place.open()
    assert place.complaint(True) == ""
    (spool / "queue.sqlite3-wal").write_bytes(b"other")
    assert place.complaint(True) == ""
    assert "written over" in place.complaint()
    now[0] += 0.021
    assert "written over" in place.complaint(True)
    shutil.rmtree(spool)
    assert "cannot be found" in place.complaint(True)


@pytest.mark.parametrize(
    ("fraction", "later", "is_settled"),
    [
        (123_456_789, 50_000_000, False),  # the clock of change times may not have moved yet
        (123_456_789, 150_000_000, True),
        (120_000_000, 150_000_000, False),  # perhaps times in whole seconds, or in two
        (120_000_000, 2_100_000_000, True),
        (0, 1_100_000_000, False),
    ],
)
def test_a_change_time_can_hide_a_later_change_for_as_long_as_its_clock_stands(
    monkeypatch: pytest.MonkeyPatch, fraction: int, later: int, is_settled: bool
) -> None:
    changed = 1_800_000_000_000_000_000 + fraction
    monkeypatch.setattr(place_module.time, "time_ns", lambda: changed + later)
    root = OpenPlace._seen(cast(os.stat_result, SimpleNamespace(st_dev=1, st_ino=2, st_ctime_ns=changed)))
    assert root.changed == (changed if is_settled else -1)


# -- damage ------------------------------------------------------------------------------------------------------------


def damage(database: Path, *, pages: range) -> None:
    with database.open("r+b") as file:
        for page in pages:
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


def test_a_damaged_database_is_noticed_at_the_start(tmp_path: Path) -> None:
    async def filled() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        for _ in range(40):
            await store(spool, b"x" * 9000)
        await spool.close()

    asyncio.run(filled())
    database = tmp_path / "spool" / "queue.sqlite3"
    pages = database.stat().st_size // 4096
    damage(database, pages=range(pages // 2, pages // 2 + 12))

    async def opened() -> None:
        with pytest.raises(SettingError, match=r"the spool's database is damaged .*; copy the spool, and restore"):
            await SqliteSpool(tmp_path, time=lambda: NOW).open(NOW)

    asyncio.run(opened())


@pytest.mark.parametrize("left", [0.5, 0.9])
def test_a_cut_database_is_noticed_at_the_start(tmp_path: Path, left: float) -> None:
    async def filled() -> None:
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        for _ in range(40):
            await store(spool, b"x" * 9000)
        await spool.close()

    asyncio.run(filled())
    database = tmp_path / "spool" / "queue.sqlite3"
    os.truncate(database, int(database.stat().st_size * left))

    async def opened() -> None:
        with pytest.raises(SettingError, match="the spool's database is damaged"):
            await SqliteSpool(tmp_path, time=lambda: NOW).open(NOW)

    asyncio.run(opened())


def test_a_file_that_is_no_database_is_noticed_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "queue.sqlite3").write_bytes(b"hello, this is no database" * 1000)

    async def opened() -> None:
        with pytest.raises(SettingError, match="the spool's database is damaged"):
            await SqliteSpool(tmp_path, time=lambda: NOW).open(NOW)

    asyncio.run(opened())


def test_damage_that_is_met_ends_all_promises(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: told.append(problem))
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        await store(spool)

        def corrupt(connection: sqlite3.Connection) -> None:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT  # type: ignore[misc]
            raise error

        with pytest.raises(StorageError, match="malformed"):
            await spool._call(corrupt)
        assert not spool.accepting()
        with pytest.raises(StorageError, match="damaged"):
            await store(spool)
        assert ["damaged" in problem["message"] for problem in told] == [True]
        await spool.close()

    asyncio.run(scenario())


async def read_all(spool: SqliteSpool) -> None:
    for row in await spool.queries.select(now=NOW):
        entry = await spool.queries.entry(row.id)
        assert entry is not None
        await spool.open_content(entry.message)


def test_damage_that_is_read_ends_all_promises(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, problem: told.append(problem))
        spool = SqliteSpool(tmp_path, time=lambda: NOW)
        await spool.open(NOW)
        for _ in range(40):
            await store(spool, b"x" * 9000)
        await spool._call(lambda connection: None)
        damage(tmp_path / "spool" / "queue.sqlite3-wal", pages=range(20, 200))
        with pytest.raises(StorageError):
            await read_all(spool)
        while not told:  # said on the loop, from the reader's thread
            await asyncio.sleep(0)
        assert not spool.accepting()
        with pytest.raises(StorageError):
            await store(spool)
        await spool.close()

    asyncio.run(scenario())
