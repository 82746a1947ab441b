"""A spool that the program of commit 459a3b3 (format 3) wrote, and left in the middle of its work, opens whole."""

from __future__ import annotations

import asyncio
import sqlite3
import tarfile
from pathlib import Path

from posthouse.core import Address, Outcome, Result
from posthouse.spool import (
    Accepted,
    AttemptEvent,
    Condition,
    QueueAction,
    QueueEvent,
    RecipientState,
    Settlement,
    SqliteSpool,
)
from posthouse.spool.sqlite.storage.schema import VERSION

NOW = 1_700_000_000.0
OLD = Path(__file__).with_name("data") / "format-3.tar.xz"
HEAD = b"Subject: small\r\n\r\nhello\r\n"
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 5000
CONTENT = {
    "fresh@x.test": HEAD + b"fresh\r\n",  # leased by commit, without recipient rows
    "one@y.test": HEAD + b"two\r\n",  # likewise, each recipient to its own domain
    "two@z.test": HEAD + b"two\r\n",
    "due@x.test": HEAD + b"due\r\n",
    "big@x.test": BIG,  # in a file
    "big@w.test": BIG,
    "large@v.test": BIG + b"leased\r\n",  # leased by commit, in a file
    "c@d.test": HEAD + b"deferred\r\n",
    "e@d.test": HEAD + b"deferred\r\n",
    "h@held.test": HEAD + b"held\r\n",
    "r@re.test": HEAD + b"rerouted\r\n",
    "a@sohu.com": b"Subject: failed\r\n\r\nsorry\r\n",  # the report of a failure
}


def unpack(directory: Path) -> None:
    with tarfile.open(OLD) as archive:
        archive.extractall(directory, filter="data")


def test_all_mail_is_there_and_can_be_delivered(tmp_path: Path) -> None:
    unpack(tmp_path)

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path, time=lambda: NOW + 100)
        said = await queue.open(NOW + 100)
        assert len(said) == 1  # the leases of the dead process ended
        assert await queue.queries.count() == len(CONTENT)
        (held,) = await queue.queries.select([Condition("state", "=", "held")], now=NOW)
        assert held.address == "h@held.test"
        (rerouted,) = await queue.queries.select([Condition("to", "=", "r@re.test")], now=NOW)
        assert rerouted.route == "smtp://127.0.0.1:2525"
        (deferred, _) = await queue.queries.select([Condition("domain", "=", "d.test")], now=NOW)
        assert (deferred.attempts, deferred.due) == (1, NOW + 900)
        assert "450 4.2.0 later" in deferred.last
        accepted, attempted = await queue.queries.history(deferred.id)
        assert isinstance(accepted, Accepted)
        assert accepted.recipients == ("c@d.test", "e@d.test")
        assert isinstance(attempted, AttemptEvent)
        (done,) = await queue.queries.find(message_id="<done@a>")
        assert not done.waiting
        assert [type(event) for event in await queue.queries.history(done.id)] == [Accepted, AttemptEvent]
        _, act = await queue.queries.history(held.id)
        assert isinstance(act, QueueEvent)
        assert [(line.who, line.act) for line in await queue.queries.audit()] == [("root", "reroute"), ("root", "hold")]
        assert [tuple(inbox)[:2] for inbox in await queue.queries.inboxes()] == [("me@x.test", 2)]
        for message, octets in zip(await queue.queries.inbox(), (HEAD, BIG), strict=True):
            found = await queue.queries.kept(message.number)
            assert found is not None
            assert b"".join(found[1].chunks()) == octets
        assert await queue.act(QueueAction.RELEASE, [Condition("state", "=", "held")], now=NOW + 100) == 1
        delivered = {}
        while works := await queue.lease("w", NOW + 1000, NOW + 2000, limit=100):
            for work in works:
                octets = b"".join((await queue.open_content(work.message)).chunks())
                delivered |= {str(waiting.recipient.address): octets for waiting in work.recipients}
                assert all(waiting.recipient.address != Address("done", "x.test") for waiting in work.recipients)
                ends = [
                    Settlement(w.key, RecipientState.DELIVERED, NOW, Outcome(w.recipient, Result.DELIVERED, None))
                    for w in work.recipients
                ]
                await queue.record(work, ends)
        assert delivered == CONTENT
        assert await queue.queries.count() == 0
        await queue.close()
        assert [path for path in (tmp_path / "spool" / "content").rglob("*") if path.is_file()] != []  # the mailbox's

    asyncio.run(scenario())


def test_it_takes_new_mail_beside_the_old(tmp_path: Path) -> None:
    unpack(tmp_path)

    async def scenario() -> None:
        queue = SqliteSpool(tmp_path, time=lambda: NOW + 100)
        await queue.open(NOW + 100)
        (entry,) = await queue.queries.select([Condition("to", "=", "due@x.test")], now=NOW)
        receipt = queue.receive()
        assert receipt.id > entry.id
        waiting = receipt.write(BIG)
        if waiting is not None:
            await waiting
        old = await queue.queries.entry(entry.id)
        assert old is not None
        stored = await receipt.commit(
            old.message.envelope, ["x.test"], received=NOW + 100, due=NOW + 100, prefix=b"A: b\r\n"
        )
        assert b"".join((await queue.open_content(stored.message)).chunks()) == b"A: b\r\n" + BIG
        await queue.close()
        with sqlite3.connect(tmp_path / "spool" / "queue.sqlite3") as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()

    asyncio.run(scenario())
