"""HTTP clients that are too slow: half a header section, half a body, an answer that is not taken."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from posthouse.console.http_server import HttpServer
from posthouse.console.security import slow_clients

PATIENCE = 60.0
LARGE = 64 << 20


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The test, run in an event loop of its own."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers with its size, or with much at /large."""
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/large":
        for _ in range(LARGE >> 16):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
    await send({"type": "http.response.body", "body": b"%d" % size})


class Served:
    """A server on a port of its own."""

    def __init__(self) -> None:
        self.server = HttpServer(answering)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, octets: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.socket.getsockname())
        writer.write(octets)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close the clients' ends."""
        for each in self._writers:
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()

    @property
    def connections(self) -> list[slow_clients.TimedConnection]:
        known = self.server._server.server_state.connections
        return [each for each in known if isinstance(each, slow_clients.TimedConnection)]

    async def until(self, met: Callable[[slow_clients.TimedConnection], object], count: int = 1) -> None:
        """Wait until ``count`` connections meet a condition."""
        async with asyncio.timeout(PATIENCE):
            while sum(bool(met(each)) for each in self.connections) < count:
                await asyncio.sleep(0.005)

    def look(self, later: float) -> None:
        """Look for slow clients, as if so many seconds had gone by."""
        self.server.end_slow_clients(asyncio.get_running_loop().time() + later)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    served = Served()
    running = asyncio.ensure_future(served.server.serve(served.socket))
    try:
        yield served
    finally:
        await served.close()
        served.server.stop()
        await running


async def all_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await reader.read(-1)
    return b""


@in_a_loop
async def test_half_a_header_section_is_answered_408() -> None:
    async with serving() as served:
        reader, writer = await served.open(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await served.until(lambda it: it._begun)
        served.look(29)
        assert len(served.connections) == 1
        writer.write(b"X: y\r\n")  # one more line gains no time
        await served.until(lambda it: it._taken > 25)
        served.look(31)
        answer = await all_of(reader)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"30 s\n")


@in_a_loop
async def test_a_client_that_says_nothing_is_left() -> None:
    async with serving() as served:
        reader, _ = await served.open()
        await served.until(lambda it: True)
        served.look(31)
        assert await all_of(reader) == b""


@in_a_loop
async def test_a_body_must_go_on() -> None:
    async with serving() as served:
        reader, writer = await served.open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        await served.until(lambda it: it._window[0] > 0)
        writer.write(b"x" * 20_000)
        await served.until(lambda it: it._taken > 20_000)
        served.look(31)  # enough came
        assert len(served.connections) == 1
        writer.write(b"x")
        await served.until(lambda it: it._taken > 20_001)
        served.look(70)
        assert await all_of(reader) == b""


@in_a_loop
async def test_a_body_in_time_is_answered() -> None:
    async with serving() as served:
        reader, writer = await served.open(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n"
        )
        await served.until(lambda it: it._window[0] > 0)
        served.look(29)
        writer.write(b"abc")
        assert (await all_of(reader)).endswith(b"3\r\n0\r\n\r\n")


@in_a_loop
async def test_an_answer_must_be_taken() -> None:
    async with serving() as served:
        _, writer = await served.open(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await served.until(lambda it: it._stuck is not None)
        served.look(59)
        assert len(served.connections) == 1
        [ended] = served.connections
        served.look(61)
        assert ended.transport.is_closing()
        writer.close()


@in_a_loop
async def test_the_longest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "CONNECTIONS", 3)
    async with serving() as served:
        first, _ = await served.open()
        await served.until(lambda it: True, 1)
        others = [await served.open() for _ in range(5)]
        assert await all_of(first) == b""
        reader, writer = others[-1]
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 200 ")
        assert len(served.connections) <= 3
