"""What is told while it happens: events as lines for people or for programs, and dialogues for whoever watches.

An event is a name and facts: who, which message, which reply, why.  Never content and never credentials; those who
call know no more than that.  What peers said is written so that it cannot start a line of its own.
"""

from __future__ import annotations

import datetime
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from posthouse.net.clock import Clock
from posthouse.protocol.events import Transcript

__all__ = ["Dialogue", "Line", "Log", "Recorder"]


def _stderr(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # whoever read it has gone; mail goes on


class Log:
    """Event lines.  ``write`` takes one line without its end; standard error unless given.

    Text: ``2026-11-23T08:46:22.120Z accepted id=… sender=…``; a value that is not plain is written as a JSON string.
    JSON: one object with ``time``, ``event`` and the facts.  An exception among the facts becomes its traceback.
    """

    def __init__(
        self,
        clock: Clock,
        form: Literal["text", "json"] = "text",
        write: Callable[[str], None] = _stderr,
        **always: Any,
    ) -> None:
        self._clock = clock
        self._form = form
        self._write = write
        self._always = always
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Tell of an event.  Facts that are None or "" are left out."""
        facts: dict[str, Any] = {"time": _stamp(self._clock.time()), "event": event, **self._always}
        for name, value in fields.items():
            if isinstance(value, BaseException):
                facts[name] = "".join(traceback.format_exception(value))[-4000:]
            elif value is not None and value != "":
                facts[name] = value
        if self._form == "json":
            self._write(self._encoder.encode(facts).decode())
            return
        rest = [f"{name}={self._plain(value)}" for name, value in facts.items() if name not in ("time", "event")]
        self._write(" ".join((facts["time"], event, *rest)))

    def _plain(self, value: Any) -> str:
        text = str(value)
        plain = text.isprintable() and text.isascii() and not any(sign in text for sign in ' "=\\')
        return text if plain else self._encoder.encode(text).decode()


def _stamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Line(NamedTuple):
    """One line of a dialogue: ``who`` is "S" (the sending SMTP) or "R" (the receiving one)."""

    time: float
    who: str
    text: str


class Dialogue(NamedTuple):
    """One session's lines; ``where`` names the house and the listener that held it."""

    where: str
    number: int
    lines: list[Line]


class Recorder:
    """Remembers dialogues, for a demonstration or a test: the last ``sessions``, each up to ``lines`` lines."""

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
                dialogue.lines.append(Line(self._clock.time(), who, text))

        return record

    @property
    def dialogues(self) -> list[Dialogue]:
        """What is remembered, oldest first."""
        return list(self._dialogues)
