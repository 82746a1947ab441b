"""DNS resolvers: a stub resolver on dnspython, and a cache in front of any resolver.

A resolver always returns an ``Answer`` and never raises an exception.  The answer's ``Status`` separates facts (no such
name, no such record) from temporary failures (no server, no answer, SERVFAIL).  Mail bounces for a fact and waits for a
failure, so no resolver may report one as the other.

``DnsResolver`` uses dnspython, which is imported at the first question: its import is slow, and a program that only
receives mail does not need it.  ``CachingResolver`` wraps any resolver.  The fakes live in ``posthouse.testing``:
``StaticResolver``, and ``DnsServer``, a small real server for end-to-end tests.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from posthouse.core import MX, Answer, Kind, Question, Status
from posthouse.net.clock import Clock
from posthouse.net.stream import Endpoint

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.name
    import dns.rdata

__all__ = ["CachingResolver", "DnsResolver", "EDNS_SIZE", "MAX_CNAMES", "Resolver"]

MAX_CNAMES = 8
"""Aliases followed across separate questions; within one response dnspython allows 16."""
EDNS_SIZE = 1232
"""Octets of a UDP answer that pass every network unfragmented (the value of DNS flag day 2020)."""


class Resolver(Protocol):
    """A DNS resolver."""

    async def ask(self, question: Question) -> Answer:
        """The answer; never raises for what the DNS says or fails to say.  Cancel to stop waiting."""
        ...


class DnsResolver:
    """DNS stub resolver: asks recursive name servers.

    ``nameservers``: where to ask, in order; empty for the system's configuration, read from ``resolv_conf`` when first
    needed (and again while it cannot be read).  ``timeout``: seconds for one try at one server; ``tries``: how often a
    silent set of servers is tried; a question takes at most ``timeout * tries`` seconds.  ``trust_ad``: report the AD
    flag in ``Answer.authenticated``; only for a validating resolver reached over a path that cannot be altered, which
    usually means one on this machine (RFC 6698 §4.1).  ``concurrency``: questions on the wire at a time; others wait.
    """

    def __init__(
        self,
        nameservers: Sequence[Endpoint] = (),
        *,
        timeout: float = 3.0,
        tries: int = 3,
        trust_ad: bool = False,
        concurrency: int = 100,
        resolv_conf: str = "/etc/resolv.conf",
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._timeout = timeout
        self._tries = tries
        self._trust_ad = trust_ad
        self._turnstile = asyncio.Semaphore(concurrency)
        self._resolv_conf = resolv_conf
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def ask(self, question: Question) -> Answer:
        try:
            async with self._turnstile:
                return await self._ask(question)
        except Exception as error:  # whatever dnspython or the system raises is a temporary failure
            return Answer(Status.FAILED, reason=_why(question, error))

    async def _ask(self, question: Question) -> Answer:
        import dns.resolver

        resolver = self._resolver or self._configure()
        try:
            name = _wire_name(question.name)
        except _NoName as error:
            return Answer(Status.NXDOMAIN, reason=str(error))
        ttl = 2**31 - 1
        authenticated = True
        for _ in range(MAX_CNAMES):
            try:
                found = await resolver.resolve(name, question.kind.value, raise_on_no_answer=False, search=False)
                response: dns.message.QueryMessage = found.response
            except dns.resolver.NXDOMAIN as error:
                response = error.response(name)  # type: ignore[no-untyped-call]
                ttl = min(ttl, _negative_ttl(response))
                return Answer(
                    Status.NXDOMAIN, (), ttl, authenticated and self._ad(response), _missing(question, response)
                )
            chain = response.resolve_chaining()
            authenticated = authenticated and self._ad(response)
            ttl = min(ttl, chain.minimum_ttl)
            if chain.answer is not None:
                return Answer(Status.OK, tuple(map(_value, chain.answer)), ttl, authenticated)
            if chain.canonical_name == name or _soa(response):
                ttl = min(ttl, _negative_ttl(response))
                return Answer(Status.NODATA, (), ttl, authenticated, _nothing(question, chain.canonical_name))
            name = chain.canonical_name  # the server gave the alias only: ask for its target
        return Answer(Status.FAILED, reason=f"the alias (CNAME) chain of {question.name} does not end")

    def _ad(self, response: dns.message.Message) -> bool:
        import dns.flags

        return self._trust_ad and bool(response.flags & dns.flags.AD)

    def _configure(self) -> dns.asyncresolver.Resolver:
        """dnspython's resolver, set up.  Raises what dnspython raises; tried again at the next question."""
        import dns.asyncresolver
        import dns.flags
        import dns.nameserver

        if self._nameservers:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = [dns.nameserver.Do53Nameserver(at.host, at.port or 53) for at in self._nameservers]
        else:
            resolver = dns.asyncresolver.Resolver(self._resolv_conf)
        resolver.timeout = self._timeout
        resolver.lifetime = self._timeout * self._tries
        resolver.use_edns(0, 0, EDNS_SIZE)
        resolver.flags = dns.flags.RD | (dns.flags.AD if self._trust_ad else 0)  # RFC 6840 §5.7
        self._resolver = resolver
        return resolver


class _NoName(ValueError):
    """The text is no possible name of the DNS."""


def _wire_name(name: str) -> dns.name.Name:
    """The name as the DNS carries it; every character stands for itself.

    Raises ``_NoName`` for what no name can be (empty or long labels, RFC 1035 §2.3.4), and ``UnicodeEncodeError`` if
    the caller forgot to make A-labels, which says nothing about the name.
    """
    import dns.exception
    import dns.name

    labels = [label.encode("ascii") for label in name.removesuffix(".").split(".")] if name not in ("", ".") else []
    try:
        return dns.name.Name([*labels, b""])
    except dns.exception.DNSException as error:
        raise _NoName(f"no name of the DNS can look like {name[:80]!r}") from error


def _text_name(name: dns.name.Name) -> str:
    """Lower case, without the final dot; "" for the root."""
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _value(record: dns.rdata.Rdata) -> str | bytes | MX:
    """A record as ``Answer.records`` has it."""
    fields: Any = record
    match Kind(record.rdtype.name):
        case Kind.A | Kind.AAAA:
            return str(fields.address)
        case Kind.MX:
            return MX(fields.preference, _text_name(fields.exchange))
        case Kind.TXT:
            return b"".join(fields.strings)
        case Kind.PTR | Kind.CNAME:
            return _text_name(fields.target)
        case _:
            return record.to_text()


def _soa(response: dns.message.Message) -> Any:
    """The SOA set of a negative answer (RFC 2308 §3), or None."""
    import dns.rdatatype

    return next((rrset for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA), None)


def _negative_ttl(response: dns.message.Message) -> int:
    """How long a negative answer holds (RFC 2308 §5); without an SOA it may not be kept."""
    rrset = _soa(response)
    return min(rrset.ttl, rrset[0].minimum) if rrset else 0


def _missing(question: Question, response: dns.message.QueryMessage) -> str:
    """The reason of NXDOMAIN; behind an alias it is the target that is missing."""
    return f"{_aliased(question, response.resolve_chaining().canonical_name)} does not exist in the DNS"


def _nothing(question: Question, name: dns.name.Name) -> str:
    """The reason of NODATA."""
    return f"{_aliased(question, name)} has no {question.kind} record"


def _aliased(question: Question, end: dns.name.Name) -> str:
    """The name that was asked for, or what it is an alias for, saying so."""
    target = _text_name(end)
    plain = target == question.name.lower().removesuffix(".")
    return target if plain else f"{target} (for which {question.name} is an alias)"


def _why(question: Question, error: Exception) -> str:
    """A sentence for what failed."""
    asked = f"the {question.kind} record of {question.name}"
    match type(error).__name__:
        case "NoResolverConfiguration":
            return f"{asked} could not be asked for: this machine's DNS configuration names no server"
        case "LifetimeTimeout":
            return f"no DNS server answered in time for {asked}"
        case "ModuleNotFoundError":
            return f"{asked} could not be asked for: dnspython is not installed (pip install '.[daemon]')"
        case "UnicodeEncodeError":
            return f"{asked} could not be asked for: the name is not in A-labels"
        case "NoNameservers":
            codes = sorted({str(entry[3]) for entry in getattr(error, "kwargs", {}).get("errors", ())})
            return f"every DNS server failed for {asked}: {', '.join(codes)}"
    return f"{asked} could not be had: {type(error).__name__}: {error}"


class _CachedAnswer(NamedTuple):
    answer: Answer
    until: float  # on the monotonic clock


class _Asking:
    """A question that is under way, and the number of callers that wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Answer]) -> None:
        self.task = task
        self.waiting = 0


class CachingResolver:
    """Cache in front of another resolver.  A question that is under way is not asked a second time.

    At most ``size`` answers are kept; the least recently used is dropped first.  Positive answers stay for their TTL,
    at most ``longest`` seconds; negative ones (RFC 2308) for theirs, at most ``longest_negative``; failures for
    ``after_failure`` seconds, so that a burst of mail does not hammer a dead server.  The ``ttl`` of a cached answer is
    the rest of its TTL.
    """

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        size: int = 10_000,
        *,
        longest: float = 86_400.0,
        longest_negative: float = 900.0,
        after_failure: float = 2.0,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._size = size
        self._longest = longest
        self._longest_negative = longest_negative
        self._after_failure = after_failure
        self._kept: OrderedDict[Question, _CachedAnswer] = OrderedDict()
        self._asking: dict[Question, _Asking] = {}

    def known(self, question: Question) -> Answer | None:
        """The answer that is kept, without waiting; None if the question has to be asked.

        The name is in lower case and without the final dot.  The TTL is that of the time at which it was asked.
        """
        kept = self._kept.get(question)
        if kept is None:
            return None
        if kept.until > self._clock.monotonic():
            self._kept.move_to_end(question)
            return kept.answer
        del self._kept[question]
        return None

    async def ask(self, question: Question) -> Answer:
        question = Question(question.name.lower().removesuffix("."), question.kind)
        found = self.known(question)
        if found is not None:
            left = self._kept[question].until - self._clock.monotonic()
            return found._replace(ttl=max(0, min(found.ttl, int(left))))
        asking = self._asking.get(question)
        if asking is None:
            asking = _Asking(asyncio.get_running_loop().create_task(self._fetch(question)))
            self._asking[question] = asking
        asking.waiting += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.waiting -= 1
            if not asking.waiting:  # answered, or every caller was cancelled
                asking.task.cancel()
                if self._asking.get(question) is asking:
                    del self._asking[question]

    def forget(self) -> None:
        """Empty the cache."""
        self._kept.clear()

    async def _fetch(self, question: Question) -> Answer:
        try:
            answer = await self._resolver.ask(question)
        except Exception as error:  # a resolver that breaks its contract
            answer = Answer(Status.FAILED, reason=_why(question, error))
        match answer.status:
            case Status.OK:
                keep = min(answer.ttl, self._longest)
            case Status.FAILED:
                keep = self._after_failure
            case _:
                keep = min(answer.ttl, self._longest_negative)
        if keep > 0 and self._size > 0:
            self._kept[question] = _CachedAnswer(answer, self._clock.monotonic() + keep)
            self._kept.move_to_end(question)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return answer
