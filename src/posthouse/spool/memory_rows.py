"""A message and its recipients as the queue in memory has them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.spool.filters import Row
from posthouse.spool.interface import Act, Entry, Message, State, Waiting, Work

__all__ = ["Kept", "KeptRecipient", "Lease", "UNSETTLED", "do", "entry_of", "row_of", "works_of"]

#: The states of a recipient that is not settled.
UNSETTLED = (State.WAITING, State.HELD)


class Lease(NamedTuple):
    """Whose a recipient is, and until when by the clock; ``slot`` is the queue object that gave it."""

    slot: int
    owner: str
    until: float


class KeptRecipient:
    """One recipient's state."""

    __slots__ = ("lease", "waiting")

    def __init__(self, waiting: Waiting, lease: Lease | None) -> None:
        self.waiting = waiting
        self.lease = lease

    @property
    def ready(self) -> float:
        """When it may be leased, as far as the clock has a say."""
        return self.waiting.due if self.lease is None else self.lease.until


class Kept:
    """One message with its recipients."""

    __slots__ = ("content", "finished", "message", "recipients")

    def __init__(self, message: Message, content: bytes, recipients: list[KeptRecipient]) -> None:
        self.message = message
        self.content = content
        self.recipients = recipients
        self.finished: float | None = None


def works_of(message: Message, recipients: Sequence[KeptRecipient], owner: str, until: float) -> list[Work]:
    """Leases: one work for each destination."""
    groups: dict[str, list[Waiting]] = {}
    for recipient in recipients:
        groups.setdefault(recipient.waiting.destination, []).append(recipient.waiting)
    return [Work(message, name, tuple(waiting), owner, until) for name, waiting in groups.items()]


def entry_of(kept: Kept) -> Entry:
    """As a listing has it."""
    return Entry(kept.message, tuple(recipient.waiting for recipient in kept.recipients))


def row_of(message: Message, recipient: KeptRecipient) -> Row:
    """As a question is asked of it."""
    waiting, sender = recipient.waiting, message.envelope.sender
    return Row(
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
        waiting.state is State.WAITING and recipient.lease is not None,
    )


def do(act: Act, recipient: KeptRecipient, now: float, who: str, target: str) -> bool:
    """Do it to one recipient; false if there was nothing to do."""
    waiting = recipient.waiting
    wanted = {Act.HOLD: (State.WAITING,), Act.RETRY: (State.WAITING,), Act.RELEASE: (State.HELD,)}
    if waiting.state not in wanted.get(act, UNSETTLED):
        return False
    if act is Act.HOLD:
        waiting, recipient.lease = waiting._replace(state=State.HELD), None
    elif act is Act.RELEASE:
        waiting = waiting._replace(state=State.WAITING, due=now)
    elif act is Act.RETRY:
        waiting = waiting._replace(due=now)
    elif act is Act.REROUTE:
        waiting = waiting._replace(route=target, due=now)
    else:
        last = f"dropped by {who}" if who else "dropped"
        waiting, recipient.lease = waiting._replace(state=State.FAILED, last=last), None
    recipient.waiting = waiting
    return True
