"""Logins of the console: who a request comes from, by session cookie, API token or password.

A failed login waits longer with each failure (``service.policy.login_failures``, as at SMTP), and a network that
guesses 100 times within an hour is refused.  Where the console asks for no login, everybody is ``console``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote
from weakref import WeakValueDictionary

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from posthouse.console.page_request import OPEN, Visitor
from posthouse.console.problems import RequestRefused
from posthouse.core import StorageError
from posthouse.service.accounts.operators import OperatorFile
from posthouse.service.config.console_settings import ConsoleSettings, needs_login
from posthouse.service.config.model import Config
from posthouse.service.daemon.protection import accounts_of
from posthouse.service.policy.client_limits import host_of
from posthouse.service.policy.login_failures import LoginFailures

__all__ = ["COOKIE", "ConsoleLogins", "LoginGate", "is_of_inboxes", "login_path"]

#: The cookie that has a session's secret.
COOKIE: Final = "posthouse_session"
#: Paths that nobody needs a login for.
_FREE: Final = ("/login", "/login.json", "/healthz", "/readyz")
#: What one who sees some inboxes only is answered; every other path is refused.
_INBOX_PAGES: Final = frozenset(
    {"/", "/index", "/inbox", "/events", "/search", "/logout", "/livez", "/api-map", "/speak", "/api/events"}
)
_INBOX_PATHS: Final = ("/inbox/", "/message/", "/view/", "//view/", "/speak/", "/api/inbox/", "/api/v1/", "/api/v2/")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


async def _delay(seconds: float) -> None:
    """Keep the answer to a wrong password back."""
    await asyncio.sleep(seconds)


class ConsoleLogins:
    """The accounts, tokens and sessions of one console.

    Args:
        config: says where the accounts are.
        settings: says whether a login is needed, and how long it lasts.
        now, stopwatch: the time of sessions, and that of failures.
    """

    def __init__(
        self,
        config: Config,
        settings: ConsoleSettings,
        *,
        now: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.needed = needs_login(settings)
        self.lasts = settings.session
        self._now, self._stopwatch = now, stopwatch
        self._store = accounts_of(config)
        self._file = OperatorFile(config.data_dir)
        self._file.note()  # for a file that a version without notes has made
        self._failures = LoginFailures()
        #: The passwords of one network are checked one after the other.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Close the store of the accounts."""
        await self._store.close()

    async def visitor(self, headers: Headers, client: str) -> Visitor | None:
        """The one who asks; None without a valid login.  Raises ``RequestRefused`` (401, 429) for a wrong password."""
        if not self.needed:
            return OPEN
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._by_token(given.strip())
        if scheme.lower() == "basic":
            user, password = _basic(given)
            return await self._by_token(password) or await self._of(await self.checked(user, password, client))
        secret = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        account = await asyncio.to_thread(self._file.session, secret, self._now()) if secret else None
        return None if account is None else await self._of(account, secret)

    async def _of(self, account: str, secret: str = "") -> Visitor:
        views = await asyncio.to_thread(self._file.views_of, account)
        return Visitor(f"{account} (console)", account, True, secret, views)

    async def _by_token(self, text: str) -> Visitor | None:
        token = await asyncio.to_thread(self._file.token, text)
        if token is None:
            return None
        return Visitor(f"token {token.name}", token.name, not token.read_only, views=token.views)

    async def checked(self, user: str, password: str, client: str) -> str:
        """The name of an account that may use the console, by its password.  Raises ``RequestRefused`` (401, 429)."""
        async with self._turns.setdefault(host_of(client), asyncio.Lock()):  # or all guesses of a flood pass at once
            now = self._stopwatch()
            if self._failures.is_barred(client, now):
                raise RequestRefused("too many wrong passwords came from there; try again in an hour", 429)
            answer = await self._store.check_password(user, password)
            name = answer if isinstance(answer, str) else user
            right = answer is True or isinstance(answer, str)
            if right and await asyncio.to_thread(self._file.views_of, name) != ():
                self._failures.succeeded(user, client, now)
                return name
            pause = self._failures.failed(user, client, now)
        await _delay(pause)
        raise RequestRefused(
            "no operator has this name and password; an account becomes one by: posthouse user operator NAME",
            401,
        )

    async def begin(self, user: str, password: str, client: str) -> str:
        """Log in; returns the secret of the session.  Raises ``RequestRefused`` (401, 429)."""
        name = await self.checked(user, password, client)
        now = self._now()
        return await asyncio.to_thread(self._file.begin_session, name, now=now, until=now + self.lasts)

    async def end(self, secret: str) -> None:
        """Log out."""
        if secret:
            await asyncio.to_thread(self._file.end_session, secret)


class LoginGate:
    """ASGI middleware: lets nobody pass without a login where one is needed, and writes the visitor into the scope."""

    def __init__(self, app: ASGIApp, logins: ConsoleLogins) -> None:
        self._app = app
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        headers = Headers(scope=scope)
        client = scope["client"][0] if scope.get("client") else ""
        scope["posthouse.visitor"] = Visitor("")
        free = path in _FREE or path.startswith("/static/")
        try:
            visitor = await self._logins.visitor(headers, client)
        except (RequestRefused, StorageError) as refused:  # StorageError: a file of logins is lost, or is not readable
            scope["posthouse.refused"] = refused
            visitor = None
        if visitor is not None:
            scope["posthouse.visitor"] = visitor
            if not visitor.may_change and scope["type"] == "http" and scope["method"] not in _SAFE:
                scope["posthouse.refused"] = RequestRefused("this token may read and change nothing")
            if visitor.views is not None and not (free or is_of_inboxes(path)):
                scope["posthouse.refused"] = RequestRefused("this login sees its inboxes and nothing else")
        elif not free and "posthouse.refused" not in scope:
            scope["posthouse.refused"] = RequestRefused("log in first, or send an API token", 401)
        if free:
            scope.pop("posthouse.refused", None)
        await self._app(scope, receive, send)


def login_path(scope: Scope) -> str:
    """Where a browser logs in, to come back to the page that it asked for."""
    base = scope.get("root_path", "")
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope["path"].removeprefix(base) + (f"?{query}" if query else "")
    return f"{base}/login?next={quote(path)}"


def is_of_inboxes(path: str) -> bool:
    """Whether a path is one of the inboxes, or shows nothing of this machine."""
    path = path.removesuffix(".json")
    return path in _INBOX_PAGES or path.startswith(_INBOX_PATHS)


def _basic(given: str) -> tuple[str, str]:
    """Name and password of HTTP Basic (RFC 7617); empty ones where that cannot be read."""
    try:
        user, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return user, password
