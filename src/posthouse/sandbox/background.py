"""A server on an event loop of its own, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

from posthouse.core import LocalError, SettingError
from posthouse.net import Endpoint
from posthouse.sandbox.sandbox_server import SandboxServer

__all__ = ["BackgroundServer"]

#: Seconds that the thread may take to start or to end; only a machine that stands still needs them.
_SECONDS: Final = 60.0
#: Turns of the loop in which what was cut ends.
_TURNS: Final = 100


class BackgroundServer:
    """The thread of one sandbox.  ``make`` makes the server, inside the thread."""

    def __init__(self, make: Callable[[], SandboxServer]) -> None:
        self._make = make
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._begun = threading.Event()
        self._failures: list[BaseException] = []
        self._process = 0
        #: The server, once it was started.
        self.server: SandboxServer | None = None
        #: Where it listens.
        self.place: Endpoint | None = None

    def start(self, where: Endpoint) -> None:
        """Listen.  Raises ``SettingError`` if that is not possible, ``LocalError`` if it has been started already."""
        if self._thread is not None:
            raise LocalError("the sandbox has been started already")
        self._process = os.getpid()
        self._begun.clear()
        self._thread = thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(where)), name="posthouse-sandbox", daemon=True
        )
        thread.start()
        if not self._begun.wait(_SECONDS):
            raise SettingError(f"the sandbox did not start within {_SECONDS:.0f} s", remedy="try again")
        failures, self._failures = self._failures, []
        if failures:
            self._thread = None
            thread.join(_SECONDS)
            raise failures[0]

    def stop(self) -> None:
        """Cut all connections and end the thread.  A second call does nothing, nor one in a fork, which has no
        thread."""
        thread, self._thread = self._thread, None
        if thread is None or self._process != os.getpid():
            return
        assert self._loop is not None
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        thread.join(_SECONDS)

    def cut(self) -> None:
        """Cut all open connections; returns when it is done.  Raises ``LocalError`` after ``stop``."""
        if self._thread is None or self._loop is None:
            raise LocalError("the sandbox does not run; write `with Sandbox() as sandbox:`")
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(_SECONDS)

    async def _serve(self, where: Endpoint) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = self._make()
            self.place = await server.listen(where)
            self.server = server
        except BaseException as error:
            self._failures.append(error)
            return
        finally:
            self._begun.set()
        await self._over.wait()
        await server.drain(0.0)
        await self._ended(server)

    async def _cut(self) -> None:
        assert self.server is not None
        self.server.cut()
        await self._ended(self.server)

    async def _ended(self, server: SandboxServer) -> None:
        """Wait for the end of what was cut, which comes in one of the next turns of the loop."""
        for _ in range(_TURNS):
            if not server.sessions:
                break
            await asyncio.sleep(0)
