"""Time that has certainly come, with a clock that is ahead, behind, set and right."""

from __future__ import annotations

import pytest

from posthouse.spool.certain_time import CertainTime

NEWEST = 1_700_000_000.0


class Watch:
    """A stopwatch, and a clock that is so many seconds ahead of the newest record at its zero."""

    def __init__(self, ahead: float) -> None:
        self.at = 500.0
        self.ahead = ahead - 500.0

    def time(self) -> float:
        return NEWEST + self.at + self.ahead

    def stopwatch(self) -> float:
        return self.at

    def certain(self) -> CertainTime:
        return CertainTime(NEWEST, self.time, self.stopwatch)


@pytest.mark.parametrize("ahead", [3_600.0, 1e9])
def test_a_clock_that_is_ahead_counts_after_an_hour(ahead: float) -> None:
    watch = Watch(ahead)
    certain = watch.certain()
    assert certain() == NEWEST
    watch.at += 3_599
    assert certain() == NEWEST + 3_599
    watch.at += 1
    assert certain() == watch.time()


def test_a_clock_that_is_set_right_takes_nothing_back() -> None:
    watch = Watch(1e9)
    certain = watch.certain()
    watch.at += 10
    watch.ahead = -500.0
    assert certain() == watch.time() == NEWEST + 10
    watch.at += 3_590
    assert certain() == watch.time()


def test_a_clock_that_is_set_ahead_counts_an_hour_later() -> None:
    watch = Watch(0.0)
    certain = watch.certain()
    watch.at += 10_000
    assert certain() == NEWEST + 10_000
    watch.ahead += 86_400
    assert certain() == NEWEST + 10_000
    watch.at += 3_599
    assert certain() == NEWEST + 13_599
    watch.at += 1
    assert certain() == watch.time()


def test_certain_time_is_never_ahead_of_the_clock() -> None:
    watch = Watch(-7_200.0)
    certain = watch.certain()
    assert certain() == watch.time()
    watch.at += 100
    assert certain() == watch.time()
    watch.ahead += 50  # less than what counts as set
    watch.at += 3_500
    assert certain() == watch.time()
