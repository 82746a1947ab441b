"""``Message``: one message as a value that does not change (RFC 5322, MIME).

Everything but the sender has a default.  Date and Message-ID are drawn when the message is made, so that every attempt
to send it has the same ones: a copy, a pickled message and one from JSON too.  What cannot stand in a message is an
error when it is made, before any connection is opened.

A message is a ``Content``: ``size`` and ``chunks()`` give its octets without holding them as a whole.  An attachment
that was given as a ``Path`` is read at each rendering.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from posthouse.core import Body, Envelope, LocalError, Recipient
from posthouse.message.composing.bodies import BodyParts, body_part
from posthouse.message.composing.drawn import date_now, unique_id
from posthouse.message.composing.given_mailboxes import Addressee, Addressees, given_mailboxes, one_mailbox
from posthouse.message.composing.head_lines import (
    checked_date,
    checked_fields,
    checked_ids,
    checked_message_id,
    checked_text,
    date_text,
    foreign_address,
)
from posthouse.message.composing.pieces import CHUNK, Piece, chunked, file_state, join, size_of
from posthouse.message.composing.signed_message import Signable
from posthouse.message.encode import fold
from posthouse.message.field_writing import mailbox_field, mailboxes_of, text_field, written_field
from posthouse.message.mailboxes import Mailbox, with_a_labels

if TYPE_CHECKING:
    from typing import Self, Unpack

    from posthouse.message.authoring.calendar import CalendarEvent
    from posthouse.message.authoring.list_fields import ListFields
    from posthouse.message.composing.attachment import Attachment, AttachmentsLike, InlineLike
    from posthouse.message.composing.message_changes import MessageChanges

__all__ = ["Message"]


class Message(Signable):
    """A message: immutable, equal and hashed by its content, picklable, deep-copyable, and JSON-able.

    Args:
        sender: The author, one mailbox: ``"朗瑞 <langrui@sohu.com>"``, ``Address("朗瑞", "langrui@sohu.com")``.  Its
            address is also the envelope's sender.
        to: A mailbox, a text with several that commas separate, or a sequence of single ones; likewise ``cc`` and
            ``bcc``.  Bcc is in the envelope alone.
        reply_to: Where answers go, if not to the sender.
        subject: In any script, on one line.
        text: Plain text.  None with HTML: a text is made of the HTML; "" with HTML: no text part.
        html: The same text as HTML; a picture of ``inline`` is shown by ``src="cid:NAME"``.
        markdown: Makes ``html`` of it, and ``text`` where there is none (the extra ``posthouse[markdown]``).
        attachments: ``Path`` s, ``Attachment`` s, open binary files, ``data:`` URLs, pairs of name and content, or a
            mapping of names to contents.  A bare ``str`` is an error: it could be a path or a text.
        inline: What the HTML shows: a mapping of content ids, or attachments with ``content_id``.
        calendar: An invitation: a ``CalendarEvent``, or an iCalendar text with a METHOD (RFC 5545, RFC 6047).
        headers: Further fields in order; a field with a grammar of its own is written by it.
        in_reply_to: The Message-ID that is answered, with or without angle brackets; ``references`` those before it.
        date: An aware ``datetime``; now if it is left out.
        message_id: Drawn at the sender's domain if it is left out.
        priority: "high", "normal" or "low".
        auto_submitted: "auto-generated" for what no person wrote, "auto-replied" for an automatic answer (RFC 3834).
        mailing_list: What List-Id, List-Help … say (RFC 2369, RFC 2919).
        unsubscribe: URLs of List-Unsubscribe.  An https one takes one-click requests (RFC 8058), unless ``one_click``
            is False.
        flowed: Send ``text`` as format=flowed (RFC 3676), which narrow screens wrap anew.
        legacy_names: Write names of files for readers without RFC 2231 too.
        check_inline: Refuse HTML that shows a part that is not there, and inline parts that the HTML does not show.

    Raises:
        LocalError: A value cannot stand in a message; the sentence names the field.
        OSError: A stream that is to be attached cannot be read.
    """

    __slots__ = (
        "_head", "_plan", "attachments", "auto_submitted", "bcc", "calendar", "cc", "check_inline", "date", "flowed",
        "headers", "html", "in_reply_to", "inline", "legacy_names", "mailing_list", "message_id", "one_click",
        "priority", "references", "reply_to", "sender", "subject", "text", "to", "unsubscribe",
    )  # fmt: skip

    FIELDS = (
        "sender", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "attachments", "inline", "calendar",
        "headers", "in_reply_to", "references", "date", "message_id", "priority", "auto_submitted", "mailing_list",
        "unsubscribe", "one_click", "flowed", "legacy_names", "check_inline",
    )  # fmt: skip

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    subject: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    inline: tuple[Attachment, ...]
    #: An iCalendar object, "" for none.
    calendar: str
    headers: tuple[tuple[str, str], ...]
    #: Without angle brackets.
    in_reply_to: tuple[str, ...]
    #: Without angle brackets.
    references: tuple[str, ...]
    date: datetime
    #: Without angle brackets.
    message_id: str
    priority: str
    auto_submitted: str
    mailing_list: ListFields | None
    unsubscribe: tuple[str, ...]
    one_click: bool
    flowed: bool
    legacy_names: bool
    check_inline: bool
    _head: bytes | None
    _plan: tuple[object, tuple[Piece, ...]] | None

    def __init__(
        self,
        sender: Addressee,
        to: Addressees = (),
        *,
        cc: Addressees = (),
        bcc: Addressees = (),
        reply_to: Addressees = (),
        subject: str = "",
        text: str | None = None,
        html: str | None = None,
        markdown: str | None = None,
        attachments: AttachmentsLike = (),
        inline: InlineLike = (),
        calendar: str | CalendarEvent = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        in_reply_to: str | Iterable[str] | None = None,
        references: str | Iterable[str] | None = None,
        date: datetime | None = None,
        message_id: str = "",
        priority: str = "",
        auto_submitted: str = "",
        mailing_list: ListFields | None = None,
        unsubscribe: str | Iterable[str] = (),
        one_click: bool = True,
        flowed: bool = False,
        legacy_names: bool = True,
        check_inline: bool = True,
    ) -> None:
        """Make a message; the class says what the arguments are.  Over budget: it has an argument for each field."""
        author = one_mailbox(sender, "sender")
        receivers, copied = given_mailboxes(to, "to"), given_mailboxes(cc, "cc")
        own_id = checked_text(message_id, "message_id") or unique_id(with_a_labels(author.address).domain)
        self._set(
            sender=author,
            to=receivers,
            cc=copied,
            bcc=given_mailboxes(bcc, "bcc"),
            reply_to=given_mailboxes(reply_to, "reply_to"),
            subject=checked_text(subject, "subject"),
            text=checked_text(text, "text"),
            html=checked_text(html, "html"),
            attachments=_attached(attachments) if attachments else (),
            inline=_inlined(inline) if inline else (),
            calendar=_calendar(calendar, author, (*receivers, *copied)) if calendar else "",
            headers=checked_fields(headers),
            in_reply_to=checked_ids(in_reply_to, "in_reply_to"),
            references=checked_ids(references, "references"),
            date=date_now() if date is None else checked_date(date),
            message_id=own_id.removeprefix("<").removesuffix(">"),
            priority=priority,
            auto_submitted=auto_submitted,
            mailing_list=mailing_list,
            unsubscribe=_urls(unsubscribe) if unsubscribe else (),
            one_click=one_click,
            flowed=flowed,
            legacy_names=legacy_names,
            check_inline=check_inline,
        )
        if markdown is not None:
            self._set_markdown(markdown)
        self._forget()
        self._set(_head=self._written())
        for each in self.bcc:  # the header section has no part of them
            with_a_labels(each.address)
        if check_inline and (self.inline or (self.html and "cid:" in self.html)):
            from posthouse.message.composing.inline_ids import check_inline as check

            check(self.html, [each.content_id for each in self.inline])

    def _forget(self) -> None:
        self._set(_head=None, _plan=None)

    def _set_markdown(self, markdown: str) -> None:
        from posthouse.message.authoring.markdown_html import html_of_markdown

        if self.html is not None:
            raise LocalError("the message has markdown and html, which are the same part; give one of them")
        self._set(html=html_of_markdown(markdown), text=markdown if self.text is None else self.text)

    def replace(self, **changes: Unpack[MessageChanges]) -> Self:
        """Another message with these arguments in place of its own; Date and Message-ID stay unless they are given."""
        given = self.__getstate__()
        if changes.get("markdown") is not None:
            given |= {"html": None, "text": None}
        return type(self)(**{**given, **changes})  # type: ignore[arg-type]

    __replace__ = replace  # copy.replace of Python 3.13

    def __repr__(self) -> str:
        number = len(self.to) + len(self.cc) + len(self.bcc)
        return f"<Message {self.message_id} from {self.sender.address} to {number} recipient{'s' * (number != 1)}>"

    # -- what is sent --------------------------------------------------------------------------------------------------

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The addresses of To, Cc and Bcc, each once, with domains in A-labels."""
        every = (*self.to, *self.cc, *self.bcc)
        return tuple(map(Recipient, dict.fromkeys(with_a_labels(each.address) for each in every)))

    @property
    def envelope(self) -> Envelope:
        """The envelope of the message.

        It asks for SMTPUTF8 only if a local part is not ASCII.

        Raises:
            LocalError: There is no recipient, or an attached file cannot be read.
        """
        recipients = self.recipients
        if not recipients:
            raise LocalError("the message has no recipient; give at least one address in to, cc or bcc")
        raw = self._is_utf8
        return Envelope(
            sender=with_a_labels(self.sender.address),
            recipients=recipients,
            body=Body.EIGHTBITMIME if raw else Body.SEVENBIT,
            smtputf8=raw or bool(foreign_address(self.bcc)),
            size=self.size,
        )

    @property
    def size(self) -> int:
        """Length of the message in octets.  Raises ``LocalError`` if an attached file cannot be read."""
        return size_of(self._pieces())

    def as_bytes(self) -> bytes:
        """The message: CRLF line ends, lines of at most 998 octets, 7-bit unless a local part is not ASCII, no Bcc.

        Raises ``LocalError`` if an attached file cannot be read.
        """
        return b"".join(chunked(self._pieces()))

    def __bytes__(self) -> bytes:
        return self.as_bytes()

    def chunks(self, at_most: int = CHUNK) -> Iterator[bytes]:
        """The octets in chunks of at most 64 KiB; large attachments are encoded while they are read.

        Raises ``LocalError`` if an attached file cannot be read, or changes meanwhile.
        """
        return chunked(self._pieces(), min(at_most, CHUNK))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the message to a file (.eml).  Raises ``OSError``, and ``LocalError`` as ``chunks`` does."""
        with open(path, "wb") as file:
            file.writelines(self.chunks())

    # -- JSON ----------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The message as a JSON object, for task queues.

        A ``Path`` stays a path, which is read when the message is sent; other contents are in base64.

        Raises ``LocalError`` if an attachment lies in a temporary file and is larger than 64 MiB.
        """
        from posthouse.message.composing.message_json import json_of

        return json_of(self.__getstate__())

    @classmethod
    def from_json(cls, text: str | bytes, *, paths: bool = True) -> Self:
        """The message that ``to_json`` wrote.

        Args:
            text: The JSON object.
            paths: Take attachments that are paths of files.  False for a text that others could have written: it
                could name any file of this machine.

        Raises:
            LocalError: The text is no such object.
        """
        from posthouse.message.composing.message_json import arguments_of

        return cls(**arguments_of(text, cls.FIELDS, paths=paths))

    # -- rendering -----------------------------------------------------------------------------------------------------

    @property
    def _is_utf8(self) -> bool:
        """Whether the header section is in UTF-8 (RFC 6532): a local part in it is not ASCII."""
        lists = ((self.sender,), self.to, self.cc, self.reply_to)
        return bool(foreign_address(*lists, *(mailboxes_of(*each) or () for each in self.headers)))

    def _written(self) -> bytes:
        """The header section without the fields of MIME.  Raises ``LocalError`` if a value cannot stand in it."""
        raw = self._is_utf8
        lines = [fold("Date", (date_text(self.date),)), mailbox_field("From", (self.sender,), utf8=raw)]
        for name, found in (("To", self.to), ("Cc", self.cc), ("Reply-To", self.reply_to)):
            if found:
                lines.append(mailbox_field(name, found, utf8=raw))
        if self.subject:
            lines.append(text_field("Subject", self.subject, utf8=raw))
        lines.append(fold("Message-ID", (checked_message_id(self.message_id, utf8=raw),)))
        for name, ids in (("In-Reply-To", self.in_reply_to), ("References", self.references)):
            if ids:
                lines.append(written_field(name, " ".join(f"<{each}>" for each in ids), utf8=raw))
        own = self._own_fields()
        names = [*(line.partition(b":")[0].decode("ascii") for line in lines), *(name for name, _ in own)]
        given = {name.lower() for name, _ in self.headers}
        double = next((name for name in names if name.lower() in given), None)
        if double is not None:
            raise LocalError(f"the field {double} is given in headers and by its own argument; give it once")
        lines += [written_field(name, value, utf8=raw) for name, value in (*own, *self.headers)]
        return b"".join((*lines, b"MIME-Version: 1.0\r\n"))

    def _own_fields(self) -> list[tuple[str, str]]:
        """The fields that arguments other than mailboxes and ids stand for."""
        if not (self.priority or self.auto_submitted or self.mailing_list or self.unsubscribe):
            return []
        from posthouse.message.authoring import list_fields

        return [
            *list_fields.automatic_fields(self.auto_submitted),
            *(list_fields.list_id_fields(self.mailing_list) if self.mailing_list is not None else ()),
            *list_fields.unsubscribe_fields(self.unsubscribe, self.one_click),
            *list_fields.priority_fields(self.priority),
        ]

    def _pieces(self) -> tuple[Piece, ...]:
        """The message in pieces; rendered once, and again when an attached file has changed."""
        state = tuple(file_state(each.content) for each in (*self.attachments, *self.inline))
        if self._plan is not None and self._plan[0] == state:
            return self._plan[1]
        head = self._written() if self._head is None else self._head
        body = body_part(self._body(), self.message_id)
        pieces = join((head, body.fields, b"\r\n", *body.body))
        self._set(_head=head, _plan=(state, pieces))
        return pieces

    def _body(self) -> BodyParts:
        text = self.text
        if self.html is not None and text is None:
            from posthouse.message.reading.readable_text import text_of_html

            text = text_of_html(self.html)
        method = ""
        if self.calendar:
            from posthouse.message.authoring.calendar import method_of

            method = method_of(self.calendar)
        if self.flowed and text:
            from posthouse.message.authoring.flowed import flowed_text

            text = flowed_text(text)
        written = None if self.html is not None and text == "" else text
        return BodyParts(
            written, self.html, self.inline, self.calendar, method, self.attachments, self.flowed, self.legacy_names
        )


def _calendar(given: str | CalendarEvent, organizer: Mailbox, attendees: tuple[Mailbox, ...]) -> str:
    from posthouse.message.authoring.calendar import calendar_text

    return calendar_text(given, organizer, attendees)


def _attached(given: AttachmentsLike) -> tuple[Attachment, ...]:
    from posthouse.message.composing.attachment import attached  # a message without files needs none of it

    return attached(given)


def _inlined(given: InlineLike) -> tuple[Attachment, ...]:
    from posthouse.message.composing.attachment import inlined

    return inlined(given)


def _urls(given: str | Iterable[str]) -> tuple[str, ...]:
    from posthouse.message.authoring.list_fields import checked_urls

    return checked_urls(given, "unsubscribe")
