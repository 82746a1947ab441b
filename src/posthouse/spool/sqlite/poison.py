"""Dead workers, and the messages that may have killed them.

A death counts against each message that the dead one had leased, as nobody knows which of them it was.  Recording an
attempt forgets a message's deaths; so three count only in a row.  From the second on the message is a suspect: those of
one death become due one second after the other, so that, if another death comes, few share it with the guilty one.  The
third sets it aside.  A machine that loses power three times within minutes may thus set a few innocent messages aside;
nothing is lost, and an operator who releases them has them delivered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from posthouse.spool.history import QueueEvent
from posthouse.spool.ids import text_of
from posthouse.spool.sqlite.history_store import HistoryWriter

__all__ = ["CrashCounter", "POISON"]

#: What the last attempt of a poisonous message "ended with".
POISON = "poison: its worker died three times while it had this message"

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
_MOST_NOTES = 100  # that nobody has taken
_APART = 1.0  # seconds between suspects
_LONGEST = 600.0  # seconds until the last of them


class CrashCounter:
    """Counts them, in the writer's thread."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def take_notes(self) -> list[str]:
        """Sentences since the last time."""
        notes, self._notes = self._notes, []
        return notes

    def told(self, recipients: int) -> None:
        """A dead process had leases of so many recipients; they have ended."""
        if recipients and len(self._notes) < _MOST_NOTES:
            leases = "1 lease" if recipients == 1 else f"{recipients} leases"
            self._notes.append(f"{leases} of a process that lives no more ended; the work is due again")

    def hangs(self, recipients: int) -> None:
        """A process that lives has not renewed its leases of so many recipients for long; they have been ended."""
        if recipients and len(self._notes) < _MOST_NOTES:
            leases = "1 lease" if recipients == 1 else f"{recipients} leases"
            self._notes.append(
                f"{leases} of a process that lives and has not renewed them for long ended; if it hangs, restart it"
            )

    def count(self, connection: sqlite3.Connection, messages: Sequence[int], now: float, teller: HistoryWriter) -> None:
        """A process died that had these messages leased; their leases have been cleared already."""
        suspects = 0
        for number in messages:
            (deaths,) = connection.execute(_COUNT, (number,)).fetchone()
            if deaths >= _TOO_MANY:
                keys = sorted(key for (key,) in connection.execute(_SET_ASIDE, (POISON, number)).fetchall())
                teller.note(connection, number, QueueEvent(now, "poison", tuple(keys), "", POISON))
                if len(self._notes) < _MOST_NOTES:
                    self._notes.append(
                        f"message {text_of(number)} is held as poison: its worker died {deaths} times while it had it;"
                        " look at it, then release it or drop it"
                    )
                continue
            text = "its worker died while it had this message"
            keys = []
            if deaths == _TOO_MANY - 1:
                suspects += 1
                at = now + min(suspects * _APART, _LONGEST)
                keys = sorted(key for (key,) in connection.execute(_SPREAD, (at, at, number)).fetchall())
                text += ", for the second time in a row; it waits until it can be attempted apart from others"
            teller.note(connection, number, QueueEvent(now, "suspected", tuple(keys), "", text))
