"""Listing of all messages that a spool has yet to deliver, for tests; made of the contract's queries."""

from __future__ import annotations

from posthouse.spool.interface import MessageEntry, Spool

__all__ = ["unfinished"]

_PAGE = 10_000  # recipients that one query gives


async def unfinished(spool: Spool) -> list[MessageEntry]:
    """Messages with a recipient that is not settled, oldest first."""
    ids: dict[str, None] = {}
    after: tuple[str, int] | None = None
    while True:
        page = await spool.queries.select(limit=_PAGE, after=after)
        ids.update((row.id, None) for row in page)
        if len(page) < _PAGE:
            break
        after = page[-1].id, page[-1].key
    found = [await spool.queries.entry(each) for each in ids]
    return [entry for entry in found if entry is not None]
