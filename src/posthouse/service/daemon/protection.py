"""TLS and logging in for the listeners of a daemon: certificates, accounts, and the memory of failed logins."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from posthouse.core import EventSink, SettingError
from posthouse.net.certificates import SELF_SIGNED, WARN_DAYS, Certificates, KeyPair, make_self_signed
from posthouse.net.clock import Clock
from posthouse.server.settings import Protection
from posthouse.service.accounts import (
    AccountFile,
    AccountStore,
    DovecotAccounts,
    FileAccounts,
    decoy_secret,
    load_accounts,
)
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.policy.listener_policy import login_setting
from posthouse.service.policy.login_failures import LoginFailures
from posthouse.service.policy.logins import AnyAccounts, Logins
from posthouse.service.policy.shared_counts import SharedCounts

__all__ = ["Protections", "accounts_of", "self_signed_file"]

#: Certificates by their files and by the file of those that clients may have.
_ByFiles = dict[tuple[tuple[KeyPair, ...], str], Certificates]


def accounts_of(config: Config) -> AccountStore:
    """The store that the configuration names.  Raises ``SettingError``."""
    kind, target = config.accounts
    if kind == "dovecot":
        return DovecotAccounts(target, identity_domain=config.postmaster.domain)
    if kind == "python":
        return load_accounts(target)
    if kind == "any":
        return AnyAccounts()
    return FileAccounts(AccountFile(config.data_dir))


def self_signed_file(config: Config) -> str:
    """The certificate of our own making, with its key, for listeners that have no other."""
    return str(Path(config.data_dir) / "tls" / SELF_SIGNED)


class Protections:
    """What the listeners of one daemon share: one store of accounts, one memory of failures, certificates by files."""

    def __init__(self, config: Config, *, clock: Clock, log: EventSink, before: Protections | None = None) -> None:
        self._config = config
        self._clock = clock
        self._log = log
        self._failures: LoginFailures | None = None if before is None else before._failures
        kept = before is not None and (config.accounts, config.postmaster) == (
            before._config.accounts,
            before._config.postmaster,
        )
        self._store: AccountStore | None = before._store if kept and before is not None else None
        self._before: _ByFiles = {} if before is None else before._certificates
        self._certificates: _ByFiles = {}

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

    def _tls(self, listener: ListenerSettings) -> Callable[[], ssl.SSLContext]:
        pairs = [KeyPair(each.cert, each.key) for each in self._config.certificate]
        if listener.tls_cert:
            pairs.insert(0, KeyPair(listener.tls_cert, listener.tls_key))
        if not pairs:
            pairs.append(self._self_signed(listener))
        key = tuple(pairs), listener.tls_client_ca
        certificates = self._certificates.get(key)
        if certificates is None and (certificates := self._before.get(key)) is not None:
            self._certificates[key] = certificates
            certificates.reload()
        if certificates is None:
            certificates = Certificates(
                pairs, client_ca=listener.tls_client_ca, on_problem=lambda text: self._log("tls", reason=text)
            )
            self._certificates[key] = certificates
            self._warn(certificates)
        clock = self._clock
        return lambda: certificates.context(clock.monotonic())

    def _warn(self, certificates: Certificates) -> None:
        now = self._clock.time()
        for pair, facts in certificates.facts():
            if facts.expires_within(WARN_DAYS, now):
                days = int((facts.not_after - now) // 86_400)
                when = f"ends in {days} days" if days >= 0 else "has expired"
                self._log("tls", reason=f"the certificate {pair.certificate} {when}; put a new one in its place")

    def _self_signed(self, listener: ListenerSettings) -> KeyPair:
        """The certificate of our own making, made at the first start."""
        folder = Path(self_signed_file(self._config)).parent
        pair, made = make_self_signed(self._names(listener), folder, self._clock.time())
        if made:
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
