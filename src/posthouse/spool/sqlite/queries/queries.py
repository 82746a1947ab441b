"""The part of the SQLite queue that people look at: each method asks the reader, none of them writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from posthouse.core import Content
from posthouse.spool.filters import Condition, RecipientRow, SummaryRow
from posthouse.spool.history import Event, MessageSummary
from posthouse.spool.ids import number_of
from posthouse.spool.model import AuditRecord, Inbox, InboxMessage, MessageEntry
from posthouse.spool.sqlite.queries import search as asking
from posthouse.spool.sqlite.queries.reader import Reader

__all__ = ["SpoolQueries"]


class SpoolQueries:
    """Listings, questions and stories, from ``reader``."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def entries(self, *, limit: int = 1000, after: str = "") -> list[MessageEntry]:
        return await self._reader.entries(limit, after)

    async def entry(self, queue_id: str) -> MessageEntry | None:
        number = number_of(queue_id)
        return None if number is None else await self._reader.entry(number)

    # -- questions -------------------------------------------------------------------------------------------------

    async def count(self, conditions: Sequence[Condition] = (), *, now: float = 0.0) -> int:
        return await self._reader.search(partial(asking.count, conditions=conditions, now=now))

    async def select(
        self,
        conditions: Sequence[Condition] = (),
        *,
        now: float = 0.0,
        limit: int = 1000,
        after: tuple[str, int] | None = None,
    ) -> list[RecipientRow]:
        ask = partial(asking.select, conditions=conditions, now=now, limit=limit, after=after)
        return await self._reader.search(ask)

    async def summary(self, conditions: Sequence[Condition] = (), *, now: float) -> list[SummaryRow]:
        return await self._reader.search(partial(asking.summary, conditions=conditions, now=now))

    async def audit(self, *, limit: int = 100) -> list[AuditRecord]:
        return await self._reader.search(partial(asking.audit, limit=limit))

    # -- stories ---------------------------------------------------------------------------------------------------

    async def history(self, queue_id: str) -> list[Event]:
        number = number_of(queue_id)
        return [] if number is None else await self._reader.search(partial(asking.story, number=number))

    async def find(self, *, address: str = "", message_id: str = "", limit: int = 20) -> list[MessageSummary]:
        ask = partial(asking.find, address=address, message_id=message_id, limit=limit)
        return await self._reader.search(ask)

    # -- mailboxes -------------------------------------------------------------------------------------------------

    async def inboxes(self) -> list[Inbox]:
        return await self._reader.inboxes()

    async def inbox(self, name: str = "", *, limit: int = 1000, after: int = 0) -> list[InboxMessage]:
        return await self._reader.inbox(name, limit, after)

    async def kept(self, number: int) -> tuple[InboxMessage, Content] | None:
        return await self._reader.kept(number)
