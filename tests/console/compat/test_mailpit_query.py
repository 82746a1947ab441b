"""Searches in Mailpit's language, put into ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.console.compat.mailpit_query import in_our_language
from posthouse.console.problems import RequestRefused
from posthouse.service.inbox.mail_query import read_query


@pytest.mark.parametrize(
    ("query", "ours"),
    [
        ("invoice", '"invoice"'),
        ('"due today" invoice', '"due today" "invoice"'),
        ("-spam !ham", '-"spam" -"ham"'),
        ("from:shop@x.example", 'from~"shop@x.example"'),
        ("to:ann cc:bob bcc:eve reply-to:x addressed:y", 'to~"ann" to~"bob" to~"eve" to~"x" to~"y"'),
        ('subject:"two words"', 'subject:"two words"'),
        ("-subject:x", '-subject:"x"'),
        ("tag:Red", 'tag:"Red"'),
        ("message-id:<a@b>", 'message-id:"a@b"'),
        ("is:read is:unread has:attachment has:attachments", "is:read is:unread has:attachment has:attachment"),
        ("is:tagged has:inline", ""),
        ("larger:2M smaller:500k", "size>2M size<500K"),
        ("larger:many", ""),
        ("before:2024/04/01", "before:2024-04-01T00:00:00"),
        ('after:"2024-04-01 12:30"', "after:2024-04-01T12:30:00"),
        ("before:someday", ""),
        ("12:30 https://x.example/?a=b", '"12:30" "https://x.example/?a=b"'),
        ("colour:red", '"colour:red"'),
        ("from: x", '"x"'),
        ("", ""),
        ('"', ""),
        ("-", '"-"'),
    ],
)
def test_each_term(query: str, ours: str) -> None:
    assert in_our_language(query) == ours


def test_dates_are_meant_in_a_zone() -> None:
    assert in_our_language("after:2024-07-01", "Asia/Shanghai") == "after:2024-06-30T16:00:00"
    assert in_our_language("after:2024-07-01", "No/Where") == "after:2024-07-01T00:00:00"
    assert in_our_language("after:2024-07-01", "../../etc/passwd") == "after:2024-07-01T00:00:00"


@given(st.text(max_size=200))
def test_whatever_it_is_ours_understands_it(query: str) -> None:
    read_query(in_our_language(query), 1_800_000_000.0)


def test_a_search_has_an_end() -> None:
    with pytest.raises(RequestRefused):
        in_our_language("x" * 2_001)
