"""What the receiving SMTP is told: pieces of content, lines of a SASL exchange, and what the peer may not send."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.core import Reply

__all__ = ["AuthResponse", "ContentChunk", "EndOfChunk", "EndOfContent", "Refused"]


class Refused(NamedTuple):
    """The peer sent what it may not send: say ``reply`` (with ``send``, ``owed`` times: LMTP may want several), and
    close after it if ``fatal``.

    ``what`` names the offending input for logs: a verb, or what was wrong.
    """

    what: str
    reply: Reply
    fatal: bool = False
    owed: int = 1


class ContentChunk(NamedTuple):
    """Octets of the content: CRLF line ends, dot-stuffing undone."""

    data: bytes


class EndOfContent(NamedTuple):
    """The content is complete: ``size`` octets.  ``owed`` replies are due: one, or in LMTP one per recipient."""

    size: int
    owed: int


class EndOfChunk(NamedTuple):
    """A BDAT chunk that is not the last is complete; one reply is due.  ``size`` is the content's so far."""

    size: int


class AuthResponse(NamedTuple):
    """A line of the SASL exchange, decoded; None if the client cancelled with ``*``."""

    data: bytes | None
