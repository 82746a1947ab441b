"""Defects of a message that was read: what it breaks, where, and what the reader made of it."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Defect", "Defects", "MOST_DEFECTS", "quoted"]

#: Defects of one message that are kept; further ones are only counted.
MOST_DEFECTS: Final = 1000
_LONGEST_QUOTE: Final = 60


class Defect(NamedTuple):
    """One defect.

    Args:
        code: A word for programs, for example ``bad-base64``.
        offset: Where it is, in octets from the begin of the message.
        text: A sentence for people, with what was made of it.
        field: The name of the header field that has it, "" in a body.
    """

    code: str
    offset: int
    text: str
    field: str = ""


class Defects:
    """The defects of one message, in the order in which they were found, each code at one place once."""

    def __init__(self) -> None:
        self.found: list[Defect] = []
        self.left_out = 0
        self._seen: set[tuple[str, int]] = set()

    def add(self, code: str, offset: int, text: str, field: str = "") -> None:
        """Note a defect, unless it is known."""
        if (code, offset) in self._seen:
            return
        if len(self.found) >= MOST_DEFECTS:
            self.left_out += 1
            return
        self._seen.add((code, offset))
        self.found.append(Defect(code, offset, text, field))


def quoted(text: str | bytes) -> str:
    """What a defect's text quotes of a message: at most 60 characters, printable."""
    if isinstance(text, bytes):
        text = text[: 4 * _LONGEST_QUOTE].decode("utf-8", "replace")
    cut = text[:_LONGEST_QUOTE]
    shown = "".join(character if character.isprintable() else "?" for character in cut)
    return f'"{shown}…"' if len(text) > _LONGEST_QUOTE else f'"{shown}"'
