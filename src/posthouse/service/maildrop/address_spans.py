"""Addresses of a header field with their places, so that an unqualified one can be completed where it stands.

Programs of a machine write ``To: root`` and ``From: cron (Cron Daemon)``; the readers of ``message`` know only
addresses with a domain.  Comments, quoted names, groups and source routes are passed over (RFC 5322 §3.4, §4.4).  One
pass, linear in the length of the field.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from posthouse.core import Address, LocalError
from posthouse.protocol.grammar import GrammarError, parse_mailbox

__all__ = ["Span", "qualified", "read_address", "spans"]

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|\[[^\]]*+\]?|[^"\[()<>,:;\s]++|[()<>,:;]|\s++', re.DOTALL)
_COMMENT: Final = re.compile(rb"[^()\\]++|\\.|[()\\]", re.DOTALL)
_FOLD: Final = re.compile(rb"\s+")
_BACK_FOLDED: Final = re.compile(rb"\s*(@)\s*")
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


class Span(NamedTuple):
    """One address: its octets in a field's value are ``value[start:end]``; ``text`` is it, unfolded."""

    start: int
    end: int
    text: bytes

    @property
    def qualified(self) -> bool:
        """Whether it has a domain."""
        return b"@" in _QUOTED.sub(b"", self.text)


def spans(value: bytes) -> list[Span]:
    """The addresses in the value of From, To, Cc and their like, in order."""
    found: list[Span] = []
    at, size = 0, len(value)
    first = last = -1  # of the item's words outside angle brackets
    angle: tuple[int, int] | None = None
    while at < size:
        match = _TOKEN.match(value, at)
        if match is None:  # a lone backslash or bracket is a word of one octet
            first, last, at = (at if first < 0 else first), at + 1, at + 1
            continue
        token, start, at = match[0], at, match.end()
        if token == b"(":
            at = _behind_comment(value, at)
        elif token == b"<":
            end = _behind_angle(value, at)
            angle = angle or (at, end)
            at = end + 1
        elif token in (b",", b";"):
            _enter(found, value, first, last, angle)
            first, last, angle = -1, -1, None
        elif token == b":" and angle is None:
            first, last = -1, -1  # what stood before it is a group's name
        elif not token.isspace():
            first, last = (start if first < 0 else first), at
    _enter(found, value, first, last, angle)
    return found


def _behind_comment(value: bytes, at: int) -> int:
    depth = 1
    while depth and (match := _COMMENT.match(value, at)) is not None:
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        at = match.end()
    return at


def _behind_angle(value: bytes, at: int) -> int:
    """Where the closing angle bracket of an address is, or the end of the value."""
    while at < len(value):
        match = _QUOTED.match(value, at) if value[at] == 0x22 else None
        if match is not None:
            at = match.end()
        elif value[at] == 0x3E:
            return at
        else:
            at += 1
    return at


def _enter(found: list[Span], value: bytes, first: int, last: int, angle: tuple[int, int] | None) -> None:
    start, end = angle if angle is not None else (first, last)
    if start < 0:
        return
    raw = value[start:end]
    start += len(raw) - len(raw.lstrip())
    end -= len(raw) - len(raw.rstrip())
    if end <= start:
        return
    text = _BACK_FOLDED.sub(rb"\1", value[start:end])
    if text.startswith(b"@") and b":" in text:  # a source route (RFC 5322 §4.4)
        route = value[start:end].rpartition(b":")[0]
        start += len(route) + 1
        text = text.rpartition(b":")[2]
    found.append(Span(start, end, text.strip()))


def qualified(value: bytes, domain: str) -> bytes:
    """A field's value in which each address has a domain; those without one get ``domain``."""
    made, at = [], 0
    for span in spans(value):
        if not span.qualified and _FOLD.search(span.text) is None:
            made += [value[at : span.end], b"@", domain.encode()]
            at = span.end
    return b"".join((*made, value[at:])) if made else value


def read_address(text: bytes | str, domain: str) -> Address:
    """One address, from a header field or a command line; without a domain it gets ``domain``.

    Raises ``LocalError`` for what is no address.
    """
    try:
        word = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise LocalError(f"the address {text!r} is not UTF-8; write it in UTF-8") from error
    word = word.strip()
    if word.startswith("<") and word.endswith(">"):
        word = word[1:-1].strip()
    if "@" not in re.sub(r'"(?:[^"\\]|\\.)*+"', "", word):
        word = f"{word}@{domain}"
    try:
        return parse_mailbox(word)
    except GrammarError as error:
        raise LocalError(f"{word[:100]!r} is no address: {error}") from error
