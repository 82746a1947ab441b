"""Explained dialogues: each reply with the command it answers, in one column or below."""

from __future__ import annotations

import pytest

from posthouse.cli.output import safe, table, width_of
from posthouse.cli.transcript import show
from posthouse.codes import Live, Said, annotate

RESPONSIBLE = "from here on the receiving SMTP is responsible"
PLAIN = [
    ("R", "220 mx ready"),
    ("S", "EHLO me"),
    ("R", "250-mx"),
    ("R", "250-SIZE 100"),
    ("R", "250 X-STRANGE"),
    ("S", "MAIL FROM:<a@b.org>"),
    ("R", "250 2.1.0 OK"),
    ("S", "RCPT TO:<c@d.org>"),
    ("R", "550 5.1.1 nobody"),
    ("S", "RCPT TO:<e@d.org>"),
    ("R", "250 2.1.5 OK"),
    ("S", "DATA"),
    ("R", "354 go on"),
    ("S", "(10 octets of content)"),
    ("S", "."),
    ("R", "250 OK"),
    ("S", "QUIT"),
    ("R", "221 bye"),
]


def test_each_line_is_explained_by_what_it_answers() -> None:
    said = annotate(PLAIN)
    assert [(each.who, each.text) for each in said] == PLAIN
    unexplained = [each.text for each in said if not each.explanation]
    assert unexplained == ["250 X-STRANGE"]  # a keyword that nobody knows
    assert "no mailbox of this name" in said[8].explanation
    assert RESPONSIBLE in said[15].explanation
    assert sum(RESPONSIBLE in each.explanation for each in said) == 1


def test_tls_and_a_login_are_explained() -> None:
    """The lines that stand for credentials are no content."""
    lines = [
        ("R", "220 mx ready"),
        ("S", "EHLO me"),
        ("R", "250 STARTTLS"),
        ("S", "STARTTLS"),
        ("R", "220 go"),
        ("S", "EHLO me"),
        ("R", "250-mx"),
        ("R", "250 AUTH LOGIN"),
        ("S", "AUTH LOGIN"),
        ("R", "334 VXNlcm5hbWU6"),
        ("S", "(credentials)"),
        ("R", "334 UGFzc3dvcmQ6"),
        ("S", "(credentials)"),
        ("R", "235 2.7.0 welcome"),
        ("S", "QUIT"),
        ("R", "221 bye"),
    ]
    for lang in ("en", "zh"):
        said = annotate(lines, lang)
        assert [each.text for each in said if not each.explanation] == []
    said = annotate(lines)
    assert "login" in said[10].explanation
    assert not [each for each in said if RESPONSIBLE in each.explanation or "header fields" in each.explanation]


def test_pipelined_replies_find_their_commands() -> None:
    lines = [
        ("R", "220 mx"),
        ("S", "MAIL FROM:<>"),
        ("S", "RCPT TO:<c@d.org>"),
        ("S", "BDAT 10 LAST"),
        ("S", "(10 octets of content)"),
        ("R", "250 2.1.0 OK"),
        ("R", "250 2.1.5 OK"),
        ("R", "250 2.0.0 OK"),
    ]
    said = annotate(lines)
    assert [RESPONSIBLE in each.explanation for each in said] == [False] * 7 + [True]


def test_lmtp_answers_once_for_each_recipient() -> None:
    lines = [
        ("R", "220 x"),
        ("S", "DATA"),
        ("R", "354 x"),
        ("S", "(1 octets of content)"),
        ("S", "."),
        *[("R", "250 x")] * 2,
    ]
    said = annotate(lines)
    assert RESPONSIBLE in said[-1].explanation
    assert RESPONSIBLE in said[-2].explanation


def test_it_rests_when_a_message_or_the_session_is_over() -> None:
    live = Live("en")
    resting = []
    for who, text in PLAIN:
        live(who, text)
        resting.append(live.resting)
    assert [text for (_, text), rests in zip(PLAIN, resting, strict=True) if rests] == ["250 OK", "221 bye"]


def test_chinese() -> None:
    assert "邮箱" in annotate(PLAIN, "zh")[8].explanation


@pytest.mark.parametrize("width", [40, 79, 88, 120, 200])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_lines_keep_to_the_width(capsys: pytest.CaptureFixture[str], width: int, lang: str) -> None:
    for said in annotate(PLAIN, lang):
        show(said, width=width)
    out = capsys.readouterr().out
    assert all(width_of(line) <= width for line in out.splitlines())
    said_in_order = [line for line in out.splitlines() if line.startswith(("S: ", "R: "))]
    assert [line.split("  ")[0].rstrip() for line in said_in_order] == [f"{who}: {text}" for who, text in PLAIN]
    together = "".join(out.split())
    assert all("".join(said.explanation.split()) in together for said in annotate(PLAIN, lang) if width == 40)


def test_a_peer_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(Said("R", "220 \x1b]0;owned\x07 \u202eevil"), width=80)
    assert not set("\x1b\x07\u202e") & set(capsys.readouterr().out)


def test_a_table_is_aligned_in_columns_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A", "B"), [("任平", "x"), ("ab", "line\nbreak")])
    assert capsys.readouterr().out == "A     B\n任平  x\nab    line / break\n"


def test_an_empty_table_says_so_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A",), [], empty="Nothing.")
    got = capsys.readouterr()
    assert (got.out, got.err) == ("", "Nothing.\n")


def test_text_that_would_control_the_terminal() -> None:
    assert safe("a\tb\nc\x9b") == "a\tb\nc\\u009b"


def test_help_on_a_command_is_not_told_as_help_alone() -> None:
    lines = [("S", "HELP"), ("R", "211 2.0.0 Commands"), ("S", "HELP MAIL"), ("R", "214 2.0.0 MAIL FROM:<sender>")]
    alone, _, topic, _ = (each.explanation for each in annotate(lines))
    assert (alone, topic) == ("Which commands are there?", "How is this command used?")
