"""Reader of reports: delivery status notifications, disposition notifications, feedback reports, bounces in words.

A report is untrusted input, and much of it breaks the rules: nothing that it holds raises, and the work is bounded.  A
message that is none of these gives None.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.core import Address
from posthouse.message.dsn.model import DeliveryReport, RecipientFields
from posthouse.message.dsn.read import AT_MOST, read_dsn
from posthouse.message.reading import ReadMessage, ReadPart, Source, read, read_octets
from posthouse.message.reports import free_form
from posthouse.message.reports.bounce_kinds import Bounce, BounceKind, classify_bounce
from posthouse.message.reports.report_values import (
    Disposition,
    FeedbackDetails,
    MailReport,
    ReportedRecipient,
    ReportKind,
)

__all__ = ["read_report"]

_PARTS: Final = 50  # of a report that are looked at
_FIELDS: Final = 1_000
_FIELD: Final = re.compile(r"([!-9;-~]+)[ \t]*:[ \t]*(.*)")
_DISPOSITION: Final = ("message/disposition-notification", "message/global-disposition-notification")
_FEEDBACK: Final = ("message/feedback-report",)
_RETURNED: Final = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
_BARE: Final = re.compile(r"<([\w.+=-]{1,64})>")  # an address without a domain
_OF_A_FAILURE: Final = ("failed", "delayed")
_GENERIC: Final = ("", "4.0.0", "5.0.0", "4.4.7", "5.4.7")


def read_report(source: Source | ReadMessage) -> MailReport | None:
    """Read a report: what other hosts and mail programs say about a message that was sent.

    Delivery status notifications (RFC 3464, RFC 6533), disposition notifications (RFC 8098), feedback reports (RFC
    5965, RFC 6591), and the bounces of hosts that write words alone.  Each recipient that was not reached has a
    classification, ``bounce``.

    Args:
        source: The message: its octets, an open binary file, the path of a file, or a message that was read.

    Returns:
        The report, or None if the message is none.

    Raises:
        OSError: The file cannot be read.
        LocalError: The source is text and not octets.
    """
    message = source if isinstance(source, ReadMessage) else read(source)
    parts = _leaves(message.root)
    for part in parts:
        if part.type in _DISPOSITION:
            return _disposition(message, part, parts)
        if part.type in _FEEDBACK:
            return _feedback(message, part, parts)
    delivery = read_dsn(message.as_bytes()[:AT_MOST])
    if delivery is not None and delivery.recipients:
        return _delivery(delivery)
    return _free_form(message)


def _leaves(root: ReadPart) -> list[ReadPart]:
    found: list[ReadPart] = []
    waiting = [root]
    while waiting and len(found) < _PARTS:
        part = waiting.pop()
        below = part.parts
        if below:
            waiting += reversed(below[:_PARTS])
        else:
            found.append(part)
    return found


# -- delivery status -------------------------------------------------------------------------------------------------


def _delivery(report: DeliveryReport) -> MailReport:
    recipients = tuple(_recipient(each, report.text) for each in report.recipients)
    original = report.returned
    return MailReport(
        ReportKind.DELIVERY_STATUS,
        report.reporting_mta,
        recipients,
        report.text,
        _id_of(original) or free_form.message_id_in(report.text),
        report.envelope_id or "",
        original,
    )


def _recipient(fields: RecipientFields, text: str) -> ReportedRecipient:
    address = fields.final.address
    bounce: Bounce | None = None
    if fields.action in _OF_A_FAILURE:
        permanent = fields.action == "failed"
        bounce = classify_bounce(fields.diagnostic, fields.status, permanent=permanent)
        if bounce.confidence < 0.5 or (fields.status in _GENERIC and not fields.diagnostic):
            bounce = _said_in_words(text, address, fields.status, bounce)
    return ReportedRecipient(
        address,
        fields.action,
        fields.status,
        fields.diagnostic,
        fields.remote_mta,
        "" if fields.original is None else fields.original.address,
        bounce,
    )


def _said_in_words(text: str, address: str, status: str, bounce: Bounce) -> Bounce:
    """A better judgement by the part for people, where there is one; some hosts give the reason only there."""
    for found in free_form.find_recipients(free_form.before_the_copy(text), [address], set()):
        if found.address.lower() == address.lower() and found.reason:
            better = classify_bounce(found.reason, status, permanent=bounce.permanent)
            if better.confidence > bounce.confidence:
                return better._replace(confidence=round(better.confidence * 0.9, 3))
    return bounce


def _id_of(original: bytes) -> str:
    return read_octets(original[:AT_MOST]).message_id if original else ""


def _returned(parts: list[ReadPart]) -> bytes:
    return next((part.content[:AT_MOST] for part in parts if part.type in _RETURNED), b"")


def _fields_of(part: ReadPart) -> list[tuple[str, str]]:
    """The fields of the part of a report for programs, names in lower case, unfolded."""
    unfolded = re.sub(r"\n[ \t]+", " ", part.text[:AT_MOST].replace("\r\n", "\n"))
    found = [_FIELD.match(line) for line in unfolded.split("\n")[:_FIELDS]]
    return [(match[1].lower(), match[2].strip()) for match in found if match is not None]


def _value(fields: list[tuple[str, str]], name: str) -> str:
    return next((value for each, value in fields if each == name), "")


def _untyped(value: str) -> str:
    """The address of ``rfc822; address``, without angle brackets."""
    text = value.rpartition(";")[2].strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


# -- dispositions ----------------------------------------------------------------------------------------------------


def _disposition(message: ReadMessage, part: ReadPart, parts: list[ReadPart]) -> MailReport:
    fields = _fields_of(part)
    mode, _, what = _value(fields, "disposition").lower().partition(";")
    kind, *modifiers = (each.strip() for each in re.split("[/,]", what or mode))
    error = "; ".join(value for name, value in fields if name in ("error", "failure") and value)
    address = _untyped(_value(fields, "final-recipient")) or _sender(message)
    recipient = ReportedRecipient(address, kind, original=_untyped(_value(fields, "original-recipient")))
    original = _returned(parts)
    return MailReport(
        ReportKind.DISPOSITION,
        _value(fields, "reporting-ua"),
        (recipient,) if address else (),
        message.text,
        _value(fields, "original-message-id").strip("<> ") or _id_of(original),
        original=original,
        disposition=Disposition(
            kind, "manual-action" in mode, tuple(each for each in modifiers if each), error or _value(fields, "warning")
        ),
    )


def _sender(message: ReadMessage) -> str:
    sender = message.sender
    return "" if sender is None or sender.address is None else str(sender.address)


# -- feedback --------------------------------------------------------------------------------------------------------


def _feedback(message: ReadMessage, part: ReadPart, parts: list[ReadPart]) -> MailReport:
    fields = _fields_of(part)
    original = _returned(parts)
    addresses = [_untyped(value).strip("<>") for name, value in fields if name == "original-rcpt-to" and value]
    if not addresses and original:
        addresses = [str(each.address) for each in read_octets(original).to if each.address is not None]
    incidents = _value(fields, "incidents")
    kind = _value(fields, "feedback-type").lower() or "other"
    return MailReport(
        ReportKind.FEEDBACK,
        _value(fields, "user-agent") or _untyped(_value(fields, "reporting-mta")),
        tuple(ReportedRecipient(each, kind) for each in addresses),
        message.text,
        _id_of(original),
        _value(fields, "original-envelope-id"),
        original,
        feedback=FeedbackDetails(
            kind,
            _value(fields, "source-ip"),
            _value(fields, "original-mail-from").strip("<> "),
            tuple(value for name, value in fields if name == "reported-domain"),
            int(incidents) if incidents.isdecimal() and len(incidents) < 10 else 1,
            tuple(fields),
        ),
    )


# -- words -----------------------------------------------------------------------------------------------------------


def _free_form(message: ReadMessage) -> MailReport | None:
    fields = [(name, message.header(name)) for name in ("from", "sender", "return-path")]
    authors = [each.address for name, _ in fields for each in message.mailboxes(name)]
    return_path = next((field.value for field in message.headers if field.name.lower() == "return-path"), None)
    named = [
        str(each.address)
        for name in ("x-failed-recipients", "x-failed-recipient")
        for each in message.mailboxes(name)
        if each.address is not None
    ]
    local_parts = [each.local for each in authors if isinstance(each, Address)]
    local_parts += [match[1] for _, value in fields for match in _BARE.finditer(value[:1_000])]
    if not named and not free_form.is_from_mail_system(local_parts, return_path, message.subject):
        return None
    not_these = {str(each).lower() for each in authors if each is not None}
    not_these |= {str(each.address).lower() for each in message.to if each.address is not None}
    text = message.text[:AT_MOST]
    front = free_form.before_the_copy(text)
    found = free_form.find_recipients(front, named, not_these)
    if not found:
        return None
    original = _returned(_leaves(message.root))
    return MailReport(
        ReportKind.FREE_FORM,
        _sender(message),
        tuple(_from_words(each) for each in found),
        text,
        _id_of(original) or free_form.message_id_in(text[len(front) :]),
        original=original,
    )


def _from_words(found: free_form.FreeFormRecipient) -> ReportedRecipient:
    bounce = classify_bounce(found.reason, permanent=False if found.delayed else None)
    if bounce.kind is not BounceKind.UNKNOWN:  # a text says less surely whom and what it means
        bounce = bounce._replace(confidence=round(bounce.confidence * 0.9, 3))
    status = next(iter(re.findall(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])", found.reason)), "")
    action = "delayed" if found.delayed or not bounce.permanent else "failed"
    return ReportedRecipient(found.address, action, status, found.reason, bounce=bounce)
