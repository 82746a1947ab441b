"""Actions of operators undone, in SQL: recipients get the due time and the route back that they had before.

Only what nobody has touched since is put back: a recipient that is not leased, and whose due time, number of attempts
and route are still those that the action has left.  So an attempt that has begun, or that is recorded, stays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.spool.history import QueueEvent, packed_note
from posthouse.spool.ids import number_of
from posthouse.spool.model import FormerPlace, QueueAction
from posthouse.spool.sqlite.batch import rerank
from posthouse.spool.sqlite.leases import LeaseTable

__all__ = ["PutBack", "put_back"]

_BACK: Final = (
    "UPDATE recipient SET due = ?, ready = ?, route = ? WHERE message = ? AND nth = ? AND state < 2 AND slot IS NULL"
    " AND due = ? AND attempts = ? AND route = ? RETURNING destination"
)
_AUDIT: Final = "INSERT INTO audit (at, who, act, filter, target, count) VALUES (?, ?, ?, ?, '', ?)"
_COUNTED: Final = "UPDATE audit SET count = count + ? WHERE number = ?"


class PutBack(NamedTuple):
    """What is undone: the action with its time and target; ``now`` and ``who`` of the undoing; ``filter`` for the
    audit log."""

    act: QueueAction
    since: float
    target: str
    now: float
    who: str
    filter: str


def put_back(
    request: PutBack,
    recipients: Sequence[FormerPlace],
    audit: int | None,
    leases: LeaseTable,
    connection: sqlite3.Connection,
) -> tuple[int, int]:
    """Put one batch back, within the writer's transaction; how many were, and the line of the audit log, None for the
    first batch."""
    destinations: set[str] = set()
    changed: dict[tuple[int, str], list[int]] = {}
    for each in recipients:
        number = number_of(each.id)
        if number is None:
            continue
        route = request.target if request.act is QueueAction.REROUTE else each.route
        values = (each.due, each.due, each.route, number, each.key, request.since, each.attempts, route)
        row = connection.execute(_BACK, values).fetchone()
        if row is not None:
            destinations.add(row[0])
            changed.setdefault((number, each.route), []).append(each.key)
    for (number, route), keys in changed.items():
        note = packed_note(QueueEvent(request.now, "restored", tuple(keys), request.who, route))
        leases.history_writer.add(connection, number, note)
    rerank(connection, destinations)
    count = sum(map(len, changed.values()))
    if audit is None:
        row = (request.now, request.who, f"undo {request.act.value}", request.filter, count)
        audit = connection.execute(_AUDIT, row).lastrowid
        assert audit is not None
    else:
        connection.execute(_COUNTED, (count, audit))
    return count, audit
