"""Connections through a proxy, for both kinds of sessions: a ``Dial`` for blocking ones, a ``Network`` for others."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from posthouse.core import Phase, PosthouseError, TimedOut
from posthouse.net import Clock, Endpoint, Handler, HandlerFactory, Listener, Network, Stream, connect_any
from posthouse.net.blocking_connect import connect_blocking
from posthouse.net.hosts import addresses_blocking, addresses_of
from posthouse.sending.connection.proxies import ProxyAddress, ProxyDialogue, ProxyRefused, proxy_dialogue

__all__ = ["ProxyNetwork", "dial_through"]

_MOST_HEAD = 16_384


def dial_through(
    proxy: ProxyAddress, endpoints: Iterable[Endpoint], clock: Clock, /, *, source: str, timeout: float
) -> tuple[socket.socket, Endpoint]:
    """A ``client.blocking.Dial`` once ``proxy`` is bound.  Raises ``ProxyRefused``, ``Unreachable`` or ``TimedOut``."""
    ends = clock.monotonic() + timeout
    server = next(iter(endpoints))
    places = addresses_blocking(proxy.host, proxy.port)
    sock, _ = connect_blocking(places, clock, source=source, timeout=timeout)
    try:
        _run(proxy, proxy_dialogue(proxy, server.host, server.port), sock, lambda: ends - clock.monotonic())
    except BaseException:
        sock.close()
        raise
    return sock, server


def _run(proxy: ProxyAddress, dialogue: ProxyDialogue, sock: socket.socket, left: Callable[[], float]) -> None:
    answer: bytes | None = None
    try:
        while True:
            wanted = dialogue.send(answer) if answer is not None else next(dialogue)
            answer = None
            if isinstance(wanted, bytes):
                _wait(proxy, sock, left(), writing=True)
                sock.sendall(wanted)  # a few hundred octets, which a fresh connection takes at once
            else:
                answer = b""
                while not _complete(answer, wanted):
                    _wait(proxy, sock, left())
                    data = sock.recv(wanted - len(answer) if wanted else 1)
                    if not data:
                        raise ProxyRefused(f"the proxy {proxy} ended the connection")
                    answer += data
    except StopIteration:
        return
    except OSError as error:
        if isinstance(error, PosthouseError):
            raise
        raise ProxyRefused(f"the connection to the proxy {proxy} was lost: {error.strerror or error}") from error


def _complete(answer: bytes, wanted: int) -> bool:
    """Whether this is all that the dialogue needs."""
    return len(answer) >= wanted if wanted else answer.endswith(b"\r\n\r\n") or len(answer) >= _MOST_HEAD


def _wait(proxy: ProxyAddress, sock: socket.socket, seconds: float, *, writing: bool = False) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE if writing else selectors.EVENT_READ)
        if not selector.select(max(0.0, seconds)):
            raise _late(proxy)


def _late(proxy: ProxyAddress) -> TimedOut:
    error = TimedOut(f"the proxy {proxy} did not answer in time")
    error.phase = Phase.PROXY
    return error


class ProxyNetwork:
    """A network whose connections go through a proxy; the endpoints may have names."""

    def __init__(self, inner: Network, clock: Clock, proxy: ProxyAddress, seconds: float) -> None:
        self._inner = inner
        self._clock = clock
        self._proxy = proxy
        self._seconds = seconds
        #: What has happened if the time to connect is over now: not None while the proxy is asked.
        self.late: TimedOut | None = None

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        """Connect to the proxy, and let it connect to ``endpoint``."""
        proxy = self._proxy
        places = await addresses_of(proxy.host, proxy.port, timeout=self._seconds)
        make = partial(_ProxyHandler, proxy, endpoint)
        stream, asking = await connect_any(self._inner, self._clock, places, make, source=source, timeout=self._seconds)
        self.late = _late(proxy)
        try:
            asking.begin(stream)
            rest = await asking.ended
        except BaseException as error:
            stream.abort()
            if not isinstance(error, asyncio.CancelledError):
                self.late = None
            raise
        self.late = None
        proxied = cast(Stream, _StreamBehindProxy(stream, endpoint))
        stream.set_handler(handler)
        handler.connected(proxied)
        if rest:
            handler.data_received(rest)
        return proxied

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        """Listen without the proxy."""
        return await self._inner.listen(endpoint, factory, backlog=backlog)


class _ProxyHandler:
    """The dialogue with a proxy on a stream; ``ended`` has the octets behind it, which are the server's."""

    def __init__(self, proxy: ProxyAddress, server: Endpoint) -> None:
        self._proxy = proxy
        self._dialogue = proxy_dialogue(proxy, server.host, server.port)
        self._buffer = b""
        self._wanted = -1
        self._stream: Stream | None = None
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # an attempt that lost

    def begin(self, stream: Stream) -> None:
        """Begin the dialogue."""
        self._stream = stream
        self._go_on(None)
        self._read()

    def connected(self, stream: Stream) -> None: ...

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read()

    def _read(self) -> None:
        while not self.ended.done() and self._wanted >= 0:
            end = self._wanted or self._buffer.find(b"\r\n\r\n") + 4
            if (end < 4 and not self._wanted) or len(self._buffer) < end:
                if len(self._buffer) < _MOST_HEAD:
                    return
                end = len(self._buffer)
            answer, self._buffer = self._buffer[:end], self._buffer[end:]
            self._go_on(answer)

    def _go_on(self, answer: bytes | None) -> None:
        assert self._stream is not None, "a handler that has begun"
        try:
            while True:
                wanted = next(self._dialogue) if answer is None else self._dialogue.send(answer)
                answer = None
                if isinstance(wanted, int):
                    self._wanted = wanted
                    return
                self._stream.write(wanted)
        except StopIteration:
            self._wanted = -1
            self._end(None)
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(self._buffer)
        else:
            self.ended.set_exception(error)

    def eof_received(self) -> None:
        self._end(ProxyRefused(f"the proxy {self._proxy} ended the connection"))

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def disconnected(self, error: Exception | None) -> None:
        self._end(ProxyRefused(f"the connection to the proxy {self._proxy} was lost"))


class _StreamBehindProxy:
    """The stream to a proxy as one to the server behind it."""

    def __init__(self, stream: Stream, server: Endpoint) -> None:
        self._stream = stream
        self.peer = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
