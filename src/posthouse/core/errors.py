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
    ├── StorageError          stable storage failed
    │   ├── StorageFull       no room now: disk or quota (452)
    │   ├── StorageBusy       behind with writing; try again soon (451)
    │   └── StorageCorrupt    rows and content disagree; an operator must look
    └── NotDelivered          a handler of the user's own (``deliver = "python:module:object"``) did not take a letter
        ├── Defer             … now; it will be given it again
        └── Refuse            … and never will; the sender is told

Foreign exceptions (``OSError``, ``sqlite3.Error``) are translated once, at the border, with the cause kept.
"""

from __future__ import annotations

from posthouse.core.reply import Reply

__all__ = [
    "Broken",
    "Closed",
    "Defer",
    "LocalError",
    "NetworkError",
    "NotDelivered",
    "PosthouseError",
    "Refuse",
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


class NotDelivered(PosthouseError):
    """What a handler raises to say that it did not take a letter; raise ``Defer`` or ``Refuse``.

    ``text`` is one line, which the sender may come to read; ``reply`` is the answer an SMTP server would have given
    (RFC 5321 §4.2), made of the text where it is left out.
    """

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(text)
        self.reply = reply


class Defer(NotDelivered):
    """Not now: the letter stays in the queue and the handler is given it again.

    ``Defer("the archive is being moved")``, or with a 4yz reply of your own.  Any other reply is a ``LocalError``.
    """

    def __init__(self, text: str = "not delivered now", *, reply: Reply | None = None) -> None:
        reply = Reply(451, "4.3.0", text) if reply is None else reply
        if not reply.transient:
            raise LocalError(f"Defer needs a reply of 400 to 499, not {reply.code}; to fail for good, raise Refuse")
        super().__init__(text, reply)


class Refuse(NotDelivered):
    """Never: the letter fails for this recipient, and its sender is told as RFC 3461 has it.

    ``Refuse("nobody reads this any more")``, or with a 5yz reply of your own.  Any other reply is a ``LocalError``.
    """

    def __init__(self, text: str = "not accepted", *, reply: Reply | None = None) -> None:
        reply = Reply(554, "5.7.1", text) if reply is None else reply
        if not reply.permanent:
            raise LocalError(f"Refuse needs a reply of 500 to 599, not {reply.code}; to try again later, raise Defer")
        super().__init__(text, reply)
