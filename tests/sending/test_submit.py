"""Submission of one message to a named server, over live sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.client.secured_peers import Connection, serving, transaction

from posthouse.core import Address, Bytes, Envelope, Outcome, Recipient, Result, TlsFailed, Unreachable
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.net.hosts import addresses_of
from posthouse.sandbox import Sink
from posthouse.sending import NoSuchHost, ServerAddress, parse_server, submit

LETTER = Bytes(b"Subject: hi\r\n\r\n.dots\r\n")


def envelope(*recipients: str) -> Envelope:
    made = tuple(Recipient(Address(*each.split("@"))) for each in recipients or ("renping@sina.com",))
    return Envelope(Address("langrui", "sohu.com"), made)


def with_sink(use: Callable[[Sink, Endpoint], Awaitable[Any]], bind: Endpoint | None = None, **settings: Any) -> Any:
    """Run ``use`` with a sink on loopback."""

    async def main() -> Any:
        async with asyncio.timeout(60):
            sink = Sink(network=SocketNetwork(), clock=SystemClock(), hostname="sink.test", **settings)
            place = await sink.listen(bind or Endpoint("127.0.0.1", 0))
            try:
                return await use(sink, place)
            finally:
                await sink.stop()

    return asyncio.run(main())


async def give(server: ServerAddress, *recipients: str, **more: Any) -> tuple[Outcome, ...]:
    return await submit(
        server,
        envelope(*recipients),
        LETTER,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname="client.test",
        **more,
    )


@pytest.mark.parametrize("lmtp", [False, True])
def test_one_message(lmtp: bool) -> None:
    lines: list[str] = []

    async def use(sink: Sink, place: Endpoint) -> tuple[Outcome, ...]:
        server = ServerAddress("lmtp" if lmtp else "smtp", place.host, place.port)
        reported = await give(server, "a@b.org", "c@d.org", transcript=lambda who, text: lines.append(f"{who} {text}"))
        assert sink.counts[:4] == (1, 1, 2, LETTER.size)
        return reported

    outcomes = with_sink(use, lmtp=lmtp)
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 2
    assert ("S LHLO client.test" in lines) is lmtp
    assert lines[-2] == "S QUIT"


@pytest.mark.parametrize("chunking", [False, True])
def test_by_data_where_that_is_wanted(chunking: bool) -> None:
    lines: list[str] = []

    async def use(sink: Sink, place: Endpoint) -> None:
        await give(ServerAddress("smtp", *place), chunking=chunking, transcript=lambda who, text: lines.append(text))
        assert sink.counts.octets == LETTER.size

    with_sink(use)
    assert ("DATA" in lines) is not chunking


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")

    async def use(sink: Sink, place: Endpoint) -> None:
        (outcome,) = await give(parse_server(f"lmtp://{path}"))
        assert outcome.result is Result.DELIVERED

    with_sink(use, Endpoint(path), lmtp=True)


def test_a_name_that_the_system_knows() -> None:
    async def use(sink: Sink, place: Endpoint) -> None:
        (outcome,) = await give(ServerAddress("smtp", "localhost", place.port))
        assert outcome.result is Result.DELIVERED
        assert outcome.peer == f"localhost[127.0.0.1]:{place.port}"

    with_sink(use)


def test_nobody_there() -> None:
    async def main() -> None:
        with pytest.raises(Unreachable, match="refused the connection"):
            await give(ServerAddress("smtp", "127.0.0.1", 1))
        with pytest.raises(NoSuchHost, match=r"there is no host mail\.invalid"):
            await give(ServerAddress("smtp", "mail.invalid", 25))
        with pytest.raises(NoSuchHost):
            await addresses_of("a" * 70 + ".org", 25)

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["opportunistic", "require"])
def test_an_opportunistic_handshake_that_fails_is_tried_again_in_clear(mode: str) -> None:
    """T8: on a new connection, once; where TLS is required, never."""

    def script(connection: Connection) -> None:
        connection.say(b"220 mx\r\n")
        connection.expect(b"EHLO")
        connection.say(b"250-mx\r\n250 STARTTLS\r\n")
        if connection.line() == b"STARTTLS":
            connection.say(b"220 go\r\n")
            connection.sock.recv(1)
            connection.reset()
        else:
            connection.say(b"250 ok\r\n")
            transaction(connection)

    with serving(script) as server:
        sending = give(parse_server(f"smtp://127.0.0.1:{server.port}?tls={mode}"), "renping@sina.com")
        if mode == "require":
            with pytest.raises(TlsFailed):
                asyncio.run(sending)
        else:
            (outcome,) = asyncio.run(sending)
            assert outcome.result is Result.DELIVERED
    assert (b"MAIL" in server.clear) is (mode == "opportunistic")
    assert len(server.connections) == (2 if mode == "opportunistic" else 1)
