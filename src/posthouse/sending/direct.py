"""Delivery of one message to the mail exchangers of its recipients' domains, without a daemon and without a queue.

``delivery.SmtpDeliverer`` does the work, so null MX, address literals, down-conversion and the order of exchanges are
those of the relay.  TLS is used where it is offered, without verification (RFC 7435), and a host whose TLS fails gets
the message in clear.  Nothing is stored, and a deferred recipient is not retried.
"""

from __future__ import annotations

from random import SystemRandom

from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Content, Envelope, Outcome, Recipient, Reply, Result
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
) -> tuple[Outcome, ...]:
    """Deliver the message in one session for each domain; returns an outcome for each recipient, in their order.

    ``resolver`` answers the DNS questions, None for the system's name servers; ``port`` is the exchangers' port.  With
    ``loopback``, exchangers may have addresses of loopback.
    """
    clock = SystemClock()
    deliverer = SmtpDeliverer(
        resolver or CachingResolver(DnsResolver(), clock),
        network=SocketNetwork(),
        clock=clock,
        random=SystemRandom(),
        hostname=name_for_ehlo(),
        port=port,
        timeouts=INTERACTIVE_TIMEOUTS,
        transcript=transcript,
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
            outcomes.update(zip(numbers, await deliverer.deliver(delivery, domain), strict=True))
    finally:
        await deliverer.close()
    return tuple(outcomes[number] for number in range(len(envelope.recipients)))


def _ascii(recipient: Recipient) -> str:
    """The recipient's domain in A-labels and lower case, or ""."""
    try:
        return domain_to_ascii(recipient.address.domain).lower()
    except GrammarError:
        return ""
