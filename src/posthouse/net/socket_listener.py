"""Listening sockets on the running asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import os

from posthouse.net.stream import Endpoint

__all__ = ["SocketListener"]


class SocketListener:
    """A listening socket; made by ``SocketNetwork`` only."""

    def __init__(self, server: asyncio.Server, local: Endpoint, inode: int) -> None:
        self._server = server
        self._local = local
        self._inode = inode

    @property
    def local(self) -> Endpoint:
        return self._local

    def close(self) -> None:
        """Accept no more, and remove a unix socket's path if it is still this listener's."""
        self._server.close()
        if self._inode:
            with contextlib.suppress(OSError):
                if os.lstat(self._local.host).st_ino == self._inode:
                    os.unlink(self._local.host)
            self._inode = 0
