"""Values of structured header fields: comments, quoted strings, parameters (RFC 5322 §3.2, RFC 2045 §5.1, RFC 2231).

Comments and white space between tokens have no meaning, and a quoted string has the meaning of its content.  Every
module that reads Content-Type, Content-Transfer-Encoding or a field of a delivery report uses these functions, so that
no two of them disagree about a field.

Reading is tolerant and raises no exception.  Time is linear in the length of the value, and callers limit that length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.message.headers import Field

__all__ = [
    "ContentType",
    "ParameterValue",
    "content_type",
    "first_word",
    "parameters_of",
    "parse_content_type",
    "unquoted",
    "without_comments",
]

_VALUE = 8_192  # octets of one value that are read
_SECTIONS = 100  # of one parameter (RFC 2231 §3)

_QUOTED = rb'"(?:[^"\\]|\\.)*+"?'
_OUTSIDE = re.compile(rb"(?s)" + _QUOTED + rb"|\\.|[^()\"\\]++|.")
_INSIDE = re.compile(rb"(?s)\\.|[^()\\]++|.")
_PART = re.compile(rb"(?s)(?:[^;\"]|" + _QUOTED + rb")*+")
_TYPE = re.compile(rb"([A-Za-z0-9!#$&^_.+*'%`{|}~-]+)[ \t]*/[ \t]*([A-Za-z0-9!#$&^_.+*'%`{|}~-]+)")
_ESCAPED = re.compile(rb"(?s)\\(.)")
_QUOTED_VALUE = re.compile(rb'(?s)"((?:[^"\\]|\\.)*+)"?')
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_SECTION = re.compile(rb"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_WORD = re.compile(rb"[^ \t;]+")


def without_comments(value: bytes) -> bytes:
    """The value with each comment replaced by a space; comments may be nested, and an unclosed one ends the value."""
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    depth = at = 0
    while at < len(value):
        match = (_INSIDE if depth else _OUTSIDE).match(value, at)
        assert match is not None  # each expression takes any octet
        piece, at = match[0], match.end()
        if piece == b"(":
            depth += 1
        elif depth:
            if piece == b")":
                depth -= 1
                if not depth:
                    kept.append(b" ")
        else:
            kept.append(piece)
    return b"".join(kept)


def unquoted(value: bytes) -> bytes:
    """The content of a quoted string, its quoted pairs undone; another value unchanged."""
    match = _QUOTED_VALUE.match(value)
    return value if match is None else _ESCAPED.sub(rb"\1", match[1])


def first_word(value: bytes) -> bytes:
    """The first word of a value in lower case, without comments: a status, an action, a transfer encoding."""
    match = _WORD.search(without_comments(value[:_VALUE]))
    return b"" if match is None else match[0].lower()


class ParameterValue(NamedTuple):
    """The value of a parameter: its octets, and the charset that RFC 2231 names for them, "" without one."""

    octets: bytes
    charset: str = ""


class ContentType(NamedTuple):
    """The value of a Content-Type field.

    Args:
        kind: ``type/subtype`` in lower case.
        parameters: By name in lower case; of several with one name the first.
        boundaries: The octets that the boundary may have been meant to be: the parameter's value, and its value with
            parentheses read as ordinary characters, which some programs write without quotes.
        composite: The body is, or may be meant to be, a multipart or a message, which must not be encoded.
    """

    kind: str
    parameters: dict[str, bytes]
    boundaries: tuple[bytes, ...] = ()
    composite: bool = False

    def text(self, name: str) -> str:
        """A parameter's value as text, "" without it."""
        return self.parameters.get(name, b"").decode("utf-8", "replace")


def content_type(found: Sequence[Field], default: str = "text/plain") -> ContentType:
    """The Content-Type of a header section: its first field of that name, else ``default``."""
    values = [field.value for field in found if field.name.lower() == b"content-type"]
    if not values:
        return ContentType(default, {}, (), _is_composite(default))
    read = parse_content_type(values[0][:_VALUE])
    types = [without_comments(value[:_VALUE]).partition(b";")[0].lower() for value in values[read is not None :]]
    hidden = any(b"multipart" in each or b"message" in each for each in types)
    # A value that cannot be read means text/plain (RFC 2045 §5.2).
    meant = ContentType("text/plain", {}) if read is None else read
    return meant._replace(composite=meant.composite or hidden)


def parse_content_type(raw: bytes) -> ContentType | None:
    """A value of Content-Type, None if it does not begin with ``type/subtype``."""
    value = without_comments(raw)
    match = _TYPE.match(value.lstrip(b" \t"))
    if match is None:
        return None
    kind = b"/".join(match.groups()).decode("ascii").lower()
    parameters = _parameters(value)
    meant = [parameters, *([_parameters(raw)] if b"(" in raw else [])]
    boundaries = (each.get("boundary", b"").rstrip(b" \t") for each in meant)
    return ContentType(kind, parameters, tuple(dict.fromkeys(filter(None, boundaries))), _is_composite(kind))


def _is_composite(kind: str) -> bool:
    return kind.startswith(("multipart/", "message/"))


def _parameters(value: bytes) -> dict[str, bytes]:
    """The octets of each parameter; of a plain and an extended form the plain one."""
    plain, sections = _written(value)
    for whole, parts in sections.items():
        plain.setdefault(whole, _joined(parts).octets)
    return plain


def parameters_of(value: bytes) -> dict[str, ParameterValue]:
    """The parameters of a value without comments, by name in lower case; the extended form (RFC 2231) goes before the
    plain one, which programs write beside it for readers that do not know it."""
    plain, sections = _written(value)
    found = {name: ParameterValue(octets) for name, octets in plain.items()}
    return found | {name: _joined(parts) for name, parts in sections.items()}


def _written(value: bytes) -> tuple[dict[str, bytes], dict[str, dict[int, tuple[bool, bytes]]]]:
    """The parameters behind the first semicolon: the plain ones, and the sections of RFC 2231 by name and number."""
    plain: dict[str, bytes] = {}
    sections: dict[str, dict[int, tuple[bool, bytes]]] = {}
    at = 0
    while at < len(value):
        match = _PART.match(value, at)
        end = match.end() if match is not None else at
        if at:  # what stands before the first semicolon is the type
            name, _, content = value[at:end].partition(b"=")
            _enter(name.strip(b" \t").lower(), unquoted(content.strip(b" \t")), plain, sections)
        at = end + 1
    return plain, sections


def _enter(
    name: bytes, content: bytes, plain: dict[str, bytes], sections: dict[str, dict[int, tuple[bool, bytes]]]
) -> None:
    match = _SECTION.fullmatch(name) if b"*" in name else None
    if match is None:
        if name:
            plain.setdefault(name.decode("ascii", "replace"), content)
        return
    number, extended = int(match[2] or 0), match[3] is not None
    if number < _SECTIONS:
        sections.setdefault(match[1].decode("ascii", "replace"), {}).setdefault(number, (extended, content))


def _joined(parts: dict[int, tuple[bool, bytes]]) -> ParameterValue:
    """The sections of one parameter as a value, its percent-encoding undone; it ends before a missing section."""
    made: list[bytes] = []
    charset = ""
    for number in range(len(parts)):
        if number not in parts:
            break
        extended, content = parts[number]
        if extended:
            if not number and content.count(b"'") >= 2:
                name, _, content = content.split(b"'", 2)
                charset = name.decode("ascii", "replace").strip()
            content = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), content)
        made.append(content)
    return ParameterValue(b"".join(made), charset)
