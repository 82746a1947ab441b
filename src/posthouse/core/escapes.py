"""Text for terminals and log lines: characters that steer a terminal or cannot be seen are written as escapes.

One function serves log lines, tables, sentences, JSON and error messages.  Escaped are control characters (C0, DEL and
C1), line and paragraph separators, marks that change the direction of writing, zero-width and other invisible
characters, and halves of surrogate pairs.  An escape has the form of JSON (``\\u202e``, or a surrogate pair beyond
U+FFFF), so JSON text stays the same JSON value.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["escaped", "escaped_lines"]

# Categories Cc, Cf, Cs, Zl and Zp, and the invisible characters of other categories (a test compares this with
# ``unicodedata``).  Variation selectors stay: emoji and ideographs need them.
_STEERING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
)


def escaped(text: str) -> str:
    """``text`` as one line that shows all its characters."""
    if text.isascii() and text.isprintable():
        return text
    return _STEERING.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """``text`` with its line feeds and tabs kept; all else as ``escaped`` writes it."""
    if text.isascii() and text.isprintable():
        return text
    return _STEERING.sub(_escape_in_line, text)


def _escape_in_line(match: re.Match[str]) -> str:
    return match[0] if match[0] in "\n\t" else _escape(match)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + ((code - 0x10000) >> 10):04x}\\u{0xDC00 + ((code - 0x10000) & 0x3FF):04x}"
