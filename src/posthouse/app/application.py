"""Application: a receiving SMTP as a set of handlers, as web frameworks have it.

    app = App()

    @app.recipient("orders+{tag}@example.com")
    async def order(tag: str, message: ReadMessage) -> str:
        return f"order {tag} with {len(message.attachments)} files"

Handlers are asked in the order of their registration:

1. When the client names a recipient (RCPT): the first matching ``recipient`` handler that asks for no content.  Its
   refusal is the recipient's.  An address that no pattern matches is refused with 550 5.1.1; an application without
   patterns takes every recipient.
2. When the content is complete: all ``message`` handlers, once for each message.  The first refusal ends it, before any
   recipient has the message.
3. Then, for each recipient in the envelope's order: the first matching ``recipient`` handler that asks for content.

Answers become one reply in SMTP (``answers.joined``), and one for each recipient in LMTP (RFC 2033).  250 is sent when
the handlers have returned, and so their return is the promise that the message is kept.

Coroutine functions run in the event loop, other functions in threads.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from posthouse.app.address_patterns import AddressPattern
from posthouse.app.app_server import AppServer, ServerThread
from posthouse.app.handler_dispatch import HandlerDispatcher
from posthouse.app.registered_handler import RegisteredHandler, is_coroutine_function, name_of
from posthouse.app.registrations import AppSettings, Middleware, Registrations
from posthouse.app.session_info import SessionInfo
from posthouse.core import Content, Defer, Envelope, LocalError, Reject, Verdict
from posthouse.delivery.python import DeliveredMessage
from posthouse.net import Clock, Endpoint, Network, SystemClock

__all__ = ["App"]

F = TypeVar("F", bound=Callable[..., object])
L = TypeVar("L", bound=Callable[[str, str], bool | Awaitable[bool]])
M = TypeVar("M", bound=Middleware)

_FROM_QUEUE: Final = SessionInfo()


class App:
    """A receiving SMTP made of handlers; module ``posthouse.app.application`` has the order in which they are called.

    Args:
        hostname: The name in the greeting; the machine's if left out.
        max_size: Octets of a message; a larger one is answered 552.
        max_recipients: Recipients of one message; further ones are answered 452 (RFC 5321 §4.5.3.1.8).
        connections: Open sessions of one server; a client beyond them gets 421.
        concurrency: Handlers that run at one time; further calls wait.
        threads: Handlers that are no coroutines and run at one time, each in a thread.
        handler_seconds: Seconds that one call may take, and may wait for its turn; then the client gets 451.
        tls: Certificate and key (PEM files), or a context of the standard library: STARTTLS is offered.
        tls_required: Mail and logins are refused in clear.
        login_required: Mail is refused without a login; ``App.login`` registers the function that checks passwords.
        strict: Content with bare CR or LF and malformed addresses are refused; else they are corrected.

    Raises ``LocalError`` for settings that make no sense.
    """

    def __init__(
        self,
        *,
        hostname: str = "",
        max_size: int = 52_428_800,
        max_recipients: int = 1_000,
        connections: int = 1_000,
        concurrency: int = 100,
        threads: int = 16,
        handler_seconds: float = 60.0,
        tls: ssl.SSLContext | tuple[str, str] | None = None,
        tls_required: bool = False,
        login_required: bool = False,
        strict: bool = True,
    ) -> None:
        numbers = {"max_size": max_size, "max_recipients": max_recipients, "connections": connections}
        numbers |= {"concurrency": concurrency, "threads": threads}
        for name, value in numbers.items():
            if not isinstance(value, int) or value < 1:
                raise LocalError(f"App({name}={value!r}) takes no mail; give a whole number from 1")
        if not isinstance(handler_seconds, int | float) or not handler_seconds > 0:
            raise LocalError(f"App(handler_seconds={handler_seconds}) lets no handler run; give seconds above 0")
        if not (tls is None or isinstance(tls, ssl.SSLContext) or (isinstance(tls, tuple | list) and len(tls) == 2)):
            raise LocalError("App(tls=…) is a pair of files, (certificate, key), or an ssl.SSLContext")
        if tls_required and tls is None:
            raise LocalError("App(tls_required=True) needs a certificate; give tls=(certificate, key)")
        settings = AppSettings(
            hostname,
            max_size,
            max_recipients,
            connections,
            concurrency,
            threads,
            handler_seconds,
            tls,
            tls_required,
            login_required,
            strict,
        )
        self._registered = Registrations(settings)
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[HandlerDispatcher]]
        self._queues = weakref.WeakKeyDictionary()

    # -- registration ------------------------------------------------------------------------------------------------

    def recipient(self, pattern: str) -> Callable[[F], F]:
        """Register a handler of recipients whose address matches: ``@app.recipient("orders+{tag}@example.com")``.

        Its parameters are given by their annotations: ``ReadMessage``, ``bytes``, ``Content`` or ``MessageStream`` for
        the message, ``Envelope``, ``SessionInfo``, ``Address`` or ``Recipient``; and the parts of the address by the
        names in the pattern, as ``str``, ``int``, ``float``, ``UUID``, an ``Enum`` or a ``Literal``.  An address whose
        part has not that type does not match.

        Without a parameter for the message it is called when the client names the recipient.  Raises ``LocalError``
        for a pattern or a parameter that cannot be understood.
        """
        parsed = AddressPattern(pattern)

        def register(function: F) -> F:
            self._registered.recipient_handlers.append(RegisteredHandler(function, parsed))
            return function

        return register

    def message(self, function: F) -> F:
        """Register a handler of whole messages (``@app.message``); it is called once for each."""
        self._registered.message_handlers.append(RegisteredHandler(function))
        return function

    def middleware(self, function: M) -> M:
        """Register a coroutine function that is called around every handler.

        ``async def nothing(call, proceed): return await proceed()`` changes nothing.  ``call`` is a ``HandlerCall``;
        ``proceed()`` gives the handler's ``Reply`` or raises its exception.  What the middleware returns or raises is
        the answer, as it would be of a handler.  The first one registered is outermost.
        """
        if not is_coroutine_function(function):
            raise LocalError(f"the middleware {name_of(function)} is no coroutine function; write async def")
        self._registered.middlewares.append(function)
        return function

    def login(self, function: L) -> L:
        """Register the function that says whether a name and a password are right; AUTH is offered then.

        ``def check(user: str, password: str) -> bool``, or a coroutine function.  PLAIN and LOGIN are offered inside
        TLS, and on loopback.
        """
        if self._registered.login_check is not None:
            raise LocalError("the application has a function for logins already")
        self._registered.login_check = function
        return function

    def startup(self, function: F) -> F:
        """Register a function without parameters that is called before the first server of the application listens."""
        self._registered.startups.append(function)
        return function

    def shutdown(self, function: F) -> F:
        """Register a function without parameters that is called when the last server has stopped.

        They are called in the reverse order of their registration, all of them, whatever one raises.
        """
        self._registered.shutdowns.append(function)
        return function

    # -- running -----------------------------------------------------------------------------------------------------

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        lmtp: bool = False,
        implicit_tls: bool = False,
        grace: float = 10.0,
        network: Network | None = None,
        clock: Clock | None = None,
    ) -> AppServer:
        """A server in the running event loop: ``async with app.serve(port=0) as server: … server.port``.

        Args:
            host: An IP address of this machine, or the path of a unix socket.
            port: The port; 0 lets the system choose.
            lmtp: Speak LMTP (RFC 2033), where each recipient has a reply of its own after the content.
            implicit_tls: TLS from the first octet (RFC 8314).
            grace: Seconds for which open sessions may finish their message at the end.
            network: Another network than that of the system, for tests.
            clock: Another clock, for tests.

        Raises ``LocalError`` for an application without handlers.
        """
        if not self._registered.recipient_handlers and not self._registered.message_handlers:
            raise LocalError("the application has no handler; register one with @app.message or @app.recipient")
        if self._registered.settings.login_required and self._registered.login_check is None:
            raise LocalError(
                "App(login_required=True) needs a function that checks passwords; register one: @app.login"
            )
        endpoint = Endpoint(host, 0 if "/" in host else port)
        return AppServer(
            self._registered, endpoint, lmtp=lmtp, implicit_tls=implicit_tls, grace=grace, network=network, clock=clock
        )

    def run_in_thread(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        lmtp: bool = False,
        implicit_tls: bool = False,
        grace: float = 10.0,
    ) -> ServerThread:
        """A server in a thread, for programs without an event loop: ``with app.run_in_thread() as server: …``.

        The arguments are those of ``serve``.
        """
        return ServerThread(self.serve(host, port, lmtp=lmtp, implicit_tls=implicit_tls, grace=grace))

    async def __call__(self, envelope: Envelope, content: Content) -> None:
        """Take a message out of a queue: ``deliver = "python:module:app"`` in the daemon's configuration.

        Returns when the handlers have taken it; raises ``Reject`` or ``Defer`` if one has not.
        """
        dispatcher = await self._queue_dispatcher()
        for recipient in envelope.recipients:
            verdict = dispatcher.recipient(_FROM_QUEUE, envelope, recipient)
            _raise_for(verdict if isinstance(verdict, Verdict) else await verdict)
        dispatch = dispatcher.message(_FROM_QUEUE, envelope)
        if dispatch.streams:
            try:
                async for chunk in DeliveredMessage(content):
                    if (pressure := dispatch.write(chunk)) is not None:
                        await pressure
            except BaseException:
                dispatch.abort("the content cannot be read")
                raise
        for verdict in await dispatch.finish(content):
            _raise_for(verdict)

    async def _queue_dispatcher(self) -> HandlerDispatcher:
        """The dispatcher of this loop's queue; its first use runs the startup functions."""
        loop = asyncio.get_running_loop()
        task = self._queues.get(loop)
        if task is None:

            async def start() -> HandlerDispatcher:
                dispatcher = HandlerDispatcher(self._registered, SystemClock())
                await self._registered.begin(dispatcher.calls)
                return dispatcher

            task = self._queues[loop] = loop.create_task(start())
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._queues.get(loop) is task:  # the next message tries again
                del self._queues[loop]
            raise


def _raise_for(verdict: Verdict) -> None:
    reply = verdict.reply
    if reply.transient:
        raise Defer(reply.text, reply=reply)
    if reply.permanent:
        raise Reject(reply.text, reply=reply)
