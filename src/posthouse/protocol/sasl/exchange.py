"""Steps and outcomes of a SASL exchange (RFC 4422), shared by all mechanisms and both roles.

A mechanism is a generator.  It yields a ``Say`` (the octets of the next challenge or response, before base64) and gets
back the octets that the peer answered; or it yields a question, and gets back its answer::

    step = next(exchange)
    while True:
        if isinstance(step, Say):
            answer = ...send step.data, read the peer's next octets...
        else:
            answer = ...ask the account store, or compute...
        step = exchange.send(answer)  # StopIteration carries the outcome

So a mechanism does no I/O, and work that takes time (a database, a key derivation) is done wherever the caller likes.
The generator of a server ends with ``Authenticated`` or ``Denied``; that of a client ends when it has proved what it
can.  A client's generator is given None instead of octets when the server reports success.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any, Final, NamedTuple, Protocol

from posthouse.core import Reply

__all__ = [
    "ANY_SECRET",
    "Authenticated",
    "CANCELLED",
    "ChannelBinding",
    "CheckPassword",
    "CheckToken",
    "Denied",
    "DeriveKey",
    "Exchange",
    "FindKeys",
    "FindSecret",
    "Forward",
    "Forwarded",
    "ForwardedExchange",
    "Question",
    "REJECTED",
    "Say",
    "ScramKeys",
    "UNAVAILABLE",
    "malformed",
    "refused",
    "rejected",
]


class Say(NamedTuple):
    """Octets for the peer, not yet in base64.  A client's first ``Say`` with None has no initial response."""

    data: bytes | None

    def __repr__(self) -> str:
        return "Say(…)"  # logs and tracebacks show repr


class ScramKeys(NamedTuple):
    """What a server keeps of a password for SCRAM (RFC 5802 §3): it can check a proof, and cannot be used to log in.

    ``hash_name`` is hashlib's name, ``sha1`` or ``sha256``.
    """

    hash_name: str
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"ScramKeys({self.hash_name!r}, iterations={self.iterations})"  # logs and tracebacks show repr


class ChannelBinding(NamedTuple):
    """Data that ties an exchange to the TLS channel it runs in (RFC 5056): its type, such as ``tls-server-end-point``
    (RFC 5929 §4) or ``tls-exporter`` (RFC 9266), and the octets that both ends compute alike."""

    kind: str
    data: bytes


# Questions; each may get a ``Reply`` that refuses instead of its answer ----------------------------------------------


class CheckPassword(NamedTuple):
    """Is this the account's password?  The answer is the account's name, if it is spelt otherwise than ``user``, or a
    bool; for an unknown account False in the same time."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "CheckPassword(…)"  # logs and tracebacks show repr


class FindKeys(NamedTuple):
    """What are the account's SCRAM keys?  The answer is ``ScramKeys``, or None for an unknown account."""

    user: str
    hash_name: str


class FindSecret(NamedTuple):
    """What is the account's password?  Only CRAM-MD5 must ask; the answer is text, None if it is not known, or
    ``ANY_SECRET``."""

    user: str


class CheckToken(NamedTuple):
    """Whose bearer token (RFC 6750) is this?  The answer is the account's name, or None if it is not valid.

    ``user`` is the name that the client gave, empty if it gave none.
    """

    user: str
    token: str

    def __repr__(self) -> str:
        return "CheckToken(…)"  # logs and tracebacks show repr


class Forward(NamedTuple):
    """What does the server that keeps the accounts say to this message of the client?  The answer is ``Forwarded``.

    ``exchange`` is that of the answer before, None at the first message.
    """

    mechanism: str
    message: bytes
    exchange: ForwardedExchange | None = None

    def __repr__(self) -> str:
        return f"Forward({self.mechanism!r})"


class ForwardedExchange(Protocol):
    """An exchange that another server judges, in the middle of which the client is asked."""

    def cancel(self) -> None:
        """The client has given up, or is gone."""
        ...


class Forwarded(NamedTuple):
    """What another server says: a challenge for the client, in an exchange that goes on; or the account's name, once
    the client has proved to be it; or neither, and then ``reason`` says what the log may say."""

    challenge: bytes | None = None
    exchange: ForwardedExchange | None = None
    user: str = ""
    reason: str = ""
    tried: str = ""


class DeriveKey(NamedTuple):
    """PBKDF2 of a password (RFC 5802 §2.2, ``Hi``), which takes milliseconds to seconds; the answer is bytes."""

    hash_name: str
    password: str
    salt: bytes
    iterations: int

    def __repr__(self) -> str:
        return f"DeriveKey({self.hash_name!r}, iterations={self.iterations})"

    def compute(self) -> bytes:
        """The answer, computed here; it may run in another thread."""
        return hashlib.pbkdf2_hmac(self.hash_name, self.password.encode(), self.salt, self.iterations)


Question = CheckPassword | FindKeys | FindSecret | CheckToken | Forward | DeriveKey


# Outcomes -------------------------------------------------------------------------------------------------------------


class Authenticated(NamedTuple):
    """The client has proved to be ``user``, by ``mechanism``."""

    user: str
    mechanism: str


class Denied(NamedTuple):
    """The server does not accept the client; ``reply`` is what it may know, ``reason`` what the log may say.

    ``user`` is the account that was tried, empty if the exchange did not come so far.
    """

    reply: Reply
    reason: str
    user: str = ""


#: The answer to ``FindSecret`` where every password is right.  No password is like it: SASLprep forbids NUL.
ANY_SECRET: Final = "\0any"
#: RFC 4954 §6 asks for one reply to every wrong name, password, token or proof, so that it tells nothing.
REJECTED: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
#: The account store cannot answer now: that is not a wrong password.
UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")
#: RFC 4954 §4: the client sent ``*``.
CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")

Exchange = Generator[Say | Question, Any, Authenticated | Denied | None]


def rejected(reason: str, user: str = "") -> Denied:
    """The outcome of a wrong name, password, token or proof."""
    return Denied(REJECTED, reason, user)


def refused(reply: Reply, user: str) -> Denied:
    """The outcome of a question that the accounts answer with a refusal."""
    return Denied(reply, "the accounts refuse this login", user)


def malformed(reason: str) -> Denied:
    """The outcome of a message that the mechanism's grammar does not allow; ``reason`` holds nothing secret."""
    return Denied(Reply(501, "5.5.2", f"Cannot be read: {reason}"), reason)
