"""Look-ups about one message: each asked once, side by side, in a bounded time, and never in the way of others."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from posthouse.core import Answer, Kind, Question, Status
from posthouse.service.mailauth.lookups import MOST_QUESTIONS, MailResolver, MessageLookups
from posthouse.testing import ManualClock, StaticResolver

ZONE = {"a.test": {"TXT": ["one"]}, "b.test": {"TXT": ["two"]}}


class SlowResolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self.asked = asyncio.Event()

    async def ask(self, question: Question) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append((question, future))
        self.asked.set()
        return await future


class BrokenResolver:
    async def ask(self, question: Question) -> Answer:
        raise OSError("no network")


def check(*names: str) -> Generator[Question, Answer, list[str]]:
    found = []
    for name in names:
        got = yield Question(name, Kind.TXT)
        found.append(got.reason if got.status is Status.FAILED else str(got.status))
    return found


def lookups(resolver: Any, clock: ManualClock, questions: int = 100) -> MessageLookups:
    return MessageLookups(MailResolver(resolver, clock, questions=questions), clock, 20.0)


async def result(found: Any) -> Any:
    async with asyncio.timeout(30):
        return await found if isinstance(found, asyncio.Task) else found


async def settle() -> None:
    """Let every task do what it can do now."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_known_answers_need_no_task() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        resolver = MailResolver(StaticResolver(ZONE), clock, questions=1)
        first = MessageLookups(resolver, clock, 20.0).run(check("a.test"))
        assert isinstance(first, asyncio.Task)
        assert await result(first) == ["ok"]
        assert MessageLookups(resolver, clock, 20.0).run(check("A.test.", "a.test")) == ["ok", "ok"]

    asyncio.run(scenario())


def test_a_question_is_asked_once_whoever_asks() -> None:
    async def scenario() -> None:
        clock, static = ManualClock(), StaticResolver(ZONE, ttl=0)
        asking = lookups(static, clock)
        asking.prefetch(Question("a.test", Kind.TXT))
        found = [asking.run(check("a.test", "b.test")), asking.run(check("b.test.", "A.test"))]
        assert [await result(each) for each in found] == [["ok", "ok"], ["ok", "ok"]]
        assert sorted(each.name for each in static.asked) == ["a.test", "b.test"]

    asyncio.run(scenario())


def test_checks_wait_side_by_side() -> None:
    async def scenario() -> None:
        clock, slow = ManualClock(), SlowResolver()
        asking = lookups(slow, clock)
        found = [asking.run(check("a.test")), asking.run(check("b.test"))]
        await settle()
        assert len(slow.waiting) == 2
        for _, future in slow.waiting:
            future.set_result(Answer(Status.OK, (b"x",), 60))
        assert [await result(each) for each in found] == [["ok"], ["ok"]]

    asyncio.run(scenario())


def test_the_time_of_all_is_bounded() -> None:
    async def scenario() -> None:
        clock, slow = ManualClock(), SlowResolver()
        asking = lookups(slow, clock)
        found = asking.run(check("a.test", "b.test"))
        await settle()
        await clock.advance(20.1)
        said = await result(found)
        assert all("took more than 20 s" in each for each in said), said
        asking.close()
        await settle()
        assert all(future.cancelled() for _, future in slow.waiting)

    asyncio.run(scenario())


def test_an_answer_that_came_before_the_end_counts() -> None:
    async def scenario() -> None:
        clock, slow = ManualClock(), SlowResolver()
        asking = lookups(slow, clock)
        asking.prefetch(Question("a.test", Kind.TXT))
        found = asking.run(check("a.test", "b.test"))
        await settle()
        slow.waiting[0][1].set_result(Answer(Status.OK, (b"x",), 60))
        await settle()
        await clock.advance(20.1)
        first, second = await result(found)
        assert first == "ok"
        assert "took more than 20 s" in second

    asyncio.run(scenario())


def test_questions_on_the_wire_are_bounded() -> None:
    async def scenario() -> None:
        clock, slow = ManualClock(), SlowResolver()
        asking = lookups(slow, clock, questions=2)
        found = [asking.run(check(f"n{number}.test")) for number in range(5)]
        for answered in range(5):
            await settle()
            assert len(slow.waiting) == min(5, answered + 2)
            slow.waiting[answered][1].set_result(Answer(Status.NXDOMAIN, (), 60))
        assert [await result(each) for each in found] == [["nxdomain"]] * 5

    asyncio.run(scenario())


def test_the_questions_of_one_message_are_bounded() -> None:
    async def scenario() -> None:
        clock, static = ManualClock(), StaticResolver({})
        asking = lookups(static, clock)
        said = await result(asking.run(check(*(f"n{number}.test" for number in range(MOST_QUESTIONS + 5)))))
        assert len(static.asked) == MOST_QUESTIONS
        assert [f"{MOST_QUESTIONS} questions" in each for each in said[-6:]] == [False] + [True] * 5

    asyncio.run(scenario())


def test_a_resolver_that_breaks_is_a_failure_of_the_dns() -> None:
    async def scenario() -> None:
        said = await result(lookups(BrokenResolver(), ManualClock()).run(check("a.test")))
        assert "no network" in said[0]

    asyncio.run(scenario())


def test_closing_ends_what_is_under_way() -> None:
    async def scenario() -> None:
        clock, slow = ManualClock(), SlowResolver()
        asking = lookups(slow, clock)
        found = asking.run(check("a.test"))
        asking.prefetch(Question("b.test", Kind.TXT))
        await settle()
        asking.close()
        assert isinstance(found, asyncio.Task)
        with pytest.raises(asyncio.CancelledError):
            await found
        await settle()
        assert all(future.cancelled() for _, future in slow.waiting)

    asyncio.run(scenario())
