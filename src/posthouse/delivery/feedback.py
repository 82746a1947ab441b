"""Feedback of an attempt about the host it went to, and the wait that the host asked for."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final

from posthouse.core import Outcome, Reply, Result

__all__ = ["Feedback", "asked_of", "asked_wait", "feedback_of"]

_DELIVERED: Final = Result.DELIVERED
_LONGEST_ASKED: Final = 86_400.0


class Feedback(enum.Enum):
    """Feedback about a site; its concurrency limit and circuit breaker follow it (``relay.scheduling.site_health``)."""

    NOTHING = enum.auto()  # the attempt did not get as far as the host, or the fault was on this side
    OK = enum.auto()  # the host answered for the recipients, with whatever reply
    LIMITED = enum.auto()  # the host refused one more session while others to it were open
    THROTTLED = enum.auto()  # the host refused the session, replied 421 or 4.7.x to all, broke off, or stayed silent
    UNREACHABLE = enum.auto()  # no connection could be opened


#: "try again in 5 minutes", "please retry after 300 seconds", "wait 1 hour", "greylisted for 60 sec".  The number has
#: at most five digits and stands within 24 characters of the word.
_ASKED: Final = re.compile(
    r"\b(?:again|retry|wait|gr[ea]y-?list(?:ed|ing)?)\b[^0-9]{0,24}([0-9]{1,5}) ?"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE | re.ASCII,
)
_GREYLIST: Final = re.compile(r"gr[ea]y-?list", re.IGNORECASE | re.ASCII)
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_READ: Final = 1000  # characters of a reply that are searched


def asked_wait(reply: Reply | None) -> float | None:
    """The seconds after which a transient reply asks for the next attempt, at most 1 day; None if it names no time."""
    if reply is None or not reply.transient:
        return None
    found = _ASKED.search(reply.text[:_READ])
    if found is None:
        return None
    return min(_LONGEST_ASKED, float(found[1]) * _UNITS[found[2][0].lower()])


def asked_of(outcomes: Sequence[Outcome]) -> float | None:
    """The longest wait that the replies to an attempt asked for; None if none did."""
    return max((asked for outcome in outcomes if (asked := asked_wait(outcome.reply)) is not None), default=None)


def feedback_of(outcomes: Sequence[Outcome]) -> Feedback:
    """The feedback of a transaction's outcomes about the host that gave them."""
    others = [outcome for outcome in outcomes if outcome.result is not _DELIVERED]
    delivered = len(others) < len(outcomes)
    throttled = True
    for outcome in others:
        reply = outcome.reply
        if reply is None or reply.code == 421:  # silence, a lost connection, or a closed session
            return Feedback.THROTTLED
        if throttled:
            greylisted = _GREYLIST.search(reply.text[:_READ]) is not None
            throttled = reply.transient and reply.enhanced.startswith("4.7.") and not greylisted
    if delivered or not outcomes:
        return Feedback.OK if delivered else Feedback.NOTHING
    return Feedback.THROTTLED if throttled else Feedback.OK
