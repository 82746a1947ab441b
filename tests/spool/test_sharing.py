"""Several processes, and several queues of one process, on one spool; and what remains when one is killed."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.core import Address, Envelope, Outcome, Recipient, Result, StorageBusy
from posthouse.spool import RecipientState, Settlement, SqliteSpool
from posthouse.spool.sqlite.liveness import HANGS, LOOK

HERE = Path(__file__).parent
NOW = 1_700_000_000.0


class Watch:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


async def opened(directory: Path, **settings) -> SqliteSpool:
    queue = SqliteSpool(directory, **settings)
    await queue.open(NOW)
    return queue


async def store(queue: SqliteSpool, *domains: str, owner: str = "", until: float = NOW + 60):
    receipt = queue.receive()
    receipt.write(b"content")
    envelope = Envelope(None, tuple(Recipient(Address("b", domain)) for domain in domains))
    return await receipt.commit(envelope, domains, received=NOW, due=NOW, owner=owner, until=until)


def delivered(work) -> list[Settlement]:
    return [
        Settlement(w.key, RecipientState.DELIVERED, NOW, Outcome(w.recipient, Result.DELIVERED))
        for w in work.recipients
    ]


def test_two_queues_share_one_spool(tmp_path: Path) -> None:
    async def both() -> None:
        one, two = await opened(tmp_path), await opened(tmp_path)
        assert one.incoming.slot != two.incoming.slot
        seen: list[tuple[str, int]] = []

        async def intake(queue: SqliteSpool) -> None:
            for n in range(60):
                await store(queue, f"d{n % 5}.test", f"e{n % 3}.test")

        async def deliver(queue: SqliteSpool) -> None:
            while len(seen) < 240:
                for work in await queue.lease("worker", NOW, NOW + 60, limit=5):
                    seen.extend((work.message.id, w.key) for w in work.recipients)
                    await queue.record(work, delivered(work))

        async with asyncio.timeout(60):
            await asyncio.gather(*(job(queue) for job in (intake, deliver) for queue in (one, two)))
        assert len(set(seen)) == len(seen) == 240
        assert await one.queries.count() == await two.queries.count() == 0
        await one.close()
        await two.close()

    asyncio.run(both())


def test_two_processes_share_one_spool(tmp_path: Path) -> None:
    async def fill() -> set[str]:
        queue = await opened(tmp_path)
        stored = await asyncio.gather(*(store(queue, f"d{n % 7}.test", "same.test") for n in range(200)))
        await queue.close()
        return {f"{one.message.id}/{key}" for one in stored for key in (0, 1)}

    everything = asyncio.run(fill())
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "delivering_process.py"), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    taken: list[str] = []
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
        taken += out.split()
    assert len(taken) == len(everything), "somebody was delivered twice, or not at all"
    assert set(taken) == everything


def test_a_living_owner_keeps_its_leases_and_a_dead_one_does_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = await opened(tmp_path)
        await store(one, "x.test", owner="w")
        await store(one, "x.test", "y.test", owner="w")
        await store(one, "z.test")
        await one.lease("w", NOW, NOW + 60, limit=10)
        two = await opened(tmp_path)
        assert await two.lease("w", NOW, NOW + 60, limit=10) == []
        await one.close()
        three = SqliteSpool(tmp_path)
        said = await three.open(NOW)
        assert any("leases" in sentence for sentence in said)
        works = await three.lease("w", NOW, NOW + 60, limit=10)
        assert sorted(work.destination for work in works) == ["x.test", "x.test", "y.test", "z.test"]
        await two.close()
        await three.close()

    asyncio.run(scenario())


def test_a_late_record_of_another_process_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        one, two = await opened(tmp_path), await opened(tmp_path, time=watch, stopwatch=watch)
        stored = await store(one, "x.test", owner="same name")
        assert await two.lease("same name", NOW + 60, NOW + 60, limit=1) == []
        watch.now += HANGS  # the first process does not move
        (work,) = await two.lease("same name", NOW + 60, NOW + 60, limit=1)  # even the same end is not ours
        deferred = [s._replace(state=RecipientState.WAITING, due=NOW + 999) for s in delivered(work)]
        await one.record(stored.leases[0], deferred)
        assert (await two.due(NOW + 60)).destinations == (("x.test", NOW + 60),)
        await one.record(stored.leases[0], delivered(stored.leases[0]))
        await two.record(work, deferred)
        assert await two.queries.count() == 0
        await one.close()
        await two.close()

    asyncio.run(scenario())


class Process:
    """Another process on the spool; see ``peer_process.py``."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, str(HERE / "peer_process.py"), str(directory)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self._answer() == ["open"]

    def _answer(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith("\n"), "it has ended"
        return line.split()

    def ask(self, *words: object) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        return self._answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def two_processes(directory: Path) -> Iterator[tuple[Process, Process, set[str]]]:
    """Two of them, and what waits on their spool."""

    async def fill() -> set[str]:
        queue = await opened(directory)
        stored = [await store(queue, "x.test", "y.test") for _ in range(5)]
        await queue.close()
        return {f"{one.message.id}/{key}" for one in stored for key in (0, 1)}

    everything = asyncio.run(fill())
    one, two = Process(directory), Process(directory)
    try:
        yield one, two, everything
    finally:
        one.kill()
        two.kill()


def test_a_jump_of_the_clock_takes_nothing_from_a_living_process(tmp_path: Path) -> None:
    with two_processes(tmp_path) as (one, two, everything):
        assert set(one.ask(NOW, 0)) == everything
        assert two.ask(NOW + 30, 30) == []
        for jump in (60, 3600, 90_000, 10_000_000):  # a minute is the lease
            assert two.ask(NOW + 40 + jump, 40) == []
        assert set(one.ask("renew", NOW + 90_000, 50)) == everything
        assert two.ask(NOW + 90_059, 3700) == []
        assert two.ask(NOW + 90_060, 3700) == []
        one.kill()
        assert set(two.ask(NOW + 90_061, 3701)) == everything


def test_what_a_killed_process_had_is_taken_long_before_its_leases_end(tmp_path: Path) -> None:
    with two_processes(tmp_path) as (one, two, everything):
        assert two.ask(NOW - 1000, 0) == []
        assert set(one.ask(NOW, 1)) == everything
        one.kill()
        assert two.ask(NOW + 1, LOOK - 1) == []  # one look in so many seconds
        assert set(two.ask(NOW + 1, LOOK)) == everything


def test_a_process_born_and_killed_between_two_looks_is_noticed(tmp_path: Path) -> None:
    with two_processes(tmp_path) as (one, two, everything):
        assert two.ask(NOW - 1000, 0) == []
        one.kill()
        third = Process(tmp_path)
        assert set(third.ask(NOW, 1)) == everything
        third.kill()
        assert set(two.ask(NOW + 1, LOOK)) == everything


def test_a_process_that_hangs_loses_its_leases_by_the_stopwatch_only(tmp_path: Path) -> None:
    with two_processes(tmp_path) as (one, two, everything):
        assert set(one.ask(NOW, 0)) == everything
        one.process.send_signal(signal.SIGSTOP)
        assert two.ask(NOW + 60, 60) == []
        assert two.ask(NOW + 60 + HANGS, 61) == []  # the calendar alone: the hour begins anew
        assert two.ask(NOW + 60 + HANGS + HANGS - 1, 61 + HANGS - 1) == []
        assert set(two.ask(NOW + 60 + HANGS + HANGS, 61 + HANGS)) == everything


def test_leases_of_the_living_hide_nothing_behind_them(tmp_path: Path) -> None:
    """However many leases have run out, and in however many destinations, what is due behind them is found."""

    async def scenario() -> None:
        one, two = await opened(tmp_path), await opened(tmp_path)
        events = two.events()
        for n in range(60):
            await store(one, f"d{n % 20}.test", "same.test")
        assert sum(len(work.recipients) for work in await one.lease("w", NOW, NOW + 60, limit=200)) == 120
        later = await store(two, "e.test", "same.test")
        works = await two.lease("v", NOW + 100, NOW + 160, limit=2)
        assert {(work.message.id, w.key) for work in works for w in work.recipients} == {
            (later.message.id, 0),
            (later.message.id, 1),
        }
        await one.close()
        await two.close()
        assert [event async for event in events] == []

    asyncio.run(scenario())


def test_locked_beyond_patience_is_busy(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = await opened(tmp_path, patience=0.05)
        other = sqlite3.connect(tmp_path / "spool" / "queue.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy) as caught:
            await store(queue, "x.test")
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        other.execute("ROLLBACK")
        other.close()
        await store(queue, "x.test")
        assert await queue.queries.count() == 1
        await queue.close()

    asyncio.run(scenario())


def test_kill_in_the_middle_of_a_load(tmp_path: Path) -> None:
    loader = subprocess.Popen([sys.executable, str(HERE / "storing_process.py"), str(tmp_path)], stdout=subprocess.PIPE)
    assert loader.stdout is not None
    promised = [loader.stdout.readline().decode() for _ in range(1500)]
    loader.send_signal(signal.SIGKILL)
    promised += [line.decode() for line in loader.stdout]
    loader.stdout.close()
    assert loader.wait(30) == -signal.SIGKILL
    content = runpy.run_path(str(HERE / "storing_process.py"))["content"]

    async def check() -> None:
        queue = SqliteSpool(tmp_path)
        said = await queue.open(NOW * 2)
        assert not [sentence for sentence in said if "corrupt" in sentence]
        large = 0
        for line in promised:
            queue_id, size = line.split()
            large += int(size)
            entry = await queue.queries.entry(queue_id)
            assert entry is not None, f"{queue_id} was promised and is lost"
            data = b"".join((await queue.open_content(entry.message)).chunks())
            assert data == content(queue_id, size == "1")
        assert large > 0
        works = await queue.lease("w", NOW * 2, NOW * 3, limit=100_000)
        assert {line.split()[0] for line in promised} <= {work.message.id for work in works}
        await queue.close()

    asyncio.run(check())


def test_processes_that_make_one_spool_at_the_same_moment(tmp_path: Path) -> None:
    """Each new spool is opened by four processes at once, as the workers of a first start do."""
    script = """
import asyncio, sys
from posthouse.spool import SqliteSpool

async def main():
    for line in sys.stdin:  # a directory, when all are to begin
        queue = SqliteSpool(line.strip())
        await queue.open(1_700_000_000.0)
        await queue.close()
        print("opened", flush=True)

asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    with contextlib.ExitStack() as stack:
        openers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
            for _ in range(4)
        ]
        for number in range(25):
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.write(f"{tmp_path / str(number)}\n")
            for opener in openers:
                assert opener.stdout is not None
                assert opener.stdout.readline() == "opened\n"
