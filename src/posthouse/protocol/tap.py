"""Dialogue tap: what the sending SMTP sends and receives, for logs and transcripts.

The sending SMTP gives a ``Tap`` the octets that it sends, one pipelined group at a time, and the replies as it reads
them.  A tap keeps these values, and ``said_lines`` and ``heard_lines`` make lines of text from them on
demand; ``TranscriptTap`` makes the lines at once.  Values are kept because lines take time: for a relayed
message of nine lines, on a busy machine, 13 µs to make each line at once, but 4 µs to keep the values, and 2 µs more to
make the lines later.

Content is replaced by its size and credentials by a placeholder, so that a tap may be shown to anyone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from posthouse.core import Reply
from posthouse.protocol.commands import Auth, Command
from posthouse.protocol.events import Transcript

__all__ = [
    "Tap",
    "TranscriptTap",
    "command_shown",
    "dialogue_lines",
    "heard_lines",
    "said_lines",
    "without_secrets",
]

_SHORT: Final = 200  # characters of a reply whose lines are remembered


class Tap(Protocol):
    """Receiver of what the sending SMTP sends and receives, in order.

    A tap may have a method ``heard_group(replies)`` as well: then replies that come together are given to it in one
    call.
    """

    def said(self, wire: bytes) -> None:
        """Lines that leave together, each with its CRLF; in parentheses what stands for content and credentials."""
        ...

    def heard(self, reply: Reply) -> None:
        """A reply arrived."""
        ...


class TranscriptTap:
    """A tap that passes everything to a ``Transcript``, line by line."""

    __slots__ = ("_transcript",)

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def said(self, wire: bytes) -> None:
        for line in said_lines(wire):
            self._transcript("S", line)

    def heard(self, reply: Reply) -> None:
        for line in heard_lines(reply):
            self._transcript("R", line)


def command_shown(command: Command, wire: bytes) -> bytes:
    """A command's line for the tap, without the credentials of AUTH."""
    if type(command) is Auth and command.initial is not None:
        return b"AUTH %b (credentials)\r\n" % command.mechanism.encode()
    return wire


def without_secrets(reply: Reply, secrets: tuple[str, ...]) -> tuple[Reply, Reply]:
    """The reply for its reader, and for a tap, without these texts, which the peer has repeated.  A short one counts
    where it stands as a word.  The reader gets a challenge (334) as it is, because an answer is computed from it."""
    text = reply.text
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "(hidden)")
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "(hidden)", text)
    shown = reply if text == reply.text else reply._replace(text=text)
    return (reply if reply.code == 334 else shown), shown


def dialogue_lines(steps: Iterable[tuple[float, bytes | Reply]]) -> list[str]:
    """The lines of a dialogue whose steps were kept with their times; ``S: `` and ``R: `` stand before them."""
    lines: list[str] = []
    for _, what in steps:
        if isinstance(what, bytes):
            lines += said_lines(what, "S: ")
        else:
            lines += heard_lines(what, "R: ")
    return lines


def said_lines(wire: bytes, before: str = "") -> list[str]:
    """The sent lines without their line ends, each with the prefix ``before``."""
    text = wire.decode("utf-8", "replace").removesuffix("\r\n")
    if before:
        text = before + text.replace("\r\n", f"\r\n{before}")
    return text.split("\r\n")


def heard_lines(reply: Reply, before: str = "") -> Sequence[str]:
    """The lines of a reply, each with the prefix ``before``."""
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
