"""Who may do what at the door: the policy of a listener's sessions.

A ``ListenerPolicy`` is shared by all sessions of one listener and holds what they share: the accounts, the queue, how
many sessions there are and from where, how much room is left.  It makes a ``SessionPolicy`` for each session, which is
a few
references and the greeting.  Answers are given at once; only a quota, and storing, make a session wait.  Verdicts that
are the same for everybody are made once.

==========  =======================================================  ==========================================
listener    may send to our domains                                  may send anywhere else
==========  =======================================================  ==========================================
mx          everybody                                                trusted networks (else 550 5.7.1)
submission  trusted networks (else 530 5.7.0 at MAIL)                trusted networks
lmtp        everybody who can connect                                nobody (550 5.7.1)
==========  =======================================================  ==========================================
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from posthouse.core import Address, Envelope, EventSink, Recipient, Reply, StorageError, Verdict, path_text
from posthouse.net.clock import Clock
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.relay import DsnWriter
from posthouse.server.policy import Answer, Intake, Peer
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Local, Moved, expand_envelope
from posthouse.service.policy import vrfy as inquiries
from posthouse.service.policy.intake import TOO_LARGE, SpoolIntake, storage_verdict
from posthouse.spool.interface import Spool, Stored

__all__ = ["ListenerPolicy", "SessionPolicy", "Usage"]

_GO_ON: Final = Verdict(Reply(250, "2.1.0", "Sender OK"), "")
_RCPT_OK: Final = Verdict(Reply(250, "2.1.5", "Recipient OK"), "")
_RELAYED: Final = Verdict(Reply(250, "2.1.5", "Recipient OK; will be relayed"), "the peer is in trusted_networks")
_TOO_MANY: Final = Verdict(Reply(421, "4.7.0", "Too many connections; try again later"), "max_connections")
_TOO_MANY_YOURS: Final = Verdict(
    Reply(421, "4.7.0", "Too many connections from your host; try again later"), "max_connections_per_host"
)
_CLOSING: Final = Verdict(Reply(421, "4.3.2", "Service is shutting down; try again later"), "draining")
_AUTH_NEEDED: Final = Verdict(
    Reply(530, "5.7.0", "Authentication required, and not available here"), "the peer is not in trusted_networks"
)
_DISK_LOW: Final = Verdict(Reply(452, "4.3.1", "No room for mail now; try again later"), "less than min_free is left")
_NO_RELAY: Final = Verdict(
    Reply(550, "5.7.1", "Relaying denied"), "the domain is not ours and the peer is not in trusted_networks"
)
_UNKNOWN: Final = Verdict(Reply(550, "5.1.1", "Mailbox does not exist"), "nobody of that name in a domain of ours")
_PAUSED: Final = Verdict(Reply(450, "4.2.1", "Mailbox takes no mail at the moment; try again later"), "paused")
_OVER: Final = Verdict(Reply(552, "5.2.2", "Mailbox is full"), "over quota")
_OVER_LATER: Final = Verdict(Reply(452, "4.2.2", "Mailbox is full; try again later"), "over quota")


class Usage:
    """How much each inbox holds: asked of the queue now and then, and counted on in between."""

    __slots__ = ("_asked", "_clock", "_octets", "_queue")

    FRESH = 5.0  # seconds

    def __init__(self, queue: Spool, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._octets: dict[str, int] = {}
        self._asked: float | None = None

    async def of(self, inbox: str) -> int:
        """Octets in an inbox, what has just been accepted for it included."""
        now = self._clock.monotonic()
        if self._asked is None or now - self._asked > self.FRESH:
            self._asked = now
            self._octets = {each.name: each.octets for each in await self._queue.inboxes()}
        return self._octets.get(inbox, 0)

    def add(self, inbox: str, octets: int) -> None:
        """A message was accepted for it."""
        self._octets[inbox] = self._octets.get(inbox, 0) + octets


class ListenerPolicy:
    """A listener's ``PolicyFactory``, and what its sessions share.

    ``destination`` gives the queue's key for an address; ``stored`` is told of each promised message (to wake the
    relay).  ``claim`` says until when the relay named ``owner`` will have new mail for these destinations leased to it
    from the start (0.0: it will not).  ``free`` gives the octets that are free where mail is stored, ``zone`` the
    minutes local time is ahead of UTC at a moment in calendar seconds.  ``bouncer`` writes the reports of success that
    lists and aliases owe; without one, nobody hears of it.
    """

    def __init__(
        self,
        config: Config,
        listener: ListenerSettings,
        *,
        directory: Directory,
        queue: Spool,
        clock: Clock,
        destination: Callable[[Address], str],
        stored: Callable[[Stored], None],
        log: EventSink,
        usage: Usage | None = None,
        free: Callable[[], int] | None = None,
        zone: Callable[[float], int] | None = None,
        owner: str = "",
        claim: Callable[[Sequence[str]], float] = lambda destinations: 0.0,
        bouncer: DsnWriter | None = None,
    ) -> None:
        self.config = config
        self.listener = listener
        self.lmtp = listener.kind == "lmtp"
        self.hostname = config.hostname
        self.max_hops = config.relay.max_hops
        self.directory = directory
        self.queue = queue
        self.clock = clock
        self.destination = destination
        self.owner = owner
        self.claim = claim
        self.bouncer = bouncer
        self.usage = usage or Usage(queue, clock)
        self.draining = False
        self.log = log
        self.welcome = Verdict(Reply(220, "", f"{config.hostname} {listener.banner}".rstrip()))
        self.closed = Verdict(Reply(521, "", f"{config.hostname} takes no mail"), "closed")
        self.hello = Verdict(Reply(250, "", config.hostname))
        self._stored = stored
        self._free = free or (lambda: _free_octets(config.data_dir))
        self._zone = zone or _local_zone
        self._offset = 0
        self._offset_minute = -1.0
        self._room = 0
        self._room_asked: float | None = None
        self._sessions = 0
        self._hosts: dict[str, int] = {}
        self._quotas = any(each.quota for each in config.domain)

    def __call__(self, peer: Peer) -> SessionPolicy:
        """The policy of a new session."""
        return SessionPolicy(self, peer)

    def enter(self, host: str) -> Verdict | None:
        """Count a session in, or say why it is not welcome."""
        if self.draining:
            return _CLOSING
        if self._sessions >= self.listener.max_connections:
            return _TOO_MANY
        from_host = self._hosts.get(host, 0)
        if from_host >= self.listener.max_connections_per_host:
            return _TOO_MANY_YOURS
        self._sessions += 1
        self._hosts[host] = from_host + 1
        return None

    def leave(self, host: str) -> None:
        """Count a session out."""
        self._sessions -= 1
        left = self._hosts[host] - 1
        if left:
            self._hosts[host] = left
        else:
            del self._hosts[host]

    def room(self) -> int:
        """Octets free where mail is stored, asked at most once a second."""
        now = self.clock.monotonic()
        if self._room_asked is None or now - self._room_asked > 1.0:
            self._room_asked = now
            self._room = self._free()
        return self._room

    def offset(self, now: float) -> int:
        """Minutes local time is ahead of UTC, asked at most once a minute: trace fields tell the time of the place
        (RFC 5321 §4.4)."""
        minute = now // 60.0
        if minute != self._offset_minute:
            self._offset_minute = minute
            self._offset = self._zone(now)
        return self._offset

    def refused(self, source: str, command: str, verdict: Verdict, **fields: str) -> None:
        """Tell the log of a refusal."""
        self.log("refused", source=source, command=command, reply=str(verdict.reply), reason=verdict.reason, **fields)

    def stored(self, stored: Stored) -> None:
        """A message is promised: tell the log, the quotas and the relay."""
        message = stored.message
        sender = path_text(message.envelope.sender)
        count = len(message.envelope.recipients)
        self.log("accepted", id=message.id, source=message.source, sender=sender, recipients=count, size=message.size)
        if self._quotas:
            for recipient in message.envelope.recipients:
                found = self.directory.resolve(recipient.address)
                if isinstance(found, Local) and found.domain.quota:
                    self.usage.add(found.mailbox, message.size)
        self._stored(stored)


class SessionPolicy:
    """The ``Policy`` of one session."""

    __slots__ = ("_counted", "_greet", "_peer", "_reception", "_trusted")

    def __init__(self, reception: ListenerPolicy, peer: Peer) -> None:
        self._reception = reception
        self._peer = peer
        self._greet: Greet | None = None
        self._counted = False
        self._trusted = False

    def _no(self, command: str, verdict: Verdict, **fields: str) -> Verdict:
        peer = self._peer
        source = f"{self._reception.listener.kind} {peer.host or 'unix socket'}:{peer.port}"
        self._reception.refused(source, command, verdict, **fields)
        return verdict

    def connected(self) -> Answer:
        """220, or 421 when there are too many, or 521 where there is no mail service."""
        refusal = self._reception.enter(self._peer.host)
        if refusal is not None:
            return self._no("connect", refusal)
        self._counted = True
        self._trusted = self._reception.config.trusts(self._peer.host)
        if self._reception.listener.closed:
            return self._no("connect", self._reception.closed)
        return self._reception.welcome

    def greeted(self, greet: Greet) -> Answer:
        """250 and our name; any name is taken (RFC 5321 §4.1.4)."""
        self._greet = greet
        return self._reception.hello

    def mail(self, mail: Mail) -> Answer:
        """Whether a message of this size may come at all."""
        reception = self._reception
        if reception.listener.kind == "submission" and not self._trusted:
            return self._no("MAIL", _AUTH_NEEDED)
        size = mail.size or 0
        if size > reception.listener.max_message_size:
            return self._no("MAIL", TOO_LARGE)
        if reception.room() - size < reception.config.spool.min_free:
            return self._no("MAIL", _DISK_LOW)
        return _GO_ON

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        """Whether this recipient is ours, or may be sent to; how many there may be is the session's to say."""
        reception = self._reception
        address = rcpt.address
        if reception.directory.is_foreign(address.domain):
            return self._foreign(address)
        found = reception.directory.resolve(address)
        if isinstance(found, Local):
            if found.paused:
                return self._no("RCPT", _PAUSED, recipient=found.mailbox)
            if found.domain.quota:
                return self._within_quota(found, envelope.size or 0)
            return _RCPT_OK
        if isinstance(found, Foreign):
            return self._foreign(address)
        if isinstance(found, Expanded):
            return _RCPT_OK
        if isinstance(found, Moved):
            verdict = inquiries.moved(found, utf8=envelope.smtputf8)
            return verdict if verdict.reply.positive else self._no("RCPT", verdict, recipient=str(rcpt.address))
        return self._no("RCPT", _UNKNOWN, recipient=str(rcpt.address))

    def _foreign(self, address: Address) -> Verdict:
        if self._trusted and not self._reception.lmtp:
            return _RELAYED
        return self._no("RCPT", _NO_RELAY, recipient=str(address))

    async def _within_quota(self, found: Local, size: int) -> Verdict:
        used = await self._reception.usage.of(found.mailbox)
        if used + size > found.domain.quota or used >= found.domain.quota:
            verdict = _OVER if found.domain.quota_action == "refuse" else _OVER_LATER
            return self._no("RCPT", verdict, recipient=found.mailbox)
        return _RCPT_OK

    def verify(self, text: str) -> Answer:
        """VRFY, if this listener tells."""
        if not self._reception.listener.vrfy:
            return inquiries.VRFY_OFF
        return inquiries.verify(self._reception.directory, text)

    def expand(self, text: str) -> Answer:
        """EXPN, if this listener tells."""
        if not self._reception.listener.expn:
            return inquiries.EXPN_OFF
        return inquiries.expand(self._reception.directory, text)

    def help(self, topic: str) -> Answer:
        """HELP."""
        return inquiries.help_on(topic)

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        """Where the content goes."""
        reception = self._reception
        greet = self._greet or Greet("HELO", "unknown")
        try:
            envelopes = expand_envelope(reception.directory, envelope)
            return SpoolIntake(reception, self._peer, greet.verb, greet.domain, envelope, envelopes)
        except StorageError as error:
            return self._no("DATA", storage_verdict(error))

    def refused(self, what: str, reply: Reply) -> None:
        """The session refused something itself; for the log."""
        self._no(what, Verdict(reply, "the dialogue's own law"))

    def disconnected(self) -> None:
        """The session is over."""
        if self._counted:
            self._counted = False
            self._reception.leave(self._peer.host)


def _local_zone(now: float) -> int:
    """The machine's zone; seconds that old zones have beyond whole minutes are cut."""
    return time.localtime(now).tm_gmtoff // 60


def _free_octets(directory: str) -> int:
    """What a user without privileges may still write where ``directory`` is; nothing if that cannot be told."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
