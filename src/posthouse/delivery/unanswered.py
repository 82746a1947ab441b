"""Outcomes of an attempt that no mail exchanger, or only a part of one's dialogue, has answered.

An outcome always has a reply.  Where the host gave none, because it could not be reached, broke off, or sent what is no
reply, the reply is one of this side, with the code of RFC 3463 §3.5 and §3.6, and the outcome names no peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.client import SessionRefused
from posthouse.core import Outcome, PosthouseError, Recipient, RemoteError, Reply, Result, Unreachable
from posthouse.delivery.feedback import Feedback
from posthouse.delivery.model import Delivery, all_of
from posthouse.delivery.mx import NextHops
from posthouse.delivery.security import refused_by_requiretls, reply_about

__all__ = ["FailedExchanges", "Found", "is_closed", "is_unanswered", "with_replies"]

#: The outcomes of all recipients, in their order, or of some by their places.
Found = Sequence[Outcome] | dict[int, Outcome]

# Replies of this side for a host that gave none.
_NO_ANSWER: Final = Reply(451, "4.4.1", "no host answered")
_LOST: Final = Reply(451, "4.4.2", "the connection was lost before the host had answered")
_NOT_SMTP: Final = Reply(451, "4.5.0", "the host broke the protocol")
_LOST_AT_END: Final = Reply(451, "4.4.2", "the connection was lost before the host had confirmed the message")


class FailedExchanges:
    """What kept the exchanges of a next hop from taking a message, and the outcomes that follow from it; ``requires``
    if the message has REQUIRETLS."""

    def __init__(self, hops: NextHops, requires: bool = False) -> None:
        self._hops = hops
        self._requires = requires
        self._texts: list[str] = []
        self._refusals: list[tuple[Reply, str, str]] = []  # reply, exchange, command
        self._own: list[Reply] = []  # replies of this side about TLS, a login, or a file of the route
        self._unreachable = 0
        self._lost = False
        self._broken = False

    def add(self, name: str, error: PosthouseError | None, text: str = "") -> None:
        """Add the trouble with the exchange ``name``."""
        text = text or str(error)
        if len(self._hops.exchanges) > 1 and name not in text:
            text = f"{name}: {text}"
        self._texts.append(text)
        if isinstance(error, SessionRefused):
            self._refusals.append((error.reply, name, _refused_command(str(error))))
        elif isinstance(error, Unreachable):
            self._unreachable += 1
        elif error is not None and (own := reply_about(error)) is not None:
            self._own.append(own)
        elif isinstance(error, RemoteError):
            self._broken = True
        else:
            self._lost = True

    @property
    def busy(self) -> bool:
        """True if an exchange refused the session for now."""
        return any(reply.transient for reply, _, _ in self._refusals)

    @property
    def feedback(self) -> Feedback:
        """The feedback about the site."""
        return Feedback.UNREACHABLE if self._unreachable == len(self._texts) else Feedback.THROTTLED

    def outcomes(self, delivery: Delivery) -> Sequence[Outcome]:
        """The outcomes of all recipients (see the table above)."""
        hops = self._hops
        what = "; ".join(self._texts)
        # A chosen host is named once.
        address = hops.site.strip("[]").removeprefix("IPv6:")
        where = hops.reason.replace(f" {hops.site}", "") if address and address in what else hops.reason
        tried = f"tried {where}: {what}"
        recipients = delivery.recipients
        for reply, name, command in self._refusals:
            if reply.transient:
                return _refused(recipients, Result.DEFERRED, tried, reply, name, command)
        if len(self._refusals) == len(self._texts):
            reply, name, command = self._refusals[0]
            return _refused(recipients, Result.FAILED, tried, reply, name, command)
        if self._requires and len(self._own) == len(self._texts) and (final := refused_by_requiretls(self._own)):
            return all_of(recipients, Result.FAILED, tried, final)
        if self._own:
            return all_of(recipients, Result.DEFERRED, tried, self._own[0])
        return all_of(
            recipients, Result.DEFERRED, tried, _LOST if self._lost else _NOT_SMTP if self._broken else _NO_ANSWER
        )


def _refused_command(text: str) -> str:
    """What the host refused: EHLO, HELO, LHLO or the connection, as the text of ``SessionRefused`` has it."""
    what = text.partition(" refused ")[2][:4]
    return what if what in ("EHLO", "HELO", "LHLO") else "the connection"


def _refused(
    recipients: Sequence[Recipient], result: Result, reason: str, reply: Reply, peer: str, command: str
) -> tuple[Outcome, ...]:
    return tuple([Outcome(one, result, reply, reason, peer, command=command) for one in recipients])


def with_replies(found: Found, fault: PosthouseError | None) -> Found:
    """Outcomes with a reply of this side where the host gave none."""
    if isinstance(found, dict):
        return {place: _with_reply(outcome, fault) for place, outcome in found.items()}
    return found if all(outcome.reply is not None for outcome in found) else [_with_reply(o, fault) for o in found]


def _with_reply(outcome: Outcome, fault: PosthouseError | None) -> Outcome:
    if outcome.reply is not None:
        return outcome
    if outcome.result is Result.AMBIGUOUS:
        reply = _LOST_AT_END
    else:
        reply = _NOT_SMTP if isinstance(fault, RemoteError) else _LOST
    return outcome._replace(reply=reply, peer="")


def is_closed(outcome: Outcome) -> bool:
    """True if the host closed the session with 421."""
    return outcome.result is Result.DEFERRED and outcome.reply is not None and outcome.reply.code == 421


def is_unanswered(outcome: Outcome) -> bool:
    """True if the host gave no reply for this recipient and was handed nothing."""
    return outcome.result is Result.DEFERRED and outcome.reply is None
