"""TLS and logging in for the listeners of a daemon: certificates, accounts, and the memory of failed logins."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from posthouse.core import EventSink, SettingError
from posthouse.net.certificates import (
    SELF_SIGNED,
    WARN_DAYS,
    CertificateFacts,
    Certificates,
    KeyPair,
    make_self_signed,
    open_to_all,
)
from posthouse.net.clock import Clock
from posthouse.net.system_clock import SystemClock
from posthouse.server.settings import Protection
from posthouse.service.accounts import (
    AccountFile,
    AccountStore,
    AnyAccounts,
    DovecotAccounts,
    FileAccounts,
    decoy_secret,
    load_accounts,
    read_logins,
)
from posthouse.service.accounts.operators import OperatorFile
from posthouse.service.config.config_error import ConfigError, refuse_named_file
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.policy.listener_policy import login_setting
from posthouse.service.policy.login_failures import LoginFailures
from posthouse.service.policy.logins import Logins
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = [
    "LoadedCertificates",
    "Protections",
    "accounts_of",
    "certificates_of",
    "read_certificates",
    "self_signed_file",
]

_DAY = 86_400.0
#: Certificates by their files and by the file of those that clients may have.
LoadedCertificates = dict[tuple[tuple[KeyPair, ...], str], Certificates]


def accounts_of(config: Config) -> AccountStore:
    """The store that the configuration names.  Raises ``ConfigError``."""
    kind, target = config.accounts
    if kind == "dovecot":
        return DovecotAccounts(target, identity_domain=config.postmaster.domain)
    if kind == "python":
        try:
            return load_accounts(target)
        except SettingError as error:
            raise ConfigError([error]) from None
    if kind == "any":
        try:
            return AnyAccounts(read_logins(target)) if target else AnyAccounts()
        except SettingError as error:
            raise ConfigError([error]) from None
    file = AccountFile(config.data_dir)
    file.note()  # for a file that a version without notes has made
    return FileAccounts(file)


def self_signed_file(config: Config) -> str:
    """The certificate of our own making, with its key, for listeners that have no other."""
    return str(Path(config.data_dir) / "tls" / SELF_SIGNED)


class Protections:
    """What the listeners of one daemon share: one store of accounts, one memory of failures, certificates by files.

    ``before`` are those of the configuration before; ``loaded`` are certificates that were read already, as root.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        log: EventSink,
        before: Protections | None = None,
        loaded: LoadedCertificates | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._log = log
        self._failures: LoginFailures | None = None if before is None else before._failures
        kept = before is not None and (config.accounts, config.postmaster) == (
            before._config.accounts,
            before._config.postmaster,
        )
        self._store: AccountStore | None = before._store if kept and before is not None else None
        self._before: LoadedCertificates = (loaded or {}) if before is None else before._certificates
        self._certificates: LoadedCertificates = {}
        #: Whether problems of files are logged here; of several workers one does.
        self.speaks: bool = before.speaks if before is not None else True
        self._warned: float = float("-inf") if before is None else before._warned

    def of(
        self, listener: ListenerSettings, counts: SharedCounts | None = None
    ) -> tuple[Protection | None, Logins | None]:
        """The protection of a listener, and the terms of AUTH for its policy; None for what it does not have.

        ``counts`` are those that all workers share.  Raises ``SettingError`` for files that cannot be used: TLS is
        never silently off.
        """
        logins = self._logins(listener, counts) if login_setting(listener) != "off" else None
        tls = self._tls(listener) if listener.tls != "off" else None
        if logins is None and tls is None:
            return None, None
        return Protection(tls, listener.tls == "implicit", logins, listener.tls_required), logins

    def untrusted(self, listener: ListenerSettings) -> str:
        """The ways out for a client that does not trust the self-signed certificate of a listener; "" if it has another
        certificate, whose owner knows."""
        if listener.tls == "off" or listener.tls_cert or self._config.certificate:
            return ""
        ways = [f"let it trust {self_signed_file(self._config)}"]
        clear = next((str(each.bind) for each in self._config.listener if each.tls == "off"), "")
        if self._config.accounts.kind != "any":
            ways.append("give the listener a certificate (tls_cert)")
        elif clear:
            ways.append(f"let it send to {clear}, which has no TLS")
        else:
            ways.append("start without TLS (--tls off)")
        return ", or ".join(ways)

    async def close(self, after: Protections | None = None) -> None:
        """Let go of the accounts, unless ``after`` has taken them over."""
        if self._store is not None and (after is None or after._store is not self._store):
            await self._store.close()

    def _logins(self, listener: ListenerSettings, counts: SharedCounts | None) -> Logins:
        if self._failures is None:
            self._failures = LoginFailures(counts)
        if self._store is None:
            self._store = accounts_of(self._config)
        return Logins(
            self._store,
            decoy_secret=decoy_secret(self._config.data_dir),
            failures=self._failures,
            clock=self._clock,
            hostname=self._config.hostname,
            mechanisms=listener.mechanisms,
            by_common_name=listener.tls_client_name == "common_name",
        )

    def load_certificates(self, *, named: bool, own: bool) -> LoadedCertificates:
        """Read the certificates that the configuration names, that of our own making (made at the first start), or
        both.  Raises ``SettingError``."""
        for listener in self._config.listener:
            if listener.tls != "off" and (named if self._pairs(listener) else own):
                self._tls(listener)
        return self._certificates

    @property
    def has_certificates(self) -> bool:
        """Whether any listener has TLS."""
        return bool(self._certificates)

    def certificates(self) -> list[tuple[str, CertificateFacts]]:
        """Each certificate in use, with its file."""
        found = {pair: facts for each in self._certificates.values() for pair, facts in each.facts()}
        return [(pair.certificate, facts) for pair, facts in found.items()]

    def _pairs(self, listener: ListenerSettings) -> list[KeyPair]:
        pairs = [KeyPair(each.cert, each.key) for each in self._config.certificate]
        if listener.tls_cert:
            pairs.insert(0, KeyPair(listener.tls_cert, listener.tls_key))
        return pairs

    def _tls(self, listener: ListenerSettings) -> Callable[[], ssl.SSLContext]:
        certificates = self._load(self._pairs(listener) or [self._self_signed(listener)], listener.tls_client_ca)
        clock = self._clock
        return lambda: certificates.context(clock.monotonic())

    def _load(self, pairs: list[KeyPair], client_ca: str) -> Certificates:
        key = tuple(pairs), client_ca
        certificates = self._certificates.get(key)
        if certificates is not None:
            return certificates
        kept = self._before.get(key)
        certificates = read_certificates(pairs, client_ca) if kept is None else kept
        self._certificates[key] = certificates
        certificates.on_problem = self._say
        if kept is not None:
            kept.reload()
        return certificates

    def look(self) -> None:
        """Look whether files have changed, in every worker; one warns, once a day, of what needs attention."""
        for certificates in self._certificates.values():
            certificates.reload()
        now = self._clock.time()
        if not self.speaks or now - self._warned < _DAY:
            return
        self._warned = now
        asked = self._store is not None and self._config.accounts.kind == "file"
        if asked and (lost := AccountFile(self._config.data_dir).loss()):
            self._log("fault", reason=f"no login is possible: {lost}")
        if lost := OperatorFile(self._config.data_dir).loss():
            self._log("fault", reason=f"nobody can log in to the console: {lost}")
        named = set()
        for certificates in self._certificates.values():
            for pair, facts in certificates.facts():
                if pair not in named:
                    named.add(pair)
                    for sentence in (_expiry(pair, facts, now), open_to_all(pair.key or pair.certificate)):
                        if sentence:
                            self._log("tls", reason=sentence)

    def _say(self, text: str) -> None:
        """Log the problem of a file.  Every worker meets it, and one tells it."""
        if self.speaks:
            self._log("tls", reason=text)

    def _self_signed(self, listener: ListenerSettings) -> KeyPair:
        """The certificate of our own making, made at the first start; one that serves already is not made again."""
        known = KeyPair(self_signed_file(self._config))
        if ((known,), listener.tls_client_ca) in self._before:
            return known
        folder = Path(known.certificate).parent
        pair, made = make_self_signed(self._names(listener), folder, self._clock.time())
        if made:
            leave_to_owner(str(folder))
            leave_to_owner(pair.certificate)
            self._log(
                "tls",
                reason=f"listener {listener.name} has no certificate; a self-signed one was made: {pair.certificate}",
            )
        return pair

    def _names(self, listener: ListenerSettings) -> list[str]:
        names = [self._config.hostname, "localhost", "127.0.0.1", "::1"]
        host = listener.bind.host
        if listener.bind.is_address and host not in ("0.0.0.0", "::", *names):
            names.append(host)
        try:
            return list(dict.fromkeys(name.encode("idna").decode() if not name.isascii() else name for name in names))
        except UnicodeError as error:
            raise SettingError(
                "the host name cannot stand in a certificate", where="hostname", remedy="write hostname in ASCII"
            ) from error


def certificates_of(
    config: Config, log: EventSink, loaded: LoadedCertificates | None = None, *, named: bool = True, own: bool = True
) -> LoadedCertificates:
    """The certificates of a configuration for a process that has no listeners: it is root still, or the parent of
    workers; ``loaded`` are known already, ``named`` and ``own`` as for ``load_certificates``.  What is wrong with their
    files later is for a worker to tell.  Raises ``SettingError``."""
    protections = Protections(config, clock=SystemClock(), log=log, loaded=loaded)
    protections.speaks = False
    return protections.load_certificates(named=named, own=own)


def read_certificates(pairs: list[KeyPair], client_ca: str) -> Certificates:
    """The certificates in these files.  Raises ``ConfigError`` as for the configuration that names them, and
    ``SettingError`` for a file that this user may not read."""
    try:
        return Certificates(pairs, client_ca=client_ca)
    except SettingError as error:
        refuse_named_file(error)


def _expiry(pair: KeyPair, facts: CertificateFacts, now: float) -> str:
    """The sentence about a certificate that ends within 21 days, or ""."""
    if not facts.expires_within(WARN_DAYS, now):
        return ""
    days = int((facts.not_after - now) // 86_400)
    when = f"ends in {days} days" if days >= 0 else "has expired"
    return f"the certificate {pair.certificate} {when}; put a new one in its place"
