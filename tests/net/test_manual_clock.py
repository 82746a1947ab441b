"""The manual clock and the system clock."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.core import LocalError
from posthouse.net import SystemClock
from posthouse.testing import ManualClock


def test_timers_fire_in_order_each_at_its_own_time() -> None:
    async def scenario() -> None:
        clock = ManualClock(start=1000.0)
        fired: list[tuple[str, float, float]] = []

        def note(name: str) -> None:
            fired.append((name, clock.monotonic(), clock.time()))

        clock.call_later(3, lambda: note("c"))
        clock.call_later(1, lambda: note("a"))
        clock.call_later(3, lambda: note("d"))
        clock.call_later(2, lambda: (note("b"), clock.call_later(0.5, lambda: note("b+"))))
        clock.call_later(2, lambda: note("never")).cancel()
        clock.call_later(9, lambda: note("late"))
        await clock.advance(5)
        assert fired == [
            ("a", 1, 1001),
            ("b", 2, 1002),
            ("b+", 2.5, 1002.5),
            ("c", 3, 1003),
            ("d", 3, 1003),
        ]
        assert clock.monotonic() == 5
        assert clock.waiting == 1

    asyncio.run(scenario())


def test_sleepers_wake_before_later_timers() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        seen: list[object] = []

        async def sleeper() -> None:
            for _ in range(3):
                await clock.sleep(1)
                for _ in range(10):
                    await asyncio.sleep(0)  # work that takes turns but no time
                seen.append(clock.monotonic())

        task = asyncio.create_task(sleeper())
        clock.call_later(1.5, lambda: seen.append("timer"))
        await clock.advance(10)
        assert seen == [1, "timer", 2, 3]
        assert task.done()

    asyncio.run(scenario())


def test_a_cancelled_sleeper_leaves_no_timer() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(60))
        await clock.settle()
        assert clock.waiting == 1
        task.cancel()
        await clock.settle()
        assert clock.waiting == 0

    asyncio.run(scenario())


def test_run_jumps_as_far_as_the_scenario_needs() -> None:
    async def scenario() -> None:
        clock = ManualClock()

        async def week() -> str:
            for _ in range(7):
                await clock.sleep(86_400)
            return "done"

        assert await clock.run(week()) == "done"
        assert clock.monotonic() == 7 * 86_400

    asyncio.run(scenario())


def test_run_says_when_a_scenario_can_never_end() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        with pytest.raises(LocalError, match="cannot happen"):
            await clock.run(asyncio.Event().wait())
        with pytest.raises(ZeroDivisionError):
            await clock.run(fails())

    async def fails() -> None:
        raise ZeroDivisionError

    asyncio.run(scenario())


def test_the_calendar_may_jump_without_the_stopwatch() -> None:
    async def scenario() -> None:
        clock = ManualClock(start=1000.0)
        await clock.advance(10)
        clock.set_calendar(500.0)
        assert (clock.time(), clock.monotonic()) == (500.0, 10.0)
        await clock.advance(1)
        assert (clock.time(), clock.monotonic()) == (501.0, 11.0)

    asyncio.run(scenario())


def test_two_tasks_cannot_move_one_clock() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        clock.call_later(1, lambda: None)
        first = asyncio.create_task(clock.advance(2))
        await asyncio.sleep(0)
        with pytest.raises(LocalError, match="moving this clock"):
            await clock.advance(2)
        await first

    asyncio.run(scenario())


def test_the_system_clock_uses_the_running_loop() -> None:
    async def scenario() -> None:
        clock = SystemClock()
        called = asyncio.Event()
        never = clock.call_later(0, lambda: pytest.fail("was cancelled"))
        never.cancel()
        before = clock.monotonic()
        clock.call_later(0, called.set)
        await called.wait()
        await clock.sleep(0)
        assert clock.monotonic() >= before
        assert clock.time() > 1_700_000_000

    asyncio.run(scenario())
