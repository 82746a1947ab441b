"""The asyncio channel: a pipeline of transactions on one stream of ``net``, with timers and read-ahead of content."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from posthouse.client.content_pieces import must_stream
from posthouse.client.model import Timeouts
from posthouse.client.pipeline import Pipeline
from posthouse.client.read_ahead import ReadAhead
from posthouse.client.transaction import Transaction
from posthouse.core import AsyncContent, Closed, Content, Reply
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Clock, Stream, Timer
from posthouse.protocol import Limits, State, Tap, Transcript

if TYPE_CHECKING:
    import ssl

    from posthouse.net.tls_engine import Resumable, TlsInfo

__all__ = ["AsyncChannel"]

_NEVER: Final = -1.0
_ENDED: Final = State.CLOSED


@mypyc_attr(allow_interpreted_subclasses=True)
class AsyncChannel(Pipeline):
    """One connection in an event loop, a ``net.Handler``."""

    def __init__(
        self,
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
        self._stream: Stream | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: Timer | None = None  # rings at the end of the time limit that is running, or before
        self._rings = 0.0
        self._turn_is_due = False

    def connected(self, stream: Stream) -> None:
        """The stream is open."""
        self._stream = stream
        #: The event loop that serves the stream.
        self.loop = asyncio.get_running_loop()
        self._open(stream.peer)

    @property
    def local_host(self) -> str:
        return "" if self._stream is None else self._stream.local.host

    def write(self, data: bytes) -> None:
        if data and self._stream is not None and self.fault is None:
            self._stream.write(data)

    # -- turns and content -------------------------------------------------------------------------------------

    def _give_turn(self) -> None:
        """Let the first transaction go on after this turn of the loop."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn_is_due = False
        if self._line and self._line[0].wants_turn:
            self.resume_first()

    def resume_first(self) -> None:
        """Let the first transaction go on now."""
        if self._line:
            first = self._line[0]
            first.resume()
            if first.wants_turn:
                self._give_turn()

    def read(self, content: Content | AsyncContent, at_most: int, transaction: Transaction) -> Iterator[bytes]:
        if must_stream(content):
            return ReadAhead(self.loop, cast(AsyncContent, content), at_most, self.resume_first)
        return super().read(content, at_most, transaction)

    # -- time limits -------------------------------------------------------------------------------------------

    def expect(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._deadline = self._clock.monotonic() + seconds
        if self._timer is None or self._rings > self._deadline:
            self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        """Set the one timer.  It serves many time limits: it is left to ring, and set again for what is left of the
        limit that is running then."""
        self._stop_timer()
        self._rings = self._clock.monotonic() + seconds
        self._timer = self._clock.call_later(seconds, self._ring)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._deadline == _NEVER:
            return
        left = self._deadline - self._clock.monotonic()
        if left > 1e-6:
            self._set_timer(left)
        else:
            self._timed_out()

    # -- waiting -----------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self.fault is not None:
            self._stop_timer()
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def _wait(self) -> None:
        """Return when ``_wake`` was called; the caller looks whether what it waits for is true."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def exchange(self, wire: bytes, seconds: float, what: str) -> Reply:
        """Write a command outside of transactions (b"" for the greeting), and return the next reply.  Raises the error
        that ended the connection."""
        self.write(wire)
        self.expect(seconds, what)
        try:
            while not self._answers and self.fault is None and self.sender.state is not _ENDED:
                await self._wait()
        finally:
            self._deadline = _NEVER
        if not self._answers:
            raise self.fault or Closed("the session is over")
        return self._answers.popleft()

    async def silent(self, seconds: float) -> bool:
        """Whether the peer sends nothing for this time.  Raises nothing: an end of the connection is no silence."""
        self._tolerant = True
        self.expect(seconds, "the connection (no greeting)")
        while self._tolerant and not self._answers and self.fault is None and self.sender.state is not _ENDED:
            await self._wait()
        silent = not self._tolerant
        self._tolerant = False
        self._deadline = _NEVER
        return silent

    async def start_tls(
        self, context: ssl.SSLContext, name: str, implicit: bool, resumed: Resumable | None = None
    ) -> TlsInfo:
        """Put a TLS layer in and return what was agreed on.  ``name``: the one to ask for and to verify; ``resumed``:
        a session of ``context`` with this host (``resumable``).

        Raises ``TlsFailed``; ``WrongDoor`` if an ``implicit`` handshake was answered in clear; ``RemoteError`` for
        octets in clear behind the reply to STARTTLS.  The connection cannot be used then.
        """
        from posthouse.net.tls import TlsStream

        self._tls_begins(implicit)
        stream = self._stream
        assert stream is not None, "a channel that has been connected"
        layer = TlsStream(
            context,
            self,
            clock=self._clock,
            server_side=False,
            peer=self.host,
            server_name=name,
            resumed=resumed,
            on_up=self._tls_is_up,
            seconds=self.timeouts.tls,
        )
        self._stream = layer
        layer.start(stream)
        while self.tls is None and self.fault is None:
            await self._wait()
        if self.tls is None:
            raise self._handshake_error(implicit)
        return self.tls

    def resumable(self) -> Resumable | None:
        """The TLS session that the next connection with this host may resume; None in clear, or without one."""
        if self.tls is None:
            return None
        from posthouse.net.tls import TlsStream

        return self._stream.resumable() if isinstance(self._stream, TlsStream) else None

    def _tls_is_up(self, info: TlsInfo) -> None:
        self.tls = info
        self._wake()

    async def drained(self) -> None:
        """Return when no transaction is under way."""
        while self._line:
            await self._wait()

    # -- the end -----------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Close the descriptor, without a word to the peer and without the event loop."""
        self.fault = self.fault or Closed("the session was forgotten")
        from posthouse.net.sockets import SocketStream
        from posthouse.net.tls import TlsStream

        stream = self._stream.below if isinstance(self._stream, TlsStream) else self._stream
        if isinstance(stream, SocketStream):
            stream.forget()

    def close(self, why: str) -> None:
        """End the connection in order; octets that are queued are still sent."""
        self.fault = self.fault or Closed(why)
        self._stop_timer()
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """End the connection now; transactions under way end with what is known of them."""
        self.fault = self.fault or Closed("the session was aborted")
        self._stop_timer()
        if self._stream is not None:
            self._stream.abort()
        self._over()
