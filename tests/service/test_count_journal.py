"""Counts for aggregate reports outlive the process: a killed one loses none, and none counts twice."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.mailauth.dmarc.aggregate import AggregateRow, PolicyOverride, PolicyPublished, ReportedSpf
from posthouse.service.mailauth import count_journal, report_sender
from posthouse.service.mailauth.count_journal import (
    CountedResult,
    CountJournal,
    JournalFile,
    drop_oldest,
    files_left,
)
from posthouse.service.mailauth.report_sender import SPREAD, SYNCED
from posthouse.service.mailauth.report_store import ReportStore, StoredReport

from .test_aggregate_reports import DAY, ReportHarness

POLICY = PolicyPublished("bank.test", p="reject")
ROW = AggregateRow("192.0.2.1", "none", "fail", "fail", "bank.test")
ONE = CountedResult(20_000, POLICY, ROW)
TWO = CountedResult(
    20_000,
    POLICY,
    ROW._replace(
        source_ip="2001:db8::1",
        overrides=(PolicyOverride("local_policy", "exception for 银行.test: \n"),),
        spf_results=(ReportedSpf("bank.test", "mfrom", "fail"),),
    ),
)

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from posthouse.mailauth.dmarc.aggregate import AggregateRow, PolicyPublished
from posthouse.service.mailauth.count_journal import CountedResult, CountJournal
journal = CountJournal(Path(sys.argv[1]))
row = AggregateRow("192.0.2.1", "none", "fail", "fail", "bank.test")
for _ in range(3):
    journal.count(CountedResult(20_000, PolicyPublished("bank.test", p="reject"), row))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_count(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), *sys.path], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = files_left(tmp_path)
    assert left.counts() == {ONE: 3}
    left.remove()
    assert not list(files_left(tmp_path))


def test_the_file_of_a_live_process_is_left_alone_and_is_private(tmp_path: Path) -> None:
    journal = CountJournal(tmp_path / "counts")
    for each in (ONE, TWO, ONE, TWO, TWO):
        journal.count(each)
    assert not list(files_left(tmp_path / "counts"))
    assert not list(files_left(tmp_path / "missing"))
    assert (tmp_path / "counts").stat().st_mode & 0o777 == 0o700
    counts, file = journal.take()
    assert file is not None
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.counts() == counts == {ONE: 2, TWO: 3}
    file.close()
    assert journal.take() == ({}, None)


def test_a_new_file_that_another_process_takes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process looks for files of the dead between the moments at which one is made and is locked."""
    taken: list[Path] = []
    held: list[JournalFile] = []
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        assert how & fcntl.LOCK_NB, "a message would wait for another process"
        if len(taken) < 3 and not how & fcntl.LOCK_UN:
            (path,) = set(tmp_path.iterdir()) - {each.path for each in held}
            taken.append(path)
            other = JournalFile(path, os.open(path, os.O_RDONLY))
            flock(other.descriptor, fcntl.LOCK_EX)
            if len(taken) < 3:
                other.remove()
            else:
                held.append(other)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    journal = CountJournal(tmp_path)
    journal.count(ONE)
    monkeypatch.undo()
    assert len(taken) == 3
    assert journal.path is not None
    assert journal.path not in taken
    _, file = journal.take()
    assert file is not None
    assert file.counts() == {ONE: 1}
    file.remove()
    held[0].remove()


@pytest.mark.parametrize("line", [b"+[20000,[", b"1", b"-9\n0\n", b"7\n0\n", b"+{}\n0\n", b"\xff\n0\n", b"\n0\n"])
def test_a_file_counts_up_to_its_first_malformed_line(tmp_path: Path, line: bytes) -> None:
    journal = CountJournal(tmp_path)
    journal.count(ONE)
    journal.count(ONE)
    _, file = journal.take()
    assert file is not None
    file.close()
    with file.path.open("ab") as opened:
        opened.write(line)
    (left,) = files_left(tmp_path)
    assert left.counts() == {ONE: 2}
    left.remove()


def test_counts_of_one_file_are_added_once(tmp_path: Path) -> None:
    store = ReportStore(str(tmp_path))
    file = JournalFile.new(tmp_path / "counts")
    for _ in range(2):  # a crash between the transaction and the removal of the file
        store.add({ONE: 3}, file.path)
    file.remove()
    other = JournalFile.new(tmp_path / "counts")
    store.add({ONE: 1}, other.path)
    other.remove()
    (record,) = store.records(StoredReport(ONE.day, POLICY))
    assert record.messages == 4


def test_what_a_dead_worker_counted_is_in_the_report(tmp_path: Path) -> None:
    dead, host = ReportHarness(tmp_path), ReportHarness(tmp_path)
    assert dead.take() == dead.take() == host.take() == 250
    _, file = dead.reports._journal.take()
    assert file is not None
    file.close()  # as the kernel does at the end of a process
    host.after(60)
    host.after(DAY + SPREAD)
    assert host.read[0].messages == 3
    assert not host.faults


def test_counts_that_cannot_be_stored_are_stored_later(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    assert host.take() == 250
    blocked = tmp_path / "dmarc-reports.sqlite3"
    blocked.mkdir()
    host.after(60)
    assert "stay in" in host.faults[0]
    blocked.rmdir()
    host.after(60)
    host.after(DAY + SPREAD)
    assert host.read[0].messages == 1


def test_files_that_wait_for_a_store_stay_few_and_the_oldest_are_dropped_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_journal, "MOST_LEFT", 3)
    host = ReportHarness(tmp_path)
    (tmp_path / "dmarc-reports.sqlite3").mkdir()
    directory = tmp_path / "dmarc-counts"
    kept: list[set[str]] = []
    for number in range(5):
        assert host.take() == 250
        host.after(60)
        for path in directory.iterdir():
            if not kept or path.name not in kept[-1]:
                os.utime(path, (number, number))  # files of one clock tick have no order
        kept.append({path.name for path in directory.iterdir()})
    assert [len(each) for each in kept] == [1, 2, 3, 3, 3]
    assert not kept[0] & kept[3]
    assert not kept[1] & kept[4]
    told = [each for each in host.faults if "were deleted, the oldest first" in each]
    assert len(told) == 2
    assert told[0].startswith("results for aggregate reports are lost: 1 of too many files")


def test_files_that_wait_are_bounded_in_octets_and_those_of_a_live_process_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_journal, "_MOST_OCTETS_LEFT", 250)
    for number in range(4):
        (tmp_path / str(number)).write_bytes(b"x" * 100)
        os.utime(tmp_path / str(number), (number, number))
    live = JournalFile(tmp_path / "0", os.open(tmp_path / "0", os.O_RDONLY))
    fcntl.flock(live.descriptor, fcntl.LOCK_EX)
    assert drop_oldest(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "3"]
    live.close()
    assert drop_oldest(tmp_path) == 0


def test_a_directory_that_cannot_be_written_is_told_once_and_mail_goes_on(tmp_path: Path) -> None:
    (tmp_path / "dmarc-counts").write_text("no directory")
    host = ReportHarness(tmp_path)
    assert host.take() == host.take() == 250
    (fault,) = host.faults
    assert "dmarc-counts cannot be written" in fault
    (tmp_path / "dmarc-counts").unlink()
    host.after(60)
    host.after(DAY + SPREAD)
    assert host.read[0].messages == 2


def test_counts_are_synced_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(report_sender, "sync", lambda path: synced.append(path.read_bytes()))
    host = ReportHarness(tmp_path)
    assert host.take() == host.take() == 250

    async def pass_by() -> None:
        await host.clock.advance(SYNCED)
        assert host.reports._syncing is not None
        await host.reports._syncing

    asyncio.run(pass_by())
    assert len(synced) == 1
    assert synced[0].count(b"\n") == 2
    host.reports.flush()
