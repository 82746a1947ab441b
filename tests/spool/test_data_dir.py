"""One daemon runs on a data directory: its lock, and directories that others may write into."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.core import SettingError
from posthouse.spool import Durable, SqliteSpool
from posthouse.spool.sqlite.storage.data_dir import LOCK_FILE, DataDirLock

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
HOLDER = """
import sys
from posthouse.spool.sqlite.storage.data_dir import DataDirLock
lock = DataDirLock(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_second_daemon_is_told_who_has_the_directory(tmp_path: Path) -> None:
    first = DataDirLock(str(tmp_path / "new" / "data"))
    with pytest.raises(SettingError) as refused:
        DataDirLock(str(tmp_path / "new" / "data"))
    assert str(refused.value) == (
        f"{tmp_path}/new/data is in use by the daemon with process {os.getpid()}; stop it or choose another data_dir"
    )
    assert isinstance(refused.value.__cause__, OSError)  # by which the exit code is 69
    first.release()
    DataDirLock(str(tmp_path / "new" / "data")).release()


def test_a_killed_daemon_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(SettingError, match=f"process {holder.pid};"):
            DataDirLock(str(tmp_path))
        holder.kill()
        holder.wait(60)
    DataDirLock(str(tmp_path)).release()


def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = DataDirLock(str(tmp_path))
    read, write = os.pipe()
    began, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.write(begun, b"!")
        os.read(read, 1)  # until the test has ended
        os._exit(0)
    try:
        assert os.read(began, 1) == b"!"
        with pytest.raises(SettingError):  # the child's copy is closed, which lets nobody in
            DataDirLock(str(tmp_path))
        lock.close_copy()  # as the kernel does when the daemon is killed
        DataDirLock(str(tmp_path)).release()
    finally:
        for descriptor in (write, read, began, begun):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_a_lock_of_a_replaced_directory_is_not_in_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lock = DataDirLock(str(data))
    assert lock.in_place
    data.rename(tmp_path / "old")
    assert not lock.in_place
    data.mkdir()
    assert not lock.in_place
    other = DataDirLock(str(data))
    assert other.in_place
    other.release()
    lock.release()


def test_a_lock_file_that_was_removed_as_stale_lets_no_second_daemon_in(tmp_path: Path) -> None:
    lock = DataDirLock(str(tmp_path))
    (tmp_path / LOCK_FILE).unlink()
    with pytest.raises(SettingError, match="is in use by the daemon with process unknown"):
        DataDirLock(str(tmp_path))
    lock.release()
    DataDirLock(str(tmp_path)).release()


def test_two_data_directories_with_one_spool_are_one_daemons(tmp_path: Path) -> None:
    (tmp_path / "real" / "spool").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "spool").symlink_to(tmp_path / "real" / "spool")
    for first, second in (("real", "other"), ("other", "real")):
        lock = DataDirLock(str(tmp_path / first))
        with pytest.raises(SettingError, match=f"{second} is in use by the daemon with process"):
            DataDirLock(str(tmp_path / second))
        lock.release()


def test_a_directory_that_cannot_be_made_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingError, match=r"the data directory cannot be used: .*; set data_dir to"):
        DataDirLock(str(tmp_path / "file" / "data"))


def test_a_lock_file_that_is_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(SettingError, match="the data directory cannot be used"):
        DataDirLock(str(tmp_path))


@pytest.mark.parametrize("which", ["data", "data/spool"])
def test_a_directory_that_every_user_may_write_is_refused(tmp_path: Path, which: str) -> None:
    (tmp_path / "data" / "spool").mkdir(parents=True)
    (tmp_path / which).chmod(0o777)

    async def scenario() -> None:
        with pytest.raises(SettingError, match=r"every user may write into this directory \(mode 0777\)") as refused:
            await SqliteSpool(tmp_path / "data").open(0.0)
        assert refused.value.where == str(tmp_path / which)

    asyncio.run(scenario())


def test_a_spool_behind_a_symbolic_link_is_said(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").symlink_to(tmp_path / "elsewhere")

    async def scenario() -> None:
        spool = SqliteSpool(tmp_path / "data")
        said = await spool.open(0.0)
        assert said == [f"{tmp_path}/data/spool is a symbolic link; mail is kept in {tmp_path}/elsewhere"]
        await spool.close()

    asyncio.run(scenario())


def test_the_name_of_a_new_data_directory_is_synced_in_its_parent(tmp_path: Path) -> None:
    class Watched(Durable):
        def __init__(self) -> None:
            super().__init__()
            self.synced: list[str] = []

        def sync_directory(self, path: str) -> None:
            self.synced.append(path)
            super().sync_directory(path)

    async def scenario() -> list[str]:
        durable = Watched()
        spool = SqliteSpool(tmp_path / "a" / "b", durable=durable)
        await spool.open(0.0)
        await spool.close()
        return durable.synced

    synced = asyncio.run(scenario())
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(synced)


def test_a_parent_that_may_not_be_synced_is_an_error(tmp_path: Path) -> None:
    class Failing(Durable):
        def sync_directory(self, path: str) -> None:
            raise OSError(errno.EIO, "the disk failed")

    with pytest.raises(SettingError, match="the disk failed"):
        DataDirLock(str(tmp_path / "new"), durable=Failing())
