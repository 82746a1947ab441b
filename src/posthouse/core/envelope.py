"""The envelope: who sends, who receives, and what was asked about the handling.

It is what MAIL and RCPT say (RFC 5321 §2.3.1), with the parameters of the extensions as typed values.  The content
travels beside it, as bytes that nobody here reads.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from posthouse.core.address import Address

__all__ = ["Body", "Bytes", "Content", "Envelope", "Notify", "OriginalRecipient", "Prefixed", "Recipient", "Ret"]


class Body(enum.StrEnum):
    """BODY= of MAIL (RFC 6152, RFC 3030)."""

    SEVENBIT = "7BIT"
    EIGHTBITMIME = "8BITMIME"
    BINARYMIME = "BINARYMIME"


class Ret(enum.StrEnum):
    """RET= of MAIL (RFC 3461 §4.3): how much of the message a failure report returns."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(enum.Flag):
    """NOTIFY= of RCPT (RFC 3461 §4.1).  ``NEVER`` stands alone."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


class OriginalRecipient(NamedTuple):
    """ORCPT= of RCPT (RFC 3461 §4.2), xtext already decoded: ``("rfc822", "bob@example.org")``."""

    kind: str
    address: str


class Recipient(NamedTuple):
    """One RCPT: the forward-path and what the sender wants to hear about it.

    ``notify`` is None where NOTIFY was not given, which means FAILURE, and DELAY as the system likes.
    """

    address: Address
    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None


class Envelope(NamedTuple):
    """One mail transaction without its content.

    ``sender`` is None for the null reverse-path; ``size`` is what SIZE= declared, in octets, or None;
    ``auth`` is AUTH= of MAIL (RFC 4954 §5), xtext decoded: None if absent, "" for ``<>``.
    """

    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    body: Body = Body.SEVENBIT
    smtputf8: bool = False
    size: int | None = None
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False


@runtime_checkable
class Content(Protocol):
    """A message's content, wherever it lives: bytes with CRLF line ends, not dot-stuffed.

    It may be read any number of times, and is never changed by reading.
    """

    @property
    def size(self) -> int:
        """Octets."""
        ...

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order, in pieces of at most ``at_most``; nothing is yielded for an empty content."""
        ...


class Bytes:
    """Content held in memory."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """Octets."""
        return len(self.data)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order; see ``Content.chunks``."""
        if len(self.data) <= at_most:
            if self.data:
                yield self.data
            return
        for start in range(0, len(self.data), at_most):
            yield self.data[start : start + at_most]


class Prefixed:
    """Content with something in front of it: trace fields before a message, without copying the message."""

    __slots__ = ("content", "prefix")

    def __init__(self, prefix: bytes, content: Content) -> None:
        self.prefix = prefix
        self.content = content

    @property
    def size(self) -> int:
        """Octets, the prefix included."""
        return len(self.prefix) + self.content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order; a short prefix travels in the same piece as what follows it."""
        prefix = self.prefix
        while len(prefix) >= at_most:
            yield prefix[:at_most]
            prefix = prefix[at_most:]
        rest = self.content.chunks(at_most - len(prefix))
        first = prefix + next(rest, b"")
        if first:
            yield first
        yield from rest
