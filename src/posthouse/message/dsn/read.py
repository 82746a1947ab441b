"""Reads delivery status notifications of other hosts (RFC 6522, RFC 3464, RFC 6533).

A report is untrusted input: at most ``AT_MOST`` octets, 20 parts of a multipart and 10,000 recipients are read.  A
message that is not a report gives None, never an exception.

Many programs write reports that break the rules and still say plainly what they mean, so reading is tolerant: lines
may end with LF, a line of an mbox file ("From …") may stand in front, the multipart may be another than
multipart/report, empty lines between groups may be missing, and a status may have words behind it.  Each
Final-Recipient is a recipient.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import NamedTuple

from posthouse.core import Content, OriginalRecipient
from posthouse.message.dsn.model import DeliveryReport, RecipientFields
from posthouse.message.headers import Field, fields, first, split
from posthouse.message.structured import ContentType, content_type, first_word, without_comments

__all__ = ["AT_MOST", "read_dsn"]

#: Octets of a report that are read.
AT_MOST = 1_048_576
_PARTS = 20
_DEPTH = 4  # multiparts within each other
_RECIPIENTS = 10_000
_FIELDS = 200_000
_VALUE = 4_096  # octets of one field
_STATUS_KINDS = ("message/delivery-status", "message/global-delivery-status")
_EMPTY_LINES = re.compile(rb"\r\n(?:[ \t]*\r\n)+")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_MBOX_LINE = re.compile(rb">?From [^\r\n]*\r?\n")
_STATUS_CODE = re.compile(r"\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_FINAL = b"final-recipient"
_PER_RECIPIENT = frozenset(
    (b"original-recipient", b"action", b"status", b"remote-mta", b"diagnostic-code", b"last-attempt-date")
)


class _MimePart(NamedTuple):
    kind: ContentType
    body: bytes  # decoded


def read_dsn(content: Content | bytes) -> DeliveryReport | None:
    """The report in this message, or None if it is not a report."""
    data = content[:AT_MOST] if isinstance(content, bytes) else _head(content)
    mbox = _MBOX_LINE.match(data)
    if mbox is not None:
        data = data[mbox.end() :]
    parts = _report_parts(_part(_with_crlf(data)), 0)
    if not parts:
        return None
    place = next(n for n, part in enumerate(parts) if part.kind.kind in _STATUS_KINDS)
    body = _with_crlf(parts[place].body).strip(b"\r\n")
    groups = [fields(group + b"\r\n", _FIELDS) for group in _EMPTY_LINES.split(body)[: _RECIPIENTS + 1] if group]
    if not groups:
        return None
    about = groups[0]
    envid = first(about, b"Original-Envelope-Id")
    returned = next(iter(parts[place + 1 :]), None)
    return DeliveryReport(
        _typed(_value(about, b"Reporting-MTA"))[1],
        _recipients(groups),
        None if envid is None else envid.value[:_VALUE].decode("ascii", "replace"),
        _value(about, b"Arrival-Date"),
        _text(parts[:place]),
        b"" if returned is None else returned.body,
        "" if returned is None else returned.kind.kind,
    )


def _report_parts(whole: _MimePart, depth: int) -> list[_MimePart]:
    """The parts of the multipart that has the delivery status, or the message that is one; [] without one.

    A multipart/report of another type is left alone.  The multipart may stand in others, which mailing lists add.
    """
    kind = whole.kind
    if kind.kind in _STATUS_KINDS and not depth:
        return [whole]
    if not kind.kind.startswith("multipart/"):
        return []
    if kind.kind == "multipart/report" and kind.text("report-type").lower() not in ("", "delivery-status"):
        return []
    parts = _parts(whole)
    if any(part.kind.kind in _STATUS_KINDS for part in parts):
        return parts
    if depth >= _DEPTH:
        return []
    return next((found for part in parts if (found := _report_parts(part, depth + 1))), [])


def _with_crlf(data: bytes) -> bytes:
    """The data with CRLF for each LF that has no CR in front."""
    return data if data.count(b"\n") == data.count(b"\r\n") else _BARE_LF.sub(b"\r\n", data)


def _head(content: Content) -> bytes:
    head = bytearray()
    for chunk in content.chunks(65_536):
        head += chunk[: AT_MOST - len(head)]
        if len(head) >= AT_MOST:
            break
    return bytes(head)


def _parts(whole: _MimePart) -> list[_MimePart]:
    """The first 20 parts of a multipart, decoded; a last part without closing delimiter counts."""
    found: list[_MimePart] = []
    for boundary in whole.kind.boundaries:
        line = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r\n|\Z)")
        begun: int | None = None
        for match in line.finditer(whole.body):
            if begun is not None:
                found.append(_part(whole.body[begun : match.start()]))
            begun = None if match[1] else match.end() + 2
            if begun is None or len(found) >= _PARTS:
                return found
        if begun is not None:
            return [*found, _part(whole.body[begun:])]
    return found


def _part(data: bytes) -> _MimePart:
    cut = split(data)
    found = fields(cut.headers)
    body = data[cut.body_offset :]
    encoding = first(found, b"Content-Transfer-Encoding")
    word = first_word(encoding.value) if encoding is not None else b""
    if word == b"base64":
        try:
            body = binascii.a2b_base64(body)
        except binascii.Error:
            body = b""
    elif word == b"quoted-printable":
        body = binascii.a2b_qp(body)
    return _MimePart(content_type(found), body)


def _text(parts: list[_MimePart]) -> str:
    """The first plain text in these parts, else the first text of another type, else ""."""
    texts = list(_texts(parts, 0))
    best = next((part for part in texts if part.kind.kind == "text/plain"), texts[0] if texts else None)
    if best is None:
        return ""
    try:
        return best.body.decode(best.kind.text("charset") or "us-ascii", "replace")
    except (LookupError, ValueError):
        return best.body.decode("latin-1")


def _texts(parts: list[_MimePart], depth: int) -> Iterator[_MimePart]:
    for part in parts:
        if part.kind.kind.startswith("text/"):
            yield part
        elif part.kind.kind.startswith("multipart/") and depth < _DEPTH:
            yield from _texts(_parts(part), depth + 1)


def _recipients(groups: list[list[Field]]) -> tuple[RecipientFields, ...]:
    found: list[RecipientFields] = []
    for group in groups:
        for one in _split_group(group):
            recipient = _recipient(one)
            if recipient is not None:
                found.append(recipient)
            if len(found) >= _RECIPIENTS:
                return tuple(found)
    return tuple(found)


def _split_group(group: list[Field]) -> Iterator[list[Field]]:
    """The fields of each recipient of one group, which should be about one recipient, and may be about several.

    The fields that stand in front of the first Final-Recipient show where the author begins a recipient.
    """
    names = [field.name.lower() for field in group]
    finals = [n for n, name in enumerate(names) if name == _FINAL]
    if len(finals) < 2:
        yield group
        return
    leading = {name for name in names[: finals[0]] if name in _PER_RECIPIENT} | {b"original-recipient"}
    start = 0
    for final in finals[1:]:
        begin = final
        seen: set[bytes] = set()
        while begin - 1 > start and names[begin - 1] in leading - seen:
            begin -= 1
            seen.add(names[begin])
        yield group[start:begin]
        start = begin
    yield group[start:]


def _recipient(group: list[Field]) -> RecipientFields | None:
    kind, final = _typed_address(group, b"Final-Recipient")
    original = _typed_address(group, b"Original-Recipient")
    action = _word(group, b"Action")
    if not final:  # the author left out a required field; what was written to is known nevertheless
        if not original[1] or not action:
            return None
        kind, final = original
    status = _value(group, b"Status")
    code = _STATUS_CODE.search(without_comments(status.encode("utf-8", "replace")).decode())
    return RecipientFields(
        OriginalRecipient(kind, _address(kind, final)),
        action,
        code[0] if code is not None else _word(group, b"Status"),
        OriginalRecipient(original[0], _address(*original)) if original[1] else None,
        _typed(_value(group, b"Remote-MTA"))[1],
        _typed(_value(group, b"Diagnostic-Code"))[1],
        _value(group, b"Last-Attempt-Date"),
        _value(group, b"Will-Retry-Until"),
    )


def _word(group: list[Field], name: bytes) -> str:
    """The first word of a field in lower case, without comments; "" if the field is missing."""
    field = first(group, name)
    return "" if field is None else first_word(field.value).decode("utf-8", "replace")


def _typed_address(group: list[Field], name: bytes) -> tuple[str, str]:
    """The type and the address of a recipient field, without angle brackets."""
    kind, text = _typed(_value(group, name))
    if "(" in text:
        text = without_comments(text.encode("utf-8", "replace")).decode("utf-8", "replace").strip()
    return kind, text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text


def _value(group: list[Field], name: bytes) -> str:
    """The text of a field with encoded words decoded; "" if the field is missing."""
    field = first(group, name)
    if field is None:
        return ""
    text = field.value[:_VALUE].decode("utf-8", "replace")
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError, MessageError):
        return text


def _typed(value: str) -> tuple[str, str]:
    """The type in lower case and the text of ``type; text``."""
    kind, mark, text = value.partition(";")
    return (kind.strip().lower(), text.strip()) if mark else ("", value.strip())


def _address(kind: str, address: str) -> str:
    return _POINT.sub(_character, address) if kind == "utf-8" else address


def _character(match: re.Match[str]) -> str:
    """The character that ``\\x{…}`` stands for; an escape of no character is kept."""
    point = int(match[1], 16)
    return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else match[0]
