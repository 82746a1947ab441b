"""SQL of leasing and settling, by name.

No statement here scans a table; the columns of ``recipient_ready`` and ``destination_ready`` answer what is due.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SQL", "array_of"]

_SOME = "nth IN (SELECT value FROM json_each(?))"  # a JSON array of keys


def array_of(keys: Sequence[int]) -> str:
    """Keys as the JSON array that the statements take."""
    return f"[{','.join(map(str, keys))}]"


class SQL:
    """Statements by name; a test asks SQLite for the plan of each."""

    DUE_DESTINATIONS = "SELECT name, ready FROM destination WHERE ready <= ? ORDER BY ready"
    DUE_OF = (
        "SELECT name, ready FROM destination WHERE name IN (SELECT value FROM json_each(?)) AND ready <= ?"
        " ORDER BY ready"
    )
    DUE_PAGE = "SELECT name, ready FROM destination WHERE (ready, name) > (?, ?) ORDER BY ready, name LIMIT ?"
    DUE_RECIPIENTS = (
        "SELECT ready, message, nth, due, attempts, last, slot, route, warned FROM recipient INDEXED BY recipient_ready"
        " WHERE destination = ? AND state = 0 AND ready <= ? ORDER BY ready LIMIT ?"
    )
    EXPIRED_FRESH = "SELECT id, slot FROM message WHERE until IS NOT NULL AND until <= ? ORDER BY until LIMIT ?"
    FIRST_FRESH = "SELECT min(until) FROM message WHERE until IS NOT NULL"
    FRESH = "SELECT until, slot, owner, due, destination, received, size, source, head FROM message WHERE id = ?"
    FRESH_ORIGIN = "SELECT told FROM message WHERE id = ?"
    EXPANDED = "UPDATE message SET until = NULL, slot = NULL, owner = NULL, due = NULL, destination = NULL WHERE id = ?"
    TAKE = "UPDATE recipient SET ready = ?, slot = ?, owner = ?, token = ? WHERE message = ? AND nth = ?"
    SETTLE = (
        "UPDATE recipient SET state = ?, attempts = attempts + 1, due = ?, ready = ?, slot = NULL, owner = '',"
        " last = ?, warned = warned OR ? WHERE message = ? AND nth = ? AND state < 2"
    )
    SETTLE_SOME = SETTLE.replace("nth = ?", _SOME)
    AGAIN = SETTLE + " AND slot = ? AND token = ?"
    AGAIN_SOME = AGAIN.replace("nth = ?", _SOME)
    RELEASE_SOME = (
        f"UPDATE recipient SET ready = due, slot = NULL, owner = '' WHERE message = ? AND {_SOME} AND state = 0"
        " AND slot = ? AND token = ?"
    )
    RENEW_SOME = (
        f"UPDATE recipient SET ready = ?, token = ? WHERE message = ? AND {_SOME} AND state = 0"
        " AND slot = ? AND token = ?"
    )
    LATEST = "SELECT max(ready) FROM destination"
    TOO_LATE = "SELECT name FROM destination WHERE ready > ?"
    PULL_IN = (
        "UPDATE recipient SET due = ?, ready = ? WHERE (message, nth) IN (SELECT message, nth FROM recipient"
        " INDEXED BY recipient_ready WHERE destination = ? AND state = 0 AND ready > ? AND slot IS NULL LIMIT ?)"
    )
    UNSETTLED = "SELECT 1 FROM recipient WHERE message = ? AND state < 2 LIMIT 1"
    MESSAGE = "SELECT received, size, source, head FROM message WHERE id = ?"
    FILE = "SELECT 1 FROM file WHERE id = ?"
    ERASE = (
        "DELETE FROM recipient WHERE message = ?",
        "DELETE FROM message WHERE id = ?",
        "DELETE FROM file WHERE id = ?",
        "DELETE FROM finished WHERE message = ?",
        "DELETE FROM corrupt WHERE message = ?",
        "DELETE FROM death WHERE message = ?",
    )
    LIVED = "DELETE FROM death WHERE message = ?"
    FINISHED_BEFORE = "SELECT message FROM finished WHERE at <= ? ORDER BY at LIMIT ?"
    LEASED_SLOTS = "SELECT DISTINCT slot FROM recipient WHERE slot IS NOT NULL"
    MESSAGES_OF = "SELECT DISTINCT message FROM recipient INDEXED BY recipient_slot WHERE slot = ? AND state = 0"
    LEASED_BY = "SELECT DISTINCT destination FROM recipient INDEXED BY recipient_slot WHERE slot = ?"
    CLEAR = "UPDATE recipient SET ready = due, slot = NULL, owner = '' WHERE slot = ?"
    CLEAR_UNTIL = "UPDATE recipient SET ready = due, slot = NULL, owner = '' WHERE slot = ? AND ready <= ?"
    WAITING_FOR = "SELECT DISTINCT destination FROM recipient WHERE message = ? AND state = 0"
    SET_ASIDE = (
        "UPDATE recipient SET state = 1, ready = due, slot = NULL, owner = '', last = ? WHERE message = ? AND state = 0"
    )
    FRESH_SLOTS = "SELECT DISTINCT slot FROM message WHERE until IS NOT NULL"
    FRESH_OF = "SELECT id FROM message WHERE until IS NOT NULL AND slot = ?"
