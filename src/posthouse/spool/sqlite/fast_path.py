"""One statement for a whole group of operations: an optimization, and nothing else depends on it.

A group of nothing but messages that come, fresh, and fresh messages that go, which is what intake under load makes, is
one INSERT into a temporary view, ``operation``, whose triggers do what each row says; the statement is its own
transaction.  Five statements give up the interpreter's lock 15 times, one gives it up 3 times; beside a busy loop that
is 1/3 of a group's time.

``sqlite3`` looks for an adapter of each value that is not exactly a number, a text or a bytearray, and finds none: 0.3
to 0.4 µs for each ``None`` and each ``bytes``.  So unused columns are 0, and octets are given as bytearrays.

To remove it, delete this file and the two calls in ``spool``: ``make_operation`` and ``at_once``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from posthouse.spool.sqlite.batch import MOST_ROWS
from posthouse.spool.sqlite.history_store import HistoryWriter, whole_history
from posthouse.spool.sqlite.storage.operations import Accept, Op, RecordAttempt
from posthouse.spool.sqlite.storage.schema import HISTORY_COLUMNS, MESSAGE_COLUMNS

__all__ = ["at_once", "make_operation"]

_COLUMNS = ("kind", *MESSAGE_COLUMNS)
_ACCEPT, _SETTLE = 0, 1
_OPERATION = "(" + ",".join("?" * len(_COLUMNS)) + ")"
_OPERATE = tuple("INSERT INTO operation VALUES " + ",".join([_OPERATION] * n) for n in range(MOST_ROWS + 1))
#: The end of a row that settles, which has the kind and a row of ``story``.
_UNUSED = (0,) * (len(MESSAGE_COLUMNS) - len(HISTORY_COLUMNS))
#: The columns with octets, counted from the end of their rows.
_CONTENT = MESSAGE_COLUMNS.index("content") - len(MESSAGE_COLUMNS)
_ARRIVAL = MESSAGE_COLUMNS.index("told") - len(MESSAGE_COLUMNS)
_HISTORY = HISTORY_COLUMNS.index("told") - len(HISTORY_COLUMNS)
_NOT_FRESH = "no longer fresh"  # it was expanded or erased meanwhile: the group is run statement by statement


def make_operation(connection: sqlite3.Connection, writes: bool) -> None:
    """Give a connection the view that ``at_once`` needs; ``writes`` if the history is written."""
    history = "INSERT OR IGNORE INTO story VALUES (NEW.id, NEW.until, NEW.slot, NEW.owner, NEW.due);" if writes else ""
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"CREATE TEMP VIEW operation AS SELECT {', '.join(f'NULL AS {name}' for name in _COLUMNS)}")
    connection.execute(
        f"CREATE TEMP TRIGGER accept INSTEAD OF INSERT ON operation WHEN NEW.kind = {_ACCEPT} BEGIN"
        f" INSERT INTO message VALUES ({', '.join(f'NEW.{name}' for name in _COLUMNS[1:])}); END"
    )
    connection.execute(
        f"CREATE TEMP TRIGGER settle INSTEAD OF INSERT ON operation WHEN NEW.kind = {_SETTLE} BEGIN"
        " DELETE FROM message WHERE id = NEW.id AND until IS NOT NULL;"
        f" SELECT RAISE(ABORT, '{_NOT_FRESH}') WHERE changes() = 0; {history} END"
    )


def at_once(ops: Sequence[Op], history_writer: HistoryWriter) -> tuple[str, list[Any]] | None:
    """The group as one statement with its values; None if it is more than messages that come, fresh, and fresh ones
    that go.  It raises ``sqlite3.IntegrityError``, and changes nothing, if one of those is not fresh any more."""
    if len(ops) > MOST_ROWS or history_writer.is_crowded:
        return None
    values: list[Any] = []
    histories: list[tuple[Any, ...]] = []
    for op in ops:
        if isinstance(op, Accept):
            if not op.fresh:
                return None
            values.append(_ACCEPT)
            values += op.new.row
            values[_CONTENT] = bytearray(values[_CONTENT])
            if values[_ARRIVAL] is not None:
                values[_ARRIVAL] = bytearray(values[_ARRIVAL])
        elif isinstance(op, RecordAttempt) and op.fresh:
            if len(op.settlements) != len(op.work.message.envelope.recipients):
                return None
            packed = whole_history((op,))
            histories.append(packed)
            values.append(_SETTLE)
            values += packed
            values[_HISTORY] = bytearray(values[_HISTORY])
            values += _UNUSED
        else:
            return None
    if histories:
        history_writer.count(histories)
    return _OPERATE[len(ops)], values
