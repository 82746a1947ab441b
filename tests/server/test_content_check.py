"""Content checks: order, fields, refusals, quarantine, waiting, failures, and the time they may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Recipient, Reply, Verdict
from posthouse.net import SystemClock
from posthouse.protocol import Greet
from posthouse.server import CheckedMessage, CheckResult, Peer
from posthouse.server.content_check import ContentChecks
from posthouse.testing import ManualClock

MESSAGE = CheckedMessage(
    Peer("192.0.2.1", 4000),
    Greet("EHLO", "client.example"),
    Envelope(Address("a", "b.example"), (Recipient(Address("c", "d.example")),)),
    "Q1",
    "mx.example.org",
)
NO = Verdict(Reply(550, "5.7.1", "no"), "a marker was found")


class Check:
    """A check that keeps what it is given, and gives ``answer``: a result, an awaitable of one, or an exception."""

    def __init__(self, answer: Any = None, *, pressure: Callable[[], Awaitable[None]] | None = None) -> None:
        self.answer = CheckResult() if answer is None else answer
        self.pressure = pressure
        self.content = b""
        self.ended: list[str] = []
        self.seen: tuple[int, bytes] | None = None
        self.message: CheckedMessage | None = None

    def __call__(self, message: CheckedMessage) -> Check:
        self.message = message
        return self

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self.content += chunk
        return None if self.pressure is None else self.pressure()

    def finish(self, size: int, fields: bytes) -> Any:
        self.ended.append("finished")
        self.seen = (size, fields)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def abort(self) -> None:
        self.ended.append("aborted")


def later(result: CheckResult) -> Awaitable[CheckResult]:
    async def wait() -> CheckResult:
        await asyncio.sleep(0)
        return result

    return wait()


def run(*checks: Any, errors: list[BaseException] | None = None, **settings: Any) -> CheckResult:
    """The result of these checks for a small message."""

    async def main() -> CheckResult:
        async with asyncio.timeout(10):
            caught: list[BaseException] = []
            settings.setdefault("clock", SystemClock())
            found = ContentChecks(checks, MESSAGE, on_error=caught.append, **settings)
            for chunk in (b"Subject: x\r\n", b"\r\nbody\r\n"):
                pressure = found.write(chunk)
                if pressure is not None:
                    await pressure
            answer = found.finish(20)
            result = answer if isinstance(answer, CheckResult) else await answer
            if errors is None:
                assert caught == []
            else:
                errors.extend(caught)
            return result

    return asyncio.run(main())


def test_a_check_sees_the_message_as_it_streams() -> None:
    check = Check()
    assert run(check) == CheckResult()
    assert check.message == MESSAGE
    assert (check.content, check.seen, check.ended) == (b"Subject: x\r\n\r\nbody\r\n", (20, b""), ["finished"])


def test_checks_that_know_their_results_cost_no_await() -> None:
    async def main() -> object:
        checks = ContentChecks([Check(), Check()], MESSAGE, clock=SystemClock(), on_error=lambda error: None)
        assert checks.write(b"x\r\n") is None
        return checks.finish(3)

    assert asyncio.run(main()) == CheckResult()


def test_a_check_may_be_left_out() -> None:
    assert run(lambda message: None, Check(CheckResult(b"X-Check: 1\r\n"))) == CheckResult(b"X-Check: 1\r\n")


@pytest.mark.parametrize("wait", [CheckResult, lambda *result: later(CheckResult(*result))], ids=["at once", "later"])
def test_fields_of_later_checks_stand_on_top_and_see_those_of_earlier_ones(wait: Callable[..., Any]) -> None:
    first, second = Check(wait(b"A: 1\r\n")), Check(wait(b"B: 2\r\n folded\r\n"))
    third = Check(wait())
    assert run(first, second, third) == CheckResult(b"B: 2\r\n folded\r\nA: 1\r\n")
    assert [each.seen for each in (first, second, third)] == [
        (20, b""),
        (20, b"A: 1\r\n"),
        (20, b"B: 2\r\n folded\r\nA: 1\r\n"),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_ends_the_round(late: bool) -> None:
    refusing = CheckResult(refusal=NO)
    before, other, after = Check(), Check(later(refusing) if late else refusing), Check()
    assert run(before, other, after).refusal == NO
    assert [each.ended for each in (before, other, after)] == [["finished"], ["finished"], ["aborted"]]


def test_quarantines_are_joined_and_do_not_end_the_round() -> None:
    result = run(Check(CheckResult(quarantine="spam")), Check(later(CheckResult(quarantine="virus"))), Check())
    assert result == CheckResult(quarantine="spam; virus")
    assert run(Check(CheckResult(quarantine="spam")), Check(CheckResult(refusal=NO))).refusal == NO


async def fail() -> Any:
    raise OSError("scanner is gone")


@pytest.mark.parametrize("when", ["finish", "finish later", "write", "write later", "factory"])
def test_a_check_that_fails_defers_the_message(when: str) -> None:
    after = Check()

    class Broken(Check):
        def __call__(self, message: CheckedMessage) -> Check:
            if when == "factory":
                raise OSError("scanner is gone")
            return self

        def write(self, chunk: bytes) -> Awaitable[None] | None:
            if when == "write":
                raise OSError("scanner is gone")
            return fail() if when == "write later" else None

    answer = fail() if when == "finish later" else OSError("scanner is gone") if when == "finish" else None
    errors: list[BaseException] = []
    result = run(Check(), Broken(answer), after, errors=errors)
    assert result.refusal is not None
    assert (result.refusal.reply.code, result.refusal.reply.enhanced) == (451, "4.3.0")
    assert "scanner" not in result.refusal.reply.text
    assert result.refusal.reason.endswith("OSError: scanner is gone")
    assert [str(error) for error in errors] == ["scanner is gone"]
    assert after.ended == ([] if when == "factory" else ["aborted"])


@pytest.mark.parametrize(
    "wrong",
    [
        CheckResult(b"X-Check: 1"),
        CheckResult(b"X-Check: 1\r\n\r\n"),
        CheckResult(b"X-Check: 1\nX: 2\r\n"),
        CheckResult(b"X-Check: 1\r\n \r\n"),
        CheckResult(b"no field\r\n"),
        CheckResult(b" folded\r\n"),
        CheckResult(refusal=Verdict(Reply(250, "2.0.0", "yes"))),
        "a result of another kind",
    ],
    ids=repr,
)
def test_a_result_that_cannot_be_used_is_a_failure(wrong: Any) -> None:
    errors: list[BaseException] = []
    result = run(Check(wrong), errors=errors)
    assert result.refusal is not None
    assert result.refusal.reply.code == 451
    assert len(errors) == 1


@pytest.mark.parametrize("when", ["write", "finish"])
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_check_may_not_take_for_ever(when: str, stubborn: bool) -> None:
    release = asyncio.Event()

    async def hang() -> Any:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                if not stubborn:
                    raise

    async def main() -> None:
        async with asyncio.timeout(10):
            clock, errors, after = ManualClock(), list[BaseException](), Check()
            check = Check(hang() if when == "finish" else None, pressure=hang if when == "write" else None)
            checks = ContentChecks([check, after], MESSAGE, clock=clock, on_error=errors.append, seconds=60.0)
            waited = checks.write(b"x\r\n") if when == "write" else checks.finish(3)
            assert isinstance(waited, Awaitable)
            task = asyncio.ensure_future(waited)
            await clock.advance(59.0)
            assert not task.done()
            await clock.advance(2.0)
            await task
            result = checks.finish(3) if when == "write" else task.result()
            assert isinstance(result, CheckResult)
            assert result.refusal is not None
            assert result.refusal.reply.code == 451
            assert result.refusal.reason.endswith("no result within 60 s")
            assert [type(error) for error in errors] == [TimeoutError]
            assert after.ended == ["aborted"]
            release.set()

    asyncio.run(main())


def test_all_checks_together_have_the_time_of_one() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            clock, errors = ManualClock(), list[BaseException]()

            async def slow() -> CheckResult:
                await clock.sleep(40.0)
                return CheckResult()

            checks = ContentChecks([Check(slow()), Check(slow())], MESSAGE, clock=clock, on_error=errors.append)
            waited = checks.finish(3)
            assert isinstance(waited, Awaitable)
            task = asyncio.ensure_future(waited)
            await clock.advance(40.0)
            assert not task.done()
            await clock.advance(21.0)
            assert (await task).refusal is not None
            assert [type(error) for error in errors] == [TimeoutError]

    asyncio.run(main())


def test_a_check_whose_waiting_is_cancelled_has_failed() -> None:
    async def cancelled() -> CheckResult:
        raise asyncio.CancelledError

    errors: list[BaseException] = []
    assert run(Check(cancelled()), errors=errors).refusal is not None
    assert len(errors) == 1


def test_a_message_that_ends_early_aborts_its_checks() -> None:
    errors: list[BaseException] = []

    class Broken(Check):
        def abort(self) -> None:
            raise OSError("scanner is gone")

    other = Check()
    checks = ContentChecks([Broken(), other], MESSAGE, clock=SystemClock(), on_error=errors.append)
    checks.write(b"x\r\n")
    checks.abort()
    checks.abort()
    assert other.ended == ["aborted"]
    assert [str(error) for error in errors] == ["scanner is gone"]
