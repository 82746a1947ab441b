"""A message and its recipients as the queue in memory has them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.spool.filters import RecipientRow
from posthouse.spool.interface import Lease, MessageEntry, QueueAction, QueuedRecipient, RecipientState, StoredMessage

__all__ = ["Kept", "KeptRecipient", "MemoryLease", "UNSETTLED", "do", "entry_of", "row_of", "works_of"]

#: The states of a recipient that is not settled.
UNSETTLED = (RecipientState.WAITING, RecipientState.HELD)


class MemoryLease(NamedTuple):
    """Whose a recipient is, and until when by the clock; ``slot`` is the queue object that gave it."""

    slot: int
    owner: str
    until: float


class KeptRecipient:
    """One recipient's state."""

    __slots__ = ("lease", "waiting")

    def __init__(self, waiting: QueuedRecipient, lease: MemoryLease | None) -> None:
        self.waiting = waiting
        self.lease = lease

    @property
    def ready(self) -> float:
        """When it may be leased, as far as the clock has a say."""
        return self.waiting.due if self.lease is None else self.lease.until


class Kept:
    """One message with its recipients."""

    __slots__ = ("content", "finished", "message", "recipients")

    def __init__(self, message: StoredMessage, content: bytes, recipients: list[KeptRecipient]) -> None:
        self.message = message
        self.content = content
        self.recipients = recipients
        self.finished: float | None = None


def works_of(message: StoredMessage, recipients: Sequence[KeptRecipient], owner: str, until: float) -> list[Lease]:
    """Leases: one work for each destination."""
    groups: dict[str, list[QueuedRecipient]] = {}
    for recipient in recipients:
        groups.setdefault(recipient.waiting.destination, []).append(recipient.waiting)
    return [Lease(message, name, tuple(waiting), owner, until) for name, waiting in groups.items()]


def entry_of(kept: Kept) -> MessageEntry:
    """As a listing has it."""
    return MessageEntry(kept.message, tuple(recipient.waiting for recipient in kept.recipients))


def row_of(message: StoredMessage, recipient: KeptRecipient) -> RecipientRow:
    """As a question is asked of it."""
    waiting, sender = recipient.waiting, message.envelope.sender
    return RecipientRow(
        message.id,
        waiting.key,
        "" if sender is None else str(sender),
        str(waiting.recipient.address),
        waiting.destination,
        waiting.state.value,
        waiting.attempts,
        message.received,
        waiting.due,
        message.size,
        waiting.last,
        waiting.route,
        waiting.state is RecipientState.WAITING and recipient.lease is not None,
    )


def do(act: QueueAction, recipient: KeptRecipient, now: float, who: str, target: str) -> bool:
    """Do it to one recipient; false if there was nothing to do."""
    waiting = recipient.waiting
    wanted = {
        QueueAction.HOLD: (RecipientState.WAITING,),
        QueueAction.RETRY: (RecipientState.WAITING,),
        QueueAction.RELEASE: (RecipientState.HELD,),
    }
    if waiting.state not in wanted.get(act, UNSETTLED):
        return False
    if act is QueueAction.HOLD:
        waiting, recipient.lease = waiting._replace(state=RecipientState.HELD), None
    elif act is QueueAction.RELEASE:
        waiting = waiting._replace(state=RecipientState.WAITING, due=now)
    elif act is QueueAction.RETRY:
        waiting = waiting._replace(due=now)
    elif act is QueueAction.REROUTE:
        waiting = waiting._replace(route=target, due=now)
    else:
        last = f"dropped by {who}" if who else "dropped"
        waiting, recipient.lease = waiting._replace(state=RecipientState.FAILED, last=last), None
    recipient.waiting = waiting
    return True
