"""Arguments of ``Message`` that other functions pass on, for type checkers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict

from posthouse.message.authoring.calendar import CalendarEvent
from posthouse.message.authoring.list_fields import ListFields
from posthouse.message.composing.attachment import AttachmentsLike, InlineLike
from posthouse.message.composing.given_mailboxes import Addressee, Addressees

__all__ = ["MessageChanges", "MessageOptions"]


class MessageOptions(TypedDict, total=False):
    """The arguments of ``Message`` beside its sender, To, text and HTML."""

    cc: Addressees
    bcc: Addressees
    reply_to: Addressees
    subject: str
    markdown: str | None
    attachments: AttachmentsLike
    inline: InlineLike
    calendar: str | CalendarEvent
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None
    in_reply_to: str | Iterable[str] | None
    references: str | Iterable[str] | None
    date: datetime | None
    message_id: str
    priority: str
    auto_submitted: str
    mailing_list: ListFields | None
    unsubscribe: str | Iterable[str]
    one_click: bool
    flowed: bool
    legacy_names: bool
    check_inline: bool


class MessageChanges(MessageOptions, total=False):
    """The arguments of ``Message.replace``, each as for ``Message``."""

    sender: Addressee
    to: Addressees
    text: str | None
    html: str | None
