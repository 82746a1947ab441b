"""What aiosmtpd's handlers are given: the server of one connection, its session and its envelope.

``SMTP`` holds settings and the state that hooks read and change.  The dialogue is not here: ``handler_policy`` answers
the session of ``posthouse.server`` with what the hooks return.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import enum
import inspect
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from posthouse.client.hostname import machine_name
from posthouse.core import LocalError

__all__ = [
    "AuthResult",
    "Challenger",
    "Envelope",
    "LoginPassword",
    "MISSING",
    "SMTP",
    "Session",
    "auth_mechanism",
    "is_missing",
    "syntax",
]

F = TypeVar("F", bound=Callable[..., object])

_log = logging.getLogger("mail.log")  # the name that aiosmtpd's users have configured
_MECHANISM: Final = re.compile(r"[A-Z0-9_-]{1,20}")


class _Missing(enum.Enum):
    MISSING = "MISSING"


#: The answer of a hook that leaves the answer to the server.
MISSING: Final = _Missing.MISSING


def is_missing(value: object) -> bool:
    """Whether a value is ``MISSING``, this one or aiosmtpd's."""
    return value is MISSING or (isinstance(value, enum.Enum) and value.name == "MISSING")


class LoginPassword(NamedTuple):
    """What a client says in PLAIN and LOGIN.  The password is not in its text."""

    login: bytes
    password: bytes

    def __str__(self) -> str:
        return f"LoginPassword(login={self.login!r}, password=...)"

    def __repr__(self) -> str:
        return str(self)


@dataclass(kw_only=True)
class AuthResult:
    """The result of an authentication.

    Args:
        success: Whether the client has proved who it is.
        handled: Without success, whether the hook has answered the client itself, by ``server.push``.
        message: The status for the client, if not the usual one.
        auth_data: Anything; ``session.auth_data`` has it after a success.
    """

    success: bool
    handled: bool = True
    message: str | None = None
    auth_data: Any = field(default=None, repr=False)


class Session:
    """The state of one connection; a handler may set attributes of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        #: Address and port of the client, "" for a unix socket.
        self.peer: Any = None
        #: Facts of TLS: ``cipher``, ``version`` and ``peercert`` (DER); None in clear.
        self.ssl: dict[str, Any] | None = None
        self.host_name: str | None = None
        self.extended_smtp = False
        self.loop = loop
        self.proxy_data: Any = None
        self.auth_data: Any = None
        self.authenticated: bool | None = None
        self.login_data: Any = None


class Envelope:
    """One mail transaction, which hooks fill."""

    def __init__(self) -> None:
        self.mail_from: str | None = None
        self.mail_options: list[str] = []
        self.smtp_utf8 = False
        self.content: bytes | str | None = None
        self.original_content: bytes | None = None
        self.rcpt_tos: list[str] = []
        self.rcpt_options: list[str] = []


def syntax(text: str, extended: str | None = None, when: str | None = None) -> Callable[[F], F]:
    """A decorator of ``smtp_*`` methods that has no effect here."""
    return lambda function: function


def auth_mechanism(actual_name: str) -> Callable[[F], F]:
    """A decorator that names the mechanism of an ``auth_*`` method.  Raises ``ValueError`` for a name that is none."""
    name = actual_name.upper()
    if _MECHANISM.fullmatch(name) is None:
        raise ValueError(f"{actual_name} is no name of a mechanism; use letters, digits, - and _")

    def named(function: F) -> F:
        cast(Any, function).__auth_mechanism_name__ = name
        return function

    return named


class Challenger(Protocol):
    """An AUTH exchange under way."""

    async def challenge(self, data: bytes) -> bytes | None:
        """Send a challenge; returns the response, None if the client gave up."""
        ...


def _never(mechanism: str, login: bytes, password: bytes) -> bool:
    return False


class SMTP:
    """The server of one connection, as hooks see it.

    The arguments are aiosmtpd's.  ``command_call_limit``, ``proxy_protocol_timeout`` and ``ident`` of the greeting:
    the first has no effect, because this library has limits of its own; the second raises ``LocalError``.
    """

    #: What LOGIN asks for.
    AuthLoginUsernameChallenge = "User Name\x00"
    AuthLoginPasswordChallenge = "Password\x00"

    def __init__(
        self,
        handler: Any,
        *,
        data_size_limit: int | None = 33_554_432,
        enable_SMTPUTF8: bool = False,  # noqa: N803
        decode_data: bool = False,
        hostname: str | None = None,
        ident: str | None = None,
        tls_context: ssl.SSLContext | None = None,
        require_starttls: bool = False,
        timeout: float = 300,
        auth_required: bool = False,
        auth_require_tls: bool = True,
        auth_exclude_mechanism: Iterable[str] | None = None,
        auth_callback: Callable[[str, bytes, bytes], bool] | None = None,
        command_call_limit: int | Mapping[str, int] | None = None,
        authenticator: Callable[..., Any] | None = None,
        proxy_protocol_timeout: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        overridden = sorted(name for name in dir(type(self)) if name.startswith("smtp_"))
        if overridden:
            raise LocalError(
                f"{type(self).__name__} has {overridden[0]}; commands cannot be overridden here, write a hook of the "
                "handler (handle_RCPT, handle_DATA …)"
            )
        if proxy_protocol_timeout is not None:
            raise LocalError("proxy_protocol_timeout is not supported; take a posthouse.Server with proxies for PROXY")
        self.event_handler = handler
        self.data_size_limit = data_size_limit
        self.enable_SMTPUTF8 = enable_SMTPUTF8
        self.decode_data = decode_data
        self.hostname = hostname or machine_name()
        self.ident = ident or "Posthouse"
        self.tls_context = tls_context
        self.require_starttls = bool(tls_context and require_starttls)
        self.timeout = timeout
        self.auth_required = auth_required
        self.auth_require_tls = auth_require_tls
        self._auth_callback = auth_callback or _never
        self._authenticator = authenticator
        self._loop = loop
        self.session: Session | None = None
        self.envelope: Envelope | None = None
        #: Lines that hooks have pushed; they become part of the reply.
        self.pushed: list[str] = []
        #: The AUTH exchange under way.
        self.challenger: Challenger | None = None
        excluded = {each.upper() for each in auth_exclude_mechanism or ()}
        self.mechanisms = {
            name: method
            for owner in (self, handler)
            for member, method in inspect.getmembers(owner)
            if member.startswith("auth_") and callable(method) and (name := _mechanism(member, method)) not in excluded
        }
        self.ehlo_takes_responses = self._looked_at_ehlo()

    def _looked_at_ehlo(self) -> bool:
        """Whether ``handle_EHLO`` has the form with the list of responses."""
        hook = getattr(self.event_handler, "handle_EHLO", None)
        if hook is None:
            return False
        count = len(inspect.signature(hook).parameters)
        if count not in (4, 5):
            raise LocalError("handle_EHLO has 5 parameters: server, session, envelope, hostname, responses")
        return count == 5

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return self._loop or asyncio.get_running_loop()

    def hook(self, name: str) -> Callable[..., Awaitable[Any]] | None:
        """The handler's ``handle_NAME``."""
        return getattr(self.event_handler, f"handle_{name}", None)

    async def push(self, status: str | bytes) -> None:
        """Send a line.  Here it becomes part of the reply to the command that the hook handles."""
        self.pushed.append(status.decode("utf-8", "replace") if isinstance(status, bytes) else status)

    async def handle_exception(self, error: Exception) -> str:
        """The status for an exception of a hook: what the handler's ``handle_exception`` says, else 451.

        The text of an exception does not go to the client, and the failure is temporary, so that no mail is lost.
        """
        hook = getattr(self.event_handler, "handle_exception", None)
        if hook is not None:
            return str(await hook(error))
        peer = self.session.peer if self.session is not None else None
        _log.error("%r: a hook of the handler failed; the client was answered 451", peer, exc_info=error)
        return "451 4.3.0 Something went wrong here; try again later"

    async def challenge_auth(
        self, challenge: str | bytes, encode_to_b64: bool = True, log_client_response: bool = False
    ) -> Any:
        """Send a challenge of AUTH; returns the decoded response, ``MISSING`` if the client gave up.

        ``challenge`` is encoded in base64 on its way; with ``encode_to_b64`` false it is so already.  Responses are
        never logged.
        """
        if self.challenger is None:
            raise LocalError("challenge_auth can be called in an auth_* method only")
        data = challenge.encode() if isinstance(challenge, str) else challenge
        if not encode_to_b64:
            data = base64.b64decode(data)
        response = await self.challenger.challenge(data)
        return MISSING if response is None else response

    async def auth_PLAIN(self, server: Any, args: list[str]) -> AuthResult:  # noqa: N802
        """The mechanism PLAIN (RFC 4616)."""
        said = await self.challenge_auth("") if len(args) == 1 else _decoded(args[1])
        if is_missing(said):
            return AuthResult(success=False)
        parts = said.split(b"\0") if said is not None else []
        if len(parts) != 3:
            await self.push("501 5.5.2 Can't split auth value" if parts else "501 5.5.2 Can't decode base64")
            return AuthResult(success=False)
        return await self._authenticate("PLAIN", LoginPassword(parts[1], parts[2]))

    async def auth_LOGIN(self, server: Any, args: list[str]) -> AuthResult:  # noqa: N802
        """The mechanism LOGIN."""
        login = await self.challenge_auth(self.AuthLoginUsernameChallenge) if len(args) == 1 else _decoded(args[1])
        if is_missing(login):
            return AuthResult(success=False)
        if login is None:
            await self.push("501 5.5.2 Can't decode base64")
            return AuthResult(success=False)
        password = await self.challenge_auth(self.AuthLoginPasswordChallenge)
        if is_missing(password):
            return AuthResult(success=False)
        return await self._authenticate("LOGIN", LoginPassword(login, password))

    async def _authenticate(self, mechanism: str, given: LoginPassword) -> AuthResult:
        if self._authenticator is not None:
            result = self._authenticator(self, self.session, self.envelope, mechanism, given)
            return cast(AuthResult, await result if inspect.isawaitable(result) else result)
        if self._auth_callback(mechanism, given.login, given.password):
            return AuthResult(success=True, auth_data=given)
        return AuthResult(success=False, handled=False)


def _mechanism(member: str, method: object) -> str:
    """The name of the mechanism of an ``auth_*`` method."""
    name = getattr(method, "__auth_mechanism_name__", "") or member.removeprefix("auth_").replace("__", "-")
    if _MECHANISM.fullmatch(name) is None:
        raise LocalError(f"{member} is no name of a mechanism; write auth_ and upper-case letters, or @auth_mechanism")
    return name


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("" if text == "=" else text, validate=True)
    except (ValueError, binascii.Error):
        return None
