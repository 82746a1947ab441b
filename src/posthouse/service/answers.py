"""What the operations of ``control`` answer: plain values that print as tables and travel as JSON."""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "AddressReport",
    "CodeEntry",
    "ConfigReport",
    "End",
    "InboxEntry",
    "InboxSummary",
    "Letter",
    "QueueEntry",
    "QueueRecipient",
    "QueueStory",
]


class QueueEntry(Struct, frozen=True, kw_only=True):
    """One unfinished message.  Times in calendar seconds; ``due`` is its next attempt, None if nothing is to come."""

    id: str
    received: float
    size: int
    sender: str
    recipients: list[str]
    waiting: int
    attempts: int
    due: float | None
    last: str


class QueueRecipient(Struct, frozen=True, kw_only=True):
    """One recipient of a message; ``state`` is waiting, held, delivered or failed."""

    address: str
    destination: str
    state: str
    attempts: int
    due: float
    last: str


class QueueStory(Struct, frozen=True, kw_only=True):
    """One message with everything that is known of it."""

    id: str
    received: float
    size: int
    sender: str
    source: str
    corrupt: bool
    recipients: list[QueueRecipient]


class InboxSummary(Struct, frozen=True, kw_only=True):
    """One inbox."""

    name: str
    messages: int
    octets: int


class InboxEntry(Struct, frozen=True, kw_only=True):
    """One letter in an inbox; ``written_by`` and ``subject`` are what the letter itself says."""

    number: int
    inbox: str
    received: float
    size: int
    sender: str
    written_by: str
    subject: str


class Letter(Struct, frozen=True, kw_only=True):
    """A letter as it was delivered.

    ``text`` is its content as UTF-8; ``raw`` the octets, where ``text`` cannot say them all, else None.
    """

    number: int
    inbox: str
    queue_id: str
    received: float
    size: int
    sender: str
    text: str
    raw: bytes | None = None


class ConfigReport(Struct, frozen=True, kw_only=True):
    """A configuration judged: ``problems`` keep it from being used, ``advice`` does not."""

    path: str
    usable: bool
    problems: list[str]
    advice: list[str]


class End(Struct, frozen=True, kw_only=True):
    """One place where a letter would end up: the recipient as stored, how it is taken there, and why that way."""

    recipient: str
    target: str
    reason: str


class AddressReport(Struct, frozen=True, kw_only=True):
    """Where a letter to an address would go.

    ``kind`` is mailbox, alias, list, moved, unknown or foreign; ``reply`` what a stranger's RCPT is answered.
    """

    address: str
    kind: str
    reply: str
    explanation: str
    ends: list[End]


class CodeEntry(Struct, frozen=True, kw_only=True):
    """A reply code or enhanced code explained."""

    code: str
    title: str
    meaning: str
    whose: str
    next_step: str
    source: str
    occasion: str
    note: str
    registered: bool
