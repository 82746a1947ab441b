"""Sizes and durations: what is read, what is refused, and what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core.units import (
    duration_in_words,
    read_duration,
    read_size,
    short_duration,
    size_in_words,
    write_duration,
    write_size,
)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("64K", 64_000),
        ("64k", 64_000),
        ("64Ki", 65_536),
        ("64 KiB", 65_536),
        ("10MB", 10_000_000),
        ("1.5MiB", 1_572_864),
        ("1.5k", 1500),
        ("0.001K", 1),
        ("2g", 2_000_000_000),
        ("1TiB", 1 << 40),
        ("999999999999999", 999_999_999_999_999),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    assert read_size(text) == octets


@pytest.mark.parametrize(
    "text", ["", "B", "K", "-1", "+1", "1e6", "2_5", "٣", "1.M", ".5M", "1.2345M", "1KK", "1iB", "1  K", " 1", "1P"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the callers write the sentence
        read_size(text)


@pytest.mark.parametrize(
    ("octets", "written"),
    [(0, "0"), (1, "1"), (1000, "1000"), (1024, "1KiB"), (52_428_800, "50MiB"), (4 << 30, "4GiB"), (1 << 40, "1TiB")],
)
def test_sizes_are_written_as_they_are_read(octets: int, written: str) -> None:
    assert write_size(octets) == written
    assert read_size(written) == octets


@given(st.integers(0, 10**15 - 1))
def test_any_size_comes_back(octets: int) -> None:
    assert read_size(write_size(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (102_400, "100 KiB"),
        (10_000_000, "9.5 MiB"),
        (251_658_240, "240 MiB"),
        (3 << 40, "3072 GiB"),
    ],
)
def test_sizes_in_words(octets: int, words: str) -> None:
    assert size_in_words(octets) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("30 s", 30.0),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("1d12h", 129_600.0),
        ("1w", 604_800.0),
        ("1m500ms", 60.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "5x", "-5m", "1e3", "2_5", "٣s", "1.m", "5M", "1h30", "1h 30 m x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the callers write the sentence
        read_duration(text)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.5, "0.5s"), (30.0, "30s"), (90.0, "90s"), (300.0, "5m"), (14_400.0, "4h"), (432_000.0, "5d")],
)
def test_durations_are_written_as_they_are_read(seconds: float, written: str) -> None:
    assert write_duration(seconds) == written
    assert read_duration(written) == seconds


@pytest.mark.parametrize(
    ("seconds", "short"), [(0.4, "0s"), (45.0, "45s"), (61.0, "1m"), (10_800.0, "3h"), (1_036_800.0, "12d")]
)
def test_short_durations(seconds: float, short: str) -> None:
    assert short_duration(seconds) == short


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0.0, "0 seconds", "0 秒"),
        (0.0001, "1 ms", "1 毫秒"),
        (0.0123, "12 ms", "12 毫秒"),
        (1.0, "1 second", "1 秒"),
        (1.5, "1.5 seconds", "1.5 秒"),
        (59.4, "59 seconds", "59 秒"),
        (60.0, "1 minute", "1 分钟"),
        (90.0, "90 seconds", "90 秒"),
        (300.0, "5 minutes", "5 分钟"),
        (3600.0, "1 hour", "1 小时"),
        (5400.0, "90 minutes", "90 分钟"),
        (9000.0, "2.5 hours", "2.5 小时"),
        (86_400.0, "1 day", "1 天"),
        (432_000.0, "5 days", "5 天"),
    ],
)
def test_durations_in_words(seconds: float, en: str, zh: str) -> None:
    assert duration_in_words(seconds) == en
    assert duration_in_words(seconds, "zh") == zh
