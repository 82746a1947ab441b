"""Contract of a spool, and the states that a crash can leave behind.

Content up to a threshold is in its row, larger content in a file.  A message is always in one of the states below; each
durable act moves it from one to the next, and a process may crash between any two:

    ====  =========  =======  ==========================  ===================  =====================================
    .     temp file  content  rows                        meaning              at start
    ====  =========  =======  ==========================  ===================  =====================================
    S0    –          –        –                           nothing              –
    S1    yes        –        –                           content arriving     no live owner: delete
    S2    –          file     –                           content safe,        no live owner: move to ``lost``, where
                                                          nothing promised     what is old and one of few is deleted
    S3    –          yes      some recipient waiting      **promised**         leases of the dead end, deliver
                              or leased
    S4    –          yes      all recipients settled      finished             history kept as configured, then
                                                                               rows, then file
    ✗     –          –        rows without content        impossible           keep, mark *corrupt*, tell the
                                                                               operator; never guess
    ====  =========  =======  ==========================  ===================  =====================================

A message is stored in this order: file, sync, directory sync, rows, commit and its sync (``storage.durability``).  It
is removed rows first, then the file.

A 250 may be sent when ``IncomingMessage.commit`` has returned, and a recipient may be forgotten when ``Spool.record``
has returned.  ``record`` stores the consequence (next time, report) in the transaction that erases the cause.

The **history** of each message is written in the same transactions: ``commit`` writes how the message came, ``record``
the result of an attempt, ``act`` what an operator decided.  The history outlives the message.

**Poison messages.**  A message that is leased each time its worker crashes may be the cause.  Crashes in a row are
counted for each message, and recording an attempt clears the count.  After the 2nd crash its messages are retried 1 s
apart; after the 3rd the recipients are HELD, and ``events`` says so.

Methods that wait for storage return awaitables.  A spool object belongs to one event loop; many of them, in many
processes, may share one store.  Recipients are *leased* to a named owner until a time.  Within a process a lease
expires by the clock.  Between processes it does not: a live process keeps its leases, and a dead process loses them at
once (``PeerLiveness``).

Over budget: the contract is read as a whole, and has no code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from posthouse.core import AttemptTrace, Content, Envelope
from posthouse.spool.filters import Condition, LargestDestinations, RecipientRow, SummaryRow
from posthouse.spool.history import Event, MessageSummary, Origin
from posthouse.spool.mail_index import MailIndex
from posthouse.spool.model import (
    AuditRecord,
    ChangedRecipient,
    DueDestination,
    DuePage,
    FormerPlace,
    Inbox,
    InboxMessage,
    Lease,
    MessageEntry,
    QueueAction,
    QueuedRecipient,
    RecipientState,
    Renewal,
    Report,
    Settlement,
    SpoolEvent,
    SpoolEventKind,
    Stored,
    StoredMessage,
)
from posthouse.spool.probe_limit import ProbeLimit

__all__ = [
    "AuditRecord",
    "ChangedRecipient",
    "Compose",
    "DueDestination",
    "DuePage",
    "Inbox",
    "InboxMessage",
    "IncomingMessage",
    "Lease",
    "MessageEntry",
    "PeerLiveness",
    "QueueAction",
    "QueuedRecipient",
    "RecipientState",
    "Renewal",
    "Report",
    "Settlement",
    "Spool",
    "SpoolEvent",
    "SpoolEventKind",
    "SpoolQueries",
    "Stored",
    "StoredMessage",
]


#: Composes the reports about some recipients of one message.
Compose = Callable[[StoredMessage, Sequence[QueuedRecipient]], Awaitable[Sequence[Report]]]


class IncomingMessage(Protocol):
    """Incoming message.  Exactly one of ``commit`` and ``abort`` ends it."""

    @property
    def id(self) -> str:
        """The queue id it will have; known before anything is stored, so that trace fields can carry it."""
        ...

    @property
    def size(self) -> int:
        """Octets written so far; ``commit`` may put a prefix in front of them."""
        ...

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets; an awaitable asks the caller to wait before writing more.

        Raises ``StorageFull`` or ``StorageError``; after that only ``abort`` is allowed.
        """
        ...

    def commit(
        self,
        envelope: Envelope,
        destinations: Sequence[str],
        *,
        received: float,
        due: float,
        prefix: bytes = b"",
        source: str = "",
        owner: str = "",
        until: float = 0.0,
        arrival: Origin | None = None,
        held: str = "",
    ) -> Awaitable[Stored]:
        """Store the message: when this returns, content, envelope and directory entry are on stable storage.

        ``prefix`` stands in front of the octets that were written, and the message's ``size`` counts it: for trace
        fields, which can only be written once all content has been seen.

        ``held`` is a reason to keep the message until an operator decides: its recipients are stored as HELD, none is
        leased, and the history has the reason.

        ``destinations`` has one key for each recipient, in their order (the domain it goes to, in A-labels and
        lower case): work is grouped and leased by it.  With an ``owner``, the recipients are stored as leased to
        it until ``until`` and come back as work, so that the first attempt costs no query.  ``arrival`` is for its
        history.

        Raises ``StorageFull``, ``StorageBusy`` or ``StorageError``: then nothing is promised and nothing is left.
        Raises ``StorageUncertain`` if it cannot be known whether the message was stored: nothing is promised either,
        the client is told to try again, and the message may exist and be delivered, so that there may be two copies of
        it.  A caller that stops waiting (cancellation) interrupts nothing: the message may be stored all the same, and
        its lease then ends.  Raises ``LocalError`` at once after ``commit`` or ``abort``, or without recipients.
        """
        ...

    def abort(self) -> None:
        """Discard the message; nothing is left.  Has no effect after ``commit``."""
        ...


class PeerLiveness(Protocol):
    """Liveness of the other processes on a spool; each kind of store determines it in its own way.

    A process is named by its slot.  All methods are called where the store's leases are changed; the event loop reads
    the attributes.
    """

    next_look: float
    """The time, in seconds of the store's stopwatch, from which on ``gone`` looks again."""

    interval: float | None
    """Seconds within which to look again, because a peer may die meanwhile; None without peers."""

    def gone(self) -> list[int]:
        """Slots of peers that have died, if it is time to look; each is returned until ``left_nothing`` is called."""
        ...

    def left_nothing(self, slot: int) -> None:
        """Note that a dead process has no lease left."""
        ...

    def dead(self, slot: int) -> AbstractContextManager[bool]:
        """Whether a slot has no living process; no process can take the slot while the context lasts."""
        ...

    def hangs(self, slot: int, now: float) -> float | None:
        """For a living process whose leases expired before ``now``: the end of those that may be taken, because it has
        not renewed them for too long; None if none may be."""
        ...


class SpoolQueries(Protocol):
    """Queries of a spool: messages, recipients, history, audit log and mailboxes.  Nothing here changes the spool."""

    async def entry(self, queue_id: str) -> MessageEntry | None:
        """One message, finished or not, or None."""
        ...

    async def count(self, conditions: Sequence[Condition] = (), *, now: float = 0.0) -> int:
        """The number of recipients that are not settled and meet the conditions; see ``spool.filters``."""
        ...

    async def select(
        self,
        conditions: Sequence[Condition] = (),
        *,
        now: float = 0.0,
        limit: int = 1000,
        after: tuple[str, int] | None = None,
        before: tuple[str, int] | None = None,
        newest: bool = False,
    ) -> list[RecipientRow]:
        """Recipients that meet the conditions, by message and key: the first ones behind the (id, key) ``after``, or,
        with ``newest``, the last ones in front of ``before``."""
        ...

    async def summary(self, conditions: Sequence[Condition] = (), *, now: float) -> list[SummaryRow]:
        """The number of recipients that meet the conditions, for each destination by age; the largest first."""
        ...

    async def largest(self, conditions: Sequence[Condition] = (), *, now: float, limit: int) -> LargestDestinations:
        """The first ``limit`` rows of ``summary``, and how much there is in all."""
        ...

    async def audit(self, *, limit: int = 100) -> list[AuditRecord]:
        """Records of operators' actions, the latest first."""
        ...

    async def lost(self) -> int:
        """How many contents the spool keeps without their rows; an operator should look."""
        ...

    async def history(self, queue_id: str) -> list[Event]:
        """The events of one message in their order; empty if the message is not known."""
        ...

    async def find(self, *, address: str = "", message_id: str = "", limit: int = 20) -> list[MessageSummary]:
        """Messages whose history has this sender or recipient, or an alias, list or moved address that led to one, or
        this Message-ID; the youngest first.  Looks through a bounded number of the youngest."""
        ...

    async def inboxes(self) -> list[Inbox]:
        """All mailboxes that hold something, by name."""
        ...

    async def inbox(
        self, name: str = "", *, limit: int = 1000, after: int = 0, newest: bool = False
    ) -> list[InboxMessage]:
        """Messages of one mailbox (or of all, for ""), oldest first, from behind the number ``after``: the first ones,
        or, with ``newest``, the last ones."""
        ...

    async def kept(self, number: int) -> tuple[InboxMessage, Content] | None:
        """One message of a mailbox, or None."""
        ...


class Spool(Protocol):
    """Durable store of messages, their recipients, leases, history and mailboxes."""

    @property
    def queries(self) -> SpoolQueries:
        """The queries of the open spool."""
        ...

    @property
    def index(self) -> MailIndex:
        """The index of the mailboxes, for lists and searches."""
        ...

    async def open(self, now: float) -> Sequence[str]:
        """Make the spool ready: create it, apply the crash table's last column.  Returns sentences about what was
        found and done, for the log."""
        ...

    async def close(self) -> None:
        """Finish the operations under way and release all files."""
        ...

    def accepting(self) -> bool:
        """Whether storage can be reached: while False, no message is received and no attempt is begun.  Synchronous,
        without input or output.  Where the spool is a local file, false when it is out of order."""
        ...

    def out_of_order(self) -> str:
        """Why nothing is stored until the spool is opened again, in a sentence; "" while all is well.  Synchronous."""
        ...

    def holds(self, lease: Lease) -> bool:
        """Whether no other process can have taken ``lease`` by now.  To be asked directly before the last octet of a
        message is sent.  Synchronous, without input or output.  Always true where the spool is a local file: there a
        living process keeps its leases."""
        ...

    def events(self) -> AsyncIterator[SpoolEvent]:
        """Events of the spool from now on: new mail of other processes, released leases, poison messages.  The iterator
        ends when the spool is closed."""
        ...

    def receive(self, announced: int = 0) -> IncomingMessage:
        """Begin to take a message.  ``announced`` octets (0: unknown) are reserved on the disk until it has ended.
        Raises ``StorageFull`` if there is no room for them."""
        ...

    async def lease(
        self,
        owner: str,
        now: float,
        until: float,
        *,
        limit: int,
        due_before: float | None = None,
        wanted: Collection[str] | None = None,
        probe: ProbeLimit | None = None,
    ) -> list[Lease]:
        """Lease up to ``limit`` recipients that are due, oldest first, by an index.

        Args:
            owner: who holds the leases; a name within this process.
            now: the calendar time.
            until: when the leases end.
            due_before: only recipients that were due at this time; ``now`` if it is not given.
            wanted: destinations whose mail is leased; any if neither ``wanted`` nor ``probe`` is given.
            probe: destinations of which little is leased.

        Raises ``LocalError`` if ``wanted`` and ``probe`` name more than ``MOST_NAMES`` destinations.
        """
        ...

    async def due(self, now: float, *, limit: int = 1000, after: DueDestination | None = None) -> DuePage:
        """Destinations that have waiting recipients, due or not yet, by the time of the first: up to ``limit`` from
        behind ``after``.

        A recipient whose lease has run out counts as due, whichever process has leased it.  Mail that another process
        stores may be missing until ``events`` reports it.
        """
        ...

    def record(
        self,
        work: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[Report] = (),
        *,
        trace: AttemptTrace | None = None,
    ) -> Awaitable[None]:
        """Record an attempt in one transaction: each settlement, the reports they cause, and the event in the history.

        ``trace`` is for the history, which has the settlements in any case.

        Recipients of ``work`` without a settlement are released, due at once.  A lease that was lost meanwhile
        is no error: permanent results are recorded all the same, because what was delivered is delivered.
        """
        ...

    def renew(self, leases: Sequence[Lease], until: float) -> Renewal:
        """Keep leases until a later time: an attempt may take longer than any lease should.

        What is recorded after this call is recorded under the leases that it returns.  A lease that was lost meanwhile
        stays lost.  If the future fails, the leases are as they were before.
        """
        ...

    async def release(self, work: Lease) -> None:
        """Give leases back unused; the recipients are due as before."""
        ...

    def content_now(self, message: StoredMessage) -> Content | None:
        """The message's content, if it is in memory or can be read within some tens of microseconds; None where
        ``open_content`` has to be awaited.  Raises ``StorageCorrupt`` if it is gone."""
        ...

    async def open_content(self, message: StoredMessage) -> Content:
        """The message's content: in memory if it is small, else an ``AsyncContent``, whose ``stream`` an event loop
        reads; its ``chunks`` block, and are for threads.  Raises ``StorageCorrupt`` if it is gone."""
        ...

    async def act(
        self,
        act: QueueAction,
        conditions: Sequence[Condition],
        *,
        now: float,
        who: str = "",
        target: str = "",
        report: Compose | None = None,
        among: Sequence[tuple[str, int]] | None = None,
        undoes: QueueAction | None = None,
        on_change: Callable[[Sequence[ChangedRecipient]], object] | None = None,
    ) -> int:
        """Apply an action to all recipients that meet the conditions now, a bounded number in each transaction; returns
        how many were changed.

        ``among`` names recipients (queue id and key, in order) in the place of the conditions, which then are for the
        audit log only; of these, DROP takes those that are held.  ``undoes`` is the former action that this one undoes;
        the histories and the audit log then name it, and not what undoes it.

        Each changed message's history has it, and the audit log has one line for all (``audit``).  An attempt that is
        under way ends as it ends: a delivery is recorded, only another attempt is not made.

        ``report`` composes, for DROP, the reports about the recipients of one message.  It is awaited on the event
        loop, outside any transaction; the reports are then stored in the transaction that drops these recipients.  If
        one of them has been settled meanwhile, nothing of the message is changed, and ``report`` is asked again about
        the others.  A fault ends the action between two transactions; the audit log then has what was done.

        ``on_change`` is called after each transaction with the recipients that it changed.
        """
        ...

    async def put_back(
        self,
        act: QueueAction,
        recipients: Sequence[FormerPlace],
        conditions: Sequence[Condition],
        *,
        since: float,
        now: float,
        who: str = "",
        target: str = "",
    ) -> int:
        """Undo a RETRY or a REROUTE to ``target`` that was made at ``since``: these recipients get their former due
        time and route back; returns how many.

        A recipient that is leased, was attempted or was changed by somebody else since is left alone: its attempt has
        begun, and the next host may have taken the message.  ``conditions`` are for the audit log, which has one line.
        """
        ...

    def keep(self, inbox: str, message: StoredMessage, content: Content) -> Awaitable[None]:
        """Put a message into a mailbox, durably.  Keeping the same message in the same mailbox twice keeps one."""
        ...

    async def discard(self, numbers: Collection[int], *, now: float, who: str = "", audited: bool = True) -> int:
        """Remove messages from mailboxes; returns how many there were.

        Unless ``audited`` is False, the audit log has one line for it, written in the same transaction: ``who`` deleted
        which numbers at ``now``.
        """
        ...

    async def note(self, act: str, filter: str, count: int, *, now: float, who: str = "") -> None:  # noqa: A002
        """Write a line into the audit log, about an act that changes the mail index alone."""
        ...
