"""Known refusals of large providers: each is found by its example, and by no other's."""

from __future__ import annotations

import re

import pytest

from posthouse.codes import KNOWN_REFUSALS, KnownRefusal, known_refusal, known_refusal_in
from posthouse.codes.code_lookup import sentence
from posthouse.core import Reply


def reply_of(line: str) -> Reply:
    found = re.fullmatch(r"(\d{3}) (?:(\d\.\d+\.\d+) )?(.*)", line)
    assert found is not None
    return Reply(int(found[1]), found[2] or "", found[3])


@pytest.mark.parametrize("entry", KNOWN_REFUSALS, ids=lambda each: each.example[:12])
def test_each_is_found_by_its_example_alone(entry: KnownRefusal) -> None:
    reply = reply_of(entry.example)
    assert known_refusal(reply) is entry
    assert known_refusal(reply._replace(text=reply.text.replace(" ", "\n").upper())) is entry
    assert [each for each in KNOWN_REFUSALS if re.search(each.pattern, entry.example, re.IGNORECASE)] == [entry]
    assert known_refusal_in(f"Nov 29 mx[7]: b@b.example: {entry.example.replace(' ', '-', 1)}") is entry
    assert sentence(reply) == entry.advice.en
    assert sentence(reply, "zh") == entry.advice.zh
    assert entry.advice.en.endswith(".")
    assert entry.advice.zh.endswith("。")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in entry.advice.zh)


@pytest.mark.parametrize(
    "line", ["250 2.0.0 OK", "550 5.1.1 no such user", "535 5.7.8 bad credentials", "421 4.7.0 busy"]
)
def test_an_ordinary_reply_is_none_of_them(line: str) -> None:
    assert known_refusal(reply_of(line)) is None
    assert known_refusal_in(line) is None
