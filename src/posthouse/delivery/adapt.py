"""Adapting a message to its receiver: what the host can carry, and how many recipients in one transaction.

Content is read only when the receiver lacks an extension that the message may need; a host with 8BITMIME and SMTPUTF8
gets it unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from posthouse.client import Session
from posthouse.core import Body, Bytes, Content, Envelope, OriginalRecipient, Outcome, Recipient, Reply, Result
from posthouse.delivery.model import Delivery, all_of
from posthouse.message.conversion import Unconvertible, downgrade
from posthouse.message.mime import Needs, needs
from posthouse.protocol import Capabilities

__all__ = ["batches", "give"]

_SHORT = 65_536  # octets that are converted on the event loop; more go to a thread
_LONGEST_NAMED = 100  # characters; encoded, ORCPT has room for 500 (RFC 3461 §4.2)
_NEEDS_UTF8 = Reply(553, "5.6.7", "Address needs SMTPUTF8, which the receiver does not offer")


def batches(recipients: Sequence[Recipient], limits: Mapping[str, int]) -> list[list[int]]:
    """The recipients in groups, by place, that may share a transaction (LIMITS RCPTMAX, RCPTDOMAINMAX; RFC 9422 §4)."""
    most = limits.get("RCPTMAX", 0) or len(recipients)
    domains_most = limits.get("RCPTDOMAINMAX", 0)
    if len(recipients) <= most and not domains_most:
        return [list(range(len(recipients)))]
    by_domain: dict[str, list[int]] = {}
    for place, recipient in enumerate(recipients):
        by_domain.setdefault(recipient.address.domain.lower() if domains_most else "", []).append(place)
    made: list[list[int]] = []
    domains = 0
    for places in by_domain.values():
        domains += 1
        if not made or (domains_most and domains > domains_most):
            made.append([])
            domains = 1
        for place in places:
            if len(made[-1]) >= most:
                made.append([])
                domains = 1
            made[-1].append(place)
    return made


async def give(session: Session, delivery: Delivery) -> Sequence[Outcome]:
    """Make one transaction, with the message in a form that this host can carry."""
    envelope, content = delivery.envelope, delivery.content
    capabilities = session.capabilities
    if _fits(capabilities, envelope):
        return await _deliver(session, envelope, content, delivery.holds)
    if isinstance(content, Bytes):
        asks = needs(content.chunks())
    else:
        asks = await asyncio.to_thread(lambda: needs(content.chunks()))
    refused: dict[int, Outcome] = {}
    if "SMTPUTF8" not in capabilities.keywords:
        envelope, refused = _without_utf8(envelope, asks, session.peer)
    fitted = await _converted(envelope, content, asks, capabilities)
    if isinstance(fitted, Unconvertible):
        reply = Reply(554, fitted.status, fitted.reason)
        reason = f"not sent to {session.peer}, which cannot take it as it is: {fitted.reason}"
        return all_of(delivery.recipients, Result.FAILED, reason, reply, session.peer)
    envelope, content = fitted
    given = iter(await _deliver(session, envelope, content, delivery.holds) if envelope.recipients else ())
    return [refused[i] if i in refused else next(given) for i in range(len(delivery.envelope.recipients))]


async def _deliver(
    session: Session, envelope: Envelope, content: Content, holds: Callable[[], bool] | None
) -> Sequence[Outcome]:
    """``session.deliver``, with ORCPT added for recipients whose sender asked for a report and gave none (RFC 3461
    §5.2.1 (d)): a report from further on then names the address that the sender used."""
    recipients = envelope.recipients
    if not any(one.notify and one.orcpt is None for one in recipients) or "DSN" not in session.capabilities.keywords:
        return await session.deliver(envelope, content, holds)
    outcomes = await session.deliver(envelope._replace(recipients=tuple(map(_named, recipients))), content, holds)
    return [outcome._replace(recipient=one) for one, outcome in zip(recipients, outcomes, strict=True)]


def _fits(capabilities: Capabilities, envelope: Envelope) -> bool:
    """True if everything that this envelope declares can be sent as it is.  Octets over 127 may come undeclared."""
    keywords = capabilities.keywords
    return (
        "8BITMIME" in keywords
        and ("SMTPUTF8" in keywords or not _mentions_utf8(envelope))
        and (envelope.body is not Body.BINARYMIME or _takes_binary(capabilities))
    )


def _named(recipient: Recipient) -> Recipient:
    address = str(recipient.address)
    if not recipient.notify or recipient.orcpt is not None or len(address) > _LONGEST_NAMED:
        return recipient
    kind = "rfc822" if recipient.address.is_ascii else "utf-8"
    return recipient._replace(orcpt=OriginalRecipient(kind, address))


def _takes_binary(capabilities: Capabilities) -> bool:
    return "BINARYMIME" in capabilities.keywords and "CHUNKING" in capabilities.keywords


def _mentions_utf8(envelope: Envelope) -> bool:
    return envelope.smtputf8 or any(not recipient.address.local.isascii() for recipient in envelope.recipients)


def _without_utf8(envelope: Envelope, asks: Needs, peer: str) -> tuple[Envelope, dict[int, Outcome]]:
    """The envelope for a host without SMTPUTF8, if the message can go there (RFC 6531 §3.2, §3.5): without the
    parameter, and without the recipients whose own address needs it, who get an outcome each.

    A domain in U-labels does not need SMTPUTF8; the session writes it in A-labels.
    """
    if asks.utf8_headers or not (envelope.sender is None or envelope.sender.local.isascii()):
        return envelope, {}  # the session refuses it for every recipient
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
    """The message in the narrowest of BINARYMIME, 8BITMIME and 7 bits that the host carries and the message needs."""
    if envelope.smtputf8 and "SMTPUTF8" not in capabilities.keywords:
        return envelope, content  # the session will refuse it
    if asks.binary and not _takes_binary(capabilities):
        body = Body.EIGHTBITMIME if "8BITMIME" in capabilities.keywords else Body.SEVENBIT
    elif asks.eightbit and "8BITMIME" not in capabilities.keywords:
        body = Body.SEVENBIT
    else:  # the declared body type may be wider than the content needs
        least = Body.EIGHTBITMIME if asks.eightbit else Body.SEVENBIT
        return envelope._replace(body=envelope.body if asks.binary else least), content
    to_7bit = body is Body.SEVENBIT
    if content.size <= _SHORT:
        fitted = downgrade(content, to_7bit=to_7bit)
    else:
        fitted = await asyncio.to_thread(downgrade, content, to_7bit=to_7bit)
    return fitted if isinstance(fitted, Unconvertible) else (envelope._replace(body=body), Bytes(fitted))
