"""Values of delivery status notifications (RFC 3464): what a report is composed from, and what is read from one."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

from posthouse.core import Address, Envelope, OriginalRecipient, Recipient, Reply

__all__ = ["Action", "DeliveryReport", "OriginalMessage", "RecipientFields", "RecipientStatus"]


_TEXT = 2_000  # characters of a reply that are searched


class Action(enum.StrEnum):
    """The Action field: what the reporting system did for a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


# To compose a report ------------------------------------------------------------------------------------------------


class RecipientStatus(NamedTuple):
    """The delivery status of one recipient, from which its fields and its sentences in a report are written.

    Args:
        recipient: The recipient as the message was received, ORCPT included.
        reply: The SMTP reply that decided, or None if there was none.
        remote: The host that gave the reply, "" if it was this one.
        command: The command in reply to which the host gave it (``RCPT TO``), "" if that is not known.
        final: The recipient's address in the form for programs: with A-labels, where only its domain is beyond ASCII.
            None if it is that of ``recipient``.
        attempted: Time of the last attempt, seconds since 1970.
        until: Time until which delivery is tried, seconds since 1970; with ``DELAYED`` only.
        expired: Delivery was given up after temporary failures.
    """

    recipient: Recipient
    action: Action
    reply: Reply | None = None
    remote: str = ""
    attempted: float | None = None
    until: float | None = None
    expired: bool = False
    command: str = ""
    final: Address | None = None

    @property
    def status(self) -> str:
        """The status code (RFC 3463): the reply's, where it agrees with the action (RFC 3461 §6.3 (g)).

        A reply without one may have it further on in its text, as qmail writes it (``(#5.1.1)``); else the reply code
        may say enough (RFC 5248 §2.4), and x.0.0 is left if it does not.
        """
        if self.expired:
            return "5.4.7"
        digit = {Action.FAILED: "5", Action.DELAYED: "4"}.get(self.action, "2")
        for known in _status_codes(self.reply):
            if known[:2] == f"{digit}.":
                return known
        return f"{digit}.0.0"


# What a reply code without an enhanced one says by itself (RFC 5248 §2.4, RFC 5321 §4.2.2, RFC 7504).
_BY_CODE = {
    452: "4.3.1",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    521: "5.3.2",
    530: "5.7.0",
    551: "5.1.6",
    553: "5.1.3",
    555: "5.5.4",
    556: "5.1.10",
}
_CODE = r"([245]\.[0-9]{1,3}\.[0-9]{1,3})"
_IN_TEXT = re.compile(rf"(?:^|\n)\s*{_CODE}(?![.0-9])|#{_CODE}(?![.0-9])|\[{_CODE}\]|\({_CODE}\)")


def _status_codes(reply: Reply | None) -> Iterator[str]:
    """The status codes that a reply has or means, the surest first."""
    if reply is None:
        return
    if reply.enhanced:
        yield reply.enhanced
        return
    for match in _IN_TEXT.finditer(reply.text[:_TEXT]):
        yield match[match.lastindex or 1]
    if reply.code in _BY_CODE:
        yield _BY_CODE[reply.code]


class OriginalMessage(NamedTuple):
    """The message that a report is about.

    Args:
        id: Queue id on this host.
        arrived: Time of arrival, seconds since 1970.
        content: The beginning of the content, at least its header section.
        whole: ``content`` is the whole message.
    """

    id: str
    envelope: Envelope
    arrived: float
    content: bytes = b""
    whole: bool = False


# Read from a report -------------------------------------------------------------------------------------------------


class RecipientFields(NamedTuple):
    """The per-recipient fields of a report (RFC 3464 §2.3) as its author wrote them; "" for a missing field.

    Args:
        final: Final-Recipient.
        action: Action in lower case; equal to a member of ``Action`` if it is one of the five.
        status: Status without comments.
        original: Original-Recipient, or None.
        remote_mta: Remote-MTA without its type.
        diagnostic: Diagnostic-Code without its type.
        last_attempt: Last-Attempt-Date.
        retry_until: Will-Retry-Until.
    """

    final: OriginalRecipient
    action: str
    status: str
    original: OriginalRecipient | None = None
    remote_mta: str = ""
    diagnostic: str = ""
    last_attempt: str = ""
    retry_until: str = ""


class DeliveryReport(NamedTuple):
    """A report that was read.

    Args:
        text: The part for human readers.
        returned: The returned message or its header section, decoded; b"" if nothing was returned.
        returned_kind: Content type of ``returned``, or "".
    """

    reporting_mta: str
    recipients: tuple[RecipientFields, ...]
    envelope_id: str | None = None
    arrival_date: str = ""
    text: str = ""
    returned: bytes = b""
    returned_kind: str = ""
