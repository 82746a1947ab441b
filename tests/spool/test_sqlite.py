"""What only the SQLite queue has: groups, files, permissions, formats, plans, corruption."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import (
    Address,
    AsyncContent,
    AttemptTrace,
    ConnectionTrace,
    Envelope,
    LocalError,
    Outcome,
    Recipient,
    Result,
    SettingError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
)
from posthouse.spool import (
    Accepted,
    Condition,
    Durable,
    QueueAction,
    QueuedRecipient,
    QueueEvent,
    RecipientState,
    Report,
    Settlement,
    Spool,
    SqliteSpool,
    Stored,
    StoredMessage,
)
from posthouse.spool.sqlite import actions, batch, history_store, poison
from posthouse.spool.sqlite.incoming import SqliteIncoming
from posthouse.spool.sqlite.queries import search
from posthouse.spool.sqlite.statements import SQL
from posthouse.spool.sqlite.storage.operations import Call
from posthouse.spool.sqlite.storage.schema import create
from posthouse.testing import unfinished

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))


async def opened(directory: Path, **settings) -> SqliteSpool:
    queue = SqliteSpool(directory, **settings)
    await queue.open(NOW)
    return queue


def begin(queue: Spool, content: bytes = b"content", owner: str = ""):
    """A commit under way."""
    receipt = queue.receive()
    receipt.write(content)
    return receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW, owner=owner, until=NOW + 60)


def delivered(work) -> list[Settlement]:
    return [
        Settlement(w.key, RecipientState.DELIVERED, NOW, Outcome(w.recipient, Result.DELIVERED))
        for w in work.recipients
    ]


# -- fresh messages with several destinations --------------------------------------------------------------------------


def three_ways(queue: Spool, *names: str):
    """A commit under way, leased, for one recipient in each of these domains."""
    people = tuple(Recipient(Address(f"u{n}", name)) for n, name in enumerate(names))
    receipt = queue.receive()
    receipt.write(b"content")
    return receipt.commit(Envelope(None, people), names, received=NOW, due=NOW, owner="w", until=NOW + 60)


def counted(directory: Path, table: str) -> int:
    with sqlite3.connect(directory / "spool" / "queue.sqlite3") as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def test_several_destinations_settled_together_leave_no_rows(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = await three_ways(queue, "x.test", "y.test", "x.test")
        assert counted(tmp_path, "recipient") == 0
        entry = await queue.queries.entry(stored.message.id)
        assert entry is not None
        assert [each.destination for each in entry.recipients] == ["x.test", "y.test", "x.test"]
        assert [row.destination for row in await queue.queries.select(now=NOW)] == ["x.test", "y.test", "x.test"]
        assert {row.destination: row.waiting for row in await queue.queries.summary(now=NOW)} == {
            "x.test": 2,
            "y.test": 1,
        }
        assert (await queue.open_content(stored.message)).size == 7
        trace = AttemptTrace(NOW, "mx.test", "x.test", "mx", (ConnectionTrace("192.0.2.1:25", lines=("S: EHLO w",)),))
        await asyncio.gather(*[queue.record(work, delivered(work), trace=trace) for work in stored.leases])
        assert [counted(tmp_path, table) for table in ("recipient", "message", "destination", "event")] == [0] * 4
        accepted, *attempts = await queue.queries.history(stored.message.id)
        assert isinstance(accepted, Accepted)
        reported = [(each.destination, each.trace, [end.key for end in each.ends]) for each in attempts]  # type: ignore[union-attr]
        assert reported == [("x.test", trace, [0, 2]), ("y.test", trace, [1])]
        await queue.close()

    asyncio.run(scenario())


def test_several_destinations_of_which_one_ends_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = await three_ways(queue, "x.test", "y.test", "z.test")
        first, *others = stored.leases
        await queue.record(first, delivered(first))
        assert counted(tmp_path, "recipient") == 3
        assert await queue.lease("w", NOW, NOW + 60, limit=10) == []
        assert (await queue.open_content(stored.message)).size == 7
        later = Outcome(others[0].recipients[0].recipient, Result.DEFERRED)
        await asyncio.gather(
            queue.record(others[0], [Settlement(1, RecipientState.WAITING, NOW + 30, later)]),
            queue.record(others[1], delivered(others[1])),
        )
        (again,) = await queue.lease("w", NOW + 30, NOW + 90, limit=10)
        assert (again.destination, [(each.key, each.attempts) for each in again.recipients]) == ("y.test", [(1, 1)])
        await queue.record(again, delivered(again))
        assert counted(tmp_path, "message") == 0
        assert len(await queue.queries.history(stored.message.id)) == 5
        await queue.close()

    asyncio.run(scenario())


def test_several_destinations_whose_lease_ran_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = await three_ways(queue, "x.test", "y.test", "x.test")
        works = await queue.lease("w", NOW + 61, NOW + 120, limit=10)
        assert {(each.destination, len(each.recipients)) for each in works} == {("x.test", 2), ("y.test", 1)}
        await asyncio.gather(*[queue.record(work, delivered(work)) for work in stored.leases])  # what is done is done
        assert counted(tmp_path, "message") == counted(tmp_path, "recipient") == 0
        assert len(await queue.queries.history(stored.message.id)) == 3
        await queue.close()

    asyncio.run(scenario())


def test_destinations_that_are_not_the_domains_have_rows(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        people = (Recipient(Address("a", "gr\u00fc\u00df.test")), Recipient(Address("b", "x.test")))
        receipt = queue.receive()
        receipt.write(b"content")
        names = ["xn--gr-eka.test", "x.test"]
        await receipt.commit(Envelope(None, people), names, received=NOW, due=NOW, owner="w", until=NOW + 60)
        assert counted(tmp_path, "recipient") == 2
        assert [row.destination for row in await queue.queries.select(now=NOW)] == names
        await queue.close()

    asyncio.run(scenario())


# -- groups ------------------------------------------------------------------------------------------------------------


class Slow(Durable):
    """Commits only when told to; counts."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()
        self.commits = 0

    def commit(self, connection: sqlite3.Connection, *given: Any) -> None:
        self.waiting.set()
        assert self.go.wait(30)
        super().commit(connection, *given)
        self.commits += 1


def test_all_that_waits_is_one_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        durable = Slow()
        queue = await opened(tmp_path, durable=durable)
        before = durable.commits
        await asyncio.gather(*(begin(queue) for _ in range(100)))
        assert durable.commits == before + 1
        durable.go.clear()
        durable.waiting.clear()
        first = begin(queue)
        assert await asyncio.to_thread(durable.waiting.wait, 30)
        rest = [begin(queue) for _ in range(50)]
        durable.go.set()
        await asyncio.gather(first, *rest)
        assert durable.commits == before + 3
        await queue.close()

    asyncio.run(scenario())


def test_a_small_group_after_a_crowd_waits_for_company_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    waiting, go = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waits.append(f"{seconds:g}")
        waiting.set()
        assert go.wait(30)

    async def scenario() -> None:
        durable = Slow()
        queue = await opened(tmp_path, durable=durable)
        monkeypatch.setattr(time, "sleep", sleep)
        await begin(queue)
        await begin(queue)
        assert waits == []  # a daemon with little to do commits at once
        await asyncio.gather(*(begin(queue) for _ in range(10)))
        before = durable.commits
        first = begin(queue)
        assert await asyncio.to_thread(waiting.wait, 30)
        second = begin(queue)
        queue.writer.flush()
        go.set()
        await asyncio.gather(first, second)
        assert durable.commits == before + 1
        await begin(queue)
        assert waits == ["0.001"]
        await asyncio.gather(*(begin(queue) for _ in range(10)))
        await asyncio.gather(*(begin(queue) for _ in range(10)))
        assert waits == ["0.001"]  # enough of them
        await begin(queue)
        assert waits == ["0.001", "0.001"]
        done: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(7)]
        for each in done:
            queue.writer.submit(Call(each, lambda connection: None))
        await asyncio.gather(*done)
        await begin(queue)
        assert waits == ["0.001", "0.001"]  # many operations are no crowd: one message to many domains has as many
        await queue.close()

    asyncio.run(scenario())


def test_only_the_guilty_one_of_a_group_fails(tmp_path: Path) -> None:
    def guilty(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO corrupt VALUES (1, 'x')")
        connection.execute("INSERT INTO corrupt VALUES (1, 'y')")

    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = [begin(queue) for _ in range(3)]
        bad: asyncio.Future[None] = queue.loop.create_future()
        queue.writer.submit(Call(bad, guilty))
        stored += [begin(queue) for _ in range(3)]
        groups = queue.writer.groups
        await asyncio.gather(*stored)
        with pytest.raises(StorageError) as caught:
            await bad
        assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
        assert queue.writer.groups == groups + 1
        assert await queue.queries.count() == 6
        await queue.close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            assert connection.execute("SELECT count(*) FROM corrupt").fetchone() == (0,)
        connection.close()

    asyncio.run(scenario())


def test_a_full_database_refuses_the_large_one_and_takes_the_small(tmp_path: Path) -> None:
    async def limit(queue: SqliteSpool, pages: int) -> None:
        done: asyncio.Future[object] = queue.loop.create_future()
        queue.writer.submit(Call(done, lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall()))
        await done

    async def scenario() -> None:
        queue = await opened(tmp_path)
        await limit(queue, 60)
        small, large, more = begin(queue, b"x" * 100), begin(queue, b"x" * 60_000 * 1), begin(queue, b"y" * 60_000)
        results = await asyncio.gather(small, large, more, begin(queue, b"z" * 60_000), return_exceptions=True)
        refused = [result for result in results if isinstance(result, BaseException)]
        assert refused
        assert all(type(error) is StorageFull for error in refused)
        assert small.exception() is None
        assert await queue.queries.count() == 4 - len(refused)
        await limit(queue, 1 << 30)
        await begin(queue, b"z" * 60_000)
        await queue.close()

    asyncio.run(scenario())


def test_a_waiter_that_left_disturbs_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        commits = [begin(queue, owner="w") for _ in range(5)]
        commits[2].cancel()
        large = begin(queue, b"x" * 200_000)
        large.cancel()
        await asyncio.gather(*commits, large, return_exceptions=True)
        while await queue.queries.count() < 6:  # the large one takes its time
            await asyncio.sleep(0)
        await queue.close()

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_as_busy(tmp_path: Path) -> None:
    async def scenario() -> None:
        durable = Slow()
        queue = await opened(tmp_path, waiting=10, durable=durable)
        durable.go.clear()
        commits = [begin(queue) for _ in range(10)]
        for content in (b"small", b"x" * 100_000):
            receipt = queue.receive()
            receipt.write(content)
            refused = receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
            with pytest.raises(StorageBusy):
                await refused
        durable.go.set()
        await asyncio.gather(*commits)
        await begin(queue)
        assert await queue.queries.count() == 11
        await queue.close()
        assert list((tmp_path / "spool" / "tmp").iterdir()) == []

    asyncio.run(scenario())


# -- files -------------------------------------------------------------------------------------------------------------


class Gate(Durable):
    """Writes only when told to."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def write(self, descriptor: int, data: bytes) -> None:
        assert self.go.wait(30)
        super().write(descriptor, data)


def test_a_slow_disk_slows_its_writers_and_not_small_messages(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate()
        queue = await opened(tmp_path, durable=gate)
        receipts = [queue.receive() for _ in range(6)]
        waiting = []
        for receipt in receipts:
            taken = 0
            while (wait := receipt.write(b"x" * 100_000)) is None:
                taken += 1
                assert taken <= 12, "no back-pressure"
            waiting.append(wait)
        await asyncio.gather(*(begin(queue) for _ in range(20)))  # nobody opened the gate
        assert not any(wait.done() for wait in waiting)
        gate.go.set()
        await asyncio.gather(*waiting)
        assert queue._flight.octets == 0
        for receipt in receipts:
            receipt.abort()
        await queue.close()
        assert list((tmp_path / "spool" / "tmp").iterdir()) == []

    asyncio.run(scenario())


def test_threshold_decides_between_row_and_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path, threshold=1000)
        for size, files in ((999, 0), (1000, 0), (1001, 1)):
            stored = await begin(queue, b"x" * size)
            assert len(list((tmp_path / "spool" / "content").glob("*/*"))) == files
            assert b"".join((await queue.open_content(stored.message)).chunks()) == b"x" * size
        await queue.close()

    asyncio.run(scenario())


def test_small_contents_beyond_the_buffer_go_to_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        queue.incoming.buffer = 10_000
        receipts = [queue.receive() for _ in range(5)]
        for receipt in receipts:
            waiting = receipt.write(b"x" * 4000)
            if waiting is not None:
                await waiting
        assert queue.incoming.buffered <= 10_000
        for receipt in receipts:
            stored = await receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
            assert b"".join((await queue.open_content(stored.message)).chunks()) == b"x" * 4000
        assert queue.incoming.buffered == 0
        assert len(list((tmp_path / "spool" / "content").glob("*/*"))) == 3
        await queue.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_content_that_comes_in_crumbs_takes_its_size_in_memory(tmp_path: Path, piece: int) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        content = bytes(range(256)) * 100
        incoming = queue.receive()
        for at in range(0, len(content), piece):
            incoming.write(content[at : at + piece])
        assert isinstance(incoming, SqliteIncoming)
        assert sum(sys.getsizeof(each) for each in incoming._chunks) < 1.2 * len(content)
        stored = await incoming.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
        assert b"".join((await queue.open_content(stored.message)).chunks()) == content
        await queue.close()

    asyncio.run(scenario())


def test_close_sweeps_what_still_arrives(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        receipt = queue.receive()
        await receipt.write(b"x" * 2_000_000)
        assert len(list((tmp_path / "spool" / "tmp").iterdir())) == 1
        await queue.close()
        assert list((tmp_path / "spool" / "tmp").iterdir()) == []

    asyncio.run(scenario())


def test_strays_of_the_living_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = await opened(tmp_path)
        receipt = one.receive()
        await receipt.write(b"x" * 2_000_000)
        note = tmp_path / "spool" / "tmp" / "note by the operator"
        note.write_text("hands off")
        two = await opened(tmp_path)
        await receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
        assert await two.queries.count() == 1
        assert note.exists()
        await one.close()
        await two.close()

    asyncio.run(scenario())


def test_finished_large_content_leaves(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = await begin(queue, b"x" * 100_000, owner="w")
        await queue.record(stored.leases[0], delivered(stored.leases[0]))
        await queue.close()
        assert list((tmp_path / "spool" / "content").glob("*/*")) == []

    asyncio.run(scenario())


# -- corruption --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "short"])
@pytest.mark.parametrize("running", [True, False])
def test_rows_without_content_are_kept_and_told(tmp_path: Path, damage: str, running: bool) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        stored = await begin(queue, b"x" * 100_000, owner="w" if running else "")
        (file,) = (tmp_path / "spool" / "content").glob("*/*")
        if not running:
            await queue.close()
        if damage == "gone":
            file.unlink()
        else:
            os.truncate(file, 99_999)
        if not running:
            queue = SqliteSpool(tmp_path)
            said = await queue.open(NOW)
            assert [sentence for sentence in said if "corrupt" in sentence and stored.message.id in sentence]
        with pytest.raises(StorageCorrupt):
            await queue.open_content(stored.message)
        while not (await unfinished(queue))[0].corrupt:
            await asyncio.sleep(0)
        entry = await queue.queries.entry(stored.message.id)
        assert entry is not None
        assert entry.corrupt
        assert entry.recipients[0].state is RecipientState.HELD
        assert await queue.lease("w", NOW + 9999, NOW + 99999, limit=10) == []
        assert await queue.queries.count() == 1
        await queue.close()

    asyncio.run(scenario())


# -- looking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["search", "_ask"])
def test_a_commit_between_two_statements_of_one_question_is_not_seen(tmp_path: Path, ask: str) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path)
        counting, committed = threading.Event(), threading.Event()

        def twice(connection: sqlite3.Connection) -> list[int]:
            counts = []
            for _ in range(2):
                counts += connection.execute("SELECT count(*) FROM message").fetchone()
                counting.set()
                assert committed.wait(30)
            return counts

        answer = asyncio.create_task(getattr(queue._reader, ask)(twice))
        assert await asyncio.to_thread(counting.wait, 30)
        await begin(queue)
        committed.set()
        assert await answer == [0, 0]
        assert await queue.queries.count() == 1
        await queue.close()

    asyncio.run(scenario())


def test_read_only_looks_at_a_running_and_a_stopped_spool(tmp_path: Path) -> None:
    async def look(count: int) -> None:
        reader = SqliteSpool.read_only(tmp_path)
        assert await reader.open(NOW) == []
        assert await reader.queries.count() == count
        entry, *_ = await unfinished(reader)
        assert b"".join((await reader.open_content(entry.message)).chunks()) == b"content"
        with pytest.raises(LocalError):
            reader.receive()
        with pytest.raises(LocalError):
            await reader.lease("w", NOW, NOW + 60, limit=1)
        with pytest.raises(LocalError):
            await reader.tidy()
        await reader.close()

    async def scenario() -> None:
        queue = await opened(tmp_path)
        await begin(queue, owner="w")
        await look(1)
        await begin(queue)
        await look(2)
        await queue.close()
        await look(2)

    asyncio.run(scenario())


def test_read_only_without_a_spool_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        reader = SqliteSpool.read_only(tmp_path / "nothing")
        with pytest.raises(SettingError, match="no spool"):
            await reader.open(NOW)
        assert not (tmp_path / "nothing").exists()

    asyncio.run(scenario())


def test_finished_messages_stay_as_long_as_they_shall(tmp_path: Path) -> None:
    async def scenario() -> None:
        now = NOW
        queue = SqliteSpool(tmp_path, keep_finished=100, time=lambda: now, random=random.Random(1))
        await queue.open(now)
        stored = await begin(queue, b"x" * 100_000, owner="w")
        await queue.record(stored.leases[0], delivered(stored.leases[0]))
        entry = await queue.queries.entry(stored.message.id)
        assert entry is not None
        assert entry.recipients[0].state is RecipientState.DELIVERED
        assert await unfinished(queue) == []
        assert await queue.queries.count() == 0
        now += 101
        other = await begin(queue, owner="w")
        await queue.record(other.leases[0], delivered(other.leases[0]))
        assert await queue.queries.entry(stored.message.id) is None
        assert await queue.queries.entry(other.message.id) is not None
        await queue.close()
        assert list((tmp_path / "spool" / "content").glob("*/*")) == []
        queue = SqliteSpool(tmp_path, keep_finished=100, time=lambda: now)
        await queue.open(now + 101)
        assert await queue.queries.entry(other.message.id) is None
        await queue.close()

    asyncio.run(scenario())


# -- the directory -----------------------------------------------------------------------------------------------------


def test_nobody_else_may_look(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path / "data")
        await begin(queue, b"x" * 100_000)
        for path in (tmp_path / "data" / "spool", *(tmp_path / "data" / "spool").rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path
        await queue.close()

    asyncio.run(scenario())


def test_a_directory_that_cannot_be_made_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def scenario() -> None:
        with pytest.raises(SettingError, match="data_dir") as caught:
            await opened(tmp_path / "file")
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)

    asyncio.run(scenario())


def test_what_is_no_spool_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "queue.sqlite3").write_bytes(b"this is no database, however long it is" * 100)

    async def scenario() -> None:
        with pytest.raises(SettingError, match=r"queue\.sqlite3"):
            await opened(tmp_path)

    asyncio.run(scenario())


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        await (await opened(tmp_path)).close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        for queue in (SqliteSpool(tmp_path), SqliteSpool.read_only(tmp_path)):
            with pytest.raises(SettingError, match="newer"):
                await queue.open(NOW)

    asyncio.run(scenario())


# -- plans -------------------------------------------------------------------------------------------------------------


def statements() -> list[str]:
    found: list[str] = []
    for name, value in vars(SQL).items():
        if name.isupper() and name not in ("LEASED_SLOTS", "FRESH_SLOTS"):  # asked once, at start
            found += value if isinstance(value, tuple) else [value]
    found += [statement.format(one="message = ? AND nth = ?") for statement in actions._UPDATES.values()]
    found += [poison._SET_ASIDE, poison._SPREAD]
    found += [
        history_store._SERIAL,
        history_store._TRIM,
        history_store._OLD,
        history_store._OLD_EVENTS,
        history_store._TALLY,
    ]
    return [*found, batch._LEAST, batch._EXISTS, batch._DELETE_FRESH[3]]


@pytest.mark.parametrize("statement", statements())
def test_no_statement_scans(statement: str) -> None:
    connection = sqlite3.connect(":memory:")
    create(connection)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [1] * statement.count("?"))]
    connection.close()
    assert plan
    for step in plan:
        # DISTINCT sorts what one message, or one dead process, has; keys and names are handed in as an array, and the
        # destinations of a bounded number of names are sorted; nothing else may sort or scan.
        allowed = ("SEARCH", "CORRELATED SCALAR SUBQUERY", "LIST SUBQUERY", "SCAN json_each ")
        sorts = "USE TEMP B-TREE FOR " + ("ORDER BY" if statement == SQL.DUE_OF else "DISTINCT")
        assert step.startswith(allowed) or step == sorts, plan


@pytest.mark.parametrize(
    "conditions",
    [[], [Condition("age", ">", 5)], [Condition("domain", "=", "x.*"), Condition("state", "=", "held")]],
)
def test_counts_and_the_summary_need_the_indices_only(conditions: list[Condition]) -> None:
    connection = sqlite3.connect(":memory:")
    create(connection)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    search.count(connection, conditions, NOW)
    search.summary(connection, conditions, NOW)
    search.largest(connection, conditions, NOW, 3)
    connection.set_trace_callback(None)
    plans = [
        str(row[3])
        for statement in seen
        if "recipient" in statement
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    connection.close()
    steps = [step for step in plans if "recipient" in step]
    assert len(steps) == 8
    for step in steps:
        assert "COVERING INDEX recipient_" in step, plans
    assert not [step for step in plans if "TEMP B-TREE" in step]


def test_a_small_destination_is_found_by_its_index(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    create(connection)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    search.select(connection, [Condition("domain", "=", "x.test"), Condition("reply", "~", "4")], NOW, 10, None)
    connection.set_trace_callback(None)
    plan = [str(row[3]) for s in seen if "LIKE" in s for row in connection.execute(f"EXPLAIN QUERY PLAN {s}")]
    connection.close()
    assert not [step for step in plan if step.startswith("SCAN recipient")], plan
    assert [step for step in plan if "recipient_ready (destination=?" in step], plan


def test_a_refused_commit_leaves_nothing_in_memory(tmp_path: Path) -> None:
    """Whether the writer refuses it at once, because too many wait, or the disk refuses it later."""

    class Full(Durable):
        full = False

        def commit(self, connection: sqlite3.Connection, *given: Any) -> None:
            if self.full:
                raise sqlite3.OperationalError("database or disk is full")
            super().commit(connection, *given)

    async def scenario() -> None:
        durable = Full()
        queue = await opened(tmp_path, waiting=3, durable=durable)

        def commit() -> asyncio.Future[Stored]:
            receipt = queue.receive()
            receipt.write(b"content")
            return receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW, owner="w", until=NOW + 60)

        durable.full = True
        results = await asyncio.gather(*(commit() for _ in range(5)), return_exceptions=True)
        assert [isinstance(result, StorageError) for result in results] == [True] * 5
        assert (len(queue._cache.messages), queue._cache._octets) == (0, 0)
        durable.full = False
        stored = await commit()
        assert len(queue._cache.messages) == 1
        assert b"".join((await queue.open_content(stored.message)).chunks()) == b"content"
        await queue.close()

    asyncio.run(scenario())


def test_large_content_is_read_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the reading task is cancelled meanwhile: the file is closed when the thread has done with it."""
    data = bytes(range(256)) * 1000
    readers: set[int] = set()
    begun, go_on = threading.Event(), threading.Event()
    go_on.set()
    read, close = os.read, os.close
    read_from: list[int] = []
    closed: list[int] = []

    def reading(descriptor: int, at_most: int) -> bytes:
        if threading.current_thread().name.startswith("posthouse-content"):
            read_from.append(descriptor)
            begun.set()
            assert go_on.wait(20)
        readers.add(threading.get_ident())
        return read(descriptor, at_most)

    def closing(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    async def scenario() -> None:
        queue = await opened(tmp_path)
        receipt = queue.receive()
        waiting = receipt.write(data)
        if waiting is not None:
            await waiting
        stored = await receipt.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
        assert queue.content_now(stored.message) is None
        content = await queue.open_content(stored.message)
        assert isinstance(content, AsyncContent)
        with monkeypatch.context() as patched:
            patched.setattr("posthouse.spool.sqlite.storage.layout.os.read", reading)
            assert b"".join([piece async for piece in content.stream(100_000)]) == data
            assert begun.is_set()
            assert threading.get_ident() not in readers

            begun.clear()
            go_on.clear()
            patched.setattr("posthouse.spool.sqlite.storage.layout.os.close", closing)
            stream = content.stream()
            task = asyncio.ensure_future(anext(stream))
            assert await asyncio.to_thread(begun.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert read_from[-1] not in closed
            go_on.set()
            await queue.close()
            for _ in range(3):
                await asyncio.sleep(0)
            assert closed.count(read_from[-1]) == 1

    asyncio.run(scenario())


def test_a_report_is_made_again_if_a_recipient_is_settled_meanwhile(tmp_path: Path) -> None:
    """No sender is told that mail was dropped that has been delivered, and no report is stored twice."""

    async def scenario() -> None:
        queue = await opened(tmp_path)
        receipt = queue.receive()
        receipt.write(b"content")
        people = tuple(Recipient(Address(name, "x.test")) for name in "bcd")
        who = Envelope(Address("a", "sohu.com"), people)
        stored = await receipt.commit(who, ["x.test"] * 3, received=NOW, due=NOW, owner="w", until=NOW + 60)
        (lease,) = stored.leases
        asked: list[list[int]] = []

        async def compose(message: StoredMessage, recipients: Sequence[QueuedRecipient]) -> list[Report]:
            asked.append([each.key for each in recipients])
            if len(asked) < 3:  # while it is composed, one is delivered
                waiting = lease.recipients[len(asked) - 1]
                done = Outcome(waiting.recipient, Result.DELIVERED, None, "taken")
                part = lease._replace(recipients=(waiting,))
                await queue.record(part, [Settlement(waiting.key, RecipientState.DELIVERED, NOW, done)])
            keys = " ".join(str(each.key) for each in recipients).encode()
            to = Envelope(None, (Recipient(Address("a", "sohu.com")),))
            return [Report(to, keys, ("sohu.com",), NOW)]

        assert await queue.act(QueueAction.DROP, [], now=NOW, who="root", report=compose) == 1
        assert asked == [[0, 1, 2], [1, 2], [2]]
        (report,) = await queue.queries.select()
        entry = await queue.queries.entry(report.id)
        assert entry is not None
        content = await queue.open_content(entry.message)
        assert b"".join(content.chunks()) == b"2"
        kinds = [
            event.kind for event in await queue.queries.history(stored.message.id) if isinstance(event, QueueEvent)
        ]
        assert kinds == ["dropped", "reported"]
        assert [line.changed for line in await queue.queries.audit()] == [1]
        await queue.close()

    asyncio.run(scenario())


def test_a_spool_that_cannot_be_opened_keeps_no_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other processes cannot be looked at, the fault is the storage's, and the lock is let go."""

    def broken(self: object) -> dict[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    async def scenario() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("posthouse.spool.sqlite.storage.layout.ProcessSlot.others", broken)
            with pytest.raises(StorageError, match="too many open files"):
                await SqliteSpool(tmp_path).open(NOW)
        queue = await opened(tmp_path)
        assert queue.incoming.slot == 0, "nothing else holds the first slot"
        await queue.close()

    asyncio.run(scenario())
