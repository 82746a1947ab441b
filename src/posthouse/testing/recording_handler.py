"""Handler that records all calls, and that a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from posthouse.net.stream import Stream

__all__ = ["RecordingHandler"]


class RecordingHandler:
    """``Handler`` that records its calls.

    ``received`` holds the octets, ``events`` the names of the calls in their order (repeated ``data_received`` once).
    ``react`` is called with the recorder and the new octets whenever some arrive.  ``limit`` bounds ``received``:
    reading pauses for good when it is reached.
    """

    def __init__(
        self, react: Callable[[RecordingHandler, bytes], None] | None = None, *, limit: int = 67_108_864
    ) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self.error: Exception | None = None
        self.paused = False
        self._react = react
        self._limit = limit
        self._stream: Stream | None = None
        self._waiting: list[tuple[Callable[[RecordingHandler], object], asyncio.Future[None]]] = []

    @property
    def stream(self) -> Stream:
        """The stream; only after ``connected``."""
        assert self._stream is not None, "not connected"
        return self._stream

    @property
    def eof(self) -> bool:
        """True after the peer's end of stream."""
        return "eof_received" in self.events

    @property
    def ended(self) -> bool:
        """True after ``disconnected``."""
        return "disconnected" in self.events

    async def until(self, condition: Callable[[RecordingHandler], object]) -> None:
        """Wait until ``condition(self)`` is true; it is evaluated after each recorded call."""
        if not condition(self):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((condition, future))
            await future

    def connected(self, stream: Stream) -> None:
        self._stream = stream
        self._note("connected")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) >= self._limit:
            self.stream.pause_reading()
        if self._react is not None:
            self._react(self, data)
        self._note("data_received")

    def eof_received(self) -> None:
        self._note("eof_received")

    def pause_writing(self) -> None:
        self.paused = True
        self._note("pause_writing")

    def resume_writing(self) -> None:
        self.paused = False
        self._note("resume_writing")

    def disconnected(self, error: Exception | None) -> None:
        self.error = error
        self._note("disconnected")

    def _note(self, event: str) -> None:
        if event != "data_received" or self.events[-1:] != [event]:
            self.events.append(event)
        for condition, future in self._waiting:
            if not future.done() and condition(self):
                future.set_result(None)
        self._waiting = [pair for pair in self._waiting if not pair[1].done()]
