"""STARTTLS while the client does not read: the state of the write queue goes over to the layer, and nothing hangs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from posthouse.net import SystemClock
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine, TlsInfo, TlsState
from posthouse.server import Server
from posthouse.server.settings import Protection
from posthouse.testing import MemoryNetwork

from .session_harness import CountingStream, Policy


class Secured(Policy):
    """A policy that is told of TLS."""

    def __init__(self) -> None:
        super().__init__()
        self.infos: list[TlsInfo] = []
        self.failures: list[Exception] = []

    def tls_started(self, info: TlsInfo) -> None:
        self.infos.append(info)

    def tls_failed(self, error: Exception) -> None:
        self.failures.append(error)


class Choking(CountingStream):
    """A stream whose handler is told to pause while the reply to STARTTLS is written; it may get another handler."""

    def __init__(self) -> None:
        super().__init__()
        self.handler: object = None

    def set_handler(self, handler: object) -> None:
        self.handler = handler


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The settings of a client and of a server."""
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    return client_context(ca=str(folder / "ca.pem")), server_context(str(folder / "own.pem"))


@pytest.mark.parametrize("resumes", ["before the handshake", "within it", "after it"])
def test_a_client_that_does_not_read_before_starttls(
    resumes: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def scenario() -> None:
        policy, stream, faults = Secured(), Choking(), []
        clock = SystemClock()
        server = Server(
            policy,
            network=MemoryNetwork(clock),
            clock=clock,
            hostname="mx.test",
            protection=Protection(lambda: contexts[1]),
            on_error=faults.append,
        )
        session = server.session()
        session.connected(stream)  # type: ignore[arg-type]
        session.data_received(b"EHLO client.example\r\n")
        greeted = len(stream.written)
        stream.most = (greeted, session)
        session.data_received(b"HELP\r\nHELP\r\nSTARTTLS\r\n")
        assert stream.written.endswith(b"220 2.0.0 Ready to start TLS\r\n")
        assert stream.most is None, "the session was told to pause"
        clear = len(stream.written)
        layer = stream.handler
        assert layer is not None, "the layer is in, though the client does not read"

        client = TlsEngine(contexts[0], server_side=False, peer="h", server_name="localhost")

        def resume(when: str) -> None:
            if when == resumes:
                layer.resume_writing()  # type: ignore[attr-defined]

        def exchange(octets: bytes) -> bytes:
            before = len(stream.written)
            layer.data_received(octets)  # type: ignore[attr-defined]
            return stream.written[before:]

        resume("before the handshake")
        answer = exchange(client.start())
        resume("within it")
        while client.state is TlsState.HANDSHAKE:
            client.receive(answer)
            answer = exchange(client.pending())
        client.receive(answer)
        before = len(stream.written)
        answer = exchange(client.write(b"EHLO client.example\r\n"))
        if resumes == "after it":
            assert not answer, "nothing is said while the client does not read"
            resume("after it")
            answer = stream.written[before:]
        client.receive(answer)
        inside = client.read(65_536)
        assert inside.startswith(b"250-test")
        assert b"STARTTLS" not in inside
        assert len(policy.infos) == 1
        assert stream.written[clear] == 22, "the first octet behind the 220 is that of a handshake record"
        assert not policy.failures
        assert not faults
        session.disconnected(None)
        await asyncio.sleep(0)

    asyncio.run(scenario())
