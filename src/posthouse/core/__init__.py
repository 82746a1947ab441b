"""The value classes and exceptions that all packages share; no I/O, and no import of another package.

The DNS values are imported at their first use, because a process that sends to a given host makes no DNS query.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.core.address import Address, local_key, path_text
from posthouse.core.attempt_trace import AttemptTrace, ConnectionTrace
from posthouse.core.content import AsyncContent, Content
from posthouse.core.content_in_memory import Bytes, Prefixed
from posthouse.core.envelope import Body, Envelope, Notify, OriginalRecipient, Recipient, Ret
from posthouse.core.errors import (
    AuthRefused,
    Broken,
    CannotConnect,
    CertificateRefused,
    Closed,
    Defer,
    LocalError,
    NetworkError,
    NotDelivered,
    NotTls,
    PosthouseError,
    Reject,
    RemoteError,
    SettingError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageUncertain,
    TimedOut,
    TLSFailed,
    TlsFailed,
    Unreachable,
)
from posthouse.core.event_sink import CallbackSink, EventSink, event_sink
from posthouse.core.method_verdict import MethodVerdict
from posthouse.core.outcome import Handover, Outcome, Phase, Result
from posthouse.core.remark import Remark
from posthouse.core.reply import Reply, Verdict

if TYPE_CHECKING:
    from posthouse.core.dns import MX, Answer, Kind, Question, Status

__all__ = [
    "Address",
    "Answer",
    "AsyncContent",
    "AttemptTrace",
    "AuthRefused",
    "Body",
    "Broken",
    "Bytes",
    "CallbackSink",
    "CannotConnect",
    "CertificateRefused",
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
    "MethodVerdict",
    "NetworkError",
    "NotDelivered",
    "NotTls",
    "Notify",
    "OriginalRecipient",
    "Outcome",
    "Phase",
    "PosthouseError",
    "Prefixed",
    "Question",
    "Recipient",
    "Reject",
    "Remark",
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
    "StorageUncertain",
    "TLSFailed",
    "TimedOut",
    "TlsFailed",
    "Unreachable",
    "Verdict",
    "event_sink",
    "local_key",
    "path_text",
]

__getattr__ = lazily(__name__, {"dns": "Answer Kind MX Question Status"})
