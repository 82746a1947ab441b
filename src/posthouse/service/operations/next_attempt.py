"""The next attempt for a recipient that waits: when it is, and what it waits for.

One source for `queue list`, `queue show` and `explain`, on the command line and as JSON.  A recipient waits for its due
time (the retry schedule, or an operator, set it); once that has passed, for its site or for the relay.  What the relay
knows is asked of the running daemon, that is of all its worker processes: a message that one of them has deferred is
tried by that one, or by another that looks at the same destination.  Without a daemon nothing is attempted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from posthouse.core import Address, Recipient
from posthouse.service.operations.base import Context
from posthouse.service.operations.results import AttemptPlace, NextAttempt, SiteEntry, SitesReport
from posthouse.service.operations.sites import peer_reports
from posthouse.spool.filters import RecipientRow
from posthouse.spool.model import QueuedRecipient

if TYPE_CHECKING:
    from posthouse.relay.scheduling.outlook import AttemptPosition, SiteOutlook

__all__ = ["NextAttempts", "next_attempts"]


async def next_attempts(context: Context) -> NextAttempts:
    """The next attempts as of now."""
    return NextAttempts(context, await peer_reports(context))


class NextAttempts:
    """The next attempts of recipients, as of one moment (``now``, in calendar seconds).

    ``peers`` is what the other worker processes know.
    """

    def __init__(self, context: Context, peers: Sequence[SitesReport] = ()) -> None:
        self.now = context.clock.time()
        self._context = context
        self._monotonic = context.clock.monotonic()
        self._positions: Mapping[tuple[str, int], AttemptPosition] = {}
        if context.positions is not None:
            self._positions = context.positions()
        self._peer_attempts = {(each.id, each.key): each for report in peers for each in report.attempts}
        #: The sites of other workers, by their names and by the destinations that wait for them.
        self._peer_sites: dict[str, list[SiteEntry]] = {}
        for entry in (each for report in peers for each in report.sites):
            for name in {entry.site, *entry.destinations}:
                self._peer_sites.setdefault(name, []).append(entry)
        self._outlooks: dict[tuple[str, str], SiteOutlook | None] = {}

    def of(
        self, queue_id: str, key: int, address: Address, destination: str, *, due: float, active: bool, route: str = ""
    ) -> NextAttempt:
        """The next attempt for one waiting recipient; ``active`` while it is leased, ``route`` an operator's route."""
        if self._context.outlook is None:
            return NextAttempt(state="scheduled" if due > self.now else "stopped", at=due)
        pauses = self._context.pauses
        if not active and pauses is not None and (pause := pauses.current.get(destination)) is not None:
            return NextAttempt(state="paused", at=pause.until, why=pause.why or pause.who)
        if active:
            return self._leased(self._positions.get((queue_id, key)), self._peer_attempts.get((queue_id, key)))
        return self.at_site(self._outlook(address, destination, route), destination, due)

    def of_recipient(self, queue_id: str, row: QueuedRecipient) -> NextAttempt:
        """The next attempt for a recipient of a message that waits."""
        address = row.recipient.address
        return self.of(queue_id, row.key, address, row.destination, due=row.due, active=row.active, route=row.route)

    def first_of(self, rows: Sequence[RecipientRow]) -> NextAttempt | None:
        """The first of the next attempts of the waiting recipients of one message; None if there are none."""
        different = {(row.destination, row.due, row.active, row.route): row for row in rows}
        found = []
        for row in different.values():
            local, _, domain = row.address.rpartition("@")
            address = Address(local, domain)
            found.append(
                self.of(row.id, row.key, address, row.destination, due=row.due, active=row.active, route=row.route)
            )
        return min(found, key=lambda each: inf if each.at is None else each.at, default=None)

    def at_site(self, outlook: SiteOutlook | None, destination: str, due: float) -> NextAttempt:
        """The next attempt of mail for a destination that is not leased and is due at ``due``."""
        now = self.now
        if outlook is None:
            return NextAttempt(state="scheduled" if due > now else "soon", at=max(due, now))
        site, limit = outlook.site, outlook.limit
        until, why = None, outlook.why
        if outlook.until is not None:
            until = now + max(0.0, outlook.until - self._monotonic)
        if limit is None or until is not None:  # this process makes no attempt of itself now; another one may
            others = self._peer_sites.get(site) or self._peer_sites.get(destination) or []
            for other in others:
                limit = other.limit if limit is None else limit
                if other.until is not None and (until is None or other.until < until):
                    until, why = other.until, other.why
        if until is not None and until > due and until > now:
            return NextAttempt(state="suspended", at=until, why=why, site=site, limit=limit)
        if due > now:
            return NextAttempt(state="scheduled", at=due, site=site, limit=limit)
        if outlook.is_full:
            return NextAttempt(state="line", at=None, site=site, limit=limit, before=outlook.waiting)
        if outlook.is_probed:
            return NextAttempt(state="probe", at=None, site=site, limit=limit)
        if outlook.wait > 0.0:
            return NextAttempt(state="rate", at=now + outlook.wait, site=site, limit=limit)
        return NextAttempt(state="soon", at=now, site=site, limit=limit)

    def _leased(self, position: AttemptPosition | None, place: AttemptPlace | None) -> NextAttempt:
        if position is not None:
            began = position.began
            at = None if began is None else self.now - max(0.0, self._monotonic - began)
            state = "slot" if began is None else "trying"
            return NextAttempt(state=state, at=at, site=position.site, before=position.before)
        if place is not None:
            state = "slot" if place.began is None else "trying"
            return NextAttempt(state=state, at=place.began, site=place.site, before=place.before)
        return NextAttempt(state="leased", at=self.now)  # a worker has just taken it, or records what became of it

    def _outlook(self, address: Address, destination: str, override: str) -> SiteOutlook | None:
        """What is known of the site that a recipient goes to now; None where no route leads there."""
        from posthouse.relay import NoRoute  # imports the relay, which runs already where this is called

        # Routes differ within a destination only where each mailbox has a target of its own; such have no sites.
        key = destination, override
        if key not in self._outlooks:
            assert self._context.outlook is not None
            route = self._context.routing().router.route(Recipient(address), override)
            self._outlooks[key] = None if isinstance(route, NoRoute) else self._context.outlook(route, destination, "")
        return self._outlooks[key]
