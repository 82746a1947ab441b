"""Outcome of one delivery attempt for one recipient.

There are four results, not three: after a connection that breaks behind the final dot, the client cannot know whether
the message was accepted (RFC 1047, RFC 5321 §4.5.4.1).  The result *deferred* would hide a possible duplicate.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from posthouse.core.envelope import Recipient
from posthouse.core.reply import Reply

__all__ = ["Handover", "Outcome", "Phase", "Result"]


class Result(enum.StrEnum):
    """The four results of an attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"


class Handover(enum.StrEnum):
    """Which host must send a requested report of success after *delivered* (RFC 3461)."""

    FINAL = "final"  # this one: it was the final delivery, into a mailbox (§5.2.3)
    RELAYED = "relayed"  # this one: the message went to a host without DSN (§5.2.2)
    TAKEN = "taken"  # the next host, to which the request was passed on (§5.2.1)


class Phase(enum.StrEnum):
    """How far a session had come (RFC 5321 §3), in the order of the dialogue."""

    LOOKUP = "look-up"  # the name of the server, or the mail exchangers of the domain
    CONNECT = "connect"
    PROXY = "proxy"  # the dialogue with a SOCKS5 or HTTP proxy
    GREETING = "greeting"
    EHLO = "EHLO"
    TLS = "TLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # of DATA or BDAT
    END = "end of data"  # the content is complete, and its reply decides (§4.1.1.4)


class Outcome(NamedTuple):
    """The result for one recipient, with its reason.

    Args:
        reply: The reply that decided.  Without a peer it is made on this side (``556 5.1.10`` for a null MX), or None.
        reason: One sentence for the operator.
        peer: The host that replied as ``mx.sina.com[192.0.2.7]:25``, or a path, or "" if no host replied.
        handover: Has a meaning with DELIVERED only.
        command: The command in reply to which the host gave a negative reply (``MAIL FROM``, ``RCPT TO``, ``DATA``,
            ``BDAT``, ``the end of the message``, ``EHLO``, ``the connection``); "" where no host refused.
        phase: How far the dialogue had come when this recipient was decided; "" where there was no dialogue.
        elapsed: Seconds from the call of ``posthouse.send``, or of a ``Client`` or ``Pool``, to this outcome; 0
            elsewhere.
    """

    recipient: Recipient
    result: Result
    reply: Reply | None = None
    reason: str = ""
    peer: str = ""
    handover: Handover = Handover.FINAL
    command: str = ""
    phase: str = ""
    elapsed: float = 0.0

    @property
    def temporary(self) -> bool:
        """Whether the same message may be accepted later: true of *deferred* alone.  An *ambiguous* message may have
        arrived, so sending it again may make a duplicate."""
        return self.result is Result.DEFERRED
