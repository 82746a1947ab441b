"""Transcripts of sessions, kept in memory for a demonstration or a test."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from posthouse.net.clock import Clock
from posthouse.protocol.events import Transcript

__all__ = ["Dialogue", "TranscriptLine", "TranscriptRecorder"]


class TranscriptLine(NamedTuple):
    """One line of a dialogue: ``who`` is "S" (the sending SMTP) or "R" (the receiving one)."""

    time: float
    who: str
    text: str


class Dialogue(NamedTuple):
    """The lines of one session; ``where`` is the name of its listener, and of its daemon if there are several."""

    where: str
    number: int
    lines: list[TranscriptLine]


class TranscriptRecorder:
    """Keeps the last ``sessions`` dialogues, each up to ``lines`` lines."""

    def __init__(self, clock: Clock, *, sessions: int = 100, lines: int = 10_000) -> None:
        self._clock = clock
        self._lines = lines
        self._number = 0
        self._dialogues: deque[Dialogue] = deque(maxlen=sessions)

    def __call__(self, where: str) -> Transcript:
        """The transcript of a new session."""
        self._number += 1
        dialogue = Dialogue(where, self._number, [])
        self._dialogues.append(dialogue)

        def record(who: str, text: str) -> None:
            if len(dialogue.lines) < self._lines:
                dialogue.lines.append(TranscriptLine(self._clock.time(), who, text))

        return record

    @property
    def dialogues(self) -> list[Dialogue]:
        """The dialogues that are kept, oldest first."""
        return list(self._dialogues)
