"""Posthouse (驿站): an SMTP system: a library, a developer's mail catcher, a relay and an MX.

Each package exports its own names (``posthouse.client``, ``posthouse.message`` …).  The few that most users need are
here as well; they are imported at their first use, so that ``import posthouse`` is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # ``typing`` is not imported, because its import takes longer than that of this package
    from typing import Any

    from posthouse.app import App
    from posthouse.client import Session, connect
    from posthouse.core import (
        Address,
        AuthRefused,
        CannotConnect,
        Content,
        Defer,
        Envelope,
        LocalError,
        NetworkError,
        Outcome,
        Phase,
        PosthouseError,
        Recipient,
        Reject,
        RemoteError,
        Reply,
        Result,
        SettingError,
        StorageError,
        TimedOut,
        TLSFailed,
    )
    from posthouse.message import (
        Attachment,
        CalendarEvent,
        ListFields,
        Message,
        Templates,
        compose,
        forward,
        reply,
    )
    from posthouse.message.reading import ReadMessage, read
    from posthouse.message.reports import Bounce, BounceKind, MailReport, read_report
    from posthouse.sending import (
        Ambiguous,
        AsyncClient,
        AsyncPool,
        Client,
        ClientBusy,
        Pool,
        SendFailed,
        SendResult,
        UnseenFailureWarning,
        asend,
        parse_server,
        send,
        submit,
    )
    from posthouse.server import Server

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Ambiguous",
    "App",
    "AsyncClient",
    "AsyncPool",
    "Attachment",
    "AuthRefused",
    "Bounce",
    "BounceKind",
    "CalendarEvent",
    "CannotConnect",
    "Client",
    "ClientBusy",
    "Content",
    "Defer",
    "Envelope",
    "ListFields",
    "LocalError",
    "MailReport",
    "Message",
    "NetworkError",
    "Outcome",
    "Phase",
    "Pool",
    "PosthouseError",
    "ReadMessage",
    "Recipient",
    "Reject",
    "RemoteError",
    "Reply",
    "Result",
    "SendFailed",
    "SendResult",
    "Server",
    "Session",
    "SettingError",
    "StorageError",
    "TLSFailed",
    "Templates",
    "TimedOut",
    "UnseenFailureWarning",
    "__version__",
    "asend",
    "compose",
    "connect",
    "forward",
    "parse_server",
    "read",
    "read_report",
    "reply",
    "send",
    "submit",
]

_PACKAGES = (
    *("app", "client", "core", "logging", "mailauth", "message", "net", "protocol", "sandbox", "sending", "server"),
    *("spool", "testing"),
)
_WHERE = {
    "Ambiguous": "posthouse.sending.results",
    "App": "posthouse.app",
    "AsyncClient": "posthouse.sending.async_client",
    "AsyncPool": "posthouse.sending.pool",
    "Attachment": "posthouse.message",
    "Bounce": "posthouse.message.reports",
    "BounceKind": "posthouse.message.reports",
    "CalendarEvent": "posthouse.message",
    "Client": "posthouse.sending.blocking_client",
    "ClientBusy": "posthouse.sending.client_base",
    "ListFields": "posthouse.message",
    "Message": "posthouse.message",
    "Pool": "posthouse.sending.pool",
    "ReadMessage": "posthouse.message.reading",
    "MailReport": "posthouse.message.reports",
    "SendFailed": "posthouse.sending.results",
    "SendResult": "posthouse.sending.results",
    "Server": "posthouse.server",
    "Session": "posthouse.client",
    "Templates": "posthouse.message",
    "UnseenFailureWarning": "posthouse.sending.results",
    "asend": "posthouse.sending.one_message",
    "compose": "posthouse.message",
    "connect": "posthouse.client",
    "forward": "posthouse.message",
    "parse_server": "posthouse.sending",
    "read": "posthouse.message.reading",
    "read_report": "posthouse.message.reports",
    "reply": "posthouse.message",
    "send": "posthouse.sending.one_message",
    "submit": "posthouse.sending",
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported from the package that defines it; the library's packages too
    (``posthouse.testing``), without an import of their own."""
    if name not in __all__ and name not in _PACKAGES:
        raise AttributeError(f"module 'posthouse' has no attribute {name!r}")
    import importlib

    if name in _PACKAGES:
        return importlib.import_module(f"posthouse.{name}")
    found = getattr(importlib.import_module(_WHERE.get(name, "posthouse.core")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
