"""Credentials of a sending session: a name and a password, or a function that is asked for them.

A function is what OAuth needs, whose tokens end after an hour: it gets the host, the user's name and whether a new
token is needed, and returns a token, with the time at which it ends if that is known.  A token is kept until 60 s
before that time.  If the server refuses it (535), the function is asked once more, with ``fresh=True``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from posthouse.core import LocalError

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.server_url import ServerAddress

__all__ = ["CredentialsLike", "OAuthToken", "TokenFunction", "TokenLike", "check_credentials", "login_of"]

#: Seconds before its end at which a token is not used any more.
_MARGIN: Final = 60.0
_MOST_KEPT: Final = 1_000


class OAuthToken(NamedTuple):
    """A token and the time at which it ends: seconds since 1970, or a ``datetime`` with a time zone."""

    token: str
    expires: float | datetime

    def __repr__(self) -> str:
        return "OAuthToken(…)"  # logs show repr


#: What the function returns: a token, or a pair of it and its end.
TokenLike = str | OAuthToken | tuple[str, float | datetime]


class TokenFunction(Protocol):
    """Gives an OAuth token (RFC 6749) for a user at a host.  May be a coroutine function, which only the asynchronous
    calls can use.  ``fresh``: the last token was refused, so one from a cache will not do."""

    def __call__(self, host: str, user: str, fresh: bool, /) -> TokenLike | Awaitable[TokenLike]: ...


#: A pair of name and password, or a function that gives tokens.
CredentialsLike = tuple[str, str] | TokenFunction


class _TokenCache:
    """Tokens by function, host and user, until 60 s before they end; at most 1,000."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, str, str], tuple[str, float]] = {}

    def get(self, key: tuple[object, str, str]) -> str | None:
        with self._lock:
            token, ends = self._kept.get(key, ("", 0.0))
            if token and time.time() < ends - _MARGIN:
                return token
            self._kept.pop(key, None)
            return None

    def put(self, key: tuple[object, str, str], token: str, ends: float) -> None:
        with self._lock:
            self._kept[key] = (token, ends)
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]


_cache: Final = _TokenCache()


def login_of(server: ServerAddress, credentials: CredentialsLike | None) -> LoginSettings | None:
    """The login of a session with ``server``; None without credentials.  Raises ``SettingError`` if a password is
    missing, ``LocalError`` for what are no credentials."""
    if credentials is None:
        return server.login()
    from posthouse.client.auth import LoginSettings
    from posthouse.protocol.sasl import Credentials

    mechanisms = server.mechanisms or None
    if callable(credentials):
        if not server.user:
            raise LocalError(f"a function gives tokens for a user; write the name into the URL: name@{server.host}")
        source = _TokenSource(credentials, server.host, server.user)
        return LoginSettings(Credentials(server.user), source, mechanisms, server.allow_plain_text)
    check_credentials(credentials)
    return LoginSettings(Credentials(*credentials), None, mechanisms, server.allow_plain_text)


def check_credentials(credentials: object) -> None:
    """Raise ``LocalError`` for what are no credentials (``CredentialsLike``)."""
    if callable(credentials):
        return
    if not (isinstance(credentials, tuple) and len(credentials) == 2 and all(isinstance(x, str) for x in credentials)):
        raise LocalError("credentials must be a pair of name and password, or a function (host, user, fresh) -> token")


class _AwaitedToken:
    """The token of a function that is awaited."""

    def __init__(self, found: Awaitable[TokenLike], read: Callable[[TokenLike], str]) -> None:
        self._found = found
        self._read = read

    def __await__(self) -> Generator[Any, Any, str]:
        return self._read((yield from self._found.__await__()))

    def close(self) -> None:
        """Give it up, because no event loop is there to await it."""
        if (close := getattr(self._found, "close", None)) is not None:
            close()


class _TokenSource:
    """``client.auth.TokenSource`` over a user's function: called with None, or with the token that was refused."""

    def __init__(self, function: TokenFunction, host: str, user: str) -> None:
        self._function = function
        self._key = (function, host, user)

    def __call__(self, refused: str | None) -> Any:
        _, host, user = self._key
        if refused is None and (kept := _cache.get(self._key)) is not None:
            return kept
        found = self._function(host, user, refused is not None)
        return _AwaitedToken(found, self._token) if isinstance(found, Awaitable) else self._token(found)

    def _token(self, found: TokenLike) -> str:
        if isinstance(found, str):
            return found
        try:
            token, ends = found
            seconds = ends.timestamp() if isinstance(ends, datetime) else float(ends)
        except (TypeError, ValueError):
            raise LocalError("the function for credentials must return a token, or a pair of token and end") from None
        _cache.put(self._key, token, seconds)
        return token
