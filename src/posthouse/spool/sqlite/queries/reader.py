"""The reader of the SQLite spool, beside its writer: content, listings and searches, also while no daemon runs.

SQLite's log lets a reader see the last commit while the next is written, from this process or another.  Listings run
in one thread of their own; small contents are fetched at once, by key, in some tens of microseconds.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from posthouse.core import Bytes, Content, SettingError, StorageCorrupt, StorageError
from posthouse.spool.filters import Condition, LargestDestinations, RecipientRow, SummaryRow
from posthouse.spool.history import Event, MessageSummary
from posthouse.spool.ids import number_of, text_of
from posthouse.spool.model import (
    AuditRecord,
    DueDestination,
    DuePage,
    Inbox,
    InboxMessage,
    MessageEntry,
    QueuedRecipient,
    StoredMessage,
)
from posthouse.spool.sqlite.queries import search
from posthouse.spool.sqlite.rows import STATES, WAITING, decode_envelope, destinations_of
from posthouse.spool.sqlite.statements import SQL
from posthouse.spool.sqlite.storage.durability import damaged, is_damage, storage_error
from posthouse.spool.sqlite.storage.layout import FileContent, Layout
from posthouse.spool.sqlite.storage.lost import lost_contents
from posthouse.spool.sqlite.storage.schema import connect_readers
from posthouse.spool.sqlite.storage.threads import Threads

__all__ = ["Reader", "SqliteQueries"]

T = TypeVar("T")

_CONTENT_THREADS = 4  # that read content files

_MESSAGE = "id, until, due, destination, received, size, source, head"
_INBOX = "number, name, message, sender, received, size"


class Reader:
    """Three read-only connections.  Listings and searches each have a thread, so that a search keeps no worker waiting;
    content is read by the caller.

    ``layout`` names the spool; ``open`` raises ``SettingError`` if there is none.
    """

    def __init__(self, layout: Layout, threads: Threads) -> None:
        self._layout = layout
        self._threads = threads
        self._damaged: Callable[[str], None] | None = None
        self._executor = threads.pool(1, "posthouse-reader")
        self._searches = threads.pool(1, "posthouse-searches")
        self._files = threads.pool(_CONTENT_THREADS, "posthouse-content")
        self._listing: sqlite3.Connection | None = None
        self._searching: sqlite3.Connection | None = None
        self._content: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def open(self, damaged: Callable[[str], None] | None = None) -> None:
        """Open them.  ``damaged`` is called, in any thread, with a sentence if the database proves to be damaged."""
        self._damaged = damaged
        self._threads.start(self._executor, self._searches, self._files)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    def _open(self) -> None:
        path = self._layout.database
        try:
            os.stat(path)
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, "it may not be read", path)
        except PermissionError as error:
            raise SettingError(
                f"this spool may not be read by uid {os.geteuid()}",
                where=path,
                remedy="run the command as root or as the daemon's user",
            ) from error
        except OSError:
            raise SettingError(
                "there is no spool here",
                where=path,
                remedy="start a daemon, as `posthouse run` does, or name the data_dir of the daemon that you want",
            ) from None
        try:
            self._listing, self._searching, self._content = connect_readers(path)
        except sqlite3.Error as error:
            if is_damage(error):
                raise SettingError(
                    f"the spool's database is damaged ({error})",
                    where=path,
                    remedy="copy the spool, and restore a backup or run `sqlite3 queue.sqlite3 .recover`",
                ) from error
            raise SettingError(
                f"the spool cannot be read: {error}", where=path, remedy="read it as the user that runs the daemon"
            ) from error

    def _error(self, error: sqlite3.Error, doing: str) -> StorageError:
        if self._damaged is not None and is_damage(error):
            self._damaged(damaged(error))
        return storage_error(error, doing)

    async def close(self) -> None:
        """Close them; what is being listed is finished first."""
        if self._listing is None:  # never opened, perhaps for want of threads
            self._close()
            return
        await asyncio.get_running_loop().run_in_executor(self._threads.blocking, self._close)

    def _close(self) -> None:
        self._executor.shutdown()
        self._searches.shutdown()
        self._files.shutdown()
        with self._lock:
            for connection in (self._listing, self._searching, self._content):
                if connection is not None:
                    connection.close()
            self._listing = self._searching = self._content = None

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        def answer() -> T:
            assert self._listing is not None
            try:
                return _at_one_moment(self._listing, question)
            except sqlite3.Error as error:
                raise self._error(error, "reading the spool") from error

        return await asyncio.get_running_loop().run_in_executor(self._executor, answer)

    async def search(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of a query that may take long, from the thread of searches."""

        def answer() -> T:
            assert self._searching is not None
            try:
                return _at_one_moment(self._searching, question)
            except sqlite3.Error as error:
                raise self._error(error, "searching the spool") from error

        return await asyncio.get_running_loop().run_in_executor(self._searches, answer)

    # -- content ---------------------------------------------------------------------------------------------------

    def content_in_row(self, number: int) -> Bytes | None:
        """A message's content, None if it is in a file.  Raises ``StorageCorrupt`` if it is gone."""
        row = self._one("SELECT content FROM message WHERE id = ?", number)
        if row is None:
            raise StorageCorrupt(f"there is no message {text_of(number)} in the spool")
        return None if row[0] is None else Bytes(row[0])

    async def content_in_file(self, number: int, size: int) -> FileContent:
        """A message's content that is in a file.  Raises ``StorageCorrupt`` if it is gone."""
        filed = self._one("SELECT prefix FROM file WHERE id = ?", number)
        prefix = b"" if filed is None else filed[0]
        path = self._layout.content_of(number)
        opening = partial(FileContent, path, size - len(prefix), prefix, self._files)
        return await asyncio.get_running_loop().run_in_executor(self._files, opening)

    def _one(self, statement: str, number: int) -> tuple[Any, ...] | None:
        with self._lock:
            assert self._content is not None
            try:
                row = self._content.execute(statement, (number,)).fetchone()
            except sqlite3.Error as error:
                raise self._error(error, "reading content") from error
        return None if row is None else tuple(row)

    # -- listings --------------------------------------------------------------------------------------------------

    async def due(self, limit: int, after: DueDestination | None) -> tuple[DuePage, float]:
        """A page of destinations, with the end of the first lease taken by a commit; and when the destination is due
        that is due last."""
        behind = (-math.inf, "") if after is None else (after.ready, after.name)

        def ask(connection: sqlite3.Connection) -> tuple[DuePage, float]:
            (fresh,) = connection.execute(SQL.FIRST_FRESH).fetchone()
            page = tuple(map(DueDestination._make, connection.execute(SQL.DUE_PAGE, (*behind, limit))))
            (latest,) = connection.execute(SQL.LATEST).fetchone()
            return DuePage(page, fresh), -math.inf if latest is None else latest

        return await self._ask(ask)

    async def lost(self) -> int:
        """The number of lost contents."""
        return await self._ask(lambda _: len(lost_contents(self._layout)))

    async def entry(self, number: int) -> MessageEntry | None:

        def ask(connection: sqlite3.Connection) -> MessageEntry | None:
            row = connection.execute(f"SELECT {_MESSAGE} FROM message WHERE id = ?", (number,)).fetchone()
            return None if row is None else _entry(connection, row)

        return await self._ask(ask)

    # -- mailboxes -------------------------------------------------------------------------------------------------

    async def inboxes(self) -> list[Inbox]:

        def ask(connection: sqlite3.Connection) -> list[Inbox]:
            return [
                Inbox(*row)
                for row in connection.execute("SELECT name, count(*), sum(size) FROM inbox GROUP BY name ORDER BY name")
            ]

        return await self._ask(ask)

    async def inbox(self, name: str, limit: int, after: int, newest: bool) -> list[InboxMessage]:

        def ask(connection: sqlite3.Connection) -> list[InboxMessage]:
            named, values = ("name = ? AND ", (name,)) if name else ("", ())
            order = "number DESC" if newest else "number"
            statement = f"SELECT {_INBOX} FROM inbox WHERE {named}number > ? ORDER BY {order} LIMIT ?"
            rows = connection.execute(statement, (*values, after, limit)).fetchall()
            return [InboxMessage(*row) for row in (reversed(rows) if newest else rows)]

        return await self._ask(ask)

    async def kept_after(self, number: int) -> int:
        """How many mailbox messages have numbers above this one."""
        statement = "SELECT count(*) FROM inbox WHERE number > ?"
        return await self._ask(lambda connection: int(connection.execute(statement, (number,)).fetchone()[0]))

    async def kept(self, number: int) -> tuple[InboxMessage, Content] | None:

        def ask(connection: sqlite3.Connection) -> tuple[InboxMessage, Content] | None:
            row = connection.execute(
                f"SELECT {_INBOX}, file, content FROM inbox WHERE number = ?", (number,)
            ).fetchone()
            if row is None:
                return None
            *fields, file, content = row
            message = InboxMessage(*fields)
            if content is not None:
                return message, Bytes(content)
            return message, FileContent(self._layout.content_of(file), message.size, executor=self._files)

        return await self._ask(ask)


class SqliteQueries:
    """``SpoolQueries`` of the SQLite spool, answered by ``reader``."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def entry(self, queue_id: str) -> MessageEntry | None:
        number = number_of(queue_id)
        return None if number is None else await self._reader.entry(number)

    # -- questions -------------------------------------------------------------------------------------------------

    async def count(self, conditions: Sequence[Condition] = (), *, now: float = 0.0) -> int:
        return await self._reader.search(partial(search.count, conditions=conditions, now=now))

    async def select(
        self,
        conditions: Sequence[Condition] = (),
        *,
        now: float = 0.0,
        limit: int = 1000,
        after: tuple[str, int] | None = None,
        before: tuple[str, int] | None = None,
        newest: bool = False,
    ) -> list[RecipientRow]:
        if newest:
            latest = partial(search.select_newest, conditions=conditions, now=now, limit=limit, before=before)
            return await self._reader.search(latest)
        ask = partial(search.select, conditions=conditions, now=now, limit=limit, after=after)
        return await self._reader.search(ask)

    async def summary(self, conditions: Sequence[Condition] = (), *, now: float) -> list[SummaryRow]:
        return await self._reader.search(partial(search.summary, conditions=conditions, now=now))

    async def largest(self, conditions: Sequence[Condition] = (), *, now: float, limit: int) -> LargestDestinations:
        return await self._reader.search(partial(search.largest, conditions=conditions, now=now, limit=limit))

    async def audit(self, *, limit: int = 100) -> list[AuditRecord]:
        return await self._reader.search(partial(search.audit, limit=limit))

    async def lost(self) -> int:
        return await self._reader.lost()

    # -- histories -------------------------------------------------------------------------------------------------

    async def history(self, queue_id: str) -> list[Event]:
        number = number_of(queue_id)
        return [] if number is None else await self._reader.search(partial(search.history, number=number))

    async def find(self, *, address: str = "", message_id: str = "", limit: int = 20) -> list[MessageSummary]:
        ask = partial(search.find, address=address, message_id=message_id, limit=limit)
        return await self._reader.search(ask)

    # -- mailboxes -------------------------------------------------------------------------------------------------

    async def inboxes(self) -> list[Inbox]:
        return await self._reader.inboxes()

    async def inbox(
        self, name: str = "", *, limit: int = 1000, after: int = 0, newest: bool = False
    ) -> list[InboxMessage]:
        return await self._reader.inbox(name, limit, after, newest)

    async def kept(self, number: int) -> tuple[InboxMessage, Content] | None:
        return await self._reader.kept(number)

    async def kept_after(self, number: int) -> int:
        """How many mailbox messages have numbers above this one."""
        return await self._reader.kept_after(number)


def _at_one_moment(connection: sqlite3.Connection, question: Callable[[sqlite3.Connection], T]) -> T:
    """The answer of a question whose statements all see the same commit.

    Without a transaction around them a commit may come between two statements, and a message that it moves from one
    table to another is seen twice or not at all.
    """
    connection.execute("BEGIN")
    try:
        return question(connection)
    finally:
        if connection.in_transaction:  # an error may have ended it
            connection.execute("ROLLBACK")


def _entry(connection: sqlite3.Connection, row: tuple[Any, ...]) -> MessageEntry:
    number, until, due, destination, received, size, source, head = row
    envelope = decode_envelope(head)
    message = StoredMessage(text_of(number), envelope, received, size, source)
    if until is not None:  # fresh: under its first lease, without recipient rows
        return MessageEntry(
            message,
            tuple(
                QueuedRecipient(nth, envelope.recipients[nth], name, STATES[WAITING], 0, due, active=True)
                for nth, name in enumerate(destinations_of(destination, envelope.recipients))
            ),
        )
    recipients = tuple(
        QueuedRecipient(
            nth,
            envelope.recipients[nth],
            name,
            STATES[state],
            attempts,
            due_,
            last,
            route,
            bool(warned),
            bool(active),
        )
        for nth, name, state, attempts, due_, last, route, warned, active in connection.execute(
            "SELECT nth, destination, state, attempts, due, last, route, warned, slot IS NOT NULL FROM recipient"
            " WHERE message = ? ORDER BY nth",
            (number,),
        )
    )
    corrupt = connection.execute("SELECT 1 FROM corrupt WHERE message = ?", (number,)).fetchone() is not None
    return MessageEntry(message, recipients, corrupt)
