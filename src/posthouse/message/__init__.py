"""A message's content: split, traced, composed, converted.  Bytes and values; no clock, no random, no I/O.

Trace fields, conversion and reports are imported when first asked for: a letter that is written and sent needs none.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily
from posthouse.message.compose import Attachment, Composed, compose, to_crlf
from posthouse.message.dates import format_date
from posthouse.message.mailboxes import Mailbox, parse_mailboxes

if TYPE_CHECKING:
    from posthouse.message.dsn.compose import Action, Fate, Original, compose_report, is_report
    from posthouse.message.dsn.read import DeliveryReport, RecipientStatus, read_report
    from posthouse.message.headers import (
        Field,
        Split,
        count,
        count_received,
        fields,
        first,
        gap,
        hop_count,
        split,
        unfold,
        without,
    )
    from posthouse.message.mime import Needs, Scanner, Unconvertible, downgrade, needs
    from posthouse.message.trace import protocol_name, received, return_path

__all__ = [
    "Action",
    "Attachment",
    "Composed",
    "DeliveryReport",
    "Fate",
    "Field",
    "Mailbox",
    "Needs",
    "Original",
    "RecipientStatus",
    "Scanner",
    "Split",
    "Unconvertible",
    "compose",
    "compose_report",
    "count",
    "count_received",
    "downgrade",
    "fields",
    "first",
    "format_date",
    "gap",
    "hop_count",
    "is_report",
    "needs",
    "parse_mailboxes",
    "protocol_name",
    "read_report",
    "received",
    "return_path",
    "split",
    "to_crlf",
    "unfold",
    "without",
]

__getattr__ = lazily(
    __name__,
    {
        "dsn.compose": "Action Fate Original compose_report is_report",
        "dsn.read": "DeliveryReport RecipientStatus read_report",
        "headers": "Field Split count count_received fields first gap hop_count split unfold without",
        "mime": "Needs Scanner Unconvertible downgrade needs",
        "trace": "protocol_name received return_path",
    },
)
