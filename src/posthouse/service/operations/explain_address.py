"""The dry run: what a letter to an address would meet now, without sending one.

It asks what the relay would ask, of the same parts: the accounts for the ends of the address, the router for the way of
each, the DNS for the hosts behind a domain, the running relay for how those hosts stand.  Nothing is connected to.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

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
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.relay import MailboxDeliverer, NoRoute, Route
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Local, Moved, Resolution
from posthouse.service.directory.expansion import expand_envelope
from posthouse.service.operations.base import Context
from posthouse.service.operations.results import (
    AddressForecast,
    AddressReport,
    AddressTarget,
    EndForecast,
    ExchangeTold,
)
from posthouse.service.policy import vrfy as inquiries
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
        return Address(bare) if bare.lower() == "postmaster" else parse_mailbox(bare)
    except GrammarError as error:
        raise SettingError(f'"{text}" is no mailbox: {error}') from error


async def check_address(context: Context, address: str) -> AddressReport:
    """What an address stands for and where its mail would go, from the configuration alone."""
    asked = address_of(address)
    found, people = _ends(context, asked)
    kind, reply, explanation = _judged(found)
    ends = []
    for recipient in people:
        way = context.ways().router.route(recipient)
        target, reason = ("", way.outcome.reason) if isinstance(way, NoRoute) else (way.target, way.reason)
        ends.append(AddressTarget(recipient=str(recipient.address), target=target, reason=reason))
    return AddressReport(address=str(asked), kind=kind, reply=reply, explanation=explanation, ends=ends)


async def forecast(context: Context, address: Address) -> AddressForecast:
    """What would become of a letter to ``address`` now; what is in the queue is told where there is a spool."""
    found, people = _ends(context, address)
    kind, reply, explanation = _judged(found)
    async with contextlib.AsyncExitStack() as stack:
        queue = None
        with contextlib.suppress(SettingError):
            queue = await stack.enter_async_context(context.queue())
        ends = await asyncio.gather(*(_end(context, queue, each) for each in people[:_MOST_ENDS]))
    for each in people[_MOST_ENDS:]:
        name, destination = str(each.address), context.ways().router.destination(each.address)
        ends.append(EndForecast(recipient=name, destination=destination, way="", target="", rule="not looked up"))
    return AddressForecast(
        address=str(address), now=context.clock.time(), kind=kind, reply=reply, explanation=explanation, ends=ends
    )


def _ends(context: Context, address: Address) -> tuple[Resolution, list[Recipient]]:
    """What the address is, and who would get its mail: nobody, where mail for it is not taken."""
    directory = Directory(context.config)
    found = directory.resolve(address)
    reply = _judged(found)[1]
    if reply[0] != "2" and not isinstance(found, Foreign):
        return found, []
    envelopes = expand_envelope(directory, Envelope(address, (Recipient(address),)))
    return found, [recipient for envelope in envelopes for recipient in envelope.recipients]


def _judged(found: Resolution) -> tuple[str, str, str]:
    """Kind, a stranger's reply, and the explanation."""
    if isinstance(found, Local):
        if found.paused:
            return "mailbox", "450 4.2.1", "The mailbox is paused; senders try again later."
        return "mailbox", "250 2.1.5", f"A mailbox of ours; its mail is put into {found.deliver}."
    if isinstance(found, Moved):
        verb = "sent on to" if found.action == "forward" else "refused, and the sender told of"
        return "moved", str(inquiries.moved(found).reply), f"The mailbox has moved; mail is {verb} {found.to}."
    if isinstance(found, Expanded):
        if found.owner is None:
            return "alias", "250 2.1.5", f"An alias of {len(found.targets)}; the sender stays the sender."
        return "list", "250 2.1.5", f"A list of {len(found.targets)}; {found.owner} becomes the sender."
    if isinstance(found, Foreign):
        return "foreign", "550 5.7.1", "Not a domain of ours: only trusted networks may send there through us."
    return "unknown", "550 5.1.1", "The domain is ours, and nobody of that name lives there."


async def _end(context: Context, queue: Spool | None, recipient: Recipient) -> EndForecast:
    way = context.ways().router.route(recipient)
    destination = context.ways().router.destination(recipient.address)
    name = str(recipient.address)
    counted: dict[str, Any] = {}
    asked = [Condition("domain", "=", destination)]
    for row in await queue.summary(asked, now=context.clock.time()) if queue is not None else ():
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
    facts = {**counted, **await _place(context, way)}
    return EndForecast(
        recipient=name, destination=destination, way=_way(way), target=way.target, rule=way.reason, **facts
    )


def _way(route: Route) -> str:
    return next((name for kind, name in _WAYS if isinstance(route.deliverer, kind)), "")


async def _place(context: Context, route: Route) -> dict[str, Any]:
    """The hosts behind a target in the world outside, and how they stand."""
    if not isinstance(route.deliverer, SmtpDeliverer):
        return {}
    ways = context.ways()
    hops = await next_hops(route.target, ways.resolver, random=ways.random, is_self=ways.is_self)
    if isinstance(hops, Undeliverable):
        return {"lookup": hops.reason, "reply": str(hops.reply)}
    exchanges = [
        ExchangeTold(name=each.name, preference=each.preference, addresses=[str(place) for place in each.endpoints])
        for each in hops.exchanges
    ]
    facts: dict[str, Any] = {"lookup": hops.reason, "exchanges": exchanges, "site": hops.site}
    standing = context.sites().get(hops.site) if context.sites is not None else None
    if standing is not None:
        facts["limit"] = standing.limit
        if standing.until is not None:
            facts["until"] = context.clock.time() + max(0.0, standing.until - context.clock.monotonic())
            facts["why"] = standing.why
    return facts
