"""Values of delivery status notifications (RFC 3464): what a report is composed from, and what is read from one."""

from __future__ import annotations

import enum
from typing import NamedTuple

from posthouse.core import Envelope, OriginalRecipient, Recipient, Reply

__all__ = ["Action", "DeliveryReport", "OriginalMessage", "RecipientFields", "RecipientStatus"]


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

    @property
    def status(self) -> str:
        """The status code (RFC 3463): the reply's if it agrees with the action (RFC 3461 §6.3 (g)), else x.0.0."""
        if self.expired:
            return "5.4.7"
        digit = {Action.FAILED: "5", Action.DELAYED: "4"}.get(self.action, "2")
        known = self.reply.enhanced if self.reply is not None else ""
        return known if known[:2] == f"{digit}." else f"{digit}.0.0"


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
