"""The answers of the operations that look at a running daemon; forms and units as in ``operations.results``."""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "CertificateEntry",
    "DestinationCount",
    "DialogueLine",
    "LatencyEntry",
    "MetricFamily",
    "MetricSample",
    "MetricsReport",
    "OverviewReport",
    "QueueTotals",
    "RateSeries",
    "RefusalCount",
    "SessionDialogue",
    "SessionEntry",
    "SessionsReport",
    "StorageTotals",
    "WorkerEntry",
]


class SessionEntry(Struct, frozen=True, kw_only=True):
    """One session.

    ``direction`` is ``in`` (a client speaks to this daemon) or ``out`` (this daemon to another host); ``place`` the
    listener or the destination, ``peer`` the other end; ``ended`` None while it is open; ``lines`` how many lines of
    its dialogue are known; ``messages`` how many messages were accepted in what is known; ``problem`` what went wrong,
    "" if nothing did; ``queue_id`` the message of a session ``out``, ``security`` what the certificate of the other end
    proves there, or why the session is in clear; ``worker`` the number of the worker process.
    """

    id: str
    direction: str
    place: str
    peer: str
    began: float
    ended: float | None
    tls: str
    lines: int
    messages: int
    problem: str
    worker: int
    queue_id: str = ""
    security: str = ""


class SessionsReport(Struct, frozen=True, kw_only=True):
    """Sessions at ``now``: open ones first, then those in which something went wrong, then the others, each the newest
    first.  ``open`` counts the open sessions with clients, and ``sending`` the attempts under way."""

    now: float
    open: int
    sending: int
    sessions: list[SessionEntry]


class DialogueLine(Struct, frozen=True, kw_only=True):
    """One line of a dialogue: ``who`` is S (the sending SMTP), R (the receiving one) or N (a note)."""

    at: float
    who: str
    text: str


class SessionDialogue(Struct, frozen=True, kw_only=True):
    """A session with its dialogue; ``partial`` says that lines are missing, because its recording began late or ended
    early."""

    session: SessionEntry
    dialogue: list[DialogueLine]
    partial: bool


class RefusalCount(Struct, frozen=True, kw_only=True):
    """How often a command was answered with a refusal; ``codes`` are its reply code and enhanced code."""

    command: str
    codes: str
    count: int


class DestinationCount(Struct, frozen=True, kw_only=True):
    """Recipients tried at a destination since the daemon was started, by the outcome of each attempt."""

    destination: str
    delivered: int
    deferred: int
    failed: int


class LatencyEntry(Struct, frozen=True, kw_only=True):
    """A histogram of latencies: ``name`` is commit (from the end of a content to its reply), delivery (from acceptance
    to delivery) or attempt; the ``counts`` belong to the upper ``bounds`` in seconds, the last to what is above;
    ``seconds`` is their sum.  ``p50``, ``p90`` and ``p99`` are bounds below which that share lies, None without
    values."""

    name: str
    bounds: list[float]
    counts: list[int]
    seconds: float
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class RateSeries(Struct, frozen=True, kw_only=True):
    """A course over time: ``times`` are the ends of the intervals, ``rates`` events a second in each, by counter."""

    times: list[float]
    rates: dict[str, list[float]]


class WorkerEntry(Struct, frozen=True, kw_only=True):
    """One worker process: since when it runs, its open sessions and its attempts under way."""

    number: int
    pid: int
    began: float
    sessions: int
    attempts: int


class QueueTotals(Struct, frozen=True, kw_only=True):
    """Recipients in the queue; ``oldest`` is when the oldest was received, None if there are none."""

    waiting: int
    held: int
    destinations: int
    oldest: float | None


class StorageTotals(Struct, frozen=True, kw_only=True):
    """Octets free and in all where mail is stored, those that stay free (``min_free``), those of the spool's files, and
    how many contents are in ``spool/lost``."""

    free: int
    size: int
    min_free: int
    spool: int
    lost: int


class CertificateEntry(Struct, frozen=True, kw_only=True):
    """A certificate of the listeners: its file, the names it is for, and when it ends (``until``)."""

    file: str
    names: list[str]
    until: float
    self_signed: bool


class OverviewReport(Struct, frozen=True, kw_only=True):
    """The state of a daemon at ``now``: counts since it was ``began`` (by worker 0), their course, and what it has."""

    now: float
    began: float
    hostname: str
    version: str
    counts: dict[str, int]
    refusals: list[RefusalCount]
    destinations: list[DestinationCount]
    latencies: list[LatencyEntry]
    hour: RateSeries
    day: RateSeries
    queue: QueueTotals
    storage: StorageTotals
    workers: list[WorkerEntry]
    suspended: int
    certificates: list[CertificateEntry]


class MetricSample(Struct, frozen=True, kw_only=True):
    """One value of a metric; ``suffix`` as in OpenMetrics (``_bucket``, ``_sum``, ``_count``), else ""."""

    value: float
    labels: dict[str, str] = {}
    suffix: str = ""


class MetricFamily(Struct, frozen=True, kw_only=True):
    """One metric: its name, its type (counter, gauge, histogram), its meaning and its samples."""

    name: str
    type: str
    help: str
    samples: list[MetricSample]


class MetricsReport(Struct, frozen=True, kw_only=True):
    """Every metric of a daemon, of all its worker processes together."""

    families: list[MetricFamily]
