"""Encoded words in header fields, read (RFC 2047), also where programs write them wrongly.

White space between two encoded words is no text.  Words in one charset that follow each other are decoded together,
because many programs cut a character in two.  Encoded words within quotation marks and beside other characters are read
as well.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.message.reading.charsets import decode, guess

__all__ = ["FieldText", "decode_words", "from_base64", "text_of_octets"]

# The text of an encoded word has no question mark, so no two searches go over the same characters.
_WORD: Final = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?([^?]*+)\?=")
_SOFT: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]+")


class FieldText(NamedTuple):
    """The text of a header field; ``guessed`` if the charset of a part of it was, ``damaged`` if a part is lost."""

    text: str
    guessed: bool = False
    damaged: bool = False


def text_of_octets(octets: bytes, hints: Sequence[str] = ()) -> FieldText:
    """A header field's octets as characters: ASCII, UTF-8 (RFC 6532), or what a program sent that ignores both."""
    if octets.isascii() and b"\x1b" not in octets:
        return FieldText(octets.decode("ascii"))
    found = guess(octets, hints)
    return FieldText(found.text, found.guessed and found.charset != "utf-8", found.damaged)


def decode_words(text: str, hints: Sequence[str] = ()) -> FieldText:
    """The text with its encoded words decoded; white space beside them stays but between two of them."""
    if "=?" not in text:
        return FieldText(text)
    made: list[str] = []
    guessed = damaged = False
    group: list[tuple[str, bytes]] = []  # words in one charset that follow each other
    at = 0

    def end_group() -> None:
        nonlocal guessed, damaged
        if not group:
            return
        found = decode(b"".join(octets for _, octets in group), group[0][0], hints)
        guessed, damaged = guessed or found.guessed, damaged or found.damaged
        made.append(found.text)
        group.clear()

    for match in _WORD.finditer(text):
        between = text[at : match.start()]
        charset = match[1].partition("*")[0]
        octets = from_base64(match[3].encode("utf-8", "replace"))[0] if match[2] in "bB" else _from_q(match[3])
        adjoining = at > 0 and not between.strip(" \t")
        if not adjoining or group[0][0].lower() != charset.lower():
            end_group()
        if not adjoining:
            made.append(between)
        group.append((charset, octets))
        at = match.end()
    end_group()
    made.append(text[at:])
    return FieldText("".join(made), guessed, damaged)


def _from_q(text: str) -> bytes:
    octets = text.replace("_", " ").encode("utf-8", "replace")
    return _SOFT.sub(lambda match: bytes((int(match[1], 16),)), octets)


def from_base64(octets: bytes) -> tuple[bytes, bool]:
    """The octets that base64 stands for, and whether it was in order: other characters are left out, padding is
    completed, and base64 behind padding is read on."""
    lines = octets.translate(None, b" \t\r\n\v\f")
    try:
        return binascii.a2b_base64(lines, strict_mode=True), True
    except binascii.Error:
        pass
    made: list[bytes] = []
    for piece in octets.split(b"="):
        clean = _NOT_BASE64.sub(b"", piece)
        clean = clean[: len(clean) - (len(clean) % 4 == 1)]
        made.append(binascii.a2b_base64(clean + b"=" * (-len(clean) % 4)))
    return b"".join(made), False
