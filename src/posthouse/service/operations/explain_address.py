"""Where mail for an address would go: the operation ``check address``, and the part of ``explain`` about addresses.

Nothing is sent and nothing is stored; next hops are looked up in the DNS as the relay does it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec.structs import replace

from posthouse.core import Address, Envelope, Recipient, SettingError
from posthouse.delivery import (
    DiscardDeliverer,
    LmtpDeliverer,
    MaildirDeliverer,
    PythonDeliverer,
    SmtpDeliverer,
    Undeliverable,
    next_hops,
)
from posthouse.protocol.grammar import GrammarError
from posthouse.protocol.leniency import tolerant_mailbox
from posthouse.relay import MailboxDeliverer, NoRoute, Route
from posthouse.service.directory.directory import (
    Directory,
    Expanded,
    Foreign,
    Local,
    Moved,
    Resolution,
    Unknown,
)
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.mailauth.reverse_paths import ReversePaths
from posthouse.service.operations.base import Context, spool_or_none
from posthouse.service.operations.explain_text import address_kind_text
from posthouse.service.operations.next_attempt import next_attempts
from posthouse.service.operations.results import (
    AddressFacts,
    AddressForecast,
    AddressReport,
    AddressTarget,
    EndForecast,
    ExchangeEntry,
)
from posthouse.service.policy.recipients import recipient_verdict
from posthouse.spool.filters import Condition
from posthouse.spool.interface import Spool

__all__ = ["address_of", "check_address", "forecast"]

_MOST_ENDS: Final = 20  # looked up for one address
_WAYS: Final = (
    (LmtpDeliverer, "lmtp"),  # before SMTP, of which it is a kind
    (SmtpDeliverer, "smtp"),
    (MaildirDeliverer, "maildir"),
    (MailboxDeliverer, "mailbox"),
    (DiscardDeliverer, "discard"),
    (PythonDeliverer, "python"),
)


def address_of(text: str) -> Address:
    """The address that is written, with or without angle brackets.  Raises ``SettingError``."""
    bare = text.strip().removeprefix("<").removesuffix(">")
    try:
        return Address(bare) if bare.lower() == "postmaster" else tolerant_mailbox(bare)
    except GrammarError as error:
        raise SettingError(f'"{text}" is no mailbox: {error}') from error


async def check_address(context: Context, address: str) -> AddressReport:
    """What an address is and where its mail would go, from the configuration and the quotas that are used up."""
    asked = address_of(address)
    directory, paths = _directory(context)
    async with spool_or_none(context) as spool:
        facts, reply = await _facts(directory.resolve(asked), spool, paths)
    ends = []
    for recipient in _ends(directory, asked, reply):
        way = context.routing().router.route(recipient)
        target, reason = ("", way.outcome.reason) if isinstance(way, NoRoute) else (way.target, way.reason)
        ends.append(AddressTarget(recipient=str(recipient.address), target=target, reason=reason))
    explanation = address_kind_text(facts)
    return AddressReport(address=str(asked), kind=facts.kind, reply=reply, explanation=explanation, ends=ends)


async def forecast(context: Context, address: Address) -> AddressForecast:
    """Where a message to ``address`` would go now, with the queue for its destination where there is a spool."""
    directory, paths = _directory(context)
    async with spool_or_none(context) as spool:
        facts, reply = await _facts(directory.resolve(address), spool, paths)
        recipients = _ends(directory, address, reply)
        ends = await asyncio.gather(*(_end(context, spool, each) for each in recipients[:_MOST_ENDS]))
    for each in recipients[_MOST_ENDS:]:
        name, destination = str(each.address), context.routing().router.destination(each.address)
        ends.append(EndForecast(recipient=name, destination=destination, way="", target="", rule="not looked up"))
    return AddressForecast(
        address=str(address),
        now=context.clock.time(),
        kind=facts.kind,
        reply=reply,
        explanation=address_kind_text(facts),
        facts=facts,
        ends=ends,
    )


def _directory(context: Context) -> tuple[Directory, ReversePaths]:
    """What sessions ask, with the marks of addresses (SRS, BATV) as far as their secrets can be read here."""
    paths = ReversePaths(context.config, context.clock)
    paths.look()
    return Directory(context.config, paths.home), paths


def _ends(directory: Directory, address: Address, reply: str) -> list[Recipient]:
    """The recipients that mail for the address would have: none if it is refused."""
    if reply[0] != "2" and not isinstance(directory.resolve(address), Foreign):
        return []
    envelopes = expand_envelope(directory, Envelope(address, (Recipient(address),)))
    return [recipient for envelope in envelopes for recipient in envelope.recipients]


async def _facts(found: Resolution, spool: Spool | None, paths: ReversePaths) -> tuple[AddressFacts, str]:
    """What an address is, and the reply to RCPT from outside the trusted networks."""
    facts, reply = await _kind(found, spool)
    refused = paths.report_refused(found.address) if reply[0] == "2" else None
    if refused is None:
        return facts, reply
    code, enhanced, _ = refused.reply
    return replace(facts, report=f"{code} {enhanced}", report_why=refused.reason), reply


async def _kind(found: Resolution, spool: Spool | None) -> tuple[AddressFacts, str]:
    if isinstance(found, Local):
        facts = AddressFacts(kind="mailbox", deliver=str(found.deliver), paused=found.paused)
        if found.paused or not found.domain.quota:
            return facts, _reply(found)
        used = await _used(found.mailbox, spool)
        reply = _reply(found, used or 0)
        return replace(facts, quota=found.domain.quota, used=used, full=reply[0] != "2"), reply
    if isinstance(found, Moved):
        return AddressFacts(kind=found.kind, to=str(found.to), action=found.action), _reply(found)
    if isinstance(found, Expanded):
        to = str(found.targets[0].address) if found.signed else ""
        facts = AddressFacts(kind=found.kind, number=len(found.targets), owner=str(found.owner or ""), to=to)
        return facts, _reply(found)
    if isinstance(found, Unknown):
        return AddressFacts(kind="unknown", why=found.why), _reply(found)
    return AddressFacts(kind="foreign"), _reply(found)


def _reply(found: Resolution, used: int = 0) -> str:
    """What RCPT is answered, from where the sessions have it; the text only where it names an address."""
    reply = recipient_verdict(found, used=used).reply
    return str(reply) if isinstance(found, Moved) else f"{reply.code} {reply.enhanced}"


async def _used(mailbox: str, spool: Spool | None) -> int | None:
    """Octets in an inbox; None where there is no spool."""
    if spool is None:
        return None
    return next((each.octets for each in await spool.queries.inboxes() if each.name == mailbox), 0)


async def _end(context: Context, spool: Spool | None, recipient: Recipient) -> EndForecast:
    way = context.routing().router.route(recipient)
    destination = context.routing().router.destination(recipient.address)
    name = str(recipient.address)
    counted: dict[str, Any] = {}
    asked = [Condition("domain", "=", destination)]
    for row in await spool.queries.summary(asked, now=context.clock.time()) if spool is not None else ():
        counted = {"waiting": row.waiting, "held": row.held, "oldest": row.oldest}
    if isinstance(way, NoRoute):
        outcome = way.outcome
        return EndForecast(
            recipient=name,
            destination=destination,
            way="",
            target="",
            rule=outcome.reason,
            reply=str(outcome.reply or ""),
            **counted,
        )
    facts = {**counted, **await _place(context, way, destination)}
    return EndForecast(
        recipient=name, destination=destination, way=_way(way), target=way.target, rule=way.reason, **facts
    )


def _way(route: Route) -> str:
    return next((name for kind, name in _WAYS if isinstance(route.deliverer, kind)), "")


async def _place(context: Context, route: Route, destination: str) -> dict[str, Any]:
    """The hosts of a remote target, and what mail for them would wait for."""
    if not isinstance(route.deliverer, SmtpDeliverer):
        return {}
    routing = context.routing()
    hops = await next_hops(
        route.target, routing.resolver, random=routing.random, is_self=routing.is_self, loopback=routing.loopback
    )
    if isinstance(hops, Undeliverable):
        return {"lookup": hops.reason, "reply": str(hops.reply)}
    exchanges = [
        ExchangeEntry(name=each.name, preference=each.preference, addresses=[str(place) for place in each.endpoints])
        for each in hops.exchanges
    ]
    facts: dict[str, Any] = {"lookup": hops.reason, "exchanges": exchanges, "site": hops.site}
    facts["tls"] = route.deliverer.tls
    if context.outlook is not None:
        attempts = await next_attempts(context)
        facts["next"] = attempts.at_site(context.outlook(route, destination, hops.site), destination, attempts.now)
    return facts
