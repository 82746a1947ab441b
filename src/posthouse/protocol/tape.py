"""A dialogue as it is heard beside: by whoever keeps it as values, or wants each line of it as text at once.

The sending SMTP tells a *tape*: octets that it says, a whole group at a time, and replies as it reads them.  Keeping
those costs next to nothing; lines of text are made of them when somebody looks (``said_lines``, ``heard_lines``), or at
once for a ``Transcript``.  Measured for a relayed message, nine lines on a busy machine: 13 µs when each line was made
as it was said; 4 to keep values, and 2 more to make lines of them together.

Content is told of by its size and credentials not at all: what is on a tape may be shown to anybody.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, Protocol

from posthouse.core import Reply
from posthouse.protocol.events import Transcript

__all__ = ["Spoken", "Tape", "heard_lines", "said_lines"]

_SHORT: Final = 200  # characters of a reply whose lines are remembered


class Tape(Protocol):
    """Is told what the sending SMTP says and hears, in order."""

    def said(self, wire: bytes) -> None:
        """Lines that leave together, each with its CRLF; in parentheses what stands for content and credentials."""
        ...

    def heard(self, reply: Reply) -> None:
        """A reply arrived."""
        ...


class Spoken:
    """The tape that says it all to a ``Transcript``, line by line."""

    __slots__ = ("_transcript",)

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def said(self, wire: bytes) -> None:
        """See ``Tape.said``."""
        for line in said_lines(wire):
            self._transcript("S", line)

    def heard(self, reply: Reply) -> None:
        """See ``Tape.heard``."""
        for line in heard_lines(reply):
            self._transcript("R", line)


def said_lines(wire: bytes, before: str = "") -> list[str]:
    """What was said, as lines without their ends, each with ``before`` in front of it."""
    text = wire.decode("utf-8", "replace").removesuffix("\r\n")
    if before:
        text = before + text.replace("\r\n", f"\r\n{before}")
    return text.split("\r\n")


def heard_lines(reply: Reply, before: str = "") -> Sequence[str]:
    """A reply's lines as they came, likewise."""
    return _remembered(reply, before) if len(reply.text) <= _SHORT else _lines(reply, before)


def _lines(reply: Reply, before: str) -> tuple[str, ...]:
    code, enhanced, text = reply
    start = enhanced + " " if enhanced else ""
    if "\n" not in text:
        return (f"{before}{code} {start}{text}".rstrip(),)
    lines = text.split("\n")
    last = len(lines) - 1
    return tuple([f"{before}{code}{'-' if i < last else ' '}{start}{line}".rstrip() for i, line in enumerate(lines)])


_remembered: Final = functools.lru_cache(maxsize=512)(_lines)  # the same few come again and again
