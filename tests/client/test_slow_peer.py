"""A peer that does not keep up: content waits for room, and none of it is sent twice, whatever its length."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.client import Session
from posthouse.client.channel import AsyncChannel
from posthouse.core import Bytes, Result
from posthouse.net import Endpoint, Handler
from posthouse.testing import ManualClock

from .test_in_line import GROUP
from .test_session import envelope

LINE = b"x" * 998 + b"\r\n"


class Full:
    """A stream whose queue is as full as a test says."""

    peer = local = Endpoint("192.0.2.1", 25)

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None: ...
    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_handler(self, handler: Handler) -> None: ...


@pytest.mark.parametrize("lines", [0, 1, 60, 600])
@pytest.mark.parametrize("quick", [False, True])
def test_content_waits_for_room(lines: int, quick: bool) -> None:
    clock = ManualClock()
    content = Bytes(LINE * lines)

    async def scenario() -> tuple[bytes, Result]:
        stream, channel = Full(), AsyncChannel(clock=clock)
        session = Session(channel, "client.example")
        channel.connected(stream)
        opening = asyncio.ensure_future(session.open())
        channel.data_received(b"220 x\r\n")
        while stream.written != b"EHLO client.example\r\n":
            await asyncio.sleep(0)
        channel.data_received(b"250-x\r\n250 PIPELINING\r\n")
        await opening
        stream.written = b""
        delivered = asyncio.ensure_future(session.deliver(envelope(), content))
        while stream.written != GROUP:
            await asyncio.sleep(0)
        if not quick:
            channel.pause_writing()
        channel.data_received(b"250 x\r\n250 x\r\n354 x\r\n")
        if not quick:
            assert not stream.written.removeprefix(GROUP).endswith(b"\r\n.\r\n")
            channel.resume_writing()
        while not stream.written.endswith(b"\r\n.\r\n"):
            await asyncio.sleep(0)
        channel.data_received(b"250 x\r\n")
        (outcome,) = await delivered
        return stream.written, outcome.result

    written, result = asyncio.run(clock.run(scenario()))
    assert result is Result.DELIVERED
    assert written == GROUP + content.data + b".\r\n"
