"""Batches by turn of the event loop."""

from __future__ import annotations

import asyncio

from posthouse.net import TurnBatch


def test_items_of_one_turn_are_taken_together_after_all_that_they_set_off() -> None:
    order: list[object] = []

    async def scenario() -> None:
        batch: TurnBatch[int] = TurnBatch(order.append)
        loop = asyncio.get_running_loop()

        def commit(number: int) -> None:
            batch.put(number)
            loop.call_soon(order.append, f"250 for {number}")

        for number in range(3):
            loop.call_soon(commit, number)
        for _ in range(4):
            await asyncio.sleep(0)
        assert not batch
        batch.put(3)
        assert batch
        batch.flush()
        for _ in range(4):
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert order == ["250 for 0", "250 for 1", "250 for 2", [0, 1, 2], [3]]
