"""The answers of the operations: plain values that print as tables and travel as JSON.

Times (``MOMENTS``) are calendar seconds (since 1970-01-01T00:00Z), durations seconds, sizes octets.  The names of
fields are the keys of ``--json``, which writes times as ISO 8601, and of the control socket, which writes seconds.
Where a struct shows a value of the spool, ``filled`` copies the fields that
have the same name in both.

Over budget: one struct for each shape of answer, and no logic.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from posthouse.service.mailauth.texts.verdict_text import VerdictEntry
from posthouse.service.operations.remarks import RemarkEntry

__all__ = [
    "AddressFacts",
    "AddressForecast",
    "AddressReport",
    "AddressTarget",
    "AttemptEntry",
    "AttemptPlace",
    "AuditEntry",
    "CodeEntry",
    "CommandText",
    "ConfigReport",
    "ConnectionEntry",
    "CopyEntry",
    "EndForecast",
    "EventEntry",
    "ExchangeEntry",
    "ExpansionEntry",
    "Explained",
    "InboxContent",
    "InboxEntry",
    "InboxSummary",
    "MOMENTS",
    "MessageFound",
    "MessageHistory",
    "NextAttempt",
    "PartEntry",
    "QueueChange",
    "QueueCount",
    "QueueEntry",
    "QueueMessage",
    "QueueRecipient",
    "QueueSummary",
    "QueueSummaryRow",
    "RecipientNow",
    "ResultEntry",
    "SettingText",
    "SiteEntry",
    "SitesReport",
    "filled",
]

#: The fields that are times.
MOMENTS = frozenset(("at", "began", "due", "expires", "now", "oldest", "received", "until"))

_Answer = TypeVar("_Answer", bound=Struct)


def filled(kind: type[_Answer], value: object, **more: Any) -> _Answer:
    """A struct of this kind: the fields named in ``more``, and all others from the attributes of ``value``."""
    return kind(**{name: more[name] if name in more else getattr(value, name) for name in kind.__struct_fields__})


class NextAttempt(Struct, frozen=True, kw_only=True):
    """The next attempt for a recipient that waits, or for mail to a site.

    ``state`` is what it waits for: ``scheduled`` (its due time), ``suspended`` (the site's suspension ends at ``at``;
    ``why`` has the reason), ``paused`` (an operator has paused the destination: ``why``), ``trying`` (an attempt is
    under way since ``at``), ``slot`` (a connection slot; so many attempts are ``before`` it), ``line`` (the ready queue
    of the site, which is full), ``probe`` (the first attempt at an unproven destination, which is under way), ``rate``
    (the rate limit of unproven destinations), ``leased`` (another worker process has it), ``soon`` (nothing: it begins
    now), ``stopped`` (no daemon runs).  ``at`` is the time, None where it cannot be known; ``limit`` the concurrency
    limit of the ``site``, None if unknown.
    """

    state: str
    at: float | None
    why: str = ""
    site: str = ""
    limit: int | None = None
    before: int = 0


class SiteEntry(Struct, frozen=True, kw_only=True):
    """A site: its concurrency ``limit``, the attempts that are ``active`` there and that are ``waiting`` for it, and,
    while it is suspended, ``until`` when and ``why``.  While it is suspended or ``is_full``, no mail is leased for its
    ``destinations``."""

    site: str
    limit: int
    active: int
    waiting: int
    until: float | None
    why: str
    is_full: bool
    destinations: list[str]


class AttemptPlace(Struct, frozen=True, kw_only=True):
    """An attempt for the recipient ``key`` of the message ``id``: under way since ``began``, or with so many ``before``
    it in the ready queue of the ``site``."""

    id: str
    key: int
    site: str
    began: float | None
    before: int


class SitesReport(Struct, frozen=True, kw_only=True):
    """What each worker process knows of sites, and its attempts; ``fault``: why nothing is stored or delivered."""

    sites: list[SiteEntry]
    attempts: list[AttemptPlace] = []
    fault: str = ""


class QueueEntry(Struct, frozen=True, kw_only=True):
    """One message, with those of its recipients that were asked for and are not settled.

    ``waiting`` and ``held`` count them; ``active`` says that some are being attempted now; ``next`` is the first of
    their next attempts and ``due`` its time, None if nothing is to come or the time cannot be known; ``last`` how an
    attempt ended last.  ``originals`` are the addresses that the client named where others were stored.
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
    next: NextAttempt | None = None
    originals: list[str] = []


class QueueSummary(Struct, frozen=True, kw_only=True):
    """How many recipients are in the queue, by destination and age.

    ``ages`` are the upper ends of the ages that each row counts; the last count of a row is of older ones.  ``rows``
    are the ``limit`` largest destinations, ``others`` the number of further destinations, and ``recipients`` all
    recipients of all destinations.  ``lost`` is the number of contents in ``spool/lost``.
    """

    now: float
    ages: list[float]
    rows: list[QueueSummaryRow]
    recipients: int
    others: int
    lost: int = 0


class QueueSummaryRow(Struct, frozen=True, kw_only=True):
    """One destination: its recipients by age and by state, and when its oldest message was received."""

    destination: str
    ages: tuple[int, ...]
    waiting: int
    held: int
    oldest: float


class QueueCount(Struct, frozen=True, kw_only=True):
    """What an action on a filter would change: the action ("" for none), the number of ``recipients``, and the
    destinations with the most of them."""

    act: str
    filter: str
    recipients: int
    destinations: list[QueueSummaryRow]
    others: int


class QueueChange(Struct, frozen=True, kw_only=True):
    """What an action changed: who asked for what, and how many ``recipients`` were changed.  ``act`` is ``undo`` and
    the former action, such as ``undo hold``, where that one was undone.

    ``undo`` is the number by which it can be undone ``until`` a time; 0 where it cannot be undone.
    """

    act: str
    filter: str
    target: str
    who: str
    recipients: int
    undo: int = 0
    until: float | None = None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One action of an operator, from the audit log.  ``recipients`` counts the recipients that were changed; for
    ``delete``, the messages that were deleted from inboxes."""

    at: float
    who: str
    act: str
    filter: str
    target: str
    recipients: int


class QueueRecipient(Struct, frozen=True, kw_only=True):
    """One recipient of a message; ``state`` is waiting, held, delivered or failed, ``route`` the route that an operator
    set, "" if the configuration decides; ``next`` while it waits.  ``originals`` are the addresses that the client
    named and that led to this one."""

    address: str
    destination: str
    state: str
    attempts: int
    due: float
    last: str
    route: str = ""
    next: NextAttempt | None = None
    originals: list[str] = []


class QueueMessage(Struct, frozen=True, kw_only=True):
    """One message as it stands in the queue; its past is a ``MessageHistory``."""

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
    """One message in an inbox; ``written_by`` and ``subject`` come from its header fields, and ``damage`` is why these
    cannot be read, or ""."""

    number: int
    inbox: str
    received: float
    size: int
    sender: str
    written_by: str
    subject: str
    damage: str = ""


class PartEntry(Struct, frozen=True, kw_only=True):
    """A part of a message; ``name`` is safe as a file name, ``size`` is that of its decoded content, and ``shown`` says
    that its text is in the message's ``body``."""

    number: int
    type: str
    name: str
    size: int
    shown: bool


class InboxContent(Struct, frozen=True, kw_only=True):
    """A message as it was delivered: ``text`` as UTF-8, ``raw`` the octets where they are not UTF-8, else None; of more
    than 8 MiB both are the beginning, and ``cut`` is true.  Decoded are ``fields`` and ``body``; ``parts`` lists all.
    ``remarks`` say what was tolerated when the message came in, as long as its history is kept.
    """

    number: int
    inbox: str
    queue_id: str
    received: float
    size: int
    sender: str
    text: str
    raw: bytes | None = None
    fields: dict[str, str] = {}
    body: str = ""
    parts: list[PartEntry] = []
    remarks: list[RemarkEntry] = []
    cut: bool = False


class ConfigReport(Struct, frozen=True, kw_only=True):
    """The check of a configuration: ``problems`` keep it from being used, ``advice`` does not.

    ``readable`` is False where the file itself cannot be read.
    """

    path: str
    usable: bool
    problems: list[str]
    advice: list[str]
    readable: bool = True


class AddressTarget(Struct, frozen=True, kw_only=True):
    """One place where a message would go: the recipient as stored, the target of its route, and the reason."""

    recipient: str
    target: str
    reason: str


class AddressFacts(Struct, frozen=True, kw_only=True):
    """What an address is: ``kind`` is mailbox, alias, list, moved, srs, signed, unknown or foreign.

    A mailbox has its ``deliver``, may be ``paused``, and may have a ``quota`` of octets, of which so many are ``used``
    (None if there is no spool to ask); it is ``full`` when no more mail is accepted.  A moved one has ``to`` and the
    ``action`` ("forward" or "tell"); an alias leads to a ``number`` of addresses, and a list has an ``owner`` too.
    ``srs`` and ``signed`` are senders that this server has written (SRS, BATV), and lead ``to`` an address; ``why``
    says that an unknown one is no such sender any more, or never was.  A delivery report to the address is answered
    ``report`` because of ``report_why``, where that differs.
    """

    kind: str
    deliver: str = ""
    paused: bool = False
    quota: int = 0
    used: int | None = None
    full: bool = False
    to: str = ""
    action: str = ""
    number: int = 0
    owner: str = ""
    why: str = ""
    report: str = ""
    report_why: str = ""


class AddressReport(Struct, frozen=True, kw_only=True):
    """Where a message to an address would go.

    ``kind`` is as in ``AddressFacts``; ``reply`` is the answer to RCPT from a host outside the
    trusted networks.
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


class CommandText(Struct, frozen=True, kw_only=True):
    """A command of SMTP explained; ``replies`` are the usual reply codes, the positive one first."""

    verb: str
    syntax: str
    title: str
    meaning: str
    when: str
    replies: list[int]
    source: str
    note: str
    older: str
    offered: bool


class SettingText(Struct, frozen=True, kw_only=True):
    """A setting explained, as the manual has it."""

    name: str
    type: str
    default: str
    text: str


# Explaining -----------------------------------------------------------------------------------------------------------


class ConnectionEntry(Struct, frozen=True, kw_only=True):
    """One connection of an attempt.

    ``timings`` are the seconds of each phase, in their order; ``lines`` the dialogue (``S: …``, ``R: …``); ``ended``
    why the connection ended early, "" if it did not; ``reused`` the number of messages that the session took before;
    ``security`` what the certificate proves, or why the session is in clear; ``converted`` why the message was
    converted for this host, and what became of its signatures, "" if it was sent as it is stored.
    """

    peer: str
    mx: str
    tls: str
    timings: dict[str, float]
    lines: tuple[str, ...]
    ended: str
    reused: int
    security: str = ""
    converted: str = ""


class ResultEntry(Struct, frozen=True, kw_only=True):
    """The result of an attempt for one recipient: ``result`` is delivered, deferred, failed or ambiguous, ``state`` the
    state of the recipient since; while it waits, ``due`` is its next attempt and ``why`` the reason for that time."""

    recipient: str
    result: str
    state: str
    reply: str
    reason: str
    peer: str
    due: float | None
    why: str


class AttemptEntry(Struct, frozen=True, kw_only=True, tag_field="event", tag="attempt"):
    """One attempt, from ``began`` to ``at``; ``numbers`` are its numbers for its recipients, mostly one; ``site`` is
    the next hop's name, ``rule`` what chose ``target``."""

    at: float
    numbers: list[int]
    began: float | None
    destination: str
    site: str
    target: str
    rule: str
    connections: list[ConnectionEntry]
    ends: list[ResultEntry]


class EventEntry(Struct, frozen=True, kw_only=True, tag_field="event", tag="note"):
    """Any other event, of some recipients or (if none is named) of the whole message: ``kind`` is held, released,
    retried, dropped, rerouted (actions of ``who``), warned, reported, suspected, poison or corrupt."""

    at: float
    kind: str
    recipients: list[str]
    who: str
    text: str


class RecipientNow(Struct, frozen=True, kw_only=True):
    """The state of one recipient now; while it waits, ``due`` is when it was scheduled, ``why`` the reason for that
    time, and ``next`` the next attempt as it stands."""

    address: str
    state: str
    attempts: int
    due: float | None
    why: str
    last: str
    route: str
    next: NextAttempt | None = None


class ExpansionEntry(Struct, frozen=True, kw_only=True):
    """An address that the client named, and what it led to: ``kind`` is alias, list, moved, postmaster, or
    same (several of the client's addresses are names of one mailbox).

    Of its ``number`` addresses these ``recipients`` are in this message, the others in ``copies``.
    """

    address: str
    kind: str
    number: int
    recipients: list[str]
    copies: list[CopyEntry] = []


class CopyEntry(Struct, frozen=True, kw_only=True):
    """A further message that a list made: its queue id, and the owner of the list, who is its sender."""

    id: str
    sender: str


class MessageHistory(Struct, frozen=True, kw_only=True):
    """The history of one message: how it came, each event, and the state of its recipients at ``now``.

    ``queued`` is False if the message has left the queue and only its history is kept; ``about`` is the queue id of
    the message that this one reports on.  ``expansions`` are the addresses that the client named where others were
    stored; in a copy for a list, ``parent`` is the queue id that the client was told, and ``named_sender`` the sender
    that the client named ("" if it is this message's).  ``verdicts`` are those of message authentication.  ``expires``
    is when a message that is in the queue is given up.
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
    recipients: tuple[str, ...]
    size: int
    message_id: str
    about: str
    events: list[AttemptEntry | EventEntry]
    standing: list[RecipientNow]
    expires: float | None = None
    expansions: list[ExpansionEntry] = []
    named_sender: str = ""
    parent: str = ""
    remarks: list[RemarkEntry] = []
    verdicts: list[VerdictEntry] = []


class MessageFound(Struct, frozen=True, kw_only=True):
    """One message of several that were found; ``queued`` while some of it is in the queue."""

    id: str
    received: float
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    queued: bool


class ExchangeEntry(Struct, frozen=True, kw_only=True):
    """One host that would be tried, and its addresses."""

    name: str
    preference: int
    addresses: list[str]


class EndForecast(Struct, frozen=True, kw_only=True):
    """Where a message to one recipient would go now.

    ``way`` is smtp, lmtp, maildir, mailbox, discard, python or "" (none); ``rule`` is what chose ``target``; ``lookup``
    says how ``exchanges`` were found, and ``reply`` is the result if there are none.  ``waiting``, ``held`` and
    ``oldest`` describe the queue for the destination.  ``next`` says when a message would be tried and what it
    would wait for; it is None where the message is delivered here.  ``tls`` is off, opportunistic, require or verify,
    and "" where the message goes to no other host.
    """

    recipient: str
    destination: str
    way: str
    target: str
    rule: str
    lookup: str = ""
    exchanges: list[ExchangeEntry] = []
    reply: str = ""
    site: str = ""
    next: NextAttempt | None = None
    waiting: int = 0
    held: int = 0
    oldest: float | None = None
    tls: str = ""


class AddressForecast(Struct, frozen=True, kw_only=True):
    """What an address is (``kind``, ``reply`` and ``explanation`` as in ``AddressReport``), and where its mail would
    go."""

    address: str
    now: float
    kind: str
    reply: str
    explanation: str
    facts: AddressFacts
    ends: list[EndForecast]


class Explained(Struct, frozen=True, kw_only=True):
    """The answer of ``explain``; ``kind`` says which of the other fields are set.

    ``message``: a queue id, or the only message with a Message-ID.  ``messages``: several with one Message-ID.
    ``address``: an address, with recent ``messages`` from it or to it.  ``code``: reply codes.  ``command``: a command
    of SMTP.  ``setting``: the settings of one name.  ``has_older`` says that only the newest ``messages`` are here.
    """

    kind: str
    message: MessageHistory | None = None
    messages: list[MessageFound] = []
    has_older: bool = False
    address: AddressForecast | None = None
    codes: list[CodeEntry] = []
    command: CommandText | None = None
    settings: list[SettingText] = []
