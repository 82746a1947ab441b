"""Tag=value lists: the grammar of RFC 6376 §3.2, kept strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailauth.tag_list import TAGS_LIMIT, TagFault, decode_base64, read_tags, split_list


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b"v=1", {"v": "1"}),
        (b" v = 1 ;a=b ; ", {"v": "1", "a": "b"}),
        (b"v=1;\r\n\ta\r\n =\r\n b\r\n c;", {"v": "1", "a": "b c"}),
        (b"p=", {"p": ""}),
        (b"p=;V=1;v=2", {"p": "", "V": "1", "v": "2"}),
        (b"b=ab==;x_1=y", {"b": "ab==", "x_1": "y"}),
        ("n=é 你;v=1".encode(), {"n": "é 你", "v": "1"}),
        (b"a=1 \t\r\n 2", {"a": "1 \t 2"}),
    ],
)
def test_lists(value: bytes, tags: dict[str, str]) -> None:
    found = read_tags(value)
    assert found == tags
    assert list(found) == list(tags)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "empty"),
        (b" \t", "empty"),
        (b";", "between two semicolons"),
        (b"v=1;;a=b", "between two semicolons"),
        (b"v=1; ;a=b", "between two semicolons"),
        (b"v", "'v' has no '='"),
        (b"=1", "not the name"),
        (b"1a=1", "not the name"),
        (b"a b=1", "not the name"),
        (b"v=1;a-b=1", "not the name"),
        (b"v=1;a=2;v=1", "v= stands twice"),
        (b"v=1\r\na=2", "line end"),
        (b"v=1;\na=2", "line end"),
        (b"v=1\r", "line end"),
        (b"v=\x00", "control"),
        (b"v=\x7f", "control"),
        (b"v=\xff", "UTF-8"),
        (b"a=1;" * (TAGS_LIMIT + 1), "more than"),
    ],
)
def test_lists_that_break_the_grammar(value: bytes, text: str) -> None:
    with pytest.raises(TagFault, match=text):
        read_tags(value)


def test_as_many_tags_as_allowed() -> None:
    value = b"".join(b"t%d=;" % number for number in range(TAGS_LIMIT))
    assert len(read_tags(value)) == TAGS_LIMIT
    with pytest.raises(TagFault, match="more than"):
        read_tags(value + b"x=")


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(value: bytes) -> None:
    try:
        tags = read_tags(value)
    except TagFault:
        return
    again = ";".join(f"{name}={found}" for name, found in tags.items())
    assert read_tags(again.encode()) == tags


@pytest.mark.parametrize(
    ("value", "octets"),
    [("YQ==", b"a"), (" Y Q\t= =", b"a"), ("YWI=", b"ab"), ("YWJj", b"abc")],
)
def test_base64(value: str, octets: bytes) -> None:
    assert decode_base64(value) == octets


@pytest.mark.parametrize("value", ["", " ", "YQ", "YQ=", "Y", "YQ==YQ==", "YQ=-", "ÿQ==", "YQ===", "="])
def test_what_is_not_base64(value: str) -> None:
    with pytest.raises(TagFault):
        decode_base64(value)


def test_colon_lists() -> None:
    assert split_list("from : To:\tsubject") == ["from", "To", "subject"]
    for wrong in ("", ":", "a:", ":a", "a::b"):
        with pytest.raises(TagFault):
            split_list(wrong)
