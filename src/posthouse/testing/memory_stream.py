"""Streams of ``MemoryNetwork``: the two ends of a channel, without sockets.

Octets wait at the receiving end.  Up to ``HELD`` of them count as sent, as in a kernel's buffer; above ``HIGH`` the
writer is paused.  Each turn of the loop delivers one piece of the written octets, or does so after ``delay`` on the
clock.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from posthouse.core import Broken, LocalError, NetworkError
from posthouse.net.clock import Clock, Timer
from posthouse.net.stream import Endpoint, Handler

__all__ = ["FLUSH_SECONDS", "HELD", "HIGH", "MemoryStream", "PIECE", "StreamFault", "StreamOwner"]

HELD = 65_536
HIGH = 131_072
PIECE = 262_144
FLUSH_SECONDS = 60.0

_FATAL = (KeyboardInterrupt, SystemExit)


class StreamFault(NamedTuple):
    """Faults of the channels to one endpoint.

    Args:
        refuse: Connections are refused.
        silent: Connections are not answered, and fail after ``SILENCE`` seconds.
        delay: Latency in seconds, each way.
        single: Octets arrive one at a time.
        reset_after: The channel is reset after so many octets of the connecting side have arrived.
        reset_after_answers: The channel is reset after so many octets of the accepting side have arrived.
    """

    refuse: bool = False
    silent: bool = False
    delay: float = 0.0
    single: bool = False
    reset_after: int | None = None
    reset_after_answers: int | None = None


class StreamOwner(Protocol):
    """The part of ``MemoryNetwork`` that a stream needs."""

    clock: Clock

    def report(self, error: BaseException) -> None:
        """Report an exception of a handler."""
        ...

    def forget(self, stream: MemoryStream) -> None:
        """Remove an end of a channel that has ended."""
        ...


class _StreamState(enum.Enum):
    OPEN = enum.auto()
    DRAINING = enum.auto()
    CLOSING = enum.auto()
    ENDED = enum.auto()


class MemoryStream:
    """One end of a channel, made by ``MemoryNetwork`` only.  The octets on the way *to* this end wait in it."""

    _other: MemoryStream

    def __init__(
        self,
        owner: StreamOwner,
        handler: Handler,
        ends: tuple[Endpoint, Endpoint],
        fault: StreamFault,
        limit: int | None,
    ) -> None:
        self._owner = owner
        self._clock = owner.clock
        self._handler = handler
        self._local, self._peer = ends
        self._fault = fault
        self._limit = limit  # octets that may still arrive before the reset
        self._state = _StreamState.OPEN
        self._arriving: deque[tuple[float, memoryview]] = deque()
        self._size = 0
        self._end_due: float | None = None  # when the peer's end of stream arrives
        self._eof = False  # the end of stream has arrived
        self._pumping = False
        self._paused = False
        self._full = False  # our handler's writing is paused
        self._octets = 0
        self._timer: Timer | None = None

    # -- Stream --

    @property
    def peer(self) -> Endpoint:
        return self._peer

    @property
    def local(self) -> Endpoint:
        return self._local

    def write(self, data: bytes) -> None:
        if not data or self._state is not _StreamState.OPEN:
            return
        other = self._other
        other._arriving.append((self._clock.monotonic() + self._fault.delay, memoryview(bytes(data))))
        other._size += len(data)
        other._pump_soon()
        if other._size > HIGH and not self._full:
            self._full = True
            self._tell(self._handler.pause_writing)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._pump_soon()

    def close(self) -> None:
        if self._state is _StreamState.OPEN:
            self._state = _StreamState.CLOSING
            self._say_end()
            self._pump_soon()  # unread octets cause a reset
            if self._other._size <= HELD:
                self._end_soon(None)
            else:
                self._timer = self._clock.call_later(FLUSH_SECONDS, self.abort)

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        if self._state is not _StreamState.OPEN:
            return
        if self._eof:
            self.close()
            return
        self._state = _StreamState.DRAINING
        self._octets = octets
        self._timer = self._clock.call_later(seconds, self.abort)
        self._say_end()
        self._pump_soon()

    def abort(self) -> None:
        """As ``Stream.abort``; the peer sees a reset."""
        if self._state is not _StreamState.ENDED:
            self._state = _StreamState.CLOSING
            self._arriving.clear()
            self._other.reset(f"{self._local} reset the connection")
            self._end_soon(None)

    def set_handler(self, handler: Handler) -> None:
        self._handler = handler

    # -- inside --

    def join(self, other: MemoryStream) -> None:
        """Connect this end with the other one."""
        self._other = other

    # -- what the network calls --

    def begin(self) -> None:
        """Call our handler's ``connected``."""
        self._tell(self._handler.connected, self)
        if self._limit == 0:
            self._cut()

    def _say_end(self) -> None:
        """End our direction."""
        self._other._end_due = self._clock.monotonic() + self._fault.delay
        self._other._pump_soon()

    def _pump_soon(self) -> None:
        """Schedule the delivery of the waiting octets, one piece after another."""
        if self._pumping or (self._paused and self._state is _StreamState.OPEN):
            return
        due = self._arriving[0][0] if self._arriving else self._end_due
        if due is None:
            return
        self._pumping = True
        wait = due - self._clock.monotonic()
        if wait > 0:
            self._clock.call_later(wait, self._pump)
        else:
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Deliver one piece, or the end of stream."""
        self._pumping = False
        if self._paused and self._state is _StreamState.OPEN:
            return
        if self._arriving:
            self._arrive(self._piece())
            self._pump_soon()
        elif self._end_due is not None and self._state is not _StreamState.ENDED:
            if self._state is _StreamState.DRAINING:
                self._end_soon(None)
            elif self._state is _StreamState.OPEN:
                self._end_due = None
                self._eof = True
                self._tell(self._handler.eof_received)

    def _piece(self) -> bytes:
        """Deliver the next octets, and resume the writer if there is space."""
        due, view = self._arriving.popleft()
        count = 1 if self._fault.single else min(len(view), PIECE)
        if self._limit is not None:
            count = min(count, self._limit)
            self._limit -= count
        if count < len(view):
            self._arriving.appendleft((due, view[count:]))
        self._size -= count
        return bytes(view[:count])

    def _arrive(self, piece: bytes) -> None:
        if self._state is _StreamState.OPEN:
            self._tell(self._handler.data_received, piece)
        elif self._state is _StreamState.DRAINING:
            self._octets -= len(piece)
            if self._octets < 0:
                self.abort()
        else:
            self._other.reset(f"{self._local} reset the connection")
            self._arriving.clear()
        if self._limit == 0:
            self._cut()
        self._other._drained(self._size)

    def _drained(self, left: int) -> None:
        """``left`` of our written octets have not arrived."""
        if left > HELD:
            return
        if self._full:
            self._full = False
            if self._state is _StreamState.OPEN:
                self._tell(self._handler.resume_writing)
        if self._state is _StreamState.CLOSING:
            self._end_soon(None)

    def _cut(self) -> None:
        """Reset both ends."""
        self._limit = None
        self._other.reset(f"the connection to {self._local} was reset on its way")
        self.reset(f"the connection to {self._peer} was reset on its way")

    def reset(self, reason: str) -> None:
        """Receive a reset; unread octets are lost."""
        if self._state is not _StreamState.ENDED:
            self._arriving.clear()
            self._end_due = None
            self._size = 0
            self._end_soon(Broken(reason))

    def _end_soon(self, error: NetworkError | None) -> None:
        self._state = _StreamState.CLOSING if self._state is not _StreamState.ENDED else self._state
        asyncio.get_running_loop().call_soon(self._end, error)

    def _end(self, error: NetworkError | LocalError | None) -> None:
        """Call our handler's ``disconnected``; the first reason counts."""
        if self._state is _StreamState.ENDED:
            return
        self._state = _StreamState.ENDED
        if self._timer is not None:
            self._timer.cancel()
        self._owner.forget(self)
        try:
            self._handler.disconnected(error)
        except _FATAL:
            raise
        except BaseException as fault:
            self._owner.report(fault)

    def _tell(self, method: Callable[..., None], *arguments: object) -> None:
        """Call our handler; an exception ends its channel."""
        try:
            method(*arguments)
        except _FATAL:
            raise
        except BaseException as fault:
            self._owner.report(fault)
            error = LocalError(f"the handler of this channel raised {type(fault).__name__}")
            error.__cause__ = fault
            asyncio.get_running_loop().call_soon(self._end, error)
            self.abort()
