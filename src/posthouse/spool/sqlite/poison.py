"""Crash counter: finds poison messages, which crash the worker that delivers them.

A crash counts against each message that the crashed process had leased, because the cause is not known.  Recording an
attempt clears the count, so only crashes in a row count.  After the 2nd crash its messages are retried 1 s apart, so
that a 3rd crash points to one of them.  The 3rd crash holds the message.  A machine that loses power 3 times within
minutes may therefore hold a few messages without cause; nothing is lost, and they are delivered once an operator
releases them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from posthouse.spool.history import QueueEvent
from posthouse.spool.ids import text_of
from posthouse.spool.model import SpoolEvent, SpoolEventKind
from posthouse.spool.sqlite.history_store import HistoryWriter

__all__ = ["CrashCounter", "POISON"]

#: The result that is shown for the last attempt of a poison message.
POISON = "poison: its worker crashed 3 times while it had this message leased"

_COUNT = "INSERT INTO death VALUES (?, 1) ON CONFLICT (message) DO UPDATE SET deaths = deaths + 1 RETURNING deaths"
_SET_ASIDE = (
    "UPDATE recipient SET state = 1, ready = due, slot = NULL, owner = '', last = ? WHERE message = ? AND state = 0"
    " AND slot IS NULL RETURNING nth"
)
_SPREAD = (
    "UPDATE recipient SET due = max(due, ?), ready = max(due, ?) WHERE message = ? AND state = 0 AND slot IS NULL"
    " RETURNING nth"
)
_TOO_MANY = 3
_APART = 1.0  # seconds between suspects
_LONGEST = 600.0  # seconds until the last of them


class CrashCounter:
    """Counts crashes, in the writer's thread."""

    def __init__(self) -> None:
        #: Events of the transaction under way; the list stays, and is emptied when they are taken.
        self.events: list[SpoolEvent] = []

    def take_events(self) -> list[SpoolEvent]:
        """Return what ``events`` holds, and empty it."""
        events = self.events.copy()
        self.events.clear()
        return events

    def rescued(self, recipients: int) -> None:
        """Report that the leases of a stopped process were released, and of how many recipients."""
        if recipients:
            leases, were = ("1 lease", "was") if recipients == 1 else (f"{recipients} leases", "were")
            text = f"{leases} of a stopped process {were} released; the recipients are due again"
            self.events.append(SpoolEvent(SpoolEventKind.LEASES_ENDED, text))

    def hangs(self, recipients: int) -> None:
        """Report that the leases of a stalled process were released, and of how many recipients."""
        if recipients:
            leases, were = ("1 lease", "was") if recipients == 1 else (f"{recipients} leases", "were")
            text = (
                f"{leases} of a process that runs but has not renewed them for an hour {were} released; if the process"
                " hangs, restart it"
            )
            self.events.append(SpoolEvent(SpoolEventKind.LEASES_ENDED, text))

    def count(
        self, connection: sqlite3.Connection, messages: Sequence[int], now: float, history_writer: HistoryWriter
    ) -> None:
        """Count a crash against the messages that the process had leased; their leases have been cleared already."""
        suspects = 0
        for number in messages:
            (deaths,) = connection.execute(_COUNT, (number,)).fetchone()
            if deaths >= _TOO_MANY:
                keys = sorted(key for (key,) in connection.execute(_SET_ASIDE, (POISON, number)).fetchall())
                history_writer.note(connection, number, QueueEvent(now, "poison", tuple(keys), "", POISON))
                self.events.append(
                    SpoolEvent(
                        SpoolEventKind.POISON,
                        f"message {text_of(number)} is held as poison: its worker crashed {deaths} times while it had"
                        " it leased; look at it, then release it or drop it",
                    )
                )
                continue
            text = "its worker crashed while it had this message leased"
            keys = []
            if deaths == _TOO_MANY - 1:
                suspects += 1
                at = now + min(suspects * _APART, _LONGEST)
                keys = sorted(key for (key,) in connection.execute(_SPREAD, (at, at, number)).fetchall())
                text += ", for the second time in a row; it waits until it can be attempted apart from others"
            history_writer.note(connection, number, QueueEvent(now, "suspected", tuple(keys), "", text))
