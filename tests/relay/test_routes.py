"""Where a recipient goes: the most specific rule wins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from posthouse.core import Address, LocalError, Outcome, Recipient, Result, SettingError
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.relay.routes import NoRoute, Route, RouteRule, RouteTable


class Nowhere(Deliverer):
    """A deliverer that is only pointed at."""

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        raise NotImplementedError

    async def close(self) -> None: ...


LOCAL, SMTP, MX = Nowhere(), Nowhere(), Nowhere()


def to(address: str) -> Recipient:
    local, _, domain = address.rpartition("@")
    return Recipient(Address(local, domain))


def way(table: RouteTable, address: str) -> tuple[Nowhere, str]:
    route = table.route(to(address))
    assert isinstance(route, Route)
    assert isinstance(route.deliverer, Nowhere)
    return route.deliverer, route.target


TABLE = RouteTable(
    [
        RouteRule("sina.com", LOCAL, "box", "[[domain]] sina.com"),
        RouteRule("*", SMTP, "smart.test:25", "[[route]] *"),
        RouteRule("*.sohu.com", SMTP, "sohu.test:25", "[[route]] *.sohu.com"),
        RouteRule("vip.sohu.com", MX),
        RouteRule("*.vip.sohu.com", SMTP, "vip.test:25"),
        RouteRule("bücher.test", LOCAL, "books"),
        RouteRule("[192.0.2.1]", LOCAL, "literal"),
    ]
)


@pytest.mark.parametrize(
    ("address", "deliverer", "target"),
    [
        ("renping@sina.com", LOCAL, "box"),
        ("a@mail.sina.com", SMTP, "smart.test:25"),
        ("a@sohu.com", SMTP, "smart.test:25"),
        ("a@x.sohu.com", SMTP, "sohu.test:25"),
        ("a@x.y.sohu.com", SMTP, "sohu.test:25"),
        ("a@vip.sohu.com", MX, "vip.sohu.com"),
        ("a@x.vip.sohu.com", SMTP, "vip.test:25"),
        ("a@notsohu.com", SMTP, "smart.test:25"),
        ("a@bücher.test", LOCAL, "books"),
        ("a@xn--bcher-kva.test", LOCAL, "books"),
        ("a@[192.0.2.1]", LOCAL, "literal"),
        ("a@[192.0.2.2]", SMTP, "smart.test:25"),
    ],
)
def test_the_most_specific_rule_wins(address: str, deliverer: Nowhere, target: str) -> None:
    assert way(TABLE, address) == (deliverer, target)


def test_the_reason_names_the_rule() -> None:
    route = TABLE.route(to("a@x.sohu.com"))
    assert isinstance(route, Route)
    assert route.reason == "[[route]] *.sohu.com"


def test_the_order_of_rules_does_not_matter() -> None:
    rules = [RouteRule("*", SMTP, "s"), RouteRule("a.test", LOCAL, "a"), RouteRule("*.test", MX)]
    for some in (rules, rules[::-1]):
        table = RouteTable(some)
        assert [way(table, f"x@{domain}")[0] for domain in ("a.test", "b.test", "b.example")] == [LOCAL, MX, SMTP]


def test_the_default_takes_what_is_left_to_its_own_exchanges() -> None:
    table = RouteTable([RouteRule("sina.com", LOCAL, "box")], default=RouteRule("", MX))
    assert way(table, "a@example.org") == (MX, "example.org")
    assert way(table, "a@münchen.test") == (MX, "xn--mnchen-3ya.test")


def test_catch_all_is_a_table_of_one_default() -> None:
    table = RouteTable(default=RouteRule("*", LOCAL, str))
    assert way(table, "Ann@Example.org") == (LOCAL, "Ann@Example.org")
    assert way(table, "a@[192.0.2.1]") == (LOCAL, "a@[192.0.2.1]")


def test_a_target_may_depend_on_the_address() -> None:
    table = RouteTable([RouteRule("sina.com", LOCAL, lambda address: f"/mail/{address.key}")])
    assert way(table, "RenPing@sina.com") == (LOCAL, "/mail/renping@sina.com")


@pytest.mark.parametrize(
    ("error", "result"),
    [(LocalError("no such name fits"), Result.FAILED), (SettingError("bad template"), Result.DEFERRED)],
)
def test_a_target_that_cannot_be_worked_out(error: Exception, result: Result) -> None:
    def target(address: Address) -> str:
        raise error

    route = RouteTable([RouteRule("sina.com", LOCAL, target)]).route(to("a@sina.com"))
    assert isinstance(route, NoRoute)
    assert route.outcome.result is result
    assert route.outcome.reason == str(error)


def test_without_any_rule_mail_waits_for_a_better_configuration() -> None:
    recipient = to("a@example.org")
    route = RouteTable([RouteRule("sina.com", LOCAL, "box")]).route(recipient)
    assert isinstance(route, NoRoute)
    assert route.outcome.recipient == recipient
    assert route.outcome.result is Result.DEFERRED
    assert "example.org" in route.outcome.reason


def test_destinations_are_a_labels_in_lower_case() -> None:
    table = RouteTable(home="Home.Test")
    assert table.destination(Address("a", "Sina.COM")) == "sina.com"
    assert table.destination(Address("a", "bücher.test")) == "xn--bcher-kva.test"
    assert table.destination(Address("用户", "例子.测试")) == "xn--fsqu00a.xn--0zwm56d"
    assert table.destination(Address("postmaster", "")) == "home.test"
    assert table.destination(Address('odd "one', "sina.com")) == "sina.com"


def test_the_domainless_postmaster_is_at_home() -> None:
    table = RouteTable([RouteRule("home.test", LOCAL, "box")], home="home.test")
    route = table.route(Recipient(Address("postmaster")))
    assert isinstance(route, Route)
    assert route.target == "box"


@pytest.mark.parametrize("pattern", ["", "*.", "a..b", "*x.test", "x.*.test", "-a.test", "**"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(SettingError, match="domain"):
        RouteTable([RouteRule(pattern, LOCAL)])


@pytest.mark.parametrize(("one", "other"), [("a.test", "A.test"), ("*", "*"), ("bücher.test", "xn--bcher-kva.test")])
def test_two_rules_for_the_same_are_an_error(one: str, other: str) -> None:
    with pytest.raises(SettingError, match="two rules"):
        RouteTable([RouteRule(one, LOCAL), RouteRule(other, SMTP)])
