"""The network between simulated machines: every machine has an address of its own, and dies with its wires.

``SimulatedNetwork`` is one ``MemoryNetwork``; each machine sees it through a ``Port``, its ``Network``.  A port runs
what arrives as a step of its machine's life and what is written as the world's doing, so that a death loses no octet
that was on its
way already.  What goes wrong on a new channel is asked of ``SimulatedNetwork.weather`` each time.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
from collections.abc import Callable
from typing import Any

from posthouse.net import Clock, Endpoint, Listener
from posthouse.net.stream import Handler, HandlerFactory, Stream
from posthouse.testing.memory_network import MemoryNetwork
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.simulation.loop import Life, neutrally

__all__ = ["Death", "Port", "SimulatedNetwork"]

_Weather = Callable[[str, Endpoint], StreamFault]  # what goes wrong on a new channel from a machine to an endpoint


class Death(enum.StrEnum):
    """What the others notice of a machine's end."""

    KILLED = "killed"  # the process: its system sends what it had taken, and ends the channels
    RESET = "reset"  # the process: its channels are reset, what was on its way is lost
    SILENT = "silent"  # the machine: nobody hears anything until it runs again


class SimulatedNetwork(MemoryNetwork):
    """All channels there are.  ``simulation.chaos`` may be exchanged at any time."""

    def __init__(self, clock: Clock, weather: _Weather, *, on_error: Callable[[BaseException], None]) -> None:
        super().__init__(clock, on_error=on_error)
        self.weather = weather


class Port:
    """A machine's ``Network``: its part of the wires, for the length of one life."""

    def __init__(self, wires: SimulatedNetwork, address: str, life: Life) -> None:
        self.address = address
        self._wires = wires
        self._life = life
        self._listeners: list[Listener] = []
        self._ends: dict[_End, None] = {}

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        """See ``Network.connect``."""
        end = _End(self, self._life, handler)
        self._wires.faults[endpoint] = self._wires.weather(self.address, endpoint)
        connecting = self._wires.connect(endpoint, end, source=source or self.address)
        task = asyncio.get_running_loop().create_task(connecting, context=contextvars.Context())
        task.add_done_callback(_heard, context=contextvars.Context())  # the dead never ask how it went
        try:
            await task
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and task.exception() is None:
                end.abort()  # it opened in the very moment
            raise
        return end

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        """See ``Network.listen``."""

        def accept() -> Handler:
            return _End(self, self._life, factory())

        listener = await self._wires.listen(endpoint, accept, backlog=backlog)
        self._listeners.append(listener)
        return listener

    def open(self, end: _End) -> None:
        """A channel is open; for ends."""
        self._ends[end] = None

    def over(self, end: _End) -> None:
        """A channel has ended; for ends."""
        self._ends.pop(end, None)

    def cut(self, peer: Endpoint) -> None:
        """Reset the channels to ``peer``."""
        for end in [end for end in self._ends if end.peer == peer]:
            end.abort()

    def die(self, death: Death) -> None:
        """The life is over: what the others see of it.  A silent death is heard of after another call."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if death is Death.SILENT:
            return
        for end in list(self._ends):
            if death is Death.KILLED:
                end.close()
            else:
                end.abort()
        self._ends.clear()


class _End:
    """One end of a channel, between a stream and a handler: the handler's steps are its life's, the stream's are the
    world's."""

    def __init__(self, port: Port, life: Life, handler: Handler) -> None:
        self._port = port
        self._life = life
        self._handler = handler
        self._stream: Stream

    # -- Handler, towards the wires --

    def connected(self, stream: Stream) -> None:
        """See ``Handler.connected``; the dead do not answer."""
        self._stream = stream
        self._port.open(self)
        self._life.step(self._handler.connected, self)
        if not self._life.alive:
            neutrally(stream.abort)

    def data_received(self, data: bytes) -> None:
        """See ``Handler.data_received``."""
        self._life.step(self._handler.data_received, data)

    def eof_received(self) -> None:
        """See ``Handler.eof_received``."""
        self._life.step(self._handler.eof_received)

    def pause_writing(self) -> None:
        """See ``Handler.pause_writing``."""
        self._life.step(self._handler.pause_writing)

    def resume_writing(self) -> None:
        """See ``Handler.resume_writing``."""
        self._life.step(self._handler.resume_writing)

    def disconnected(self, error: Exception | None) -> None:
        """See ``Handler.disconnected``."""
        self._port.over(self)
        self._life.step(self._handler.disconnected, error)

    # -- Stream, towards the machine --

    @property
    def peer(self) -> Endpoint:
        """See ``Stream.peer``."""
        return self._stream.peer

    @property
    def local(self) -> Endpoint:
        """See ``Stream.local``."""
        return self._stream.local

    def write(self, data: bytes) -> None:
        """See ``Stream.write``."""
        neutrally(self._stream.write, data)

    def pause_reading(self) -> None:
        """See ``Stream.pause_reading``."""
        neutrally(self._stream.pause_reading)

    def resume_reading(self) -> None:
        """See ``Stream.resume_reading``."""
        neutrally(self._stream.resume_reading)

    def close(self) -> None:
        """See ``Stream.close``."""
        neutrally(self._stream.close)

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        """See ``Stream.close_gently``."""
        neutrally(self._stream.close_gently, seconds, octets)

    def abort(self) -> None:
        """See ``Stream.abort``."""
        neutrally(self._stream.abort)

    def set_handler(self, handler: Any) -> None:
        """See ``Stream.set_handler``."""
        self._handler = handler


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
