"""Composes a message: an envelope and its content from values (RFC 5322, RFC 2045–2047, RFC 2231, RFC 6532).

The standard library's ``email`` package is not used, because its output differs between versions of Python, and because
importing it takes longer than sending a message from the command line.

The content has CRLF line ends and ends with one; its lines are at most 998 octets; it is 7-bit unless an address is not
ASCII; it has no Bcc field.  No value can begin a header field of its own: a control character in one is a
``LocalError``.  Date and Message-ID are arguments, and boundaries are derived from the Message-ID and the parts, so
equal arguments give equal octets.

An address with a non-ASCII local part needs ``utf8=True``.  A domain in U-labels does not: the envelope has it in
A-labels, and so has the header section, unless a local part makes that one UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import NamedTuple

from posthouse.core import Body, Envelope, LocalError, Recipient
from posthouse.message.dates import format_date
from posthouse.message.encode import base64_body, fold, parameter, quoted_printable
from posthouse.message.field_writing import mailbox_field, mailboxes_of, text_field, written_field
from posthouse.message.mailboxes import (
    Mailbox,
    MailboxesLike,
    MailboxLike,
    check_text,
    parse_mailboxes,
    with_a_labels,
)

__all__ = ["Attachment", "Composed", "compose", "to_crlf"]

_LINE_END = rb"\r\n|\r|\n"
_LONG_LINE = rb"[^\r\n]{999}"
_NOT_TEXT = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_FIELD_NAME = r"[!-9;-~]{1,60}"
_MESSAGE_ID = r"<?([^\s<>@\"()\[\],;:\\]+@(?:[^\s<>@\"()\[\],;:\\]+|\[[^\s<>@\"()\[\],\\]+\]))>?"
# Written from the arguments, or by the hosts that the message passes; an error as extra headers.
_OURS = frozenset(
    ("from", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path", "received")
)
# File types that are text although their type is not text/…; readers need the charset of those too.
_TEXT_APPLICATIONS = frozenset(
    f"application/{name}"
    for name in ("javascript", "sql", "toml", "x-csh", "x-httpd-php", "x-latex", "x-perl", "x-sh", "x-tcl", "x-tex")
)


class Attachment(NamedTuple):
    """An attached file.

    ``name`` may be in any script.  ``content_type`` is ``type/subtype``, which may have parameters
    (``text/calendar; method=REQUEST``), or "" to guess it from the name.  A text without a charset parameter gets
    ``charset="utf-8"`` if it is UTF-8 beyond ASCII; if it is neither, its charset is not known, and it travels as
    application/octet-stream.
    """

    name: str
    data: bytes
    content_type: str = ""


class Composed(NamedTuple):
    """A message ready to be sent: its envelope, with all recipients, and its content."""

    envelope: Envelope
    content: bytes


def to_crlf(data: bytes) -> bytes:
    """``data`` with CRLF in place of each bare LF and bare CR."""
    if b"\n" not in data and b"\r" not in data:
        return data
    return re.sub(_LINE_END, b"\r\n", data)


def compose(
    *,
    from_: MailboxLike,
    date: datetime | tuple[float, int],
    message_id: str,
    to: MailboxesLike = (),
    cc: MailboxesLike = (),
    bcc: MailboxesLike = (),
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    attachments: Sequence[Attachment | tuple[str, bytes] | tuple[str, bytes, str]] = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    utf8: bool = False,
) -> Composed:
    """Compose a message.

    Args:
        from_: One mailbox; its address is the envelope's sender.
        to: Mailboxes as for ``parse_mailboxes``; likewise ``cc`` and ``bcc``.  Equal recipients become one.
        date: An aware ``datetime``, or seconds since 1970 with the zone's offset in minutes.
        message_id: With or without ``<`` and ``>``.
        text: Plain text with any line ends; ``html`` is its alternative.  Without both the text is empty.
        headers: Further fields in order.
        utf8: Allow local parts that are not ASCII.  Only if there is one, the header fields are in UTF-8 (RFC 6532)
            and the envelope asks for SMTPUTF8 and 8BITMIME.

    Raises:
        LocalError: A value cannot be sent: no recipient, a text that is not a mailbox, a naive date, a control
            character in a header, or an extra field that only Posthouse writes.
    """
    sender = parse_mailboxes(from_, "From")
    if len(sender) != 1:
        raise LocalError("From must name exactly one mailbox; give the others in Reply-To")
    lists = {"To": parse_mailboxes(to, "To"), "Cc": parse_mailboxes(cc, "Cc"), "Bcc": parse_mailboxes(bcc, "Bcc")}
    recipients = dict.fromkeys(with_a_labels(mailbox.address) for found in lists.values() for mailbox in found)
    if not recipients:
        raise LocalError("the message has no recipient; give at least one address in To, Cc or Bcc")
    extra = _extra(headers)
    raw = _needs_utf8(utf8, sender, *lists.values(), *(found for *_, found in extra if found is not None))

    lines = [fold("Date", (_date(date),)), mailbox_field("From", sender, utf8=raw)]
    lines += [mailbox_field(name, lists[name], utf8=raw) for name in ("To", "Cc") if lists[name]]
    if subject:
        lines.append(text_field("Subject", subject, utf8=raw))
    lines.append(fold("Message-ID", (_message_id(message_id, raw),)))
    lines += [written_field(name, value, utf8=raw) for name, value, _ in extra]

    files = [item if isinstance(item, Attachment) else Attachment(*item) for item in attachments]
    body = _body(text, html, files, seed=message_id)
    content = b"".join((*lines, b"MIME-Version: 1.0\r\n", body))
    envelope = Envelope(
        sender=with_a_labels(sender[0].address),
        recipients=tuple(map(Recipient, recipients)),
        body=Body.SEVENBIT if content.isascii() else Body.EIGHTBITMIME,
        smtputf8=raw,
        size=len(content),
    )
    return Composed(envelope, content)


def _needs_utf8(allowed: bool, *lists: Sequence[Mailbox]) -> bool:
    """True if a local part is not ASCII and that is allowed; ``LocalError`` if it is not allowed."""
    foreign = next((one.address for found in lists for one in found if not one.address.local.isascii()), None)
    if foreign is not None and not allowed:
        raise LocalError(f"the local part of {foreign} is not ASCII, which needs SMTPUTF8; allow it with utf8=True")
    return foreign is not None


def _date(date: datetime | tuple[float, int]) -> str:
    if isinstance(date, datetime):
        offset = date.utcoffset()
        if offset is None:
            raise LocalError("the date has no time zone; give an aware datetime, or seconds and an offset in minutes")
        return format_date(date.timestamp(), round(offset.total_seconds() / 60))
    return format_date(*date)


def _message_id(text: str, utf8: bool) -> str:
    check_text("Message-ID", text)
    match = re.fullmatch(_MESSAGE_ID, text)
    if match is None or len(text.encode()) > 900 or not (utf8 or text.isascii()):
        raise LocalError(f"{text!r} is not a Message-ID; write <left@right> without spaces, in ASCII")
    return f"<{match.group(1)}>"


def _extra(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> list[tuple[str, str, list[Mailbox] | None]]:
    """The further fields in order: name, value, and the mailboxes of a field that holds some."""
    found = []
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lowered = name.lower()
        if re.fullmatch(_FIELD_NAME, name) is None:
            raise LocalError(f"{name!r} is not a header field name; use letters, digits and hyphens, without the colon")
        if lowered == "resent-bcc":
            raise LocalError("the field Resent-Bcc would show blind copies to everybody; give those addresses in Bcc")
        if lowered in _OURS or lowered.startswith("content-"):
            raise LocalError(f"the field {name} is written from its own argument or by the mail system; leave it out")
        check_text(name, value)
        found.append((name, value, mailboxes_of(name, value)))
    return found


class _Part(NamedTuple):
    """A body part: its header fields and its encoded content."""

    fields: bytes
    content: bytes


def _body(text: str | None, html: str | None, files: Sequence[Attachment], seed: str) -> bytes:
    """The Content-Type field and all that follows."""
    texts = [_text(value, kind) for value, kind in ((text, "plain"), (html, "html")) if value is not None]
    attached = list(map(_file, files))
    boundaries = _boundaries(seed, [part.content for part in (*texts, *attached)])
    outer = next(boundaries) if attached else b""  # the outermost has the first number
    content = texts[0] if len(texts) == 1 else _text("", "plain")
    if len(texts) > 1:
        content = _multipart("alternative", texts, next(boundaries))
    if attached:
        content = _multipart("mixed", [content, *attached], outer)
    made = content.fields + b"\r\n" + content.content
    return made if made.endswith(b"\r\n") else made + b"\r\n"


def _text(value: str, kind: str) -> _Part:
    """A text part: 7bit if it fits, else the shorter of quoted-printable and base64."""
    try:
        data = to_crlf(value.encode())
    except UnicodeEncodeError as error:
        raise LocalError(f"the text holds an unpaired surrogate at position {error.start + 1}; remove it") from error
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    charset, encoding = "utf-8", "7bit"
    if data.isascii() and re.search(_LONG_LINE, data) is None and re.search(_NOT_TEXT, data) is None:
        charset = "us-ascii"
    else:
        quoted, encoded = quoted_printable(data), base64_body(data)
        encoding, data = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    fields = fold("Content-Type", (f"text/{kind};", f'charset="{charset}"'))
    return _Part(fields + fold("Content-Transfer-Encoding", (encoding,)), data)


def _file(file: Attachment) -> _Part:
    check_text("the file name", file.name)
    check_text("the content type", file.content_type)
    tokens = parameter("filename", file.name) if file.name else []
    disposition = ("attachment;", *tokens) if tokens else ("attachment",)
    fields = (("Content-Type", _file_type(file)), ("Content-Disposition", disposition))
    written = b"".join(fold(name, tokens) for name, tokens in fields)
    return _Part(written + fold("Content-Transfer-Encoding", ("base64",)), base64_body(file.data))


def _file_type(file: Attachment) -> Sequence[str]:
    """The Content-Type of an attached file, as tokens."""
    kind, parameters = _guess(file.name), {}
    if file.content_type:
        from posthouse.message.structured import parse_content_type  # needed with a content type only

        found = parse_content_type(file.content_type.encode("utf-8"))
        if found is None:
            raise LocalError(
                f"{file.content_type!r} is not a content type; write type/subtype, as in image/png, and parameters as "
                "in text/plain; charset=utf-8"
            )
        kind, parameters = found.kind, {name: found.text(name) for name in found.parameters}
    if kind.startswith(("multipart/", "message/")):
        # Both must not be in base64 (RFC 2046 §5.1, §5.2.1), which keeps an attached file octet for octet.
        return ("application/octet-stream",)
    if "charset" not in parameters and (kind.startswith("text/") or kind in _TEXT_APPLICATIONS):
        charset = _charset(file.data)
        if charset is None:
            return ("application/octet-stream",)
        if charset:
            parameters["charset"] = charset
    written = [parameter(name, value) for name, value in parameters.items()]
    made = [kind]
    for one in written:
        made[-1] += ";"
        made += one
    return made


def _charset(data: bytes) -> str | None:
    """The charset of a text: "utf-8", "" for ASCII, which needs no name (RFC 2046 §4.1.2), None if it is unknown."""
    if b"\0" in data:
        return None
    if data.isascii():
        return ""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _guess(name: str) -> str:
    import mimetypes  # slow to import; needed without a content type only

    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding == "gzip":
        return "application/gzip"
    return kind if kind and not encoding else "application/octet-stream"


def _multipart(kind: str, parts: Sequence[_Part], boundary: bytes) -> _Part:
    """A multipart of these parts (RFC 2046 §5.1.1)."""
    pieces = []
    for part in parts:
        pieces += [b"--", boundary, b"\r\n", part.fields, b"\r\n", part.content, b"\r\n"]
    fields = b'Content-Type: multipart/%s; boundary="%s"\r\n' % (kind.encode(), boundary)
    return _Part(fields, b"".join((*pieces, b"--", boundary, b"--\r\n")))


def _boundaries(seed: str, contents: Sequence[bytes]) -> Iterator[bytes]:
    """Different boundaries that none of the parts contains.

    ``=_`` cannot occur in quoted-printable or base64 (RFC 2045 §6.7); 7bit texts are searched for the boundary.
    """
    import hashlib  # a message of one part does not run this generator

    digest = hashlib.sha256(seed.encode()).hexdigest()[:24]
    for number in count():
        boundary = f"=_{digest}_{number}".encode()
        if not any(boundary in content for content in contents):
            yield boundary
