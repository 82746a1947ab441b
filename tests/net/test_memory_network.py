"""The network in memory: its faults, and that the same story is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from posthouse.core import Broken, LocalError, SettingError, Unreachable
from posthouse.net import Endpoint
from posthouse.testing import ManualClock, MemoryNetwork, RecordingHandler, StreamFault

MX = Endpoint("192.0.2.1", 25)


class World:
    def __init__(self, fault: StreamFault = StreamFault()) -> None:  # noqa: B008 - a frozen value
        self.clock = ManualClock()
        self.network = MemoryNetwork(self.clock)
        self.network.faults[MX] = fault
        self.client, self.server = RecordingHandler(), RecordingHandler()

    async def open(self) -> None:
        await self.network.listen(MX, lambda: self.server)
        await self.clock.run(self.network.connect(MX, self.client))
        await self.clock.settle()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_refusing_and_silent_endpoints() -> None:
    async def scenario() -> None:
        world = World(StreamFault(refuse=True))
        with pytest.raises(Unreachable, match=r"192\.0\.2\.1:25 refused"):
            await world.open()
        world.network.faults[MX] = StreamFault(silent=True)
        with pytest.raises(Unreachable, match="did not answer in time"):
            await world.clock.run(world.network.connect(MX, world.client))
        assert world.clock.monotonic() > 100
        assert not world.client.events

    run(scenario())


def test_delay_passes_on_the_clock() -> None:
    async def scenario() -> None:
        world = World(StreamFault(delay=0.5))
        await world.open()
        assert world.clock.monotonic() == 1.0, "connecting takes a way and back"
        world.client.stream.write(b"slow")
        world.client.stream.close()
        await world.clock.advance(0.49)
        assert not world.server.received
        await world.clock.advance(0.01)
        assert world.server.received == b"slow"
        assert world.server.eof

    run(scenario())


def test_single_octets() -> None:
    async def scenario() -> None:
        world = World(StreamFault(single=True))
        pieces: list[bytes] = []
        world.server = RecordingHandler(lambda server, data: pieces.append(data))
        await world.open()
        world.client.stream.write(b"abc")
        world.client.stream.write(b"d")
        await world.clock.settle()
        assert pieces == [b"a", b"b", b"c", b"d"]

    run(scenario())


@pytest.mark.parametrize("octets", [0, 1, 5, 9, 10])
def test_a_reset_after_so_many_octets(octets: int) -> None:
    async def scenario() -> None:
        world = World(StreamFault(reset_after=octets))
        await world.open()
        world.client.stream.write(b"01234")
        world.client.stream.write(b"56789")
        await world.clock.settle()
        assert world.server.received == b"0123456789"[:octets]
        for end in (world.client, world.server):
            assert isinstance(end.error, Broken)
            assert end.events[-1] == "disconnected"
        assert world.network.open == 0

    run(scenario())


def test_a_reset_in_place_of_the_answer() -> None:
    async def scenario() -> None:
        world = World(StreamFault(reset_after_answers=4))
        world.server = RecordingHandler(lambda server, data: server.stream.write(b"250 ok\r\n"))
        await world.open()
        world.client.stream.write(b"QUIT\r\n")
        await world.clock.settle()
        assert world.server.received == b"QUIT\r\n"
        assert world.client.received == b"250 "
        assert isinstance(world.client.error, Broken)

    run(scenario())


def test_a_machine_that_dies() -> None:
    async def scenario() -> None:
        world = World()
        await world.open()
        world.network.cut(MX)
        await world.clock.settle()
        assert isinstance(world.client.error, Broken)
        assert isinstance(world.server.error, Broken)
        assert world.network.open == 0

    run(scenario())


def test_a_plain_close_loses_the_last_words_to_a_peer_that_still_sends() -> None:
    async def scenario() -> None:
        world = World()

        def refuse(server: RecordingHandler, data: bytes) -> None:
            server.stream.write(b"554 no\r\n")
            server.stream.close()

        world.server = RecordingHandler(refuse)
        await world.open()
        world.client.stream.write(b"one")
        world.client.stream.write(b"two")
        await world.clock.settle()
        assert isinstance(world.client.error, Broken)

    run(scenario())


def test_close_does_not_wait_for_ever() -> None:
    async def scenario() -> None:
        world = World()
        await world.open()
        world.server.stream.pause_reading()
        world.client.stream.write(bytes(1_000_000))
        world.client.stream.close()
        await world.clock.advance(59)
        assert not world.client.ended
        await world.clock.advance(2)
        assert world.client.ended
        assert world.server.ended

    run(scenario())


def test_addresses() -> None:
    async def scenario() -> None:
        world = World()
        await world.network.listen(Endpoint("0.0.0.0", 25), lambda: world.server)
        stream = await world.network.connect(Endpoint("198.51.100.7", 25), world.client, source="203.0.113.5")
        assert stream.local.host == "203.0.113.5"
        assert stream.peer == Endpoint("198.51.100.7", 25)
        with pytest.raises(Unreachable):
            await world.network.connect(Endpoint("2001:db8::1", 25), RecordingHandler())
        with pytest.raises(Unreachable, match="source address"):
            await world.network.connect(Endpoint("198.51.100.7", 25), RecordingHandler(), source="::1")
        with pytest.raises(LocalError, match="resolver"):
            await world.network.connect(Endpoint("sina.com", 25), RecordingHandler())
        with pytest.raises(SettingError):
            await world.network.listen(Endpoint("sina.com", 25), RecordingHandler)

    run(scenario())


def test_the_same_story_twice() -> None:
    async def tell(log: list[object]) -> None:
        world = World(StreamFault(delay=0.1, single=True))
        clock = world.clock

        def echo(server: RecordingHandler, data: bytes) -> None:
            log.append((clock.monotonic(), "server", data))
            server.stream.write(data)

        world.server = RecordingHandler(echo)
        world.client = RecordingHandler(lambda client, data: log.append((clock.monotonic(), "client", data)))
        await world.open()
        for number in range(5):
            world.client.stream.write(b"%d" % number)
            await clock.advance(0.03)
        await clock.advance(10)

    scenarios: list[list[object]] = [[], []]
    for log in scenarios:
        run(tell(log))
    assert scenarios[0] == scenarios[1]
    assert len(scenarios[0]) == 10
