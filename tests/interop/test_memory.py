"""Large messages pass through the daemon in little memory: in by DATA and BDAT, to inbox, Maildir and another host."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.daemon import DaemonProcess, running

from posthouse.core import Bytes, Result

from .corpus import HEAD, LARGE, large
from .peers import behind_trace, envelope, opened, run, session_with

NEXT = """
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "relayed.test"
deliver = "maildir:{root}/next/{{local}}"
maildir_line_ends = "crlf"
mailboxes = "any"
"""
DAEMON = """
workers = 1
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:0"
complete_messages = false
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "inbox.test"
mailboxes = "any"
[[domain]]
name = "maildir.test"
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
mailboxes = "any"
[[route]]
to = "relayed.test"
via = "smtp://{via}"
"""
RECIPIENTS = ("a@inbox.test", "a@maildir.test", "a@relayed.test")
MEBI = 1 << 20


def peak(daemon: DaemonProcess) -> int:
    """The peak of the daemon's memory in octets."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc: run it on Linux")
def test_memory_does_not_grow_with_the_message(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Four messages of 30 MiB at once, 120 MiB in all, each to three places."""
    message = large()

    async def scenario() -> None:
        async with (
            opened(NEXT.format(root=tmp_path), tmp_path / "next") as other,
            running(tmp_path / "host", DAEMON.format(root=tmp_path, via=other.endpoint)) as daemon,
        ):
            endpoint = await daemon.endpoint()

            async def send(octets: bytes, *without: str) -> None:
                async with session_with(endpoint, without=without) as session:
                    outcomes = await session.deliver(envelope(*RECIPIENTS), Bytes(octets))
                    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 3

            for _ in range(4):  # what every first message costs: threads, modules, SQLite's cache
                await send(HEAD + b"\r\n" + b"x\r\n" * 100_000)
            await daemon.until("delivered", 12)
            before = peak(daemon)
            ways = ((), ("CHUNKING", "BINARYMIME"))
            await asyncio.gather(*(send(message, *way) for way in ways * 2))
            await daemon.until("delivered", 24)
            grown = peak(daemon) - before
            daemon.process.terminate()
            assert await daemon.ended() == 0
        record_property("note", f"memory: four messages of 30 MiB to three places took {grown / MEBI:.0f} MiB more")
        assert grown < 64 * MEBI
        for place in ("mail", "next"):
            arrived = [path.read_bytes() for path in (tmp_path / place / "a/new").iterdir()]
            hops = 1 if place == "mail" else 2
            whole = [each for each in arrived if len(each) >= LARGE]
            assert [behind_trace(each, hops) == message for each in whole] == [True] * 4

    run(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc: run it on Linux")
def test_memory_does_not_grow_with_8_bit_content_that_is_converted(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two messages of 6 MiB in 8 bits, for a host without 8BITMIME."""
    head = HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    line = "Grüße aus der Ferne, 你好\r\n".encode()
    taken: list[tuple[int, bool]] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A host without extensions that counts the octets of what it gets."""
        writer.write(b"220 plain\r\n")
        while command := await reader.readline():
            if command == b"DATA\r\n":
                writer.write(b"354 go\r\n")
                size, ascii_only = 0, True
                while (got := await reader.readline()) != b".\r\n":
                    size += len(got)
                    ascii_only = ascii_only and got.isascii() and len(got) <= 78
                taken.append((size, ascii_only))
            writer.write(b"221 bye\r\n" if command == b"QUIT\r\n" else b"250 ok\r\n")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        via = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with running(tmp_path / "host", DAEMON.format(root=tmp_path, via=via)) as daemon:
            endpoint = await daemon.endpoint()

            async def send(times: int) -> None:
                async with session_with(endpoint) as session:
                    outcomes = await session.deliver(envelope("a@relayed.test"), Bytes(head + line * times))
                    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED]

            for _ in range(2):
                await send(10_000)
            await daemon.until("delivered", 2)
            before = peak(daemon)
            many = 6 * MEBI // len(line)
            await asyncio.gather(*(send(many) for _ in range(2)))
            await daemon.until("delivered", 4)
            grown = peak(daemon) - before
        server.close()
        await server.wait_closed()
        record_property("note", f"memory: two messages of 6 MiB, converted, took {grown / MEBI:.0f} MiB more")
        assert grown < 16 * MEBI
        assert all(ascii_only for _, ascii_only in taken)
        assert sorted(size for size, _ in taken)[-2] > 6 * MEBI

    run(scenario, 110)
