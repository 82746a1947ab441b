"""Medians, ratios and aims are what they say, and the same after they were kept."""

from __future__ import annotations

import json

import pytest
from suite.figures import Aim, Result, Row, number, percentile, result_from, text_table

FAST = Row("", "messages/s", {"posthouse": [7000.0, 9000.0, 8000.0], "Postfix": [1000.0]}, (Aim("Postfix", 7.0),))
SMALL = Row("memory", "MiB", {"posthouse": [5.0], "aiosmtpd": [20.0]}, (Aim("", 6.0), Aim("aiosmtpd", 0.5)), lower=True)


def test_the_median_speaks_and_ratios_are_ours_to_theirs() -> None:
    assert FAST.median("posthouse") == 8000.0
    assert FAST.ratio("Postfix") == 8.0
    assert FAST.ratio("posthouse") is None
    assert FAST.ratio("aiosmtpd") is None


@pytest.mark.parametrize(
    ("row", "reached", "met"),
    [
        (FAST, [8.0], [True]),
        (FAST._replace(aims=(Aim("Postfix", 8.0),)), [8.0], [True]),
        (FAST._replace(aims=(Aim("Postfix", 8.1),)), [8.0], [False]),
        (FAST._replace(lower=True), [8.0], [False]),
        (SMALL, [5.0, 0.25], [True, True]),
        (SMALL._replace(aims=(Aim("", 4.9), Aim("aiosmtpd", 0.2))), [5.0, 0.25], [False, False]),
        (FAST._replace(figures={"Postfix": [1000.0]}), [None], [False]),
        (FAST._replace(figures={"posthouse": [1000.0]}), [None], [False]),
        (FAST._replace(ours="Postfix", aims=(Aim("posthouse", 0.1),)), [0.125], [True]),
    ],
)
def test_an_aim_is_met_or_not(row: Row, reached: list[float | None], met: list[bool]) -> None:
    assert [each.reached for each in row.verdicts()] == reached
    assert [each.met for each in row.verdicts()] == met


def test_what_was_kept_is_what_was_found() -> None:
    result = Result(
        "x", "what it does", [FAST, SMALL], {"Postfix": "not here"}, ["a note"], "a fault", "2026-11-25", 8.0, 3
    )
    kept = json.loads(json.dumps(result.json()))
    assert kept["rows"][0]["medians"] == {"posthouse": 8000.0, "Postfix": 1000.0}
    assert kept["rows"][0]["ratios"] == {"Postfix": 8.0}
    again = result_from(kept)
    assert again.json() == result.json()
    assert [row.verdicts() for row in again.rows] == [row.verdicts() for row in result.rows]


def test_figures_are_kept_to_six_digits() -> None:
    row = Row("", "ms", {"posthouse": [1234.56789]})
    assert row.json()["figures"] == {"posthouse": [1234.57]}


@pytest.mark.parametrize(("share", "found"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share: float, found: int) -> None:
    assert percentile(reversed(range(1, 101)), share) == found


def test_a_percentile_needs_a_value() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (0.0, "0"), (0.0123, "0.012"), (0.5, "0.500"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"),
        (12345.6, "12,346"), (999.96, "1,000"),
    ],
)  # fmt: skip
def test_numbers_are_read_by_people(figure: float, text: str) -> None:
    assert number(figure) == text


def test_the_table_names_what_is_missing_and_what_failed() -> None:
    shown = text_table(
        Result("x", "what it does", [FAST, SMALL], {"smtp-sink": "not here"}, ["as a note"], "TooLong: x")
    )
    assert "ours is 8.00 ×, aim at least 7 ×: met" in shown
    assert "(7,000 to 9,000)" in shown
    assert "aim at most 6 MiB: met" in shown
    assert "smtp-sink              left out: not here" in shown
    assert "note: as a note" in shown
    assert "FAILED: TooLong: x" in shown
    missed = text_table(Result("x", "y", [FAST._replace(aims=(Aim("Postfix", 9.0),))]))
    assert "aim at least 9 ×: NOT met" in missed
