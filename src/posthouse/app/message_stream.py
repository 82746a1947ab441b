"""Content that is read while it arrives, for handlers that keep no copy of it.

The session is the producer.  It puts octets in, and waits while more than 1 MiB of them has not been taken; then the
client has to wait as well (TCP).  A coroutine reads with ``async for``, a function in a thread with ``for``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final

from posthouse.core import Broken, LocalError

__all__ = ["IncomingStream", "MessageStream"]

#: Octets that may wait for the handler.
_WAITING: Final = 1_048_576


class MessageStream:
    """The content of one message, once, in the pieces in which it arrives, with CRLF line ends and not dot-stuffed.

    The end of the iteration means that the content is complete.  If the client ends the connection before, or the
    message is too large, the iteration raises ``Broken``, and the handler's answer is of no use.  A handler that
    returns early refuses or accepts the message without having read the rest.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = ""
        self._abandoned = False
        self._iterated = False
        self._arrived: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces in order."""
        self._begin()
        while piece := await self._next():
            yield piece

    def __iter__(self) -> Iterator[bytes]:
        """The pieces in order, for a function in a thread."""
        self._begin()
        while piece := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result():
            yield piece

    def _begin(self) -> None:
        if self._iterated:
            raise LocalError("the stream of a message can be read once; for several readings ask for its Content")
        self._iterated = True

    async def _next(self) -> bytes:
        while not self._pieces:
            if self._broken:
                raise Broken(self._broken)
            if self._ended:
                return b""
            self._arrived = self._loop.create_future()
            await self._arrived
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._room is not None and self._held <= _WAITING:
            _wake(self._room)
            self._room = None
        return piece


class IncomingStream(MessageStream):
    """The side of a stream that the session fills."""

    def put(self, piece: bytes) -> asyncio.Future[None] | None:
        """Give the next octets; a future means that the handler has to be waited for."""
        if self._abandoned or not piece:
            return None
        self._pieces.append(piece)
        self._held += len(piece)
        self._tell()
        if self._held <= _WAITING:
            return None
        self._room = self._loop.create_future()
        return self._room

    def end(self) -> None:
        """The content is complete."""
        self._ended = True
        self._tell()

    def break_off(self, reason: str) -> None:
        """There will be no complete content."""
        self._broken = reason
        self._pieces.clear()
        self._tell()

    def abandon(self) -> None:
        """The handler has returned: what comes is dropped."""
        self._abandoned = True
        self._pieces.clear()
        self._held = 0
        if self._room is not None:
            _wake(self._room)
            self._room = None

    def _tell(self) -> None:
        if self._arrived is not None:
            _wake(self._arrived)
            self._arrived = None


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
