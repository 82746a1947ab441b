"""A message's content: split, traced, composed, converted.  Bytes and values; no clock, no random, no I/O."""

from posthouse.message.compose import Attachment, Composed, compose, to_crlf
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
from posthouse.message.mailboxes import Mailbox, parse_mailboxes
from posthouse.message.mime import Needs, Scanner, Unconvertible, downgrade, needs
from posthouse.message.trace import format_date, protocol_name, received, return_path

__all__ = [
    "Attachment",
    "Composed",
    "Field",
    "Mailbox",
    "Needs",
    "Scanner",
    "Split",
    "Unconvertible",
    "compose",
    "count",
    "count_received",
    "downgrade",
    "fields",
    "first",
    "format_date",
    "gap",
    "hop_count",
    "needs",
    "parse_mailboxes",
    "protocol_name",
    "received",
    "return_path",
    "split",
    "to_crlf",
    "unfold",
    "without",
]
