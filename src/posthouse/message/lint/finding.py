"""Findings of the lint of a message: what it breaks, where, by which rule, and what to do."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

__all__ = ["Finding", "Findings", "Level", "MOST_FINDINGS"]

#: Findings of one message that are kept.
MOST_FINDINGS: Final = 500
_OF_ONE_RULE: Final = 20  # and of one rule


class Level(enum.StrEnum):
    """How grave a finding is."""

    ERROR = "error"  # a rule of a standard is broken: readers differ, or receivers refuse
    WARNING = "warning"  # large receivers refuse or hide such mail, or readers show it badly
    NOTE = "note"  # it can be better


class Finding(NamedTuple):
    """One finding.

    Args:
        rule: A word for programs, for example ``missing-date``; ``docs/lint.md`` lists them.
        level: How grave it is.
        line: The line of the message, from 1 on.
        text: What is wrong, a sentence.
        remedy: What to do, a sentence.
        source: Where the rule stands (``RFC 5322 §3.6``), "" for what large receivers ask for without an RFC.
    """

    rule: str
    level: Level
    line: int
    text: str
    remedy: str
    source: str = ""


class Findings:
    """The findings of one message as they are made; of one rule the first 20 are kept."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._counts: dict[str, int] = {}

    def add(self, rule: str, level: Level, line: int, text: str, remedy: str, source: str = "") -> None:
        """Keep a finding, unless there are too many."""
        count = self._counts[rule] = self._counts.get(rule, 0) + 1
        if count <= _OF_ONE_RULE and len(self.found) < MOST_FINDINGS:
            self.found.append(Finding(rule, level, line, text, remedy, source))

    def error(self, rule: str, line: int, text: str, remedy: str, source: str = "") -> None:
        """Keep an error."""
        self.add(rule, Level.ERROR, line, text, remedy, source)

    def warning(self, rule: str, line: int, text: str, remedy: str, source: str = "") -> None:
        """Keep a warning."""
        self.add(rule, Level.WARNING, line, text, remedy, source)

    def note(self, rule: str, line: int, text: str, remedy: str, source: str = "") -> None:
        """Keep a note."""
        self.add(rule, Level.NOTE, line, text, remedy, source)
