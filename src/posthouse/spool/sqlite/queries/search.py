"""Queries of operators, in SQL: listings, counts, summaries, histories and the audit log.  No statement here writes.

The conditions of a filter are written as terms by ``filter_terms``.

A page of a listing is read in the order of the rows until it is full; where a condition names a destination with few
recipients, it is read by the index instead.  Counts and the summary read only the two indices over unsettled
recipients if the conditions name destination, state and age only.

Fresh messages have no recipient rows.  No more of them exist than are being attempted now, so each is tested alone
(``filters.matches``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence, Set
from heapq import nsmallest
from operator import add, sub

from posthouse.core import path_text
from posthouse.spool.filters import (
    BUCKETS,
    Condition,
    LargestDestinations,
    RecipientRow,
    SummaryRow,
    matches,
    summarized,
)
from posthouse.spool.history import Accepted, Event, MessageSummary, decode_arrival, decode_events
from posthouse.spool.ids import number_of, text_of
from posthouse.spool.model import AuditRecord
from posthouse.spool.sqlite.history_store import people_of, plain_address
from posthouse.spool.sqlite.queries.filter_terms import where
from posthouse.spool.sqlite.rows import STATES, address_column, decode_envelope, destinations_of

__all__ = ["audit", "count", "find", "history", "largest", "select", "select_newest", "summary"]

_COLUMNS = (
    "message, nth, sender, address, destination, state, attempts, received, due, size, last, route, slot IS NOT NULL"
)
_FRESH = (
    "SELECT id, destination, due, received, size, head, told FROM message INDEXED BY message_fresh WHERE until IS NOT"
    " NULL AND id > ? ORDER BY id LIMIT ?"
)
_ARMS = (("recipient_ready", 0), ("recipient_held", 1))
_INDEXED = frozenset({"domain", "age", "state"})
_BY_INDEX = frozenset({"waiting", "held"})
_FEW = 20_000  # recipients of one destination that are better found by the index
_LAST_ID = (1 << 63) - 1  # behind every message
_SCANNED = 500_000  # histories that a search looks through


# -- listings ----------------------------------------------------------------------------------------------------------


def select(
    connection: sqlite3.Connection,
    conditions: Sequence[Condition],
    now: float,
    limit: int,
    after: tuple[str, int] | None,
) -> list[RecipientRow]:
    number, key = (-1, -1) if after is None else (number_of(after[0]), after[1])
    if number is None:
        return []
    found = _page(connection, conditions, now, limit, "> (?, ?)", (number, key), "message, nth")
    fresh: list[RecipientRow] = []
    for row in _fresh(connection, number):
        if len(fresh) >= limit:
            break
        if after is not None and (row.id, row.key) <= after:
            continue
        if matches(conditions, row, now):
            fresh.append(row)
    if fresh:
        found = sorted([*found, *fresh], key=lambda row: (row.id, row.key))[:limit]
    return found


def select_newest(
    connection: sqlite3.Connection,
    conditions: Sequence[Condition],
    now: float,
    limit: int,
    before: tuple[str, int] | None,
) -> list[RecipientRow]:
    """The last recipients in front of ``before``, in their order."""
    number, key = (_LAST_ID, 0) if before is None else (number_of(before[0]), before[1])
    if number is None:
        return []
    found = _page(connection, conditions, now, limit, "< (?, ?)", (number, key), "message DESC, nth DESC")
    fresh = [
        row
        for row in _fresh(connection, 0)
        if (before is None or (row.id, row.key) < before) and matches(conditions, row, now)
    ]
    return sorted([*found, *fresh], key=lambda row: (row.id, row.key))[-limit:]


def _page(
    connection: sqlite3.Connection,
    conditions: Sequence[Condition],
    now: float,
    limit: int,
    side: str,
    place: tuple[int, int],
    order: str,
) -> list[RecipientRow]:
    """A page of rows on one ``side`` of a place, but for fresh messages."""
    number, key = place
    terms, values = where(conditions, now)
    terms = [f"(message, nth) {side}", *terms]
    if _few(connection, conditions):
        arms = " UNION ALL ".join(
            f"SELECT message, nth FROM recipient INDEXED BY {index} WHERE state = {state} AND destination = ?"
            for index, state in _ARMS
        )
        name = next(str(value).lower() for field, op, value, _ in conditions if field == "domain" and op == "=")
        source = f"({arms}) AS some CROSS JOIN recipient USING (message, nth)"
        values = [name, name, number, key, *values]
    else:
        source = "recipient NOT INDEXED"
        values = [number, key, *values]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?", (*values, limit)
    )
    return [_row(*row) for row in rows]


def _few(connection: sqlite3.Connection, conditions: Sequence[Condition]) -> bool:
    """Is one destination asked for that has few unsettled recipients?"""
    if any(field == "state" and value in ("delivered", "failed") for field, _, value, _ in conditions):
        return False
    for field, op, value, _ in conditions:
        if field == "domain" and op == "=" and "*" not in str(value):
            counted = 0
            for index, state in _ARMS:
                (some,) = connection.execute(
                    f"SELECT count(*) FROM (SELECT 1 FROM recipient INDEXED BY {index}"
                    f" WHERE state = {state} AND destination = ? LIMIT {_FEW})",
                    (str(value).lower(),),
                ).fetchone()
                counted += some
            return counted < _FEW
    return False


def _row(
    number: int,
    key: int,
    sender: str,
    address: str,
    destination: str,
    state: int,
    attempts: int,
    received: float,
    due: float,
    size: int,
    last: str,
    route: str,
    active: int,
) -> RecipientRow:
    first, *originals = address.split("\n")
    return RecipientRow(
        text_of(number),
        key,
        sender,
        first,
        destination,
        STATES[state].value,
        attempts,
        received,
        due,
        size,
        last,
        route,
        bool(active),
        tuple(originals),
    )


def _fresh(connection: sqlite3.Connection, behind: int) -> Iterator[RecipientRow]:
    """The recipients of fresh messages, from the id ``behind`` on, in order."""
    behind -= 1
    while rows := connection.execute(_FRESH, (behind, 1000)).fetchall():
        behind = rows[-1][0]
        for number, destination, due, received, size, head, packed in rows:
            envelope = decode_envelope(head)
            sender = path_text(envelope.sender)
            queue_id = text_of(number)
            names = destinations_of(destination, envelope.recipients)
            verdicts = decode_arrival(packed).verdicts
            for key, (recipient, name) in enumerate(zip(envelope.recipients, names, strict=True)):
                address, *originals = address_column(recipient).split("\n")
                row = RecipientRow(queue_id, key, sender, address, name, "waiting", 0, received, due, size, active=True)
                yield row._replace(originals=tuple(originals), verdicts=verdicts) if originals or verdicts else row


def _by_index(conditions: Iterable[Condition]) -> bool:
    return all(
        field in _INDEXED and (field != "state" or (op == "=" and value in _BY_INDEX))
        for field, op, value, _ in conditions
    )


def _arms(
    conditions: Sequence[Condition], now: float, what: str, group: str, names: Set[str] | None = None
) -> tuple[str, list[str | float | int]]:
    """``what`` of unsettled recipients, by the two indices if they know enough, else by the rows; of the destinations
    ``names``, or of all."""
    terms, values = where(conditions, now)
    if names is not None:
        terms = [*terms, "destination IN (SELECT value FROM json_each(?))"]
        values = [*values, json.dumps(sorted(names))]
    if not _by_index(conditions):
        return f"SELECT {what} FROM recipient NOT INDEXED WHERE {' AND '.join(terms)} {group}", values
    statement = " UNION ALL ".join(
        f"SELECT {what} FROM recipient INDEXED BY {index} WHERE {' AND '.join([f'state = {state}', *terms])} {group}"
        for index, state in _ARMS
    )
    return statement, values * len(_ARMS)


def count(connection: sqlite3.Connection, conditions: Sequence[Condition], now: float) -> int:
    statement, values = _arms(conditions, now, "count(*)", "")
    counted = sum(some for (some,) in connection.execute(statement, values))
    if not conditions:
        (fresh,) = connection.execute(
            "SELECT coalesce(sum(recipients), 0) FROM message WHERE until IS NOT NULL"
        ).fetchone()
        return int(counted + fresh)
    return int(counted) + sum(matches(conditions, row, now) for row in _fresh(connection, 0))


def summary(connection: sqlite3.Connection, conditions: Sequence[Condition], now: float) -> list[SummaryRow]:
    fresh = [row for row in _fresh(connection, 0) if matches(conditions, row, now)]
    table = _table(connection, conditions, now, fresh, None)
    return sorted(table.values(), key=lambda row: (-row.total, row.destination))


def largest(
    connection: sqlite3.Connection, conditions: Sequence[Condition], now: float, limit: int
) -> LargestDestinations:
    """The summary of the largest destinations: others are only counted, which takes 1/3 of the time."""
    if not _by_index(conditions):  # every row is read in any case
        rows = [row for row in summary(connection, conditions, now) if row.total]
        return LargestDestinations(rows[:limit], sum(row.total for row in rows), len(rows))
    fresh = [row for row in _fresh(connection, 0) if matches(conditions, row, now)]
    statement, values = _arms(conditions, now, "destination, count(*)", "GROUP BY destination")
    totals: dict[str, int] = {}
    for name, some in (*connection.execute(statement, values), *((row.destination, 1) for row in fresh)):
        totals[name] = totals.get(name, 0) + some
    names = {name for name, _ in nsmallest(limit, totals.items(), key=lambda each: (-each[1], each[0]))}
    table = _table(connection, conditions, now, [row for row in fresh if row.destination in names], names)
    rows = sorted(table.values(), key=lambda row: (-row.total, row.destination))
    return LargestDestinations(rows, sum(totals.values()), len(totals))


def _table(
    connection: sqlite3.Connection,
    conditions: Sequence[Condition],
    now: float,
    fresh: Sequence[RecipientRow],
    names: Set[str] | None,
) -> dict[str, SummaryRow]:
    """The rows of the summary by destination, of ``names`` or of all; ``fresh`` recipients have no rows to read."""
    # Cumulative, as no age then needs a group of its own: the index gives the groups in their order.
    younger = ", ".join(["count(*) FILTER (WHERE received > ?)"] * len(BUCKETS))
    what = f"destination, state, count(*), min(received), {younger}"
    statement, values = _arms(conditions, now, what, "GROUP BY destination, state", names)
    ends = [now - end for end in BUCKETS]
    each = len(values) // (arms := len(_ARMS) if _by_index(conditions) else 1)
    given = [value for arm in range(arms) for value in (*ends, *values[arm * each : (arm + 1) * each])]
    first = summarized([(row.destination, row.state, row.received) for row in fresh], now)
    table: dict[str, SummaryRow] = {row.destination: row for row in first}
    for destination, state, some, oldest, *sums in connection.execute(statement, given):
        ages = tuple(map(sub, (*sums, some), (0, *sums)))
        waiting, held = some if state == 0 else 0, some if state == 1 else 0
        before = table.get(destination)
        if before is not None:
            ages = tuple(map(add, before.ages, ages))
            waiting, held, oldest = before.waiting + waiting, before.held + held, min(before.oldest, oldest)
        table[destination] = SummaryRow(destination, ages, waiting, held, oldest)
    return table


def audit(connection: sqlite3.Connection, limit: int) -> list[AuditRecord]:
    rows = connection.execute(
        "SELECT at, who, act, filter, target, count FROM audit ORDER BY number DESC LIMIT ?", (limit,)
    )
    return [AuditRecord(*row) for row in rows]


# -- histories ---------------------------------------------------------------------------------------------------------


def history(connection: sqlite3.Connection, number: int) -> list[Event]:
    first = "SELECT sender, recipients, message_id, told FROM story WHERE id = ?"
    row = connection.execute(first, (number,)).fetchone()
    if row is None:
        fresh = connection.execute(
            "SELECT received, size, source, head, told FROM message WHERE id = ?", (number,)
        ).fetchone()
        return [] if fresh is None else [_accepted(*fresh)]
    sender, recipients, message_id, packed = row
    events = decode_events(packed, sender, people_of(recipients), message_id)
    for (octets,) in connection.execute("SELECT told FROM event WHERE message = ? ORDER BY serial", (number,)):
        events += decode_events(octets)
    return events


def _accepted(received: float, size: int, source: str, head: str, packed: str | None) -> Accepted:
    envelope = decode_envelope(head)
    sender = plain_address(envelope.sender)
    people = tuple(plain_address(recipient.address) for recipient in envelope.recipients)
    return Accepted(received, source, sender, people, size, decode_arrival(packed))


def find(connection: sqlite3.Connection, address: str, message_id: str, limit: int) -> list[MessageSummary]:
    terms, values = [], []
    if address:
        text = address.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        terms.append(
            "(sender LIKE ? ESCAPE '\\' OR recipients LIKE ? ESCAPE '\\' OR"
            " char(10) || recipients || char(10) LIKE '%' || char(10) || ? || char(10) || '%' ESCAPE '\\')"
        )
        values += [text, text, text]
    if message_id:
        terms.append("message_id = ?")
        values.append(message_id)
    found: dict[str, MessageSummary] = {}
    rows = connection.execute(
        "SELECT id, sender, recipients, message_id, told, EXISTS (SELECT 1 FROM message WHERE message.id = story.id"
        " AND NOT EXISTS (SELECT 1 FROM finished WHERE finished.message = story.id)) FROM story WHERE id >"
        " (SELECT coalesce(min(id), 0) - 1 FROM (SELECT id FROM story ORDER BY id DESC LIMIT ?))"
        f" AND {' AND '.join(terms or ['1'])} ORDER BY id DESC LIMIT ?",
        (_SCANNED, *values, limit),
    ).fetchall()
    for number, sender, recipients, found_id, packed, waits in rows:
        people = tuple(people_of(recipients))
        first = decode_events(packed, sender, people, found_id)[0]
        queue_id = text_of(number)
        found[queue_id] = MessageSummary(queue_id, first.at, sender, people, found_id, bool(waits))
    fresh = connection.execute(
        "SELECT id, received, size, source, head, told FROM message INDEXED BY message_fresh WHERE until IS NOT NULL"
    )
    for number, *rest in fresh:
        accepted = _accepted(*rest)
        names = (accepted.sender, *accepted.recipients, *accepted.arrival.named)
        if address and address.lower() not in {each.lower() for each in names}:
            continue
        if message_id and accepted.arrival.message_id != message_id:
            continue
        queue_id = text_of(number)
        found[queue_id] = MessageSummary(
            queue_id, accepted.at, accepted.sender, accepted.recipients, accepted.arrival.message_id, True
        )
    return sorted(found.values(), reverse=True)[:limit]
