"""The link of a worker process to its parent (``daemon.supervisor``).

The worker writes to one pipe: ``ready`` once its listeners are open, ``draining`` when it closes them, and a beat every
second, by which the parent knows that its event loop runs.  It reads from another: which other workers' connections it
shall take, because they hang, drain or have died (``take 1``), and when to leave them again (``leave 1``).  The second
pipe ends when the parent has gone, and the worker then exits at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from posthouse.net import Endpoint
from posthouse.service.daemon import forks
from posthouse.service.policy.shared_counts import SharedCounts

if TYPE_CHECKING:
    from posthouse.service.daemon.daemon import Daemon

__all__ = ["BEAT", "ParentLink"]

#: Seconds between two beats.
BEAT: Final = 1.0

#: The listening sockets of one worker, by address.
_Sockets = Mapping[Endpoint, socket.socket]


class ParentLink:
    """The link of worker ``number``.

    Args:
        sockets: the listening sockets of every worker, by its number.
        status: the pipe to write to.
        orders: the pipe to read from.
        counts: the counts of limits that all workers share.
    """

    def __init__(
        self, number: int, sockets: Sequence[_Sockets], status: int, orders: int, counts: SharedCounts
    ) -> None:
        self.number = number
        self.counts = counts.seen_by(number)
        self.sockets = sockets[number]
        self._all = sockets
        self._status = status
        self._orders = orders
        self._input = b""
        self._daemon: Daemon | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.Task[None] | None = None
        self._wanted: list[tuple[str, int]] = []
        for descriptor in (status, orders):
            os.set_blocking(descriptor, False)
        forks.private.update((status, orders))

    def watch(self, daemon: Daemon) -> None:
        """Begin to beat, and to do what the parent orders."""
        self._daemon = daemon
        asyncio.get_running_loop().add_reader(self._orders, self._read)
        self._beat()

    def ready(self) -> None:
        """Tell that the listeners are open."""
        self._write(b"ready\n")

    def draining(self) -> None:
        """Tell that the worker accepts no more connections, and close its copies of all sockets.

        A copy that stays open would keep connections waiting after the last worker has closed its listeners.
        """
        self._write(b"draining\n")
        for sockets in self._all:
            for sock in sockets.values():
                sock.close()

    def failed(self, text: str) -> None:
        """Tell why the worker cannot start."""
        self._write(text.encode("utf-8", "replace")[:4000])

    def close(self) -> None:
        """Stop beating and reading; the pipes stay open until the process ends."""
        if self._timer is not None:
            self._timer.cancel()
        if self._daemon is not None:
            asyncio.get_running_loop().remove_reader(self._orders)

    def _beat(self) -> None:
        self._write(b".\n")
        self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _write(self, text: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # the parent is stopped, or has gone
            os.write(self._status, text)

    def _read(self) -> None:
        try:
            data = os.read(self._orders, 4096)
        except BlockingIOError:
            return
        if not data:
            os._exit(1)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            verb, _, number = line.decode("ascii").partition(" ")
            self._wanted.append((verb, int(number)))
        if self._taking is None:
            self._taking = asyncio.get_running_loop().create_task(self._obey())

    async def _obey(self) -> None:
        assert self._daemon is not None
        try:
            while self._wanted:
                verb, number = self._wanted.pop(0)
                if verb == "leave":
                    self._daemon.leave(number)
                elif number != self.number:
                    with contextlib.suppress(OSError):  # closed meanwhile, because the daemon stops
                        await self._daemon.take(number, self._all[number])
        finally:
            self._taking = None
