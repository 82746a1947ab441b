"""The operation ``overview``: the state of a running daemon in numbers, of all its worker processes together.

The counts are in memory that all workers share, so that one worker gives them.  The others are asked for what only they
know: their sessions, their latencies, their destinations.  The queue is counted at most once in 5 s, because counting
100,000 recipients takes the spool some 100 ms.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from posthouse.service.monitor.count_history import CountSample, rates
from posthouse.service.monitor.latency_histograms import BOUNDS, LatencyHistograms, quantile
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.monitor.monitor_answers import (
    CertificateEntry,
    DestinationCount,
    LatencyEntry,
    OverviewReport,
    QueueTotals,
    RateSeries,
    RefusalCount,
    StorageTotals,
    WorkerEntry,
)
from posthouse.service.operations.monitor.session_operations import monitor_of
from posthouse.service.operations.sites import SITES

if TYPE_CHECKING:
    from posthouse.service.monitor.monitor import Monitor

__all__ = ["OVERVIEW", "overview_of"]

_FRESH: Final = 5.0  # seconds
_DESTINATIONS: Final = 100
#: The counters whose course is shown.
_SHOWN: Final = ("accepted", "delivered", "deferred", "failed", "refused", "sessions")


async def overview_of(context: Context, *, peers: bool = True) -> OverviewReport:
    """The overview; without ``peers`` what is asked of the other workers is that of this one alone."""
    monitor = monitor_of(context)
    queue, lost = await _queue(context, monitor)
    own = OverviewReport(
        now=context.clock.time(),
        began=monitor.started,
        hostname=context.config.hostname,
        version=_version(),
        counts=monitor.tally.totals(),
        refusals=_refusals(monitor.tally.refusals()),
        destinations=[
            DestinationCount(destination=name, delivered=delivered, deferred=deferred, failed=failed)
            for name, delivered, deferred, failed in monitor.tally.destinations(_DESTINATIONS)
        ],
        latencies=[_latency(monitor.latencies, name) for name in LatencyHistograms.NAMES],
        hour=_series(list(monitor.history.hour)),
        day=_series(list(monitor.history.day)),
        queue=queue,
        storage=await asyncio.to_thread(_storage, context.config.data_dir, context.config.spool.min_free, lost),
        workers=[
            WorkerEntry(
                number=monitor.number,
                pid=os.getpid(),
                began=monitor.started,
                sessions=monitor.sessions.open,
                attempts=monitor.attempts.under_way,
            )
        ],
        suspended=0,
        certificates=_certificates(monitor),
    )
    if not peers:
        return own
    others: Sequence[OverviewReport] = []
    if context.peers is not None:
        others = await context.peers(OVERVIEW, {"peers": False})
    sites = await SITES.run(context)
    return _joined(own, others, suspended=sum(each.until is not None for each in sites.sites))


async def _run(context: Context, peers: bool = True) -> OverviewReport:
    return await overview_of(context, peers=peers)


def _version() -> str:
    from posthouse import __version__

    return __version__


async def _queue(context: Context, monitor: Monitor) -> tuple[QueueTotals, int]:
    now = context.clock.monotonic()
    if monitor.queue is None or now - monitor.queue[0] > _FRESH:
        async with context.spool() as spool:
            rows = [row for row in await spool.queries.summary((), now=context.clock.time()) if row.total]
            lost = await spool.queries.lost()
        totals = QueueTotals(
            waiting=sum(row.waiting for row in rows),
            held=sum(row.held for row in rows),
            destinations=len(rows),
            oldest=min((row.oldest for row in rows), default=None),
        )
        monitor.queue = (now, (totals, lost))
    found: tuple[QueueTotals, int] = monitor.queue[1]
    return found


def _storage(data_dir: str, min_free: int, lost: int) -> StorageTotals:
    free = size = spool = 0
    try:
        status = os.statvfs(data_dir)
        free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        with os.scandir(os.path.join(data_dir, "spool")) as entries:
            spool = sum(entry.stat().st_size for entry in entries if entry.is_file())
    except OSError:  # there is none, or it cannot be looked at: the numbers stay 0
        pass
    return StorageTotals(free=free, size=size, min_free=min_free, spool=spool, lost=lost)


def _refusals(counted: dict[str, int]) -> list[RefusalCount]:
    found = []
    for label, count in sorted(counted.items(), key=lambda each: (-each[1], each[0])):
        command, _, codes = label.partition(" ")
        found.append(RefusalCount(command=command, codes=codes, count=count))
    return found


def _latency(latencies: LatencyHistograms, name: str) -> LatencyEntry:
    counts, seconds = latencies.of(name)
    return _with_quantiles(name, counts, seconds)


def _with_quantiles(name: str, counts: list[int], seconds: float) -> LatencyEntry:
    p50, p90, p99 = (quantile(counts, share) for share in (0.5, 0.9, 0.99))
    return LatencyEntry(name=name, bounds=list(BOUNDS), counts=counts, seconds=seconds, p50=p50, p90=p90, p99=p99)


def _series(samples: list[CountSample]) -> RateSeries:
    return RateSeries(
        times=[sample.at for sample in samples[1:]], rates={name: rates(samples, name) for name in _SHOWN}
    )


def _certificates(monitor: Monitor) -> list[CertificateEntry]:
    return [
        CertificateEntry(file=file, names=list(facts.names), until=facts.not_after, self_signed=facts.self_signed)
        for file, facts in monitor.certificates()
    ]


def _joined(own: OverviewReport, others: Sequence[OverviewReport], *, suspended: int) -> OverviewReport:
    """One report of those of all workers."""
    every = [own, *others]
    destinations: dict[str, DestinationCount] = {}
    for each in (entry for report in every for entry in report.destinations):
        known = destinations.get(each.destination)
        if known is not None:
            each = DestinationCount(
                destination=each.destination,
                delivered=each.delivered + known.delivered,
                deferred=each.deferred + known.deferred,
                failed=each.failed + known.failed,
            )
        destinations[each.destination] = each
    busiest = sorted(
        destinations.values(), key=lambda each: (-(each.delivered + each.deferred + each.failed), each.destination)
    )
    latencies = []
    for same in zip(*(report.latencies for report in every), strict=True):
        counts = [sum(numbers) for numbers in zip(*(each.counts for each in same), strict=True)]
        latencies.append(_with_quantiles(same[0].name, counts, sum(each.seconds for each in same)))
    first = min(every, key=lambda report: report.workers[0].number)  # worker 0 has the history
    return OverviewReport(
        now=own.now,
        began=first.began,
        hostname=own.hostname,
        version=own.version,
        counts=own.counts,
        refusals=own.refusals,
        destinations=busiest[:_DESTINATIONS],
        latencies=latencies,
        hour=first.hour,
        day=first.day,
        queue=own.queue,
        storage=own.storage,
        workers=sorted((worker for report in every for worker in report.workers), key=lambda each: each.number),
        suspended=suspended,
        certificates=own.certificates,
    )


OVERVIEW: Final = Operation(
    "monitor overview",
    "Show the state of the daemon in numbers: rates, latencies, refusals, destinations, queue, disk, workers.",
    _run,
    OverviewReport,
    (Parameter("peers", "Whether the other worker processes are asked too.", bool, True),),
    live=True,
    reads=True,
)
