"""The body of a message from its texts and files (RFC 2045, RFC 2046, RFC 2387).

The parts are nested as all known readers show them, each level only if it has more than one part::

    multipart/mixed
      multipart/alternative
        text/plain
        multipart/related          the HTML, and the pictures that it shows
          text/html
          image/png …
        text/calendar              an invitation, last, with the same octets attached as a file
      application/pdf …

A text is 7bit if it fits, else in the shorter of quoted-printable and base64.  A file is in base64, so that it arrives
octet for octet; a message (message/rfc822) must not be (RFC 2046 §5.2.1), and travels as it is if it is 7-bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from posthouse.core import LocalError
from posthouse.message.composing.attachment import Attachment
from posthouse.message.composing.file_types import charset_of, guessed_type, is_text, parsed_type, written_type
from posthouse.message.composing.pieces import CHUNK, Base64Piece, Part, join
from posthouse.message.composing.sources import source_of
from posthouse.message.encode import base64_body, encoded_words, fold, parameter, quoted_printable

__all__ = ["BodyParts", "body_part", "multipart", "text_part", "to_crlf"]

_LINE_END = rb"\r\n|\r|\n"
_LONGEST_LINE = 998  # octets without CRLF (RFC 5322 §2.1.1)
_NOT_TEXT = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_NOT_CRLF = rb"\r(?!\n)|(?<!\r)\n"
_FIELD = rb"[!-9;-~]+[ \t]*:"
#: Octets of an enclosed message that are read to see whether it is 7-bit.
_ENCLOSED = 33_554_432
_UNKNOWN = "application/octet-stream"


class BodyParts(NamedTuple):
    """What the body of a message is made of.

    Args:
        text: Plain text with any line ends, None for none; ``flowed`` if it is in format=flowed (RFC 3676) already.
        html: HTML, None for none.
        inline: The parts that the HTML shows.
        calendar: An iCalendar object (RFC 5545), "" for none, and its METHOD.
        files: The attachments.
        legacy_names: Write a file's name as ``name=`` of Content-Type too, for readers that know no RFC 2231.
    """

    text: str | None = None
    html: str | None = None
    inline: Sequence[Attachment] = ()
    calendar: str = ""
    method: str = ""
    files: Sequence[Attachment] = ()
    flowed: bool = False
    legacy_names: bool = True


def to_crlf(data: bytes) -> bytes:
    """``data`` with CRLF in place of each bare LF and bare CR."""
    pairs = data.count(b"\r\n")
    if data.count(b"\n") == pairs and data.count(b"\r") == pairs:  # counting takes 1/8 of the time of replacing
        return data
    return re.sub(_LINE_END, b"\r\n", data)


def body_part(given: BodyParts, seed: str) -> Part:
    """The body of a message: Content-Type and what belongs to it, and the content, which ends with CRLF.

    ``seed`` is a text that no two messages share; boundaries are made from it.
    """
    texts: list[Part] = []
    if given.text is not None:
        texts.append(text_part(given.text, "plain", ("format=flowed",) if given.flowed else ()))
    shown = [_file_part(each, given.legacy_names, inline=True) for each in given.inline]
    html = None if given.html is None else text_part(given.html, "html")
    attached = [_file_part(each, given.legacy_names) for each in given.files]
    calendar = []
    if given.calendar:
        calendar = [text_part(given.calendar, "calendar", (f"method={given.method}",), charset="UTF-8")]
        attached.append(_invitation(given.calendar, given.legacy_names))
    boundaries = _boundaries(seed, [*texts, *([html] if html else []), *shown, *calendar, *attached])
    outer = next(boundaries) if attached else b""  # the outermost has the first number
    inner = next(boundaries) if len(texts) + (html is not None) + len(calendar) > 1 else b""
    if html is not None:
        texts.append(multipart("related", [html, *shown], next(boundaries), 'type="text/html"') if shown else html)
    texts += calendar
    content = texts[0] if len(texts) == 1 else text_part("", "plain")
    if len(texts) > 1:
        content = multipart("alternative", texts, inner)
    if attached:
        content = multipart("mixed", [content, *attached], outer)
    last = content.body[-1]
    if last == b"" or (isinstance(last, bytes) and last.endswith(b"\r\n")):
        return content  # an empty one follows the empty line
    return Part(content.fields, join((*content.body, b"\r\n")))


def text_part(value: str, kind: str, parameters: Sequence[str] = (), *, charset: str = "") -> Part:
    """A text part of type ``text/kind``: 7bit if it fits, else the shorter of quoted-printable and base64.

    ``charset`` is the label of ASCII and UTF-8 alike; without one each has its own.

    Raises ``LocalError`` if the text has an unpaired surrogate.
    """
    try:
        data = to_crlf(value.encode())
    except UnicodeEncodeError as error:
        raise LocalError(f"the text holds an unpaired surrogate at position {error.start + 1}; remove it") from error
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    label, encoding = charset or "utf-8", "7bit"
    if data.isascii() and not _has_long_line(data) and re.search(_NOT_TEXT, data) is None:
        label = charset or "us-ascii"
    else:
        quoted, encoded = quoted_printable(data), base64_body(data)
        encoding, data = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    tokens = [f"text/{kind}", f"charset={label}" if charset else f'charset="{label}"', *parameters]
    fields = fold("Content-Type", [f"{token};" for token in tokens[:-1]] + tokens[-1:])
    return Part(fields + fold("Content-Transfer-Encoding", (encoding,)), (data,))


def _has_long_line(data: bytes) -> bool:
    """Whether a line is longer than a message may have; all line ends are CRLF."""
    return max(map(len, data.split(b"\r\n"))) > _LONGEST_LINE


def _file_part(file: Attachment, legacy_names: bool, *, inline: bool = False) -> Part:
    source = source_of(file.content)
    whole = _enclosed(file)
    encoding = "base64" if whole is None else "7bit"
    placed = "inline" if inline else "attachment"
    tokens = parameter("filename", file.name) if file.name else []
    written = fold("Content-Type", _file_type(file, whole is not None, legacy_names))
    if file.content_id:
        written += fold("Content-ID", (f"<{file.content_id}>",))
    written += fold("Content-Disposition", (f"{placed};", *tokens) if tokens else (placed,))
    written += fold("Content-Transfer-Encoding", (encoding,))
    what = f"the attachment {file.name!r}"
    return Part(written, (Base64Piece(source, what) if whole is None else whole,))


def _enclosed(file: Attachment) -> bytes | None:
    """The octets of an attached message that can travel without an encoding, None for every other file."""
    kind = parsed_type(file.content_type)[0] if file.content_type else guessed_type(file.name)
    if kind != "message/rfc822":
        return None
    source = source_of(file.content)
    if source.size > _ENCLOSED:
        return None
    whole = b"".join(source.chunks(CHUNK))
    if re.match(_FIELD, whole) is None or not whole.isascii() or b"\0" in whole:
        return None
    return None if re.search(_NOT_CRLF, whole) or _has_long_line(whole) else whole


def _file_type(file: Attachment, enclosed: bool, legacy_names: bool) -> list[str]:
    """The Content-Type of an attached file, as tokens."""
    kind, parameters = guessed_type(file.name), dict[str, str]()
    if file.content_type:
        kind, parameters = parsed_type(file.content_type)
    if kind.startswith(("multipart/", "message/")) and not enclosed:
        # Both must not be in base64 (RFC 2046 §5.1.1, §5.2.1), which keeps an attached file octet for octet.
        kind, parameters = _UNKNOWN, {}
    elif is_text(kind) and "charset" not in parameters:
        charset = charset_of(source_of(file.content).chunks(CHUNK))
        if charset is None:
            kind, parameters = _UNKNOWN, {}
        elif charset:
            parameters["charset"] = charset
    legacy = _legacy_name(file.name) if legacy_names and file.name and "name" not in parameters else []
    return written_type(kind, parameters, legacy)


def _legacy_name(name: str) -> list[str]:
    """The parameter ``name`` as tokens: in encoded words, which old readers take in quotes against RFC 2047 §5."""
    plain = parameter("name", name)
    if len(plain) == 1 and not plain[0].startswith("name*"):
        return plain
    words = encoded_words(name, 60)
    words[0] = f'name="{words[0]}'
    words[-1] += '"'
    return words


def _invitation(calendar: str, legacy_names: bool) -> Part:
    """The iCalendar object as a file, for readers that show no alternative of its type."""
    return _file_part(Attachment(to_crlf(calendar.encode()), "invite.ics", "application/ics"), legacy_names)


def multipart(kind: str, parts: Sequence[Part], boundary: bytes, *parameters: str) -> Part:
    """A multipart of these parts (RFC 2046 §5.1.1)."""
    pieces = []
    for part in parts:
        pieces += [b"--", boundary, b"\r\n", part.fields, b"\r\n", *part.body, b"\r\n"]
    pieces += [b"--", boundary, b"--\r\n"]
    tokens = [f"multipart/{kind}", *parameters, f'boundary="{boundary.decode("ascii")}"']
    return Part(fold("Content-Type", [f"{token};" for token in tokens[:-1]] + tokens[-1:]), join(pieces))


def _boundaries(seed: str, parts: Sequence[Part]) -> Iterator[bytes]:
    """Different boundaries that none of the parts contains.

    ``=_`` cannot occur in quoted-printable or base64 (RFC 2045 §6.7); 7bit texts are searched for the boundary.
    """
    import hashlib  # a message of one part does not run this generator

    digest = hashlib.sha256(seed.encode()).hexdigest()[:24]
    for number in count():
        boundary = f"=_{digest}_{number}".encode()
        if not any(part.holds(boundary) for part in parts):
            yield boundary
