"""The operation on sites: where mail goes next, how many attempts are made there, and which sites are suspended.

Each worker process learns for itself how a host answers, so each is asked; where they differ, the one that is worst off
is shown, and the attempts are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.results import AttemptPlace, SiteEntry, SitesReport

__all__ = ["SITES", "peer_reports"]

_MOST_ATTEMPTS: Final = 10_000


async def _sites(context: Context, peers: bool = True) -> SitesReport:
    now, monotonic = context.clock.time(), context.clock.monotonic()

    def calendar(at: float | None) -> float | None:
        return None if at is None else now + at - monotonic

    entries = [
        SiteEntry(
            site=each.site,
            limit=each.limit or 0,
            active=each.active,
            waiting=each.waiting,
            until=calendar(each.until),
            why=each.why if each.until is not None else "",
            is_full=each.is_full,
            destinations=list(destinations),
        )
        for each, destinations in (context.sites() if context.sites is not None else ())
    ]
    positions = context.positions() if context.positions is not None else {}
    attempts = [
        AttemptPlace(id=queue_id, key=key, site=each.site, began=calendar(each.began), before=each.before)
        for (queue_id, key), each in list(positions.items())[:_MOST_ATTEMPTS]
    ]
    fault = ""
    if context.sites is not None:  # a daemon, whose spool is open
        async with context.spool() as spool:
            fault = spool.out_of_order()
    own = SitesReport(sites=entries, attempts=attempts, fault=fault)
    return _joined([own, *(await peer_reports(context))]) if peers else own


async def peer_reports(context: Context) -> list[SitesReport]:
    """What the other worker processes know; none without a daemon."""
    return [] if context.peers is None else await context.peers(SITES, {"peers": False})


def _joined(reports: Sequence[SitesReport]) -> SitesReport:
    found: dict[str, SiteEntry] = {}
    for entry in (each for report in reports for each in report.sites):
        known = found.get(entry.site)
        if known is not None:
            worse = entry if (entry.until or 0.0) > (known.until or 0.0) else known
            entry = replace(
                worse,
                limit=known.limit + entry.limit,
                active=known.active + entry.active,
                waiting=known.waiting + entry.waiting,
                is_full=known.is_full or entry.is_full,
                destinations=list(dict.fromkeys([*known.destinations, *entry.destinations])),
            )
        found[entry.site] = entry
    worst_first = sorted(found.values(), key=lambda each: (each.until is None, -each.waiting, each.site))
    return SitesReport(
        sites=worst_first,
        attempts=[each for report in reports for each in report.attempts],
        fault=next((report.fault for report in reports if report.fault), ""),
    )


#: The operation of this module.
SITES: Final = Operation(
    "queue sites",
    "Show the hosts that mail goes to: attempts under way, and which are suspended, until when and why.",
    _sites,
    SitesReport,
    (Parameter("peers", "Whether the other worker processes are asked too.", bool, True),),
    live=True,
    reads=True,
)
