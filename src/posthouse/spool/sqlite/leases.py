"""Leases in SQL: which process may attempt which recipients, and until when.

Everything here runs in the writer's thread, within a group's transaction.  A lease is therefore exclusive between
processes too.

A lease belongs to a *slot* (the process, see ``layout.ProcessSlot``).  It is still held if slot and fencing token are
those of the ``Lease``; if not, another process may be attempting delivery, and only permanent results are recorded.  A
process never gives a token twice, and a slot's leases are ended before another process moves into it, so the pair is
unique.  The lease of a commit has token 0, in the message's own row.  ``liveness`` says when a lease of another process
may be taken.
"""

from __future__ import annotations

import heapq
import itertools
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import NamedTuple

from posthouse.core.units import duration_in_words
from posthouse.spool.history import QueueEvent
from posthouse.spool.ids import number_of, text_of
from posthouse.spool.interface import PeerLiveness
from posthouse.spool.model import Lease, QueuedRecipient, RecipientState, SpoolEvent, SpoolEventKind, StoredMessage
from posthouse.spool.probe_limit import ProbeLimit, one_message
from posthouse.spool.sqlite.batch import add_recipients, rerank
from posthouse.spool.sqlite.history_store import HistoryWriter
from posthouse.spool.sqlite.poison import CrashCounter
from posthouse.spool.sqlite.rows import (
    decode_envelope,
    destinations_of,
    recipient_rows,
)
from posthouse.spool.sqlite.statements import SQL, array_of

__all__ = ["LeaseTable"]


class _DueRecipient(NamedTuple):
    """One recipient that is due; ordered by time."""

    ready: float
    message: int
    nth: int
    due: float
    attempts: int
    last: str
    slot: int | None
    route: str
    warned: int
    destination: str


_SLOT = _DueRecipient._fields.index("slot")


class LeaseTable:
    """Leases of one process, whose slot is ``slot``: taking, renewing and giving back, and ending those of processes
    that died or hang."""

    def __init__(
        self,
        slot: int,
        *,
        time: Callable[[], float],
        history_writer: HistoryWriter,
        peers: PeerLiveness,
    ) -> None:
        self.slot = slot
        self.history_writer = history_writer
        self.deaths = CrashCounter()
        self.peers = peers
        self.tokens = itertools.count(1)  # taken from both threads; 0 is the token of a lease taken by a commit
        self._time = time

    # -- fresh messages --------------------------------------------------------------------------------------------

    def expand(self, connection: sqlite3.Connection, number: int, *, leased: bool) -> bool:
        """Give a fresh message its recipient rows, under the same lease or under none; false if it is not fresh."""
        row = connection.execute(SQL.FRESH, (number,)).fetchone()
        if row is None or row[0] is None:
            return False
        until, slot, owner, due, destination, received, size, source, head = row
        ready, slot, owner = (until, slot, owner) if leased else (due, None, "")
        message = StoredMessage(text_of(number), decode_envelope(head), received, size, source)
        sooner: dict[str, float] = {}
        destinations = destinations_of(destination, message.envelope.recipients)
        add_recipients(connection, recipient_rows(number, message, destinations, due, ready, slot, owner), sooner)
        if self.history_writer.writes:
            (packed,) = connection.execute(SQL.FRESH_ORIGIN, (number,)).fetchone()
            self.history_writer.begin_fresh(connection, number, message, packed)
        connection.execute(SQL.EXPANDED, (number,))
        rerank(connection, sooner)
        return True

    def clear_slot(self, connection: sqlite3.Connection, slot: int, now: float) -> int:
        """End all leases of a process that has died, count the crash, and return the number of recipients."""
        for (number,) in connection.execute(SQL.FRESH_OF, (slot,)).fetchall():
            self.expand(connection, number, leased=True)
        messages = [number for (number,) in connection.execute(SQL.MESSAGES_OF, (slot,)).fetchall()]
        destinations = [name for (name,) in connection.execute(SQL.LEASED_BY, (slot,)).fetchall()]
        cleared = connection.execute(SQL.CLEAR, (slot,)).rowcount
        self.deaths.rescued(cleared)
        self.deaths.count(connection, messages, now, self.history_writer)
        rerank(connection, destinations)
        return cleared

    def leased_slots(self, connection: sqlite3.Connection) -> set[int]:
        """The slots that hold leases."""
        return {slot for statement in (SQL.LEASED_SLOTS, SQL.FRESH_SLOTS) for (slot,) in connection.execute(statement)}

    def mark_corrupt(self, connection: sqlite3.Connection, number: int, reason: str) -> None:
        """Hold a message whose content is gone: it is kept, never leased, and shown to operators."""
        self.expand(connection, number, leased=False)
        destinations = [name for (name,) in connection.execute(SQL.WAITING_FOR, (number,)).fetchall()]
        connection.execute(SQL.SET_ASIDE, (reason, number))
        if connection.execute("INSERT OR IGNORE INTO corrupt VALUES (?, ?)", (number, reason)).rowcount:
            self.history_writer.note(connection, number, QueueEvent(self._time(), "corrupt", (), "", reason))
        rerank(connection, destinations)

    # -- leasing ---------------------------------------------------------------------------------------------------

    def lease(
        self,
        connection: sqlite3.Connection,
        owner: str,
        now: float,
        until: float,
        limit: int,
        due_before: float,
        wanted: Collection[str] | None,
        probe: ProbeLimit | None,
    ) -> list[Lease]:
        """Lease what is due; see ``Spool.lease``."""
        self.sweep(connection, now, limit)
        living: set[int] = set()  # slots of living processes: they keep leases that expired by the clock
        while True:
            found = self._find(connection, due_before, limit, wanted, probe, living)
            others = {one.slot for one in found if one.slot is not None} - {self.slot}
            if not others:
                break
            for slot in sorted(others):
                if self._release_crashed(connection, slot, now) is None and not self._wrest(connection, slot, now):
                    living.add(slot)
        token = next(self.tokens)
        connection.executemany(SQL.TAKE, [(until, self.slot, owner, token, f.message, f.nth) for f in found])
        rerank(connection, {f.destination for f in found})
        return self._group(connection, found, owner, until, token)

    def sweep(self, connection: sqlite3.Connection, now: float, limit: int = 1000) -> None:
        """Release the leases of processes that died, and leases taken by a commit that have expired."""
        for slot in self.peers.gone():
            if self._release_crashed(connection, slot, now) == 0:
                self.peers.left_nothing(slot)
        for number, _ in connection.execute(SQL.EXPIRED_FRESH, (now, limit)).fetchall():
            self.expand(connection, number, leased=True)

    def too_late(self, connection: sqlite3.Connection, latest: float) -> list[str]:
        """Destinations whose first recipient is due after ``latest``."""
        return [name for (name,) in connection.execute(SQL.TOO_LATE, (latest,)).fetchall()]

    def pull_in(
        self, connection: sqlite3.Connection, names: Sequence[str], now: float, horizon: float, limit: int = 1000
    ) -> Sequence[str]:
        """Make due what would be due at these destinations more than ``horizon`` seconds from now, up to ``limit``
        recipients; returns the destinations that are left.

        Retries are never planned so far ahead: their times come from a calendar that has been set back since.  What is
        leased is left to the process that holds it.
        """
        count = done = 0
        for name in names[:limit]:
            count += connection.execute(SQL.PULL_IN, (now, now, name, now + horizon, limit - count)).rowcount
            if count >= limit:
                break
            done += 1
        rerank(connection, names[: done + 1])
        if count:
            self.deaths.events.append(
                SpoolEvent(
                    SpoolEventKind.CALENDAR,
                    f"{count} recipients that were due in more than {duration_in_words(horizon)}, the longest wait,"
                    " are due now: the calendar was set back",
                )
            )
        return names[done:]

    def _release_crashed(self, connection: sqlite3.Connection, slot: int, now: float) -> int | None:
        """End the leases of a slot without a living process, and return how many; None if a process lives there."""
        with self.peers.dead(slot) as dead:
            return self.clear_slot(connection, slot, now) if dead else None

    def _wrest(self, connection: sqlite3.Connection, slot: int, now: float) -> bool:
        """End the leases of a stalled process, which runs and has not renewed them for 1 h; true if there were any."""
        bound = self.peers.hangs(slot, now)
        if bound is None:
            return False
        destinations = [name for (name,) in connection.execute(SQL.LEASED_BY, (slot,)).fetchall()]
        ended = connection.execute(SQL.CLEAR_UNTIL, (slot, bound)).rowcount
        self.deaths.hangs(ended)
        rerank(connection, destinations)
        return ended > 0

    def _find(
        self,
        connection: sqlite3.Connection,
        now: float,
        limit: int,
        wanted: Collection[str] | None,
        probe: ProbeLimit | None,
        living: Collection[int],
    ) -> list[_DueRecipient]:
        """The ``limit`` oldest recipients that are due at ``now``, without those leased by the slots in ``living``.

        Destinations are read in the order of their oldest recipient.  The search ends at the first destination whose
        oldest recipient is younger than ``limit`` recipients found before, or after ``limit`` destinations with any.
        """
        oldest: list[tuple[float, _DueRecipient]] = []  # a heap, youngest first
        looked = 0
        unproven = frozenset(() if probe is None else probe.destinations)
        left = 0 if probe is None else probe.at_most
        at_most = -1 if living else limit  # leases of living processes may stand before any other row
        if wanted is None and probe is None:
            destinations = connection.execute(SQL.DUE_DESTINATIONS, (now,))
        else:
            names = json.dumps([*(wanted or ()), *unproven])
            destinations = connection.execute(SQL.DUE_OF, (names, now))
        for name, ready in destinations:
            strange = name in unproven
            if strange and left <= 0:
                continue
            if looked >= limit or (len(oldest) >= limit and ready >= -oldest[0][0]):
                break
            any_here = False
            due = connection.execute(SQL.DUE_RECIPIENTS, (name, now, at_most))
            rows = (row for row in due if row[_SLOT] not in living) if living else iter(due)
            for row in islice(one_message(rows), left) if strange else rows:
                left -= strange
                found = _DueRecipient._make((*row, name))
                any_here = True
                item = (-found.ready, found)
                if len(oldest) < limit:
                    heapq.heappush(oldest, item)
                elif found.ready < -oldest[0][0]:
                    heapq.heapreplace(oldest, item)
                else:
                    break
            looked += any_here
        return sorted(found for _, found in oldest)

    def _group(
        self, connection: sqlite3.Connection, found: Sequence[_DueRecipient], owner: str, until: float, token: int
    ) -> list[Lease]:
        """One lease for each message and destination, the oldest first."""
        groups: dict[tuple[int, str], list[_DueRecipient]] = {}
        for one in found:
            groups.setdefault((one.message, one.destination), []).append(one)
        messages: dict[int, StoredMessage] = {}
        works = []
        for (number, destination), ones in groups.items():
            message = messages.get(number)
            if message is None:
                received, size, source, head = connection.execute(SQL.MESSAGE, (number,)).fetchone()
                message = StoredMessage(text_of(number), decode_envelope(head), received, size, source)
                messages[number] = message
            people = message.envelope.recipients
            recipients = tuple(
                QueuedRecipient(
                    f.nth,
                    people[f.nth],
                    destination,
                    RecipientState.WAITING,
                    f.attempts,
                    f.due,
                    f.last,
                    f.route,
                    bool(f.warned),
                )
                for f in sorted(ones, key=lambda f: f.nth)
            )
            works.append(Lease(message, destination, recipients, owner, until, token))
        return works

    def renew(self, connection: sqlite3.Connection, works: Sequence[Lease], until: float, token: int) -> None:
        """Renew leases under a new token; see ``Spool.renew``."""
        for work in works:
            number = number_of(work.message.id)
            if number is not None:
                self.expand(connection, number, leased=True)
                keys = array_of([waiting.key for waiting in work.recipients])
                connection.execute(SQL.RENEW_SOME, (until, token, number, keys, self.slot, work.token))
        rerank(connection, {work.destination for work in works})

    def release(self, connection: sqlite3.Connection, work: Lease) -> None:
        number = number_of(work.message.id)
        if number is None:
            return
        self.expand(connection, number, leased=True)
        self.release_keys(connection, number, work, [waiting.key for waiting in work.recipients])
        rerank(connection, (work.destination,))

    def release_keys(self, connection: sqlite3.Connection, number: int, work: Lease, keys: Sequence[int]) -> None:
        """Give back the lease of some recipients; the destination is not brought up to date."""
        if keys:
            connection.execute(SQL.RELEASE_SOME, (number, array_of(keys), self.slot, work.token))
