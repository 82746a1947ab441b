"""Signers: which keys sign a submitted message, by its author.

Keys are read once and kept.  The daemon calls ``load`` in a thread every minute, which reads them again if their
directory has changed; a message never waits for that.  Rotation needs no look: which of the keys signs follows from
the time (``key_store``).

The author is the first address in From.  With ``[[mailauth.signing]]`` the entry of that address decides, else the one
of the nearest domain above it; without an entry, the nearest domain that has keys signs: that of the author, or one
above it (relaxed alignment, RFC 9989 §4.4).  An account signs only as an author that it may be: another's name in From
would otherwise get a signature that vouches for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, Content, LocalError, PosthouseError
from posthouse.mailauth.dkim import DkimKey, DkimSigner, HeaderSection, MessageHasher, SigningOptions
from posthouse.message.authors import Unreadable, authors
from posthouse.net import Clock
from posthouse.protocol.grammar import lookup_domain
from posthouse.server.content_check import CheckedMessage, CheckResult
from posthouse.service.config.mailauth_settings import MailauthSettings, SigningSettings
from posthouse.service.mailauth.auth_terms import MayBe
from posthouse.service.mailauth.key_store import KeyState, KeyStore, StoredKey, state_of
from posthouse.service.mailauth.signing_again import signed_again

__all__ = ["Signers", "Signing", "SigningFactory"]

_NAMED: Final = (b"from", b"sender")
_MOST_LABELS: Final = 10  # of an author's domain that are looked through for keys


class _DomainKeys(NamedTuple):
    """The keys of a domain: as stored, and ready to sign, by selector."""

    stored: Sequence[StoredKey]
    ready: Mapping[str, DkimKey]


class Signers:
    """The keys of this server, by domain; ``log`` is told of keys that cannot be read."""

    def __init__(
        self, store: KeyStore, settings: MailauthSettings, clock: Clock, fault: Callable[[str], object]
    ) -> None:
        self._store = store
        self._clock = clock
        self._fault = fault
        self._by_address = {each.author: each for each in settings.signing if "@" in each.author}
        self._by_domain = {each.author: each for each in settings.signing if "@" not in each.author}
        self._domains: Mapping[str, _DomainKeys] = {}
        self._stamp: object = None
        self.options = SigningOptions(lifetime=int(settings.expires) or None)

    def load(self) -> None:
        """Read the keys, if the directory has changed since the last time.

        A domain of which a key cannot be read keeps those that it had, at a start the others; the fault is told.
        """
        try:
            stamp = self._store.stamp()
            if stamp == self._stamp:
                return
            domains = self._store.domains()
        except PosthouseError as error:
            self._fault(f"the DKIM keys cannot be read: {error}")
            return
        found = {}
        for domain in domains:
            keys = self._keys_in(domain)
            if keys.stored:
                found[domain] = keys
        self._domains, self._stamp = found, stamp

    def _keys_in(self, domain: str) -> _DomainKeys:
        """The keys of a domain in the store, or what ``load`` has in their place."""
        try:
            return self._ready(self._store.keys(domain))
        except PosthouseError as error:
            self._fault(f"mail of {domain} is signed with the keys of before or with its other keys, if any: {error}")
        if domain in self._domains:
            return self._domains[domain]
        try:
            return self._ready(self._store.keys(domain, usable=True))
        except PosthouseError:
            return _DomainKeys((), {})

    def _ready(self, stored: Sequence[StoredKey]) -> _DomainKeys:
        return _DomainKeys(stored, {key.selector: self._store.signing_key(key) for key in stored})

    @property
    def any(self) -> bool:
        """Whether there is a key."""
        return bool(self._domains)

    @property
    def present(self) -> bool:
        """Whether the keys have a directory."""
        return self._store.directory.is_dir()

    def factory(self, may_be: MayBe | None) -> SigningFactory:
        """What makes the check that signs the messages of one account."""
        return SigningFactory(self, self._clock, may_be)

    def own_fields(self, content: bytes) -> bytes:
        """The signatures of a message of this server's own; b"" if no key is its author's."""
        signing = Signing(SigningFactory(self, self._clock))
        signing.write(content)
        result = signing.finish(len(content), b"")
        return result.fields

    def signed_again(self, original: Content, converted: Content) -> tuple[Content, str]:
        """See ``signing_again``."""
        return signed_again(self._key, self.options, original, converted, self._clock.time())

    def _key(self, domain: str, selector: str) -> DkimKey | None:
        """A key of this server by its name, whether it signs now or not."""
        loaded = self._domains.get(domain)
        return None if loaded is None else loaded.ready.get(selector)

    def sealing_key(self, hostname: str) -> DkimKey | None:
        """The key that seals: of the nearest domain of ``hostname`` that has keys, an RSA key if it has one."""
        domain = next((name for name in _upwards(hostname) if name in self._domains), "")
        keys = sorted(self.keys_of(domain), key=lambda key: key.kind != "rsa")
        return keys[0] if keys else None

    def keys_for(self, author: Address) -> Sequence[DkimKey]:
        """The keys that sign mail of an author; none if it is not signed."""
        domain = lookup_domain(author.domain)
        above = _upwards(domain)
        entry: SigningSettings | None = self._by_address.get(f"{author.local}@{domain}")
        if entry is None:
            entry = next((found for name in above if (found := self._by_domain.get(name)) is not None), None)
        if entry is None:
            return self.keys_of(next((name for name in above if name in self._domains), ""))
        return self.keys_of(entry.domain, entry.selectors)

    def keys_of(self, domain: str, selectors: Sequence[str] = ()) -> Sequence[DkimKey]:
        """The keys with which a domain signs now: those of ``selectors``, or else the current ones."""
        loaded = self._domains.get(domain)
        if loaded is None:
            return ()
        if selectors:
            return tuple(loaded.ready[each] for each in selectors if each in loaded.ready)
        if len(loaded.stored) == 1 and not loaded.stored[0].signs:
            return tuple(loaded.ready.values())
        now = self._clock.time()
        return tuple(
            loaded.ready[each.selector]
            for each in loaded.stored
            if state_of(each, loaded.stored, now)[0] is KeyState.SIGNING
        )


class SigningFactory(NamedTuple):
    """``CheckFactory`` of submitted messages: makes the check that signs; ``may_be`` is the account's."""

    signers: Signers
    clock: Clock
    may_be: MayBe | None = None

    def __call__(self, message: CheckedMessage) -> Signing | None:
        """The check of one message; None where no domain has a key."""
        return Signing(self) if self.signers.any else None


class Signing:
    """The signatures of one message, as a content check: the last one, so that nothing is changed after it.

    The message has been completed by then (``policy.submission``).  A header section that is too long to be signed, and
    a message without a From that can be read, pass unsigned.
    """

    def __init__(self, terms: SigningFactory) -> None:
        self._terms = terms
        signers = terms.signers
        self._signer = DkimSigner(self._choose, signers.options, terms.clock.time())
        self._hasher = MessageHasher(self._signer.plan)

    def _choose(self, header: HeaderSection) -> Sequence[DkimKey]:
        """The keys, by the author."""
        if not header.complete:
            return ()
        try:
            found = authors(b"".join([field.raw for field in header.fields if field.name.lower() in _NAMED]))
        except Unreadable:
            return ()
        if not found or (self._terms.may_be is not None and not all(map(self._terms.may_be, found))):
            return ()
        return self._terms.signers.keys_for(found[0])

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the message."""
        self._hasher.write(chunk)

    def finish(self, size: int, fields: bytes) -> CheckResult:
        """The message has ended: its signatures."""
        self._hasher.finish()
        try:
            return CheckResult(self._signer.fields(self._hasher))
        except LocalError:  # no From: it cannot be signed
            return CheckResult()

    def abort(self) -> None:
        """There will be no signature."""


def _upwards(domain: str) -> list[str]:
    """A domain and those above it, the nearest first."""
    labels = domain.split(".")
    return [".".join(labels[place:]) for place in range(min(len(labels), _MOST_LABELS))]
