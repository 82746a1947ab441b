"""The history in SQL: how the writer adds to it, and how it is removed.

The beginning of a history is one row in ``story``, inserted with those of its whole group by one statement; a fresh
message that is settled at its first attempt has its whole history in that row.  What happens later is a row in
``event``, of which a message keeps the first few and the last.

Histories are kept for a time, counted from the message's arrival (queue ids sort by time) to the time that has
certainly come, and as long as they are no more than so many rows and octets; those of messages that still wait are
never removed.  Removing costs a bounded step at a time: behind every few hundred rows that were added, about twice as
many, in the same transaction; and when the writer has nothing else to do.  A position that goes round remembers where
the next step begins, so that the histories of a backlog are stepped over once a round.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from posthouse.core import Address, AttemptTrace
from posthouse.spool.history import (
    MOST_EVENTS,
    Origin,
    QueueEvent,
    decode_arrival,
    encode,
    packed_accepted,
    packed_attempt,
    packed_note,
)
from posthouse.spool.ids import earliest
from posthouse.spool.model import StoredMessage, runs_of_equal_results
from posthouse.spool.sqlite.storage.operations import RecordAttempt
from posthouse.spool.sqlite.storage.schema import HISTORY_COLUMNS

__all__ = [
    "HistoryWriter",
    "KEPT_FIRST",
    "history_row",
    "packed_record",
    "people_of",
    "plain_address",
    "whole_history",
]

_ROWS = 64  # in one statement at most
_ROW = "(" + ",".join("?" * len(HISTORY_COLUMNS)) + ")"
_SENDER: Final = HISTORY_COLUMNS.index("sender")
_RECIPIENTS: Final = HISTORY_COLUMNS.index("recipients")
_ACTION_EVENTS: Final = HISTORY_COLUMNS.index("told")
_BEGIN = tuple("INSERT OR IGNORE INTO story VALUES " + ",".join([_ROW] * n) for n in range(_ROWS + 1))
_SERIAL = "SELECT max(serial) FROM event WHERE message = ?"
_ADD = "INSERT INTO event VALUES (?, ?, ?)"
_TRIM = "DELETE FROM event WHERE message = ? AND serial = ?"
#: Of a history that is too long, so many events at its beginning are kept.
KEPT_FIRST = 8
_TALLY = "UPDATE tally SET rows = max(0, rows + ?), octets = max(0, octets + ?) WHERE what = 'story'"
_TOTAL = "SELECT rows, octets FROM tally WHERE what = 'story'"
_OLD = (
    "SELECT id, length(sender) + length(recipients) + length(told), EXISTS (SELECT 1 FROM message WHERE message.id ="
    " story.id) FROM story WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
)
_OLD_EVENTS = "SELECT count(*), coalesce(sum(length(told)), 0) FROM event WHERE message = ?"

_STEP = 256  # rows added between two removals of old ones
_IDLE_STEP = 512  # histories looked at in one transaction of an idle writer
_ROUND = 60.0  # seconds before a position that came to its end goes round again
_NO_ARRIVAL = Origin()


def history_row(
    number: int, message: StoredMessage, arrival: Origin | None, *events: tuple[object, ...]
) -> tuple[Any, ...]:
    """The row that begins a history, with the events that are known at once."""
    _, envelope, received, size, source = message
    arrival = arrival or _NO_ARRIVAL
    people = "\n".join([plain_address(recipient[0]) for recipient in envelope.recipients])
    if arrival.expansions:
        people = "\n".join([people, "", *(_one_line(name) for name in arrival.named)])
    return (
        number,
        plain_address(envelope.sender),
        people,
        arrival.message_id,
        encode((packed_accepted(received, source, size, arrival), *events)),
    )


def whole_history(ops: Sequence[RecordAttempt]) -> tuple[Any, ...]:
    """Of a message that was settled at its first attempt, or its first ones."""
    first = ops[0]
    if len(ops) == 1:
        return history_row(first.number, first.work.message, first.arrival, packed_record(first))
    events = [packed_record(first)]
    events += [packed_record(op, before.trace) for before, op in pairwise(ops)]
    return history_row(first.number, first.work.message, first.arrival, *events)


def packed_record(op: RecordAttempt, trace: AttemptTrace | None = None) -> tuple[object, ...]:
    """The attempt as an event; ``trace`` is that of the event before it, in the same row."""
    settlements = op.settlements
    ends = []
    for run in [settlements] if len(settlements) == 1 else runs_of_equal_results(settlements):
        key, state, due, (_, result, reply, reason, peer, *_), why, _ = run[0]
        keys = key if len(run) == 1 else [settlement[0] for settlement in run]
        ends.append((keys, state, due, result, reply, reason, peer, why))
    return packed_attempt(op.at, op.work.destination, op.trace, ends, before=trace)


def plain_address(path: Address | None) -> str:
    """A path as a history has it: the address without quotes, on one line; "" for the null reverse-path."""
    if path is None:
        return ""
    local, domain = path
    return _one_line(f"{local}@{domain}" if domain else local)


def _one_line(text: str) -> str:
    """An address for a column that has one on each line."""
    return text.replace("\n", " ") if "\n" in text else text


def people_of(column: str) -> list[str]:
    """The recipients in the column of a history; behind an empty line it has the other addresses of the message."""
    return column.partition("\n\n")[0].split("\n")


class HistoryWriter:
    """Writes the history, in the writer's thread.

    ``history`` seconds for which histories stay (0: none are written), ``rows`` and ``octets`` they may fill in about.
    """

    def __init__(self, *, history: float, rows: int, octets: int, time: Callable[[], float]) -> None:
        self.writes = history > 0
        self._history = history
        self._most_rows = rows
        self._most_octets = octets
        self._time = time
        #: By it the age of a history is told; the spool that opens sets a ``CertainTime``.
        self.certain_time = time
        self._rows = self._octets = 0  # added by committed transactions, and not yet in the tally
        #: The transaction under way has added something, or has written to the tally.
        self.added = False
        self._new_rows = self._new_octets = 0  # added by the transaction under way, less what it wrote to the tally
        #: So much was added, the transaction under way included, that ``remove_old`` is due.
        self.is_crowded = False
        self._position = -1
        self._rest_until = 0.0

    # -- telling ---------------------------------------------------------------------------------------------------

    def begin(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert beginnings; a history that has one keeps it."""
        if not self.writes:
            return
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            values: list[Any] = []
            for row in some:
                values += row
            connection.execute(_BEGIN[len(some)], values)
        self.count(rows)

    def count(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """These beginnings were inserted, or will be."""
        if self.writes:
            for row in rows:
                self._new_octets += len(row[_ACTION_EVENTS]) + len(row[_SENDER]) + len(row[_RECIPIENTS])
            self._new_rows += len(rows)
            self.added = True
            self.is_crowded = self._rows + self._new_rows >= _STEP

    def ended(self, committed: bool) -> None:
        """The transaction under way has ended: what it added counts only if it was committed."""
        if committed:
            self._rows += self._new_rows
            self._octets += self._new_octets
        self._new_rows = self._new_octets = 0
        self.added = False
        self.is_crowded = self._rows >= _STEP

    def begin_fresh(
        self, connection: sqlite3.Connection, number: int, message: StoredMessage, packed: str | None
    ) -> None:
        """The beginning of a fresh message's history, from its row."""
        if self.writes:
            self.begin(connection, [history_row(number, message, decode_arrival(packed))])

    def add(self, connection: sqlite3.Connection, number: int, *events: tuple[object, ...]) -> None:
        """Add events to the history of a message that has been begun."""
        if not self.writes:
            return
        (serial,) = connection.execute(_SERIAL, (number,)).fetchone()
        serial = 0 if serial is None else serial + 1
        octets = encode(events)
        connection.execute(_ADD, (number, serial, octets))
        if serial >= MOST_EVENTS:
            connection.execute(_TRIM, (number, serial - MOST_EVENTS + KEPT_FIRST))
        else:
            self._new_rows += 1
            self._new_octets += len(octets)
            self.added = True
            self.is_crowded = self._rows + self._new_rows >= _STEP

    def note(self, connection: sqlite3.Connection, number: int, note: QueueEvent) -> None:
        """Add one event."""
        self.add(connection, number, packed_note(note))

    # -- forgetting ------------------------------------------------------------------------------------------------

    def remove_old(self, connection: sqlite3.Connection) -> None:
        """Within a group's transaction, once it ``is_crowded``: remove about as much as was added."""
        added = self._rows + self._new_rows
        self.flush(connection)
        self._step(connection, 2 * added)

    def has_work(self) -> bool:
        """May an idle step find something?"""
        return self.writes and (self._rows > 0 or self._time() >= self._rest_until)

    def idle(self, connection: sqlite3.Connection) -> bool:
        """Within a transaction of its own: a step; true if there is more to do."""
        self.flush(connection)
        more = self._step(connection, _IDLE_STEP)
        if not more:
            self._rest_until = self._time() + min(_ROUND, self._history)
        return more

    def flush(self, connection: sqlite3.Connection) -> None:
        """Add the approximate count to the tally.  It may be low after a crash; it only bounds growth."""
        rows, octets = self._rows + self._new_rows, self._octets + self._new_octets
        self._new_rows, self._new_octets = -self._rows, -self._octets
        self.added = True
        if rows:
            connection.execute(_TALLY, (rows, octets))

    def _step(self, connection: sqlite3.Connection, at_most: int) -> bool:
        too_old = earliest(self.certain_time() - self._history)
        rows, octets = connection.execute(_TOTAL).fetchone()
        crowded = rows > self._most_rows or octets > self._most_octets
        end = earliest(self._time()) if crowded else too_old
        found = connection.execute(_OLD, (self._position, end, at_most)).fetchall()
        last = found[-1][0] if len(found) == at_most else -1
        less_rows = less_octets = 0
        for number, size, lives in found:
            if lives:
                continue
            if crowded and rows - less_rows <= self._most_rows and octets - less_octets <= self._most_octets:
                crowded = False
                end = too_old
            if not crowded and number >= end:
                last = -1
                break
            (events, event_octets) = connection.execute(_OLD_EVENTS, (number,)).fetchone()
            if events:
                connection.execute("DELETE FROM event WHERE message = ?", (number,))
            connection.execute("DELETE FROM story WHERE id = ?", (number,))
            less_rows += 1 + events
            less_octets += size + event_octets
        if less_rows:
            connection.execute(_TALLY, (-less_rows, -less_octets))
        self._position = last
        return last >= 0
