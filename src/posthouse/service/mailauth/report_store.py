"""Store of what aggregate reports will say: messages counted by day, by the policy that applied, and by their results.

It also has how many failure reports each destination got today.

The file is ``dmarc-reports.sqlite3`` in the data directory, which all workers share.  A report is deleted only when it
is in the queue, so a crash between the two sends it twice, with the same id.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import StorageError
from posthouse.mailauth.dmarc.aggregate import AggregateRecord, PolicyPublished
from posthouse.service.mailauth.count_journal import CountedResult, packed, row_of
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["ReportStore", "StoredReport"]

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS counted (
    day INTEGER NOT NULL, policy TEXT NOT NULL, result TEXT NOT NULL, messages INTEGER NOT NULL,
    PRIMARY KEY (day, policy, result)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (
    day INTEGER NOT NULL, destination TEXT NOT NULL, reports INTEGER NOT NULL,
    PRIMARY KEY (day, destination)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken (file TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;"""
#: Rows of one report, the most frequent first; more would not fit into a report that receivers take.
_MOST_ROWS: Final = 50_000
#: Rows of the file, and reports about one day.
_MOST_STORED: Final = 200_000
_MOST_REPORTS: Final = 10_000


class StoredReport(NamedTuple):
    """A report to be: its day and its policy."""

    day: int
    policy: PolicyPublished


class ReportStore:
    """The file; each call opens it for itself.  Raises ``StorageError``."""

    def __init__(self, data_dir: str) -> None:
        self.path = Path(data_dir) / "dmarc-reports.sqlite3"

    def add(self, counts: Mapping[CountedResult, int], journal: Path | None = None) -> None:
        """Add numbers of messages.

        Results beyond 200,000 in the file, and policies beyond 10,000 of a day, are left out: both are what senders
        make up, so the file, and the reports that are sent, would grow with their will.

        Args:
            counts: The numbers.
            journal: The journal's file that has them; what was added from it before is not added again.
        """
        with self._open() as file:
            if journal is not None:
                if file.execute("SELECT 1 FROM taken WHERE file = ?", (journal.name,)).fetchone():
                    return
                _forget_deleted(file, journal.parent)
                file.execute("INSERT INTO taken VALUES (?)", (journal.name,))
            (stored,) = file.execute("SELECT count(*) FROM counted").fetchone()
            policies = {
                day: {policy for (policy,) in file.execute("SELECT DISTINCT policy FROM counted WHERE day = ?", (day,))}
                for day in {each.day for each in counts}
            }
            for each, number in counts.items():
                policy, result = packed(each.policy), packed(each.row)
                changed = file.execute(
                    "UPDATE counted SET messages = messages + ? WHERE day = ? AND policy = ? AND result = ?",
                    (number, each.day, policy, result),
                )
                known = policies[each.day]
                if changed.rowcount or stored >= _MOST_STORED or (policy not in known and len(known) >= _MOST_REPORTS):
                    continue
                file.execute("INSERT INTO counted VALUES (?, ?, ?, ?)", (each.day, policy, result, number))
                known.add(policy)
                stored += 1

    def reports(self, before: int) -> list[StoredReport]:
        """The reports about days before a day, oldest first."""
        if not self.path.exists():
            return []
        with self._open() as file:
            found = file.execute("SELECT DISTINCT day, policy FROM counted WHERE day < ? ORDER BY day", (before,))
            return [StoredReport(day, PolicyPublished(*json.loads(policy))) for day, policy in found]

    def records(self, report: StoredReport) -> list[AggregateRecord]:
        """The records of a report, the most frequent first."""
        with self._open() as file:
            found = file.execute(
                "SELECT result, messages FROM counted WHERE day = ? AND policy = ? ORDER BY messages DESC LIMIT ?",
                (report.day, packed(report.policy), _MOST_ROWS),
            )
            return [AggregateRecord(row_of(json.loads(result)), messages) for result, messages in found]

    def remove(self, report: StoredReport) -> None:
        """Delete what a report was made of."""
        with self._open() as file:
            file.execute("DELETE FROM counted WHERE day = ? AND policy = ?", (report.day, packed(report.policy)))

    def allow(self, day: int, destinations: Sequence[str], most: int, most_of_all: int) -> list[str]:
        """Count a failure report to each destination on a day; those are returned that may get it.

        Args:
            day: Days since 1970.
            destinations: Addresses.
            most: Reports of a day to one destination.
            most_of_all: Reports of a day in all.
        """
        with self._open() as file:
            file.execute("DELETE FROM sent WHERE day < ?", (day,))
            (total,) = file.execute("SELECT coalesce(sum(reports), 0) FROM sent").fetchone()
            allowed: list[str] = []
            for each in destinations:
                found = file.execute(
                    "SELECT reports FROM sent WHERE day = ? AND destination = ?", (day, each)
                ).fetchone()
                if (found[0] if found else 0) >= most or total + len(allowed) >= most_of_all:
                    continue
                file.execute(
                    "INSERT INTO sent VALUES (?, ?, 1)"
                    " ON CONFLICT (day, destination) DO UPDATE SET reports = reports + 1",
                    (day, each),
                )
                allowed.append(each)
            return allowed

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                leave_to_owner(str(self.path))
            with contextlib.closing(sqlite3.connect(self.path, timeout=30.0)) as file, file:
                file.executescript(_SCHEMA)
                yield file
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self.path} cannot be used ({error}); see that the daemon's user may write it"
            ) from error


def _forget_deleted(file: sqlite3.Connection, directory: Path) -> None:
    """Forget the files of journals that are gone: nobody can add them again."""
    names = [name for (name,) in file.execute("SELECT file FROM taken")]
    file.executemany("DELETE FROM taken WHERE file = ?", [(each,) for each in names if not (directory / each).exists()])
