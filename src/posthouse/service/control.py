"""Each operation once: its name, its parameters, its help, and what it does.

The command line prints the answers, the console shows them, the manual lists them; none of the three knows more than
what stands here.  Operations of this version only read: they open the spool of ``data_dir`` read-only, whether a
daemon runs or not.  An operation raises ``SettingError`` when what it was asked cannot be meant; every other end is an
answer.
"""

from __future__ import annotations

import contextlib
import email.errors
import email.header
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from posthouse.message.headers import fields, first, split
from posthouse.net.clock import Clock
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.relay.job import NoRoute, Router
from posthouse.service import inquiries
from posthouse.service.accounts import Directory, Expanded, Foreign, Local, Moved, Resolution, expand_envelope
from posthouse.service.answers import (
    AddressReport,
    CodeEntry,
    ConfigReport,
    End,
    InboxEntry,
    InboxSummary,
    Letter,
    QueueEntry,
    QueueRecipient,
    QueueStory,
)
from posthouse.service.config import ConfigError, advice, load
from posthouse.service.model import Config
from posthouse.spool.queue import Entry, Queue, State
from posthouse.words import Address, Content, Envelope, Recipient, SettingError
from posthouse.words.codes import lookup, near
from posthouse.words.codes_model import BasicCode

__all__ = ["Context", "OPERATIONS", "Operation", "Parameter"]


class Context(NamedTuple):
    """What operations work on.  ``queue`` opens the spool read-only and closes it again; ``router`` is today's."""

    config: Config
    clock: Clock
    queue: Callable[[], AbstractAsyncContextManager[Queue]]
    router: Router


class Parameter(NamedTuple):
    """One parameter.  ``kind`` is str or int; without a ``default`` it must be given."""

    name: str
    help: str
    kind: type = str
    default: str | int | None = None


class Operation(NamedTuple):
    """One operation.  ``run`` takes the context (or None where ``needs_context`` is False) and the parameters by
    name, and answers with a struct of ``answers`` or a list of them."""

    name: str
    help: str
    run: Callable[..., Coroutine[Any, Any, Any]]
    parameters: tuple[Parameter, ...] = ()
    needs_context: bool = True


# The queue ----------------------------------------------------------------------------------------------------------

#: Entries asked of the queue at one time.
_PAGE: Final = 500


async def _queue_list(context: Context, limit: int = 1000) -> list[QueueEntry]:
    found: list[QueueEntry] = []
    async with context.queue() as queue:
        after = ""
        while len(found) < limit:
            page = await queue.entries(limit=min(_PAGE, limit - len(found)), after=after)
            found += map(_queue_entry, page)
            if not page:
                break
            after = page[-1].message.id
    return found


def _queue_entry(entry: Entry) -> QueueEntry:
    message = entry.message
    waiting = [each for each in entry.recipients if each.state is State.WAITING]
    unsettled = waiting or [each for each in entry.recipients if each.state is State.HELD]
    return QueueEntry(
        id=message.id,
        received=message.received,
        size=message.size,
        sender=_sender(message.envelope),
        recipients=[str(each.recipient.address) for each in entry.recipients],
        waiting=len(waiting),
        attempts=max((each.attempts for each in entry.recipients), default=0),
        due=min((each.due for each in waiting), default=None),
        last=next((each.last for each in unsettled if each.last), "corrupt" if entry.corrupt else ""),
    )


def _sender(envelope: Envelope) -> str:
    return "" if envelope.sender is None else str(envelope.sender)


async def _queue_show(context: Context, id: str) -> QueueStory:  # noqa: A002 - the parameter's name for people
    async with context.queue() as queue:
        entry = await queue.entry(id)
    if entry is None:
        raise SettingError(f'the queue knows no message "{id}"', remedy="see `posthouse queue list`")
    message = entry.message
    recipients = [
        QueueRecipient(
            address=str(each.recipient.address),
            destination=each.destination,
            state=each.state.value,
            attempts=each.attempts,
            due=each.due,
            last=each.last,
        )
        for each in entry.recipients
    ]
    return QueueStory(
        id=message.id,
        received=message.received,
        size=message.size,
        sender=_sender(message.envelope),
        source=message.source,
        corrupt=entry.corrupt,
        recipients=recipients,
    )


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
    field = first(fields(split(head).headers), name)
    if field is None:
        return ""
    value = field.value.decode("utf-8", "replace")
    # A letter may say what it likes; what cannot be decoded is shown as it stands.
    with contextlib.suppress(email.errors.HeaderParseError, LookupError, ValueError):
        value = str(email.header.make_header(email.header.decode_header(value)))
    return "".join(sign if sign.isprintable() else " " for sign in value)[:500]


async def _inbox_show(context: Context, number: int) -> Letter:
    async with context.queue() as queue:
        kept = await queue.kept(number)
        if kept is None:
            raise SettingError(f"no inbox has a letter number {number}", remedy="see `posthouse inbox list`")
        letter, content = kept
        octets = _whole(content)
    text = octets.decode("utf-8", "replace")
    return Letter(
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


async def _check_address(context: Context, address: str) -> AddressReport:
    text = address.strip().removeprefix("<").removesuffix(">")
    try:
        asked = Address(text) if text.lower() == "postmaster" else parse_mailbox(text)
    except GrammarError as error:
        raise SettingError(f'"{address}" is no mailbox: {error}') from error
    directory = Directory(context.config)
    found = directory.resolve(asked)
    kind, reply, explanation = _judged(found)
    ends: list[End] = []
    if reply[0] == "2" or kind == "foreign":
        for envelope in expand_envelope(directory, Envelope(asked, (Recipient(asked),))):
            ends += [_end(context.router, recipient) for recipient in envelope.recipients]
    return AddressReport(address=str(asked), kind=kind, reply=reply, explanation=explanation, ends=ends)


def _judged(found: Resolution) -> tuple[str, str, str]:
    """Kind, a stranger's reply, and the explanation."""
    if isinstance(found, Local):
        if found.paused:
            return "mailbox", "450 4.2.1", "The mailbox is paused; senders try again later."
        return "mailbox", "250 2.1.5", f"A mailbox of ours; its mail is put into {found.deliver}."
    if isinstance(found, Moved):
        verb = "sent on to" if found.action == "forward" else "refused, and the sender told of"
        return "moved", str(inquiries.moved(found).reply), f"The mailbox has moved; mail is {verb} {found.to}."
    if isinstance(found, Expanded):
        if found.owner is None:
            return "alias", "250 2.1.5", f"An alias of {len(found.targets)}; the sender stays the sender."
        return "list", "250 2.1.5", f"A list of {len(found.targets)}; {found.owner} becomes the sender."
    if isinstance(found, Foreign):
        return "foreign", "550 5.7.1", "Not a domain of ours: only trusted networks may send there through us."
    return "unknown", "550 5.1.1", "The domain is ours, and nobody of that name lives there."


def _end(router: Router, recipient: Recipient) -> End:
    way = router.route(recipient)
    if isinstance(way, NoRoute):
        return End(recipient=str(recipient.address), target="", reason=way.outcome.reason)
    return End(recipient=str(recipient.address), target=way.target, reason=way.reason)


async def _explain(context: Context | None, code: str, lang: str = "en") -> list[CodeEntry]:
    found = lookup(code)
    if not found:
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
        for each in found
    ]


_LIMIT = Parameter("limit", "How many at most.", int, 1000)

_ALL: Final = (
    Operation("queue list", "Show the messages that are not finished, oldest first.", _queue_list, (_LIMIT,)),
    Operation(
        "queue show",
        "Show one message and each of its recipients.",
        _queue_show,
        (Parameter("id", "The queue id, as in the 250 that took it."),),
    ),
    Operation("inbox summary", "Show the inboxes and how much is in them.", _inbox_summary),
    Operation(
        "inbox list",
        "Show the letters in the inboxes, oldest first.",
        _inbox_list,
        (Parameter("inbox", "Only this inbox (an address).", str, ""), _LIMIT),
    ),
    Operation(
        "inbox show",
        "Show one letter as it was delivered.",
        _inbox_show,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
    ),
    Operation(
        "check config",
        "Judge a configuration file: every mistake, and what may not be meant.",
        _check_config,
        (Parameter("path", "The file."),),
        needs_context=False,
    ),
    Operation(
        "check address",
        "Say where a letter to an address would go, and why.",
        _check_address,
        (Parameter("address", "The address, with or without angle brackets."),),
    ),
    Operation(
        "explain code",
        "Explain a reply code, an enhanced code, or a line with such codes in it.",
        _explain,
        (
            Parameter("code", "550, 5.1.1, 4.7.x, or a line of a log."),
            Parameter("lang", "en or zh.", str, "en"),
        ),
        needs_context=False,
    ),
)

#: Every operation by name.
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _ALL})
