"""Mailboxes in SQL: what the writer does for ``keep`` and ``discard``.  Listing them is ``reader``'s."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from posthouse.core import path_text
from posthouse.spool.filters import text_of_numbers
from posthouse.spool.model import StoredMessage

__all__ = ["discard", "keep", "note"]


def keep(
    inbox: str,
    message: StoredMessage,
    size: int,
    file: int | None,
    content: bytes | None,
    connection: sqlite3.Connection,
) -> bool:
    """Insert a mailbox message; false if it is there already."""
    sender = message.envelope.sender
    inserted = connection.execute(
        "INSERT OR IGNORE INTO inbox (name, message, sender, received, size, file, content) VALUES (?,?,?,?,?,?,?)",
        (inbox, message.id, path_text(sender), message.received, size, file, content),
    ).rowcount
    if inserted and file is not None:
        connection.execute("INSERT INTO file VALUES (?, ?, x'')", (file, size))
    return bool(inserted)


def discard(
    numbers: Sequence[int], now: float, who: str, audited: bool, connection: sqlite3.Connection
) -> tuple[int, list[int]]:
    """Remove mailbox messages, with a line in the audit log if it is to be ``audited``; returns how many there were,
    and the content files that no row needs any more."""
    count, files = 0, []
    for number in numbers:
        row = connection.execute("SELECT file FROM inbox WHERE number = ?", (number,)).fetchone()
        if row is None:
            continue
        connection.execute("DELETE FROM inbox WHERE number = ?", (number,))
        if row[0] is not None:
            connection.execute("DELETE FROM file WHERE id = ?", (row[0],))
            files.append(row[0])
        count += 1
    if audited:
        note("delete", text_of_numbers(numbers), count, now, who, connection)
    return count, files


def note(act: str, text: str, count: int, now: float, who: str, connection: sqlite3.Connection) -> None:
    """Write a line into the audit log."""
    connection.execute(
        "INSERT INTO audit (at, who, act, filter, target, count) VALUES (?, ?, ?, ?, '', ?)",
        (now, who, act, text, count),
    )
