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
        Content,
        Defer,
        Envelope,
        LocalError,
        NetworkError,
        Outcome,
        PosthouseError,
        Recipient,
        Reject,
        RemoteError,
        Reply,
        Result,
        SettingError,
        StorageError,
    )
    from posthouse.message import compose
    from posthouse.message.reading import ReadMessage, read
    from posthouse.sending import parse_server, submit
    from posthouse.server import Server

__version__ = "0.1.0"

__all__ = [
    "Address",
    "App",
    "Content",
    "Defer",
    "Envelope",
    "LocalError",
    "NetworkError",
    "Outcome",
    "PosthouseError",
    "ReadMessage",
    "Recipient",
    "Reject",
    "RemoteError",
    "Reply",
    "Result",
    "Server",
    "Session",
    "SettingError",
    "StorageError",
    "__version__",
    "compose",
    "connect",
    "parse_server",
    "read",
    "submit",
]

_WHERE = {
    "App": "posthouse.app",
    "ReadMessage": "posthouse.message.reading",
    "Server": "posthouse.server",
    "Session": "posthouse.client",
    "compose": "posthouse.message",
    "connect": "posthouse.client",
    "parse_server": "posthouse.sending",
    "read": "posthouse.message.reading",
    "submit": "posthouse.sending",
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported from the package that defines it."""
    if name not in __all__:
        raise AttributeError(f"module 'posthouse' has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_WHERE.get(name, "posthouse.core")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
