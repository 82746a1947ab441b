"""Durable storage of messages, of their queue and history, and of inboxes; no SMTP.

``SqliteSpool`` is imported when it is first used, so that naming the values of a spool needs no database.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.spool.filters import BUCKETS, FIELDS, Condition, RecipientRow, SummaryRow
from posthouse.spool.history import (
    Accepted,
    AttemptEvent,
    Event,
    MessageSummary,
    Origin,
    QueueEvent,
    RecipientResult,
)
from posthouse.spool.interface import IncomingMessage, Spool
from posthouse.spool.model import (
    AuditRecord,
    ChangedRecipient,
    Inbox,
    InboxMessage,
    Lease,
    MessageEntry,
    QueueAction,
    QueuedRecipient,
    RecipientState,
    Report,
    Settlement,
    Stored,
    StoredMessage,
)
from posthouse.spool.sqlite.storage.durability import Durable

if TYPE_CHECKING:
    from posthouse.spool.sqlite.spool import SqliteSpool

__all__ = [
    "Accepted",
    "AttemptEvent",
    "AuditRecord",
    "BUCKETS",
    "ChangedRecipient",
    "Condition",
    "Durable",
    "Event",
    "FIELDS",
    "Inbox",
    "InboxMessage",
    "IncomingMessage",
    "Lease",
    "MessageEntry",
    "MessageSummary",
    "Origin",
    "QueueAction",
    "QueueEvent",
    "QueuedRecipient",
    "RecipientResult",
    "RecipientRow",
    "RecipientState",
    "Report",
    "Settlement",
    "Spool",
    "SqliteSpool",
    "Stored",
    "StoredMessage",
    "SummaryRow",
]

__getattr__ = lazily(__name__, {"sqlite.spool": "SqliteSpool"})
