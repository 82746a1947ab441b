"""Mailboxes in memory, and the count of octets that they share with the queue."""

from __future__ import annotations

from collections.abc import Collection

from posthouse.core import Bytes, Content, StorageFull
from posthouse.spool.annals import Annals
from posthouse.spool.filters import text_of_numbers
from posthouse.spool.interface import AuditRecord, Inbox, InboxMessage, StoredMessage

__all__ = ["MemoryInboxes"]


class _Count:
    """Octets held, and the number of the last message that came into a mailbox; one for all who share a memory."""

    octets = 0
    number = 0


class MemoryInboxes:
    """The part of the queue in memory that keeps mailboxes; ``capacity`` octets in all."""

    _annals: Annals

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._count = _Count()
        self._inbox: dict[int, tuple[InboxMessage, bytes]] = {}
        self._in_inbox: set[tuple[str, str]] = set()

    def grow(self, octets: int) -> None:
        """Count octets in; raises ``StorageFull``.  For receipts."""
        held = self._count.octets
        if held + octets > self._capacity:
            raise StorageFull(f"the memory queue holds {held} octets and takes {self._capacity} at most")
        self._count.octets += octets

    def shrink(self, octets: int) -> None:
        """Count octets out; for receipts."""
        self._count.octets -= octets

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        """See ``Queue.keep``."""
        if (inbox, message.id) in self._in_inbox:
            return
        self.grow(content.size)
        self._count.number += 1
        number, sender = self._count.number, message.envelope.sender
        kept = InboxMessage(
            number, inbox, message.id, "" if sender is None else str(sender), message.received, content.size
        )
        self._inbox[number] = (kept, b"".join(content.chunks()))
        self._in_inbox.add((inbox, message.id))

    async def inboxes(self) -> list[Inbox]:
        """See ``Queue.inboxes``."""
        found: dict[str, Inbox] = {}
        for message, _ in self._inbox.values():
            inbox = found.get(message.inbox, Inbox(message.inbox, 0, 0))
            found[message.inbox] = Inbox(message.inbox, inbox.messages + 1, inbox.octets + message.size)
        return [found[name] for name in sorted(found)]

    async def inbox(self, name: str = "", *, limit: int = 1000, after: int = 0) -> list[InboxMessage]:
        """See ``Queue.inbox``."""
        found = [m for m, _ in self._inbox.values() if m.number > after and name in ("", m.inbox)]
        return found[:limit]

    async def kept(self, number: int) -> tuple[InboxMessage, Content] | None:
        """See ``Queue.kept``."""
        found = self._inbox.get(number)
        return None if found is None else (found[0], Bytes(found[1]))

    async def discard(self, numbers: Collection[int], *, now: float, who: str = "") -> int:
        """See ``Queue.discard``."""
        count = 0
        for number in numbers:
            found = self._inbox.pop(number, None)
            if found is not None:
                message, content = found
                self._in_inbox.discard((message.inbox, message.queue_id))
                self.shrink(len(content))
                count += 1
        self._annals.audit.append(AuditRecord(now, who, "delete", text_of_numbers(tuple(numbers)), "", count))
        return count
