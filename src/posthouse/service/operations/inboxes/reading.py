"""Operations on one message: shown as it was delivered, read with its parts, one part, links and codes, findings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from posthouse.core import Content, SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.access import seen
from posthouse.service.operations.inboxes.indexed import LAST_NUMBER, followed
from posthouse.service.operations.inboxes.mail_answers import (
    AttachmentContent,
    FieldEntry,
    FindingEntry,
    MailEntry,
    MailExtract,
    MailRead,
    PartNodeEntry,
    SourceSlice,
    entry_of,
)
from posthouse.service.operations.remarks import remarks_in
from posthouse.service.operations.results import InboxContent, PartEntry, filled
from posthouse.spool.history import Event
from posthouse.spool.interface import InboxMessage, Spool

if TYPE_CHECKING:
    from posthouse.message.reading.read_message import ReadMessage
    from posthouse.message.reading.read_part import ReadPart

__all__ = ["READING_OPERATIONS", "content_of", "links_of", "missing", "octets_of", "read_octets_of"]

_MOST_PARTS: Final = 1000  # of one message that are listed
_MOST_TEXT: Final = 2 << 20  # characters of text, and of HTML
_MOST_SEARCHED: Final = 1 << 19  # characters of HTML that are made into text, and of text in which links are looked for
_MOST_READ: Final = 8 << 20  # octets of a part that are made into text
_MOST_FIELDS: Final = 1000
_LONGEST_FIELD: Final = 10_000
_MOST_LINKS: Final = 1000
_MOST_CHECKED: Final = 8 << 20  # octets of a message that is checked
_MOST_SOURCE: Final = 8 << 20  # octets of source of one answer
_MOST_SHOWN: Final = 8 << 20  # octets of a message that ``inbox show`` gives as they were delivered


def missing(number: int) -> SettingError:
    """The error for a message that is not there."""
    return SettingError(f"no inbox has a message number {number}", remedy="see `posthouse inbox list`")


async def octets_of(spool: Spool, number: int) -> tuple[InboxMessage, bytes] | None:
    """One message and its octets, by the number of one of its places."""
    kept = await spool.queries.kept(number) if 0 < number <= LAST_NUMBER else None
    if kept is None:
        return None
    message, content = kept
    return message, await asyncio.to_thread(_whole, content)


def _whole(content: Content) -> bytes:
    """The octets of a content; beside them, no second copy is made."""
    octets = io.BytesIO()
    for chunk in content.chunks():
        octets.write(chunk)
    return octets.getvalue()


def _slice(content: Content, start: int, most: int) -> tuple[bytes, int]:
    """At most so many octets of a content from ``start`` on, and in which line they begin; others are not kept."""
    found = io.BytesIO()
    at, line = 0, 1
    for chunk in content.chunks():
        piece = chunk[max(0, start - at) : max(0, start + most - at)]
        found.write(piece)
        line += chunk.count(b"\n", 0, max(0, start - at))
        at += len(chunk)
        if at >= start + most:
            break
    return found.getvalue(), line


async def _show(context: Context, number: int) -> InboxContent:
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
        return await asyncio.to_thread(_decoded, message, octets, await spool.queries.history(message.queue_id))


async def content_of(spool: Spool, number: int) -> InboxContent | None:
    """One message decoded, and as it was delivered; None if there is none."""
    found = await octets_of(spool, number)
    if found is None:
        return None
    message, octets = found
    return await asyncio.to_thread(_decoded, message, octets, await spool.queries.history(message.queue_id))


def _decoded(message: InboxMessage, octets: bytes, events: Sequence[Event]) -> InboxContent:
    from posthouse.message.message_view import view

    shown = view(octets, most=_MOST_SEARCHED)
    parts = [
        PartEntry(number=part.number, type=part.type, name=part.name, size=len(part.content), shown=part.shown)
        for part in shown.parts
    ]
    beginning = _beginning(octets)
    text = beginning.decode("utf-8", "replace")
    return filled(
        InboxContent,
        message,
        text=text,
        raw=None if text.encode() == beginning else beginning,
        cut=len(beginning) < len(octets),
        fields={name.lower(): value for name, value in shown.fields},
        body=shown.text,
        parts=parts,
        remarks=remarks_in(events),
    )


def _beginning(octets: bytes) -> bytes:
    """The octets, or of many the first whole lines."""
    if len(octets) <= _MOST_SHOWN:
        return octets
    return octets[: octets.rfind(b"\n", 0, _MOST_SHOWN) + 1 or _MOST_SHOWN]


# Read -----------------------------------------------------------------------------------------------------------------


async def read_octets_of(spool: Spool, context: Context, number: int) -> tuple[InboxMessage, bytes]:
    """One message that may be seen, and its octets, by the number of one of its places.  Raises ``SettingError``."""
    message, content = await _kept_of(spool, context, number)
    return message, await asyncio.to_thread(_whole, content)


async def _kept_of(spool: Spool, context: Context, number: int) -> tuple[InboxMessage, Content]:
    """As ``read_octets_of``, with the content not read yet."""
    await followed(context, spool)
    row = await seen(context, spool, number)
    if row is not None:
        place = number if number in row.places else row.places[0]
        found = await spool.queries.kept(place) if 0 < place <= LAST_NUMBER else None
        if found is not None:
            return found
    raise missing(number)


async def _read(context: Context, number: int) -> MailRead:
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
        row = await seen(context, spool, number)
        if row is None:
            raise missing(number)
        events = await spool.queries.history(message.queue_id)
        return await asyncio.to_thread(_made, entry_of(row), octets, events)


def _made(entry: MailEntry, octets: bytes, events: Sequence[Event]) -> MailRead:
    from posthouse.message.message_view import links_within, text_within
    from posthouse.message.reading.one_time_codes import codes_in
    from posthouse.message.reading.read_message import read_octets

    message = read_octets(octets, longest_text=_MOST_READ)
    parts, more = _parts(message)
    html = message.html or ""
    text = text_within(message, _MOST_SEARCHED, plain=_MOST_TEXT)
    fields = message.headers[:_MOST_FIELDS]
    links = links_within(message, _MOST_SEARCHED)
    more |= len(message.headers) > _MOST_FIELDS or any(len(each.raw) > _LONGEST_FIELD for each in fields)
    return MailRead(
        entry=entry,
        fields=[
            FieldEntry(
                name=each.name,
                value=each.value[:_LONGEST_FIELD],
                raw=each.raw.decode("utf-8", "replace")[:_LONGEST_FIELD],
            )
            for each in fields
        ],
        text=text[:_MOST_TEXT],
        html=html[:_MOST_TEXT],
        parts=parts,
        links=[each[:2000] for each in links[:_MOST_LINKS]],
        codes=codes_in(f"{message.subject}\n\n{text[:_MOST_SEARCHED]}")[:20],
        defects=[f"{each.text} ({each.code})" for each in message.defects[:100]],
        remarks=remarks_in(events),
        cut=more or len(text) >= _MOST_TEXT or len(html) > _MOST_SEARCHED or len(links) > _MOST_LINKS,
    )


def _parts(message: ReadMessage) -> tuple[list[PartNodeEntry], bool]:
    """The parts in their order, and whether there are more."""
    texts = {each.number for each in message.text_parts}
    inline = {each.number for each in message.attachments if each.referenced}
    found: list[PartNodeEntry] = []
    for part, depth in _walk(message.root):
        if len(found) >= _MOST_PARTS:
            return found, True
        is_container = bool(part.parts)
        kind = (
            "container"
            if is_container
            else "text"
            if part.number in texts or (part.type == "text/html" and not part.filename_raw)
            else "inline"
            if part.number in inline
            else "attachment"
        )
        found.append(
            PartNodeEntry(
                number=part.number,
                depth=depth,
                type=part.type[:100],
                name=part.safe_name(part.number) if kind in ("inline", "attachment") else "",
                size=0 if is_container else len(part.content),
                kind=kind,
                content_id=part.content_id[:200],
            )
        )
    return found, False


def _walk(root: ReadPart) -> Iterator[tuple[ReadPart, int]]:
    waiting = [(root, 0)]
    while waiting:
        part, depth = waiting.pop()
        yield part, depth
        waiting += [(each, depth + 1) for each in reversed(part.parts)]


async def _part(context: Context, number: int, part: str) -> AttachmentContent:
    async with context.spool() as spool:
        _, octets = await read_octets_of(spool, context, number)
        found = await asyncio.to_thread(_part_of, octets, part)
        if found is None:
            raise SettingError(
                f'message {number} has no part "{part[:40]}"', remedy="see `inbox read`, which lists them"
            )
        return found


def _part_of(octets: bytes, wanted: str) -> AttachmentContent | None:
    """One part, by its number, or by ``cid:`` and its Content-ID."""
    from posthouse.message.reading.read_message import read_octets

    message = read_octets(octets)
    cid = wanted.removeprefix("cid:").casefold() if wanted.startswith("cid:") else None
    for part, _ in _walk(message.root):
        if part.parts:
            continue
        if part.content_id.casefold() == cid if cid is not None else part.number == wanted:
            return AttachmentContent(type=part.type, name=part.safe_name(part.number), content=part.content)
    for each in message.attachments:  # files within a text (uuencode) have the number of that text
        if each.number == wanted:
            return AttachmentContent(type=each.type, name=each.filename, content=each.content)
    return None


async def _source(context: Context, number: int, start: int = 0, octets: int = 262_144) -> SourceSlice:
    async with context.spool() as spool:
        _, content = await _kept_of(spool, context, number)
        start = max(0, start)
        found, line = await asyncio.to_thread(_slice, content, start, max(1, min(octets, _MOST_SOURCE)))
        return SourceSlice(content=found, start=start, total=content.size, line=line)


async def _extract(context: Context, number: int) -> MailExtract:
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
        links, codes = await asyncio.to_thread(_links_and_codes, octets)
        return MailExtract(number=message.number, links=links, codes=codes)


async def links_of(context: Context, spool: Spool, number: int) -> tuple[int, list[str]]:
    """A message's number, and the addresses of its links and of its pictures; raises ``SettingError`` if it is not
    there."""
    message, octets = await read_octets_of(spool, context, number)
    return message.number, await asyncio.to_thread(_links_and_pictures, octets)


def _links_and_pictures(octets: bytes) -> list[str]:
    from posthouse.message.message_view import links_within
    from posthouse.message.reading.read_message import read_octets
    from posthouse.message.reading.readable_text import pictures_in_html

    message = read_octets(octets, longest_text=_MOST_READ)
    pictures = pictures_in_html((message.html or "")[:_MOST_SEARCHED])
    return list(dict.fromkeys([*links_within(message, _MOST_SEARCHED)[:_MOST_LINKS], *pictures]))[:_MOST_LINKS]


def _links_and_codes(octets: bytes) -> tuple[list[str], list[str]]:
    from posthouse.message.message_view import links_within, text_within
    from posthouse.message.reading.one_time_codes import codes_in
    from posthouse.message.reading.read_message import read_octets

    message = read_octets(octets, longest_text=_MOST_READ)
    codes = codes_in(f"{message.subject}\n\n{text_within(message, _MOST_SEARCHED)}")
    return list(links_within(message, _MOST_SEARCHED)[:_MOST_LINKS]), codes[:20]


async def _check(context: Context, number: int) -> list[FindingEntry]:
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
        return await asyncio.to_thread(_findings, octets, message.received)


def _findings(octets: bytes, received: float) -> list[FindingEntry]:
    from posthouse.message.lint.message_lint import lint_message

    if len(octets) > _MOST_CHECKED:
        return [
            FindingEntry(
                rule="not-checked",
                level="note",
                line=1,
                text=f"The message has more than {_MOST_CHECKED >> 20} MiB, and is not checked here.",
                remedy="Save it, and run: posthouse check message FILE",
                source="",
            )
        ]
    return [
        FindingEntry(
            rule=each.rule,
            level=each.level.value,
            line=each.line,
            text=each.text,
            remedy=each.remedy,
            source=each.source,
        )
        for each in lint_message(octets, now=received)
    ]


_NUMBER: Final = Parameter("number", "Its number, as in `inbox list`.", int)

#: The operations of this module.
READING_OPERATIONS: Final = (
    Operation(
        "inbox show",
        "Show one message: decoded, and the first 8 MiB of it as they were delivered.",
        _show,
        InboxContent,
        (_NUMBER,),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox read",
        "Read one message: fields, text, HTML, parts, links and codes. It stays unread.",
        _read,
        MailRead,
        (_NUMBER,),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox part",
        "Give one part of a message, decoded.",
        _part,
        AttachmentContent,
        (_NUMBER, Parameter("part", "Its number in the tree, as 1.2, or cid: and its Content-ID.", str)),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox source",
        "Give a piece of a message as it was delivered.",
        _source,
        SourceSlice,
        (
            _NUMBER,
            Parameter("start", "The octet that it begins with.", int, 0),
            Parameter("octets", "How many at most.", int, 262_144),
        ),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox extract",
        "Give the links and one-time codes of a message.",
        _extract,
        MailExtract,
        (_NUMBER,),
        reads=True,
        narrowed=True,
    ),
    Operation(
        "inbox check",
        "Check one message as `posthouse check message` does.",
        _check,
        list[FindingEntry],
        (_NUMBER,),
        reads=True,
        narrowed=True,
    ),
)
