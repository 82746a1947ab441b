"""Delivery of one message to the mail exchangers of its recipients' domains, without a daemon and without a queue.

``delivery.SmtpDeliverer`` does the work, so null MX, address literals, down-conversion and the order of exchanges are
those of the relay.  TLS is used where it is offered, without verification (RFC 7435), and a host whose TLS fails gets
the message in clear.  Nothing is stored, and a deferred recipient is not retried.
"""

from __future__ import annotations

import asyncio
from random import SystemRandom

from posthouse.client.deadline import Deadline
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Content, Envelope, Outcome, Phase, Recipient, Reply, Result
from posthouse.delivery import Delivery, SmtpDeliverer
from posthouse.delivery.security import RouteSecurity
from posthouse.net import CachingResolver, DnsResolver, Resolver, SocketNetwork, SystemClock
from posthouse.protocol import Transcript
from posthouse.protocol.grammar import GrammarError, domain_to_ascii

__all__ = ["deliver_direct"]


async def deliver_direct(
    envelope: Envelope,
    content: Content,
    *,
    transcript: Transcript | None = None,
    resolver: Resolver | None = None,
    port: int = 25,
    loopback: bool = False,
    timeout: float | None = None,
) -> tuple[Outcome, ...]:
    """Deliver the message in one session for each domain; returns an outcome for each recipient, in their order.

    ``resolver`` answers the DNS questions, None for the system's name servers; ``port`` is the exchangers' port.  With
    ``loopback``, exchangers may have addresses of loopback.  After ``timeout`` seconds the session that is open ends:
    its recipients are *ambiguous* if the content had been sent, else *deferred*, as are those of the domains behind it.
    """
    clock = SystemClock()
    deadline = Deadline(clock, timeout)
    watched = _ContentWatch(transcript)
    deliverer = SmtpDeliverer(
        resolver or CachingResolver(DnsResolver(), clock),
        network=SocketNetwork(),
        clock=clock,
        random=SystemRandom(),
        hostname=name_for_ehlo(),
        port=port,
        timeouts=INTERACTIVE_TIMEOUTS,
        transcript=watched if transcript is not None or timeout is not None else None,
        loopback=loopback,
        security=RouteSecurity(TlsPolicy(TlsMode.OPPORTUNISTIC)),
        idle=0.0,
    )
    outcomes: dict[int, Outcome] = {}
    domains: dict[str, list[int]] = {}
    for number, recipient in enumerate(envelope.recipients):
        domain = _ascii(recipient)
        if domain:
            domains.setdefault(domain, []).append(number)
        else:
            reply = Reply(550, "5.1.2", "not a domain that the DNS can have")
            outcomes[number] = Outcome(recipient, Result.FAILED, reply, reply.text)
    try:
        for domain, numbers in domains.items():
            recipients = tuple(envelope.recipients[number] for number in numbers)
            delivery = Delivery(envelope._replace(recipients=recipients), content)
            watched.sent = False
            try:
                async with _limit(None if timeout is None else deadline.left) as limit:
                    given = tuple(await deliverer.deliver(delivery, domain))
            except TimeoutError:
                if not limit.expired():
                    raise
                given = tuple([watched.given_up(each, domain, timeout or 0) for each in recipients])
            outcomes.update(zip(numbers, given, strict=True))
    finally:
        await deliverer.close()
    return tuple(outcomes[number] for number in range(len(envelope.recipients)))


def _limit(seconds: float | None) -> asyncio.Timeout:
    return asyncio.timeout(seconds)


class _ContentWatch:
    """Passes the lines of a dialogue on, and notes whether the end of the content was among them."""

    def __init__(self, transcript: Transcript | None) -> None:
        self._transcript = transcript
        self.sent = False

    def __call__(self, who: str, text: str) -> None:
        if who == "S" and (text == "." or (text.startswith("BDAT ") and text.endswith(" LAST"))):
            self.sent = True
        if self._transcript is not None:
            self._transcript(who, text)

    def given_up(self, recipient: Recipient, domain: str, seconds: float) -> Outcome:
        """The outcome of a recipient whose session did not end in time."""
        reason = f"the time limit of {seconds:g} seconds was over while delivering to {domain}"
        if self.sent:
            return Outcome(
                recipient, Result.AMBIGUOUS, None, f"{reason}; the message may have arrived", phase=Phase.END
            )
        return Outcome(recipient, Result.DEFERRED, None, reason)


def _ascii(recipient: Recipient) -> str:
    """The recipient's domain in A-labels and lower case, or ""."""
    try:
        return domain_to_ascii(recipient.address.domain).lower()
    except GrammarError:
        return ""
