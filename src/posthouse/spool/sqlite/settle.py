"""Settlements in SQL: the results of attempts are recorded, and finished messages are removed.

Everything here runs in the writer's thread, within a group's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from posthouse.core import Notify
from posthouse.spool.history import QueueEvent, packed_note
from posthouse.spool.ids import text_of
from posthouse.spool.model import Lease, Settlement, runs_of_equal_results
from posthouse.spool.sqlite.batch import insert, rerank
from posthouse.spool.sqlite.history_store import packed_record
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.rows import HELD, NUMBERS, STATES, WAITING, in_words
from posthouse.spool.sqlite.statements import SQL, array_of
from posthouse.spool.sqlite.storage.operations import RecordAttempt

__all__ = ["Settler"]


class Settler:
    """Records attempts under the leases of ``leases``; finished messages stay for ``keep_finished`` seconds.

    ``unlink`` is called, on the loop, with the content files that a recorded attempt leaves.
    """

    def __init__(
        self,
        leases: LeaseTable,
        *,
        keep_finished: float,
        time: Callable[[], float],
        unlink: Callable[[Sequence[int]], None],
    ) -> None:
        self._leases = leases
        self._keep_finished = keep_finished
        self._time = time
        self._unlink = unlink

    def record(self, connection: sqlite3.Connection, op: RecordAttempt) -> None:
        """Record an attempt; see ``Spool.record``.  ``op.files`` becomes the files that are promised no more."""
        op.files = []
        if op.reports:
            insert(connection, op.reports, self._leases.history_writer)
        work, number = op.work, op.number
        if connection.execute(SQL.MESSAGE, (number,)).fetchone() is None:
            return  # settled and erased before, by the process that had the lease after this one
        self._leases.expand(connection, number, leased=True)
        self._settle(connection, number, work, op.settlements)
        settled = {settlement.key for settlement in op.settlements}
        if len(settled) < len(work.recipients):
            rest = [waiting.key for waiting in work.recipients if waiting.key not in settled]
            self._leases.release_keys(connection, number, work, rest)
        if settled:
            connection.execute(SQL.LIVED, (number,))
            self._tell(connection, op)
        rerank(connection, (work.destination,))
        op.files = self.finish_if_settled(connection, number)
        if self._keep_finished > 0:
            op.files += self.purge(connection, self._time())
        if op.files:
            op.finished = partial(_recorded, op, self._unlink)

    def _settle(
        self, connection: sqlite3.Connection, number: int, work: Lease, settlements: Sequence[Settlement]
    ) -> None:
        mark = (self._leases.slot, work.token)
        for run in [settlements] if len(settlements) == 1 else runs_of_equal_results(settlements):
            key, state, due, outcome, _, warned = run[0]
            one = len(run) == 1
            keys = key if one else array_of([settlement.key for settlement in run])
            values = (NUMBERS[state], due, due, in_words(outcome), warned, number, keys)
            if state in (STATES[WAITING], STATES[HELD]):
                connection.execute(SQL.AGAIN if one else SQL.AGAIN_SOME, (*values, *mark))
            else:
                connection.execute(SQL.SETTLE if one else SQL.SETTLE_SOME, values)

    def _tell(self, connection: sqlite3.Connection, op: RecordAttempt) -> None:
        events = [packed_record(op)]
        warned = _newly_warned(op)
        if warned:
            events.append(packed_note(QueueEvent(op.at, "warned", warned)))
        events += [packed_note(QueueEvent(op.at, "reported", (), "", text_of(report.number))) for report in op.reports]
        self._leases.history_writer.add(connection, op.number, *events)

    def finish_if_settled(self, connection: sqlite3.Connection, number: int) -> list[int]:
        """Erase a message without unsettled recipients, or begin to keep it; returns the content files it leaves."""
        if connection.execute(SQL.UNSETTLED, (number,)).fetchone() is None:
            return self._finish(connection, number)
        return []

    def _finish(self, connection: sqlite3.Connection, number: int) -> list[int]:
        if self._keep_finished > 0:
            connection.execute("INSERT OR IGNORE INTO finished VALUES (?, ?)", (number, self._time()))
            return []
        return self._erase(connection, number)

    def purge(self, connection: sqlite3.Connection, now: float, at_most: int = 100) -> list[int]:
        """Erase messages that have been finished for long enough; returns the content files they leave."""
        before = now - self._keep_finished
        files: list[int] = []
        for (number,) in connection.execute(SQL.FINISHED_BEFORE, (before, at_most)).fetchall():
            files += self._erase(connection, number)
        return files

    def _erase(self, connection: sqlite3.Connection, number: int) -> list[int]:
        filed = connection.execute(SQL.FILE, (number,)).fetchone() is not None
        for statement in SQL.ERASE:
            connection.execute(statement, (number,))
        return [number] if filed else []


def _newly_warned(op: RecordAttempt) -> tuple[int, ...]:
    """The recipients whose delay a report of this record tells the sender of: one is made once, and only if wanted."""
    if not op.reports:
        return ()
    marked = {settlement.key for settlement in op.settlements if settlement.warned}
    return tuple(
        waiting.key
        for waiting in op.work.recipients
        if waiting.key in marked
        and not waiting.warned
        and (waiting.recipient.notify is None or Notify.DELAY in waiting.recipient.notify)
    )


def _recorded(op: RecordAttempt, unlink: Callable[[Sequence[int]], None], success: bool) -> None:
    if success and op.files:
        unlink(op.files)
