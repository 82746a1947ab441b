"""Failed logins: what each failure costs, for whom, and that all workers count together."""

from __future__ import annotations

from posthouse.service.policy.login_failures import FREE, LONGEST, NETWORK_AT_MOST, LoginFailures
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
