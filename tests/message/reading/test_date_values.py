"""Dates of RFC 5322, of its obsolete forms, and of programs that follow neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.dates import format_date
from posthouse.message.reading.date_values import read_date

MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
AT = datetime(2026, 11, 29, 10, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "proper"),
    [
        ("Sun, 29 Nov 2026 10:05:06 +0000", True),
        ("29 Nov 2026 10:05:06 +0000", True),
        ("Sun, 29 Nov 2026 18:05:06 +0800", True),
        ("Sun, 29 Nov 2026 10:05:06 -0000 (UTC)", True),
        ("Sun, 29 Nov 2026 10:05:06 GMT", False),
        ("Sun, 29 Nov 2026 05:05:06 EST", False),
        ("Sun, 29 Nov 26 10:05:06 +0000", False),
        ("Sun, 29 November 2026 10:05:06 +0000", True),
        ("Sunday, 29-Nov-26 10:05:06 UT", False),
        ("Sun Nov 29 10:05:06 2026", False),
        ("Sun Nov 29 10:05:06 UTC 2026", False),
        ("2026-11-29T10:05:06Z", False),
        ("2026-11-29 18:05:06+08:00", False),
        ("Sun, 29 Nov 2026 10:05:06", False),
        ("Sun, 29 Nov 2026 10:05:06 +0000 trailing", False),
    ],
)
def test_dates(written: str, proper: bool) -> None:
    assert read_date(written.encode()) == (AT, proper)


def test_a_leap_second_is_the_second_before() -> None:
    assert read_date(b"Sat, 31 Dec 2016 23:59:60 +0000")[0] == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "Thu, 32 Foo 2026 99:99:99 +9999",
        "31 Feb 2026 10:00:00 +0000",
        "29 Nov 2026 25:00:00 +0000",
        "\xff" * 50,
    ],
)
def test_what_is_no_date(written: str) -> None:
    assert read_date(written.encode("latin-1"))[0] is None


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_what_is_written_is_read_back(local: datetime, minutes: int) -> None:
    at = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    month = MONTHS[3 * at.month - 3 : 3 * at.month]
    assert read_date(f"{at:%d} {month} {at:%Y %H:%M:%S %z}".encode()) == (at, True)


def test_our_own_dates_are_proper() -> None:
    assert read_date(format_date(AT.timestamp()).encode()) == (AT, True)


@given(st.binary(max_size=60))
def test_anything_is_read(octets: bytes) -> None:
    read_date(octets)
