"""Header section of a message, octet for octet, without MIME (RFC 5322 §2.1, §2.2).

Parsing is minimal: one search finds the end of the section, and a field keeps its raw octets (name, colon, value,
folded lines, line end), malformed or not.  Only CRLF ends a line.  The results always concatenate to the given octets.

Malformed sections follow RFC 7103 §7.2.  A line that is neither a field nor a folded continuation belongs to the field
before it if an empty line or another field follows, else it begins the body.  A message whose first line is not a field
has no header section; trace fields in front of it need ``gap()`` between them and the message.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
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
    "first_values",
    "gap",
    "next_field",
    "received_in_lines",
    "split",
    "unfold",
    "without",
    "without_fields",
]

#: Longest header section in octets; a longer one is cut there (``Split.truncated``).
HEADER_LIMIT = 262_144
#: Largest number of fields that ``fields`` separates; the rest is one field without a name.
FIELDS_LIMIT = 10_000

# field-name = 1*ftext, ftext = %d33-57 / %d59-126 (RFC 5322 §3.6.8); the space before the colon is obsolete (§4.5), and
# RFC 7103 §7.4 asks readers to ignore it.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:")
_FIELD_AT_LINE_START = re.compile(rb"(?:\A|(?<=\r\n))([!-9;-~]++)[ \t]*+:")
_RECEIVED_OBSOLETE = re.compile(rb"\r\nreceived[ \t]++:")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


class Field(NamedTuple):
    """One header field.

    ``name`` is as written, without an obsolete space before the colon; b"" for octets that are not a field (at the
    start of a malformed section).  ``raw`` is all octets of the field, its line end included.
    """

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The value after the colon, unfolded and without surrounding white space."""
        return unfold(self.raw.partition(b":")[2] if self.name else self.raw).strip(b" \t")


class Split(NamedTuple):
    """A message in two: ``headers + separator + data[body_offset:] == data``.

    ``headers`` ends with the CRLF of the last field; ``separator`` is the empty line (CRLF), or b"" without one.
    ``truncated``: the section was longer than the limit and was cut at a line end, or inside a line longer than that.
    """

    headers: bytes
    separator: bytes
    body_offset: int
    truncated: bool = False


def split(data: bytes, limit: int = HEADER_LIMIT) -> Split:
    """Find the header section of a message or MIME part.  Raises no exception for malformed ones."""
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
    window = 4_096  # from the end: a section may have 50,000 fields, and the last one is wanted
    while True:
        begin = max(0, len(data) - window)
        for match in _FIELD_AT_LINE_START.finditer(data, begin):
            last = match.start()
        if last or not begin:
            break
        window *= 4
    end = data.find(b"\r\n", last)
    while end >= 0 and data[end + 2 : end + 3] in (b" ", b"\t"):
        end = data.find(b"\r\n", end + 2)
    return end + 2 if end >= 0 else len(data)


def next_field(headers: bytes, position: int) -> int:
    """Where the next field behind ``position`` begins; the end of ``headers`` if there is none."""
    match = _FIELD_AT_LINE_START.search(headers, position)
    return len(headers) if match is None else match.start()


def fields(headers: bytes, at_most: int = FIELDS_LIMIT) -> list[Field]:
    """The fields of a header section in order; their ``raw`` octets concatenate to ``headers``.

    The octets before the first field are one field with the name b"", and so are the octets after ``at_most`` fields.
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
    """A value on one line (RFC 5322 §2.2.3).

    A CRLF before white space and the CRLF at the end are removed; a CRLF before a line that should have been folded
    becomes a space (RFC 7103 §7.2).
    """
    return _FOLD.sub(b"", value.removesuffix(b"\r\n")).replace(b"\r\n", b" ")


def first(found: Sequence[Field], name: bytes) -> Field | None:
    """The topmost field of that name, compared without case, or None."""
    wanted = name.lower()
    return next((field for field in found if field.name.lower() == wanted), None)


def first_values(headers: bytes, names: Collection[bytes]) -> dict[bytes, bytes]:
    """The values of the topmost fields of these names in a header section, by name; ``names`` are in lower case."""
    values: dict[bytes, bytes] = {}
    for field in fields(headers):
        name = field.name.lower()
        if name in names and name not in values:
            values[name] = field.value
    return values


def count(found: Sequence[Field], name: bytes) -> int:
    """The number of fields of that name, compared without case."""
    wanted = name.lower()
    return sum(field.name.lower() == wanted for field in found)


def count_received(headers: bytes) -> int:
    """The number of Received fields in a header section: the hops of the message (RFC 5321 §6.3)."""
    return received_in_lines(b"\r\n" + headers.lower())


def received_in_lines(lowered: bytes) -> int:
    """``count_received`` for lines in lower case, each with the CRLF before it."""
    if lowered.find(b"\r\nreceived") < 0:  # a message that comes from its author, with one search in place of three
        return 0
    hops = lowered.count(b"\r\nreceived:")
    # ``find`` takes half the time of ``in``, which takes the octets for a number first.
    if lowered.find(b"\r\nreceived ") >= 0 or lowered.find(b"\r\nreceived\t") >= 0:
        hops += len(_RECEIVED_OBSOLETE.findall(lowered))
    return hops


def gap(data: bytes) -> bytes:
    """The octets needed between trace fields and a message that begins with ``data``.

    b"" if the message begins with a field or an empty line, or is empty; else CRLF, so that the lines of a message
    without header section remain its body.  ``data`` must hold at least the first 1,000 octets of the first line.
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
    """``content`` without the header fields of that name; all other octets are unchanged.

    Only the header section is read now (at most ``limit`` octets and one chunk).  If it has no such field, the result
    is ``content`` itself.  Final delivery removes Return-Path with it (RFC 5321 §4.4).
    """
    section = split(_head(content.chunks(65_536), limit), limit).headers
    if name.lower() not in section.lower():
        return content
    wanted = name.lower()
    kept = b"".join(field.raw for field in fields(section) if field.name.lower() != wanted)
    if len(kept) == len(section):
        return content
    return _Replaced(kept, len(section), content)


def without_fields(content: Content, unwanted: Collection[bytes], limit: int = HEADER_LIMIT) -> Content:
    """``content`` without the header fields that consist of these octets (``Field.raw``); see ``without``."""
    section = split(_head(content.chunks(65_536), limit), limit).headers
    kept = b"".join([field.raw for field in fields(section) if field.raw not in unwanted])
    return content if len(kept) == len(section) else _Replaced(kept, len(section), content)


def _head(chunks: Iterable[bytes], limit: int) -> bytes:
    """The beginning of a message, up to the chunk in which its header section ends."""
    head = bytearray()
    for chunk in chunks:
        start = max(0, len(head) - 3)
        head += chunk
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) > limit:
            break
    return bytes(head)
