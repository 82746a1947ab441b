"""Times of the spool's queries with a million queued recipients.

    python benchmarks/spool_query.py [--rows 1000000] [--directory DIR] [--keep]

The spool gets that many recipients at dead destinations of very different sizes, inserted directly into the database, 1
in 100 of them held, and 2,000 new messages.  Each query of an operator then runs three times; its best and worst time
are printed.  The actions, a lease and the storing of messages follow on the same spool.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from posthouse.core import Address, Envelope, Outcome, Recipient, Reply, Result
from posthouse.spool import Condition, QueueAction, RecipientState, Settlement, SqliteSpool, StoredMessage
from posthouse.spool.sqlite.history_store import history_row
from posthouse.spool.sqlite.rows import encode_envelope, recipient_rows

NOW = 1_700_000_000.0
_REPLIES = (
    "mx.dead.test[192.0.2.7]:25: 450 4.2.0 mailbox busy",
    "mx.dead.test[192.0.2.7]:25: 421 4.7.0 try again in 10 minutes",
    "no answer from 192.0.2.9:25 within 30 seconds",
)
_MESSAGE = "INSERT INTO message (id, received, size, source, recipients, head, content) VALUES (?,?,?,?,?,?,?)"


def fill(path: Path, rows: int, now: float = NOW, *, oldest: float = 500_000.0, spread: float = 14_400.0) -> None:
    """Insert messages with one to four recipients until ``rows`` recipients are stored.

    They are up to ``oldest`` seconds old and due within the next ``spread`` seconds.  Those over 4 hours old have had
    their report of delay.
    """
    chance = random.Random(7)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        number, done = int((now - oldest) * 1000) << 21, 0
        messages: list[tuple[Any, ...]] = []
        recipients: list[tuple[Any, ...]] = []
        histories: list[tuple[Any, ...]] = []

        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(recipient)")]

        def flush() -> None:
            connection.executemany(_MESSAGE, messages)
            connection.executemany(f"INSERT INTO recipient VALUES ({','.join('?' * len(columns))})", recipients)
            connection.executemany("INSERT INTO story VALUES (?,?,?,?,?)", histories)
            messages.clear(), recipients.clear(), histories.clear()

        while done < rows:
            number += 1 << 21
            received = now - chance.random() ** 3 * oldest
            domain = f"d{int(chance.random() ** 4 * 3000)}.test"
            people = tuple(Recipient(Address(f"user{done + n}", domain)) for n in range(chance.randint(1, 4)))
            envelope = Envelope(Address(f"sender{chance.randint(0, 999)}", "sohu.com"), people)
            size = chance.randint(500, 50_000)
            message = StoredMessage("", envelope, received, size, "mx 192.0.2.1:4000")
            head = encode_envelope(envelope)
            messages.append((number, received, size, message.source, len(people), head, b"x" * 300))
            due = now + chance.random() * spread
            for row in recipient_rows(number, message, [domain] * len(people), due, due, None, ""):
                values = dict(zip(columns, row, strict=True))
                values["state"] = int(chance.random() < 0.01)
                values["attempts"], values["last"] = chance.randint(1, 20), chance.choice(_REPLIES)
                values["warned"] = int(received < now - 14_400)
                recipients.append(tuple(values.values()))
            histories.append(history_row(number, message, None))
            done += len(people)
            if len(messages) >= 20_000:
                flush()
        flush()
        connection.execute(
            "INSERT INTO destination SELECT destination, min(ready) FROM recipient WHERE state = 0 GROUP BY destination"
        )
    connection.close()


async def timed(name: str, ask: Callable[[], Awaitable[Any]], times: int = 3) -> None:
    """Run one query several times and print a line of figures."""
    took = []
    answer: Any = None
    for _ in range(times):
        begun = time.perf_counter()
        answer = await ask()
        took.append(time.perf_counter() - begun)
    found = answer if isinstance(answer, int) else len(answer)
    print(f"{name:58} {found:>9,}   best {min(took) * 1000:8.1f} ms   worst {max(took) * 1000:8.1f} ms", flush=True)


async def ask_all(directory: Path) -> None:
    """Run all queries and print their figures."""
    spool = SqliteSpool(directory, time=lambda: NOW)
    await spool.open(NOW)

    def ask(name: str, method: str, *conditions: Condition, **more: Any) -> Awaitable[None]:
        function = getattr(spool.queries, method)
        return timed(name, lambda: function(conditions, now=NOW, **more))

    async def store(count: int) -> int:
        for _ in range(count):
            incoming = spool.receive()
            incoming.write(b"x" * 2000)
            envelope = Envelope(Address("langrui", "sohu.com"), (Recipient(Address("renping", "live.test")),))
            stored = incoming.commit(envelope, ["live.test"], received=NOW, due=NOW, owner="w", until=NOW + 300)
            if _ % 200 == 199:
                await stored
        await stored
        return count

    await store(2000)
    old, big, small = Condition("age", ">", 86_400.0), "d0.test", "d2900.test"
    await ask("count", "count")
    await ask("count age>1d", "count", old)
    await ask("count domain:d0.test (the largest)", "count", Condition("domain", "=", big))
    await ask("count state:deferred reply~4.7", "count", Condition("reply", "~", "4.7"))
    await ask("summary", "summary")
    await ask("summary domain:d1* age>1d", "summary", Condition("domain", "=", "d1*"), old)
    await ask("summary from:sender7@* attempts>=3", "summary", Condition("from", "=", "sender7@*"))
    await ask("list", "select")
    await ask("list, a page at the end", "select", after=((await spool.queries.select(limit=1))[0].id[:4] + "z" * 9, 0))
    await ask("list domain:d0.test", "select", Condition("domain", "=", big))
    await ask("list domain:d2900.test (a small one)", "select", Condition("domain", "=", small))
    await ask("list state:held", "select", Condition("state", "=", "held"))
    await ask("list from:sender7@*", "select", Condition("from", "=", "sender7@*"))
    await ask("list to:*99999@*", "select", Condition("to", "=", "*99999@*"))
    await ask("list reply~no-such-words (finds nothing)", "select", Condition("reply", "~", "no such words"))
    await ask("list size>49M (finds nothing)", "select", Condition("size", ">", 49e6))
    await timed("find by recipient", lambda: spool.queries.find(address="user77@nowhere.test"))
    await timed("find by Message-ID", lambda: spool.queries.find(message_id="<nobody>"))
    await timed("first destination due", lambda: _one(spool))
    await timed("100 destinations due", lambda: _page(spool))

    async def lease() -> int:
        leases = await spool.lease("w", NOW + 99, NOW + 400, limit=128)
        return sum(len(lease.recipients) for lease in leases)

    await timed("lease 128", lease)
    await timed("store 1000", lambda: store(1000))
    held = Condition("domain", "=", small)
    await timed(f"hold domain:{small}", lambda: spool.act(QueueAction.HOLD, [held], now=NOW, who="bench"), 1)
    await timed(f"release domain:{small}", lambda: spool.act(QueueAction.RELEASE, [held], now=NOW, who="bench"), 1)
    many = Condition("domain", "=", big)
    await timed(f"retry domain:{big}", lambda: spool.act(QueueAction.RETRY, [many], now=NOW, who="bench"), 1)
    (taken, *_) = await spool.lease("w", NOW + 99, NOW + 400, limit=1)
    (waiting, *_) = taken.recipients
    outcome = Outcome(waiting.recipient, Result.DEFERRED, Reply(450, "4.2.0", "later"))
    await timed(
        "record",
        lambda: _recorded(spool, taken, Settlement(waiting.key, RecipientState.WAITING, NOW + 9e4, outcome)),
        1,
    )
    await spool.close()


async def _one(spool: SqliteSpool) -> int:
    return len((await spool.due(NOW, limit=1)).destinations)


async def _page(spool: SqliteSpool) -> int:
    return len((await spool.due(NOW + 9999, limit=100)).destinations)


async def _recorded(spool: SqliteSpool, lease: Any, settlement: Settlement) -> int:
    await spool.record(lease, [settlement])
    return 1


async def make(directory: Path) -> None:
    """An empty spool."""
    spool = SqliteSpool(directory)
    await spool.open(NOW)
    await spool.close()


def main() -> None:
    """Make the spool, run the queries, remove the spool."""
    parser = argparse.ArgumentParser(description="Time the queries of a spool with a million recipients.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory", default=None, help="where to make the spool; a temporary one otherwise")
    parser.add_argument("--keep", action="store_true", help="leave the spool there")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="spool-", dir=given.directory))
    try:
        asyncio.run(make(directory))
        begun = time.perf_counter()
        database = directory / "spool" / "queue.sqlite3"
        fill(database, given.rows)
        print(f"{given.rows:,} recipients in {time.perf_counter() - begun:.0f} s, {database.stat().st_size >> 20} MiB")
        asyncio.run(ask_all(directory))
    finally:
        if given.keep:
            print(directory)
        else:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
