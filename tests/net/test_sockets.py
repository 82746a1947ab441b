"""What is true of real sockets only: the system's errors, addresses, options."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import struct
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Broken, LocalError, SettingError, TimedOut, Unreachable
from posthouse.net import Endpoint, SocketNetwork
from posthouse.net.socket_listener import IN_ONE_TURN, RARELY
from posthouse.net.system import broken_by, endpoint_of, not_listening, unreachable
from posthouse.testing import RecordingHandler

LOOPBACK = Endpoint("127.0.0.1")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(bounded())


def raw(endpoint: Endpoint) -> socket.socket:
    sock = socket.create_connection((endpoint.host, endpoint.port), timeout=10)
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("192.0.2.1", 25), "192.0.2.1:25"),
        (Endpoint("2001:db8::1", 25), "[2001:db8::1]:25"),
        (Endpoint("127.0.0.1"), "127.0.0.1:0"),
        (Endpoint("/run/posthouse/lmtp"), "/run/posthouse/lmtp"),
        (Endpoint(""), "a local process"),
    ],
)
def test_endpoints_read_as_people_write_them(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text


def test_a_peer_may_end_its_half_and_still_be_answered() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = RecordingHandler()
        listener = await SocketNetwork().listen(LOOPBACK, lambda: server)
        with raw(listener.local) as sock:
            await loop.sock_sendall(sock, b"all I have to say")
            sock.shutdown(socket.SHUT_WR)
            await server.until(lambda server: server.eof)
            server.stream.pause_reading()
            server.stream.resume_reading()  # must not read the end again
            server.stream.write(b"the answer")
            assert await loop.sock_recv(sock, 100) == b"the answer"
            server.stream.close_gently()  # nothing is left to drain
            assert await loop.sock_recv(sock, 100) == b""
            await server.until(lambda server: server.ended)
        assert server.events == ["connected", "data_received", "eof_received", "disconnected"]
        assert server.error is None
        listener.close()

    run(scenario())


def test_an_accepted_connection_is_read_in_small_pieces_until_its_content_is_large() -> None:
    """What was read and cannot be handled yet stays in memory."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        sizes: list[int] = []

        class Sizes(RecordingHandler):
            def data_received(self, data: bytes) -> None:
                sizes.append(len(data))
                super().data_received(data)

        server = Sizes()
        listener = await SocketNetwork().listen(LOOPBACK, lambda: server)
        with raw(listener.local) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            for total in (1_000_000, 2_000_000):
                before = len(sizes)
                await loop.sock_sendall(sock, b"x" * 1_000_000)
                await server.until(lambda server, total=total: len(server.received) >= total)
                assert sizes[before] <= 16_384
                assert max(sizes[before : before + 4]) <= 16_384
                assert max(sizes[before:]) > 16_384
                server.stream.write(b"250 ok")
                assert await loop.sock_recv(sock, 100) == b"250 ok"
            server.stream.abort()
            await server.until(lambda server: server.ended)
        listener.close()

    run(scenario())


def test_a_peer_that_does_not_read_holds_little_of_what_is_written() -> None:
    async def scenario() -> None:
        server = RecordingHandler()
        listener = await SocketNetwork().listen(LOOPBACK, lambda: server)
        with raw(listener.local) as sock:
            await server.until(lambda server: server.events)
            written = 0
            while "pause_writing" not in server.events:
                server.stream.write(b"x" * 1000)
                written += 1000
                assert written < 3_000_000
            buffered = server.stream._transport.get_write_buffer_size()  # type: ignore[attr-defined]
            assert buffered < 20_000
            assert (
                server.stream._transport.get_extra_info("socket").getsockopt(  # type: ignore[attr-defined]
                    socket.SOL_SOCKET, socket.SO_SNDBUF
                )
                <= 131_072
            )
            sock.close()
            await server.until(lambda server: server.ended)
        listener.close()

    run(scenario())


def test_a_reset_is_broken_with_its_cause() -> None:
    async def scenario() -> None:
        server = RecordingHandler()
        listener = await SocketNetwork().listen(LOOPBACK, lambda: server)
        sock = raw(listener.local)
        sock.send(b"x")
        await server.until(lambda server: server.received)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await server.until(lambda server: server.ended)
        assert isinstance(server.error, Broken)
        assert isinstance(server.error.__cause__, ConnectionResetError)
        assert str(server.stream.peer) in str(server.error)
        server.stream.write(b"nobody hears this")
        server.stream.pause_reading()
        server.stream.resume_reading()
        for end in (server.stream.close, server.stream.close_gently, server.stream.abort):
            end()
        assert server.events.count("disconnected") == 1
        listener.close()

    run(scenario())


def test_the_words_for_a_broken_channel() -> None:
    peer = Endpoint("192.0.2.1", 25)
    assert broken_by(None, peer) is None
    assert isinstance(broken_by(TimeoutError(110, "timed out"), peer), TimedOut)
    assert isinstance(broken_by(BrokenPipeError(), peer), Broken)
    assert "No route" in str(broken_by(OSError(113, "No route to host"), peer))


def test_small_writes_are_not_delayed_by_the_system() -> None:
    async def scenario() -> None:
        client, server = RecordingHandler(), RecordingHandler()
        network = SocketNetwork()
        listener = await network.listen(LOOPBACK, lambda: server)
        stream = await network.connect(listener.local, client)
        await server.until(lambda server: server.events)
        for end in (stream, server.stream):
            sock = end._transport.get_extra_info("socket")  # type: ignore[attr-defined]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for recorder in (client, server):
            recorder.stream.abort()
            await recorder.until(lambda recorder: recorder.ended)
        listener.close()

    run(scenario())


def test_several_listeners_share_a_port_when_asked_to() -> None:
    async def scenario() -> None:
        sharing = SocketNetwork(reuse_port=True)
        first = await sharing.listen(LOOPBACK, RecordingHandler)
        second = await sharing.listen(first.local, RecordingHandler)
        assert second.local == first.local
        with pytest.raises(SettingError, match=f"{first.local}: another program already listens there; stop it or"):
            await SocketNetwork().listen(first.local, RecordingHandler)
        first.close()
        second.close()

    run(scenario())


def test_ipv6_everywhere_leaves_ipv4_free() -> None:
    async def scenario() -> None:
        network = SocketNetwork()
        try:
            (await network.listen(Endpoint("::"), RecordingHandler)).close()
        except SettingError as error:
            pytest.skip(f"needs IPv6: {error}")
        # IPv4 first: its ports are those that other programs of this machine have.
        four = await network.listen(Endpoint("0.0.0.0"), RecordingHandler)
        try:
            six = await network.listen(Endpoint("::", four.local.port), RecordingHandler)
            assert four.local.port == six.local.port
            six.close()
        finally:
            four.close()

    run(scenario())


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("192.0.2.1", 2525), "not an address of this machine"),
        (Endpoint("mail.example.org", 2525), "not an IP address"),
        (Endpoint("/nonexistent/directory/socket"), "directory does not exist"),
        (Endpoint("/" + "x" * 200), "cannot listen"),
    ],
)
def test_where_nobody_can_listen(endpoint: Endpoint, text: str) -> None:
    async def scenario() -> None:
        with pytest.raises(SettingError, match=text) as caught:
            await SocketNetwork().listen(endpoint, RecordingHandler)
        assert caught.value.where == str(endpoint)
        assert caught.value.remedy

    run(scenario())


def test_a_privileged_port_says_what_to_do() -> None:
    error = not_listening(PermissionError(13, "Permission denied"), Endpoint("0.0.0.0", 25))
    assert "CAP_NET_BIND_SERVICE" in str(error)
    assert "0.0.0.0:25" in str(error)


def test_a_dead_socket_file_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = SocketNetwork()
        place = Endpoint(str(tmp_path / "socket"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(place.host)
        listener = await network.listen(place, RecordingHandler)
        with pytest.raises(SettingError, match="already listens"):
            await network.listen(place, RecordingHandler)
        listener.close()
        assert not os.path.exists(place.host)
        (tmp_path / "socket").write_text("a file of somebody's")
        with pytest.raises(SettingError, match="already"):
            await network.listen(place, RecordingHandler)
        assert (tmp_path / "socket").read_text() == "a file of somebody's"

    run(scenario())


def test_a_listener_leaves_a_newer_socket_file_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = SocketNetwork()
        place = Endpoint(str(tmp_path / "socket"))
        server, client = RecordingHandler(), RecordingHandler()
        old = await network.listen(place, RecordingHandler)
        os.rename(place.host, tmp_path / "moved")
        new = await network.listen(place, lambda: server)
        old.close()
        await network.connect(place, client)
        await server.until(lambda server: server.events)
        for recorder in (client, server):
            recorder.stream.abort()
            await recorder.until(lambda recorder: recorder.ended)
        new.close()

    run(scenario())


def test_no_socket_file_is_unreachable(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(Unreachable, match="does not exist"):
            await SocketNetwork().connect(Endpoint(str(tmp_path / "none")), RecordingHandler())

    run(scenario())


def test_a_full_queue_is_unreachable_not_connected(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Endpoint(str(tmp_path / "socket"))
        network = SocketNetwork()
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(place.host)
            deaf.listen(0)
            waiting: list[RecordingHandler] = []

            async def fill() -> None:
                for _ in range(8):
                    recorder = RecordingHandler()
                    await network.connect(place, recorder)
                    waiting.append(recorder)

            with pytest.raises(Unreachable, match="busy"):
                await fill()
            assert waiting
            for recorder in waiting:
                recorder.stream.abort()
                await recorder.until(lambda recorder: recorder.ended)

    run(scenario())


def test_the_source_address() -> None:
    async def scenario() -> None:
        client, server = RecordingHandler(), RecordingHandler()
        network = SocketNetwork()
        listener = await network.listen(LOOPBACK, lambda: server)
        stream = await network.connect(listener.local, client, source="127.0.0.2")
        await server.until(lambda server: server.events)
        assert stream.local.host == server.stream.peer.host == "127.0.0.2"
        for recorder in (client, server):
            recorder.stream.abort()
            await recorder.until(lambda recorder: recorder.ended)
        with pytest.raises(Unreachable, match=r"192\.0\.2\.1 is not an address of this machine"):
            await network.connect(listener.local, RecordingHandler(), source="192.0.2.1")
        with pytest.raises(Unreachable, match="from the source address ::1"):
            await network.connect(listener.local, RecordingHandler(), source="::1")
        with pytest.raises(LocalError, match="ask a resolver"):
            await network.connect(listener.local, RecordingHandler(), source="localhost")
        listener.close()

    run(scenario())


def test_unknown_errors_keep_the_systems_own_words() -> None:
    error = unreachable(OSError(71, "Protocol error"), Endpoint("192.0.2.1", 25), "")
    assert str(error) == "192.0.2.1:25 cannot be reached: Protocol error"


def test_a_cancelled_connect_leaves_no_socket_open() -> None:
    async def scenario() -> None:
        network = SocketNetwork()
        with socket.socket() as deaf:  # its queue is full, so connecting never ends
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            place = Endpoint(*deaf.getsockname())
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((place.host, place.port))
            before = len(os.listdir("/proc/self/fd"))
            handler = RecordingHandler()
            attempt = asyncio.create_task(network.connect(place, handler))
            for _ in range(3):
                await asyncio.sleep(0)
            assert not attempt.done()
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            assert len(os.listdir("/proc/self/fd")) == before
            assert not handler.events
            for filler in fillers:
                filler.close()

    run(scenario())


def test_close_does_not_wait_for_ever_for_a_peer_that_never_reads() -> None:
    async def scenario() -> None:
        server = RecordingHandler()
        listener = await SocketNetwork(flush_seconds=0.01).listen(LOOPBACK, lambda: server)
        with raw(listener.local) as sock:
            await server.until(lambda server: server.events)
            while not server.paused:
                server.stream.write(b"x" * 65_536)
            server.stream.close()
            await server.until(lambda server: server.ended)
            assert sock.fileno() >= 0
        listener.close()

    run(scenario())


def test_without_on_error_the_loop_is_told() -> None:
    async def scenario() -> None:
        reported: list[BaseException] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))

        def fail(recorder: RecordingHandler, data: bytes) -> None:
            raise ZeroDivisionError

        server = RecordingHandler(fail)
        listener = await SocketNetwork().listen(LOOPBACK, lambda: server)
        with raw(listener.local) as sock:
            sock.send(b"x")
            await server.until(lambda server: server.ended)
        assert [type(error) for error in reported] == [ZeroDivisionError]
        listener.close()

    run(scenario())


def test_faults_in_every_callback_are_told_and_end_the_channel() -> None:
    async def scenario() -> None:
        for name in ("connected", "eof_received", "pause_writing", "disconnected"):
            reported: list[BaseException] = []
            server = RecordingHandler()
            real = getattr(server, name)

            def fail(*arguments: object, real: Any = real) -> None:
                real(*arguments)
                raise ZeroDivisionError

            setattr(server, name, fail)
            listener = await SocketNetwork(on_error=reported.append).listen(LOOPBACK, lambda server=server: server)
            with raw(listener.local) as sock:
                await server.until(lambda server: server.events)
                if name == "pause_writing":
                    server.stream.write(bytes(16_777_216))
                if name == "eof_received":
                    sock.shutdown(socket.SHUT_WR)
                if name == "disconnected":
                    server.stream.close()
                await server.until(lambda server: server.ended)
            listener.close()
            assert [type(error) for error in reported] == [ZeroDivisionError], name
            assert server.events.count("disconnected") == 1
            assert isinstance(server.error, LocalError) or name == "disconnected"

    run(scenario())


LOOPS = [
    "asyncio",
    pytest.param(
        "uvloop",
        marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs: pip install uvloop"),
    ),
]


@pytest.mark.parametrize("alone", [0, 40])
@pytest.mark.parametrize("kind", LOOPS)
def test_of_many_connections_that_wait_some_are_accepted_in_each_turn_and_never_all(kind: str, alone: int) -> None:
    async def scenario() -> None:
        handlers: list[RecordingHandler] = []

        def made() -> RecordingHandler:
            handlers.append(RecordingHandler())
            return handlers[-1]

        listener = await SocketNetwork().listen(LOOPBACK, made)
        clients = []
        for number in range(alone):  # after which the listener looks more rarely whether more wait
            clients.append(raw(listener.local))
            while len(handlers) <= number:
                await asyncio.sleep(0.001)
        clients += [raw(listener.local) for _ in range(200)]  # the kernel opens them, while this loop does nothing
        turns, most, before = 0, 0, alone
        while len(handlers) < alone + 200:
            await asyncio.sleep(0)
            most, before = max(most, len(handlers) - before), len(handlers)
            turns += 1
        for client in clients:
            client.close()
        listener.close()
        for handler in handlers:
            await handler.until(lambda handler: handler.eof)
            handler.stream.abort()
            await handler.until(lambda handler: handler.ended)
        assert turns <= 50 + RARELY
        assert most <= 2 * IN_ONE_TURN

    if kind == "asyncio":
        run(scenario())
    else:
        import uvloop

        uvloop.run(asyncio.wait_for(scenario(), 30))


def test_an_ipv4_client_of_a_socket_of_both_families_has_its_ipv4_address() -> None:
    assert endpoint_of(("::ffff:192.0.2.1", 25, 0, 0)) == Endpoint("192.0.2.1", 25)
    assert endpoint_of(("::ffff:0:1", 25, 0, 0)) == Endpoint("::ffff:0:1", 25)
    assert endpoint_of(("2001:db8::1", 25, 0, 0)) == Endpoint("2001:db8::1", 25)
