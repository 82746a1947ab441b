"""What happens when a spool is opened: the last column of the crash table.

All of it runs before the first message is taken, in the writer's thread.  Sentences say what was found.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from posthouse.core import SettingError
from posthouse.spool.ids import text_of, worker_of
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.migrations import migrate
from posthouse.spool.sqlite.settle import Settler
from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.layout import Layout, ProcessSlot, complaint_about, strays
from posthouse.spool.sqlite.storage.schema import VERSION, connect, create, refuse_newer

T = TypeVar("T")

__all__ = ["greatest_id", "open_database", "recover"]


def open_database(layout: Layout, durable: Durable) -> sqlite3.Connection:
    """Connect, and make the tables if there are none, or bring older ones up to date.  Raises ``SettingError``."""
    path = layout.database
    connection: sqlite3.Connection | None = None
    # SQLite gives the log the permissions of the database, and creates that by the process's mask.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection = connect(path, shared=durable.shared)
        if refuse_newer(connection, path) < VERSION:
            connection.execute("BEGIN IMMEDIATE")
            version = refuse_newer(connection, path)
            if version == 0:  # nobody else has made them meanwhile
                create(connection)
            elif version < VERSION:
                migrate(connection, version)
            durable.commit(connection)
            durable.sync_directory(layout.root)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise SettingError(
            f"the spool cannot be opened: {error}",
            where=path,
            remedy="see that the disk has room and the file belongs to this user; if it is damaged, restore a backup",
        ) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def greatest_id(connection: sqlite3.Connection) -> int:
    """The greatest queue id's number that is stored, so that new ones exceed it."""
    (message,) = connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
    (history,) = connection.execute("SELECT coalesce(max(id), 0) FROM story").fetchone()
    (file,) = connection.execute("SELECT coalesce(max(id), 0) FROM file").fetchone()
    return max(int(message), int(history), int(file))


def recover(
    connection: sqlite3.Connection,
    layout: Layout,
    owner: ProcessSlot,
    leases: LeaseTable,
    settler: Settler,
    durable: Durable,
    now: float,
) -> list[str]:
    """Bring what a crash left into order; returns sentences about it."""
    said: list[str] = []
    for slot in sorted(_in_transaction(connection, durable, leases.leased_slots)):
        with owner.dead(slot) as dead:
            if dead:
                _in_transaction(connection, durable, partial(leases.clear_slot, slot=slot, now=now))
    said += [event.text for event in leases.deaths.take_events()]
    files = _in_transaction(connection, durable, partial(settler.purge, now=now, at_most=1 << 30))
    for number in files:
        durable.unlink(layout.content_of(number))
    said += _sweep(connection, layout, owner, durable)
    said += _look_for_corrupt(connection, layout, leases, durable)
    return said


def _in_transaction(connection: sqlite3.Connection, durable: Durable, act: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = act(connection)
        durable.commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _sweep(connection: sqlite3.Connection, layout: Layout, owner: ProcessSlot, durable: Durable) -> list[str]:
    """S1 and S2: files of dead owners that nothing promises."""
    arriving = promised_nowhere = 0
    by_slot: dict[int, list[tuple[int, str, bool]]] = {}
    for number, path in strays(layout.tmp):
        by_slot.setdefault(worker_of(number), []).append((number, path, True))
    content = layout.content
    shelves = [os.path.join(content, name) for name in sorted(os.listdir(content))]
    for number, path in strays(*filter(os.path.isdir, shelves)):
        if connection.execute("SELECT 1 FROM file WHERE id = ?", (number,)).fetchone() is None:
            by_slot.setdefault(worker_of(number), []).append((number, path, False))
    for slot, found in by_slot.items():
        with owner.dead(slot) as dead:
            for number, path, temporary in found if dead else ():
                if temporary:
                    arriving += 1
                # Its owner may have lived, and promised it, when the row was first looked for.
                elif connection.execute("SELECT 1 FROM file WHERE id = ?", (number,)).fetchone() is None:
                    promised_nowhere += 1
                    durable.sync_log(connection)  # who erased the row may not have: the row must not come back alone
                else:
                    continue
                durable.unlink(path)
    said = []
    if arriving:
        said.append(f"{_many(arriving, 'content')} that had not arrived completely removed")
    if promised_nowhere:
        said.append(f"{_many(promised_nowhere, 'content')} that nothing was promised about removed")
    return said


def _look_for_corrupt(
    connection: sqlite3.Connection, layout: Layout, leases: LeaseTable, durable: Durable
) -> list[str]:
    """The line that is impossible: rows whose content is not there."""
    said = []
    known = {number for (number,) in connection.execute("SELECT message FROM corrupt")}
    for number, size in connection.execute("SELECT id, size FROM file").fetchall():
        reason = complaint_about(layout.content_of(number), size)
        if not reason:
            continue
        if connection.execute("SELECT 1 FROM file WHERE id = ?", (number,)).fetchone() is None:
            continue  # a living process erased it meanwhile, rows first and file second
        is_message = connection.execute("SELECT 1 FROM message WHERE id = ?", (number,)).fetchone() is not None
        if is_message and number not in known:
            _in_transaction(connection, durable, partial(leases.mark_corrupt, number=number, reason=reason))
        kind = "message" if is_message else "mailbox message with content"
        said.append(f"{kind} {text_of(number)} is corrupt and kept as it is: {reason}; restore the file from a backup")
    return said


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
