"""TLS layer of a connection: the handler of the stream below it, and the stream of the handler above it.

A layer is put in when the connection is opened (implicit TLS, RFC 8314; ``tls_port``), or in the middle of it
(STARTTLS, RFC 3207), with ``start``.  In the first case the handler above gets ``connected`` when the handshake is
over, and nothing at all if it fails; in the second, ``on_up`` is called.  A handshake that fails or takes too long ends
the connection.  In TLS 1.3 a client may refuse our certificate when ours is over; ``on_failed`` is called then too.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from posthouse.core import LocalError, NetworkError, TlsFailed
from posthouse.net.clock import Clock, Timer
from posthouse.net.stream import Endpoint, Handler, Stream
from posthouse.net.system import ended_by
from posthouse.net.tls_engine import Resumable, TlsEngine, TlsInfo, TlsState

__all__ = ["HANDSHAKE_SECONDS", "TlsStream", "accepted_layer"]

HANDSHAKE_SECONDS: Final = 30.0
#: The most that a handler gets at once (the promise of ``Handler.data_received``).
_MOST: Final = 262_144
#: Octets of ciphertext that wait for the end of a turn.
_HELD_AT_MOST: Final = 16_384


class TlsStream:
    """TLS over one stream."""

    __slots__ = (
        "_below",
        "_clock",
        "_engine",
        "_eof_given",
        "_fault",
        "_handler",
        "_heard",
        "_held",
        "_held_octets",
        "_in_turn",
        "_on_error",
        "_on_failed",
        "_on_up",
        "_over",
        "_paused",
        "_peer",
        "_reading_due",
        "_seconds",
        "_timer",
        "info",
        "opening",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        handler: Handler,
        *,
        clock: Clock,
        server_side: bool,
        peer: str = "the peer",
        server_name: str | None = None,
        resumed: Resumable | None = None,
        on_up: Callable[[TlsInfo], object] | None = None,
        on_failed: Callable[[NetworkError], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._engine = TlsEngine(context, server_side=server_side, peer=peer, server_name=server_name, resumed=resumed)
        self._peer = peer
        self._handler = handler
        self._clock = clock
        self._on_up = on_up
        self._on_failed = on_failed
        self._on_error = on_error
        self._seconds = seconds
        self._below: Stream | None = None
        self._timer: Timer | None = None
        self._paused = False
        self._reading_due = False
        self._eof_given = False
        self._heard = False  # the peer has said something inside TLS
        self._over = False  # the handler gets nothing but disconnected
        self._in_turn = False  # octets from below are being handled: what is written is sent together at the end
        self._held: list[bytes] = []
        self._held_octets = 0
        self._fault: NetworkError | LocalError | None = None
        #: What was agreed on; None until the handshake is over.
        self.info: TlsInfo | None = None
        #: True if the layer was there when the connection was opened.
        self.opening = False

    def start(self, stream: Stream, early: bytes = b"") -> None:
        """Begin on a stream that is open already.  ``early``: octets of the handshake that were read before."""
        self._below = stream
        stream.set_handler(self)
        self._begin(stream, early)

    def _begin(self, stream: Stream, early: bytes = b"") -> None:
        self._timer = self._clock.call_later(self._seconds, self._expire)
        stream.write(self._engine.start())
        if early:
            self.data_received(early)

    def _expire(self) -> None:
        self._timer = None
        self._fail(TlsFailed(f"{self._peer} did not end the TLS handshake within {self._seconds:g} s"))

    # -- Handler: what the stream below calls --

    def connected(self, stream: Stream) -> None:
        """The connection is open: begin the handshake."""
        self._below = stream
        self.opening = True
        self._begin(stream)

    def data_received(self, data: bytes) -> None:
        """Ciphertext arrived."""
        engine = self._engine
        try:
            engine.receive(data)
        except TlsFailed as error:
            self._fail(error)
            return
        self._in_turn = True
        try:
            if engine.state is not TlsState.HANDSHAKE:
                if self.info is None and engine.info is not None:  # our last octets of it go with the handler's first
                    self._came_up()
                self._deliver()
        finally:
            self._in_turn = False
        self._send(engine.pending())

    def _came_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.info = self._engine.info
        assert self.info is not None
        if self._on_up is not None:
            self._on_up(self.info)
        if self.opening:
            self._handler.connected(self)

    def _deliver(self) -> None:
        """Give the handler what has arrived, as long as it reads."""
        while not self._paused and not self._over:
            try:
                data = self._engine.read(_MOST)
            except TlsFailed as error:
                self._fail(error)
                return
            if not data:
                break
            self._heard = True
            self._handler.data_received(data)
        self._send(self._engine.pending())
        if self._engine.state is TlsState.PEER_DONE and not (self._paused or self._over or self._eof_given):
            self._eof_given = True
            self._handler.eof_received()

    def eof_received(self) -> None:
        """The peer has ended the channel, with close_notify or without."""
        if self._over:
            return
        try:
            self._engine.receive_eof()
        except TlsFailed as error:
            self._fail(error)
            return
        self._deliver()

    def pause_writing(self) -> None:
        if self._passes_on:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._passes_on:
            self._handler.resume_writing()

    @property
    def _passes_on(self) -> bool:
        """Whether the handler hears of the write queue: it was connected before, or is now."""
        return not self._over and (self.info is not None or not self.opening)

    def disconnected(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._over = True
        error = self._fault or error
        if self.info is None:
            failed = (
                error if isinstance(error, NetworkError) else TlsFailed("the connection ended during the handshake")
            )
            if self._on_failed is not None:
                self._on_failed(failed)
            if self.opening:  # the handler has not been connected
                return
            error = failed
        self._handler.disconnected(error)

    # -- Stream: what the handler above calls --

    @property
    def peer(self) -> Endpoint:
        return self.below.peer

    @property
    def local(self) -> Endpoint:
        return self.below.local

    @property
    def below(self) -> Stream:
        """The stream that the layer stands on."""
        assert self._below is not None, "the stream of a layer that has not been connected"
        return self._below

    def write(self, data: bytes) -> None:
        if data and not self._over:
            self._send(self._engine.write(data))

    def resumable(self) -> Resumable | None:
        """As ``TlsEngine.resumable``."""
        return self._engine.resumable()

    def pause_reading(self) -> None:
        if not self._paused and not self._over:
            self._paused = True
            self.below.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._over:
            self._paused = False
            self.below.resume_reading()
            if not self._reading_due:  # decrypted octets may be waiting; no method of a stream calls its handler
                self._reading_due = True
                asyncio.get_running_loop().call_soon(self._read_later)

    def _read_later(self) -> None:
        self._reading_due = False
        if self._over or self.info is None:
            return
        try:
            self._deliver()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the loop called, not the stream below, which would have isolated it
            if self._on_error is not None:
                self._on_error(error)
            self._fault = ended_by(error)
            self.abort()

    def close(self) -> None:
        self._end()
        self.below.close()

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        self._end()
        self.below.close_gently(seconds, octets)

    def abort(self) -> None:
        self._over = True
        self.below.abort()

    def set_handler(self, handler: Handler) -> None:
        self._handler = handler

    # -- inside --

    def _send(self, data: bytes) -> None:
        """Write ciphertext: at once, or together with more at the end of the turn."""
        if self._in_turn and self._held_octets + len(data) <= _HELD_AT_MOST:
            if data:
                self._held.append(data)
                self._held_octets += len(data)
            return
        if self._held:
            data = b"".join([*self._held, data])
            self._held.clear()
            self._held_octets = 0
        if data and self._below is not None:
            self._below.write(data)

    def _end(self) -> None:
        """Say close_notify, behind what is held; the handler gets no more octets."""
        self._over = True
        self._in_turn = False
        self._send(self._engine.close())

    def _fail(self, error: TlsFailed) -> None:
        """Tell the peer with an alert, and end the connection."""
        if self._over:
            return
        self._over = True
        self._fault = error
        if self.info is not None and not self._heard and self._on_failed is not None:
            self._on_failed(error)
        self._in_turn = False
        self._send(self._engine.pending())
        self.below.close()


def accepted_layer(
    context: ssl.SSLContext,
    handler: Handler,
    *,
    clock: Clock,
    on_up: Callable[[TlsInfo], object] | None = None,
    on_refused: Callable[[Endpoint, NetworkError], object] | None = None,
    on_error: Callable[[BaseException], object] | None = None,
    seconds: float = HANDSHAKE_SECONDS,
) -> TlsStream:
    """The layer of an accepted connection that speaks TLS from its first octet; ``handler`` is connected when the
    handshake is over.  ``on_refused`` is given the peer and the error if it fails."""

    def failed(error: NetworkError) -> None:
        if on_refused is not None:
            on_refused(layer.peer, error)

    layer = TlsStream(
        context,
        handler,
        clock=clock,
        server_side=True,
        peer="the client",
        on_up=on_up,
        on_failed=failed,
        on_error=on_error,
        seconds=seconds,
    )
    return layer
