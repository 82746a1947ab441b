"""Feed of spool events: from the writer's thread to those who listen on the loop.

What a transaction finds is reported once the transaction is committed, and dropped if it is rolled back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence

from posthouse.spool.model import SpoolEvent

__all__ = ["EventFeed"]

_MOST = 1000  # events that wait for one listener; the oldest go first


class EventFeed:
    """Broadcast of events to any number of listeners."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: set[_Subscriber] = set()
        self._closed = False

    def tell(self, events: Sequence[SpoolEvent]) -> None:
        """Hand events to the listeners; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._tell, events)

    def _tell(self, events: Sequence[SpoolEvent]) -> None:
        for listener in self._listeners:
            listener.events.extend(events)
            listener.awake.set()

    def listen(self) -> AsyncIterator[SpoolEvent]:
        """Events from now on, until ``close``."""
        listener = _Subscriber()
        self._listeners.add(listener)
        return self._listen(listener)

    async def _listen(self, listener: _Subscriber) -> AsyncIterator[SpoolEvent]:
        try:
            while True:
                while listener.events:
                    yield listener.events.popleft()
                if self._closed:
                    return
                listener.awake.clear()
                await listener.awake.wait()
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End the iterators, once they have given what was reported before."""
        self._closed = True
        for listener in self._listeners:
            listener.awake.set()


class _Subscriber:
    def __init__(self) -> None:
        self.events: deque[SpoolEvent] = deque(maxlen=_MOST)
        self.awake = asyncio.Event()
