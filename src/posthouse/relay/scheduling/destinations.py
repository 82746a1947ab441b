"""Destination table: which destinations mail should be leased for now, and how fast unproven ones are tried.

The spool knows mail by destination only, the scheduler knows sites.  A destination is

* *suspended* while its site is suspended, or its ready queue is long: no more of its mail is leased;
* *proven* if its last attempt went well, or it is delivered here: as much of its mail is leased as there is room for;
* *unproven* otherwise: one message at a time is leased for it, within the rate limit below.

So a dead site is found dead by 3 messages, whatever waits for it, and a living one is proven by its first.

A destination may belong to several ready queues; if one removes the suspension, the next attempt in another restores
it.

**Rate limit.**  An attempt at a dead host costs as much as a delivery: questions to the DNS, a connection, a record on
disk.  After an outage thousands of them may be due at once, and all of that mail is old and must not slow down what
arrives now.  Attempts at unproven destinations therefore draw tokens from a bucket that fills with time, slowly while
mail arrives and faster while none does.  An attempt that goes well gives its tokens back: only attempts in vain count.

Measured with 100,000 overdue recipients at 3,000 hosts that refuse, two processes on two threads of one core: without
the limit, other mail took ten times as long (p50 43 ms instead of 4 ms) and the relay lost a quarter of its throughput.

A process that receives at its limit has the least to spare: an attempt in vain takes as much processor time as
receiving 4 to 6 messages.  Beyond 500 messages/s the bucket therefore fills more slowly, in proportion, down to half.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from posthouse.net import Clock
from posthouse.spool.interface import DueDestination

__all__ = ["DestinationTable", "LeaseChoice", "Probe", "RetryRateLimit"]

_MOST_PROVEN: Final = 100_000  # destinations
_BURST: Final = 256.0  # recipients: the most tokens in the bucket
_LEAST: Final = 32.0  # recipients: a smaller batch is not worth a lease
_RATE: Final = 256.0  # recipients/s while no mail arrives
_BUSY_RATE: Final = 32.0  # recipients/s while mail arrives
_BUSY: Final = 1.0  # seconds after the last arrival for which mail counts as arriving
_MANY: Final = 500.0  # messages/s beyond which the busy rate falls
_FULL_RATE: Final = 16.0  # recipients/s: the least busy rate


class RetryRateLimit:
    """Token bucket that limits attempts at unproven destinations.  A token is one recipient."""

    __slots__ = ("_arrived", "_at", "_busy_rate", "_clock", "_last_arrival", "_since", "_tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock.monotonic()
        self._last_arrival = self._at - _BUSY
        self._since = self._at  # when counting arrivals began
        self._arrived = 0
        self._busy_rate = _BUSY_RATE
        self._tokens = _BURST

    def arrival(self) -> None:
        """Count a message that arrives."""
        now = self._clock.monotonic()
        self._arrived += 1
        if now - self._since >= _BUSY:
            self._fill(now)  # at the rate so far
            flow = self._arrived / (now - self._since)
            self._busy_rate = max(_FULL_RATE, _BUSY_RATE * min(1.0, _MANY / flow))
            self._since, self._arrived = now, 0
        self._last_arrival = now

    def allowed(self) -> int:
        """How many recipients may be tried now; 0 until a batch is worth a lease."""
        self._fill(self._clock.monotonic())
        return int(self._tokens) if self._tokens >= _LEAST else 0

    def wait(self) -> float:
        """About how many seconds it takes until ``allowed`` is not 0."""
        now = self._clock.monotonic()
        self._fill(now)
        missing = _LEAST - self._tokens
        return missing / self._rate(now) + 0.001 if missing > 0 else 0.0

    def spend(self, recipients: int) -> None:
        """Take tokens; more than were allowed are a debt."""
        self._tokens -= recipients

    def refund(self, recipients: int) -> None:
        """Give tokens back after an attempt that was not in vain."""
        self._tokens = min(_BURST, self._tokens + recipients)

    def _rate(self, now: float) -> float:
        return self._busy_rate if now - self._last_arrival < _BUSY else _RATE

    def _fill(self, now: float) -> None:
        self._tokens = min(_BURST, self._tokens + (now - self._at) * self._rate(now))
        self._at = now


class Probe(NamedTuple):
    """An attempt at unproven destinations: which, and how many recipients it took from the rate limit."""

    destinations: tuple[str, ...]
    recipients: int


class DestinationTable:
    """The destinations of one worker.  ``look`` is called when mail that was left in the spool may be leased now."""

    def __init__(self, clock: Clock, look: Callable[[], object]) -> None:
        #: Destinations for which no more mail is leased.
        self.suspended: set[str] = set()
        #: Those of them that operators have paused: they stay suspended, whatever their sites do.
        self._paused: set[str] = set()
        #: Destinations whose last attempt went well.
        self.proven: dict[str, None] = {}
        self.rate_limit = RetryRateLimit(clock)
        #: True if mail of unproven destinations may be waiting in the spool; the rate limit says when it is leased.
        self.unproven_waits = True
        self._look = look
        self._probed: dict[str, int] = {}  # destinations of probes under way, and how many there are of each

    def left_out(self, name: str) -> bool:
        """True if nothing is leased for a destination now: it is suspended, or unproven with a probe under way."""
        return name in self.suspended or (name in self._probed and name not in self.proven)

    def suspend(self, destinations: Iterable[str]) -> None:
        """Lease no more mail for these."""
        self.suspended.update(destinations)

    def resume(self, destinations: Iterable[str]) -> None:
        """Lease mail for these again, but for those that are paused."""
        self.suspended.difference_update(destinations)
        self.suspended.update(self._paused)
        self.unproven_waits = True
        self._look()

    def pause(self, names: Iterable[str]) -> None:
        """Lease no mail for these until a later call leaves them out; they replace those of the last call."""
        before, self._paused = self._paused, set(names)
        self.resume(before - self._paused)

    def begin(self, destinations: tuple[str, ...], recipients: int) -> Probe:
        """Begin a probe: an attempt from the spool at destinations that may be unproven."""
        self.rate_limit.spend(recipients)
        for name in destinations:
            self._probed[name] = self._probed.get(name, 0) + 1
        return Probe(destinations, recipients)

    def end(self, probe: Probe) -> None:
        """End a probe, whatever came of it."""
        for name in probe.destinations:
            left = self._probed[name] - 1
            if left:
                self._probed[name] = left
                continue
            del self._probed[name]
            self.unproven_waits = True
            if name in self.proven:
                self._look()

    def refund(self, probe: Probe) -> None:
        """A probe went well: it does not count in the rate limit."""
        self.rate_limit.refund(probe.recipients)

    def prove(self, destinations: Iterable[str]) -> None:
        """An attempt at these went well."""
        for name in destinations:
            if name not in self.proven:
                if len(self.proven) >= _MOST_PROVEN:
                    del self.proven[next(iter(self.proven))]
                self.proven[name] = None

    def doubt(self, destinations: Collection[str]) -> None:
        """These are unproven again: an attempt at their site failed."""
        for name in destinations:
            self.proven.pop(name, None)


class LeaseChoice:
    """Choice of the destinations to lease for, from those with waiting mail, the oldest first.

    All mail of proven destinations is wanted, and of unproven ones a message each, until as many destinations are
    chosen as recipients may be leased: ``most`` in all, ``probes`` of unproven ones.
    """

    __slots__ = ("_now", "_table", "complete", "most", "next_due", "probed", "probes", "wanted")

    def __init__(self, table: DestinationTable, now: float, *, most: int, probes: int) -> None:
        self._table = table
        self._now = now
        self.most = most
        self.probes = probes
        self.wanted: list[str] = []
        self.probed: list[str] = []
        #: When the first destination that is not left out and not chosen is due.
        self.next_due: float | None = None
        #: True if no destination behind those that were seen can be chosen.
        self.complete = False

    def see(self, page: Sequence[DueDestination]) -> None:
        """Choose from the next destinations."""
        table = self._table
        for name, ready in page:
            if table.left_out(name):
                continue
            if ready <= self._now:
                if name in table.proven:
                    self.wanted.append(name)
                    if len(self.wanted) >= self.most:
                        self.complete = True
                        return
                    continue
                if len(self.probed) < self.probes:
                    self.probed.append(name)
                    continue
            if self.next_due is None:
                self.next_due = ready
            if ready > self._now:
                self.complete = True
                return
