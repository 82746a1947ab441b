"""Values of Content-Type and Content-Disposition with their parameters as text (RFC 2045 §5.1, RFC 2231, RFC 2047 as
programs misuse it here)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.message.reading.charsets import decode
from posthouse.message.reading.encoded_text import decode_words, text_of_octets
from posthouse.message.structured import ParameterValue, parameters_of, without_comments

__all__ = ["ParameterText", "StructuredValue", "read_value"]

_LONGEST: Final = 65_536
_WORD: Final = re.compile(rb"[ \t]*([^ \t;]+)")


class ParameterText(NamedTuple):
    """A parameter's value; ``encoded_word`` if it is one, which RFC 2047 forbids; ``guessed`` as in ``FieldText``."""

    text: str
    guessed: bool = False
    encoded_word: bool = False


class StructuredValue(NamedTuple):
    """``word`` is what stands before the first semicolon, in lower case; ``parameters`` are by name in lower case."""

    word: str
    parameters: dict[str, ParameterValue]
    hints: Sequence[str] = ()

    def octets(self, name: str) -> bytes:
        """A parameter as it was written, b"" without it."""
        found = self.parameters.get(name)
        return b"" if found is None else found.octets

    def text(self, name: str) -> ParameterText:
        """A parameter as text, "" without it."""
        found = self.parameters.get(name)
        if found is None:
            return ParameterText("")
        if found.charset:
            decoded = decode(found.octets, found.charset, self.hints)
            return ParameterText(decoded.text, decoded.guessed)
        plain = text_of_octets(found.octets, self.hints)
        if "=?" not in plain.text:
            return ParameterText(plain.text, plain.guessed)
        words = decode_words(plain.text, self.hints)
        return ParameterText(words.text, plain.guessed or words.guessed, words.text != plain.text)


def read_value(value: bytes, hints: Sequence[str] = ()) -> StructuredValue:
    """Read the unfolded value of such a field."""
    clean = without_comments(value[:_LONGEST])
    word = _WORD.match(clean.partition(b";")[0])
    first = word[1].decode("ascii", "replace").lower() if word is not None else ""
    return StructuredValue(first, parameters_of(clean), hints)
