"""Ready queues and the attempts in them.

An *attempt* is one message on its way to one site.  Recipients of one message that go to the same site share an
attempt, even where their domains differ.  A *ready queue* holds the attempts at one site, or, for deliverers without
sites, at one target: those that wait for a slot, and the number of those under way.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import Final

from posthouse.delivery.model import Deliverer
from posthouse.delivery.tracer import AttemptTracer
from posthouse.net import Timer
from posthouse.relay.routes import Route
from posthouse.relay.scheduling.concurrency import Priority
from posthouse.relay.scheduling.destinations import Probe
from posthouse.relay.scheduling.site_health import SiteHealth
from posthouse.spool.interface import Lease, QueuedRecipient

__all__ = ["Attempt", "Key", "QueuePosition", "ReadyQueue", "UNKNOWN"]

#: What attempts of one ready queue share: the deliverer and the site, or, while that is unknown, the target.
Key = tuple[Deliverer, str]

#: Stands behind a target whose site is not known yet.
UNKNOWN: Final = " (not looked up yet)"


class QueuePosition(enum.Enum):
    """What the scheduler does with an attempt that wants to start."""

    STARTS = enum.auto()
    WAITS = enum.auto()  # in the line of its ready queue
    REFUSED = enum.auto()  # the site is suspended, or the line is too long


class ReadyQueue:
    """The ready queue of one site; ``health`` is None where the deliverer has no sites.

    The scheduler alone changes it.
    """

    __slots__ = (
        "active",
        "closed",
        "destinations",
        "health",
        "key",
        "line",
        "local",
        "most",
        "new_mail",
        "suspended",
        "timer",
    )

    def __init__(self, key: Key, most: int, health: SiteHealth | None, *, local: bool = False) -> None:
        self.key = key
        self.most = most  # attempts at one time that configuration allows
        self.health = health
        self.local = local
        self.active = 0  # attempts under way
        self.line: deque[Attempt] = deque()  # attempts that wait for a slot
        self.new_mail = 0  # how many of the line did not come from the spool
        self.destinations: dict[str, None] = {}  # that lead here, the oldest first
        self.closed = False  # no more mail is leased for its destinations
        self.suspended = False  # no attempt is made until the timer opens it again
        self.timer: Timer | None = None

    def priority(self, new_mail: bool) -> Priority:
        """The priority class of an attempt here."""
        if self.health is None or self.health.proven:
            return Priority.HEALTHY
        if self.health.failing:
            return Priority.FAILING
        return Priority.NEW_MAIL if new_mail else Priority.UNPROVEN


class Attempt:
    """One message on its way to one site: leases with their targets, and the task that makes the attempt.

    ``from_spool`` is true if the message waited in the spool and did not come straight from its commit.  Each field has
    one owner: the dispatcher sets ``tracer`` and ``task``, the lease keeper ``leases`` and ``expired``, the scheduler
    the rest.
    """

    __slots__ = (
        "began",
        "expired",
        "from_spool",
        "key",
        "leases",
        "priority",
        "probe",
        "queue",
        "route",
        "stalled",
        "targets",
        "task",
        "tracer",
        "turned_away",
    )

    def __init__(self, route: Route, lease: Lease, key: Key, *, from_spool: bool = False) -> None:
        self.route = route
        self.key = key
        self.from_spool = from_spool
        self.leases = [lease]
        self.targets = [route.target]  # of each lease
        self.tracer: AttemptTracer | None = None
        self.task: asyncio.Task[None] | None = None
        self.expired = False  # it took longer than any attempt may
        self.queue: ReadyQueue | None = None
        self.priority = Priority.HEALTHY  # the class in which it is counted, in the line or in its slot
        self.began = 0.0  # monotonic seconds
        self.stalled = False  # it gave its slot away, because its host does not answer
        self.probe: Probe | None = None  # set if it is an attempt at an unproven destination
        self.turned_away = 0  # how often its host refused a session while others were open

    def add(self, lease: Lease, target: str) -> None:
        """Take more recipients of the same message along to the same site."""
        self.leases.append(lease)
        self.targets.append(target)

    def split(self, sites: dict[str, str]) -> list[Attempt]:
        """Keep the recipients that go where the first target goes, by the site of each target; the others become an
        attempt for each site."""
        mine = sites[self.targets[0]]
        deliverer = self.route.deliverer
        kept: list[tuple[Lease, str]] = []
        others: dict[str, Attempt] = {}
        for lease, target in zip(self.leases, self.targets, strict=True):
            site = sites[target]
            if site == mine:
                kept.append((lease, target))
            elif site in others:
                others[site].add(lease, target)
            else:
                route = self.route._replace(target=target)
                key = deliverer, site or f"{target}{UNKNOWN}"
                others[site] = Attempt(route, lease, key, from_spool=self.from_spool)
        self.leases = [lease for lease, _ in kept]
        self.targets = [target for _, target in kept]
        return list(others.values())

    @property
    def recipients(self) -> list[QueuedRecipient]:
        """The recipients, in the order of the delivery's."""
        if len(self.leases) == 1:
            return list(self.leases[0].recipients)
        return [recipient for lease in self.leases for recipient in lease.recipients]

    @property
    def recipient_keys(self) -> list[tuple[str, int]]:
        """The queue id and the key of each recipient."""
        return [(lease.message.id, each.key) for lease in self.leases for each in lease.recipients]

    @property
    def leased_until(self) -> float:
        """When the first of its leases ends, in calendar seconds."""
        return min([lease.until for lease in self.leases])

    @property
    def unanswered(self) -> bool:
        """True if it goes to another host, and that has not answered yet."""
        return self.tracer is not None and self.tracer.unanswered
