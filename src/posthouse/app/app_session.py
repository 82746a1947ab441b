"""One session of an application's server: the policy that decides, and the intake of each message."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from posthouse.app.answers import joined
from posthouse.app.handler_dispatch import HandlerDispatcher, MessageDispatch
from posthouse.app.received_content import ContentBuffer
from posthouse.app.session_info import SessionInfo
from posthouse.core import Envelope, NetworkError, Recipient, Remark, Reply, Verdict
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl.exchange import Authenticated, CheckPassword, Denied, Question
from posthouse.protocol.sasl.mechanisms import ServerContext
from posthouse.server import Answer, Intake, Peer
from posthouse.server.policy import LoginTerms

__all__ = ["AppIntake", "AppLogins", "AppPolicy", "ServerFacts"]

_SENDER_OK: Final = Verdict(Reply(250, "2.1.0", "Sender OK"))
_TLS_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Must issue a STARTTLS command first"), "the application requires TLS")
_LOGIN_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Authentication required"), "the application requires a login")
_TOO_LARGE: Final = Verdict(Reply(552, "5.3.4", "Message too large"), "larger than max_size")
_NO_ROOM: Final = Verdict(Reply(452, "4.3.1", "No room for this message now; try again later"), "the disk failed")
_FULL: Final = Verdict(Reply(421, "4.3.2", "Too many connections; try again later"), "more than connections")
_VRFY: Final = Verdict(Reply(252, "2.5.0", "Send a message to find out"))
_EXPN: Final = Verdict(Reply(502, "5.5.1", "There are no lists here"))
_HELP: Final = Verdict(Reply(214, "2.0.0", "Mail for this application is accepted here"))
_WELCOME: Final = Verdict(Reply(235, "2.7.0", "Authentication successful"))
#: Seconds that a wrong password costs.
_WRONG: Final = 1.0


class ServerFacts(Protocol):
    """What a session must know of its server."""

    @property
    def dispatcher(self) -> HandlerDispatcher:
        """The calls of the application's handlers."""
        ...

    @property
    def hostname(self) -> str:
        """The name in the greeting."""
        ...

    @property
    def lmtp(self) -> bool:
        """Whether each recipient gets a reply of its own after the content (RFC 2033)."""
        ...

    @property
    def open_sessions(self) -> int:
        """How many sessions are open, this one included."""
        ...

    def log_refusal(self, host: str, what: str, reply: Reply) -> None:
        """Log a reply of 4yz or 5yz that no handler has given."""
        ...


class AppPolicy:
    """The policy of one session."""

    def __init__(self, server: ServerFacts, peer: Peer) -> None:
        self._server = server
        self._peer = peer
        self._greet = Greet("HELO", "")
        self._tls: TlsInfo | None = None
        self._login = ""

    def session(self) -> SessionInfo:
        """The facts of this session now."""
        verb = self._greet.verb
        protocol = "SMTP" if verb == "HELO" else "ESMTP" if verb == "EHLO" else "LMTP"
        return SessionInfo(self._peer.host, self._peer.port, self._greet.domain, protocol, self._tls, self._login)

    def _no(self, what: str, verdict: Verdict) -> Verdict:
        self._server.log_refusal(self._peer.host, what, verdict.reply)
        return verdict

    def connected(self) -> Answer:
        """220, or 421 if there are too many sessions."""
        server = self._server
        if server.open_sessions > server.dispatcher.app.settings.connections:
            return self._no("connect", _FULL)
        return Verdict(Reply(220, "", f"{server.hostname} {'LMTP' if server.lmtp else 'ESMTP'}"))

    def greeted(self, greet: Greet) -> Answer:
        """Note the client's name."""
        self._greet = greet
        return Verdict(Reply(250, "", self._server.hostname))

    def mail(self, mail: Mail) -> Answer:
        """Whether a message may come."""
        settings = self._server.dispatcher.app.settings
        if settings.tls_required and self._tls is None:
            return self._no("MAIL", _TLS_NEEDED)
        if settings.login_required and not self._login:
            return self._no("MAIL", _LOGIN_NEEDED)
        if (mail.size or 0) > settings.max_size:
            return self._no("MAIL", _TOO_LARGE)
        return _SENDER_OK

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        """Whether a handler takes this recipient."""
        recipient = Recipient(rcpt.address, rcpt.notify, rcpt.orcpt)
        known = envelope._replace(recipients=(*accepted, recipient)) if len(accepted) < 100 else envelope
        return self._server.dispatcher.recipient(self.session(), known, recipient)

    def verify(self, text: str) -> Answer:
        """VRFY: 252 for everything."""
        return _VRFY

    def expand(self, text: str) -> Answer:
        """EXPN: there is none."""
        return _EXPN

    def help(self, topic: str) -> Answer:
        """HELP."""
        return _HELP

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        """The intake of a message."""
        return AppIntake(self._server, self.session(), envelope)

    def refused(self, what: str, reply: Reply) -> None:
        """Log what the session refused by itself."""
        self._server.log_refusal(self._peer.host, what, reply)

    def disconnected(self) -> None:
        """The session is over."""

    def tls_started(self, info: TlsInfo) -> None:
        """What the client said before does not count (RFC 3207 §4.2)."""
        self._tls, self._login, self._greet = info, "", Greet("HELO", "")

    def tls_failed(self, error: NetworkError) -> None:
        """The handshake failed."""
        self._server.log_refusal(self._peer.host, "TLS", Reply(454, "4.7.0", str(error)))

    def logged_in(self, outcome: Authenticated) -> Answer:
        """A right password."""
        self._login = outcome.user
        return _WELCOME

    async def login_denied(self, outcome: Denied) -> Verdict:
        """A wrong password: the answer takes its time, so that guessing does."""
        await self._server.dispatcher.clock.sleep(_WRONG)
        return self._no("AUTH", Verdict(outcome.reply, outcome.reason))


class AppIntake:
    """The intake of one message."""

    def __init__(self, server: ServerFacts, session: SessionInfo, envelope: Envelope) -> None:
        self._server = server
        self._envelope = envelope
        self._max_size = server.dispatcher.app.settings.max_size
        self._size = 0
        self._dispatch: MessageDispatch = server.dispatcher.message(session, envelope)
        self._buffer = ContentBuffer() if self._dispatch.keeps else None

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets; those of a message that is too large are dropped."""
        self._size += len(chunk)
        if self._size > self._max_size:
            if self._buffer is not None:
                self._buffer.drop()
            self._dispatch.abort("the message is too large")
            return None
        stored = self._buffer.write(chunk) if self._buffer is not None else None
        streamed = self._dispatch.write(chunk)
        if stored is None or streamed is None:
            return stored or streamed
        return _both(stored, streamed)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """What a lenient server has tolerated is of no interest to handlers."""

    async def commit(self) -> tuple[Verdict, ...]:
        """Call the handlers; one verdict, or in LMTP one for each recipient."""
        refusal: Verdict | None = None
        content = None
        if self._size > self._max_size:
            refusal = _TOO_LARGE
        elif self._buffer is not None:
            try:
                content = await self._buffer.finished()
            except OSError as error:
                refusal = _NO_ROOM._replace(reason=f"the temporary file cannot be written: {error}")
        verdicts = await self._dispatch.finish(content, refusal)
        if self._server.lmtp:
            return tuple(verdicts)
        recipients = self._envelope.recipients
        replies = [(str(each.address), verdict.reply) for each, verdict in zip(recipients, verdicts, strict=True)]
        return (Verdict(joined(replies), "; ".join(dict.fromkeys(verdict.reason for verdict in verdicts))),)

    def abort(self) -> None:
        """The client is gone.  Handlers that have begun run to their end."""
        if self._buffer is not None:
            self._buffer.drop()
        self._dispatch.abort("the client ended the connection before the message was complete")


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    await one
    await other


class AppLogins(LoginTerms):
    """The terms of AUTH: the application's function for names and passwords, inside TLS and on loopback."""

    def __init__(self, server: ServerFacts) -> None:
        self._server = server

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        return ("PLAIN", "LOGIN") if tls or loopback else ()

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        return ServerContext("", b"", bindings, offered, identity)

    async def answer(self, question: Question) -> Any:
        """Whether a password is right; an exception, or too long a time, becomes 454."""
        assert isinstance(question, CheckPassword)
        return await self._server.dispatcher.check_password(question.user, question.password)
