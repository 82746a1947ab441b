"""Parts of an application: its settings, handlers and middleware, and what is called before and after its servers."""

from __future__ import annotations

import inspect
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from posthouse.app.registered_handler import RegisteredHandler, is_coroutine_function
from posthouse.app.session_info import SessionInfo
from posthouse.core import Content, Envelope, Recipient, Reply
from posthouse.delivery.handler_calls import HandlerCalls

__all__ = ["AppSettings", "HandlerCall", "Middleware", "Registrations"]


@dataclass(frozen=True, slots=True)
class HandlerCall:
    """One call of a handler, as middleware sees it.

    Args:
        handler: The handler's name.
        session: The session of the message.
        envelope: The envelope, with the recipients that are known so far.
        recipient: The recipient whom the call is for; None for a handler of whole messages.
        content: The content; None before it has come, and where the handler reads it while it arrives.
    """

    handler: str
    session: SessionInfo
    envelope: Envelope
    recipient: Recipient | None = None
    content: Content | None = None


#: Wraps calls of handlers: ``await proceed()`` calls what is inside and gives its reply, or raises what it raised.
Middleware = Callable[[HandlerCall, Callable[[], Awaitable[Reply]]], Awaitable[object]]


class AppSettings(NamedTuple):
    """Settings of an application; ``App`` has their meaning."""

    hostname: str
    max_size: int
    max_recipients: int
    connections: int
    concurrency: int
    threads: int
    handler_seconds: float
    tls: ssl.SSLContext | tuple[str, str] | None
    tls_required: bool
    login_required: bool
    strict: bool


class Registrations:
    """The parts of one application, shared by its servers."""

    def __init__(self, settings: AppSettings) -> None:
        self.settings = settings
        self.recipient_handlers: list[RegisteredHandler] = []
        self.message_handlers: list[RegisteredHandler] = []
        self.middlewares: list[Middleware] = []
        #: Says whether a password is right; None offers no logins.
        self.login_check: Callable[[str, str], bool | Awaitable[bool]] | None = None
        self.startups: list[Callable[[], object]] = []
        self.shutdowns: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._servers = 0
        self._tls: ssl.SSLContext | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """The settings of TLS, read from their files once.  Raises ``SettingError``."""
        tls = self.settings.tls
        if self._tls is None and tls is not None:
            from posthouse.net.tls_context import server_context

            self._tls = tls if isinstance(tls, ssl.SSLContext) else server_context(*tls)
        return self._tls

    async def begin(self, calls: HandlerCalls) -> None:
        """Called by a server before it listens: the first one runs the startup functions, and raises what they do."""
        with self._lock:
            self._servers += 1
            first = self._servers == 1
        try:
            for function in self.startups if first else ():
                await _called(calls, function)
        except BaseException:
            with self._lock:
                self._servers -= 1
            raise

    async def end(self, calls: HandlerCalls) -> None:
        """Called by a server that has stopped: the last one runs the shutdown functions, and then raises what they
        raised."""
        with self._lock:
            self._servers -= 1
            last = self._servers == 0
        errors: list[Exception] = []
        for function in reversed(self.shutdowns) if last else ():
            try:
                await _called(calls, function)
            except Exception as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("shutdown functions of the application failed", errors)


async def _called(calls: HandlerCalls, function: Callable[[], object]) -> None:
    """Call a startup or shutdown function, in a thread if it is no coroutine function."""
    answer = function() if is_coroutine_function(function) else await calls.in_thread(function)
    if inspect.isawaitable(answer):
        await answer
