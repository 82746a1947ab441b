"""Event lines and dialogues."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import Literal

import pytest

from posthouse.service.daemon.event_log import EventLog
from posthouse.service.daemon.transcripts import TranscriptRecorder


class Fixed:
    """A clock that stands still."""

    def time(self) -> float:
        return 1_795_420_800.125


def test_text_lines() -> None:
    lines: list[str] = []
    log = EventLog(Fixed(), "text", lines.append)  # type: ignore[arg-type]
    log("accepted", id="Q1", sender="", recipients=2, reply="250 2.0.0 OK", peer="a=b", name="王")
    assert lines == ['2026-11-23T08:00:00.125Z accepted id=Q1 recipients=2 reply="250 2.0.0 OK" peer="a=b" name="王"']


def test_what_a_peer_said_cannot_start_a_line() -> None:
    for form in ("text", "json"):
        lines: list[str] = []
        EventLog(Fixed(), form, lines.append)("refused", reply="550 no\r\n2026 accepted id=forged")  # type: ignore[arg-type]
        assert len(lines) == 1
        assert lines[0].splitlines() == lines


def test_json_lines() -> None:
    lines: list[str] = []
    log = EventLog(Fixed(), "json", lines.append, daemon="sina.com")  # type: ignore[arg-type]
    try:
        raise ValueError("deep down")
    except ValueError as error:
        log("fault", reason="x", error=error, nothing=None)
    said = json.loads(lines[0])
    assert said["time"] == "2026-11-23T08:00:00.125Z"
    assert (said["event"], said["daemon"], said["reason"]) == ("fault", "sina.com", "x")
    assert "Traceback" in said["error"]
    assert "deep down" in said["error"]
    assert "nothing" not in said


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "people", [["a@x.test", "b@x.test"], ['"a b"@x.test', "\u738b@x.test", "c\r\n@x.test"], ["a", "b" * 5000], []]
)
def test_many_told_at_once_are_lines_as_if_told_one_by_one(form: str, people: list[str]) -> None:
    one, many = [], []
    facts = {"destination": "x.test", "peer": "", "reply": "250 2.0.0 OK", "again": 3.5}
    log = EventLog(Fixed(), form, one.append, daemon="a b")  # type: ignore[arg-type]
    for person in people:
        log("delivered", id="Q1", recipient=person, **facts)
    log = EventLog(Fixed(), form, many.append, daemon="a b")  # type: ignore[arg-type]
    log.each("delivered", "recipient", people, id="Q1", recipient=None, **facts)
    assert many == one
    assert len(many) == len(people)


def test_a_recorder_is_bounded() -> None:
    recorder = TranscriptRecorder(Fixed(), sessions=2, lines=3)  # type: ignore[arg-type]
    for name in ("a", "b", "c"):
        tell = recorder(name)
        for number in range(5):
            tell("S", str(number))
    assert [(each.where, each.number) for each in recorder.dialogues] == [("b", 2), ("c", 3)]
    assert [line.text for line in recorder.dialogues[0].lines] == ["0", "1", "2"]


#: A C1 control, a line separator, a mark of direction, a zero-width space, a byte order mark, a tag, half of a pair.
UNSEEN = "a\x9bb\u2028c\u202ed\u200be\ufefff\U000e0041g\x7fh\udcfci\x1b[2J"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_steers_a_terminal_is_escaped_in_every_field(form: str) -> None:
    lines: list[str] = []
    log = EventLog(Fixed(), form, lines.append)  # type: ignore[arg-type]
    log("refused", reason=UNSEEN, recipient=f"{UNSEEN}@x.test", text=UNSEEN * 100)
    log.each("delivered", "recipient", [f"{UNSEEN}@x.test", "plain@x.test"], id="Q1", recipient=None, reply=UNSEEN)
    assert len(lines) == 3
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert "\\u202e" in line
    if form == "json":
        assert json.loads(lines[0])["reason"] in (UNSEEN, UNSEEN.replace("\udcfc", "\\udcfc"))


def test_moments_are_times_and_no_seconds_since_an_epoch() -> None:
    for form in ("text", "json"):
        lines: list[str] = []
        log = EventLog(Fixed(), form, lines.append)  # type: ignore[arg-type]
        log("deferred", id="Q1", again=1_795_420_810.5, again_in=0.5)
        log("deferred", id="Q1", again=1e300)
        assert "2026-11-23T08:00:10.500Z" in lines[0]
        assert "1795420810" not in lines[0]
        assert "1e+300" in lines[1].replace("1e300", "1e+300")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_tells_what_its_fields_were_when_the_event_happened(
    form: Literal["text", "json"], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told() -> None:
        log = EventLog(Fixed(), form)  # type: ignore[arg-type]
        names = ["ann"]
        log("before", names="ann")
        log("told", names=names)
        names.append("bob")
        log("after", names="bob")
        log.flush()

    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    asyncio.run(told())
    first, middle, last = written.getvalue().splitlines()
    assert ("before" in first, "told" in middle, "after" in last) == (True, True, True)
    assert "ann" in middle
    assert "bob" not in middle


def test_a_field_that_cannot_be_written_costs_no_other_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("this object has no text")

    async def told() -> None:
        log = EventLog(Fixed())  # type: ignore[arg-type]
        log("accepted", id="Q1")
        with pytest.raises(RuntimeError, match="no text"):
            log("fault", reason=Mute())
        log("accepted", id="Q2")
        log.flush()

    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    asyncio.run(told())
    assert [line.split()[1:] for line in written.getvalue().splitlines()] == [
        ["accepted", "id=Q1"],
        ["accepted", "id=Q2"],
    ]
