"""How fast mail that waited in the queue is tried at sites that have not proved themselves.

An attempt at a host that is gone costs as much as one that delivers: questions to the DNS, a connection, a record on
disk.  After an outage thousands of them may be due at once, each with as much mail as it likes; all of that is old, and
must not slow down what arrives now.  So such attempts draw on a store of tokens that fills with time: slowly while mail
arrives, faster while none does.  One that goes well gives its tokens back, and its site is no stranger any more: only
attempts in vain are counted, and the mail of living hosts is as fast as they are.

Measured with 100,000 overdue recipients at 3,000 hosts that refuse, two processes on two threads of one core: without
the bound, mail for others took ten times as long (p50 43 ms instead of 4) and the relay lost a quarter.

A process that takes in as much as it can has least to spare, and most mail to lose by it: an attempt in vain takes as
much processor time as four to six messages that come in.  So beyond some hundreds of messages a second the store fills
more slowly, in proportion, down to half.
"""

from __future__ import annotations

from typing import Final

from posthouse.net import Clock

__all__ = ["RetryRateLimit"]

_BURST: Final = 256.0  # tokens at most: recipients
_LEAST: Final = 32.0  # that must be there before the next batch: a lease costs something too
_RATE: Final = 256.0  # a second, while no mail arrives
_BUSY_RATE: Final = 32.0  # while mail does
_BUSY: Final = 1.0  # seconds after the last that arrived
_MANY: Final = 500.0  # messages a second from which on it becomes less
_FULL_RATE: Final = 16.0  # and never less than this


class RetryRateLimit:
    """The store.  A token is one recipient."""

    __slots__ = ("_arrived", "_at", "_busy_rate", "_clock", "_met", "_since", "_tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock.monotonic()
        self._met = self._at - _BUSY
        self._since = self._at  # when counting began
        self._arrived = 0
        self._busy_rate = _BUSY_RATE
        self._tokens = _BURST

    def meet(self) -> None:
        """Mail arrives."""
        now = self._clock.monotonic()
        self._arrived += 1
        if now - self._since >= _BUSY:
            self._fill(now)  # at the rate so far
            flow = self._arrived / (now - self._since)
            self._busy_rate = max(_FULL_RATE, _BUSY_RATE * min(1.0, _MANY / flow))
            self._since, self._arrived = now, 0
        self._met = now

    def allowed(self) -> int:
        """How many recipients may be tried now; 0 until a batch is worth its while."""
        self._fill(self._clock.monotonic())
        return int(self._tokens) if self._tokens >= _LEAST else 0

    def wait(self) -> float:
        """Seconds, in about, until some may be."""
        now = self._clock.monotonic()
        self._fill(now)
        missing = _LEAST - self._tokens
        return missing / self._rate(now) + 0.001 if missing > 0 else 0.0

    def spend(self, recipients: int) -> None:
        """They are tried; more than were allowed are a debt."""
        self._tokens -= recipients

    def refund(self, recipients: int) -> None:
        """It was not in vain."""
        self._tokens = min(_BURST, self._tokens + recipients)

    def _rate(self, now: float) -> float:
        return self._busy_rate if now - self._met < _BUSY else _RATE

    def _fill(self, now: float) -> None:
        self._tokens = min(_BURST, self._tokens + (now - self._at) * self._rate(now))
        self._at = now
