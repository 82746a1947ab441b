"""A calendar that was set back: mail that was due in a year is due now, and what is near stays as planned."""

from __future__ import annotations

import asyncio
from pathlib import Path

from posthouse.core import Address, Envelope, Outcome, Recipient, Result
from posthouse.spool import Condition, RecipientState, Settlement, SqliteSpool
from posthouse.spool.interface import SpoolEventKind

NOW = 1_700_000_000.0
YEAR = 366 * 86_400.0
HORIZON = 14_400.0


class Watch:
    """A calendar that can be set, and a stopwatch that runs on."""

    def __init__(self) -> None:
        self.now = NOW
        self.monotonic = 0.0

    def time(self) -> float:
        return self.now

    def stopwatch(self) -> float:
        return self.monotonic


def opened(directory: Path, watch: Watch, horizon: float = HORIZON) -> SqliteSpool:
    return SqliteSpool(directory, horizon=horizon, time=watch.time, stopwatch=watch.stopwatch)


async def deferred(spool: SqliteSpool, watch: Watch, name: str, after: float) -> None:
    """Store a message for ``name`` and defer it."""
    receipt = spool.receive()
    receipt.write(b"content")
    envelope = Envelope(None, (Recipient(Address("b", name)),))
    stored = await receipt.commit(envelope, [name], received=watch.now, due=watch.now, owner="w", until=watch.now + 300)
    outcome = Outcome(envelope.recipients[0], Result.DEFERRED, None, "later")
    await spool.record(stored.leases[0], [Settlement(0, RecipientState.WAITING, watch.now + after, outcome)])


async def leased(spool: SqliteSpool, watch: Watch) -> set[str]:
    page = await spool.due(watch.now)
    wanted = [each.name for each in page.destinations if each.ready <= watch.now]
    works = await spool.lease("w", watch.now, watch.now + 300, limit=5000, wanted=wanted) if wanted else []
    return {work.destination for work in works}


def test_mail_that_was_deferred_while_the_calendar_was_ahead_is_due(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        watch.now += YEAR
        spool = opened(tmp_path, watch)
        await spool.open(watch.now)
        events = spool.events()
        for number in range(3):
            await deferred(spool, watch, f"x{number}.test", 900)
        assert await leased(spool, watch) == set()
        watch.now = NOW
        await deferred(spool, watch, "near.test", HORIZON)
        assert await leased(spool, watch) == {"x0.test", "x1.test", "x2.test"}
        event = await anext(events)
        assert event.kind is SpoolEventKind.CALENDAR
        assert "3 recipients" in event.text
        assert "the calendar was set back" in event.text
        await spool.close()

    asyncio.run(scenario())


def test_one_destination_with_near_and_far_mail(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        watch.now += YEAR
        spool = opened(tmp_path, watch)
        await spool.open(watch.now)
        for _ in range(3):
            await deferred(spool, watch, "x.test", 900)
        watch.now = NOW
        await deferred(spool, watch, "x.test", 60)
        watch.now += 61
        (near,) = await spool.lease("w", watch.now, watch.now + 300, limit=10)
        outcome = Outcome(near.recipients[0].recipient, Result.DELIVERED)
        await spool.record(near, [Settlement(0, RecipientState.DELIVERED, watch.now, outcome)])
        assert await leased(spool, watch) == {"x.test"}
        assert await spool.queries.count([Condition("state", "=", "active")]) == 3
        await spool.close()

    asyncio.run(scenario())


def test_many_far_recipients_are_brought_in_by_bounded_transactions(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        watch.now += YEAR
        spool = opened(tmp_path, watch)
        await spool.open(watch.now)
        receipt = spool.receive()
        receipt.write(b"content")
        people = tuple(Recipient(Address(f"u{number}", "x.test")) for number in range(2500))
        await receipt.commit(Envelope(None, people), ["x.test"] * 2500, received=watch.now, due=watch.now + 900)
        watch.now = NOW
        await spool.due(watch.now)
        works = await spool.lease("w", watch.now, watch.now + 300, limit=5000)
        assert sum(len(work.recipients) for work in works) == 2500
        await spool.close()

    asyncio.run(scenario())


def test_what_is_leased_is_left_to_its_holder(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        watch.now += YEAR
        spool, other = opened(tmp_path, watch), opened(tmp_path, watch)
        await spool.open(watch.now)
        await other.open(watch.now)
        await deferred(spool, watch, "x.test", 0)
        assert await leased(spool, watch) == {"x.test"}
        watch.now = NOW
        assert await leased(other, watch) == set()
        assert await leased(spool, watch) == set()
        await other.close()
        await spool.close()

    asyncio.run(scenario())


def test_without_a_horizon_mail_may_be_due_in_a_year(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        spool = SqliteSpool(tmp_path, time=watch.time, stopwatch=watch.stopwatch)
        await spool.open(watch.now)
        await deferred(spool, watch, "x.test", YEAR)
        assert await leased(spool, watch) == set()
        (row,) = await spool.queries.select(now=watch.now)
        assert row.due == NOW + YEAR
        await spool.close()

    asyncio.run(scenario())
