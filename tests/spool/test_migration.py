"""A spool of format 1 is brought up to date in place, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Outcome, Recipient, Result, SettingError
from posthouse.spool import (
    Accepted,
    AttemptEvent,
    Condition,
    Durable,
    QueueEvent,
    RecipientState,
    Settlement,
    SqliteSpool,
)
from posthouse.spool.ids import number_of, text_of
from posthouse.spool.sqlite.rows import encode_envelope
from posthouse.spool.sqlite.storage.schema import VERSION, create

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
FORMAT_1 = (
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        until REAL, slot INTEGER, owner TEXT, due REAL, destination TEXT,
        received REAL NOT NULL, size INTEGER NOT NULL, source TEXT NOT NULL, recipients INTEGER NOT NULL,
        head TEXT NOT NULL, content BLOB)""",
    "CREATE INDEX message_fresh ON message (until) WHERE until IS NOT NULL",
    """CREATE TABLE recipient (
        message INTEGER NOT NULL, nth INTEGER NOT NULL, destination TEXT NOT NULL, state INTEGER NOT NULL,
        attempts INTEGER NOT NULL, due REAL NOT NULL, ready REAL NOT NULL, slot INTEGER, owner TEXT NOT NULL,
        last TEXT NOT NULL, PRIMARY KEY (message, nth)) WITHOUT ROWID""",
    "CREATE INDEX recipient_ready ON recipient (destination, ready) WHERE state = 0",
    "CREATE INDEX recipient_slot ON recipient (slot) WHERE slot IS NOT NULL",
    "CREATE TABLE destination (name TEXT PRIMARY KEY, ready REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX destination_ready ON destination (ready)",
    "CREATE TABLE file (id INTEGER PRIMARY KEY, size INTEGER NOT NULL)",
    "CREATE TABLE corrupt (message INTEGER PRIMARY KEY, reason TEXT NOT NULL)",
    "CREATE TABLE finished (message INTEGER PRIMARY KEY, at REAL NOT NULL)",
    "CREATE INDEX finished_at ON finished (at)",
    """CREATE TABLE inbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, message TEXT NOT NULL, sender TEXT NOT NULL,
        received REAL NOT NULL, size INTEGER NOT NULL, file INTEGER, content BLOB)""",
    "CREATE UNIQUE INDEX inbox_once ON inbox (message, name)",
    "CREATE INDEX inbox_name ON inbox (name)",
    "PRAGMA user_version = 1",
)
FIRST = int((NOW - 100) * 1000) << 21


def head(*addresses: str) -> str:
    people = tuple(Recipient(Address(*address.split("@"))) for address in addresses)
    return encode_envelope(Envelope(Address("a", "sohu.com"), people))


def make(directory: Path) -> None:
    """One fresh under a dead lease, one deferred and held, and more than a batch that wait."""
    spool = directory / "spool"
    spool.mkdir()
    connection = sqlite3.connect(spool / "queue.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    for statement in FORMAT_1:
        connection.execute(statement)
    message = f"INSERT INTO message VALUES ({','.join('?' * 12)})"
    recipient = f"INSERT INTO recipient VALUES ({','.join('?' * 10)})"
    rest = (NOW - 90, 5, "mx 192.0.2.1:4")
    connection.execute(message, (FIRST, NOW, 7, "w", NOW - 90, "x.test", *rest, 1, head("b@x.test"), b"fresh"))
    two = (FIRST + 1, *[None] * 5, *rest, 2, head("c@x.test", "d@y.test"), b"twice")
    connection.execute(message, two)
    connection.execute(recipient, (FIRST + 1, 0, "x.test", 0, 3, NOW + 50, NOW + 50, None, "", "450 4.2.0 later"))
    connection.execute(recipient, (FIRST + 1, 1, "y.test", 1, 1, NOW - 50, NOW - 50, None, "", "550 5.1.1 no"))
    for n in range(2, 2500):
        connection.execute(message, (FIRST + n, *[None] * 5, *rest, 1, head(f"u{n}@z.test"), b"waits"))
        connection.execute(recipient, (FIRST + n, 0, "z.test", 0, 0, NOW, NOW, None, "", ""))
    connection.execute("INSERT INTO destination VALUES ('x.test', ?), ('z.test', ?)", (NOW + 50, NOW))
    connection.execute("INSERT INTO inbox VALUES (5, 'me@x.test', 'id', 'a@b', 1.0, 3, NULL, x'616263')")
    connection.execute("COMMIT")
    connection.close()


def shape(path: Path | str) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert version == VERSION
    found = []
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master ORDER BY name"):
        columns = connection.execute(f"PRAGMA {'table_xinfo' if kind == 'table' else 'index_xinfo'}({name})").fetchall()
        found.append((name, str(columns)))
    connection.close()
    return found


def test_nothing_is_lost(tmp_path: Path) -> None:
    make(tmp_path)

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path, time=lambda: NOW)
        said = await queue.open(NOW)
        assert any("1 lease" in sentence for sentence in said)
        assert await queue.queries.count() == 2501
        assert await queue.queries.count([Condition("from", "=", "a@sohu.com"), Condition("size", "=", 5)]) == 2501
        entry = await queue.queries.entry(text_of(FIRST + 1))
        assert entry is not None
        assert [(w.state, w.attempts, w.due, w.last) for w in entry.recipients] == [
            (RecipientState.WAITING, 3, NOW + 50, "450 4.2.0 later"),
            (RecipientState.HELD, 1, NOW - 50, "550 5.1.1 no"),
        ]
        assert b"".join((await queue.open_content(entry.message)).chunks()) == b"twice"
        first, *notes = await queue.queries.history(entry.message.id)
        assert first == Accepted(NOW - 90, "mx 192.0.2.1:4", "a@sohu.com", ("c@x.test", "d@y.test"), 5)
        assert [(n.kind, n.keys, n.text) for n in notes if isinstance(n, QueueEvent)] == [
            ("attempted", (0,), "450 4.2.0 later"),
            ("attempted", (1,), "550 5.1.1 no"),
        ]
        assert [inbox.name for inbox in await queue.queries.inboxes()] == ["me@x.test"]
        works = await queue.lease("w", NOW + 60, NOW + 99, limit=10_000)
        assert sum(len(work.recipients) for work in works) == 2500
        for work in works:
            ends = [Outcome(waiting.recipient, Result.DELIVERED) for waiting in work.recipients]
            keys = [waiting.key for waiting in work.recipients]
            await queue.record(
                work, [Settlement(key, RecipientState.DELIVERED, NOW, end) for key, end in zip(keys, ends, strict=True)]
            )
        assert [row.id for row in await queue.queries.select()] == [text_of(FIRST + 1)]
        await queue.close()

    asyncio.run(scenario())


def test_it_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    make(tmp_path)

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path)
        await queue.open(NOW)
        await queue.close()

    asyncio.run(scenario())
    with sqlite3.connect(tmp_path / "new") as connection:
        create(connection)
    connection.close()
    assert shape(tmp_path / "spool" / "queue.sqlite3") == shape(tmp_path / "new")


def test_format_2_is_read_as_it_is(tmp_path: Path) -> None:
    people = (Recipient(Address("b", "x.test")), Recipient(Address("c", "x.test")))
    end = ["waiting", NOW, "deferred", [450, "4.2.0", "later"], "busy", "192.0.2.1:25", "a while"]
    attempt = [1, NOW, "x.test", [], [[0, *end], [1, *end]]]

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path, time=lambda: NOW)
        await queue.open(NOW)
        receipt = queue.receive()
        receipt.write(b"content")
        stored = await receipt.commit(Envelope(None, people), ["x.test"] * 2, received=NOW, due=NOW)
        await queue.close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            values = (number_of(stored.message.id), json.dumps([attempt]).encode())
            connection.execute("INSERT INTO event VALUES (?, 0, ?)", values)
            connection.execute("ALTER TABLE file DROP COLUMN prefix")
            connection.execute("ALTER TABLE recipient DROP COLUMN token")
            connection.execute("DROP TABLE meta")
            connection.execute("PRAGMA user_version = 2")
        connection.close()
        queue = SqliteSpool(tmp_path, time=lambda: NOW)
        await queue.open(NOW)
        assert await queue.queries.count() == 2
        _, reported = await queue.queries.history(stored.message.id)
        assert isinstance(reported, AttemptEvent)
        assert [(each.key, each.due, str(each.reply)) for each in reported.ends] == [
            (key, NOW, "450 4.2.0 later") for key in (0, 1)
        ]
        await queue.close()

    asyncio.run(scenario())
    shape(tmp_path / "spool" / "queue.sqlite3")  # is of this version


def test_a_fault_leaves_the_old_one(tmp_path: Path) -> None:
    make(tmp_path)

    class Full(Durable):
        def commit(self, connection: sqlite3.Connection, *given: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    async def scenario() -> None:
        with pytest.raises(SettingError, match="full"):
            await SqliteSpool(tmp_path, durable=Full()).open(NOW)
        queue = SqliteSpool(tmp_path)
        await queue.open(NOW)
        assert await queue.queries.count() == 2501
        await queue.close()

    asyncio.run(scenario())


def test_an_old_one_is_not_read_as_it_is(tmp_path: Path) -> None:
    make(tmp_path)

    async def scenario() -> None:
        with pytest.raises(SettingError, match="older"):
            await SqliteSpool.read_only(tmp_path).open(NOW)

    before = os.stat(tmp_path / "spool" / "queue.sqlite3").st_size
    asyncio.run(scenario())
    assert os.stat(tmp_path / "spool" / "queue.sqlite3").st_size == before
