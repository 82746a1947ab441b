"""The answers of the operations on the inboxes, beside those of ``operations.results``."""

from __future__ import annotations

from msgspec import Struct

from posthouse.service.operations.remarks import RemarkEntry
from posthouse.service.operations.results import InboxContent
from posthouse.spool.mail_index import MailRow

__all__ = [
    "AttachmentContent",
    "DeletionEntry",
    "FieldEntry",
    "FindingEntry",
    "InboxAwaited",
    "InboxDeletion",
    "InboxUndo",
    "MailCount",
    "MailEntry",
    "MailExtract",
    "MailListing",
    "MailRead",
    "MessageSent",
    "PartNodeEntry",
    "ReleaseEntry",
    "ReleaseReport",
    "SourceSlice",
    "ViewEntry",
    "entry_of",
]


class MailEntry(Struct, frozen=True, kw_only=True):
    """A message as a list shows it: see ``spool.mail_index.MailRow``."""

    number: int
    queue_id: str
    received: float
    size: int
    unread: bool
    sender: str
    author: str
    author_address: str
    recipients: str
    subject: str
    preview: str
    message_id: str
    date: float
    attachments: int
    html: bool
    login: str
    source: str
    envelope: list[str]
    inboxes: list[str]
    tags: list[str]
    places: list[int]


def entry_of(row: MailRow) -> MailEntry:
    """A row of the index as an answer."""
    values = row._asdict()
    values.update(envelope=list(row.envelope), inboxes=list(row.inboxes), tags=list(row.tags), places=list(row.places))
    return MailEntry(**values)


class MailListing(Struct, frozen=True, kw_only=True):
    """A page of a list or a search, the newest message first.

    ``before`` asks for the next page, 0 if there is none.  ``total`` and ``total_unread`` count the whole view, not the
    search.  ``last`` is a cursor: messages that arrive from now on have greater numbers.  ``waiting`` messages are not
    indexed yet and may be missing.
    """

    messages: list[MailEntry]
    before: int
    view: str
    query: str
    total: int
    total_unread: int
    last: int
    waiting: int


class MailCount(Struct, frozen=True, kw_only=True):
    """How many messages a search finds; ``whole`` is False where it took too long to look at all of them."""

    messages: int
    unread: int
    octets: int
    whole: bool
    last: int


class ViewEntry(Struct, frozen=True, kw_only=True):
    """A view with its counts.  ``kind`` is all, inbox, domain, tag, login or box; ``label`` its name for people."""

    name: str
    kind: str
    label: str
    messages: int
    unread: int
    octets: int


class FieldEntry(Struct, frozen=True, kw_only=True):
    """A header field: decoded, and as it stands in the message."""

    name: str
    value: str
    raw: str


class PartNodeEntry(Struct, frozen=True, kw_only=True):
    """A part of the tree: ``number`` as IMAP counts, ``depth`` in the tree, ``name`` safe for a file, ``size`` of the
    decoded content; ``kind`` is container, text, inline (shown by the HTML), or attachment."""

    number: str
    depth: int
    type: str
    name: str
    size: int
    kind: str
    content_id: str


class FindingEntry(Struct, frozen=True, kw_only=True):
    """A finding of ``check message``."""

    rule: str
    level: str
    line: int
    text: str
    remedy: str
    source: str


class MailRead(Struct, frozen=True, kw_only=True):
    """One message, read: its list entry, fields, text, HTML as its sender wrote it (not safe to show), tree of parts,
    links, codes, defects and remarks.

    ``cut`` says that text, HTML or parts are more than what stands here.
    """

    entry: MailEntry
    fields: list[FieldEntry]
    text: str
    html: str
    parts: list[PartNodeEntry]
    links: list[str]
    codes: list[str]
    defects: list[str]
    remarks: list[RemarkEntry]
    cut: bool


class MailExtract(Struct, frozen=True, kw_only=True):
    """The links and one-time codes of a message."""

    number: int
    links: list[str]
    codes: list[str]


class AttachmentContent(Struct, frozen=True, kw_only=True):
    """The decoded content of a part, its type and a name that is safe for a file."""

    type: str
    name: str
    content: bytes


class InboxAwaited(Struct, frozen=True, kw_only=True):
    """What was waited for: ``met`` says whether it came; ``message`` is the first of ``messages``, decoded.  ``near``
    has what did arrive meanwhile and did not meet the conditions; ``last`` is the cursor for the next wait."""

    message: InboxContent | None
    met: bool = True
    messages: list[MailEntry] = []
    near: list[MailEntry] = []
    last: int = 0


class InboxDeletion(Struct, frozen=True, kw_only=True):
    """What a deletion did: messages ``deleted``, and numbers that were ``missing``; ``undo`` is the number by which it
    can be undone until the time ``until``, 0 if it cannot."""

    deleted: int
    missing: int
    who: str
    undo: int = 0
    until: float | None = None


class InboxUndo(Struct, frozen=True, kw_only=True):
    """What the undoing of the ``deletion`` with this number brought back: so many messages were ``restored``."""

    deletion: int
    restored: int
    who: str


class DeletionEntry(Struct, frozen=True, kw_only=True):
    """A deletion that can be undone until the time ``until``."""

    number: int
    at: float
    who: str
    messages: int
    until: float


class ReleaseEntry(Struct, frozen=True, kw_only=True):
    """What the server said of one recipient."""

    recipient: str
    accepted: bool
    reply: str


class ReleaseReport(Struct, frozen=True, kw_only=True):
    """A message that was released, and what the server said."""

    number: int
    via: str
    recipients: list[ReleaseEntry]


class MessageSent(Struct, frozen=True, kw_only=True):
    """A message that was handed to the daemon: its queue id.  ``refused``: no recipient was accepted, and its sender
    got a report."""

    queue_id: str
    refused: bool = False


class SourceSlice(Struct, frozen=True, kw_only=True):
    """A piece of a message's octets, from the octet ``start`` on, of ``total`` octets; it begins in the line ``line``,
    of which the first is 1."""

    content: bytes
    start: int
    total: int
    line: int
