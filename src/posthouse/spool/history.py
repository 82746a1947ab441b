"""A message's history: its events as values, and as octets in a row.

A history begins with how the message was accepted, and goes on with each attempt and each action of an operator.  An
event is stored in the transaction that does what it describes, and stays when the message has gone.

The octets are a JSON array of events, each an array that begins with its kind's number, trailing defaults left out
where the event is likely to have them; recipients are named by their key, as the first event has their addresses, and
those that ended alike by their keys together.
``msgspec``, where it is installed, makes them in half a microsecond (measured: 230 octets, 0.4 µs; the standard
library 4 µs); what is written is the same.  Only operations read it, so reading need not be fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from posthouse.core import AttemptTrace, ConnectionTrace, MethodVerdict, Remark, Reply, Result

__all__ = [
    "Accepted",
    "AttemptEvent",
    "Event",
    "Expansion",
    "MOST_EVENTS",
    "MessageSummary",
    "Origin",
    "QueueEvent",
    "RecipientResult",
    "VERDICTS_AT",
    "decode_arrival",
    "decode_events",
    "encode",
    "packed_accepted",
    "packed_attempt",
    "packed_note",
    "packed_origin",
]

#: Events kept of one message: the first ones and, of a longer history, the last.
MOST_EVENTS = 64

_MOST_LINES = 200  # of dialogue in one contact
_LONGEST_LINE = 1000


class Expansion(NamedTuple):
    """Expansion of an address that the client named: ``kind`` is alias, list, moved, postmaster, or
    same, where several of the client's addresses are names of one mailbox.

    It leads to ``number`` addresses: those of the recipients with these ``keys``, and those in ``copies``, further
    messages with the sender of each.
    """

    address: str
    kind: str
    number: int
    keys: tuple[int, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()


class Origin(NamedTuple):
    """Origin of a message: what its row does not have.

    ``message_id`` is the content's Message-ID with its angle brackets, by which a history is found; ``helo`` what the
    sending SMTP called itself; ``tls`` and ``user`` how its session was protected and who authenticated; ``about``
    the queue id of the message that this one reports on; ``remarks`` what a lenient listener tolerated in it.  Where
    the client named other addresses than the message has, ``expansions`` says what they led to, ``sender`` is the
    sender that the client named, and ``parent`` the queue id that the client was told; "" if it is the message's own.
    ``verdicts`` are those of message authentication, one for each method that was applied.
    """

    message_id: str = ""
    helo: str = ""
    tls: str = ""
    user: str = ""
    about: str = ""
    remarks: tuple[Remark, ...] = ()
    expansions: tuple[Expansion, ...] = ()
    sender: str = ""
    parent: str = ""
    verdicts: tuple[MethodVerdict, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The addresses that the client named and that are neither the sender nor a recipient of the message."""
        named = [each.address for each in self.expansions]
        return tuple(dict.fromkeys([*named, self.sender] if self.sender else named))


class Accepted(NamedTuple):
    """The message was promised.  ``at`` and all later times in calendar seconds; ``sender`` is "" for the null
    reverse-path; a recipient's place in ``recipients`` is its key."""

    at: float
    source: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    arrival: Origin = Origin()


class RecipientResult(NamedTuple):
    """Result of an attempt for one recipient: ``state`` is the queue's (``waiting``: again at ``due``, ``why`` says
    why then), ``result`` the attempt's; the rest as in ``core.Outcome``."""

    key: int
    state: str
    due: float
    result: Result
    reply: Reply | None = None
    reason: str = ""
    peer: str = ""
    why: str = ""


class AttemptEvent(NamedTuple):
    """One attempt, for the recipients of one destination.  ``at`` is when it was recorded."""

    at: float
    destination: str
    trace: AttemptTrace
    ends: tuple[RecipientResult, ...]


class QueueEvent(NamedTuple):
    """Something else that happened to some recipients (their ``keys``; none: to the whole message).

    ``kind`` is one of ``held``, ``released``, ``retried``, ``dropped``, ``rerouted`` (acts of ``who``),
    ``restored`` (a retry or a reroute was undone; ``text`` is the former route), ``undone`` (another act was undone;
    ``text`` is which: ``hold``, ``release`` or ``drop``), ``warned``,
    ``reported`` (``text`` is the report's queue id), ``suspected`` (its worker died), ``poison``, ``corrupt``,
    ``quarantined`` (a content check held the message when it came in; ``text`` is the reason),
    ``attempted`` (in spools of format 1).
    """

    at: float
    kind: str
    keys: tuple[int, ...] = ()
    who: str = ""
    text: str = ""


Event: TypeAlias = Accepted | AttemptEvent | QueueEvent


class MessageSummary(NamedTuple):
    """Message as ``SpoolQueries.find`` lists it; ``waiting`` while a recipient is not settled."""

    id: str
    at: float
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    waiting: bool


def _encoder() -> Callable[[object], bytes]:
    try:
        import msgspec
    except ImportError:  # the library's core has no dependencies
        text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        return lambda value: text(value).encode("utf-8", "replace")
    return msgspec.json.Encoder().encode


#: A sequence of packed events as octets.
encode = _encoder()

_ACCEPTED, _ATTEMPT, _NOTE = 0, 1, 2
_NO_ARRIVAL = Origin()
_REMARKS = Origin._fields.index("remarks")
#: The place of the verdicts in the packed first event.
VERDICTS_AT: Final = Origin._fields.index("verdicts") + 3
_EXPANSIONS = Origin._fields.index("expansions")
_NO_TRACE = AttemptTrace()
_SAME_TRACE = 1  # as that of the event before: recipients of several destinations travelled together


def packed_accepted(received: float, source: str, size: int, arrival: Origin) -> tuple[object, ...]:
    """The first event, but for sender, recipients and Message-ID, which have columns."""
    if arrival[1:] == _NO_ARRIVAL[1:]:
        return (_ACCEPTED, received, source, size)
    if not arrival.expansions and not arrival.verdicts:
        return (_ACCEPTED, received, source, size, *arrival[1:_EXPANSIONS])
    return (_ACCEPTED, received, source, size, *arrival[1:])


def packed_attempt(
    at: float,
    destination: str,
    trace: AttemptTrace | None,
    ends: Iterable[tuple[object, ...]],
    before: AttemptTrace | None = None,
) -> tuple[object, ...]:
    """An attempt; ``ends`` have the fields of ``RecipientResult``, with the keys of all recipients that ended alike.
    ``before`` is the trace of the attempt before it in the same row."""
    if trace is not None and trace is before:
        return (_ATTEMPT, at, destination, _SAME_TRACE, tuple(ends))
    if trace is None or trace is _NO_TRACE:
        return (_ATTEMPT, at, destination, (), tuple(ends))
    if any(
        len(contact.lines) > _MOST_LINES or max(map(len, contact.lines), default=0) > _LONGEST_LINE
        for contact in trace.connections
    ):
        trace = trace._replace(connections=tuple(map(_shortened, trace.connections)))
    return (_ATTEMPT, at, destination, trace, tuple(ends))


def _shortened(contact: ConnectionTrace) -> ConnectionTrace:
    lines = tuple(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "…" for line in contact.lines)
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        lines = (*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:])
    return contact._replace(lines=lines)


def packed_note(note: QueueEvent) -> tuple[object, ...]:
    """Anything else."""
    return (_NOTE, *note)


def decode_arrival(packed: str | bytes | None, message_id: str = "") -> Origin:
    """The inverse of ``encode(arrival)``."""
    return _origin(json.loads(packed)) if packed else Origin(message_id)


def packed_origin(origin: Origin) -> bytes:
    """The origin of a message, for the row of a fresh one."""
    return encode(origin if origin.expansions or origin.verdicts else origin[:_EXPANSIONS])


def _origin(fields: list[Any]) -> Origin:
    """An origin from its fields as they were packed; older spools have fewer."""
    origin = Origin(*fields[:_REMARKS])
    if len(fields) > _REMARKS:
        origin = origin._replace(remarks=tuple([Remark(*each) for each in fields[_REMARKS]]))
    if len(fields) > _EXPANSIONS:
        expansions, sender, parent, *rest = fields[_EXPANSIONS:]
        verdicts = tuple([MethodVerdict(*each) for each in rest[0]]) if rest else ()
        origin = origin._replace(
            expansions=tuple(map(_expansion, expansions)), sender=sender, parent=parent, verdicts=verdicts
        )
    return origin


def _expansion(fields: Sequence[Any]) -> Expansion:
    address, kind, number, keys, copies = fields
    return Expansion(address, kind, number, tuple(keys), tuple((queue_id, sender) for queue_id, sender in copies))


def decode_events(octets: bytes, sender: str = "", recipients: Sequence[str] = (), message_id: str = "") -> list[Event]:
    """The inverse of ``encode``; the columns are those of the history's row."""
    events: list[Event] = []
    for event in json.loads(octets):
        before = events[-1].trace if events and isinstance(events[-1], AttemptEvent) else _NO_TRACE
        events.append(_decode(event, sender, recipients, message_id, before))
    return events


def _decode(event: list[Any], sender: str, recipients: Sequence[str], message_id: str, before: AttemptTrace) -> Event:
    kind, *fields = event
    if kind == _ACCEPTED:
        received, source, size, *arrival = fields
        return Accepted(received, source, sender, tuple(recipients), size, _origin([message_id, *arrival]))
    if kind == _ATTEMPT:
        at, destination, trace, ends = fields
        packed = before if trace == _SAME_TRACE else _trace(trace)
        return AttemptEvent(at, destination, packed, tuple(end for each in ends for end in _ends(*each)))
    at, name, keys, who, text = fields
    return QueueEvent(at, name, tuple(keys), who, text)


def _trace(fields: list[Any]) -> AttemptTrace:
    if not fields:
        return _NO_TRACE
    began, site, target, rule, connections = fields
    return AttemptTrace(began, site, target, rule, tuple(_contact(*contact) for contact in connections))


def _contact(
    peer: str, mx: str, tls: str, timings: list[list[Any]], lines: list[str], ended: str, reused: int, *rest: str
) -> ConnectionTrace:
    took = tuple((phase, seconds) for phase, seconds in timings)
    return ConnectionTrace(peer, mx, tls, took, tuple(lines), ended, reused, *rest)  # older spools have no rest


def _ends(
    keys: int | list[int], state: str, due: float, result: str, reply: list[Any] | None, *rest: str
) -> list[RecipientResult]:
    said = None if reply is None else Reply(*reply)
    first = RecipientResult(0, state, due, Result(result), said, *rest)
    return [first._replace(key=key) for key in ([keys] if isinstance(keys, int) else keys)]
