"""The page and the drawing say what was measured: every aim, met or not, and nothing that was not."""

from __future__ import annotations

import copy
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from suite.figures import Aim, Result, Row, result_from
from suite.plot import bars, svg
from suite.scenarios import SCENARIOS

from docs_pages.performance import LATEST, drawing, written

RESULTS = [
    Result(
        "accept",
        "it stores & drops",
        [Row("", "messages/s", {"posthouse": [8000.0], "Postfix": [1000.0], "sink": [9000.0]}, (Aim("Postfix", 7.0),))],
        {"aiosmtpd": "not here"},
        [],
        "",
        "2026-11-24",
        8.0,
        3,
    ),
    Result(
        "start",
        "commands",
        [Row("send", "ms", {"posthouse": [90.0], "pass": [10.0]}, (Aim("pass", 8.0),), lower=True)],
        {},
        ["medians"],
        "TooLong: not done",
        "2026-11-25",
        8.0,
        3,
    ),
    Result("idle", "sessions", [Row("", "KiB", {"posthouse": [2.5]}, (Aim("", 6.0),), lower=True)]),
    Result("gone", "no side was here", [Row("", "ms", {"Postfix": [1.0]}, (Aim("Postfix", 1.0),))]),
]


def stored(results: list[Result], ours: str = "0.1.0") -> dict[str, Any]:
    kept = json.loads(LATEST.read_text(encoding="utf-8"))
    versions = {**kept["versions"], "posthouse": ours}
    return {**kept, "versions": versions, "results": [each.json() for each in results]}


def rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


def test_the_page_has_a_line_for_each_pair() -> None:
    page = written(stored(RESULTS))
    assert ["`accept`", "8,000 messages/s", "Postfix: 1,000 messages/s", "8.00 ×", "≥ 7 ×", "yes"] in rows(page)
    assert ["`accept`", "8,000 messages/s", "sink: 9,000 messages/s", "0.889 ×", "", ""] in rows(page)
    assert ["`start`: send", "90.0 ms", "pass: 10.0 ms", "9.00 ×", "≤ 8 ×", "**no**"] in rows(page)
    assert ["`idle`", "2.50 KiB", "", "", "≤ 6 KiB", "yes"] in rows(page)
    assert ["`gone`", "not measured", "Postfix: 1.00 ms", "", "≥ 1 ×", ""] in rows(page)
    assert "`accept`: aiosmtpd was left out: not here." in page
    assert "`start` failed: TooLong: not done." in page
    assert "scripts/bench all --seconds 8 --rounds 3 --save" in page


def test_what_was_compiled_is_called_so_and_can_be_repeated() -> None:
    pair = Row("accept", "messages/s", {"posthouse": [7000.0], "pure Python": [6000.0]})
    results = [RESULTS[0], Result("compiled", "both", [pair])]
    page = written(stored(results, "0.1.0, compiled (abc)"))
    assert "[compiled](compiled.md)" in page
    assert "scripts/bench --compiled all --seconds 8 --rounds 3 --save" in page
    assert ["accept", "6,000 messages/s", "7,000 messages/s", "1.17 ×"] in rows(page)
    assert "[compiled](compiled.md)" not in written(stored(results))


@pytest.mark.parametrize(("load", "said"), [("0.1", False), ("0.6", True)])
def test_a_busy_machine_is_confessed(load: str, said: bool) -> None:
    kept = stored(RESULTS)
    kept["machine"]["load"] = load
    assert ("was busy" in written(kept)) is said


def test_group_commit_and_scaling_have_tables_of_their_own() -> None:
    crowd = [
        Row("4 sessions", "messages/s", {"posthouse": [3000.0], "Postfix": [1000.0]}),
        Row("4 sessions, p50", "ms", {"posthouse": [1.5], "Postfix": [4.0]}, (), lower=True),
        Row("4 sessions, p99", "ms", {"posthouse": [3.0]}, (), lower=True),
    ]
    scaling = [Row("20 sessions", "messages/s", {"posthouse": [3000.0], "one worker": [2000.0]})]
    page = written(stored([Result("sessions", "a crowd", crowd), Result("workers", "two", scaling)]))
    assert ["4 sessions", "3,000", "1.50 ms", "3.00 ms", "1,000", "4.00 ms", "", "3.00 ×"] in rows(page)
    assert ["20 sessions", "2,000 messages/s", "3,000 messages/s", "1.50 ×"] in rows(page)


def test_the_same_figures_make_the_same_page() -> None:
    kept = stored(RESULTS)
    assert written(kept) == written(copy.deepcopy(kept))


def test_what_is_kept_is_of_scenarios_that_there_are() -> None:
    kept = json.loads(LATEST.read_text(encoding="utf-8"))
    assert {each["scenario"] for each in kept["results"]} <= set(SCENARIOS)
    assert kept["versions"]["Python"]
    page = written(kept)
    for each in kept["results"]:
        assert f"- `{each['scenario']}`: " in page


def test_a_bar_is_as_long_as_its_part_of_the_aim() -> None:
    drawn = {bar.label: bar for bar in bars(RESULTS)}
    assert drawn["accept / Postfix"].part == pytest.approx(8 / 7)
    assert drawn["start: send / pass"].part == pytest.approx(8 / 9)
    assert drawn["idle"].part == pytest.approx(6 / 2.5)
    assert [bar.met for bar in drawn.values()] == [True, False, True]
    picture = ElementTree.fromstring(svg(RESULTS))
    widths = [
        float(each.attrib["width"])
        for each in picture.iter("{http://www.w3.org/2000/svg}rect")
        if each.attrib["class"] in ("met", "missed")
    ]
    assert len(widths) == 3
    assert widths[0] / widths[1] == pytest.approx((8 / 7) / (8 / 9), abs=0.01)
    assert max(widths) == widths[2] == pytest.approx(2 / (8 / 7) * widths[0], abs=0.5)  # cut at twice the aim


def test_the_drawing_is_readable_light_and_dark_and_says_all_in_words() -> None:
    text = drawing("")
    picture = ElementTree.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    classes = set(re.findall(r'class="(\w+)"', text))
    light, _, dark = text.partition("@media")
    for each in classes - {"title"}:
        assert f".{each} {{" in light
        assert f".{each} {{" in dark
    shown = [each.text or "" for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    kept = json.loads(LATEST.read_text(encoding="utf-8"))["results"]
    for bar in bars([result_from(each) for each in kept]):
        assert bar.said in shown
    assert any(each.endswith(" met") for each in shown)


def test_what_is_written_into_a_drawing_cannot_break_it() -> None:
    result = Result("a<b", "c", [Row("&", "ms", {"posthouse": [1.0], "<x>": [1.0]}, (Aim("<x>", 1.0),))])
    shown = [each.text for each in ElementTree.fromstring(svg([result])).iter("{http://www.w3.org/2000/svg}text")]
    assert "a<b: & / <x>" in shown
