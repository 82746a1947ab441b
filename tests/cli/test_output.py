"""Output of commands: nothing in it steers a terminal, and its JSON keeps every value."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import msgspec
import pytest

from posthouse.cli.output import as_json, say, table, width_of, wrapped
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


@pytest.mark.parametrize("columns", range(8, 40))
def test_chinese_is_broken_as_it_is_written(columns: int) -> None:
    text = "接收SMTP 已就绪，并报出自己的名称；若是对 STARTTLS（RFC 3207）的应答，则表示可以“开始”TLS 握手。"
    lines = wrapped(text, columns)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not [line for line in lines if line[0] in "，；。）”" or line[-1] in "（“"]
    assert not [line for line in lines if width_of(line) > max(columns, width_of("STARTTLS（"))]


@pytest.mark.parametrize("what", [("550",), ("553", "--lang", "zh"), ("MAIL", "--lang", "zh"), ("relay.max_hops",)])
def test_explanations_fit_a_terminal_of_80_columns_and_are_whole_lines_in_a_pipe(what: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "posthouse", "explain", *what]
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    with subprocess.Popen(command, stdout=theirs, env={**environment, "NO_COLOR": "1"}) as child:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the child has ended
            while piece := os.read(mine, 65_536):
                shown += piece
        assert child.wait(60) == 0
    os.close(mine)
    lines = shown.decode().splitlines()
    assert max(map(width_of, lines)) <= 80
    piped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert max(map(width_of, piped.splitlines())) > 80
    assert "".join(piped.split()) == "".join("".join(lines).split())
