"""The receiving SMTP of a sandbox: it takes every message, keeps it, and fails where a fault says so."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from posthouse.core import Envelope, NetworkError, Recipient, Remark, Reply, Verdict
from posthouse.net import Clock, Handler, Network
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol import LENIENT, Limits, Offer, Transcript
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl import (
    ANY_SECRET,
    Authenticated,
    CheckPassword,
    CheckToken,
    Denied,
    FindSecret,
    Question,
    ServerContext,
)
from posthouse.sandbox.caught_message import CaughtMessage, SandboxSession
from posthouse.sandbox.faulty_policy import FaultSource, FaultyPolicy, Moment, Strike
from posthouse.sandbox.mail_store import MailStore
from posthouse.server import Answer, Intake, Peer, Policy, Server, ServerSession
from posthouse.server.policy import LoginTerms
from posthouse.server.settings import Protection

__all__ = ["SandboxLogins", "SandboxServer"]

#: Sessions that are kept, the newest.
_SESSIONS_MOST: Final = 1_000
_MECHANISMS: Final = ("PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER", "XOAUTH2")

_SENDER_OK: Final = Verdict(Reply(250, "2.1.0", "Sender OK"))
_RECIPIENT_OK: Final = Verdict(Reply(250, "2.1.5", "Recipient OK"))
_TAKEN: Final = Verdict(Reply(250, "2.0.0", "Caught"))
_WELCOME: Final = Verdict(Reply(235, "2.7.0", "Authentication successful"))
_LOGIN_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Authentication required"))
_TLS_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Must issue a STARTTLS command first"))
_TOO_LARGE: Final = Verdict(Reply(552, "5.3.4", "Message is larger than this sandbox takes"))
_FULL: Final = Verdict(Reply(452, "4.3.1", "The sandbox is full; the test may call clear()"))
_VRFY: Final = Verdict(Reply(252, "2.5.0", "Every recipient is accepted here"))
_EXPN: Final = Verdict(Reply(502, "5.5.1", "There are no lists here"))
_HELP: Final = Verdict(Reply(214, "2.0.0", "All mail is caught here"))


class SandboxLogins(LoginTerms):
    """Logging in to a sandbox: with one of ``users`` (names and passwords or tokens), or without them with any name and
    any password."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        return _MECHANISMS if tls or loopback else ("CRAM-MD5",)

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        return ServerContext(
            nonce=secrets.token_urlsafe(18),
            decoy_secret=b"sandbox",
            bindings=bindings,
            offered=offered,
            identity=identity,
            challenge=f"<{secrets.token_urlsafe(12)}@sandbox>",
            empty_passwords=not self._users,
        )

    async def answer(self, question: Question) -> Any:
        match question:
            case CheckPassword(user, password):
                return not self._users or self._users.get(user) == password
            case FindSecret(user):
                return self._users.get(user) if self._users else ANY_SECRET
            case CheckToken(user, token):
                if not self._users:
                    return user or "token"
                return next((name for name, each in self._users.items() if each == token and user in ("", name)), None)
        return None


class SandboxServer(Server):
    """A server that keeps the messages of its sessions in ``store``, and their dialogues."""

    def __init__(
        self,
        store: MailStore,
        faults: FaultSource,
        *,
        network: Network,
        clock: Clock,
        hostname: str,
        offer: Offer,
        lmtp: bool,
        lenient: bool,
        max_size: int,
        protection: Protection | None,
        login_required: bool,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.store = store
        self.lmtp = lmtp
        self.max_size = max_size
        self.tls_required = protection is not None and protection.tls_required
        self.login_required = login_required
        self.greeting = Verdict(Reply(220, "", f"{hostname} {'LMTP' if lmtp else 'ESMTP'} Posthouse sandbox"))
        self.hello = Verdict(Reply(250, "", hostname))
        self._faults = faults
        self._begun = 0
        self._newest = SandboxSession(0)
        self._kept: list[SandboxSession] = []
        self._lock = threading.Lock()  # of ``_kept``, which tests read in other threads
        self._waiting: dict[ServerSession, SandboxSession] = {}  # whose connection is not open yet
        self._joined: tuple[ServerSession, SandboxSession] | None = None
        leniency = LENIENT._replace(domain=hostname)
        super().__init__(
            self._policy,
            network=network,
            clock=clock,
            hostname=hostname,
            offer=offer,
            lmtp=lmtp,
            limits=Limits(
                message=max_size,
                chunk=max_size,
                recipients=10_000,
                errors=2**31,
                idle_commands=2**31,
                refused_recipients=2**31,
            ),
            transcript=self._transcript,
            on_error=on_error,
            leniency=(lambda peer: leniency) if lenient else None,
            protection=protection,
        )

    @property
    def kept(self) -> tuple[SandboxSession, ...]:
        """The sessions so far, the newest last."""
        with self._lock:
            return tuple(self._kept[-_SESSIONS_MOST:])

    def _transcript(self) -> Transcript:
        """Called when a session is made: its dialogue."""
        self._begun += 1
        self._newest = session = SandboxSession(self._begun)
        with self._lock:
            self._kept.append(session)
            if len(self._kept) >= 2 * _SESSIONS_MOST:
                del self._kept[:_SESSIONS_MOST]
        return session.note

    def session(self) -> Handler:
        handler = super().session()
        if isinstance(handler, ServerSession):
            self._waiting[handler] = self._newest
        return handler

    def joined(self, session: ServerSession) -> None:
        # A session of implicit TLS is made right before it joins, others with their connection.
        self._joined = session, self._waiting.pop(session, self._newest)
        super().joined(session)

    def left(self, session: ServerSession) -> None:
        self._waiting.pop(session, None)
        super().left(session)

    def _policy(self, peer: Peer) -> Policy:
        assert self._joined is not None, "a session joins before it asks for its policy"
        session, kept = self._joined
        kept.client = peer.host, peer.port

        def struck(moment: Moment, strike: Strike) -> None:
            if strike.drop:
                kept.note("R", "(cut the connection, on demand)")

        return FaultyPolicy(
            _SandboxPolicy(self, kept),
            self._faults,
            clock=self.clock,
            abort=session.abort,
            lmtp=self.lmtp,
            struck=struck,
        )

    def cut(self) -> None:
        """Cut all connections, without a word."""
        for session in list(self._sessions):
            session.abort()


class _SandboxPolicy:
    """The policy of one session."""

    def __init__(self, server: SandboxServer, session: SandboxSession) -> None:
        self._server = server
        self._session = session

    def connected(self) -> Answer:
        return self._server.greeting

    def greeted(self, greet: Greet) -> Answer:
        self._session.helo = greet.domain
        return self._server.hello

    def mail(self, mail: Mail) -> Answer:
        server, session = self._server, self._session
        if server.tls_required and not session.tls:
            return _TLS_NEEDED
        if server.login_required and not session.user:
            return _LOGIN_NEEDED
        return _TOO_LARGE if (mail.size or 0) > server.max_size else _SENDER_OK

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        return _RECIPIENT_OK

    def verify(self, text: str) -> Answer:
        return _VRFY

    def expand(self, text: str) -> Answer:
        return _EXPN

    def help(self, topic: str) -> Answer:
        return _HELP

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        return _SandboxIntake(self._server, self._session, envelope)

    def refused(self, what: str, reply: Reply) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def tls_started(self, info: TlsInfo) -> None:
        self._session.tls = info.text
        self._session.user = ""

    def tls_failed(self, error: NetworkError) -> None:
        self._session.note("R", f"(TLS: {error})")

    def logged_in(self, outcome: Authenticated) -> Answer:
        self._session.user = outcome.user
        return _WELCOME

    def login_denied(self, outcome: Denied) -> Answer:
        return Verdict(outcome.reply, outcome.reason)


class _SandboxIntake:
    """The intake of one message."""

    def __init__(self, server: SandboxServer, session: SandboxSession, envelope: Envelope) -> None:
        self._server = server
        self._session = session
        self._envelope = envelope
        self._pieces: list[bytes] = []
        self._size = 0
        self._remarks: tuple[Remark, ...] = ()

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._server.max_size:
            self._pieces.clear()
        else:
            self._pieces.append(chunk)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        self._remarks = remarks

    def commit(self) -> tuple[Verdict, ...]:
        server = self._server
        verdict = _TAKEN
        if self._size > server.max_size:
            verdict = _TOO_LARGE
        else:
            message = CaughtMessage(b"".join(self._pieces), self._envelope, self._session, self._remarks)
            if not server.store.add(message, self._size):
                verdict = _FULL
        self._pieces.clear()
        return (verdict,) * (len(self._envelope.recipients) if server.lmtp else 1)

    def abort(self) -> None:
        self._pieces.clear()
