"""The store over the account file: what it sees of changes, and that it neither waits nor keeps others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from posthouse.core import StorageError
from posthouse.service.accounts import AccountFile, FileAccounts

NOW = 1_700_000_000.0
ANN, BOB = "ann@example.org", "bob@example.org"


def made(folder: Path, *names: str) -> AccountFile:
    file = AccountFile(folder)
    for name in names:
        file.add(name, "correct horse", (), NOW)
    return file


def known(store: FileAccounts, *names: str) -> list[bool]:
    async def ask() -> list[bool]:
        return [await store.knows(name) for name in names]

    return asyncio.run(ask())


def test_a_file_in_the_place_of_another_is_seen_at_once(tmp_path: Path) -> None:
    """A backup that is put back, with the file before still open here."""
    file, other = made(tmp_path, ANN), made(tmp_path / "other", BOB)
    store = FileAccounts(file)
    assert known(store, ANN, BOB) == [True, False]
    os.replace(other.path, file.path)
    assert known(store, ANN, BOB) == [False, True]
    third = made(tmp_path / "third", ANN)
    os.replace(third.path, file.path)
    assert known(store, ANN, BOB) == [True, False]


def test_changes_by_others_are_seen_at_once_and_a_look_leaves_no_lock(tmp_path: Path) -> None:
    file = made(tmp_path, ANN)
    store = FileAccounts(file)
    assert known(store, ANN) == [True]
    writer = sqlite3.connect(file.path, timeout=0, isolation_level=None)
    writer.execute("DELETE FROM account")  # would fail at once if a lock were left
    writer.close()
    assert known(store, ANN) == [False]


def test_while_an_account_is_written_the_event_loop_goes_on(tmp_path: Path) -> None:
    file = made(tmp_path, ANN)
    store = FileAccounts(file)
    writer = sqlite3.connect(file.path, isolation_level=None, check_same_thread=False)

    async def scenario() -> None:
        async with asyncio.timeout(60):
            assert await store.knows(ANN)
            writer.execute("BEGIN EXCLUSIVE")
            writer.execute("DELETE FROM account")
            asked = asyncio.create_task(store.knows(ANN))
            await asyncio.sleep(0)
            assert not asked.done()
            writer.execute("COMMIT")
            assert not await asked

    asyncio.run(scenario())
    writer.close()


def test_another_thread_may_ask(tmp_path: Path) -> None:
    store = FileAccounts(made(tmp_path, ANN))
    assert known(store, ANN) == [True]

    async def elsewhere() -> bool:
        return await asyncio.to_thread(known, store, ANN, BOB) == [True, False]

    assert asyncio.run(elsewhere())


def test_a_damaged_file_is_a_fault_of_storage(tmp_path: Path) -> None:
    file = made(tmp_path, ANN)
    store = FileAccounts(file)
    assert known(store, ANN) == [True]
    shutil.copy(file.path, tmp_path / "copy")
    (tmp_path / "copy").write_bytes(b"no database, but some text that is long enough" * 100)
    os.replace(tmp_path / "copy", file.path)
    with pytest.raises(StorageError):
        known(store, ANN)


def test_a_file_that_is_missing_is_a_fault_of_storage_once_it_was_there(tmp_path: Path) -> None:
    """Nobody knows then whether there is such an account; before the first account there is none."""
    file = AccountFile(tmp_path)
    store = FileAccounts(file)
    assert known(store, ANN) == [False]
    made(tmp_path, ANN)
    assert known(store, ANN) == [True]
    file.path.rename(tmp_path / "aside")
    with pytest.raises(StorageError, match=r"accounts\.sqlite3 is missing, and accounts were made in it; put it back"):
        known(store, ANN)
    (tmp_path / "aside").rename(file.path)
    assert known(store, ANN) == [True]


def test_a_file_that_is_missing_at_the_first_look_was_there_at_the_start(tmp_path: Path) -> None:
    """Another process of the daemon may have looked before, and all of them answer alike."""
    made(tmp_path, ANN)
    store = FileAccounts(AccountFile(tmp_path))
    (tmp_path / "accounts.sqlite3").rename(tmp_path / "aside")
    with pytest.raises(StorageError, match=r"accounts\.sqlite3 is missing, and accounts were made in it; put it back"):
        known(store, ANN)


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_process_that_is_started_without_the_file_knows_that_it_was_there(tmp_path: Path, how: str) -> None:
    """A worker that replaces another, or the daemon after a restart: 535 would return mail that can be kept."""
    file = made(tmp_path, ANN)
    lose(file, how)
    for each in (file, AccountFile(tmp_path)):
        with pytest.raises(StorageError, match=f"is {how}, and accounts were made in it; put it back"):
            known(FileAccounts(each), ANN)
        assert f"is {how}" in each.loss()
    file.path.with_name("accounts.made").unlink()
    assert known(FileAccounts(AccountFile(tmp_path)), ANN) == [False], "to begin without accounts was asked for"
    assert AccountFile(tmp_path).loss() == ""


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_no_account_is_made_in_the_place_of_those_that_are_lost(tmp_path: Path, how: str) -> None:
    file = made(tmp_path, ANN)
    lose(file, how)
    with pytest.raises(StorageError, match=f"is {how}, and accounts were made in it; put it back"):
        made(tmp_path, BOB)
    with pytest.raises(StorageError, match=f"is {how}"):
        AccountFile(tmp_path).accounts()
    file.path.with_name("accounts.made").unlink()
    assert [each.name for each in made(tmp_path, BOB).accounts()] == [BOB]


def test_a_file_that_was_made_without_a_note_is_noted(tmp_path: Path) -> None:
    """By the daemon at its start, or by the next command."""
    file = made(tmp_path, ANN)
    note = file.path.with_name("accounts.made")
    for noted in (AccountFile(tmp_path).note, AccountFile(tmp_path).accounts):
        note.unlink()
        noted()
        assert "accounts.sqlite3" in note.read_text()
        assert note.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_that_never_held_an_account_is_none(tmp_path: Path) -> None:
    """A crash while the first account was made leaves one."""
    file = AccountFile(tmp_path)
    file.path.touch()
    assert known(FileAccounts(file), ANN) == [False]
    assert file.accounts() == []
    assert file.loss() == ""
    assert [each.name for each in made(tmp_path, ANN).accounts()] == [ANN]


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = AccountFile(tmp_path)
    with contextlib.closing(sqlite3.connect(file.path)) as database:
        database.execute("CREATE TABLE other (value)")
    for act in (file.accounts, lambda: made(tmp_path, ANN)):
        with pytest.raises(StorageError, match="is not a file of accounts; put the right one back"):
            act()


def lose(file: AccountFile, how: str) -> None:
    if how == "missing":
        file.path.rename(file.path.with_name("aside"))
    else:
        os.truncate(file.path, 0)


def test_a_closed_store_opens_its_file_again(tmp_path: Path) -> None:
    store = FileAccounts(made(tmp_path, ANN))
    assert known(store, ANN) == [True]
    asyncio.run(store.close())
    assert store._kept._file is None
    assert known(store, ANN) == [True]


def test_what_is_stored_is_not_shown(tmp_path: Path) -> None:
    stored = made(tmp_path, ANN).stored(ANN)
    assert stored is not None
    assert repr(stored) == "StoredAccount(identities=('ann@example.org',), active=True)"


def test_what_was_read_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    """A second look does not open the database; a change is seen at once, whoever makes it and however small it is."""
    file = made(tmp_path, ANN)
    later = time.time_ns() + 3_600_000_000_000
    store = FileAccounts(file, time_ns=lambda: later)
    assert known(store, ANN, BOB) == [True, False]
    assert store._kept._file is not None
    store._kept._file.close()  # a look into the database would fail from here on, and open it in a thread
    assert store.identities_now(ANN) == (ANN,)
    file.set_active(ANN, False)
    assert store.identities_now(ANN) is None
    asyncio.run(store.close())


def test_what_was_read_right_after_a_change_is_not_kept(tmp_path: Path) -> None:
    """Two changes within one tick of the kernel's clock leave the same times."""
    file = made(tmp_path, ANN)
    found = file.path.stat()
    now = [max(found.st_mtime_ns, found.st_ctime_ns) + 20_000_000]
    store = FileAccounts(file, time_ns=lambda: now[0])
    assert known(store, ANN) == [True]
    assert not store._kept._rows
    now[0] += 1_000_000_000
    assert known(store, ANN) == [True]
    assert list(store._kept._rows) == [ANN]


def test_nothing_is_kept_of_a_file_in_wal_mode(tmp_path: Path) -> None:
    """A backup tool has set the mode: the file stays the same while a change is in its log."""
    file = made(tmp_path, ANN)
    later = time.time_ns() + 3_600_000_000_000
    store = FileAccounts(file, time_ns=lambda: later)
    assert known(store, ANN) == [True]
    with contextlib.closing(sqlite3.connect(file.path)) as tool:
        assert tool.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        tool.execute("SELECT count(*) FROM account").fetchall()  # it stays open, so that the log is not emptied
        assert store.identities_now(ANN) == (ANN,)
        file.set_active(ANN, False)
        assert store.identities_now(ANN) is None
    asyncio.run(store.close())


def test_rows_that_are_kept_are_bounded(tmp_path: Path) -> None:
    file = made(tmp_path, ANN)
    later = time.time_ns() + 3_600_000_000_000
    store = FileAccounts(file, time_ns=lambda: later)
    known(store, ANN, *(f"guess{number}" for number in range(1_100)))
    assert len(store._kept._rows) == 1_000
    assert known(store, ANN) == [True]


def test_a_password_that_was_right_is_right_at_once(tmp_path: Path) -> None:
    file = made(tmp_path, ANN)
    now = [0.0]
    store = FileAccounts(file, stopwatch=lambda: now[0])
    assert not store.is_right(ANN, "correct horse")  # has not been checked here
    assert asyncio.run(store.check_password(ANN, "correct horse"))
    assert store.is_right(ANN, "correct horse")
    assert not store.is_right(ANN, "wrong horse")
    assert not store.is_right(BOB, "correct horse")
    now[0] = 601.0
    assert not store.is_right(ANN, "correct horse")
    asyncio.run(store.check_password(ANN, "correct horse"))
    file.set_password(ANN, "another horse", NOW)
    assert not store.is_right(ANN, "correct horse")
