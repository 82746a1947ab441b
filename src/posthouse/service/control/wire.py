"""The messages of the control socket, as its two ends share them.

Each direction carries one JSON object per line: ``{"op": "queue hold", "args": {"filter": "domain:example.org"}}`` from
the client, and from the server ``{"ok": answer}``, or ``{"error": sentence, "kind": kind}``.  ``kind`` is ``setting``
(the request is wrong), ``config`` (the configuration is wrong), ``unreadable`` (its file cannot be read), ``forbidden``
(a file that it names may not be read), ``unavailable`` (what it names cannot be had, such as a port), ``storage``,
``full``, ``busy``, or ``fault`` (an error in Posthouse, which the daemon's log describes): a command ends with the same
code, whichever process found the error.  ``{"op": "ping"}`` is answered at once with the process id: a daemon that does
not answer it hangs.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

import msgspec

from posthouse.core import PosthouseError, SettingError, StorageBusy, StorageError, StorageFull
from posthouse.service.config.config_error import ConfigError

__all__ = [
    "CONTROL_SOCKET",
    "ControlAnswer",
    "ControlRequest",
    "LONGEST_OPERATION",
    "MOST_ANSWERED",
    "MOST_ASKED",
    "PATIENCE",
    "PING",
    "control_path",
    "error_of",
    "kind_of",
    "peer_paths",
]

#: The name of the socket in the data directory, and those of worker processes that only their peers ask.
CONTROL_SOCKET: Final = "control.sock"
_PEER_SOCKET: Final = re.compile(r"control-[0-9]{1,5}\.sock")
#: Octets of a request (a message in base64 that is handed to the daemon), and of an answer.
MOST_ASKED: Final = 48 << 20
MOST_ANSWERED: Final = 64 << 20
#: The request that only asks whether the daemon lives.
PING: Final = "ping"
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


def control_path(data_dir: str, worker: int = 0) -> str:
    """The socket of a worker process; number 0 is the one that users ask."""
    return os.path.join(data_dir, f"control-{worker}.sock" if worker else CONTROL_SOCKET)


def peer_paths(path: str) -> list[str]:
    """The sockets of the other worker processes beside that of this one, also of some that have ended."""
    folder, own = os.path.split(path)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = [name for name in names if name == CONTROL_SOCKET or _PEER_SOCKET.fullmatch(name)]
    return [os.path.join(folder, name) for name in found if name != own]


class ControlRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The name of an operation, its parameters by name, for whom a process of the daemon's own user asks, and the views
    of the inboxes that this one may see; None for all."""

    op: str
    args: dict[str, str | int | bool | list[int]] = {}
    who: str = ""
    views: list[str] | None = None


class ControlAnswer(msgspec.Struct):
    """What an operation returned, still encoded; or a sentence in ``error`` and its ``kind``."""

    ok: msgspec.Raw = msgspec.Raw(b"")
    error: str = ""
    kind: str = ""


def kind_of(error: PosthouseError) -> str:
    """The kind by which an error travels."""
    cause = error.__cause__
    if isinstance(error, ConfigError):
        return "unreadable" if isinstance(cause, OSError) else "config"
    if isinstance(error, SettingError) and isinstance(cause, OSError):
        return "forbidden" if isinstance(cause, PermissionError) and cause.filename else "unavailable"
    return next((kind for each, kind in _KINDS if isinstance(error, each)), "fault")


def error_of(kind: str, sentence: str) -> PosthouseError:
    """The error that has travelled, with a cause of the same class."""
    error: PosthouseError
    if kind in ("config", "unreadable"):
        error = ConfigError([SettingError(sentence)])
    elif kind in ("forbidden", "unavailable"):
        error = SettingError(sentence)
    else:
        return next((each for each, name in _KINDS if name == kind), PosthouseError)(sentence)
    if kind == "forbidden":
        error.__cause__ = PermissionError(errno.EACCES, sentence, "the file in this sentence")
    elif kind != "config":
        error.__cause__ = OSError(sentence)
    return error
