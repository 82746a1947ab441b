"""Output of commands: nothing in it steers a terminal, and its JSON keeps every value."""

from __future__ import annotations

import json

import msgspec
import pytest

from posthouse.cli.output import as_json, say, table
from posthouse.service.operations import results

UNSEEN = "a\x9bb\u2028c\u202ed\u200be\ufefff\U000e0041g\x7fh\x1b[2J"


class Told(msgspec.Struct):
    """An answer with text from outside, and times."""

    text: str
    received: float
    due: float | None = None
    more: list[Told] = []


def test_no_face_lets_text_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(UNSEEN)
    say(UNSEEN, "bold", err=True)
    table(("ONE", UNSEEN.split("\x9b")[0]), [(UNSEEN, 1)])
    as_json({"key": UNSEEN})
    as_json(Told(UNSEEN, 0.0))
    shown = capsys.readouterr()
    for line in (shown.out + shown.err).split("\n"):
        assert line.isascii(), line
        assert line.isprintable(), line
    assert (shown.out + shown.err).count("\\u202e") == 5


def test_json_keeps_the_text_and_writes_times_as_people_do(capsys: pytest.CaptureFixture[str]) -> None:
    as_json([Told(UNSEEN, 1_795_420_800.125, None, [Told("x", 1.0, 2.0)])])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["text"] == UNSEEN
    assert (found["received"], found["due"]) == ("2026-11-23T08:00:00.125Z", None)
    assert found["more"][0]["due"] == "1970-01-01T00:00:02.000Z"


def test_every_time_in_an_answer_is_known_as_one() -> None:
    known = {"seconds", "ages", "timings"}
    for name in results.__all__:
        kind = getattr(results, name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for each in msgspec.structs.fields(kind):
                if "float" in str(each.type):
                    assert each.name in results.MOMENTS | known, f"{name}.{each.name}"
