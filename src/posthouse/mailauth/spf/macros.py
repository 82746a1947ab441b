"""Macros of SPF (RFC 7208 §7): macro-strings parsed once, and expanded for one message.

A ``MacroText`` is a tuple of pieces: literal text (``%%``, ``%_`` and ``%-`` are replaced when it is parsed) and
``Macro``.  Expansion is a function without questions: the validated domain name for ``%{p}`` is a value that the
caller has asked for before.  Work is bounded whatever the record and the sender contain: a domain name is expanded from
its right end and only as far as 253 characters reach, an explanation only up to its limit, and either at most
``MOST_PIECES`` pieces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from posthouse.mailauth.domains import LONGEST_NAME

__all__ = [
    "DOMAIN_LETTERS",
    "EXPLANATION_LETTERS",
    "LONGEST_EXPLANATION",
    "MOST_PIECES",
    "Macro",
    "MacroFault",
    "MacroText",
    "expand_domain",
    "expand_explanation",
    "letters_of",
    "parse_domain_spec",
    "parse_explanation",
    "parse_macro_string",
]

DOMAIN_LETTERS = frozenset("slodiphv")
"""The macro letters of a domain-spec (RFC 7208 §7.2)."""
EXPLANATION_LETTERS = DOMAIN_LETTERS | frozenset("crt")
"""The macro letters of an explanation: c, r and t are allowed there alone (RFC 7208 §7.2)."""
LONGEST_EXPLANATION = 500
"""Characters of an explanation that are kept: it shares an SMTP reply with other text (RFC 7208 §6.2)."""
MOST_PIECES = 512
"""Pieces of one macro-string that are expanded; a name of 253 characters has no use for more."""

_PIECE = re.compile(r"([!-$&-~]+)|%([%_-])|%\{([A-Za-z])([0-9]*)([Rr]?)([.\-+,/_=]*)\}")
_PIECE_WITH_SPACES = re.compile(r"([ -$&-~]+)|%([%_-])|%\{([A-Za-z])([0-9]*)([Rr]?)([.\-+,/_=]*)\}")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_ALL_PARTS = 0
_MANY = 1000  # more parts than any value has that a name can hold
_TOPLABEL = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_RESERVED = re.compile(rb"[^A-Za-z0-9\-._~]")


class Macro(NamedTuple):
    """One ``%{…}``.

    Args:
        letter: In lower case.
        parts: How many right-hand parts are used, 0 for all.
        reverse: The parts are used in reverse order.
        delimiters: The characters that separate parts, "" for a macro that is not split.
        escape: The value is URL-escaped (the letter was in upper case).
    """

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    escape: bool


MacroText = tuple[str | Macro, ...]
"""A macro-string: literal texts and macros in order."""


class MacroFault(ValueError):
    """A text is not in the grammar of macro-strings; the exception's text says where and what to write."""


def parse_domain_spec(text: str) -> MacroText:
    """``domain-spec`` (RFC 7208 §7.1): a macro-string that ends with a top label or with a macro.

    Raises ``MacroFault``.
    """
    if not text:
        raise MacroFault("the domain is missing; write one behind the sign")
    found, last = _parsed(text, _PIECE, DOMAIN_LETTERS)
    if not last:
        return found
    _, dot, label = last.removesuffix(".").rpartition(".")
    if not dot:
        raise MacroFault(f"{text[:80]!r} is no domain with two labels or more; write it in full, as mail.example.org")
    if _TOPLABEL.fullmatch(label) is None:
        raise MacroFault(f"{label[:80]!r} cannot be the last label of a domain; write letters, digits and hyphens")
    return found


def parse_macro_string(text: str) -> MacroText:
    """``macro-string`` of an unknown modifier, which has every letter (RFC 7208 §7.1).  Raises ``MacroFault``."""
    return _parsed(text, _PIECE, EXPLANATION_LETTERS)[0]


def parse_explanation(text: str) -> MacroText:
    """``explain-string``: a macro-string with spaces (RFC 7208 §6.2).  Raises ``MacroFault``."""
    return _parsed(text, _PIECE_WITH_SPACES, EXPLANATION_LETTERS)[0]


def _parsed(text: str, pattern: re.Pattern[str], letters: frozenset[str]) -> tuple[MacroText, str]:
    """The pieces, and the literal text at the end, "" where a macro or an escape stands there."""
    pieces: list[str | Macro] = []
    literal = ""
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise MacroFault(_fault(text[at : at + 40]))
        at = match.end()
        literal, sign, letter, digits, reverse, delimiters = match.groups()
        if letter:
            pieces.append(_macro(match[0], letter, digits, reverse, delimiters, letters))
        else:
            pieces.append(literal or _ESCAPES[sign])
    return tuple(pieces), literal or ""


def _fault(rest: str) -> str:
    if rest.startswith("%{"):
        return f"{rest!r} begins no macro; write %{{letter}} with digits, r and delimiters (.-+,/_=) behind the letter"
    if rest.startswith("%"):
        return f"{rest!r} has a % that begins no macro; write %% for the sign itself"
    return f"{rest[0]!r} must not stand here; write printable ASCII characters only"


def _macro(text: str, letter: str, digits: str, reverse: str, delimiters: str, letters: frozenset[str]) -> Macro:
    if letter.lower() not in letters:
        where = "in explanations alone" if letter.lower() in EXPLANATION_LETTERS else "nowhere"
        raise MacroFault(f"{text[:40]!r}: the macro letter {letter} is allowed {where}; use one of s l o d i p h v")
    parts = _ALL_PARTS
    if digits:
        significant = digits.lstrip("0")
        if not significant:
            raise MacroFault(f"{text[:40]!r} uses 0 parts; write 1 or more, or leave the digits out")
        parts = int(significant) if len(significant) <= 3 else _MANY
    split = delimiters or ("." if digits or reverse else "")
    return Macro(letter.lower(), parts, bool(reverse), split, letter.isupper())


def letters_of(text: MacroText) -> frozenset[str]:
    """The macro letters in a text."""
    return frozenset(piece.letter for piece in text if isinstance(piece, Macro))


def expand_domain(text: MacroText, values: Mapping[str, str]) -> str:
    """The domain name of a domain-spec, without its final dot: the longest run of right-hand labels that has at most
    253 characters (RFC 7208 §7.3), "" if there is none.

    ``values``: letter → value.  The result need not be a DNS name: it may have empty labels or other characters.
    """
    pieces: list[str] = []
    length = 0
    for piece in reversed(text[-MOST_PIECES:]):
        expanded = piece if isinstance(piece, str) else _value(piece, values)
        pieces.append(expanded)
        length += len(expanded)
        if length > LONGEST_NAME + 2:  # a name, its final dot, and one character that shows that it is too long
            break
    name = "".join(reversed(pieces)).removesuffix(".")
    if len(name) <= LONGEST_NAME:
        return name
    dot = name.find(".", len(name) - LONGEST_NAME - 1)
    return name[dot + 1 :] if dot >= 0 else ""


def expand_explanation(text: MacroText, values: Mapping[str, str]) -> str:
    """The explanation, cut at ``LONGEST_EXPLANATION`` characters."""
    pieces: list[str] = []
    length = 0
    for piece in text[:MOST_PIECES]:
        pieces.append(piece if isinstance(piece, str) else _value(piece, values))
        length += len(pieces[-1])
        if length >= LONGEST_EXPLANATION:
            break
    return "".join(pieces)[:LONGEST_EXPLANATION]


def _value(macro: Macro, values: Mapping[str, str]) -> str:
    """The value of a macro: split, reversed, shortened, joined with dots, escaped (RFC 7208 §7.3)."""
    value = values[macro.letter]
    if macro.delimiters:
        if macro.delimiters != ".":
            value = re.sub(f"[{re.escape(macro.delimiters)}]", "\0", value)
        parts = value.split("." if macro.delimiters == "." else "\0")
        if macro.reverse:
            parts.reverse()
        value = ".".join(parts[-macro.parts :] if macro.parts else parts)
    if macro.escape:
        value = _RESERVED.sub(lambda found: b"%%%02X" % found[0][0], value.encode("utf-8", "surrogateescape")).decode()
    return value
