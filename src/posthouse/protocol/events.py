"""What the engine tells the shell around it (besides the commands themselves): what both roles are told, and what the
sending SMTP is told.  The receiving SMTP's own stand in ``content_events``.

*Need more* and *wait for your reply* are values like any other event: a shell is one loop over ``next_event``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from posthouse.core import Reply
from posthouse.protocol.commands import Command

__all__ = ["Answered", "Pause", "Sent", "Transcript"]

#: Called with "S" (what the sending SMTP says) or "R" (the receiving SMTP) and a line of the dialogue.  Content is
#: summarised, credentials are never shown.
Transcript = Callable[[str, str], None]


class Pause(enum.Enum):
    """Nothing to tell now, and why."""

    NEED_DATA = "need data"  # give receive_data() more
    PAUSED = "paused"  # the last event is owed a reply
    CLOSED = "closed"  # the dialogue is over


class Sent(enum.Enum):
    """What a sending SMTP has sent that is answered and is no command."""

    CONTENT_END = "(end of content)"
    AUTH_LINE = "(auth line)"


class Answered(NamedTuple):
    """A reply arrived.  ``to`` is what it answers, or None for the greeting and for an unsolicited 421."""

    to: Command | Sent | None
    reply: Reply
