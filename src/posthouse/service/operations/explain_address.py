"""Where mail for an address would go: the operation ``check address``, and the part of ``explain`` about addresses.

Nothing is sent and nothing is stored; next hops are looked up in the DNS as the relay does it.
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
    ExchangeEntry,
)
from posthouse.service.policy import vrfy
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
    """What an address is and where its mail would go, from the configuration alone."""
    asked = address_of(address)
    found, recipients = _ends(context, asked)
    kind, reply, explanation = _described(found)
    ends = []
    for recipient in recipients:
        way = context.routing().router.route(recipient)
        target, reason = ("", way.outcome.reason) if isinstance(way, NoRoute) else (way.target, way.reason)
        ends.append(AddressTarget(recipient=str(recipient.address), target=target, reason=reason))
    return AddressReport(address=str(asked), kind=kind, reply=reply, explanation=explanation, ends=ends)


async def forecast(context: Context, address: Address) -> AddressForecast:
    """Where a message to ``address`` would go now, with the queue for its destination where there is a spool."""
    found, recipients = _ends(context, address)
    kind, reply, explanation = _described(found)
    async with contextlib.AsyncExitStack() as stack:
        spool = None
        with contextlib.suppress(SettingError):
            spool = await stack.enter_async_context(context.spool())
        ends = await asyncio.gather(*(_end(context, spool, each) for each in recipients[:_MOST_ENDS]))
    for each in recipients[_MOST_ENDS:]:
        name, destination = str(each.address), context.routing().router.destination(each.address)
        ends.append(EndForecast(recipient=name, destination=destination, way="", target="", rule="not looked up"))
    return AddressForecast(
        address=str(address), now=context.clock.time(), kind=kind, reply=reply, explanation=explanation, ends=ends
    )


def _ends(context: Context, address: Address) -> tuple[Resolution, list[Recipient]]:
    """What the address is, and the recipients that its mail would have: none if mail for it is refused."""
    directory = Directory(context.config)
    found = directory.resolve(address)
    reply = _described(found)[1]
    if reply[0] != "2" and not isinstance(found, Foreign):
        return found, []
    envelopes = expand_envelope(directory, Envelope(address, (Recipient(address),)))
    return found, [recipient for envelope in envelopes for recipient in envelope.recipients]


def _described(found: Resolution) -> tuple[str, str, str]:
    """Kind, the reply to RCPT from outside the trusted networks, and the explanation."""
    if isinstance(found, Local):
        if found.paused:
            return "mailbox", "450 4.2.1", "The mailbox is paused; senders will try again later."
        return "mailbox", "250 2.1.5", f'A local mailbox, with deliver = "{found.deliver}".'
    if isinstance(found, Moved):
        verb = "sent on to" if found.action == "forward" else "refused, and the sender told of"
        return "moved", str(vrfy.moved(found).reply), f"The mailbox has moved; mail is {verb} {found.to}."
    if isinstance(found, Expanded):
        if found.owner is None:
            return "alias", "250 2.1.5", f"An alias for {_addresses(len(found.targets))}; the sender is kept."
        return "list", "250 2.1.5", f"A list of {_addresses(len(found.targets))}; {found.owner} becomes the sender."
    if isinstance(found, Foreign):
        return (
            "foreign",
            "550 5.7.1",
            "The domain is not local: only trusted networks may send to it from here.",
        )
    return "unknown", "550 5.1.1", "The domain is local, and has no mailbox of this name."


def _addresses(number: int) -> str:
    return "1 address" if number == 1 else f"{number} addresses"


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
    facts = {**counted, **await _place(context, way)}
    return EndForecast(
        recipient=name, destination=destination, way=_way(way), target=way.target, rule=way.reason, **facts
    )


def _way(route: Route) -> str:
    return next((name for kind, name in _WAYS if isinstance(route.deliverer, kind)), "")


async def _place(context: Context, route: Route) -> dict[str, Any]:
    """The hosts of a remote target, and the health of their site."""
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
    status = context.sites().get(hops.site) if context.sites is not None else None
    if status is not None:
        facts["limit"] = status.limit
        if status.until is not None:
            facts["until"] = context.clock.time() + max(0.0, status.until - context.clock.monotonic())
            facts["why"] = status.why
    return facts
