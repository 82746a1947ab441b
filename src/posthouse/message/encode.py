"""MIME encodings: quoted-printable and base64 bodies (RFC 2045 §6.7, §6.8), encoded words (RFC 2047), and parameters
beyond ASCII (RFC 2231).

Decoding gives exactly the octets or characters that were encoded, trailing white space and bare CR or LF included.
Bodies are encoded line by line, never octet by octet.  An *encoder* takes a body in pieces of any size, and holds back
at most one unfinished line of 8 KiB.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from string import ascii_letters, digits

__all__ = [
    "Base64Encoder",
    "Base64Wrapper",
    "BodyEncoder",
    "QuotedPrintableEncoder",
    "QuotedPrintableRepairer",
    "base64_body",
    "encoded_words",
    "fold",
    "fold_fields",
    "parameter",
    "quoted_printable",
]

_LINE = 76  # the longest line of an encoded body, without CRLF (RFC 2045 §6.7 rule 5)
_WORD = 75  # the longest encoded word (RFC 2047 §2)
_HEADER_LINE = 78  # recommended maximum of a header line (RFC 5322 §2.1.1)
_WORD_LINE = 76  # the longest header line with an encoded word (RFC 2047 §2)
_SHORTEST_WORD = 32  # a shorter first word would hold next to nothing
_LONGEST_LINE = 998  # RFC 5322 §2.1.1

# Octets that a line of quoted-printable must encode (RFC 2045 §6.7): controls, "=", 8-bit, and white space at its end.
_NOT_LITERAL = rb"[\x00-\x08\x0a-\x1f=\x7f-\xff]|[ \t]\Z"
# Literal in every encoded word, also within a phrase (RFC 2047 §5 rule 3).
_Q_LITERAL = frozenset(f"{ascii_letters}{digits}!*+/-")
# Lines that need no encoding.
_PLAIN_LINES = re.compile(rb"(?:(?:[\t -<>-~]{0,75}[!-<>-~])?\r\n)++")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_HELD_BACK = 8_192  # octets of an unfinished line that an encoder keeps
_QP_ESCAPE = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]{0,998}\r?\n)")
_QP_UNFINISHED = re.compile(rb"=(?:[0-9A-Fa-f]?|[ \t]{0,998}\r?)\Z")
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


class BodyEncoder:
    """Encoder of one body given in pieces: the encoded octets are what all ``feed`` and then ``end`` return."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Encode further octets."""
        raise NotImplementedError

    def end(self) -> bytes:
        """The last encoded octets.  Raises ``ValueError`` if the body cannot be encoded."""
        raise NotImplementedError


class QuotedPrintableEncoder(BodyEncoder):
    """``quoted_printable`` for a body in pieces; a line of more than 8 KiB may get one soft line break more."""

    __slots__ = ("_line",)

    def __init__(self) -> None:
        self._line = b""  # the unfinished line

    def feed(self, data: bytes) -> bytes:
        data = self._line + data
        made: list[bytes] = []
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            plain = _PLAIN_LINES.match(data, at)
            if plain is not None:
                made.append(plain[0])
                at = plain.end()
            else:
                made += (_quoted_line(data[at:end]), b"\r\n")
                at = end + 2
        line = data[at:]
        if len(line) > _HELD_BACK:
            until = len(line) - line.endswith(b"\r")  # its LF may follow
            made.append(_unfinished(_quoted_line(line[:until])))
            line = line[until:]
        self._line = line
        return b"".join(made)

    def end(self) -> bytes:
        return _quoted_line(self._line)


def _unfinished(encoded: bytes) -> bytes:
    """Encoded octets of a line that goes on, ended by a soft line break."""
    start = encoded.rfind(b"\n") + 1
    if len(encoded) - start < _LINE:
        return encoded + b"=\r\n"
    return encoded[:start] + _soft_breaks(encoded[start:] + b"=") + b"\r\n"


class QuotedPrintableRepairer(BodyEncoder):
    """Encoder of a body that is already in quoted-printable and has octets or lines that this encoding does not allow.

    The body is decoded and encoded again.
    """

    __slots__ = ("_encoder", "_held")

    def __init__(self) -> None:
        self._encoder = QuotedPrintableEncoder()
        self._held = b""  # an escape whose end has not come

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        match = _QP_UNFINISHED.search(data, max(0, len(data) - 1_000))
        cut = len(data) if match is None else match.start()
        self._held = data[cut:]
        return self._encoder.feed(_QP_ESCAPE.sub(_unescaped, data[:cut]))

    def end(self) -> bytes:
        # A "=" at the end of the body is a soft line break without a following line.
        last = self._held
        return self._encoder.feed(b"" if last.strip(b" \t\r") == b"=" else last) + self._encoder.end()


def _unescaped(match: re.Match[bytes]) -> bytes:
    return b"" if match[1] is None else bytes((int(match[1], 16),))


class Base64Encoder(BodyEncoder):
    """``base64_body`` for a body in pieces."""

    __slots__ = ("_begun", "_rest")

    def __init__(self) -> None:
        self._rest = b""  # fewer octets than a line encodes
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        until = len(data) // 57 * 57
        self._rest = data[until:]
        return self._lines(data[:until])

    def end(self) -> bytes:
        return self._lines(self._rest)

    def _lines(self, data: bytes) -> bytes:
        if not data:
            return b""
        opening = b"\r\n" if self._begun else b""
        self._begun = True
        return opening + base64_body(data)


class Base64Wrapper(BodyEncoder):
    """Encoder of a body that is already in base64 and has octets or lines that this encoding does not allow.

    The characters of the encoding are kept in lines of 76, and the others are left out; readers ignore them too (RFC
    2045 §6.8).
    """

    __slots__ = ("_begun", "_count", "_pads", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._count = 0  # characters in front of the first "="
        self._pads = 0  # the first "=" and what follows

    def feed(self, data: bytes) -> bytes:
        kept = _NOT_BASE64.sub(b"", data)
        before = len(kept) if not self._pads else 0
        if not self._pads and b"=" in kept:
            before = kept.index(b"=")
        self._count += before
        self._pads += len(kept) - before
        data = self._rest + kept
        until = len(data) // _LINE * _LINE
        self._rest = data[until:]
        return self._lines(data[:until])

    def end(self) -> bytes:
        last = self._count % 4
        if last == 1 or (last and last + self._pads < 4):
            raise ValueError("the base64 ends in the middle of an octet")
        return self._lines(self._rest)

    def _lines(self, data: bytes) -> bytes:
        if not data:
            return b""
        opening = b"\r\n" if self._begun else b""
        self._begun = True
        return opening + b"\r\n".join(data[start : start + _LINE] for start in range(0, len(data), _LINE))


def encoded_words(text: str, room: int = _WORD) -> list[str]:
    """``text`` as encoded words in UTF-8 of at most 75 characters, in the shorter of the "B" and "Q" encodings.

    The first word has at most ``room`` characters, if they are enough to hold something.  No word splits a character
    (RFC 2047 §5).  Spaces are encoded too, because readers drop white space between encoded words.
    """
    quoted = [
        character
        if character in _Q_LITERAL
        else "_"
        if character == " "
        else "".join(f"={octet:02X}" for octet in character.encode())
        for character in text
    ]
    most = _WORD - 12
    beginning = min(room, _WORD) - 12 if room >= _SHORTEST_WORD else most
    if sum(map(len, quoted)) <= (len(text.encode()) + 2) // 3 * 4:
        return [f"=?utf-8?q?{piece}?=" for piece in _packed(quoted, most, beginning)]
    return [
        f"=?utf-8?b?{binascii.b2a_base64(piece.encode(), newline=False).decode()}?="
        for piece in _packed(text, most // 4 * 3, beginning // 4 * 3, in_octets=True)
    ]


def _packed(units: Iterable[str], most: int, room: int, *, in_octets: bool = False) -> list[str]:
    """The units joined in order into strings of at most ``most`` characters, or octets; the first of ``room``."""
    packed: list[str] = []
    current: list[str] = []
    used = 0
    for unit in units:
        length = len(unit.encode()) if in_octets else len(unit)
        if current and used + length > room:
            packed.append("".join(current))
            current, used, room = [], 0, most
        current.append(unit)
        used += length
    if current:
        packed.append("".join(current))
    return packed


def fold(name: str, tokens: Sequence[str]) -> bytes:
    """One header field in UTF-8: the tokens with one space between them, folded to lines of at most 78 octets.

    Lines of a field with encoded words have at most 76.  A longer token has a line of its own.
    """
    limit = _WORD_LINE if any(token.startswith("=?") for token in tokens) else _HEADER_LINE
    line = f"{name}:"
    used = len(line)
    parts = [line]
    for number, token in enumerate(tokens):
        length = len(token.encode())
        # An ordinary long token stays beside the name: some readers do not expect an empty first line.
        most = limit if number or token.startswith("=?") else _LONGEST_LINE
        if used and used + 1 + length > most:
            parts.append("\r\n")
            used = 0
        parts.append(f" {token}")
        used += 1 + length
    return "".join((*parts, "\r\n")).encode()


def fold_fields(fields: Iterable[tuple[str, Sequence[str]]]) -> bytes:
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
    pieces = _packed(units, 50, 50) or [""]
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    sections = [f"{name}*{number}*={piece};" for number, piece in enumerate(pieces)]
    sections[0] = sections[0].replace("*=", "*=utf-8''", 1)
    return [*sections[:-1], sections[-1].removesuffix(";")]
