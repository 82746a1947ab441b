"""What both kinds of clients have: where they send, who uses them, where they were made, and when to try once more."""

from __future__ import annotations

import _thread
import os
import sys
import warnings
from typing import TYPE_CHECKING, Final

from posthouse.client.deadline import Deadline
from posthouse.core import LocalError, Outcome, Phase, Result
from posthouse.sending.argument_types import check_transcript
from posthouse.sending.connection.dialogue_record import DialogueRecord, TranscriptLike
from posthouse.sending.options import ServerTarget, limit_of

if TYPE_CHECKING:
    from posthouse.client.blocking import BlockingSession
    from posthouse.client.session import Session
    from posthouse.net.clock import Clock

__all__ = ["ClientBase", "ClientBusy", "LOOKED_AFTER", "server_of", "tried_in_vain"]

#: Seconds without use after which a connection is looked at before it is used again.  Within them a host has seldom
#: ended it; if it has, the reply to MAIL tells, and the message goes to a fresh one.  A look that finds nothing is a
#: system call and an exception: 1/25 of a message.
LOOKED_AFTER: Final = 0.1
_DEFERRED: Final = Result.DEFERRED  # an attribute of an enumeration costs ten times a global name


class ClientBusy(LocalError):
    """A client was called while another call of it was under way.  Use one client for each thread or task, or a
    ``Pool``, which may be shared."""


class ClientBase:
    """What both clients have: where they send, who uses them, and where they were made.  Does no I/O."""

    def __init__(self, target: ServerTarget, clock: Clock, transcript: TranscriptLike, depth: int) -> None:
        check_transcript(transcript)
        self._target = target
        self._clock = clock
        self._transcript = transcript
        self._record = DialogueRecord(transcript, str(target))
        self._session: BlockingSession | Session | None = None
        self._lock = _thread.allocate_lock()  # ``threading`` is not imported for it
        self._used_at = 0.0  # when the last message had ended, on the monotonic clock
        self._process = os.getpid()
        frame = sys._getframe(depth)
        self._made = f"{frame.f_code.co_filename}:{frame.f_lineno}"  # for the warning of a client that was not closed

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last 20 lines of the dialogue, ``S: `` sent and ``R: `` received."""
        return self._record.tail

    def _used(self) -> _Use:
        """Be the one user of the client, in a with statement.  Raises ``ClientBusy``."""
        if self._process != os.getpid():  # after a fork the connection belongs to the process that opened it
            self._process = os.getpid()
            self._lock = _thread.allocate_lock()
            self._forget()
        return _Use(self._lock)

    def _forget(self) -> None:
        """Close the descriptor of the connection, and send nothing on it."""
        session, self._session = self._session, None
        if session is not None:
            session.forget()

    def _begin(self, timeout: float | str | None) -> tuple[Deadline, float]:
        """The time limit of a call that begins now, and when that is on the monotonic clock."""
        seconds = self._target.timeout if timeout is None else limit_of("timeout", timeout)
        return Deadline(self._clock, seconds), self._clock.monotonic()

    def _fresh_record(self) -> DialogueRecord:
        self._record = DialogueRecord(self._transcript, str(self._target))
        return self._record

    def __repr__(self) -> str:
        state = "open" if self._session is not None else "closed"
        return f"<{type(self).__name__} {self._target} {state}>"

    def __del__(self) -> None:
        if getattr(self, "_session", None) is None:
            return
        text = f"{self!r} was not closed; it was made at {self._made}.  Use it in a with statement, or call close()"
        warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
        self._forget()


class _Use:
    """The use of a client by one caller, without waiting; a generator in its place would take 2 µs more."""

    __slots__ = ("_lock",)

    def __init__(self, lock: _thread.LockType) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise ClientBusy("this client is sending a message for another caller; use one for each, or a Pool")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def tried_in_vain(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether a reused connection had ended before the message reached the server: every recipient is deferred, and
    MAIL was answered with 421 or 451 4.4.2, or not at all because the connection was lost."""
    if outcomes and outcomes[0].result is not _DEFERRED:  # as nearly always
        return False
    return all(
        each.result is _DEFERRED
        and each.phase == Phase.MAIL
        and (each.reply is None or each.reply.code == 421 or each.reply.enhanced == "4.4.2")
        for each in outcomes
    )


def server_of(route: object) -> ServerTarget:
    """The server of a route.  Raises ``LocalError`` for a transport."""
    if not isinstance(route, ServerTarget):
        raise LocalError(
            "a Client is for a server, and this via needs no connection; call posthouse.send for each message"
        )
    return route
