"""MIME encodings: quoted-printable and base64 bodies (RFC 2045 §6.7, §6.8), encoded words (RFC 2047), and parameters
beyond ASCII (RFC 2231).

Decoding gives exactly the octets or characters that were encoded, trailing white space and bare CR or LF included.
Bodies are encoded line by line, never octet by octet.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from string import ascii_letters, digits

__all__ = ["base64_body", "encoded_words", "fold", "fold_fields", "parameter", "quoted_printable"]

_LINE = 76  # the longest line of an encoded body, without CRLF (RFC 2045 §6.7 rule 5)
_WORD = 75  # the longest encoded word (RFC 2047 §2)
_HEADER_LINE = 78  # recommended maximum of a header line (RFC 5322 §2.1.1)

# Octets that a line of quoted-printable must encode (RFC 2045 §6.7): controls, "=", 8-bit, and white space at its end.
_NOT_LITERAL = rb"[\x00-\x08\x0a-\x1f=\x7f-\xff]|[ \t]\Z"
# Literal in every encoded word, also within a phrase (RFC 2047 §5 rule 3).
_Q_LITERAL = frozenset(f"{ascii_letters}{digits}!*+/-")
_ATTRIBUTE = frozenset(f"{ascii_letters}{digits}!#$&+.^_`{{|}}~-".encode())  # attribute-char of RFC 2231 §7
_PLAIN_VALUE = r"[A-Za-z0-9 !#$&'()*+,./:;<=>?@^_`{|}~\[\]-]{1,60}"  # needs quotes and no encoding


def _soft_breaks(line: bytes) -> bytes:
    """One encoded line cut by soft line breaks into lines of at most 76 octets; ``=XX`` is never cut."""
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
    if b"\n" in line:  # binascii makes lines of 77 octets before a bare LF
        return _soft_breaks(re.sub(_NOT_LITERAL, lambda match: b"=%02X" % match.group()[0], line))
    return binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n")


def quoted_printable(data: bytes) -> bytes:
    """``data`` in quoted-printable; CRLF remains a line end, bare CR and LF are encoded."""
    # Line by line, because binascii guesses the line ends of several lines.
    return b"\r\n".join(map(_quoted_line, data.split(b"\r\n")))


def base64_body(data: bytes) -> bytes:
    """``data`` in base64: lines of 76 characters (57 octets) joined by CRLF, without CRLF at the end."""
    return b"\r\n".join(
        binascii.b2a_base64(data[start : start + 57], newline=False) for start in range(0, len(data), 57)
    )


def encoded_words(text: str) -> list[str]:
    """``text`` as encoded words in UTF-8 of at most 75 characters, in the shorter of the "B" and "Q" encodings.

    No word splits a character (RFC 2047 §5).  Spaces are encoded too, because readers drop white space between encoded
    words.
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
    """The units joined in order into strings of at most ``room`` characters, or octets."""
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
    """One header field in UTF-8: the tokens with one space between them, folded to lines of at most 78 octets."""
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


def fold_fields(fields: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """Several header fields, each a name and its tokens; see ``fold``."""
    return b"".join([fold(name, tokens) for name, tokens in fields])


def parameter(name: str, value: str) -> list[str]:
    """A parameter of Content-Type or Content-Disposition as tokens for ``fold``.

    The value is quoted if that suffices, else percent-encoded UTF-8, in numbered sections if it is long (RFC 2231 §3,
    §4).
    """
    if re.fullmatch(_PLAIN_VALUE, value) and "=?" not in value:
        return [f'{name}="{value}"']
    units = [chr(octet) if octet in _ATTRIBUTE else f"%{octet:02X}" for octet in value.encode()]
    pieces = _packed(units, 50) or [""]
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    sections = [f"{name}*{number}*={piece};" for number, piece in enumerate(pieces)]
    sections[0] = sections[0].replace("*=", "*=utf-8''", 1)
    return [*sections[:-1], sections[-1].removesuffix(";")]
