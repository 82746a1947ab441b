"""The operations on the local inboxes: list, show and delete the messages that were delivered into them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from posthouse.core import SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.remarks import remarks_in
from posthouse.service.operations.results import InboxChange, InboxContent, InboxEntry, InboxSummary, filled

__all__ = ["INBOX_OPERATIONS"]

#: Messages asked of the spool at one time.
_PAGE: Final = 500
#: Octets of a message that are read to find its header fields.
_HEAD: Final = 65_536


async def _summary(context: Context) -> list[InboxSummary]:
    async with context.spool() as spool:
        return [filled(InboxSummary, inbox) for inbox in await spool.queries.inboxes()]


async def _list(context: Context, inbox: str = "", limit: int = 1000) -> list[InboxEntry]:
    found: list[InboxEntry] = []
    async with context.spool() as spool:
        after = 0
        while len(found) < limit:
            page = await spool.queries.inbox(inbox, limit=min(_PAGE, limit - len(found)), after=after)
            if not page:
                break
            after = page[-1].number
            for message in page:
                kept = await spool.queries.kept(message.number)
                head = b"" if kept is None else next(iter(kept[1].chunks(_HEAD)), b"")
                author, subject = _field(head, b"from"), _field(head, b"subject")
                found.append(filled(InboxEntry, message, written_by=author, subject=subject))
    return found


def _field(head: bytes, name: bytes) -> str:
    """The value of a header field for people: on one line, encoded words decoded."""
    import email.errors
    import email.header

    from posthouse.message.headers import fields, first, split  # only a list of messages needs these, and email

    field = first(fields(split(head).headers), name)
    if field is None:
        return ""
    value = field.value.decode("utf-8", "replace")
    # A value that cannot be decoded is shown as it stands in the message.
    with contextlib.suppress(email.errors.HeaderParseError, LookupError, ValueError):
        value = str(email.header.make_header(email.header.decode_header(value)))
    return "".join(sign if sign.isprintable() else " " for sign in value)[:500]


async def _show(context: Context, number: int) -> InboxContent:
    async with context.spool() as spool:
        kept = await spool.queries.kept(number)
        if kept is None:
            raise SettingError(f"no inbox has a message number {number}", remedy="see `posthouse inbox list`")
        message, content = kept
        octets = await asyncio.to_thread(lambda: b"".join(content.chunks()))
        events = await spool.queries.history(message.queue_id)
    text = octets.decode("utf-8", "replace")
    return filled(
        InboxContent, message, text=text, raw=None if text.encode() == octets else octets, remarks=remarks_in(events)
    )


async def _delete(context: Context, numbers: list[int]) -> InboxChange:
    wanted = list(dict.fromkeys(numbers))
    if not wanted:
        raise SettingError("no message is named", remedy="give the numbers that `posthouse inbox list` shows")
    async with context.writable_spool() as spool:
        deleted = await spool.discard(wanted, now=context.clock.time(), who=context.who)
    return InboxChange(deleted=deleted, missing=len(wanted) - deleted, who=context.who)


#: The operations of this module.
INBOX_OPERATIONS: Final = (
    Operation("inbox summary", "Show the inboxes and how much is in them.", _summary, list[InboxSummary]),
    Operation(
        "inbox list",
        "Show the messages in the inboxes, oldest first.",
        _list,
        list[InboxEntry],
        (
            Parameter("inbox", "Only this inbox (an address).", str, ""),
            Parameter("limit", "How many at most.", int, 1000),
        ),
    ),
    Operation(
        "inbox show",
        "Show one message as it was delivered.",
        _show,
        InboxContent,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
    ),
    Operation(
        "inbox delete",
        "Delete messages from the inboxes for good.",
        _delete,
        InboxChange,
        (Parameter("numbers", "Their numbers, as in `inbox list`.", list),),
        live=True,
    ),
)
