"""Structured fields are read alike everywhere: comments, quoted strings and parameters (RFC 2045 §5.1, RFC 2231)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message.headers import fields
from posthouse.message.structured import ContentType, content_type, first_word, unquoted, without_comments


def read(*values: bytes) -> ContentType:
    return content_type(fields(b"".join(b"Content-Type: " + value + b"\r\n" for value in values)))


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b"a (b) c", b"a   c"),
        (b"(a (b (c)) d) e", b"  e"),
        (rb"(a \) b) c", b"  c"),
        (b'"(no comment)" (yes)', b'"(no comment)"  '),
        (rb'"a\"(b" (c)', rb'"a\"(b"  '),
        (b'(a "quote) b', b"  b"),
        (b"a (open", b"a "),
        (b"a ) b", b"a ) b"),
        (b'"open (', b'"open ('),
        (b"((((", b""),
        (b"a\\", b"a\\"),
    ],
)
def test_comments_have_no_meaning(value: bytes, want: bytes) -> None:
    assert without_comments(value) == want


@pytest.mark.parametrize(
    "value",
    [
        b"multipart/mixed; boundary=b",
        b"multipart/mixed; boundary=b (x)",
        b'multipart/mixed; boundary="b" (x)',
        b"multipart/mixed; boundary=b;\r\n (x)",
        b"multipart/mixed; (x) boundary=b",
        b"(x) multipart/mixed; boundary=b",
        b"multipart / mixed; boundary=b",
        b"multipart /mixed ; boundary = b",
        b"multipart/ mixed (x); boundary=b;",
        b"Multipart/MIXED;; BOUNDARY=b;",
        b"multipart(x)/(y)mixed(z);(a)boundary(b)=(c)b(d)",
        b'multipart/mixed; x="; boundary=c"; boundary=b',
        b"multipart/mixed; boundary*=us-ascii''b",
        b"multipart/mixed; boundary*=us-ascii'en'%62",
        b"multipart/mixed; boundary=b; boundary=c",
        rb'multipart/mixed; boundary="\b"',
    ],
)
def test_every_spelling_of_one_content_type_means_the_same(value: bytes) -> None:
    found = read(value)
    assert found.kind == "multipart/mixed"
    assert found.text("boundary") == "b"
    assert found.boundaries[0] == b"b"
    assert found.composite


def test_sections_of_a_parameter_are_joined_in_their_order() -> None:
    found = read(b"multipart/mixed; boundary*1=c; boundary*0=ab; boundary*3=lost; x*0*=utf-8''%E4%BD; x*1*=%A0; x*2=!")
    assert found.boundaries == (b"abc",)
    assert found.text("x") == "你!"


def test_a_boundary_written_with_parentheses_is_found_either_way() -> None:
    assert read(b"multipart/mixed; boundary=a(1)b").boundaries == (b"a b", b"a(1)b")


@pytest.mark.parametrize(
    ("values", "kind", "composite"),
    [
        ((b"text/plain; charset=us-ascii (Plain text)",), "text/plain", False),
        ((b"text/plain; name=multipart.txt",), "text/plain", False),
        ((b"nonsense",), "text/plain", False),
        ((b"text; name=message.txt",), "text/plain", False),
        ((b"text/plain", b"text/plain; x=multipart"), "text/plain", False),
        ((b"",), "text/plain", False),
        ((b"multipart",), "text/plain", True),
        ((b"multipart\\mixed; boundary=b",), "text/plain", True),
        ((b'"multipart/mixed"; boundary=b',), "text/plain", True),
        ((b"=?us-ascii?q?multipart/mixed?=",), "text/plain", True),
        ((b"text/plain", b"multipart/mixed; boundary=b"), "text/plain", True),
        ((b"message/rfc822",), "message/rfc822", True),
        ((b"multipart/signed (x); boundary=b",), "multipart/signed", True),
    ],
)
def test_what_may_be_meant_as_a_multipart_or_message_is_known(
    values: tuple[bytes, ...], kind: str, composite: bool
) -> None:
    found = read(*values)
    assert (found.kind, found.composite) == (kind, composite)


def test_without_a_field_the_default_counts() -> None:
    assert content_type([]) == ContentType("text/plain", {})
    assert content_type([], "message/rfc822").composite


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b"8BIT (x)", b"8bit"),
        (b"(x) Quoted-Printable", b"quoted-printable"),
        (b"7bit;", b"7bit"),
        (b"5.1.1 no such user", b"5.1.1"),
        (b"", b""),
    ],
)
def test_the_first_word_is_read_without_comments(value: bytes, want: bytes) -> None:
    assert first_word(value) == want


def test_a_quoted_string_is_its_content() -> None:
    assert unquoted(rb'"a \"b\" \\"') == rb'a "b" \ '.rstrip()
    assert unquoted(b"plain") == b"plain"
    assert unquoted(b'"open') == b"open"


@given(
    st.lists(st.sampled_from([b'"', b"\\", b"(", b")", b";", b"=", b"a", b"*0", b"*", b"%41", b" ", b"/", b"boundary"]))
)
@settings(deadline=None)
def test_any_value_can_be_read(pieces: list[bytes]) -> None:
    value = b"".join(pieces)
    without_comments(value)
    unquoted(value)
    first_word(value)
    assert isinstance(read(b"multipart/mixed; " + value).composite, bool)
