"""The leases of a worker's attempts: kept while they take long, given back when nothing comes of them.

LeaseKeeper are short, so that what is mislaid is soon found again.  Every third of a lease those are renewed that would
run out within the other two, or have run out because the calendar was set: a process that renews is seen to be well.
The same tick finds attempts that take longer than any may, so that no attempt needs a timer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from posthouse.net import Clock, Timer
from posthouse.relay.recording.recorder import Recorder
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.spool.interface import Lease, Renewal, Spool

__all__ = ["LeaseKeeper"]


class LeaseKeeper:
    """``length`` of a lease and ``longest`` attempt in seconds."""

    def __init__(
        self, queue: Spool, clock: Clock, lanes: Scheduler, recorder: Recorder, *, length: float, longest: float
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._lanes = lanes
        self._recorder = recorder
        self._length = length
        self._longest = longest
        self._tick: Timer | None = None
        self._ended = False

    def watch(self) -> None:
        """There are attempts now."""
        if self._tick is None and not self._ended:
            self._tick = self._clock.call_later(self._length / 3, self._look)

    def end(self) -> None:
        """Watch no more."""
        self._ended = True
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """Nothing comes of them now."""
        for attempt in attempts:
            for part in attempt.parts:
                self.release(part)

    def release(self, work: Lease) -> None:
        """Give one lease back."""
        self._recorder.errand(self._released(work))

    async def _released(self, work: Lease) -> None:
        try:
            await self._queue.release(work)
        except Exception as error:  # then it runs out by itself
            self._recorder.fault("a lease could not be given back", error)

    def not_ours(self, works: Sequence[Lease], now: float) -> list[Lease]:
        """Of what was just leased, what is not in hand already.

        When the calendar jumps forward (a machine that slept, a clock set right), our own leases run out under attempts
        that are under way, and the queue gives us our own mail again.  Those attempts go on, under the new lease; so do
        outcomes that the spool has not recorded yet.
        """
        ours = {
            (part.message.id, waiting.key): attempt
            for attempt in (*self._lanes.active, *self._lanes.in_lines())
            if attempt.until <= now
            for part in attempt.parts
            for waiting in part.recipients
        }
        left: list[Lease] = []
        for work in works:
            recorded = self._recorder.pending_keys(work)
            if not ours and not recorded:
                left.append(work)
                continue
            again = {waiting.key for waiting in work.recipients if (work.message.id, waiting.key) in ours}
            for attempt in {ours[work.message.id, key]: None for key in again}:
                _hold_on(attempt, work, again)
            others = tuple(
                waiting for waiting in work.recipients if waiting.key not in again and waiting.key not in recorded
            )
            if others:
                left.append(work._replace(recipients=others))
        return left

    def _look(self) -> None:
        """Renew what is under way or in line and would run out within two thirds of a lease; end what is too long."""
        self._tick = None
        attempts = [*self._lanes.active, *self._lanes.in_lines()]
        if not attempts:
            return
        self.watch()
        latest = self._clock.monotonic() - self._longest
        for attempt in self._lanes.active:
            if attempt.began <= latest and attempt.task is not None and not attempt.expired:
                attempt.expired = True
                attempt.task.cancel()
        now = self._clock.time()
        soon = now + self._length * 2 / 3
        old = [attempt for attempt in attempts if attempt.until < soon and not attempt.expired]
        if old:
            self._recorder.errand(self._renew(old, now + self._length))

    async def _renew(self, attempts: Sequence[Attempt], until: float) -> None:
        before = [attempt.parts for attempt in attempts]
        renewed: Renewal | None = None
        try:
            renewed = self._queue.renew([part for parts in before for part in parts], until)
            leases = iter(renewed.leases)
            for attempt in attempts:  # at once: what is recorded from now on comes behind the renewal
                attempt.parts = [next(leases) for _ in attempt.parts]
            await renewed.done
        except Exception as error:
            self._recorder.fault("leases could not be renewed", error)
            for attempt, parts in zip(attempts, before, strict=True):
                attempt.parts = parts
        else:
            for attempt in attempts:
                attempt.until = until


def _hold_on(attempt: Attempt, work: Lease, keys: set[int]) -> None:
    """Those parts of ``scheduling.ready_queue`` that ``work`` has leased again, whole, are leased until its end now."""
    attempt.parts = [
        part._replace(until=work.until, token=work.token)
        if keys.issuperset(waiting.key for waiting in part.recipients)
        else part
        for part in attempt.parts
    ]
    attempt.until = min(part.until for part in attempt.parts)
