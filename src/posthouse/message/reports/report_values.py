"""Values of reports that were read: what other hosts and mail programs say about a message that was sent."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from posthouse.message.reports.bounce_kinds import Bounce

__all__ = [
    "Disposition",
    "FeedbackDetails",
    "MailReport",
    "ReportKind",
    "ReportedRecipient",
]


class ReportKind(enum.StrEnum):
    """The kinds of reports."""

    DELIVERY_STATUS = "delivery-status"  # RFC 3464, RFC 6533
    DISPOSITION = "disposition-notification"  # RFC 8098: read, deleted …
    FEEDBACK = "feedback-report"  # RFC 5965: a complaint, an authentication failure
    FREE_FORM = "free-form"  # a bounce in words alone


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What a report says about one recipient.

    Attributes:
        address: The address that was tried last, without its type; Unicode where the report has it (RFC 6533).
        action: ``failed``, ``delayed``, ``delivered``, ``relayed`` or ``expanded`` (RFC 3464 §2.3.3), or the author's
            own word.
        status: The enhanced status code, "" without one.
        diagnostic: The reply of the host that refused, or the words about this recipient.
        remote_mta: The host that refused, "" if it is not named.
        original: The address that the message was sent to first (ORCPT), "" if it is not named.
        bounce: Why delivery failed or is late; None for the other actions.
    """

    address: str
    action: str
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    original: str = ""
    bounce: Bounce | None = None


@dataclass(frozen=True, slots=True)
class Disposition:
    """What became of a message in its recipient's mailbox (RFC 8098 §3.2.6).

    Attributes:
        kind: ``displayed``, ``deleted``, ``dispatched``, ``processed`` …, in lower case.
        manual: Whether the recipient did it, and no rule.
        modifiers: What stands behind the slash, in lower case (``error`` …).
        error: The text of the fields Error and Failure.
    """

    kind: str
    manual: bool
    modifiers: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class FeedbackDetails:
    """What a feedback report says (RFC 5965, RFC 6591).

    Attributes:
        kind: ``abuse``, ``fraud``, ``virus``, ``not-spam``, ``opt-out``, ``auth-failure`` or ``other``.
        source_ip: The client that brought the message, "" if it is not named.
        mail_from: The reverse-path of the message, "" if it is not named.
        domains: The domains that are reported.
        incidents: How many messages the report stands for.
        fields: All fields of the report, names in lower case, in their order.
    """

    kind: str
    source_ip: str = ""
    mail_from: str = ""
    domains: tuple[str, ...] = ()
    incidents: int = 1
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MailReport:
    """A report about a message; ``posthouse.read_report`` makes it.

    Attributes:
        kind: Which of the four kinds it is.
        reporter: The host or program that wrote it, as it names itself; "" if it does not.
        recipients: What it says about each recipient.
        text: The part for people.
        message_id: The Message-ID of the message that the report is about, without angle brackets; "" if unknown.
        envelope_id: The ENVID of that message (RFC 3461), "" without one.
        original: The octets that were returned of that message: all of it, its header section, or none.
        disposition: For a disposition notification, else None.
        feedback: For a feedback report, else None.
    """

    kind: ReportKind
    reporter: str = ""
    recipients: tuple[ReportedRecipient, ...] = ()
    text: str = ""
    message_id: str = ""
    envelope_id: str = ""
    original: bytes = field(default=b"", repr=False)
    disposition: Disposition | None = None
    feedback: FeedbackDetails | None = None

    @property
    def failed(self) -> tuple[ReportedRecipient, ...]:
        """The recipients that the message did not reach and will not reach."""
        return tuple(each for each in self.recipients if each.action == "failed")

    @property
    def delayed(self) -> tuple[ReportedRecipient, ...]:
        """The recipients for whom delivery is still tried."""
        return tuple(each for each in self.recipients if each.action == "delayed")
