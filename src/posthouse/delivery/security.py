"""Security of a delivery: the TLS policy and the login of a route, and the memory of hosts whose TLS fails.

*Opportunistic* TLS (RFC 7435) must not make mail worse than none: where a handshake fails or stalls, the message goes
on a new connection in clear, and the host is remembered for an hour, so that the messages behind it do not wait for
the same failure.  Where a route requires TLS there is no such way: the message is deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.client import Session
from posthouse.client.model import LoginFailed, NoMechanism, TlsRefused, TlsUnavailable, WrongDoor
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import CertificateRefused, Outcome, PosthouseError, Reply, Result, SettingError, TlsFailed
from posthouse.net import Clock

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings

__all__ = [
    "IN_CLEAR_SECONDS",
    "InClear",
    "RouteSecurity",
    "UNPROVED_MX",
    "demands_tls",
    "not_ours",
    "refused_by_requiretls",
    "reply_about",
    "security_of",
    "waiting_for_tls",
]

#: Seconds for which a host whose TLS failed gets mail in clear.
IN_CLEAR_SECONDS: Final = 3600.0
_MOST_HOSTS: Final = 1024
_FAILED: Final = Result.FAILED

# Replies of this side (RFC 3463 §3.8): the configuration, or the host's TLS, keeps the mail here for now.
_NO_TLS: Final = Reply(451, "4.7.4", "the route requires TLS, and the host does not begin it")
_TLS_FAILED: Final = Reply(451, "4.7.5", "the route requires TLS, and it could not be set up with the host")
_NOT_PROVED: Final = Reply(451, "4.7.5", "the host's certificate does not prove its name")
#: REQUIRETLS (RFC 8689 §4.2.1): these are final.
UNPROVED_MX: Final = Reply(
    550, "5.7.10", "the sender asked for REQUIRETLS, and no mail exchanger can be proved to be right"
)
_NO_ENCRYPTION: Final = Reply(
    550, "5.7.10", "the sender asked for REQUIRETLS, and the host has no TLS that proves its name"
)
_NO_LOGIN: Final = Reply(451, "4.7.8", "the host did not accept the login of this route")
_NO_MECHANISM: Final = Reply(451, "4.7.4", "the host offers no way to log in that this route may use")
_UNUSABLE: Final = Reply(451, "4.3.5", "the route of this mail is not usable")
#: Refusals that ask for a login, or for TLS before it: what is missing is on this side.
_LOGIN_CODES: Final = (530, 534, 535, 538)
#: Refusals of mail in clear; 523 is Microsoft's.
_TLS_CODES: Final = (523, 530, 538)


class RouteSecurity(NamedTuple):
    """The security of a route's sessions: its TLS policy, None for sessions in clear, and what reads its credentials
    for each new session, None for no login.  ``requires``: for messages with REQUIRETLS (RFC 8689)."""

    tls: TlsPolicy | None = None
    login: Callable[[], LoginSettings] | None = None
    requires: bool = False

    def requiring(self) -> RouteSecurity:
        """The same for messages with REQUIRETLS: verified, whatever the route asks for, by the certificates that the
        route trusts."""
        tls = TlsPolicy(TlsMode.VERIFY) if self.tls is None else self.tls.verifying()
        return RouteSecurity(tls, self.login, requires=True)

    @property
    def opportunistic(self) -> bool:
        """Whether mail goes in clear where TLS cannot be had."""
        return self.tls is not None and self.tls.mode is TlsMode.OPPORTUNISTIC


class InClear:
    """The memory of hosts that get mail in clear because their TLS failed, by name and port; the oldest is forgotten
    first.  ``tell`` is given a sentence about each new one."""

    def __init__(self, clock: Clock, tell: Callable[[str], object] | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self._hosts: dict[tuple[str, int], tuple[float, str]] = {}

    def why(self, host: str, port: int) -> str:
        """Why this host gets mail in clear; "" if TLS is to be tried."""
        found = self._hosts.get((host, port)) if self._hosts else None
        if found is None:
            return ""
        until, why = found
        if until > self._clock.monotonic():
            return why
        del self._hosts[host, port]
        return ""

    def forget(self, host: str) -> None:
        """Try TLS with this host again at the next connection."""
        for place in [each for each in self._hosts if each[0] == host]:
            del self._hosts[place]

    def add(self, host: str, port: int, error: PosthouseError) -> None:
        """Remember a host with whom TLS has failed."""
        if not self.why(host, port) and self._tell is not None:
            minutes = f"{IN_CLEAR_SECONDS / 60:.0f} minutes"
            self._tell(f"TLS with {host} failed, so mail goes there in clear for {minutes}: {error}")
        self._hosts.pop((host, port), None)
        if len(self._hosts) >= _MOST_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        self._hosts[host, port] = (self._clock.monotonic() + IN_CLEAR_SECONDS, f"TLS failed: {error}")


def security_of(session: Session, in_clear: str) -> tuple[str, str]:
    """TLS version and cipher suite of a session, "" in clear; and a sentence about the certificate, or about why there
    is no TLS (``in_clear``, if that is known from before)."""
    info = session.tls
    if info is None:
        why = in_clear or session.tls_remark
        return "", f"in clear: {why}" if why else ""
    remark = session.tls_remark
    if info.peer is None:
        return info.text, remark
    names = info.peer.names
    shown = f"certificate of {names[0]}" if names else f"certificate of {info.peer.subject}"
    return info.text, f"{shown}, {'verified' if info.verified else 'not verified'}" + (
        "" if info.verified else remark.removeprefix("the certificate was not verified")
    )


def reply_about(error: PosthouseError) -> Reply | None:
    """The reply of this side for an error of TLS, of the login, or of a file that they need; None for others."""
    if isinstance(error, CertificateRefused):
        return _NOT_PROVED
    if isinstance(error, TlsFailed):
        return _TLS_FAILED
    if isinstance(error, TlsRefused) and error.reply is not None and error.reply.code == 421:
        return error.reply
    if isinstance(error, TlsUnavailable):
        return _NO_TLS
    if isinstance(error, NoMechanism) and error.reply is None:  # nothing was tried
        return _NO_MECHANISM
    if isinstance(error, LoginFailed):
        return _NO_LOGIN
    return _UNUSABLE if isinstance(error, SettingError | WrongDoor) else None


def refused_by_requiretls(replies: Sequence[Reply]) -> Reply | None:
    """The reply of this side where no host can take a message with REQUIRETLS, given those about each host; None if one
    of them may be able to later."""
    return _NO_ENCRYPTION if all(each in (_NO_TLS, _TLS_FAILED, _NOT_PROVED) for each in replies) else None


def demands_tls(outcome: Outcome) -> bool:
    """Whether a host refuses a recipient for good because the session is in clear (RFC 3207 §4; RFC 5248: X.7.10)."""
    reply = outcome.reply
    if outcome.result is not Result.FAILED or reply is None or not outcome.peer:
        return False
    return reply.code in _TLS_CODES or reply.enhanced in ("5.7.10", "5.7.11")


def waiting_for_tls(outcome: Outcome) -> Outcome:
    """The outcome of a recipient whose host wants TLS, which failed there: the message waits for another attempt."""
    if not demands_tls(outcome):
        return outcome
    reason = f"{outcome.peer} takes no mail in clear ({outcome.reply}), and TLS with it failed; it is tried again later"
    return outcome._replace(result=Result.DEFERRED, reason=reason)


def not_ours(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The outcomes of a configured host: where it asked for a login or TLS, the message waits, because not it is at
    fault but this side's configuration."""
    failed = [each for each in outcomes if each.result is _FAILED]
    return [_waiting(each) for each in outcomes] if failed else outcomes


def _waiting(outcome: Outcome) -> Outcome:
    reply = outcome.reply
    if outcome.result is not Result.FAILED or reply is None or reply.code not in _LOGIN_CODES or not outcome.peer:
        return outcome
    reason = f"{outcome.peer} wants a login or TLS: {reply}; set user, password_file and tls of its [[route]]"
    return outcome._replace(result=Result.DEFERRED, reason=reason)
