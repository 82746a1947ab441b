"""Value classes of the spool's contract (``interface``)."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Iterable
from typing import NamedTuple

from posthouse.core import Envelope, Outcome, Recipient

__all__ = [
    "AuditRecord",
    "ChangedRecipient",
    "DueDestination",
    "DuePage",
    "FormerPlace",
    "Inbox",
    "InboxMessage",
    "Lease",
    "MessageEntry",
    "QueueAction",
    "QueuedRecipient",
    "RecipientState",
    "Renewal",
    "Report",
    "Settlement",
    "SpoolEvent",
    "SpoolEventKind",
    "Stored",
    "StoredMessage",
    "runs_of_equal_results",
]


class RecipientState(enum.StrEnum):
    """State of one recipient of one message."""

    WAITING = "waiting"  # due at some time, or being attempted under a lease
    HELD = "held"  # until an operator decides: one asked for it, the message is poison, or its content is gone
    DELIVERED = "delivered"
    FAILED = "failed"  # permanently: its report is stored, or none is owed


class QueueAction(enum.StrEnum):
    """Action of an operator on the recipients that the conditions of ``Spool.act`` select."""

    HOLD = "hold"  # waiting recipients are not attempted until they are released
    RELEASE = "release"  # held recipients are due now
    RETRY = "retry"  # waiting recipients are due now
    DROP = "drop"  # recipients fail permanently
    REROUTE = "reroute"  # recipients go to ``target`` instead of the configured route, waiting ones now; "" ends it


class FormerPlace(NamedTuple):
    """What a recipient had before an operator retried or rerouted it: queue id and key, due time, the route that an
    operator had set ("" for none), and the number of attempts."""

    id: str
    key: int
    due: float
    route: str
    attempts: int


class ChangedRecipient(NamedTuple):
    """A recipient that an operator's action has changed: queue id and key, address (without ``<>``), destination."""

    id: str
    key: int
    address: str
    destination: str


class StoredMessage(NamedTuple):
    """Stored message without its content.

    ``id`` is the queue id that 250 carried; ``envelope`` as received, all recipients included; ``received`` in
    calendar seconds; ``size`` in octets, the prefix included; ``source`` says where it came from, as text
    (``mx 192.0.2.1:40312``).
    """

    id: str
    envelope: Envelope
    received: float
    size: int
    source: str = ""


class QueuedRecipient(NamedTuple):
    """Recipient of a stored message, with its state.

    ``key`` names it, within its message, for ``Settlement``; ``attempts`` counts those already made; ``due`` in
    calendar seconds; ``last`` the result of the last attempt, as text; ``route`` where an operator sent it, "" if
    the configuration decides; ``warned`` once a report of the delay has been sent to its sender; ``active`` while it
    is leased, which only listings say.
    """

    key: int
    recipient: Recipient
    destination: str
    state: RecipientState
    attempts: int
    due: float
    last: str = ""
    route: str = ""
    warned: bool = False
    active: bool = False


class Lease(NamedTuple):
    """Exclusive hold on recipients of one message that go to one destination.

    Within the process that took it, it ends at ``until``, in calendar seconds; other processes cannot take it while
    that process lives.  ``token`` is its fencing token: each taking and each renewal of a lease gives it another, and
    the spool accepts no change of a recipient under a token that is not the recipient's last.
    """

    message: StoredMessage
    destination: str
    recipients: tuple[QueuedRecipient, ...]
    owner: str
    until: float
    token: int = 0


class Renewal(NamedTuple):
    """``leases`` as they are from now on, in the order given, and the future that is done when they are renewed."""

    leases: tuple[Lease, ...]
    done: Awaitable[None]


class DueDestination(NamedTuple):
    """A destination with waiting recipients, and the calendar time at which the first of them may be leased."""

    name: str
    ready: float


class DuePage(NamedTuple):
    """Destinations by ``ready``, a bounded number; ``again`` is when to look again, at the latest, for mail that has no
    destination in this list yet, or None."""

    destinations: tuple[DueDestination, ...]
    again: float | None = None


class SpoolEventKind(enum.StrEnum):
    """Kind of an event that a spool reports."""

    NEW_MAIL = "new-mail"  # another process has stored mail that no process has leased
    LEASES_ENDED = "leases-ended"  # leases of a process that died or stalled were released
    POISON = "poison"  # a message is held, because its worker crashed too often
    CALENDAR = "calendar"  # mail due later than any retry is due now, because the calendar was set back


class SpoolEvent(NamedTuple):
    """Event of a spool, and ``text`` for the log.  After any event, mail may be due."""

    kind: SpoolEventKind
    text: str = ""


class Stored(NamedTuple):
    """Result of ``IncomingMessage.commit``: the message, which is promised, and the leases that were asked for."""

    message: StoredMessage
    leases: tuple[Lease, ...] = ()


class Settlement(NamedTuple):
    """Record of one recipient after an attempt.

    ``state`` WAITING means again at ``due``; HELD means kept until an operator decides; DELIVERED and FAILED settle it
    permanently: when the last recipient is settled, the message is removed, except its history.  FAILED therefore comes
    with its report, in the same ``record``, wherever the sender is owed one.  ``why`` is the reason for ``due``, as
    text.  ``warned`` marks that the reports of this ``record`` report a delay to the sender; it is stored
    (``QueuedRecipient.warned``) so that a delay is reported once.
    """

    key: int
    state: RecipientState
    due: float
    outcome: Outcome
    why: str = ""
    warned: bool = False


def runs_of_equal_results(settlements: Iterable[Settlement]) -> list[list[Settlement]]:
    """The settlements of an attempt in their order, cut into runs that differ in nothing but recipient and key.

    Most hosts give all recipients of a message the same result.  Rows, history and log lines are therefore composed
    once for each run.
    """
    runs: list[list[Settlement]] = []
    last: tuple[object, ...] | None = None
    for settlement in settlements:
        _, state, due, outcome, why, warned = settlement
        result = (state, due, outcome[1:], why, warned)
        if result == last:
            runs[-1].append(settlement)
        else:
            last = result
            runs.append([settlement])
    return runs


class Report(NamedTuple):
    """Delivery report to be sent, stored in the transaction that causes it."""

    envelope: Envelope
    content: bytes
    destinations: tuple[str, ...]
    due: float


class MessageEntry(NamedTuple):
    """One message with all its recipients, for listings."""

    message: StoredMessage
    recipients: tuple[QueuedRecipient, ...]
    corrupt: bool = False


class AuditRecord(NamedTuple):
    """One action of an operator: its filter as text, and ``changed``, the number of recipients that it changed."""

    at: float
    who: str
    act: str
    filter: str
    target: str
    changed: int


class Inbox(NamedTuple):
    """A mailbox kept by the spool: its name (an address) and what is in it."""

    name: str
    messages: int
    octets: int


class InboxMessage(NamedTuple):
    """One message in a mailbox; ``number`` is unique in the spool and only grows."""

    number: int
    inbox: str
    queue_id: str
    sender: str
    received: float
    size: int
