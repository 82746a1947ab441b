"""Servers named by URLs, a message handed to one, and a load of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Bytes, Envelope, Outcome, Recipient, Result, SettingError, Unreachable
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.net.hosts import addresses_of
from posthouse.sandbox.load import Latencies, Load, LoadPlan, LoadReport
from posthouse.sandbox.sink import Sink, parse_drop, parse_fail
from posthouse.sending.urls import NoSuchHost, ServerAddress, parse_server, submit

LETTER = Bytes(b"Subject: hi\r\n\r\n.dots\r\n")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org:2525", ServerAddress("smtp", "mail.example.org", 2525)),
        ("smtp://mail.example.org", ServerAddress("smtp", "mail.example.org", 25)),
        ("SMTP://127.0.0.1:25/", ServerAddress("smtp", "127.0.0.1", 25)),
        ("lmtp://[::1]", ServerAddress("lmtp", "::1", 24)),
        ("smtp://[2001:db8::1]:587", ServerAddress("smtp", "2001:db8::1", 587)),
        ("127.0.0.1:1025", ServerAddress("smtp", "127.0.0.1", 1025)),
        ("localhost", ServerAddress("smtp", "localhost", 25)),
        ("lmtp:///run/lmtp.sock", ServerAddress("lmtp", "/run/lmtp.sock")),
        ("  smtp://邮件.例子:25 ", ServerAddress("smtp", "邮件.例子", 25)),
    ],
)
def test_servers(url: str, server: ServerAddress) -> None:
    assert parse_server(url) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    "url",
    ["", "smtp://", "gopher://x", "smtps://x", "smtp://u:p@x", "smtp://x:0", "smtp://x:65536", "smtp://x:2_5", "a b",
     "smtp://::1", "smtp://x:25/path", "smtp://x?y", "smtp:///"],
)  # fmt: skip
def test_no_servers(url: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_server(url)
    assert caught.value.remedy


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
        told = await give(server, "a@b.org", "c@d.org", transcript=lambda who, text: lines.append(f"{who} {text}"))
        assert sink.counts[:4] == (1, 1, 2, LETTER.size)
        return told

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


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "[IPv6:2001:db8::1]"])
def test_an_address_is_where_it_says(host: str) -> None:
    """And nobody is asked: a loop whose threads are closed cannot ask the system for a name."""

    async def main() -> None:
        await asyncio.get_running_loop().shutdown_default_executor()
        bare = host.removeprefix("[IPv6:").removesuffix("]")
        assert await addresses_of(host, 25) == [Endpoint(bare, 25)]
        with pytest.raises(RuntimeError):
            await addresses_of("localhost", 25)

    asyncio.run(main())


def test_nobody_there() -> None:
    async def main() -> None:
        with pytest.raises(Unreachable, match="refused the connection"):
            await give(ServerAddress("smtp", "127.0.0.1", 1))
        with pytest.raises(NoSuchHost, match=r"there is no host mail\.invalid"):
            await give(ServerAddress("smtp", "mail.invalid", 25))
        with pytest.raises(NoSuchHost):
            await addresses_of("a" * 70 + ".org", 25)

    asyncio.run(main())


# A load --------------------------------------------------------------------------------------------------------------


def load(
    sink: Sink, place: Endpoint, messages: int, connections: int, *, reconnect: bool = False, ahead: int = 0
) -> Load:
    plan = LoadPlan(envelope(), LETTER, messages, connections, reconnect, ahead)
    return Load(
        ServerAddress("smtp", *place), plan, network=SocketNetwork(), clock=SystemClock(), hostname="client.test"
    )


@pytest.mark.parametrize(
    ("connections", "reconnect", "ahead", "opened"),
    [(1, False, 0, 1), (3, False, 0, 3), (3, True, 0, 20), (3, True, 2, 20), (1, False, 2, 1), (3, False, 2, 3)],
)
def test_a_load_is_sent_and_counted(connections: int, reconnect: bool, ahead: int, opened: int) -> None:
    async def use(sink: Sink, place: Endpoint) -> LoadReport:
        report = await load(sink, place, 20, connections, reconnect=reconnect, ahead=ahead).run()
        assert sink.counts.messages == 20
        assert sink.counts.connections == opened
        return report

    report = with_sink(use)
    assert (report.messages, report.delivered, report.recipients, report.errors) == (20, 20, 20, {})
    assert report.octets == 20 * LETTER.size
    assert 0 < report.p50 <= report.p99 <= report.longest <= report.seconds


@pytest.mark.parametrize("ahead", [0, 3])
def test_what_goes_wrong_is_counted_by_its_kind(ahead: int) -> None:
    async def use(sink: Sink, place: Endpoint) -> LoadReport:
        return await load(sink, place, 10, 2, ahead=ahead).run()

    refused = with_sink(use, faults=[parse_fail("rcpt:450")])
    assert (refused.delivered, refused.errors) == (0, {"450 4.0.0 Refused on demand": 10})
    cut = with_sink(use, faults=[parse_drop("mail")])
    assert cut.delivered == 0
    assert sum(cut.errors.values()) == 10


def test_percentiles() -> None:
    times = Latencies()
    assert times.percentile(0.5) == 0.0
    for number in range(1, 1001):
        times.add(number / 1000)
    assert times.percentile(0.5) == pytest.approx(0.5, rel=0.011)
    assert times.percentile(0.99) == pytest.approx(0.99, rel=0.011)
    assert times.percentile(1.0) == times.longest == 1.0
