"""Ownership of a spool: it holds the mail of a catcher, or of a daemon that may send it on.

A catcher keeps whatever is sent to it on the machine.  If a daemon with routes opened its spool after a crash, the mail
that still waits there would leave; if a catcher opened a relay's spool, mail on its way would end in local inboxes.  So
a spool remembers its ``kind`` in ``meta`` from the first opening by either, and refuses the other.

A spool of an older format does not know its kind.  Without waiting mail it is adopted by whoever opens it.  Otherwise

*  a catcher is refused, because the mail may be on its way elsewhere;
*  a relay adopts it.  If there are inboxes, a catcher may have used it, and what was never attempted may have been
   caught: that mail is held, with the reason, until an operator decides.

Processes that open a spool without a kind (a command of an operator, a test) are refused nowhere and mark nothing.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from posthouse.core import SettingError
from posthouse.spool.history import QueueEvent
from posthouse.spool.sqlite.batch import rerank
from posthouse.spool.sqlite.leases import LeaseTable

__all__ = ["CATCHER", "RELAY", "adopt", "refuse_other"]

CATCHER: Final = "catcher"
RELAY: Final = "relay"
_OWNERS: Final = {
    CATCHER: "a catcher (`posthouse run` without a configuration), whose mail stays on this machine",
    RELAY: "a daemon with a configuration, whose mail may be on its way elsewhere",
}

_REASON: Final = "held because a catcher may have taken it; release it if it may leave this machine"
_WAITING: Final = (
    "SELECT (SELECT count(*) FROM recipient WHERE state < 2)"
    " + (SELECT coalesce(sum(recipients), 0) FROM message WHERE until IS NOT NULL)"
)
_UNTRIED: Final = "state = 0 AND attempts = 0 AND slot IS NULL"
_DESTINATIONS: Final = f"SELECT DISTINCT destination FROM recipient WHERE {_UNTRIED}"
_HOLD: Final = f"UPDATE recipient SET state = 1, ready = due, last = ? WHERE {_UNTRIED} RETURNING message, nth"


def _kind_of(connection: sqlite3.Connection) -> str:
    """The kind that the spool remembers; "" if none."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'kind'").fetchone()
    return "" if row is None else str(row[0])


def refuse_other(connection: sqlite3.Connection, kind: str, where: str, *, marked: bool) -> None:
    """Raise ``SettingError`` if the spool may not be opened as ``kind``; ``marked``: its format has ``meta``."""
    if not kind:
        return
    known = _kind_of(connection) if marked else ""
    if known and known != kind:
        raise SettingError(
            f"the spool belongs to {_OWNERS[known]}", where=where, remedy="choose another data_dir (--data-dir)"
        )
    if not known and kind == CATCHER and (waiting := connection.execute(_WAITING).fetchone()[0]):
        raise SettingError(
            f"mail for {waiting:,} recipients waits in this spool, and may be on its way elsewhere: it is not caught",
            where=where,
            remedy="choose another data_dir (--data-dir), or name the configuration that it belongs to (--config)",
        )


def adopt(connection: sqlite3.Connection, kind: str, leases: LeaseTable, now: float) -> list[str]:
    """Mark a spool that knows no kind, within a transaction; returns sentences about what was done."""
    if not kind or _kind_of(connection):
        return []
    connection.execute("INSERT INTO meta VALUES ('kind', ?)", (kind,))
    if kind != RELAY or connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone() is None:
        return []
    destinations = [name for (name,) in connection.execute(_DESTINATIONS).fetchall()]
    held: dict[int, list[int]] = {}
    for number, key in connection.execute(_HOLD, (_REASON,)).fetchall():
        held.setdefault(number, []).append(key)
    for number, keys in held.items():
        leases.history_writer.note(connection, number, QueueEvent(now, "held", tuple(sorted(keys)), "", _REASON))
    rerank(connection, destinations)
    count = sum(map(len, held.values()))
    if not count:
        return []
    sentence = f"mail for {count:,} recipients that was never attempted is held: a catcher may have taken it; see"
    return [f"{sentence} `posthouse queue list state:held`, and release what may leave this machine"]
