"""A batch: the rows of a group of operations, changed within one transaction.

The messages of a group are inserted by one statement, and fresh messages that are settled at once are deleted by one;
``storage.writer`` says why.  All others are run one by one: attempts by ``settle``, a ``Call`` by its function.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from posthouse.spool.sqlite.history_store import HistoryWriter, whole_history
from posthouse.spool.sqlite.rows import WAITING
from posthouse.spool.sqlite.storage.operations import Accept, Call, NewMessage, Op, RecordAttempt
from posthouse.spool.sqlite.storage.schema import MESSAGE_COLUMNS, RECIPIENT_COLUMNS

__all__ = [
    "MOST_ROWS",
    "add_recipients",
    "insert",
    "rerank",
    "run",
]

MOST_ROWS = 64  # in one statement at most, so that the number of prepared statements is bounded
_MESSAGE = "(" + ",".join("?" * len(MESSAGE_COLUMNS)) + ")"
_INSERT_MESSAGES = tuple("INSERT INTO message VALUES " + ",".join([_MESSAGE] * n) for n in range(MOST_ROWS + 1))
_DELETE_FRESH = tuple(
    "DELETE FROM message WHERE id IN (" + ",".join("?" * n) + ") AND until IS NOT NULL" for n in range(MOST_ROWS + 1)
)
_EXISTS = "SELECT 1 FROM message WHERE id = ?"
_DESTINATION: Final = RECIPIENT_COLUMNS.index("destination")
_STATE: Final = RECIPIENT_COLUMNS.index("state")
_READY: Final = RECIPIENT_COLUMNS.index("ready")
_RECIPIENT = "(" + ",".join("?" * len(RECIPIENT_COLUMNS)) + ")"
_INSERT_RECIPIENTS = tuple("INSERT INTO recipient VALUES " + ",".join([_RECIPIENT] * n) for n in range(MOST_ROWS + 1))
_SOONER = (
    "INSERT INTO destination VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ready = excluded.ready"
    " WHERE excluded.ready < destination.ready"
)
_LEAST = (
    "SELECT ready FROM recipient INDEXED BY recipient_ready WHERE destination = ? AND state = 0 ORDER BY ready LIMIT 1"
)


def run(connection: sqlite3.Connection, ops: Sequence[Op], recording: Any, history_writer: HistoryWriter) -> None:
    """Run a group.  ``recording.record(connection, op)`` runs each attempt that one statement cannot settle."""
    accepts: list[NewMessage] = []
    fresh: list[Sequence[RecordAttempt]] = []  # each settles a message
    parts: dict[int, list[RecordAttempt]] = {}  # of messages that went several ways
    others: list[Op] = []
    for op in ops:
        if isinstance(op, Accept):
            accepts.append(op.new)
        elif isinstance(op, RecordAttempt) and op.fresh:
            if len(op.settlements) == len(op.work.message.envelope.recipients):
                fresh.append((op,))
            else:
                parts.setdefault(op.number, []).append(op)
        else:
            others.append(op)
    for some in parts.values():
        settled = {settlement.key for op in some for settlement in op.settlements}
        if len(settled) == len(some[0].work.message.envelope.recipients):
            fresh.append(some)
        else:  # the rest of it is under way
            others = [*some, *others]
    if accepts:
        insert(connection, accepts, history_writer)
    for start in range(0, len(fresh), MOST_ROWS):
        others = [*_settle_fresh(connection, fresh[start : start + MOST_ROWS], history_writer), *others]
    for op in others:
        if isinstance(op, Call):
            op.result = op.function(connection)
        else:
            recording.record(connection, op)
    if history_writer.is_crowded:
        history_writer.remove_old(connection)


def _settle_fresh(
    connection: sqlite3.Connection, fresh: Sequence[Sequence[RecordAttempt]], history_writer: HistoryWriter
) -> list[RecordAttempt]:
    """Remove messages in one statement and write their histories; returns what has to be recorded in another way."""
    deleted = connection.execute(_DELETE_FRESH[len(fresh)], [ops[0].number for ops in fresh]).rowcount
    if deleted == len(fresh):
        history_writer.begin(connection, [whole_history(ops) for ops in fresh])
        return []
    # One of them was expanded meanwhile (its lease ran out), or erased before: then its history was written before, by
    # the operation that erased it, or it was erased just now.
    found = [ops for ops in fresh if connection.execute(_EXISTS, (ops[0].number,)).fetchone() is not None]
    history_writer.begin(connection, [whole_history(ops) for ops in fresh if ops not in found])
    return [op for ops in found for op in ops]


def insert(connection: sqlite3.Connection, messages: Sequence[NewMessage], history_writer: HistoryWriter) -> None:
    """Store messages."""
    for start in range(0, len(messages), MOST_ROWS):
        some = messages[start : start + MOST_ROWS]
        if len(some) == 1:
            connection.execute(_INSERT_MESSAGES[1], some[0].row)
        else:
            values: list[Any] = []
            for message in some:
                values += message.row
            connection.execute(_INSERT_MESSAGES[len(some)], values)
    sooner: dict[str, float] = {}
    histories = [message.history for message in messages if message.history is not None]
    if histories:
        history_writer.begin(connection, histories)
    for message in messages:
        if message.file is not None:
            connection.execute("INSERT INTO file VALUES (?, ?, ?)", (message.number, *message.file))
        if message.recipients:
            add_recipients(connection, message.recipients, sooner)
    if sooner:
        connection.executemany(_SOONER, sooner.items())


def add_recipients(
    connection: sqlite3.Connection, recipients: Sequence[tuple[Any, ...]], sooner: dict[str, float]
) -> None:
    """Insert recipient rows, noting each destination's least ``ready`` in ``sooner``."""
    for start in range(0, len(recipients), MOST_ROWS):
        some = recipients[start : start + MOST_ROWS]
        connection.execute(_INSERT_RECIPIENTS[len(some)], [value for row in some for value in row])
    for row in recipients:
        destination, state, ready = row[_DESTINATION], row[_STATE], row[_READY]
        if state == WAITING and ready < sooner.get(destination, ready + 1):
            sooner[destination] = ready


def rerank(connection: sqlite3.Connection, destinations: Iterable[str]) -> None:
    """Bring ``destination.ready`` of these up to date: one seek each."""
    for name in destinations:
        least = connection.execute(_LEAST, (name,)).fetchone()
        if least is None:
            connection.execute("DELETE FROM destination WHERE name = ?", (name,))
        else:
            connection.execute(
                "INSERT INTO destination VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ready = excluded.ready",
                (name, least[0]),
            )
