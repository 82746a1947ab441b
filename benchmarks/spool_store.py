"""Throughput of the SQLite spool: messages stored per second, and messages stored and settled.

    python benchmarks/spool_store.py [--seconds 3] [--size 4096] [--directory DIR] [--uvloop]

Each of N tasks stores one message after another, as N sessions do.  With "settle" the message is leased at its commit
and its result is recorded at once, as for a domain that discards its mail.  The output is messages per second,
operations in a commit group, the slowest commit, and the processor time of each message.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable

from posthouse.core import Address, Envelope, Outcome, Recipient, Result
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import RecipientState, Settlement


async def measure(directory: str, sessions: int, size: int, seconds: float, settle: bool) -> str:
    """Run one combination and return its line of figures."""
    spool = SqliteSpool(directory)
    await spool.open(time.time())
    body = os.urandom(size)
    envelope = Envelope(Address("langrui", "sohu.com"), (Recipient(Address("renping", "hold.test")),))
    outcome = Outcome(envelope.recipients[0], Result.DELIVERED, None, "discarded")
    end = time.perf_counter() + seconds
    stored = 0
    slowest = 0.0

    async def session() -> None:
        nonlocal stored, slowest
        settled: list[Awaitable[None]] = []
        while True:
            begun = time.perf_counter()
            if begun >= end:
                break
            incoming = spool.receive()
            incoming.write(body)
            now = time.time()
            owner = "bench" if settle else ""
            kept = await incoming.commit(
                envelope, ("hold.test",), received=now, due=now, source="bench", owner=owner, until=now + 60
            )
            slowest = max(slowest, time.perf_counter() - begun)
            stored += 1
            settled = [
                spool.record(lease, [Settlement(0, RecipientState.DELIVERED, now, outcome)]) for lease in kept.leases
            ]
        await asyncio.gather(*settled)

    cpu, begun = time.process_time(), time.perf_counter()
    await asyncio.gather(*(session() for _ in range(sessions)))
    cpu, taken = time.process_time() - cpu, time.perf_counter() - begun
    groups, operations = spool.writer.groups, spool.writer.operations
    left = await spool.queries.count()
    await spool.close()
    assert left == (0 if settle else stored), left
    return (
        f"{'store+settle' if settle else 'store':13} {sessions:4} sessions {stored / taken:8.0f}/s"
        f"  {operations / max(groups, 1):6.1f} operations a group  slowest {slowest * 1000:6.1f} ms"
        f"  cpu {cpu / stored * 1e6:6.1f} us"
    )


def main() -> None:
    """Run all combinations."""
    parser = argparse.ArgumentParser(description="Store messages in the SQLite spool and print how fast it was.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--directory", default=None, help="where to make the spool; a temporary one otherwise")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()
    if given.uvloop:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    for settle in (False, True):
        for sessions in (1, 4, 20, 200):
            directory = tempfile.mkdtemp(prefix="spool-", dir=given.directory)
            try:
                print(asyncio.run(measure(directory, sessions, given.size, given.seconds, settle)), flush=True)
            finally:
                shutil.rmtree(directory)


if __name__ == "__main__":
    main()
