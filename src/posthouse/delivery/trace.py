"""What an attempt leaves behind: where it went, the dialogues, how long each phase took.

A deliverer fills in ``AttemptTracer`` while it works; the worker makes them for each attempt, and the story gets them.
That must cost next to nothing, so what is said together, and each reply, is one tuple in a list, stamped with the
stopwatch; lines and phases are worked out at the end.  Content and credentials never come here: the engine leaves them
out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.core import AttemptTrace, ConnectionTrace, Reply
from posthouse.delivery.feedback import Feedback
from posthouse.net import Clock
from posthouse.protocol import Transcript, TranscriptTap, heard_lines, said_lines

__all__ = ["AttemptTracer", "ConnectionTracer", "SessionTap"]

_FIRST_LINES: Final = 80  # of a dialogue that are kept, and as many as these from its end
_LAST_LINES: Final = 20
_MOST_STEPS: Final = 4000  # groups and replies written down while a dialogue goes on
_MOST_TALKS: Final = 40
_LONGEST_LINE: Final = 400
_NEVER: Final = -1.0
_ENVELOPE: Final = frozenset((b"MAIL", b"RSET", b"RCPT", b"DATA"))

_Step = tuple[float, bytes | Reply]  # when (stopwatch), and what was said or heard


class ConnectionTracer:
    """One contact of an attempt, or the vain try of one; times are the stopwatch's."""

    __slots__ = ("began", "connected", "ended", "mx", "peer", "reused", "steps", "tls")

    def __init__(self, began: float, mx: str, reused: int = 0) -> None:
        self.began = began
        #: When the channel was open; -1.0 for a session that was kept, or if it never was.
        self.connected = _NEVER
        self.mx = mx
        self.peer = ""
        self.tls = ""
        self.ended = ""
        self.reused = reused
        self.steps: list[_Step] = []

    def contact(self, resolving: float | None) -> ConnectionTrace:
        """As the story has it; ``resolving`` seconds were spent before it."""
        lines: list[str] = []
        for _, what in self.steps:
            if type(what) is bytes:
                lines += said_lines(what, "S: ")
            elif isinstance(what, Reply):
                lines += heard_lines(what, "R: ")
        if len(lines) > _FIRST_LINES + _LAST_LINES:
            left_out = f"… {len(lines) - _FIRST_LINES - _LAST_LINES} lines …"
            lines = [*lines[:_FIRST_LINES], left_out, *lines[-_LAST_LINES:]]
        if max(map(len, lines), default=0) > _LONGEST_LINE:
            lines = [line[:_LONGEST_LINE] for line in lines]
        timings = self._timings([] if resolving is None else [("resolve", round(resolving, 6))])
        return ConnectionTrace(self.peer, self.mx, self.tls, tuple(timings), tuple(lines), self.ended, self.reused)

    def _timings(self, found: list[tuple[str, float]]) -> list[tuple[str, float]]:
        greeted = mailed = heard = sent = final = _NEVER
        for at, what in self.steps:
            if not isinstance(what, bytes):
                if sent != _NEVER:
                    final = at
                elif mailed != _NEVER:
                    heard = at
                else:
                    greeted = at
            elif what[:4] in _ENVELOPE:
                if mailed == _NEVER:
                    mailed = at
            elif mailed != _NEVER and what != b"QUIT\r\n":
                sent = at
        if self.connected != _NEVER:
            found.append(("connect", round(self.connected - self.began, 6)))
            if greeted != _NEVER:
                found.append(("greet", round(greeted - self.connected, 6)))
        if heard != _NEVER:
            found.append(("envelope", round(heard - mailed, 6)))
        if sent != _NEVER:
            found.append(("content", round(sent - (mailed if heard == _NEVER else heard), 6)))
        if final != _NEVER:
            found.append(("final", round(final - sent, 6)))
        return found


class AttemptTracer:
    """Filled in by a deliverer while it works.

    ``site`` is the next hop's identity; ``sign`` what the attempt tells of it.
    """

    __slots__ = ("_began", "_monotonic", "_resolving", "at", "sign", "site", "talks")

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._began = clock.monotonic()
        self._resolving: float | None = None
        self.at = clock.time()
        self.site = ""
        self.sign = Feedback.NOTHING
        self.talks: list[ConnectionTracer] = []

    def resolved(self) -> None:
        """The addresses are known, or that there are none."""
        if self._resolving is None:
            self._resolving = self._monotonic() - self._began

    @property
    def unheard(self) -> bool:
        """True until the host that is being tried has said its first line: names are looked up, or nobody answers."""
        if not self.talks:
            return True
        talk = self.talks[-1]
        return not talk.reused and all(isinstance(what, bytes) for _, what in talk.steps)

    def talk(self, mx: str, reused: int = 0) -> ConnectionTracer:
        """Begin a contact; ``reused`` counts the messages that its session took before."""
        talk = ConnectionTracer(self._monotonic(), mx, reused)
        if len(self.talks) < _MOST_TALKS:
            self.talks.append(talk)
        return talk

    def trail(self, target: str, rule: str) -> AttemptTrace:
        """All of it, for the story."""
        resolving = self._resolving
        contacts = [talk.contact(None if number else resolving) for number, talk in enumerate(self.talks)]
        if not contacts and resolving is not None:
            contacts = [ConnectionTrace(timings=(("resolve", resolving),))]
        return AttemptTrace(self.at, self.site, target, rule, tuple(contacts))


class SessionTap:
    """A session's tape: writes into whichever talk the session is in now; ``also`` is told each line."""

    __slots__ = ("_also", "_monotonic", "steps")

    def __init__(self, monotonic: Callable[[], float], also: Transcript | None) -> None:
        self._monotonic = monotonic
        self._also = None if also is None else TranscriptTap(also)
        self.steps: list[_Step] = []

    def said(self, wire: bytes) -> None:
        """See ``protocol.SessionTap``."""
        steps = self.steps
        if len(steps) < _MOST_STEPS:
            steps.append((self._monotonic(), wire))
        if self._also is not None:
            self._also.said(wire)

    def heard(self, reply: Reply) -> None:
        """See ``protocol.SessionTap``."""
        steps = self.steps
        if len(steps) < _MOST_STEPS:
            steps.append((self._monotonic(), reply))
        if self._also is not None:
            self._also.heard(reply)
