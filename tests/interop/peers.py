"""The two sides of every test here: a real house that catches or relays, and programs that others wrote.

A ``Post`` is a house on loopback with everything in it real.  Letters that it delivered are read back from its inboxes;
``behind_trace`` takes off what RFC 5321 §4.4 has stations put in front, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from posthouse.client import Session, connect
from posthouse.core import Address, Body, Bytes, Envelope, Outcome, Recipient, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Capabilities, Offer
from posthouse.service import Daemon, parse

__all__ = [
    "CATCH_ALL",
    "Post",
    "address",
    "behind_trace",
    "envelope",
    "free_port",
    "hand_over",
    "opened",
    "program",
    "run",
    "session_with",
]

CATCH_ALL = """
hostname = "house.test"
[[listener]]
bind = "127.0.0.1:{port}"
kind = "{kind}"
max_message_size = "100 MiB"
[[domain]]
name = "*"
mailboxes = "any"
"""

_TRACE = re.compile(rb"(?:Return-Path|Received):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


def run(story: Callable[[], Awaitable[None]], seconds: float = 60) -> None:
    """Run a test's story to its end, within a bound."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(bounded())


class Post:
    """A house, what it told, and what it delivered."""

    def __init__(self, text: str, data_dir: Path, **world: Any) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.house = Daemon(parse(f'data_dir = "{data_dir}"\n{text}'), log=self._told, **world)
        self._changed = asyncio.Event()

    def _told(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))
        self._changed.set()

    def told(self, event: str) -> list[dict[str, Any]]:
        """The facts of every event of that name."""
        return [fields for name, fields in self.events if name == event]

    async def until(self, event: str, times: int) -> None:
        """Wait for that many events of that name."""
        while len(self.told(event)) < times:
            self._changed.clear()
            await self._changed.wait()

    @property
    def endpoint(self) -> Endpoint:
        """Where its only listener listens."""
        (endpoint,) = self.house.endpoints.values()
        return endpoint

    async def letters(self) -> dict[str, list[bytes]]:
        """What its inboxes hold, by inbox."""
        await self.house.wait_idle()
        queue = self.house.queue
        found: dict[str, list[bytes]] = {}
        for message in await queue.inbox(limit=100_000):
            kept = await queue.kept(message.number)
            assert kept is not None
            found.setdefault(message.inbox, []).append(b"".join(kept[1].chunks()))
        return found

    async def only_letter(self) -> bytes:
        """The one letter that it delivered."""
        ((letter,),) = (await self.letters()).values()
        return letter


@contextlib.asynccontextmanager
async def opened(text: str, data_dir: Path, *, offer: Offer | None = None, **world: Any) -> AsyncIterator[Post]:
    """A running house; ``offer`` instead of what its listeners would announce."""
    post = Post(text, data_dir, **world)
    await post.house.start()
    try:
        if offer is not None:
            for server in post.house._servers:
                server.settings = server.settings._replace(offer=offer)
        yield post
    finally:
        await post.house.drain(10)
    assert not post.told("fault")


def behind_trace(letter: bytes, stations: int = 1) -> bytes:
    """What was sent: the letter without the Return-Path and the ``stations`` Received fields in front of it."""
    names = [b"Return-Path"] + [b"Received"] * stations
    for name in names:
        field = _TRACE.match(letter)
        assert field is not None, letter[:300]
        assert field[0].startswith(name + b":"), letter[:300]
        letter = letter[field.end() :]
    return letter


def address(text: str) -> Address:
    """An address from its plain spelling."""
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def envelope(*recipients: str, sender: str = "langrui@sohu.com", **asked: Any) -> Envelope:
    """An envelope that announces octets over 127, which harms nobody where there are none."""
    people = tuple(Recipient(address(each)) for each in recipients)
    return Envelope(address(sender) if sender else None, people, **{"body": Body.EIGHTBITMIME, **asked})


@contextlib.asynccontextmanager
async def session_with(
    endpoint: Endpoint, *, lmtp: bool = False, without: Sequence[str] = (), said: list[str] | None = None
) -> AsyncIterator[Session]:
    """A session of our own sending side; it makes no use of the extensions in ``without``.  The lines of the dialogue
    go to ``said``."""
    session = await connect(
        [endpoint],
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname="client.example",
        lmtp=lmtp,
        transcript=None if said is None else lambda who, line: said.append(f"{who}: {line}"),
    )
    if without:
        keywords = session.capabilities.keywords
        session.sender.capabilities = Capabilities({k: v for k, v in keywords.items() if k not in without})
    try:
        yield session
        await session.quit()
    except BaseException:
        session.abort()
        raise


async def hand_over(session: Session, letters: Mapping[str, bytes], **asked: Any) -> None:
    """Deliver every letter to the recipient that has its name, in ``box.test``; all must be taken."""
    for name, letter in letters.items():
        outcomes = await session.deliver(envelope(f"{name}@box.test", **asked), Bytes(letter))
        _taken(name, outcomes)


def _taken(name: str, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.result is Result.DELIVERED, (name, outcome.reason)


async def program(*command: str | Path, octets: bytes = b"", code: int = 0, **environment: str) -> str:
    """Run somebody else's program to its end, with that standard input; what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
    )
    try:
        output, _ = await process.communicate(octets)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    text = output.decode("utf-8", "replace")
    assert process.returncode == code, text
    return text


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, for programs that cannot choose one themselves.

    Below those that systems give to outgoing connections: one of these might take it before it is listened at.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
