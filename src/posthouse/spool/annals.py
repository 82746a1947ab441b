"""Stories and the audit log of the queue in memory: a bounded number, the oldest go first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from posthouse.core import AttemptTrace
from posthouse.spool.history import (
    MOST_EVENTS,
    Accepted,
    AttemptEvent,
    Event,
    MessageSummary,
    Origin,
    QueueEvent,
    RecipientResult,
)
from posthouse.spool.interface import AuditRecord, Lease, Settlement, StoredMessage
from posthouse.spool.sqlite.history_store import KEPT_FIRST, plain_address

__all__ = ["Annals"]


class Annals:
    """What is told.  ``waits`` says of an id whether some of that message is still in the queue."""

    def __init__(self, most: int, waits: Callable[[str], bool]) -> None:
        self._most = most
        self._waits = waits
        self._stories: dict[str, list[Event]] = {}
        self.audit: deque[AuditRecord] = deque(maxlen=most)

    def accepted(self, message: StoredMessage, arrival: Origin | None) -> None:
        """A story begins."""
        sender = message.envelope.sender
        people = tuple(plain_address(recipient.address) for recipient in message.envelope.recipients)
        self._stories[message.id] = [
            Accepted(
                message.received,
                message.source,
                "" if sender is None else plain_address(sender),
                people,
                message.size,
                arrival or Origin(),
            )
        ]
        if len(self._stories) > self._most:
            over = next((each for each in self._stories if not self._waits(each)), None)
            if over is not None:
                del self._stories[over]

    def attempt(
        self,
        work: Lease,
        settlements: Sequence[Settlement],
        at: float,
        trail: AttemptTrace | None,
        reports: Sequence[str],
    ) -> None:
        """An attempt was recorded, with reports under these ids."""
        ends = tuple(
            RecipientResult(key, state.value, due, outcome.result, outcome.reply, outcome.reason, outcome.peer, why)
            for key, state, due, outcome, why, _ in settlements
        )
        self.tell(work.message.id, AttemptEvent(at, work.destination, trail or AttemptTrace(), ends))
        warned = tuple(settlement.key for settlement in settlements if settlement.warned)
        if warned:
            self.tell(work.message.id, QueueEvent(at, "warned", warned))
        for report in reports:
            self.tell(work.message.id, QueueEvent(at, "reported", (), "", report))

    def tell(self, queue_id: str, event: Event) -> None:
        """A story goes on."""
        story = self._stories.get(queue_id)
        if story is not None:
            story.append(event)
            if len(story) > MOST_EVENTS:
                del story[KEPT_FIRST]

    def story(self, queue_id: str) -> list[Event]:
        """See ``Queue.story``."""
        return list(self._stories.get(queue_id, ()))

    def find(self, address: str, message_id: str, limit: int) -> list[MessageSummary]:
        """See ``Queue.find``."""
        wanted = address.lower()
        found = []
        for queue_id in sorted(self._stories, reverse=True):
            first = self._stories[queue_id][0]
            assert isinstance(first, Accepted)
            if wanted and wanted not in {each.lower() for each in (first.sender, *first.recipients)}:
                continue
            if message_id and message_id != first.arrival.message_id:
                continue
            told = MessageSummary(
                queue_id, first.at, first.sender, first.recipients, first.arrival.message_id, self._waits(queue_id)
            )
            found.append(told)
            if len(found) == limit:
                break
        return found
