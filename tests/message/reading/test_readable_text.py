"""HTML as text, and links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.reading.readable_text import links_in_html, links_in_text, text_of_html


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


@given(st.text("<>/a =\"'-!&;hrefscript\n", max_size=60))
def test_anything_is_read(source: str) -> None:
    assert isinstance(text_of_html(source), str)
    links_in_html(source)
