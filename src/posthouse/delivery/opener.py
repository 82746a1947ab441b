"""Opener of sessions with mail exchangers: by the security of a route, and in clear where opportunistic TLS fails."""

from __future__ import annotations

from collections.abc import Callable

from posthouse import client
from posthouse.client import Timeouts
from posthouse.client.model import LoginFailed
from posthouse.core import NetworkError, PosthouseError, RemoteError, SettingError, TlsFailed
from posthouse.delivery.mx import Exchange
from posthouse.delivery.pool import ConnectionPool, PooledConnection
from posthouse.delivery.security import InClear, RouteSecurity, security_of
from posthouse.delivery.tracer import AttemptTracer, ConnectionTracer, SessionTap
from posthouse.delivery.unanswered import FailedExchanges
from posthouse.net import Clock, Network
from posthouse.protocol import Limits, Transcript

__all__ = ["SessionOpener"]


class SessionOpener:
    """Opens the sessions of a deliverer; the arguments are the deliverer's."""

    def __init__(
        self,
        *,
        network: Network,
        clock: Clock,
        hostname: str,
        lmtp: bool,
        source: str,
        timeouts: Timeouts | None,
        limits: Limits | None,
        transcript: Transcript | None,
        security: RouteSecurity | None,
        in_clear: InClear | None,
        tell: Callable[[str], object] | None,
    ) -> None:
        self.network = network
        self._clock = clock
        self.hostname = hostname
        self._lmtp = lmtp
        self._source = source
        self._timeouts = timeouts
        self._limits = limits
        self._transcript = transcript
        self.security = security or RouteSecurity()
        self._in_clear = in_clear or InClear(clock)
        self._tell = tell

    def requiring(self) -> SessionOpener:
        """The opener of sessions for messages with REQUIRETLS."""
        return SessionOpener(
            network=self.network,
            clock=self._clock,
            hostname=self.hostname,
            lmtp=self._lmtp,
            source=self._source,
            timeouts=self._timeouts,
            limits=self._limits,
            transcript=self._transcript,
            security=self.security.requiring(),
            in_clear=self._in_clear,
            tell=self._tell,
        )

    async def open(
        self, exchange: Exchange, site: str, tracer: AttemptTracer, failed: FailedExchanges, pool: ConnectionPool
    ) -> tuple[PooledConnection, ConnectionTracer] | None:
        """Open a session with an exchange, counted in ``pool``; None, and a word to ``failed``, if there is none.

        If opportunistic TLS fails, or has failed before, the session is in clear.  A handshake that was to resume a TLS
        session and failed proves nothing about the host: another is tried first, without it.
        """
        security = self.security
        host, port = exchange.name or exchange.endpoints[0].host, exchange.endpoints[0].port
        why = self._in_clear.why(exchange.name, port) if security.opportunistic else ""
        resumes = not why and security.tls is not None and security.tls.has_session(host, port)
        while True:
            connection = tracer.connection(exchange.name)
            error: PosthouseError
            try:
                return await self._connect(exchange, site, connection, why, pool), connection
            except (NetworkError, RemoteError, SettingError) as caught:
                error = caught
            if isinstance(error, NetworkError) and not isinstance(error, TlsFailed) and connection.in_handshake:
                error = TlsFailed(f"the TLS handshake with {exchange.name} was not completed: {error}")
            connection.ended = str(error)
            if resumes and isinstance(error, TlsFailed):
                resumes = False
                continue
            if why or not security.opportunistic or not isinstance(error, TlsFailed):
                break
            self._in_clear.add(exchange.name, port, error)
            why = self._in_clear.why(exchange.name, port)
        if self._tell is not None and isinstance(error, LoginFailed):
            self._tell(f"{error}; its mail waits")
        failed.add(exchange.name, error)
        return None

    async def _connect(
        self, exchange: Exchange, site: str, connection: ConnectionTracer, in_clear: str, pool: ConnectionPool
    ) -> PooledConnection:
        """Open a session; ``in_clear`` says why it begins no TLS, "" if it does what the route says."""
        tls, login, _ = self.security
        tape = SessionTap(self._clock.monotonic, self._transcript)
        tape.steps = connection.steps
        pool.opens(site)
        try:
            session = await client.connect(
                exchange.endpoints,
                network=self.network,
                clock=self._clock,
                hostname=self.hostname,
                name=exchange.name,
                lmtp=self._lmtp,
                timeouts=self._timeouts,
                limits=self._limits,
                tap=tape,
                source=self._source,
                tls=None if in_clear else tls,
                login=None if login is None else login(),
            )
        except BaseException:
            pool.closes(site)
            raise
        connection.connected = opened = session.opened
        pooled = PooledConnection(session, tape, site, exchange.name, opened)
        if tls is not None:
            pooled.tls, pooled.security = security_of(session, in_clear)
            pooled.fell_back = not pooled.tls and "STARTTLS" in session.capabilities.keywords
        return pooled

    def try_tls_again(self, pooled: PooledConnection) -> None:
        """The host takes no mail in clear: forget that TLS failed with it."""
        pooled.wants_tls()
        self._in_clear.forget(pooled.mx)
