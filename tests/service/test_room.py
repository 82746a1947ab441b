"""``min_free`` of a whole daemon is kept while content arrives, and what clients announce is reserved."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.service import Daemon, parse
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.spool.sqlite.storage.disk_room import DiskRoom

MIB = 1 << 20
CONFIG = """
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
mailboxes = "any"
[spool]
min_free = "10Mi"
"""
LINE = b"0123456789abcdef" * 60 + b"\r\n"
PATIENCE = 60.0


def quiet(event: str, /, **fields: object) -> None:
    """A log that nobody reads."""


class Client:
    """One session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, daemon: Daemon) -> Client:
        client = cls(*await asyncio.open_connection(*daemon.endpoints["mx"]))
        await client.reply()
        return client

    async def reply(self) -> str:
        while (line := await self.reader.readline())[3:4] == b"-":
            pass
        return line.decode()

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def begin(self, size: int = 0) -> str:
        """The reply to DATA."""
        await self.say("EHLO client.example")
        announced = f" SIZE={size}" if size else ""
        assert (await self.say(f"MAIL FROM:<a@client.example>{announced}")).startswith("250")
        assert (await self.say("RCPT TO:<b@here.test>")).startswith("250")
        return await self.say("DATA")

    async def content(self, octets: int) -> str:
        """The final reply to so much content."""
        for _ in range(octets // len(LINE)):
            self.writer.write(LINE)
            await self.writer.drain()
        return await self.say(".")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The size of the disk; its use is counted from what lies in the spool."""
    size = [1 << 40]

    def left(*_: object) -> int:
        used = sum(path.stat().st_size for path in (tmp_path / "spool").rglob("*") if path.is_file())
        return size[0] - used

    monkeypatch.setattr(DiskRoom, "free", left)
    monkeypatch.setattr(ListenerPolicy, "room", lambda self: 1 << 40)  # what MAIL was answered is long ago
    return size


def test_content_that_would_take_what_must_stay_free_is_answered_452(tmp_path: Path, free: list[int]) -> None:
    async def scenario() -> None:
        daemon = Daemon(parse(CONFIG.format(tmp_path)), log=quiet)
        await daemon.start()
        free[0] = 30 * MIB
        clients = [await Client.to(daemon) for _ in range(5)]
        for client in clients:
            assert (await client.begin()).startswith("354")
        replies = await asyncio.gather(*(client.content(8 * MIB) for client in clients))
        # How many of five equal messages find room depends on who is served first; all five never fit.
        assert "452 4.3.1" in {reply[:9] for reply in replies} <= {"250 2.0.0", "452 4.3.1"}
        assert DiskRoom.free(daemon.spool.incoming.contents.room) >= 10 * MIB  # type: ignore[attr-defined]
        free[0] = 1 << 40
        assert (await clients[0].begin()).startswith("354")
        assert (await clients[0].content(MIB)).startswith("250")
        for client in clients:
            client.writer.close()
        await daemon.drain(5.0)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_size_that_is_announced_is_reserved_from_the_begin_of_its_content(tmp_path: Path, free: list[int]) -> None:
    async def scenario() -> None:
        daemon = Daemon(parse(CONFIG.format(tmp_path)), log=quiet)
        await daemon.start()
        free[0] = 30 * MIB
        first, second = await Client.to(daemon), await Client.to(daemon)
        assert (await first.begin(12 * MIB)).startswith("354")
        assert (await second.begin(12 * MIB)).startswith("452 4.3.1")
        assert (await first.content(12 * MIB)).startswith("250")
        first.writer.close()
        second.writer.close()
        await daemon.drain(5.0)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
