"""What operators do, in SQL: one batch of recipients in one transaction.

Which recipients is asked of the reader, page by page; the writer looks again only at what the act needs to be true (a
held one is released, a settled one is never touched), so no commit waits for a search.  What belongs together stays
together: rows, stories, the audit log's line, reports.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from posthouse.spool.history import QueueEvent, packed_note
from posthouse.spool.ids import text_of
from posthouse.spool.interface import QueueAction, QueuedRecipient, RecipientState, StoredMessage
from posthouse.spool.sqlite.batch import NewMessage, insert, rerank
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.rows import TOLD, decode_envelope
from posthouse.spool.sqlite.settle import Settler
from posthouse.spool.sqlite.statements import SQL

__all__ = ["ActionBatch", "ActionRequest", "ActionResult", "apply", "youngest"]

_NOW = "due = ?, ready = CASE WHEN slot IS NULL THEN ? ELSE ready END"  # a lease stays one
_UPDATES = {
    QueueAction.HOLD: "UPDATE recipient SET state = 1, ready = due, slot = NULL, owner = '' WHERE {one} AND state = 0",
    QueueAction.RELEASE: "UPDATE recipient SET state = 0, due = ?, ready = ? WHERE {one} AND state = 1",
    QueueAction.RETRY: f"UPDATE recipient SET {_NOW} WHERE {{one}} AND state = 0",
    QueueAction.DROP: (
        "UPDATE recipient SET state = 3, ready = due, slot = NULL, owner = '', last = ? WHERE {one} AND state < 2"
    ),
    QueueAction.REROUTE: f"UPDATE recipient SET route = ?, {_NOW} WHERE {{one}} AND state < 2",
}
_ROWS = (
    "SELECT nth, destination, attempts, due, last, route, warned FROM recipient WHERE message = ?"
    " AND nth IN (SELECT value FROM json_each(?)) ORDER BY nth"
)
_AUDIT = "INSERT INTO audit (at, who, act, filter, target, count) VALUES (?, ?, ?, ?, ?, ?)"
_COUNTED = "UPDATE audit SET count = count + ? WHERE number = ?"


class ActionRequest(NamedTuple):
    """One act: what, of whom, when; ``filter`` for the audit log; ``report`` makes the rows of a dropped message's
    reports."""

    act: QueueAction
    now: float
    who: str
    target: str
    filter: str
    report: Callable[[StoredMessage, Sequence[QueuedRecipient]], Sequence[NewMessage]] | None


class ActionBatch(NamedTuple):
    """Recipients as (message, key), ordered; ``audit`` is the log's line, None for the first batch."""

    recipients: Sequence[tuple[int, int]]
    audit: int | None


class ActionResult(NamedTuple):
    """``changed`` is how many were; ``files`` are promised no more; ``audit`` is for the next batch."""

    changed: int
    files: list[int]
    audit: int


def apply(
    deed: ActionRequest, batch: ActionBatch, leases: LeaseTable, settler: Settler, connection: sqlite3.Connection
) -> ActionResult:
    """Do it."""
    messages: dict[int, list[int]] = {}
    for number, key in batch.recipients:
        messages.setdefault(number, []).append(key)
    count = 0
    files: list[int] = []
    destinations: set[str] = set()
    for number, keys in messages.items():
        leases.expand(connection, number, leased=True)
        statement, values = _update(deed)
        changed = []
        for key in keys:
            row = connection.execute(statement, (*values, number, key)).fetchone()
            if row is not None:
                changed.append(key)
                destinations.add(row[0])
        if not changed:
            continue
        count += len(changed)
        events = [packed_note(QueueEvent(deed.now, TOLD[deed.act], tuple(changed), deed.who, deed.target))]
        if deed.act is QueueAction.RELEASE:  # a fresh start
            connection.execute("DELETE FROM death WHERE message = ?", (number,))
            connection.execute("DELETE FROM corrupt WHERE message = ?", (number,))
        if deed.act is QueueAction.DROP and deed.report is not None:
            reports = deed.report(*_message(connection, number, changed))
            insert(connection, reports, leases.teller)
            events += [
                packed_note(QueueEvent(deed.now, "reported", (), "", text_of(report.row[0]))) for report in reports
            ]
        leases.teller.add(connection, number, *events)
        if deed.act is QueueAction.DROP:
            files += settler.finish_if_settled(connection, number)
    rerank(connection, destinations)
    audit = batch.audit
    if audit is None:
        row = (deed.now, deed.who, deed.act.value, deed.filter, deed.target, count)
        audit = connection.execute(_AUDIT, row).lastrowid
        assert audit is not None
    else:
        connection.execute(_COUNTED, (count, audit))
    return ActionResult(count, files, audit)


def youngest(connection: sqlite3.Connection) -> int:
    """The last message there is: what comes behind it is not meant."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0])


def _update(deed: ActionRequest) -> tuple[str, tuple[object, ...]]:
    """The statement for one recipient, and its values but for message and key."""
    statement = _UPDATES[deed.act].format(one="message = ? AND nth = ?") + " RETURNING destination"
    if deed.act is QueueAction.HOLD:
        return statement, ()
    if deed.act is QueueAction.DROP:
        return statement, (f"dropped by {deed.who}" if deed.who else "dropped",)
    if deed.act is QueueAction.REROUTE:
        return statement, (deed.target, deed.now, deed.now)
    return statement, (deed.now, deed.now)


def _message(
    connection: sqlite3.Connection, number: int, keys: Sequence[int]
) -> tuple[StoredMessage, list[QueuedRecipient]]:
    """A message and some of its recipients as they are now."""
    received, size, source, head = connection.execute(SQL.MESSAGE, (number,)).fetchone()
    message = StoredMessage(text_of(number), decode_envelope(head), received, size, source)
    people = message.envelope.recipients
    return message, [
        QueuedRecipient(nth, people[nth], name, RecipientState.FAILED, attempts, due, last, route, bool(warned))
        for nth, name, attempts, due, last, route, warned in connection.execute(_ROWS, (number, str(list(keys))))
    ]
