"""HTTP connections that end when their client is too slow, and of which the longest idle ones make room for new ones.

uvicorn keeps a connection for ever whose client has sent nothing, half a header section or half a body, or takes no
answer; a thousand of them, from one machine and without a login, would shut everybody else out.  So

* a header section is complete 30 s after its first octet, or after the connection was opened;
* a body brings 16 KiB in each 30 s, or its end;
* an answer is taken on within 60 s, whatever part of it has been taken before;
* when all connections are in use, those end that have waited longest for a request, a twentieth of all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["CONNECTIONS", "TimedConnection", "end_slow_clients"]

#: Connections at one time.  A request on one that finds no room, because all others are busy, is answered 503.
CONNECTIONS: Final = 1_000
_HEADER_SECONDS: Final = 30.0
_BODY_SECONDS: Final = 30.0
_BODY_LEAST: Final = 16_384
_ANSWER_SECONDS: Final = 60.0
_SENTENCE: Final = b"the header section of the request was not complete within 30 s\n"
_TIMEOUT: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)


class TimedConnection(H11Protocol):
    """One connection, with the moments since which it waits for its client (of the event loop's clock)."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._now: Callable[[], float] = self.loop.time
        self._since = self._now()
        self._begun = False  # whether octets of an incomplete header section have come
        self._answered = False  # whether a request has been answered: then uvicorn's own timer runs between requests
        self._taken = 0
        self._window = (0.0, 0)  # when the present stretch of a body began, and the octets before it
        self._stuck: float | None = None

    # -- what happens --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) >= CONNECTIONS:
            others = [each for each in self.connections if isinstance(each, TimedConnection) and each is not self]
            idle = [each for each in others if each.is_idle]
            # A twentieth at a time, so that a flood does not have all of them looked at for each connection.
            for each in heapq.nsmallest(max(1, CONNECTIONS // 20), idle, key=lambda each: each._since):
                self.connections.discard(each)
                each.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._since = self._now()
        had_body = self.conn.their_state is h11.SEND_BODY
        self._taken += len(data)
        super().data_received(data)
        self._begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if self.conn.their_state is h11.SEND_BODY and not had_body:
            self._window = self._now(), self._taken

    def on_response_complete(self) -> None:
        self._since = self._now()
        self._answered = True
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._stuck = self._now()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck = None
        super().resume_writing()

    # -- what is too slow ----------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no complete request is under way."""
        return self.conn.their_state is h11.IDLE

    def end_if_slow(self, now: float) -> None:
        """End the connection if its client has been too slow at ``now``."""
        if self.transport.is_closing():
            return
        if self._stuck is not None and now - self._stuck > _ANSWER_SECONDS:
            self.transport.abort()
        elif self.is_idle:
            if now - self._since > _HEADER_SECONDS and self._begun:
                self.transport.write(_TIMEOUT)
                self.transport.close()
            elif now - self._since > _HEADER_SECONDS and not self._answered:
                self.transport.close()
        elif self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused:
            began, before = self._window
            if now - began > _BODY_SECONDS:
                if self._taken - before < _BODY_LEAST:
                    self.transport.abort()
                self._window = now, self._taken


def end_slow_clients(connections: Iterable[object], now: float) -> None:
    """End those connections whose clients have been too slow at ``now`` (of the event loop's clock)."""
    for each in list(connections):
        if isinstance(each, TimedConnection):
            each.end_if_slow(now)
