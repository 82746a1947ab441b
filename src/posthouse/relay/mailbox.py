"""Delivery into the spool's own mailboxes.

A mailbox gets the message as any final delivery does: with a new Return-Path in front, and without one that it brought
along (RFC 5321 §4.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import ClassVar, Protocol

from posthouse.core import (
    Address,
    Bytes,
    Content,
    Outcome,
    Prefixed,
    Reply,
    Result,
    StorageBusy,
    StorageError,
    StorageFull,
)
from posthouse.delivery.model import Deliverer, Delivery, all_of, lease_lost
from posthouse.message.headers import without
from posthouse.message.trace_fields import return_path
from posthouse.spool.interface import StoredMessage

__all__ = ["MailboxDeliverer", "MailboxStore"]

_KEPT = Reply(250, "2.0.0", "kept in the mailbox")
_FULL = Reply(452, "4.3.1", "mail system full")
_BUSY = Reply(451, "4.3.2", "mail system busy")
_BROKEN = Reply(451, "4.3.0", "mailbox not accessible")


class MailboxStore(Protocol):
    """The part of a spool that a mailbox needs."""

    def keep(self, inbox: str, message: StoredMessage, content: Content) -> Awaitable[None]:
        """Put a message into a mailbox.  When this returns it is on stable storage, once however often it is called."""
        ...


class MailboxDeliverer(Deliverer):
    """A deliverer into the spool's mailboxes; a target is the mailbox's name."""

    local: ClassVar[bool] = True

    def __init__(self, store: MailboxStore) -> None:
        self._store = store

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        """Put one copy into the mailbox ``target``, which all recipients of the delivery share.

        A fault of the spool is *deferred*, with its text as the reason.
        """
        envelope, content = delivery.envelope, delivery.content
        message = StoredMessage(delivery.queue_id, envelope, delivery.received, content.size)
        try:
            final = await _final(envelope.sender, content)
            if delivery.lost:
                return lease_lost(delivery, target)
            await self._store.keep(target, message, final)
        except StorageError as error:
            reply = _FULL if isinstance(error, StorageFull) else _BUSY if isinstance(error, StorageBusy) else _BROKEN
            return all_of(envelope.recipients, Result.DEFERRED, str(error), reply, target)
        return all_of(envelope.recipients, Result.DELIVERED, f"kept in the mailbox {target}", _KEPT, target)


async def _final(sender: Address | None, content: Content) -> Content:
    """The content as final delivery hands it over."""
    if isinstance(content, Bytes):
        stripped = without(content, b"Return-Path")
    else:  # may read a disk
        stripped = await asyncio.to_thread(without, content, b"Return-Path")
    return Prefixed(return_path(sender), stripped)
