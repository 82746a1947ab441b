"""Text that may be shown: nothing in it steers a terminal, and nothing in it cannot be seen."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from posthouse.core.escapes import escaped, escaped_lines

#: Format characters that a later version of Unicode may add are not known to this Python.
STEERING = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not 0xE0100 <= code <= 0xE01EF
]


def test_every_control_format_and_separator_character_is_escaped() -> None:
    assert len(STEERING) > 2000
    assert [sign for sign in STEERING if escaped(sign) == sign] == []
    assert all(escaped(sign).isascii() and escaped(sign).isprintable() for sign in STEERING)
    assert [sign for sign in STEERING if escaped_lines(sign) == sign] == ["\t", "\n"]


@pytest.mark.parametrize("text", ["plain", "任平生", "Grüße", "❤\ufe0f", "a b\u00a0c", "", "\\u202e"])
def test_what_can_be_read_stays(text: str) -> None:
    assert escaped(text) == text


@pytest.mark.parametrize(
    ("sign", "shown"),
    [
        ("\x1b", "\\u001b"),
        ("\x7f", "\\u007f"),
        ("\x9b", "\\u009b"),
        ("\u2028", "\\u2028"),
        ("\u202e", "\\u202e"),
        ("\u200b", "\\u200b"),
        ("\ufeff", "\\ufeff"),
        ("\udcfc", "\\udcfc"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\u3164", "\\u3164"),
    ],
)
def test_an_escape_is_that_of_json(sign: str, shown: str) -> None:
    assert escaped(f"a{sign}b") == f"a{shown}b"
    assert json.loads(f'"{shown}"') == sign


def test_json_text_keeps_its_value() -> None:
    value = {"subject": "a\u202eb\U000e0041\x9b\x7f\u2029", "n": [1, "\u200d"]}
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value
