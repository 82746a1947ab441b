"""Progress of a series of messages: as values for a function of the caller's, or as one line on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from posthouse.core import Outcome, Result

__all__ = ["Progress", "ProgressLike", "ProgressMeter"]

#: Seconds between two lines on a terminal.
_EVERY = 0.2


class Progress(NamedTuple):
    """How far a series is.

    ``messages``: those whose result is known, ``total`` how many there are in all, None if the source has no length.
    ``delivered``, ``deferred``, ``failed``, ``ambiguous``: recipients.  ``skipped``: messages that were done in an
    earlier run (``journal``).  ``seconds`` since the series began.
    """

    messages: int = 0
    total: int | None = None
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    ambiguous: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """One line: ``120 of 1000 messages, 40/s; 118 delivered, 2 failed``."""
        of = "" if self.total is None else f" of {self.total}"
        rate = f", {self.messages / self.seconds:.0f}/s" if self.seconds >= 1 else ""
        counts = [f"{getattr(self, each)} {each}" for each in ("delivered", *_TROUBLE) if getattr(self, each)]
        return f"{self.messages}{of} messages{rate}" + (f"; {', '.join(counts)}" if counts else "")


_TROUBLE = ("deferred", "failed", "ambiguous", "skipped")

#: A function that is called after each message; or True for a line on standard error, if that is a terminal.
ProgressLike = bool | Callable[[Progress], object]


class ProgressMeter:
    """Counts results and shows them."""

    def __init__(self, wanted: ProgressLike, total: int | None) -> None:
        self.now = Progress(total=total)
        self._call = wanted if callable(wanted) else None
        self._line: TextIO | None = sys.stderr if wanted is True and _is_terminal() else None
        #: Whether somebody sees what is counted.
        self.shows = self._call is not None or self._line is not None
        self._began = time.monotonic()
        self._shown = 0.0

    def count(self, outcomes: tuple[Outcome, ...], *, skipped: bool = False) -> None:
        """One more message has ended, or was done before."""
        if not self.shows:
            return
        now = self.now
        counts = [sum(each.result is result for each in outcomes) for result in Result]
        self.now = Progress(
            now.messages + 1,
            now.total,
            now.delivered + counts[0],
            now.deferred + counts[1],
            now.failed + counts[2],
            now.ambiguous + counts[3],
            now.skipped + skipped,
            time.monotonic() - self._began,
        )
        if self._call is not None:
            self._call(self.now)
        if self._line is not None and self.now.seconds - self._shown >= _EVERY:
            self._shown = self.now.seconds
            self._show("")

    def close(self) -> None:
        """The last line stays on the terminal."""
        if self._line is not None:
            self._show("\n")

    def _show(self, end: str) -> None:
        if self._line is not None:
            self._line.write(f"\r\x1b[K{self.now}{end}")
            self._line.flush()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
