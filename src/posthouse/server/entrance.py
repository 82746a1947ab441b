"""Way of a connection from its acceptance to its session: PROXY header, admission, implicit TLS.

A connection of a known proxy begins with a PROXY header, which must come whole within seconds; the addresses in it are
those of the session.  Octets that were read together with it belong to the next layer.  Whether the client is welcome
is asked next, so that a client which connects and says nothing to the TLS handshake counts as a session from the first
moment.  One that is not welcome still gets its handshake and its 421 inside TLS; of many of those the oldest is cut.

Connections that need none of this begin their session directly (``Server``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.core import NetworkError, PosthouseError
from posthouse.net import Endpoint, Handler, Stream, Timer
from posthouse.net.tls import accepted_layer
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.proxies import ProxyHeaderError, ProxyHeaderReader
from posthouse.server.session import ServerSession, SessionRegistry
from posthouse.server.settings import SessionSettings

__all__ = ["Entrance", "EntranceHall", "ProxiedStream"]

#: Connections that wait for their header, or are refused and still in their handshake, at one time.
_AT_MOST: Final = 1_000


class EntranceHall:
    """The connections of one server that no session counts yet.

    ``on_refused`` is given the peer and the error of each whose header or handshake failed.
    """

    def __init__(
        self,
        settings: SessionSettings,
        registry: SessionRegistry,
        on_refused: Callable[[Endpoint, PosthouseError], object] | None,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self._on_refused = on_refused
        self._waiting: dict[Entrance, None] = {}

    def enter(self) -> Handler:
        """The handler of a new connection."""
        return Entrance(self)

    def waits(self, entrance: Entrance) -> None:
        """Keep a connection; of too many the oldest is cut."""
        self._waiting[entrance] = None
        if len(self._waiting) > _AT_MOST:
            next(iter(self._waiting)).abort()

    def left(self, entrance: Entrance) -> None:
        """The connection is counted by a session now, or has ended."""
        self._waiting.pop(entrance, None)

    def refused(self, peer: Endpoint, error: PosthouseError) -> None:
        """Tell why a connection did not come as far as its session."""
        if self._on_refused is not None:
            self._on_refused(peer, error)

    def close(self) -> None:
        """Cut all connections that wait."""
        for entrance in list(self._waiting):
            entrance.abort()


class Entrance:
    """The handler of one connection until its session begins."""

    __slots__ = ("_hall", "_reader", "_session", "_stream", "_timer")

    def __init__(self, hall: EntranceHall) -> None:
        self._hall = hall
        self._reader: ProxyHeaderReader | None = None
        self._session: ServerSession | None = None
        self._stream: Stream | None = None
        self._timer: Timer | None = None

    # -- net.Handler -------------------------------------------------------------------------------------------------

    def connected(self, stream: Stream) -> None:
        """The channel is open: wait for the PROXY header if the peer is a known proxy."""
        self._stream = stream
        settings = self._hall.settings
        proxies = settings.proxies
        if proxies is not None and proxies.proxy(stream.peer.host):
            self._reader = ProxyHeaderReader()
            self._timer = settings.clock.call_later(proxies.seconds, self._expire)
            self._hall.waits(self)
        else:
            self._go_in(stream, b"")

    def data_received(self, data: bytes) -> None:
        """Octets of the header, or behind it."""
        reader, stream = self._reader, self._stream
        if reader is None or stream is None:
            return
        try:
            header = reader.receive(data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if header is None:
            return
        self._stop_waiting()
        if header.host:
            stream = ProxiedStream(
                stream, Endpoint(header.host, header.port), Endpoint(header.local_host, header.local_port)
            )
        self._go_in(stream, reader.rest)

    def eof_received(self) -> None:
        """The proxy ends the channel before the header is complete; one that has sent nothing only looks if we live."""
        if self._reader is not None and not self._reader.is_empty:
            self._refuse("the connection ended within the PROXY header")
        elif self._stream is not None:
            self._stop_waiting()
            self._stream.close()

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nothing is written here."""

    def disconnected(self, error: Exception | None) -> None:
        """The channel ended before its session began."""
        self._stop_waiting()

    # -- inside ------------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Cut the connection."""
        self._stop_waiting()
        if self._stream is not None:
            self._stream.abort()

    def _expire(self) -> None:
        self._timer = None
        self._refuse("no complete PROXY header came in time")

    def _refuse(self, reason: str) -> None:
        self._stop_waiting()
        if self._stream is not None:
            self._hall.refused(self._stream.peer, ProxyHeaderError(reason))
            self._stream.close_gently(0.5)

    def _stop_waiting(self) -> None:
        self._reader = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hall.left(self)

    def _go_in(self, stream: Stream, early: bytes) -> None:
        """Begin the session of ``stream``; ``early`` was read behind the header."""
        settings = self._hall.settings
        session = ServerSession(settings, self._hall.registry)
        welcome = session.admit(stream)
        handler: Handler = session
        protection = settings.protection
        if protection is not None and protection.implicit:
            assert protection.tls is not None
            self._session = session
            if not welcome:
                self._hall.waits(self)
            handler = accepted_layer(
                protection.tls(),
                session,
                clock=settings.clock,
                on_up=self._up,
                on_refused=self._tls_failed,
                on_error=settings.on_error,
                seconds=settings.timeouts.handshake,
            )
        assert self._stream is not None
        self._stream.set_handler(handler)
        handler.connected(stream)
        if early:
            handler.data_received(early)

    def _up(self, info: TlsInfo) -> None:
        self._hall.left(self)

    def _tls_failed(self, peer: Endpoint, error: NetworkError) -> None:
        self._hall.left(self)
        if self._session is not None:
            self._session.disconnected(error)
        self._hall.refused(peer, error)


class ProxiedStream:
    """A stream whose ends are those that a PROXY header names."""

    __slots__ = ("_below", "local", "peer")

    def __init__(self, below: Stream, peer: Endpoint, local: Endpoint) -> None:
        self._below = below
        self.peer = peer
        self.local = local

    def write(self, data: bytes) -> None:
        self._below.write(data)

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def close(self) -> None:
        self._below.close()

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        self._below.close_gently(seconds, octets)

    def abort(self) -> None:
        self._below.abort()

    def set_handler(self, handler: Handler) -> None:
        self._below.set_handler(handler)
