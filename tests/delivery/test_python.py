"""Letters given to functions of the operator's own."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from posthouse.core import (
    Address,
    Bytes,
    Content,
    Defer,
    Envelope,
    LocalError,
    NotDelivered,
    Outcome,
    Recipient,
    Reject,
    Reply,
    Result,
    SettingError,
)
from posthouse.delivery.model import Delivery
from posthouse.delivery.python import DeliveredMessage, PythonDeliverer, load_handler
from posthouse.testing import ManualClock

MESSAGE = b"Subject: x\r\n\r\n" + b"0123456789" * 100
BOB, ANN = Recipient(Address("bob", "here.test")), Recipient(Address("ann+tag", "here.test"))


class InPieces:
    """Content that is not in memory."""

    size = len(MESSAGE)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        return Bytes(MESSAGE).chunks(min(at_most, 100))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("someones_handlers")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def deliver(module: ModuleType, function: Any, content: Content | None = None, **how: Any) -> Sequence[Outcome]:
    """The outcomes of a message to bob and ann."""
    module.handle = function  # type: ignore[attr-defined]
    content = content or Bytes(MESSAGE)
    delivery = Delivery(Envelope(Address("me", "far.test"), (BOB, ANN)), content)

    async def attempt() -> Sequence[Outcome]:
        async with asyncio.timeout(10):
            deliverer = PythonDeliverer(how.pop("clock", None) or ManualClock(), **how)
            found = await deliverer.deliver(delivery, "someones_handlers:handle")
            await deliverer.close()
            return found

    return asyncio.run(attempt())


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{each.result} {each.reply}" for each in outcomes]


class Taking:
    """An object that is called."""

    def __init__(self) -> None:
        self.got: list[tuple[Envelope, bytes]] = []

    async def __call__(self, envelope: Envelope, content: DeliveredMessage) -> None:
        self.got.append((envelope, b"".join([chunk async for chunk in content])))


def test_one_call_for_each_recipient_with_the_address_as_it_was_given(module: ModuleType) -> None:
    for content in (Bytes(MESSAGE), InPieces()):
        taking = Taking()
        outcomes = deliver(module, taking, content)
        assert [each.result for each in outcomes] == [Result.DELIVERED] * 2
        assert [each.recipient for each in outcomes] == [BOB, ANN]
        assert [envelope.recipients for envelope, _ in taking.got] == [(BOB,), (ANN,)]
        assert all(envelope.sender == Address("me", "far.test") for envelope, _ in taking.got)
        assert [octets for _, octets in taking.got] == [MESSAGE] * 2


def test_a_plain_function_runs_in_a_thread_of_its_own(module: ModuleType) -> None:
    seen: list[Any] = []

    def handle(envelope: Envelope, content: DeliveredMessage) -> None:
        seen.append((threading.current_thread().daemon, content.size, b"".join(content.chunks(10))))

    assert results(deliver(module, handle)) == ["delivered 250 2.0.0 delivered"] * 2
    assert seen == [(True, len(MESSAGE), MESSAGE)] * 2


def test_a_function_that_gives_an_awaitable(module: ModuleType) -> None:
    seen: list[str] = []

    async def handle(prefix: str, envelope: Envelope, content: DeliveredMessage) -> None:
        await asyncio.sleep(0)
        seen.append(prefix + str(envelope.recipients[0].address))

    deliver(module, lambda *given: handle("a ", *given))
    deliver(module, functools.partial(handle, "b "))
    assert seen == ["a bob@here.test", "a ann+tag@here.test", "b bob@here.test", "b ann+tag@here.test"]


def test_each_recipient_has_its_own_end(module: ModuleType) -> None:
    async def handle(envelope: Envelope, content: DeliveredMessage) -> None:
        if envelope.recipients[0] == BOB:
            raise Reject("nobody\r\nreads this")

    assert results(deliver(module, handle)) == ["failed 554 5.7.1 nobody reads this", "delivered 250 2.0.0 delivered"]


class Unspeakable(Exception):
    """An exception without words: even ``str`` of it fails."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("error", "end", "reason"),
    [
        (Defer(), "deferred 451 4.3.0 not delivered now", "the handler said: Defer: not delivered now"),
        (Defer(reply=Reply(452, "4.2.2", "full")), "deferred 452 4.2.2 full", "the handler said"),
        (Reject(reply=Reply(552, "5.2.2", "full")), "failed 552 5.2.2 full", "the handler said"),
        (NotDelivered("x", Reply(450, "4.2.1", "x")), "deferred 450 4.2.1 x", "the handler said"),
        (ValueError("secret"), "deferred 451 4.3.0 local error in delivery", "crashed: ValueError: secret"),
        (TimeoutError(), "deferred 451 4.3.0 local error in delivery", "crashed: TimeoutError"),
        (SystemExit(3), "deferred 451 4.3.0 local error in delivery", "crashed: SystemExit: 3"),
        (KeyboardInterrupt(), "deferred 451 4.3.0 local error in delivery", "KeyboardInterrupt"),
        (StopIteration(), "deferred 451 4.3.0 local error in delivery", "StopIteration"),
        (asyncio.CancelledError(), "deferred 451 4.3.0 local error in delivery", "cancelled itself"),
        (GeneratorExit(), "deferred 451 4.3.0 local error in delivery", "crashed: GeneratorExit"),
        (BaseException("odd"), "deferred 451 4.3.0 local error in delivery", "crashed: BaseException: odd"),
        (Unspeakable(), "deferred 451 4.3.0 local error in delivery", "crashed: Unspeakable"),
    ],
)
def test_what_is_raised(module: ModuleType, is_async: bool, error: BaseException, end: str, reason: str) -> None:
    async def later(envelope: Envelope, content: DeliveredMessage) -> None:
        raise error

    def at_once(envelope: Envelope, content: DeliveredMessage) -> None:
        raise error

    if is_async and isinstance(error, StopIteration):
        reason = "RuntimeError"  # what a coroutine makes of it
    outcomes = deliver(module, later if is_async else at_once)
    assert results(outcomes) == [end] * 2
    assert all(reason in each.reason for each in outcomes)
    assert all("secret" not in str(each.reply) for each in outcomes)


def test_an_import_that_raises_what_is_no_exception_defers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves_at_once.py").write_text("raise GeneratorExit\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    delivery = Delivery(Envelope(Address("me", "far.test"), (BOB,)), Bytes(MESSAGE))

    async def attempt() -> Sequence[Outcome]:
        async with asyncio.timeout(10):
            return await PythonDeliverer(ManualClock()).deliver(delivery, "leaves_at_once:handle")

    (outcome,) = asyncio.run(attempt())
    assert str(outcome.reply).startswith("451 4.3.5 ")
    assert "GeneratorExit" in outcome.reason


def a_generator(envelope: Envelope, content: DeliveredMessage) -> Iterator[None]:
    yield


async def an_async_generator(envelope: Envelope, content: DeliveredMessage) -> AsyncIterator[None]:
    yield


class CalledAsGenerator:
    def __call__(self, envelope: Envelope, content: DeliveredMessage) -> Iterator[None]:
        yield


class CalledAsAsyncGenerator:
    async def __call__(self, envelope: Envelope, content: DeliveredMessage) -> AsyncIterator[None]:
        yield

    async def method(self, envelope: Envelope, content: DeliveredMessage) -> AsyncIterator[None]:
        yield


@functools.wraps(an_async_generator)
def wrapped(*given: Any) -> Any:
    return an_async_generator(*given)


@pytest.mark.parametrize(
    "handler",
    [
        a_generator,
        an_async_generator,
        functools.partial(an_async_generator),
        CalledAsGenerator(),
        CalledAsAsyncGenerator(),
        CalledAsAsyncGenerator().method,
        wrapped,
    ],
)
def test_a_handler_with_a_yield_in_it_is_refused(module: ModuleType, handler: Any) -> None:
    """Its code would never run, and each message would count as delivered."""
    outcomes = deliver(module, handler)
    assert [each.result for each in outcomes] == [Result.DEFERRED] * 2
    assert "has a yield" in outcomes[0].reason
    with pytest.raises(SettingError, match="generator function"):
        load_handler("someones_handlers:handle")


def test_a_generator_as_the_result_is_no_delivery(module: ModuleType) -> None:
    async def later(*given: Any) -> Any:
        return an_async_generator(*given)

    async def unawaited() -> None:
        return None

    async def forgets_to_await(*given: Any) -> Any:
        return unawaited()

    makers = [lambda *given: a_generator(*given), lambda *given: an_async_generator(*given), later, forgets_to_await]
    for maker in makers:
        outcomes = deliver(module, maker)
        assert results(outcomes) == ["deferred 451 4.3.0 local error in delivery"] * 2
        assert "which nothing runs" in outcomes[0].reason


@pytest.mark.parametrize("answer", [Reject("not here"), Defer("later"), ValueError("x"), Reject])
@pytest.mark.parametrize("is_async", [True, False])
def test_an_exception_that_is_returned_and_not_raised_is_no_delivery(
    module: ModuleType, answer: object, is_async: bool
) -> None:
    async def later(*given: Any) -> Any:
        return answer

    outcomes = deliver(module, later if is_async else lambda *given: answer)
    assert results(outcomes) == ["deferred 451 4.3.0 local error in delivery"] * 2
    assert "write raise in place of return" in outcomes[0].reason


@pytest.mark.parametrize("kind", ["coroutine", "function", "stubborn"])
def test_who_takes_too_long_is_left_alone(module: ModuleType, kind: str) -> None:
    release = threading.Event()
    cancelled: list[bool] = []

    async def attempt() -> Sequence[Outcome]:
        clock = ManualClock()
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        async def coroutine(envelope: Envelope, content: DeliveredMessage) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                if kind != "stubborn":
                    raise

        def function(envelope: Envelope, content: DeliveredMessage) -> None:
            loop.call_soon_threadsafe(begun.set)
            release.wait(10)

        module.handle = function if kind == "function" else coroutine  # type: ignore[attr-defined]
        delivery = Delivery(Envelope(None, (BOB, ANN)), Bytes(b"x"))
        async with asyncio.timeout(10):
            task = asyncio.ensure_future(
                PythonDeliverer(clock, timeout=60.0, threads=2).deliver(delivery, "someones_handlers:handle")
            )
            for _ in (BOB, ANN):
                await begun.wait()
                begun.clear()
                assert not task.done()
                await clock.advance(60.0)
            return await task

    try:
        outcomes = asyncio.run(attempt())
    finally:
        release.set()
    assert results(outcomes) == ["deferred 451 4.4.7 delivery took too long"] * 2
    assert "longer than 60 seconds" in outcomes[0].reason
    assert bool(cancelled) is (kind != "function")


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module_here:handle", 'there is no module "no_such_module_here"'),
        ("posthouse.no_such:handle", 'there is no module "posthouse.no_such"'),
        ("posthouse.core:nothing", 'has no "nothing"'),
        ("posthouse.core:Address.nothing", 'has no "Address.nothing"'),
        ("posthouse.core:Address", "is a class"),
        ("posthouse.core.errors:__all__", "cannot be called"),
    ],
)
def test_a_name_that_leads_nowhere(module: ModuleType, target: str, cause: str) -> None:
    with pytest.raises(SettingError) as raised:
        load_handler(target)
    assert cause in raised.value.message
    assert raised.value.where == f'deliver = "python:{target}"'
    assert raised.value.remedy


@pytest.mark.parametrize("text", ["1 / 0", "raise SystemExit", "import no_such_module_here", "x ="])
def test_a_module_that_fails_defers_and_is_tried_again_when_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "handlers_in_a_file.py"
    file.write_text(text)
    delivery = Delivery(Envelope(None, (BOB,)), Bytes(b"x"))

    async def attempts() -> None:
        async with asyncio.timeout(10):
            deliverer = PythonDeliverer(ManualClock())
            (outcome,) = await deliverer.deliver(delivery, "handlers_in_a_file:handle")
            assert (outcome.result, str(outcome.reply)[:9]) == (Result.DEFERRED, "451 4.3.5")
            assert "fails while it is imported" in outcome.reason
            file.write_text("def handle(envelope, content):\n    assert envelope.sender is None")
            (outcome,) = await deliverer.deliver(delivery, "handlers_in_a_file:handle")
            assert outcome.result is Result.DELIVERED

    try:
        asyncio.run(attempts())
    finally:
        sys.modules.pop("handlers_in_a_file", None)


def test_the_exceptions_take_only_replies_that_mean_what_they_say() -> None:
    with pytest.raises(LocalError, match="raise Reject"):
        Defer(reply=Reply(550, "5.1.1", "no"))
    with pytest.raises(LocalError, match="raise Defer"):
        Reject(reply=Reply(450, "4.1.1", "later"))
    assert str(Reject("because").reply) == "554 5.7.1 because"


def test_a_lease_that_is_lost_between_two_recipients(module: ModuleType) -> None:
    taking = Taking()
    module.handle = taking  # type: ignore[attr-defined]
    delivery = Delivery(Envelope(None, (BOB, ANN)), Bytes(MESSAGE), holds=lambda: not taking.got)
    bob, ann = asyncio.run(PythonDeliverer(ManualClock()).deliver(delivery, "someones_handlers:handle"))
    assert bob.result is Result.DELIVERED
    assert (ann.result, ann.recipient) == (Result.DEFERRED, ANN)
    assert ann.reason.startswith("the lease was lost")
    assert len(taking.got) == 1
