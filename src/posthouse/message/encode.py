"""Octets that travel anywhere: quoted-printable and base64 bodies (RFC 2045 §6.7, §6.8), encoded words for header
text (RFC 2047), and parameters with names in any script (RFC 2231).

All of it is exact: decoding gives back the octets or characters that came in, trailing white space and bare CR or LF
included.  Bodies are worked on line by line, never octet by octet.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from string import ascii_letters, digits

__all__ = ["base64_body", "encoded_words", "fold", "parameter", "quoted_printable"]

_LINE = 76  # the longest line of an encoded body, without CRLF (RFC 2045 §6.7 rule 5)
_WORD = 75  # the longest encoded word (RFC 2047 §2)
_HEADER_LINE = 78  # what a header line should not exceed (RFC 5322 §2.1.1)

# What may not stand for itself in a line of quoted-printable (RFC 2045 §6.7): controls, "=", 8-bit, and white space at
# the end.
_NOT_LITERAL = rb"[\x00-\x08\x0a-\x1f=\x7f-\xff]|[ \t]\Z"
# Safe in an encoded word anywhere, a phrase included (RFC 2047 §5 rule 3).
_Q_LITERAL = frozenset(f"{ascii_letters}{digits}!*+/-")
_ATTRIBUTE = frozenset(f"{ascii_letters}{digits}!#$&+.^_`{{|}}~-".encode())  # attribute-char of RFC 2231 §7
_PLAIN_VALUE = r"[A-Za-z0-9 !#$&'()*+,./:;<=>?@^_`{|}~\[\]-]{1,60}"  # may stand between quotes as it is


def _soft_breaks(line: bytes) -> bytes:
    """One encoded line as several of at most 76, by soft line breaks that do not tear ``=XX``."""
    pieces = []
    start = 0
    while len(line) - start > _LINE:
        end = start + _LINE - 1
        if line[end - 1 : end] == b"=":
            end -= 1
        elif line[end - 2 : end - 1] == b"=":
            end -= 2
        pieces.append(line[start:end])
        start = end
    pieces.append(line[start:])
    return b"=\r\n".join(pieces)


def _quoted_line(line: bytes) -> bytes:
    if b"\n" in line:  # before a bare LF the library makes lines of 77
        return _soft_breaks(re.sub(_NOT_LITERAL, lambda match: b"=%02X" % match.group()[0], line))
    return binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n")


def quoted_printable(data: bytes) -> bytes:
    """``data`` in quoted-printable: CRLF stays a line end, everything else is exact (bare CR and LF are encoded)."""
    # Line by line and not as text: over several lines, the library would guess what ends them.
    return b"\r\n".join(map(_quoted_line, data.split(b"\r\n")))


def base64_body(data: bytes) -> bytes:
    """``data`` in base64: lines of 76 (57 octets each) joined by CRLF, none at the end."""
    return b"\r\n".join(
        binascii.b2a_base64(data[start : start + 57], newline=False) for start in range(0, len(data), 57)
    )


def encoded_words(text: str) -> list[str]:
    """``text`` as encoded words in UTF-8, each whole characters and at most 75 long (RFC 2047 §5: a character is never
    split).  Every character goes in, spaces too, because white space *between* encoded words is not shown.

    The shorter of the "B" and "Q" encodings is taken.
    """
    quoted = [
        character
        if character in _Q_LITERAL
        else "_"
        if character == " "
        else "".join(f"={octet:02X}" for octet in character.encode())
        for character in text
    ]
    if sum(map(len, quoted)) <= (len(text.encode()) + 2) // 3 * 4:
        return [f"=?utf-8?q?{piece}?=" for piece in _packed(quoted, _WORD - 12)]
    room = (_WORD - 12) // 4 * 3
    return [
        f"=?utf-8?b?{binascii.b2a_base64(piece.encode(), newline=False).decode()}?="
        for piece in _packed(text, room, in_octets=True)
    ]


def _packed(units: Iterable[str], room: int, *, in_octets: bool = False) -> list[str]:
    """Units joined, in order, into strings of at most ``room``."""
    packed: list[str] = []
    current: list[str] = []
    used = 0
    for unit in units:
        length = len(unit.encode()) if in_octets else len(unit)
        if current and used + length > room:
            packed.append("".join(current))
            current, used = [], 0
        current.append(unit)
        used += length
    if current:
        packed.append("".join(current))
    return packed


def fold(name: str, tokens: Iterable[str]) -> bytes:
    """One header field in UTF-8: tokens with one space between, broken before a token where 78 octets are full."""
    line = f"{name}:"
    used = len(line)
    parts = [line]
    for number, token in enumerate(tokens):
        length = len(token.encode())
        if number and used + 1 + length > _HEADER_LINE:
            parts.append("\r\n")
            used = 0
        parts.append(f" {token}")
        used += 1 + length
    return "".join((*parts, "\r\n")).encode()


def parameter(name: str, value: str) -> list[str]:
    """A parameter of Content-Type or Content-Disposition as tokens for ``fold``: quoted where that can say it, else
    percent-encoded UTF-8, continued in numbered sections where it is long (RFC 2231 §3, §4)."""
    if re.fullmatch(_PLAIN_VALUE, value) and "=?" not in value:
        return [f'{name}="{value}"']
    units = [chr(octet) if octet in _ATTRIBUTE else f"%{octet:02X}" for octet in value.encode()]
    pieces = _packed(units, 50) or [""]
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    sections = [f"{name}*{number}*={piece};" for number, piece in enumerate(pieces)]
    sections[0] = sections[0].replace("*=", "*=utf-8''", 1)
    return [*sections[:-1], sections[-1].removesuffix(";")]
