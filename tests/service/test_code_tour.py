"""The tour of reply codes: each code comes, live, and the manual's table is the same."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from posthouse.service.code_tour import CODE_WAYS, TOUR_CONFIG, CodeTour, CodeWay
from posthouse.service.config_file import parse

#: The codes of RFC 821 §4.2.2, which texts on SMTP list.
CLASSIC = [501, 502, 503, 504, 500, 211, 214, 220, 221, 421, 250, 251, 450, 550, 451, 551, 452, 552, 553, 354, 554]
PAGE = Path(__file__).parents[2] / "docs" / "reply-codes.md"


def test_every_classic_code_has_a_way() -> None:
    assert [way.code for way in CODE_WAYS] == sorted(CLASSIC)


def test_all_codes_come_and_no_file_is_left() -> None:
    async def scenario() -> tuple[list[list[tuple[str, str]]], str]:
        async with asyncio.timeout(60), CodeTour() as tour:
            assert tour.root is not None
            return [await tour.bring_about(way) for way in CODE_WAYS], tour.root

    dialogues, root = asyncio.run(scenario())
    assert not os.path.exists(root)
    for way, lines in zip(CODE_WAYS, dialogues, strict=True):
        who, last = lines[-1]
        assert (who, last[:3]) == ("R", str(way.code))
        said = [text for who, text in lines if who == "S"]
        assert said[: len(way.lines) - 1] == list(way.lines[:-1])


@pytest.mark.parametrize("way", CODE_WAYS, ids=lambda way: str(way.code))
def test_the_setting_of_a_way_stands_in_the_configuration(way: CodeWay) -> None:
    if way.at != "sink" and way.setting:
        assert way.setting in TOUR_CONFIG
    assert way.why.en.endswith(".")
    assert way.why.zh.endswith("。")


def test_the_configuration_can_be_used_and_the_manual_has_it() -> None:
    assert parse(TOUR_CONFIG).listener[1].name == "busy"
    page = PAGE.read_text(encoding="utf-8")
    assert TOUR_CONFIG in page
    for way in CODE_WAYS:
        (row,) = [
            line
            for line in page.splitlines()
            if line.startswith(f"| [{way.code}](#{way.code}) |") and way.why.zh in line
        ]
        assert way.setting in row
        for line in way.lines:
            assert line.endswith("\r\n.") or f"`{line}`" in row


def test_another_code_is_an_error() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), CodeTour() as tour:
            await tour.bring_about(CODE_WAYS[0]._replace(code=999))

    with pytest.raises(Exception, match="999 was expected, and 211 came"):
        asyncio.run(scenario())
