"""What operators are told about an attempt that has not begun: where it waits, and for what."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from posthouse.relay.routes import Route
from posthouse.relay.scheduling.ready_queue import UNKNOWN
from posthouse.relay.scheduling.scheduler import Scheduler

__all__ = ["AttemptPosition", "SiteOutlook", "outlook_of", "positions_of", "sites_of", "views_of"]

_NAMED = 1000  # destinations of one site


class SiteOutlook(NamedTuple):
    """What keeps mail for a destination waiting at a site; all times are in the clock's monotonic seconds.

    Attributes:
        site: the site, or the target while that is not known.
        limit: its concurrency limit, None if nothing is known of it.
        until: the end of its suspension, None if it is not suspended.
        why: the reason for the suspension.
        active: attempts under way there.
        waiting: attempts in its ready queue.
        is_full: its ready queue is so long that no more mail is leased for the destination.
        is_probed: the destination is unproven, and an attempt there is under way.
        wait: seconds until the rate limit of unproven destinations allows another attempt; 0.0 for proven ones.
    """

    site: str
    limit: int | None = None
    until: float | None = None
    why: str = ""
    active: int = 0
    waiting: int = 0
    is_full: bool = False
    is_probed: bool = False
    wait: float = 0.0


class AttemptPosition(NamedTuple):
    """An attempt of this process: under way since ``began`` (monotonic seconds), or with so many ``before`` it in the
    ready queue of ``site`` (then ``began`` is None)."""

    site: str
    began: float | None
    before: int = 0


def views_of(scheduler: Scheduler) -> dict[str, Any]:
    """The functions below for one scheduler, by the names that operations know them by."""
    return {
        "outlook": partial(outlook_of, scheduler),
        "positions": partial(positions_of, scheduler),
        "sites": partial(sites_of, scheduler),
    }


def outlook_of(scheduler: Scheduler, route: Route, destination: str, site: str = "") -> SiteOutlook:
    """What mail for a destination would wait for on this route; ``site`` names its site if the caller knows it."""
    key = scheduler.key(route)
    if site:
        key = route.deliverer, site
    elif route.deliverer.local:
        key = route.deliverer, ""
    table = scheduler.destinations
    unproven = not route.deliverer.local and destination not in table.proven
    found = SiteOutlook(
        key[1].removesuffix(UNKNOWN),
        is_probed=unproven and table.left_out(destination) and destination not in table.suspended,
        wait=table.rate_limit.wait() if unproven else 0.0,
    )
    queue = scheduler.queues.get(key)
    if queue is None:
        return found
    found = found._replace(active=queue.active, waiting=len(queue.line), is_full=queue.closed)
    if queue.health is None:
        return found
    status = queue.health.status()
    return found._replace(limit=status.limit, until=status.until if queue.suspended else None, why=status.why)


def sites_of(scheduler: Scheduler) -> list[tuple[SiteOutlook, list[str]]]:
    """Every site that the scheduler remembers, and the destinations for which no mail is leased because of it."""
    found = []
    for (_, name), queue in scheduler.queues.items():
        if queue.health is None:
            continue
        status = queue.health.status()
        outlook = SiteOutlook(
            name.removesuffix(UNKNOWN),
            status.limit,
            status.until if queue.suspended else None,
            status.why,
            queue.active,
            len(queue.line),
            queue.closed,
        )
        found.append((outlook, list(islice(queue.destinations, _NAMED)) if queue.closed else []))
    return found


def positions_of(scheduler: Scheduler) -> dict[tuple[str, int], AttemptPosition]:
    """The attempts of a worker, by the queue id and the key of each of their recipients."""
    found: dict[tuple[str, int], AttemptPosition] = {}
    for attempt in scheduler.active:
        position = AttemptPosition(attempt.key[1].removesuffix(UNKNOWN), attempt.began)
        found |= dict.fromkeys(attempt.recipient_keys, position)
    for queue in scheduler.queues.values():
        for before, attempt in enumerate(queue.line):
            position = AttemptPosition(queue.key[1].removesuffix(UNKNOWN), None, before)
            found |= dict.fromkeys(attempt.recipient_keys, position)
    return found
