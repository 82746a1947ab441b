"""Session book: the sessions of receiving SMTP that are open, and the dialogues of recent ones.

An open session costs the book a small tuple in two dictionaries; its record is made when somebody looks, or when its
dialogue is to be recorded.  The dialogue is recorded only where that is cheap or wanted:

* from its start, as long as no more than 10 sessions a second begin (100 at once);
* while an operator looks, and for a minute afterwards, that of every session, also of those that are open already;
* from its first refusal on, and then from the start for further sessions of the same client, for an hour; of these too
  no more than 10 a second (100 at once).

A session that nobody looks at is recorded for 60 lines and then no longer (300 if something was refused), so that a
client which sends thousands of messages over one session pays for the first few.  Of the sessions that have ended the
last 200 are kept, and apart from them the last 100 in which something was refused or went wrong, so that a flood of
good ones does not push them out.

The receiver leaves content and credentials out of what it records.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, NamedTuple

from posthouse.net import Clock, Endpoint
from posthouse.protocol import Transcript
from posthouse.server.observation import peer_of, tls_of
from posthouse.server.observation import record as record_session
from posthouse.server.session import ServerSession
from posthouse.service.monitor.message_source import client_of

__all__ = ["SessionBook", "SessionLine", "SessionRecord"]

_A_SECOND: Final = 10.0  # sessions recorded from their start, in the long run
_AT_ONCE: Final = 100.0
_WATCHED: Final = 60.0  # seconds for which a look counts
_ENOUGH: Final = 60  # lines, where nobody looks
_ENOUGH_OF_TROUBLE: Final = 300  # lines of a session in which something was refused
_FIRST_LINES: Final = 100
_LAST_LINES: Final = 200
_LONGEST: Final = 1_000  # characters of a line
_KEPT: Final = 200  # sessions that have ended
_KEPT_FAILURES: Final = 100
_LAST_FAILURES: Final = 10  # among which a session that has just ended is looked for
_HOSTS: Final = 1_000  # whose mail was refused
_HOST_FOR: Final = 3_600.0  # seconds
_MOST_OPEN: Final = 1_000  # open sessions whose recording begins when somebody looks
_NO_PEER: Final = Endpoint("", 0)
_UNIX: Final = " unix socket:0"  # the end of the source of a client at a unix socket, which has no address


class SessionLine(NamedTuple):
    """One line of a dialogue: ``at`` (calendar seconds); ``who`` is "S" (the sending SMTP), "R" (the receiving one), or
    "N" for a note of the daemon, such as the reason of a refusal."""

    at: float
    who: str
    text: str


class SessionRecord:
    """What is known of one session.  ``recorded`` says that its dialogue is being recorded, ``left_out`` how many of
    its lines are missing in the middle, and ``partial`` that lines are missing at its beginning or its end."""

    __slots__ = (
        "_after_content",
        "_content_ended",
        "also",
        "began",
        "ended",
        "first",
        "last",
        "latency",
        "left_out",
        "messages",
        "number",
        "partial",
        "peer",
        "problem",
        "recorded",
        "session",
        "tls",
        "where",
    )

    def __init__(self, number: int, where: str, session: ServerSession, peer: Endpoint, began: float) -> None:
        self.number = number
        self.where = where
        self.session: ServerSession | None = session
        self.peer = peer
        self.began = began
        self.ended: float | None = None
        self.tls = ""
        self.first: list[SessionLine] = []
        self.last: deque[SessionLine] = deque(maxlen=_LAST_LINES)
        self.left_out = 0
        #: Messages that were accepted, as far as the dialogue was recorded.
        self.messages = 0
        #: The last reply that refused something, or how the session went wrong; "" if all went well.
        self.problem = ""
        #: A transcript that gets every line, whether the dialogue is recorded here or not.
        self.also: Transcript | None = None
        self.recorded = False
        self.partial = False
        self._after_content = False
        self._content_ended = inf
        #: Seconds from the end of content to its reply, of the last message.
        self.latency = -1.0

    def take(self, at: float, who: str, text: str) -> None:
        """Add a line, and learn from it."""
        line = tuple.__new__(SessionLine, (at, who, text[:_LONGEST]))  # half the time of the class's own __new__
        if len(self.first) < _FIRST_LINES:
            self.first.append(line)
        else:
            self.left_out += len(self.last) == _LAST_LINES
            self.last.append(line)
        if who == "R":
            if self._after_content:
                self._after_content = False
                self.messages += text[:1] == "2"
                self.latency = at - self._content_ended
            if text[:1] in "45" and text[3:4] != "-":
                self.problem = text[:200]
        elif text == ".":
            self._after_content, self._content_ended = True, at
        elif text[:1] in "Bb" and text[:5].upper() == "BDAT " and text[-5:].upper() == " LAST":
            self._after_content, self._content_ended = True, inf

    @property
    def lines(self) -> list[SessionLine]:
        """The lines that are kept; a note stands where others were left out."""
        found = list(self.first)
        if self.left_out:
            found.append(SessionLine(self.last[0].at, "N", f"… {self.left_out} lines …"))
        return found + list(self.last)

    @property
    def kept(self) -> int:
        """How many lines there have been."""
        return len(self.first) + len(self.last) + self.left_out


class _Entry(NamedTuple):
    """An open session without a record."""

    number: int
    where: str
    peer: Endpoint
    began: float


class _Bucket:
    """Token bucket of sessions that are recorded from their start."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, now: float) -> None:
        self._tokens, self._at = _AT_ONCE, now

    def takes(self, now: float) -> bool:
        """Take a token, if there is one."""
        tokens = min(_AT_ONCE, self._tokens + (now - self._at) * _A_SECOND)
        self._at = now
        enough = tokens >= 1.0
        self._tokens = tokens - 1.0 if enough else tokens
        return enough


class SessionBook:
    """The book of one worker process.

    ``took`` is given the seconds from the end of a content to its reply, of the sessions that are recorded.
    """

    def __init__(self, clock: Clock, *, took: Callable[[float], object] = lambda seconds: None) -> None:
        self._clock = clock
        self._took = took
        self._number = 0
        self._open: dict[ServerSession, _Entry | SessionRecord] = {}
        self._by_peer: dict[Endpoint, ServerSession] = {}
        self._without_address = 0  # of the open ones, those of unix sockets
        self._ended: deque[SessionRecord] = deque(maxlen=_KEPT)
        self._failures: deque[SessionRecord] = deque(maxlen=_KEPT_FAILURES)
        self._of_any, self._of_refused = _Bucket(clock.monotonic()), _Bucket(clock.monotonic())
        self._watched_until = -inf
        self._hosts: OrderedDict[str, float] = OrderedDict()  # whose mail was refused, and when

    # -- sessions ----------------------------------------------------------------------------------------------------

    def joined(self, where: str, session: ServerSession, also: Transcript | None = None) -> None:
        """A session begins at the listener ``where``; its greeting is not said yet.  ``also`` is a transcript that
        somebody else has asked for."""
        self._number += 1
        peer = peer_of(session) or _NO_PEER
        self._open[session] = _Entry(self._number, where, peer, self._clock.time())
        if peer.host:
            self._by_peer[peer] = session
        self._without_address += not peer.host
        now = self._clock.monotonic()
        recorded = self._of_any.takes(now) or now < self._watched_until or self._was_refused(peer.host, now)
        if recorded or also is not None:
            record = self._record_of(session)
            record.also = also
            if recorded:
                self._record(record)
            else:
                record_session(session, also)

    def left(self, session: ServerSession) -> None:
        """A session has ended."""
        record = self._open.pop(session, None)
        if record is None:
            return
        self._without_address -= not record.peer.host
        self._forget(record.peer, session)
        self._forget(peer_of(session), session)  # another one behind XCLIENT
        if isinstance(record, _Entry):
            return
        record.ended = self._clock.time()
        record.tls = tls_of(session)
        record.session = None
        if record.recorded:
            record.recorded = False
            last = record.last[-1] if record.last else record.first[-1] if record.first else None
            if not record.problem and last is not None and last.text[:3] != "221":
                record.problem = "the client ended the connection without QUIT"
        if record.first:
            (self._failures if record.problem else self._ended).append(record)

    def named(self, facts: Mapping[str, Any]) -> None:
        """A proxy has named the client of its session by XCLIENT, perhaps not for the first time: what is said of that
        client is said of this session.  Without a port it is not known again in what is refused, since other sessions
        may be those of the same client.
        """
        by, peer = client_of(f"mx {facts['by']}"), client_of(str(facts["source"]))
        session = None if by is None else self._by_peer.get(by)
        if by is None or session is None:
            return
        record = self._open[session]
        if record.peer != by:
            self._forget(record.peer, session)
        peer = peer or by  # the proxy may not know whose session it is
        if isinstance(record, _Entry):
            self._open[session] = record._replace(peer=peer)
        else:
            record.peer = peer
        if peer.port:
            self._by_peer[peer] = session

    def _forget(self, peer: Endpoint | None, session: ServerSession) -> None:
        if peer is not None and self._by_peer.get(peer) is session:
            del self._by_peer[peer]

    def refused(self, facts: Mapping[str, Any]) -> None:
        """Something was refused, or TLS failed, which has no command: record the rest of the session, and the next ones
        of its client."""
        source = str(facts.get("source", ""))
        peer = _NO_PEER if source.endswith(_UNIX) else client_of(source)
        if peer is None:
            return
        command, reason = facts.get("command", ""), str(facts.get("reason", ""))
        is_tls = not command and "more" not in facts
        session = self._by_peer.get(peer) if peer.host else self._without_an_address()
        if session is not None:
            record = self._record_of(session)
            if not record.recorded:
                record.partial = True
                self._record(record)
        else:  # a failure of TLS is told when the session has ended
            ended = [each for each in list(self._failures)[-_LAST_FAILURES:] if each.peer == peer]
            if not ended or not is_tls:
                return
            record = ended[-1]
        record.take(self._clock.time(), "N", f"{command}: {reason}" if command else reason)
        if is_tls:
            record.problem = reason[:200]
        self._hosts[peer.host] = self._clock.monotonic()
        self._hosts.move_to_end(peer.host)
        if len(self._hosts) > _HOSTS:
            self._hosts.popitem(last=False)

    def _without_an_address(self) -> ServerSession | None:
        """The open session of a unix socket; None if there are several, since nobody can say whose a refusal is."""
        if self._without_address != 1:
            return None
        return next(session for session, each in self._open.items() if not each.peer.host)

    # -- recording ---------------------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether somebody looks."""
        return self._clock.monotonic() < self._watched_until

    def watch(self) -> None:
        """Somebody looks: record every session for a minute, those that are open included."""
        self._watched_until = self._clock.monotonic() + _WATCHED
        recorded = sum(isinstance(each, SessionRecord) and each.recorded for each in self._open.values())
        for session in list(self._open):
            if recorded >= _MOST_OPEN:
                return
            record = self._record_of(session)
            if not record.recorded:
                recorded += 1
                record.partial = True
                self._record(record)

    def _was_refused(self, host: str, now: float) -> bool:
        at = self._hosts.get(host)
        return at is not None and now - at < _HOST_FOR and self._of_refused.takes(now)

    def _record_of(self, session: ServerSession) -> SessionRecord:
        """The record of an open session, which is made now if there is none."""
        found = self._open[session]
        if isinstance(found, _Entry):
            self._open[session] = found = SessionRecord(found.number, found.where, session, found.peer, found.began)
        return found

    def _record(self, record: SessionRecord) -> None:
        session, time = record.session, self._clock.time
        if session is None:
            return
        begins = record.kept
        record.recorded = True

        def take(who: str, text: str) -> None:
            if record.also is not None:
                record.also(who, text)
            if not record.recorded:
                return  # the end comes in a turn of its own
            record.take(time(), who, text)
            if record.latency >= 0.0:  # below 0 behind BDAT, whose content is counted in no time
                self._took(record.latency)
                record.latency = -1.0
            enough = _ENOUGH_OF_TROUBLE if record.problem else _ENOUGH
            if record.kept - begins >= enough and not self.watched:
                record.recorded, record.partial = False, True
                self._clock.call_later(0.0, lambda: self._stop(record))

        record_session(session, take)

    def _stop(self, record: SessionRecord) -> None:
        if record.session is not None and not record.recorded:
            record_session(record.session, record.also)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    def live(self, most: int) -> list[SessionRecord]:
        """Open sessions, the newest first."""
        found = []
        for session in list(self._open)[-most:]:
            record = self._record_of(session)
            record.tls = tls_of(session)
            found.append(record)
        return found[::-1]

    def recent(self, most: int, *, failures: bool = False) -> list[SessionRecord]:
        """Sessions that have ended, the newest first; ``failures``: those in which something went wrong."""
        return list(self._failures if failures else self._ended)[-most:][::-1]

    def of_client(self, client: Endpoint) -> list[SessionRecord]:
        """The sessions of a client that are open or kept: its address and port are one session's until the port is used
        again."""
        sessions = [session for session, each in self._open.items() if each.peer == client]
        ended = [each for each in (*self._failures, *self._ended) if each.peer == client]
        return [*map(self._record_of, sessions), *ended]

    def find(self, number: int) -> SessionRecord | None:
        """The session of this number, if it is open or kept."""
        for session, each in self._open.items():
            if each.number == number:
                return self._record_of(session)
        return next((each for each in (*self._failures, *self._ended) if each.number == number), None)
