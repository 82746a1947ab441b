"""Operations that list: the mailboxes, the views, the messages of one, and what a search finds."""

from __future__ import annotations

import difflib
from typing import Final

from posthouse.core import SettingError
from posthouse.service.inbox.mail_query import read_query
from posthouse.service.operations.base import Context, Operation, Parameter, spool_or_none
from posthouse.service.operations.inboxes.access import asked_of, counted, granted, narrowed, scope_of
from posthouse.service.operations.inboxes.indexed import (
    KINDS,
    LAST_NUMBER,
    followed,
    kind_of_view,
    label_of_view,
    view_named,
)
from posthouse.service.operations.inboxes.mail_answers import MailCount, MailListing, ViewEntry, entry_of
from posthouse.service.operations.results import InboxEntry, InboxSummary, filled
from posthouse.service.operations.spelling import as_written, inbox_name
from posthouse.spool.interface import Spool
from posthouse.spool.mail_index import ALL_MAIL, MailPlace, MailRow, MailView

__all__ = ["LISTING_OPERATIONS", "named_inbox"]

#: The most messages of one answer.
_MOST: Final = 10_000
_MOST_VIEWS: Final = 10_000
_DAMAGED: Final = "(this message cannot be read)"


async def _summary(context: Context) -> list[InboxSummary]:
    async with context.spool() as spool:
        await followed(context, spool)
        found, after = [], None
        while page := await spool.index.views(after=after, limit=1000):
            found += [
                InboxSummary(name=each.name, messages=each.messages, octets=each.octets)
                for each in page
                if kind_of_view(each.name) == "inbox" and granted(context.views, each.name)
            ]
            after = page[-1].name
        return found


async def _list(context: Context, inbox: str = "", limit: int = 1000, after: int = 0) -> list[InboxEntry]:
    async with context.spool() as spool:
        await followed(context, spool)
        name = inbox_name(inbox) if context.views is not None else await named_inbox(spool, inbox)
        limit, after = max(1, min(limit, _MOST)), max(0, min(after, LAST_NUMBER))
        if context.views is None:
            found = await spool.index.places(name, limit=limit, after=after)
        else:
            found = await _places(context, spool, name, limit, after)
        return [_entry(place, row) for place, row in found]


def _entry(place: MailPlace, row: MailRow) -> InboxEntry:
    return filled(
        InboxEntry,
        row,
        number=place.number,
        inbox=place.inbox,
        written_by=_author(row.author, row.author_address),
        subject="" if row.subject == _DAMAGED else row.subject,
        damage=row.preview if row.subject == _DAMAGED else "",
    )


async def _places(
    context: Context, spool: Spool, inbox: str, limit: int, after: int
) -> list[tuple[MailPlace, MailRow]]:
    """The newest places that may be seen, of one mailbox or of all, the oldest of them first."""
    asked, terms = scope_of(context, inbox)
    page = await spool.index.search(asked, terms, limit=limit)
    found = []
    for each in page.rows:
        row = narrowed(context, each)
        found += [
            (MailPlace(number, name), row)
            for name, number in zip(row.inboxes, row.places, strict=True)
            if number > after and inbox in ("", name)
        ]
    return sorted(found, key=lambda each: each[0].number)[-limit:]


def _author(name: str, address: str) -> str:
    return f"{name} <{address}>" if name and address and name != address else name or address


async def named_inbox(spool: Spool, inbox: str) -> str:
    """The name of the inbox that is meant; "" for all.  Raises ``SettingError`` for a name that cannot be one."""
    name = inbox_name(inbox)
    if not name or "@" in name:
        return name
    names = [each.name for each in await spool.queries.inboxes()]
    near = [each for each in names if each.rpartition("@")[0] == name]
    near = near or difflib.get_close_matches(name, [each.rpartition("@")[0] for each in names], 3)
    if near and "@" not in near[0]:
        near = [each for each in names if each.rpartition("@")[0] in near]
    hint = f"did you mean {' or '.join(map(as_written, near[:3]))}?" if near else "see `posthouse inbox summary`"
    raise SettingError(f'"{inbox}" is no inbox, whose name is an address', remedy=hint)


async def _views(
    context: Context, prefix: str = "", limit: int = 1000, after: str = "", of_each: int = 0
) -> list[ViewEntry]:
    async with spool_or_none(context) as spool:
        if spool is None:
            return []
        await followed(context, spool)
        limit = max(1, min(limit, _MOST_VIEWS))
        if of_each > 0:
            views = await _first_views(context, spool, min(of_each, _MOST_VIEWS))
        elif context.views is None:
            views = await spool.index.views(prefix, limit=limit, after=after or None)
        else:
            views = await _granted_views(context, spool, prefix, limit, after)
        return [
            ViewEntry(
                name=each.name,
                kind=kind_of_view(each.name),
                label=label_of_view(each.name),
                messages=each.messages,
                unread=each.unread,
                octets=each.octets,
            )
            for each in views
        ]


async def _first_views(context: Context, spool: Spool, most: int) -> list[MailView]:
    """That of all messages and the first views of each kind by name, so that many mailboxes hide no tag."""
    if context.views is not None:
        seen: dict[str, list[MailView]] = {}
        for each in await _granted_views(context, spool, "", _MOST_VIEWS, ""):
            seen.setdefault(kind_of_view(each.name), []).append(each)
        return [each for found in seen.values() for each in found[:most]]
    views = spool.index.views
    found, mailboxes = [await spool.index.view(ALL_MAIL)], list[MailView]()
    behind = ALL_MAIL  # mailboxes are the names between those of the other kinds
    for prefix in sorted(KINDS.values()):
        if left := most - len(mailboxes):
            mailboxes += [each for each in await views(after=behind, limit=left) if each.name < prefix]
        found += await views(prefix, limit=most)
        behind = f"{prefix}\U0010ffff"
    return [*found, *mailboxes, *await views(after=behind, limit=most - len(mailboxes))]


async def _granted_views(context: Context, spool: Spool, prefix: str, limit: int, after: str) -> list[MailView]:
    """The views that may be seen, by name; that of all messages counts those that may be."""
    found: list[MailView] = []
    if not prefix and not after:
        found.append(await counted(context, spool, ALL_MAIL))
    last: str | None = after or None
    while len(found) < limit and (page := await spool.index.views(prefix, limit=_MOST_VIEWS, after=last)):
        last = page[-1].name
        views = context.views or ()
        found += [
            each
            for each in page
            if each.name in views or (kind_of_view(each.name) == "inbox" and granted(views, each.name))
        ]
    return found[:limit]


async def _search(
    context: Context, view: str = "", query: str = "", limit: int = 50, before: int = 0, after: int = 0
) -> MailListing:
    name, terms = view_named(view), read_query(query, context.clock.time())
    limit = max(1, min(limit, _MOST))
    async with spool_or_none(context) as spool:
        if spool is None:  # before the first start of a daemon
            return MailListing(
                messages=[], before=0, view=name, query=query, total=0, total_unread=0, last=0, waiting=0
            )
        state = await followed(context, spool)
        ends = {"before": max(0, min(before, LAST_NUMBER)), "after": max(0, min(after, LAST_NUMBER))}
        asked, wanted = asked_of(context, name, terms)
        page = await spool.index.search(asked, wanted, limit=limit, **ends)
        counts = await counted(context, spool, name)
        return MailListing(
            messages=[entry_of(narrowed(context, row)) for row in page.rows],
            before=page.before,
            view=name,
            query=query,
            total=counts.messages,
            total_unread=counts.unread,
            last=state.last,
            waiting=state.waiting,
        )


async def _count(context: Context, view: str = "", query: str = "") -> MailCount:
    name, terms = view_named(view), read_query(query, context.clock.time())
    async with spool_or_none(context) as spool:
        if spool is None:
            return MailCount(messages=0, unread=0, octets=0, whole=True, last=0)
        state = await followed(context, spool)
        asked, wanted = asked_of(context, name, terms)
        counts, whole = await spool.index.count(asked, wanted)
        return MailCount(
            messages=counts.messages, unread=counts.unread, octets=counts.octets, whole=whole, last=state.last
        )


_VIEW: Final = Parameter(
    "view", "An address, @domain, tag:NAME, login:NAME or box:NAME; all messages, if empty.", str, ""
)
_QUERY: Final = Parameter("query", "Words and conditions, in the language of searches.", str, "")

#: The operations of this module.
LISTING_OPERATIONS: Final = (
    Operation(
        "inbox summary",
        "Show the inboxes and how much is in them.",
        _summary,
        list[InboxSummary],
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox list",
        "Show the messages in the inboxes, the newest last.",
        _list,
        list[InboxEntry],
        (
            Parameter("inbox", "Only this inbox (an address).", str, ""),
            Parameter("limit", "How many at most: the newest ones.", int, 1000),
            Parameter("after", "Only messages after this number.", int, 0),
        ),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox views",
        "Show the inboxes, domains, logins and tags with their counts.",
        _views,
        list[ViewEntry],
        (
            Parameter("prefix", "Only names that begin so: tag:, login:, box:, @.", str, ""),
            Parameter("limit", "How many at most.", int, 1000),
            Parameter("after", "Only names behind this one.", str, ""),
            Parameter("of_each", "The first so many of each kind instead, whatever the others say.", int, 0),
        ),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox search",
        "Search the inboxes; the newest message is the first.",
        _search,
        MailListing,
        (
            _VIEW,
            _QUERY,
            Parameter("limit", "How many at most.", int, 50),
            Parameter("before", "Only messages with numbers below this one; 0 for all.", int, 0),
            Parameter("after", "Only messages with numbers above this one.", int, 0),
        ),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox count",
        "Count the messages that a search finds.",
        _count,
        MailCount,
        (_VIEW, _QUERY),
        reads=True,
        narrowed=True,
    ),
)
