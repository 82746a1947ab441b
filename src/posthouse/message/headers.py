"""A message's header section, byte for byte, without MIME (RFC 5322 §2.1, §2.2).

Nothing is parsed that need not be: the section's end is found with one search, a field keeps its raw octets (name,
colon, value, folded lines, line end), and whatever is broken stays where it is.  Only CRLF ends a line.

Broken sections follow RFC 7103 §7.2.  A line that is neither a field nor a folded continuation belongs to the field
before it, as long as an empty line or another field follows; where neither follows, it begins the body.  A message
whose very first line is not a field has no header section at all: it is all body, and whoever puts trace fields in
front of it puts ``gap()`` between them.  Every answer here concatenates to the octets that were given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from posthouse.core import Content

__all__ = [
    "FIELDS_LIMIT",
    "Field",
    "HEADER_LIMIT",
    "Split",
    "count",
    "count_received",
    "fields",
    "first",
    "gap",
    "hop_count",
    "split",
    "unfold",
    "without",
]

#: Octets within which a header section must end; a longer one is cut there (``Split.truncated``).
HEADER_LIMIT = 262_144
#: Fields that ``fields`` tells apart; what follows them comes as one nameless field.
FIELDS_LIMIT = 10_000
#: Octets in which ``hop_count`` looks.
_HOPS_WITHIN = 65_536

# field-name = 1*ftext, ftext = %d33-57 / %d59-126 (RFC 5322 §3.6.8); space before the colon is §4.5's obsolete form,
# which RFC 7103 §7.4 asks to read as if it were not there.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:")
_FIELD_AT_LINE_START = re.compile(rb"(?:\A|(?<=\r\n))([!-9;-~]++)[ \t]*+:")
_RECEIVED_OBSOLETE = re.compile(rb"\r\nreceived[ \t]++:")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


class Field(NamedTuple):
    """One header field.

    ``name`` as written, without the space an obsolete form may have before the colon; b"" for octets that are no
    field (at the start of a broken section).  ``raw`` is every octet of it, its line end included.
    """

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, unfolded, without white space around it."""
        return unfold(self.raw.partition(b":")[2] if self.name else self.raw).strip(b" \t")


class Split(NamedTuple):
    """Where header section and body meet: ``headers + separator + data[body_offset:] == data``.

    ``headers`` ends with its last field's CRLF; ``separator`` is the empty line (CRLF) or b"" if there is none.
    ``truncated`` says that the section did not end within the limit and was cut at a line (or, failing that, in it).
    """

    headers: bytes
    separator: bytes
    body_offset: int
    truncated: bool = False


def split(data: bytes, limit: int = HEADER_LIMIT) -> Split:
    """Find the header section of a message (or of a MIME part).  Never raises; see the module for broken ones."""
    if data.startswith(b"\r\n"):
        return Split(b"", b"\r\n", 2)
    if _FIELD.match(data) is None:
        return Split(b"", b"", 0)
    empty = data.find(b"\r\n\r\n", 0, limit)
    if empty >= 0:
        return Split(data[: empty + 2], b"\r\n", empty + 4)
    if len(data) > limit:
        end = data.rfind(b"\r\n", 0, limit) + 2
        end = end if end > 1 else limit
        return Split(data[:end], b"", end, truncated=True)
    end = _end_of_last_field(data)
    return Split(data[:end], b"", end)


def _end_of_last_field(data: bytes) -> int:
    last = 0
    for match in _FIELD_AT_LINE_START.finditer(data):
        last = match.start()
    end = data.find(b"\r\n", last)
    while end >= 0 and data[end + 2 : end + 3] in (b" ", b"\t"):
        end = data.find(b"\r\n", end + 2)
    return end + 2 if end >= 0 else len(data)


def fields(headers: bytes, at_most: int = FIELDS_LIMIT) -> list[Field]:
    """The fields of a header section, in order; their ``raw`` concatenated is ``headers``.

    Octets before the first field, and all that follows ``at_most`` fields, are each one field with the name b"".
    """
    found: list[Field] = []
    name, start = b"", 0
    for match in _FIELD_AT_LINE_START.finditer(headers):
        if match.start() > start:
            found.append(Field(name, headers[start : match.start()]))
        name, start = match.group(1), match.start()
        if len(found) >= at_most:
            name = b""
            break
    if start < len(headers):
        found.append(Field(name, headers[start:]))
    return found


def unfold(value: bytes) -> bytes:
    """A value on one line: the CRLF before white space goes (RFC 5322 §2.2.3), as does the one at the end; a CRLF
    before a line that should have been folded becomes a space (RFC 7103 §7.2)."""
    return _FOLD.sub(b"", value.removesuffix(b"\r\n")).replace(b"\r\n", b" ")


def first(found: Sequence[Field], name: bytes) -> Field | None:
    """The topmost field of that name, in any case, or None."""
    wanted = name.lower()
    return next((field for field in found if field.name.lower() == wanted), None)


def count(found: Sequence[Field], name: bytes) -> int:
    """How many fields have that name, in any case."""
    wanted = name.lower()
    return sum(field.name.lower() == wanted for field in found)


def count_received(headers: bytes) -> int:
    """Received fields in a header section: the stations a message has passed (RFC 5321 §6.3)."""
    lowered = b"\r\n" + headers.lower()
    hops = lowered.count(b"\r\nreceived:")
    if b"\r\nreceived " in lowered or b"\r\nreceived\t" in lowered:
        hops += len(_RECEIVED_OBSOLETE.findall(lowered))
    return hops


def hop_count(data: bytes) -> int:
    """``count_received`` for the beginning of a message: looks in its header section only, and there in the first
    64 KiB (every station adds its field on top)."""
    if data.startswith(b"\r\n"):
        return 0
    end = data.find(b"\r\n\r\n", 0, _HOPS_WITHIN)
    return count_received(data[: end if end >= 0 else _HOPS_WITHIN])


def gap(data: bytes) -> bytes:
    """What must stand between trace fields and the message that begins with ``data``: b"" if it begins with a field
    or an empty line, or is empty; else CRLF, so that a letter without header section stays a body.

    Give at least the first line's first 1,000 octets.
    """
    return b"" if not data or data.startswith(b"\r\n") or _FIELD.match(data) else b"\r\n"


class _Replaced:
    """Content whose first ``skip`` octets are replaced by ``head``."""

    __slots__ = ("_content", "_head", "_skip")

    def __init__(self, head: bytes, skip: int, content: Content) -> None:
        self._head = head
        self._skip = skip
        self._content = content

    @property
    def size(self) -> int:
        return len(self._head) + self._content.size - self._skip

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for start in range(0, len(self._head), at_most):
            yield self._head[start : start + at_most]
        skip = self._skip
        for chunk in self._content.chunks(at_most):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:] if skip else chunk
            skip = 0


def without(content: Content, name: bytes, limit: int = HEADER_LIMIT) -> Content:
    """``content`` without its header fields of that name; all other octets as they are, the body unread.

    Reads no more than the header section (at most ``limit`` octets and one piece), and gives ``content`` itself if
    there is nothing to remove.  Final delivery uses it on Return-Path (RFC 5321 §4.4).
    """
    section = split(_head(content.chunks(65_536), limit), limit).headers
    if name.lower() not in section.lower():
        return content
    wanted = name.lower()
    kept = b"".join(field.raw for field in fields(section) if field.name.lower() != wanted)
    if len(kept) == len(section):
        return content
    return _Replaced(kept, len(section), content)


def _head(chunks: Iterable[bytes], limit: int) -> bytes:
    """The beginning of a message, up to the piece in which its header section ends."""
    head = bytearray()
    for chunk in chunks:
        start = max(0, len(head) - 3)
        head += chunk
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) > limit:
            break
    return bytes(head)
