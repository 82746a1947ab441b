"""Text in format=flowed: lines that end with a space continue in the next one (RFC 3676)."""

from __future__ import annotations

import re

__all__ = ["flowed_text"]

_WIDTH = 72  # characters of a line; RFC 3676 §4.2 asks for at most 78
_SIGNATURE = "-- "


def flowed_text(text: str) -> str:
    """A text, each line of it a paragraph, as lines of at most 72 characters that readers join again.

    A line is broken at spaces alone, and the space stays; quoted lines (``> …``) are not broken.  Spaces at the end of
    a line are left out, since they would join it with the next.
    """
    return "\n".join(line for paragraph in re.split(r"\r\n|\r|\n", text) for line in _lines(paragraph))


def _lines(paragraph: str) -> list[str]:
    if paragraph == _SIGNATURE:
        return [paragraph]
    paragraph = paragraph.rstrip(" ")
    if paragraph.startswith(">"):
        return [paragraph]
    lines: list[str] = []
    rest = paragraph
    while len(rest) > _WIDTH:
        # The space before a further space belongs to it: the next line begins with a word.
        at = max((match.end() for match in re.finditer(r" +", rest[: _WIDTH + 1]) if match.end() <= _WIDTH), default=0)
        if at <= len(rest) - len(rest.lstrip(" ")):
            match = re.search(r"(?<=[^ ]) +", rest)
            if match is None:
                break
            at = match.end()
        lines.append(rest[:at])
        rest = rest[at:]
    return [f" {line}" if line.startswith((" ", ">", "From ")) else line for line in [*lines, rest]]
