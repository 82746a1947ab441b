"""The thread of the browser: Playwright's event loop lives there, out of the way of tests that use asyncio."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that one call may take; the thread is a daemon, so a browser that hangs keeps no run from ending.
PATIENCE = 100.0


class BrowserThread:
    """Runs functions one after the other in one thread."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="browser", daemon=True).start()

    def run(self, function: Callable[..., T], *args: Any, **given: Any) -> T:
        """The result of a function, run in the thread.  Raises what it raises, and ``TimeoutError`` after 100 s."""
        future: Future[T] = Future()
        self._wanted.put((lambda: function(*args, **given), future))
        return future.result(PATIENCE)

    def end(self) -> None:
        """Let the thread end after what it does."""
        self._wanted.put(None)

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            function, future = wanted
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
