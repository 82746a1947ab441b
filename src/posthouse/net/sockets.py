"""The real network: TCP and unix sockets on the running asyncio loop (asyncio's own, or uvloop).

One object per connection is both asyncio's protocol and the ``Stream`` of the contract, with slots and no buffer of its
own.  The loop reads into **one** buffer shared by all connections: ``get_buffer``, the read and ``buffer_updated``
happen in one turn with nothing between, so the buffer is free again before the next connection needs it.  An idle
connection costs its socket, the loop's transport and one small object: 1.8 KiB resident on asyncio, 1.6 on uvloop
(5,000 of them, Python 3.11).  (Selector loops and uvloop only: a proactor loop reads while others run and would need a
buffer each.)

What was read from a peer and is not handled yet stays in memory, so an accepted connection is read 16 KiB at a time.
Only a peer that has sent more than 64 KiB since we wrote something is read in pieces of 256 KiB: that is content, which
is handed on at once.  For the same reason an accepted connection queues no more than 16 KiB of output before
``pause_writing``, and its buffer in the kernel is small.

``OSError`` is translated at this border (``net.system``), once, with the cause kept.

Over budget: what the handler calls and what the loop calls read and write the same fields of one connection.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import os
import socket
import weakref
from collections.abc import Callable, Mapping
from typing import cast

from posthouse.net.drain_budget import DrainBudget
from posthouse.net.no_handler import Nobody
from posthouse.net.socket_listener import SocketListener
from posthouse.net.stream import Endpoint, Handler, HandlerFactory
from posthouse.net.system import (
    address_of,
    broken_by,
    ended_by,
    endpoint_of,
    listening_socket,
    new_socket,
    not_listening,
    unreachable,
)

__all__ = ["FLUSH_SECONDS", "READ_SIZE", "SocketNetwork", "SocketStream"]

READ_SIZE = 262_144
_FIRST_READS = 16_384
_LARGE_READS_FROM = 65_536
_QUEUED_AT_MOST = 16_384
FLUSH_SECONDS = 60.0

_ANY_ADDRESS = ("0.0.0.0", "::", "")  # listened at, so that each connection has another local end

_FATAL = (KeyboardInterrupt, SystemExit)


class _SocketState(enum.Enum):
    """The states of a connection; the handler gets data in OPEN only."""

    OPEN = enum.auto()
    DRAINING = enum.auto()  # close_gently: this side is shut, the peer's last octets are dropped
    CLOSING = enum.auto()
    ENDED = enum.auto()


_OPEN, _DRAINING, _CLOSING, _ENDED = _SocketState


_NOBODY: Handler = Nobody()


class SocketStream(asyncio.BufferedProtocol):
    """One connection; made by ``SocketNetwork`` only."""

    __slots__ = (
        "_buffer",
        "_eof",
        "_fault",
        "_first",
        "_handler",
        "_large",
        "_local",
        "_network",
        "_octets",
        "_paused",
        "_state",
        "_timer",
        "_transport",
        "_unanswered",
        "peer",
    )
    _transport: asyncio.Transport

    def __init__(
        self,
        network: SocketNetwork,
        handler: Handler,
        first: memoryview,
        large: memoryview,
        peer: Endpoint | None,
        local: Endpoint | None = None,
    ) -> None:
        self._network = network
        self._local = local  # None: the system is asked
        self._handler = handler
        self._buffer = self._first = first
        self._large = large
        self._unanswered = 0  # octets of the long reads since the last write
        self.peer = peer or Endpoint("")
        self._state = _OPEN
        self._paused = False
        self._eof = False
        self._octets = 0
        self._timer: asyncio.TimerHandle | None = None
        self._fault: BaseException | None = None

    # -- Stream: what the handler calls --

    @property
    def local(self) -> Endpoint:
        """The local end; without a name once the connection has ended, if the system must be asked for it."""
        if self._local is not None:
            return self._local
        return endpoint_of(self._transport.get_extra_info("sockname"))

    def write(self, data: bytes) -> None:
        if data and self._state is _OPEN:
            if self._unanswered:
                self._unanswered = 0
                self._buffer = self._first
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._state is _OPEN and not self._paused:
            self._paused = True
            if not self._eof:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._state is _OPEN and self._paused:
            self._paused = False
            if not self._eof:  # the loop would read the end a second time
                self._transport.resume_reading()

    def close(self) -> None:
        if self._state is _OPEN:
            self._state = _CLOSING
            self._finish()

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        if self._state is not _OPEN:
            return
        if self._eof:  # nothing unread can be left, so nothing can provoke a reset
            self.close()
            return
        self._state = _DRAINING
        self._octets = octets
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)
        if self._paused:
            self._transport.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the peer is gone already
            self.abort()

    def abort(self) -> None:
        if self._state is not _ENDED:
            self._state = _CLOSING
            self._transport.abort()

    def set_handler(self, handler: Handler) -> None:
        if self._state is not _ENDED:
            self._handler = handler

    def forget(self) -> None:
        """Close the descriptor and nothing else: the loop is closed, or belongs to the process from which this one was
        forked, whose list of watched descriptors the kernel shares with this one."""
        self._state = _ENDED
        self._handler = _NOBODY
        sock = getattr(self._transport, "_sock", None)  # asyncio's own transports
        if isinstance(sock, socket.socket):
            sock.close()
            self._transport._sock = None  # type: ignore[attr-defined]  # it would be missed by the transport's __del__
            return
        descriptor = self._transport.get_extra_info("socket")
        number = -1 if descriptor is None else descriptor.fileno()
        if number >= 0:  # uvloop's: it closes this number itself, later
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            os.close(null)

    # -- BufferedProtocol: what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is open."""
        self._transport = cast(asyncio.Transport, transport)
        if not self.peer.host:  # accepted, not connected to
            self.peer = endpoint_of(transport.get_extra_info("peername"))
            self._transport.set_write_buffer_limits(_QUEUED_AT_MOST)
        try:
            self._handler.connected(self)
        except _FATAL:
            raise
        except BaseException as error:
            self._blame(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The loop is about to read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The loop has read."""
        if self._state is _OPEN:
            data = bytes(self._buffer[:nbytes])
            if nbytes >= _FIRST_READS:
                self._unanswered += nbytes
                if self._unanswered > _LARGE_READS_FROM:
                    self._buffer = self._large
            try:
                self._handler.data_received(data)
            except _FATAL:
                raise
            except BaseException as error:
                self._blame(error)
        elif self._state is _DRAINING:
            self._octets -= nbytes
            if self._octets < 0:
                self.abort()
            else:
                self._network.budget().spend(self, nbytes)

    def eof_received(self) -> bool:
        """The loop has read the end; True keeps the channel open."""
        self._eof = True
        if self._state is not _OPEN:
            return False
        try:
            self._handler.eof_received()
        except _FATAL:
            raise
        except BaseException as error:
            self._blame(error)
        return True

    def pause_writing(self) -> None:
        """The loop's queue is past its high-water mark."""
        if self._state is _OPEN:
            try:
                self._handler.pause_writing()
            except _FATAL:
                raise
            except BaseException as error:
                self._blame(error)

    def resume_writing(self) -> None:
        """The loop's queue has drained."""
        if self._state is _OPEN:
            try:
                self._handler.resume_writing()
            except _FATAL:
                raise
            except BaseException as error:
                self._blame(error)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport has ended."""
        self._state = _ENDED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Handler and stream refer to each other; the circle is broken here, so that no garbage collection is needed.
        handler, self._handler = self._handler, _NOBODY
        error = ended_by(self._fault) if self._fault else broken_by(exc, self.peer) if exc is not None else None
        self._fault = None
        try:
            handler.disconnected(error)
        except _FATAL:
            raise
        except BaseException as fault:
            self._network.report(fault)

    # -- Draining: what the budget calls --

    def hold(self) -> None:
        """Read no more for the moment."""
        self._transport.pause_reading()

    def drain_on(self) -> bool:
        """Read and drop on."""
        draining = self._state is _DRAINING and not self._transport.is_closing()
        if draining:
            self._transport.resume_reading()
        return draining

    # -- inside --

    def _finish(self) -> None:
        """Flush and end, within a bounded time."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._network.flush_seconds, self.abort)

    def _blame(self, error: BaseException) -> None:
        """The handler has raised: report the exception and end this connection."""
        self._network.report(error)
        self._fault = error
        self.abort()


class SocketNetwork:
    """``Network`` on this machine's sockets.

    ``reuse_port`` lets several processes listen at one address, and the kernel distributes the connections.
    ``prepared`` are listening sockets, by endpoint, which ``listen`` takes instead of opening its own.
    ``on_error`` is given every exception that a handler (or a handler's factory) raised; by default the loop's
    exception handler is.  ``flush_seconds`` bounds what ``close`` waits for a peer that does not read.

    An IPv6 listener accepts IPv6 only, also at ``::``.  An IPv4 client would appear there as ``::ffff:192.0.2.1``,
    which no rule for ``192.0.2.0/24`` matches.  Listen at ``0.0.0.0`` as well to accept both.
    """

    def __init__(
        self,
        *,
        reuse_port: bool = False,
        prepared: Mapping[Endpoint, socket.socket] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        read_size: int = READ_SIZE,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self.flush_seconds = flush_seconds
        self._reuse_port = reuse_port
        self._prepared = {} if prepared is None else prepared
        self._on_error = on_error
        self._read_size = read_size
        self._buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()
        self._budgets: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, DrainBudget] = weakref.WeakKeyDictionary()

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> SocketStream:
        loop = asyncio.get_running_loop()
        buffer = self._buffer(loop)
        stream = SocketStream(self, handler, buffer, buffer, endpoint)
        family, address = address_of(endpoint)
        sock = None
        try:
            sock = new_socket(family)
            if source and not endpoint.is_path:
                source_family, source_address = address_of(Endpoint(source))
                if source_family != family:
                    raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
                sock.bind(source_address)
            await loop.sock_connect(sock, address)
            sock.getpeername()  # a unix socket whose queue is full looks connected, and is not
        except OSError as error:
            if sock is not None:
                sock.close()
            raise unreachable(error, endpoint, source) from error
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        try:
            if endpoint.is_path:
                await loop.create_unix_connection(lambda: stream, sock=sock)
            else:
                await loop.create_connection(lambda: stream, sock=sock)
        except BaseException:
            if hasattr(stream, "_transport"):
                stream.abort()
            else:
                sock.close()
            raise
        return stream

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> SocketListener:
        """Accept connections at ``endpoint``.  The path of a unix socket whose listener has ended is taken over."""
        if (prepared := self._prepared.get(endpoint)) is not None:
            return await self.accept(prepared, factory, backlog=backlog)
        try:
            sock = listening_socket(endpoint, backlog, self._reuse_port)
        except OSError as error:
            raise not_listening(error, endpoint) from error
        inode = os.lstat(endpoint.host).st_ino if endpoint.is_path else 0
        return await self._accept(sock, endpoint_of(sock.getsockname()), factory, backlog, inode)

    async def accept(self, sock: socket.socket, factory: HandlerFactory, *, backlog: int = 512) -> SocketListener:
        """Accept connections on a listening socket of several processes, which stays open; its path is not removed."""
        return await self._accept(sock.dup(), endpoint_of(sock.getsockname()), factory, backlog, 0)

    async def _accept(
        self, sock: socket.socket, endpoint: Endpoint, factory: HandlerFactory, backlog: int, inode: int
    ) -> SocketListener:
        loop = asyncio.get_running_loop()
        buffer = self._buffer(loop)
        first = buffer[:_FIRST_READS]
        local = None if endpoint.host in _ANY_ADDRESS else endpoint

        def accept() -> SocketStream:
            try:
                handler = factory()
            except _FATAL:
                raise
            except BaseException as error:
                self.report(error)
                handler = _NOBODY
            return SocketStream(self, handler, first, buffer, None, local)

        listener = SocketListener(sock, endpoint, inode, accept, self.report)
        await listener.start(sock, backlog)
        return listener

    def report(self, error: BaseException) -> None:
        """Report an exception of a handler: to ``on_error``, or to the loop's exception handler."""
        if self._on_error is not None:
            self._on_error(error)
            return
        context = {"message": "a handler raised; its connection was closed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    def budget(self) -> DrainBudget:
        """The budget of the running loop for what is dropped."""
        loop = asyncio.get_running_loop()
        if loop not in self._budgets:
            self._budgets[loop] = DrainBudget()
        return self._budgets[loop]

    def _buffer(self, loop: asyncio.AbstractEventLoop) -> memoryview:
        """The one read buffer of this loop."""
        if loop not in self._buffers:
            self._buffers[loop] = memoryview(bytearray(self._read_size))
        return self._buffers[loop]
