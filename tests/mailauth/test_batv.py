"""BATV: own reverse-paths are signed, and bounces to others are told apart."""

from __future__ import annotations

import pytest

from posthouse.core import Address, SettingError
from posthouse.mailauth.batv import Batv, BatvStatus

NOW = 1_764_500_000.0
DAY = 86_400
ANN = Address("Ann", "example.org")
BATV = Batv(["a secret"])


def signed(batv: Batv = BATV, now: float = NOW) -> Address:
    found = batv.sign(ANN, now)
    assert found is not None
    return found


def test_a_bounce_to_a_signed_path_is_ours() -> None:
    path = signed()
    assert path.local.startswith("prvs=0")
    assert path.local.endswith("=Ann")
    assert BATV.check(path, NOW) == (BatvStatus.SIGNED, ANN)
    lower = Address(path.local.lower(), path.domain)
    assert BATV.check(lower, NOW).status is BatvStatus.SIGNED  # hosts may change case


def test_null_and_signed_paths_stay() -> None:
    assert BATV.sign(None, NOW) is None
    assert BATV.sign(signed(), NOW) == signed()


def test_other_recipients_of_bounces_are_told_apart() -> None:
    assert BATV.check(ANN, NOW) == (BatvStatus.PLAIN, ANN)
    local = signed().local
    for forged in (local.replace("=Ann", "=Bob"), local[:9] + ("0" if local[9] != "0" else "1") + local[10:]):
        assert BATV.check(Address(forged, "example.org"), NOW).status is BatvStatus.FORGED
    assert BATV.check(Address(local, "example.net"), NOW).status is BatvStatus.FORGED


@pytest.mark.parametrize(
    ("days", "status"),
    [(0, BatvStatus.SIGNED), (7, BatvStatus.SIGNED), (8, BatvStatus.EXPIRED), (500, BatvStatus.EXPIRED)],
)
def test_a_signature_lives_7_days(days: int, status: BatvStatus) -> None:
    for start in range(0, 1_000, 111):  # the number of the day begins anew every 1,000 days
        begin = NOW + start * DAY
        assert BATV.check(signed(now=begin), begin + days * DAY).status is status


def test_a_secret_is_replaced_while_the_old_one_counts() -> None:
    both = Batv(["a new one", "a secret"])
    assert both.check(signed(), NOW).status is BatvStatus.SIGNED
    assert BATV.check(signed(both), NOW).status is BatvStatus.FORGED


def test_unsafe_settings_are_refused_and_secrets_not_shown() -> None:
    for secrets, days in (([], 7), (["short"], 7), (["long enough"] * 11, 7), (["long enough"], 0)):
        with pytest.raises(SettingError):
            Batv(secrets, days=days)
    assert "a secret" not in repr(BATV)
