"""TLS policy of a sending session: whether TLS is begun, how, and what the peer's certificate must prove.

A policy is made once and serves many sessions: its context, with the certificates to trust, is made at the first use.
It also keeps the TLS sessions that servers let it resume (RFC 8446 §2.2).  A resumed session shows no certificate
again, so what was verified once counts: for the same name, port and policy only, for 30 minutes at most.
"""

from __future__ import annotations

import contextlib
import enum
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from posthouse.core import SettingError
from posthouse.protocol.grammar import GrammarError, domain_to_ascii

if TYPE_CHECKING:
    import ssl

    from posthouse.net.tls_engine import Resumable

__all__ = ["TlsMode", "TlsPolicy"]


#: TLS sessions that a policy keeps, each of one name and port, and the seconds for which it keeps one.
_MOST_SESSIONS: Final = 256
_SESSION_SECONDS: Final = 1800.0


class TlsMode(enum.StrEnum):
    """How a session becomes a TLS session."""

    OFF = "off"  # in clear
    OPPORTUNISTIC = "opportunistic"  # STARTTLS if it is offered; the certificate is only recorded
    REQUIRE = "require"  # STARTTLS or no session; the certificate is only recorded
    VERIFY = "verify"  # STARTTLS or no session; the certificate must prove the name
    IMPLICIT = "implicit"  # TLS from the first octet (RFC 8314); the certificate must prove the name


class TlsPolicy:
    """A TLS policy.

    Args:
        mode: How TLS begins.
        verify: Whether the certificate must prove the name, where that is to differ from the mode's way: False makes
            VERIFY the same as REQUIRE, and leaves IMPLICIT without the check.  Either is still TLS or no session.
        ca: A file (PEM) or folder of certificates to trust in place of the system's.
        certificate, key: The certificate that this side shows if the peer asks for one (PEM); "" shows none.
        name: The name to ask for (SNI) and to verify; "" for the host's name that the session was given.
        context: The settings of TLS, in place of ``ca``, ``certificate`` and ``key``; its own flags decide then what
            is verified.
    """

    __slots__ = ("_ca", "_certificate", "_context", "_key", "_sessions", "mode", "name", "verify")

    def __init__(
        self,
        mode: TlsMode | str,
        *,
        verify: bool | None = None,
        ca: str = "",
        certificate: str = "",
        key: str = "",
        name: str = "",
        context: ssl.SSLContext | None = None,
    ) -> None:
        try:
            self.mode = TlsMode(mode)
        except ValueError:
            known = ", ".join(TlsMode)
            raise SettingError(f'"{mode}" is no TLS policy', where="tls", remedy=f"write one of {known}") from None
        strict = self.mode in (TlsMode.VERIFY, TlsMode.IMPLICIT)
        self.verify = strict and verify is not False
        self.name = name
        self._ca, self._certificate, self._key = ca, certificate, key
        self._context = context
        self._sessions: OrderedDict[tuple[str, int], tuple[float, Resumable]] = OrderedDict()

    def verifying(self) -> TlsPolicy:
        """The same with a certificate that must prove the name: TLS from the first octet stays that, everything else
        becomes VERIFY.  Which certificates are trusted and shown stays the same."""
        if self.verify:
            return self
        mode = TlsMode.IMPLICIT if self.mode is TlsMode.IMPLICIT else TlsMode.VERIFY
        return TlsPolicy(mode, ca=self._ca, certificate=self._certificate, key=self._key, name=self.name)

    @property
    def required(self) -> bool:
        """Whether there is no session without TLS."""
        return self.mode not in (TlsMode.OFF, TlsMode.OPPORTUNISTIC)

    @property
    def starttls(self) -> bool:
        """Whether STARTTLS is said where it is offered."""
        return self.mode not in (TlsMode.OFF, TlsMode.IMPLICIT)

    def context(self) -> ssl.SSLContext:
        """The settings of TLS.  Raises ``SettingError`` if a file cannot be read."""
        if self._context is None:
            from posthouse.net.tls_context import client_context

            self._context = client_context(
                verify=self.verify, ca=self._ca if self.verify else "", certificate=self._certificate, key=self._key
            )
        return self._context

    def has_session(self, host: str, port: int) -> bool:
        """Whether there is a TLS session to resume with this host."""
        return bool(self._sessions) and (self.name_for(host), port) in self._sessions

    def take_session(self, host: str, port: int, now: float) -> Resumable | None:
        """The TLS session to resume with this host, which is given once (RFC 8446 appendix C.4); None without one.
        ``now`` is monotonic."""
        found = self._sessions.pop((self.name_for(host), port), None) if self._sessions else None
        return found[1] if found is not None and found[0] > now else None

    def keep_session(self, host: str, port: int, now: float, session: Resumable) -> None:
        """Keep a TLS session of this host for its next connection, in place of the one before; the oldest of too many
        is forgotten."""
        key = self.name_for(host), port
        self._sessions.pop(key, None)
        if len(self._sessions) >= _MOST_SESSIONS:
            with contextlib.suppress(KeyError):  # threads may share a policy
                self._sessions.popitem(last=False)
        self._sessions[key] = (now + _SESSION_SECONDS, session)

    def name_for(self, host: str) -> str:
        """The name to ask for and to verify at this host, as certificates spell it: in A-labels, without the final dot
        (RFC 6066 §3); an IP address without its zone; ``localhost`` for a unix socket."""
        name = (self.name or host).rstrip(".")
        if not name or "/" in name:
            return "localhost"
        if ":" in name:
            return name.partition("%")[0]
        try:
            return domain_to_ascii(name)
        except GrammarError:
            return name

    def __repr__(self) -> str:
        how = "" if self.verify is (self.mode in (TlsMode.VERIFY, TlsMode.IMPLICIT)) else ", verify=False"
        return f"TlsPolicy({self.mode.value!r}{how})"
