"""Memory that survives: the queue and the mailboxes.  It knows no SMTP.

The queues themselves are imported when they are first asked for: who only names what is in one needs no database.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.spool.filters import BUCKETS, FIELDS, Condition, Row, SummaryRow
from posthouse.spool.history import Accepted, Arrival, Attempt, Contact, End, Event, Note, Told, Trail
from posthouse.spool.interface import (
    Act,
    Audit,
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
from posthouse.spool.sqlite.storage.durability import Durable

if TYPE_CHECKING:
    from posthouse.spool.memory import MemoryQueue
    from posthouse.spool.sqlite.spool import SqliteQueue

__all__ = [
    "Accepted",
    "Act",
    "Arrival",
    "Attempt",
    "Audit",
    "BUCKETS",
    "Condition",
    "Contact",
    "Durable",
    "End",
    "Entry",
    "Event",
    "FIELDS",
    "Inbox",
    "InboxMessage",
    "MemoryQueue",
    "Message",
    "Note",
    "Queue",
    "Receipt",
    "Report",
    "Row",
    "Settlement",
    "SqliteQueue",
    "State",
    "Stored",
    "SummaryRow",
    "Told",
    "Trail",
    "Waiting",
    "Work",
]

__getattr__ = lazily(__name__, {"memory": "MemoryQueue", "sqlite.spool": "SqliteQueue"})
