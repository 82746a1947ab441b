"""Composes a message: an envelope and its content from values (RFC 5322, RFC 2045–2047, RFC 2231, RFC 6532).

``posthouse.Message`` is the same as a value, with a Date and a Message-ID of its own; this function reads no clock and
draws nothing, so equal arguments give equal octets.

The standard library's ``email`` package is not used, because its output differs between versions of Python, and because
importing it takes longer than sending a message from the command line.

The content has CRLF line ends and ends with one; its lines are at most 998 octets; it is 7-bit unless an address is not
ASCII; it has no Bcc field.  No value can begin a header field of its own: a control character in one is a
``LocalError``.  Boundaries are derived from the Message-ID and the parts.

An address with a non-ASCII local part needs ``utf8=True``.  A domain in U-labels does not: the envelope has it in
A-labels, and so has the header section, unless a local part makes that one UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from posthouse.core import Body, Envelope, LocalError, Recipient
from posthouse.message.composing.bodies import BodyParts, body_part, to_crlf
from posthouse.message.composing.head_lines import checked_fields, checked_message_id, date_text, foreign_address
from posthouse.message.composing.pieces import PieceContent
from posthouse.message.encode import fold
from posthouse.message.field_writing import mailbox_field, mailboxes_of, text_field, written_field
from posthouse.message.mailboxes import MailboxesLike, MailboxLike, parse_mailboxes, with_a_labels

if TYPE_CHECKING:
    from posthouse.message.composing.attachment import Attachment

__all__ = ["Composed", "compose", "compose_streamed", "to_crlf"]


class Composed(NamedTuple):
    """A message ready to be sent: its envelope, with all recipients, and its content."""

    envelope: Envelope
    content: bytes


def compose(
    *,
    from_: MailboxLike,
    date: datetime | tuple[float, int],
    message_id: str,
    to: MailboxesLike = (),
    cc: MailboxesLike = (),
    bcc: MailboxesLike = (),
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    attachments: Sequence[Attachment | tuple[str, bytes] | tuple[str, bytes, str]] = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    utf8: bool = False,
) -> Composed:
    """Compose a message.

    Args:
        from_: One mailbox; its address is the envelope's sender.
        to: Mailboxes as for ``parse_mailboxes``; likewise ``cc`` and ``bcc``.  Equal recipients become one.
        date: An aware ``datetime``, or seconds since 1970 with the zone's offset in minutes.
        message_id: With or without ``<`` and ``>``.
        text: Plain text with any line ends; ``html`` is its alternative.  Without both the text is empty.
        headers: Further fields in order.
        utf8: Allow local parts that are not ASCII.  Only if there is one, the header fields are in UTF-8 (RFC 6532)
            and the envelope asks for SMTPUTF8 and 8BITMIME.

    Raises:
        LocalError: A value cannot be sent: no recipient, a text that is not a mailbox, a naive date, a control
            character in a header, or an extra field that only Posthouse writes.
    """
    envelope, content = compose_streamed(
        from_=from_,
        date=date,
        message_id=message_id,
        to=to,
        cc=cc,
        bcc=bcc,
        subject=subject,
        text=text,
        html=html,
        attachments=attachments,
        headers=headers,
        utf8=utf8,
    )
    return Composed(envelope, b"".join(content.chunks()))


def compose_streamed(
    *,
    from_: MailboxLike,
    date: datetime | tuple[float, int],
    message_id: str,
    to: MailboxesLike = (),
    cc: MailboxesLike = (),
    bcc: MailboxesLike = (),
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    attachments: Sequence[Attachment | tuple[str, bytes] | tuple[str, bytes, str]] = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    utf8: bool = False,
) -> tuple[Envelope, PieceContent]:
    """``compose``, with content that is written while it is sent: an ``Attachment`` of a ``Path`` is read then, in
    chunks.  Raises as ``compose``, and ``LocalError`` if an attached file cannot be read."""
    sender = parse_mailboxes(from_, "From")
    if len(sender) != 1:
        raise LocalError("From must name exactly one mailbox; give the others in Reply-To")
    lists = {"To": parse_mailboxes(to, "To"), "Cc": parse_mailboxes(cc, "Cc"), "Bcc": parse_mailboxes(bcc, "Bcc")}
    recipients = dict.fromkeys(with_a_labels(mailbox.address) for found in lists.values() for mailbox in found)
    if not recipients:
        raise LocalError("the message has no recipient; give at least one address in To, Cc or Bcc")
    extra = checked_fields(headers)
    foreign = foreign_address(sender, *lists.values(), *(mailboxes_of(*each) or () for each in extra))
    if foreign and not utf8:
        raise LocalError(f"the local part of {foreign} is not ASCII, which needs SMTPUTF8; allow it with utf8=True")
    raw = bool(foreign)
    lines = [fold("Date", (date_text(date),)), mailbox_field("From", sender, utf8=raw)]
    lines += [mailbox_field(name, lists[name], utf8=raw) for name in ("To", "Cc") if lists[name]]
    if subject:
        lines.append(text_field("Subject", subject, utf8=raw))
    lines.append(fold("Message-ID", (checked_message_id(message_id, utf8=raw),)))
    lines += [written_field(name, value, utf8=raw) for name, value in extra]
    body = body_part(BodyParts(text, html, files=_attached(attachments), legacy_names=False), message_id)
    content = PieceContent((*lines, b"MIME-Version: 1.0\r\n", body.fields, b"\r\n", *body.body))
    envelope = Envelope(
        sender=with_a_labels(sender[0].address),
        recipients=tuple(map(Recipient, recipients)),
        body=Body.SEVENBIT if content.is_ascii else Body.EIGHTBITMIME,
        smtputf8=raw,
        size=content.size,
    )
    return envelope, content


def _attached(given: Sequence[Attachment | tuple[str, bytes] | tuple[str, bytes, str]]) -> list[Attachment]:
    if not given:
        return []
    from posthouse.message.composing.attachment import Attachment

    return [each if isinstance(each, Attachment) else Attachment(each[1], each[0], *each[2:]) for each in given]
