"""The network between simulated machines: each machine has an address, and its connections end when it crashes.

``SimulatedNetwork`` is one ``MemoryNetwork``; each machine has a ``Port`` to it, which is its ``Network``.  A port runs
what arrives as a step of the machine's process.  What the process writes is sent outside of the process, so that a
crash loses no octet that is already on its way.  Each new connection asks ``SimulatedNetwork.fault`` for its fault.
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
from posthouse.testing.simulation.loop import VirtualProcess, outside_processes

__all__ = ["CrashKind", "Port", "SimulatedNetwork"]

_FaultOf = Callable[[str, Endpoint], StreamFault]  # the fault of a new connection from an address to an endpoint


class CrashKind(enum.StrEnum):
    """Kind of a crash, by what the peers notice of it."""

    KILLED = "killed"  # the process: its system sends what was written, and closes the connections
    RESET = "reset"  # the process: its connections are reset, what was on its way is lost
    SILENT = "silent"  # the machine: the peers hear nothing until it runs again


class SimulatedNetwork(MemoryNetwork):
    """All connections of a world."""

    def __init__(self, clock: Clock, fault: _FaultOf, *, on_error: Callable[[BaseException], None]) -> None:
        super().__init__(clock, on_error=on_error)
        self.fault = fault


class Port:
    """A machine's ``Network``, for the life of one process."""

    def __init__(self, network: SimulatedNetwork, address: str, process: VirtualProcess) -> None:
        self.address = address
        self._network = network
        self._process = process
        self._listeners: list[Listener] = []
        self._ends: dict[_End, None] = {}

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        end = _End(self, self._process, handler)
        self._network.faults[endpoint] = self._network.fault(self.address, endpoint)
        connecting = self._network.connect(endpoint, end, source=source or self.address)
        task = asyncio.get_running_loop().create_task(connecting, context=contextvars.Context())
        task.add_done_callback(_retrieve, context=contextvars.Context())  # a stopped process does not
        try:
            await task
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and task.exception() is None:
                end.abort()  # it was opened at the same moment
            raise
        return end

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        def accept() -> Handler:
            return _End(self, self._process, factory())

        listener = await self._network.listen(endpoint, accept, backlog=backlog)
        self._listeners.append(listener)
        return listener

    def opened(self, end: _End) -> None:
        """A connection is open; called by its end."""
        self._ends[end] = None

    def closed(self, end: _End) -> None:
        """A connection is closed; called by its end."""
        self._ends.pop(end, None)

    def cut(self, peer: Endpoint) -> None:
        """Reset the connections to ``peer``."""
        for end in [end for end in self._ends if end.peer == peer]:
            end.abort()

    def crash(self, kind: CrashKind) -> None:
        """The process has stopped: show its peers what they notice of it.

        After ``CrashKind.SILENT`` a second call, when the machine runs again, ends its connections.
        """
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if kind is CrashKind.SILENT:
            return
        for end in list(self._ends):
            if kind is CrashKind.KILLED:
                end.close()
            else:
                end.abort()
        self._ends.clear()


class _End:
    """One end of a connection, between a stream and a handler.

    The handler's methods are steps of its process; the stream's methods run outside of it.
    """

    def __init__(self, port: Port, process: VirtualProcess, handler: Handler) -> None:
        self._port = port
        self._process = process
        self._handler = handler
        self._stream: Stream

    # -- Handler, called by the network --

    def connected(self, stream: Stream) -> None:
        self._stream = stream
        self._port.opened(self)
        self._process.step(self._handler.connected, self)
        if not self._process.alive:
            outside_processes(stream.abort)

    def data_received(self, data: bytes) -> None:
        self._process.step(self._handler.data_received, data)

    def eof_received(self) -> None:
        self._process.step(self._handler.eof_received)

    def pause_writing(self) -> None:
        self._process.step(self._handler.pause_writing)

    def resume_writing(self) -> None:
        self._process.step(self._handler.resume_writing)

    def disconnected(self, error: Exception | None) -> None:
        self._port.closed(self)
        self._process.step(self._handler.disconnected, error)

    # -- Stream, called by the process --

    @property
    def peer(self) -> Endpoint:
        return self._stream.peer

    @property
    def local(self) -> Endpoint:
        return self._stream.local

    def write(self, data: bytes) -> None:
        outside_processes(self._stream.write, data)

    def pause_reading(self) -> None:
        outside_processes(self._stream.pause_reading)

    def resume_reading(self) -> None:
        outside_processes(self._stream.resume_reading)

    def close(self) -> None:
        outside_processes(self._stream.close)

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        outside_processes(self._stream.close_gently, seconds, octets)

    def abort(self) -> None:
        outside_processes(self._stream.abort)

    def set_handler(self, handler: Any) -> None:
        self._handler = handler


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
