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

Content is fitted to the host that took the session: without 8BITMIME or BINARYMIME it is converted, or refused with
the 5.6.x status of what stands in the way; SMTPUTF8 is asked for only where addresses or header fields need it.

A session that worked is kept for a few seconds for the next message to the same target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, NamedTuple

from posthouse import client
from posthouse.client import Refused, Session, Timeouts
from posthouse.message.mime import Needs, Unconvertible, downgrade, needs
from posthouse.net import Clock, Network, Resolver, Timer
from posthouse.protocol import Capabilities, Limits, Transcript
from posthouse.relay.job import Job
from posthouse.relay.nexthop import Exchange, Hops, IsSelf, NoHops, next_hops
from posthouse.relay.settle import all_of
from posthouse.words import (
    Body,
    Bytes,
    Content,
    Envelope,
    NetworkError,
    OriginalRecipient,
    Outcome,
    Recipient,
    RemoteError,
    Reply,
    Result,
)

__all__ = ["LmtpDeliverer", "SmtpDeliverer"]

_SHORT = 65_536  # octets that are converted on the loop; more go to a thread
_LONGEST_NAMED = 100  # characters; encoded, ORCPT has room for 500 (RFC 3461 §4.2)
_NEEDS_UTF8 = Reply(553, "5.6.7", "Address needs SMTPUTF8, which the receiver does not offer")


class _Kept(NamedTuple):
    """A session that waits for another message, and the timer that ends it."""

    session: Session
    timer: Timer


class SmtpDeliverer:
    """Delivers by SMTP; a target is a domain, an address literal, or a ``host:port`` (see ``nexthop``).

    ``hostname`` is how we name ourselves, ``is_self`` keeps us from sending to ourselves, ``port`` is where mail
    exchangers listen, ``source`` the local address to use.  A session that worked is kept for ``idle`` seconds, at
    most ``most_idle`` of them, and used for at most ``messages`` messages.
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
        self._idle = idle
        self._most_idle = most_idle
        self._messages = messages
        self._kept: dict[str, list[_Kept]] = {}
        self._count = 0
        self._leaving: set[asyncio.Task[None]] = set()

    async def deliver(self, job: Job, target: str) -> Sequence[Outcome]:
        """See ``Deliverer.deliver``."""
        session = self._reuse(target)
        if session is not None:
            outcomes = await self._transact(session, job, target)
            if not all(map(_is_stale, outcomes)):
                return outcomes
        hops = await next_hops(target, self._resolver, random=self._random, is_self=self._is_self, port=self._port)
        if isinstance(hops, NoHops):
            return all_of(job.recipients, hops.result, hops.reason, hops.reply)
        return await self._through(hops, job, target)

    async def close(self) -> None:
        """See ``Deliverer.close``."""
        for kept in [kept for several in self._kept.values() for kept in several]:
            kept.timer.cancel()
            self._leave(kept.session)
        self._kept.clear()
        self._count = 0
        while self._leaving:
            await asyncio.wait(self._leaving)

    # -- an attempt

    async def _through(self, hops: Hops, job: Job, target: str) -> Sequence[Outcome]:
        """Try the exchanges in order."""
        troubles: list[str] = []
        refusals: list[tuple[Reply, str]] = []
        for exchange in hops.exchanges:
            try:
                session = await self._connect(exchange)
            except Refused as error:
                refusals.append((error.reply, exchange.name))
                troubles.append(str(error))
                continue
            except (NetworkError, RemoteError) as error:
                troubles.append(f"{exchange.name}: {error}")
                continue
            outcomes = await self._transact(session, job, target)
            if not all(map(_is_unheard, outcomes)):
                return outcomes
            troubles.append(outcomes[0].reason)
        tried = f"tried {hops.reason}: " + "; ".join(troubles)
        if len(refusals) == len(troubles) and all(reply.permanent for reply, _ in refusals):
            reply, name = refusals[0]
            return all_of(job.recipients, Result.FAILED, tried, reply, name)
        for reply, name in refusals:
            if reply.transient and len(troubles) == len(refusals):
                return all_of(job.recipients, Result.DEFERRED, tried, reply, name)
        return all_of(job.recipients, Result.DEFERRED, tried, Reply(451, "4.4.1", "no host could be reached"))

    async def _connect(self, exchange: Exchange) -> Session:
        return await client.connect(
            exchange.endpoints,
            network=self._network,
            clock=self._clock,
            hostname=self._hostname,
            name=exchange.name,
            lmtp=self.lmtp,
            timeouts=self._timeouts,
            limits=self._limits,
            transcript=self._transcript,
            source=self._source,
        )

    async def _transact(self, session: Session, job: Job, target: str) -> Sequence[Outcome]:
        """Give the message to the host; keep the session if it is good for more, end it otherwise."""
        try:
            outcomes = await _give(session, job)
        except BaseException:  # ours or a cancellation: the dialogue stopped in the middle
            session.abort()
            raise
        if session.usable and session.messages < self._messages and self._count < self._most_idle and self._idle > 0:
            self._keep(session, target)
        else:
            self._leave(session)
        return outcomes

    # -- sessions between messages

    def _keep(self, session: Session, target: str) -> None:
        def end() -> None:
            several = self._kept[target]
            several[:] = [other for other in several if other.session is not session]
            if not several:
                del self._kept[target]
            self._count -= 1
            self._leave(session)

        self._kept.setdefault(target, []).append(_Kept(session, self._clock.call_later(self._idle, end)))
        self._count += 1

    def _reuse(self, target: str) -> Session | None:
        """A kept session that still lives, the one that was used last."""
        several = self._kept.get(target, [])
        while several:
            kept = several.pop()
            kept.timer.cancel()
            self._count -= 1
            if not several:
                del self._kept[target]
            if kept.session.usable:
                return kept.session
            kept.session.abort()
        return None

    def _leave(self, session: Session) -> None:
        """End a session politely, without anybody waiting for it."""
        coroutine: Coroutine[Any, Any, None] = session.quit()
        task = asyncio.get_running_loop().create_task(coroutine)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class LmtpDeliverer(SmtpDeliverer):
    """Delivers by LMTP (RFC 2033): one reply for each recipient.  A target is a ``host:port`` or a socket's path."""

    lmtp = True

    async def deliver(self, job: Job, target: str) -> Sequence[Outcome]:
        """See ``Deliverer.deliver``."""
        if ":" not in target and not target.startswith("/"):  # a domain's exchangers speak SMTP
            reason = f'"{target}" is no place for LMTP; write lmtp://host:port or lmtp:/path/of/socket'
            return all_of(job.recipients, Result.DEFERRED, reason, Reply(451, "4.3.5", "the route is not usable"))
        return await super().deliver(job, target)


def _is_unheard(outcome: Outcome) -> bool:
    """Nothing was said about this recipient, and nothing was given away."""
    return outcome.result is Result.DEFERRED and outcome.reply is None


def _is_stale(outcome: Outcome) -> bool:
    """What a session that has grown too old ends with: silence, or 421."""
    return _is_unheard(outcome) or (
        outcome.result is Result.DEFERRED and outcome.reply is not None and outcome.reply.code == 421
    )


# -- fitting a message to its receiver


async def _give(session: Session, job: Job) -> Sequence[Outcome]:
    """One transaction, with the message as this host can take it."""
    envelope, content = job.envelope, job.content
    capabilities = session.capabilities
    if _fits(capabilities, envelope):
        return await _deliver(session, envelope, content)
    asks = needs(content.chunks())
    refused: dict[int, Outcome] = {}
    if not capabilities.has("SMTPUTF8"):
        envelope, refused = _without_utf8(envelope, asks, session.peer)
    fitted = await _converted(envelope, content, asks, capabilities)
    if isinstance(fitted, Unconvertible):
        reply = Reply(554, fitted.status, fitted.reason)
        reason = f"not sent to {session.peer}, which cannot take it as it is: {fitted.reason}"
        return all_of(job.recipients, Result.FAILED, reason, reply, session.peer)
    envelope, content = fitted
    given = iter(await _deliver(session, envelope, content) if envelope.recipients else ())
    return [refused[i] if i in refused else next(given) for i in range(len(job.recipients))]


async def _deliver(session: Session, envelope: Envelope, content: Content) -> Sequence[Outcome]:
    """``session.deliver``, with ORCPT for those whose sender waits for a report and did not name them himself (RFC 3461
    §5.2.1 (d)): he will know them by it wherever they are sent on to."""
    people = envelope.recipients
    if not any(one.notify and one.orcpt is None for one in people) or not session.capabilities.has("DSN"):
        return await session.deliver(envelope, content)
    outcomes = await session.deliver(envelope._replace(recipients=tuple(map(_named, people))), content)
    return [outcome._replace(recipient=one) for one, outcome in zip(people, outcomes, strict=True)]


def _fits(capabilities: Capabilities, envelope: Envelope) -> bool:
    """Can anything that this envelope announces be sent as it is?  Octets over 127 may also come unannounced."""
    return (
        capabilities.has("8BITMIME")
        and (capabilities.has("SMTPUTF8") or not _mentions_utf8(envelope))
        and (envelope.body is not Body.BINARYMIME or _takes_binary(capabilities))
    )


def _named(recipient: Recipient) -> Recipient:
    address = str(recipient.address)
    if not recipient.notify or recipient.orcpt is not None or len(address) > _LONGEST_NAMED:
        return recipient
    kind = "rfc822" if recipient.address.is_ascii else "utf-8"
    return recipient._replace(orcpt=OriginalRecipient(kind, address))


def _takes_binary(capabilities: Capabilities) -> bool:
    return capabilities.has("BINARYMIME") and capabilities.has("CHUNKING")


def _mentions_utf8(envelope: Envelope) -> bool:
    return envelope.smtputf8 or any(not recipient.address.local.isascii() for recipient in envelope.recipients)


def _without_utf8(envelope: Envelope, asks: Needs, peer: str) -> tuple[Envelope, dict[int, Outcome]]:
    """The envelope for a host without SMTPUTF8, if the message can go there (RFC 6531 §3.2, §3.5): without the
    parameter, and without the recipients whose own address needs it.

    A domain in U-labels needs nothing; the session writes it in A-labels.
    """
    if asks.utf8_headers or not (envelope.sender is None or envelope.sender.local.isascii()):
        return envelope, {}  # nobody can have it; the session says so for each
    refused: dict[int, Outcome] = {}
    kept: list[Recipient] = []
    for i, recipient in enumerate(envelope.recipients):
        if recipient.address.local.isascii():
            kept.append(recipient)
        else:
            reason = f"{recipient.address} cannot be written without SMTPUTF8, which {peer} does not offer"
            refused[i] = Outcome(recipient, Result.FAILED, _NEEDS_UTF8, reason, peer)
    return envelope._replace(smtputf8=False, recipients=tuple(kept)), refused


async def _converted(
    envelope: Envelope, content: Content, asks: Needs, capabilities: Capabilities
) -> tuple[Envelope, Content] | Unconvertible:
    """The message in what the host can carry; as it is where that is enough."""
    if envelope.smtputf8 and not capabilities.has("SMTPUTF8"):
        return envelope, content  # it will be refused for that; no need to work on it
    if asks.binary and not _takes_binary(capabilities):
        body = Body.EIGHTBITMIME if capabilities.has("8BITMIME") else Body.SEVENBIT
    elif asks.eightbit and not capabilities.has("8BITMIME"):
        body = Body.SEVENBIT
    else:  # what was announced may be more than there is
        least = Body.EIGHTBITMIME if asks.eightbit else Body.SEVENBIT
        return envelope._replace(body=envelope.body if asks.binary else least), content
    to_7bit = body is Body.SEVENBIT
    if content.size <= _SHORT:
        fitted = downgrade(content, to_7bit=to_7bit)
    else:  # reading stays on the loop, which the content may belong to
        data = b"".join(content.chunks())
        fitted = await asyncio.to_thread(downgrade, data, to_7bit=to_7bit)
    return fitted if isinstance(fitted, Unconvertible) else (envelope._replace(body=body), Bytes(fitted))
