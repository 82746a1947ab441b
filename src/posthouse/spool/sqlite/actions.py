"""Actions of operators, in SQL: one batch of recipients in one transaction.

The reader finds the recipients, page by page.  The writer tests only what the action needs (a held recipient is
released, a settled one never changes), so no commit waits for a search.  Reports are composed on the event loop before
the transaction, which checks that they are still right.  Rows, histories, the audit log's line and reports change in
one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from posthouse.spool.history import QueueEvent, packed_note
from posthouse.spool.ids import text_of
from posthouse.spool.interface import Compose
from posthouse.spool.model import ChangedRecipient, MessageEntry, QueueAction, RecipientState, Report
from posthouse.spool.sqlite.batch import insert, rerank
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.rows import ACTION_EVENTS
from posthouse.spool.sqlite.settle import Settler
from posthouse.spool.sqlite.statements import array_of
from posthouse.spool.sqlite.storage.operations import NewMessage

__all__ = ["ActionBatch", "ActionRequest", "ActionResult", "apply", "composed", "youngest"]

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
_IN_STATE = "SELECT count(*) FROM recipient WHERE message = ? AND nth IN (SELECT value FROM json_each(?)) AND {state}"
_UNSETTLED = "state < 2"
_HELD = "state = 1"
_AUDIT = "INSERT INTO audit (at, who, act, filter, target, count) VALUES (?, ?, ?, ?, ?, ?)"
_COUNTED = "UPDATE audit SET count = count + ? WHERE number = ?"


class ActionRequest(NamedTuple):
    """One action of an operator; ``filter`` is for the audit log, ``held_only`` spares what is not held, ``undoes`` is
    the former action that this one undoes."""

    act: QueueAction
    now: float
    who: str
    target: str
    filter: str
    held_only: bool = False
    undoes: QueueAction | None = None


class ActionBatch(NamedTuple):
    """Recipients as (message, key), ordered; ``audit`` is the log's line, None for the first batch.

    ``reports`` has the rows of the reports about a message, for all its recipients in the batch; None where no reports
    are made.
    """

    recipients: Sequence[tuple[int, int]]
    audit: int | None
    reports: Mapping[int, Sequence[NewMessage]] | None = None


class ActionResult(NamedTuple):
    """``changed`` are the recipients that were; ``files`` are promised no more; ``audit`` is for the next batch;
    ``stale`` are the recipients of messages whose reports are not right any more: nothing of these was changed."""

    changed: list[ChangedRecipient]
    files: list[int]
    audit: int
    stale: list[tuple[int, int]]


def apply(
    request: ActionRequest, batch: ActionBatch, leases: LeaseTable, settler: Settler, connection: sqlite3.Connection
) -> ActionResult:
    """Carry out the action on one batch, within the writer's transaction."""
    messages: dict[int, list[int]] = {}
    for number, key in batch.recipients:
        messages.setdefault(number, []).append(key)
    all_changed: list[ChangedRecipient] = []
    files: list[int] = []
    destinations: set[str] = set()
    stale: list[tuple[int, int]] = []
    for number, keys in messages.items():
        leases.expand(connection, number, leased=True)
        if batch.reports is not None and not _all_in_state(connection, request, number, keys):
            stale += [(number, key) for key in keys]
            continue
        statement, values = _update(request)
        changed = []
        for key in keys:
            row = connection.execute(statement, (*values, number, key)).fetchone()
            if row is not None:
                changed.append(key)
                address = row[1].partition("\n")[0]  # without those that led to it
                all_changed.append(ChangedRecipient(text_of(number), key, address, row[0]))
                destinations.add(row[0])
        if not changed:
            continue
        events = [packed_note(_event(request, changed))]
        if request.act is QueueAction.RELEASE:  # a fresh start
            connection.execute("DELETE FROM death WHERE message = ?", (number,))
            connection.execute("DELETE FROM corrupt WHERE message = ?", (number,))
        if batch.reports is not None:
            reports = batch.reports.get(number, ())
            insert(connection, reports, leases.history_writer)
            events += [
                packed_note(QueueEvent(request.now, "reported", (), "", text_of(report.row[0]))) for report in reports
            ]
        leases.history_writer.add(connection, number, *events)
        if request.act is QueueAction.DROP:
            files += settler.finish_if_settled(connection, number)
    rerank(connection, destinations)
    count = len(all_changed)
    audit = batch.audit
    if audit is None:
        act = request.act.value if request.undoes is None else f"undo {request.undoes.value}"
        row = (request.now, request.who, act, request.filter, request.target, count)
        audit = connection.execute(_AUDIT, row).lastrowid
        assert audit is not None
    else:
        connection.execute(_COUNTED, (count, audit))
    return ActionResult(all_changed, files, audit, stale)


async def composed(
    request: ActionRequest,
    batch: ActionBatch,
    compose: Compose,
    entry_of: Callable[[int], Awaitable[MessageEntry | None]],
    rows_of: Callable[[Report], NewMessage],
) -> ActionBatch:
    """A batch of those of its recipients that the action is for, with the reports about them; on the event loop."""
    reports: dict[int, list[NewMessage]] = {}
    recipients: list[tuple[int, int]] = []
    for number, pairs in groupby(batch.recipients, key=itemgetter(0)):
        keys = {key for _, key in pairs}
        entry = await entry_of(number)
        if entry is None:
            continue
        dropped = [
            each._replace(state=RecipientState.FAILED)
            for each in entry.recipients
            if each.key in keys
            and (each.state is RecipientState.HELD or (each.state is RecipientState.WAITING and not request.held_only))
        ]
        if dropped:
            reports[number] = [rows_of(report) for report in await compose(entry.message, dropped)]
            recipients += [(number, each.key) for each in dropped]
    return batch._replace(recipients=recipients, reports=reports)


def youngest(connection: sqlite3.Connection) -> int:
    """The number of the last message; an action does not apply to later ones."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0])


def _event(request: ActionRequest, keys: Sequence[int]) -> QueueEvent:
    """What the history of a message has of the action."""
    if request.undoes is not None:
        return QueueEvent(request.now, "undone", tuple(keys), request.who, request.undoes.value)
    return QueueEvent(request.now, ACTION_EVENTS[request.act], tuple(keys), request.who, request.target)


def _update(request: ActionRequest) -> tuple[str, tuple[object, ...]]:
    """The statement for one recipient, and its values but for message and key."""
    statement = _UPDATES[request.act].format(one="message = ? AND nth = ?")
    statement += (f" AND {_HELD}" if request.held_only else "") + " RETURNING destination, address"
    if request.act is QueueAction.HOLD:
        return statement, ()
    if request.act is QueueAction.DROP:
        return statement, (f"dropped by {request.who}" if request.who else "dropped",)
    if request.act is QueueAction.REROUTE:
        return statement, (request.target, request.now, request.now)
    return statement, (request.now, request.now)


def _all_in_state(connection: sqlite3.Connection, request: ActionRequest, number: int, keys: Sequence[int]) -> bool:
    """Whether the action still is for all of these recipients, so that the reports about them are right."""
    statement = _IN_STATE.format(state=_HELD if request.held_only else _UNSETTLED)
    (found,) = connection.execute(statement, (number, array_of(keys))).fetchone()
    return bool(found == len(keys))
