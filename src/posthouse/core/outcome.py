"""Outcome of one delivery attempt for one recipient.

There are four results, not three: after a connection that breaks behind the final dot, the client cannot know whether
the message was accepted (RFC 1047, RFC 5321 §4.5.4.1).  The result *deferred* would hide a possible duplicate.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from posthouse.core.envelope import Recipient
from posthouse.core.reply import Reply

__all__ = ["Handover", "Outcome", "Result"]


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


class Outcome(NamedTuple):
    """The result for one recipient, with its reason.

    Args:
        reply: The reply that decided.  Without a peer it is made on this side (``556 5.1.10`` for a null MX), or None.
        reason: One sentence for the operator.
        peer: The host that replied as ``mx.sina.com[192.0.2.7]:25``, or a path, or "" if no host replied.
        handover: Has a meaning with DELIVERED only.
        command: The command in reply to which the host gave a negative reply (``MAIL FROM``, ``RCPT TO``, ``DATA``,
            ``BDAT``, ``the end of the message``, ``EHLO``, ``the connection``); "" where no host refused.
    """

    recipient: Recipient
    result: Result
    reply: Reply | None = None
    reason: str = ""
    peer: str = ""
    handover: Handover = Handover.FINAL
    command: str = ""
