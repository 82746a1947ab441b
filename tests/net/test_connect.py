"""Racing addresses, on a clock that jumps (RFC 8305)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest

from posthouse.core import LocalError, Unreachable
from posthouse.net import Endpoint, SocketNetwork, SystemClock, connect_any, interleave
from posthouse.net.stream import Handler, Stream
from posthouse.testing import ManualClock, MemoryNetwork, RecordingHandler, StreamFault

SIX_A, SIX_B = Endpoint("2001:db8::a", 25), Endpoint("2001:db8::b", 25)
FOUR_A, FOUR_B, FOUR_C = Endpoint("192.0.2.1", 25), Endpoint("192.0.2.2", 25), Endpoint("192.0.2.3", 25)


class Watched(MemoryNetwork):
    """Writes down when each attempt starts."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.log: list[tuple[float, Endpoint]] = []

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Any:
        self.log.append((self.clock.monotonic(), endpoint))
        return await super().connect(endpoint, handler, source=source)


class World:
    """A clock, a network, and a host that listens at all five addresses."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.network = Watched(self.clock)
        self.made: list[RecordingHandler] = []
        self.accepted: list[RecordingHandler] = []

    async def listen(self) -> None:
        for endpoint in (SIX_A, SIX_B, FOUR_A, FOUR_B, FOUR_C):
            await self.network.listen(endpoint, self.accept)

    def accept(self) -> RecordingHandler:
        self.accepted.append(RecordingHandler())
        return self.accepted[-1]

    def make(self) -> RecordingHandler:
        self.made.append(RecordingHandler())
        return self.made[-1]

    def fault(self, fault: StreamFault, *endpoints: Endpoint) -> None:
        self.network.faults.update(dict.fromkeys(endpoints, fault))

    async def connect(self, *endpoints: Endpoint, **settings: Any) -> tuple[Stream, RecordingHandler]:
        return await self.clock.run(connect_any(self.network, self.clock, endpoints, self.make, **settings))


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ([], []),
        ([FOUR_A, SIX_A], [SIX_A, FOUR_A]),
        ([FOUR_A, FOUR_B, FOUR_C, SIX_A, SIX_B], [SIX_A, FOUR_A, SIX_B, FOUR_B, FOUR_C]),
        ([SIX_B, SIX_A, FOUR_A], [SIX_B, FOUR_A, SIX_A]),
        ([FOUR_B, FOUR_A, FOUR_B], [FOUR_B, FOUR_A]),
    ],
)
def test_families_take_turns(given: list[Endpoint], order: list[Endpoint]) -> None:
    assert interleave(given) == order


def test_the_first_address_wins_when_it_answers_at_once() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        stream, handler = await world.connect(FOUR_A, SIX_A, source="")
        assert stream.peer == SIX_A
        assert world.made == [handler]
        assert handler.events == ["connected"]
        assert world.network.log == [(0.0, SIX_A)]
        assert world.network.open == 2
        assert world.clock.waiting == 0

    run(scenario())


def test_a_silent_address_costs_a_quarter_of_a_second() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(silent=True), SIX_A, FOUR_A)
        stream, handler = await world.connect(FOUR_A, SIX_A, SIX_B)
        assert stream.peer == SIX_B
        assert world.network.log == [(0.0, SIX_A), (0.25, FOUR_A), (0.5, SIX_B)]
        assert handler is world.made[2]
        assert [made.events for made in world.made[:2]] == [[], []]
        assert world.network.open == 2
        assert world.clock.waiting == 0, "an attempt that lost is still waiting"

    run(scenario())


def test_a_refusal_brings_the_next_attempt_at_once() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(refuse=True), SIX_A, FOUR_A)
        stream, _ = await world.connect(SIX_A, SIX_B, FOUR_A)
        assert stream.peer == SIX_B
        assert world.network.log == [(0.0, SIX_A), (0.0, FOUR_A), (0.0, SIX_B)]

    run(scenario())


def test_after_a_refusal_the_delay_counts_from_the_newest_attempt() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(refuse=True, delay=0.1), SIX_A)  # refused after 0.2 s
        world.fault(StreamFault(silent=True), FOUR_A)
        await world.connect(SIX_A, FOUR_A, SIX_B)
        assert world.network.log == [(0.0, SIX_A), (0.2, FOUR_A), (0.45, SIX_B)]

    run(scenario())


def test_a_slow_first_attempt_may_still_win() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(delay=0.15), SIX_A)  # up after 0.3 s
        world.fault(StreamFault(delay=1.0), FOUR_A)
        stream, handler = await world.connect(SIX_A, FOUR_A)
        assert stream.peer == SIX_A
        assert handler is world.made[0]
        assert world.clock.monotonic() == 0.3
        await world.clock.advance(10)
        assert len(world.accepted) == 1, "the loser's channel was opened later"

    run(scenario())


def test_two_that_succeed_in_the_same_instant() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(delay=0.5), SIX_A)
        world.fault(StreamFault(delay=0.375), FOUR_A)  # starts 0.25 s later: both are up at 1 s
        stream, handler = await world.connect(SIX_A, FOUR_A)
        assert stream.peer == SIX_A
        await world.clock.settle()
        loser = world.made[1]
        assert loser.events in ([], ["connected", "disconnected"])
        assert loser.error is None
        assert handler.events == ["connected"]
        assert world.network.open == 2

    run(scenario())


def test_when_all_fail_the_sentence_names_each() -> None:
    async def scenario() -> None:
        world = World()
        world.fault(StreamFault(silent=True), FOUR_A)
        with pytest.raises(Unreachable) as caught:
            await world.connect(FOUR_A, SIX_A, timeout=5.0)
        assert str(caught.value) == (
            "no address could be reached: [2001:db8::a]:25 refused the connection; "
            "192.0.2.1:25 did not answer within 5 s"
        )
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert world.clock.monotonic() == 5.0
        assert world.clock.waiting == 0

    run(scenario())


def test_one_address_needs_no_list() -> None:
    async def scenario() -> None:
        with pytest.raises(Unreachable) as caught:
            await World().connect(FOUR_A)
        assert str(caught.value) == "192.0.2.1:25 refused the connection"

    run(scenario())


def test_no_address_at_all() -> None:
    async def scenario() -> None:
        with pytest.raises(Unreachable, match="no address to connect to"):
            await World().connect()

    run(scenario())


def test_time_may_end_before_everything_was_tried() -> None:
    async def scenario() -> None:
        world = World()
        world.fault(StreamFault(silent=True), SIX_A, FOUR_A, SIX_B)
        with pytest.raises(Unreachable, match=r"192\.0\.2\.1:25 did not answer.*b\]:25 was not tried in time"):
            await world.connect(SIX_A, FOUR_A, SIX_B, timeout=0.3)
        assert [endpoint for _, endpoint in world.network.log] == [SIX_A, FOUR_A]

    run(scenario())


def test_cancelling_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen()
        world.fault(StreamFault(silent=True), SIX_A)
        world.fault(StreamFault(delay=1.0), FOUR_A)
        before = asyncio.all_tasks()
        race = asyncio.create_task(connect_any(world.network, world.clock, [SIX_A, FOUR_A], world.make))
        await world.clock.advance(1.0)
        assert len(world.network.log) == 2
        race.cancel()
        with pytest.raises(asyncio.CancelledError):
            await race
        assert world.clock.waiting == 0
        await world.clock.advance(300)
        assert world.network.open == 0
        assert not world.accepted
        assert asyncio.all_tasks() == before

    run(scenario())


def test_a_mistake_of_ours_is_not_called_unreachable() -> None:
    async def scenario() -> None:
        world = World()
        world.fault(StreamFault(silent=True), SIX_A)
        with pytest.raises(LocalError, match="ask a resolver"):
            await world.connect(SIX_A, Endpoint("mail.example.org", 25))
        assert world.clock.waiting == 0

    run(scenario())


def test_with_real_sockets() -> None:
    async def scenario() -> None:
        network = SocketNetwork()
        server = RecordingHandler()
        listener = await network.listen(Endpoint("127.0.0.1"), lambda: server)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # bound, not listening: refuses
            refusing = Endpoint("127.0.0.1", nobody.getsockname()[1])
            places = [refusing, listener.local]
            stream, client = await connect_any(network, SystemClock(), places, RecordingHandler)
        assert stream.peer == listener.local
        for recorder in (client, server):
            await recorder.until(lambda recorder: recorder.events)
            recorder.stream.abort()
            await recorder.until(lambda recorder: recorder.ended)
        listener.close()

    run(scenario())
