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
from typing import TYPE_CHECKING, NamedTuple

from posthouse.core import LocalError
from posthouse.message.composing.pieces import Part, has_long_line, join
from posthouse.message.encode import base64_body, fold, quoted_printable

if TYPE_CHECKING:  # a message without files needs none of it
    from posthouse.message.composing.attachment import Attachment

__all__ = ["BodyParts", "body_part", "multipart", "text_part", "to_crlf"]

_LINE_END = rb"\r\n|\r|\n"
_NOT_TEXT = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


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
    shown, attached = _files(given) if given.inline or given.files or given.calendar else ([], [])
    html = None if given.html is None else text_part(given.html, "html")
    calendar = []
    if given.calendar:
        calendar = [text_part(given.calendar, "calendar", (f"method={given.method}",), charset="UTF-8")]
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


def _files(given: BodyParts) -> tuple[list[Part], list[Part]]:
    """The parts that the HTML shows, and those that are attached; the invitation is the last of these."""
    from posthouse.message.composing.file_parts import file_part, invitation_part

    shown = [file_part(each, given.legacy_names, inline=True) for each in given.inline]
    attached = [file_part(each, given.legacy_names) for each in given.files]
    if given.calendar:
        attached.append(invitation_part(to_crlf(given.calendar.encode()), given.legacy_names))
    return shown, attached


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
    if data.isascii() and not has_long_line(data) and re.search(_NOT_TEXT, data) is None:
        label = charset or "us-ascii"
    else:
        quoted, encoded = quoted_printable(data), base64_body(data)
        encoding, data = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    tokens = [f"text/{kind}", f"charset={label}" if charset else f'charset="{label}"', *parameters]
    fields = fold("Content-Type", [f"{token};" for token in tokens[:-1]] + tokens[-1:])
    return Part(fields + fold("Content-Transfer-Encoding", (encoding,)), (data,))


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
