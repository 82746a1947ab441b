"""Sending without a daemon: straight to the mail exchangers of each recipient."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.client.secured_peers import Connection, pair, serving, transaction

from posthouse.core import Address, Body, Bytes, Envelope, Outcome, Recipient, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.sandbox import Sink, parse_fail
from posthouse.sending import deliver_direct
from posthouse.testing import StaticResolver

LETTER = Bytes("Subject: hi\r\n\r\nRép\r\n".encode())


def deliver(*recipients: str, faults: tuple[Any, ...] = ()) -> tuple[tuple[Outcome, ...], Sink]:
    """Deliver directly, with a sink as everybody's mail exchanger."""

    async def main() -> tuple[tuple[Outcome, ...], Sink]:
        async with asyncio.timeout(60):
            sink = Sink(network=SocketNetwork(), clock=SystemClock(), hostname="mx.test", faults=faults)
            place = await sink.listen(Endpoint("127.0.0.1", 0))
            made = tuple(Recipient(Address(*each.split("@"))) for each in recipients)
            envelope = Envelope(Address("a", "b.org"), made, body=Body.EIGHTBITMIME)
            try:
                return await deliver_direct(envelope, LETTER, resolver=dns(), port=place.port, loopback=True), sink
            finally:
                await sink.stop()

    return asyncio.run(main())


def dns() -> StaticResolver:
    exchanger = {"MX": ["10 mx.test."]}
    return StaticResolver(
        {
            "one.test": exchanger,
            "xn--fsqu00a.test": exchanger,
            "null.test": {"MX": ["0 ."]},
            "mx.test": {"A": ["127.0.0.1"]},
        }
    )


def test_each_domain_gets_one_session_and_the_order_stays() -> None:
    outcomes, sink = deliver("x@one.test", "y@例子.test", "z@one.test")
    assert [str(each.recipient.address) for each in outcomes] == ["x@one.test", "y@例子.test", "z@one.test"]
    assert [each.result for each in outcomes] == [Result.DELIVERED] * 3
    assert (sink.counts.connections, sink.counts.messages, sink.counts.recipients) == (2, 2, 3)


def test_what_the_dns_says_is_an_outcome() -> None:
    (null, absent, none), sink = deliver("x@null.test", "y@absent.test", "z@-bad-.test")
    assert [each.result for each in (null, absent, none)] == [Result.FAILED] * 3
    assert null.reply is not None
    assert (null.reply.code, null.reply.enhanced) == (556, "5.1.10")
    assert sink.counts.connections == 0


def test_what_the_exchanger_says_is_an_outcome() -> None:
    (outcome,), _ = deliver("x@one.test", faults=(parse_fail("rcpt:450:4.2.1"),))
    assert outcome.result is Result.DEFERRED
    assert outcome.reply is not None
    assert str(outcome.reply).startswith("450 4.2.1")


def direct(script: Any, name: str = "one.test") -> tuple[Outcome, bytes, bytes]:
    """Deliver directly to a scripted exchanger; its outcome, and what came in clear and inside TLS."""

    async def main(port: int) -> tuple[Outcome, ...]:
        async with asyncio.timeout(60):
            envelope = Envelope(Address("a", "b.org"), (Recipient(Address("x", name)),))
            return await deliver_direct(envelope, Bytes(b"\r\nhi\r\n"), resolver=dns(), port=port, loopback=True)

    with serving(script) as server:
        (outcome,) = asyncio.run(main(server.port))
    return outcome, server.clear, server.inside


def offering_tls(connection: Connection) -> bool:
    """Greet and offer STARTTLS; returns whether it was taken."""
    connection.say(b"220 mx\r\n")
    connection.expect(b"EHLO")
    connection.say(b"250-mx\r\n250 STARTTLS\r\n")
    if connection.line() != b"STARTTLS":
        connection.say(b"250 ok\r\n")
        transaction(connection)
        return False
    connection.say(b"220 go\r\n")
    return True


def test_tls_is_used_where_an_exchanger_offers_it(tmp_path: Path) -> None:
    """Opportunistic: the certificate may be for another name, and of an unknown issuer."""
    found = pair(tmp_path, "other.example")

    def script(connection: Connection) -> None:
        if offering_tls(connection):
            connection.handshake(found.server)
            transaction(connection)

    outcome, clear, inside = direct(script)
    assert outcome.result is Result.DELIVERED
    assert b"MAIL" not in clear
    assert b"MAIL FROM:<a@b.org>" in inside


def test_an_exchanger_whose_tls_fails_gets_the_message_in_clear() -> None:
    """T8: on a new connection."""

    def script(connection: Connection) -> None:
        if offering_tls(connection):
            connection.sock.recv(1)
            connection.reset()

    outcome, clear, _ = direct(script)
    assert outcome.result is Result.DELIVERED
    assert b"MAIL FROM:<a@b.org>" in clear


@pytest.mark.parametrize("last", [b"RCPT", b"."])
def test_at_the_end_of_the_time_the_message_is_ambiguous_only_if_it_was_sent(
    last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time ends when the peer has received a line to which it does not reply."""
    limits: list[asyncio.Timeout] = []

    def limit(seconds: float | None) -> asyncio.Timeout:
        limits.append(asyncio.timeout(seconds))
        return limits[-1]

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        in_content = False
        while line := await reader.readline():
            if line.rstrip() == last or (line.startswith(last) and not in_content):
                limits[-1].reschedule(0)
                break
            if in_content:
                continue
            in_content = line.startswith(b"DATA")
            writer.write(b"354 go on\r\n" if in_content else b"250 ok\r\n")
        await reader.read()
        writer.close()

    async def main() -> tuple[Outcome, ...]:
        async with asyncio.timeout(60), await asyncio.start_server(peer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            recipients = tuple(Recipient(Address("x", each)) for each in ("one.test", "xn--fsqu00a.test"))
            with monkeypatch.context() as patched:
                patched.setattr("posthouse.sending.direct._limit", limit)
                return await deliver_direct(
                    Envelope(Address("a", "b.org"), recipients),
                    Bytes(b"Subject: hi\r\n\r\nhi\r\n"),
                    resolver=dns(),
                    port=port,
                    loopback=True,
                    timeout=60.0,
                )

    first, second = asyncio.run(main())
    assert first.result is (Result.AMBIGUOUS if last == b"." else Result.DEFERRED)
    assert "the time limit of 60 seconds was over while delivering to one.test" in first.reason
    assert ("may have arrived" in first.reason) is (last == b".")
    assert second.result is first.result
