"""The HTTP server of the console: uvicorn, driven by us, in a process of its own or in another program's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from posthouse.console.security.slow_clients import CONNECTIONS, TimedConnection, end_slow_clients

__all__ = ["HttpServer"]

#: Seconds for open responses to end when the server stops, and that an idle connection is kept.
_GRACE: Final = 2
_KEEP_ALIVE: Final = 75
#: Seconds between two looks for clients that are too slow.
_LOOK: Final = 5.0


class HttpServer:
    """A server of one application.

    Args:
        app: what is served.
        tls: the certificate for HTTPS; None for HTTP.
    """

    def __init__(self, app: ASGIApp, *, tls: ssl.SSLContext | None = None) -> None:
        config = uvicorn.Config(
            app,
            http=TimedConnection,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
            limit_concurrency=CONNECTIONS + 1,
        )
        config.load()
        config.ssl = tls
        self._server = _Uvicorn(config)

    async def serve(self, listening: socket.socket) -> None:
        """Serve until ``stop``, on a socket that listens already."""
        looking = asyncio.ensure_future(self._look())
        try:
            await self._server.serve(sockets=[listening])
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK)
            self.end_slow_clients(loop.time())

    def end_slow_clients(self, now: float) -> None:
        """End the connections whose clients have been too slow at ``now``, of the event loop's clock."""
        end_slow_clients(self._server.server_state.connections, now)

    def stop(self) -> None:
        """Accept no more connections, and end the open ones within 2 s."""
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of the program around the server."""
        yield
