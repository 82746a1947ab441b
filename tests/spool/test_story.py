"""Stories: what a row holds, how long, and what the audit and the acts have beside many messages."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from posthouse.core import Address, AttemptTrace, ConnectionTrace, Envelope, Outcome, Recipient, Reply, Result
from posthouse.spool import (
    Accepted,
    AttemptEvent,
    Condition,
    Origin,
    QueueAction,
    QueueEvent,
    RecipientState,
    Settlement,
    SqliteSpool,
)
from posthouse.spool import (
    history as scenario,
)
from posthouse.spool.interface import Stored
from posthouse.spool.sqlite.liveness import HANGS

NOW = 1_700_000_000.0
DAY = 86_400.0


class Calendar:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def stopwatch(self) -> float:
        """The clock goes as the stopwatch does."""
        return self.now - NOW


async def store(queue: SqliteSpool, address: str = "b@x.test", owner: str = "w") -> Stored:
    receipt = queue.receive()
    receipt.write(b"content")
    people = (Recipient(Address(*address.split("@"))),)
    now = queue._time()
    return await receipt.commit(
        Envelope(None, people), [address.split("@")[1]], received=now, due=now, owner=owner, until=now + 60
    )


async def deliver(queue: SqliteSpool, stored: Stored, state: RecipientState = RecipientState.DELIVERED) -> None:
    (work,) = stored.leases
    outcome = Outcome(work.recipients[0].recipient, Result.DELIVERED, Reply(250, "2.0.0", "ok"))
    await queue.record(work, [Settlement(0, state, NOW, outcome)])


def rows(directory: Path, table: str) -> int:
    with sqlite3.connect(directory / "spool" / "queue.sqlite3") as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def test_one_delivered_at_once_is_one_row(tmp_path: Path) -> None:
    async def life() -> None:
        queue = SqliteSpool(tmp_path, time=Calendar())
        await queue.open(NOW)
        one, two = await store(queue), await store(queue)
        assert rows(tmp_path, "story") == 0
        await asyncio.gather(deliver(queue, one), deliver(queue, two))
        assert (rows(tmp_path, "story"), rows(tmp_path, "event"), rows(tmp_path, "message")) == (2, 0, 0)
        assert [type(event) for event in await queue.queries.history(one.message.id)] == [Accepted, AttemptEvent]
        await queue.close()

    asyncio.run(life())


def test_one_that_was_expanded_and_erased_in_its_group_is_told(tmp_path: Path) -> None:
    """Records of one group are settled at one blow; one of them was not fresh any more, one was gone."""

    async def life() -> None:
        queue = SqliteSpool(tmp_path, time=Calendar())
        await queue.open(NOW)
        stored = [await store(queue) for _ in range(4)]
        calendar = Calendar()
        other = SqliteSpool(tmp_path, time=calendar, stopwatch=calendar)
        await other.open(NOW)
        assert await other.lease("v", NOW + 60, NOW + 99, limit=9) == []
        await queue.renew(stored[1].leases, NOW + HANGS + 500).done
        calendar.now += HANGS  # the others are as those of a process that hangs
        works = {work.message.id: work for work in await other.lease("v", NOW + 60, NOW + 99, limit=9)}
        work = works[stored[2].message.id]
        outcome = Outcome(work.recipients[0].recipient, Result.FAILED)
        await other.record(work, [Settlement(0, RecipientState.FAILED, NOW, outcome)])
        await asyncio.gather(*(deliver(queue, one) for one in stored))
        for one in stored:
            reported = await queue.queries.history(one.message.id)
            ends = [event.ends[0].state for event in reported if isinstance(event, AttemptEvent)]
            assert ends == (["failed"] if one is stored[2] else ["delivered"])
        assert await queue.queries.count() == 0
        await other.close()
        await queue.close()

    asyncio.run(life())


def test_stories_are_forgotten_by_age_and_never_while_it_waits(tmp_path: Path) -> None:
    async def life() -> None:
        calendar = Calendar()
        queue = SqliteSpool(tmp_path, time=calendar, stopwatch=calendar.stopwatch, history=2 * DAY)
        await queue.open(NOW)
        gone, waits = await store(queue), await store(queue)
        await deliver(queue, gone)
        await deliver(queue, waits, RecipientState.WAITING)
        await queue.tidy()
        assert len(await queue.queries.history(gone.message.id)) == 2
        calendar.now += 2 * DAY + 1
        young = await store(queue)
        await deliver(queue, young)
        await queue.tidy()
        assert await queue.queries.history(gone.message.id) == []
        assert [reported.id for reported in await queue.queries.find(address="b@x.test")] == [
            young.message.id,
            waits.message.id,
        ]
        assert len(await queue.queries.history(waits.message.id)) == 2
        await queue.act(QueueAction.DROP, [], now=calendar.now)
        await queue.tidy()
        assert await queue.queries.history(waits.message.id) == []
        assert rows(tmp_path, "event") == 0
        await queue.close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            (tally,) = connection.execute("SELECT rows FROM tally").fetchone()
        connection.close()
        assert tally == rows(tmp_path, "story") == 1

    asyncio.run(life())


@pytest.mark.parametrize("bound", [{"history_rows": 100}, {"history_octets": 15_000}])
def test_stories_are_bounded_while_mail_comes(tmp_path: Path, bound: dict[str, int]) -> None:
    """Without an idle moment: what is removed goes with what is added."""

    async def life() -> None:
        queue = SqliteSpool(tmp_path, **bound)
        await queue.open(NOW)
        waits = await store(queue)
        await deliver(queue, waits, RecipientState.WAITING)
        for _ in range(12):
            stored = await asyncio.gather(*(store(queue) for _ in range(200)))
            await asyncio.gather(*(deliver(queue, one) for one in stored))
        assert 0 < rows(tmp_path, "story") < 900
        last = stored[-1]
        await queue.tidy()
        assert 0 < rows(tmp_path, "story") <= 200
        assert await queue.queries.history(last.message.id), "the youngest went before the oldest"
        assert await queue.queries.history(waits.message.id)
        await queue.close()

    asyncio.run(life())


def test_a_clock_that_is_ahead_at_the_start_takes_no_history(tmp_path: Path) -> None:
    """Not within the hour in which a time server sets it right; an hour later it is believed."""

    async def life() -> None:
        calendar = Calendar()
        queue = SqliteSpool(tmp_path, time=calendar, stopwatch=calendar.stopwatch, history=DAY)
        await queue.open(NOW)
        stored = await store(queue)
        await deliver(queue, stored)
        await queue.close()
        year = Calendar()
        year.now += 365 * DAY
        queue = SqliteSpool(tmp_path, time=year, stopwatch=year.stopwatch, history=DAY)
        await queue.open(year.now)
        await deliver(queue, await store(queue))
        year.now += 3_599
        await queue.tidy()
        assert await queue.queries.history(stored.message.id)
        year.now += 2
        await queue.tidy()
        assert await queue.queries.history(stored.message.id) == []
        await queue.close()

    asyncio.run(life())


def test_the_writer_tidies_when_it_is_idle(tmp_path: Path) -> None:
    async def life() -> None:
        calendar = Calendar()
        queue = SqliteSpool(tmp_path, time=calendar, stopwatch=calendar.stopwatch, history=DAY)
        await queue.open(NOW)
        stored = await store(queue)
        await deliver(queue, stored)
        calendar.now += 2 * DAY
        async with asyncio.timeout(30):
            while await queue.queries.history(stored.message.id):
                await asyncio.sleep(0.05)
        await queue.close()

    asyncio.run(life())


def test_without_history_nothing_is_told(tmp_path: Path) -> None:
    async def life() -> None:
        queue = SqliteSpool(tmp_path, history=0)
        await queue.open(NOW)
        one = await store(queue)
        await deliver(queue, one, RecipientState.WAITING)
        two = await store(queue, owner="")
        assert await queue.act(QueueAction.HOLD, [], now=NOW) == 2
        assert rows(tmp_path, "story") == rows(tmp_path, "event") == 0
        assert [type(event) for event in await queue.queries.history(one.message.id)] == [Accepted]
        assert await queue.queries.find(address="b@x.test") == []
        assert (await queue.queries.entry(two.message.id)) is not None
        await queue.close()

    asyncio.run(life())


def test_a_new_id_exceeds_those_in_stories(tmp_path: Path) -> None:
    """A story must never be continued by another message, even where the clock went back."""

    async def life() -> None:
        calendar = Calendar()
        queue = SqliteSpool(tmp_path, time=calendar)
        await queue.open(NOW)
        one = await store(queue)
        await deliver(queue, one)
        await queue.close()
        calendar.now -= DAY
        queue = SqliteSpool(tmp_path, time=calendar)
        await queue.open(NOW)
        assert queue.receive().id > one.message.id
        await queue.close()

    asyncio.run(life())


def test_an_act_on_many_is_one_line_of_the_audit_log(tmp_path: Path) -> None:
    async def life() -> None:
        queue = SqliteSpool(tmp_path, time=Calendar())
        await queue.open(NOW)
        await asyncio.gather(*(store(queue, f"u{n}@d{n % 7}.test", "w" if n % 3 else "") for n in range(1300)))
        some = [Condition("domain", "=", "d*.test"), Condition("to", "!=", "u7@*")]
        commits = queue.writer.groups
        assert await queue.act(QueueAction.HOLD, some, now=NOW, who="root") == 1299
        assert queue.writer.groups - commits >= 3
        (line,) = await queue.queries.audit()
        assert (line.act, line.changed, line.filter) == ("hold", 1299, "domain:d*.test to!=u7@*")
        assert await queue.queries.count([Condition("state", "=", "held")]) == 1299
        assert sum(row.held for row in await queue.queries.summary(now=NOW)) == 1299
        assert await queue.act(QueueAction.DROP, [], now=NOW, who="root") == 1300
        assert await queue.queries.count() == rows(tmp_path, "message") == rows(tmp_path, "destination") == 0
        await queue.close()

    asyncio.run(life())


# -- octets ------------------------------------------------------------------------------------------------------------


def test_events_survive_their_octets() -> None:
    lines = ('S: é "x" \\', "R: 250 ok")
    contact = ConnectionTrace("[2001:db8::1]:25", "mx", "TLSv1.3", (("connect", 0.5),), lines, "reset", 3)
    trace = AttemptTrace(NOW, "site", "target", "rule", (contact, ConnectionTrace()))
    end = (
        2,
        RecipientState.WAITING,
        NOW + 5,
        Result.AMBIGUOUS,
        Reply(451, "4.3.0", "a\nb"),
        "why not",
        "peer",
        "doubled",
    )
    plain = (3, RecipientState.FAILED, NOW, Result.FAILED, None, "", "", "")
    packed = [
        scenario.packed_accepted(NOW, "mx 192.0.2.1:4", 9, Origin("<i@d>", "h", "t", "u", "a")),
        scenario.packed_attempt(NOW + 1, "x.test", trace, [end, plain]),
        scenario.packed_attempt(NOW + 1, "x.test", None, []),
        scenario.packed_note(QueueEvent(NOW, "held", (1, 2), "root", "text")),
    ]
    octets = scenario.encode(packed)
    text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode(packed)
    assert octets == text.encode(), "with msgspec and without, the same"
    first, attempt, empty, note = scenario.decode_events(octets, "a@b", ["c@d"], "<i@d>")
    assert first == Accepted(NOW, "mx 192.0.2.1:4", "a@b", ("c@d",), 9, Origin("<i@d>", "h", "t", "u", "a"))
    assert isinstance(attempt, AttemptEvent)
    assert attempt.trace == trace
    assert [tuple(each) for each in attempt.ends] == [end, plain]
    assert empty == AttemptEvent(NOW + 1, "x.test", AttemptTrace(), ())
    assert note == QueueEvent(NOW, "held", (1, 2), "root", "text")


def test_a_long_dialogue_is_cut_in_its_middle() -> None:
    lines = (*(f"S: line {n}" for n in range(5000)), "R: " + "x" * 5000)
    packed = scenario.packed_attempt(NOW, "x.test", AttemptTrace(connections=(ConnectionTrace(lines=lines),)), [])
    (attempt,) = scenario.decode_events(scenario.encode([packed]))
    assert isinstance(attempt, AttemptEvent)
    kept = attempt.trace.connections[0].lines
    assert len(kept) <= 201
    assert (kept[0], kept[-2]) == ("S: line 0", "S: line 4999")
    assert max(map(len, kept)) <= 1001
