"""PriorityQuota and turns, and the store of tokens: bounds that hold, and nobody who waits for ever."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from posthouse.relay.scheduling.concurrency import Priority, PriorityQuota, RoundRobin
from posthouse.relay.scheduling.destinations import RetryRateLimit
from posthouse.testing import ManualClock


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 10, 50, 200])
def test_each_rank_fills_its_share_and_leaves_the_rest_to_the_better_ones(limit: int) -> None:
    shares = PriorityQuota(limit)
    counts = []
    for rank in reversed(Priority):
        while shares.free(rank):
            assert shares.room[rank] > 0
            shares.take(rank)
        assert shares.room[rank] == 0
        counts.append(shares.taken)
    eighths = [max(1, limit * eighths // 8) for eighths in (4, 6, 7, 8)]
    assert counts == eighths


def test_whoever_promises_more_may_use_everything_and_then_the_others_wait() -> None:
    shares = PriorityQuota(8)
    for _ in range(8):
        assert shares.free(Priority.HEALTHY)
        shares.take(Priority.HEALTHY)
    assert not any(shares.free(rank) for rank in Priority)
    shares.release(Priority.HEALTHY)
    assert all(shares.free(rank) for rank in Priority), "nothing of theirs is taken"


def test_shares_are_kept_whatever_comes_and_goes() -> None:
    chance, shares, there = Random(5), PriorityQuota(24), list[Priority]()
    for _ in range(5000):
        rank = chance.choice(list(Priority))
        if chance.random() < 0.55:
            if shares.free(rank):
                shares.take(rank)
                there.append(rank)
        elif there:
            shares.release(there.pop(chance.randrange(len(there))))
        assert shares.taken == len(there) <= 24
        assert sum(each >= Priority.NEW_MAIL for each in there) <= 21
        assert sum(each >= Priority.UNPROVEN for each in there) <= 18
        assert sum(each is Priority.FAILING for each in there) <= 12


def test_ranks_have_their_turns_so_that_none_waits_for_ever() -> None:
    turns: RoundRobin[str] = RoundRobin()
    for n in range(9):
        turns.put(f"proven{n}", Priority.HEALTHY)
    turns.put("dead", Priority.FAILING)
    turns.put("new", Priority.NEW_MAIL)
    served = [turns.next(lambda rank: True) for _ in range(5)]
    assert served == ["proven0", "new", "dead", "proven1", "proven2"]


def test_a_rank_that_is_full_is_passed_over_and_comes_again() -> None:
    turns: RoundRobin[str] = RoundRobin()
    turns.put("dead", Priority.FAILING)
    assert turns.next(lambda rank: rank < Priority.FAILING) is None
    assert turns.classes
    turns.put("dead", Priority.HEALTHY)  # it has proved itself meanwhile
    assert turns.next(lambda rank: rank < Priority.FAILING) == "dead"
    assert not turns.classes
    assert turns.next(lambda rank: True) is None


def test_tokens_are_spent_come_back_and_are_worth_a_batch() -> None:
    clock = ManualClock()
    pace = RetryRateLimit(clock)
    at_first = pace.allowed()
    assert at_first >= 100
    pace.spend(at_first)
    assert pace.allowed() == 0
    assert pace.wait() > 0
    pace.refund(at_first)
    assert pace.allowed() == at_first
    assert pace.wait() == 0.0
    pace.refund(at_first)
    assert pace.allowed() == at_first, "more than that is never there"


async def _tokens(seconds: int, *, busy: bool) -> int:
    clock = ManualClock()
    pace = RetryRateLimit(clock)
    pace.spend(pace.allowed())
    spent = 0
    for _ in range(seconds * 10):
        if busy:
            pace.arrival()
        await clock.advance(0.1)
        allowed = pace.allowed()
        pace.spend(allowed)
        spent += allowed
    return spent


def test_they_come_slowly_while_mail_arrives() -> None:
    idle, busy = asyncio.run(_tokens(20, busy=False)), asyncio.run(_tokens(20, busy=True))
    assert 4000 < idle <= 256 * 20
    assert 500 < busy <= 32 * 20


@pytest.mark.parametrize("busy", [False, True])
def test_the_wait_that_is_told_is_long_enough(busy: bool) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        pace = RetryRateLimit(clock)
        pace.spend(pace.allowed() + 1000)
        for _ in range(100):
            if busy:
                pace.arrival()
            wait = pace.wait()
            if wait == 0.0:
                break
            await clock.advance(wait)
        assert pace.allowed() > 0

    asyncio.run(scenario())
