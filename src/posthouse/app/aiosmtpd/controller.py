"""Controllers with the interface of aiosmtpd's: a server in a thread (``Controller``), or in the caller's event loop
(``UnthreadedController``), at an IP address or at a unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Final

from posthouse.app.aiosmtpd.handler_logins import HandlerLogins
from posthouse.app.aiosmtpd.handler_policy import HandlerPolicy
from posthouse.app.aiosmtpd.smtp import SMTP
from posthouse.core import LocalError
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Limits, Offer
from posthouse.server import Peer, Server, ServerTimeouts
from posthouse.server.settings import Protection

__all__ = ["Controller", "UnixSocketController", "UnixSocketUnthreadedController", "UnthreadedController"]

_log = logging.getLogger("mail.log")
_UNLIMITED: Final = 2**40
#: Seconds that a thread may take to start; aiosmtpd's variable for it is read too.
_READY_SECONDS: Final = 30.0


class _HandlerServer:
    """What all controllers do: make the server, and end it."""

    def __init__(
        self,
        handler: Any,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        server_kwargs: dict[str, Any] | None = None,
        **SMTP_parameters: Any,  # noqa: N803
    ) -> None:
        self.handler = handler
        self.loop = loop or asyncio.new_event_loop()
        self.ssl_context = ssl_context
        self.SMTP_kwargs: dict[str, Any] = {**(server_kwargs or {}), **SMTP_parameters}
        if server_hostname:
            self.SMTP_kwargs["hostname"] = server_hostname
        self.SMTP_kwargs.setdefault("enable_SMTPUTF8", True)
        #: The settings, as the first call of ``factory`` has given them.
        self.smtpd: SMTP | None = None
        self.server: Server | None = None

    def factory(self) -> SMTP:
        """The server of one connection; a subclass may make another one.  Called at the start, and for each."""
        return SMTP(self.handler, **self.SMTP_kwargs)

    def _places(self) -> Sequence[Endpoint]:
        """Where to listen."""
        raise NotImplementedError

    def _listening(self, places: Sequence[Endpoint]) -> None:
        """Note where it listens."""

    async def _open(self) -> None:
        self.smtpd = smtp = _checked(self.factory())
        size = smtp.data_size_limit or _UNLIMITED
        offer = Offer(
            size=smtp.data_size_limit,
            eightbitmime=not smtp.decode_data,
            smtputf8=smtp.enable_SMTPUTF8,
            binarymime=False,
            enhanced=False,
            dsn=False,
        )
        tls = self.ssl_context or smtp.tls_context
        protection = Protection(
            tls=None if tls is None else lambda: tls,
            implicit=self.ssl_context is not None,
            login=HandlerLogins(smtp),
        )

        def policy(peer: Peer) -> HandlerPolicy:
            return HandlerPolicy(self.factory(), peer, offer, protection)

        self.server = server = Server(
            policy,
            network=SocketNetwork(),
            clock=SystemClock(),
            hostname=smtp.hostname,
            offer=offer,
            limits=Limits(message=size, chunk=size),
            timeouts=ServerTimeouts(command=smtp.timeout, content=smtp.timeout),
            on_error=_failed,
            protection=protection,
            all_commands=True,
        )
        places: list[Endpoint] = []
        try:
            for place in self._places():
                if places and not place.port and not place.is_path:
                    place = Endpoint(place.host, places[0].port)
                places.append(await server.listen(place))
        except BaseException:
            server.close()
            self.server = None
            raise
        self._listening(places)

    async def _close(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            await server.drain(0.0)


class _Threaded(_HandlerServer):
    """A server in a thread of its own."""

    def __init__(self, *arguments: Any, ready_timeout: float = _READY_SECONDS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ready_timeout = float(os.environ.get("AIOSMTPD_CONTROLLER_TIMEOUT", ready_timeout))
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the thread, and return when the server listens.

        Raises ``SettingError`` if the address cannot be used, what ``factory`` raises, and ``TimeoutError``.
        """
        if self._thread is not None:
            raise LocalError("the controller has started already; stop it first")
        if self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="posthouse-aiosmtpd", daemon=True)
        self._thread.start()
        if not ready.wait(self.ready_timeout):
            raise TimeoutError(f"the server did not start within {self.ready_timeout:g} s; raise ready_timeout")
        if self._error is not None:
            self._thread.join()
            self._thread = None
            raise self._error

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self._error = None
        try:
            try:
                self.loop.run_until_complete(self._open())
            except BaseException as error:  # told to the thread that waits
                self._error = error
                return
            self.loop.call_soon(ready.set)
            self.loop.run_forever()
            self.loop.run_until_complete(self._close())
        finally:
            _end(self.loop)
            ready.set()

    def stop(self, no_assert: bool = False) -> None:
        """End sessions, cancel what runs in the loop, and return when the thread has ended."""
        if self._thread is None:
            if no_assert:
                return
            raise LocalError("the controller has not started")
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self._thread = None


class _Unthreaded(_HandlerServer):
    """A server in the caller's event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: Set when ``finalize`` is done.
        self.ended = threading.Event()
        self._ending: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Listen; the loop runs only until that is done.  Raises what ``Controller.start`` raises."""
        self.loop.run_until_complete(self._open())

    async def finalize(self) -> None:
        """End sessions, and listen no more."""
        self.ended.clear()
        await self._close()
        self.ended.set()

    def end(self) -> None:
        """``finalize``, in a task if the loop runs."""
        self.ended.clear()
        if self.loop.is_running():
            self._ending = self.loop.create_task(self.finalize())
        else:
            self.loop.run_until_complete(self.finalize())


class _AtAddress(_HandlerServer):
    """A server at an IP address or a host name; "" is every address."""

    def __init__(self, handler: Any, hostname: str | None = None, port: int = 8025, *rest: Any, **options: Any) -> None:
        super().__init__(handler, *rest, **options)
        self.hostname = _localhost() if hostname is None else hostname
        #: The port; once the server listens the real one, if 0 was asked for.
        self.port = port

    def _places(self) -> Sequence[Endpoint]:
        if not self.hostname:
            return [Endpoint("0.0.0.0", self.port), *([Endpoint("::", self.port)] if _localhost() == "::1" else [])]
        found = socket.getaddrinfo(self.hostname, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [Endpoint(host, self.port) for host in dict.fromkeys(str(each[4][0]) for each in found)]

    def _listening(self, places: Sequence[Endpoint]) -> None:
        self.port = places[0].port


class _AtPath(_HandlerServer):
    """A server at a unix socket."""

    def __init__(self, handler: Any, unix_socket: str | os.PathLike[str], *rest: Any, **options: Any) -> None:
        super().__init__(handler, *rest, **options)
        self.unix_socket = os.fspath(unix_socket)

    def _places(self) -> Sequence[Endpoint]:
        return [Endpoint(os.path.abspath(self.unix_socket))]


class Controller(_AtAddress, _Threaded):
    """A server in a thread, at an IP address: ``Controller(handler, hostname, port)``, ``start()``, ``stop()``."""


class UnixSocketController(_AtPath, _Threaded):
    """A server in a thread, at a unix socket."""


class UnthreadedController(_AtAddress, _Unthreaded):
    """A server in the event loop ``loop``, at an IP address: ``begin()``, ``end()`` or ``await finalize()``."""


class UnixSocketUnthreadedController(_AtPath, _Unthreaded):
    """A server in the event loop ``loop``, at a unix socket."""


def _checked(made: object) -> SMTP:
    """What a subclass's ``factory`` has returned."""
    if not isinstance(made, SMTP):
        raise LocalError("factory() must return an SMTP of posthouse.app.aiosmtpd")
    return made


def _localhost() -> str:
    """The loopback address: ``::1`` where there is IPv6, as aiosmtpd chooses."""
    if socket.has_ipv6:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
            return "::1"
    return "127.0.0.1"


def _failed(error: BaseException) -> None:
    _log.error("a session failed; its client was answered 451 or 454", exc_info=error)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what still runs in a loop that has stopped, and close it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=5.0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
