"""Memory that survives: the queue and the mailboxes.  It knows no SMTP."""

from posthouse.spool.durable import Durable
from posthouse.spool.memory import MemoryQueue
from posthouse.spool.queue import (
    Entry,
    Inbox,
    InboxMessage,
    Message,
    Queue,
    Receipt,
    Report,
    Settlement,
    State,
    Stored,
    Waiting,
    Work,
)
from posthouse.spool.sqlite import SqliteQueue

__all__ = [
    "Durable",
    "Entry",
    "Inbox",
    "InboxMessage",
    "MemoryQueue",
    "Message",
    "Queue",
    "Receipt",
    "Report",
    "Settlement",
    "SqliteQueue",
    "State",
    "Stored",
    "Waiting",
    "Work",
]
