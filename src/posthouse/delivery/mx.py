"""From a target to the addresses worth trying, in order (RFC 5321 §5.1, RFC 7505, RFC 974).

A target is what a route carries, and its spelling says what it is:

    ``example.org``                  a domain: its MX records, or, where it has none, its own addresses
    ``[192.0.2.1]``, ``[IPv6:…]``    an address literal: that address, port 25
    ``relay.example.net:587``        a host that the configuration names: its addresses, MX not asked
    ``/run/lmtp``                    a unix socket

Every DNS answer leads to one of three ends: *hops* to try; *failed*, because the DNS says that there is nowhere to go;
*deferred*, because the DNS did not say.  A DNS server that does not answer never fails a message.  A configured host
that does not exist does not either: the configuration is wrong, and the mail waits until it is corrected.

    ====================================  ==========================================================================
    answer                                end
    ====================================  ==========================================================================
    the domain does not exist             failed 550 5.1.2
    null MX                               failed 556 5.1.10 (RFC 7505 §4.2)
    MX, but no exchange has an address    failed 550 5.4.4; the domain's own addresses are not used
    no MX, and no address either          failed 550 5.4.4
    MX, but this host is the best of them  failed 554 5.4.6: it would come back
    only addresses of loopback            failed 550 5.4.4, unless configuration names the host
    MX or addresses not to be had now     deferred 451 4.4.3, unless another exchange has addresses
    configured host does not exist        deferred 451 4.3.5
    ====================================  ==========================================================================

A name in the DNS may have any address, also one of loopback.  What listens there trusts this machine and would take the
message as its own, so loopback is used for a host that configuration names, and for no other.

Addresses stay grouped by exchange: within one, the client races the address families (RFC 8305); from one to the
next it goes in order.  The resolver follows aliases, so an exchange that is one (which RFC 2181 §10.3 forbids) is
tolerated.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random
from typing import NamedTuple

from posthouse.core import MX, Answer, Kind, Question, Reply, Result, SettingError, Status
from posthouse.net import Endpoint, Resolver, interleave

__all__ = ["Exchange", "IsSelf", "LocalIdentity", "NextHops", "Undeliverable", "next_hops", "site_of"]

_MOST_EXCHANGES = 20  # tried for one domain; RFC 5321 §5.1 asks for at least two addresses
_MOST_ADDRESSES = 40  # of all of them together
_MOST_ADDRESSES_EACH = 12  # of one exchange, so that the first cannot use up all
_FOREVER = 86_400.0  # seconds; for what the DNS was not asked

#: Whether an endpoint is this installation itself.  The host is a name in lower case, or an address.
IsSelf = Callable[[Endpoint], bool]


class Exchange(NamedTuple):
    """One host that takes mail: its name (``mx.sina.com``, ``[192.0.2.1]``) and its addresses, families mixed."""

    name: str
    endpoints: tuple[Endpoint, ...]
    preference: int = 0


class NextHops(NamedTuple):
    """Hosts to try, best first; never empty.

    ``reason`` says how they were found; ``site`` names these exchanges without their addresses, so that domains with
    the same exchanges share a site; ``ttl`` is for how many seconds the DNS answers hold.
    """

    exchanges: tuple[Exchange, ...]
    reason: str = ""
    site: str = ""
    ttl: float = 0.0


class Undeliverable(NamedTuple):
    """No host to try: *failed* or *deferred*, the reply that this side gives for it, and the reason as text."""

    result: Result
    reply: Reply
    reason: str


def site_of(target: str) -> str | None:
    """The site of a target that names its own host; None for a domain, whose exchanges must be looked up."""
    return target if not target or target[0] in "[/" or ":" in target else None


class LocalIdentity:
    """Names and addresses of this installation, which keep it from sending to itself.

    ``names`` are its host names; they count on port 25 only, where mail exchangers are.  ``listening`` are the
    addresses it listens on: one that means *any* (``0.0.0.0``, ``::``) stands for all of loopback and for
    ``addresses``, the machine's own as far as they are known.
    """

    __slots__ = ("_addresses", "_any", "_listening", "_names")

    def __init__(
        self, names: Iterable[str] = (), listening: Collection[Endpoint] = (), addresses: Iterable[str] = ()
    ) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._listening = frozenset(listening)
        self._any = frozenset(place.port for place in listening if place.host in ("0.0.0.0", "::", ""))
        self._addresses = frozenset(addresses)

    def __call__(self, endpoint: Endpoint) -> bool:
        """True if a connection to ``endpoint`` would reach this installation."""
        if endpoint in self._listening:
            return True
        if endpoint.port == 25 and endpoint.host in self._names:
            return True
        return endpoint.port in self._any and (endpoint.host in self._addresses or _is_loopback(endpoint.host))


async def next_hops(
    target: str,
    resolver: Resolver,
    *,
    random: Random,
    is_self: IsSelf | None = None,
    port: int = 25,
    loopback: bool = False,
) -> NextHops | Undeliverable:
    """The hosts to try for ``target`` (see above; a domain in A-labels and lower case).

    ``random`` puts exchanges of equal preference in an order of its own (RFC 5321 §5.1: MUST).  ``is_self`` finds this
    installation: exchanges of its preference or a worse one are left out.  ``port`` is used where the target has none.
    With ``loopback``, addresses of loopback are used for a domain too (for a test that is its own network).
    """
    search = _Search(resolver, random, is_self or _nobody, port, loopback)
    if target.startswith("/"):
        return _unless_self(Exchange(target, (Endpoint(target),)), search.is_self, f"the socket {target}", target)
    if target.startswith("[") and target.endswith("]"):
        return search.literal(target)
    if target and not any(mark in target for mark in ":/[]"):
        return await search.domain(target)
    try:
        chosen = Endpoint.parse(target)
    except SettingError:
        chosen = Endpoint("")
    if chosen.port == 0:
        return _misconfigured(f'"{target}" is neither a domain nor a host:port')
    return await search.chosen(chosen, target)


class _Lookup(NamedTuple):
    """A host's addresses; ``status`` is OK with some, FAILED if one of the two questions had no answer.

    With status OK, ``reason`` says why the addresses of the other family are not known, "" if they are.
    """

    status: Status
    endpoints: tuple[Endpoint, ...] = ()
    reason: str = ""
    ttl: float = _FOREVER


class _Search(NamedTuple):
    """One search, and what it was given."""

    resolver: Resolver
    random: Random
    is_self: IsSelf
    port: int
    loopback: bool

    def literal(self, target: str) -> NextHops | Undeliverable:
        """An address literal (RFC 5321 §4.1.3)."""
        text = target[1:-1]
        tagged = text[:5].lower() == "ipv6:"
        text = text[5:] if tagged else text
        address = _address(text)
        if address is None or (":" in text) is not tagged:
            reason = f"{target} is not an address that mail can be sent to"
            return Undeliverable(Result.FAILED, Reply(550, "5.1.2", reason), reason)
        if not self.loopback and _is_loopback(address):
            reason = f"{target} is an address of loopback, where mail is sent only if configuration says so"
            return Undeliverable(Result.FAILED, Reply(550, "5.4.4", reason), reason)
        endpoint = Endpoint(address, self.port)
        return _unless_self(Exchange(target, (endpoint,)), self.is_self, f"the address {target} itself", target)

    async def chosen(self, endpoint: Endpoint, target: str) -> NextHops | Undeliverable:
        """A host that configuration names, read from ``target``."""
        host = endpoint.host.rstrip(".")  # a final dot makes a name complete, and no certificate has it
        found = _Lookup(Status.OK, (endpoint,)) if "%" in host else await self.addresses(host, endpoint.port)
        if found.endpoints:
            why = f"the configured host {endpoint}"
            return _unless_self(Exchange(host, found.endpoints), self.is_self, why, target, found.ttl)
        if found.status is Status.FAILED:
            return _not_now(host, found.reason)
        return _misconfigured(f'the host "{host}" of a route {_WHAT[found.status]}; correct the route')

    async def domain(self, domain: str) -> NextHops | Undeliverable:
        """A domain's mail exchangers."""
        answer = await self.resolver.ask(Question(domain, Kind.MX))
        if answer.status is Status.FAILED:
            return _not_now(domain, answer.reason)
        if answer.status is Status.NXDOMAIN:
            reason = f"the domain {domain} does not exist"
            return Undeliverable(Result.FAILED, Reply(550, "5.1.2", reason), reason)
        records = [record for record in answer.records if isinstance(record, MX)]
        if not records:
            why = f"{domain} has no MX; its own address"
            return await self.exchangers(domain, [MX(0, domain)], why, answer.ttl)
        records = [record for record in records if record.exchange not in ("", ".")]
        if not records:
            reason = f"the domain {domain} takes no mail (null MX)"
            return Undeliverable(Result.FAILED, Reply(556, "5.1.10", reason), reason)
        ordered = self.ordered(records)
        shown = ", ".join(f"{record.preference} {record.exchange}" for record in ordered[:_MOST_EXCHANGES])
        return await self.exchangers(domain, ordered, f"MX of {domain}: {shown}", answer.ttl)

    def ordered(self, records: Sequence[MX]) -> list[MX]:
        """Best first, equals in random order, each exchange once."""
        best: dict[str, MX] = {}
        for record in records:
            name = record.exchange.rstrip(".").lower()
            if name not in best or record.preference < best[name].preference:
                best[name] = MX(record.preference, name)
        shuffled = sorted(best.values(), key=lambda record: record.exchange)
        self.random.shuffle(shuffled)
        return sorted(shuffled, key=lambda record: record.preference)

    async def exchangers(self, domain: str, records: list[MX], why: str, ttl: float) -> NextHops | Undeliverable:
        """Addresses for a list of exchanges, without those at this host's preference or a worse one."""
        limit = min((r.preference for r in records if self.is_self(Endpoint(r.exchange, self.port))), default=None)
        wanted = [r for r in records if limit is None or r.preference < limit][:_MOST_EXCHANGES]
        answers = await asyncio.gather(*(self.addresses(record.exchange, self.port) for record in wanted))
        found = list(zip(wanted, answers, strict=True))
        mine = [r.preference for r, answer in found if any(map(self.is_self, answer.endpoints))]
        limit = min([*mine, *([] if limit is None else [limit])], default=None)
        others = [(r, answer) for r, answer in found if limit is None or r.preference < limit]
        usable = [(r, answer if self.loopback else _abroad(answer)) for r, answer in others]
        exchanges = _bounded(Exchange(r.exchange, answer.endpoints, r.preference) for r, answer in usable)
        if exchanges:
            names = sorted((record.preference, record.exchange) for record, _ in usable)
            site = ",".join(name for _, name in names)
            return NextHops(exchanges, why, site, min(ttl, *(answer.ttl for _, answer in usable)))
        for record, answer in usable:
            if answer.status is Status.FAILED:
                return _not_now(record.exchange, answer.reason)
        if limit is not None:
            return _loop(f"mail for {domain} would come back to this host ({why})")
        reason = f"no mail exchanger of {domain} has an address"
        if any(answer.endpoints for _, answer in others):
            reason += " other than those of loopback, where mail is sent only if configuration says so"
        return Undeliverable(Result.FAILED, Reply(550, "5.4.4", reason), f"{reason} ({why})")

    async def addresses(self, host: str, port: int) -> _Lookup:
        """A host's addresses, both families asked at once and mixed, so that a cut leaves some of each."""
        fixed = _address(host)
        if fixed is not None:
            return _Lookup(Status.OK, (Endpoint(fixed, port),))
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3: not a question for the DNS
            return _Lookup(Status.OK, (Endpoint("127.0.0.1", port), Endpoint("::1", port)))
        answers = await asyncio.gather(
            self.resolver.ask(Question(host, Kind.AAAA)), self.resolver.ask(Question(host, Kind.A))
        )
        endpoints = interleave(Endpoint(address, port) for answer in answers for address in _usable(answer))
        if endpoints:
            unknown = next((answer.reason for answer in answers if answer.status is Status.FAILED), "")
            return _Lookup(Status.OK, tuple(endpoints[:_MOST_ADDRESSES_EACH]), unknown, min(a.ttl for a in answers))
        for status in (Status.FAILED, Status.NODATA, Status.OK):
            for answer in answers:
                if answer.status is status:
                    return _Lookup(Status.NODATA if status is Status.OK else status, (), answer.reason)
        return _Lookup(Status.NXDOMAIN)


_WHAT = {Status.NXDOMAIN: "does not exist", Status.NODATA: "has no address"}


def _usable(answer: Answer) -> list[str]:
    """The addresses of an answer that a connection can be opened to."""
    if answer.status is not Status.OK:
        return []
    addresses = (_address(record) for record in answer.records if isinstance(record, str))
    return [address for address in addresses if address is not None]


def _address(text: str) -> str | None:
    """An IP address in its usual spelling, or None for other text and addresses of no single host.

    Linux takes the unspecified address for its own loopback, which a name in the public DNS must not reach.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255" or "%" in text:
        return None
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:192.0.2.1 is 192.0.2.1, by which a host is known
    return str(address) if mapped is None else _address(str(mapped))


def _abroad(found: _Lookup) -> _Lookup:
    """What was found, without addresses of loopback; the other family may still have one, if it is not known."""
    kept = tuple([place for place in found.endpoints if not _is_loopback(place.host)])
    if len(kept) == len(found.endpoints):
        return found
    status = Status.OK if kept else Status.FAILED if found.reason else Status.NODATA
    return found._replace(status=status, endpoints=kept)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bounded(exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """Exchanges that have addresses; each address once, and not more than the limit of them in all."""
    kept: list[Exchange] = []
    seen: set[Endpoint] = set()
    for exchange in exchanges:
        fresh = [endpoint for endpoint in exchange.endpoints if endpoint not in seen]
        fresh = fresh[: _MOST_ADDRESSES - len(seen)]
        seen.update(fresh)
        if fresh:
            kept.append(exchange._replace(endpoints=tuple(fresh)))
    return tuple(kept)


def _nobody(endpoint: Endpoint) -> bool:
    return False


def _unless_self(
    exchange: Exchange, is_self: IsSelf, why: str, site: str, ttl: float = _FOREVER
) -> NextHops | Undeliverable:
    """NextHops of one exchange, without those of its addresses that are this host's."""
    others = tuple(endpoint for endpoint in exchange.endpoints if not is_self(endpoint))
    if not others:
        return _loop(f"{exchange.endpoints[0]} is this host itself ({why})")
    return NextHops((exchange._replace(endpoints=others),), why, site, ttl)


def _loop(reason: str) -> Undeliverable:
    return Undeliverable(Result.FAILED, Reply(554, "5.4.6", "mail would loop back to this host"), reason)


def _not_now(name: str, reason: str) -> Undeliverable:
    why = f"the DNS gave no answer for {name}" + (f": {reason}" if reason else "")
    return Undeliverable(Result.DEFERRED, Reply(451, "4.4.3", f"the DNS gave no answer for {name}"), why)


def _misconfigured(reason: str) -> Undeliverable:
    return Undeliverable(Result.DEFERRED, Reply(451, "4.3.5", "the route of this mail is not usable"), reason)
