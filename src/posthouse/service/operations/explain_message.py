"""The history of one message as data: how it came, each event, and the state of its recipients now.

The spool's events name recipients by number; here they get their addresses.  The state of each recipient follows from
all events together.  While the message is in the queue its rows have the state, and the events only the reason for it;
afterwards the events are all there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from posthouse.core import path_text
from posthouse.service.mailauth.texts.verdict_text import verdict_entries
from posthouse.service.operations.base import Context
from posthouse.service.operations.next_attempt import NextAttempts, next_attempts
from posthouse.service.operations.remarks import remark_entries
from posthouse.service.operations.results import (
    AttemptEntry,
    ConnectionEntry,
    CopyEntry,
    EventEntry,
    ExpansionEntry,
    MessageHistory,
    RecipientNow,
    ResultEntry,
    filled,
)
from posthouse.spool.history import Accepted, AttemptEvent, Event, Expansion, Origin, QueueEvent, RecipientResult
from posthouse.spool.interface import MessageEntry, RecipientState

__all__ = ["history_of"]

_UNSETTLED: Final = ("waiting", "held")
_KEPT_FIRST: Final = 8  # attempts before those that a long history has lost
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
#: The same of an act that was undone.
_UNDONE: Final = {
    "hold": ("waiting", "released"),
    "drop": ("waiting", "released"),
    "release": ("held", "held"),
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
        if self.state not in _UNSETTLED:
            return
        if event.kind == "restored":
            self.route, self.due, self.why = event.text, None, ""
        change = _UNDONE.get(event.text) if event.kind == "undone" else _CHANGES.get(event.kind)
        if change is None:
            return
        state, verb = change
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
    lost = _lost_attempts(events, entry)
    shown: list[AttemptEntry | EventEntry] = []
    attempts = 0
    for event in events:
        if isinstance(event, AttemptEvent):
            if attempts == _KEPT_FIRST:
                for key, state in enumerate(states):
                    state.attempts += lost.get(key, 0)
            attempts += 1
            numbers = set()
            for result in event.ends:
                if result.key < len(states):
                    states[result.key].attempted(result)
                    numbers.add(states[result.key].attempts)
            shown.append(_attempt(event, recipients, sorted(numbers)))
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
        standing=_now(queue_id, entry, recipients, states, await next_attempts(context)),
        expansions=[_expansion(each, recipients) for each in origin.expansions],
        expires=_expiry(context, accepted.at, entry),
        named_sender=origin.sender,
        parent=origin.parent,
        remarks=remark_entries(origin.remarks),
        verdicts=verdict_entries(origin.verdicts),
    )


def _expiry(context: Context, received: float, entry: MessageEntry | None) -> float | None:
    """When the message is given up by the configuration of now; None unless some recipient waits."""
    waits = entry is not None and any(each.state is RecipientState.WAITING for each in entry.recipients)
    return received + context.config.relay.give_up_after if waits else None


def _lost_attempts(events: Sequence[Event], entry: MessageEntry | None) -> dict[int, int]:
    """How many attempts of each recipient a long history has lost, by the count in the recipient's row."""
    kept = Counter(end.key for each in events if isinstance(each, AttemptEvent) for end in each.ends)
    return {row.key: max(0, row.attempts - kept[row.key]) for row in entry.recipients} if entry is not None else {}


def _expansion(expansion: Expansion, recipients: Sequence[str]) -> ExpansionEntry:
    names = [recipients[key] for key in expansion.keys if key < len(recipients)]
    copies = [CopyEntry(id=queue_id, sender=sender) for queue_id, sender in expansion.copies]
    return filled(ExpansionEntry, expansion, recipients=names, copies=copies)


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
    queue_id: str,
    entry: MessageEntry | None,
    recipients: Sequence[str],
    states: Sequence[_RecipientHistory],
    attempts: NextAttempts,
) -> list[RecipientNow]:
    if entry is None:
        return [
            filled(RecipientNow, state, address=name, next=None) for name, state in zip(recipients, states, strict=True)
        ]
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
                next=attempts.of_recipient(queue_id, row) if waits else None,
            )
        )
    return now


def _attempt(attempt: AttemptEvent, recipients: Sequence[str], numbers: list[int]) -> AttemptEntry:
    trace = attempt.trace
    return filled(
        AttemptEntry,
        trace,
        at=attempt.at,
        numbers=numbers,
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
