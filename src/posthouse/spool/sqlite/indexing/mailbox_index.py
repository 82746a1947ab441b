"""The mail index of the SQLite spool: its connections, its threads, and how it follows the spool.

One connection writes and one reads, each in a thread of its own; they are opened at first use.  Other processes may
have the index open too: each change is one short transaction under SQLite's lock, and indexing a place twice changes
nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, TypeVar

from posthouse.core import LocalError, StorageError
from posthouse.spool.history import Event
from posthouse.spool.mail_index import (
    Deletion,
    Digest,
    IndexState,
    MailDigest,
    MailPage,
    MailPlace,
    MailRow,
    MailTerm,
    MailView,
)
from posthouse.spool.model import InboxMessage
from posthouse.spool.sqlite.indexing import index_search, index_writes
from posthouse.spool.sqlite.indexing.index_schema import open_index, open_index_reader
from posthouse.spool.sqlite.queries.reader import SqliteQueries
from posthouse.spool.sqlite.storage.durability import storage_error
from posthouse.spool.sqlite.storage.threads import Threads

__all__ = ["SqliteMailIndex"]

T = TypeVar("T")

_STEP: Final = 50  # places indexed in one transaction
_LARGEST: Final = 4 << 20  # octets of a message that are read for its digest; a part beyond them is not in lists
_PIECE: Final = 500  # messages that one transaction of a user's change takes
_UNREADABLE: Final = "(this message cannot be read)"


class SqliteMailIndex:
    """``MailIndex`` in the file ``path``, following the mailboxes that ``queries`` lists."""

    def __init__(self, path: str, queries: SqliteQueries, threads: Threads) -> None:
        self._path = path
        self._queries = queries
        self._writes = threads.pool(1, "posthouse-index")
        self._reads = threads.pool(1, "posthouse-index-reader")
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._following = asyncio.Lock()
        self._opened = self._closed = False

    async def close(self) -> None:
        """Close the connections, each in its thread; what is under way there is finished first."""
        self._closed = True
        run = asyncio.get_running_loop().run_in_executor
        if self._opened:
            await run(self._reads, self._close_reading)
            await run(self._writes, self._close_writing)
        self._writes.shutdown(wait=False)
        self._reads.shutdown(wait=False)

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _close_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _must_be_open(self) -> None:
        if self._closed:
            raise LocalError("the spool of this mail index is closed")

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        def answer() -> T:
            self._must_be_open()
            try:
                if self._reading is None:
                    self._reading = open_index_reader(self._path)
                self._reading.execute("BEGIN")
                try:
                    return question(self._reading)
                finally:
                    if self._reading.in_transaction:
                        self._reading.execute("ROLLBACK")
            except (sqlite3.Error, OSError) as error:
                raise storage_error(error, "reading the mail index") from error

        if not self._opened:
            await self._change(lambda connection: None)  # makes the file
        return await asyncio.get_running_loop().run_in_executor(self._reads, answer)

    async def _change(self, change: Callable[[sqlite3.Connection], T]) -> T:
        def answer() -> T:
            self._must_be_open()
            try:
                if self._writing is None:
                    self._writing = open_index(self._path)
                self._writing.execute("BEGIN IMMEDIATE")
                try:
                    made = change(self._writing)
                    self._writing.execute("COMMIT")
                    return made
                except BaseException:
                    if self._writing.in_transaction:
                        self._writing.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise storage_error(error, "writing the mail index") from error

        self._must_be_open()
        self._opened = True
        return await asyncio.get_running_loop().run_in_executor(self._writes, answer)

    # -- following the spool -----------------------------------------------------------------------------------------

    async def follow(self, digest: Digest, *, limit: int) -> IndexState:
        async with self._following:
            last = await self._ask(index_writes.reached)
            left = limit
            while True:
                waiting = await self._queries.inbox(limit=min(_STEP, max(left, 1)), after=last)
                if not waiting:
                    return IndexState(last, 0)
                if left <= 0:
                    return IndexState(last, await self._queries.kept_after(last))
                found = []
                for message in waiting:
                    digested = await self._digested(digest, message)
                    if digested is not None:
                        found.append((message, digested))
                last = waiting[-1].number
                left -= len(waiting)
                await self._change(partial(index_writes.add, found=found, last=last))

    async def _digested(self, digest: Digest, message: InboxMessage) -> MailDigest | None:
        """The digest of a message; None if it is gone."""
        try:
            kept = await self._queries.kept(message.number)
            if kept is None:
                return None
            chunks, size = [], 0
            content = kept[1]

            def read() -> bytes:
                nonlocal size
                for chunk in content.chunks():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size >= _LARGEST:
                        break
                return b"".join(chunks)

            events = await self._queries.history(message.queue_id)
            return await asyncio.get_running_loop().run_in_executor(
                self._writes, lambda: _guarded(digest, message, read(), events)
            )
        except StorageError as error:
            return MailDigest(author=message.sender, subject=_UNREADABLE, preview=str(error))

    async def rebuild(self) -> None:
        await self._change(index_writes.clear)

    # -- questions ---------------------------------------------------------------------------------------------------

    async def views(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> list[MailView]:
        return await self._ask(partial(index_search.views, prefix=prefix, limit=limit, after=after))

    async def view(self, name: str) -> MailView:
        return await self._ask(partial(index_search.view, name=name))

    async def search(
        self, view: str, terms: Sequence[MailTerm] = (), *, limit: int = 50, before: int = 0, after: int = 0
    ) -> MailPage:
        ask = partial(index_search.search, view=view, terms=terms, limit=limit, before=before, after=after)
        return await self._ask(ask)

    async def count(self, view: str, terms: Sequence[MailTerm] = ()) -> tuple[MailView, bool]:
        return await self._ask(partial(index_search.count, name=view, terms=terms))

    async def row(self, number: int) -> MailRow | None:
        return await self._ask(partial(index_search.row, number=number))

    async def by_queue_id(self, queue_id: str) -> MailRow | None:
        return await self._ask(partial(index_search.by_queue_id, queue_id=queue_id))

    async def places(self, inbox: str = "", *, limit: int = 1000, after: int = 0) -> list[tuple[MailPlace, MailRow]]:
        return await self._ask(partial(index_search.places, inbox=inbox, limit=limit, after=after))

    async def deletions(self, *, now: float) -> list[Deletion]:
        return await self._ask(partial(index_search.deletions, now=now))

    async def final(self, *, now: float, limit: int, deletion: int = 0) -> list[tuple[Deletion, int]]:
        return await self._ask(partial(index_search.final, now=now, limit=limit, deletion=deletion))

    async def oldest(self, *, limit: int) -> list[MailRow]:
        return await self._ask(partial(index_search.oldest, limit=limit))

    # -- changes -----------------------------------------------------------------------------------------------------

    async def mark(self, numbers: Collection[int], *, unread: bool) -> int:
        changed = 0
        for some in _pieces(numbers):
            changed += await self._change(partial(index_writes.mark, numbers=some, unread=unread))
        return changed

    async def tag(self, numbers: Collection[int], tags: Collection[str], *, remove: bool = False) -> int:
        changed = 0
        for some in _pieces(numbers):
            changed += await self._change(partial(index_writes.tag, numbers=some, tags=tags, remove=remove))
        return changed

    async def delete(
        self,
        numbers: Collection[int],
        *,
        now: float,
        final: float,
        who: str = "",
        inbox: str = "",
        into: Deletion | None = None,
        places: bool = False,
    ) -> Deletion:
        for some in _pieces(numbers) or [[]]:
            into = await self._change(
                partial(
                    index_writes.delete,
                    numbers=some,
                    inbox=inbox,
                    now=now,
                    final=final,
                    who=who,
                    into=into,
                    places=places,
                )
            )
        assert into is not None
        return into

    async def undo(self, deletion: int, *, now: float) -> int:
        return await self._change(partial(index_writes.undo, deletion=deletion, now=now))

    async def forget(self, places: Collection[int]) -> None:
        for some in _pieces(places):
            await self._change(partial(index_writes.forget, places=some))


def _pieces(numbers: Collection[int]) -> list[list[int]]:
    every = list(dict.fromkeys(numbers))
    return [every[at : at + _PIECE] for at in range(0, len(every), _PIECE)]


def _guarded(digest: Digest, message: InboxMessage, octets: bytes, events: Sequence[Event]) -> MailDigest:
    """The digest; a message that a reader stumbles over is listed all the same, and indexing goes on behind it."""
    try:
        return digest(message, octets, events)
    except Exception as error:
        return MailDigest(author=message.sender, subject=_UNREADABLE, preview=f"{type(error).__name__}: {error}"[:200])
