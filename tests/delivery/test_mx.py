"""From a target to addresses (RFC 5321 §5.1, RFC 7505)."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from posthouse.core import Answer, Kind, Question, Result, Status
from posthouse.delivery.mx import IsSelf, LocalIdentity, NextHops, Undeliverable, next_hops, site_of
from posthouse.net import Endpoint
from posthouse.testing import StaticResolver, Zone


def find(
    target: str,
    zone: Zone | None = None,
    *,
    failing: tuple[str, ...] = (),
    is_self: IsSelf | None = None,
    seed: int = 1,
    port: int = 25,
    loopback: bool = False,
) -> NextHops | Undeliverable:
    resolver = StaticResolver(zone or {}, failing=failing)
    return asyncio.run(next_hops(target, resolver, random=Random(seed), is_self=is_self, port=port, loopback=loopback))


def hops(found: NextHops | Undeliverable) -> list[tuple[str, list[str]]]:
    assert isinstance(found, NextHops), found
    return [(exchange.name, [str(endpoint) for endpoint in exchange.endpoints]) for exchange in found.exchanges]


def end(found: NextHops | Undeliverable) -> tuple[Result, int, str]:
    assert isinstance(found, Undeliverable), found
    assert found.reason
    return found.result, found.reply.code, found.reply.enhanced


SINA: Zone = {
    "sina.com": {"MX": ["20 mx2.sina.com", "10 mx1.sina.com"], "A": ["192.0.2.99"]},
    "mx1.sina.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "mx2.sina.com": {"A": ["192.0.2.2"]},
}


def test_exchanges_come_by_preference_with_both_families() -> None:
    found = find("sina.com", SINA)
    assert hops(found) == [
        ("mx1.sina.com", ["[2001:db8::1]:25", "192.0.2.1:25"]),
        ("mx2.sina.com", ["192.0.2.2:25"]),
    ]
    assert isinstance(found, NextHops)
    assert found.reason == "MX of sina.com: 10 mx1.sina.com, 20 mx2.sina.com"


def test_equal_preferences_are_randomised_and_unequal_ones_never() -> None:
    zone: Zone = {
        "d.test": {"MX": ["5 first.test", *(f"10 m{n}.test" for n in range(4)), "20 last.test"]},
        **{f"{name}.test": {"A": [f"192.0.2.{n}"]} for n, name in enumerate(("first", "last", "m0", "m1", "m2", "m3"))},
    }
    orders = [[name for name, _ in hops(find("d.test", zone, seed=seed))] for seed in range(40)]
    assert all(order[0] == "first.test" and order[-1] == "last.test" for order in orders)
    assert {order[1] for order in orders} == {f"m{n}.test" for n in range(4)}
    assert len({tuple(order) for order in orders}) > 8


def test_without_mx_the_domain_itself_is_its_exchange() -> None:
    assert hops(find("a.test", {"a.test": {"A": ["192.0.2.7"]}})) == [("a.test", ["192.0.2.7:25"])]
    assert hops(find("a.test", {"a.test": {"AAAA": ["2001:db8::7"]}})) == [("a.test", ["[2001:db8::7]:25"])]


def test_mx_without_addresses_never_falls_back_to_the_domain() -> None:
    zone: Zone = {"d.test": {"MX": ["10 gone.test", "20 empty.test"], "A": ["192.0.2.9"]}, "empty.test": {"TXT": ["x"]}}
    assert end(find("d.test", zone)) == (Result.FAILED, 550, "5.4.4")


def test_null_mx() -> None:
    zone: Zone = {"nomail.test": {"MX": ["0 ."], "A": ["192.0.2.9"]}}
    assert end(find("nomail.test", zone)) == (Result.FAILED, 556, "5.1.10")


def test_a_null_record_beside_real_ones_is_no_null_mx() -> None:
    zone: Zone = {"d.test": {"MX": ["0 .", "10 mx.test"]}, "mx.test": {"A": ["192.0.2.1"]}}
    assert hops(find("d.test", zone)) == [("mx.test", ["192.0.2.1:25"])]


def test_a_domain_that_does_not_exist_fails_and_one_without_records_too() -> None:
    assert end(find("nowhere.test")) == (Result.FAILED, 550, "5.1.2")
    assert end(find("d.test", {"d.test": {"TXT": ["hello"]}})) == (Result.FAILED, 550, "5.4.4")


def test_a_silent_dns_never_fails_a_message() -> None:
    assert end(find("sina.com", SINA, failing=("sina.com",))) == (Result.DEFERRED, 451, "4.4.3")
    both = ("mx1.sina.com", "mx2.sina.com")
    assert end(find("sina.com", SINA, failing=both)) == (Result.DEFERRED, 451, "4.4.3")
    zone: Zone = {"d.test": {"MX": ["10 mx1.sina.com", "20 gone.test"]}, **SINA}
    assert end(find("d.test", zone, failing=("mx1.sina.com",))) == (Result.DEFERRED, 451, "4.4.3")


def test_one_exchange_that_cannot_be_looked_up_does_not_stop_the_others() -> None:
    assert hops(find("sina.com", SINA, failing=("mx1.sina.com",))) == [("mx2.sina.com", ["192.0.2.2:25"])]


def test_one_family_that_cannot_be_looked_up_does_not_stop_the_other() -> None:
    class NoIPv6(StaticResolver):
        async def ask(self, question: Question) -> Answer:
            if question.kind is Kind.AAAA:
                return Answer(Status.FAILED, reason="broken name server")
            return await super().ask(question)

    found = asyncio.run(next_hops("sina.com", NoIPv6(SINA), random=Random(1)))
    assert hops(found)[0] == ("mx1.sina.com", ["192.0.2.1:25"])


def test_an_exchange_that_is_an_alias_is_tolerated() -> None:
    zone: Zone = {
        "d.test": {"MX": ["10 mail.d.test"]},
        "mail.d.test": {"CNAME": ["host.d.test"]},
        "host.d.test": {"A": ["192.0.2.5"]},
    }
    assert hops(find("d.test", zone)) == [("mail.d.test", ["192.0.2.5:25"])]


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        ("[192.0.2.1]", Endpoint("192.0.2.1", 25)),
        ("[IPv6:2001:db8::1]", Endpoint("2001:db8::1", 25)),
        ("[ipv6:2001:db8::1]", Endpoint("2001:db8::1", 25)),
        ("192.0.2.1:2525", Endpoint("192.0.2.1", 2525)),
        ("[2001:db8::1]:2525", Endpoint("2001:db8::1", 2525)),
        ("[fe80::1%eth0]:2525", Endpoint("fe80::1%eth0", 2525)),
        ("/run/lmtp", Endpoint("/run/lmtp")),
    ],
)
def test_targets_that_need_no_dns(target: str, endpoint: Endpoint) -> None:
    resolver = StaticResolver({})
    found = asyncio.run(next_hops(target, resolver, random=Random(1)))
    assert isinstance(found, NextHops)
    assert [exchange.endpoints for exchange in found.exchanges] == [(endpoint,)]
    assert not resolver.asked


@pytest.mark.parametrize(
    "target", ["[2001:db8::1]", "[IPv6:192.0.2.1]", "[x400:foo]", "[0.0.0.0]", "[224.0.0.1]", "[]"]
)
def test_literals_nobody_can_be_reached_at(target: str) -> None:
    assert end(find(target)) == (Result.FAILED, 550, "5.1.2")


def test_a_chosen_host_is_not_asked_for_mx() -> None:
    zone: Zone = {"relay.test": {"A": ["192.0.2.3"], "MX": ["1 other.test"]}}
    assert hops(find("relay.test:587", zone)) == [("relay.test", ["192.0.2.3:587"])]
    assert hops(find("localhost:2525")) == [("localhost", ["127.0.0.1:2525", "[::1]:2525"])]


@pytest.mark.parametrize("target", ["[2001:db8::1]:25", "relay.test:587", "192.0.2.3:25", "[192.0.2.3]", "/run/lmtp"])
def test_a_target_has_one_site_looked_up_or_not(target: str) -> None:
    found = find(target, {"relay.test": {"A": ["192.0.2.3"]}})
    assert isinstance(found, NextHops)
    assert found.site == site_of(target) == target


def test_a_chosen_host_that_is_wrong_keeps_the_mail() -> None:
    assert end(find("typo.test:25")) == (Result.DEFERRED, 451, "4.3.5")
    assert end(find("relay.test:25", failing=("relay.test",))) == (Result.DEFERRED, 451, "4.4.3")


@pytest.mark.parametrize(
    "target", ["", "a:b", "host:0", "host:70000", "x/y", "[1.2.3.4", "a]b", "[mx.test]:25", "a b:25"]
)
def test_what_is_no_target_keeps_the_mail(target: str) -> None:
    assert end(find(target)) == (Result.DEFERRED, 451, "4.3.5")


# -- never to itself

US = LocalIdentity(["mx2.sina.com"], [Endpoint("192.0.2.50", 25), Endpoint("127.0.0.1", 2525)])


def test_exchanges_at_our_own_preference_and_behind_are_left_out() -> None:
    zone: Zone = {
        "sina.com": {"MX": ["10 mx1.sina.com", "20 mx2.sina.com", "20 beside.test", "30 behind.test"]},
        "mx1.sina.com": {"A": ["192.0.2.1"]},
        **{name: {"A": ["192.0.2.8"]} for name in ("mx2.sina.com", "beside.test", "behind.test")},
    }
    assert hops(find("sina.com", zone, is_self=US)) == [("mx1.sina.com", ["192.0.2.1:25"])]


def test_we_are_known_by_address_too() -> None:
    zone: Zone = {
        "d.test": {"MX": ["10 a.test", "20 alias-of-ours.test", "30 behind.test"]},
        "a.test": {"A": ["192.0.2.1"]},
        "alias-of-ours.test": {"A": ["192.0.2.50", "192.0.2.51"]},
        "behind.test": {"A": ["192.0.2.3"]},
    }
    assert hops(find("d.test", zone, is_self=US)) == [("a.test", ["192.0.2.1:25"])]


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("d.test", {"d.test": {"MX": ["10 mx2.sina.com", "20 other.test"]}, "other.test": {"A": ["192.0.2.3"]}}),
        ("mx2.sina.com", {"mx2.sina.com": {"A": ["198.51.100.1"]}}),
        ("d.test", {"d.test": {"A": ["192.0.2.50"]}}),
        ("[192.0.2.50]", {}),
        ("[IPv6:::ffff:192.0.2.50]", {}),
        ("127.0.0.1:2525", {}),
    ],
)
def test_mail_that_would_come_back(target: str, zone: Zone) -> None:
    assert end(find(target, zone, is_self=US)) == (Result.FAILED, 554, "5.4.6")


def test_another_house_on_the_same_machine_is_not_us() -> None:
    assert hops(find("127.0.0.1:2526", is_self=US)) == [("127.0.0.1", ["127.0.0.1:2526"])]
    assert hops(find("[127.0.0.1]", is_self=US, port=2600, loopback=True)) == [("[127.0.0.1]", ["127.0.0.1:2600"])]


@pytest.mark.parametrize(
    "records",
    [
        {"A": ["127.0.0.1"]},
        {"A": ["127.8.8.8"]},
        {"AAAA": ["::1"]},
        {"AAAA": ["::ffff:127.0.0.1"]},
        {"A": ["0.0.0.0"]},
        {"AAAA": ["::"]},
        {"A": ["127.0.0.1"], "AAAA": ["::1"]},
    ],
)
@pytest.mark.parametrize("port", [25, 2525])
def test_an_exchanger_in_the_dns_that_names_loopback_is_not_used(records: dict[str, list[str]], port: int) -> None:
    zone: Zone = {"evil.test": {"MX": ["10 mx.evil.test"]}, "mx.evil.test": records, "bare.test": records}
    for target in ("evil.test", "bare.test"):
        found = find(target, zone, port=port)
        assert end(found) == (Result.FAILED, 550, "5.4.4")


def test_localhost_as_an_exchanger_and_loopback_as_a_literal_are_not_used() -> None:
    assert end(find("evil.test", {"evil.test": {"MX": ["10 localhost"]}})) == (Result.FAILED, 550, "5.4.4")
    for literal in ("[127.0.0.1]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]"):
        assert end(find(literal)) == (Result.FAILED, 550, "5.4.4"), literal


class WithoutIpv4:
    """A resolver that gets no answer about IPv4 addresses."""

    def __init__(self, zone: Zone) -> None:
        self._resolver = StaticResolver(zone)

    async def ask(self, question: Question) -> Answer:
        if question.kind is Kind.A:
            return Answer(Status.FAILED, reason="no DNS server answered in time")
        return await self._resolver.ask(question)


@pytest.mark.parametrize("target", ["evil.test", "bare.test"])
def test_loopback_in_one_family_is_no_end_while_the_other_is_not_known(target: str) -> None:
    zone: Zone = {"evil.test": {"MX": ["10 bare.test"]}, "bare.test": {"AAAA": ["::1"]}}
    found = asyncio.run(next_hops(target, WithoutIpv4(zone), random=Random(1)))
    assert end(found) == (Result.DEFERRED, 451, "4.4.3")


def test_an_exchanger_of_loopback_does_not_hide_the_others() -> None:
    zone: Zone = {
        "sina.com": {"MX": ["5 localhost", "10 mx1.sina.com"]},
        "mx1.sina.com": {"A": ["192.0.2.1", "127.0.0.1"]},
    }
    assert hops(find("sina.com", zone)) == [("mx1.sina.com", ["192.0.2.1:25"])]


def test_a_host_that_configuration_names_may_be_on_loopback() -> None:
    zone: Zone = {"relay.test": {"A": ["127.0.0.1"]}}
    assert hops(find("relay.test:2525", zone)) == [("relay.test", ["127.0.0.1:2525"])]


def test_listening_everywhere_means_loopback_and_the_addresses_we_know() -> None:
    us = LocalIdentity([], [Endpoint("0.0.0.0", 25)], ["192.0.2.77"])
    for host in ("127.0.0.1", "127.8.8.8", "::1", "192.0.2.77", "0.0.0.0"):
        assert us(Endpoint(host, 25)), host
    assert not us(Endpoint("127.0.0.1", 26))
    assert not us(Endpoint("192.0.2.78", 25))


# -- bounds


def test_a_flood_of_exchanges_and_addresses_is_cut() -> None:
    zone: dict[str, dict[str, list[str]]] = {"big.test": {"MX": [f"{n} m{n:03}.test" for n in range(200)]}}
    for n in range(200):
        zone[f"m{n:03}.test"] = {
            "A": [f"10.{n}.0.{i}" for i in range(30)],
            "AAAA": [f"2001:db8:{n}::{i}" for i in range(1, 30)],
        }
    resolver = StaticResolver(zone)
    found = asyncio.run(next_hops("big.test", resolver, random=Random(1)))
    assert isinstance(found, NextHops)
    assert sum(len(exchange.endpoints) for exchange in found.exchanges) <= 40
    assert len(found.exchanges) >= 2, "RFC 5321 §5.1 asks for at least two addresses; one host must not use up all"
    first = found.exchanges[0].endpoints
    assert {":" in endpoint.host for endpoint in first} == {True, False}
    assert len(resolver.asked) <= 1 + 2 * 20


def test_no_address_is_tried_twice() -> None:
    zone: Zone = {
        "d.test": {"MX": ["10 a.test", "20 b.test", "20 a.test"]},
        "a.test": {"A": ["192.0.2.1", "192.0.2.1"]},
        "b.test": {"A": ["192.0.2.1", "192.0.2.2"]},
    }
    assert hops(find("d.test", zone)) == [("a.test", ["192.0.2.1:25"]), ("b.test", ["192.0.2.2:25"])]
