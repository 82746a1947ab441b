"""The messages of the control socket, as its two ends share them.

Each direction carries one JSON object per line: ``{"op": "queue hold", "args": {"filter": "domain:example.org"}}`` from
the client, and from the server ``{"ok": answer}``, or ``{"error": sentence, "kind": kind}``.  ``kind`` is ``setting``
(the request is wrong), ``storage``, ``full``, ``busy``, or ``fault`` (an error in Posthouse, which the daemon's log
describes).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from posthouse.core import PosthouseError, SettingError, StorageBusy, StorageError, StorageFull

__all__ = [
    "ControlAnswer",
    "ControlRequest",
    "LONGEST_OPERATION",
    "MOST_ANSWERED",
    "MOST_ASKED",
    "PATIENCE",
    "encoded",
    "error_class",
    "kind_of",
    "socket_path",
]

#: Octets of a request, and of an answer.
MOST_ASKED: Final = 65_536
MOST_ANSWERED: Final = 64 << 20
#: Seconds for the next request to come, and for an answer to be taken.
PATIENCE: Final = 30.0
#: Seconds that an operation may take.
LONGEST_OPERATION: Final = 600.0

#: Class of error and its kind on the wire, the most particular class first.
_KINDS: Final[tuple[tuple[type[PosthouseError], str], ...]] = (
    (SettingError, "setting"),
    (StorageFull, "full"),
    (StorageBusy, "busy"),
    (StorageError, "storage"),
)


class ControlRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The name of an operation, and its parameters by name."""

    op: str
    args: dict[str, str | int | bool | list[int]] = {}


class ControlAnswer(msgspec.Struct):
    """What an operation returned, still encoded; or a sentence in ``error`` and its ``kind``."""

    ok: msgspec.Raw = msgspec.Raw(b"")
    error: str = ""
    kind: str = ""


def socket_path(data_dir: str) -> str:
    """Where the socket of a data directory is."""
    return os.path.join(data_dir, "control.sock")


def encoded(value: Mapping[str, Any]) -> bytes:
    """One line."""
    return msgspec.json.encode(value) + b"\n"


def kind_of(error: PosthouseError) -> str:
    """The kind by which an error travels."""
    return next((kind for each, kind in _KINDS if isinstance(error, each)), "fault")


def error_class(kind: str) -> type[PosthouseError]:
    """The class of error that a kind stands for."""
    return next((each for each, name in _KINDS if name == kind), PosthouseError)
