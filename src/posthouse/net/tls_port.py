"""TLS from the first octet of a connection (RFC 8314): a network whose channels all speak it, and the question whether
a port does, which a client that gets no greeting asks on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import Callable
from typing import Final

from posthouse.core import LocalError, NetworkError
from posthouse.net.blocking_connect import connect_blocking
from posthouse.net.clock import Clock
from posthouse.net.stream import Endpoint, Handler, HandlerFactory, Listener, Network, Stream
from posthouse.net.tls import HANDSHAKE_SECONDS, TlsStream, accepted_layer
from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import TlsEngine, TlsInfo

__all__ = ["TlsNetwork", "speaks_tls", "speaks_tls_blocking"]

#: Seconds for the connection, and again for the handshake: the host has just been reached.
_SECONDS: Final = 3.0


class TlsNetwork:
    """``Network`` whose channels all speak TLS from the first octet (RFC 8314), over the channels of another network.

    ``client`` is the context of connections that are opened, ``server`` is asked for that of each accepted one.
    ``server_name`` is the name that a client asks for and checks.  ``on_refused`` is called with the error of each
    accepted connection whose handshake failed.
    """

    def __init__(
        self,
        below: Network,
        *,
        clock: Clock,
        client: ssl.SSLContext | None = None,
        server: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
        on_refused: Callable[[Endpoint, NetworkError], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._below = below
        self._clock = clock
        self._client = client
        self._server = server
        self._server_name = server_name
        self._on_refused = on_refused
        self._on_error = on_error
        self._seconds = seconds

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> TlsStream:
        """Connect, and return when the handshake is over.  Raises ``Unreachable`` or ``TlsFailed``."""
        if self._client is None:
            raise LocalError("this network has no TLS settings for clients")
        up: asyncio.Future[TlsInfo] = asyncio.get_running_loop().create_future()

        def came_up(info: TlsInfo) -> None:
            if not up.done():
                up.set_result(info)

        def failed(error: NetworkError) -> None:
            if not up.done():
                up.set_exception(error)

        layer = TlsStream(
            self._client,
            handler,
            clock=self._clock,
            server_side=False,
            peer=self._server_name or str(endpoint),
            server_name=self._server_name,
            on_up=came_up,
            on_failed=failed,
            on_error=self._on_error,
            seconds=self._seconds,
        )
        await self._below.connect(endpoint, layer, source=source)
        try:
            await up
        except BaseException:
            layer.abort()
            raise
        return layer

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        """Accept connections; the handler that ``factory`` makes is connected when the handshake is over."""
        server = self._server
        if server is None:
            raise LocalError("this network has no TLS settings for servers")

        def accept() -> TlsStream:
            return accepted_layer(
                server(),
                factory(),
                clock=self._clock,
                on_refused=self._on_refused,
                on_error=self._on_error,
                seconds=self._seconds,
            )

        return await self._below.listen(endpoint, accept, backlog=backlog)


class _Mute:
    """A handler that does nothing with its channel."""

    def connected(self, stream: Stream) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def disconnected(self, error: Exception | None) -> None: ...


async def speaks_tls(network: Network, clock: Clock, endpoint: Endpoint) -> bool:
    """Whether a TLS handshake succeeds there; the certificate does not matter."""
    tls = TlsNetwork(network, clock=clock, client=client_context(verify=False), seconds=_SECONDS)
    with contextlib.suppress(NetworkError, TimeoutError):
        async with asyncio.timeout(2 * _SECONDS):
            stream = await tls.connect(endpoint, _Mute())
        stream.abort()
        return True
    return False


def speaks_tls_blocking(clock: Clock, endpoint: Endpoint) -> bool:
    """As ``speaks_tls``, without an event loop."""
    with contextlib.suppress(NetworkError, OSError):
        sock, _ = connect_blocking([endpoint], clock, timeout=_SECONDS)
        with sock:
            engine = TlsEngine(client_context(verify=False), server_side=False, peer=str(endpoint))
            sock.sendall(engine.start())
            end = clock.monotonic() + _SECONDS
            while engine.shaking and (left := end - clock.monotonic()) > 0:
                if not select.select([sock], [], [], left)[0]:
                    return False
                data = sock.recv(65_536)
                if data:
                    engine.receive(data)
                else:
                    engine.receive_eof()
                if pending := engine.pending():
                    sock.sendall(pending)
            return not engine.shaking
    return False
