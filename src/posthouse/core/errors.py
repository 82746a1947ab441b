"""Exceptions, sorted by whose fault they report.

An expected outcome (a refused recipient, a missing MX record) is a value, never an exception.  An exception reports a
fault, and its class says whose fault it is:

    PosthouseError
    ├── LocalError            the calling code is wrong: an illegal command, a value that cannot be sent (ValueError)
    ├── SettingError          the user wrote a wrong configuration or argument; says the remedy (ValueError)
    ├── CannotConnect         no session with the server: nothing was tried for anybody (ConnectionError)
    │   ├── Unreachable       no connection could be opened (also a NetworkError)
    │   └── SessionRefused    the greeting or the reply to EHLO was negative (``client``; also a RemoteError)
    ├── RemoteError           the peer broke the protocol; carries the reply to send to the peer
    │   └── AuthRefused       no login
    ├── NetworkError          the connection failed
    │   ├── Closed            this side closed it and then used it again
    │   ├── Broken            the peer or the network ended it (ConnectionError)
    │   ├── TimedOut          nothing arrived within the time allowed (TimeoutError)
    │   └── TLSFailed         the TLS handshake failed, or what arrived is no TLS (ssl.SSLError)
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

The class in brackets is a class of Python from which the exception also inherits, so that code which catches
``ConnectionError`` or ``TimeoutError`` catches ours.  ``ssl`` is expensive to import, so ``TLSFailed`` inherits from
``ssl.SSLError`` from the moment at which ``net`` imports ``ssl``; before that none can be raised.

``OSError``, ``sqlite3.Error`` and other foreign exceptions are translated once, where they enter, with the cause kept.
"""

from __future__ import annotations

from posthouse.core.reply import Reply

__all__ = [
    "AuthRefused",
    "Broken",
    "CannotConnect",
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
    "TLSFailed",
    "TimedOut",
    "TlsFailed",
    "Unreachable",
]


class PosthouseError(Exception):
    """Base class of all exceptions that Posthouse raises.

    ``phase`` says how far a session had come (a ``core.Phase``; "" where there was none), and ``transcript`` has the
    last lines of its dialogue, without the secrets of a login.  ``posthouse.send`` and the classes beside it set both.
    """

    phase: str = ""
    transcript: tuple[str, ...] = ()


class LocalError(PosthouseError, ValueError):
    """The calling code asked for something that is not allowed; nothing was sent."""


class RemoteError(PosthouseError):
    """The peer broke the protocol.

    ``reply`` is the reply to send to the peer; None in a client, which cannot answer a wrong reply.
    """

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class SettingError(PosthouseError, ValueError):
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


class AuthRefused(RemoteError):
    """No login: the credentials were refused, cannot be checked now, or no mechanism is common to both sides.

    ``reply`` is the reply that decided, or None.  The subclasses in ``client`` say which of these it is.
    """


class CannotConnect(PosthouseError, ConnectionError):
    """No session with the server came about, so nothing was tried for any recipient."""


class NetworkError(PosthouseError):
    """The connection to the peer failed."""


class Unreachable(NetworkError, CannotConnect):
    """No connection could be opened: refused, no route, no address."""


class Closed(NetworkError):
    """This side had already closed the connection."""


class Broken(NetworkError, ConnectionError):
    """The peer or the network ended the connection while it was in use."""


class TimedOut(NetworkError, TimeoutError):
    """Nothing arrived within the time allowed (RFC 5321 §4.5.3.2)."""


class TLSFailed(NetworkError, OSError):
    """The TLS handshake failed, or what arrived is no TLS; nothing goes on in clear.  Also an ``ssl.SSLError``."""

    #: The attributes of ``ssl.SSLError``; the text of the exception says what they would.
    library: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """The sentence that the exception was made with; that of ``ssl.SSLError`` is the text of a tuple."""
        return str(self.args[0]) if self.args else ""


TlsFailed = TLSFailed  # the name that other packages of Posthouse use


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
