"""One process as the daemon: a ``Daemon`` runs until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from posthouse.core import EventSink
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
    """Be the daemon until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    ``ready`` is called when the doors are open.  Raises as ``Daemon.start`` does.  As one of several workers
    (``daemon.supervisor``), ``worker`` is which, its doors share their ports, ``parent`` is a pipe whose end means that
    the parent has vanished, so that this process goes too, and SIGINT is left alone.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    house = Daemon(config, log=log, share_ports=worker >= 0, control=worker <= 0)
    numbers = (signal.SIGTERM,) if worker >= 0 else (signal.SIGTERM, signal.SIGINT)

    def asked(number: int) -> None:
        if stop.is_set():
            house.log("ended", reason="a second signal")
            # What was promised is on stable storage; the next start tidies up.  The log's last line goes first.
            loop.call_soon(os._exit, 128 + number)
        stop.set()

    def uncaught(_: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        house.log("fault", reason=told["message"], error=told.get("exception"))

    loop.set_exception_handler(uncaught)
    for number in numbers:
        loop.add_signal_handler(number, asked, number)
    if parent >= 0:
        loop.add_reader(parent, os._exit, 1)
    try:
        await house.start()
        if ready is not None:
            ready(house)
        await stop.wait()
        await house.drain(drain)
    finally:
        if parent >= 0:
            loop.remove_reader(parent)
        for number in numbers:
            loop.remove_signal_handler(number)
        loop.set_exception_handler(None)
