"""The nouns everybody shares: frozen values, no I/O, no other room."""

from posthouse.words.address import Address
from posthouse.words.dns import MX, Answer, Kind, Question, Status
from posthouse.words.envelope import (
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
from posthouse.words.errors import (
    Broken,
    Closed,
    LocalError,
    NetworkError,
    PosthouseError,
    RemoteError,
    SettingError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    TimedOut,
    Unreachable,
)
from posthouse.words.outcome import Handover, Outcome, Result
from posthouse.words.reply import Reply, Verdict

__all__ = [
    "Address",
    "Answer",
    "Body",
    "Broken",
    "Bytes",
    "Closed",
    "Content",
    "Envelope",
    "Handover",
    "Kind",
    "LocalError",
    "MX",
    "NetworkError",
    "Notify",
    "OriginalRecipient",
    "Outcome",
    "PosthouseError",
    "Prefixed",
    "Question",
    "Recipient",
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
]
