"""TLS as a layer: it keeps the promises of ``net.stream``, verifies what it should, and never goes on in clear."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from posthouse.core import NetworkError, SettingError, TlsFailed
from posthouse.net import Endpoint, SocketNetwork, SystemClock, tls_engine
from posthouse.net.tls import TlsStream
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine, TlsInfo, TlsState
from posthouse.net.tls_port import TlsNetwork
from posthouse.testing import ManualClock, MemoryNetwork
from posthouse.testing.conformance import STREAM_CHECKS, StreamCheck, run_check
from posthouse.testing.conformance.streams import a_factory_may_fail
from posthouse.testing.recording_handler import RecordingHandler

from .test_streams import LOOPS, run

#: A factory that fails ends a TLS channel before its handshake, so ``connect`` raises: see the test of that below.
CHECKS = [each for each in STREAM_CHECKS if each is not a_factory_may_fail]
NAME = "mx.example.net"


class Files(NamedTuple):
    """PEM files: the authority's certificate, and a server's certificate with its key."""

    ca: str
    certificate: str
    key: str


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issue(authority, tmp_path_factory.mktemp("tls"), NAME, "127.0.0.1")


def issue(authority: trustme.CA, folder: Path, *names: str, **options: Any) -> Files:
    found = authority.issue_cert(*names, **options)
    paths = Files(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))
    authority.cert_pem.write_to_path(paths.ca)
    for number, blob in enumerate(found.cert_chain_pems):
        blob.write_to_path(paths.certificate, append=number > 0)
    found.private_key_pem.write_to_path(paths.key)
    return paths


def network(files: Files, errors: list[BaseException], **options: Any) -> TlsNetwork:
    """TLS over sockets, both roles."""
    context = server_context(files.certificate, files.key)
    below = options.pop("below", None) or SocketNetwork(on_error=errors.append)
    return TlsNetwork(
        below,
        clock=SystemClock(),
        client=options.pop("client", None) or client_context(ca=files.ca),
        server=lambda: context,
        server_name=options.pop("server_name", NAME),
        on_error=errors.append,
        **options,
    )


# The promises of a network


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_promises(check: StreamCheck, version: ssl.TLSVersion, loop: str, files: Files) -> None:
    errors: list[BaseException] = []
    client = client_context(ca=files.ca)
    client.maximum_version = version
    run(loop, run_check(check, network(files, errors, client=client), Endpoint("127.0.0.1"), errors))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_promises_in_memory(check: StreamCheck, files: Files) -> None:
    errors: list[BaseException] = []
    below = MemoryNetwork(SystemClock(), on_error=errors.append)
    asyncio.run(run_check(check, network(files, errors, below=below), Endpoint("127.0.0.1"), errors))


def test_a_factory_that_fails_ends_the_handshake(files: Files) -> None:
    async def scenario() -> None:
        errors: list[BaseException] = []
        fault = ZeroDivisionError("the factory is wrong")

        def factory() -> RecordingHandler:
            raise fault

        both = network(files, errors)
        listener = await both.listen(Endpoint("127.0.0.1"), factory)
        with pytest.raises(NetworkError):
            await both.connect(listener.local, RecordingHandler())
        assert errors == [fault]
        listener.close()

    bounded(scenario)


# The handshake


def bounded(scenario: Callable[[], Any]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(20):
            return await scenario()

    return asyncio.run(within())


def refusal(server: Files, client: ssl.SSLContext, name: str | None) -> str:
    """The error of a client that must not connect; neither end's handler is ever called."""

    async def scenario() -> str:
        errors: list[BaseException] = []
        refused: list[NetworkError] = []
        both = network(
            server, errors, client=client, server_name=name, on_refused=lambda _, error: refused.append(error)
        )
        served, handler = RecordingHandler(), RecordingHandler()
        listener = await both.listen(Endpoint("127.0.0.1"), lambda: served)
        with pytest.raises(TlsFailed) as caught:
            await both.connect(listener.local, handler)
        assert not handler.events
        assert not errors
        listener.close()
        return str(caught.value)

    found: str = bounded(scenario)
    return found


def test_what_was_agreed_on_is_known(files: Files) -> None:
    async def scenario() -> None:
        errors: list[BaseException] = []
        both = network(files, errors)
        served, handler = RecordingHandler(), RecordingHandler()
        listener = await both.listen(Endpoint("127.0.0.1"), lambda: served)
        stream = await both.connect(listener.local, handler)
        info = stream.info
        assert info is not None
        assert (info.version, info.verified, info.server_name) == ("TLSv1.3", True, NAME)
        assert info.cipher.startswith("TLS_")
        assert info.bits >= 128
        assert info.certificate is not None
        await served.until(lambda each: each.events)
        theirs = served.stream
        assert isinstance(theirs, TlsStream)
        assert theirs.info is not None
        assert theirs.info.cipher == info.cipher
        listener.close()
        stream.abort()
        await served.until(lambda each: each.eof or each.ended)

    bounded(scenario)


def test_another_name_is_refused(files: Files) -> None:
    assert "other.example" in refusal(files, client_context(ca=files.ca), "other.example")


def test_a_dot_at_the_end_of_a_name_is_not_part_of_it(files: Files) -> None:
    engine = TlsEngine(client_context(ca=files.ca), server_side=False, peer="h", server_name=f"{NAME}.")
    served = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="c")
    shake(engine, served)
    assert engine.state is served.state is TlsState.OPEN


def test_an_unknown_issuer_is_refused(files: Files) -> None:
    assert "leads to no issuer that is trusted here" in refusal(files, client_context(), NAME)


def test_an_expired_certificate_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    old = issue(authority, tmp_path, NAME, not_after=datetime(2020, 1, 1, tzinfo=UTC))
    assert "expired" in refusal(old, client_context(ca=old.ca), NAME)


def test_an_unverified_client_connects_and_records_it(files: Files) -> None:
    engine = TlsEngine(client_context(verify=False), server_side=False, peer="h", server_name="any.example")
    served = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="c")
    shake(engine, served)
    assert engine.info is not None
    assert not engine.info.verified
    assert engine.info.certificate is not None


def test_the_server_hears_why_a_client_left(files: Files) -> None:
    """In TLS 1.3 the client's alert comes after the server's handshake is over."""
    engine = TlsEngine(client_context(), server_side=False, peer="h", server_name=NAME)
    served = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="192.0.2.1")
    with pytest.raises(TlsFailed):
        shake(engine, served)

    def hear() -> None:
        served.receive(engine.pending())
        served.read(100)

    with pytest.raises(TlsFailed, match=r"192\.0\.2\.1 does not trust our certificate"):
        hear()


@pytest.mark.parametrize("wire", [b"EHLO client.example\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x80" * 100, b"\0" * 5])
def test_what_is_no_tls_ends_the_handshake(wire: bytes, files: Files) -> None:
    served = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="192.0.2.1")
    served.start()

    def arrive() -> None:
        served.receive(wire)
        served.receive_eof()

    with pytest.raises(TlsFailed, match=r"192\.0\.2\.1"):
        arrive()
    assert served.state is TlsState.CLOSED
    assert served.write(b"250 never in clear\r\n") == b""


def test_a_plain_server_is_named_as_such() -> None:
    engine = TlsEngine(client_context(verify=False), server_side=False, peer="mx.example.net")
    engine.start()
    with pytest.raises(TlsFailed, match=r"does not speak TLS here.*STARTTLS"):
        engine.receive(b"220 mx.example.net ESMTP\r\n")


def test_old_versions_are_refused(files: Files) -> None:
    old = client_context(ca=files.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1_1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    engine = TlsEngine(old, server_side=False, peer="h", server_name=NAME)
    served = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="192.0.2.1")
    with pytest.raises(TlsFailed):
        shake(engine, served)


def test_a_silent_peer_has_30_seconds_and_a_handshake_has_a_size(files: Files) -> None:
    async def scenario() -> None:
        errors: list[BaseException] = []
        refused: list[NetworkError] = []
        both = network(files, errors, seconds=0.05, on_refused=lambda _, error: refused.append(error))
        served = RecordingHandler()
        listener = await both.listen(Endpoint("127.0.0.1"), lambda: served)
        plain = RecordingHandler()
        await SocketNetwork().connect(listener.local, plain)
        await plain.until(lambda each: each.eof or each.ended)
        assert "did not end the TLS handshake within 0.05 s" in str(refused[0])
        assert not served.events
        listener.close()
        plain.stream.abort()
        await plain.until(lambda each: each.ended)

    bounded(scenario)


# Octets


def shake(client: TlsEngine, server: TlsEngine) -> None:
    """Carry the handshake's octets to and fro."""
    to_client = server.start()
    to_server = client.start()
    for _ in range(10):
        if not (to_client or to_server):
            return
        server.receive(to_server)
        to_client += server.pending()
        client.receive(to_client)
        to_server, to_client = client.pending(), b""
    raise AssertionError("the handshake does not end")


@pytest.fixture
def engines(files: Files) -> tuple[TlsEngine, TlsEngine]:
    client = TlsEngine(client_context(ca=files.ca), server_side=False, peer="h", server_name=NAME)
    server = TlsEngine(server_context(files.certificate, files.key), server_side=True, peer="c")
    shake(client, server)
    return client, server


def test_octets_arrive_however_they_are_cut(engines: tuple[TlsEngine, TlsEngine]) -> None:
    client, server = engines
    wire = client.write(b"EHLO client.example\r\n") + client.write(b"x" * 40_000)
    received = b""
    for place in range(0, len(wire), 7):
        server.receive(wire[place : place + 7])
        received += server.read(1_000_000)
    assert received == b"EHLO client.example\r\n" + b"x" * 40_000


def test_close_notify_ends_the_input_and_nothing_behind_it_counts(engines: tuple[TlsEngine, TlsEngine]) -> None:
    client, server = engines
    wire = client.write(b"BDAT 10\r\n12345") + client.close()
    server.receive(wire + b"in clear")
    assert server.read(1000) == b"BDAT 10\r\n12345"
    assert server.read(1000) == b""
    assert server.state is TlsState.PEER_DONE
    server.receive(b"more in clear")
    assert server.read(1000) == b""
    assert client.write(b"too late") == b""
    # The other direction is still open (RFC 8446 section 6.1).
    assert server.write(b"250 OK\r\n")


def test_an_end_without_close_notify_is_an_end(engines: tuple[TlsEngine, TlsEngine]) -> None:
    client, server = engines
    server.receive(client.write(b".\r\n"))
    server.receive_eof()
    assert server.read(1000) == b".\r\n"
    assert server.read(1000) == b""
    assert server.state is TlsState.PEER_DONE


def test_an_altered_record_breaks_the_connection(engines: tuple[TlsEngine, TlsEngine]) -> None:
    client, server = engines
    good = client.write(b"good")
    bad = bytearray(client.write(b"evil"))
    bad[-1] ^= 1
    server.receive(good + bytes(bad))
    assert server.read(1000) == b"good"
    with pytest.raises(TlsFailed):
        server.read(1000)
    assert server.state is TlsState.CLOSED


def test_a_reply_to_what_came_before_an_altered_record_is_dropped_without_an_error(
    engines: tuple[TlsEngine, TlsEngine],
) -> None:
    """The fault is met behind a good command, whose handler answers before it is told."""
    client, server = engines
    bad = bytearray(client.write(b"NOOP\r\n") + client.write(b"evil"))
    bad[-1] ^= 1
    server.receive(bytes(bad))
    assert server.read(1000) == b"NOOP\r\n"
    assert server.write(b"250 OK\r\n") == b""
    with pytest.raises(TlsFailed):
        server.read(1000)


def test_a_layer_goes_into_an_open_channel_and_keeps_octets_that_were_read_ahead(files: Files) -> None:
    """STARTTLS: both ends put the layer in, and the ClientHello has come together with the last octets in clear."""

    async def scenario() -> None:
        clock = SystemClock()
        below = SocketNetwork()
        served, client = RecordingHandler(), RecordingHandler()
        listener = await below.listen(Endpoint("127.0.0.1"), lambda: served)
        plain = await below.connect(listener.local, client)
        await served.until(lambda each: each.events)
        up: list[TlsInfo] = []
        ours = TlsStream(
            client_context(ca=files.ca), client, clock=clock, server_side=False, server_name=NAME, on_up=up.append
        )
        ours.start(plain)
        await served.until(lambda each: each.received)  # the ClientHello, read before the layer is there
        hello, served.received = served.received, bytearray()
        theirs = TlsStream(
            server_context(files.certificate, files.key), served, clock=clock, server_side=True, on_up=up.append
        )
        theirs.start(served.stream, bytes(hello))
        ours.write(b"")
        while len(up) < 2:
            await asyncio.sleep(0)
        ours.write(b"EHLO again\r\n")
        await served.until(lambda each: each.received == b"EHLO again\r\n")
        theirs.write(b"250 hello\r\n")
        await client.until(lambda each: each.received == b"250 hello\r\n")
        assert client.events.count("connected") == 1
        listener.close()
        ours.close()
        await served.until(lambda each: each.eof)
        theirs.close()
        for end in (client, served):
            await end.until(lambda each: each.ended)
            assert end.error is None

    bounded(scenario)


# Settings


def test_files_that_do_not_fit_are_named(files: Files, authority: trustme.CA, tmp_path: Path) -> None:
    other = issue(authority, tmp_path, "other.example")
    with pytest.raises(SettingError, match="does not belong"):
        server_context(files.certificate, other.key)
    with pytest.raises(SettingError, match="cannot be read"):
        server_context(str(tmp_path / "none.pem"), files.key)
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing here")
    with pytest.raises(SettingError, match=r"empty\.pem: this file holds no certificate; write the path of a PEM file"):
        server_context(str(empty))
    with pytest.raises(SettingError, match=r"empty\.pem: this file holds no key; write"):
        server_context(files.certificate, str(empty))
    with pytest.raises(SettingError, match="holds no key; name the key's file as well"):
        server_context(files.certificate)
    with pytest.raises(SettingError, match="holds a key and no certificate; see whether the two files are exchanged"):
        server_context(files.key, files.certificate)
    with pytest.raises(SettingError, match=r"does not hold|cannot be read"):
        client_context(ca=str(empty))


def test_a_chain_in_another_order_and_other_forms_of_files_are_named(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority.create_child_ca(), tmp_path, "mx.example.net")
    chain = Path(files.certificate).read_text().split("-----END CERTIFICATE-----\n")[:2]
    turned = tmp_path / "turned.pem"
    turned.write_text("".join(f"{each}-----END CERTIFICATE-----\n" for each in reversed(chain)))
    with pytest.raises(SettingError, match=r"turned.pem: the certificate that belongs to the key is not the first"):
        server_context(str(turned), files.key)
    der = tmp_path / "der.crt"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(f"{chain[0]}-----END CERTIFICATE-----\n"))
    with pytest.raises(SettingError, match=r"der.crt: this file is in DER.*convert it: openssl x509 -inform der"):
        server_context(str(der), files.key)
    locked = tmp_path / "locked.key"
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    closed = serialization.BestAvailableEncryption(b"password")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed))
    with pytest.raises(SettingError, match=r"locked.key: the key is encrypted; store it without a password"):
        server_context(files.certificate, str(locked))


def test_a_certificate_that_is_refused_after_the_handshake_is_a_failed_handshake(files: Files) -> None:
    """In TLS 1.3 the client's alert may follow its Finished: it comes where its first octets would."""

    async def scenario() -> None:
        errors: list[BaseException] = []
        refused: list[NetworkError] = []
        both = network(files, errors, on_refused=lambda _, error: refused.append(error))
        served, handler = RecordingHandler(), RecordingHandler()
        listener = await both.listen(Endpoint("127.0.0.1"), lambda: served)
        stream = await both.connect(listener.local, handler)
        await served.until(lambda each: each.events)
        layer = served.stream
        assert isinstance(layer, TlsStream)
        alert = ssl.SSLError(1, "an alert")
        alert.reason = "TLSV1_ALERT_UNKNOWN_CA"
        layer._engine._fault = alert  # what OpenSSL says when it reads one
        stream.write(b"x")
        await served.until(lambda each: each.ended)
        assert [str(each) for each in refused] == ["the client does not trust our certificate (unknown ca)"]
        assert not served.received
        await handler.until(lambda each: each.eof or each.ended)
        listener.close()
        stream.abort()
        assert not errors

    bounded(scenario)


# The end


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
@pytest.mark.parametrize("end", ["close", "close_gently"])
def test_a_peer_that_never_answers_close_notify_is_not_waited_for(
    end: str, version: ssl.TLSVersion, files: Files
) -> None:
    """``close`` ends at once, ``close_gently`` after its time: the clock is moved, and nobody answers."""

    async def scenario() -> None:
        clock = ManualClock()
        context = server_context(files.certificate, files.key)
        below = MemoryNetwork(clock)
        served, plain = RecordingHandler(), RecordingHandler()
        both = TlsNetwork(below, clock=clock, server=lambda: context)
        listener = await both.listen(Endpoint("127.0.0.1"), lambda: served)
        raw = await below.connect(listener.local, plain)
        client = client_context(ca=files.ca)
        client.maximum_version = version
        engine = TlsEngine(client, server_side=False, peer="h", server_name=NAME)
        raw.write(engine.start())
        while engine.state is TlsState.HANDSHAKE:
            await plain.until(lambda each: each.received)
            engine.receive(bytes(plain.received))
            plain.received.clear()
            raw.write(engine.pending())
        await served.until(lambda each: each.events)
        served.stream.write(b"221 bye\r\n")
        if end == "close":
            served.stream.close()
        else:
            served.stream.close_gently(5.0)
            await plain.until(lambda each: each.eof)
            assert not served.ended
            await clock.advance(5.1)
        await served.until(lambda each: each.ended)
        raw.abort()
        await plain.until(lambda each: each.ended)
        listener.close()

    bounded(scenario)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
def test_what_had_arrived_is_given_though_every_write_meets_a_reset(
    loop: str, version: ssl.TLSVersion, files: Files
) -> None:
    """A client that ends its handshake, sends a whole session and is gone: our tickets and replies cannot be sent."""
    octets = b"".join(b"%06d\r\n" % number for number in range(1_500))

    async def scenario() -> None:
        async with asyncio.timeout(30):
            errors: list[BaseException] = []
            served = RecordingHandler(lambda handler, data: handler.stream.write(b"250 OK\r\n" * 100))
            listener = await network(files, errors).listen(Endpoint("127.0.0.1"), lambda: served)
            client = client_context(ca=files.ca)
            client.maximum_version = version
            engine = TlsEngine(client, server_side=False, peer="h", server_name=NAME)
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.local.port)
            last = engine.start()
            while engine.state is TlsState.HANDSHAKE:
                writer.write(last)
                engine.receive(await reader.read(65_536))
                last = engine.pending()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.write(last + engine.write(octets))
            assert not writer.transport.get_write_buffer_size()
            writer.transport.abort()  # a reset, behind what has been sent
            await served.until(lambda each: each.ended)
            assert bytes(served.received) == octets
            assert not errors
            listener.close()

    run(loop, scenario())


# Writes


class Below:
    """The stream below a layer, which keeps what is written, in one piece for each call."""

    def __init__(self) -> None:
        self.peer, self.local = Endpoint("192.0.2.1", 25), Endpoint("192.0.2.2", 25)
        self.written: list[bytes] = []
        self.closed_after = -1  # writes

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed_after = len(self.written)

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        self.close()

    def abort(self) -> None: ...

    def set_handler(self, handler: object) -> None: ...


def layered(files: Files, react: Callable[[RecordingHandler, bytes], None]) -> tuple[TlsEngine, TlsStream, Below]:
    """A client's engine, and a server's layer that has shaken hands with it."""
    client = TlsEngine(client_context(ca=files.ca), server_side=False, peer="h", server_name=NAME)
    layer = TlsStream(
        server_context(files.certificate, files.key),
        RecordingHandler(react),
        clock=ManualClock(),
        server_side=True,
    )
    below = Below()
    layer.connected(below)
    layer.data_received(client.start())
    client.receive(b"".join(below.written))
    below.written.clear()
    layer.data_received(client.pending())
    client.receive(b"".join(below.written))
    assert client.read(1000) == b""
    below.written.clear()
    return client, layer, below


def test_what_is_written_in_one_turn_is_sent_together(files: Files) -> None:
    """Two replies and close_notify are one write below, before the end of the stream below."""

    def react(handler: RecordingHandler, data: bytes) -> None:
        handler.stream.write(b"250 OK\r\n")
        handler.stream.write(b"221 Bye\r\n")
        handler.stream.close_gently()

    client, layer, below = layered(files, react)
    layer.data_received(client.write(b"NOOP\r\nQUIT\r\n"))
    assert len(below.written) == below.closed_after == 1
    client.receive(below.written[0])
    assert client.read(1000) == b"250 OK\r\n221 Bye\r\n"
    assert client.read(1000) == b""
    assert client.state is TlsState.PEER_DONE


def test_what_is_written_in_one_turn_and_is_much_is_sent_at_once(files: Files) -> None:
    """The write queue below must see it, so that a handler is told to pause."""
    seen: list[int] = []

    def react(handler: RecordingHandler, data: bytes) -> None:
        for _ in range(8):
            handler.stream.write(b"x" * 8_000)
            seen.append(sum(map(len, below.written)))

    client, layer, below = layered(files, react)
    layer.data_received(client.write(b"NOOP\r\n"))
    assert all(sent >= 8_000 * number - 16_384 for number, sent in enumerate(seen, 1))
    assert seen[0] == 0
    client.receive(b"".join(below.written))
    assert client.read(100_000) == b"x" * 64_000


def test_what_is_written_later_is_sent_at_once(files: Files) -> None:
    client, layer, below = layered(files, lambda handler, data: None)
    layer.write(b"421 Bye\r\n")
    client.receive(below.written.pop())
    assert client.read(1000) == b"421 Bye\r\n"


def test_a_server_gives_one_ticket_with_which_a_session_is_resumed(files: Files) -> None:
    context, settings = server_context(files.certificate, files.key), client_context(ca=files.ca)
    assert context.num_tickets == 1
    resumed = None
    for again in (False, True):
        client = TlsEngine(settings, server_side=False, peer="h", server_name=NAME, resumed=resumed)
        server = TlsEngine(context, server_side=True, peer="c")
        shake(client, server)
        client.receive(server.write(b"220 here\r\n"))
        assert client.read(100) == b"220 here\r\n"
        assert client._tls.session_reused is again
        resumed = client.resumable()
        assert resumed is not None


@pytest.mark.parametrize(("address", "name"), [("\0any", "ann"), ("ann@a.example", "\0any"), ("\x1b[2J", "a\nb")])
def test_a_name_with_a_control_character_is_nobodys(address: str, name: str) -> None:
    """It could be taken for a mark of ours, and stands in logs."""
    certificate = {"subjectAltName": (("email", address),), "subject": ((("commonName", name),),)}
    assert tls_engine._client_names(certificate) == tuple(
        each if each.isprintable() else "" for each in (address, name)
    )
