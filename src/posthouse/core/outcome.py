"""What became of one recipient in one attempt.

There are four answers, not three: a connection that dies after the final dot leaves us not knowing
(RFC 1047; RFC 5321 §4.5.4.1).  Calling that *deferred* would hide a possible duplicate.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from posthouse.core.envelope import Recipient
from posthouse.core.reply import Reply

__all__ = ["Handover", "Outcome", "Result"]


class Result(enum.StrEnum):
    """The four ends of an attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"


class Handover(enum.StrEnum):
    """Who owes the sender the report of success, if it was asked for, once a recipient is *delivered* (RFC 3461)."""

    FINAL = "final"  # we do: it was the final delivery, into a mailbox (§5.2.3)
    RELAYED = "relayed"  # we do: it went on to a host that makes no reports (§5.2.2)
    TAKEN = "taken"  # the next host, which was asked for it (§5.2.1)


class Outcome(NamedTuple):
    """One recipient's end in one attempt.

    ``reply`` is the reply that decided: the peer's, or, where ``peer`` is "" because nobody answered, the one that
    this side gives in its place (``556 5.1.10`` for a null MX); None where there is none to give.  ``reason`` says in
    one sentence what happened, for people; ``peer`` is who answered: ``mx.sina.com[192.0.2.7]:25``, a path, or "".
    ``handover`` counts where the result is DELIVERED only.
    """

    recipient: Recipient
    result: Result
    reply: Reply | None = None
    reason: str = ""
    peer: str = ""
    handover: Handover = Handover.FINAL
