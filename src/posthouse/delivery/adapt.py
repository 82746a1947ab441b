"""Adapting a message to its receiver: what the host can carry, and how many recipients in one transaction.

Content is read only when the receiver lacks an extension that the message may need, or when SMTPUTF8 was declared and
no local part needs it: then the header section decides whether the parameter goes along (RFC 6531 §3.4), since every
host on the way must have it.  A domain in U-labels never needs it; sessions write A-labels.

**Long content** is converted while it is sent, by threads, and again at each attempt: so the memory that it takes does
not depend on its size.  Finding out what must be converted takes a pass over the content, of which one goes on at a
time.

What is decided here is an outcome without a peer, because no host has said it.  Header fields with octets over 127
whose sender did not declare SMTPUTF8 are sent as they are, also to a host without 8BITMIME: most hosts pass them on,
and no conversion is safe for addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from posthouse.client import Session
from posthouse.core import (
    Address,
    AsyncContent,
    Body,
    Bytes,
    Content,
    Envelope,
    LocalError,
    OriginalRecipient,
    Outcome,
    Recipient,
    Reply,
    Result,
)
from posthouse.delivery.long_content import MadeInThread, YieldingContent
from posthouse.delivery.model import Delivery, all_of
from posthouse.message.conversion import Unconvertible, convert, downgrade
from posthouse.message.mime import Needs, needs
from posthouse.protocol import Capabilities, Mail, Rcpt, write_command
from posthouse.protocol.grammar import GrammarError, with_ascii_domain

__all__ = ["AfterConversion", "batches", "give"]

#: What is done with a message that was converted.  It is given the message as it is stored and as it was converted,
#: may read both, and returns what is sent, and what became of the signatures, in words ("" where there are none).
AfterConversion = Callable[[Content, Content], tuple[Content, str]]

_SHORT = 65_536  # octets that are converted on the event loop, in memory; more go to a thread
_LONGEST_NAMED = 100  # characters; encoded, ORCPT has room for 500 (RFC 3461 §4.2)


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


async def give(
    session: Session,
    delivery: Delivery,
    one_at_a_time: asyncio.Lock | None = None,
    after: AfterConversion | None = None,
) -> Sequence[Outcome]:
    """Make one transaction, with the message in a form that this host can carry.

    ``one_at_a_time`` is the lock of long conversions; ``after`` is called for each message that was converted.
    """
    envelope, content = delivery.envelope, delivery.content
    capabilities = session.capabilities
    if _fits(capabilities, envelope):
        return await _deliver(session, envelope, content, delivery.holds)
    if isinstance(content, Bytes):
        asks = needs(content.chunks())
    else:
        asks = await asyncio.to_thread(needs, YieldingContent(content).chunks())
    refused: dict[int, Outcome] = {}
    if "SMTPUTF8" not in capabilities.keywords:
        envelope, refused = _without_utf8(envelope, asks, session.peer)
    elif envelope.smtputf8 and not asks.utf8_headers and not _needs_utf8(envelope):
        envelope = envelope._replace(smtputf8=False)
    fitted = await _converted(envelope, content, asks, capabilities, one_at_a_time, after)
    if isinstance(fitted, Unconvertible):
        reason = f"not sent to {session.peer}, which cannot take it as it is: {fitted.reason}"
        return all_of(delivery.recipients, Result.FAILED, reason, Reply(554, fitted.status, reason))
    envelope, carried, remark = fitted
    if remark and delivery.tracer is not None:
        delivery.tracer.converted(remark)
    given = iter(await _deliver(session, envelope, carried, delivery.holds) if envelope.recipients else ())
    return [refused[i] if i in refused else next(given) for i in range(len(delivery.envelope.recipients))]


async def _deliver(
    session: Session, envelope: Envelope, content: Content | AsyncContent, holds: Callable[[], bool] | None
) -> Sequence[Outcome]:
    """``session.deliver``, with ORCPT; recipients whose address cannot be written fail, and the others are sent."""
    written = _with_orcpt(session, envelope)
    outcomes: Sequence[Outcome] = ()
    refused: dict[int, Outcome] = {}
    try:
        outcomes = await session.deliver(written, content, holds, True)
    except LocalError as error:  # nothing was sent
        refused = _unwritable(envelope)
        if not refused:
            raise error
    if refused:
        kept = tuple([one for i, one in enumerate(written.recipients) if i not in refused])
        rest = written._replace(recipients=kept)
        given = iter(await session.deliver(rest, content, holds, True) if kept else ())
        outcomes = [refused[i] if i in refused else next(given) for i in range(len(envelope.recipients))]
    if written is envelope:
        return outcomes
    return [each._replace(recipient=one) for one, each in zip(envelope.recipients, outcomes, strict=True)]


def _unwritable(envelope: Envelope) -> dict[int, Outcome]:
    """The outcomes of recipients whose address cannot be written in RCPT, by place; of all if the sender's cannot be in
    MAIL."""
    fault = None if envelope.sender is None else _fault_of(envelope.sender, sends=True)
    refused: dict[int, Outcome] = {}
    for i, recipient in enumerate(envelope.recipients):
        status, why = "5.1.7", fault
        if why is None:
            status, why = "5.1.3", _fault_of(recipient.address)
        if why is not None:
            refused[i] = Outcome(recipient, Result.FAILED, Reply(553, status, why), f"not sent: {why}")
    return refused


def _fault_of(address: Address, *, sends: bool = False) -> str | None:
    """Why an address cannot be written in RCPT, or in MAIL if it ``sends``; None if it can."""
    try:
        bare = with_ascii_domain(address)
        write_command(Mail(bare, smtputf8=True) if sends else Rcpt(bare))
    except (LocalError, GrammarError) as error:
        return f"the address {address} cannot be written in SMTP: {error.__cause__ or error}"
    return None


def _with_orcpt(session: Session, envelope: Envelope) -> Envelope:
    """The envelope with ORCPT added for recipients whose sender asked for a report and gave none (RFC 3461 §5.2.1 (d)):
    a report from further on then names the address that the sender used."""
    recipients = envelope.recipients
    if len(recipients) == 1:  # a generator costs more than the question
        is_asked = bool(recipients[0].notify) and recipients[0].orcpt is None
    else:
        is_asked = any(one.notify and one.orcpt is None for one in recipients)
    if not is_asked or "DSN" not in session.capabilities.keywords:
        return envelope
    return envelope._replace(recipients=tuple(map(_named, recipients)))


def _fits(capabilities: Capabilities, envelope: Envelope) -> bool:
    """True if everything that this envelope declares can be sent as it is.  Octets over 127 may come undeclared."""
    keywords = capabilities.keywords
    if "8BITMIME" not in keywords or (envelope.body is Body.BINARYMIME and not _takes_binary(capabilities)):
        return False
    return ("SMTPUTF8" in keywords) if _needs_utf8(envelope) else not envelope.smtputf8


def _named(recipient: Recipient) -> Recipient:
    address = str(recipient.address)
    if not recipient.notify or recipient.orcpt is not None or len(address) > _LONGEST_NAMED:
        return recipient
    kind = "rfc822" if recipient.address.is_ascii else "utf-8"
    return recipient._replace(orcpt=OriginalRecipient(kind, address))


def _takes_binary(capabilities: Capabilities) -> bool:
    return "BINARYMIME" in capabilities.keywords and "CHUNKING" in capabilities.keywords


def _needs_utf8(envelope: Envelope) -> bool:
    """True if a local part is not ASCII."""
    sender, recipients = envelope.sender, envelope.recipients
    if not (sender is None or sender.local.isascii()):
        return True
    if len(recipients) == 1:  # a generator costs more than the question
        return not recipients[0].address.local.isascii()
    return any(not recipient.address.local.isascii() for recipient in recipients)


def _without_utf8(envelope: Envelope, asks: Needs, peer: str) -> tuple[Envelope, dict[int, Outcome]]:
    """The envelope for a host without SMTPUTF8, if the message can go there (RFC 6531 §3.2, §3.5): without the
    parameter, and without the recipients whose own address needs it, who get an outcome each.

    A domain in U-labels does not need SMTPUTF8; the session writes it in A-labels.
    """
    if (asks.utf8_headers and envelope.smtputf8) or not (envelope.sender is None or envelope.sender.local.isascii()):
        return envelope, {}  # the session refuses it for every recipient
    refused: dict[int, Outcome] = {}
    kept: list[Recipient] = []
    for i, recipient in enumerate(envelope.recipients):
        if recipient.address.local.isascii():
            kept.append(recipient)
        else:
            reason = f"not sent to {peer}: the address needs SMTPUTF8, which this host does not offer"
            refused[i] = Outcome(recipient, Result.FAILED, Reply(553, "5.6.7", reason), reason)
    return envelope._replace(smtputf8=False, recipients=tuple(kept)), refused


async def _converted(
    envelope: Envelope,
    content: Content,
    asks: Needs,
    capabilities: Capabilities,
    one_at_a_time: asyncio.Lock | None,
    after: AfterConversion | None,
) -> tuple[Envelope, Content | AsyncContent, str] | Unconvertible:
    """The message in the narrowest of BINARYMIME, 8BITMIME and 7 bits that the host carries and the message needs, and
    how it was converted, in words ("" if it was not)."""
    eightbit = "8BITMIME" in capabilities.keywords
    if envelope.smtputf8 and "SMTPUTF8" not in capabilities.keywords:
        return envelope, content, ""  # the session will refuse it
    if asks.binary and not _takes_binary(capabilities) and (envelope.body is Body.BINARYMIME or not eightbit):
        body = Body.EIGHTBITMIME if eightbit else Body.SEVENBIT
    elif asks.eightbit and not eightbit:
        body = Body.SEVENBIT
    else:  # the declared body type may be wider than the content needs
        least = Body.EIGHTBITMIME if asks.eightbit else Body.SEVENBIT
        return envelope._replace(body=envelope.body if asks.binary else least), content, ""
    envelope = envelope._replace(body=body)
    remark = f"converted, because this host does not offer {'BINARYMIME' if eightbit else '8BITMIME'}"
    to_7bit = body is Body.SEVENBIT
    if content.size <= _SHORT:
        fitted = downgrade(content, to_7bit=to_7bit, raw_headers=True)
        if isinstance(fitted, Unconvertible):
            return fitted
        sent, more = (Bytes(fitted), "") if after is None else after(content, Bytes(fitted))
        return envelope, sent, f"{remark}; {more}" if more else remark
    lock = one_at_a_time or asyncio.Lock()
    await lock.acquire()
    try:
        made = await asyncio.to_thread(_convert, YieldingContent(content), to_7bit, after)
    finally:
        lock.release()
    if isinstance(made, Unconvertible):
        return made
    return envelope, MadeInThread(made[0]), f"{remark}; {made[1]}" if made[1] else remark


def _convert(content: Content, to_7bit: bool, after: AfterConversion | None) -> tuple[Content, str] | Unconvertible:
    """Convert long content, in a thread."""
    made = convert(content, to_7bit=to_7bit, raw_headers=True)
    if isinstance(made, Unconvertible):
        return made
    return (made, "") if after is None else after(content, made)
