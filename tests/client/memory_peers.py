"""Scripted servers without sockets, for both channels of the sending session: octets are answered at once.

A ``Wire`` sends as many octets of its server as it may, and then ends or resets the connection.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Protocol

from posthouse.client import connect, open_blocking
from posthouse.core import Broken, PosthouseError
from posthouse.net import Endpoint, Handler, SystemClock

from .secured_peers import ENVELOPE, LIMITS, MESSAGE

SERVER, CLIENT = Endpoint("127.0.0.1", 25), Endpoint("127.0.0.1", 50_000)


class Peer(Protocol):
    """A server without I/O."""

    over: bool

    def begin(self) -> bytes: ...

    def receive(self, data: bytes) -> bytes: ...


class Wire:
    """One connection: ``seen`` are the client's octets, ``said`` the number of the server's."""

    def __init__(self, server: Peer, at_most: int = 1 << 30, *, reset: bool = False) -> None:
        self._server = server
        self._at_most = at_most
        self._reset = reset
        self.seen = b""
        self.said = 0
        self.cut = False
        self.over = False
        self._out = b""
        self._say(server.begin())

    def _say(self, data: bytes) -> None:
        data = data[: self._at_most - self.said]
        self.said += len(data)
        self._out += data
        if self.said >= self._at_most and not self._server.over:
            self.cut = True
        self.over = self.cut or self._server.over

    def take(self, data: bytes) -> None:
        """Octets of the client."""
        self.seen += data
        if not self.over:
            try:
                answer = self._server.receive(data)
            except PosthouseError:  # the client has broken TLS off
                self.over = True
                return
            self._say(answer)

    def give(self) -> bytes | None:
        """Octets of the server; b"" at its end, None if there are none now.  Raises ``ConnectionResetError``."""
        if self._out:
            data, self._out = self._out, b""
            return data
        if self.over and self.cut and self._reset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        return b"" if self.over else None


class _Stream:
    """The client's stream of ``net``, and the network in which it is opened."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._handler: Any = None
        self._open = True
        self.peer, self.local = SERVER, CLIENT

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Any:
        self._handler = handler
        handler.connected(self)
        self._soon()
        return self

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._open:
            try:
                data = self._wire.give()
            except ConnectionResetError:
                self._end(Broken("the connection was reset"))
                return
            if data is None:
                return
            if data:
                self._handler.data_received(data)
                continue
            self._handler.eof_received()
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._open:
            self._open = False
            self._handler.disconnected(error)

    def write(self, data: bytes) -> None:
        if self._open:
            self._wire.take(data)
            self._soon()

    def set_handler(self, handler: Handler) -> None:
        self._handler = handler

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._end, None)

    abort = close

    def close_gently(self, seconds: float = 5.0, octets: int = 0) -> None:
        self.close()


class _Socket:
    """The client's socket; its descriptor is one that is always ready."""

    def __init__(self, wire: Wire, ready: socket.socket) -> None:
        self._wire = wire
        self._ready = ready

    def fileno(self) -> int:
        return self._ready.fileno()

    def getsockname(self) -> tuple[str, int]:
        return CLIENT.host, CLIENT.port

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, level: int, option: int, value: bytes) -> None: ...

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        self._wire.take(bytes(data))
        return len(data)

    def recv(self, at_most: int, flags: int = 0) -> bytes:
        data = self._wire.give()
        if data is None:
            raise BlockingIOError
        return data

    def close(self) -> None: ...


def deliver_in_memory(kind: str, wire: Wire, **settings: Any) -> Any:
    """Open a session on the wire, send one message and quit, over asyncio or blocking; the outcomes."""
    settings = {"hostname": "client.example", "timeouts": LIMITS, **settings}
    if kind == "asyncio":
        return asyncio.run(_deliver(wire, settings))
    left, right = socket.socketpair()
    with left, right:
        right.send(b"x")
        fake: Any = _Socket(wire, left)
        with open_blocking([SERVER], dial=lambda *places, **rest: (fake, SERVER), **settings) as session:
            return session.deliver(ENVELOPE, MESSAGE)


async def _deliver(wire: Wire, settings: dict[str, Any]) -> Any:
    network: Any = _Stream(wire)
    async with asyncio.timeout(60):
        session = await connect([SERVER], network=network, clock=SystemClock(), **settings)
        try:
            return await session.deliver(ENVELOPE, MESSAGE)
        finally:
            await session.quit()
