"""Deliverers that open connections: SMTP to a domain's mail exchangers or a configured host, LMTP to a host or socket.

One attempt goes through the exchanges in order.  A host that cannot be reached, breaks off before it has answered for
any recipient, or refuses the session, is passed over for the next.  As soon as some recipient has a reply, the attempt
ends with that host: what it refused for good is not asked again elsewhere, and what it deferred waits for the next
attempt.  (RFC 5321 §5.1 allows asking the other hosts at once, but a greylisting domain's other hosts reply alike.)

    ======================================================  =========================================================
    every exchange                                          every recipient
    ======================================================  =========================================================
    refused the session with 5yz                            failed, with the first refusal
    some refused it with 4yz                                deferred, with the first such refusal
    TLS is required and failed, or there was no login       deferred 4.7.4, 4.7.5, 4.7.8
    some broke off before they answered for a recipient     deferred 4.4.2
    some sent what is no reply                              deferred 4.5.0
    could not be reached, or some not                       deferred 4.4.1
    ======================================================  =========================================================

The first row that fits decides, and the reason names what was tried.  A host that refuses a session while others to it
are open allows so many and no more: feedback LIMITED (``relay.scheduling.site_health``).

A session that worked is kept for the next message to the same site (``pool``).  If a kept session turns out to have
ended (silence, or 421, before anything was decided), the attempt begins anew with a new session and reports no failure,
because nothing had been handed over.

The exchanges of a target are remembered for as long as the DNS allows, at most 60 s, and that none was found for 10 s,
so that a backlog does not ask the DNS again for each message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar, Final

from posthouse.client import Timeouts
from posthouse.core import Outcome, Reply, Result
from posthouse.delivery.adapt import AfterConversion, batches, give
from posthouse.delivery.feedback import Feedback, feedback_of
from posthouse.delivery.model import Deliverer, Delivery, all_of
from posthouse.delivery.mx import Exchange, IsSelf, NextHops, Undeliverable, next_hops, site_of
from posthouse.delivery.opener import SessionOpener
from posthouse.delivery.pool import ConnectionPool, PooledConnection
from posthouse.delivery.security import (
    UNPROVED_MX,
    InClear,
    RouteSecurity,
    demands_tls,
    not_ours,
    waiting_for_tls,
)
from posthouse.delivery.tracer import AttemptTracer, ConnectionTracer
from posthouse.delivery.unanswered import FailedExchanges, Found, is_closed, is_unanswered, with_replies
from posthouse.net import Clock, Network, Resolver
from posthouse.protocol import Limits, Transcript

__all__ = ["LmtpDeliverer", "SmtpDeliverer"]

_LONGEST_MEMORY: Final = 60.0  # seconds that exchanges are remembered
_NOTHING_MEMORY: Final = 10.0  # seconds that there were none is remembered
_MOST_REMEMBERED: Final = 4096  # targets
_MOST_SESSIONS: Final = 1000  # of one attempt, where hosts take few recipients in each session
_DELIVERED: Final = Result.DELIVERED  # an attribute of an enumeration costs ten times a global name


class SmtpDeliverer(Deliverer):
    """A deliverer by SMTP; a target is a domain, an address literal, or a ``host:port`` (see ``mx``).

    Args:
        hostname: The name in EHLO.
        is_self: Says whether an endpoint is this installation, which gets no mail from itself.
        port: The port of mail exchangers.
        source: The local address of connections, "" for any.
        loopback: Take a loopback address from the DNS for a mail exchanger (see ``mx``).
        security: TLS and the login of its sessions; without it they are in clear.
        in_clear: The memory of hosts whose TLS fails; shared by deliverers, or else its own.
        tell: Is given a sentence about each login that a host has refused.
        leaving: Gives the delivery as it leaves this installation, such as with another sender.
        converted: Is called for each message that was converted for a host (``adapt.AfterConversion``), to sign it
            again.
        idle: Seconds that an unused session is kept.
        most_idle: How many unused sessions are kept.
        messages: How many messages one session carries.
        age: Seconds after which a session is not kept any more.
    """

    lmtp: ClassVar[bool] = False
    sited: ClassVar[bool] = True

    def __init__(
        self,
        resolver: Resolver,
        *,
        network: Network,
        clock: Clock,
        random: Random,
        hostname: str,
        is_self: IsSelf | None = None,
        port: int = 25,
        source: str = "",
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        transcript: Transcript | None = None,
        loopback: bool = False,
        security: RouteSecurity | None = None,
        in_clear: InClear | None = None,
        tell: Callable[[str], object] | None = None,
        leaving: Callable[[Delivery], Delivery] | None = None,
        converted: AfterConversion | None = None,
        idle: float = 5.0,
        most_idle: int = 50,
        messages: int = 100,
        age: float = 300.0,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._random = random
        self._is_self = is_self
        self._port = port
        self._loopback = loopback
        self._leaving = leaving
        self._converted = converted
        self._opener = SessionOpener(
            network=network,
            clock=clock,
            hostname=hostname,
            lmtp=self.lmtp,
            source=source,
            timeouts=timeouts,
            limits=limits,
            transcript=transcript,
            security=security,
            in_clear=in_clear,
            tell=tell,
        )
        self._requiring: SmtpDeliverer | None = None
        self._converting = asyncio.Lock()
        self._pool = ConnectionPool(clock, idle=idle, age=age, messages=messages, most=most_idle)
        #: By target: valid until (monotonic seconds), and the answer; the oldest first.
        self._remembered: dict[str, tuple[float, NextHops | Undeliverable]] = {}

    @property
    def tls(self) -> str:
        """What is asked of TLS: off, opportunistic, require or verify."""
        policy = self._opener.security.tls
        if policy is None:
            return "off"
        return "verify" if policy.verify else "require" if policy.required else "opportunistic"

    # -- sites

    def site_now(self, target: str) -> str | None:
        site = site_of(target)
        if site is not None:
            return site
        hops = self._known(target)
        if hops is None:
            return None
        return hops.site if isinstance(hops, NextHops) else ""

    async def locate(self, target: str) -> str:
        site = site_of(target)
        if site is not None:
            return site
        hops = await self._hops(target)
        return hops.site if isinstance(hops, NextHops) else ""

    def _known(self, target: str) -> NextHops | Undeliverable | None:
        """What is remembered of a target, while it is valid."""
        remembered = self._remembered.get(target)
        return remembered[1] if remembered is not None and remembered[0] > self._clock.monotonic() else None

    async def _hops(self, target: str) -> NextHops | Undeliverable:
        known = self._known(target)
        if known is not None:
            return known
        now = self._clock.monotonic()
        hops = await next_hops(
            target,
            self._resolver,
            random=self._random,
            is_self=self._is_self,
            port=self._port,
            loopback=self._loopback,
        )
        seconds = min(_LONGEST_MEMORY, hops.ttl) if isinstance(hops, NextHops) else _NOTHING_MEMORY
        self._remembered.pop(target, None)
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[target] = (now + seconds, hops)
        return hops

    # -- an attempt

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        tracer = delivery.tracer or AttemptTracer(self._clock)
        if self._leaving is not None:
            delivery = self._leaving(delivery)
        envelope = delivery.envelope
        if envelope.require_tls and envelope.sender is not None and not self.lmtp:
            if site_of(target) is None:  # DNSSEC and MTA-STS, which would prove an exchanger, are not known here
                reason = f"{UNPROVED_MX.text}; a [[route]] to one host is proved by its certificate"
                return all_of(delivery.recipients, Result.FAILED, reason, UNPROVED_MX)
            if not self._opener.security.requires:
                return await self._for_requiretls().deliver(delivery, target)
        hops = self._known(target) or await self._hops(target)
        tracer.resolved()
        if isinstance(hops, Undeliverable):
            return all_of(delivery.recipients, hops.result, hops.reason, hops.reply)
        tracer.site = hops.site
        found = await self._attempt(hops, delivery, tracer)
        if not isinstance(found, Sequence):
            found = await self._in_more_sessions(hops, delivery, tracer, found)
        return found if site_of(target) is None else not_ours(found)

    def _for_requiretls(self) -> SmtpDeliverer:
        """The deliverer of messages with REQUIRETLS (RFC 8689 §4.2.1), whose sessions are verified."""
        if self._requiring is None:
            opener = self._opener.requiring()
            self._requiring = SmtpDeliverer(
                self._resolver,
                network=opener.network,
                clock=self._clock,
                random=self._random,
                hostname=opener.hostname,
                is_self=self._is_self,
                port=self._port,
                loopback=self._loopback,
                converted=self._converted,
            )
            self._requiring._opener = opener
        return self._requiring

    async def _in_more_sessions(
        self, hops: NextHops, delivery: Delivery, tracer: AttemptTracer, found: Found
    ) -> Sequence[Outcome]:
        """Give the recipients that the first session did not take (all but those in ``found``) to further sessions."""
        decided = _by_place(found)
        waiting = [place for place in range(len(delivery.recipients)) if place not in decided]
        for _ in range(_MOST_SESSIONS):
            if not waiting:
                break
            part = delivery.to(tuple(delivery.recipients[place] for place in waiting))
            found = await self._attempt(hops, part, tracer)
            decided.update((waiting[place], outcome) for place, outcome in _by_place(found).items())
            waiting = [place for place in waiting if place not in decided]
        if waiting:
            left = all_of(delivery.recipients, Result.DEFERRED, f"{tracer.site} takes too few recipients in a session")
            decided.update((place, left[place]) for place in waiting)
        return [decided[place] for place in range(len(delivery.recipients))]

    async def close(self) -> None:
        if self._requiring is not None:
            await self._requiring.close()
        await self._pool.close()

    async def _attempt(self, hops: NextHops, delivery: Delivery, tracer: AttemptTracer) -> Found:
        """Use a kept session, else try the exchanges; returns outcomes for as many recipients as the session took."""
        site = hops.site
        found = await self._use_kept(site, delivery, tracer)
        if found is not None:
            return found
        allowed = self._pool.open_at(site)
        failed = FailedExchanges(hops, self._opener.security.requires)
        found = await self._try_exchanges(hops, delivery, tracer, failed)
        if found is not None:
            return found
        if failed.busy:
            if not self._pool.open_at(site) and await self._pool.room(site):
                failed = FailedExchanges(hops, self._opener.security.requires)
                found = await self._try_exchanges(hops, delivery, tracer, failed)
            else:  # a session may have become idle meanwhile
                found = await self._use_kept(site, delivery, tracer)
            if found is not None:
                return found
        tracer.feedback = failed.feedback
        allowed = max(allowed, self._pool.open_at(site))
        tracer.busy = failed.busy and not allowed
        if failed.busy and allowed:
            tracer.feedback, tracer.open = Feedback.LIMITED, allowed
        return failed.outcomes(delivery)

    async def _use_kept(self, site: str, delivery: Delivery, tracer: AttemptTracer) -> Found | None:
        """Use a kept session with this site; None if there is none, or if it turns out to have ended."""
        pooled = self._pool.take(site)
        if pooled is None:
            return None
        connection = tracer.connection(pooled.mx, pooled.session.messages)
        found = await self._transact(pooled, delivery, connection)
        outcomes = _values(found)
        if len(outcomes) == 1 and outcomes[0].result is _DELIVERED:  # most mail
            tracer.feedback = Feedback.OK
            return found
        if all(map(_is_stale, outcomes)):
            connection.ended = "this session was kept and had ended meanwhile; a new one is opened"
            return None
        tracer.feedback = feedback_of(outcomes)
        return with_replies(found, pooled.session.fault)

    async def _try_exchanges(
        self, hops: NextHops, delivery: Delivery, tracer: AttemptTracer, failed: FailedExchanges
    ) -> Found | None:
        """Open a session with the first exchange that allows it, and hand the message over; None if none answered for
        any recipient."""
        for exchange in self._shuffled(hops.exchanges):
            opened = await self._opener.open(exchange, hops.site, tracer, failed, self._pool)
            if opened is None:
                continue
            pooled, connection = opened
            found = await self._transact(pooled, delivery, connection)
            outcomes = _values(found)
            if all(map(is_unanswered, outcomes)):
                connection.ended = outcomes[0].reason
                failed.add(exchange.name, pooled.session.fault, outcomes[0].reason)
                continue
            if self._pool.open_at(hops.site) and all(map(is_closed, outcomes)) and not connection.content_sent:
                tracer.feedback, tracer.open = Feedback.LIMITED, self._pool.open_at(hops.site)
            else:
                tracer.feedback = feedback_of(outcomes)
            return with_replies(found, pooled.session.fault)
        return None

    def _shuffled(self, exchanges: tuple[Exchange, ...]) -> Sequence[Exchange]:
        """The exchanges by preference, equal ones in random order for each session (RFC 5321 §5.1: MUST)."""
        if len(exchanges) == 1:
            return exchanges
        return sorted(exchanges, key=lambda exchange: (exchange.preference, self._random.random()))

    async def _transact(self, pooled: PooledConnection, delivery: Delivery, connection: ConnectionTracer) -> Found:
        """Hand the message over in as many transactions as the host's limits ask for and this session may carry; then
        keep the session if it can carry more, else end it.  Returns at least one outcome."""
        pooled.tape.steps = connection.steps
        connection.peer = pooled.peer
        connection.tls, connection.security = pooled.tls, pooled.security
        try:
            found = await self._hand_over(pooled, delivery)
            pooled.judge(_values(found))
            if pooled.fell_back and any(map(demands_tls, _values(found))):
                self._opener.try_tls_again(pooled)
                if isinstance(found, dict):
                    found = {place: waiting_for_tls(outcome) for place, outcome in found.items()}
                else:
                    found = [waiting_for_tls(outcome) for outcome in found]
            return found
        except BaseException:  # a fault of this side, or a cancellation: the dialogue stopped in the middle
            pooled.session.abort()
            raise
        finally:
            self._pool.give(pooled)

    async def _hand_over(self, pooled: PooledConnection, delivery: Delivery) -> Found:
        session = pooled.session
        if not pooled.limits:
            return await give(session, delivery, self._converting, self._converted)
        found: dict[int, Outcome] = {}
        for places in batches(delivery.recipients, pooled.limits):
            if found and not self._pool.may_carry_more(pooled):
                break
            part = delivery.to(tuple(delivery.recipients[place] for place in places))
            found.update(zip(places, await give(session, part, self._converting, self._converted), strict=True))
        return found


class LmtpDeliverer(SmtpDeliverer):
    """A deliverer by LMTP (RFC 2033): one reply for each recipient.  A target is a ``host:port`` or a socket's path."""

    lmtp: ClassVar[bool] = True

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        if ":" not in target and not target.startswith("/"):  # a domain's exchangers speak SMTP
            reason = f'"{target}" is no place for LMTP; write lmtp://host:port or lmtp:/path/of/socket'
            return all_of(delivery.recipients, Result.DEFERRED, reason, Reply(451, "4.3.5", "the route is not usable"))
        return await super().deliver(delivery, target)


def _values(found: Found) -> Sequence[Outcome]:
    return list(found.values()) if isinstance(found, dict) else found


def _by_place(found: Found) -> dict[int, Outcome]:
    return found if isinstance(found, dict) else dict(enumerate(found))


def _is_stale(outcome: Outcome) -> bool:
    """True if a kept session may have ended before this attempt: no reply, or 421."""
    return is_unanswered(outcome) or is_closed(outcome)
