"""Routing: a table of rules says where a recipient goes; the most specific rule wins.

A rule is a value: which domains, which deliverer, which target.  The table is built from the current configuration and
asked at each attempt.  Its answer is never stored with the mail, so a corrected configuration also moves mail that was
queued under the wrong one.

The key is the recipient's domain in A-labels and lower case.  The table tries the domain itself; ``*.parent`` for each
parent, nearest first; ``*``; and last the default, which in a relay is the domain's own mail exchangers.  A
domain of this server is a rule like any other, so ``[[route]] to = "*"``, which is less specific, never takes it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from posthouse.core import Address, LocalError, Outcome, Recipient, Reply, Result, SettingError
from posthouse.delivery.model import Deliverer
from posthouse.protocol.grammar import GrammarError, domain_to_ascii, lookup_domain

__all__ = ["NoRoute", "Route", "RouteRule", "RouteTable", "Router"]


class Route(NamedTuple):
    """A route of a recipient: the deliverer, and the target that it is given.

    Recipients of a message with equal routes share a delivery.  ``reason`` says which rule chose the route, for
    operators to read.  ``shared`` is true if all recipients of the domain have this route now (but for those that an
    operator rerouted).
    """

    deliverer: Deliverer
    target: str
    reason: str = ""
    shared: bool = False


class NoRoute(NamedTuple):
    """The outcome of a recipient that no route leads to, without an attempt."""

    outcome: Outcome


class Router(Protocol):
    """Decides at each attempt, from the current configuration, where a recipient goes."""

    def route(self, recipient: Recipient, override: str = "") -> Route | NoRoute:
        """The route of one recipient.

        ``override`` is where an operator rerouted it ("" if none did).  It goes before all rules; a recipient whose
        override cannot be understood waits.
        """
        ...

    def destination(self, address: Address) -> str:
        """The key by which the spool groups and leases this recipient: its domain in A-labels and lower case."""
        ...


class RouteRule(NamedTuple):
    """A rule: where the mail of some domains goes.

    ``pattern`` is a domain (A-labels or U-labels) or address literal, ``*.domain`` for all below it, or ``*``.
    ``target`` is what the deliverer is given: one for all (a ``host:port``), or a function that makes it from each
    address (a mailbox's name, a Maildir's path), or, left out, the recipient's domain, which the SMTP deliverer looks
    up in the DNS.  The function raises ``LocalError`` if this address can have no target, or ``SettingError``.
    ``reason`` names the rule for operators to read.
    """

    pattern: str
    deliverer: Deliverer
    target: str | Callable[[Address], str] | None = None
    reason: str = ""


class RouteTable:
    """A ``Router`` made of rules.

    Args:
        rules: In any order.
        default: Takes what no rule matches (its pattern is not looked at).  With None such recipients wait, for an
            installation that sends nothing outside.
        ways: The deliverers that an operator's override may name, by the word before its colon (``smtp://host:port``,
            ``lmtp:/path``, ``mx``).
        home: The domain of addresses that have none (``<Postmaster>``, RFC 5321 §4.5.1).

    Raises ``SettingError`` if two rules have the same pattern or a pattern is not a domain.
    """

    __slots__ = ("_default", "_exact", "_home", "_under", "_ways")

    def __init__(
        self,
        rules: Iterable[RouteRule] = (),
        default: RouteRule | None = None,
        *,
        home: str = "",
        ways: Mapping[str, Deliverer] | None = None,
    ) -> None:
        self._ways = ways or {}
        self._exact: dict[str, RouteRule] = {}
        self._under: dict[str, RouteRule] = {}
        self._default = default
        self._home = lookup_domain(home)
        for rule in rules:
            table, name = self._place(rule.pattern)
            if name in table:
                raise SettingError(
                    f'two rules for "{rule.pattern}": {table[name].reason or "one"} and {rule.reason or "another"}',
                    remedy="keep one of them",
                )
            table[name] = rule

    def _place(self, pattern: str) -> tuple[dict[str, RouteRule], str]:
        """The dictionary and key for a pattern; the key of ``*`` is "", the parent of all."""
        if pattern == "*":
            return self._under, ""
        table, domain = (self._under, pattern[2:]) if pattern.startswith("*.") else (self._exact, pattern)
        try:
            name = domain_to_ascii(domain)
        except GrammarError as error:
            raise SettingError(f'"{pattern}" is not a domain: {error}', remedy=_REMEDY) from error
        return table, name

    def destination(self, address: Address) -> str:
        """The recipient's domain in A-labels and lower case; the home domain where it has none."""
        domain = address.domain
        return (domain.lower() if domain.isascii() else lookup_domain(domain)) or self._home

    def route(self, recipient: Recipient, override: str = "") -> Route | NoRoute:
        domain = self.destination(recipient.address)
        if override:
            kind, _, rest = override.partition(":")
            deliverer = self._ways.get(kind)
            if deliverer is None:
                reply = Reply(451, "4.3.5", "the route of this mail is not usable")
                why = f'an operator sent it to "{override}", which is no way here; reroute it'
                return NoRoute(Outcome(recipient, Result.DEFERRED, reply, why))
            return Route(deliverer, rest.removeprefix("//") or domain, f'an operator sent it to "{override}"')
        rule = self.match(domain)
        if rule is None:
            return NoRoute(_no_rule(recipient, domain))
        if rule.target is None:
            return Route(rule.deliverer, domain, rule.reason, shared=True)
        if isinstance(rule.target, str):
            return Route(rule.deliverer, rule.target, rule.reason, shared=True)
        try:
            return Route(rule.deliverer, rule.target(recipient.address), rule.reason)
        except LocalError as error:
            reply = Reply(550, "5.1.3", "no mailbox can have this address")
            return NoRoute(Outcome(recipient, Result.FAILED, reply, str(error)))
        except SettingError as setting:
            reply = Reply(451, "4.3.5", "the route of this mail is not usable")
            return NoRoute(Outcome(recipient, Result.DEFERRED, reply, str(setting)))

    def match(self, domain: str) -> RouteRule | None:
        """The rule for a domain as ``destination`` gives it, or None."""
        rule = self._exact.get(domain)
        if rule is not None:
            return rule
        if not self._under:
            return self._default
        parent = "" if domain.startswith("[") else domain
        while parent:
            _, _, parent = parent.partition(".")
            rule = self._under.get(parent)
            if rule is not None:
                return rule
        return self._under.get("", self._default)


_REMEDY = 'write a domain ("example.org"), "*.domain" for all below it, or "*"'


def _no_rule(recipient: Recipient, domain: str) -> Outcome:
    """The outcome without a matching rule and without a default: the mail waits for a corrected configuration."""
    return Outcome(
        recipient,
        Result.DEFERRED,
        Reply(451, "4.4.4", f"no route to {domain or recipient.address.local}"),
        f'no rule says where mail for "{domain}" goes; add a [[domain]] or a [[route]] for it',
    )
