"""Record of the dialogue of a sending session: for exceptions, transcripts, and the logger ``posthouse.client``.

Values are kept and lines are made of them when somebody asks, as ``protocol.tap`` explains.  Credentials are not in
them: the sending SMTP replaces them before a tap hears of them.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from posthouse.core import Phase, Reply
from posthouse.protocol.tap import heard_lines, said_lines

__all__ = ["DialogueRecord", "TranscriptLike"]

#: Groups of commands, and replies, that are kept for exceptions; they have at least as many lines.
_TAIL: Final = 20
#: The most that a transcript keeps.
_MOST: Final = 20_000

_T = TypeVar("_T", bytes, Reply)

#: True for a transcript in the result; or a function that is called with each line, and with ``"S"`` for one that was
#: sent or ``"R"`` for one that was received before it.
TranscriptLike = bool | Callable[[str, str], object]


class DialogueRecord:
    """The dialogue of one connection, a ``protocol.Tap``.

    ``also`` is a second record that hears of everything, for a connection that several calls use one after another:
    that of the call which uses it now, if it wants a transcript.  ``logs=False`` for such a record, because the first
    one logs already.
    """

    def __init__(self, transcript: TranscriptLike = False, peer: str = "", *, logs: bool = True) -> None:
        self._call = transcript if callable(transcript) else None
        self._last: deque[bytes | Reply] = deque(maxlen=_TAIL)
        self._all: deque[bytes | Reply] | None = deque(maxlen=_MOST) if transcript is True else None
        self._log = _logger() if logs else None
        self._peer = peer
        self._said = b""
        self._heard: Reply | None = None
        self._also: DialogueRecord | None = None
        #: Something else than the last lines is wanted.
        self._more = self._call is not None or self._all is not None or self._log is not None

    @property
    def also(self) -> DialogueRecord | None:
        """The second record; None if there is none."""
        return self._also

    @also.setter
    def also(self, record: DialogueRecord | None) -> None:
        if record is self._also:
            return
        self._also = record
        self._more = self._call is not None or self._all is not None or self._log is not None or self._also is not None

    def said(self, wire: bytes) -> None:
        """Lines that leave together."""
        if not wire.startswith(b"QUIT"):
            self._said = wire
        self._last.append(wire)
        if self._more:
            self._pass_on(wire, "S", said_lines)
            if self._also is not None:
                self._also.said(wire)

    def heard(self, reply: Reply) -> None:
        """A reply arrived."""
        self._heard = reply
        self._last.append(reply)
        if self._more:
            self._pass_on(reply, "R", heard_lines)
            if self._also is not None:
                self._also.heard(reply)

    def heard_group(self, replies: list[Reply]) -> None:
        """Replies arrived together."""
        if self._more:
            for reply in replies:
                self.heard(reply)
        else:
            self._heard = replies[-1]
            self._last.extend(replies)

    def _pass_on(self, what: _T, who: str, lines: Callable[[_T], Iterable[str]]) -> None:
        if self._all is not None:
            self._all.append(what)
        if self._call is not None or self._log is not None:
            for line in lines(what):
                if self._call is not None:
                    self._call(who, line)
                if self._log is not None:
                    self._log.debug("%s %s: %s", self._peer, who, line)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last 20 lines, with ``S: `` or ``R: `` before each."""
        return tuple(_lines(self._last))[-_TAIL:]

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that have not been taken, if a transcript was asked for; else no line."""
        return () if self._all is None else tuple(_lines(self._all))

    def take(self) -> tuple[str, ...]:
        """``lines``, and begin anew behind them."""
        lines = self.lines
        if self._all is not None:
            self._all.clear()
        return lines

    @property
    def last_reply(self) -> Reply | None:
        """The last reply of the peer; None if there was none."""
        return self._heard

    @property
    def opening_phase(self) -> Phase:
        """How far the opening of the session has come."""
        if not self._said:
            return Phase.GREETING
        if self._said.startswith((b"EHLO", b"HELO", b"LHLO")):
            return Phase.EHLO
        return Phase.TLS if self._said.startswith(b"STARTTLS") else Phase.AUTH


def _lines(kept: Iterable[bytes | Reply]) -> Iterator[str]:
    for each in kept:
        if isinstance(each, bytes):
            yield from said_lines(each, "S: ")
        else:
            yield from heard_lines(each, "R: ")


def _logger() -> Any:
    """The logger of dialogues if it is wanted; None otherwise.  A program that has not imported ``logging`` has
    configured no logger, and the import takes longer than connecting."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    logger = logging.getLogger("posthouse.client")
    return logger if logger.isEnabledFor(logging.DEBUG) else None
