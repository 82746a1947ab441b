"""AUTH in a sending session (RFC 4954), without I/O: which mechanism, its messages, and what each reply means.

The strongest mechanism that the peer offers and the credentials allow is tried first.  Only a reply about the
*mechanism* (504, 534, 538, and 432 for PLAIN) leads to the next one.  A reply about the *credentials* (535) ends the
login: the same password by another mechanism would be refused again, count as another attempt, and hide the true reply
behind a later one.  An OAuth token that is refused is fetched anew, once.

A password is never sent where someone could read along, unless ``allow_plain_text``.  Neither texts nor transcripts
have it, and if the peer repeats it in a reply it is taken out there (``Sender.hidden``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from posthouse.client.model import (
    CommandStep,
    LoggedIn,
    LoginDeferred,
    LoginFailed,
    LoginRefused,
    NoMechanism,
    Step,
    WorkStep,
)
from posthouse.client.pipeline import Pipeline, say
from posthouse.core import Broken, Closed, LocalError, RemoteError, Reply
from posthouse.protocol import Auth, State
from posthouse.protocol.sasl import (
    ChannelBinding,
    Credentials,
    DeriveKey,
    Exchange,
    Mechanism,
    Say,
    choose,
    client_exchange,
    read_token_error,
)

if TYPE_CHECKING:
    from posthouse.net.tls_engine import TlsInfo

__all__ = ["LoginSettings", "TokenSource", "log_in"]

#: A command line with its CRLF (RFC 5321 §4.5.3.1.4); a longer initial response waits for 334 (RFC 4954 §4).
_COMMAND_LINE: Final = 512
#: A line of the exchange with its CRLF (RFC 4954 §4).
_AUTH_LINE: Final = 12_288
#: Replies about the mechanism (RFC 4954 §6; 534 is too weak, 538 is not without TLS).
_ANOTHER_MECHANISM: Final = (504, 534, 538)
#: The account has no key of this mechanism yet: one login by PLAIN makes it (RFC 4954 §6).
_TRANSITION: Final = 432
#: Mechanisms whose challenges are only prompts.
_PROMPTS: Final = ("LOGIN", "PLAIN", "EXTERNAL")
#: The most messages of one exchange; SCRAM has 4.
_MOST_STEPS: Final = 10

#: Gives an OAuth token: called with None for one that may be kept, and with a refused token for a new one.  In an event
#: loop it is called in a thread, and may return an awaitable.
TokenSource = Callable[[str | None], Any]


class LoginSettings(NamedTuple):
    """The credentials of a login, and how they may be used.

    ``token_source``: where OAuth tokens come from, if ``credentials`` have none.  ``mechanisms``: the names that may be
    used, None for all.  ``allow_plain_text``: whether a password or token may be sent without TLS.
    """

    credentials: Credentials
    token_source: TokenSource | None = None
    mechanisms: Collection[str] | None = None
    allow_plain_text: bool = False

    def __repr__(self) -> str:
        return f"LoginSettings(user={self.credentials.user!r})"  # logs show repr


class _Rejection(NamedTuple):
    """How an exchange ended without a login: the reply, and what a challenge said of the reason."""

    reply: Reply
    detail: str = ""


def log_in(channel: Pipeline, login: LoginSettings, info: TlsInfo | None) -> Generator[Step, Any, LoggedIn]:
    """Log in.  ``info``: what TLS was agreed on, None in clear.

    Raises:
        NoMechanism: The peer offers none that the credentials and the channel allow.
        LoginRefused, LoginDeferred: The peer refused, for good or for now.
        LoginFailed: The peer broke the mechanism, or did not prove that it knows the password.
        LocalError: The credentials cannot be sent by any mechanism that is offered.
    """
    credentials, source = login.credentials, login.token_source
    fetched = source is not None and credentials.password is None and credentials.token is None
    if source is not None and fetched:
        credentials = credentials._replace(token=(yield WorkStep(lambda: source(None))))
    sender = channel.sender
    offered = frozenset(sender.capabilities.auth)
    binding = _binding(info, offered)
    last: Reply | None = None
    why: LocalError | None = None
    tried: list[str] = []
    try:
        for mechanism in _usable(channel, login, credentials, offered, info, binding):
            if last is not None and last.code == _TRANSITION and mechanism.name != "PLAIN":
                continue
            tried.append(mechanism.name)
            try:
                refused = yield from _attempt(channel, mechanism, credentials, binding, offered)
                if refused is not None and source is not None and fetched and _is_about_token(refused):
                    fetched = False
                    old = credentials.token
                    credentials = credentials._replace(token=(yield WorkStep(lambda: source(old))))  # noqa: B023
                    refused = yield from _once_more(channel, mechanism, credentials, binding, offered, refused)
            except LocalError as error:  # a password that this mechanism cannot carry
                why = error
                continue
            except (Broken, Closed):
                if last is None:
                    raise
                break  # the peer has refused, and ended the connection: its reply says why
            if refused is None:
                return LoggedIn(credentials.user, mechanism.name)
            last = refused.reply
            if last.code not in (*_ANOTHER_MECHANISM, _TRANSITION):
                raise _failure(channel, mechanism, refused)
    finally:
        sender.hidden = ()
    if last is None and why is not None:
        raise why
    said = f"{channel.peer} accepted no mechanism that these credentials allow here ({', '.join(tried)})"
    raise NoMechanism(f"{said}; it said {last}" if last is not None else said, last)


def _once_more(
    channel: Pipeline,
    mechanism: Mechanism,
    credentials: Credentials,
    binding: ChannelBinding | None,
    offered: frozenset[str],
    refused: _Rejection,
) -> Generator[Step, Any, _Rejection | None]:
    """Try a new token after ``refused``, which stays the answer if the peer has ended the connection with it."""
    if channel.sender.state is State.CLOSED:
        return refused
    try:
        return (yield from _attempt(channel, mechanism, credentials, binding, offered))
    except (Broken, Closed):
        return refused


def _usable(
    channel: Pipeline,
    login: LoginSettings,
    credentials: Credentials,
    offered: frozenset[str],
    info: TlsInfo | None,
    binding: ChannelBinding | None,
) -> list[Mechanism]:
    """The mechanisms to try, strongest first.  Raises ``NoMechanism``."""
    allowed = offered if login.mechanisms is None else offered & {each.upper() for each in login.mechanisms}
    if not _has_md5():
        allowed -= {"CRAM-MD5"}
    if login.mechanisms is not None and offered and not allowed:
        asked = ", ".join(sorted(login.mechanisms))
        raise NoMechanism(f"{channel.peer} offers {', '.join(sorted(offered))}, and only {asked} may be used")
    try:
        return choose(
            allowed, credentials, tls=info is not None, binding=binding, allow_plain_text=login.allow_plain_text
        )
    except LocalError as error:
        raise NoMechanism(f"no login at {channel.peer}: {error}") from error


def _has_md5() -> bool:
    """Whether this machine computes MD5 (FIPS mode forbids it)."""
    try:
        hashlib.md5(b"")
    except ValueError:
        return False
    return True


def _binding(info: TlsInfo | None, offered: frozenset[str]) -> ChannelBinding | None:
    """The channel binding data of type tls-server-end-point (RFC 5929 §4), which TLS 1.2 and 1.3 have alike.

    Python gives no keying material of TLS 1.3 (tls-exporter, RFC 9266), and its tls-unique is undefined there.
    """
    if info is None or info.certificate is None or not any(each.startswith("SCRAM-") for each in offered):
        return None
    from posthouse.net.tls_engine import end_point_of

    try:
        return ChannelBinding("tls-server-end-point", end_point_of(info.certificate))
    except (ImportError, ValueError):  # a library without cryptography, or a certificate that it cannot read
        return None


# One exchange ---------------------------------------------------------------------------------------------------------


def _attempt(
    channel: Pipeline,
    mechanism: Mechanism,
    credentials: Credentials,
    binding: ChannelBinding | None,
    offered: frozenset[str],
) -> Generator[Step, Any, _Rejection | None]:
    """Try one mechanism; returns None after 235, else how it was refused.  Raises ``LoginFailed``, ``LocalError``."""
    # Without -PLUS, the binding makes SCRAM say that the peer seems to have none: a lie where it offers some.
    usable = binding if mechanism.bound or not any(each.endswith("-PLUS") for each in offered) else None
    exchange = client_exchange(
        mechanism,
        credentials,
        nonce=base64.b64encode(os.urandom(18)).decode(),
        binding=usable,
        host=channel.host,
        port=channel.address.port,
    )
    sender = channel.sender
    sender.hidden = tuple(filter(None, (credentials.password, credentials.token)))
    first = yield from _next(exchange, None)
    message = b"" if first is None else first.data
    command = Auth(mechanism.name, message)
    held: bytes | None = None
    if message is not None:
        encoded = base64.b64encode(message)
        sender.hidden += (encoded.decode(),)
        if len(f"AUTH {mechanism.name} \r\n") + len(encoded or b"=") > _COMMAND_LINE:
            command, held = Auth(mechanism.name), message
    reply: Reply = yield say(channel, command)
    detail = ""
    for _ in range(_MOST_STEPS):
        if reply.code == 235:
            yield from _conclude(channel, exchange)
            return None
        if reply.code != 334:
            return _Rejection(reply, detail)
        if held is not None:
            message, held = held, None
            reply = yield from _answer(channel, message)
            continue
        challenge = _challenge(reply, mechanism)
        if challenge is None:
            raise LoginFailed(f"{channel.peer} sent a challenge that is not base64, in reply to AUTH {mechanism.name}")
        if mechanism.needs == "token":
            detail = read_token_error(challenge)
        try:
            step = yield from _next(exchange, challenge)
        except RemoteError as error:  # not a word more to a server that may be another than it claims
            raise LoginFailed(f"no login at {channel.peer}: {error}") from error
        except (LocalError, ValueError) as error:
            yield from _cancel(channel)
            raise LocalError(str(error)) from error
        if step is None:
            break
        reply = yield from _answer(channel, step.data or b"")
    yield from _cancel(channel)
    raise LoginFailed(f"{channel.peer} asks for more than AUTH {mechanism.name} has")


def _next(exchange: Exchange, answer: bytes | None) -> Generator[Step, Any, Say | None]:
    """The mechanism's next message, None after the last; a key is derived where it asks for one."""
    try:
        step = exchange.send(answer)
        while not isinstance(step, Say):
            if not isinstance(step, DeriveKey):
                raise LocalError("a client's mechanism asks for keys only")
            step = exchange.send((yield WorkStep(step.compute)))
    except StopIteration:
        return None
    return step


def _conclude(channel: Pipeline, exchange: Exchange) -> Generator[Step, Any, None]:
    """235 has come: a mechanism in which the peer proves itself says so if it has not."""
    try:
        yield from _next(exchange, None)
    except RemoteError as error:
        raise LoginFailed(f"no login at {channel.peer}: {error}") from error
    exchange.close()


def _challenge(reply: Reply, mechanism: Mechanism) -> bytes | None:
    try:
        return base64.b64decode(reply.text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b"" if mechanism.name in _PROMPTS else None  # some servers send the words themselves


def _answer(channel: Pipeline, message: bytes) -> Generator[Step, Any, Reply]:
    """Send one message, in one line: base64 of SASL is never folded."""
    line = base64.b64encode(message)
    if len(line) + 2 > _AUTH_LINE:
        yield from _cancel(channel)
        raise LocalError(f"a line of this login has {len(line) + 2:,} octets; RFC 4954 allows {_AUTH_LINE:,}")
    sender = channel.sender
    sender.hidden += (line.decode(),)
    if channel.fault is not None:
        raise channel.fault
    reply: Reply = yield CommandStep(sender.send_auth_line(line), channel.timeouts.command, "AUTH")
    return reply


def _cancel(channel: Pipeline) -> Generator[Step, Any, None]:
    """Give the exchange up with ``*`` (RFC 4954 §4), so that another command may follow."""
    sender = channel.sender
    if channel.fault is None and sender.state is State.AUTHENTICATING:
        yield CommandStep(sender.send_auth_line(b"*"), channel.timeouts.command, "AUTH")


# What a reply means ---------------------------------------------------------------------------------------------------


def _is_about_token(refused: _Rejection) -> bool:
    return refused.reply.code == 535 or bool(refused.detail)


def _failure(channel: Pipeline, mechanism: Mechanism, refused: _Rejection) -> LoginFailed:
    """The exception of a refused login, with the peer's own words."""
    reply, detail = refused
    said = f"{channel.peer} refused the login by {mechanism.name}: {reply}"
    if detail:
        said += f" ({detail})"
    if reply.transient:
        return LoginDeferred(said, reply)
    if reply.code == 535:
        what = {"password": "the name and the password", "token": "the name and the token"}
        said += f"; check {what.get(mechanism.needs, 'the certificate')}"
    return LoginRefused(said, reply)
