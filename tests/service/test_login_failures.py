"""Failed logins: what each failure costs, for whom, and that all workers count together."""

from __future__ import annotations

import asyncio

from posthouse.net import SystemClock
from posthouse.protocol.sasl import CheckPassword
from posthouse.service.accounts import AccountStore
from posthouse.service.policy.login_failures import FREE, GUESSES_FROM, LONGEST, NETWORK_AT_MOST, LoginFailures
from posthouse.service.policy.logins import Logins
from posthouse.service.policy.shared_counts import SharedCounts

NOW = 7_200.0


def test_the_wait_grows_with_each_failure_up_to_a_limit() -> None:
    failures = LoginFailures()
    waits = [failures.failed("ann", "192.0.2.1", NOW) for _ in range(12)]
    assert waits[: FREE + 5] == [0.0] * FREE + [0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(waits[FREE + 5 :]) == {LONGEST}


def test_names_that_do_not_exist_count_like_others() -> None:
    """A limit that counted only real accounts would tell which names are real."""
    real, unknown = LoginFailures(), LoginFailures()
    assert [real.failed("ann", "192.0.2.1", NOW) for _ in range(20)] == [
        unknown.failed("no such name", "192.0.2.1", NOW) for _ in range(20)
    ]


def test_a_guesser_at_many_names_is_slowed_and_then_turned_away() -> None:
    failures = LoginFailures()
    for number in range(NETWORK_AT_MOST):
        assert not failures.is_barred("2001:db8::1", NOW)
        wait = failures.failed(f"user{number}", f"2001:db8::{number + 1:x}", NOW)
    assert wait == LONGEST
    assert failures.is_barred("2001:db8::ffff", NOW), "a /64 is one client"
    assert not failures.is_barred("2001:db8:0:1::1", NOW)


def test_guesses_at_one_account_from_everywhere_are_slowed() -> None:
    failures = LoginFailures()
    waits = [failures.failed("ann", f"192.0.{number}.1", NOW) for number in range(60)]
    assert waits[0] == 0.0
    assert waits[-1] == LONGEST
    assert failures.failed("bob", "203.0.113.1", NOW) == 0.0


def test_one_client_has_one_count_in_each_spelling_of_its_address() -> None:
    failures = LoginFailures()
    for host in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"):
        assert failures.failed("ann", host, NOW) == 0.0
    assert failures.failed("ann", "::ffff:192.0.2.1", NOW) == 0.5


def test_a_login_forgives_what_its_owner_mistyped() -> None:
    failures = LoginFailures()
    for _ in range(2):
        for _ in range(FREE):
            assert failures.failed("ann", "192.0.2.1", NOW) == 0.0
        failures.succeeded("ann", "192.0.2.1", NOW)
    assert failures.failed("ann", "192.0.2.1", NOW) == 0.0


def test_failures_are_forgotten() -> None:
    failures = LoginFailures()
    for _ in range(NETWORK_AT_MOST):
        failures.failed("ann", "192.0.2.1", NOW)
    assert failures.is_barred("192.0.2.1", NOW + 10)
    assert not failures.is_barred("192.0.2.1", NOW + 7_300)
    assert failures.failed("ann", "192.0.2.1", NOW + 7_300) == 0.0


def test_workers_count_together() -> None:
    counts = SharedCounts(2)
    one, other = LoginFailures(counts.seen_by(0)), LoginFailures(counts.seen_by(1))
    for _ in range(FREE):
        assert one.failed("ann", "192.0.2.1", NOW) == 0.0
    assert other.failed("ann", "192.0.2.1", NOW) == 0.5


def test_a_client_of_a_unix_socket_is_counted_too() -> None:
    failures = LoginFailures()
    assert [failures.failed("", "", NOW) for _ in range(20)][-1] == 0.5


def test_an_account_has_one_count_in_each_spelling_of_its_name() -> None:
    """A store may take names in any case."""
    failures = LoginFailures()
    for name in ("ann@x.test", "ANN@x.test", "Ann@X.test"):
        assert failures.failed(name, "192.0.2.1", NOW) == 0.0
    assert failures.failed("aNN@x.test", "192.0.2.1", NOW) == 0.5


class Slow(AccountStore):
    """Accounts whose check ends when the test says so."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.go_on = asyncio.Event()

    async def check_password(self, user: str, password: str) -> bool:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.go_on.wait()
        self.running -= 1
        return password == "right"


def test_passwords_from_a_network_that_guesses_are_checked_one_at_a_time() -> None:
    """A flood of guesses must not take the processor from the logins of all others."""

    async def scenario() -> None:
        store, clock = Slow(), SystemClock()
        failures = LoginFailures()
        logins = Logins(store, decoy_secret=b"", failures=failures, clock=clock, hostname="mx.test")
        for number in range(GUESSES_FROM + 1):
            failures.failed(f"user{number}", "2001:db8::1", clock.monotonic())

        def asked(host: str, password: str) -> asyncio.Task[object]:
            return asyncio.create_task(logins.answer_to(host, CheckPassword("ann", password)))

        guesses = [asked(f"2001:db8::{number:x}", "wrong") for number in range(1, 50)]
        owners = [asked(f"192.0.2.{number}", "right") for number in range(5)]
        neighbour = asked("2001:db8::ffff", "right")
        gone = guesses.pop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert store.running == 1 + len(owners)
        gone.cancel()
        store.go_on.set()
        assert await asyncio.gather(*owners, neighbour) == [True] * 6
        assert await asyncio.gather(*guesses) == [False] * len(guesses)
        assert store.most <= 1 + len(owners)
        assert not logins._turns, "nothing is kept of who does not wait"

    asyncio.run(asyncio.wait_for(scenario(), 60))
