"""Logging in at one listener: which mechanisms are offered where, who may send as whom, and what guessing costs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from posthouse.core import Address, Reply, StorageError, Verdict
from posthouse.net.clock import Clock
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.grammar import lookup_domain
from posthouse.protocol.sasl import (
    ANY_SECRET,
    MECHANISMS,
    Authenticated,
    CheckPassword,
    Denied,
    Question,
    ScramKeys,
    ServerContext,
)
from posthouse.server.policy import LoginTerms
from posthouse.service.accounts import SCRAM_ITERATIONS, AccountStore, answer
from posthouse.service.policy.client_limits import host_of
from posthouse.service.policy.login_failures import LoginFailures

__all__ = ["DEFAULT_MECHANISMS", "Logins", "may_send_as"]

#: What a listener offers without ``mechanisms``, if its accounts can serve it.
DEFAULT_MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2")
_LOGGED_IN: Final = Verdict(Reply(235, "2.7.0", "Authentication successful"))
_BARRED: Final = Verdict(
    Reply(421, "4.7.0", "Too many failed logins from your network; try again later"), "too many failed logins"
)
_NO_ACCOUNT: Final = Verdict(Reply(535, "5.7.8", "Authentication credentials invalid"), "the account is switched off")


class Logins(LoginTerms):
    """The terms of one listener.

    ``mechanisms``: those to offer, a subset of what the accounts can serve.  ``decoy_secret``: see
    ``accounts.decoy_secret``.  ``failures`` is shared by all listeners of this process.
    ``by_common_name``: a client certificate without an e-mail address names its account by the common name.
    """

    def __init__(
        self,
        store: AccountStore,
        *,
        decoy_secret: bytes,
        failures: LoginFailures,
        clock: Clock,
        hostname: str,
        mechanisms: Sequence[str] = (),
        by_common_name: bool = False,
    ) -> None:
        self.store = store
        self.failures = failures
        self._decoy_secret = decoy_secret
        self._clock = clock
        self._hostname = hostname
        self._by_common_name = by_common_name
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}  # of networks that guess: their sessions that wait
        #: Of the last keys of a real account: the challenge for an unknown one must look like it.
        self._iterations, self._salt = SCRAM_ITERATIONS, 16
        served = {*store.mechanisms, *(f"{each}-PLUS" for each in store.mechanisms if each.startswith("SCRAM-"))}
        self._forwarded = frozenset(store.forwards)
        served |= self._forwarded.intersection(mechanisms)
        if "EXTERNAL" in mechanisms:  # a certificate is judged by the channel; the store only has the identities
            served.add("EXTERNAL")
        self._mechanisms = tuple(each for each in mechanisms or DEFAULT_MECHANISMS if each in served)

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        """The mechanisms that EHLO announces: in clear, and not on loopback, none that shows a password or token."""
        if tls:
            return self._mechanisms
        return tuple(
            each
            for each in self._mechanisms
            if not MECHANISMS[each].bound and each != "EXTERNAL" and (loopback or not MECHANISMS[each].clear)
        )

    @property
    def needs_certificate(self) -> bool:
        return self.store.needs_certificate

    def identity_of(self, info: TlsInfo) -> str:
        return info.identity or (info.common_name if self._by_common_name else "")

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        return ServerContext(
            nonce=secrets.token_urlsafe(18),
            decoy_secret=self._decoy_secret,
            bindings=bindings,
            offered=offered,
            identity=identity if identity or self.store.needs_certificate else ANY_SECRET,
            challenge=f"<{secrets.token_urlsafe(12)}@{self._hostname}>",
            decoy_iterations=self._iterations,
            decoy_salt=self._salt,
            forwarded=self._forwarded,
            empty_passwords=self.store.empty_passwords,
        )

    async def answer(self, question: Question) -> Any:
        found = await answer(self.store, question)
        if isinstance(found, ScramKeys):
            self._iterations, self._salt = found.iterations, min(64, len(found.salt))
        return found

    def is_right(self, question: Question) -> bool:
        return isinstance(question, CheckPassword) and self.store.is_right(question.user, question.password)

    async def answer_to(self, host: str, question: Question) -> Any:
        """As ``answer``.  Passwords from a network that guesses are checked one at a time: a check costs processor time
        and memory, and the logins of all others would wait behind a flood of them."""
        if not isinstance(question, CheckPassword) or not self.failures.guesses(host, self._clock.monotonic()):
            return await self.answer(question)
        network = host_of(host) if host else ""
        turn, waiting = self._turns.get(network, (asyncio.Lock(), 0))
        self._turns[network] = turn, waiting + 1
        try:
            async with turn:
                return await self.answer(question)
        finally:
            turn, waiting = self._turns.pop(network)
            if waiting > 1:
                self._turns[network] = turn, waiting - 1

    def logged_in(self, outcome: Authenticated, host: str, identities: Sequence[str] | None) -> Verdict:
        """The verdict on a right password; ``identities`` are the store's answer."""
        if identities is None:
            return _NO_ACCOUNT
        self.failures.succeeded(outcome.user, host, self._clock.monotonic())
        return _LOGGED_IN

    async def shown(self, user: str) -> str:
        """A name that somebody failed to log in with, as logs may show it: only if it is an account."""
        try:
            return user if user and await self.store.knows(user) else ""
        except StorageError:
            return ""

    async def denied(self, outcome: Denied, host: str) -> Verdict:
        """The verdict on a wrong one, after the wait that guessing costs."""
        now = self._clock.monotonic()
        barred = self.failures.is_barred(host, now)
        if outcome.reply.code == 501:  # malformed, which the session counts as an error
            return Verdict(outcome.reply, outcome.reason)
        wait = self.failures.failed(outcome.user, host, now)
        if barred:
            return _BARRED
        if wait:
            await self._clock.sleep(wait)
        return Verdict(outcome.reply, outcome.reason)


def may_send_as(sender: Address | None, identities: Sequence[str]) -> bool:
    """Whether an account with these identities may use ``sender``: an address, ``@domain`` or ``*``; the null sender of
    reports (RFC 5321 §4.5.5) is everybody's.  A tag (``ann+shop@…``) belongs to its address."""
    if sender is None or "*" in identities:
        return True
    local, domain = sender.local.casefold(), lookup_domain(sender.domain)
    plain = local.partition("+")[0]
    wanted = {f"{local}@{domain}", f"{plain}@{domain}", f"@{domain}"}
    return any(_compared(each) in wanted for each in identities)


def _compared(identity: str) -> str:
    """An identity as it is compared: without case, its domain in A-labels."""
    local, _, domain = identity.rpartition("@")
    return f"{local.casefold()}@{lookup_domain(domain)}"
