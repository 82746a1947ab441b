"""SPF records (RFC 7208 §3, §4.5, §4.6.1, §12): selected among TXT records, and parsed once into terms.

The whole record is validated before any of it is evaluated (§4.6), so parsing gives either a ``SpfRecord`` or the first
``SyntaxFault``; both are values.  Parsed records are kept in a cache, because a daemon meets the records of large
senders again and again.  Parsing is linear in the length of the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from posthouse.mailauth.spf.macros import MacroFault, MacroText, parse_domain_spec, parse_macro_string

__all__ = ["Match", "Mechanism", "SpfRecord", "SyntaxFault", "Term", "is_spf", "parse_record", "select"]

Mechanism = Literal["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"]
"""The mechanisms of RFC 7208 §5."""
Match = Literal["pass", "fail", "softfail", "neutral"]
"""The result of a term that matches (RFC 7208 §4.6.2)."""

_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_QUALIFIERS: dict[str, Match] = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*)=(.*)", re.DOTALL)
_DIRECTIVE = re.compile(r"([+\-~?]?)([A-Za-z0-9]+)(.*)", re.DOTALL)
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_CIDR = re.compile(r"0|[1-9][0-9]{0,2}")
_IP4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_IP6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_CACHED_AT_MOST = 2048  # octets; longer records are parsed each time, so that the cache stays small
_CACHE_SIZE = 1024
_LONGEST = 10_000  # octets; an answer has room for six times as many, and a check reads eleven records


class Term(NamedTuple):
    """One mechanism of a record.

    Args:
        text: As it stands in the record: ``-all``, ``include:example.net``.
        kind: The mechanism.
        match: The result if it matches.
        domain: The domain-spec, None where the record has none: then the current domain is meant (§4.8).
        network: The network of ip4 and ip6 as a number, shifted right by ``shift4`` or ``shift6``.
        shift4: Bits of an IPv4 address that are not compared: 32 less the prefix length.
        shift6: Bits of an IPv6 address that are not compared: 128 less the prefix length.
    """

    text: str
    kind: Mechanism
    match: Match
    domain: MacroText | None = None
    network: int = 0
    shift4: int = 0
    shift6: int = 0


class SpfRecord(NamedTuple):
    """A record without a syntax error.

    Args:
        terms: The mechanisms in order, up to the first ``all``: what follows it is ignored (§5.1).
        redirect: The domain-spec of ``redirect``, None if there is none or if it is ignored because of ``all`` (§5.1).
        explanation: The domain-spec of ``exp``, or None.
        ignored: The terms that are never evaluated, as text: those behind ``all``, and a redirect beside it.
        unknown: The unknown modifiers, as text; they have no effect (§6).
    """

    terms: tuple[Term, ...]
    redirect: MacroText | None = None
    redirect_text: str = ""
    explanation: MacroText | None = None
    ignored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class SyntaxFault(NamedTuple):
    """The first syntax error of a record: the term, what is wrong with it, and what to write."""

    term: str
    problem: str


class _Wrong(Exception):
    """A term is not in the grammar; the text says what to write."""


def is_spf(text: bytes) -> bool:
    """True for a TXT record that is an SPF record: it begins with ``v=spf1`` and a space, or is that alone (§4.5)."""
    return _VERSION.match(text) is not None


def select(records: Iterable[object]) -> list[bytes]:
    """The SPF records among the TXT records of a name (§4.5)."""
    return [each for each in records if isinstance(each, bytes) and is_spf(each)]


def parse_record(text: bytes) -> SpfRecord | SyntaxFault:
    """The record, or its first syntax error; ``text`` has been selected by ``select``."""
    return _cached(text) if len(text) <= _CACHED_AT_MOST else _parse(text)


def _parse(text: bytes) -> SpfRecord | SyntaxFault:
    if len(text) > _LONGEST:
        return SyntaxFault(
            text[:20].decode("ascii", "replace"), f"the record is longer than {_LONGEST:,} octets; split it by include"
        )
    try:
        words = text.decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        place = text[max(0, error.start - 20) : error.start + 20].decode("ascii", "backslashreplace")
        return SyntaxFault(place, "the record has an octet that is not ASCII; write domains as A-labels (xn--)")
    parser = _Parser()
    for word in words[1:]:
        if word:
            try:
                parser.add(word)
            except (_Wrong, MacroFault) as fault:
                return SyntaxFault(word[:200], str(fault))
    return parser.record()


_cached = lru_cache(maxsize=_CACHE_SIZE)(_parse)


class _Parser:
    """The terms of one record as they are read."""

    def __init__(self) -> None:
        self._terms: list[Term] = []
        self._ignored: list[str] = []
        self._unknown: list[str] = []
        self._modifiers: dict[str, tuple[str, MacroText]] = {}
        self._complete = False  # ``all`` was read

    def add(self, word: str) -> None:
        """Read one term.  Raises ``_Wrong`` and ``MacroFault``."""
        modifier = _MODIFIER.fullmatch(word)
        if modifier is not None:
            self._add_modifier(word, modifier[1].lower(), modifier[2])
            return
        term = _directive(word)
        if self._complete:
            self._ignored.append(word)
            return
        self._terms.append(term)
        self._complete = term.kind == "all"

    def _add_modifier(self, word: str, name: str, value: str) -> None:
        if name not in ("redirect", "exp"):
            parse_macro_string(value)
            self._unknown.append(word)
            return
        if name in self._modifiers:
            raise _Wrong(f"{name} must not stand twice in a record; leave one of them out")
        self._modifiers[name] = (word, parse_domain_spec(value))

    def record(self) -> SpfRecord:
        text, redirect = self._modifiers.get("redirect", ("", None))
        if self._complete and text:
            self._ignored.append(text)
            text, redirect = "", None
        _, explanation = self._modifiers.get("exp", ("", None))
        return SpfRecord(tuple(self._terms), redirect, text, explanation, tuple(self._ignored), tuple(self._unknown))


def _directive(word: str) -> Term:
    """One directive: a qualifier and a mechanism (§4.6.2, §12)."""
    parts = _DIRECTIVE.fullmatch(word)
    if parts is None:
        raise _Wrong("no mechanism and no modifier looks like this; terms are separated by spaces")
    match, name, rest = _QUALIFIERS[parts[1]], parts[2].lower(), parts[3]
    match name:
        case "all":
            if rest:
                raise _Wrong("all stands alone; write it without anything behind it")
            return Term(word, "all", match)
        case "include" | "exists":
            return Term(word, name, match, parse_domain_spec(_behind_colon(name, rest)))
        case "ptr":
            domain = parse_domain_spec(_behind_colon(name, rest)) if rest else None
            return Term(word, "ptr", match, domain)
        case "a" | "mx":
            return _address_term(word, name, match, rest)
        case "ip4" | "ip6":
            return _network_term(word, name, match, _behind_colon(name, rest))
    raise _Wrong(f"{name[:40]!r} is no mechanism; there are all, include, a, mx, ptr, ip4, ip6 and exists")


def _behind_colon(name: str, rest: str) -> str:
    if not rest.startswith(":"):
        example = (
            "ip4:192.0.2.0/24" if name == "ip4" else "ip6:2001:db8::/32" if name == "ip6" else f"{name}:example.org"
        )
        raise _Wrong(f"{name} needs a colon and a value; write {example}")
    return rest[1:]


def _address_term(word: str, name: Literal["a", "mx"], match: Match, rest: str) -> Term:
    """``a`` and ``mx``: a domain-spec and a dual-cidr-length, each optional (§5.3, §5.4)."""
    cidr = _DUAL_CIDR.search(rest)
    prefix4 = prefix6 = None
    if cidr is not None and cidr[0]:
        prefix4, prefix6 = cidr[1], cidr[2]
        rest = rest[: cidr.start()]
    length4 = int(prefix4) if prefix4 is not None else 32
    length6 = int(prefix6) if prefix6 is not None else 128
    if length4 > 32 or length6 > 128:
        raise _Wrong("the prefix length is too large; write 0 to 32 for IPv4, and 0 to 128 behind // for IPv6")
    domain = parse_domain_spec(_behind_colon(name, rest)) if rest else None
    return Term(word, name, match, domain, 0, 32 - length4, 128 - length6)


def _network_term(word: str, name: Literal["ip4", "ip6"], match: Match, value: str) -> Term:
    """``ip4`` and ``ip6``: a network and a prefix length (§5.6)."""
    address, slash, prefix = value.partition("/")
    width = 32 if name == "ip4" else 128
    example = "ip4:192.0.2.0/24" if name == "ip4" else "ip6:2001:db8::/32"
    try:
        if (_IP4 if name == "ip4" else _IP6).fullmatch(address) is None:
            raise ValueError
        number = int(IPv4Address(address) if name == "ip4" else IPv6Address(address))
    except ValueError:
        raise _Wrong(f"{address[:80]!r} is no IPv{name[2]} address; write {example}") from None
    if slash and (_CIDR.fullmatch(prefix) is None or int(prefix) > width):
        raise _Wrong(f"{prefix[:20]!r} is no prefix length; write 0 to {width} without leading zeros, as {example}")
    shift = width - int(prefix) if slash else 0
    network = number >> shift
    return Term(word, name, match, None, network, shift, shift)
