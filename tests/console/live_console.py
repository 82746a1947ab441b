"""A console that listens: its server, its daemon (which is not started) and an ephemeral spool, in a thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posthouse.console.app import Console
from posthouse.console.http_server import HttpServer
from posthouse.console.operating import ContextRunner
from posthouse.net import SystemClock
from posthouse.service import Config, Daemon, parse
from posthouse.service.config.console_settings import ConsoleSettings
from posthouse.spool import SqliteSpool
from posthouse.testing import MemoryNetwork, StaticResolver

T = TypeVar("T")

_PATIENCE = 60.0

CONFIG = """
hostname = "mx.here.test"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "here.test"
mailboxes = ["ann", "bob"]
"""


class LiveConsole:
    """A context manager: ``address`` is where a browser finds it, ``run`` runs an async function in its loop.

    The daemon listens nowhere and connects to nothing; what stands in its spool is put there by tests.
    """

    def __init__(self, config: Config | None = None, settings: ConsoleSettings | None = None) -> None:
        self._own = config is None
        self.config = parse(CONFIG) if config is None else config
        self.settings = self.config.console if settings is None else settings
        self.faults: list[dict[str, Any]] = []
        #: Requests and how each was answered: the status; of a socket 101, or the code by which it was closed.
        self.answered: list[tuple[str, int]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="live-console")
        self._error: BaseException | None = None
        self.daemon: Daemon
        self.spool: SqliteSpool
        self.console: Console
        self._loop: asyncio.AbstractEventLoop
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}{self.settings.base_path}"

    def __enter__(self) -> LiveConsole:
        self._thread.start()
        assert self._ready.wait(_PATIENCE)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **given: Any) -> T:
        """The result of an async function, run in the console's event loop."""
        return asyncio.run_coroutine_threadsafe(function(*args, **given), self._loop).result(_PATIENCE)

    async def _main(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
            self.spool = SqliteSpool.ephemeral()
            if self._own:  # nothing is written into the working directory
                self.config = replace(self.config, data_dir=os.path.dirname(self.spool._layout.root))
            self.daemon = Daemon(
                self.config,
                network=MemoryNetwork(SystemClock()),
                spool=self.spool,
                resolver=StaticResolver({}),
                log=lambda event, /, **fields: None,
            )
            await self.spool.open(self.daemon.clock.time())
            self.console = Console(
                ContextRunner(self.daemon.context, os.path.dirname(self.spool._layout.root)),
                settings=self.settings,
                log=self._log,
            )
            self._server = HttpServer(self._noted())
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ready.set()
        await self._server.serve(self._socket)
        await self.spool.close()

    def _noted(self) -> ASGIApp:
        """The application, which notes how it answers."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            async def note(message: Message) -> None:
                kind = message["type"]
                if kind == "http.response.start":
                    self.answered.append((f"{scope['method']} {scope['path']}", message["status"]))
                elif kind in ("websocket.accept", "websocket.close"):
                    self.answered.append((f"WebSocket {scope['path']}", message.get("code", 101)))
                await send(message)

            await self.console.guarded(scope, receive, note)

        return noted

    def _stop(self) -> None:
        self.console.close()
        self._server.stop()

    def _log(self, event: str, /, **fields: Any) -> None:
        self.faults.append(fields)
