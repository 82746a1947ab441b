"""The message under lint: its octets, the message that was read from them, and the line of each place."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from posthouse.message.lint.finding import Findings
from posthouse.message.reading import HeaderField, ReadMessage, ReadPart

__all__ = ["LintedMessage"]


class LintedMessage:
    """A message, and what its rules have found so far.

    Args:
        message: The message that was read.
        now: The time, seconds since 1970; None leaves out what needs it.
    """

    def __init__(self, message: ReadMessage, now: float | None) -> None:
        self.message = message
        self.octets = message.as_bytes()
        self.now = now
        self.findings = Findings()

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [0], self.octets.find(b"\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.octets.find(b"\n", at + 1)
        return starts

    def line_at(self, offset: int) -> int:
        """The number of the line, from 1 on, that an octet stands in."""
        return bisect_right(self._starts, max(0, offset))

    @cached_property
    def header_end(self) -> int:
        """Where the header section ends, in octets."""
        fields = self.message.headers
        return fields[-1].offset + len(fields[-1].raw) if fields else 0

    def all(self, name: str) -> list[HeaderField]:
        """The fields of a name, which is in lower case."""
        return self._by_name.get(name, [])

    @cached_property
    def _by_name(self) -> dict[str, list[HeaderField]]:
        found: dict[str, list[HeaderField]] = {}
        for field in self.message.headers:
            found.setdefault(field.name.lower(), []).append(field)
        return found

    def line_of(self, field: HeaderField) -> int:
        """The line that a field begins in."""
        return self.line_at(field.offset)

    @cached_property
    def parts(self) -> tuple[ReadPart, ...]:
        """All parts, containers included, in their order."""
        return tuple(_walk(self.message.root))


def _walk(root: ReadPart) -> Iterator[ReadPart]:
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed(part.parts)
