"""Older spools brought up to date, in place and in one transaction.

Format 1 had no history, and a recipient's row did not repeat what is asked of its message.  Format 2 had no fresh
messages with several destinations, and stored each recipient's result apart: its rows are read as they are.
Format 3 had no prefixes in front of content files, and no
fencing tokens of leases.  Format 4 did not know whose mail it holds.
"""

from __future__ import annotations

import sqlite3

from posthouse.core import path_text
from posthouse.spool.history import QueueEvent, encode, packed_note
from posthouse.spool.model import StoredMessage
from posthouse.spool.sqlite.history_store import history_row
from posthouse.spool.sqlite.rows import decode_envelope
from posthouse.spool.sqlite.storage.schema import HISTORIES, META, RECIPIENT, RECIPIENT_INDICES, VERSION

__all__ = ["migrate"]

_BATCH = 1000
_OLD = "SELECT id, until, received, size, source, head FROM message WHERE id > ? ORDER BY id LIMIT ?"
_COPY = (
    "INSERT INTO recipient SELECT message, nth, destination, state, attempts, due, ready, slot, owner, last,"
    " ?, ?, ?, ?, '', 0, 0 FROM old_recipient WHERE message = ? AND nth = ?"
)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """From ``version`` to ours, within the caller's transaction."""
    if version == 1:
        _write_histories(connection)
    if version < 4:
        if version > 1:
            connection.execute("ALTER TABLE recipient ADD COLUMN token INTEGER NOT NULL DEFAULT 0")
        connection.execute("ALTER TABLE file ADD COLUMN prefix BLOB NOT NULL DEFAULT x''")
    connection.execute(META)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _write_histories(connection: sqlite3.Connection) -> None:
    """From 1 to 2."""
    connection.execute("ALTER TABLE message ADD COLUMN told TEXT")
    connection.execute("ALTER TABLE recipient RENAME TO old_recipient")
    for index in ("recipient_ready", "recipient_slot"):
        connection.execute(f"DROP INDEX {index}")
    connection.execute(RECIPIENT)
    for statement in HISTORIES:
        connection.execute(statement)
    behind = 0
    while rows := connection.execute(_OLD, (behind, _BATCH)).fetchall():
        behind = rows[-1][0]
        for number, until, received, size, source, head in rows:
            if until is None:  # a fresh one has no recipient rows, and its own row has its history
                _bring(connection, number, StoredMessage("", decode_envelope(head), received, size, source))
    connection.execute("DROP TABLE old_recipient")
    for statement in RECIPIENT_INDICES:
        connection.execute(statement)


def _bring(connection: sqlite3.Connection, number: int, message: StoredMessage) -> None:
    sender = path_text(message.envelope.sender)
    connection.executemany(
        _COPY,
        [
            (message.received, message.size, sender, str(recipient.address), number, nth)
            for nth, recipient in enumerate(message.envelope.recipients)
        ],
    )
    connection.execute("INSERT INTO story VALUES (?, ?, ?, ?, ?)", history_row(number, message, None))
    last = connection.execute(
        "SELECT nth, due, last FROM recipient WHERE message = ? AND last <> '' ORDER BY nth", (number,)
    ).fetchall()
    notes = [packed_note(QueueEvent(due, "attempted", (nth,), "", text)) for nth, due, text in last]
    if notes:
        connection.execute("INSERT INTO event VALUES (?, 0, ?)", (number, encode(notes)))
