"""Encoded words of RFC 2047, as it has them and as programs write them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.encode import encoded_words
from posthouse.message.reading.encoded_text import decode_words, from_base64, text_of_octets


def b(text: str, charset: str = "utf-8") -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("plain", "plain"),
        ("=?us-ascii?Q?Keith_Moore?=", "Keith Moore"),
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=\t=?UTF-8?Q?=C3=A9?=", "aé"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("(=?ISO-8859-1?q?a?=)", "(a)"),
        ("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b("你好"), "你好"),
        (b("你好").rstrip("=").rstrip("?") + "?=", "你好"),
        ("Re:=?utf-8?q?=C3=A9?=x", "Re:éx"),
        ("=?utf-8?q?a b?=", "a b"),
        ("=?utf-8?q??=", ""),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?a", "=?utf-8?q?a"),
        ("a =?= b", "a =?= b"),
        ("=?utf-8?q?=ZZ?=", "=ZZ"),
    ],
)
def test_encoded_words(written: str, text: str) -> None:
    assert decode_words(written).text == text


def test_a_character_that_two_words_share_is_read() -> None:
    octets = "好".encode()
    first, second = (base64.b64encode(piece).decode() for piece in (octets[:1], octets[1:]))
    assert decode_words(f"=?utf-8?B?{first}?= =?UTF-8?b?{second}?=").text == "好"


def test_a_guess_is_marked() -> None:
    assert decode_words("=?no-such-charset?q?=C3=A9?=").guessed
    assert not decode_words("=?utf-8?q?=C3=A9?=").guessed


@pytest.mark.parametrize(
    ("octets", "content", "proper"),
    [
        (b"aGVsbG8=", b"hello", True),
        (b"aGVs\r\nbG8=\r\n", b"hello", True),
        (b"aGVsbG8", b"hello", False),
        (b"aGVs!bG8=", b"hello", False),
        (b"aGU=bGxv", b"hello", False),
        (b"a", b"", False),
        (b"", b"", True),
    ],
)
def test_base64_is_read_as_far_as_it_goes(octets: bytes, content: bytes, proper: bool) -> None:
    assert from_base64(octets) == (content, proper)


def test_octets_of_a_field_that_follow_no_rule() -> None:
    assert text_of_octets("é".encode()).text == "é"
    assert text_of_octets("Grüße".encode("cp1252")).guessed


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80))
def test_what_we_write_is_read_back(text: str) -> None:
    assert decode_words(" ".join(encoded_words(text)) if text else "").text == text


@given(st.text(max_size=80))
def test_anything_is_read(text: str) -> None:
    assert isinstance(decode_words(text).text, str)
