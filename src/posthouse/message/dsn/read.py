"""Reads delivery status notifications of other hosts (RFC 6522, RFC 3464, RFC 6533).

A report is untrusted input: at most ``AT_MOST`` octets, 20 parts and 10,000 recipients are read, and missing or
malformed fields are left out.  A message that is not a report gives None, never an exception.
"""

from __future__ import annotations

import binascii
import re
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message as Parsed
from typing import NamedTuple

from posthouse.core import Content, OriginalRecipient
from posthouse.message.dsn.model import DeliveryReport, RecipientFields
from posthouse.message.headers import Field, fields, first, split

__all__ = ["AT_MOST", "read_report"]

#: Octets of a report that are read.
AT_MOST = 1_048_576
_PARTS = 20
_RECIPIENTS = 10_000
_VALUE = 4_096  # octets of one field
_STATUS_KINDS = ("message/delivery-status", "message/global-delivery-status")
_EMPTY_LINES = re.compile(rb"\r\n(?:[ \t]*\r\n)+")
_COMMENT = re.compile(r"\([^()]*\)")
_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


class _MimePart(NamedTuple):
    kind: str
    charset: str
    body: bytes


def read_report(content: Content | bytes) -> DeliveryReport | None:
    """The report in this message, or None if it is not a report."""
    data = content[:AT_MOST] if isinstance(content, bytes) else _head(content)
    cut = split(data)
    kind = _parsed(fields(cut.headers))
    if kind.get_content_type() != "multipart/report":
        return None
    if str(kind.get_param("report-type", "")).lower() != "delivery-status":
        return None
    boundary = kind.get_boundary("") or ""
    parts = _parts(data[cut.body_offset :], boundary.encode("ascii", "replace")) if boundary else []
    place = next((n for n, part in enumerate(parts) if part.kind in _STATUS_KINDS), None)
    if place is None:
        return None
    groups = [fields(group + b"\r\n") for group in _EMPTY_LINES.split(parts[place].body.strip(b"\r\n")) if group]
    groups = groups[: _RECIPIENTS + 1]
    if not groups:
        return None
    about = groups[0]
    recipients = tuple(one for group in groups[1:] if (one := _recipient(group)) is not None)
    envid = first(about, b"Original-Envelope-Id")
    returned = parts[place + 1] if place + 1 < len(parts) else None
    text = next((part for part in parts[:place] if part.kind.startswith("text/")), None)
    return DeliveryReport(
        _typed(_value(about, b"Reporting-MTA"))[1],
        recipients,
        None if envid is None else envid.value[:_VALUE].decode("ascii", "replace"),
        _value(about, b"Arrival-Date"),
        "" if text is None else _decoded(text),
        b"" if returned is None else returned.body,
        "" if returned is None else returned.kind,
    )


def _head(content: Content) -> bytes:
    head = bytearray()
    for chunk in content.chunks(65_536):
        head += chunk[: AT_MOST - len(head)]
        if len(head) >= AT_MOST:
            break
    return bytes(head)


def _parsed(found: list[Field]) -> Parsed:
    """A message of the email package with only the Content-Type and the Content-Transfer-Encoding."""
    message = Parsed()
    for name in (b"Content-Type", b"Content-Transfer-Encoding"):
        field = first(found, name)
        if field is not None:
            message[name.decode()] = field.value[:_VALUE].decode("ascii", "replace")
    return message


def _parts(body: bytes, boundary: bytes) -> list[_MimePart]:
    """The first 20 parts of a multipart body, decoded; a last part without closing delimiter counts."""
    line = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r\n|\Z)")
    parts: list[_MimePart] = []
    begun: int | None = None
    for match in line.finditer(body):
        if begun is not None:
            parts.append(_part(body[begun : match.start()]))
        begun = None if match[1] else match.end() + 2
        if begun is None or len(parts) >= _PARTS:
            return parts
    if begun is not None:
        parts.append(_part(body[begun:]))
    return parts


def _part(data: bytes) -> _MimePart:
    cut = split(data)
    parsed = _parsed(fields(cut.headers))
    body = data[cut.body_offset :]
    encoding = str(parsed.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if encoding == "base64":
        try:
            body = binascii.a2b_base64(body)
        except binascii.Error:
            body = b""
    elif encoding == "quoted-printable":
        body = binascii.a2b_qp(body)
    charset = parsed.get_param("charset", "us-ascii")
    return _MimePart(parsed.get_content_type(), str(charset), body)


def _decoded(part: _MimePart) -> str:
    try:
        return part.body.decode(part.charset, "replace")
    except (LookupError, ValueError):
        return part.body.decode("latin-1")


def _recipient(group: list[Field]) -> RecipientFields | None:
    kind, final = _typed(_value(group, b"Final-Recipient"))
    action = _COMMENT.sub("", _value(group, b"Action")).strip().lower()
    if not final or not action:
        return None
    original = _typed(_value(group, b"Original-Recipient"))
    return RecipientFields(
        OriginalRecipient(kind, _address(kind, final)),
        action,
        _COMMENT.sub("", _value(group, b"Status")).strip(),
        OriginalRecipient(original[0], _address(*original)) if original[1] else None,
        _typed(_value(group, b"Remote-MTA"))[1],
        _typed(_value(group, b"Diagnostic-Code"))[1],
        _value(group, b"Last-Attempt-Date"),
        _value(group, b"Will-Retry-Until"),
    )


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
