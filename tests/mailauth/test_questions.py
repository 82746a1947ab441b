"""The two drivers of a check: what it is sent, what is asked once, and what happens when the time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.core import Answer, Kind, Question, Status
from posthouse.mailauth import Check, Zone, answer, ask

ZONE = {"example.org": {"TXT": ["one"], "A": ["192.0.2.1"]}}


def asking(*names: str, kind: Kind = Kind.TXT) -> Check[list[Answer]]:
    """A check that asks for these names in order, and returns the answers."""
    found: list[Answer] = []
    for name in names:
        found += [(yield Question(name, kind))]
    return found


class Counting:
    """A resolver on a zone that keeps the questions."""

    def __init__(self) -> None:
        self.zone = Zone(ZONE)
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.zone.look_up(question)


def test_a_check_is_sent_the_answers_of_the_zone() -> None:
    first, second = answer(asking("example.org", "absent.example"), ZONE)
    assert first == Answer(Status.OK, (b"one",), 300)
    assert second.status is Status.NXDOMAIN


def test_a_check_without_a_question_has_its_result() -> None:
    assert answer(asking(), ZONE) == []
    assert asyncio.run(ask(asking(), Counting())) == []


def test_a_question_is_asked_once_whatever_its_case_and_final_dot() -> None:
    resolver = Counting()
    found = asyncio.run(ask(asking("example.org", "Example.ORG", "example.org."), resolver))
    assert [each.status for each in found] == [Status.OK] * 3
    assert resolver.asked == [Question("example.org", Kind.TXT)]


def test_another_type_is_another_question() -> None:
    def both() -> Check[tuple[Answer, Answer]]:
        first = yield Question("example.org", Kind.TXT)
        second = yield Question("example.org", Kind.A)
        return first, second

    assert [each.records for each in answer(both(), ZONE)] == [(b"one",), ("192.0.2.1",)]


def test_what_is_not_answered_in_time_has_failed_and_the_check_still_ends() -> None:
    class Silent:
        async def ask(self, question: Question) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError("an event that nothing sets")

    found = asyncio.run(ask(asking("example.org", "example.net"), Silent(), seconds=0))
    assert [each.status for each in found] == [Status.FAILED] * 2
    assert found[0].reason == "the TXT record of example.org was not had: the check took more than 0 s"


def test_an_error_of_the_network_is_a_failed_question() -> None:
    class Broken:
        async def ask(self, question: Question) -> Answer:
            raise ConnectionRefusedError("connection refused")

    (found,) = asyncio.run(ask(asking("example.org"), Broken()))
    assert found.status is Status.FAILED
    assert found.reason == "the TXT record of example.org was not had: connection refused"


def test_a_check_is_closed_when_its_driver_is_cancelled() -> None:
    closed: list[Sequence[str]] = []

    def patient() -> Check[None]:
        try:
            yield Question("example.org", Kind.TXT)
        finally:
            closed.append("closed")

    class Cancelling:
        async def ask(self, question: Question) -> Answer:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask(patient(), Cancelling()))
    assert closed == ["closed"]


def test_a_zone_is_a_resolver() -> None:
    (found,) = asyncio.run(ask(asking("example.org"), Zone(ZONE)))
    assert found.records == (b"one",)
