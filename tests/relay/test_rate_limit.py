"""How fast old mail of unproven destinations may be tried, by how much arrives meanwhile."""

from __future__ import annotations

import pytest

from posthouse.relay.scheduling.destinations import RetryRateLimit
from posthouse.testing import ManualClock


class Hand(ManualClock):
    """A stopwatch that is set."""

    moment = 0.0

    def monotonic(self) -> float:
        return self.moment


def arrive(clock: Hand, pace: RetryRateLimit, a_second: int, seconds: int) -> None:
    """So many messages, one after the other."""
    for _ in range(a_second * seconds):
        clock.moment += 1.0 / a_second
        pace.arrival()


@pytest.mark.parametrize(
    ("a_second", "recipients"),
    [(10, 32.0), (400, 32.0), (640, 25.0), (1000, 16.0), (4000, 16.0)],
)
def test_the_more_arrives_the_slower(a_second: int, recipients: float) -> None:
    clock = Hand()
    pace = RetryRateLimit(clock)
    arrive(clock, pace, a_second, 3)
    pace.spend(pace.allowed())
    assert pace.allowed() == 0
    arrive(clock, pace, a_second, 4)
    assert pace.allowed() == pytest.approx(recipients * 4, abs=2)


def test_it_is_as_fast_as_ever_once_nothing_arrives() -> None:
    clock = Hand()
    pace = RetryRateLimit(clock)
    arrive(clock, pace, 2000, 3)
    pace.spend(pace.allowed())
    clock.moment += 1.5  # for a second, more may still come
    pace.spend(pace.allowed())
    clock.moment += 0.5
    assert pace.allowed() == pytest.approx(128, abs=1)
    # After a rest, a single message does not count as a flood.
    clock.moment += 600.0
    arrive(clock, pace, 10, 2)
    pace.spend(pace.allowed())
    arrive(clock, pace, 10, 4)
    assert pace.allowed() == pytest.approx(128, abs=2)
