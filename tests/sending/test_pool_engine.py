"""The bookkeeping of pools, without I/O: single rules one by one, and all of them under any order of events."""

from __future__ import annotations

import math
from datetime import timedelta
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.core import LocalError
from posthouse.sending.pool.pool_engine import PoolEngine, PoolRequest, RequestState
from posthouse.sending.pool.pool_limits import PoolLimits, Rate, read_limits, read_seconds

WAITING, OPENING, USING, REFUSED, ENDED = RequestState


class Middle:
    """A random number that is always the middle."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


def engine(**limits: object) -> PoolEngine[str]:
    return PoolEngine(PoolLimits(**limits), Middle())  # type: ignore[arg-type]


def ask(pool: PoolEngine[str], now: float = 0.0, *, deadline: float = math.inf, **more: float) -> PoolRequest[str]:
    return pool.ask(now, deadline, **more)


def using(pool: PoolEngine[str], name: str, now: float = 0.0, most: int | None = None) -> PoolRequest[str]:
    request = ask(pool, now)
    assert request.state is OPENING
    pool.opened(request, name, now, most)
    return request


def done(pool: PoolEngine[str], request: PoolRequest[str], now: float = 0.0, *, usable: bool = True) -> None:
    request.carried()
    pool.give_back(request, now, usable=usable)


# -- slots and order ---------------------------------------------------------------------------------------------------


def test_a_connection_serves_the_next_request_and_the_one_used_last_goes_first() -> None:
    pool = engine()
    first, second = using(pool, "a"), using(pool, "b")
    done(pool, first, 1.0)
    done(pool, second, 2.0)
    third = ask(pool, 5.0)
    assert (third.state, third.connection, third.fresh, third.idle, third.messages) == (USING, "b", False, 3.0, 1)


def test_requests_wait_in_their_order_and_none_passes_another() -> None:
    pool = engine(size=1)
    first = using(pool, "a")
    waiting = [ask(pool) for _ in range(4)]
    done(pool, first)
    assert [each.state for each in waiting] == [USING, WAITING, WAITING, WAITING]
    done(pool, waiting[0])
    late = ask(pool)
    assert (waiting[1].state, late.state) == (USING, WAITING)


def test_a_request_that_is_given_up_leaves_the_queue_its_slot_or_its_connection() -> None:
    pool = engine(size=1)
    first = using(pool, "a")
    second, third = ask(pool), ask(pool)
    pool.give_up(second, 0.0)
    pool.give_up(first, 0.0)
    assert (third.state, pool.leaving) == (OPENING, ["a"])
    fourth = ask(pool)
    pool.give_up(third, 0.0)
    assert fourth.state is OPENING
    pool.give_up(fourth, 0.0)
    assert pool.status(0.0) == (0, 0, 0, 0, 0.0)
    pool.give_up(fourth, 0.0)  # a second time changes nothing
    assert pool.status(0.0) == (0, 0, 0, 0, 0.0)


def test_the_next_in_the_queue_is_woken_when_the_first_gives_up() -> None:
    pool = engine(size=1, rate=Rate(1, 10.0))
    done(pool, using(pool, "a"))
    woken: list[str] = []
    first, second = pool.ask(0.0), pool.ask(0.0, 7.0)
    first.wake, second.wake = (lambda: woken.append("first")), (lambda: woken.append("second"))
    assert (pool.due(first, 0.0), pool.due(second, 0.0)) == (10.0, 7.0)
    pool.give_up(first, 1.0)
    assert woken == ["second"]
    assert pool.due(second, 1.0) == 7.0


def test_a_dead_connection_is_replaced_in_the_slot_of_its_request() -> None:
    pool = engine(size=1)
    done(pool, using(pool, "a"))
    request = ask(pool)
    waiting = ask(pool)
    assert pool.lost(request) == "a"
    assert (request.state, request.fresh, waiting.state) == (OPENING, True, WAITING)
    pool.opened(request, "b", 0.0)
    done(pool, request)
    assert waiting.connection == "b"


# -- when a connection ends --------------------------------------------------------------------------------------------


def test_idle_connections_end_after_their_time() -> None:
    pool = engine(idle=60.0)
    first, second = using(pool, "a"), using(pool, "b")
    done(pool, first, 0.0)
    done(pool, second, 30.0)
    assert pool.expires() == 60.0
    pool.look(60.0)
    assert (pool.leaving, pool.expires()) == (["a"], 90.0)
    assert ask(pool, 89.0).connection == "b"


def test_without_idle_time_a_connection_is_kept_for_one_that_waits_only() -> None:
    pool = engine(size=1, idle=0.0)
    first = using(pool, "a")
    second = ask(pool)
    done(pool, first)
    assert second.connection == "a"
    done(pool, second)
    assert pool.leaving == ["a"]


def test_a_connection_ends_by_age_though_it_is_busy_and_the_ages_vary_by_a_tenth() -> None:
    pool: PoolEngine[str] = PoolEngine(PoolLimits(size=40, max_age=100.0), Random(1))
    requests = [using(pool, str(each)) for each in range(40)]
    ends = []
    for request in requests:
        request.carried()
        pool.give_back(request, 50.0, usable=True)
    while (moment := pool.expires()) < math.inf:
        ends.append(moment)
        pool.look(moment)
    assert all(90 <= each <= 110 for each in ends)
    assert max(ends) - min(ends) > 5
    busy = engine(max_age=100.0)
    request = using(busy, "a")
    done(busy, request, 100.0)
    assert busy.leaving == ["a"]


@pytest.mark.parametrize(("ours", "theirs", "carried"), [(3, None, 3), (100, 2, 2), (2, 9, 2)])
def test_a_connection_carries_so_many_messages(ours: int, theirs: int | None, carried: int) -> None:
    pool = engine(size=1, messages=ours)
    request = using(pool, "a", most=theirs)
    for _ in range(carried - 1):
        done(pool, request)
        request = ask(pool)
        assert request.connection == "a"
    done(pool, request)
    assert pool.leaving == ["a"]


def test_a_series_gives_its_connection_back_when_others_wait_or_it_has_carried_enough() -> None:
    pool = engine(size=1, messages=3)
    request = using(pool, "a")
    assert pool.another(request, 0.0, 1) == 0
    assert pool.another(request, 0.0, 2) == 0
    assert pool.another(request, 0.0, 3) == -1
    waiting = ask(pool)
    assert pool.another(request, 0.0, 1) == -1
    pool.give_up(waiting, 0.0)
    assert pool.another(request, 0.0, 1) == 0
    assert pool.another(request, 700.0, 1) == -1


# -- rate --------------------------------------------------------------------------------------------------------------


def test_the_rate_holds_in_any_stretch_of_its_period() -> None:
    pool = engine(size=1, rate=Rate(3, 1.0))
    sent: list[float] = []
    now = 0.0
    for _ in range(20):
        request = ask(pool, now)
        while request.state is WAITING:
            now = pool.due(request, now)
            pool.look(now)
        if request.state is OPENING:
            pool.opened(request, "a", now)
        sent.append(now)
        now += 0.07
        done(pool, request, now)
    assert all(later - earlier >= 1.0 for earlier, later in zip(sent, sent[3:], strict=False))
    assert sent[-1] < 7.0, "and no slower than that"


def test_what_was_not_sent_does_not_count_in_the_rate() -> None:
    pool = engine(size=1, rate=Rate(1, 10.0))
    request = ask(pool)
    pool.give_up(request, 0.0)
    assert ask(pool).state is OPENING


def test_a_series_is_told_how_long_the_rate_makes_it_wait() -> None:
    pool = engine(size=1, rate=Rate(2, 10.0))
    request = using(pool, "a", 1.0)
    assert pool.another(request, 2.0, 1) == 0
    assert pool.another(request, 3.0, 2) == 8.0
    assert pool.another(request, 11.0, 0) == 0


# -- failures ----------------------------------------------------------------------------------------------------------


def test_the_delay_grows_with_each_failure_and_ends_with_a_success() -> None:
    pool = engine(size=1)
    delays = []
    now = 0.0
    for _ in range(9):
        request = ask(pool, now, patience=math.inf)
        if request.state is WAITING:
            now = pool.due(request, now)
            pool.look(now)
        assert request.state is OPENING
        pool.failed(request, OSError("down"), now)
        delays.append(pool.status(now).delay)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    request = ask(pool, now + 30.0)
    pool.opened(request, "a", now + 30.0)
    pool.proved(request, now + 30.0)
    assert pool.status(now + 30.0)[3:] == (0, 0.0)


def test_a_fresh_connection_that_ends_at_its_first_mail_is_such_a_failure() -> None:
    pool = engine(size=3)
    ended = ConnectionError("421")
    delays = []
    now = 0.0
    for number in range(9):
        request = ask(pool, now, patience=math.inf)
        if request.state is WAITING:
            now = pool.due(request, now)
            pool.look(now)
        if number % 3 == 2:
            pool.failed(request, OSError("down"), now)
        else:
            pool.opened(request, str(number), now)
            pool.broken(request, ended, now)
            assert (request.state, pool.leaving.pop()) == (ENDED, str(number))
        delays.append(pool.status(now).delay)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    pool.broken(request, ended, now)  # a request that has ended changes nothing
    pool.proved(request, now)
    assert pool.status(now) == (0, 0, 0, 9, 30.0)
    assert ask(pool, now).state is REFUSED


def test_after_such_a_failure_one_connection_is_tried_until_a_message_is_begun_on_it() -> None:
    pool = engine(size=3)
    pool.broken(using(pool, "a"), ConnectionError("421"), 0.0)
    requests = [ask(pool, 0.0) for _ in range(3)]
    pool.look(0.5)
    pool.opened(requests[0], "b", 0.6)
    assert [each.state for each in requests] == [USING, WAITING, WAITING]
    assert pool.due(requests[1], 0.6) == math.inf
    pool.proved(requests[0], 0.7)
    assert [each.state for each in requests] == [USING, OPENING, OPENING]


def test_the_first_that_waits_looks_again_when_what_it_waited_for_has_failed() -> None:
    for way in ("failed", "broken", "rate"):
        pool = engine(size=1, rate=Rate(1, 10.0) if way == "rate" else None)
        first, second = ask(pool), ask(pool)
        assert pool.due(second, 0.0) == math.inf
        woken: list[str] = []
        second.wake = lambda woken=woken, way=way: woken.append(way)  # type: ignore[misc]
        if way == "failed":
            pool.failed(first, OSError("down"), 0.0)
        else:
            pool.opened(first, "a", 0.0)
            if way == "broken":
                pool.broken(first, OSError("421"), 0.0)
            else:
                done(pool, first)
        assert woken == [way]
        assert pool.due(second, 0.0) == (10.0 if way == "rate" else 0.5)


def test_one_at_a_time_tries_a_host_that_failed() -> None:
    pool = engine(size=3)
    pool.failed(ask(pool), OSError("down"), 0.0)
    requests = [ask(pool, 0.0) for _ in range(3)]
    pool.look(0.5)
    assert [each.state for each in requests] == [OPENING, WAITING, WAITING]
    assert pool.due(requests[1], 0.5) == math.inf
    pool.opened(requests[0], "a", 0.6)
    assert [each.state for each in requests] == [USING, OPENING, OPENING]


def test_a_request_does_not_wait_longer_than_its_patience_and_is_refused_with_the_last_failure() -> None:
    pool = engine(size=1)
    down = OSError("down")
    now = 0.0
    for _ in range(4):
        now += 10.0
        pool.failed(ask(pool, now), OSError("earlier"), now)
    now += 10.0
    request, impatient, patient = ask(pool, now), ask(pool, now), ask(pool, now, patience=math.inf)
    pool.failed(request, down, now)
    assert pool.status(now).delay == 8
    assert (impatient.state, impatient.fault, patient.state) == (REFUSED, down, WAITING)
    assert ask(pool, now).state is WAITING, "behind the one that is patient"
    pool.give_up(patient, now)
    assert ask(pool, now).state is REFUSED


def test_nobody_is_refused_while_a_connection_is_in_use() -> None:
    pool = engine(size=2)
    request = using(pool, "a")
    for now in (0.0, 100.0, 200.0, 300.0, 400.0):
        pool.failed(ask(pool, now), OSError("down"), now)
    waiting = ask(pool, 400.0)
    assert waiting.state is WAITING
    done(pool, request, 401.0)
    assert waiting.connection == "a"


# -- 421 ---------------------------------------------------------------------------------------------------------------


def test_421_to_one_more_connection_makes_the_size_smaller_for_a_minute_and_loses_nobody() -> None:
    pool = engine(size=3)
    first, second = using(pool, "a"), using(pool, "b")
    third, fourth = ask(pool), ask(pool)
    assert third.state is OPENING
    assert pool.turned_away(third, 0.0)
    assert (third.state, fourth.state) == (WAITING, WAITING)
    assert pool.due(third, 0.0) == 60.0
    done(pool, second, 1.0)
    assert (third.connection, fourth.state) == ("b", WAITING)
    done(pool, first, 2.0)
    assert fourth.connection == "a"
    assert ask(pool, 59.0).state is WAITING
    pool.look(60.0)
    assert pool.status(60.0).in_use == 3


def test_421_to_the_only_connection_is_a_failure() -> None:
    pool = engine(size=3)
    request = ask(pool)
    assert not pool.turned_away(request, 0.0)
    pool.failed(request, OSError("421"), 0.0)
    assert request.state is ENDED


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_closed_pool_refuses_those_that_wait_and_keeps_nothing() -> None:
    pool = engine(size=2)
    first, second = using(pool, "a"), using(pool, "b")
    waiting = ask(pool)
    done(pool, first)
    assert waiting.connection == "a"
    queued = ask(pool)
    done(pool, waiting)
    done(pool, queued)
    end = LocalError("the pool is closed")
    opening = ask(pool)
    pool.close(end)
    assert opening.connection == "a"
    done(pool, opening)
    done(pool, second)
    assert sorted(pool.leaving) == ["a", "b"]
    assert pool.status(0.0) == (0, 0, 0, 0, 0.0)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"), [(1.5, 1.5), ("90s", 90), ("10min", 600), ("1h30m", 5400), (timedelta(minutes=2), 120)]
)
def test_lengths_of_time(value: float | str | timedelta, seconds: float) -> None:
    assert read_seconds(value, "idle") == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [("20/s", Rate(20, 1)), ("100/min", Rate(100, 60)), ("500/1h", Rate(500, 3600)), ("3 / 2s", (3, 2))],
)
def test_rates(text: str, rate: Rate) -> None:
    assert read_limits(5, "60s", None, None, text) == (5, 60.0, math.inf, 2**62, rate)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((0, 1, 1, 1, None), "size=0"),
        ((5, "soon", 1, 1, None), "idle='soon'"),
        ((5, -1, 1, 1, None), "idle=-1"),
        ((5, 1, math.nan, 1, None), "max_age=nan"),
        ((5, 1, 1, 0, None), "messages=0"),
        ((5, 1, 1, 1, "fast"), "rate='fast'"),
        ((5, 1, 1, 1, "0/s"), "rate='0/s'"),
        ((5, 1, 1, 1, "5/0s"), "rate='5/0s'"),
        ((5, 1, 1, 1, "5/0.0.1s"), "rate='5/0.0.1s'"),
    ],
)
def test_a_wrong_limit_is_an_error_that_names_the_argument(arguments: tuple[object, ...], names: str) -> None:
    with pytest.raises(LocalError, match=names):
        read_limits(*arguments)  # type: ignore[arg-type]


# -- any order of events -----------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Callers that ask, open, fail, send, give back and give up in any order, on a clock of the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pool: PoolEngine[int] = PoolEngine(
            PoolLimits(size=3, idle=20.0, max_age=50.0, messages=4, rate=Rate(5, 4.0)), Random(5)
        )
        self.requests: list[PoolRequest[int]] = []
        self.made = 0
        self.open: set[int] = set()
        self.looks: set[int] = set()

    def in_state(self, *states: RequestState) -> list[PoolRequest[int]]:
        return [each for each in self.requests if each.state in states]

    def close_leaving(self) -> None:
        for each in self.pool.leaving:
            self.open.remove(each)  # each connection is closed once
        self.pool.leaving.clear()

    @rule(patience=st.sampled_from([0.0, 5.0, math.inf]))
    def ask(self, patience: float) -> None:
        self.requests.append(self.pool.ask(self.now, patience=patience))

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pool.look(self.now)

    @precondition(lambda self: self.in_state(OPENING))
    @rule(data=st.data(), way=st.sampled_from(["opened", "failed", "turned away", "cancelled"]))
    def opening_ends(self, data: st.DataObject, way: str) -> None:
        request = data.draw(st.sampled_from(self.in_state(OPENING)))
        if way == "opened":
            self.made += 1
            self.open.add(self.made)
            self.pool.opened(request, self.made, self.now)
        elif way == "cancelled":
            self.pool.give_up(request, self.now)
        elif way == "failed" or not self.pool.turned_away(request, self.now):
            self.pool.failed(request, OSError("down"), self.now)

    @precondition(lambda self: self.in_state(USING))
    @rule(data=st.data(), way=st.sampled_from(["sent", "unusable", "dead", "cancelled", "another", "begun", "broken"]))
    def use_ends(self, data: st.DataObject, way: str) -> None:
        request = data.draw(st.sampled_from(self.in_state(USING)))
        if way == "dead":
            self.open.remove(self.pool.lost(request))
        elif way == "cancelled":
            self.pool.give_up(request, self.now)
        elif way == "begun":
            self.pool.proved(request, self.now)
        elif way == "broken":
            self.pool.broken(request, OSError("421"), self.now)
        elif way == "another":
            if self.pool.another(request, self.now, 1) == 0:
                request.carried()
        else:
            request.carried()
            self.pool.give_back(request, self.now, usable=way == "sent")

    @precondition(lambda self: self.in_state(WAITING))
    @rule(data=st.data())
    def a_waiter_gives_up(self, data: st.DataObject) -> None:
        self.pool.give_up(data.draw(st.sampled_from(self.in_state(WAITING))), self.now)

    @invariant()
    def a_slot_belongs_to_one_request_or_to_none(self) -> None:
        self.close_leaving()
        status = self.pool.status(self.now)
        using = [each.connection for each in self.in_state(USING)]
        assert len(using) == len(set(using))
        assert status.in_use == len(self.in_state(OPENING, USING)) <= 3
        assert status.in_use + status.idle <= 3
        assert status.waiting == len(self.in_state(WAITING))
        assert len(self.open) == len(using) + status.idle
        assert self.open >= set(using)

    def teardown(self) -> None:
        """However it went, all that wait are served in the end."""
        for _ in range(10_000):
            for request in self.in_state(OPENING):
                self.made += 1
                self.open.add(self.made)
                self.pool.opened(request, self.made, self.now)
            for request in self.in_state(USING):
                request.carried()
                self.pool.give_back(request, self.now, usable=True)
            self.close_leaving()
            waiting = self.in_state(WAITING)
            if not waiting and not self.in_state(OPENING, USING):
                return
            moments = [self.pool.due(each, self.now) for each in waiting]
            if moments and min(moments) < math.inf and not self.in_state(OPENING, USING):
                assert min(moments) > self.now, "nothing is due now that look has not done"
                self.now = min(moments)
                self.pool.look(self.now)
        raise AssertionError(f"{len(self.in_state(WAITING))} requests wait for ever: {self.pool.status(self.now)}")


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=40, deadline=None)
