"""Sending one message straight to the recipients' mail exchangers, without a daemon and without a queue.

It goes the relay's own way (``delivery.SmtpDeliverer``), so null MX, address literals, down-conversion and the order of
exchanges are as they are in a relay.  Nothing is kept: whoever calls hears an outcome for each recipient.  Apart from
``sending.defaults``, because a letter to a server that is named needs no relay.
"""

from __future__ import annotations

from random import SystemRandom

from posthouse.client.hostname import machine_name
from posthouse.core import Content, Envelope, Outcome, Recipient, Reply, Result
from posthouse.delivery import Delivery, SmtpDeliverer
from posthouse.net import CachingResolver, DnsResolver, Resolver, SocketNetwork, SystemClock
from posthouse.protocol import Transcript
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.sending.defaults import PATIENCE

__all__ = ["direct"]


async def direct(
    envelope: Envelope,
    content: Content,
    *,
    transcript: Transcript | None = None,
    resolver: Resolver | None = None,
    port: int = 25,
) -> tuple[Outcome, ...]:
    """Deliver the message to the mail exchangers of each recipient's domain; one session for each domain."""
    clock = SystemClock()
    deliverer = SmtpDeliverer(
        resolver or CachingResolver(DnsResolver(), clock),
        network=SocketNetwork(),
        clock=clock,
        random=SystemRandom(),
        hostname=machine_name(),
        port=port,
        timeouts=PATIENCE,
        transcript=transcript,
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
