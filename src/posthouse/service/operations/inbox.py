"""The operations on the local inboxes: list, show, wait for and delete the messages that were delivered into them."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from posthouse.core import SettingError, StorageError
from posthouse.service.operations.base import Context, Operation, Parameter, spool_or_none
from posthouse.service.operations.remarks import remarks_in
from posthouse.service.operations.results import (
    InboxChange,
    InboxContent,
    InboxEntry,
    InboxSummary,
    InboxWait,
    PartEntry,
    filled,
)
from posthouse.service.operations.spelling import as_written, inbox_name
from posthouse.spool.history import Event
from posthouse.spool.interface import InboxMessage, Spool

__all__ = ["INBOX_OPERATIONS"]

#: Messages asked of the spool at one time.
_PAGE: Final = 500
#: The most messages of one answer.
_MOST: Final = 10_000
#: Octets of a message that are read to find its header fields.
_HEAD: Final = 65_536
_LONGEST_FIELD: Final = 500  # characters that a list shows
_LAST_NUMBER: Final = (1 << 63) - 1
_LONGEST_WAIT: Final = 300  # seconds
_POLL: Final = 0.2  # seconds between two looks where no daemon runs


async def _summary(context: Context) -> list[InboxSummary]:
    async with context.spool() as spool:
        return [filled(InboxSummary, inbox) for inbox in await spool.queries.inboxes()]


async def _list(context: Context, inbox: str = "", limit: int = 1000, after: int = 0) -> list[InboxEntry]:
    limit = max(1, min(limit, _MOST))
    async with context.spool() as spool:
        name = await _named(spool, inbox)
        found = await spool.queries.inbox(name, limit=limit, after=after, newest=True)
        return [await _entry(spool, message) for message in found]


async def _named(spool: Spool, inbox: str) -> str:
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


async def _entry(spool: Spool, message: InboxMessage) -> InboxEntry:
    try:
        kept = await spool.queries.kept(message.number)
        head = b"" if kept is None else next(iter(kept[1].chunks(_HEAD)), b"")
    except StorageError as error:  # of this message alone: the others are still listed
        return filled(InboxEntry, message, written_by="", subject="", damage=str(error))
    return filled(InboxEntry, message, written_by=_field(head, b"from"), subject=_field(head, b"subject"), damage="")


def _field(head: bytes, name: bytes) -> str:
    """The value of a header field for people."""
    from posthouse.message.headers import fields, first, split  # only a list of messages needs these, and email
    from posthouse.message.message_view import decoded_field

    field = first(fields(split(head).headers), name)
    return "" if field is None else decoded_field(field.value.decode("utf-8", "replace"))[:_LONGEST_FIELD]


async def _show(context: Context, number: int) -> InboxContent:
    async with context.spool() as spool:
        shown = await _content(spool, number)
        if shown is None:
            raise SettingError(f"no inbox has a message number {number}", remedy="see `posthouse inbox list`")
        return shown


async def _content(spool: Spool, number: int) -> InboxContent | None:
    kept = await spool.queries.kept(number) if 0 < number <= _LAST_NUMBER else None
    if kept is None:
        return None
    message, content = kept
    octets = await asyncio.to_thread(lambda: b"".join(content.chunks()))
    return await asyncio.to_thread(_decoded, message, octets, await spool.queries.history(message.queue_id))


def _decoded(message: InboxMessage, octets: bytes, events: Sequence[Event]) -> InboxContent:
    from posthouse.message.message_view import view

    text = octets.decode("utf-8", "replace")
    seen = view(octets)
    return filled(
        InboxContent,
        message,
        text=text,
        raw=None if text.encode() == octets else octets,
        fields={name.lower(): value for name, value in seen.fields},
        body=seen.text,
        parts=[
            PartEntry(number=part.number, type=part.type, name=part.name, size=len(part.content), shown=part.shown)
            for part in seen.parts
        ],
        remarks=remarks_in(events),
    )


# Waiting --------------------------------------------------------------------------------------------------------------


async def _wait(
    context: Context, to: str = "", subject: str = "", sender: str = "", after: int = 0, timeout: int = 10
) -> InboxWait:
    clock, name = context.clock, inbox_name(to)
    if name and "@" not in name:
        raise SettingError(f'"{to}" is no inbox, whose name is an address', remedy="write user@domain")
    end = clock.monotonic() + max(0, min(timeout, _LONGEST_WAIT))
    newest = True  # of the messages that are there already; then each one that arrives
    while True:
        arrival = None if context.arrival is None else context.arrival()
        async with spool_or_none(context) as spool:  # before the first start of a daemon there is none
            page = [] if spool is None else await spool.queries.inbox(name, limit=_PAGE, after=after, newest=newest)
            for message in reversed(page) if newest else page:
                if spool is not None and _matches(await _entry(spool, message), subject, sender):
                    if arrival is not None:
                        arrival.cancel()
                    return InboxWait(message=await _content(spool, message.number))
        if page:
            after = page[-1].number
        newest = False
        left = end - clock.monotonic()
        await _first(clock.sleep(min(_POLL, left) if arrival is None else left), arrival)
        if left <= 0:
            return InboxWait(message=None)


async def _first(sleeping: Coroutine[Any, Any, None], arrival: asyncio.Future[None] | None) -> None:
    """Return when the sleep has ended or the arrival has come; the other one is cancelled."""
    waits: set[asyncio.Future[None]] = {asyncio.ensure_future(sleeping)}
    if arrival is not None:
        waits.add(arrival)
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


def _matches(entry: InboxEntry, subject: str, sender: str) -> bool:
    if entry.damage:
        return False
    folded = sender.casefold()
    known = folded in entry.sender.casefold() or folded in entry.written_by.casefold()
    return known and subject.casefold() in entry.subject.casefold()


# Deleting -------------------------------------------------------------------------------------------------------------


async def _delete(context: Context, numbers: list[int] | None = None, to: str = "", all: bool = False) -> InboxChange:  # noqa: A002
    wanted = list(dict.fromkeys(numbers or ()))
    if bool(wanted) + bool(to) + all != 1:
        remedy = "give the numbers that `posthouse inbox list` shows, or an inbox, or all"
        raise SettingError("no message is named, or in two ways", remedy=remedy)
    deleted = 0
    async with context.writable_spool() as spool:
        for some in [wanted] if wanted else await _numbers(spool, await _named(spool, to)):
            known = [number for number in some if 0 < number <= _LAST_NUMBER]
            if known:
                deleted += await spool.discard(known, now=context.clock.time(), who=context.who)
    return InboxChange(deleted=deleted, missing=len(wanted) - deleted if wanted else 0, who=context.who)


async def _numbers(spool: Spool, inbox: str) -> list[list[int]]:
    """The messages that are in an inbox now (or in all, for ""), in batches."""
    batches: list[list[int]] = []
    while True:
        after = batches[-1][-1] if batches else 0
        page = await spool.queries.inbox(inbox, limit=_PAGE, after=after)
        if not page:
            return batches
        batches.append([message.number for message in page])


#: The operations of this module.
INBOX_OPERATIONS: Final = (
    Operation("inbox summary", "Show the inboxes and how much is in them.", _summary, list[InboxSummary], reads=True),
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
    ),
    Operation(
        "inbox show",
        "Show one message: decoded, and as it was delivered.",
        _show,
        InboxContent,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
        reads=True,
    ),
    Operation(
        "inbox delete",
        "Delete messages from the inboxes for good.",
        _delete,
        InboxChange,
        (
            Parameter("numbers", "Their numbers, as in `inbox list`.", list, []),
            Parameter("to", "Instead of numbers: all messages of this inbox.", str, ""),
            Parameter("all", "Instead of numbers: all messages.", bool, False),
        ),
        live=True,
    ),
    Operation(
        "inbox wait",
        "Wait until a message is in an inbox; the newest that is there already counts.",
        _wait,
        InboxWait,
        (
            Parameter("to", "The inbox (an address); any, if empty.", str, ""),
            Parameter("subject", "A part of its subject.", str, ""),
            Parameter("sender", "A part of its sender's address or name.", str, ""),
            Parameter("after", "Only messages after this number.", int, 0),
            Parameter("timeout", f"Seconds, at most {_LONGEST_WAIT}.", int, 10),
        ),
        live=True,
        reads=True,
    ),
)
