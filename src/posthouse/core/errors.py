"""Exceptions, sorted by whose fault they report.

An expected outcome (a refused recipient, a missing MX record) is a value, never an exception.  An exception reports a
fault, and its class says whose fault it is:

    PosthouseError
    ├── LocalError            the calling code is wrong: an illegal command, a value that cannot be sent
    ├── RemoteError           the peer broke the protocol; carries the reply to send to the peer
    ├── SettingError          the user wrote a wrong configuration or argument; says the remedy
    ├── NetworkError          the connection failed
    │   ├── Unreachable       it could not be opened
    │   ├── Closed            this side closed it and then used it again
    │   ├── Broken            the peer or the network ended it
    │   ├── TimedOut          nothing arrived within the time allowed
    │   └── TlsFailed         the TLS handshake failed, or what arrived is no TLS
    │       ├── NotTls        what arrived is no TLS: the port is one for another protocol
    │       └── CertificateRefused   the peer's certificate is not right; has each reason
    ├── StorageError          stable storage failed
    │   ├── StorageFull       the disk is full or a quota is reached (452)
    │   ├── StorageBusy       writes are behind; the same request may succeed in a moment (451)
    │   ├── StorageUncertain  the outcome of a write is not known
    │   └── StorageCorrupt    rows and content disagree; an operator must look
    └── NotDelivered          a Python handler (``deliver = "python:module:object"``) did not take a message
        ├── Defer             a temporary failure; the delivery is tried again
        └── Reject            a permanent failure; the sender gets a report

``OSError``, ``sqlite3.Error`` and other foreign exceptions are translated once, where they enter, with the cause kept.
"""

from __future__ import annotations

from posthouse.core.reply import Reply

__all__ = [
    "Broken",
    "CertificateRefused",
    "Closed",
    "Defer",
    "LocalError",
    "NetworkError",
    "NotDelivered",
    "NotTls",
    "PosthouseError",
    "Reject",
    "RemoteError",
    "SettingError",
    "StorageBusy",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageUncertain",
    "TimedOut",
    "TlsFailed",
    "Unreachable",
]


class PosthouseError(Exception):
    """Base class of all exceptions that Posthouse raises."""


class LocalError(PosthouseError):
    """The calling code asked for something that is not allowed; nothing was sent."""


class RemoteError(PosthouseError):
    """The peer broke the protocol.

    ``reply`` is the reply to send to the peer; None in a client, which cannot answer a wrong reply.
    """

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class SettingError(PosthouseError):
    """A configuration setting or an argument is wrong.

    ``where`` names the place (``posthouse.toml: listener[0].kind``), ``message`` the cause, ``remedy`` what to write
    instead.  ``str()`` gives all three as one sentence.
    """

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text}; {remedy}" if remedy else text)


class NetworkError(PosthouseError):
    """The connection to the peer failed."""


class Unreachable(NetworkError):
    """No connection could be opened: refused, no route, no address."""


class Closed(NetworkError):
    """This side had already closed the connection."""


class Broken(NetworkError):
    """The peer or the network ended the connection while it was in use."""


class TimedOut(NetworkError):
    """Nothing arrived within the time allowed (RFC 5321 §4.5.3.2)."""


class TlsFailed(NetworkError):
    """The TLS handshake failed, or what arrived is no TLS; nothing goes on in clear."""


class NotTls(TlsFailed):
    """The peer answered the TLS handshake with something else: the port is one for another protocol."""


class CertificateRefused(TlsFailed):
    """The peer's certificate was checked and is not right.  ``reasons`` has every reason that holds."""

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class StorageError(PosthouseError):
    """Stable storage failed; what was acknowledged before stays stored."""


class StorageFull(StorageError):
    """The disk is full or a quota is reached."""


class StorageBusy(StorageError):
    """Writes are behind; the same request may succeed in a moment."""


class StorageUncertain(StorageError):
    """The outcome of a write is not known: nothing is promised, and what was to be stored may exist."""


class StorageCorrupt(StorageError):
    """Rows and content disagree (last row of the crash table); the message is kept and marked, and not repaired."""


class NotDelivered(PosthouseError):
    """Base class of ``Defer`` and ``Reject``, which a Python handler raises when it does not take a message.

    ``text`` is one line that a report may show to the sender.  ``reply`` is the reply that an SMTP server would have
    given (RFC 5321 §4.2); if it is left out, it is made from ``text``.
    """

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(text)
        self.reply = reply


class Defer(NotDelivered):
    """A temporary failure: the message stays queued and the handler is called again later.

    Example: ``Defer("the archive is being moved")``.  A ``reply`` must be 4yz, else ``LocalError``.
    """

    def __init__(self, text: str = "not delivered now", *, reply: Reply | None = None) -> None:
        reply = Reply(451, "4.3.0", text) if reply is None else reply
        if not reply.transient:
            raise LocalError(f"Defer needs a reply of 400 to 499, not {reply.code}; to fail for good, raise Reject")
        super().__init__(text, reply)


class Reject(NotDelivered):
    """A permanent failure for this recipient; the sender gets a report, unless NOTIFY of RCPT excludes it (RFC 3461).

    Example: ``Reject("this address is closed")``.  A ``reply`` must be 5yz, else ``LocalError``.
    """

    def __init__(self, text: str = "not accepted", *, reply: Reply | None = None) -> None:
        reply = Reply(554, "5.7.1", text) if reply is None else reply
        if not reply.permanent:
            raise LocalError(f"Reject needs a reply of 500 to 599, not {reply.code}; to try again later, raise Defer")
        super().__init__(text, reply)
