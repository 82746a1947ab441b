"""Workers that die over a message: counted, kept apart, set aside, told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from posthouse.core import Address, Envelope, Outcome, Recipient, Result
from posthouse.spool import Condition, Lease, QueueAction, QueueEvent, RecipientState, Settlement, SqliteSpool
from posthouse.spool.interface import SpoolEventKind, Stored

NOW = 1_700_000_000.0


async def opened(directory: Path, now: float = NOW) -> tuple[SqliteSpool, Sequence[str]]:
    queue = SqliteSpool(directory, time=lambda: now)
    return queue, await queue.open(now)


async def die(queue: SqliteSpool) -> None:
    """What is left is as after a crash: nobody gave the leases back."""
    await queue.close()


async def store(queue: SqliteSpool, *addresses: str, owner: str = "") -> Stored:
    receipt = queue.receive()
    receipt.write(b"content")
    people = tuple(Recipient(Address(*address.split("@"))) for address in addresses)
    places = [address.split("@")[1] for address in addresses]
    return await receipt.commit(Envelope(None, people), places, received=NOW, due=NOW, owner=owner, until=NOW + 60)


def again(work: Lease, due: float) -> list[Settlement]:
    return [
        Settlement(w.key, RecipientState.WAITING, due, Outcome(w.recipient, Result.DEFERRED, None, "later"))
        for w in work.recipients
    ]


async def kinds(queue: SqliteSpool, queue_id: str) -> list[str]:
    return [event.kind for event in await queue.queries.history(queue_id) if isinstance(event, QueueEvent)]


def test_the_third_death_in_a_row_sets_it_aside(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue, _ = await opened(tmp_path)
        stored = await store(queue, "b@x.test", "c@x.test", owner="w")  # fresh
        await die(queue)
        queue, said = await opened(tmp_path, NOW + 1)
        assert any("leases" in sentence for sentence in said)
        assert not any("poison" in sentence for sentence in said)
        assert len(await queue.lease("w", NOW + 1, NOW + 60, limit=9)) == 1  # the first costs it nothing
        await die(queue)
        queue, said = await opened(tmp_path, NOW + 2)
        assert await queue.lease("w", NOW + 2, NOW + 60, limit=9) == []  # the second keeps it apart
        assert len(await queue.lease("w", NOW + 3, NOW + 60, limit=9)) == 1
        await die(queue)
        queue, said = await opened(tmp_path, NOW + 4)
        assert [sentence for sentence in said if stored.message.id in sentence and "poison" in sentence]
        assert await queue.lease("w", NOW + 9999, NOW + 99999, limit=9) == []
        rows = await queue.queries.select([Condition("state", "=", "held"), Condition("reply", "~", "poison")])
        assert [(row.id, row.key) for row in rows] == [(stored.message.id, 0), (stored.message.id, 1)]
        assert await kinds(queue, stored.message.id) == ["suspected", "suspected", "poison"]
        # An operator who releases it gives it three lives again.
        assert await queue.act(QueueAction.RELEASE, [], now=NOW + 5) == 2
        assert len(await queue.lease("w", NOW + 5, NOW + 60, limit=9)) == 1
        await die(queue)
        queue, said = await opened(tmp_path, NOW + 6)
        assert not any("poison" in sentence for sentence in said)
        await queue.close()

    asyncio.run(scenario())


def test_a_recorded_attempt_forgets_deaths(tmp_path: Path) -> None:
    async def scenario() -> None:
        for n in range(6):
            queue, said = await opened(tmp_path, NOW + 10 * n)
            assert not any("poison" in sentence for sentence in said)
            if n == 0:
                await store(queue, "b@x.test")
            now = NOW + 10 * n + 2
            (work,) = await queue.lease("w", now, now + 5, limit=9)
            if n % 2:
                await queue.record(work, again(work, now))
                assert len(await queue.lease("w", now, now + 5, limit=9)) == 1
            await die(queue)
        queue, _ = await opened(tmp_path, NOW + 100)
        assert await queue.queries.count([Condition("state", "=", "held")]) == 0
        await queue.close()

    asyncio.run(scenario())


def test_leases_given_back_are_no_death(tmp_path: Path) -> None:
    async def scenario() -> None:
        for _ in range(5):
            queue, said = await opened(tmp_path)
            assert said == []
            if await queue.queries.count() == 0:
                await store(queue, "b@x.test")
            (work,) = await queue.lease("w", NOW, NOW + 5, limit=9)
            await queue.release(work)
            await queue.close()

    asyncio.run(scenario())


def test_a_lease_that_only_ran_out_is_no_death(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, _ = await opened(tmp_path)
        two, _ = await opened(tmp_path)
        heard = [one.events(), two.events()]
        stored = await store(one, "b@x.test", owner="w")
        for n in range(1, 8):
            assert await two.lease("w", NOW + 60 * n, NOW + 60 * (n + 1), limit=9) == []
            (work,) = await one.lease("w", NOW + 60 * n, NOW + 60 * (n + 1), limit=9)
            assert work.message.id == stored.message.id
        await one.close()
        await two.close()
        assert [[event async for event in events] for events in heard] == [[], []]

    asyncio.run(scenario())


def test_the_living_notice_the_dead(tmp_path: Path) -> None:
    """Another process, which was open all the time, ends a dead one's leases when the first of them runs out."""

    async def scenario() -> None:
        watcher, _ = await opened(tmp_path)
        events = watcher.events()
        ids = set()
        for n in range(3):
            victim, _ = await opened(tmp_path)
            if n == 0:
                stored = [await store(victim, "b@x.test", owner="w"), await store(victim, "c@y.test")]
                ids = {one.message.id for one in stored}
                await victim.lease("w", NOW, NOW + 9999, limit=9)  # the second one, for long
            else:
                now = NOW + 1000 * n
                assert {work.message.id for work in await victim.lease("w", now, now + 60, limit=9)} == ids
            await die(victim)
            found = await watcher.lease("v", NOW + 1000 * n + 60, NOW + 1000 * n + 90, limit=9)
            if n == 0:
                assert {work.message.id for work in found} == ids
            else:
                assert found == []
            for work in found:
                await watcher.release(work)
            ended = await anext(events)
            assert ended.kind is SpoolEventKind.LEASES_ENDED
            assert "2 leases of a stopped process" in ended.text
        assert await watcher.queries.count([Condition("state", "=", "held")]) == 2
        await watcher.close()
        assert [event.kind async for event in events] == [SpoolEventKind.POISON] * 2

    asyncio.run(scenario())


def test_suspects_are_kept_apart_from_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue, _ = await opened(tmp_path)
        for n in range(5):
            await store(queue, f"b@d{n}.test")
        for n in range(2):
            assert len(await queue.lease("w", NOW + n, NOW + 60, limit=9)) == 5
            await die(queue)
            queue, _ = await opened(tmp_path, NOW + n)
        for n in range(1, 6):
            assert len(await queue.lease("w", NOW + 1 + n, NOW + 60, limit=9)) == 1
        await queue.close()

    asyncio.run(scenario())


def test_a_look_for_old_mail_dates_a_death_by_the_clock(tmp_path: Path) -> None:
    """The lease that finds a dead process may ask for old mail only; its suspects are due from now on, one by one."""

    async def scenario() -> None:
        watcher = SqliteSpool(tmp_path, time=lambda: NOW, stopwatch=count(0, 100).__next__)  # looks at each lease
        await watcher.open(NOW)
        ids = [(await store(watcher, f"b@d{n}.test")).message.id for n in range(3)]
        for n in (1, 2):
            now = NOW + 10_000 * n
            victim, _ = await opened(tmp_path, now)
            assert len(await victim.lease("w", now, now + 60, limit=9)) == 3
            await die(victim)
            assert await watcher.lease("w", now + 61, now + 90, limit=9, due_before=NOW - 1) == []
        found = now + 61
        reported = [(await watcher.queries.history(each))[-1] for each in ids]
        assert [event.at for event in reported] == [found] * 3
        rows = await watcher.queries.select(now=found)
        assert sorted(row.due for row in rows) == [found + 1, found + 2, found + 3]
        await watcher.close()

    asyncio.run(scenario())
