"""Policy of a listener: what all its sessions share.

A ``ListenerPolicy`` has the settings and the directory, counts sessions in all and by host, and asks how much room is
left where mail is stored.  A ``SessionPolicy`` of each session asks it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from math import inf
from typing import Final

from posthouse.core import Address, EventSink, PosthouseError, Reply, Verdict, path_text
from posthouse.net import Endpoint
from posthouse.net.clock import Clock
from posthouse.protocol.leniency import LENIENT, STRICT, Leniency
from posthouse.protocol.proxies import ProxyHeaderError
from posthouse.relay import DsnWriter
from posthouse.server.content_check import CheckFactory
from posthouse.server.policy import Peer
from posthouse.server.settings import Proxies
from posthouse.service.config.model import Config, ListenerSettings, is_within
from posthouse.service.directory.directory import Directory, Local
from posthouse.service.mailauth.auth_terms import NO_AUTH, AuthTerms, MayBe, VerifyTerms
from posthouse.service.monitor.tally import Tally
from posthouse.service.policy.client_limits import ConnectionLimits, SendingLimits
from posthouse.service.policy.header_scan import HeaderLimits
from posthouse.service.policy.intake import IntakeContext
from posthouse.service.policy.log_rate import LogRate
from posthouse.service.policy.logins import Logins
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.service.policy.submission import submission_terms, with_room
from posthouse.service.policy.vrfy import help_pages
from posthouse.spool.interface import Spool, Stored

__all__ = ["InboxUsage", "ListenerPolicy", "login_setting"]

#: The message and the addresses in it may break rules, the form of commands may not.
_IN_THE_MESSAGE: Final = LENIENT._replace(commands=False)
_CLOSING: Final = Verdict(Reply(421, "4.3.2", "Service is shutting down; try again later"), "draining")

#: Lines about refusals: so many a second in the long run, and so many at once.
_REFUSALS_A_SECOND: Final = 20.0
_REFUSALS_AT_ONCE: Final = 500


def login_setting(listener: ListenerSettings) -> str:
    """Whether clients may or must log in: as configured, or else by the kind of the listener."""
    return listener.auth or ("required" if listener.kind == "submission" else "off")


class InboxUsage:
    """How many octets each inbox holds: asked of the spool at most every 5 s, and counted on in between."""

    __slots__ = ("_asked", "_clock", "_octets", "_spool")

    FRESH = 5.0  # seconds

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._octets: dict[str, int] = {}
        self._asked: float | None = None

    async def of(self, inbox: str) -> int:
        """Octets in an inbox, what has just been accepted for it included."""
        now = self._clock.monotonic()
        if self._asked is None or now - self._asked > self.FRESH:
            self._asked = now
            self._octets = {each.name: each.octets for each in await self._spool.queries.inboxes()}
        return self._octets.get(inbox, 0)

    def add(self, inbox: str, octets: int) -> None:
        """Count a message that was accepted for an inbox."""
        self._octets[inbox] = self._octets.get(inbox, 0) + octets


class ListenerPolicy:
    """What the sessions of one listener share.

    ``destination`` gives the spool's key for an address; ``stored`` is called for each promised message (to wake the
    relay).  ``claim`` says until when the relay named ``owner`` will have new mail for these destinations leased to it
    from the start (0.0: it will not).  ``free`` gives the octets that are free where mail is stored, ``zone`` the
    minutes local time is ahead of UTC at a moment in calendar seconds.  ``dsn_writer`` writes the reports of success
    that lists and aliases owe; without one there are none.  ``checks`` make the content checks of each message, in the
    order in which they are asked.  ``logins`` has the terms of AUTH; None: nobody can log in.  ``counts`` are shared by
    all listeners and worker processes; without them the listener has its own.  ``auth`` are the terms of message
    authentication.

    ``verified`` is the context of messages that are verified, None if the listener verifies none.

    ``untrusted`` is the way out for a client that does not trust the certificate, in words; "" where there is none to
    tell.
    """

    def __init__(
        self,
        config: Config,
        listener: ListenerSettings,
        *,
        directory: Directory,
        spool: Spool,
        clock: Clock,
        destination: Callable[[Address], str],
        stored: Callable[[Stored, bool], None],
        log: EventSink,
        usage: InboxUsage | None = None,
        free: Callable[[], int] | None = None,
        zone: Callable[[float], int] | None = None,
        owner: str = "",
        claim: Callable[[Sequence[str]], float] = lambda destinations: 0.0,
        dsn_writer: DsnWriter | None = None,
        checks: Sequence[CheckFactory] = (),
        logins: Logins | None = None,
        counts: SharedCounts | None = None,
        auth: AuthTerms = NO_AUTH,
    ) -> None:
        self.config, self.settings, self.lmtp = config, listener, listener.kind == "lmtp"
        self.directory, self.clock = directory, clock
        self.usage = usage or InboxUsage(spool, clock)
        self.draining, self.log, self.logins, self.untrusted, self.signers = False, log, logins, "", auth.signers
        self.login_required = listener.kind == "submission" or login_setting(listener) == "required"
        self.welcome = Verdict(Reply(220, "", f"{config.hostname} {listener.banner}".rstrip()))
        self.closed = Verdict(Reply(521, "", f"{config.hostname} takes no mail"), "closed")
        self.hello = Verdict(Reply(250, "", config.hostname))
        self._refusals, self._faults, self._tls_failures, self._headers = _rates(log, clock)
        self.trusts: Callable[[str], bool] = lru_cache(maxsize=1024)(partial(_trusts, config, listener))
        self._leniencies = tuple(_leniency(config, listener, trusted=trusted) for trusted in (False, True))
        self.help = help_pages(listener, logins=logins is not None)
        self.intake = IntakeContext(
            listener=listener.name,
            lmtp=self.lmtp,
            hostname=config.hostname,
            headers=HeaderLimits.of(config, listener),
            max_message_size=listener.max_message_size,
            spool=spool,
            clock=clock,
            directory=directory,
            destination=destination,
            owner=owner,
            claim=claim,
            offset=_by_minute(zone or _local_zone),
            stored=self.stored,
            refused=self.refused,
            log=log,
            fault=self._faults.write,
            dsn_writer=dsn_writer,
            checks=tuple(checks),
        )
        self.submissions, self.nobodys_terms = with_room(self.intake), submission_terms(config.hostname, listener)
        self.report_refused, self.verified = auth.report_refused, _verified(self.intake, auth.verify)
        self._verifies_local = auth.verify is not None and auth.verify.local
        self.tally, self._connections, self.sending = _limits(listener, counts or SharedCounts(), clock)
        self._stored, self._quotas = stored, any(each.quota for each in config.domain)
        self._free, self._room, self._room_asked = free or (lambda: _free_octets(config.data_dir)), 0, -inf

    def is_submission(self, user: str, *, trusted: bool) -> bool:
        """Whether a message is treated as submitted here (RFC 6409): it comes to a submission listener, from an
        account, or from a trusted network.  A catcher, which lets every account in, is for seeing what a program sends,
        and changes none of it."""
        settings = self.settings
        if not (settings.complete_messages or settings.check_from or settings.hide_client or self.signers is not None):
            return False  # nothing would be done with it
        if settings.kind == "submission":
            return True
        return not self.lmtp and (trusted or (bool(user) and self.config.accounts.kind != "any"))

    def verifies(self, host: str) -> bool:
        """Whether messages of a client without a login are verified."""
        if self.verified is None or self.trusts(host):
            return False
        return self._verifies_local or not (host.startswith(("127.", "::ffff:127.")) or host == "::1")

    def signing(self, may_be: MayBe | None = None) -> IntakeContext:
        """The context of submitted messages, which are signed where there is a key; ``may_be`` says whether the account
        may be an author, None that everybody may."""
        if self.signers is None or not self.signers.any:
            return self.submissions
        return self.submissions._replace(checks=(*self.submissions.checks, self.signers.factory(may_be)))

    def leniency(self, peer: Peer) -> Leniency:
        """What is tolerated from a peer: by the listener's ``strictness``, or where it has none by its kind."""
        return self._leniencies[self.trusts(peer.host)]

    def enter(self, host: str) -> Verdict | None:
        """Count a session in, or say why it is not welcome; ``host`` is "" for a unix socket."""
        return _CLOSING if self.draining else self._connections.enter(host)

    def leave(self, host: str) -> None:
        """Count a session out."""
        self._connections.leave(host)

    def room(self) -> int:
        """Octets free where mail is stored, asked at most once a second."""
        now = self.clock.monotonic()
        if now - self._room_asked > 1.0:
            self._room_asked = now
            self._room = self._free()
        return self._room

    def refused(self, source: str, command: str, verdict: Verdict, **fields: str) -> None:
        """Count a refusal, and log it unless there are too many."""
        self.tally.refused(command, verdict.reply)
        if self._refusals.takes():  # nothing is made for a line that is not written
            self.log(
                "refused", source=source, command=command, reply=str(verdict.reply), reason=verdict.reason, **fields
            )

    def refused_more(self, source: str, count: int) -> None:
        """Log the refusals of one session that were not logged one by one."""
        reason = f"{count:,} more refusals in this session, too many to be written one by one"
        self._refusals.write(source=source, more=count, reason=reason)

    def tls_failed(self, source: str, reason: str) -> None:
        """Log why a handshake failed.  Some programs that do not trust a certificate say so (RFC 8446 §6.2), others end
        the connection without a word; both are told the way out."""
        silent = "ended the connection" in reason
        if self.untrusted and (silent or "does not trust our certificate" in reason):
            reason += "; perhaps it does not trust the certificate" if silent else ""
            reason += f": {self.untrusted}"
        self._tls_failures.write(source=source, reason=reason)

    def end(self) -> None:
        """Write what is left for the log; the sessions have ended."""
        for rate in (self._refusals, self._faults, self._tls_failures, self._headers):
            rate.flush()

    @property
    def proxies(self) -> Proxies | None:
        """The peers that may speak for other clients, if any may."""
        settings = self.settings
        lists = settings.proxy_networks, settings.xclient_networks, settings.xforward_networks
        if not any(lists):
            return None
        proxy, xclient, xforward = (lru_cache(maxsize=1024)(partial(is_within, networks)) for networks in lists)
        return Proxies(proxy, xclient, xforward, settings.proxy_timeout)

    def turned_away(self, peer: Endpoint, error: PosthouseError) -> None:
        """Log why a connection came to no session: its PROXY header was wrong, or its TLS handshake failed."""
        source = f"{self.settings.name} {peer}"
        if isinstance(error, ProxyHeaderError):
            self._headers.write(source=source, reason=str(error))
        else:
            self.tls_failed(source, str(error))

    def stored(self, stored: Stored, is_answered: bool) -> None:
        """A message is promised: log it, count it for the quotas, and wake the relay.

        ``is_answered``: its 250 has been written.
        """
        message = stored.message
        sender = path_text(message.envelope.sender)
        count = len(message.envelope.recipients)
        self.log("accepted", id=message.id, source=message.source, sender=sender, recipients=count, size=message.size)
        if self._quotas:
            for recipient in message.envelope.recipients:
                found = self.directory.resolve(recipient.address)
                if isinstance(found, Local) and found.domain.quota:
                    self.usage.add(found.mailbox, message.size)
        self._stored(stored, is_answered)


def _limits(
    listener: ListenerSettings, counts: SharedCounts, clock: Clock
) -> tuple[Tally, ConnectionLimits, SendingLimits]:
    connections = ConnectionLimits(listener, listener.name, counts, clock)
    return counts.tally, connections, SendingLimits(listener, listener.name, counts, clock)


def _verified(context: IntakeContext, terms: VerifyTerms | None) -> IntakeContext | None:
    """The context of messages that are verified: before all other checks, as they came."""
    if terms is None:
        return None
    return context._replace(checks=(terms.check, *context.checks), header_filter=terms.header_filter)


def _rates(log: EventSink, clock: Clock) -> tuple[LogRate, LogRate, LogRate, LogRate]:
    """The bounded log lines of a listener: refusals, faults, failed TLS handshakes, wrong PROXY headers."""

    def few(event: str) -> LogRate:
        return LogRate(log, clock, event, per_second=1.0, burst=50)

    refusals = LogRate(log, clock, "refused", per_second=_REFUSALS_A_SECOND, burst=_REFUSALS_AT_ONCE)
    return refusals, few("fault"), few("tls"), few("proxy")


def _trusts(config: Config, listener: ListenerSettings, host: str) -> bool:
    """Whether a client may send anywhere.  An address of a proxy is never trusted: what it passes on without saying for
    whom comes from anybody."""
    return config.trusts(host) and not is_within(listener.proxy_networks, host)


def _by_minute(zone: Callable[[float], int]) -> Callable[[int], int]:
    """``zone`` for a minute counted from 1970; asked once a minute, because Received has local time (RFC 5321 §4.4)."""
    return lru_cache(maxsize=2)(lambda minute: zone(minute * 60.0))


def _local_zone(now: float) -> int:
    """The machine's zone in minutes; the odd seconds of historical zones are cut."""
    return time.localtime(now).tm_gmtoff // 60


def _free_octets(directory: str) -> int:
    """Octets that a user without privileges may still write where ``directory`` is.

    A directory that is missing or cannot be read counts as having room: the spool then finds the fault at its next
    write and names it.  452 would name a full disk, and the spool would never be asked.
    """
    try:
        status = os.statvfs(directory)
    except OSError:
        return sys.maxsize
    return status.f_bavail * status.f_frsize


def _leniency(config: Config, listener: ListenerSettings, *, trusted: bool) -> Leniency:
    """What is tolerated from hosts that are trusted, or that are not.

    A bare local part is completed only for trusted hosts, and where all domains are ours (the catcher): elsewhere a
    spammer's typing error would become an address of ours.
    """
    strictness = listener.strictness
    if strictness == "strict" or (not strictness and listener.kind == "mx" and not trusted):
        return STRICT
    base = LENIENT if strictness else _IN_THE_MESSAGE
    if not trusted and not any(each.name == "*" for each in config.domain):
        return base
    return base._replace(domain=config.postmaster.domain)
