"""Operations that change the inboxes: read marks, tags, deletion and its undoing, and the index made anew.

A deletion hides messages at once and removes them after ``[inbox] undo_for``.  "All" means all that were there when the
question was asked: ``until`` is the cursor that the asker saw, and what arrived later stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from posthouse.core import SettingError
from posthouse.service.inbox.inbox_rules import proper_tag
from posthouse.service.inbox.mail_query import read_query
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.access import asked_of, counted, seen
from posthouse.service.operations.inboxes.indexed import AT_ONCE, LAST_NUMBER, followed, view_named
from posthouse.service.operations.inboxes.listing import named_inbox
from posthouse.service.operations.inboxes.mail_answers import DeletionEntry, InboxDeletion, InboxUndo, MailCount
from posthouse.service.operations.spelling import inbox_name
from posthouse.spool.filters import text_of_numbers
from posthouse.spool.interface import Spool
from posthouse.spool.mail_index import ALL_MAIL, Deletion

__all__ = ["CHANGING_OPERATIONS"]

_PAGE: Final = 500
_MOST_TAGS: Final = 20
_MOST_ROUNDS: Final = 10_000


async def _mark(
    context: Context,
    numbers: list[int] | None = None,
    view: str = "",
    query: str = "",
    all: bool = False,  # noqa: A002
    unread: bool = False,
    until: int = 0,
) -> MailCount:
    async with context.writable_spool() as spool:
        changed = 0
        async for some in _chosen(context, spool, numbers, view, query, all, until):
            changed += await spool.index.mark(some, unread=unread)
        return await _changed(context, spool, changed)


async def _changed(context: Context, spool: Spool, changed: int) -> MailCount:
    counts = await counted(context, spool, ALL_MAIL)
    return MailCount(messages=changed, unread=counts.unread, octets=0, whole=True, last=0)


async def _tag(context: Context, numbers: list[int], tags: str, remove: bool = False) -> MailCount:
    found = [tag for tag in dict.fromkeys(map(proper_tag, tags.split(","))) if tag]
    if not found:
        raise SettingError("no tag is named", remedy="write tags with commas between them")
    if len(found) > _MOST_TAGS:
        raise SettingError(f"more than {_MOST_TAGS} tags", remedy="give fewer at one time")
    async with context.writable_spool() as spool:
        await followed(context, spool)
        chosen = await _seen(context, spool, _proper(numbers))
        return await _changed(context, spool, await spool.index.tag(chosen, found, remove=remove))


def _proper(numbers: Sequence[int]) -> list[int]:
    return [number for number in dict.fromkeys(numbers) if 0 < number <= LAST_NUMBER]


async def _seen(context: Context, spool: Spool, numbers: list[int]) -> list[int]:
    """Those of the messages that may be seen."""
    if context.views is None:
        return numbers
    rows = [await seen(context, spool, number) for number in numbers]
    return [row.number for row in rows if row is not None]


async def _own_places(context: Context, spool: Spool, numbers: Sequence[int], inbox: str) -> list[int]:
    """The places of messages that one who sees some inboxes only may delete: in one mailbox, or in all of these."""
    found: list[int] = []
    for number in numbers:
        row = await seen(context, spool, number)
        if row is not None:
            places = zip(row.inboxes, row.places, strict=True)
            found += [place for name, place in places if inbox in ("", name)]
    return found


async def _asked_view(context: Context, spool: Spool, to: str, view: str) -> str:
    """The view that is meant, by the name of an inbox or of a view."""
    if not to:
        return view_named(view)
    # Nothing is said of inboxes that may not be seen, as that one of a similar name is there.
    return inbox_name(to) if context.views is not None else await named_inbox(spool, to)


async def _named_places(context: Context, spool: Spool, places: list[int]) -> list[int]:
    """Those of the places that one may delete."""
    if context.views is None:
        return places
    return [each for each in places if each in await _own_places(context, spool, [each], "")]


async def _chosen(
    context: Context,
    spool: Spool,
    numbers: Sequence[int] | None,
    view: str,
    query: str,
    everything: bool,
    until: int,
) -> AsyncIterator[list[int]]:
    """Pages of the messages that are named: by numbers, or all of a view and a search up to the cursor."""
    wanted = list(numbers or ())
    if bool(wanted) + (bool(view or query) or everything) != 1:
        remedy = "give numbers, or a view, or a search, or all"
        raise SettingError("no message is named, or in two ways", remedy=remedy)
    state = await followed(context, spool, at_once=True)
    if wanted:
        yield await _seen(context, spool, _proper(wanted))
        return
    asked, terms = asked_of(context, view_named(view), read_query(query, context.clock.time()))
    last = min(until or state.last, state.last)
    pages: list[list[int]] = []
    before = last + 1
    while before:
        page = await spool.index.search(asked, terms, limit=_PAGE, before=before)
        pages.append([row.number for row in page.rows])
        before = page.before
    for each in pages:
        if each:
            yield each


async def _delete(
    context: Context,
    numbers: list[int] | None = None,
    to: str = "",
    all: bool = False,  # noqa: A002
    view: str = "",
    query: str = "",
    until: int = 0,
    whole: bool = False,
    forever: bool = False,
) -> InboxDeletion:
    wanted = list(dict.fromkeys(numbers or ()))
    if bool(wanted) + bool(to) + bool(all) + bool(view or query) != 1:
        remedy = "give the numbers that `posthouse inbox list` shows, or an inbox, or a view, or a search, or all"
        raise SettingError("no message is named, or in two ways", remedy=remedy)
    now = context.clock.time()
    async with context.writable_spool() as spool:
        state = await followed(context, spool, at_once=True)
        for _ in range(0 if wanted else -(-state.waiting // AT_ONCE)):  # those that are there; what comes now is spared
            state = await followed(context, spool, at_once=True)
        final = now + (0.0 if forever else context.config.inbox.undo_for)
        name = await _asked_view(context, spool, to, view)
        inbox = name if "@" in name and not name.startswith(("@", "tag:", "login:", "box:")) else ""
        made: Deletion | None = None
        if wanted and not whole:
            places = await _named_places(context, spool, _proper(wanted))
            made = await spool.index.delete(places, now=now, final=final, who=context.who, places=True)
        else:
            chosen = _chosen(context, spool, wanted, name, query, everything=all, until=until)
            limited = context.views is not None
            async for some in chosen:
                made = await spool.index.delete(
                    await _own_places(context, spool, some, inbox) if limited else some,
                    now=now,
                    final=final,
                    who=context.who,
                    inbox="" if limited else inbox,
                    into=made,
                    places=limited,
                )
        deleted = 0 if made is None else made.messages
        which = text_of_numbers(wanted) if wanted else query if query else name or "all"
        if wanted or deleted:
            await spool.note("delete", which, deleted, now=now, who=context.who)
        if final <= now and made is not None:
            await _remove(spool, made)
        missing = len(wanted) - deleted if wanted else 0
        can_undo = made is not None and deleted > 0 and final > now
        return InboxDeletion(
            deleted=deleted,
            missing=max(0, missing),
            who=context.who,
            undo=made.number if made is not None and can_undo else 0,
            until=final if can_undo else None,
        )


async def _remove(spool: Spool, deletion: Deletion) -> None:
    """Remove at once what a deletion took."""
    while found := await spool.index.final(now=deletion.final, limit=_PAGE, deletion=deletion.number):
        places = [number for _, number in found]
        await spool.discard(places, now=deletion.at, who=deletion.who, audited=False)
        await spool.index.forget(places)


async def _undo(context: Context, deletion: int = 0) -> InboxUndo:
    now = context.clock.time()
    async with context.writable_spool() as spool:
        known = await _own_deletions(context, spool)
        number = deletion or (known[0].number if known else 0)
        if not any(each.number == number for each in known):
            raise SettingError(
                f"there is no deletion {number} that can be undone" if deletion else "nothing can be undone",
                remedy=f"a deletion is final after {context.config.inbox.undo_for:g} s (undo_for of [inbox])",
            )
        back = await spool.index.undo(number, now=now)
        await spool.note("undo delete", f"deletion:{number}", back, now=now, who=context.who)
        return InboxUndo(deletion=number, restored=back, who=context.who)


async def _own_deletions(context: Context, spool: Spool) -> list[Deletion]:
    """The deletions that can be undone: all, or one's own for one who sees some inboxes only."""
    known = await spool.index.deletions(now=context.clock.time())
    return [each for each in known if context.views is None or each.who == context.who]


async def _deletions(context: Context) -> list[DeletionEntry]:
    async with context.spool() as spool:
        return [
            DeletionEntry(number=each.number, at=each.at, who=each.who, messages=each.messages, until=each.final)
            for each in await _own_deletions(context, spool)
        ]


async def _rebuild(context: Context) -> MailCount:
    async with context.writable_spool() as spool:
        await spool.index.rebuild()
        for _ in range(_MOST_ROUNDS):  # mail may come in faster
            if not (await followed(context, spool, at_once=True)).waiting:
                break
        counts = await spool.index.view(ALL_MAIL)
        return MailCount(messages=counts.messages, unread=counts.unread, octets=counts.octets, whole=True, last=0)


_NUMBERS: Final = Parameter("numbers", "Their numbers, as in `inbox list`.", list, [])
_VIEW: Final = Parameter("view", "Instead: an address, @domain, tag:NAME, login:NAME or box:NAME.", str, "")
_QUERY: Final = Parameter("query", "Instead, or with a view: those that a search finds.", str, "")
_UNTIL: Final = Parameter("until", "Spare what arrived after this number: the cursor `last` of a list.", int, 0)

#: The operations of this module.
CHANGING_OPERATIONS: Final = (
    Operation(
        "inbox mark",
        "Mark messages as read or unread.",
        _mark,
        MailCount,
        (
            _NUMBERS,
            _VIEW,
            _QUERY,
            Parameter("all", "Instead: all messages.", bool, False),
            Parameter("unread", "Unread instead of read.", bool, False),
            _UNTIL,
        ),
        live=True,
        narrowed=True,
    ),
    Operation(
        "inbox tag",
        "Give tags to messages, or take them away.",
        _tag,
        MailCount,
        (
            Parameter("numbers", "Their numbers, as in `inbox list`.", list),
            Parameter("tags", "The tags, with commas between them.", str),
            Parameter("remove", "Take them away.", bool, False),
        ),
        live=True,
        narrowed=True,
    ),
    Operation(
        "inbox delete",
        "Delete messages from the inboxes.",
        _delete,
        InboxDeletion,
        (
            _NUMBERS,
            Parameter("to", "Instead of numbers: all messages of this inbox.", str, ""),
            Parameter("all", "Instead of numbers: all messages.", bool, False),
            _VIEW,
            _QUERY,
            _UNTIL,
            Parameter(
                "whole", "Delete the messages with these numbers from every inbox that they are in.", bool, False
            ),
            Parameter("forever", "Remove them at once; this cannot be undone.", bool, False),
        ),
        live=True,
        narrowed=True,
    ),
    Operation(
        "inbox undo",
        "Have back what a deletion took.",
        _undo,
        InboxUndo,
        (Parameter("deletion", "Its number; 0 for the latest.", int, 0),),
        live=True,
        narrowed=True,
    ),
    Operation(
        "inbox deletions",
        "Show the deletions that can be undone.",
        _deletions,
        list[DeletionEntry],
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox rebuild",
        "Make the index of the inboxes again; read marks and tags are kept.",
        _rebuild,
        MailCount,
        live=True,
    ),
)
