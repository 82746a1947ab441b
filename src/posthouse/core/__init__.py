"""The nouns everybody shares: frozen values, no I/O, no other room.

Those of the DNS are imported when they are first asked for: who is told a host asks no name server.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.core.address import Address
from posthouse.core.attempt_trace import AttemptTrace, ConnectionTrace
from posthouse.core.envelope import (
    Body,
    Bytes,
    Content,
    Envelope,
    Notify,
    OriginalRecipient,
    Prefixed,
    Recipient,
    Ret,
)
from posthouse.core.errors import (
    Broken,
    Closed,
    Defer,
    LocalError,
    NetworkError,
    NotDelivered,
    PosthouseError,
    Refuse,
    RemoteError,
    SettingError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    TimedOut,
    Unreachable,
)
from posthouse.core.event_sink import CallbackSink, EventSink, event_sink
from posthouse.core.outcome import Handover, Outcome, Result
from posthouse.core.reply import Reply, Verdict

if TYPE_CHECKING:
    from posthouse.core.dns import MX, Answer, Kind, Question, Status

__all__ = [
    "Address",
    "Answer",
    "AttemptTrace",
    "Body",
    "Broken",
    "Bytes",
    "CallbackSink",
    "Closed",
    "ConnectionTrace",
    "Content",
    "Defer",
    "Envelope",
    "EventSink",
    "Handover",
    "Kind",
    "LocalError",
    "MX",
    "NetworkError",
    "NotDelivered",
    "Notify",
    "OriginalRecipient",
    "Outcome",
    "PosthouseError",
    "Prefixed",
    "Question",
    "Recipient",
    "Refuse",
    "RemoteError",
    "Reply",
    "Result",
    "Ret",
    "SettingError",
    "Status",
    "StorageBusy",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "TimedOut",
    "Unreachable",
    "Verdict",
    "event_sink",
]

__getattr__ = lazily(__name__, {"dns": "Answer Kind MX Question Status"})
