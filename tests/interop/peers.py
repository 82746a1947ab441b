"""The two sides of the interoperability tests: a real daemon that delivers or relays, and programs of other authors.

A ``Host`` is a daemon on loopback with real parts only.  Its delivered messages are read from its inboxes;
``behind_trace`` removes exactly the trace fields that the hops have added (RFC 5321 §4.4).
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

import pytest

from posthouse.client import Session, connect
from posthouse.core import Address, Body, Bytes, Envelope, Outcome, Recipient, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Capabilities, Offer
from posthouse.server import Server
from posthouse.service import Config, Daemon, parse
from posthouse.service.daemon import generation

__all__ = [
    "CATCH_ALL",
    "Host",
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
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:{port}"
kind = "{kind}"
max_message_size = "100 MiB"
[[domain]]
name = "*"
mailboxes = "any"
"""

_TRACE = re.compile(rb"(?:Return-Path|X-Original-To|Delivered-To|Received):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


def run(scenario: Callable[[], Awaitable[None]], seconds: float = 60) -> None:
    """Run a test's scenario within ``seconds``."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await scenario()

    asyncio.run(bounded())


class Host:
    """A daemon, its events, and the messages in its inboxes."""

    def __init__(self, text: str | Config, data_dir: Path, **world: Any) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        config = text if isinstance(text, Config) else parse(f'data_dir = "{data_dir}"\n{text}')
        self.daemon = Daemon(config, log=self._log, **world)
        self._changed = asyncio.Event()

    def _log(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))
        self._changed.set()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The facts of every event of that name."""
        return [fields for name, fields in self.events if name == event]

    async def until(self, event: str, times: int) -> None:
        """Wait for that many events of that name."""
        while len(self.logged(event)) < times:
            self._changed.clear()
            await self._changed.wait()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of its only listener."""
        (endpoint,) = self.daemon.endpoints.values()
        return endpoint

    async def messages(self) -> dict[str, list[bytes]]:
        """The messages by inbox."""
        await self.daemon.wait_idle()
        spool = self.daemon.spool
        found: dict[str, list[bytes]] = {}
        for message in await spool.queries.inbox(limit=100_000):
            kept = await spool.queries.kept(message.number)
            assert kept is not None
            found.setdefault(message.inbox, []).append(b"".join(kept[1].chunks()))
        return found

    async def only_message(self) -> bytes:
        """The only message in its inboxes."""
        ((message,),) = (await self.messages()).values()
        return message


@contextlib.asynccontextmanager
async def opened(
    text: str | Config, data_dir: Path, *, offer: Offer | None = None, **world: Any
) -> AsyncIterator[Host]:
    """A running daemon; its listeners announce ``offer`` if it is given."""
    host = Host(text, data_dir, **world)
    with pytest.MonkeyPatch.context() as patch:
        if offer is not None:
            patch.setattr(generation, "Server", lambda *args, **kwargs: Server(*args, **{**kwargs, "offer": offer}))
        await host.daemon.start()
    try:
        yield host
    finally:
        await host.daemon.drain(10)
    assert not host.logged("fault")


def behind_trace(message: bytes, hops: int = 1) -> bytes:
    """The message without its Return-Path, the address fields of a Maildir, and the ``hops`` Received fields at its
    top."""
    names = [b"Return-Path"] + [b"Received"] * hops
    if b"\r\nDelivered-To: " in message[:1_000]:
        names[1:1] = [b"X-Original-To", b"Delivered-To"]
    for name in names:
        field = _TRACE.match(message)
        assert field is not None, message[:300]
        assert field[0].startswith(name + b":"), message[:300]
        message = message[field.end() :]
    return message


def address(text: str) -> Address:
    """An address from its plain spelling."""
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def envelope(*recipients: str, sender: str = "langrui@sohu.com", **asked: Any) -> Envelope:
    """An envelope with BODY=8BITMIME, which is also correct for ASCII."""
    parsed = tuple(Recipient(address(each)) for each in recipients)
    return Envelope(address(sender) if sender else None, parsed, **{"body": Body.EIGHTBITMIME, **asked})


@contextlib.asynccontextmanager
async def session_with(
    endpoint: Endpoint, *, lmtp: bool = False, without: Sequence[str] = (), transcript: list[str] | None = None
) -> AsyncIterator[Session]:
    """A session of our client that does not use the extensions in ``without``.

    The lines of the dialogue are appended to ``transcript``.
    """
    session = await connect(
        [endpoint],
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname="client.example",
        lmtp=lmtp,
        transcript=None if transcript is None else lambda who, line: transcript.append(f"{who}: {line}"),
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


async def hand_over(session: Session, messages: Mapping[str, bytes], **asked: Any) -> None:
    """Deliver each message to the recipient of its name in ``box.test``; each must be accepted."""
    for name, message in messages.items():
        outcomes = await session.deliver(envelope(f"{name}@box.test", **asked), Bytes(message))
        _taken(name, outcomes)


def _taken(name: str, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.result is Result.DELIVERED, (name, outcome.reason)


async def program(*command: str | Path, octets: bytes = b"", code: int = 0, **environment: str) -> str:
    """Run a program with ``octets`` on its standard input; returns its output."""
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
    assert process.returncode == code, (process.returncode, text)
    return text


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, for programs that cannot bind port 0.

    It is below the ports of outgoing connections, so that no connection takes it before the program listens.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
