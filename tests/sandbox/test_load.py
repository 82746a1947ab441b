"""The load generator: what it sends and what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posthouse.client.server_url import ServerAddress
from posthouse.core import Address, Bytes, Envelope, Recipient
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.sandbox import Load, LoadPlan, LoadReport, Sink, measure, parse_drop, parse_fail
from posthouse.sandbox.load import Latencies

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


def test_a_measurement_numbers_its_recipients() -> None:
    load = measure(
        ServerAddress("smtp", "127.0.0.1", 25),
        sender="a@b.org",
        recipient="c@d.org",
        recipients=2,
        size=1000,
        messages=1,
        connections=1,
        reconnect=False,
    )
    assert [str(each.address) for each in load.plan.envelope.recipients] == ["c-1@d.org", "c-2@d.org"]
    assert load.plan.content.size == 1000
