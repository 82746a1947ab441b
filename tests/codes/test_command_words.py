"""The commands' texts: every word that a session or a text about SMTP has, in both languages."""

from __future__ import annotations

import re

import pytest

from posthouse.codes import ALL_BASIC, ALL_COMMANDS, command
from posthouse.protocol.parsing import CommandError, parse_command
from posthouse.protocol.states import COMMANDS


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_command_of_the_dialogue_is_explained(verb: str) -> None:
    entry = command(verb)
    assert entry is not None
    assert entry.verb == verb


@pytest.mark.parametrize(
    ("written", "verb"),
    [
        ("mail", "MAIL"),
        ("MAIL FROM", "MAIL"),
        ("MAIL FROM:<langrui@sohu.com>", "MAIL"),
        ("rcpt to:", "RCPT"),
        ("HELLO", "HELO"),
        ("Rest", "RSET"),
        ("BDAT LAST", "BDAT"),
        (".", "."),
        ("TURN", "TURN"),
    ],
)
def test_a_command_is_found_as_people_write_it(written: str, verb: str) -> None:
    entry = command(written)
    assert entry is not None
    assert entry.verb == verb


@pytest.mark.parametrize("written", ["", "  ", "FLY", "help me", "data of mine", "550", "bob@example.org", "mail bob"])
def test_other_words_are_no_command(written: str) -> None:
    assert command(written) is None


@pytest.mark.parametrize("entry", ALL_COMMANDS.values(), ids=list(ALL_COMMANDS))
def test_both_languages_say_all_of_it(entry: object) -> None:
    from posthouse.codes import CommandEntry

    assert isinstance(entry, CommandEntry)
    for text in (entry.title, entry.meaning, entry.when, entry.note):
        if text is not None:
            assert re.search(r"[A-Za-z]{2}", text.en)
            assert not re.search(r"[\u4e00-\u9fff]", text.en)
            assert re.search(r"[\u4e00-\u9fff]", text.zh)
    assert entry.replies
    assert set(entry.replies) - set(ALL_BASIC) <= {253, 458, 459}  # ETRN's own (RFC 1985)
    assert entry.syntax.startswith(entry.verb)


@pytest.mark.parametrize("entry", ALL_COMMANDS.values(), ids=list(ALL_COMMANDS))
def test_what_is_never_offered_is_answered_502(entry: object) -> None:
    from posthouse.codes import CommandEntry

    assert isinstance(entry, CommandEntry)
    if entry.verb == ".":
        return
    try:
        parse_command(entry.verb.encode(), frozenset({"CHUNKING", "SMTPUTF8", "STARTTLS", "AUTH"}))
        code = 0
    except CommandError as refusal:
        code = refusal.reply.code
    assert (code == 502) is not entry.offered
    if entry.older:
        with_argument = entry.syntax.replace(entry.verb, entry.older, 1).encode()
        assert parse_command(with_argument, frozenset()) == parse_command(entry.syntax.encode(), frozenset())
