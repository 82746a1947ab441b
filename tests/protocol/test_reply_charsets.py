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
        ("“user” – unknown", "cp1252", "“user” – unknown [read as Windows-1252]"),
    ],
)
def test_the_charset_of_a_reply_is_found(text: str, charset: str, want: str) -> None:
    assert read(text.encode(charset)) == Reply(550, "5.1.1", want)


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        ("用户不存在".encode()[:-1], "用户不存\ufffd"),
        ("用户不存在".encode()[:-2] + b"...", "用户不存\ufffd..."),
        ("用户不存在".encode()[1:], "\ufffd\ufffd户不存在"),
        ("größer".encode()[:6] + b"\xc3", "größ\ufffd"),
        ("почтовый ящик".encode()[:-1], "почтовый ящи\ufffd"),
    ],
)
def test_utf_8_that_was_cut_within_a_character_is_still_utf_8(octets: bytes, want: str) -> None:
    assert read(octets).text == want


def test_a_separator_of_lines_makes_no_line() -> None:
    assert read("full\u2028550 5.1.1 forged\u2029".encode()).text == "full?550 5.1.1 forged?"


@given(st.text(st.sampled_from("用户不存在邮箱已满无此地址拒绝连接超时系统繁忙请稍后再试"), min_size=2, max_size=40))
@settings(deadline=None)
def test_chinese_in_gbk_is_never_taken_for_utf_8_that_was_cut(text: str) -> None:
    octets = text.encode("gbk")
    try:
        octets.decode()
    except UnicodeDecodeError:
        assert read(octets).text == f"{text} [read as GB18030]"


@given(st.binary(max_size=80).filter(lambda data: b"\n" not in data and b"\r" not in data))
@settings(deadline=None)
def test_any_octets_become_printable_text(data: bytes) -> None:
    text = read(data).text
    assert all(character == "\t" or character >= " " for character in text)
    assert not any("\x7f" <= character < "\xa0" or character in "\u2028\u2029" for character in text)


def test_each_line_is_read_by_itself() -> None:
    reader = ReplyReader(512, 10)
    reader.feed(b"550-" + "用户".encode("gbk") + b"\r\n550 plain\r\n")
    assert reader.reply() == Reply(550, "", "用户 [read as GB18030]\nplain")
