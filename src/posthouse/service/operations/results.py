"""What the operations of ``operations.registry`` answer: plain values that print as tables and travel as JSON.

Times are calendar seconds (since 1970-01-01T00:00Z), durations seconds, sizes octets.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "AddressForecast",
    "AddressReport",
    "AddressTarget",
    "AttemptTold",
    "AuditEntry",
    "CodeEntry",
    "ConfigReport",
    "ContactTold",
    "EndForecast",
    "EndTold",
    "ExchangeTold",
    "Explained",
    "InboxContent",
    "InboxEntry",
    "InboxSummary",
    "MessageFound",
    "MessageStory",
    "NoteTold",
    "QueueChange",
    "QueueCount",
    "QueueEntry",
    "QueueRecipient",
    "QueueStory",
    "QueueSummary",
    "QueueSummaryRow",
    "RecipientNow",
]


class QueueEntry(Struct, frozen=True, kw_only=True):
    """One message, with those of its recipients that were asked for and are not settled.

    ``waiting`` and ``held`` count them; ``active`` says that some are being attempted now; ``due`` is their next
    attempt, None if nothing is to come; ``last`` how an attempt ended last.
    """

    id: str
    received: float
    size: int
    sender: str
    recipients: list[str]
    waiting: int
    attempts: int
    due: float | None
    last: str
    held: int = 0
    active: bool = False


class QueueSummary(Struct, frozen=True, kw_only=True):
    """How many recipients are in the queue, by destination and age.

    ``ages`` are the upper ends of the ages that each row counts; its last count has what is older.  ``rows`` are the
    ``limit`` largest destinations; ``others`` how many more there are, and ``recipients`` all recipients of all of
    them.
    """

    now: float
    ages: list[float]
    rows: list[QueueSummaryRow]
    recipients: int
    others: int


class QueueSummaryRow(Struct, frozen=True, kw_only=True):
    """One destination: its recipients by age and by state, and when the message was received that waits the longest."""

    destination: str
    ages: list[int]
    waiting: int
    held: int
    oldest: float


class QueueCount(Struct, frozen=True, kw_only=True):
    """What an act on a filter would change: ``act`` as it was asked about ("" for none), how many ``recipients``, and
    the destinations with the most of them."""

    act: str
    filter: str
    recipients: int
    destinations: list[QueueSummaryRow]
    others: int


class QueueChange(Struct, frozen=True, kw_only=True):
    """What an act changed: who asked for what, and how many ``recipients`` it was done to."""

    act: str
    filter: str
    target: str
    who: str
    recipients: int


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One act of an operator, as it is remembered."""

    at: float
    who: str
    act: str
    filter: str
    target: str
    recipients: int


class QueueRecipient(Struct, frozen=True, kw_only=True):
    """One recipient of a message; ``state`` is waiting, held, delivered or failed, ``route`` where an operator sent
    it, "" if the configuration decides."""

    address: str
    destination: str
    state: str
    attempts: int
    due: float
    last: str
    route: str = ""


class QueueStory(Struct, frozen=True, kw_only=True):
    """One message as it stands in the queue; what happened to it is a ``MessageStory``."""

    id: str
    received: float
    size: int
    sender: str
    source: str
    corrupt: bool
    recipients: list[QueueRecipient]


class InboxSummary(Struct, frozen=True, kw_only=True):
    """One inbox."""

    name: str
    messages: int
    octets: int


class InboxEntry(Struct, frozen=True, kw_only=True):
    """One letter in an inbox; ``written_by`` and ``subject`` are what the letter itself says."""

    number: int
    inbox: str
    received: float
    size: int
    sender: str
    written_by: str
    subject: str


class InboxContent(Struct, frozen=True, kw_only=True):
    """A letter as it was delivered.

    ``text`` is its content as UTF-8; ``raw`` the octets, where ``text`` cannot say them all, else None.
    """

    number: int
    inbox: str
    queue_id: str
    received: float
    size: int
    sender: str
    text: str
    raw: bytes | None = None


class ConfigReport(Struct, frozen=True, kw_only=True):
    """A configuration judged: ``problems`` keep it from being used, ``advice`` does not."""

    path: str
    usable: bool
    problems: list[str]
    advice: list[str]


class AddressTarget(Struct, frozen=True, kw_only=True):
    """One place where a letter would end up: the recipient as stored, how it is taken there, and why that way."""

    recipient: str
    target: str
    reason: str


class AddressReport(Struct, frozen=True, kw_only=True):
    """Where a letter to an address would go.

    ``kind`` is mailbox, alias, list, moved, unknown or foreign; ``reply`` what a stranger's RCPT is answered.
    """

    address: str
    kind: str
    reply: str
    explanation: str
    ends: list[AddressTarget]


class CodeEntry(Struct, frozen=True, kw_only=True):
    """A reply code or enhanced code explained."""

    code: str
    title: str
    meaning: str
    whose: str
    next_step: str
    source: str
    occasion: str
    note: str
    registered: bool


# Explaining -----------------------------------------------------------------------------------------------------------


class ContactTold(Struct, frozen=True, kw_only=True):
    """One conversation of an attempt.

    ``timings`` are the seconds of each phase, in their order; ``lines`` the dialogue (``S: …``, ``R: …``); ``ended``
    why there was no more, "" where it went to its end; ``reused`` the messages that the session took before.
    """

    peer: str
    mx: str
    tls: str
    timings: dict[str, float]
    lines: list[str]
    ended: str
    reused: int


class EndTold(Struct, frozen=True, kw_only=True):
    """How an attempt ended for one recipient: ``result`` is the attempt's (delivered, deferred, failed, ambiguous),
    ``state`` the recipient's since; where it waits, ``due`` is its next attempt and ``why`` says why then."""

    recipient: str
    result: str
    state: str
    reply: str
    reason: str
    peer: str
    due: float | None
    why: str


class AttemptTold(Struct, frozen=True, kw_only=True, tag_field="event", tag="attempt"):
    """One attempt, from ``began`` to ``at``; ``site`` is the next hop's name, ``rule`` what chose ``target``."""

    at: float
    began: float | None
    destination: str
    site: str
    target: str
    rule: str
    contacts: list[ContactTold]
    ends: list[EndTold]


class NoteTold(Struct, frozen=True, kw_only=True, tag_field="event", tag="note"):
    """Something else that happened, to some recipients or (none named) to the whole message: ``kind`` is held,
    released, retried, dropped, rerouted (acts of ``who``), warned, reported, suspected, poison or corrupt."""

    at: float
    kind: str
    recipients: list[str]
    who: str
    text: str


class RecipientNow(Struct, frozen=True, kw_only=True):
    """Where one recipient stands; ``due`` and ``why`` where it waits."""

    address: str
    state: str
    attempts: int
    due: float | None
    why: str
    last: str
    route: str


class MessageStory(Struct, frozen=True, kw_only=True):
    """One message's life: how it came, what happened, where it stands at ``now``.

    ``queued`` is False where the message has gone and only its story is left; ``about`` is the queue id of the message
    that this one reports on.
    """

    id: str
    now: float
    queued: bool
    corrupt: bool
    received: float
    source: str
    helo: str
    tls: str
    user: str
    sender: str
    recipients: list[str]
    size: int
    message_id: str
    about: str
    events: list[AttemptTold | NoteTold]
    standing: list[RecipientNow]


class MessageFound(Struct, frozen=True, kw_only=True):
    """One message of several that a question may mean; ``queued`` while some of it is in the queue."""

    id: str
    received: float
    sender: str
    recipients: list[str]
    message_id: str
    queued: bool


class ExchangeTold(Struct, frozen=True, kw_only=True):
    """One host that would be tried, and its addresses."""

    name: str
    preference: int
    addresses: list[str]


class EndForecast(Struct, frozen=True, kw_only=True):
    """Where a letter to one recipient would go now.

    ``way`` is smtp, lmtp, maildir, mailbox, discard, python or "" (none); ``rule`` what chose ``target``; ``lookup``
    how ``exchanges`` were found, and ``reply`` what would be said in their place where there are none.  ``waiting``,
    ``held`` and ``oldest`` tell what is in the queue for its destination.  ``limit`` is how many attempts the site may
    have at one time, None if that is not known; where it is left alone, ``until`` says until when and ``why`` why.
    """

    recipient: str
    destination: str
    way: str
    target: str
    rule: str
    lookup: str = ""
    exchanges: list[ExchangeTold] = []
    reply: str = ""
    site: str = ""
    limit: int | None = None
    until: float | None = None
    why: str = ""
    waiting: int = 0
    held: int = 0
    oldest: float | None = None


class AddressForecast(Struct, frozen=True, kw_only=True):
    """What an address stands for (``kind``, a stranger's ``reply``, ``explanation``), and where its mail would go."""

    address: str
    now: float
    kind: str
    reply: str
    explanation: str
    ends: list[EndForecast]


class Explained(Struct, frozen=True, kw_only=True):
    """The answer of ``explain``: ``kind`` says what it was, and which of the others there is.

    ``message``: a queue id, or the only message with a Message-ID.  ``messages``: several with one Message-ID.
    ``address``: an address, with ``messages`` that came from it or went to it lately.  ``code``: a reply code.
    """

    kind: str
    message: MessageStory | None = None
    messages: list[MessageFound] = []
    address: AddressForecast | None = None
    codes: list[CodeEntry] = []
