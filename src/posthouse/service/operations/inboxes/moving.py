"""Operations by which messages leave an inbox or come into one: release to a real address, and import.

A release goes to the server of ``[inbox] release_via`` at once, in one session, so that its answer can be shown; it
goes to the addresses of ``release_to`` only, and with the octets as they were delivered but for the trace field that
final delivery put in front.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fnmatch
from typing import Final

from posthouse.core import Address, Bytes, Envelope, PosthouseError, Recipient, SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.indexed import followed
from posthouse.service.operations.inboxes.mail_answers import MailCount, MessageSent, ReleaseEntry, ReleaseReport
from posthouse.service.operations.inboxes.reading import missing, octets_of, read_octets_of
from posthouse.service.operations.spelling import inbox_name
from posthouse.spool.interface import StoredMessage

__all__ = ["MOVING_OPERATIONS"]

_MOST_RECIPIENTS: Final = 100
_MOST_OCTETS: Final = 64 << 20  # of an import
_MOST_IMPORTED: Final = 10_000  # messages


def _mailbox(text: str) -> Address:
    from posthouse.protocol.grammar import GrammarError, parse_mailbox

    try:
        return parse_mailbox(text.strip().removeprefix("<").removesuffix(">"))
    except GrammarError as error:
        raise SettingError(f'"{text[:100]}" is no address', remedy="write user@domain") from error


async def _release(context: Context, number: int, to: str) -> ReleaseReport:
    settings = context.config.inbox
    recipients = [_mailbox(each) for each in to.split(",") if each.strip()]
    if not settings.release_via:
        raise SettingError(
            "no server is named by which a message could be released",
            remedy="write release_via and release_to into [inbox] of the configuration",
        )
    if not 1 <= len(recipients) <= _MOST_RECIPIENTS:
        raise SettingError("no recipient is named, or too many", remedy=f"write 1 to {_MOST_RECIPIENTS} addresses")
    for each in recipients:
        if not any(fnmatch.fnmatchcase(str(each).lower(), pattern) for pattern in settings.release_to):
            raise SettingError(
                f"nothing may be released to {each}", remedy="add the address to release_to of [inbox], and reload"
            )
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
    envelope = Envelope(_sender(message.sender), tuple(Recipient(each) for each in recipients))
    return await _submitted(context, number, settings.release_via, envelope, _without_trace(octets))


def _sender(text: str) -> Address | None:
    return _mailbox(text) if text else None


def _without_trace(octets: bytes) -> bytes:
    """The message without the Return-Path that final delivery put in front (RFC 5321 §4.4)."""
    if octets[:12].lower() == b"return-path:":
        return octets[octets.find(b"\n") + 1 :]
    return octets


async def _submitted(context: Context, number: int, via: str, envelope: Envelope, octets: bytes) -> ReleaseReport:
    from posthouse.client.hostname import means_something
    from posthouse.client.server_url import parse_server
    from posthouse.sending import submit

    try:
        hostname = context.config.hostname if means_something(context.config.hostname) else ""
        outcomes = await submit(parse_server(via), envelope, Bytes(octets), hostname=hostname)
    except PosthouseError as error:
        raise SettingError(f"the message was not released: {error}", remedy=f"see whether {via} takes mail") from error
    return ReleaseReport(
        number=number,
        via=via,
        recipients=[
            ReleaseEntry(
                recipient=str(each.recipient.address),
                accepted=each.result.value == "delivered",
                reply=str(each.reply) if each.reply is not None else each.reason,
            )
            for each in outcomes
        ],
    )


async def _import(context: Context, content: str, to: str) -> MailCount:
    name = inbox_name(to)
    recipient = _mailbox(name)
    octets = _octets(content)
    messages = await asyncio.to_thread(_split_messages, octets)
    if len(messages) > _MOST_IMPORTED:
        raise SettingError(f"there are {len(messages):,} messages", remedy=f"import {_MOST_IMPORTED:,} at one time")
    envelope = Envelope(None, (Recipient(recipient),))
    async with context.writable_spool() as spool:
        for each in messages:
            incoming = spool.receive()  # for its id
            incoming.abort()
            stored = StoredMessage(incoming.id, envelope, context.clock.time(), len(each))
            await spool.keep(name, stored, Bytes(each))
        await followed(context, spool, at_once=True)
    return MailCount(messages=len(messages), unread=0, octets=len(octets), whole=True, last=0)


def _split_messages(octets: bytes) -> list[bytes]:
    """The messages of an mbox (RFC 4155), or the one message that it is, with CRLF line ends."""
    from posthouse.service.inbox.mbox import messages_of

    return messages_of(octets)


async def _send(context: Context, sender: str, to: str, content: str) -> MessageSent:
    recipients = [_mailbox(each) for each in to.split(",") if each.strip()]
    if not 1 <= len(recipients) <= _MOST_RECIPIENTS:
        raise SettingError("no recipient is named, or too many", remedy=f"write 1 to {_MOST_RECIPIENTS} addresses")
    envelope = Envelope(_sender(sender.strip()), tuple(Recipient(each) for each in recipients))
    octets = _octets(content)
    if context.submit is None:
        raise SettingError("messages are taken by a running daemon", remedy="start it: posthouse run")
    queue_id, reason = await context.submit(envelope, octets)
    if reason:
        raise SettingError(f"the message was not taken: {reason}", remedy="try again later")
    return MessageSent(queue_id=queue_id, refused=not queue_id)


async def _again(context: Context, number: int) -> MessageSent:
    async with context.spool() as spool:
        await followed(context, spool, at_once=True)
        row, found = await spool.index.row(number), await octets_of(spool, number)
    if row is None or found is None:
        raise missing(number)
    recipients = ",".join(row.envelope or row.inboxes)
    octets = base64.b64encode(_without_trace(found[1])).decode()
    return await _send(context, row.sender, recipients, octets)


def _octets(content: str) -> bytes:
    try:
        octets = base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise SettingError(
            "the content is not base64", remedy="encode the message, or the mbox, with base64"
        ) from error
    if not octets or len(octets) > _MOST_OCTETS:
        raise SettingError("the content is empty or too large", remedy=f"give 1 to {_MOST_OCTETS:,} octets")
    return octets


_NUMBER: Final = Parameter("number", "Its number, as in `inbox list`.", int)
_CONTENT: Final = Parameter("content", "The message in base64.", str)

#: The operations of this module.
MOVING_OPERATIONS: Final = (
    Operation(
        "inbox release",
        "Send one message on to real addresses, by the server of release_via.",
        _release,
        ReleaseReport,
        (_NUMBER, Parameter("to", "The addresses, with commas between them.", str)),
        live=True,
        narrowed=True,
    ),
    Operation(
        "inbox import",
        "Put a message, or the messages of an mbox, into an inbox.",
        _import,
        MailCount,
        (_CONTENT, Parameter("to", "The inbox (an address).", str)),
        live=True,
    ),
    Operation(
        "inbox again",
        "Send one message again to those that it was sent to.",
        _again,
        MessageSent,
        (_NUMBER,),
        live=True,
    ),
    Operation(
        "inbox send",
        "Hand a message to the daemon, as `posthouse sendmail` does.",
        _send,
        MessageSent,
        (
            Parameter("sender", "The sender of the envelope; empty for the null reverse-path.", str),
            Parameter("to", "The recipients of the envelope, with commas between them.", str),
            _CONTENT,
        ),
        live=True,
    ),
)
