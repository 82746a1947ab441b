"""SPF and the check of a domain over a real DNS server on loopback: the same results as from a zone in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posthouse.mailauth import answer, ask, check_domain, check_spf
from posthouse.net import CachingResolver, DnsResolver, SystemClock
from posthouse.testing import DnsServer

LONG = (
    "v=spf1 " + "ip4:198.51.100.7 " * 60 + "a:mx.example.org -all"
)  # of several strings, and too long for one UDP packet
ZONE: dict[str, dict[str, list[str]]] = {
    "example.org": {
        "TXT": ["v=spf1 mx include:_spf.example.net exists:%{ir}.x.test -all exp=why.test"],
        "MX": ["10 mx.example.org"],
    },
    "mx.example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "_spf.example.net": {"CNAME": ["alias.example.net"]},
    "alias.example.net": {"TXT": ["v=spf1 ptr:example.net -all"]},
    "9.2.0.192.in-addr.arpa": {"PTR": ["Out.Example.NET"]},
    "out.example.net": {"A": ["192.0.2.9"]},
    "why.test": {"TXT": ["%{c} is not %{d}, said %{p}"]},
    "long.test": {"TXT": [LONG]},
    "slow.test": {"TXT": ["v=spf1 a:broken.test -all"]},
}
CASES = [
    ("192.0.2.1", "ann@example.org", "pass"),
    ("2001:db8::1", "ann@example.org", "pass"),
    ("192.0.2.9", "ann@Example.ORG", "pass"),
    ("192.0.2.77", "ann@example.org", "fail"),
    ("192.0.2.1", "ann@long.test", "pass"),
    ("192.0.2.1", "ann@slow.test", "temperror"),
    ("192.0.2.1", "ann@absent.test", "none"),
    ("192.0.2.1", "a..b@[192.0.2.1]", "none"),
]


def test_results_over_the_network_are_those_of_the_zone() -> None:
    async def run() -> list[Any]:
        async with DnsServer(ZONE, failing=["broken.test"]) as server:
            resolver = CachingResolver(DnsResolver([server.endpoint], timeout=30.0, tries=1), SystemClock())
            found = [await ask(check_spf(ip, sender, "mx.example.org", now=0), resolver) for ip, sender, _ in CASES]
            return [*found, await ask(check_domain("example.org"), resolver)]

    zone: dict[str, Any] = {**ZONE, "broken.test": "SERVFAIL"}
    *found, report = asyncio.run(run())
    for (ip, sender, word), there in zip(CASES, found, strict=True):
        here = answer(check_spf(ip, sender, "mx.example.org", now=0), zone)
        assert (here.result, there.result) == (word, word), (ip, sender)
        assert (there.term, there.path, there.explanation, there.voids) == (
            here.term,
            here.path,
            here.explanation,
            here.voids,
        )
    assert report.topics[:4] == answer(check_domain("example.org"), zone).topics[:4]


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_a_server_that_is_silent_is_a_temporary_error_within_the_time(ip: str) -> None:
    async def run() -> Any:
        async with DnsServer(ZONE, mute=["mx.example.org"]) as server:
            resolver = DnsResolver([server.endpoint], timeout=30.0, tries=1)
            return await ask(check_spf(ip, "ann@example.org", "x"), resolver, seconds=0.5)

    found = asyncio.run(run())
    assert found.result == "temperror"
    assert "more than 0.5 s" in found.reason or "mx.example.org" in found.reason
