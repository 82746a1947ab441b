"""Listening sockets on the running asyncio loop.

A loop accepts from each listening socket in each of its turns: uvloop one connection, asyncio's own as many as its
backlog.  One is too few when hundreds come at once: each turn then also reads what the others have sent, and a client
waits for as many turns as there are connections before its own.  All at once would be too many.  So a listener takes up
to ``IN_ONE_TURN`` in a turn.

To look for more costs a system call, and what is found costs a task, which the loop's own way does not.  So a listener
looks once in ``RARELY`` connections, and each time as long as it finds many.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from posthouse.net.stream import Endpoint

__all__ = ["IN_ONE_TURN", "RARELY", "SocketListener"]

#: Connections that one listener accepts in one turn of the loop.
IN_ONE_TURN: Final = 32
#: Connections from one look for more to the next.
RARELY: Final = 16
_MANY: Final = 24  # found by one look: there is a flood


class SocketListener:
    """A listening socket; made by ``SocketNetwork`` only.

    ``factory`` makes the protocol of a connection; ``report`` is given what goes wrong with one that was accepted.
    """

    def __init__(
        self,
        sock: socket.socket,
        local: Endpoint,
        inode: int,
        factory: Callable[[], asyncio.BaseProtocol],
        report: Callable[[BaseException], object],
    ) -> None:
        self._socket = sock.dup()  # the loop owns ``sock``
        self._local = local
        self._inode = inode
        self._factory = factory
        self._report = report
        self._server: asyncio.Server | None = None
        self._due = False
        self._left = 0  # connections until the next look
        self._arriving: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket, backlog: int) -> None:
        """Begin to accept; ``backlog`` connections may wait."""
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if self._local.is_path else loop.create_server
        try:
            self._server = await create(self._accepted, sock=sock, backlog=IN_ONE_TURN)
            self._socket.listen(backlog)
        except BaseException:
            sock.close()
            self._socket.close()
            raise

    @property
    def local(self) -> Endpoint:
        return self._local

    def close(self) -> None:
        """Accept no more, and remove a unix socket's path if it is still this listener's."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        if self._inode:
            with contextlib.suppress(OSError):
                if os.lstat(self._local.host).st_ino == self._inode:
                    os.unlink(self._local.host)
            self._inode = 0

    def _accepted(self) -> asyncio.BaseProtocol:
        """The loop has accepted a connection: there may be more, which are taken once in this turn."""
        if self._left:
            self._left -= 1
        elif not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._accept_more)
        return self._factory()

    def _accept_more(self) -> None:
        self._due = False
        found = 0
        while found < IN_ONE_TURN - 1 and self._take_one():
            found += 1
        self._left = 0 if found >= _MANY else RARELY - 1

    def _take_one(self) -> bool:
        """Accept a connection, if one waits."""
        if self._socket.fileno() < 0:  # closed meanwhile
            return False
        try:
            connection, _ = self._socket.accept()
        except OSError:  # none waits; or no descriptor is left, which the loop meets as well
            return False
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._take(connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)
        return True

    async def _take(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._factory, connection)
        except Exception as error:
            connection.close()
            self._report(error)
