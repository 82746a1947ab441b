"""Servers of an application: in the caller's event loop, and in a thread of its own for programs without a loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from types import TracebackType
from typing import Final, Self

from posthouse.app.app_session import AppLogins, AppPolicy
from posthouse.app.handler_dispatch import HandlerDispatcher
from posthouse.app.registrations import Registrations
from posthouse.client.hostname import machine_name
from posthouse.core import LocalError, Reply
from posthouse.net import Clock, Endpoint, Network, SocketNetwork, SystemClock
from posthouse.protocol import LENIENT, STRICT, Limits
from posthouse.protocol.leniency import Leniency
from posthouse.server import Peer, Server, ServerTimeouts
from posthouse.server.settings import Protection

__all__ = ["AppServer", "ServerThread"]

_log = logging.getLogger("posthouse.app")

#: Seconds that a thread's server may take to start and to stop, beyond the grace of its sessions.
_THREAD_SECONDS: Final = 60.0


class AppServer:
    """A server of an application in the running event loop; ``async with`` starts and stops it.

    It listens when the block begins: ``host``, ``port`` and ``url`` say where.  At the end of the block open sessions
    may finish their message for ``grace`` seconds; then handlers that still run are cancelled.
    """

    def __init__(
        self,
        app: Registrations,
        endpoint: Endpoint,
        *,
        lmtp: bool,
        implicit_tls: bool,
        grace: float,
        network: Network | None,
        clock: Clock | None,
    ) -> None:
        if implicit_tls and app.settings.tls is None:
            raise LocalError("implicit_tls needs a certificate; give the App tls=(certificate, key)")
        self._app = app
        self._wanted = endpoint
        self._grace = grace
        self._implicit_tls = implicit_tls
        self._network = network
        self._clock = clock
        self._server: Server | None = None
        self._dispatcher: HandlerDispatcher | None = None
        self._where: Endpoint | None = None
        self._starting: asyncio.Future[None] | None = None  # done when ``start`` is over
        self._starter: asyncio.Task[object] | None = None
        self._stopped = False
        self.lmtp = lmtp
        self.hostname = app.settings.hostname or machine_name()

    @property
    def endpoint(self) -> Endpoint:
        """Where the server listens.  Raises ``LocalError`` before it has started."""
        if self._where is None:
            raise LocalError("the server has not started; use it in async with app.serve(…) as server")
        return self._where

    @property
    def host(self) -> str:
        """The IP address, or the path of a unix socket."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """The port, the system's choice if 0 was asked for."""
        return self.endpoint.port

    @property
    def url(self) -> str:
        """The server's URL, as ``posthouse.send(…, via=…)`` takes it."""
        endpoint = self.endpoint
        scheme = "lmtp" if self.lmtp else "smtps" if self._implicit_tls else "smtp"
        return f"{scheme}+unix://{endpoint.host}" if endpoint.is_path else f"{scheme}://{endpoint}"

    @property
    def dispatcher(self) -> HandlerDispatcher:
        """The calls of the application's handlers."""
        assert self._dispatcher is not None
        return self._dispatcher

    @property
    def open_sessions(self) -> int:
        """How many sessions are open."""
        return self._server.sessions if self._server is not None else 0

    def log_refusal(self, host: str, what: str, reply: Reply) -> None:
        """Log a reply of 4yz or 5yz that no handler has given."""
        _log.info("%s of %s was answered %s", what, host or "a local client", reply)

    async def start(self) -> None:
        """Run the application's startup functions and listen.

        Raises ``SettingError`` if the address cannot be used, what a startup function raises, and ``LocalError`` if the
        server is stopped meanwhile; then nothing runs.
        """
        if self._server is not None or self._starting is not None:
            raise LocalError("the server has started already; make another one with app.serve(…)")
        self._starting, self._stopped = asyncio.get_running_loop().create_future(), False
        self._starter = asyncio.current_task()
        try:
            await self._start()
        finally:
            self._starting.set_result(None)
            self._starting = self._starter = None

    async def _start(self) -> None:
        app, settings = self._app, self._app.settings
        clock = self._clock or SystemClock()
        self._dispatcher = HandlerDispatcher(app, clock)
        leniency = (STRICT if settings.strict else LENIENT)._replace(domain="" if settings.strict else self.hostname)
        server = Server(
            self._policy,
            network=self._network or SocketNetwork(),
            clock=clock,
            hostname=self.hostname,
            lmtp=self.lmtp,
            limits=Limits(message=settings.max_size, chunk=settings.max_size, recipients=settings.max_recipients),
            timeouts=ServerTimeouts(answer=max(600.0, 3 * settings.handler_seconds)),
            on_error=_failed,
            leniency=_Tolerance(leniency),
            protection=self._protection(),
        )
        await app.begin(self._dispatcher.calls)
        try:
            where = await server.listen(self._wanted)
            if self._stopped:
                raise LocalError("the server was stopped while it started")
        except BaseException:
            await server.drain(0.0)
            await app.end(self._dispatcher.calls)
            raise
        self._server, self._where = server, where

    def _policy(self, peer: Peer) -> AppPolicy:
        return AppPolicy(self, peer)

    def _protection(self) -> Protection | None:
        settings, context = self._app.settings, self._app.tls_context()
        login = AppLogins(self) if self._app.login_check is not None else None
        if context is None and login is None:
            return None
        return Protection(
            tls=None if context is None else lambda: context,
            implicit=self._implicit_tls,
            login=login,
            tls_required=settings.tls_required,
        )

    async def stop(self, grace: float | None = None) -> None:
        """Accept no more sessions, let open ones finish their message for ``grace`` seconds, then cancel handlers.

        While ``start`` is under way, that call ends with ``LocalError``.
        """
        if self._starting is not None:
            self._stopped = True
            if self._starter is not asyncio.current_task():  # otherwise a startup function stops its own server
                await asyncio.shield(self._starting)
            return
        server, dispatcher, self._server = self._server, self._dispatcher, None
        if server is None or dispatcher is None:
            return
        try:
            await server.drain(self._grace if grace is None else grace)
            await dispatcher.stop()
        finally:
            await self._app.end(dispatcher.calls)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Tolerance:
    """What is tolerated of every client."""

    def __init__(self, leniency: Leniency) -> None:
        self._leniency = leniency

    def __call__(self, peer: Peer) -> Leniency:
        return self._leniency


def _failed(error: BaseException) -> None:
    _log.error("a session failed; its client was answered 451 or 454", exc_info=error)


class ServerThread:
    """A server of an application in a thread with an event loop of its own; ``with`` starts and stops it.

    The server listens when the block begins.  Handlers run in that thread, and functions that are no coroutines in
    others.
    """

    def __init__(self, server: AppServer) -> None:
        self._server = server
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        """The IP address, or the path of a unix socket."""
        return self._server.host

    @property
    def port(self) -> int:
        """The port, the system's choice if 0 was asked for."""
        return self._server.port

    @property
    def url(self) -> str:
        """The server's URL, as ``posthouse.send(…, via=…)`` takes it."""
        return self._server.url

    def start(self) -> None:
        """Start the thread, and return when the server listens.

        Raises what ``AppServer.start`` raises, and ``LocalError`` if the start takes more than 60 s.
        """
        if self._thread is not None:
            raise LocalError("the server has started already; make another one with app.run_in_thread(…)")
        self._thread = threading.Thread(target=self._run, name="posthouse-app", daemon=True)
        self._thread.start()
        if not self._ready.wait(_THREAD_SECONDS):
            raise LocalError(f"the server did not start within {_THREAD_SECONDS:g} s; look at its startup functions")
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Stop the server, and return when its thread has ended, or after 60 s.

        Raises what a shutdown function has raised.
        """
        thread, loop, end = self._thread, self._loop, self._end
        if thread is None or loop is None or end is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(end.set)
        thread.join(_THREAD_SECONDS)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to the thread that waits
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self._server:
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
