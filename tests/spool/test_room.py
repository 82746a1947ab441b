"""What must stay free on the disk stays free while content arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, Recipient, StorageFull
from posthouse.spool import SqliteSpool, StoredMessage
from posthouse.spool.sqlite.storage.disk_room import DiskRoom

NOW = 1_700_000_000.0
MIN_FREE = 10 << 20
ENVELOPE = Envelope(None, (Recipient(Address("b", "x.test")),))
MIB = bytes(1 << 20)


class Disk:
    """Free space of a simulated disk: what was there, less what lies in the directory."""

    def __init__(self, directory: Path, free: int) -> None:
        self.directory = directory
        self.size = free

    def free(self) -> int:
        return self.size - sum(map(self._octets, self.directory.glob("*/**/*")))

    @staticmethod
    def _octets(path: Path) -> int:
        try:
            return path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a thread has removed it meanwhile
            return 0


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Disk]:
    def make(free: int) -> Disk:
        made = Disk(tmp_path, free)
        monkeypatch.setattr(DiskRoom, "free", lambda self: made.free())
        return made

    return make


async def store(spool: SqliteSpool, pieces: int, announced: int = 0, piece: bytes = MIB) -> None:
    incoming = spool.receive(announced)
    try:
        for _ in range(pieces):
            waiting = incoming.write(piece)
            if waiting is not None:
                await waiting
        await incoming.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
    finally:
        incoming.abort()


def test_content_without_a_size_stops_at_what_must_stay_free(tmp_path: Path, disk: Callable[[int], Disk]) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, min_free=MIN_FREE, time=lambda: NOW)
        await spool.open(NOW)
        made = disk(MIN_FREE + (30 << 20))
        answers = await asyncio.gather(*[store(spool, 9) for _ in range(8)], return_exceptions=True)
        refused = [answer for answer in answers if answer is not None]
        assert refused
        assert all(isinstance(answer, StorageFull) for answer in refused), refused
        assert "min_free" in str(refused[0])
        assert made.free() >= MIN_FREE
        await spool.close()
        assert not list((tmp_path / "spool" / "tmp").iterdir())

    asyncio.run(scenario())


def test_small_content_stops_as_well(tmp_path: Path, disk: Callable[[int], Disk]) -> None:
    async def scenario() -> None:
        seconds = 0.0
        spool = SqliteSpool(tmp_path, min_free=MIN_FREE, time=lambda: NOW, stopwatch=lambda: seconds)
        await spool.open(NOW)
        made = disk(MIN_FREE + (14 << 20))
        stored = 0

        async def fill() -> None:
            nonlocal stored
            for _ in range(10_000):  # the system is asked once, as no time passes
                await store(spool, 1, piece=bytes(50_000))
                stored += 1

        with pytest.raises(StorageFull):
            await fill()
        assert 20 < stored < 84  # 4 MiB
        assert made.free() >= MIN_FREE
        await spool.close()

    asyncio.run(scenario())


def test_an_announced_size_is_reserved(tmp_path: Path, disk: Callable[[int], Disk]) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, min_free=MIN_FREE, time=lambda: NOW)
        await spool.open(NOW)
        disk(MIN_FREE + (20 << 20))
        first = spool.receive(15 << 20)
        with pytest.raises(StorageFull):
            spool.receive(10 << 20)
        with pytest.raises(StorageFull):
            await store(spool, 8)  # without a size, it may not take what the first was promised
        async with asyncio.timeout(30):
            while any((tmp_path / "spool" / "tmp").iterdir()):  # what was refused is removed in a thread
                await asyncio.sleep(0.01)
        await store(spool, 1)
        for _ in range(15):
            waiting = first.write(MIB)
            if waiting is not None:
                await waiting
        await first.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
        assert spool.incoming.contents.room.announced == 0
        await spool.close()

    asyncio.run(scenario())


def test_copies_in_inboxes_stop_as_well(tmp_path: Path, disk: Callable[[int], Disk]) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, min_free=MIN_FREE, time=lambda: NOW)
        await spool.open(NOW)
        made = disk(MIN_FREE + (20 << 20))
        messages = [StoredMessage(spool.receive().id, ENVELOPE, NOW, 0) for _ in range(8)]
        keeping = [spool.keep("me", message, Bytes(MIB * 6)) for message in messages]
        answers = await asyncio.gather(*keeping, return_exceptions=True)
        assert [answer is None for answer in answers].count(True) == 3
        assert all(answer is None or isinstance(answer, StorageFull) for answer in answers)
        assert made.free() >= MIN_FREE
        assert spool.incoming.contents.room.announced == 0
        await spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("octets", [0, 1000, 100_000, 300_000])
def test_a_reservation_ends_with_its_message(tmp_path: Path, octets: int) -> None:
    async def scenario() -> None:
        spool = SqliteSpool(tmp_path, min_free=1, time=lambda: NOW)
        await spool.open(NOW)
        for committed in (True, False):
            incoming = spool.receive(200_000)
            room = spool.incoming.contents.room
            assert room.announced == 200_000
            waiting = incoming.write(bytes(octets))
            assert room.announced == max(0, 200_000 - octets)
            if waiting is not None:
                await waiting
            if committed:
                await incoming.commit(ENVELOPE, ["x.test"], received=NOW, due=NOW)
            incoming.abort()
            assert room.announced == 0
        await spool.close()

    asyncio.run(scenario())
