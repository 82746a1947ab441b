"""SPF's check_host() (RFC 7208 §4) for one identity of one message, as a check that yields its DNS questions.

The limits of §4.6.4 are kept whatever a record says: 10 terms with look-ups in all records together, 2 of them with an
empty answer, 10 MX records and 10 PTR names; so a check asks at most 1 + 10 × 11 + 1 questions.  A term with
an empty answer counts once as a void look-up, an ``mx`` with several such hosts too: the RFC limits the terms.

Errors end the whole evaluation, in whatever depth of includes they are met (§5.2); ``_Ended`` carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from posthouse.core import MX, Address, Answer, Kind, Question, Status
from posthouse.mailauth.arguments import client_address, demand_text
from posthouse.mailauth.domains import a_labels, is_dns_name
from posthouse.mailauth.questions import Check
from posthouse.mailauth.spf.macros import (
    MacroFault,
    MacroText,
    expand_domain,
    expand_explanation,
    letters_of,
    parse_explanation,
)
from posthouse.mailauth.spf.spf_record import SpfRecord, SyntaxFault, Term, parse_record, select
from posthouse.mailauth.spf.spf_result import SpfLookup, SpfResult, SpfStep, SpfWord
from posthouse.mailauth.wall_time import seconds_now

__all__ = ["MOST_HOSTS", "MOST_TERMS", "MOST_VOIDS", "check_spf"]

MOST_TERMS = 10
"""Terms with DNS look-ups that one check evaluates (RFC 7208 §4.6.4)."""
MOST_VOIDS = 2
"""Terms whose look-ups have an empty answer (RFC 7208 §4.6.4)."""
MOST_HOSTS = 10
"""MX records of one mx term, and names of the client's address that are looked at (RFC 7208 §4.6.4)."""


def check_spf(
    ip: str | IPv4Address | IPv6Address,
    mail_from: str | Address | None,
    helo: str,
    *,
    receiver: str = "unknown",
    now: float | None = None,
    explain: bool = True,
) -> Check[SpfResult]:
    """The SPF check of a message: the MAIL FROM identity, or the HELO identity where the reverse-path is null (§2.4).

    To check the HELO identity of any message (§2.3), pass "" as ``mail_from``.

    Args:
        ip: The client's address; an IPv4-mapped IPv6 address is the IPv4 address (§5).
        mail_from: The reverse-path with or without ``<>``; None, "" or ``<>`` for the null reverse-path.  U-labels
            become A-labels.
        helo: The argument of HELO or EHLO, as it was sent.
        receiver: The name of the host that checks, which explanations may show (macro r).
        now: Seconds since 1970, which explanations may show (macro t); None is the system's time.
        explain: False leaves the explanation out, and the look-ups that it costs (§6.2).

    Raises:
        LocalError: ``ip`` is no IP address.
        TypeError: ``mail_from`` or ``helo`` is no text; octets must be decoded first.
    """
    if mail_from is not None and not isinstance(mail_from, Address):
        demand_text(mail_from, "mail_from", "ann@example.org")
    demand_text(helo, "helo", "mx.example.org")
    client = client_address(ip)
    sender = str(mail_from) if mail_from is not None else ""
    if sender.startswith("<") and sender.endswith(">"):
        sender = sender[1:-1]
    identity: Literal["mailfrom", "helo"] = "mailfrom"
    if not sender:
        identity, sender = "helo", f"postmaster@{helo}"
    local, _, domain = sender.rpartition("@")
    return _judged(_Evaluation(client, identity, local or "postmaster", domain, helo, receiver, now), explain)


class _Place(NamedTuple):
    """A record that is evaluated: its domain, as it was named and as it is asked for, and the steps that led there."""

    shown: str
    name: str
    steps: tuple[SpfStep, ...]

    def at(self, term: str) -> tuple[SpfStep, ...]:
        """The steps to a term of this record, it included."""
        return (*self.steps, SpfStep(self.name, term))


class _Found(NamedTuple):
    """The result of one check_host(): the word, the steps to what decided, and the place of the term that did."""

    word: SpfWord
    steps: tuple[SpfStep, ...]
    reason: str
    decided: SpfStep | None = None
    explanation: MacroText | None = None  # the domain-spec of exp in the record that decided
    shown: str = ""  # the domain of that record, for its macro d


class _Ended(Exception):
    """The whole evaluation ends with a temporary or permanent error."""

    def __init__(self, word: SpfWord, steps: tuple[SpfStep, ...], reason: str) -> None:
        super().__init__(reason)
        self.found = _Found(word, steps, reason, steps[-1] if steps else None)


def _judged(check: _Evaluation, explain: bool) -> Check[SpfResult]:
    """One evaluation from its domain to its result, with the explanation of a failure (§6.2)."""
    explanation = ""
    try:
        found = yield from check.host(check.domain, ())
        if explain and found.word == "fail" and found.explanation is not None:
            explanation = yield from check.explanation(found.explanation, found.shown)
    except _Ended as end:
        found = end.found
    return check.result(found, explanation)


class _Evaluation:
    """One evaluation of check_host(): what is the same in all records, and what has been used of the limits."""

    def __init__(
        self,
        client: IPv4Address | IPv6Address,
        identity: Literal["mailfrom", "helo"],
        local: str,
        domain: str,
        helo: str,
        receiver: str,
        now: float | None,
    ) -> None:
        self._client = client
        self._shown = str(client)  # made once: ipaddress takes 1 µs for it
        self._number = int(client)
        self._v4 = isinstance(client, IPv4Address)
        self._address_kind = Kind.A if self._v4 else Kind.AAAA
        self._identity: Literal["mailfrom", "helo"] = identity
        name = a_labels(domain)
        self.domain = domain if name is None else domain.removesuffix(".") if domain.isascii() else name
        self._sender = f"{local}@{self.domain}"
        self._helo = helo
        dotted = self._shown if self._v4 else ".".join(client.exploded.replace(":", ""))
        self._values: Mapping[str, str] = {
            "s": self._sender,
            "l": local,
            "o": self.domain,
            "i": dotted,
            "v": "in-addr" if self._v4 else "ip6",
            "h": helo,
            "c": self._shown,
            "r": receiver or "unknown",
            "t": str(seconds_now(now)),
        }
        self._lookups: list[SpfLookup] = []
        self._terms = 0
        self._voids = 0
        self._names_counted = False

    def result(self, found: _Found, explanation: str) -> SpfResult:
        """The result as its caller sees it."""
        domain = self.domain.lower() if self.domain.isascii() else self.domain
        decided = found.decided or SpfStep("", "")
        return SpfResult(
            found.word,
            self._identity,
            domain,
            self._sender,
            self._shown,
            self._helo,
            decided.term,
            decided.domain,
            found.steps,
            found.reason,
            explanation,
            tuple(self._lookups),
            self._terms,
            self._voids,
        )

    # check_host() ---------------------------------------------------------------------------------------------------

    def host(self, domain: str, steps: tuple[SpfStep, ...]) -> Check[_Found]:
        """check_host() for a domain (§4.3 to §4.7); ``steps`` are the terms that led to it, none for the first."""
        name = a_labels(domain)
        if name is None or "." not in name or name.startswith("["):
            if not domain and not steps:
                return _Found("none", steps, "no domain is given: neither the sender nor HELO names one")
            return _Found("none", steps, f"{domain[:253]!r} is no domain name with two labels or more")
        answer = yield from self._ask(Kind.TXT, name, steps[-1].term if steps else "")
        if answer.status is Status.FAILED:
            raise _Ended("temperror", steps, answer.reason or f"the TXT record of {name} was not had")
        records = select(answer.records)
        if not records:
            missing = "does not exist" if answer.status is Status.NXDOMAIN else "publishes no SPF record"
            return _Found("none", steps, f"{name} {missing}")
        place = _Place(domain, name, steps)
        if len(records) > 1:
            raise _Ended("permerror", steps, f"{name} publishes {len(records)} SPF records; one is allowed")
        record = parse_record(records[0])
        if isinstance(record, SyntaxFault):
            reason = f"the SPF record of {name} has a syntax error in {record.term!r}: {record.problem}"
            raise _Ended("permerror", place.at(record.term), reason)
        return (yield from self._evaluated(record, place))

    def _evaluated(self, record: SpfRecord, place: _Place) -> Check[_Found]:
        """The terms of a record in order, then its redirect, then the default (§4.6, §4.7)."""
        for term in record.terms:
            steps = yield from self._matches(term, place)
            if steps is not None:
                reason = f"{term.text} in the SPF record of {place.name} matches {self._shown}"
                decided = SpfStep(place.name, term.text)
                return _Found(term.match, steps, reason, decided, record.explanation, place.shown)
        if record.redirect is None:
            reason = f"no term in the SPF record of {place.name} matches {self._shown}"
            return _Found("neutral", place.steps, reason, SpfStep(place.name, ""))
        steps = place.at(record.redirect_text)
        self._count(steps)
        target = yield from self._target(record.redirect, place, steps)
        return self._needed((yield from self.host(target, steps)), steps)

    def _needed(self, found: _Found, steps: tuple[SpfStep, ...]) -> _Found:
        """The result of a record that another one names.  Raises ``_Ended`` if there is none (§5.2, §6.1)."""
        if found.word == "none":
            reason = f"{steps[-1].term} in the SPF record of {steps[-1].domain} leads nowhere: {found.reason}"
            raise _Ended("permerror", steps, reason)
        return found

    def _count(self, steps: tuple[SpfStep, ...]) -> None:
        """Count a term with look-ups, the last of the steps.  Raises ``_Ended`` above the limit."""
        if self._terms == MOST_TERMS:
            domain, term = steps[-1]
            reason = (
                f"{term} in the SPF record of {domain} is one term with DNS look-ups too many: {MOST_TERMS} are allowed"
            )
            raise _Ended("permerror", steps, reason)
        self._terms += 1

    def _count_void(self, name: str, steps: tuple[SpfStep, ...]) -> None:
        """Count a term whose look-ups found no record, the last of the steps.  Raises ``_Ended`` above the limit."""
        if not is_dns_name(name):
            return  # nothing was asked
        if self._voids == MOST_VOIDS:
            domain, term = steps[-1]
            reason = (
                f"{term} in the SPF record of {domain} finds no record of {name}, and {MOST_VOIDS} terms before it "
                f"found none: {MOST_VOIDS} are allowed"
            )
            raise _Ended("permerror", steps, reason)
        self._voids += 1

    # Mechanisms -----------------------------------------------------------------------------------------------------

    def _matches(self, term: Term, place: _Place) -> Check[tuple[SpfStep, ...] | None]:
        """The steps to what made a term match, or None if it does not match (§5)."""
        steps = place.at(term.text)
        match term.kind:
            case "all":
                return steps
            case "ip4":
                return steps if self._v4 and self._number >> term.shift4 == term.network else None
            case "ip6":
                return steps if not self._v4 and self._number >> term.shift6 == term.network else None
        self._count(steps)
        target = place.shown if term.domain is None else (yield from self._target(term.domain, place, steps))
        match term.kind:
            case "include":
                found = self._needed((yield from self.host(target, steps)), steps)
                return found.steps if found.word == "pass" else None
            case "mx":
                matched = yield from self._exchange(term, target, steps)
            case "ptr":
                matched = yield from self._reverse(target, steps)
            case "exists":  # an A record, whatever the client's address is (§5.7)
                matched = (yield from self._records(Kind.A, target, steps, count_void=True)).status is Status.OK
            case _:
                answer = yield from self._records(self._address_kind, target, steps, count_void=True)
                matched = self._has(answer, term)
        return steps if matched else None

    def _exchange(self, term: Term, target: str, steps: tuple[SpfStep, ...]) -> Check[bool]:
        """``mx`` (§5.4): the addresses of the hosts in the MX records; there is no implicit MX."""
        answer = yield from self._records(Kind.MX, target, steps, count_void=True)
        found = sorted(each for each in answer.records if isinstance(each, MX))
        if len(found) > MOST_HOSTS:
            domain, text = steps[-1]
            reason = f"{text} in the SPF record of {domain} finds {len(found)} MX records: {MOST_HOSTS} are allowed"
            raise _Ended("permerror", steps, reason)
        hosts = list(dict.fromkeys(each.exchange for each in found if each.exchange))  # less the null MX (RFC 7505)
        void = False
        for host in hosts:
            addresses = yield from self._records(self._address_kind, host, steps, count_void=not void)
            void = void or addresses.status is not Status.OK
            if self._has(addresses, term):
                return True
        return False

    def _has(self, answer: Answer, term: Term) -> bool:
        """True if the client is in a network of one of the addresses."""
        shift = term.shift4 if self._v4 else term.shift6
        mine = self._number >> shift
        return any(number >> shift == mine for number in _numbers(answer))

    def _reverse(self, target: str, steps: tuple[SpfStep, ...]) -> Check[bool]:
        """``ptr`` (§5.5): a validated name of the client is the target or below it."""
        answer, names = yield from self._client_names(steps[-1].term)
        if answer.status in (Status.NXDOMAIN, Status.NODATA):
            self._count_void(self._client.reverse_pointer, steps)
        wanted = target.lower()
        for name in names:
            if (name == wanted or name.endswith(f".{wanted}")) and (yield from self._is_mine(name, steps[-1].term)):
                return True
        return False

    # Names of the client --------------------------------------------------------------------------------------------

    def _client_names(self, asking: str) -> Check[tuple[Answer, list[str]]]:
        """The first names of the client's address, not validated; none after an error (§5.5)."""
        answer = yield from self._ask(Kind.PTR, self._client.reverse_pointer, asking)
        names = [each.lower().removesuffix(".") for each in answer.records if isinstance(each, str)]
        return answer, names[:MOST_HOSTS]

    def _is_mine(self, name: str, asking: str) -> Check[bool]:
        """True if a name has the client's address; a DNS error means that it has not (§5.5)."""
        answer = yield from self._ask(self._address_kind, name, asking)
        return self._number in _numbers(answer)

    def _validated(self, domain: str, asking: str) -> Check[str]:
        """The value of ``%{p}`` (§7.3): a validated name of the client, the domain itself or below it if possible."""
        _, names = yield from self._client_names(asking)
        wanted = domain.lower()
        for name in sorted(names, key=lambda each: 0 if each == wanted else 1 if each.endswith(f".{wanted}") else 2):
            if (yield from self._is_mine(name, asking)):
                return name
        return "unknown"

    # Questions ------------------------------------------------------------------------------------------------------

    def _target(self, spec: MacroText, place: _Place, steps: tuple[SpfStep, ...]) -> Check[str]:
        """The target-name of a domain-spec (§4.8).  Raises ``_Ended`` where ``%{p}`` exceeds the limit of terms."""
        if "p" in letters_of(spec) and not self._names_counted:
            self._count(steps)  # the PTR question counts (§4.6.4); the driver asks it once
            self._names_counted = True
        values = yield from self._values_for(spec, place.shown, steps[-1].term)
        return expand_domain(spec, values)

    def _values_for(self, text: MacroText, domain: str, asking: str) -> Check[Mapping[str, str]]:
        """The values of the macros in a text of a domain's record."""
        values = {**self._values, "d": domain}
        if "p" in letters_of(text):
            values["p"] = yield from self._validated(domain, asking)
        return values

    def _records(self, kind: Kind, name: str, steps: tuple[SpfStep, ...], *, count_void: bool) -> Check[Answer]:
        """The answer for a mechanism.  Raises ``_Ended`` with temperror after a DNS error (§5)."""
        answer = yield from self._ask(kind, name, steps[-1].term)
        if answer.status is Status.FAILED:
            raise _Ended("temperror", steps, answer.reason or f"the {kind} record of {name} was not had")
        if count_void and answer.status is not Status.OK:
            self._count_void(name, steps)
        return answer

    def _ask(self, kind: Kind, name: str, asking: str) -> Check[Answer]:
        """One question; a name that the DNS cannot carry does not exist, and is not asked for."""
        if not is_dns_name(name):
            return Answer(Status.NXDOMAIN, reason=f"{name[:253]!r} is no name of the DNS")
        question = Question(name.lower(), kind)
        answer = yield question
        self._lookups.append(SpfLookup(question, answer, asking))
        return answer

    def explanation(self, spec: MacroText, domain: str) -> Check[str]:
        """The explanation of a failure (§6.2), "" if it cannot be had: no error of it changes the result."""
        values = yield from self._values_for(spec, domain, "exp")
        answer = yield from self._ask(Kind.TXT, expand_domain(spec, values), "exp")
        if len(answer.records) != 1 or not isinstance(answer.records[0], bytes):
            return ""
        try:
            text = parse_explanation(answer.records[0].decode("ascii"))
        except (MacroFault, UnicodeDecodeError):
            return ""
        said = expand_explanation(text, (yield from self._values_for(text, domain, "exp")))
        return said if said.isascii() and said.isprintable() else ""


def _numbers(answer: Answer) -> list[int]:
    """The addresses of an answer as numbers."""
    return [int(ip_address(each)) for each in answer.records if isinstance(each, str)]
