"""Does a port speak TLS from the first octet?  A client that gets no greeting asks this on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import Final

from posthouse.core import NetworkError
from posthouse.net.blocking_connect import connect_blocking
from posthouse.net.clock import Clock
from posthouse.net.stream import Endpoint, Network, Stream
from posthouse.net.tls import TlsNetwork
from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import TlsEngine

__all__ = ["speaks_tls", "speaks_tls_blocking"]

#: Seconds for the connection, and again for the handshake: the host has just been reached.
_SECONDS: Final = 3.0


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
