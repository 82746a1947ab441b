"""Time limits of a session, the steps and the result of its opening, and the exceptions of one that failed to open.

    RemoteError
    ├── SessionRefused       the greeting, or the reply to EHLO and HELO, was negative
    ├── TlsUnavailable       TLS is required, and the peer does not begin it
    │   ├── TlsNotOffered    its reply to EHLO has no STARTTLS
    │   └── TlsRefused       its reply to STARTTLS was not 220
    └── LoginFailed          no login (``core.AuthRefused``)
        ├── NoMechanism      none is offered that the credentials and the channel allow
        ├── LoginRefused     535, or another permanent reply: name, password or token are not right
        └── LoginDeferred    454, or another temporary reply

A handshake that fails or stalls is ``TlsFailed`` (``CertificateRefused`` if the certificate is not right), and
``WrongDoor`` is a port that speaks TLS where the session begins in clear, or the reverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from posthouse.client.tls_policy import TlsPolicy
from posthouse.core import AuthRefused, CannotConnect, NetworkError, RemoteError, Reply

if TYPE_CHECKING:
    from posthouse.net.tls_engine import TlsInfo

__all__ = [
    "CommandStep",
    "Greeted",
    "HandshakeStep",
    "INTERACTIVE_TIMEOUTS",
    "LoggedIn",
    "LoginDeferred",
    "LoginFailed",
    "LoginRefused",
    "NoMechanism",
    "SessionRefused",
    "SilenceStep",
    "Step",
    "Timeouts",
    "TlsNotOffered",
    "TlsRefused",
    "TlsUnavailable",
    "WorkStep",
    "WrongDoor",
]


class Timeouts(NamedTuple):
    """Time limits of a session in seconds, one for each phase.

    The defaults are those of RFC 5321 §4.5.3.2.  ``connect`` covers all addresses of the host together, ``block`` a
    peer that does not read content, ``final`` the reply to the end of the content, ``tls`` a TLS handshake.  After
    ``patience`` seconds without a greeting the session looks whether the port speaks TLS from the first octet, on a
    connection of its own (except port 25); 0 for never.
    """

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    quit: float = 5.0
    tls: float = 30.0
    patience: float = 0.0


#: Time limits where a person or a program waits for the outcome: shorter than those of a relay for the greeting and the
#: commands, and still enough for a busy server.
INTERACTIVE_TIMEOUTS: Final = Timeouts(greeting=60.0, command=60.0, quit=2.0, tls=20.0, patience=4.0)


class SessionRefused(RemoteError, CannotConnect):
    """The peer refused the session: its greeting, or its reply to EHLO and HELO, was negative, or in a pool it answered
    the first MAIL of a session by ending it.

    ``reply`` is that reply.
    """

    reply: Reply


class TlsUnavailable(RemoteError):
    """TLS is required and the peer does not begin it; ``reply`` is its reply to STARTTLS, if it gave one."""


class TlsNotOffered(TlsUnavailable):
    """TLS is required, and the peer's reply to EHLO does not have STARTTLS."""


class TlsRefused(TlsUnavailable):
    """TLS is required, and the peer answered STARTTLS with another reply than 220."""


class LoginFailed(AuthRefused):
    """No login.  ``reply`` is the reply that decided, None if the fault is this side's or the peer broke the mechanism.
    Neither the text nor the reply has a password or a token."""


class NoMechanism(LoginFailed):
    """The peer offers no mechanism that the credentials and the channel allow."""


class LoginRefused(LoginFailed):
    """The peer refused the credentials for good (535 and other 5yz)."""


class LoginDeferred(LoginFailed):
    """The peer cannot check the credentials now (454 and other 4yz)."""


class WrongDoor(NetworkError, CannotConnect):
    """The port speaks TLS from the first octet and the session began in clear, or the reverse; the text has the URL
    that is right."""


class LoggedIn(NamedTuple):
    """A login: the name (empty if the mechanism has none), and the mechanism by which it was proved."""

    user: str
    mechanism: str


class Greeted(NamedTuple):
    """What opened a session: the greeting, and the reply to EHLO, LHLO or HELO that counts.

    ``in_clear`` is the reply to EHLO before STARTTLS, ``tls`` what was agreed on.  ``remark`` says why there is no TLS
    though the policy would have it, or why the certificate does not prove the name; "" if there is nothing to say.
    """

    greeting: Reply
    hello: Reply
    in_clear: Reply | None = None
    tls: TlsInfo | None = None
    remark: str = ""
    login: LoggedIn | None = None


# Steps of a dialogue outside of transactions --------------------------------------------------------------------------


class CommandStep(NamedTuple):
    """One step of a dialogue outside of transactions: the octets to write, and the time limit of the reply.  Its answer
    is the reply."""

    wire: bytes
    seconds: float
    what: str


class SilenceStep(NamedTuple):
    """Wait for the greeting for some seconds; if none has come, look whether the port speaks TLS from the first octet,
    and raise ``WrongDoor`` if so."""

    seconds: float


class HandshakeStep(NamedTuple):
    """Begin TLS, as the first thing on a connection (``implicit``) or after STARTTLS was agreed on.  Its answer is what
    was agreed on."""

    policy: TlsPolicy
    implicit: bool


class WorkStep(NamedTuple):
    """A call that may take seconds (a key derivation, a question to an OAuth server).  Its answer is the result."""

    call: Callable[[], Any]


Step = CommandStep | SilenceStep | HandshakeStep | WorkStep
