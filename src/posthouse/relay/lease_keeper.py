"""The lease keeper: renews the leases of attempts that take long, and releases those of attempts that are not made.

Leases are short, so that what a crash leaves behind is soon due again.  Every third of a lease's length, those are
renewed that would end within the other two thirds, or have ended because the calendar was set.  The same tick cancels
attempts that take longer than any may, so that no attempt needs a timer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from posthouse.net import Clock, Timer
from posthouse.relay.recording.recorder import Recorder
from posthouse.relay.scheduling.ready_queue import Attempt
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.relay.wake_up import WakeUp
from posthouse.spool.interface import Lease, Spool

__all__ = ["LeaseKeeper"]


class LeaseKeeper:
    """The lease keeper of one worker; ``length`` of a lease and ``longest`` attempt are in seconds."""

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        scheduler: Scheduler,
        recorder: Recorder,
        wake_up: WakeUp,
        *,
        length: float,
        longest: float,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._scheduler = scheduler
        self._recorder = recorder
        self._wake_up = wake_up
        self._length = length
        self._longest = longest
        #: True while a look at the attempts is to come, and after the end.
        self.watching = False
        self._timer: Timer | None = None

    def watch(self) -> None:
        """There are attempts: look at them from time to time."""
        if not self.watching:
            self.watching = True
            self._timer = self._clock.call_later(self._length / 3, self._look)

    def end(self) -> None:
        """Look no more."""
        self.watching = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def give_back(self, attempts: Iterable[Attempt]) -> None:
        """Release the leases of attempts that are not made now."""
        for attempt in attempts:
            for lease in attempt.leases:
                self.release(lease)

    def release(self, lease: Lease) -> None:
        """Release one lease."""
        self._recorder.errand(self._release(lease))

    async def _release(self, lease: Lease) -> None:
        try:
            await self._spool.release(lease)
        except Exception as error:  # then it ends by itself
            self._recorder.fault("a lease could not be released", error)
        if lease.destination not in self._scheduler.destinations.suspended:
            self._wake_up.at()  # it is due again

    def take_over(self, leases: Sequence[Lease], now: float) -> list[Lease]:
        """The leases of ``leases`` that no attempt has already.

        When the calendar jumps forward (a machine that slept, a clock that was set), this worker's leases expire while
        their attempts are under way, and the spool leases the same mail to it again.  These attempts continue under the
        new lease; so do outcomes that the spool has not recorded yet.
        """
        expired = {
            (lease.message.id, recipient.key): attempt
            for attempt in (*self._scheduler.active, *self._scheduler.waiting())
            if attempt.leased_until <= now
            for lease in attempt.leases
            for recipient in lease.recipients
        }
        left: list[Lease] = []
        for new in leases:
            recorded = self._recorder.pending_keys(new)
            if not expired and not recorded:
                left.append(new)
                continue
            again = {recipient.key for recipient in new.recipients if (new.message.id, recipient.key) in expired}
            for attempt in {expired[new.message.id, key]: None for key in again}:
                _replace_lease(attempt, new, again)
            again |= recorded
            others = tuple(recipient for recipient in new.recipients if recipient.key not in again)
            if others:
                left.append(new._replace(recipients=others))
        return left

    def _look(self) -> None:
        """Renew the leases that would end within two thirds of their length, and those that would end long after it,
        because the calendar was set back; cancel attempts that take too long."""
        self._timer = None
        self.watching = False
        attempts = [*self._scheduler.active, *self._scheduler.waiting()]
        if not attempts:
            return
        self.watch()
        latest = self._clock.monotonic() - self._longest
        for attempt in self._scheduler.active:
            if attempt.began <= latest and attempt.task is not None and not attempt.expired:
                attempt.expired = True
                attempt.task.cancel()
        now = self._clock.time()
        soon = now + self._length * 2 / 3
        late = now + self._length * 2
        old = [
            attempt
            for attempt in attempts
            if not attempt.expired and (attempt.leased_until < soon or attempt.leased_until > late)
        ]
        if old:
            self._recorder.errand(self._renew(old, now + self._length))

    async def _renew(self, attempts: Sequence[Attempt], until: float) -> None:
        before = [attempt.leases for attempt in attempts]
        try:
            renewal = self._spool.renew([lease for leases in before for lease in leases], until)
            renewed = iter(renewal.leases)
            for attempt in attempts:  # at once: what is recorded from now on comes behind the renewal
                attempt.leases = [next(renewed) for _ in attempt.leases]
            await renewal.done
        except Exception as error:
            self._recorder.fault("leases could not be renewed", error)
            for attempt, leases in zip(attempts, before, strict=True):
                attempt.leases = leases


def _replace_lease(attempt: Attempt, new: Lease, keys: set[int]) -> None:
    """Let the leases of an attempt end when ``new`` does, where ``new`` has leased all their recipients (``keys``)."""
    attempt.leases = [
        lease._replace(until=new.until, token=new.token)
        if keys.issuperset(each.key for each in lease.recipients)
        else lease
        for lease in attempt.leases
    ]
