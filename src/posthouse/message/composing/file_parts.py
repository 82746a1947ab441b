"""Body parts of attached files (RFC 2183, RFC 2231)."""

from __future__ import annotations

import re

from posthouse.message.composing.attachment import Attachment
from posthouse.message.composing.file_types import charset_of, guessed_type, is_text, parsed_type, written_type
from posthouse.message.composing.pieces import CHUNK, Base64Piece, Part, has_long_line
from posthouse.message.composing.sources import source_of
from posthouse.message.encode import encoded_words, fold, parameter

__all__ = ["file_part", "invitation_part"]

_NOT_CRLF = rb"\r(?!\n)|(?<!\r)\n"
_FIELD = rb"[!-9;-~]+[ \t]*:"
#: Octets of an enclosed message that are read to see whether it is 7-bit.
_ENCLOSED = 33_554_432
_UNKNOWN = "application/octet-stream"


def file_part(file: Attachment, legacy_names: bool, *, inline: bool = False) -> Part:
    """The part of a file; ``legacy_names`` as for ``Message``; ``inline`` if HTML shows it."""
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
    return None if re.search(_NOT_CRLF, whole) or has_long_line(whole) else whole


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


def invitation_part(calendar: bytes, legacy_names: bool) -> Part:
    """An iCalendar object as a file, for readers that show no alternative of its type."""
    return file_part(Attachment(calendar, "invite.ics", "application/ics"), legacy_names)
