"""Remembering answers: as long as they hold, no more of them than allowed, and one question at a time."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.core import Answer, Kind, Question, Status
from posthouse.net import CachingResolver
from posthouse.testing import ManualClock, StaticResolver

SINA = Question("sina.com", Kind.MX)


class Scripted:
    """Gives one answer to everything, when it is let to."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, question: Question) -> Answer:
        self.asked += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.answer


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(Status.OK, ("192.0.2.1",), 300), 300),
        (Answer(Status.OK, ("192.0.2.1",), 10_000_000), 86_400),
        (Answer(Status.NXDOMAIN, ttl=60), 60),
        (Answer(Status.NODATA, ttl=60), 60),
        (Answer(Status.NODATA, ttl=86_400), 900),
        (Answer(Status.FAILED, ttl=0), 2),
    ],
)
def test_how_long_answers_are_kept(answer: Answer, seconds: int) -> None:
    async def scenario() -> None:
        clock, inner = ManualClock(), Scripted(answer)
        resolver = CachingResolver(inner, clock)
        assert await resolver.ask(SINA) == answer
        await clock.advance(seconds - 1)
        again = await resolver.ask(SINA)
        assert inner.asked == 1
        assert again.status is answer.status
        assert again.records == answer.records
        assert again.ttl <= 1 or answer.ttl > 86_400 or answer.ttl > 900
        await clock.advance(1)
        await resolver.ask(SINA)
        assert inner.asked == 2

    asyncio.run(scenario())


def test_what_is_left_of_the_ttl() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        resolver = CachingResolver(StaticResolver({"sina.com": {"MX": ["10 mx.sina.com"]}}, ttl=300), clock)
        await resolver.ask(SINA)
        await clock.advance(100)
        assert (await resolver.ask(SINA)).ttl == 200

    asyncio.run(scenario())


def test_answers_that_may_not_be_kept_are_not() -> None:
    async def scenario() -> None:
        inner = Scripted(Answer(Status.NXDOMAIN, ttl=0))
        resolver = CachingResolver(inner, ManualClock())
        await resolver.ask(SINA)
        await resolver.ask(SINA)
        assert inner.asked == 2

    asyncio.run(scenario())


def test_case_and_a_final_dot_make_no_other_question() -> None:
    async def scenario() -> None:
        inner = Scripted(Answer(Status.OK, ("192.0.2.1",), 300))
        resolver = CachingResolver(inner, ManualClock())
        for name in ("sina.com", "SINA.com", "sina.com."):
            await resolver.ask(Question(name, Kind.A))
        assert inner.asked == 1
        await resolver.ask(Question("sina.com", Kind.AAAA))
        assert inner.asked == 2

    asyncio.run(scenario())


def test_the_least_used_answer_leaves_first() -> None:
    async def scenario() -> None:
        inner = StaticResolver({name: {"A": ["192.0.2.1"]} for name in ("a", "b", "c")})
        resolver = CachingResolver(inner, ManualClock(), size=2)
        for name in ("a", "b", "a", "c", "a", "b"):
            await resolver.ask(Question(name, Kind.A))
        assert [question.name for question in inner.asked] == ["a", "b", "c", "b"]
        resolver.forget()
        await resolver.ask(Question("a", Kind.A))
        assert len(inner.asked) == 5

    asyncio.run(scenario())


def test_one_question_at_a_time() -> None:
    async def scenario() -> None:
        clock, inner = ManualClock(), Scripted(Answer(Status.OK, ("192.0.2.1",), 300))
        inner.gate.clear()
        resolver = CachingResolver(inner, clock)
        asking = [asyncio.create_task(resolver.ask(SINA)) for _ in range(5)]
        await clock.settle()
        asking[0].cancel()  # the one who came first goes; the others still get their answer
        await clock.settle()
        inner.gate.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [inner.answer] * 4
        assert (inner.asked, inner.cancelled) == (1, 0)

    asyncio.run(scenario())


def test_when_nobody_waits_any_more_the_question_is_withdrawn() -> None:
    async def scenario() -> None:
        clock, inner = ManualClock(), Scripted(Answer(Status.OK, ("192.0.2.1",), 300))
        inner.gate.clear()
        resolver = CachingResolver(inner, clock)
        asking = [asyncio.create_task(resolver.ask(SINA)) for _ in range(2)]
        await clock.settle()
        for task in asking:
            task.cancel()
        await clock.settle()
        assert (inner.asked, inner.cancelled) == (1, 1)
        inner.gate.set()
        assert await resolver.ask(SINA) == inner.answer
        assert inner.asked == 2

    asyncio.run(scenario())


def test_a_resolver_that_raises_becomes_an_answer() -> None:
    class Wrong:
        async def ask(self, question: Question) -> Answer:
            raise ZeroDivisionError("somebody's mistake")

    async def scenario() -> None:
        answer = await CachingResolver(Wrong(), ManualClock()).ask(SINA)
        assert answer.status is Status.FAILED
        assert "ZeroDivisionError" in answer.reason

    asyncio.run(scenario())
