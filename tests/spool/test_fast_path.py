"""A group as one statement is what the same group is statement by statement, and nothing if one of it cannot be."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Outcome, Recipient, Reply, Result, StorageError
from posthouse.spool import Lease, RecipientState, Settlement, SqliteSpool, Stored
from posthouse.spool.sqlite.fast_path import make_operation
from posthouse.spool.sqlite.storage.operations import Op
from posthouse.spool.sqlite.storage.schema import create

NOW = 1_700_000_000.0


def ended(work: Lease, state: RecipientState, result: Result) -> list[Settlement]:
    reply = Reply(250 if result is Result.DELIVERED else 550, "", "so it is")
    return [Settlement(w.key, state, NOW + 5, Outcome(w.recipient, result, reply, "x")) for w in work.recipients]


async def live(queue: SqliteSpool, chance: random.Random) -> None:
    """Letters come and go, several in a turn; some are for two, some are put off, some have nobody who holds them."""
    works: list[Lease] = []
    for turn in range(40):
        under_way: list[Any] = []
        come: list[Any] = []
        for n in range(chance.randrange(4)):
            receipt = queue.receive()
            receipt.write(b"Subject: %d\r\n\r\n" % n * chance.choice([1, 1, 400]))
            places = ["x.test"] * chance.choice([1, 1, 1, 1, 1, 2])
            people = tuple(Recipient(Address(f"p{k}", place)) for k, place in enumerate(places))
            sender = chance.choice([None, Address("a", "b.test")])
            owner = chance.choice(["w", "w", "w", ""])
            come.append(
                receipt.commit(
                    Envelope(sender, people), places, received=NOW + turn, due=NOW, owner=owner, until=NOW + 99
                )
            )
        for work in works:
            if chance.random() < 0.7:
                done = ended(work, RecipientState.DELIVERED, Result.DELIVERED)
            else:
                done = ended(work, RecipientState.WAITING, Result.DEFERRED)
            under_way.append(queue.record(work, done))
        stored = await asyncio.gather(*come)
        await asyncio.gather(*under_way)
        works = [work for each in stored for work in each.leases]


def all_of(directory: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(directory / "spool" / "queue.sqlite3") as connection:
        tables = ("message", "recipient", "destination", "file", "finished", "story", "event")
        found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in tables}
    connection.close()
    return found


@pytest.mark.parametrize("seed", range(8))
def test_both_ways_leave_the_same_rows(tmp_path: Path, seed: int) -> None:
    groups: list[bool] = []

    async def scenario(directory: Path, at_once: bool) -> None:
        queue = SqliteSpool(directory, threshold=2000, random=random.Random(seed), time=lambda: NOW)
        await queue.open(NOW)
        way = queue.writer._at_once
        assert way is not None

        def noted(ops: list[Op]) -> Any:
            found = way(ops)
            groups.append(found is not None)
            return found

        queue.writer._at_once = noted if at_once else None
        await live(queue, random.Random(seed))
        await queue.close()

    asyncio.run(scenario(tmp_path / "one", True))
    asyncio.run(scenario(tmp_path / "many", False))
    assert all_of(tmp_path / "one") == all_of(tmp_path / "many")
    assert {True, False} <= set(groups)  # both ways were gone


@pytest.mark.parametrize("tells", [True, False])
def test_one_that_is_not_fresh_any_more_changes_nothing(tells: bool) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create(connection)
    make_operation(connection, tells)
    comes = (0, 1, NOW + 60, 0, "w", NOW, "x.test", NOW, 7, "", 1, "[]", b"content", None)
    goes = (1, 1, "a@b", "c@d", "<1@b>", b"[]", *(None,) * 8)
    strange = (1, 2, *goes[2:])
    row = f"({','.join('?' * 14)})"
    with pytest.raises(sqlite3.IntegrityError, match="no longer fresh"):
        connection.execute(f"INSERT INTO operation VALUES {row},{row}", (*comes, *strange))
    assert connection.execute("SELECT count(*) FROM message").fetchone() == (0,)
    connection.execute(f"INSERT INTO operation VALUES {row}", comes)
    assert connection.execute("SELECT id, until, told FROM message").fetchall() == [(1, NOW + 60, None)]
    connection.execute(f"INSERT INTO operation VALUES {row}", goes)
    assert connection.execute("SELECT count(*) FROM message").fetchone() == (0,)
    reported = connection.execute("SELECT * FROM story").fetchall()
    assert reported == ([(1, "a@b", "c@d", "<1@b>", b"[]")] if tells else [])
    connection.close()


def test_a_group_that_is_run_again_is_counted_once(tmp_path: Path) -> None:
    """One statement finds a message that is not fresh any more, a function fails: what is told counts once."""

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path, time=lambda: NOW)
        await queue.open(NOW)

        async def stored(owner: str = "w") -> Stored:
            receipt = queue.receive()
            receipt.write(b"content")
            who = Envelope(None, (Recipient(Address("b", "x.test")),))
            return await receipt.commit(who, ["x.test"], received=NOW, due=NOW, owner=owner, until=NOW + 9)

        first, second, third = await stored(), await stored(), await stored()
        await queue.lease("v", NOW + 9, NOW + 60, limit=1)  # expands all of them
        fourth = await stored()
        done = [
            queue.record(each.leases[0], ended(each.leases[0], RecipientState.DELIVERED, Result.DELIVERED))
            for each in (first, fourth)
        ]
        await asyncio.gather(*done)

        def broken(connection: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("no such thing")

        done = [
            queue._call(broken),
            *(
                queue.record(each.leases[0], ended(each.leases[0], RecipientState.DELIVERED, Result.DELIVERED))
                for each in (second, third)
            ),
        ]
        results = await asyncio.gather(*done, return_exceptions=True)
        assert [isinstance(result, StorageError) for result in results] == [True, False, False]
        await queue._call(queue._history_writer.flush)
        await queue.close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            (rows,) = connection.execute("SELECT rows FROM tally WHERE what = 'story'").fetchone()
            (scenarios,) = connection.execute("SELECT count(*) FROM story").fetchone()
            (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
        connection.close()
        assert rows == scenarios + events

    asyncio.run(scenario())
