"""A spool of a catcher is not opened by a relay, nor the other way; older spools (format 4) are adopted safely."""

from __future__ import annotations

import asyncio
import sqlite3
import tarfile
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.spool import Condition, QueueAction, QueueEvent, RecipientState, SqliteSpool
from posthouse.spool.sqlite.ownership import CATCHER, RELAY
from posthouse.spool.sqlite.storage.schema import VERSION

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
NOW = 1_700_000_000.0
OLD = Path(__file__).with_name("data") / "format-4.tar.xz"
UNTRIED = {"due@x.test", "big@x.test", "fresh@y.test", "large@v.test"}


def unpack(directory: Path) -> None:
    with tarfile.open(OLD) as archive:
        archive.extractall(directory, filter="data")


def spool(directory: Path, kind: str) -> SqliteSpool:
    return SqliteSpool(directory, kind=kind, time=lambda: NOW)


def kind_in(directory: Path) -> str:
    connection = sqlite3.connect(directory / "spool" / "queue.sqlite3")
    found = connection.execute("SELECT value FROM meta WHERE name = 'kind'").fetchone()
    connection.close()
    return "" if found is None else str(found[0])


async def use(directory: Path, kind: str) -> list[str]:
    queue = spool(directory, kind)
    said = await queue.open(NOW)
    await queue.close()
    return list(said)


@pytest.mark.parametrize(("first", "second"), [(CATCHER, RELAY), (RELAY, CATCHER)])
def test_a_spool_of_the_other_kind_is_refused(tmp_path: Path, first: str, second: str) -> None:
    async def scenario() -> None:
        assert await use(tmp_path, first) == []
        with pytest.raises(SettingError, match=r"the spool belongs to a .*; choose another data_dir") as refused:
            await use(tmp_path, second)
        assert str(refused.value).startswith(str(tmp_path))
        assert await use(tmp_path, first) == []
        assert await use(tmp_path, "") == []  # a command beside the daemon

    asyncio.run(scenario())
    assert kind_in(tmp_path) == first


def test_a_command_marks_nothing(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path, ""))
    assert kind_in(tmp_path) == ""
    asyncio.run(use(tmp_path, CATCHER))
    assert kind_in(tmp_path) == CATCHER


def test_an_old_spool_with_waiting_mail_is_no_catchers(tmp_path: Path) -> None:
    unpack(tmp_path)
    with pytest.raises(SettingError, match=r"mail for 5 recipients waits in this spool, .*; choose another data_dir"):
        asyncio.run(use(tmp_path, CATCHER))

    async def scenario() -> None:
        queue = spool(tmp_path, "")
        await queue.open(NOW)
        assert await queue.queries.count() == 5
        await queue.close()

    asyncio.run(scenario())


def test_what_a_catcher_may_have_taken_is_held_when_a_relay_adopts_an_old_spool(tmp_path: Path) -> None:
    unpack(tmp_path)

    async def scenario() -> None:
        queue = spool(tmp_path, RELAY)
        said = await queue.open(NOW + 1000)
        assert any("mail for 4 recipients that was never attempted is held" in each for each in said)
        held = await queue.queries.select([Condition("state", "=", "held")], now=NOW)
        assert {row.address for row in held} == UNTRIED
        for row in held:
            *_, last = await queue.queries.history(row.id)
            assert isinstance(last, QueueEvent)
            assert "a catcher may have taken it" in last.text
        (work,) = await queue.lease("w", NOW + 1000, NOW + 1300, limit=100)
        assert [str(each.recipient.address) for each in work.recipients] == ["c@d.test"]  # a relay had tried it
        assert await queue.act(QueueAction.RELEASE, [Condition("state", "=", "held")], now=NOW + 1000) == 4
        works = await queue.lease("w", NOW + 1000, NOW + 1300, limit=100)
        assert {str(each.recipient.address) for work in works for each in work.recipients} == UNTRIED
        await queue.close()
        assert await use(tmp_path, RELAY) != []  # leases of the process that ended; nothing is held again
        queue = spool(tmp_path, RELAY)
        await queue.open(NOW + 1000)
        assert await queue.queries.count([Condition("state", "=", "held")]) == 0
        await queue.close()

    asyncio.run(scenario())
    assert kind_in(tmp_path) == RELAY


def test_an_old_spool_without_inboxes_is_adopted_as_it_is(tmp_path: Path) -> None:
    unpack(tmp_path)
    database = tmp_path / "spool" / "queue.sqlite3"
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("DELETE FROM inbox")
    connection.close()

    async def scenario() -> None:
        queue = spool(tmp_path, RELAY)
        await queue.open(NOW + 1000)
        assert await queue.queries.count([Condition("state", "=", "held")]) == 0
        assert await queue.queries.count() == 5
        await queue.close()

    asyncio.run(scenario())


def test_an_old_spool_without_waiting_mail_is_anybodys(tmp_path: Path) -> None:
    unpack(tmp_path)

    async def scenario() -> None:
        queue = spool(tmp_path, "")
        await queue.open(NOW)
        assert await queue.act(QueueAction.DROP, [], now=NOW) == 5
        await queue.close()
        await use(tmp_path, CATCHER)

    asyncio.run(scenario())
    assert kind_in(tmp_path) == CATCHER


def test_format_4_is_read_whole(tmp_path: Path) -> None:
    unpack(tmp_path)

    async def scenario() -> None:
        queue = spool(tmp_path, "")
        await queue.open(NOW)
        inbox = await queue.queries.inbox("me@x.test")
        assert [message.size for message in inbox] == [31, 90_022]  # small in its row, large in its file
        for message in inbox:
            kept = await queue.queries.kept(message.number)
            assert kept is not None
            assert b"".join(kept[1].chunks()).endswith(b"kept\r\n")
        (row,) = await queue.queries.select([Condition("to", "=", "large@v.test")], now=NOW)
        entry = await queue.queries.entry(row.id)
        assert entry is not None
        content = b"".join((await queue.open_content(entry.message)).chunks())
        assert content.startswith(b"Received: here\r\nSubject: big\r\n")
        assert content.endswith(b"fresh\r\n")
        receipt = queue.receive()
        receipt.write(b"new")
        await receipt.commit(Envelope(None, (Recipient(Address("b", "x.test")),)), ["x.test"], received=NOW, due=NOW)
        await queue.keep("you@x.test", entry.message, Bytes(b"copy"))
        assert await queue.queries.count([Condition("state", "=", RecipientState.WAITING.value)]) == 6
        await queue.close()

    asyncio.run(scenario())
    connection = sqlite3.connect(tmp_path / "spool" / "queue.sqlite3")
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
