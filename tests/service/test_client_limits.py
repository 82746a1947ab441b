"""Limits on clients across sessions: networks, connection rates, and what a client or an account sends in an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from posthouse.core import Reply, StorageFull, Verdict
from posthouse.net import Timer
from posthouse.protocol.commands import Mail, Rcpt
from posthouse.protocol.sasl import Authenticated
from posthouse.service.policy.client_limits import host_of
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.service.policy.shared_counts import SharedCounts

from .policy_harness import PolicyHarness, address, bring_in, envelope, now

DOMAIN = '[[domain]]\nname = "example.org"\nmailboxes = "any"\n'
TO_ONE = envelope("bob@example.org")
HOUR = 3_600.0


class Clock:
    """A clock whose monotonic time is set by hand; nothing waits for it."""

    def __init__(self) -> None:
        self.seconds = 100_000.0

    def time(self) -> float:
        return 1_800_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        raise AssertionError


def at(
    settings: str, clock: Clock | None = None, counts: SharedCounts | None = None, *, accounts: bool = False
) -> PolicyHarness:
    text = f'hostname = "mx.example.org"\n[[listener]]\nbind = "127.0.0.1:0"\n{settings}\n{DOMAIN}'
    return PolicyHarness(text, clock=clock or Clock(), counts=counts, accounts=accounts)


def code(session: SessionPolicy) -> int:
    return now(session.connected()).code


@pytest.mark.parametrize(
    ("host", "ipv4", "ipv6", "network"),
    [
        ("192.0.2.77", 32, 64, "192.0.2.77"),
        ("192.0.2.77", 24, 64, "192.0.2.0"),
        ("192.0.2.77", 20, 64, "192.0.0.0"),
        ("::ffff:192.0.2.77", 24, 64, "192.0.2.0"),
        ("2001:db8:1:2:3::4", 24, 64, "2001:db8:1:2::"),
        ("2001:db8:1:2:3::4", 24, 48, "2001:db8:1::"),
        ("2001:db8:1:2:3::4", 24, 128, "2001:db8:1:2:3::4"),
        ("fe80::1%eth0", 24, 64, "fe80::"),
    ],
)
def test_a_network_is_the_first_bits_of_an_address(host: str, ipv4: int, ipv6: int, network: str) -> None:
    assert host_of(host, ipv4, ipv6) == network


def test_300_addresses_of_one_ipv6_network_have_one_counter() -> None:
    desk = at("max_connections_per_network = 100")
    codes = [code(desk.connect(f"2001:db8:0:1::{number:x}")) for number in range(300)]
    assert codes == [220] * 100 + [421] * 200
    assert code(desk.connect("2001:db8:0:2::1")) == 220


def test_an_ipv4_network_is_counted_by_its_configured_size() -> None:
    desk = at("max_connections_per_network = 2\nnetwork_prefix_ipv4 = 28")
    assert [code(desk.connect(f"192.0.2.{last}")) for last in (1, 2)] == [220, 220]
    refused = desk.connect("192.0.2.15")
    assert now(refused.connected()) == Reply(
        421, "4.7.0", "Too many connections from your network (limit 2); try again later"
    )
    assert code(desk.connect("192.0.2.16")) == 220


def test_a_session_that_ends_gives_its_place_in_the_network_back() -> None:
    desk = at("max_connections_per_network = 1")
    first = desk.session("192.0.2.1")
    assert code(desk.connect("192.0.2.2")) == 421
    first.disconnected()
    assert code(desk.connect("192.0.2.2")) == 220


@pytest.mark.parametrize("which", ["host", "network"])
def test_new_connections_are_limited_by_the_minute(which: str) -> None:
    clock = Clock()
    desk = at(f"max_connection_rate_per_{which} = 3", clock)
    for _ in range(3):
        desk.session("192.0.2.1").disconnected()
    refused = desk.connect("192.0.2.1")
    reply = now(refused.connected())
    assert (reply.code, reply.enhanced) == (421, "4.7.0")
    assert f"from your {which} within a minute (limit 3)" in reply.text
    assert code(desk.connect("198.51.100.1")) == 220
    clock.seconds += 120.0
    assert code(desk.connect("192.0.2.1")) == 220


def test_workers_count_sessions_together_and_a_dead_one_gives_them_back() -> None:
    shared = SharedCounts(2)
    one, other = (at("max_connections_per_host = 3\nmax_connections = 4", counts=shared.seen_by(n)) for n in (0, 1))
    one.session("192.0.2.1")
    other.session("192.0.2.1")
    other.session("192.0.2.1")
    assert code(one.connect("192.0.2.1")) == 421
    one.session("192.0.2.2")
    assert code(other.connect("192.0.2.3")) == 421  # four in all
    shared.worker_died(1)
    assert code(one.connect("192.0.2.1")) == 220


def test_messages_within_an_hour_are_limited_by_host() -> None:
    clock = Clock()
    desk = at("max_messages_per_hour = 2", clock)
    session = desk.session("192.0.2.1")
    for _ in range(2):
        assert now(session.mail(Mail(address("a@example.net")))).code == 250
        assert bring_in(session, TO_ONE, b"Subject: x\r\n\r\n")[0].code == 250
    refused = now(session.mail(Mail(address("b@example.net"))))
    assert refused == Reply(450, "4.7.1", "Too many messages from your host within an hour (limit 2); try again later")
    assert [fields["reason"] for event, fields in desk.events if event == "refused"] == ["max_messages_per_hour"]
    assert now(desk.session("192.0.2.2").mail(Mail(None))).code == 250
    clock.seconds += 2 * HOUR
    assert now(session.mail(Mail(None))).code == 250


def test_messages_that_come_at_one_time_do_not_pass_the_limit() -> None:
    desk = at("max_messages_per_hour = 1")
    one, other = desk.session("192.0.2.1"), desk.session("192.0.2.1")
    assert not isinstance(one.intake(TO_ONE), Verdict)
    late = other.intake(TO_ONE)
    assert isinstance(late, Verdict)
    assert late.reply.code == 450


def test_a_refused_message_to_200_recipients_does_not_count() -> None:
    desk = at("max_recipients_per_hour = 100")
    session = desk.session("192.0.2.1")
    accepted = 0
    for number in range(200):
        reply = now(session.rcpt(envelope(), Rcpt(address(f"u{number}@example.org")), [None] * accepted))  # type: ignore[list-item]
        accepted += reply.positive
    assert accepted == 100
    many = envelope(*(f"u{number}@example.org" for number in range(200)))
    assert bring_in(session, many, b"x\r\n")[0] == Reply(
        450, "4.7.1", "Too many recipients from your host within an hour (limit 100); try again later"
    )
    hundred = envelope(*(f"u{number}@example.org" for number in range(100)))
    assert bring_in(session, hundred, b"Subject: x\r\n\r\n")[0].code == 250
    assert now(session.rcpt(envelope(), Rcpt(address("one@example.org")), ())).code == 450


@pytest.mark.parametrize("how", ["refused", "given up", "not stored", "no room"])
def test_a_message_that_is_not_accepted_does_not_count(how: str) -> None:
    desk = at("max_messages_per_hour = 1\nmax_message_size = 65536")
    session = desk.session("192.0.2.1")
    if how == "refused":
        assert bring_in(session, TO_ONE, b"x" * 70_000)[0].code == 552
    elif how == "given up":
        intake = session.intake(TO_ONE)
        assert not isinstance(intake, Verdict)
        intake.abort()
        intake.abort()
    elif how == "not stored":
        desk.spool.commit_error = StorageFull("no room")
        assert bring_in(session, TO_ONE, b"x")[0].code == 452
        desk.spool.commit_error = None
    else:
        desk.spool.receive_error = StorageFull("no room")
        assert bring_in(session, TO_ONE, b"x")[0].code == 452
        desk.spool.receive_error = None
    assert bring_in(session, TO_ONE, b"Subject: x\r\n\r\n")[0].code == 250
    assert bring_in(session, TO_ONE, b"Subject: x\r\n\r\n")[0].code == 450


def test_a_message_whose_client_vanishes_before_the_250_counts() -> None:
    desk = at("max_messages_per_hour = 1")
    session = desk.session("192.0.2.1")

    async def vanish() -> None:
        intake = session.intake(TO_ONE)
        assert not isinstance(intake, Verdict)
        intake.write(b"Subject: x\r\n\r\n")
        answer = intake.commit()
        await asyncio.sleep(0)  # storing has begun
        intake.abort()
        assert not isinstance(answer, tuple)
        await answer

    asyncio.run(vanish())
    assert len(desk.woken) == 1
    assert now(session.mail(Mail(None))).code == 450


def test_the_limit_of_an_account_counts_the_login_whatever_it_calls_itself() -> None:
    settings = "max_login_messages_per_hour = 1\nmax_login_recipients_per_hour = 5"
    shared = SharedCounts(2)
    desks = [at(settings, counts=shared.seen_by(number), accounts=True) for number in range(2)]
    one = logged_in(desks[0], "192.0.2.1", "joe")
    assert bring_in(one, envelope("bob@example.org", sender="ann@example.net"), b"Subject: x\r\n\r\n")[0].code == 250
    elsewhere = logged_in(desks[1], "198.51.100.7", "joe")  # another address, sender and worker
    assert now(elsewhere.mail(Mail(address("eve@example.net")))) == Reply(
        450, "4.7.1", "Too many messages by this account within an hour (limit 1); try again later"
    )
    assert now(logged_in(desks[1], "192.0.2.1", "JOE").mail(Mail(address("eve@example.net")))).code == 450
    assert now(logged_in(desks[1], "192.0.2.1", "ann").mail(Mail(address("eve@example.net")))).code == 250
    assert now(desks[1].session("192.0.2.1").mail(Mail(address("eve@example.net")))).code == 250


def logged_in(desk: PolicyHarness, host: str, user: str) -> SessionPolicy:
    """A session of an account that may send as anybody."""
    session = desk.session(host)
    assert now(session.logged_in(Authenticated(user, "PLAIN"))).code == 235
    return session
