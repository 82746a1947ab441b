"""What the pools of all colours share: arguments, the engine, what a message waits for, and when it is tried again.

A message is rendered before a connection is taken, so that a slow producer holds none.  A connection that was used
before may have been ended by the server meanwhile.  If it answers MAIL with 421 or 451 4.4.2, or ends, the message is
tried once more on a fresh connection; nothing of its content was sent then.  In no other case is a message sent twice,
and never if its outcome is *ambiguous*.  A fresh connection that ends so has failed, as one that could not be opened.
"""

from __future__ import annotations

import os
import random
import sys
import time
import warnings
import weakref
from collections.abc import Sized
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar, Unpack

from posthouse.client.deadline import Deadline
from posthouse.client.model import SessionRefused
from posthouse.core import CannotConnect, LocalError, Outcome, Phase, Result, SettingError, TimedOut
from posthouse.net.system_clock import SystemClock
from posthouse.protocol import Capabilities
from posthouse.sending.argument_types import check_transcript
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.messages.batches import EnvelopesLike, transactions
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.options import SendOptions, ServerTarget
from posthouse.sending.pool.pool_engine import PoolEngine, PoolRequest, PoolStatus
from posthouse.sending.pool.pool_limits import Duration, read_limits, read_seconds
from posthouse.sending.via import Via, route_of

if TYPE_CHECKING:
    from posthouse.sending.connection.credentials import CredentialsLike
    from posthouse.sending.connection.dialogue_record import TranscriptLike
    from posthouse.sending.messages.message_forms import MessageLike
    from posthouse.sending.pool.pool_request import Delivered
    from posthouse.sending.transports.schemes import Transport

__all__ = [
    "BasePool",
    "NoneFree",
    "OpenConnection",
    "PoolCall",
    "failure_of",
    "is_server_fault",
    "length_of",
    "may_try_again",
    "most_messages_of",
    "too_many_sessions",
    "transcript_of",
    "was_begun",
]

#: Seconds that a call without a time limit waits for a connection: as long as one message may take to the reply to its
#: end (RFC 5321 §4.5.3.2.6).
_LONGEST_WAIT: Final = 600.0


class OpenConnection(Protocol):
    """A connection as the engine's owner sees it, of any colour."""

    @property
    def usable(self) -> bool:
        """Whether it takes another message, as far as is known."""
        ...

    @property
    def most_messages(self) -> int | None:
        """Messages that the host takes on it (LIMITS MAILMAX, RFC 9422); None if it has not said."""
        ...

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of the dialogue."""
        ...

    def leave(self) -> None:
        """Say QUIT without waiting for its reply, and close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...

    def forget(self) -> None:
        """Close the descriptor and say nothing: the connection belongs to another process, or its loop is closed."""
        ...


C = TypeVar("C", bound=OpenConnection)


class PoolCall(NamedTuple):
    """One call of ``send``: the message, its time limit, when it began on the monotonic clock, and the record for its
    transcript, if one is wanted."""

    message: Outgoing
    deadline: Deadline
    began: float
    record: DialogueRecord | None = None

    @property
    def waits_until(self) -> float:
        """The moment at which waiting for a connection ends."""
        return self.began + min(
            _LONGEST_WAIT, _LONGEST_WAIT if self.deadline.seconds is None else self.deadline.seconds
        )


class BasePool(Generic[C]):
    """The parts of a pool without I/O; see ``Pool`` and ``AsyncPool``."""

    _asynchronous = False

    def __init__(
        self,
        via: Via | None = None,
        *,
        size: int = 5,
        idle: Duration = "60s",
        max_age: Duration | None = "10min",
        messages: int | None = 100,
        rate: str | None = None,
        timeout: Duration | None = None,
        credentials: CredentialsLike | None = None,
        **options: Unpack[SendOptions],
    ) -> None:
        self._limits = read_limits(size, idle, max_age, messages, rate)
        self._arguments: dict[str, Any] = {
            "size": size,
            "idle": idle,
            "max_age": max_age,
            "messages": messages,
            "rate": rate,
            "timeout": timeout,
            "credentials": credentials,
            **options,
        }
        self._via = via
        self._timeout = None if timeout is None else read_seconds(timeout, "timeout")
        self._credentials = credentials
        self._options = options
        self._route: ServerTarget | Transport | None = None if via is None else self._routed(via)
        self._clock = SystemClock()
        self._no_limit = Deadline(self._clock, None)
        self._made_at = _caller()
        self._start_empty()
        _pools.add(self)

    def _routed(self, via: Via | None) -> ServerTarget | Transport:
        return route_of(
            via,
            timeout=self._timeout,
            credentials=self._credentials,
            options=self._options,
            asynchronous=self._asynchronous,
        )

    def _start_empty(self) -> None:
        self._engine: PoolEngine[C] = PoolEngine(self._limits, random.Random())
        self._connections: set[C] = set()

    @property
    def status(self) -> PoolStatus:
        """What the pool has at this moment."""
        return self._engine.status(time.monotonic())

    # -- a call --------------------------------------------------------------------------------------------------------

    def calls_of(
        self,
        message: MessageLike,
        envelope: EnvelopesLike | None = None,
        timeout: Duration | None = None,
        transcript: TranscriptLike = False,
        verp: bool | str = False,
    ) -> list[PoolCall]:
        """Everything about a call that needs no connection: the message is rendered here, once for each transaction
        that it takes.  Raises ``LocalError``."""
        began = self._clock.monotonic()
        if self._route is None:
            self._route = self._routed(None)
        seconds = self._timeout if timeout is None else read_seconds(timeout, "timeout")
        if seconds is None and isinstance(self._route, ServerTarget):
            seconds = self._route.timeout
        deadline = self._no_limit if seconds is None else Deadline(self._clock, seconds)
        if transcript is not False:
            check_transcript(transcript)
        record = DialogueRecord(transcript, str(self._route), logs=False) if transcript else None
        made = transactions(message, envelope, verp)
        if len(made) == 1:  # ``tuple.__new__`` takes half the time of the class's own
            return [tuple.__new__(PoolCall, (made[0], deadline, began, record))]
        return [PoolCall(each, deadline, began, record) for each in made]

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return self._clock.monotonic()

    def limit_of(self, call: PoolCall) -> Deadline | None:
        """The time limit of a call that begins now; None for none."""
        seconds = call.deadline.seconds
        return None if seconds is None else Deadline(self._clock, seconds)

    def renewed(self, call: PoolCall) -> PoolCall:
        """The call as if it began now."""
        return call._replace(deadline=Deadline(self._clock, call.deadline.seconds), began=self._clock.monotonic())

    def _ask(self, call: PoolCall, patience: float) -> PoolRequest[C]:
        engine = self._engine
        if engine.closed:
            raise self._closed_error()
        return engine.ask(self._clock.monotonic(), call.waits_until, patience=patience)

    def _closed_error(self) -> LocalError:
        return LocalError(f"the pool that was made at {self._made_at} is closed; make another")

    def _waited_enough(self, request: PoolRequest[C], call: PoolCall) -> TimedOut:
        seconds = call.waits_until - call.began
        status = self.status
        why = f"{status.in_use} of {self._limits.size} are in use, and {status.waiting} calls wait"
        if status.failures:
            why = f"the last {status.failures} failed"
        elif self._limits.rate is not None:
            why += f"; the rate is {self._limits.rate.messages} messages in {self._limits.rate.seconds:g} s"
        error = TimedOut(f"no connection of the pool was free within {seconds:g} s: {why}")
        error.phase = Phase.CONNECT
        return error

    def _refusal(self, request: PoolRequest[C]) -> BaseException:
        """The exception of a request that was refused: the kind of the last failure, and when the next attempt is."""
        fault = request.fault
        if fault is None or self._engine.closed:
            return self._closed_error()
        delay = self.status.delay
        text = f"not tried, because the last attempt failed and the next one is made in {delay:.1f} s: {fault}"
        return _same_kind(fault, text)

    def _opening_failed(self, request: PoolRequest[C], error: BaseException, call: PoolCall) -> bool:
        """A connection could not be opened.  True if the request stands in the queue again."""
        engine, now = self._engine, self._clock.monotonic()
        if too_many_sessions(error) and engine.turned_away(request, now):
            return True
        if is_server_fault(error) and call.deadline.left > 0:
            engine.failed(request, error, now)
        else:
            engine.give_up(request, now)
        return False

    def _message_ended(self, request: PoolRequest[C], delivered: Delivered) -> None:
        """The only message of a request has ended: the connection goes back to the engine."""
        engine, now = self._engine, self._clock.monotonic()
        request.carried()
        if not request.proved:
            failure = failure_of(request, delivered)
            if failure is not None:
                engine.broken(request, failure, now)
                return
            if was_begun(delivered.outcomes):
                engine.proved(request, now)
        engine.give_back(request, now, usable=request.connection.usable)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _take_leaving(self) -> list[C]:
        leaving, self._engine.leaving = self._engine.leaving, []
        self._connections.difference_update(leaving)
        return leaving

    def _forget_all(self) -> None:
        """Start empty without a word to the servers: the connections belong to the process that this one was forked
        from, or to a loop that is closed."""
        connections = self._connections
        self._start_empty()
        for each in connections:
            each.forget()

    def __del__(self) -> None:
        connections: set[C] | None = self.__dict__.get("_connections")
        if connections:
            text = f"the pool that was made at {self._made_at} was not closed; use it with `with`, or call close()"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            for each in connections:
                each.forget()


def transcript_of(calls: list[PoolCall]) -> tuple[str, ...]:
    """The lines of the dialogues of one call of ``send``, whose parts share a record; none without one."""
    record = calls[0].record
    return () if record is None else record.take()


class NoneFree(Exception):
    """No connection can be had without waiting."""


def most_messages_of(capabilities: Capabilities) -> int | None:
    """How many messages a host takes on one connection (LIMITS MAILMAX, RFC 9422 §4.1); None if it has not said."""
    return capabilities.limits.get("MAILMAX") if "LIMITS" in capabilities.keywords else None


# Faults ---------------------------------------------------------------------------------------------------------------


def may_try_again(outcomes: tuple[Outcome, ...], fault: BaseException | None) -> bool:
    """Whether a message on a connection that was used before may be tried once on a fresh one: the server ended the
    session instead of beginning the transaction, for all recipients.  ``fault``: what ended the connection; a server
    that is silent has not ended it."""
    if not outcomes or outcomes[0].result is not Result.DEFERRED or isinstance(fault, TimedOut):
        return False
    return all(_session_was_over(each) for each in outcomes)


def _session_was_over(outcome: Outcome) -> bool:
    if outcome.result is not Result.DEFERRED or outcome.phase not in ("", Phase.MAIL):
        return False
    reply = outcome.reply
    if reply is None:
        return True
    return outcome.phase == Phase.MAIL and (reply.code == 421 or (reply.code == 451 and reply.enhanced == "4.4.2"))


def was_begun(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether the server has answered MAIL, and not by ending the session: it takes messages."""
    return any(each.phase != "" and not _session_was_over(each) for each in outcomes)


def failure_of(request: PoolRequest[Any], delivered: Delivered) -> CannotConnect | None:
    """The failure of a fresh connection that the server has ended in place of beginning its first message; None for any
    other.  The next message would meet the same on the next connection."""
    connection: OpenConnection = request.connection
    if not request.fresh or request.proved or connection.usable:
        return None
    if not may_try_again(delivered.outcomes, delivered.fault):
        return None
    outcome = delivered.outcomes[0]
    reply = outcome.reply
    error = CannotConnect(outcome.reason) if reply is None else SessionRefused(outcome.reason, reply)
    error.phase = Phase.MAIL
    error.transcript = connection.tail
    return error


def too_many_sessions(error: BaseException) -> bool:
    """Whether the host takes no further session now: 421 in place of a greeting, or to EHLO."""
    return isinstance(error, SessionRefused) and error.reply is not None and error.reply.code == 421


def is_server_fault(error: BaseException) -> bool:
    """Whether the next attempt to open a connection would fail alike for every message: not for an argument that is
    wrong, and not for a call that was cancelled."""
    return isinstance(error, Exception) and not isinstance(error, LocalError | SettingError)


def _same_kind(fault: BaseException, text: str) -> BaseException:
    """An exception of the same class with another text; ``fault`` is its cause."""
    try:
        made = type(fault)(text)
    except TypeError:
        made = type(fault)(text, getattr(fault, "reply", None))
    for name in ("reply", "phase", "transcript"):
        if hasattr(fault, name):
            setattr(made, name, getattr(fault, name))
    made.__cause__ = fault
    return made


def length_of(messages: object) -> int | None:
    """How many messages there are, if the source can tell.  Raises ``TypeError`` for one message in place of many."""
    if isinstance(messages, str | bytes | bytearray):
        raise TypeError(f"{type(messages).__name__} is no series of messages; give a list, or call send for one")
    return len(messages) if isinstance(messages, Sized) else None


# Where pools are made, and forks --------------------------------------------------------------------------------------

_pools: weakref.WeakSet[BasePool[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child: pools forget what they share with the parent."""
    for each in list(_pools):
        each._forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_OURS: Final = os.path.dirname(os.path.abspath(__file__))


def _caller() -> str:
    """File and line of the first frame outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and os.path.dirname(os.path.abspath(frame.f_code.co_filename)) == _OURS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
