"""HTML as text, links, and one-time codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.reading.readable_text import codes_in, links_in_html, links_in_text, text_of_html


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain &amp; simple", "plain & simple"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<title>no</title><style>p {}</style><script>if (a < b) x('</p>')</script>yes", "yes"),
        ("<head><meta x></head><body>yes</body>", "yes"),
        ("<!-- no -->yes<!-- no", "yes"),
        ("a < b, c > d", "a < b, c > d"),
        ("<a href='https://x.test/'>here</a>", "here <https://x.test/>"),
        ("<a href='https://x.test/'>https://x.test/</a>", "https://x.test/"),
        ("<a href='javascript:x()'>here</a>", "here"),
        ("<img alt='Logo' src=x>", "[Logo]"),
        ("<a title='a > b' href=\"https://x.test/?a&amp;b\">c</a>", "c <https://x.test/?a&b>"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("<?xml version='1.0'?><!DOCTYPE html><p>x", "x"),
        ("a  \n b", "a b"),
        ("İ<script>x</script>y", "İy"),
        ("<", "<"),
        ("<p", "<p"),
    ],
)
def test_html_as_text(source: str, text: str) -> None:
    assert text_of_html(source) == text


def test_links_of_html_are_given_once_in_their_order() -> None:
    source = (
        '<a href="https://b.test/">x</a> https://a.test/. <a href=mailto:a@x.test>m</a>'
        '<a href="https://b.test/">y</a><a href="#c">z</a>'
    )
    assert links_in_html(source) == ["https://b.test/", "https://a.test/", "mailto:a@x.test"]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://x.test/a?b=c&d#e, or http://y.test.", ["https://x.test/a?b=c&d#e", "http://y.test"]),
        ("(https://x.test/a)", ["https://x.test/a"]),
        ("https://x.test/a_(b)", ["https://x.test/a_(b)"]),
        ("<https://x.test/>", ["https://x.test/"]),
        ("请打开 https://x.test/验证。谢谢", ["https://x.test/验证"]),
        ("www.x.test is one, www. is none", ["http://www.x.test"]),
        ("https:// is none", []),
        ("nohttps://x.test", []),
    ],
)
def test_links_of_text(text: str, links: list[str]) -> None:
    assert links_in_text(text) == links


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your verification code is 123456.", ["123456"]),
        ("Your code: 123 456", ["123456"]),
        ("123-456 is your login code", ["123456"]),
        ("您的验证码是 8842，十分钟内有效", ["8842"]),
        ("【公司】验证码：654321", ["654321"]),
        ("G-123456 is your verification code", ["123456"]),
        ("Enter the code ABC-DEF to go on", ["ABC-DEF"]),
        ("Security code\n\nX7K9Q2\n", ["X7K9Q2"]),
        ("Order 123456 costs 1234.50", []),
        ("The meeting is in 2026 in room 1234", []),
        ("your code https://x.test/123456", []),
        ("code 12345678901", []),
        ("Your PIN is 4711. Call +49-1234-5678.", ["4711"]),
    ],
)
def test_codes(text: str, codes: list[str]) -> None:
    assert codes_in(text) == codes


def test_the_code_nearest_to_the_word_is_first() -> None:
    assert codes_in("Order 99887766 from 2026. Your code is 123456.")[0] == "123456"


@given(st.text("<>/a =\"'-!&;hrefscript\n", max_size=60))
def test_anything_is_read(source: str) -> None:
    assert isinstance(text_of_html(source), str)
    links_in_html(source)
    codes_in(source)
