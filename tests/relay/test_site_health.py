"""One site's standing: the window, pauses, the breaker; and reading what a host said."""

from __future__ import annotations

from random import Random

import pytest

from posthouse.core import Address, Outcome, Recipient, Reply, Result
from posthouse.delivery.feedback import Feedback, asked_of, asked_wait, feedback_of
from posthouse.relay.scheduling.site_health import SiteHealth

PERSON = Recipient(Address("b", "sina.com"))


def hear(
    site: SiteHealth, sign: Feedback, *, began: float, now: float, full: bool = True, asked: float | None = None
) -> bool:
    return site.learn(sign, began, now, Random(1), full=full, asked=asked)


def grown(cap: int = 20) -> SiteHealth:
    site = SiteHealth(cap)
    for n in range(100):
        hear(site, Feedback.OK, began=n, now=n)
    return site


def outcome(result: Result, reply: Reply | None = None) -> Outcome:
    return Outcome(PERSON, result, reply)


# -- the window


def test_it_begins_low_and_doubles_with_each_round_of_success() -> None:
    site = SiteHealth(20)
    limits = [site.limit]
    for _ in range(4):
        for _ in range(site.limit):
            hear(site, Feedback.OK, began=0.0, now=1.0)
        limits.append(site.limit)
    assert limits == [2, 4, 8, 16, 20]


def test_it_does_not_grow_while_it_is_not_used_up() -> None:
    site = SiteHealth(20)
    for _ in range(50):
        hear(site, Feedback.OK, began=0.0, now=1.0, full=False)
    assert site.limit == 2


def test_a_site_that_answered_and_is_suspended_is_not_called_unreachable() -> None:
    silent, busy = SiteHealth(20), SiteHealth(20)
    for n in range(3):
        hear(silent, Feedback.UNREACHABLE, began=n, now=n + 0.5)
    assert hear(busy, Feedback.THROTTLED, began=0.0, now=1.0)
    assert (silent.unreachable, busy.unreachable) == (True, False)


def test_a_cap_below_the_beginning_is_kept() -> None:
    assert SiteHealth(1).limit == 1
    assert grown(1).limit == 1


def test_trouble_halves_it_once_for_all_that_were_under_way_and_it_grows_slowly_then() -> None:
    site = grown()
    hear(site, Feedback.OK, began=100.0, now=101.0)
    for n in range(10):  # all began before the first of them was heard
        assert not hear(site, Feedback.THROTTLED, began=100.5, now=102.0 + n)
    assert site.limit == 10
    hear(site, Feedback.OK, began=103.0, now=104.0)
    assert site.limit == 10
    for _ in range(10):
        hear(site, Feedback.OK, began=103.0, now=104.0)
    assert site.limit == 11


def test_it_never_falls_below_one() -> None:
    site = SiteHealth(20)
    for n in range(20):
        hear(site, Feedback.THROTTLED, began=10.0 * n + 1, now=10.0 * n + 2)
    assert site.limit == 1


# -- pauses


def test_a_busy_site_is_left_alone_for_longer_each_time_up_to_a_bound() -> None:
    site, now, pauses = SiteHealth(20), 1.0, []
    for _ in range(12):
        assert hear(site, Feedback.THROTTLED, began=now, now=now + 0.5)
        pauses.append(site.until - now - 0.5)
        site.resume()
        now += 5000.0
    assert 15.0 <= pauses[0] <= 18.75
    assert 30.0 <= pauses[1] <= 37.5
    assert 900.0 <= pauses[-1] <= 1125.0
    hear(site, Feedback.OK, began=now, now=now + 1)
    assert not site.failing
    assert hear(site, Feedback.THROTTLED, began=now + 2, now=now + 3)
    assert site.until - now - 3 <= 18.75


def test_the_time_a_host_asks_for_is_kept_and_a_little_more() -> None:
    site = grown()
    assert hear(site, Feedback.THROTTLED, began=200.0, now=201.0, asked=300.0)
    assert 300.0 <= site.until - 201.0 <= 375.0
    assert site.why


def test_where_others_succeed_meanwhile_halving_is_enough() -> None:
    site = grown()
    hear(site, Feedback.OK, began=200.0, now=205.0)
    assert not hear(site, Feedback.THROTTLED, began=201.0, now=206.0)
    assert site.until == 0.0
    assert site.limit == 10


# -- the breaker


def test_three_failures_in_a_row_close_it_and_success_between_prevents_that() -> None:
    site = SiteHealth(20)
    for n in range(10):
        assert not hear(site, Feedback.UNREACHABLE, began=n, now=n + 0.5)
        assert not hear(site, Feedback.UNREACHABLE, began=n, now=n + 0.6)
        hear(site, Feedback.OK, began=n, now=n + 0.7)
    for at in (20.0, 21.0):
        assert not hear(site, Feedback.UNREACHABLE, began=at, now=at + 0.5)
    assert hear(site, Feedback.UNREACHABLE, began=22.0, now=22.5)
    assert 60.0 <= site.until - 22.5 <= 75.0
    assert "3 connections" in site.why


def test_after_a_closure_one_probe_decides() -> None:
    site, now = SiteHealth(20), 0.0
    for n in (1.0, 2.0, 3.0):
        hear(site, Feedback.UNREACHABLE, began=n, now=n + 0.5)
    closures = []
    for _ in range(10):
        now = site.until
        site.resume()
        assert site.limit == 1
        assert not hear(site, Feedback.UNREACHABLE, began=3.2, now=now), "one that began before tells nothing new"
        assert hear(site, Feedback.UNREACHABLE, began=now, now=now + 30.0)
        closures.append(site.until - now - 30.0)
    assert closures[0] >= 120.0
    assert 1800.0 <= closures[-1] <= 2250.0
    site.resume()
    hear(site, Feedback.OK, began=now + 9000.0, now=now + 9001.0, full=False)
    assert site.limit == 2
    assert not site.failing


def test_sites_that_failed_together_do_not_come_back_together() -> None:
    ends = set()
    for seed in range(20):
        site = SiteHealth(20)
        for n in (1.0, 2.0, 3.0):
            site.learn(Feedback.UNREACHABLE, n, n + 0.5, Random(seed), full=True, asked=None)
        ends.add(round(site.until, 3))
    assert len(ends) > 15


def test_an_operator_can_have_it_all_forgotten() -> None:
    site = SiteHealth(20)
    for n in (1.0, 2.0, 3.0):
        hear(site, Feedback.UNREACHABLE, began=n, now=n + 0.5)
    site.reset()
    assert (site.until, site.failing, site.limit, site.why) == (0.0, False, 2, "")


# -- what a host said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Too many connections, try again in 5 minutes", 300.0),
        ("please retry after 300 seconds", 300.0),
        ("Greylisted for 60 sec", 60.0),
        ("graylisting: come back later, wait 1 hour", 3600.0),
        ("Try Again In 2 Hrs", 7200.0),
        ("try again in 90s", 90.0),
        ("try again\nin 10 mins", 600.0),
        ("try again in 99999 hours", 86_400.0),
        ("try again later", None),
        ("you sent 500 messages in 10 minutes", None),
        ("try again in 123456 seconds", None),
        ("try again in ٣ minutes", None),
        ("x" * 2000 + " try again in 5 minutes", None),
        ("", None),
    ],
)
def test_the_time_a_host_asks_for(text: str, seconds: float | None) -> None:
    assert asked_wait(Reply(451, "4.7.1", text)) == seconds


def test_only_a_transient_reply_asks_for_time() -> None:
    assert asked_wait(None) is None
    assert asked_wait(Reply(550, "5.7.1", "try again in 5 minutes")) is None
    outcomes = [outcome(Result.DEFERRED, Reply(451, "", f"try again in {n} minutes")) for n in (1, 3, 2)]
    assert asked_of(outcomes) == 180.0
    assert asked_of([outcome(Result.DEFERRED)]) is None


OK, HOLD, GREY = Reply(250, "2.0.0", "OK"), Reply(450, "4.7.1", "rate limited"), Reply(450, "4.7.1", "Greylisted")
FULL, BYE, NO = Reply(452, "4.2.2", "mailbox full"), Reply(421, "4.3.2", "bye"), Reply(550, "5.1.1", "no")


@pytest.mark.parametrize(
    ("outcomes", "sign"),
    [
        ([outcome(Result.DELIVERED, OK)], Feedback.OK),
        ([outcome(Result.FAILED, NO)], Feedback.OK),
        ([outcome(Result.DEFERRED, FULL)], Feedback.OK),
        ([outcome(Result.DEFERRED, GREY)], Feedback.OK),
        ([outcome(Result.DEFERRED, HOLD)], Feedback.THROTTLED),
        ([outcome(Result.DEFERRED, HOLD), outcome(Result.DELIVERED, OK)], Feedback.OK),
        ([outcome(Result.DEFERRED, HOLD), outcome(Result.DEFERRED, FULL)], Feedback.OK),
        ([outcome(Result.DELIVERED, OK), outcome(Result.DEFERRED, BYE)], Feedback.THROTTLED),
        ([outcome(Result.DEFERRED)], Feedback.THROTTLED),
        ([outcome(Result.AMBIGUOUS)], Feedback.THROTTLED),
        ([], Feedback.NOTHING),
    ],
)
def test_what_outcomes_tell_of_the_host(outcomes: list[Outcome], sign: Feedback) -> None:
    assert feedback_of(outcomes) is sign
