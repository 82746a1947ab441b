"""Events of the protocol engines, apart from the parsed commands (``commands``).

``Pause`` belongs to both roles, ``Sent`` and ``Answered`` to the sending SMTP, the others to the receiving SMTP.  *Need
more data* and *a reply is owed* are values like every other event, so that a shell is one loop over ``next_event``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from posthouse.core import Remark, Reply
from posthouse.protocol.commands import Command

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

#: Called with "S" (the sending SMTP's line) or "R" (the receiving SMTP's) and a line of the dialogue.  Content is
#: summarised, credentials are never shown.
Transcript = Callable[[str, str], None]


# -- both roles ------------------------------------------------------------------------------------------------------


class Pause(enum.Enum):
    """The reason why there is no event now."""

    NEED_DATA = "need data"  # receive_data() needs more octets
    PAUSED = "paused"  # the last event is owed a reply
    CLOSED = "closed"  # the dialogue is over


# -- the sending SMTP ------------------------------------------------------------------------------------------------


class Sent(enum.Enum):
    """Input of a sending SMTP that gets a reply and is not a command."""

    CONTENT_END = "(end of content)"
    AUTH_LINE = "(auth line)"


class Answered(NamedTuple):
    """A reply arrived.  ``to`` is what the reply answers, or None for the greeting and for an unsolicited 421."""

    to: Command | Sent | None
    reply: Reply


# -- the receiving SMTP ----------------------------------------------------------------------------------------------


class Refused(NamedTuple):
    """Input of the peer that is illegal or exceeds a limit.

    ``reply`` is to be given to ``Receiver.send``, ``owed`` times (LMTP may need several); if ``fatal``, the dialogue
    ends after it.  ``what`` names the input for logs: a verb, or the fault.
    """

    what: str
    reply: Reply
    fatal: bool = False
    owed: int = 1


class ContentChunk(NamedTuple):
    """Octets of the content: CRLF line ends, dot-stuffing undone."""

    data: bytes


class EndOfContent(NamedTuple):
    """The content is complete: ``size`` octets.  ``owed`` replies are due: one, or in LMTP one per recipient.
    ``remarks`` say what a lenient receiver has tolerated in this transaction."""

    size: int
    owed: int
    remarks: tuple[Remark, ...] = ()


class EndOfChunk(NamedTuple):
    """A BDAT chunk that is not the last is complete; one reply is due.  ``size`` is the content's so far."""

    size: int


class AuthResponse(NamedTuple):
    """A line of the SASL exchange, decoded; None if the client cancelled with ``*``."""

    data: bytes | None

    def __repr__(self) -> str:
        return "AuthResponse(None)" if self.data is None else "AuthResponse(…)"  # logs and tracebacks show repr
