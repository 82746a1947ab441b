"""Deliverers that talk: SMTP to a domain's mail exchangers or a chosen host, LMTP to a chosen host or socket.

One attempt goes through the exchanges in order.  A host that cannot be reached, breaks off before it has answered for
any recipient, or refuses the session, is passed over for the next.  As soon as some recipient has a reply, the attempt
is that host's: what it refused for good is not asked again elsewhere, what it put off waits for the next attempt
(RFC 5321 §5.1 would let us ask the others at once; a greylisting domain's other hosts say the same).

    ======================================================  =========================================================
    every exchange                                          every recipient
    ======================================================  =========================================================
    could not be reached, or some not                       deferred 4.4.1, naming what was tried
    answered, and all refused the session with 5yz          failed, with the first refusal
    ======================================================  =========================================================

A session that worked is kept for the next message to the same site (``pool``).  If a kept one turns out to have ended
(silence, or 421, before anything was decided), the attempt begins anew on a fresh one, and nobody is told of a failure:
nothing had been given away.

The exchanges of a target are remembered for as long as the DNS allows, a minute at most, and what could not be found
for ten seconds, so that a backlog does not ask again for each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from posthouse import client
from posthouse.client import SessionRefused, Timeouts
from posthouse.core import NetworkError, Outcome, RemoteError, Reply, Result, Unreachable
from posthouse.delivery.adapt import batches, give
from posthouse.delivery.feedback import Feedback, feedback_of
from posthouse.delivery.model import Delivery, all_of
from posthouse.delivery.mx import Exchange, IsSelf, NextHops, Undeliverable, next_hops, site_of
from posthouse.delivery.pool import ConnectionPool, PooledConnection
from posthouse.delivery.trace import AttemptTracer, ConnectionTracer, SessionTap
from posthouse.net import Clock, Network, Resolver
from posthouse.protocol import Limits, Transcript

__all__ = ["LmtpDeliverer", "SmtpDeliverer"]

_LONGEST_MEMORY: Final = 60.0  # seconds that exchanges are remembered
_NOTHING_MEMORY: Final = 10.0  # and that there were none
_MOST_REMEMBERED: Final = 4096  # targets
_MOST_SESSIONS: Final = 1000  # of one attempt, where hosts take few recipients in each


class SmtpDeliverer:
    """Delivers by SMTP; a target is a domain, an address literal, or a ``host:port`` (see ``nexthop``).

    ``hostname`` is how we name ourselves, ``is_self`` keeps us from sending to ourselves, ``port`` is where mail
    exchangers listen, ``source`` the local address to use.  A session that worked is kept for ``idle`` seconds and
    until it is ``age`` seconds old, at most ``most_idle`` of them, and used for at most ``messages`` messages.
    """

    lmtp = False

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
        idle: float = 5.0,
        most_idle: int = 50,
        messages: int = 100,
        age: float = 300.0,
    ) -> None:
        self._resolver = resolver
        self._network = network
        self._clock = clock
        self._random = random
        self._hostname = hostname
        self._is_self = is_self
        self._port = port
        self._source = source
        self._timeouts = timeouts
        self._limits = limits
        self._transcript = transcript
        self._pool = ConnectionPool(clock, idle=idle, age=age, messages=messages, most=most_idle)
        self._known: dict[str, tuple[float, NextHops | Undeliverable]] = {}  # until when, and what; the oldest first

    # -- sites

    def site_now(self, target: str) -> str | None:
        """See ``SitedDeliverer.site_now``."""
        site = site_of(target)
        if site is not None:
            return site
        known = self._known.get(target)
        if known is None or known[0] <= self._clock.monotonic():
            return None
        return known[1].site if isinstance(known[1], NextHops) else ""

    async def locate(self, target: str) -> str:
        """See ``SitedDeliverer.locate``."""
        site = site_of(target)
        if site is not None:
            return site
        hops = await self._hops(target)
        return hops.site if isinstance(hops, NextHops) else ""

    async def _hops(self, target: str) -> NextHops | Undeliverable:
        now = self._clock.monotonic()
        known = self._known.get(target)
        if known is not None and known[0] > now:
            return known[1]
        hops = await next_hops(target, self._resolver, random=self._random, is_self=self._is_self, port=self._port)
        seconds = min(_LONGEST_MEMORY, hops.ttl) if isinstance(hops, NextHops) else _NOTHING_MEMORY
        self._known.pop(target, None)
        if len(self._known) >= _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[target] = (now + seconds, hops)
        return hops

    # -- an attempt

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """See ``Deliverer.deliver``."""
        notes = job.notes or AttemptTracer(self._clock)
        hops = await self._hops(target)
        notes.resolved()
        if isinstance(hops, Undeliverable):
            return all_of(job.recipients, hops.result, hops.reason, hops.reply)
        notes.site = hops.site
        found = await self._somewhere(hops, job, notes)
        return found if isinstance(found, Sequence) else await self._in_more_sessions(hops, job, notes, found)

    async def _in_more_sessions(
        self, hops: NextHops, job: Delivery, notes: AttemptTracer, found: _Found
    ) -> Sequence[Outcome]:
        """The session took only some recipients: give the others to further ones."""
        decided = _by_place(found)
        waiting = [place for place in range(len(job.recipients)) if place not in decided]
        for _ in range(_MOST_SESSIONS):
            if not waiting:
                break
            part = job._replace(recipients=tuple(job.recipients[place] for place in waiting))
            found = await self._somewhere(hops, part, notes)
            decided.update((waiting[place], outcome) for place, outcome in _by_place(found).items())
            waiting = [place for place in waiting if place not in decided]
        if waiting:
            left = all_of(job.recipients, Result.DEFERRED, f"{notes.site} takes too few recipients in a session")
            decided.update((place, left[place]) for place in waiting)
        return [decided[place] for place in range(len(job.recipients))]

    async def close(self) -> None:
        """See ``Deliverer.close``."""
        await self._pool.close()

    async def _somewhere(self, hops: NextHops, job: Delivery, notes: AttemptTracer) -> _Found:
        """Use a kept session, or try the exchanges; for as many recipients as the session took."""
        link = self._pool.take(hops.site)
        if link is not None:
            talk = notes.talk(link.mx, link.session.messages)
            found = await self._transact(link, job, talk)
            outcomes = _values(found)
            if not all(map(_is_stale, outcomes)):
                notes.sign = feedback_of(outcomes)
                return found
            talk.ended = "this session was kept and had ended meanwhile; a new one is opened"
        return await self._through(hops, job, notes)

    async def _through(self, hops: NextHops, job: Delivery, notes: AttemptTracer) -> _Found:
        """Try the exchanges in order."""
        troubles: list[str] = []
        refusals: list[tuple[Reply, str]] = []
        unreachable = 0
        for exchange in self._shuffled(hops.exchanges):
            talk = notes.talk(exchange.name)
            try:
                link = await self._connect(exchange, hops.site, talk)
            except (NetworkError, RemoteError) as error:
                unreachable += isinstance(error, Unreachable)
                talk.ended = str(error)
                if isinstance(error, SessionRefused):
                    refusals.append((error.reply, exchange.name))
                    troubles.append(str(error))
                else:
                    troubles.append(f"{exchange.name}: {error}")
                continue
            found = await self._transact(link, job, talk)
            outcomes = _values(found)
            if not all(map(_is_unheard, outcomes)):
                notes.sign = feedback_of(outcomes)
                return found
            talk.ended = outcomes[0].reason
            troubles.append(talk.ended)
        notes.sign = Feedback.UNREACHABLE if unreachable == len(troubles) else Feedback.THROTTLED
        tried = f"tried {hops.reason}: " + "; ".join(troubles)
        if len(refusals) == len(troubles) and all(reply.permanent for reply, _ in refusals):
            reply, name = refusals[0]
            return all_of(job.recipients, Result.FAILED, tried, reply, name)
        for reply, name in refusals:
            if reply.transient and len(troubles) == len(refusals):
                return all_of(job.recipients, Result.DEFERRED, tried, reply, name)
        return all_of(job.recipients, Result.DEFERRED, tried, Reply(451, "4.4.1", "no host could be reached"))

    def _shuffled(self, exchanges: tuple[Exchange, ...]) -> Sequence[Exchange]:
        """Equal preferences in an order of their own for each session (RFC 5321 §5.1: MUST)."""
        if len(exchanges) == 1:
            return exchanges
        return sorted(exchanges, key=lambda exchange: (exchange.preference, self._random.random()))

    async def _connect(self, exchange: Exchange, site: str, talk: ConnectionTracer) -> PooledConnection:
        tape = SessionTap(self._clock.monotonic, self._transcript)
        tape.steps = talk.steps
        session = await client.connect(
            exchange.endpoints,
            network=self._network,
            clock=self._clock,
            hostname=self._hostname,
            name=exchange.name,
            lmtp=self.lmtp,
            timeouts=self._timeouts,
            limits=self._limits,
            tap=tape,
            source=self._source,
        )
        talk.connected = session.opened
        return PooledConnection(session, tape, site, exchange.name, session.opened)

    async def _transact(self, link: PooledConnection, job: Delivery, talk: ConnectionTracer) -> _Found:
        """Give the message to the host, in as many transactions as its limits ask for and this session may have; then
        keep the session if it is good for more, end it otherwise.  At least one outcome."""
        session = link.session
        link.tape.steps = talk.steps
        talk.peer = link.peer
        try:
            if not link.limits:
                return await give(session, job)
            found: dict[int, Outcome] = {}
            for places in batches(job.recipients, link.limits):
                if found and not self._pool.may_go_on(link):
                    break
                part = job._replace(recipients=tuple(job.recipients[place] for place in places))
                found.update(zip(places, await give(session, part), strict=True))
            return found
        except BaseException:  # ours or a cancellation: the dialogue stopped in the middle
            session.abort()
            raise
        finally:
            self._pool.give(link)


class LmtpDeliverer(SmtpDeliverer):
    """Delivers by LMTP (RFC 2033): one reply for each recipient.  A target is a ``host:port`` or a socket's path."""

    lmtp = True

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """See ``Deliverer.deliver``."""
        if ":" not in target and not target.startswith("/"):  # a domain's exchangers speak SMTP
            reason = f'"{target}" is no place for LMTP; write lmtp://host:port or lmtp:/path/of/socket'
            return all_of(job.recipients, Result.DEFERRED, reason, Reply(451, "4.3.5", "the route is not usable"))
        return await super().deliver(job, target)


#: The outcomes of all recipients, in their order, or of some by their places.
_Found = Sequence[Outcome] | dict[int, Outcome]


def _values(found: _Found) -> Sequence[Outcome]:
    return list(found.values()) if isinstance(found, dict) else found


def _by_place(found: _Found) -> dict[int, Outcome]:
    return found if isinstance(found, dict) else dict(enumerate(found))


def _is_unheard(outcome: Outcome) -> bool:
    """Nothing was said about this recipient, and nothing was given away."""
    return outcome.result is Result.DEFERRED and outcome.reply is None


def _is_stale(outcome: Outcome) -> bool:
    """What a session that has grown too old ends with: silence, or 421."""
    return _is_unheard(outcome) or (
        outcome.result is Result.DEFERRED and outcome.reply is not None and outcome.reply.code == 421
    )
