"""One process as the daemon: a ``Daemon`` runs until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from posthouse.core import EventSink, StorageError
from posthouse.service.config.model import Config
from posthouse.service.daemon.daemon import DRAIN, Daemon

__all__ = ["serve"]


async def serve(
    config: Config,
    *,
    ready: Callable[[Daemon], object] | None = None,
    drain: float = DRAIN,
    log: EventSink | Callable[..., object] | None = None,
    parent: int = -1,
    worker: int = -1,
) -> None:
    """Run a daemon until SIGTERM or SIGINT, then drain it; a second signal ends the process at once.

    Args:
        ready: called when the listeners are open.
        drain: seconds that sessions and attempts may take to finish.
        parent: in a worker process, a pipe that ends when the parent process has gone; this process then exits too.
        worker: the number of the worker process (``daemon.supervisor``), which shares its ports and ignores SIGINT;
            -1 for a daemon of one process.

    Raises ``SettingError`` or ``StorageError`` as ``Daemon.start`` does, and ``StorageError`` at the end if the spool
    was out of order.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    daemon = Daemon(config, log=log, share_ports=worker >= 0, control=worker <= 0)
    numbers = (signal.SIGTERM,) if worker >= 0 else (signal.SIGTERM, signal.SIGINT)

    def asked(number: int) -> None:
        if stop.is_set():
            daemon.log("ended", reason="a second signal")
            # Accepted mail is on stable storage, and the next start recovers the rest.  The log is written first.
            loop.call_soon(os._exit, 128 + number)
        stop.set()

    def uncaught(_: asyncio.AbstractEventLoop, problem: dict[str, Any]) -> None:
        daemon.log("fault", reason=problem["message"], error=problem.get("exception"))

    loop.set_exception_handler(uncaught)
    for number in numbers:
        loop.add_signal_handler(number, asked, number)
    if parent >= 0:
        loop.add_reader(parent, os._exit, 1)
    try:
        await daemon.start()
        if ready is not None:
            ready(daemon)
        await stop.wait()
        await daemon.drain(drain)
        if daemon.out_of_order:
            raise StorageError(daemon.out_of_order)
    finally:
        if parent >= 0:
            loop.remove_reader(parent)
        for number in numbers:
            loop.remove_signal_handler(number)
        loop.set_exception_handler(None)
