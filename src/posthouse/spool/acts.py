"""What the writer does to the rows: a group of operations, within one transaction.

Messages of a group are inserted by one statement, and fresh messages that are settled for good leave by one: see
``writer`` for why.  Everything else is a ``Call`` around one of the functions in ``recording`` and ``leasing``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from posthouse.spool.queue import Settlement, Work
from posthouse.spool.writer import Call, Op

__all__ = ["Accept", "NewMessage", "Record", "add_recipients", "insert", "rerank", "run"]

_ROWS = 64  # in one statement at most, so that the number of prepared statements is bounded
_MESSAGE = "(" + ",".join("?" * 12) + ")"
_INSERT_MESSAGES = tuple("INSERT INTO message VALUES " + ",".join([_MESSAGE] * n) for n in range(_ROWS + 1))
_DELETE_FRESH = tuple(
    "DELETE FROM message WHERE id IN (" + ",".join("?" * n) + ") AND until IS NOT NULL" for n in range(_ROWS + 1)
)
_INSERT_RECIPIENT = "INSERT INTO recipient VALUES (?,?,?,?,?,?,?,?,?,?)"
_SOONER = (
    "INSERT INTO destination VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ready = excluded.ready"
    " WHERE excluded.ready < destination.ready"
)
_LEAST = (
    "SELECT ready FROM recipient INDEXED BY recipient_ready WHERE destination = ? AND state = 0"
    " ORDER BY ready LIMIT 1"
)


class NewMessage(NamedTuple):
    """A message's rows: ``row`` for ``message``; ``recipients`` unless it is fresh; ``file`` its size if it is in a
    content file."""

    row: tuple[Any, ...]
    recipients: Sequence[tuple[Any, ...]] = ()
    file: int | None = None


class Accept(Op):
    """Store a message."""

    __slots__ = ("new",)

    def __init__(self, future: asyncio.Future[Any], new: NewMessage, result: object, octets: int) -> None:
        super().__init__(future, octets)
        self.new = new
        self.result = result


class Record(Op):
    """Record an attempt; ``fresh`` if, as far as the loop knows, it erases a fresh message and nothing else."""

    __slots__ = ("files", "fresh", "number", "reports", "settlements", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        number: int,
        work: Work,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage],
        fresh: bool,
    ) -> None:
        super().__init__(future)
        self.number = number
        self.work = work
        self.settlements = settlements
        self.reports = reports
        self.fresh = fresh
        self.files: list[int] = []


def run(connection: sqlite3.Connection, ops: Sequence[Op], recording: Any) -> None:
    """Run a group.  ``recording`` does what is not settled at one blow: ``recording.record(connection, op)``."""
    accepts: list[NewMessage] = []
    fresh: list[Record] = []
    others: list[Op] = []
    for op in ops:
        if isinstance(op, Accept):
            accepts.append(op.new)
        elif isinstance(op, Record) and op.fresh:
            fresh.append(op)
        else:
            others.append(op)
    if accepts:
        insert(connection, accepts)
    for start in range(0, len(fresh), _ROWS):
        some = fresh[start : start + _ROWS]
        deleted = connection.execute(_DELETE_FRESH[len(some)], [op.number for op in some]).rowcount
        if deleted != len(some):
            # One of them was expanded meanwhile (its lease ran out); those already erased are found settled.
            others = [*some, *others]
    for op in others:
        if isinstance(op, Call):
            op.result = op.function(connection)
        else:
            recording.record(connection, op)


def insert(connection: sqlite3.Connection, messages: Sequence[NewMessage]) -> None:
    """Store messages."""
    for start in range(0, len(messages), _ROWS):
        some = messages[start : start + _ROWS]
        if len(some) == 1:
            connection.execute(_INSERT_MESSAGES[1], some[0].row)
        else:
            values: list[Any] = []
            for message in some:
                values += message.row
            connection.execute(_INSERT_MESSAGES[len(some)], values)
    sooner: dict[str, float] = {}
    for row, recipients, file in messages:
        if file is not None:
            connection.execute("INSERT INTO file VALUES (?, ?)", (row[0], file))
        if recipients:
            add_recipients(connection, recipients, sooner)
    if sooner:
        connection.executemany(_SOONER, sooner.items())


def add_recipients(
    connection: sqlite3.Connection, recipients: Sequence[tuple[Any, ...]], sooner: dict[str, float]
) -> None:
    """Insert recipient rows, noting each destination's least ``ready`` in ``sooner``."""
    connection.executemany(_INSERT_RECIPIENT, recipients)
    for row in recipients:
        destination, ready = row[2], row[6]
        if ready < sooner.get(destination, ready + 1):
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
