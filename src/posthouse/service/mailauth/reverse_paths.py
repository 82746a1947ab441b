"""Reverse-paths of mail that leaves: rewritten where it is sent on (SRS), signed where it is our own (BATV).

The queue keeps the sender that the message came with: so reports that this host writes go to it at once, and a change
of the configuration counts for queued mail.  The rewriting is done at the attempt (``delivery.SmtpDeliverer``):

- SRS, for recipients that an alias or a moved mailbox has led to, at domains of others, unless the sender is one of
  ours.
- BATV, for senders in domains of ``[[mailauth.batv]]`` and recipients at domains of others.  An address with a
  signature is the address without it, whoever writes to it; but a message with the null reverse-path (a delivery
  report) is refused where its recipient is not signed as it must be, because our address never sent what it reports.
  A message that goes to a recipient of ``unsigned_to`` in the same transaction is not signed.

The secrets of both are in files of their own (``path_secrets``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from posthouse.core import Address, Envelope, Reply, Verdict
from posthouse.mailauth.batv import Batv, BatvStatus
from posthouse.mailauth.srs import Srs, SrsStatus, is_srs
from posthouse.net import Clock
from posthouse.service.config.model import Config
from posthouse.service.directory.directory import Home
from posthouse.service.mailauth.path_secrets import PathSecrets

__all__ = ["ReversePaths"]

_SRS_LIFE: Final = 21  # days for which an address counts
_BATV_LIFE: Final = 14
_LOOK_AGAIN: Final = 3_600.0  # seconds between two looks at the file
#: Octets of a local part that still has room for a signature (RFC 5321 §4.5.3.1.1: 64); a longer one is not signed.
_LONGEST_SIGNED: Final = 47
_NEVER_SENT: Final = Reply(550, "5.7.1", "No report is taken here about a message that this address has not sent")
_WHY: Final = {
    BatvStatus.PLAIN: "the recipient of the report has no signature",
    BatvStatus.FORGED: "the signature of the report's recipient is not ours",
    BatvStatus.EXPIRED: f"the signature of the report's recipient is older than {_BATV_LIFE} days",
}


class ReversePaths:
    """The rewriting of one configuration; before ``load`` it does nothing."""

    def __init__(self, config: Config, clock: Clock) -> None:
        settings = config.mailauth
        self._srs_domain = settings.srs_domain
        self._srs_secrets = PathSecrets(config.data_dir, "srs-secrets", _SRS_LIFE)
        self._batv_secrets = PathSecrets(config.data_dir, "batv-secrets", _BATV_LIFE)
        self._batv_domains = {each.domain: each.reports == "refuse" for each in settings.batv}
        self._unsigned_to = {each.domain: frozenset(map(str.lower, each.unsigned_to)) for each in settings.batv}
        self._ours: Collection[str] = {config.hostname.lower(), *(each.name for each in config.domain)}
        self._clock = clock
        self._srs: Srs | None = None
        self._batv: Batv | None = None
        self._looked = 0.0

    def load(self) -> None:
        """Read the secrets, and make one where it is time.  Raises ``StorageError`` and ``SettingError``."""
        now = self._clock.time()
        if self._srs_domain:
            found = self._srs_secrets.current(now)
            self._srs = Srs(self._srs_domain, [each.secret for each in found], days=_SRS_LIFE)
        if self._batv_domains:
            found = self._batv_secrets.current(now)
            self._batv = Batv([each.secret for each in found], days=_BATV_LIFE)
        self._looked = self._clock.monotonic()

    def look(self) -> None:
        """Read the secrets that there are and can be read, and make none: for those who only ask."""
        found = self._srs_secrets.found()
        if self._srs_domain and found:
            self._srs = Srs(self._srs_domain, [each.secret for each in found], days=_SRS_LIFE)
        found = self._batv_secrets.found()
        if self._batv_domains and found:
            self._batv = Batv([each.secret for each in found], days=_BATV_LIFE)

    @property
    def stale(self) -> bool:
        """Whether it is time to ``load`` again."""
        return self._clock.monotonic() - self._looked >= _LOOK_AGAIN

    def leaving(self, envelope: Envelope) -> Envelope:
        """The envelope under which a message leaves for another server."""
        sender = envelope.sender
        if sender is None or not sender.domain:
            return envelope
        domain = sender.domain.lower()
        if self._batv is not None and domain in self._batv_domains:
            outside = [each.address for each in envelope.recipients if each.address.domain.lower() not in self._ours]
            plain = self._unsigned_to[domain]
            if not outside or not _fits(sender) or (plain and any(_is_among(each, plain) for each in outside)):
                return envelope
            return envelope._replace(sender=self._batv.sign(sender, self._clock.time()))
        if self._srs is None or domain in self._ours:
            return envelope
        if not any(each.originals and each.address.domain.lower() not in self._ours for each in envelope.recipients):
            return envelope
        return envelope._replace(sender=self._srs.forward(sender, self._clock.time()))

    def home(self, address: Address) -> Home | None:
        """What an address of ours stands for: where an SRS address in time leads, and a signed address without its
        signature, whatever that is worth; None if it stands for itself."""
        if self._batv is not None and address.domain.lower() in self._batv_domains:
            mailbox = self._batv.check(address, self._clock.time()).address
            if mailbox.local != address.local:
                return Home(mailbox)
        if self._srs is None:
            return None
        found = self._srs.reverse(address, self._clock.time())
        return None if found.status is SrsStatus.PLAIN else Home(found.address, found.reason and f"srs: {found.reason}")

    def report_refused(self, recipient: Address) -> Verdict | None:
        """Why a message with the null reverse-path is refused for a recipient; None if it is not.

        Reports to postmaster, to SRS addresses and to addresses too long to be signed are never refused.
        """
        if self._batv is None or not self._batv_domains.get(recipient.domain.lower(), False):
            return None
        found = self._batv.check(recipient, self._clock.time())
        if found.status is BatvStatus.SIGNED or recipient.is_postmaster or is_srs(recipient):
            return None
        if found.status is BatvStatus.PLAIN and not _fits(recipient):
            return None
        return Verdict(_NEVER_SENT, f"batv: {_WHY[found.status]}")


def _fits(address: Address) -> bool:
    """Whether the local part has room for a signature."""
    return len(address.local.encode("utf-8", "surrogatepass")) <= _LONGEST_SIGNED


def _is_among(address: Address, listed: Collection[str]) -> bool:
    """Whether an address, its domain or one above it is listed; both are compared in lower case."""
    domain = address.domain.lower()
    if f"{address.local.lower()}@{domain}" in listed:
        return True
    labels = domain.split(".")
    return any(".".join(labels[start:]) in listed for start in range(len(labels)))
