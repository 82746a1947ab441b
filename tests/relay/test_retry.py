"""When to try again (RFC 5321 §4.5.4.1)."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.relay.recording.retry import RetrySchedule
from posthouse.relay.recording.steady_clock import SteadyClock
from posthouse.testing import ManualClock

DAY = 86_400.0


def test_the_first_retry_comes_after_about_five_minutes() -> None:
    due = RetrySchedule().next_attempt(1, 1000.0, 1000.0, Random(1))
    assert due is not None
    assert 1000.0 + 240 <= due <= 1000.0 + 300


def test_without_jitter_delays_double_up_to_the_ceiling() -> None:
    schedule = RetrySchedule(first=300, ceiling=14_400, jitter=0.0)
    delays = [schedule.next_attempt(n, 0.0, 0.0, Random(1)) for n in range(1, 9)]
    assert delays == [300, 600, 1200, 2400, 4800, 9600, 14_400, 14_400]


def test_the_whole_life_of_a_message_that_is_never_taken() -> None:
    schedule, random, now, attempts = RetrySchedule(), Random(7), 0.0, 1
    times = [now]
    while (due := schedule.next_attempt(attempts, 0.0, now, random)) is not None:
        assert due > now
        now, attempts = due, attempts + 1
        times.append(now)
    assert 4 * DAY < times[-1] <= 5 * DAY, "the RFC asks for four to five days of patience"
    assert sum(time <= 3600 for time in times) >= 3, "and for quick attempts at the beginning"
    assert 35 <= len(times) <= 60


def test_giving_up_is_decided_by_age_not_by_count() -> None:
    schedule = RetrySchedule()
    assert schedule.next_attempt(1, 0.0, 5 * DAY, Random(1)) is None
    assert schedule.next_attempt(10_000, 0.0, DAY, Random(1)) is not None


def test_a_last_attempt_is_made_at_the_end_of_patience() -> None:
    schedule = RetrySchedule(jitter=0.0)
    assert schedule.next_attempt(30, 0.0, 5 * DAY - 3600, Random(1)) == 5 * DAY
    assert schedule.next_attempt(30, 0.0, 5 * DAY - 10, Random(1)) is None


def test_an_ambiguous_end_is_retried_so_slowly_that_copies_stay_few() -> None:
    schedule = RetrySchedule(jitter=0.0)
    waits = [schedule.plan(n, 0.0, 0.0, Random(1), ambiguous=True) for n in range(1, 6)]
    assert [plan.due for plan in waits] == [1800, 7200, 28_800, 86_400, 86_400]
    assert "may have succeeded" in waits[0].why
    assert "from 30 minutes to at most 1 day" in waits[0].why
    for seed in range(20):
        schedule, random, now, copies = RetrySchedule(), Random(seed), 0.0, 1
        while (due := schedule.plan(copies, 0.0, now, random, ambiguous=True).due) is not None:
            now, copies = due, copies + 1
        assert copies <= 10
        assert now <= 5 * DAY


def test_a_calendar_that_jumped_back_does_not_delay_for_longer_than_the_ceiling() -> None:
    due = RetrySchedule().next_attempt(3, 1e9, 1e9 - 10 * DAY, Random(1))
    assert due is not None
    assert due <= 1e9 - 10 * DAY + 14_400


@settings(max_examples=200, deadline=None)
@given(
    attempts=st.integers(min_value=0, max_value=10**9),
    age=st.floats(min_value=0, max_value=10 * DAY),
    seed=st.integers(),
)
def test_bounded_and_ahead_whatever_is_asked(attempts: int, age: float, seed: int) -> None:
    schedule, now = RetrySchedule(), 1e9
    due = schedule.next_attempt(attempts, now - age, now, Random(seed))
    if due is None:
        assert age >= schedule.patience - schedule.first / 2 or age + 14_400 > schedule.patience
    else:
        assert now < due <= now + schedule.ceiling
        assert due <= now - age + schedule.patience


@settings(max_examples=100, deadline=None)
@given(attempts=st.integers(min_value=1, max_value=200), seeds=st.tuples(st.integers(), st.integers()))
def test_doubling_delays_never_shrink_even_with_jitter(attempts: int, seeds: tuple[int, int]) -> None:
    schedule = RetrySchedule(ceiling=1e12, patience=1e15)
    shorter = schedule.next_attempt(attempts, 0.0, 0.0, Random(seeds[0]))
    longer = schedule.next_attempt(attempts + 1, 0.0, 0.0, Random(seeds[1]))
    assert shorter is not None
    assert longer is not None
    if schedule.delay(attempts + 1) > schedule.delay(attempts):
        assert longer >= shorter
    assert schedule.delay(attempts + 1) >= schedule.delay(attempts)


# -- a calendar that is wrong


def test_nothing_is_given_up_by_a_calendar_that_may_be_ahead() -> None:
    schedule = RetrySchedule(jitter=0.0)
    for ambiguous, wait in ((False, 300.0), (True, 1800.0)):
        plan = schedule.plan(1, 0.0, 365 * DAY, Random(1), ambiguous=ambiguous, certain=False)
        assert plan.due == 365 * DAY + wait
        assert plan.why.startswith("the message may be younger than the calendar says")
    assert schedule.plan(1, 0.0, 600.0, Random(1), certain=False) == schedule.plan(1, 0.0, 600.0, Random(1))


def test_the_age_of_a_message_from_the_future_is_that_of_its_waits() -> None:
    """It came while the calendar was ahead.  Its life is as long as that of any other."""
    for ambiguous, most in ((False, 60), (True, 10)):
        schedule, random, now, attempts = RetrySchedule(), Random(7), 0.0, 1
        while (due := schedule.plan(attempts, 365 * DAY, now, random, ambiguous=ambiguous).due) is not None:
            now, attempts = due, attempts + 1
            assert attempts <= most
        assert 3.5 * DAY < now <= 5 * DAY


def test_a_calendar_tells_the_age_of_what_came_since_it_was_set() -> None:
    clock = ManualClock()
    steady = SteadyClock(clock)
    before, begin = clock.time() - 100.0, clock.time()
    assert steady.tells_age(begin, 5 * DAY)
    assert not steady.tells_age(before, 5 * DAY)
    asyncio.run(clock.advance(1_000.0))
    assert steady.tells_age(before, 600.0), "it has waited for longer than that here"
    assert not steady.tells_age(before, 5 * DAY)
    asyncio.run(clock.advance(2_600.0))
    assert steady.tells_age(before, 5 * DAY)
    clock.set_calendar(clock.time() + 365 * DAY)
    assert not steady.tells_age(begin, 5 * DAY)
    assert steady.tells_age(clock.time(), 5 * DAY)
    clock.set_calendar(clock.time() - 365 * DAY)
    assert not steady.tells_age(begin, 5 * DAY)
    asyncio.run(clock.advance(3_600.0))
    assert steady.tells_age(begin, 5 * DAY)


# -- the time that the other side asks for, and reasons


def test_a_longer_time_that_is_asked_for_is_given_up_to_the_ceiling() -> None:
    plan = RetrySchedule().plan(1, 0.0, 0.0, Random(1), asked=3600.0)
    assert plan.due is not None
    assert 3600.0 <= plan.due <= 3960.0
    assert plan.why == "the other side asked for 1 hour"
    assert RetrySchedule().plan(1, 0.0, 0.0, Random(1), asked=DAY).due == 14_400.0


def test_a_shorter_time_is_given_at_first_only_and_never_too_short() -> None:
    for attempts in (1, 2, 3):
        due = RetrySchedule().plan(attempts, 0.0, 0.0, Random(1), asked=1.0).due
        assert due is not None
        assert 30.0 <= due <= 33.0
    due = RetrySchedule(jitter=0.0).plan(4, 0.0, 0.0, Random(1), asked=1.0).due
    assert due == 2400.0


def test_each_time_has_its_reason() -> None:
    schedule = RetrySchedule(jitter=0.0)
    assert "doubles from 5 minutes to at most 4 hours" in schedule.plan(2, 0.0, 0.0, Random(1)).why
    assert schedule.plan(30, 0.0, 5 * DAY - 3600, Random(1)).why.startswith("the last attempt")
    assert schedule.plan(30, 0.0, 5 * DAY - 10, Random(1)).why.startswith("no more attempts")
    assert schedule.plan(30, 0.0, 6 * DAY, Random(1)).why == "no more attempts: the message is older than 5 days"


def test_the_moment_of_the_warning() -> None:
    assert RetrySchedule().warn_at(1000.0) == 1000.0 + 4 * 3600
    assert RetrySchedule(warn_after=60.0).warn_at(0.0) == 60.0
