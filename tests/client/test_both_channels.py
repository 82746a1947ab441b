"""The same messages over asyncio and over a blocking socket, to the same servers: equal octets, equal outcomes.

A proxy between client and server records what the client writes.  The servers are our own (the sink), with each
extension and each fault, and scripted peers that answer, fall silent or close at a chosen place.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from posthouse.client import SessionRefused, Timeouts, connect, open_blocking
from posthouse.core import Address, AsyncContent, Bytes, Content, Envelope, LocalError, Outcome, Recipient
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import Offer
from posthouse.sandbox import Sink, parse_drop, parse_fail

LINE = b"x" * 77 + b"\r\n"
SHORT = Bytes(b"Subject: hi\r\n\r\n.dots\r\n")
LONG = Bytes(b"Subject: long\r\n\r\n" + LINE * 30_000)  # 2.4 MB: three BDAT chunks, many reads
BARE = Bytes(b"a\nb\r\n")
LIMITS = Timeouts(5, 5, 5, 5, 5, 5, 1)

Job = tuple[Envelope, Content]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def envelope(*recipients: str, sender: str = "langrui@sohu.com") -> Envelope:
    made = tuple(Recipient(Address(*each.split("@"))) for each in recipients or ("renping@sina.com",))
    return Envelope(Address(*sender.split("@")), made)


THREE = envelope("a@sina.com", "b@sina.com", "c@sina.com")


class Seen(NamedTuple):
    """What one run showed: the octets of each connection, the lines of the transcript, the outcomes."""

    octets: list[bytes]
    transcript: list[str]
    outcomes: list[tuple[Outcome, ...]]


class Servers:
    """A recording proxy and the server behind it, in an event loop in a thread of their own."""

    def __init__(self, start: Callable[[], Awaitable[tuple[Endpoint, Callable[[], Awaitable[Any]]]]]) -> None:
        self._start = start
        self._ready = threading.Event()
        self._stop: Callable[[], object] = int
        self.port = 0
        self.octets: list[bytearray] = []
        self._failure: BaseException | None = None
        self._relays: list[asyncio.Task[Any]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Servers:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join(20)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _main(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        where, end = await self._start()
        proxy = await asyncio.start_server(lambda r, w: self._relay(where, r, w), "127.0.0.1", 0, limit=1 << 22)
        self.port = proxy.sockets[0].getsockname()[1]
        self._ready.set()
        async with asyncio.timeout(60):
            await stop.wait()
            proxy.close()
            if self._relays:
                _, left = await asyncio.wait(self._relays, timeout=10)
                assert not left, "a connection stays open"
            await end()

    async def _relay(self, where: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.append(task)
        written = bytearray()
        self.octets.append(written)
        theirs, ours = await asyncio.open_connection(*where, limit=1 << 22)
        await asyncio.gather(_copy(reader, ours, written), _copy(theirs, writer, bytearray()))
        for each in (writer, ours):
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
    """Pass on all that arrives, also what the other side does not take any more, and then the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            seen += data
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


def sink(*, lmtp: bool = False, offer: Offer | None = None, **settings: Any) -> Callable[[], Awaitable[Any]]:
    """Our server, as the sink has it."""

    async def start() -> tuple[Endpoint, Callable[[], Awaitable[Any]]]:
        made = Sink(
            network=SocketNetwork(), clock=SystemClock(), hostname="sink.test", lmtp=lmtp, offer=offer, **settings
        )
        return await made.listen(Endpoint("127.0.0.1", 0)), made.stop

    return start


def scripted(handler: Handler) -> Callable[[], Awaitable[Any]]:
    """A peer of the test's own."""

    async def start() -> tuple[Endpoint, Callable[[], Awaitable[Any]]]:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1 << 26)

        async def end() -> None:
            server.close()

        return Endpoint(*server.sockets[0].getsockname()[:2]), end

    return start


def over_asyncio(port: int, jobs: list[Job], together: bool, **settings: Any) -> Seen:
    lines: list[str] = []

    async def main() -> list[tuple[Outcome, ...]]:
        async with asyncio.timeout(30):
            session = await connect(
                [Endpoint("127.0.0.1", port)],
                network=SocketNetwork(),
                clock=SystemClock(),
                hostname="client.example",
                transcript=lambda who, text: lines.append(f"{who} {text}"),
                **settings,
            )
            if together:
                outcomes = [found async for _, found in session.deliver_each(jobs)]
            else:
                outcomes = [await session.deliver(*job) for job in jobs]
            await session.quit()
            return outcomes

    return Seen([], lines, asyncio.run(main()))


def over_a_blocking_socket(port: int, jobs: list[Job], together: bool, **settings: Any) -> Seen:
    lines: list[str] = []
    threads = set(threading.enumerate())
    with open_blocking(
        [Endpoint("127.0.0.1", port)],
        hostname="client.example",
        transcript=lambda who, text: lines.append(f"{who} {text}"),
        **settings,
    ) as session:
        if together:
            outcomes = [found for _, found in session.deliver_each(jobs)]
        else:
            outcomes = [session.deliver(*job) for job in jobs]
        assert threads.issuperset(threading.enumerate()), "a hidden thread"
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    return Seen([], lines, outcomes)


def both(start: Callable[[], Awaitable[Any]], jobs: list[Job], *, together: bool = False, **settings: Any) -> Seen:
    """Send over each channel; asserts that all they show is equal, and returns it."""
    settings.setdefault("timeouts", LIMITS)
    seen = []
    for send in (over_asyncio, over_a_blocking_socket):
        with Servers(start) as servers:
            found = send(servers.port, jobs, together, **settings)
        port = f":{servers.port}"
        outcomes = [
            tuple(each._replace(peer="", reply=None, reason=each.reason.replace(port, "")) for each in some)
            for some in found.outcomes
        ]
        # Replies to pipelined chunks may come before or after the next chunk: each side's lines are compared by itself.
        lines = sorted(found.transcript, key=lambda line: line[0])
        seen.append(Seen([bytes(each) for each in servers.octets], lines, outcomes))
    assert seen[0] == seen[1]
    return seen[0]


def ends(seen: Seen) -> list[str]:
    return [" ".join(each.result for each in some) for some in seen.outcomes]


PLAIN = Offer(size=0, pipelining=False, chunking=False, binarymime=False)
PIPELINED = Offer(size=0, chunking=False, binarymime=False)
CHUNKED = Offer(size=0)
CHUNKED_ONLY = Offer(size=0, pipelining=False)


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize(
    "offer", [PLAIN, PIPELINED, CHUNKED, CHUNKED_ONLY], ids=["plain", "pipelined", "chunked", "bdat"]
)
@pytest.mark.parametrize("content", [SHORT, LONG, Bytes(b"")], ids=["short", "long", "empty"])
def test_our_server_sees_the_same(lmtp: bool, offer: Offer, content: Content) -> None:
    seen = both(sink(lmtp=lmtp, offer=offer), [(envelope(), content), (THREE, content)], lmtp=lmtp)
    assert ends(seen) == ["delivered", "delivered delivered delivered"]
    (octets,) = seen.octets
    assert (b"BDAT" in octets) is offer.chunking
    assert octets.endswith(b"QUIT\r\n")


@pytest.mark.parametrize("offer", [PLAIN, PIPELINED], ids=["plain", "pipelined"])
def test_many_in_line_are_the_same(offer: Offer) -> None:
    jobs: list[Job] = [(envelope(), Bytes(b"Subject: %d\r\n\r\n" % number)) for number in range(7)]
    seen = both(sink(offer=offer), [*jobs, (THREE, LONG), *jobs], together=True)
    assert ends(seen) == ["delivered"] * 7 + ["delivered delivered delivered"] + ["delivered"] * 7


@pytest.mark.parametrize("offer", [PLAIN, PIPELINED, CHUNKED], ids=["plain", "pipelined", "chunked"])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
def test_refusals_are_the_same(stage: str, offer: Offer, content: Content) -> None:
    if (stage, offer, content) == ("data", CHUNKED, LONG):
        content = Bytes(LONG.data[: 1 << 19])  # one chunk: how many leave before the refusal is here is left to chance
    seen = both(sink(offer=offer, faults=[parse_fail(f"{stage}:450:4.2.1")]), [(THREE, content)])
    assert ends(seen) == ["deferred deferred deferred"]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "end"])
def test_a_connection_that_is_cut_is_the_same(stage: str) -> None:
    seen = both(sink(offer=PLAIN, faults=[parse_drop(stage)]), [(envelope(), SHORT)])
    assert ends(seen) == ["ambiguous" if stage == "end" else "deferred"]


HELLO = b"220 mx.test\r\n", b"250-mx.test\r\n250 PIPELINING\r\n"
ENVELOPE = (
    b"MAIL FROM:<langrui@sohu.com>\r\nRCPT TO:<a@sina.com>\r\nRCPT TO:<b@sina.com>\r\nRCPT TO:<c@sina.com>\r\nDATA\r\n"
)


def answering(replies: bytes, then: bytes | None, content: bytes = SHORT.data.replace(b"\r\n.", b"\r\n..") + b".\r\n",
              *, silent: bool = False) -> Handler:  # fmt: skip
    """A peer that answers the envelope with ``replies`` and, if there is content, that with ``then``."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO[0])
        await reader.readline()
        writer.write(HELLO[1])
        assert await reader.readexactly(len(ENVELOPE)) == ENVELOPE
        writer.write(replies)
        if then is not None:
            assert await reader.readexactly(len(content)) == content
            writer.write(then)
        if silent:
            await reader.read()
        await writer.drain()

    return peer


OK = b"250 x\r\n" * 4 + b"354 x\r\n"


@pytest.mark.parametrize(
    ("replies", "then", "expected"),
    [
        (b"250 x\r\n250 x\r\n550 no\r\n450 later\r\n354 x\r\n", b"250 x\r\n", "delivered failed deferred"),
        (b"250 x\r\n250 x\r\n421 bye\r\n", None, "deferred deferred deferred"),
        (OK, b"421 bye\r\n", "deferred deferred deferred"),
        (OK, b"", "ambiguous ambiguous ambiguous"),
        (OK, b"25", "ambiguous ambiguous ambiguous"),
        (b"250 x\r\n250 x\r\n", None, "deferred deferred deferred"),
        (b"HTTP/1.1 400\r\n", None, "deferred deferred deferred"),
    ],
    ids=["some refused", "421 in the envelope", "421 after the dot", "closed after the dot", "half a reply", "closed",
         "no SMTP"],
)  # fmt: skip
def test_every_end_is_the_same(replies: bytes, then: bytes | None, expected: str) -> None:
    assert ends(both(scripted(answering(replies, then)), [(THREE, SHORT)])) == [expected]


@pytest.mark.parametrize(
    ("replies", "then", "timeouts", "expected"),
    [
        (b"250 x\r\n", None, LIMITS._replace(command=0.1), "deferred"),
        (OK, b"", LIMITS._replace(final=0.1), "ambiguous"),
    ],
)
def test_silence_is_the_same(replies: bytes, then: bytes | None, timeouts: Timeouts, expected: str) -> None:
    seen = both(scripted(answering(replies, then, silent=True)), [(THREE, SHORT)], timeouts=timeouts)
    assert ends(seen) == [" ".join([expected] * 3)]
    assert all("within 0.1 seconds" in each.reason for each in seen.outcomes[0])


def test_a_peer_that_does_not_read_times_out_on_both() -> None:
    """How much the system buffers differs from run to run, so the octets are not compared."""

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK, None)(reader, writer)
        await asyncio.sleep(5)

    huge = Bytes(LINE * 400_000)
    for send in (over_asyncio, over_a_blocking_socket):
        with socket_of_a_deaf_peer() as port:
            found = send(port, [(THREE, huge)], False, timeouts=LIMITS._replace(block=0.2))
        assert ends(found) == ["deferred deferred deferred"]
        assert "no answer to content within 0.2 seconds" in found.outcomes[0][0].reason


@contextlib.contextmanager
def socket_of_a_deaf_peer() -> Iterator[int]:
    """A peer that takes the envelope and reads no more."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(HELLO[0])
                connection.recv(100)
                connection.sendall(HELLO[1])
                taken = 0
                while taken < len(ENVELOPE):
                    taken += len(connection.recv(len(ENVELOPE) - taken))
                connection.sendall(OK)
                over.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(20)


def test_a_thread_of_others_that_ends_meanwhile_is_no_hidden_thread() -> None:
    """One that trio keeps for 10 s after another test, for example."""
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()

    class Ending:
        size = SHORT.size

        def chunks(self, at_most: int = 65_536) -> Iterator[bytes]:
            end.set()
            other.join()
            return SHORT.chunks(at_most)

    with Servers(sink()) as servers:
        found = over_a_blocking_socket(servers.port, [(envelope(), Ending())], False, timeouts=LIMITS)
    assert ends(found) == ["delivered"]
    assert not other.is_alive()


def test_content_that_may_not_be_sent_is_the_same() -> None:
    seen = both(scripted(answering(OK, None)), [(THREE, BARE)])
    assert ends(seen) == ["failed failed failed"]
    assert not seen.octets[0].endswith(b".\r\n")


def test_a_message_that_cannot_be_written_is_no_reason_to_end_a_blocking_session() -> None:
    with Servers(sink()) as servers, open_blocking([Endpoint("127.0.0.1", servers.port)], hostname="me") as session:
        with pytest.raises(LocalError):
            session.deliver(envelope("a\r\nQUIT@b.org"), SHORT)
        assert session.usable
        (outcome,) = session.deliver(envelope(), SHORT)
        assert outcome.result == "delivered"


def test_an_interrupt_aborts_a_blocking_session() -> None:
    class Interrupting:
        size = 1_000_000

        def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
            yield LINE
            raise KeyboardInterrupt

    with Servers(sink(offer=PLAIN)) as servers:
        session = open_blocking([Endpoint("127.0.0.1", servers.port)], hostname="me")
        with pytest.raises(KeyboardInterrupt):
            session.deliver(envelope(), Interrupting())
        assert not session.usable
        assert session.fault is not None


def test_a_blocking_session_that_is_refused() -> None:
    with Servers(sink(faults=[parse_fail("connect:554")])) as servers, pytest.raises(SessionRefused) as caught:
        open_blocking([Endpoint("127.0.0.1", servers.port)], hostname="me")
    assert caught.value.reply.code == 554


def test_many_messages_are_taken_only_as_far_ahead_as_asked() -> None:
    taken = itertools.count()
    jobs = ((envelope(), SHORT) for _ in taken)
    with Servers(sink()) as servers, open_blocking([Endpoint("127.0.0.1", servers.port)], hostname="me") as session:
        for done, (_, (outcome,)) in enumerate(session.deliver_each(jobs, ahead=2), 1):
            assert outcome.result == "delivered"
            assert next(taken) - done <= 2 + done  # ``next`` here counts as well
            if done == 5:
                break
        with pytest.raises(LocalError, match="ahead=-1"):
            session.deliver_each([], ahead=-1)


# Content in storage --------------------------------------------------------------------------------------------------


class Stored:
    """Content that a loop must not wait for; it arrives in pieces, each after other work of the loop."""

    def __init__(self, data: bytes, piece: int, fails: bool = False) -> None:
        self.data = data
        self.piece = piece
        self.fails = fails
        self.read = 0
        self.closed = False

    @property
    def size(self) -> int:
        return len(self.data)

    async def stream(self, at_most: int = 262_144) -> AsyncIterator[bytes]:
        try:
            step = min(self.piece, at_most)
            for start in range(0, len(self.data), step):
                await asyncio.sleep(0)
                if self.fails and start > len(self.data) // 2:
                    raise OSError("the disk is gone")
                self.read = start + step
                yield self.data[start : start + step]
        finally:
            self.closed = True


@pytest.mark.parametrize("offer", [PLAIN, PIPELINED, CHUNKED], ids=["plain", "pipelined", "chunked"])
@pytest.mark.parametrize("data", [b"", SHORT.data, LONG.data], ids=["empty", "short", "long"])
@pytest.mark.parametrize("piece", [10_000, 1 << 20])
def test_content_in_storage_arrives_whole(offer: Offer, data: bytes, piece: int) -> None:
    stored: AsyncContent = Stored(data, piece)
    with Servers(sink(offer=offer)) as servers:
        seen = over_asyncio(servers.port, [(envelope(), stored), (envelope(), SHORT)], True)  # type: ignore[list-item]
        octets = b"".join(bytes(each) for each in servers.octets)
    assert ends(seen) == ["delivered", "delivered"]
    if offer is PLAIN:
        assert data.replace(b"\r\n.", b"\r\n..") + b".\r\n" in octets


def test_content_that_cannot_be_read_ends_the_connection() -> None:
    stored = Stored(LONG.data, 10_000, fails=True)

    async def main(port: int) -> None:
        session = await connect(
            [Endpoint("127.0.0.1", port)], network=SocketNetwork(), clock=SystemClock(), hostname="client.example"
        )
        with pytest.raises(OSError, match="the disk is gone"):
            await session.deliver(envelope(), stored)
        assert not session.usable

    with Servers(sink(offer=PLAIN)) as servers:
        asyncio.run(main(servers.port))
        octets = b"".join(bytes(each) for each in servers.octets)
    assert b"\r\n.\r\n" not in octets
    assert stored.closed


def test_reading_stops_when_the_peer_refuses() -> None:
    """And while the peer does not read, no more than a few chunks are in memory."""
    stored = Stored(LINE * 400_000, 1 << 18)
    with socket_of_a_deaf_peer() as port:
        found = over_asyncio(port, [(THREE, stored)], False, timeouts=LIMITS._replace(block=0.2))  # type: ignore[list-item]
    assert ends(found) == ["deferred deferred deferred"]
    assert stored.read < stored.size // 2
    assert stored.closed


def test_a_blocking_socket_takes_no_content_of_a_loop() -> None:
    with Servers(sink()) as servers, open_blocking([Endpoint("127.0.0.1", servers.port)], hostname="me") as session:
        with pytest.raises(LocalError, match="event loop"):
            session.deliver(envelope(), Stored(LONG.data, 1000))  # type: ignore[arg-type]
        assert session.usable


class OnDisk(Stored):
    """Content with both ways of reading, as the spool has it: a loop must use the one that does not wait."""

    def __init__(self, data: bytes, waits: bool) -> None:
        super().__init__(data, 100_000)
        self.waits = waits

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        assert self.waits, "the event loop waits for the disk"
        return Bytes(self.data).chunks(at_most)


@pytest.mark.parametrize("data", [SHORT.data, LONG.data], ids=["short", "long"])
def test_content_with_both_ways_of_reading(data: bytes) -> None:
    for send, waits in ((over_asyncio, False), (over_a_blocking_socket, True)):
        with Servers(sink(offer=PIPELINED)) as servers:
            assert ends(send(servers.port, [(envelope(), OnDisk(data, waits))], False)) == ["delivered"]
