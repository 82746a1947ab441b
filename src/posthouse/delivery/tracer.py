"""Tracers of an attempt: which hosts were tried, their dialogues, and how long each phase took.

The worker makes an ``AttemptTracer`` for each attempt, the deliverer reports its connections to it, and the message's
history keeps the resulting trace.  Tracing must cost next to nothing, so a group of commands, or a reply, is one tuple
in a list with its time; lines and phases are worked out at the end.  Content and credentials are not traced: the
protocol engine leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.core import AttemptTrace, ConnectionTrace, Reply
from posthouse.delivery.feedback import Feedback
from posthouse.net import Clock
from posthouse.protocol import Transcript, TranscriptTap, dialogue_lines

__all__ = ["AttemptTracer", "ConnectionTracer", "SessionTap"]

_FIRST_LINES: Final = 80  # lines that are kept from the beginning of a dialogue
_LAST_LINES: Final = 20  # and from its end
_MOST_STEPS: Final = 4000  # groups of commands, and replies, of one dialogue
_MOST_CONNECTIONS: Final = 40  # of one attempt
_LONGEST_LINE: Final = 400  # characters
_NEVER: Final = -1.0
_ENVELOPE: Final = frozenset((b"MAIL", b"RSET", b"RCPT", b"DATA"))

#: A step of a dialogue: when (monotonic seconds), and the commands that were sent or the reply that was received.
_Step = tuple[float, bytes | Reply]


class ConnectionTracer:
    """The tracer of one connection, or of a try to open one.  Times are monotonic seconds."""

    __slots__ = ("began", "connected", "converted", "ended", "mx", "peer", "reused", "security", "steps", "tls")

    def __init__(self, began: float, mx: str, reused: int = 0) -> None:
        self.began = began
        #: When the connection was open; -1.0 if it never was, or was open before this attempt.
        self.connected = _NEVER
        self.mx = mx
        self.peer = ""
        self.tls = self.security = ""
        self.ended = ""
        #: Why the message was converted, and what became of its signatures; "" if it was sent as it is.
        self.converted = ""
        self.reused = reused
        self.steps: list[_Step] = []

    @property
    def content_sent(self) -> bool:
        """True if some of the message's content was sent."""
        return any(isinstance(what, bytes) and b" octets of content)" in what for _, what in self.steps)

    @property
    def in_handshake(self) -> bool:
        """True from the 220 to STARTTLS until the first reply inside TLS."""
        started = replies = said = 0
        agreed = False
        for _, what in self.steps:
            if not isinstance(what, bytes):
                replies += 1
                agreed = what.code == 220
            elif what == b"STARTTLS\r\n":
                started = said = said + 1
            else:
                said += 1
        return started > 0 and agreed and replies == started + 1  # the greeting, and one for each command to STARTTLS

    def trace(self, resolving: float | None) -> ConnectionTrace:
        """The trace; resolving names took ``resolving`` seconds before it (None: not part of this connection)."""
        lines = dialogue_lines(self.steps)
        if len(lines) > _FIRST_LINES + _LAST_LINES:
            left_out = f"… {len(lines) - _FIRST_LINES - _LAST_LINES} lines …"
            lines = [*lines[:_FIRST_LINES], left_out, *lines[-_LAST_LINES:]]
        if max(map(len, lines), default=0) > _LONGEST_LINE:
            lines = [line[:_LONGEST_LINE] for line in lines]
        timings = self._timings([] if resolving is None else [("resolve", _whole(resolving))])
        facts = (self.peer, self.mx, self.tls, tuple(timings), tuple(lines), self.ended, self.reused, self.security)
        return ConnectionTrace(*facts, converted=self.converted)

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
            found.append(("connect", _whole(self.connected - self.began)))
            if greeted != _NEVER:
                found.append(("greet", _whole(greeted - self.connected)))
        if heard != _NEVER:
            found.append(("envelope", _whole(heard - mailed)))
        if sent != _NEVER:
            found.append(("content", _whole(sent - (mailed if heard == _NEVER else heard))))
        if final != _NEVER:
            found.append(("final", _whole(final - sent)))
        return found


def _whole(seconds: float) -> float:
    """``seconds`` in whole microseconds; ``round`` takes 20 times as long."""
    return int(seconds * 1e6 + 0.5) / 1e6


class AttemptTracer:
    """The tracer of one attempt.

    The deliverer sets ``site``, the identity of the next hop, and ``feedback``, what the attempt says about that host;
    with LIMITED, ``open`` is the number of sessions that the host allowed.  ``busy`` says that it refused the session
    for now while this process had none open with it.
    """

    __slots__ = ("_began", "_monotonic", "_resolving", "at", "busy", "connections", "feedback", "open", "site")

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._began = clock.monotonic()
        self._resolving: float | None = None
        self.at = clock.time()
        self.site = ""
        self.feedback = Feedback.NOTHING
        self.open = 0
        self.busy = False
        self.connections: list[ConnectionTracer] = []

    def resolved(self) -> None:
        """Note that the look-up of addresses has ended, with or without addresses."""
        if self._resolving is None:
            self._resolving = self._monotonic() - self._began

    @property
    def unanswered(self) -> bool:
        """True while names are looked up, until the host that is being tried has sent its first reply, and while a TLS
        handshake is under way."""
        if not self.connections:
            return True
        connection = self.connections[-1]
        if connection.reused:
            return False
        return all(isinstance(what, bytes) for _, what in connection.steps) or connection.in_handshake

    def connection(self, mx: str, reused: int = 0) -> ConnectionTracer:
        """Begin to trace a connection to the host ``mx``; ``reused`` counts the messages that its session took
        before."""
        connection = ConnectionTracer(self._monotonic(), mx, reused)
        if len(self.connections) < _MOST_CONNECTIONS:
            self.connections.append(connection)
        return connection

    def converted(self, remark: str) -> None:
        """Note that the message was converted for the host of the last connection, and why."""
        if self.connections:
            self.connections[-1].converted = remark

    def trace(self, target: str, rule: str) -> AttemptTrace:
        """The trace of the whole attempt, at the ``target`` that the routing rule ``rule`` chose."""
        resolving = self._resolving
        traces = [each.trace(None if number else resolving) for number, each in enumerate(self.connections)]
        if not traces and resolving is not None:
            traces = [ConnectionTrace(timings=(("resolve", resolving),))]
        return AttemptTrace(self.at, self.site, target, rule, tuple(traces))


class SessionTap:
    """Adds what a session says and hears to the steps of the connection tracer of the attempt that uses it.

    ``steps`` is replaced when another attempt takes the session over.  ``also``, a transcript, gets each line too.
    """

    __slots__ = ("_also", "_monotonic", "steps")

    def __init__(self, monotonic: Callable[[], float], also: Transcript | None) -> None:
        self._monotonic = monotonic
        self._also = None if also is None else TranscriptTap(also)
        self.steps: list[_Step] = []

    def said(self, wire: bytes) -> None:
        steps = self.steps
        if len(steps) < _MOST_STEPS:
            steps.append((self._monotonic(), wire))
        if self._also is not None:
            self._also.said(wire)

    def heard(self, reply: Reply) -> None:
        steps = self.steps
        if len(steps) < _MOST_STEPS:
            steps.append((self._monotonic(), reply))
        if self._also is not None:
            self._also.heard(reply)
