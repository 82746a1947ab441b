"""One message's story as data: how it came, what happened to it, where it stands.

The spool tells events, in which recipients are numbers; here they get their names, and what follows from all events
together is worked out: where each recipient stands, when it is tried next, and why then.  While the message is in the
queue, its rows say where it stands; afterwards the story alone does.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.core import ConnectionTrace, path_text
from posthouse.service.operations.base import Context
from posthouse.service.operations.results import (
    AttemptTold,
    ContactTold,
    EndTold,
    MessageFound,
    MessageStory,
    NoteTold,
    RecipientNow,
)
from posthouse.spool.history import Accepted, AttemptEvent, Event, MessageSummary, Origin, QueueEvent, RecipientResult
from posthouse.spool.interface import MessageEntry, RecipientState

__all__ = ["found", "story_of"]

_UNSETTLED = ("waiting", "held")
#: What acts of operators make of a recipient: its state, and why it is due.
_ACTS = {
    "held": ("held", "held"),
    "poison": ("held", "held"),
    "quarantined": ("held", "held"),
    "corrupt": ("held", "held"),
    "released": ("waiting", "released"),
    "retried": ("waiting", "retried"),
    "rerouted": ("", "rerouted"),
    "dropped": ("failed", "dropped"),
}


class _Standing:
    """Where one recipient stands, as far as the story has been read."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.attempts = 0
        self.due: float | None = None
        self.why = ""
        self.last = ""
        self.route = ""

    def attempt(self, end: RecipientResult) -> None:
        """An attempt ended."""
        self.attempts += 1
        self.state = end.state
        self.due = end.due if end.state == "waiting" else None
        self.why = end.why if end.state == "waiting" else ""
        self.last = _words(end)

    def note(self, note: QueueEvent) -> None:
        """Something else happened."""
        if note.kind not in _ACTS or self.state not in _UNSETTLED:
            return
        state, verb = _ACTS[note.kind]
        self.state = state or self.state
        if note.kind == "rerouted":
            self.route = note.text
        if self.state == "waiting":
            self.due = note.at
            self.why = f"{verb} by {note.who or 'an operator'}"
        else:
            self.due, self.why = None, ""


def _words(end: RecipientResult) -> str:
    """The attempt's end in one line, as the queue shows it."""
    return f"{end.result}: {end.reason or end.reply or ''}".rstrip(": ")


async def story_of(context: Context, queue_id: str) -> MessageStory | None:
    """The story of one message; None if neither the queue nor the stories know it."""
    async with context.queue() as queue:
        events = await queue.story(queue_id)
        entry = await queue.entry(queue_id)
    if not events and entry is None:
        return None
    accepted = _accepted(events, entry)
    people = accepted.recipients
    standings = [_Standing() for _ in people]
    told: list[AttemptTold | NoteTold] = []
    for event in events:
        if isinstance(event, AttemptEvent):
            for end in event.ends:
                if end.key < len(standings):
                    standings[end.key].attempt(end)
            told.append(_attempt(event, people))
        elif isinstance(event, QueueEvent):
            for key in event.keys or range(len(standings)):
                if key < len(standings):
                    standings[key].note(event)
            names = [people[key] for key in event.keys if key < len(people)]
            told.append(NoteTold(at=event.at, kind=event.kind, recipients=names, who=event.who, text=event.text))
    arrival = accepted.arrival
    return MessageStory(
        id=queue_id,
        now=context.clock.time(),
        queued=entry is not None
        and any(each.state in (RecipientState.WAITING, RecipientState.HELD) for each in entry.recipients),
        corrupt=entry is not None and entry.corrupt,
        received=accepted.at,
        source=accepted.source,
        helo=arrival.helo,
        tls=arrival.tls,
        user=arrival.user,
        sender=accepted.sender,
        recipients=list(people),
        size=accepted.size,
        message_id=arrival.message_id,
        about=arrival.about,
        events=told,
        standing=_now(entry, people, standings),
    )


def _accepted(events: Sequence[Event], entry: MessageEntry | None) -> Accepted:
    """How it came: told by the story, or, where none is kept, by the queue."""
    first = next((event for event in events if isinstance(event, Accepted)), None)
    if first is not None:
        return first
    if entry is None:
        return Accepted(events[0].at, "", "", (), 0)
    message = entry.message
    sender = path_text(message.envelope.sender)
    people = tuple(str(each.recipient.address) for each in entry.recipients)
    return Accepted(message.received, message.source, sender, people, message.size, Origin())


def _now(entry: MessageEntry | None, people: Sequence[str], standings: Sequence[_Standing]) -> list[RecipientNow]:
    if entry is None:
        return [
            RecipientNow(
                address=address,
                state=each.state,
                attempts=each.attempts,
                due=each.due,
                why=each.why,
                last=each.last,
                route=each.route,
            )
            for address, each in zip(people, standings, strict=True)
        ]
    now = []
    for waiting in entry.recipients:
        told = standings[waiting.key] if waiting.key < len(standings) else _Standing()
        is_waiting = waiting.state is RecipientState.WAITING
        now.append(
            RecipientNow(
                address=str(waiting.recipient.address),
                state=waiting.state.value,
                attempts=waiting.attempts,
                due=waiting.due if is_waiting else None,
                why=told.why if is_waiting else "",
                last=waiting.last or told.last,
                route=waiting.route,
            )
        )
    return now


def _attempt(attempt: AttemptEvent, people: Sequence[str]) -> AttemptTold:
    trail = attempt.trail
    return AttemptTold(
        at=attempt.at,
        began=trail.began or None,
        destination=attempt.destination,
        site=trail.site,
        target=trail.target,
        rule=trail.rule,
        contacts=[_contact(each) for each in trail.contacts],
        ends=[_end(each, people) for each in attempt.ends],
    )


def _contact(contact: ConnectionTrace) -> ContactTold:
    return ContactTold(
        peer=contact.peer,
        mx=contact.mx,
        tls=contact.tls,
        timings=dict(contact.timings),
        lines=list(contact.lines),
        ended=contact.ended,
        reused=contact.reused,
    )


def _end(end: RecipientResult, people: Sequence[str]) -> EndTold:
    waits = end.state == "waiting"
    return EndTold(
        recipient=people[end.key] if end.key < len(people) else f"recipient {end.key + 1}",
        result=end.result.value,
        state=end.state,
        reply="" if end.reply is None else str(end.reply),
        reason=end.reason,
        peer=end.peer,
        due=end.due if waits else None,
        why=end.why if waits else "",
    )


def found(told: MessageSummary) -> MessageFound:
    """One message of several, for a list."""
    return MessageFound(
        id=told.id,
        received=told.at,
        sender=told.sender,
        recipients=list(told.recipients),
        message_id=told.message_id,
        queued=told.waiting,
    )
