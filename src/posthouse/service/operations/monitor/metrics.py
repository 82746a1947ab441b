"""The operation ``metrics``: every number of a running daemon as a metric, with the names that the manual documents.

A name that was published keeps its name, its labels and its meaning.  Counters count since the daemon was started, over
all its worker processes, and go on when a worker is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from posthouse.service.operations.base import Context, Operation
from posthouse.service.operations.monitor.monitor_answers import (
    LatencyEntry,
    MetricFamily,
    MetricSample,
    MetricsReport,
    OverviewReport,
)
from posthouse.service.operations.monitor.overview_operation import overview_of

__all__ = ["METRICS", "METRIC_NAMES"]

#: Every metric by name, with its type, its labels and its meaning, as the manual lists them.
METRIC_NAMES: Final[dict[str, tuple[str, tuple[str, ...], str]]] = {
    "posthouse_build_info": ("gauge", ("version",), "1, labelled with the version."),
    "posthouse_start_time_seconds": ("gauge", (), "When the daemon was started, in seconds since 1970."),
    "posthouse_sessions": ("counter", (), "Sessions with clients that began."),
    "posthouse_sessions_open": ("gauge", (), "Sessions with clients that are open."),
    "posthouse_messages_accepted": ("counter", (), "Messages that were answered 250."),
    "posthouse_recipients_accepted": ("counter", (), "Recipients of these messages."),
    "posthouse_octets_accepted": ("counter", (), "Octets of the contents of these messages."),
    "posthouse_messages_quarantined": ("counter", (), "Messages that were accepted and held by a content check."),
    "posthouse_refusals": ("counter", ("command", "code"), "Commands that were refused, by command and reply code."),
    "posthouse_logins": ("counter", (), "Clients that logged in."),
    "posthouse_tls_failures": ("counter", (), "TLS handshakes that failed, and other events of TLS in the log."),
    "posthouse_faults": ("counter", (), "Local faults that were logged."),
    "posthouse_outcomes": (
        "counter",
        ("result",),
        "Outcomes of attempts, one for each recipient: delivered, deferred, failed, ambiguous or held.",
    ),
    "posthouse_reports": ("counter", (), "Delivery reports that were written."),
    "posthouse_attempts_active": ("gauge", (), "Attempts at other hosts that are under way."),
    "posthouse_queue_recipients": ("gauge", ("state",), "Recipients in the queue: waiting or held."),
    "posthouse_queue_destinations": ("gauge", (), "Destinations of these recipients."),
    "posthouse_queue_oldest_seconds": ("gauge", (), "The age of the oldest message in the queue; 0 if it is empty."),
    "posthouse_sites_suspended": ("gauge", (), "Sites at which no attempts are made for a while."),
    "posthouse_commit_seconds": (
        "histogram",
        (),
        "From the end of a content to its reply, in the sessions that are recorded.",
    ),
    "posthouse_delivery_seconds": (
        "histogram",
        (),
        "From the acceptance of a message to its delivery to another host.",
    ),
    "posthouse_attempt_seconds": ("histogram", (), "From the beginning of an attempt at another host to its end."),
    "posthouse_disk_free_octets": ("gauge", (), "Octets that are free where mail is stored."),
    "posthouse_disk_size_octets": ("gauge", (), "Octets of that disk in all."),
    "posthouse_lost_contents": ("gauge", (), "Contents in spool/lost, which an operator should look at."),
    "posthouse_workers": ("gauge", (), "Worker processes that answer."),
    "posthouse_certificate_expiry_seconds": ("gauge", ("file",), "When a certificate ends, in seconds since 1970."),
}

_COUNTERS: Final = {
    "posthouse_sessions": "sessions",
    "posthouse_messages_accepted": "accepted",
    "posthouse_recipients_accepted": "recipients",
    "posthouse_octets_accepted": "octets",
    "posthouse_messages_quarantined": "quarantined",
    "posthouse_logins": "login",
    "posthouse_tls_failures": "tls",
    "posthouse_faults": "fault",
    "posthouse_reports": "report",
}
_RESULTS: Final = ("delivered", "deferred", "failed", "ambiguous", "held")


async def _metrics(context: Context) -> MetricsReport:
    samples = _samples(await overview_of(context))
    families = []
    for name, (kind, _, meaning) in METRIC_NAMES.items():
        families.append(MetricFamily(name=name, type=kind, help=meaning, samples=samples.get(name, [])))
    return MetricsReport(families=families)


def _samples(report: OverviewReport) -> dict[str, list[MetricSample]]:
    oldest = report.queue.oldest
    single: dict[str, float] = {
        "posthouse_start_time_seconds": report.began,
        "posthouse_sessions_open": sum(worker.sessions for worker in report.workers),
        "posthouse_attempts_active": sum(worker.attempts for worker in report.workers),
        "posthouse_queue_destinations": report.queue.destinations,
        "posthouse_queue_oldest_seconds": 0.0 if oldest is None else max(0.0, report.now - oldest),
        "posthouse_sites_suspended": report.suspended,
        "posthouse_disk_free_octets": report.storage.free,
        "posthouse_disk_size_octets": report.storage.size,
        "posthouse_lost_contents": report.storage.lost,
        "posthouse_workers": len(report.workers),
    }
    single |= {name: report.counts[counter] for name, counter in _COUNTERS.items()}
    found = {name: [MetricSample(value=float(value))] for name, value in single.items()}
    found["posthouse_build_info"] = [MetricSample(value=1.0, labels={"version": report.version})]
    found["posthouse_queue_recipients"] = [
        MetricSample(value=float(number), labels={"state": state})
        for state, number in (("waiting", report.queue.waiting), ("held", report.queue.held))
    ]
    found["posthouse_outcomes"] = [
        MetricSample(value=float(report.counts[result]), labels={"result": result}) for result in _RESULTS
    ]
    found["posthouse_refusals"] = [
        MetricSample(value=float(each.count), labels={"command": each.command, "code": each.codes})
        for each in report.refusals
    ]
    found["posthouse_certificate_expiry_seconds"] = [
        MetricSample(value=each.until, labels={"file": each.file}) for each in report.certificates
    ]
    for latency in report.latencies:
        found[f"posthouse_{latency.name}_seconds"] = list(_histogram(latency))
    return found


def _histogram(latency: LatencyEntry) -> Iterable[MetricSample]:
    seen = 0
    for bound, count in zip([*latency.bounds, None], latency.counts, strict=True):
        seen += count
        le = "+Inf" if bound is None else f"{bound:g}"
        yield MetricSample(value=float(seen), labels={"le": le}, suffix="_bucket")
    yield MetricSample(value=float(seen), suffix="_count")
    yield MetricSample(value=latency.seconds, suffix="_sum")


METRICS: Final = Operation(
    "monitor metrics", "Show the metrics of the daemon.", _metrics, MetricsReport, live=True, reads=True
)
