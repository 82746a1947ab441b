"""Recovery when a spool is opened: the last column of the crash table.

Everything here runs in the writer's thread before the first message is received.  Sentences say what was found.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from posthouse.core import SettingError
from posthouse.spool.ids import made_at, text_of, worker_of
from posthouse.spool.sqlite.leases import LeaseTable
from posthouse.spool.sqlite.migrations import migrate
from posthouse.spool.sqlite.ownership import refuse_other
from posthouse.spool.sqlite.settle import Settler
from posthouse.spool.sqlite.storage.durability import Durable, is_damage, keep_open
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner
from posthouse.spool.sqlite.storage.layout import Layout, ProcessSlot, complaint_about, strays
from posthouse.spool.sqlite.storage.lost import delete_old, put_aside, take_back
from posthouse.spool.sqlite.storage.schema import VERSION, connect, create, refuse_newer

T = TypeVar("T")

__all__ = ["check_database", "disconnect", "greatest_id", "in_transaction", "open_database", "recover"]

_CHECKED = 2.0  # seconds
_CHECK_STEPS = 10_000  # of SQLite's machine, some tenths of a millisecond


def open_database(layout: Layout, durable: Durable, kind: str = "") -> sqlite3.Connection:
    """Connect, and make the tables if there are none, or bring older ones up to date.

    Raises ``SettingError``: if the database is damaged, belongs to the other ``kind``, or lacks the rows of content
    files that lie beside it.
    """
    path = layout.database
    connection: sqlite3.Connection | None = None
    if not os.path.exists(path):
        _refuse_without_rows(layout, f"{os.path.basename(path)} is missing")
    # SQLite gives the log the permissions of the database, and creates that by the process's mask.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        leave_to_owner(path)
    try:
        connection = connect(path, shared=durable.shared)
        version = refuse_newer(connection, path)
        if version == VERSION:
            refuse_other(connection, kind, path, marked=True)
        else:
            connection.execute("BEGIN IMMEDIATE")
            version = refuse_newer(connection, path)
            if version == 0:  # nobody else has made them meanwhile
                name = os.path.basename(path)
                _refuse_without_rows(layout, f"{name} has no tables, which are in {name}-wal")
                create(connection)
            else:
                refuse_other(connection, kind, path, marked=version == VERSION)
                if version < VERSION:
                    migrate(connection, version)
            durable.commit(connection)
            durable.sync_directory(layout.root)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        if is_damage(error):
            raise _damaged(path, str(error)) from error
        raise SettingError(
            f"the spool cannot be opened: {error}",
            where=path,
            remedy="see that the disk has room and that the file belongs to this user",
        ) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def disconnect(connection: sqlite3.Connection, out_of_order: str) -> None:
    """Close the writer's connection, in its thread: after an orderly end the database is whole without its log."""
    if out_of_order:
        keep_open(connection)  # its paths may lead to another spool, whose log SQLite would remove
        return
    with contextlib.suppress(sqlite3.Error):  # the next start reads the log
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _refuse_without_rows(layout: Layout, cause: str) -> None:
    """Refuse to make tables where content files say that there were some, and no table would know the files."""
    count = sum(1 for _ in strays(*_shelves(layout)))
    if count:
        name = os.path.basename(layout.database)
        raise SettingError(
            f"{cause}, and beside it {'is' if count == 1 else 'are'} {_many(count, 'content file')} of mail",
            where=layout.root,
            remedy=f"restore {name} and {name}-wal, or move {layout.content} away to begin with an empty spool",
        )


def _damaged(path: str, how: str) -> SettingError:
    return SettingError(
        f"the spool's database is damaged ({how})",
        where=path,
        remedy="copy the spool, and restore a backup or run `sqlite3 queue.sqlite3 .recover`",
    )


def check_database(connection: sqlite3.Connection, layout: Layout) -> None:
    """Look for damage, for 2 s at most: a large spool is looked through in part.  Raises ``SettingError``."""
    deadline = time.monotonic() + _CHECKED
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_STEPS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_INTERRUPT:
            return
        if is_damage(error):
            raise _damaged(layout.database, str(error)) from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise _damaged(layout.database, str(found).replace("\n", " "))


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
    for slot in sorted(in_transaction(connection, durable, leases.leased_slots)):
        with owner.dead(slot) as dead:
            if dead:
                in_transaction(connection, durable, partial(leases.clear_slot, slot=slot, now=now))
    said += [event.text for event in leases.deaths.take_events()]
    files = in_transaction(connection, durable, partial(settler.purge, now=now, at_most=1 << 30))
    for number in files:
        durable.unlink(layout.content_of(number))
    said += _sweep(connection, layout, owner, durable)
    said += _look_for_corrupt(connection, layout, leases, durable)
    return said


def in_transaction(connection: sqlite3.Connection, durable: Durable, act: Callable[[sqlite3.Connection], T]) -> T:
    """The result of ``act`` in a transaction of its own."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = act(connection)
        durable.commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _shelves(layout: Layout) -> list[str]:
    shelves = [os.path.join(layout.content, name) for name in sorted(os.listdir(layout.content))]
    return [each for each in shelves if os.path.isdir(each)]


def _sweep(connection: sqlite3.Connection, layout: Layout, owner: ProcessSlot, durable: Durable) -> list[str]:
    """S1 and S2: files of dead owners that nothing promises, as far as the database knows."""
    arriving = 0
    unknown: list[tuple[int, str]] = []
    by_slot: dict[int, list[tuple[int, str, bool]]] = {}
    for number, path in strays(layout.tmp):
        by_slot.setdefault(worker_of(number), []).append((number, path, True))
    for number, path in strays(*_shelves(layout)):
        if not _is_known(connection, number):
            by_slot.setdefault(worker_of(number), []).append((number, path, False))
    for slot, found in by_slot.items():
        with owner.dead(slot) as dead:
            for number, path, temporary in found if dead else ():
                if temporary:
                    arriving += 1
                    durable.unlink(path)
                # Its owner may have lived, and promised it, when the row was first looked for.
                elif not _is_known(connection, number):
                    unknown.append((number, path))
    said = []
    if arriving:
        said.append(f"{_many(arriving, 'content')} that had not arrived completely removed")
    if unknown:
        durable.sync_log(connection)  # who erased the row may not have: the row must not come back alone
        moved = put_aside(layout, unknown, durable)
        if moved:
            said.append(
                f"{_many(moved, 'content')} without a row in the database moved to {layout.lost}; a crash leaves a"
                " few, about which nothing was promised; if there are many, the database is not the one they belong to"
            )
    deleted = delete_old(layout, durable, made_at(greatest_id(connection)))
    if deleted:
        said.append(f"{_many(deleted, 'content')} deleted from {layout.lost}, without a row for more than 7 days")
    return said


def _is_known(connection: sqlite3.Connection, number: int) -> bool:
    return connection.execute("SELECT 1 FROM file WHERE id = ?", (number,)).fetchone() is not None


def _look_for_corrupt(
    connection: sqlite3.Connection, layout: Layout, leases: LeaseTable, durable: Durable
) -> list[str]:
    """The line that is impossible: rows whose content is not there."""
    said = []
    returned = 0
    known = {number for (number,) in connection.execute("SELECT message FROM corrupt")}
    for number, size in connection.execute("SELECT id, size FROM file").fetchall():
        reason = complaint_about(layout.content_of(number), size)
        if not reason:
            continue
        if not _is_known(connection, number):
            continue  # a living process erased it meanwhile, rows first and file second
        if take_back(layout, number, size, durable):
            returned += 1
            continue
        if not complaint_about(layout.content_of(number), size):
            continue  # another worker has moved it back
        is_message = connection.execute("SELECT 1 FROM message WHERE id = ?", (number,)).fetchone() is not None
        if is_message and number not in known:
            in_transaction(connection, durable, partial(leases.mark_corrupt, number=number, reason=reason))
        kind = "message" if is_message else "mailbox message with content"
        said.append(f"{kind} {text_of(number)} is corrupt and kept as it is: {reason}; restore the file from a backup")
    if returned:
        said.append(f"{_many(returned, 'content')} moved back from {layout.lost}, as the database has the rows again")
    return said


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
