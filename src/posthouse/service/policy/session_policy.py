"""Policy of a session: who may send, and to whom.

==========  =======================================================  ==========================================
listener    may send to our domains                                  may send anywhere else
==========  =======================================================  ==========================================
mx          everybody                                                trusted networks and logged in (else 550)
submission  trusted networks and logged in (else 530 at MAIL)        trusted networks and logged in
lmtp        everybody who can connect                                nobody (550 5.7.1)
==========  =======================================================  ==========================================

Answers are given at once; only a quota, and storing, make a session wait.  Verdicts that do not depend on the session
are made once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from posthouse.core import Address, Envelope, NetworkError, Recipient, Reply, StorageError, Verdict, path_text
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl.exchange import Authenticated, Denied
from posthouse.server.policy import Answer, Intake, Peer
from posthouse.service.directory.directory import Foreign, Local
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.policy import vrfy as inquiries
from posthouse.service.policy.client_limits import Sending
from posthouse.service.policy.intake import IntakeContext, SpoolIntake
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.recipients import foreign_verdict, recipient_verdict
from posthouse.service.policy.session_account import SessionAccount
from posthouse.service.policy.submission import SubmissionTerms, SubmittedIntake, submission_terms
from posthouse.service.policy.trace import NOT_SECURED, Secured
from posthouse.service.policy.verdicts import TOO_LARGE, storage_verdict

__all__ = ["SessionPolicy"]

_GO_ON: Final = Verdict(Reply(250, "2.1.0", "Sender OK"), "")
_AUTH_NEEDED: Final = Verdict(
    Reply(530, "5.7.0", "Authentication required"), "the client has not logged in, and is not in trusted_networks"
)
_TLS_NEEDED: Final = Verdict(Reply(530, "5.7.0", "Must issue a STARTTLS command first"), "tls_required")
_DISK_LOW: Final = Verdict(Reply(452, "4.3.1", "No room for mail now; try again later"), "less than min_free is left")
_NO_STORAGE: Final = Verdict(
    Reply(451, "4.3.2", "Cannot take mail now; try again later"), "the spool's storage cannot be reached"
)

#: Refusals in one session that are logged one by one.
_REFUSALS_A_MINUTE: Final = 30


class _RecordedClient(NamedTuple):
    """What XFORWARD said of the next message's client; ``source`` is what logs and history name.  ``used``: the
    transaction has begun, so the next one is another client's."""

    attributes: Mapping[str, str]
    source: str = ""
    used: bool = False


_NOT_FORWARDED: Final = _RecordedClient(MappingProxyType({}))


class SessionPolicy:
    """The ``Policy`` of one session; ``functools.partial(SessionPolicy, shared)`` is the factory of a listener's."""

    __slots__ = (
        "_account",
        "_claimed",
        "_counted",
        "_forwarded",
        "_greet",
        "_peer",
        "_refusals",
        "_refusals_from",
        "_shared",
        "_signing",
        "_terms",
        "_terms_of",
        "_tls",
        "_trusted",
        "_user",
        "_verified",
    )

    def __init__(self, shared: ListenerPolicy, peer: Peer) -> None:
        self._shared = shared
        self._peer = peer
        self._greet: Greet | None = None
        self._counted = False
        self._claimed: Greet | None = None  # what XCLIENT says that the client said in HELO or EHLO
        self._forwarded = _NOT_FORWARDED
        self._trusted = False
        self._tls: TlsInfo | None = None
        self._user = ""
        self._account: SessionAccount | None = None
        self._terms: SubmissionTerms | None = None  # of this account, once a message was submitted
        self._terms_of: Sequence[str] = ()  # the identities that it had then
        self._signing: IntakeContext | None = None  # of its messages, once one was to be signed
        self._verified = False
        self._refusals = 0  # within a minute
        self._refusals_from = 0.0  # when that minute began

    def _no(self, command: str, verdict: Verdict, **fields: str) -> Verdict:
        now = self._shared.clock.monotonic()
        if now - self._refusals_from > 60.0:
            self._tell_more()
            self._refusals, self._refusals_from = 0, now
        self._refusals += 1
        if self._refusals <= _REFUSALS_A_MINUTE or verdict.reply.code == 421:
            self._shared.refused(self._source(), command, verdict, **fields)
        else:
            self._shared.tally.refused(command, verdict.reply)
        return verdict

    def _tell_more(self) -> None:
        """Log how many refusals were not logged one by one."""
        more = self._refusals - _REFUSALS_A_MINUTE
        if more > 0:
            self._shared.refused_more(self._source(), more)

    def _source(self) -> str:
        name, peer = self._shared.settings.name, self._peer
        return self._forwarded.source or f"{name} {peer.host or 'unix socket'}:{peer.port}"

    def connected(self) -> Answer:
        """220, or 421 when there are too many, or 521 where there is no mail service."""
        refusal = self._shared.enter(self._peer.host)
        if refusal is not None:
            return self._no("connect", refusal)
        self._counted = True
        self._trusted = self._shared.trusts(self._peer.host)
        self._verified = self._shared.verifies(self._peer.host)
        if self._shared.settings.closed:
            return self._no("connect", self._shared.closed)
        return self._shared.welcome

    def greeted(self, greet: Greet) -> Answer:
        """250 and our name; any name is taken (RFC 5321 §4.1.4)."""
        claimed = self._claimed
        self._greet = greet if claimed is None else Greet(claimed.verb or greet.verb, claimed.domain or greet.domain)
        return self._shared.hello

    def mail(self, mail: Mail) -> Answer:
        """Whether a message of this size may come at all."""
        shared = self._shared
        if self._forwarded is not _NOT_FORWARDED and self._forwarded.used:
            self._forwarded = _NOT_FORWARDED
        if shared.settings.tls_required and self._tls is None:
            return self._no("MAIL", _TLS_NEEDED)
        if self._account is not None:
            refused = self._account.refuses(mail.sender)
            if refused is not None:
                if not isinstance(refused, Verdict):
                    return self._mail_later(mail, refused)
                return self._no("MAIL", refused, sender=path_text(mail.sender))
        elif shared.login_required and not self._trusted:
            return self._no("MAIL", _AUTH_NEEDED)
        return self._mail(mail)

    async def _mail_later(self, mail: Mail, asked: Awaitable[Verdict | None]) -> Verdict:
        """The verdict on MAIL of an account that the store must look for."""
        refused = await asked
        return self._mail(mail) if refused is None else self._no("MAIL", refused, sender=path_text(mail.sender))

    def _mail(self, mail: Mail) -> Verdict:
        """The verdict on MAIL of a client that may send."""
        shared = self._shared
        if (limit := shared.sending.refuses_message(self._peer.host, self._user)) is not None:
            return self._no("MAIL", limit)
        size = mail.size or 0
        if size > shared.settings.max_message_size:
            return self._no("MAIL", TOO_LARGE)
        if not shared.intake.spool.accepting():
            return self._no("MAIL", _NO_STORAGE)
        if shared.room() - size < shared.config.spool.min_free:
            return self._no("MAIL", _DISK_LOW)
        if self._forwarded is not _NOT_FORWARDED:
            self._forwarded = self._forwarded._replace(used=True)
        return _GO_ON

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        """Whether this recipient is ours, or may be sent to; the session limits their number."""
        shared = self._shared
        address = rcpt.address
        if not shared.sending.off:
            limit = shared.sending.refuses_recipient(self._peer.host, self._user, len(accepted))
            if limit is not None:
                return self._no("RCPT", limit, recipient=str(address))
        if shared.directory.is_foreign(address.domain):
            return self._foreign(address)
        if envelope.sender is None and shared.report_refused is not None and not (self._trusted or self._user):
            refused = shared.report_refused(address)
            if refused is not None:
                return self._no("RCPT", refused, recipient=str(address))
        found = shared.directory.resolve(address)
        if isinstance(found, Foreign):
            return self._foreign(address)
        if isinstance(found, Local) and found.domain.quota and not found.paused:
            return self._within_quota(address, found, envelope.size or 0)
        return self._judged(address, recipient_verdict(found, utf8=envelope.smtputf8))

    def _judged(self, address: Address, verdict: Verdict) -> Verdict:
        if verdict.reply.positive:
            return verdict
        return self._no("RCPT", verdict, recipient=str(address))

    def _foreign(self, address: Address) -> Verdict:
        if (self._trusted or self._user) and not self._shared.lmtp:
            return foreign_verdict(relays=True)
        return self._no("RCPT", foreign_verdict(relays=False), recipient=str(address))

    async def _within_quota(self, address: Address, found: Local, size: int) -> Verdict:
        used = await self._shared.usage.of(found.mailbox)
        return self._judged(address, recipient_verdict(found, used=used, size=size))

    def verify(self, text: str) -> Answer:
        """VRFY, if the listener offers it."""
        if self._shared.settings.tls_required and self._tls is None:
            return self._no("VRFY", _TLS_NEEDED)
        if not self._shared.settings.vrfy:
            return inquiries.VRFY_OFF
        return inquiries.verify(self._shared.directory, text)

    def expand(self, text: str) -> Answer:
        """EXPN, if the listener offers it."""
        if self._shared.settings.tls_required and self._tls is None:
            return self._no("EXPN", _TLS_NEEDED)
        if not self._shared.settings.expn:
            return inquiries.EXPN_OFF
        return inquiries.expand(self._shared.directory, text)

    def help(self, topic: str) -> Answer:
        """HELP."""
        return self._shared.help.on(topic)

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        """An intake into the spool."""
        shared = self._shared
        greet = self._greet or Greet("HELO", "unknown")
        sending = shared.sending.begin(self._peer.host, self._user, len(envelope.recipients))
        if isinstance(sending, Verdict):
            return self._no("DATA", sending)
        secured, tls, account = NOT_SECURED, self._tls, self._account
        if tls is not None:
            hides = shared.settings.hide_login
            secured = Secured(tls.version, tls.cipher, self._user, certificate=tls.client_name, anonymous=hides)
        elif self._user:
            secured = Secured(user=self._user, anonymous=shared.settings.hide_login)
        if envelope.auth and not (self._trusted if account is None else account.may_assert(envelope.auth)):
            envelope = envelope._replace(auth="")  # for others RFC 4954 §5 wants AUTH=<>
        try:
            envelopes = expand_envelope(shared.directory, envelope)
            if shared.is_submission(self._user, trusted=self._trusted):
                return self._submitted(greet, envelope, envelopes, secured, sending)
            context = shared.intake
            if self._verified and not self._user and shared.verified is not None:
                context = shared.verified
            return self._recorded(SpoolIntake(context, self._peer, greet, envelope, envelopes, secured, sending))
        except StorageError as error:
            if sending is not None:
                sending.take_back()
            return self._no("DATA", storage_verdict(error))

    def _recorded(self, intake: SpoolIntake) -> SpoolIntake:
        """The intake, whose source is the client that XFORWARD has named."""
        if self._forwarded is not _NOT_FORWARDED:
            said = self._forwarded.attributes
            # The peer's own name belongs to no client but the peer.
            intake.recorded_as(self._forwarded.source, said.get("HELO", "" if said.get("ADDR") else None))
        return intake

    def _submitted(
        self,
        greet: Greet,
        envelope: Envelope,
        envelopes: Sequence[Envelope],
        secured: Secured,
        sending: Sending | None,
    ) -> Intake:
        """The intake of a message that is submitted here.  Raises ``StorageError``."""
        shared = self._shared
        context = shared.submissions
        if shared.signers is not None and shared.signers.any:
            if self._signing is None:
                self._signing = shared.signing(None if self._account is None else self._account.may_be_author)
            context = self._signing
        inner = self._recorded(SpoolIntake(context, self._peer, greet, envelope, envelopes, secured, sending))
        identities = () if self._account is None else self._account.identities
        terms = self._terms if self._user else shared.nobodys_terms
        if terms is None or (self._user and identities is not self._terms_of):
            terms = submission_terms(shared.config.hostname, shared.settings, self._user, identities)
            self._terms, self._terms_of = terms, identities
        return SubmittedIntake(terms, envelope.sender, inner, shared.clock, shared.intake.offset)

    def refused(self, what: str, reply: Reply) -> None:
        """Log what the session refused by itself."""
        self._no(what, Verdict(reply, "a rule of the protocol"))

    # -- proxies -----------------------------------------------------------------------------------------------------

    def named(self, by: Peer, name: str, helo: str, protocol: str) -> None:
        """Take what XCLIENT says, and log who said it."""
        verb = "" if not protocol else "HELO" if protocol == "SMTP" else "LHLO" if self._shared.lmtp else "EHLO"
        self._claimed = Greet(verb, helo) if verb or helo else None
        self._shared.log("client", source=self._source(), by=f"{by.host}:{by.port}", name=name, helo=helo)

    def forwarded(self, attributes: Mapping[str, str]) -> None:
        """Record the client that XFORWARD names, in place of this peer, until the next transaction is over."""
        before = _NOT_FORWARDED if self._forwarded.used else self._forwarded
        known = {**before.attributes, **attributes}
        self._forwarded = _NOT_FORWARDED
        source = self._source()
        host = known.get("ADDR", "")
        if host:
            name = self._shared.settings.name
            source = f"{name} {host}:{known.get('PORT') or 0} (by {source.removeprefix(f'{name} ')})"
        self._forwarded = _RecordedClient(known, source)

    # -- TLS and AUTH ------------------------------------------------------------------------------------------------

    def tls_started(self, info: TlsInfo) -> None:
        """What the client said before does not count."""
        self._tls = info
        self._user, self._account, self._greet, self._terms, self._signing = "", None, None, None, None

    def tls_failed(self, error: NetworkError) -> None:
        """Log why."""
        self._tls = None
        self._shared.tls_failed(self._source(), str(error))

    def logged_in(self, outcome: Authenticated) -> Answer:
        """Ask as whom the account may send."""
        assert self._shared.logins is not None
        identities = self._shared.logins.store.identities_now(outcome.user)
        return self._ask_identities(outcome) if identities is None else self._logged_in(outcome, identities)

    async def _ask_identities(self, outcome: Authenticated) -> Verdict:
        assert self._shared.logins is not None
        return self._logged_in(outcome, await self._shared.logins.store.identities(outcome.user))

    def _logged_in(self, outcome: Authenticated, identities: Sequence[str] | None) -> Verdict:
        assert self._shared.logins is not None
        verdict = self._shared.logins.logged_in(outcome, self._peer.host, identities)
        if not verdict.reply.positive:
            return self._no("AUTH", verdict, user=outcome.user)
        store, clock = self._shared.logins.store, self._shared.clock
        self._account = SessionAccount(outcome.user, identities or (), store, clock)
        self._user, self._terms, self._signing = outcome.user, None, None
        self._shared.log("login", source=self._source(), user=outcome.user, mechanism=outcome.mechanism)
        return verdict

    async def login_denied(self, outcome: Denied) -> Verdict:
        """Let the answer wait, and log it for tools that watch for guessing."""
        assert self._shared.logins is not None
        verdict = await self._shared.logins.denied(outcome, self._peer.host)
        return self._no("AUTH", verdict, user=await self._shared.logins.shown(outcome.user))

    def disconnected(self) -> None:
        """The session is over."""
        if self._tls is not None and self._greet is None and self._shared.untrusted:
            # Some programs look at the certificate after the handshake, and end without an alert.
            self._shared.tls_failed(self._source(), f"{self._peer.host} ended the connection after the TLS handshake")
        self._tell_more()
        if self._counted:
            self._counted = False
            self._shared.leave(self._peer.host)
