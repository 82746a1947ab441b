"""Texts of replies that are not UTF-8 are shown as well as they can be, and say how they were read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Reply
from posthouse.protocol.readers import ReplyReader


def read(text: bytes) -> Reply:
    reader = ReplyReader(512, 10)
    reader.feed(b"550 5.1.1 " + text + b"\r\n")
    reply = reader.reply()
    assert reply is not None
    return reply


@pytest.mark.parametrize(
    ("text", "charset", "want"),
    [
        ("用户不存在", "utf-8", "用户不存在"),
        ("用户不存在", "gbk", "用户不存在 [read as GB18030]"),
        ("user 郎锐：邮箱已满 (full)", "gb2312", "user 郎锐：邮箱已满 (full) [read as GB18030]"),
        ("朱镕基", "gb18030", "朱镕基 [read as GB18030]"),
        ("Empfänger größer für", "latin-1", "Empfänger größer für [read as Latin-1]"),
        ("déjà reçu", "latin-1", "déjà reçu [read as Latin-1]"),
    ],
)
def test_the_charset_of_a_reply_is_found(text: str, charset: str, want: str) -> None:
    assert read(text.encode(charset)) == Reply(550, "5.1.1", want)


@given(st.binary(max_size=80).filter(lambda data: b"\n" not in data and b"\r" not in data))
@settings(deadline=None)
def test_any_octets_become_printable_text(data: bytes) -> None:
    text = read(data).text
    assert all(character == "\t" or character >= " " for character in text)
    assert not any("\x7f" <= character < "\xa0" for character in text)


def test_each_line_is_read_by_itself() -> None:
    reader = ReplyReader(512, 10)
    reader.feed(b"550-" + "用户".encode("gbk") + b"\r\n550 plain\r\n")
    assert reader.reply() == Reply(550, "", "用户 [read as GB18030]\nplain")
