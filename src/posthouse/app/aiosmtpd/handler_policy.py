"""The policy of a session whose decisions are the hooks of a handler written for aiosmtpd."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from posthouse.app.aiosmtpd.smtp import MISSING, SMTP, Envelope, Session, is_missing
from posthouse.core import Envelope as CoreEnvelope
from posthouse.core import NetworkError, Recipient, Remark, Reply, Verdict, path_text
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol import Offer
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, format_parameters
from posthouse.protocol.sasl.exchange import Authenticated, Denied
from posthouse.server import Answer, Intake, Peer
from posthouse.server.settings import Protection

__all__ = ["FAILED", "HandlerPolicy", "status_reply"]

_log = logging.getLogger("mail.log")
_STATUS: Final = re.compile(r"([245][0-9]{2})(?:[ -](.*))?", re.DOTALL)
#: The reply in place of one that no hook has given.
FAILED: Final = Reply(451, "4.3.0", "Something went wrong here; try again later")
_OK: Final = Verdict(Reply(250, "", "OK"))
_BYE: Final = Verdict(Reply(221, "", "Bye"))
_NO_HELO: Final = Verdict(Reply(503, "", "Error: send HELO first"), "the hook has not set session.host_name")
_NO_MAIL: Final = Verdict(Reply(503, "", "Error: need MAIL command"), "the hook has not set envelope.mail_from")
_NO_RCPT: Final = Verdict(Reply(503, "", "Error: need RCPT command"), "the hook has not appended to envelope.rcpt_tos")
_NO_TLS: Final = Verdict(Reply(530, "", "Must issue a STARTTLS command first"), "require_starttls")
_BAD_TLS: Final = Verdict(Reply(554, "", "Command refused due to lack of security"), "handle_STARTTLS said no")
_NO_LOGIN: Final = Verdict(Reply(530, "5.7.0", "Authentication required"), "auth_required")
_TOO_MUCH: Final = Verdict(Reply(552, "", "Error: Too much mail data"), "larger than data_size_limit")
_VRFY: Final = Verdict(Reply(252, "", "Cannot VRFY user, but will accept message and attempt delivery"))
_EXPN: Final = Verdict(Reply(502, "", "EXPN not implemented"))
_HELP: Final = Verdict(Reply(250, "", "Supported commands: AUTH DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET VRFY"))
_WELCOME: Final = Reply(235, "2.7.0", "Authentication successful")
_INVALID: Final = Reply(535, "5.7.8", "Authentication credentials invalid")


def status_reply(statuses: Sequence[object]) -> Reply:
    """The reply that the lines of a hook stand for, the code being the last one's.  451 for what is no status."""
    lines: list[str] = []
    for status in statuses:
        text = status.decode("utf-8", "replace") if isinstance(status, bytes) else status
        if not isinstance(text, str):
            _log.error("a hook of the handler returned %r, which is no status such as '250 OK'", status)
            return FAILED
        lines += text.splitlines() or [""]
    code, texts = 0, []
    for line in lines:
        found = _STATUS.fullmatch(line)
        if found is None:
            _log.error("a hook of the handler returned %r, which is no status such as '250 OK'", line)
            return FAILED
        code = int(found[1])
        texts.append(found[2] or "")
    return Reply(code, "", "\n".join(texts)) if code else FAILED


class HandlerPolicy:
    """The policy of one session; it is a ``CommandPolicy``."""

    def __init__(self, smtp: SMTP, peer: Peer, offer: Offer, protection: Protection) -> None:
        self.smtp = smtp
        self._peer = peer
        self._offer = offer
        self._protection = protection
        self._tls: TlsInfo | None = None
        self._tls_okay = True
        self._login_reply = _WELCOME
        self._new_session()

    def _new_session(self) -> None:
        self.session = session = Session(self.smtp.loop)
        session.peer = (self._peer.host, self._peer.port) if self._peer.host else ""
        self.smtp.session = session
        self._reset()

    def _reset(self) -> None:
        self.envelope = self.smtp.envelope = Envelope()

    # -- hooks -------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, default: Verdict, *arguments: object) -> Answer:
        """The verdict of a hook; the default at once if the handler has no such hook."""
        hook = self.smtp.hook(name)
        return default if hook is None else self._asked(hook, default, arguments)

    async def _asked(self, hook: Callable[..., Any], default: Verdict, arguments: Sequence[object]) -> Verdict:
        pushed, status = await self._called(hook, arguments)
        if is_missing(status):
            return default
        return Verdict(status_reply([*pushed, status]), "a hook of the handler")

    async def _called(self, hook: Callable[..., Any], arguments: Sequence[object]) -> tuple[list[str], Any]:
        """What a hook has pushed and returned; for an exception the status of the exception hook."""
        smtp = self.smtp
        smtp.pushed = []
        try:
            status = hook(smtp, self.session, self.envelope, *arguments)
            status = await status if inspect.isawaitable(status) else status
        except Exception as error:
            status = await self._excused(error)
        return smtp.pushed, status

    async def _excused(self, error: Exception) -> str:
        """The status for an exception of a hook, also if the exception hook fails."""
        try:
            return await self.smtp.handle_exception(error)
        except Exception as inner:
            _log.error("handle_exception of the handler failed", exc_info=inner)
            return str(FAILED)

    # -- the session -------------------------------------------------------------------------------------------------

    def connected(self) -> Answer:
        return Verdict(Reply(220, "", f"{self.smtp.hostname} {self.smtp.ident}"))

    def greeted(self, greet: Greet) -> Answer:
        if not self._tls_okay:
            return _BAD_TLS
        self._reset()
        self.session.extended_smtp = greet.verb != "HELO"
        if greet.verb == "HELO":
            if self.smtp.hook("HELO") is None:
                self.session.host_name = greet.domain
            return self._ask("HELO", Verdict(Reply(250, "", self.smtp.hostname)), greet.domain)
        responses = self._responses()
        hook = self.smtp.hook("EHLO")
        if hook is None:
            self.session.host_name = greet.domain
            return Verdict(status_reply(responses))
        return self._ehlo(hook, greet.domain, responses)

    async def _ehlo(self, hook: Callable[..., Any], name: str, responses: list[str]) -> Verdict:
        if self.smtp.ehlo_takes_responses:
            pushed, status = await self._called(hook, (name, responses))
            lines = status if isinstance(status, list) else [status]
        else:
            pushed, status = await self._called(hook, (name,))
            lines = [status] if str(status)[:1] in "45" else [*responses[:-1], *pushed, status]
        return Verdict(status_reply(lines or responses), "a hook of the handler")

    def _responses(self) -> list[str]:
        """The lines of EHLO as aiosmtpd gives them to its hook, HELP last."""
        secured = self._tls is not None
        offer = self._protection.offer(self._offer, tls=secured, loopback=False)
        keywords = [each for each in offer.keywords() if each != "HELP"]
        return [f"250-{each}" for each in (self.smtp.hostname, *keywords)] + ["250 HELP"]

    def mail(self, mail: Mail) -> Answer:
        smtp = self.smtp
        if not self._tls_okay:
            return _BAD_TLS
        if smtp.require_starttls and self._tls is None:
            return _NO_TLS
        if not self.session.host_name:
            return _NO_HELO
        if smtp.auth_required and not self.session.authenticated:
            return _NO_LOGIN
        if smtp.data_size_limit and (mail.size or 0) > smtp.data_size_limit:
            return Verdict(Reply(552, "", "Error: message size exceeds fixed maximum message size"))
        self._reset()
        self.envelope.smtp_utf8 = mail.smtputf8
        address = path_text(mail.sender) or "<>"
        options = format_parameters(mail, MAIL_PARAMETERS).upper().split()
        if smtp.hook("MAIL") is None:
            self.envelope.mail_from = address
            self.envelope.mail_options.extend(options)
        return self._ask("MAIL", _OK, address, options)

    def rcpt(self, envelope: CoreEnvelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        if not self.envelope.mail_from:
            return _NO_MAIL
        address = str(rcpt.address)
        options = format_parameters(rcpt, RCPT_PARAMETERS).upper().split()
        if self.smtp.hook("RCPT") is None:
            self.envelope.rcpt_tos.append(address)
            self.envelope.rcpt_options.extend(options)
        return self._ask("RCPT", _OK, address, options)

    def intake(self, envelope: CoreEnvelope) -> Intake | Verdict:
        return _HandlerIntake(self) if self.envelope.rcpt_tos else _NO_RCPT

    async def data(self, octets: bytes) -> Verdict:
        """The verdict on a whole message."""
        envelope, smtp = self.envelope, self.smtp
        envelope.content = envelope.original_content = octets
        if smtp.decode_data:
            try:
                text = octets.decode("utf-8", "surrogateescape") if smtp.enable_SMTPUTF8 else octets.decode("ascii")
            except UnicodeDecodeError:
                return Verdict(Reply(500, "", "Error: strict ASCII mode"), "decode_data")
            envelope.content = text
        verdict = self._ask("DATA", _OK)
        if smtp.hook("DATA") is None and (old := getattr(smtp.event_handler, "process_message", None)) is not None:
            verdict = await self._asked(_as_hook(old), _OK, ())
        given = verdict if isinstance(verdict, Verdict) else await verdict
        self._reset()
        return given

    def command(self, verb: str, text: str) -> Answer:
        if verb == "RSET":
            self._reset()
            return self._ask("RSET", _OK)
        if verb == "QUIT":
            return self._ask("QUIT", _BYE)
        return self._ask("NOOP", _OK, text or None)

    def verify(self, text: str) -> Answer:
        if self.smtp.auth_required and not self.session.authenticated:
            return _NO_LOGIN
        return self._ask("VRFY", _VRFY, text.removeprefix("<").removesuffix(">"))

    def expand(self, text: str) -> Answer:
        return _EXPN

    def help(self, topic: str) -> Answer:
        return _HELP

    def refused(self, what: str, reply: Reply) -> None:
        _log.info("%r: %s was answered %s", self.session.peer, what, reply)

    def disconnected(self) -> None:
        """The session is over."""

    def tls_started(self, info: TlsInfo) -> None:
        self._tls = info
        self._new_session()
        self.session.ssl = {
            "cipher": (info.cipher, info.version, info.bits),
            "version": info.version,
            "peercert": info.certificate,
        }
        hook = cast("Callable[..., Any] | None", self.smtp.hook("STARTTLS"))
        if hook is not None and not self._protection.implicit:
            self._tls_okay = bool(hook(self.smtp, self.session, self.envelope))

    def tls_failed(self, error: NetworkError) -> None:
        _log.info("%r: %s", self.session.peer, error)

    def logged_in(self, outcome: Authenticated) -> Answer:
        return Verdict(self._login_reply)

    def login_denied(self, outcome: Denied) -> Answer:
        return Verdict(outcome.reply, outcome.reason)

    async def authenticate(self, args: list[str]) -> Reply:
        """AUTH, by the handler's ``handle_AUTH`` or the method of the mechanism; 235 if the client is known now."""
        smtp = self.smtp
        hook = smtp.hook("AUTH")
        pushed, status = (list[str](), MISSING) if hook is None else await self._called(hook, (args,))
        if not is_missing(status):
            return status_reply([*pushed, status])
        smtp.pushed = []
        try:
            result = await smtp.mechanisms[args[0]](smtp, args)
        except Exception as error:
            return status_reply([await self._excused(error)])
        if (said := smtp.pushed) and not getattr(result, "success", False):
            return status_reply(said[-1:])
        if hasattr(result, "success"):
            if not result.success:
                return status_reply([result.message]) if result.message else _INVALID
            data = result.auth_data
            self.session.auth_data, self.session.login_data = data, getattr(data, "login", None)
            message = result.message
        elif result is None or result is False or is_missing(result):
            return _INVALID
        else:  # the older form: what the method returned says who it is
            self.session.login_data, message = result, None
        self.session.authenticated = True
        return status_reply([message])._replace(code=235) if message else _WELCOME

    def knows_now(self, reply: Reply) -> None:
        """The client has logged in; ``reply`` is what it is told."""
        self._login_reply = reply._replace(code=235)


class _HandlerIntake:
    """The content of one message, as a whole in memory, as handlers want it."""

    def __init__(self, policy: HandlerPolicy) -> None:
        self._policy = policy
        self._limit = policy.smtp.data_size_limit
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        if self._limit and self._size > self._limit:
            self._pieces = []
        else:
            self._pieces.append(chunk)
        return None

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """Handlers are not told."""

    async def commit(self) -> tuple[Verdict, ...]:
        if self._limit and self._size > self._limit:
            return (_TOO_MUCH,)
        octets, self._pieces = b"".join(self._pieces), []
        return (await self._policy.data(octets),)

    def abort(self) -> None:
        self._pieces = []


def _as_hook(old: Callable[..., Any]) -> Callable[..., Any]:
    """``process_message``, the hook of smtpd, as ``handle_DATA``."""

    async def hook(server: SMTP, session: Session, envelope: Envelope) -> Any:
        answer = old(session.peer, envelope.mail_from, envelope.rcpt_tos, envelope.content)
        answer = await answer if inspect.isawaitable(answer) else answer
        return MISSING if answer is None else answer

    return hook
