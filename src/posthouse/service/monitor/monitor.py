"""Monitor of one worker process: its tally, sessions, attempts and latencies, and the course of the counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from posthouse.core import EventSink, Outcome, Result
from posthouse.net import Clock
from posthouse.net.certificates import CertificateFacts
from posthouse.protocol import Transcript
from posthouse.relay import Worker
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.server import ServerSession
from posthouse.service.monitor.attempt_book import AttemptBook
from posthouse.service.monitor.count_history import CountHistory
from posthouse.service.monitor.latency_histograms import LatencyHistograms
from posthouse.service.monitor.session_book import SessionBook
from posthouse.service.monitor.tally import Tally

__all__ = ["CountingSink", "ListenerWatch", "Monitor"]

_DELIVERED = Result.DELIVERED  # an attribute of an enumeration costs ten times a global name


class Monitor:
    """What one worker process notes for operators.

    Args:
        number: that of the process.
        worker: the relay's.
    """

    def __init__(self, clock: Clock, tally: Tally, worker: Worker, *, number: int = 0) -> None:
        self.number = number
        self.tally = tally
        self.started = clock.time()
        self.latencies = LatencyHistograms()
        self.sessions = SessionBook(clock, took=partial(self.latencies.add, "commit"))
        self.attempts = AttemptBook(clock, lambda: worker.scheduler.active)
        self.history = CountHistory(clock, tally.totals)
        worker.dispatcher.observed = self.attempted
        tally.on_refused, tally.on_named = self.sessions.refused, self.sessions.named
        #: The certificates of the listeners, each with its file; set by the daemon.
        self.certificates: Callable[[], list[tuple[str, CertificateFacts]]] = list
        #: What was last counted in the queue, and when (monotonic seconds).
        self.queue: tuple[float, Any] | None = None
        self._clock = clock

    def attempted(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> None:
        """Take an attempt at another host that has ended."""
        self.attempts.ended(attempt, outcomes)
        tracer = attempt.tracer
        if tracer is not None:
            now = self._clock.time()
            self.latencies.add("attempt", now - tracer.at)
            if outcomes and outcomes[0].result is _DELIVERED:
                self.latencies.add("delivery", now - attempt.leases[0].message.received)

    def watch_of(self, listener: str, transcript: Callable[[str], Transcript] | None = None) -> ListenerWatch:
        """The observer of the sessions of a listener; ``transcript`` makes a further transcript of each."""
        return ListenerWatch(self, listener, transcript)


class ListenerWatch:
    """Observer of the sessions of one listener."""

    __slots__ = ("_book", "_listener", "_tally", "_transcript")

    def __init__(self, monitor: Monitor, listener: str, transcript: Callable[[str], Transcript] | None) -> None:
        self._transcript = transcript
        self._book = monitor.sessions
        self._tally = monitor.tally
        self._listener = listener

    def joined(self, session: ServerSession) -> None:
        """A session began."""
        self._tally.session()
        self._book.joined(
            self._listener, session, None if self._transcript is None else self._transcript(self._listener)
        )

    def left(self, session: ServerSession) -> None:
        """A session ended."""
        self._book.left(session)


class CountingSink(EventSink):
    """An event sink that tells ``take`` of each event, before another sink gets it."""

    def __init__(self, sink: EventSink, take: Callable[[str, dict[str, Any], int], object]) -> None:
        self._sink = sink
        self._take = take

    def __call__(self, event: str, /, **facts: Any) -> None:
        self._take(event, facts, 1)
        self._sink(event, **facts)

    def flush(self) -> None:
        self._sink.flush()
