"""The blocking channel: a pipeline of transactions on one socket that does not block, without an event loop.

It sends and receives inside the call of its user.  While content is sent it also looks for replies, so that an early
refusal ends the transaction.  Inside TLS the engine of ``net.tls_engine`` stands between the socket and the pipeline.

Most waits are for replies alone.  On Linux such a wait is one ``recv`` that blocks, with a time limit in the kernel
(SO_RCVTIMEO): two system calls become one.  All else is told not to block by MSG_DONTWAIT.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from posthouse.client.deadline import Deadline
from posthouse.client.model import Timeouts
from posthouse.client.pipeline import Pipeline, expire
from posthouse.client.socket_readiness import SocketReadiness
from posthouse.core import Closed, Reply, TlsFailed
from posthouse.net import Clock, Endpoint
from posthouse.net.system import broken_by, endpoint_of
from posthouse.protocol import Limits, Quit, State, Tap, Transcript

if TYPE_CHECKING:
    import ssl

    from posthouse.net.tls_engine import Resumable, TlsEngine, TlsInfo

__all__ = ["BlockingChannel"]

_NEVER: Final = -1.0
_ENDED: Final = State.CLOSED
#: Octets of one read.  Replies are short, and ``recv`` allocates as much as it may return: from 128 KiB on, glibc maps
#: memory for it and gives it back: three system calls and a page fault for each reply, 40 of 110 µs a message.
_READ: Final = 16_384
_READABLE: Final = int(selectors.EVENT_READ)
_BOTH: Final = int(selectors.EVENT_READ | selectors.EVENT_WRITE)
#: Whether a wait for octets is a ``recv`` that blocks.
_BLOCKS: Final = sys.platform == "linux"
_NOW: Final = socket.MSG_DONTWAIT if _BLOCKS else 0
#: Seconds of one such wait at most: the caller waits again, and the limit in the kernel is seldom changed.
_LONGEST: Final = 15.0
#: Octets that are queued before the transaction pauses, and those with which it goes on (the marks of asyncio).
_HIGH_WATER: Final = 65_536
_LOW_WATER: Final = 16_384


class BlockingChannel(Pipeline):
    """A pipeline of transactions on one socket, which nothing else may use; ``run`` waits for it."""

    def __init__(
        self,
        sock: socket.socket,
        endpoint: Endpoint,
        *,
        clock: Clock,
        name: str = "",
        lmtp: bool = False,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        tap: Tap | None = None,
    ) -> None:
        super().__init__(
            clock=clock, name=name, lmtp=lmtp, timeouts=timeouts, limits=limits, transcript=transcript, tap=tap
        )
        self._socket = sock
        self._endpoint = endpoint
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._readiness: SocketReadiness | None = None  # for waits that a ``recv`` cannot be
        self._longest = 0.0  # of a ``recv``, as the kernel was told
        if _BLOCKS:
            sock.setblocking(True)
        self._engine: TlsEngine | None = None
        #: The time limit of the call that uses the channel, over all of its phases.
        self.deadline: Deadline | None = None
        self._open(endpoint)

    @property
    def local_host(self) -> str:
        return endpoint_of(self._socket.getsockname()).host

    def write(self, data: bytes) -> None:
        """Queue octets; ``run`` sends them."""
        if self._engine is not None:
            data = self._engine.write(data)
        if data and self.fault is None:
            self._queue.append(data)
            self._queued += len(data)
            self.paused = self._queued > _HIGH_WATER

    def run(self, done: Callable[[], bool]) -> None:
        """Send and receive until ``done`` is true or the connection has ended."""
        while events := self.advance(done):
            self.wait(events)

    def advance(self, done: Callable[[], bool]) -> int:
        """Send and receive as far as that needs no waiting.  Returns what has to be waited for
        (``selectors.EVENT_READ``, or that and ``EVENT_WRITE``), 0 if ``done`` is true or the connection has ended.

        For a caller that waits in its own way: when the socket is readable it calls ``ready``, when the time of
        ``due`` has come ``expired``, and after either ``advance`` again.
        """
        while not done() and self.fault is None and self.sender.state is not _ENDED:
            if self.deadline is not None and self.deadline.left <= 0:
                expire(self, self.deadline)
                return 0
            if self._queue and not self._flush():
                return 0
            if self.paused and self._queued <= _LOW_WATER:
                self.ready()  # a reply that is here already may end the content
                if self.fault is None and self.paused:
                    self.resume_writing()
            elif self._line and self._line[0].wants_turn:
                self.ready()
                if self._line and self._line[0].wants_turn:
                    self._line[0].resume()
            else:
                return _BOTH if self._queue else _READABLE
        return 0

    @property
    def due(self) -> float:
        """The end of the time limit that is running, on the monotonic clock; infinity if none is."""
        running = math.inf if self._deadline == _NEVER else self._deadline
        return running if self.deadline is None else min(running, self.deadline.ends)

    def fileno(self) -> int:
        """The socket's descriptor, to wait for; it belongs to the channel."""
        return self._socket.fileno()

    def expired(self) -> None:
        """The time limit that was running has ended."""
        if self.deadline is not None and self.deadline.left <= 0:
            expire(self, self.deadline)
        else:
            self._timed_out()

    def _flush(self) -> bool:
        """Send as much of the queue as the socket takes; returns whether the connection lives."""
        queue = self._queue
        send = self._socket.send
        try:
            while queue:
                first = queue[0]
                sent = send(first, _NOW)
                self._queued -= sent
                if sent < len(first):
                    queue[0] = memoryview(first)[sent:]
                else:
                    queue.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self.ready()  # what the peer said before it closed the connection counts
            self.disconnected(broken_by(error, self._endpoint))
        return self.fault is None

    def ready(self) -> None:
        """Take in the octets that are here; none is no error."""
        self._receive(_NOW)

    def _receive(self, flags: int) -> None:
        try:
            data = self._socket.recv(_READ, flags)
        except BlockingIOError:
            return
        except OSError as error:
            self.disconnected(broken_by(error, self._endpoint))
            return
        if self._engine is not None:
            self._decrypt(self._engine, data)
        elif data:
            self.data_received(data)
        else:
            self.eof_received()

    def _decrypt(self, engine: TlsEngine, data: bytes) -> None:
        """Give the ciphertext to the engine, and what it means to the session; empty is the end of the channel."""
        try:
            if data:
                engine.receive(data)
            else:
                engine.receive_eof()
            self._send_pending(engine)
            if engine.shaking:
                return
            self.tls = self.tls or engine.info
            while self.fault is None and (plain := engine.read(_READ)):
                self.data_received(plain)
            self._send_pending(engine)
        except TlsFailed as error:
            self._send_pending(engine)
            with contextlib.suppress(OSError):  # the alert tells the peer why; it may be gone
                while self._queue:
                    self._socket.send(self._queue.popleft(), _NOW)
            self.disconnected(error)
            return
        if engine.peer_done and self.fault is None:
            self.eof_received()

    def _send_pending(self, engine: TlsEngine) -> None:
        pending = engine.pending()
        if pending and self.fault is None:
            self._queue.append(pending)
            self._queued += len(pending)

    def resumable(self) -> Resumable | None:
        """As ``AsyncChannel.resumable``."""
        return None if self._engine is None or self.tls is None else self._engine.resumable()

    def start_tls(
        self, context: ssl.SSLContext, name: str, implicit: bool, resumed: Resumable | None = None
    ) -> TlsInfo:
        """Begin TLS and return what was agreed on; as ``AsyncChannel.start_tls``."""
        from posthouse.net.tls_engine import TlsEngine

        self._tls_begins(implicit)
        seconds = self.timeouts.tls
        try:
            self._engine = TlsEngine(context, server_side=False, peer=self.host, server_name=name, resumed=resumed)
            hello = self._engine.start()
            self._queue.append(hello)
            self._queued += len(hello)
            self.expect(seconds, "")
            self._tolerant = True
            self.run(lambda: self.tls is not None or not self._tolerant)
            if self.tls is None and not self._tolerant:
                raise TlsFailed(f"{self.host} did not end the TLS handshake within {seconds:g} s")
        except TlsFailed as error:
            self._fail(error)
        self._tolerant = False
        self._deadline = _NEVER
        if self.tls is None:
            raise self._handshake_error(implicit)
        return self.tls

    def silent(self, seconds: float) -> bool:
        """Whether the peer sends nothing for this time."""
        self._tolerant = True
        self.expect(seconds, "the connection (no greeting)")
        self.run(lambda: bool(self._answers) or not self._tolerant)
        silent = not self._tolerant
        self._tolerant = False
        self._deadline = _NEVER
        return silent

    def wait(self, events: int, seconds: float = math.inf) -> None:
        """Wait for what ``advance`` has said, within the time limit that is running and at most for ``seconds``, and
        take in what has arrived."""
        due = self._deadline if self.deadline is None else self.due
        left = math.inf if due == _NEVER else due - self._clock.monotonic()
        if left <= 0:
            self.expired()
            return
        if seconds < left:
            left = max(0.001, seconds)
        if _BLOCKS and events == _READABLE:
            longest = left if left < _LONGEST else _LONGEST
            if self._longest != longest:
                self._longest = longest
                whole = int(longest)
                limit = struct.pack("ll", whole, max(1, int((longest - whole) * 1e6)))
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._receive(0)
        else:
            if self._readiness is None:
                self._readiness = SocketReadiness(self._socket.fileno())
            if self._readiness.wait(left, writing=events == _BOTH):
                self.ready()

    def look(self) -> None:
        """Take in what is here, if anything is."""
        if self.fault is None:
            self.ready()

    def reply(self, seconds: float, what: str) -> Reply:
        """The next reply to a command outside of transactions.  Raises the error that ended the connection."""
        self.expect(seconds, what)
        self.run(lambda: bool(self._answers))
        self._deadline = _NEVER
        if not self._answers:
            raise self.fault or Closed("the session is over")
        return self._answers.popleft()

    def close(self, why: str) -> None:
        """Close the connection."""
        if self._engine is not None and self.fault is None:
            with contextlib.suppress(OSError):  # close_notify, if there is room for it; nothing waits for the peer's
                self._socket.send(self._engine.close(), _NOW)
        self.fault = self.fault or Closed(why)
        self._queue.clear()
        self._close_descriptors()

    def abort(self) -> None:
        """End the connection now; transactions under way end with what is known of them."""
        self.close("the session was aborted")
        self._over()

    def leave_now(self) -> None:
        """Send QUIT, if the dialogue is at a place where it may be sent, and close the connection without waiting."""
        if self.fault is None and self.idle and self.sender.may_send(Quit()):
            self.write(self.sender.send(Quit()))
            self._flush()
        self.close("the session was ended with QUIT")

    def forget(self) -> None:
        """Close the descriptors of this process.  Nothing is sent, and the kernel's list of what is waited for is not
        touched: the process that opened the connection shares it."""
        self.fault = self.fault or Closed("the session was forgotten")
        self._queue.clear()
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        if self._readiness is not None:
            self._readiness.close()
        self._socket.close()
