"""Header section of a stored message or of a part: CRLF, LF and mixed line ends, octets kept, nothing refused.

``message.headers`` reads what a peer sends, where only CRLF ends a line; this module reads what lies in files.
"""

from __future__ import annotations

import mmap
import re
from typing import Final, NamedTuple

from posthouse.message.reading.defects import Defects, quoted

__all__ = ["Buffer", "FIELDS_MOST", "HEADER_MOST", "RawField", "Section", "read_section"]

#: What a message is read from.
Buffer = bytes | mmap.mmap

#: Octets and fields of one header section that are read.
HEADER_MOST: Final = 1 << 20
FIELDS_MOST: Final = 10_000

# field-name of RFC 5322 §3.6.8, the obsolete space before the colon (§4.5), and the lines that continue the field.
_FIELD: Final = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_LINE: Final = re.compile(rb"[^\n]*+(?:\n|\Z)")
_EMPTY: Final = re.compile(rb"\r?\n")
_END: Final = re.compile(rb"\n\r?\n")
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")


class RawField(NamedTuple):
    """One header field: its name as written, all its octets, where they begin, and where its value begins in them."""

    name: str
    raw: bytes
    offset: int
    value_at: int

    @property
    def value(self) -> bytes:
        """The value, unfolded and without surrounding white space."""
        return _FOLD.sub(b"", self.raw[self.value_at :]).strip(b" \t\r\n")


class Section:
    """The fields of a header section, and where the body behind it begins."""

    __slots__ = ("_by_name", "body", "fields")

    def __init__(self, fields: list[RawField], body: int) -> None:
        self.fields = fields
        self.body = body
        self._by_name: dict[str, list[RawField]] = {}
        for field in fields:
            self._by_name.setdefault(field.name.lower(), []).append(field)

    def first(self, name: str) -> RawField | None:
        """The topmost field of this name (in lower case), or None."""
        found = self._by_name.get(name)
        return None if found is None else found[0]

    def all(self, name: str) -> list[RawField]:
        """All fields of this name, in lower case."""
        return self._by_name.get(name, [])


def read_section(buffer: Buffer, start: int, end: int, defects: Defects) -> Section:
    """Read the fields from ``start`` on, up to the empty line behind them."""
    found: list[RawField] = []
    at = start
    while at < end:
        match = _FIELD.match(buffer, at, end)
        if match is None:
            empty = _EMPTY.match(buffer, at, end)
            if empty is not None:
                return Section(found, empty.end())
            behind = _behind_no_field(buffer, at, end, bool(found), defects)
            if behind is None:
                return Section(found, at)
            at = behind
            continue
        if len(found) >= FIELDS_MOST or at - start > HEADER_MOST:
            defects.add(
                "long-header",
                at,
                f"the header section is longer than {FIELDS_MOST} fields or 1 MiB; the rest of it is not read",
            )
            over = _END.search(buffer, at - 1, end)
            return Section(found, over.end() if over is not None else end)
        name = match[1].decode("ascii")
        found.append(RawField(name, match[0], at, match.start(2) - at))
        at = match.end()
    return Section(found, min(at, end))


def _behind_no_field(buffer: Buffer, at: int, end: int, within: bool, defects: Defects) -> int | None:
    """Where reading goes on behind a line that is no field, None if the body begins with that line (RFC 7103 §7.2)."""
    line = _LINE.match(buffer, at, end)
    assert line is not None  # the expression takes anything
    behind = line.end()
    header_goes_on = behind < end and (_EMPTY.match(buffer, behind, end) or _FIELD.match(buffer, behind, end))
    if within and header_goes_on:
        defects.add("not-a-field", at, f"the line {quoted(line[0].strip())} is no header field, and is left out")
        return behind
    if within:
        defects.add(
            "no-empty-line", at, "no empty line ends the header section; the body begins with the line that is no field"
        )
    return None
