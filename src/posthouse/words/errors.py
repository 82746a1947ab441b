"""Faults, and whose they are.

An *expected* outcome (a refused recipient, a missing MX record) is a value, never an exception.  What stands
here are broken promises, and the first question about one is always the same: ours or theirs?

    PosthouseError
    ├── LocalError            the calling code is wrong: an illegal command, a value that cannot be sent
    ├── RemoteError           the peer broke the protocol; carries the reply to suggest to it
    ├── SettingError          what the user wrote (configuration, argument) is wrong; says the remedy
    ├── NetworkError          the channel failed
    │   ├── Unreachable       it could not be opened
    │   ├── Closed            we closed it ourselves and used it again
    │   ├── Broken            the other side, or the path, ended it
    │   └── TimedOut          nothing came within the time allowed
    └── StorageError          stable storage failed
        ├── StorageFull       no room now: disk or quota (452)
        ├── StorageBusy       behind with writing; try again soon (451)
        └── StorageCorrupt    rows and content disagree; an operator must look

Foreign exceptions (``OSError``, ``sqlite3.Error``) are translated once, at the border, with the cause kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthouse.words.reply import Reply

__all__ = [
    "Broken",
    "Closed",
    "LocalError",
    "NetworkError",
    "PosthouseError",
    "RemoteError",
    "SettingError",
    "StorageBusy",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "TimedOut",
    "Unreachable",
]


class PosthouseError(Exception):
    """The root of every exception this project raises on purpose."""


class LocalError(PosthouseError):
    """The calling code asked for something that may not be done; nothing was sent."""


class RemoteError(PosthouseError):
    """The peer did what no peer may do.

    ``reply`` is what to answer it with, or None where a receiver of replies noticed the fault and there is
    nothing to answer.
    """

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class SettingError(PosthouseError):
    """Something the user wrote is wrong.

    ``where`` names the place (``posthouse.toml: listener[0].kind``), the message the cause, ``remedy`` what to
    write instead.  ``str()`` gives all three as one sentence.
    """

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text}; {remedy}" if remedy else text)


class NetworkError(PosthouseError):
    """The channel to the peer failed."""


class Unreachable(NetworkError):
    """No connection could be opened: refused, no route, no address."""


class Closed(NetworkError):
    """This side had already closed the channel."""


class Broken(NetworkError):
    """The channel ended from outside while it was in use."""


class TimedOut(NetworkError):
    """Nothing arrived within the time allowed (RFC 5321 §4.5.3.2)."""


class StorageError(PosthouseError):
    """Stable storage failed; whatever was promised before is unharmed."""


class StorageFull(StorageError):
    """There is no room now: the disk is full or a quota is reached."""


class StorageBusy(StorageError):
    """Storage is behind; the same request may succeed in a moment."""


class StorageCorrupt(StorageError):
    """Rows and content disagree (the last line of the crash table): kept, marked, never guessed at."""
