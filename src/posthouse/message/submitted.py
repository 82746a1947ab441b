"""Header section of a submitted message: what a submission server adds and takes out (RFC 6409 §8).

Date, From and Message-ID are put in front if they are missing; Bcc and Resent-Bcc are taken out in every spelling.  All
other octets stay as they are.  Date and Message-ID are arguments; no clock is read.
"""

from __future__ import annotations

import re
from typing import Final

from posthouse.core import Address
from posthouse.message.field_writing import mailbox_field
from posthouse.message.headers import next_field
from posthouse.message.mailboxes import Mailbox

__all__ = ["completed", "is_complete"]

# A field of interest at the start of a line; the obsolete space before the colon is RFC 5322 §4.5's.
_WANTED: Final = re.compile(rb"(?:\A|(?<=\r\n))(date|from|message-id|bcc|resent-bcc)[ \t]*+:", re.IGNORECASE)


def is_complete(lowered: bytes) -> bool:
    """Whether a header section certainly needs no change; ``lowered`` is it in lower case, each line with the CRLF
    before it.  False for one that may need none."""
    # ``find`` takes half the time of ``in``, which takes the octets for a number first.
    return (
        lowered.find(b"\r\ndate:") >= 0
        and lowered.find(b"\r\nmessage-id:") >= 0
        and lowered.find(b"\r\nfrom:") >= 0
        and lowered.find(b"bcc") < 0
    )


def completed(
    headers: bytes, date: str, message_id: str, sender: Address | None, lowered: bytes | None = None
) -> bytes:
    """The header section with what is missing, and without Bcc and Resent-Bcc.

    Args:
        headers: The fields, each with its CRLF, without the empty line behind them.
        date: The value of Date, if there is none.
        message_id: The value of Message-ID with its angle brackets, if there is none.
        sender: The reverse-path, which becomes From if there is none; None: nothing does.
        lowered: ``headers`` in lower case with a CRLF in front, if the caller has it; the last CRLF may be missing.
    """
    if lowered is None:
        lowered = b"\r\n" + headers.lower()
    has_date = lowered.find(b"\r\ndate:") >= 0
    has_from = lowered.find(b"\r\nfrom:") >= 0
    has_id = lowered.find(b"\r\nmessage-id:") >= 0
    # A field that is missing may be there after all, with spaces before its colon.
    if (
        lowered.find(b"bcc") < 0
        and (has_date or lowered.find(b"\r\ndate") < 0)
        and (has_from or lowered.find(b"\r\nfrom") < 0)
        and (has_id or lowered.find(b"\r\nmessage-id") < 0)
    ):
        return _added(has_date, has_from or sender is None, has_id, date, message_id, sender) + headers
    kept: list[bytes] = []
    start = 0
    # Not field by field: a header section of 256 KiB may have 50,000 of them.
    for match in _WANTED.finditer(headers):
        name = match[1].lower()
        if name == b"date":
            has_date = True
        elif name == b"from":
            has_from = True
        elif name == b"message-id":
            has_id = True
        else:
            kept.append(headers[start : match.start()])
            start = next_field(headers, match.end())
    added = _added(has_date, has_from or sender is None, has_id, date, message_id, sender)
    return added + b"".join(kept) + headers[start:]


def _added(has_date: bool, has_from: bool, has_id: bool, date: str, message_id: str, sender: Address | None) -> bytes:
    """The fields that are missing."""
    added = "" if has_date else f"Date: {date}\r\n"
    author = b""
    if not has_from and sender is not None:
        author = mailbox_field("From", [Mailbox("", sender)], utf8=not sender.local.isascii())
    last = "" if has_id else f"Message-ID: {message_id}\r\n"
    return b"".join((added.encode(), author, last.encode())) if author else (added + last).encode()
