"""What the engine tells the shell around it (besides the commands themselves).

*Need more* and *wait for your reply* are values like any other event: a shell is one loop over ``next_event``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from posthouse.protocol.commands import Command
from posthouse.words import Reply

__all__ = [
    "Answered",
    "AuthResponse",
    "ContentChunk",
    "EndOfChunk",
    "EndOfContent",
    "Pause",
    "Refused",
    "Sent",
    "Transcript",
]

#: Called with "S" (what the sending SMTP says) or "R" (the receiving SMTP) and a line of the dialogue.  Content is
#: summarised, credentials are never shown.
Transcript = Callable[[str, str], None]


class Pause(enum.Enum):
    """Nothing to tell now, and why."""

    NEED_DATA = "need data"  # give receive_data() more
    PAUSED = "paused"  # the last event is owed a reply
    CLOSED = "closed"  # the dialogue is over


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


class Sent(enum.Enum):
    """What a sending SMTP has sent that is answered and is no command."""

    CONTENT_END = "(end of content)"
    AUTH_LINE = "(auth line)"


class Answered(NamedTuple):
    """A reply arrived.  ``to`` is what it answers, or None for the greeting and for an unsolicited 421."""

    to: Command | Sent | None
    reply: Reply
