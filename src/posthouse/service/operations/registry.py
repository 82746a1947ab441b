"""Each operation once: its name, its parameters, its help, and what it does.

The command line prints the answers, the console shows them, the manual lists them; none of the three knows more than
what stands here.  What looks at the queue and what changes it is in ``operations.queue``, what explains in
``operations.explain_message`` and ``operations.explain_address``; here are the rest, and the table of all.  An
operation raises ``SettingError`` when what it was asked cannot be meant, and ``StorageError`` when the spool fails;
every other end is an answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from posthouse.core import Content, SettingError
from posthouse.service.config_file import ConfigError, advice, load
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.explain_message import found, story_of
from posthouse.service.operations.queue import QUEUEING
from posthouse.service.operations.results import (
    AddressReport,
    CodeEntry,
    ConfigReport,
    Explained,
    InboxContent,
    InboxEntry,
    InboxSummary,
)
from posthouse.spool.history import MessageSummary
from posthouse.spool.ids import number_of

__all__ = ["OPERATIONS", "what_is"]

#: Entries asked of the queue at one time.
_PAGE: Final = 500

# The inboxes --------------------------------------------------------------------------------------------------------


async def _inbox_summary(context: Context) -> list[InboxSummary]:
    async with context.queue() as queue:
        return [InboxSummary(name=n, messages=m, octets=o) for n, m, o in await queue.inboxes()]


async def _inbox_list(context: Context, inbox: str = "", limit: int = 1000) -> list[InboxEntry]:
    found: list[InboxEntry] = []
    async with context.queue() as queue:
        after = 0
        while len(found) < limit:
            page = await queue.inbox(inbox, limit=min(_PAGE, limit - len(found)), after=after)
            if not page:
                break
            after = page[-1].number
            for each in page:
                kept = await queue.kept(each.number)
                head = b"" if kept is None else next(iter(kept[1].chunks(65_536)), b"")
                found.append(
                    InboxEntry(
                        number=each.number,
                        inbox=each.inbox,
                        received=each.received,
                        size=each.size,
                        sender=each.sender,
                        written_by=_said(head, b"from"),
                        subject=_said(head, b"subject"),
                    )
                )
    return found


def _said(head: bytes, name: bytes) -> str:
    """A header field's value for people: encoded words decoded, one line."""
    import email.errors
    import email.header

    from posthouse.message.headers import fields, first, split  # like email, for letters alone

    field = first(fields(split(head).headers), name)
    if field is None:
        return ""
    value = field.value.decode("utf-8", "replace")
    # A letter may say what it likes; what cannot be decoded is shown as it stands.
    with contextlib.suppress(email.errors.HeaderParseError, LookupError, ValueError):
        value = str(email.header.make_header(email.header.decode_header(value)))
    return "".join(sign if sign.isprintable() else " " for sign in value)[:500]


async def _inbox_show(context: Context, number: int) -> InboxContent:
    async with context.queue() as queue:
        kept = await queue.kept(number)
        if kept is None:
            raise SettingError(f"no inbox has a letter number {number}", remedy="see `posthouse inbox list`")
        letter, content = kept
        octets = _whole(content)
    text = octets.decode("utf-8", "replace")
    return InboxContent(
        number=letter.number,
        inbox=letter.inbox,
        queue_id=letter.queue_id,
        received=letter.received,
        size=letter.size,
        sender=letter.sender,
        text=text,
        raw=None if text.encode() == octets else octets,
    )


def _whole(content: Content) -> bytes:
    return b"".join(content.chunks())


# Judging and explaining ---------------------------------------------------------------------------------------------


async def _check_config(context: Context | None, path: str) -> ConfigReport:
    try:
        config = load(path)
    except ConfigError as error:
        problems = [str(each) for each in error.problems]
        return ConfigReport(path=path, usable=False, problems=problems, advice=[])
    return ConfigReport(path=path, usable=True, problems=[], advice=advice(config))


def what_is(asked: str) -> str:
    """What somebody wants explained: ``message`` (a queue id), ``address`` (or a Message-ID), or ``code``."""
    asked = asked.strip()
    if number_of(asked.lower()) is not None:
        return "message"
    if "@" not in asked or (" " in asked and not asked.removeprefix("<").startswith('"')):
        return "code"
    return "address"


async def _check_address(context: Context, address: str) -> AddressReport:
    from posthouse.service.operations.explain_address import (
        check_address,  # it brings the relay, which no other operation needs
    )

    return await check_address(context, address)


async def _explain(context: Context, what: str, lang: str = "en") -> Explained:
    what = what.strip()
    kind = what_is(what)
    if kind == "code":
        return Explained(kind="code", codes=await _explain_code(None, what, lang))
    if kind == "message":
        story = await story_of(context, what.lower())
        if story is None:
            remedy = "see `posthouse queue list`; stories are kept for as long as [spool] history says"
            raise SettingError(f'no message "{what}" is known, and no story of one', remedy=remedy)
        return Explained(kind="message", message=story)
    told = await _find(context, message_id=f"<{what.strip('<>')}>")
    if len(told) == 1:
        return Explained(kind="message", message=await story_of(context, told[0].id))
    if told:
        return Explained(kind="messages", messages=list(map(found, told)))
    from posthouse.service.operations.explain_address import address_of, forecast  # as in _check_address

    address = address_of(what)
    told = await _find(context, address=str(address))
    return Explained(kind="address", address=await forecast(context, address), messages=list(map(found, told)))


async def _find(context: Context, *, address: str = "", message_id: str = "") -> list[MessageSummary]:
    """Messages by what stands in their stories; none where there is no spool."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            queue = await stack.enter_async_context(context.queue())
        except SettingError:
            return []
        return await queue.find(address=address, message_id=message_id)


async def _explain_code(context: Context | None, code: str, lang: str = "en") -> list[CodeEntry]:
    from posthouse.codes.lookup import lookup, near  # a large table
    from posthouse.codes.model import BasicCode

    known = lookup(code)
    if not known:
        others = near(code)
        remedy = "did you mean " + ", ".join(others) + "?" if others else 'write a code like "550" or "5.1.1"'
        raise SettingError(f'"{code}" is no reply code', remedy=remedy)
    return [
        CodeEntry(
            code=str(each.code),
            title=each.title.said(lang),
            meaning=each.meaning.said(lang),
            whose=each.whose.label.said(lang),
            next_step=each.next_step.said(lang),
            source=each.source,
            occasion=each.occasion.said(lang) if isinstance(each, BasicCode) and each.occasion is not None else "",
            note=each.note.said(lang) if each.note is not None else "",
            registered=each.registered,
        )
        for each in known
    ]


_LIMIT = Parameter("limit", "How many at most.", int, 1000)

_ALL: Final = (
    *QUEUEING,
    Operation("inbox summary", "Show the inboxes and how much is in them.", _inbox_summary, list[InboxSummary]),
    Operation(
        "inbox list",
        "Show the letters in the inboxes, oldest first.",
        _inbox_list,
        list[InboxEntry],
        (Parameter("inbox", "Only this inbox (an address).", str, ""), _LIMIT),
    ),
    Operation(
        "inbox show",
        "Show one letter as it was delivered.",
        _inbox_show,
        InboxContent,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
    ),
    Operation(
        "check config",
        "Judge a configuration file: every mistake, and what may not be meant.",
        _check_config,
        ConfigReport,
        (Parameter("path", "The file."),),
        needs_context=False,
    ),
    Operation(
        "check address",
        "Say where a letter to an address would go, and why.",
        _check_address,
        AddressReport,
        (Parameter("address", "The address, with or without angle brackets."),),
    ),
    Operation(
        "explain",
        "Tell a message's story, what would become of a letter to an address, or what a reply code means.",
        _explain,
        Explained,
        (
            Parameter("what", "A queue id, a Message-ID, an address, or a reply code."),
            Parameter("lang", "For codes: en or zh.", str, "en"),
        ),
        live=True,
    ),
    Operation(
        "explain code",
        "Explain a reply code, an enhanced code, or a line with such codes in it.",
        _explain_code,
        list[CodeEntry],
        (
            Parameter("code", "550, 5.1.1, 4.7.x, or a line of a log."),
            Parameter("lang", "en or zh.", str, "en"),
        ),
        needs_context=False,
    ),
)

#: Every operation by name.
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _ALL})
