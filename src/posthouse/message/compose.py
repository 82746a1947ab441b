"""Making a letter: values in, an envelope and its content out (RFC 5322, RFC 2045–2047, RFC 2231, RFC 6532).

Header fields and parts are written here (``encode``, ``mailboxes``), because they must come back exactly as they were
given, whatever the Python version; and because a letter from the command line is sent before the standard library's
``email`` would have been imported.

What is promised: CRLF everywhere and at the end, no line over 998 octets, 7-bit unless an address itself is not ASCII;
no Bcc in the content; no value can begin a header field of its own (a control character in one is a ``LocalError``).
Date and Message-ID are arguments: nothing here looks at a clock or makes a random number.  Boundaries are derived from
the Message-ID and the parts, so the same letter is the same octets.

Addresses are taken as they are.  One with a non-ASCII local part needs ``utf8=True``; so does a U-label domain,
unless the caller has turned it into A-labels before (``protocol.grammar.domain_to_ascii``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import NamedTuple

from posthouse.core import Body, Envelope, LocalError, Recipient
from posthouse.message.dates import format_date
from posthouse.message.encode import base64_body, encoded_words, fold, parameter, quoted_printable
from posthouse.message.mailboxes import Mailbox, MailboxesLike, MailboxLike, check_text, parse_mailboxes, write_mailbox

__all__ = ["Attachment", "Composed", "compose", "to_crlf"]

_LINE_END = rb"\r\n|\r|\n"
_LONG_LINE = rb"[^\r\n]{999}"
_NOT_TEXT = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_FIELD_NAME = r"[!-9;-~]{1,60}"
_MESSAGE_ID = r"<?([^\s<>@\"()\[\],;:\\]+@(?:[^\s<>@\"()\[\],;:\\]+|\[[^\s<>@\"()\[\],\\]+\]))>?"
_CONTENT_TYPE = r"([A-Za-z0-9!#$&^_.+-]{1,127})/([A-Za-z0-9!#$&^_.+-]{1,127})"
# Words of printable ASCII with single spaces: may be folded at the spaces, needs no encoding.
_PLAIN = r"[!-~]{1,900}(?: [!-~]{1,900})*"
_PLAIN_UTF8 = r"[^\x00-\x20\x7f-\xa0]{1,225}(?: [^\x00-\x20\x7f-\xa0]{1,225})*"
# Written from the arguments, or by the stations the message passes; not to be given as extra headers.
_OURS = frozenset(
    ("from", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path", "received")
)
_MAILBOX_FIELDS = frozenset(
    ("sender", "reply-to", "resent-from", "resent-sender", "resent-to", "resent-cc", "disposition-notification-to")
)
# Values that are no text: an encoded word may not stand there (RFC 2047 §5).
_ASCII_FIELDS = frozenset(("in-reply-to", "references", "resent-message-id", "resent-date"))


class Attachment(NamedTuple):
    """A file that travels along.

    ``name`` in any script; ``content_type`` as ``type/subtype``, or "" to guess it from the name.
    """

    name: str
    data: bytes
    content_type: str = ""


class Composed(NamedTuple):
    """A letter ready to be sent: its envelope (all recipients, blind copies too) and its content."""

    envelope: Envelope
    content: bytes


def to_crlf(data: bytes) -> bytes:
    """``data`` with CRLF for every CRLF, bare LF and bare CR: how a text file becomes content."""
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
    """Write a letter.

    ``from_`` is one mailbox, ``to``, ``cc`` and ``bcc`` any number (see ``parse_mailboxes`` for the forms); the
    sender of the envelope is ``from_``'s address, a recipient named twice is one recipient.  ``date`` is an aware
    ``datetime``, or seconds since 1970 with the zone's offset in minutes.  ``message_id`` with or without ``<>``.
    ``text`` and ``html`` are alternatives of each other (any line ends; an empty text if neither is given).
    ``headers`` are further fields in order.  ``utf8`` allows addresses that are not ASCII: only if there is one are
    header fields written in UTF-8 (RFC 6532) and SMTPUTF8 and 8BITMIME asked for in the envelope.

    Raises ``LocalError`` if a value cannot be sent: no recipient, no mailbox, a naive date, a control character in a
    header, a field that is not the caller's to write.
    """
    sender = parse_mailboxes(from_, "From")
    if len(sender) != 1:
        raise LocalError("From must name exactly one mailbox; give the others in Reply-To")
    lists = {"To": parse_mailboxes(to, "To"), "Cc": parse_mailboxes(cc, "Cc"), "Bcc": parse_mailboxes(bcc, "Bcc")}
    recipients = dict.fromkeys(mailbox.address for found in lists.values() for mailbox in found)
    if not recipients:
        raise LocalError("the letter has no recipient; give at least one address in To, Cc or Bcc")
    extra = _extra(headers)
    raw = _needs_utf8(utf8, sender, *lists.values(), *(value for value in extra.values() if not isinstance(value, str)))

    lines = [fold("Date", (_date(date),)), _mailboxes("From", sender, raw)]
    lines += [_mailboxes(name, lists[name], raw) for name in ("To", "Cc") if lists[name]]
    if subject:
        lines.append(_unstructured("Subject", subject, raw))
    lines.append(fold("Message-ID", (_message_id(message_id, raw),)))
    for (name, _), value in extra.items():
        lines.append(_unstructured(name, value, raw) if isinstance(value, str) else _mailboxes(name, value, raw))

    files = [item if isinstance(item, Attachment) else Attachment(*item) for item in attachments]
    body = _body(text, html, files, seed=message_id)
    content = b"".join((*lines, b"MIME-Version: 1.0\r\n", body))
    envelope = Envelope(
        sender=sender[0].address,
        recipients=tuple(map(Recipient, recipients)),
        body=Body.SEVENBIT if content.isascii() else Body.EIGHTBITMIME,
        smtputf8=raw,
        size=len(content),
    )
    return Composed(envelope, content)


def _needs_utf8(allowed: bool, *lists: Sequence[Mailbox]) -> bool:
    """True if an address is not ASCII and that is allowed; ``LocalError`` if it is not allowed."""
    foreign = next((one.address for found in lists for one in found if not one.address.is_ascii), None)
    if foreign is not None and not allowed:
        raise LocalError(
            f"the address {foreign} is not ASCII; allow SMTPUTF8 (utf8=True), or write its domain in A-labels (xn--…)"
        )
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
        raise LocalError(f"{text!r} is no Message-ID; write <left@right> without spaces, in ASCII")
    return f"<{match.group(1)}>"


def _extra(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> dict[tuple[str, int], str | list[Mailbox]]:
    """The further fields, in order, by name and number (a name may come again)."""
    found: dict[tuple[str, int], str | list[Mailbox]] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lowered = name.lower()
        if re.fullmatch(_FIELD_NAME, name) is None:
            raise LocalError(f"{name!r} is no header field name; use letters, digits and hyphens, without the colon")
        if lowered in _OURS or lowered.startswith("content-"):
            raise LocalError(f"the field {name} is written from its own argument or by the mail system; leave it out")
        check_text(name, value)
        if lowered in _ASCII_FIELDS and not value.isascii():
            raise LocalError(f"the field {name} can hold ASCII only; remove the other characters")
        if lowered in _MAILBOX_FIELDS:
            mailboxes = parse_mailboxes(value, name)
            if not mailboxes:
                raise LocalError(f"the field {name} names no mailbox; leave it out or give one")
            found[name, len(found)] = mailboxes
        else:
            found[name, len(found)] = value
    return found


def _mailboxes(name: str, mailboxes: Sequence[Mailbox], utf8: bool) -> bytes:
    tokens: list[str] = []
    for mailbox in mailboxes:
        tokens += write_mailbox(mailbox, utf8=utf8)
        tokens[-1] += ","
    tokens[-1] = tokens[-1].removesuffix(",")
    return fold(name, tokens)


def _unstructured(name: str, value: str, utf8: bool) -> bytes:
    check_text(name, value)
    plain = _PLAIN_UTF8 if utf8 else _PLAIN
    if "=?" not in value and re.fullmatch(plain, value):
        return fold(name, value.split(" "))
    return fold(name, encoded_words(value))


class _Part(NamedTuple):
    """A part of the body: its header fields as they are written, and its content, which is encoded already."""

    fields: bytes
    content: bytes


def _body(text: str | None, html: str | None, files: Sequence[Attachment], seed: str) -> bytes:
    """Everything from the Content-Type field on."""
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
    """A text part in the first encoding that fits: as it is, quoted-printable, or base64 where that is shorter."""
    try:
        data = to_crlf(value.encode())
    except UnicodeEncodeError as error:
        raise LocalError(f"the text holds half a surrogate pair at position {error.start + 1}; remove it") from error
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
    content_type = file.content_type or _guess(file.name)
    match = re.fullmatch(_CONTENT_TYPE, content_type)
    if match is None:
        raise LocalError(f"{content_type!r} is no content type; write type/subtype, as in image/png")
    if match.group(1).lower() in ("multipart", "message"):
        # These may not be encoded in base64 (RFC 2046 §5.1, §5.2.1), and an attached file is kept octet for octet.
        content_type = "application/octet-stream"
    tokens = parameter("filename", file.name) if file.name else []
    disposition = ("attachment;", *tokens) if tokens else ("attachment",)
    fields = (("Content-Type", (content_type,)), ("Content-Disposition", disposition))
    written = b"".join(fold(name, tokens) for name, tokens in fields)
    return _Part(written + fold("Content-Transfer-Encoding", ("base64",)), base64_body(file.data))


def _guess(name: str) -> str:
    import mimetypes  # only a file whose type is not said needs it

    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding == "gzip":
        return "application/gzip"
    return kind if kind and not encoding else "application/octet-stream"


def _multipart(kind: str, parts: Sequence[_Part], boundary: bytes) -> _Part:
    """Several parts as one (RFC 2046 §5.1.1)."""
    pieces = []
    for part in parts:
        pieces += [b"--", boundary, b"\r\n", part.fields, b"\r\n", part.content, b"\r\n"]
    fields = b'Content-Type: multipart/%s; boundary="%s"\r\n' % (kind.encode(), boundary)
    return _Part(fields, b"".join((*pieces, b"--", boundary, b"--\r\n")))


def _boundaries(seed: str, contents: Sequence[bytes]) -> Iterator[bytes]:
    """Boundaries that none of the parts contains, each another.

    ``=_`` appears in neither quoted-printable nor base64 (RFC 2045 §6.7); texts sent as they are get searched.
    """
    import hashlib  # a letter of one part gets here no further than this generator's making

    digest = hashlib.sha256(seed.encode()).hexdigest()[:24]
    for number in count():
        boundary = f"=_{digest}_{number}".encode()
        if not any(boundary in content for content in contents):
            yield boundary
