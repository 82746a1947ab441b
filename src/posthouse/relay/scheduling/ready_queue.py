"""One message to one site: leased work on its way through the lanes.

Recipients of one message that go to the same site are one attempt, also where their domains differ.  What it shares
with other attempts is its *key*: the deliverer and the site, or, as long as that is not known, the target.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from posthouse.delivery.model import Deliverer
from posthouse.delivery.tracer import AttemptTracer
from posthouse.relay.routes import Route
from posthouse.relay.scheduling.concurrency import Priority
from posthouse.spool.interface import Lease, QueuedRecipient

if TYPE_CHECKING:
    from posthouse.relay.scheduling.lane import ReadyQueue

__all__ = ["Attempt", "Key", "UNKNOWN"]

Key = tuple[Deliverer, str]

#: Stands behind a target whose site is not known.
UNKNOWN: Final = " (not looked up yet)"


class Attempt:
    """One message to one site: parts of leased work with their targets, and the task that is at it.

    The parts run out at ``until``; ``began`` is the stopwatch's.  ``leased`` if they waited in the queue, and did not
    come straight from reception.
    """

    __slots__ = (
        "began",
        "charged",
        "engaged",
        "expired",
        "key",
        "lane",
        "leased",
        "local",
        "parts",
        "rank",
        "route",
        "silent",
        "targets",
        "task",
        "tracer",
        "until",
    )

    def __init__(self, route: Route, part: Lease, key: Key, *, leased: bool = False) -> None:
        self.route = route
        self.key = key
        self.local = route.deliverer.local
        self.leased = leased
        self.parts = [part]
        self.targets = [route.target]
        self.until = part.until
        self.lane: ReadyQueue | None = None
        self.tracer: AttemptTracer | None = None
        self.task: asyncio.Task[None] | None = None
        self.began = 0.0
        self.rank = Priority.PROVEN  # with which it was counted
        self.silent = False  # counts with those that wait for a host to answer
        self.engaged: tuple[str, ...] = ()  # strangers of which it is the one message under way
        self.charged = 0  # recipients, if it was paced
        self.expired = False  # took longer than any attempt may

    def add(self, part: Lease, target: str) -> None:
        """More recipients of the same message for the same site."""
        self.parts.append(part)
        self.targets.append(target)
        self.until = min(self.until, part.until)

    def part(self, sites: dict[str, str]) -> list[Attempt]:
        """Keep what goes where the first target goes, by ``scheduling.site_health`` of targets; the rest, an attempt
        for each site."""
        mine = sites[self.targets[0]]
        deliverer = self.route.deliverer
        kept: list[tuple[Lease, str]] = []
        strays: dict[str, Attempt] = {}
        for part, target in zip(self.parts, self.targets, strict=True):
            site = sites[target]
            if site == mine:
                kept.append((part, target))
            elif site in strays:
                strays[site].add(part, target)
            else:
                route = self.route._replace(target=target)
                strays[site] = Attempt(route, part, (deliverer, site or f"{target}{UNKNOWN}"), leased=self.leased)
        self.parts = [part for part, _ in kept]
        self.targets = [target for _, target in kept]
        return list(strays.values())

    @property
    def waiting(self) -> list[QueuedRecipient]:
        """The recipients, in the order of the job's."""
        return [waiting for part in self.parts for waiting in part.recipients]

    @property
    def unanswered(self) -> bool:
        """True if it goes to the world outside, and its host has not said anything yet."""
        return self.tracer is not None and self.tracer.unanswered
