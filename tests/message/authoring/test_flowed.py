"""format=flowed (RFC 3676), and Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import posthouse
from posthouse import Message
from posthouse.message.authoring.flowed import flowed_text


def joined(text: str) -> str:
    """What a reader makes of flowed text (RFC 3676 §4.2, §4.4), written anew here."""
    made, paragraph = [], ""
    for line in text.split("\n"):
        line = line[1:] if line.startswith(" ") else line
        paragraph += line
        if line.endswith(" ") and line != "-- ":
            continue
        made.append(paragraph)
        paragraph = ""
    return "\n".join([*made, *([paragraph] if paragraph else [])])


WORDS = st.lists(
    st.one_of(st.text("ab ", min_size=1, max_size=90), st.sampled_from(["From x", ">q", "-- ", " indented"])),
    max_size=6,
)


@given(WORDS)
@settings(deadline=None)
def test_a_reader_gets_the_paragraphs_back(lines: list[str]) -> None:
    text = "\n".join(line.rstrip(" ") if line != "-- " else line for line in lines)
    flowed = flowed_text(text)
    assert joined(flowed) == text
    for line in flowed.split("\n"):
        assert len(line) <= 73 or not re.search(r"[^ ] +[^ ]", line[:73])


def test_a_message_in_flowed_says_so_and_is_read_as_it_was() -> None:
    text = "A long paragraph " * 20 + "\n\n> quoted\n-- \nAnn\n"
    message = Message("a@x.example", text=text, flowed=True)
    assert b'Content-Type: text/plain; charset="us-ascii"; format=flowed\r\n' in message.as_bytes()
    assert max(map(len, message.as_bytes().split(b"\r\n"))) <= 78
    assert posthouse.read(message.as_bytes()).text == text.replace("paragraph \n", "paragraph\n")


@pytest.mark.parametrize("text", ["é" * 600, "漢" * 600])
def test_a_word_is_never_cut(text: str) -> None:
    assert flowed_text(text) == text


def test_markdown_is_html_and_text() -> None:
    message = Message("a@x.example", markdown="# Hi\n\n*you* <script>x</script>\n\n[x](javascript:alert)")
    assert message.text == "# Hi\n\n*you* <script>x</script>\n\n[x](javascript:alert)"
    assert message.html is not None
    assert message.html.startswith("<h1>Hi</h1>\n<p><em>you</em> &lt;script&gt;")
    assert "href" not in message.html
    other = message.replace(markdown="b")
    assert (other.text, other.html, other.message_id) == ("b", "<p>b</p>\n", message.message_id)
    assert Message("a@x.example", markdown="*b*", text="own").text == "own"
