"""Shared parts of the spool checks: the types of a check, and helpers that store and settle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from posthouse.core import Address, AsyncContent, Bytes, Content, Envelope, Outcome, Recipient, Reply, Result
from posthouse.spool.interface import Lease, RecipientState, Settlement, Spool, Stored

__all__ = [
    "Check",
    "Make",
    "MakePeers",
    "NOW",
    "PeerCheck",
    "next_due",
    "octets_of",
    "recipient_keys",
    "recipients",
    "settle_all",
    "store",
    "streamed",
]

Make = Callable[[], Awaitable[Spool]]
Check = Callable[[Make], Awaitable[None]]
MakePeers = Callable[[], Awaitable[tuple[Spool, Spool]]]
PeerCheck = Callable[[MakePeers], Awaitable[None]]

NOW = 1_700_000_000.0


def recipients(*addresses: str) -> tuple[Recipient, ...]:
    """Recipients with these addresses, without parameters."""
    return tuple(Recipient(Address(*address.split("@"))) for address in addresses)


def octets_of(content: Content) -> bytes:
    """The whole content."""
    return b"".join(content.chunks())


async def streamed(content: Content, at_most: int = 262_144) -> bytes:
    """The whole content, as an event loop reads it: that of an ``AsyncContent`` by its stream."""
    if not isinstance(content, AsyncContent):
        assert isinstance(content, Bytes), "what blocks is not read on the loop"
        return content.data
    pieces = [piece async for piece in content.stream(at_most)]
    assert all(0 < len(piece) <= at_most for piece in pieces)
    return b"".join(pieces)


async def store(
    spool: Spool,
    *addresses: str,
    content: bytes = b"Subject: x\r\n\r\nhello\r\n",
    due: float = NOW,
    owner: str = "",
    until: float = 0.0,
) -> Stored:
    """Store a message from a@sohu.com; with an ``owner``, leased to it."""
    incoming = spool.receive()
    waiting = incoming.write(content)
    if waiting is not None:
        await waiting
    envelope = Envelope(Address("a", "sohu.com"), recipients(*addresses))
    destinations = [address.split("@")[1] for address in addresses]
    return await incoming.commit(envelope, destinations, received=NOW, due=due, owner=owner, until=until)


async def next_due(spool: Spool, now: float) -> float | None:
    """When the first recipient is due, or something may become due that is not in sight yet."""
    page = await spool.due(now, limit=1)
    times = [each.ready for each in page.destinations] + ([] if page.again is None else [page.again])
    return min(times, default=None)


def settle_all(lease: Lease, state: RecipientState, due: float = NOW) -> list[Settlement]:
    """The settlement of every recipient of a lease with one state; ``due`` is the time of the next attempt."""
    result = {RecipientState.DELIVERED: Result.DELIVERED, RecipientState.FAILED: Result.FAILED}.get(
        state, Result.DEFERRED
    )
    reply = Reply(250, "2.0.0", "taken") if result is Result.DELIVERED else Reply(450, "4.2.0", "later")
    return [
        Settlement(recipient.key, state, due, Outcome(recipient.recipient, result, reply, "", "mx.test"))
        for recipient in lease.recipients
    ]


def recipient_keys(leases: Sequence[Lease]) -> list[tuple[str, int]]:
    """(queue id, key) of every recipient in these leases."""
    return sorted((lease.message.id, recipient.key) for lease in leases for recipient in lease.recipients)
