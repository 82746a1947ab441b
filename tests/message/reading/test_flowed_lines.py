"""format=flowed, read (RFC 3676 §4): the RFC's rules, each with an input of its own."""

from __future__ import annotations

import pytest

import posthouse
from posthouse.message.reading.flowed_lines import unflowed


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        ("one \n\ntwo", "one \ntwo"),  # an empty line is fixed: it ends the paragraph
        (" stuffed\n From x\n >not quoted", "stuffed\nFrom x\n>not quoted"),
        ("> one \n> two\n>> deeper \n> back", "> one two\n>> deeper \n> back"),
        (">one \n>two", "> one two"),
        ("text \n-- \nname", "text \n-- \nname"),
        ("> text \n> -- \n> name", "> text \n> -- \n> name"),
        (">\n> x", ">\n> x"),
        ("last ", "last "),
        ("", ""),
    ],
)
def test_lines_are_joined(text: str, want: str) -> None:
    assert unflowed(text, delete_space=False) == want


def test_the_space_may_be_none_of_the_text() -> None:
    assert unflowed("漢字 \n漢字\n", delete_space=True) == "漢字漢字\n"


@pytest.mark.parametrize(
    ("label", "want"),
    [
        ("text/plain; format=flowed", "a b\n"),
        ("text/plain; Format=Flowed; DelSp=Yes", "ab\n"),
        ("text/plain; format=fixed", "a \nb\n"),
        ("text/plain", "a \nb\n"),
        ("text/html; format=flowed", "a b"),
    ],
)
def test_the_label_decides(label: str, want: str) -> None:
    assert posthouse.read(f"Content-Type: {label}\n\na \nb\n".encode()).text == want


def test_time_is_linear() -> None:
    for line in ("a \n", ">" * 50 + " a \n", "> a \n>> b \n"):
        assert len(unflowed(line * 100_000, delete_space=False)) <= len(line) * 100_000
