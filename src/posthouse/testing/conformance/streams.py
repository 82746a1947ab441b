"""The promises of ``posthouse.net.stream`` as code: what every ``Network`` must do, real or fake.

Each check is a coroutine function that takes a ``Ground`` and raises ``AssertionError`` where a promise is broken.
``STREAM_CHECKS`` has them all; ``run_check`` runs one within a bounded time::

    @pytest.mark.parametrize("check", STREAM_CHECKS, ids=lambda check: check.__name__)
    def test_my_network(check):
        errors = []
        asyncio.run(run_check(check, MyNetwork(on_error=errors.append), Endpoint("127.0.0.1"), errors))
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from posthouse.core import LocalError, SettingError, Unreachable
from posthouse.net.stream import Endpoint, HandlerFactory, Listener, Network
from posthouse.testing.recording_handler import RecordingHandler

__all__ = ["BLOCK", "Ground", "LARGE", "SECONDS", "STREAM_CHECKS", "StreamCheck", "run_check"]

_E = TypeVar("_E", bound=Exception)

BLOCK = bytes(range(256)) * 256
LARGE = 20 * 1024 * 1024
SECONDS = 30.0


class Ground(NamedTuple):
    """The arguments of a check: the network, the endpoint at which it may listen (port 0, or a path that is free), and
    the list to which the network's ``on_error`` appends."""

    network: Network
    place: Endpoint
    errors: list[BaseException]


StreamCheck = Callable[[Ground], Awaitable[None]]


async def run_check(check: StreamCheck, network: Network, place: Endpoint, errors: list[BaseException]) -> None:
    """Run one check; it fails if it has not ended after 30 s."""
    async with asyncio.timeout(SECONDS):
        await check(Ground(network, place, errors))


class _Pair:
    """A listener and one channel to it, both ends recorded."""

    def __init__(
        self,
        ground: Ground,
        *,
        client: Callable[[RecordingHandler, bytes], None] | None = None,
        server: Callable[[RecordingHandler, bytes], None] | None = None,
    ) -> None:
        self.ground = ground
        self.client = RecordingHandler(client)
        self.server = RecordingHandler(server)

    async def __aenter__(self) -> _Pair:
        self.listener = await _listen(self.ground, lambda: self.server)
        stream = await self.ground.network.connect(self.listener.local, self.client)
        assert stream is self.client.stream, "connect returns the stream that connected was given"
        await self.server.until(lambda server: server.events)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()
        for end in (self.client, self.server):
            end.stream.abort()
            await end.until(lambda end: end.ended)
            assert end.events[0] == "connected", end.events
            assert end.events.index("disconnected") == len(end.events) - 1, end.events
            assert end.events.count("eof_received") <= 1, end.events


async def _listen(ground: Ground, factory: HandlerFactory) -> Listener:
    return await ground.network.listen(ground.place, factory)


async def _raised(kind: type[_E], attempt: Awaitable[object]) -> _E:
    """The exception of this type that ``attempt`` must raise."""
    try:
        await attempt
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def _echo(recorder: RecordingHandler, data: bytes) -> None:
    recorder.stream.write(data)


async def _write_all(recorder: RecordingHandler, total: int) -> str:
    """Write ``total`` octets, waiting while writing is paused; returns their hash."""
    digest = hashlib.sha256()
    for start in range(0, total, len(BLOCK)):
        block = BLOCK[: total - start]
        digest.update(block)
        recorder.stream.write(block)
        await recorder.until(lambda recorder: not recorder.paused)
    return digest.hexdigest()


async def echoes(ground: Ground) -> None:
    """Octets arrive once and in order, and each end knows the endpoints of both."""
    async with _Pair(ground, server=_echo) as pair:
        for number in range(100):
            pair.client.stream.write(b"line %d\r\n" % number)
        text = b"".join(b"line %d\r\n" % number for number in range(100))
        await pair.client.until(lambda client: len(client.received) == len(text))
        assert pair.client.received == text
        assert pair.server.received == text
        assert pair.client.stream.peer == pair.listener.local == pair.server.stream.local
        assert pair.client.stream.local == pair.server.stream.peer


async def carries_much(ground: Ground) -> None:
    """20 MiB arrive unchanged while the writer is paused and resumed."""
    async with _Pair(ground) as pair:
        sent = await _write_all(pair.client, LARGE)
        await pair.server.until(lambda server: len(server.received) == LARGE)
        assert hashlib.sha256(pair.server.received).hexdigest() == sent
        assert "pause_writing" in pair.client.events
        assert "resume_writing" in pair.client.events


async def bounds_the_queue(ground: Ground) -> None:
    """The writer is paused while the peer does not read, and resumed when it reads again."""
    async with _Pair(ground) as pair:
        pair.server.stream.pause_reading()
        pair.server.stream.pause_reading()
        written = 0
        while not pair.client.paused:
            assert written < LARGE, "20 MiB were queued and the writer was not paused"
            pair.client.stream.write(BLOCK)
            written += len(BLOCK)
            await asyncio.sleep(0)
        assert not pair.server.received, "octets arrived at a handler that had paused reading"
        pair.server.stream.resume_reading()
        pair.server.stream.resume_reading()
        await pair.client.until(lambda client: not client.paused)
        await pair.server.until(lambda server: len(server.received) == written)


async def closes_after_sending(ground: Ground) -> None:
    """``close`` first sends what is queued; the peer gets an end of stream, and may close without an error."""
    async with _Pair(ground) as pair:
        pair.server.stream.pause_reading()
        written = 0
        while not pair.client.paused and written < LARGE:  # more than fits into the buffers of the system
            pair.client.stream.write(BLOCK)
            written += len(BLOCK)
            await asyncio.sleep(0)
        pair.client.stream.close()
        pair.client.stream.write(b"too late")
        pair.client.stream.close()
        pair.server.stream.resume_reading()
        await pair.server.until(lambda server: server.eof)
        assert len(pair.server.received) == written
        await pair.client.until(lambda client: client.ended)
        assert pair.client.error is None
        for _ in range(10):
            await asyncio.sleep(0)
        assert not pair.server.ended, "the receiving end stays open until it closes"
        pair.server.stream.close()
        await pair.server.until(lambda server: server.ended)
        assert pair.server.error is None


async def answers_after_the_end(ground: Ground) -> None:
    """One direction may end before the other: ``close_gently`` goes on reading, and ``eof_received`` may write."""
    async with _Pair(ground) as pair:
        pair.client.stream.write(b"question")
        pair.client.stream.close_gently()
        await pair.server.until(lambda server: server.eof)
        assert pair.server.received == b"question"
        pair.server.stream.pause_reading()
        pair.server.stream.resume_reading()
        pair.server.stream.write(BLOCK)
        pair.server.stream.close_gently()
        for end in (pair.server, pair.client):
            await end.until(lambda end: end.ended)
            assert end.error is None
        assert not pair.client.received, "after close_gently the handler gets no octets"


async def last_words_arrive(ground: Ground) -> None:
    """Octets written before ``close_gently`` reach a peer that is still sending; no reset destroys them."""

    def refuse(server: RecordingHandler, data: bytes) -> None:
        server.stream.write(b"554 5.5.0 goodbye\r\n")
        server.stream.close_gently()
        server.stream.write(b"not this")

    async with _Pair(ground, server=refuse) as pair:
        pair.client.stream.pause_reading()
        for _ in range(48):  # far more than the answer waits for, far less than the server drops
            pair.client.stream.write(BLOCK)
            await pair.client.until(lambda client: not client.paused or client.ended)
        pair.client.stream.resume_reading()
        await pair.client.until(lambda client: client.eof)
        assert pair.client.received == b"554 5.5.0 goodbye\r\n"
        pair.client.stream.close()
        for end in (pair.client, pair.server):
            await end.until(lambda end: end.ended)
            assert end.error is None, end.error


async def last_words_from_a_paused_reader(ground: Ground) -> None:
    """``close_gently`` reads and discards even if reading was paused."""
    async with _Pair(ground) as pair:
        pair.server.stream.pause_reading()
        pair.client.stream.write(b"unread")
        pair.server.stream.write(b"421 bye\r\n")
        pair.server.stream.close_gently()
        await pair.client.until(lambda client: client.eof)
        pair.client.stream.close()
        await pair.server.until(lambda server: server.ended)
        assert pair.client.received == b"421 bye\r\n"
        assert pair.server.error is None
        assert not pair.server.received


async def patience_has_octets(ground: Ground) -> None:
    """``close_gently`` discards up to ``octets`` of a peer that goes on sending, then ends the connection."""
    async with _Pair(ground) as pair:
        pair.server.stream.close_gently(octets=100_000)
        while not pair.server.ended:
            pair.client.stream.write(BLOCK)
            await asyncio.sleep(0)
        assert not pair.server.received


async def patience_has_seconds(ground: Ground) -> None:
    """``close_gently`` waits up to ``seconds`` for a silent peer."""
    async with _Pair(ground) as pair:
        pair.server.stream.close_gently(seconds=0.01)
        await pair.client.until(lambda client: client.eof)
        await pair.server.until(lambda server: server.ended)
        assert pair.server.error is None


async def aborts(ground: Ground) -> None:
    """``abort`` ends both ends, once each; the handlers are called after it has returned."""
    async with _Pair(ground) as pair:
        pair.client.stream.write(BLOCK)
        pair.client.stream.abort()
        assert not pair.client.ended, "a method of the stream called its handler"
        pair.client.stream.abort()
        pair.client.stream.close_gently()
        await pair.client.until(lambda client: client.ended)
        assert pair.client.error is None
        await pair.server.until(lambda server: server.ended or server.eof)


async def changes_handlers(ground: Ground) -> None:
    """``set_handler`` replaces the handler; ``connected`` is not called again."""
    async with _Pair(ground) as pair:
        second = RecordingHandler()
        pair.client.stream.write(b"to the first")
        await pair.server.until(lambda server: server.received == b"to the first")
        pair.server.stream.set_handler(second)
        pair.client.stream.write(b"to the second")
        await second.until(lambda second: second.received == b"to the second")
        pair.server.stream.set_handler(pair.server)
        assert second.events == ["data_received"]
        assert pair.server.received == b"to the first"


async def holds_many(ground: Ground) -> None:
    """200 channels are open at one time, each with its own handler."""
    servers: list[RecordingHandler] = []

    def accept() -> RecordingHandler:
        servers.append(RecordingHandler(_echo))
        return servers[-1]

    listener = await _listen(ground, accept)
    clients = [RecordingHandler() for _ in range(200)]
    await asyncio.gather(*(ground.network.connect(listener.local, client) for client in clients))
    for number, client in enumerate(clients):
        client.stream.write(b"%d;" % number)
    for number, client in enumerate(clients):
        await client.until(lambda client: client.received.endswith(b";"))
        assert b"%d;" % number == client.received
    listener.close()
    for client in clients:
        client.stream.close()
    for server in servers:
        await server.until(lambda server: server.eof)
        server.stream.close()
    for end in (*clients, *servers):
        await end.until(lambda end: end.ended)
    assert len(servers) == 200


async def faults_stay_where_they_are(ground: Ground) -> None:
    """A handler that raises loses its own channel and is reported to ``on_error``; other channels go on."""
    fault = ZeroDivisionError("the handler is wrong")
    servers: list[RecordingHandler] = []

    def react(server: RecordingHandler, data: bytes) -> None:
        if data.startswith(b"!"):
            raise fault
        server.stream.write(data)

    def accept() -> RecordingHandler:
        servers.append(RecordingHandler(react))
        return servers[-1]

    listener = await _listen(ground, accept)
    good, bad = RecordingHandler(), RecordingHandler()
    for client in (good, bad):
        await ground.network.connect(listener.local, client)
        client.stream.write(b"1")
        await client.until(lambda client: client.received == b"1")
    bad.stream.write(b"!")
    await bad.until(lambda bad: bad.eof or bad.ended)
    await servers[1].until(lambda server: server.ended)
    assert isinstance(servers[1].error, LocalError)
    assert servers[1].error.__cause__ is fault
    assert ground.errors == [fault]
    good.stream.write(b"2")
    await good.until(lambda good: good.received == b"12")
    listener.close()
    for end in (good, bad, servers[0]):
        end.stream.abort()
        await end.until(lambda end: end.ended)


async def a_factory_may_fail(ground: Ground) -> None:
    """A factory that raises loses its channel and is reported to ``on_error``; the listener goes on."""
    fault = ZeroDivisionError("the factory is wrong")
    server = RecordingHandler(_echo)
    handlers: list[RecordingHandler] = [server]

    def accept() -> RecordingHandler:
        if not ground.errors:
            raise fault
        return handlers.pop()

    listener = await _listen(ground, accept)
    first, second = RecordingHandler(), RecordingHandler()
    await ground.network.connect(listener.local, first)
    await first.until(lambda first: first.eof or first.ended)
    assert ground.errors == [fault]
    await ground.network.connect(listener.local, second)
    second.stream.write(b"hello")
    await second.until(lambda second: second.received == b"hello")
    listener.close()
    for end in (first, second, server):
        end.stream.abort()
        await end.until(lambda end: end.ended)


async def says_why_not(ground: Ground) -> None:
    """Errors name the endpoint: ``Unreachable`` without a listener, ``SettingError`` if the endpoint is taken."""
    listener = await _listen(ground, RecordingHandler)
    refusal = await _raised(SettingError, ground.network.listen(listener.local, RecordingHandler))
    assert str(listener.local) in str(refusal)
    assert refusal.remedy
    listener.close()
    listener.close()
    handler = RecordingHandler()
    assert str(listener.local) in str(await _raised(Unreachable, ground.network.connect(listener.local, handler)))
    await _raised(LocalError, ground.network.connect(Endpoint("mail.example.org", 25), handler))
    assert not handler.events


async def a_closed_listener_keeps_its_channels(ground: Ground) -> None:
    """``Listener.close`` ends the listener, not the channels it has accepted."""
    async with _Pair(ground, server=_echo) as pair:
        pair.listener.close()
        pair.client.stream.write(b"still here")
        await pair.client.until(lambda client: client.received == b"still here")


STREAM_CHECKS: tuple[StreamCheck, ...] = (
    echoes,
    carries_much,
    bounds_the_queue,
    closes_after_sending,
    answers_after_the_end,
    last_words_arrive,
    last_words_from_a_paused_reader,
    patience_has_octets,
    patience_has_seconds,
    aborts,
    changes_handlers,
    holds_many,
    faults_stay_where_they_are,
    a_factory_may_fail,
    says_why_not,
    a_closed_listener_keeps_its_channels,
)
