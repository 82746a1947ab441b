"""Real DNS code against a real server on loopback: each thing the DNS can say becomes the one right answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import MX, Answer, Kind, Question, Status
from posthouse.net import DnsResolver, Endpoint
from posthouse.testing import DnsServer, StaticResolver, Zone

LONG = "v=DKIM1; p=" + "A" * 400
ZONE: Zone = {
    "sina.com": {"MX": ["10 MX1.sina.com", "20 mx2.sina.com"], "TXT": ["v=spf1 mx -all", LONG]},
    "mx1.sina.com": {"A": ["192.0.2.1"], "AAAA": ["2001:DB8:0::1"]},
    "nomail.test": {"MX": ["0 ."]},
    "www.sina.com": {"CNAME": ["web.sina.com"]},
    "web.sina.com": {"CNAME": ["sina.com"]},
    "dangling.test": {"CNAME": ["gone.test"]},
    "half.test": {"CNAME": ["mx1.sina.com"]},
    "round.test": {"CNAME": ["about.test"]},
    "about.test": {"CNAME": ["round.test"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mx1.sina.com"]},
    "_25._tcp.mx1.sina.com": {"TLSA": ["3 1 1 " + "ab" * 32]},
    "_smtp._tcp.sina.com": {"SRV": ["0 5 25 mx1.sina.com"]},
    "many.test": {"A": [f"192.0.2.{number}" for number in range(1, 201)]},
    "bad.test": {"A": ["192.0.2.9"]},
    "mute.test": {"A": ["192.0.2.9"]},
}
Ask = Callable[[str, Kind], Awaitable[Answer]]


def dns(
    scenario: Callable[[Ask, DnsServer], Awaitable[None]], *, resolver: dict[str, Any] | None = None, **server: Any
) -> None:
    """Run ``story`` with a resolver that asks a server of ``ZONE``."""

    async def run() -> None:
        async with asyncio.timeout(20), DnsServer(ZONE, failing=["bad.test"], mute=["mute.test"], **server) as there:
            asked = DnsResolver([there.endpoint], **{"timeout": 5.0, "tries": 1, **(resolver or {})})
            await scenario(lambda name, kind: asked.ask(Question(name, kind)), there)

    asyncio.run(run())


POSITIVE = [
    ("sina.com", Kind.MX, {MX(10, "mx1.sina.com"), MX(20, "mx2.sina.com")}),
    ("SINA.com.", Kind.MX, {MX(10, "mx1.sina.com"), MX(20, "mx2.sina.com")}),
    ("sina.com", Kind.TXT, {b"v=spf1 mx -all", LONG.encode()}),
    ("mx1.sina.com", Kind.A, {"192.0.2.1"}),
    ("nomail.test", Kind.MX, {MX(0, "")}),
    ("www.sina.com", Kind.MX, {MX(10, "mx1.sina.com"), MX(20, "mx2.sina.com")}),
    ("www.sina.com", Kind.CNAME, {"web.sina.com"}),
    ("1.2.0.192.in-addr.arpa", Kind.PTR, {"mx1.sina.com"}),
    ("many.test", Kind.A, {f"192.0.2.{number}" for number in range(1, 201)}),
]


@pytest.mark.parametrize(("name", "kind", "records"), POSITIVE)
def test_what_there_is(name: str, kind: Kind, records: set[Any]) -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        real = await ask(name, kind)
        fake = await StaticResolver(ZONE).ask(Question(name, kind))
        for answer in (real, fake):
            assert answer.status is Status.OK
            assert set(answer.records) == records
            assert len(answer.records) == len(records)
            assert answer.ttl == 300
            assert answer.reason == ""
            assert not answer.authenticated

    dns(scenario)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("mx1.sina.com", Kind.AAAA, "2001:db8::1"),
        ("_25._tcp.mx1.sina.com", Kind.TLSA, "3 1 1 " + "ab" * 32),
        ("_smtp._tcp.sina.com", Kind.SRV, "0 5 25 mx1.sina.com."),
    ],
)
def test_records_in_their_presentation_form(name: str, kind: Kind, text: str) -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        assert (await ask(name, kind)).records == (text,)

    dns(scenario)


@pytest.mark.parametrize(
    ("name", "kind", "status", "words"),
    [
        ("gone.test", Kind.MX, Status.NXDOMAIN, "gone.test does not exist"),
        ("sina.com", Kind.A, Status.NODATA, "sina.com has no A record"),
        ("com", Kind.MX, Status.NODATA, "com has no MX record"),  # names below it exist
        ("dangling.test", Kind.A, Status.NXDOMAIN, "gone.test"),
        ("half.test", Kind.MX, Status.NODATA, "mx1.sina.com"),
        ("bad.test", Kind.A, Status.FAILED, "failed for"),
        ("round.test", Kind.A, Status.FAILED, ""),
    ],
)
def test_what_there_is_not(name: str, kind: Kind, status: Status, words: str) -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        real = await ask(name, kind)
        fake = await StaticResolver(ZONE, failing=["bad.test"]).ask(Question(name, kind))
        for answer in (real, fake):
            assert answer.status is status
            assert answer.records == ()
            assert words in answer.reason
        assert real.ttl == (0 if status is Status.FAILED else 60)  # the SOA's minimum, RFC 2308 §5

    dns(scenario)


@pytest.mark.parametrize("name", ["a..b", "." * 3, "x" * 64 + ".test", ".".join(["x" * 60] * 5)])
def test_what_can_be_no_name_does_not_exist(name: str) -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        answer = await ask(name, Kind.MX)
        assert answer.status is Status.NXDOMAIN
        assert "no name of the DNS" in answer.reason
        assert not server.asked

    dns(scenario)


def test_a_name_that_was_not_made_ready_is_our_fault_not_a_fact() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        answer = await ask("bücher.test", Kind.MX)
        assert answer.status is Status.FAILED
        assert "A-labels" in answer.reason

    dns(scenario)


def test_a_backslash_is_a_backslash() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        assert (await ask("sina\\.com", Kind.MX)).status is Status.NXDOMAIN
        assert not any(question.name == "sina.com" for _, question in server.asked)

    dns(scenario)


def test_a_mute_server_is_a_failure_for_now() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        answer = await ask("mute.test", Kind.A)
        assert answer.status is Status.FAILED
        assert "in time" in answer.reason
        assert server.asked["udp", Question("mute.test", Kind.A)] >= 2

    dns(scenario, resolver={"timeout": 0.05, "tries": 4})


def test_no_server_at_all_is_a_failure_for_now() -> None:
    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            resolver = DnsResolver([Endpoint("127.0.0.1", nobody.getsockname()[1])], timeout=0.05, tries=2)
            answer = await resolver.ask(Question("sina.com", Kind.MX))
        assert answer.status is Status.FAILED

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_next_server_is_asked_when_the_first_fails() -> None:
    async def scenario() -> None:
        async with DnsServer(ZONE, failing=["sina.com"]) as bad, DnsServer(ZONE) as good:
            resolver = DnsResolver([bad.endpoint, good.endpoint], timeout=5.0, tries=1)
            assert (await resolver.ask(Question("sina.com", Kind.MX))).status is Status.OK
            assert bad.asked
            assert good.asked

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        assert (await ask("sina.com", Kind.MX)).status is Status.OK
        assert server.asked["udp", Question("sina.com", Kind.MX)] == 1
        assert server.asked["tcp", Question("sina.com", Kind.MX)] == 1
        assert len((await ask("many.test", Kind.A)).records) == 200
        assert server.asked["tcp", Question("many.test", Kind.A)] == 1, "200 addresses do not fit into UDP"

    dns(scenario, truncated=["sina.com"])


def test_an_alias_that_comes_alone_is_followed() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        assert len((await ask("www.sina.com", Kind.MX)).records) == 2
        assert (await ask("dangling.test", Kind.MX)).status is Status.NXDOMAIN
        assert (await ask("round.test", Kind.MX)).status is Status.FAILED

    dns(scenario, bare_aliases=True)


@pytest.mark.parametrize(("flag", "trust", "result"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_the_ad_flag_counts_only_where_it_is_trusted(flag: int, trust: int, result: bool) -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        for name, kind in (("sina.com", Kind.MX), ("gone.test", Kind.MX), ("sina.com", Kind.A)):
            assert (await ask(name, kind)).authenticated is result

    dns(scenario, resolver={"trust_ad": bool(trust)}, authentic=bool(flag))


@pytest.mark.parametrize("text", [None, "", "# nothing here\n", "\0\0 nonsense\n"])
def test_a_machine_without_dns_configuration(text: str | None, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "resolv.conf"
        if text is not None:
            path.write_text(text)
        answer = await DnsResolver(resolv_conf=str(path), timeout=0.05, tries=1).ask(Question("sina.com", Kind.MX))
        assert answer.status is Status.FAILED
        assert answer.reason

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_configuration_is_read_again_when_it_could_not_be_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "resolv.conf"
        resolver = DnsResolver(resolv_conf=str(path))
        assert (await resolver.ask(Question("a..b", Kind.A))).status is Status.FAILED
        path.write_text("nameserver 127.0.0.1\n")
        assert (await resolver.ask(Question("a..b", Kind.A))).status is Status.NXDOMAIN

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_nonsense_over_udp_is_not_answered() -> None:
    async def scenario(ask: Ask, server: DnsServer) -> None:
        assert server.answer(b"nonsense", "udp") is None
        assert (await ask("sina.com", Kind.MX)).status is Status.OK

    dns(scenario)


def test_a_dictionary_can_fail_sign_and_change() -> None:
    async def scenario() -> None:
        resolver = StaticResolver(ZONE, failing=["mx1.sina.com"], authenticated=["sina.com"])
        assert (await resolver.ask(Question("mx1.sina.com", Kind.A))).status is Status.FAILED
        assert (await resolver.ask(Question("half.test", Kind.A))).status is Status.FAILED, "behind an alias"
        assert (await resolver.ask(Question("sina.com", Kind.MX))).authenticated
        assert not (await resolver.ask(Question("www.sina.com", Kind.MX))).authenticated, "the alias is not signed"
        resolver.failing.clear()
        resolver.zone["new.test"] = {"A": ["192.0.2.7"]}
        assert (await resolver.ask(Question("new.test", Kind.A))).records == ("192.0.2.7",)
        assert [question.name for question in resolver.asked][-1] == "new.test"

    asyncio.run(scenario())
