"""What the books of a connection pool are about: requests for a connection, the connections, the state of all, and what
became of a message."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from posthouse.core import Outcome

__all__ = ["Delivered", "Kept", "PoolRequest", "PoolStatus", "RequestState", "Uniform"]

C = TypeVar("C")


class RequestState(enum.Enum):
    """The states of a request for a connection."""

    WAITING = enum.auto()
    OPENING = enum.auto()  # the slot is its own; the caller opens a connection
    USING = enum.auto()
    REFUSED = enum.auto()  # ``fault`` says why
    ENDED = enum.auto()


class Uniform(Protocol):
    """The part of ``random.Random`` that is needed here."""

    def uniform(self, a: float, b: float, /) -> float:
        """A random number between ``a`` and ``b``."""
        ...


class PoolRequest(Generic[C]):
    """One caller's request for a connection, until it is given back or given up.

    ``connection`` is set while USING.  ``fresh`` says that this request has opened it, ``idle`` for how many seconds
    it has had no work.  ``fault`` is the failure because of which the request is REFUSED.  ``wake`` is called when the
    state of a request that waits has changed, or when its caller should look at ``due`` again; it must not call the
    engine.  ``kept`` and ``counted`` are the engine's.
    """

    __slots__ = ("counted", "deadline", "fault", "fresh", "idle", "kept", "patience", "state", "wake")

    def __init__(self, deadline: float, patience: float) -> None:
        self.state = RequestState.WAITING
        self.deadline = deadline
        self.patience = patience
        self.fault: BaseException | None = None
        self.fresh = False
        self.idle = 0.0
        self.kept: Kept[C] | None = None
        self.counted: float | None = None  # when the rate allowed this message
        self.wake: Callable[[], object] = _nothing

    @property
    def connection(self) -> C:
        """The connection that this request uses."""
        assert self.kept is not None, "a request that is USING"
        return self.kept.connection

    def carried(self) -> None:
        """A message has ended.  Only the user of the connection calls this, and reads the count while it has it."""
        if self.kept is not None:
            self.kept.messages += 1

    @property
    def messages(self) -> int:
        """Messages that the connection has carried before."""
        return 0 if self.kept is None else self.kept.messages

    @property
    def proved(self) -> bool:
        """Whether the host has begun a message on the connection, as ``PoolEngine.proved`` was told."""
        return self.kept is not None and self.kept.proved


class Kept(Generic[C]):
    """A connection with its counts and times; the engine's."""

    __slots__ = ("connection", "ends", "idle_since", "messages", "most", "proved")

    def __init__(self, connection: C, now: float, ends: float, most: int) -> None:
        self.connection = connection
        self.idle_since = now
        self.ends = ends
        self.messages = 0
        self.most = most
        self.proved = False


class PoolStatus(NamedTuple):
    """What a pool has at one moment: connections in use (those being opened included) and without work, requests that
    wait, connections that failed one after another (they could not be opened, or the host ended them in place of
    beginning the first message), and in how many seconds the next may be opened."""

    in_use: int
    idle: int
    waiting: int
    failures: int
    delay: float


class Delivered(NamedTuple):
    """What became of one message."""

    outcomes: tuple[Outcome, ...]
    queue_id: str = ""
    fault: BaseException | None = None  # what has ended the connection


def _nothing() -> None:
    """The wake-up call of a request that does not wait."""
