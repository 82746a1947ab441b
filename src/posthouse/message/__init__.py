"""Internet messages (RFC 5322, MIME): header fields, composing, conversion, trace fields and delivery reports.

The functions take octets and values; they read no clock, no random source and no file.  Trace fields, conversion and
reports are imported at their first use, because composing and sending a message needs none of them.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.message.compose import Composed, compose, to_crlf
from posthouse.message.dates import format_date
from posthouse.message.mailboxes import Mailbox, parse_mailboxes

if TYPE_CHECKING:
    from posthouse.message.authoring.calendar import CalendarEvent
    from posthouse.message.authoring.list_fields import ListFields
    from posthouse.message.authoring.replies import forward, reply
    from posthouse.message.authoring.templates import RenderedTemplate, Templates
    from posthouse.message.composing.attachment import Attachment
    from posthouse.message.composing.signed_message import SignedMessage
    from posthouse.message.conversion import Converted, Unconvertible, convert, downgrade
    from posthouse.message.dsn.model import Action, DeliveryReport, OriginalMessage, RecipientFields, RecipientStatus
    from posthouse.message.dsn.read import read_dsn
    from posthouse.message.dsn.report import compose_report, is_report
    from posthouse.message.headers import (
        Field,
        Split,
        count,
        count_received,
        fields,
        first,
        gap,
        split,
        unfold,
        without,
    )
    from posthouse.message.message import Message
    from posthouse.message.mime import Needs, Scanner, needs
    from posthouse.message.trace_fields import protocol_name, received, return_path

__all__ = [
    "Action",
    "Attachment",
    "CalendarEvent",
    "Composed",
    "Converted",
    "DeliveryReport",
    "Field",
    "ListFields",
    "Mailbox",
    "Message",
    "Needs",
    "OriginalMessage",
    "RecipientFields",
    "RecipientStatus",
    "RenderedTemplate",
    "Scanner",
    "SignedMessage",
    "Split",
    "Templates",
    "Unconvertible",
    "compose",
    "compose_report",
    "convert",
    "count",
    "count_received",
    "downgrade",
    "fields",
    "first",
    "format_date",
    "forward",
    "gap",
    "is_report",
    "needs",
    "parse_mailboxes",
    "protocol_name",
    "read_dsn",
    "received",
    "reply",
    "return_path",
    "split",
    "to_crlf",
    "unfold",
    "without",
]

__getattr__ = lazily(
    __name__,
    {
        "authoring.calendar": "CalendarEvent",
        "authoring.list_fields": "ListFields",
        "authoring.replies": "forward reply",
        "composing.signed_message": "SignedMessage",
        "authoring.templates": "RenderedTemplate Templates",
        "composing.attachment": "Attachment",
        "conversion": "Converted Unconvertible convert downgrade",
        "dsn.model": "Action DeliveryReport OriginalMessage RecipientFields RecipientStatus",
        "dsn.read": "read_dsn",
        "dsn.report": "compose_report is_report",
        "headers": "Field Split count count_received fields first gap split unfold without",
        "message": "Message",
        "mime": "Needs Scanner needs",
        "trace_fields": "protocol_name received return_path",
    },
)
