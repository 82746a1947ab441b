"""Deliverers that stay in the house: the spool's own mailboxes, and nowhere.

A mailbox gets the letter as any final delivery does: with a fresh Return-Path in front, and without one that it
brought along (RFC 5321 §4.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from posthouse.core import (
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
from posthouse.delivery.model import Delivery
from posthouse.message.headers import without
from posthouse.message.trace_fields import return_path
from posthouse.spool.interface import StoredMessage

__all__ = ["DiscardDeliverer", "MailboxDeliverer", "MailboxStore"]


class MailboxStore(Protocol):
    """The part of ``spool.queue.Queue`` that a mailbox needs."""

    def keep(self, inbox: str, message: StoredMessage, content: Content) -> Awaitable[None]:
        """See ``Queue.keep``: durable when it returns, once however often it is called."""
        ...


class MailboxDeliverer:
    """Keeps letters in the spool; the target of a route is the mailbox's name."""

    local = True

    def __init__(self, queue: MailboxStore) -> None:
        self._queue = queue

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """One copy into the mailbox ``target``, for all the job's recipients (they share it).

        A full or busy spool is *deferred*.  Any other fault of the spool is deferred too, with its words as reason.
        """
        try:
            content = await _final(job)
            await self._queue.keep(target, job.message, content)
        except StorageFull as full:
            return _all(job, Result.DEFERRED, Reply(452, "4.3.1", "mail system full"), str(full), target)
        except StorageBusy as busy:
            return _all(job, Result.DEFERRED, Reply(451, "4.3.2", "mail system busy"), str(busy), target)
        except StorageError as error:
            return _all(job, Result.DEFERRED, Reply(451, "4.3.0", "mailbox not accessible"), str(error), target)
        kept = Reply(250, "2.0.0", "kept in the mailbox")
        return _all(job, Result.DELIVERED, kept, f"kept in the mailbox {target}", target)

    async def close(self) -> None:
        """Nothing is kept open."""


class DiscardDeliverer:
    """Takes everything and keeps nothing, for domains that are set to ``discard``."""

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """Every recipient is delivered; ``target`` is only repeated in the outcome."""
        return self.deliver_now(job, target)

    def deliver_now(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """As ``deliver``; there is never anything to wait for."""
        reason = "discarded, as the configuration says"
        return _all(job, Result.DELIVERED, Reply(250, "2.0.0", "discarded"), reason, target)

    async def close(self) -> None:
        """Nothing is kept open."""


def _all(job: Delivery, result: Result, reply: Reply, reason: str, peer: str) -> list[Outcome]:
    return [Outcome(recipient, result, reply, reason, peer) for recipient in job.recipients]


async def _final(job: Delivery) -> Content:
    """The content as final delivery hands it over."""
    if isinstance(job.content, Bytes):
        stripped = without(job.content, b"Return-Path")
    else:  # may read a disk
        stripped = await asyncio.to_thread(without, job.content, b"Return-Path")
    return Prefixed(return_path(job.message.envelope.sender), stripped)
