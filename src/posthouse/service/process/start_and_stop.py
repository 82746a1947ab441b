"""Start and stop of a service that a program may ask for in any order, at any instant, and more than once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from posthouse.core import LocalError

__all__ = ["StartAndStop"]


class StartAndStop:
    """The life of one service: it is started once, and stopped once.

    A stop while the start is under way makes the start close what it has opened, at its next ``go_on``.  A start that
    fails or is cancelled has closed everything; a stop after it, or before any start, does nothing.

    Args:
        opened: opens everything; what it pushes on the stack is undone if it raises.
        closed: closes everything, within about so many seconds.
        unused: called at a stop before the start.
    """

    def __init__(
        self,
        opened: Callable[[contextlib.AsyncExitStack], Awaitable[None]],
        closed: Callable[[float], Awaitable[None]],
        unused: Callable[[], None],
    ) -> None:
        self._open, self._close, self._unused = opened, closed, unused
        self._state = "made"
        self._started: asyncio.Event | None = None  # set when ``start`` is over
        self._stopped: asyncio.Future[None] | None = None  # what ``stop`` does

    @property
    def running(self) -> bool:
        """Whether it was started and is not to stop; true while it starts, too."""
        return self._state == "running"

    async def start(self) -> None:
        """Open everything.  Raises what ``opened`` does, and ``LocalError`` after an earlier start or stop, and if
        ``stop`` is called meanwhile."""
        if self._state != "made":
            raise LocalError("this daemon was started or stopped before; make a new one")
        self._state = "running"
        self._started = asyncio.Event()
        try:
            async with contextlib.AsyncExitStack() as undo:
                await self._open(undo)
                undo.pop_all()
        except BaseException:
            self._state = "ended"
            raise
        finally:
            self._started.set()

    def go_on(self) -> None:
        """Called by ``opened`` after each step: raises ``LocalError`` if ``stop`` was called meanwhile."""
        if not self.running:
            raise LocalError("the daemon was stopped while it started")

    async def close(self, seconds: float) -> None:
        """Close everything; ``opened`` pushes it on its stack once all the parts are there."""
        self._state = "stopping"
        await self._close(seconds)

    async def stop(self, seconds: float) -> None:
        """Close everything.  A further call returns when the first has ended; a caller that is cancelled does not stop
        it."""
        if self._stopped is None:
            before, self._state = self._state, "stopping"
            self._stopped = asyncio.ensure_future(self._stop(before, seconds))
        await asyncio.shield(self._stopped)

    async def _stop(self, before: str, seconds: float) -> None:
        if self._started is None:
            self._unused()
        else:
            await self._started.wait()
        if before == "running" and self._state == "stopping":  # otherwise ``start`` has closed what it had opened
            await self._close(seconds)
        self._state = "ended"
