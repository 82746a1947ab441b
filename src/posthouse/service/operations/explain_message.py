"""The history of one message as data: how it came, each event, and the state of its recipients now.

The spool's events name recipients by number; here they get their addresses.  The state of each recipient follows from
all events together.  While the message is in the queue its rows have the state, and the events only the reason for it;
afterwards the events are all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.core import path_text
from posthouse.service.operations.base import Context
from posthouse.service.operations.results import (
    AttemptEntry,
    ConnectionEntry,
    EventEntry,
    MessageHistory,
    RecipientNow,
    ResultEntry,
    filled,
)
from posthouse.spool.history import Accepted, AttemptEvent, Event, Origin, QueueEvent, RecipientResult
from posthouse.spool.interface import MessageEntry, RecipientState

__all__ = ["history_of"]

_UNSETTLED: Final = ("waiting", "held")
#: Kind of event → the recipient's state after it ("" for unchanged), and the word for why it is due.
_CHANGES: Final = {
    "held": ("held", "held"),
    "poison": ("held", "held"),
    "quarantined": ("held", "held"),
    "corrupt": ("held", "held"),
    "released": ("waiting", "released"),
    "retried": ("waiting", "retried"),
    "rerouted": ("", "rerouted"),
    "dropped": ("failed", "dropped"),
}


class _RecipientHistory:
    """The state of one recipient after the events that were applied so far."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.attempts = 0
        self.due: float | None = None
        self.why = ""
        self.last = ""
        self.route = ""

    def attempted(self, result: RecipientResult) -> None:
        """Apply the result of an attempt."""
        self.attempts += 1
        self.state = result.state
        self.due = result.due if result.state == "waiting" else None
        self.why = result.why if result.state == "waiting" else ""
        self.last = f"{result.result}: {result.reason or result.reply or ''}".rstrip(": ")  # as the queue shows it

    def changed(self, event: QueueEvent) -> None:
        """Apply any other event."""
        if event.kind not in _CHANGES or self.state not in _UNSETTLED:
            return
        state, verb = _CHANGES[event.kind]
        self.state = state or self.state
        if event.kind == "rerouted":
            self.route = event.text
        if self.state == "waiting":
            self.due = event.at
            self.why = f"{verb} by {event.who or 'an operator'}"
        else:
            self.due, self.why = None, ""


async def history_of(context: Context, queue_id: str) -> MessageHistory | None:
    """The history of one message; None if neither the queue nor the kept histories have it."""
    async with context.spool() as spool:
        events = await spool.queries.history(queue_id)
        entry = await spool.queries.entry(queue_id)
    if not events and entry is None:
        return None
    accepted = _accepted(events, entry)
    recipients = accepted.recipients
    states = [_RecipientHistory() for _ in recipients]
    shown: list[AttemptEntry | EventEntry] = []
    for event in events:
        if isinstance(event, AttemptEvent):
            for result in event.ends:
                if result.key < len(states):
                    states[result.key].attempted(result)
            shown.append(_attempt(event, recipients))
        elif isinstance(event, QueueEvent):
            for key in event.keys or range(len(states)):
                if key < len(states):
                    states[key].changed(event)
            names = [recipients[key] for key in event.keys if key < len(recipients)]
            shown.append(filled(EventEntry, event, recipients=names))
    origin = accepted.arrival
    return MessageHistory(
        id=queue_id,
        now=context.clock.time(),
        queued=entry is not None
        and any(each.state in (RecipientState.WAITING, RecipientState.HELD) for each in entry.recipients),
        corrupt=entry is not None and entry.corrupt,
        received=accepted.at,
        source=accepted.source,
        helo=origin.helo,
        tls=origin.tls,
        user=origin.user,
        sender=accepted.sender,
        recipients=recipients,
        size=accepted.size,
        message_id=origin.message_id,
        about=origin.about,
        events=shown,
        standing=_now(entry, recipients, states),
    )


def _accepted(events: Sequence[Event], entry: MessageEntry | None) -> Accepted:
    """The first event; made from the queue's row where no history is kept."""
    first = next((event for event in events if isinstance(event, Accepted)), None)
    if first is not None:
        return first
    if entry is None:
        return Accepted(events[0].at, "", "", (), 0)
    message = entry.message
    recipients = tuple(str(each.recipient.address) for each in entry.recipients)
    sender = path_text(message.envelope.sender)
    return Accepted(message.received, message.source, sender, recipients, message.size, Origin())


def _now(
    entry: MessageEntry | None, recipients: Sequence[str], states: Sequence[_RecipientHistory]
) -> list[RecipientNow]:
    if entry is None:
        return [filled(RecipientNow, state, address=name) for name, state in zip(recipients, states, strict=True)]
    now = []
    for row in entry.recipients:
        past = states[row.key] if row.key < len(states) else _RecipientHistory()
        waits = row.state is RecipientState.WAITING
        now.append(
            filled(
                RecipientNow,
                row,
                address=str(row.recipient.address),
                state=row.state.value,
                due=row.due if waits else None,
                why=past.why if waits else "",
                last=row.last or past.last,
            )
        )
    return now


def _attempt(attempt: AttemptEvent, recipients: Sequence[str]) -> AttemptEntry:
    trace = attempt.trace
    return filled(
        AttemptEntry,
        trace,
        at=attempt.at,
        began=trace.began or None,
        destination=attempt.destination,
        connections=[filled(ConnectionEntry, each, timings=dict(each.timings)) for each in trace.connections],
        ends=[_result(each, recipients) for each in attempt.ends],
    )


def _result(result: RecipientResult, recipients: Sequence[str]) -> ResultEntry:
    waits = result.state == "waiting"
    return filled(
        ResultEntry,
        result,
        recipient=recipients[result.key] if result.key < len(recipients) else f"recipient {result.key + 1}",
        result=result.result.value,
        reply="" if result.reply is None else str(result.reply),
        due=result.due if waits else None,
        why=result.why if waits else "",
    )
