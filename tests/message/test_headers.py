"""Header sections byte for byte (RFC 5322 §2, RFC 7103 §7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Bytes, Content
from posthouse.message import count, count_received, fields, first, gap, split, unfold, without
from posthouse.message.headers import HEADER_LIMIT

# Octets in which line ends, colons and white space are as frequent as they are dangerous.
pieces = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b":",
        b" ",
        b"\t",
        b"A",
        b"Received",
        b"Return-Path",
        b"subject",
        b"\x00",
        b"\xff",
        b"\r\n\r\n",
    ]
)
messages = st.one_of(st.lists(pieces, max_size=30).map(b"".join), st.binary(max_size=80))


@given(messages, st.integers(1, 60))
@settings(deadline=None)
def test_split_loses_nothing(data: bytes, limit: int) -> None:
    for cut in (split(data), split(data, limit)):
        assert cut.headers + cut.separator + data[cut.body_offset :] == data
        assert b"".join(field.raw for field in fields(cut.headers)) == cut.headers
    assert len(split(data, limit).headers) <= limit + 2 or len(data) <= limit


@given(messages, st.integers(0, 3))
@settings(deadline=None)
def test_fields_lose_nothing_whatever_their_number(data: bytes, at_most: int) -> None:
    found = fields(data, at_most)
    assert b"".join(field.raw for field in found) == data
    assert len(found) <= at_most + 2


@given(messages, st.integers(1, 7))
@settings(deadline=None)
def test_without_removes_exactly_the_named_fields(data: bytes, at_most: int) -> None:
    cut = split(data)
    kept = b"".join(field.raw for field in fields(cut.headers) if field.name.lower() != b"return-path")
    content = without(Bytes(data), b"Return-Path")
    assert b"".join(content.chunks(at_most)) == kept + cut.separator + data[cut.body_offset :]
    assert content.size == len(kept + cut.separator + data[cut.body_offset :])
    assert all(len(chunk) <= at_most for chunk in content.chunks(at_most))


def test_an_ordinary_message() -> None:
    data = b"From: a@example.org\r\nSubject: one\r\n two\r\nTo : b@example.org\r\n\r\nbody\r\n\r\nmore\r\n"
    cut = split(data)
    assert (cut.separator, data[cut.body_offset :]) == (b"\r\n", b"body\r\n\r\nmore\r\n")
    found = fields(cut.headers)
    assert [field.name for field in found] == [b"From", b"Subject", b"To"]
    assert found[1].raw == b"Subject: one\r\n two\r\n"
    assert [field.value for field in found] == [b"a@example.org", b"one two", b"b@example.org"]


@pytest.mark.parametrize(
    ("data", "headers", "separator"),
    [
        (b"", b"", b""),
        (b"\r\n", b"", b"\r\n"),
        (b"\r\nbody\r\n", b"", b"\r\n"),
        (b"just a body\r\n", b"", b""),
        (b"just a body\r\n\r\nA: in the body\r\n", b"", b""),
        (b" folded at the start: x\r\n\r\n", b"", b""),
        (b"A: 1\r\n", b"A: 1\r\n", b""),
        (b"A: 1", b"A: 1", b""),
        (b"A: 1\r\n folded", b"A: 1\r\n folded", b""),
        (b"A: 1\r\n\r\n", b"A: 1\r\n", b"\r\n"),
        # RFC 7103 §7.2: an empty line follows, or another field does: the odd line belongs to the field before it.
        (b"A: 1\r\nodd line\r\n\r\nbody", b"A: 1\r\nodd line\r\n", b"\r\n"),
        (b"A: 1\r\nodd line\r\nB: 2\r\n folded\r\nbody\r\n", b"A: 1\r\nodd line\r\nB: 2\r\n folded\r\n", b""),
        # Neither follows: it begins the body.
        (b"A: 1\r\nbody begins\r\nand goes on\r\n", b"A: 1\r\n", b""),
        # Only CRLF ends a line.
        (b"A: 1\n\nB: 2\r\n\r\nbody", b"A: 1\n\nB: 2\r\n", b"\r\n"),
        # A line of white space does not end the section (RFC 7103 §7.3).
        (b"A: 1\r\n \r\n two\r\nB: 2\r\n\r\n", b"A: 1\r\n \r\n two\r\nB: 2\r\n", b"\r\n"),
    ],
)
def test_where_the_section_ends(data: bytes, headers: bytes, separator: bytes) -> None:
    cut = split(data)
    assert (cut.headers, cut.separator, cut.truncated) == (headers, separator, False)


def test_an_odd_line_is_read_as_if_it_were_folded() -> None:
    found = fields(b"Subject: This is your reminder\r\nabout the football game\r\nDate: today\r\n")
    assert [field.name for field in found] == [b"Subject", b"Date"]
    assert found[0].value == b"This is your reminder about the football game"


def test_a_section_over_the_limit_is_cut_at_a_line() -> None:
    data = b"A: 1\r\n" * 100 + b"\r\nbody"
    cut = split(data, limit=100)
    assert cut.truncated
    assert cut.headers == b"A: 1\r\n" * 16
    endless = split(b"A:" + b"x" * 200, limit=100)
    assert (endless.truncated, len(endless.headers)) == (True, 100)


def test_fields_over_their_limit_come_as_one() -> None:
    found = fields(b"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n", at_most=2)
    assert found == [(b"A", b"A: 1\r\n"), (b"B", b"B: 2\r\n"), (b"", b"C: 3\r\nD: 4\r\n")]


def test_first_and_count_ignore_case() -> None:
    found = fields(b"Subject: a\r\nSUBJECT: b\r\nX: c\r\n")
    chosen = first(found, b"subject")
    assert chosen is not None
    assert chosen.raw == b"Subject: a\r\n"
    assert count(found, b"sUbJeCt") == 2
    assert first(found, b"subj") is None
    assert count(found, b"subj") == 0


def test_unfold() -> None:
    assert unfold(b" one\r\n\ttwo\r\n  three\r\n") == b" one\ttwo  three"
    assert unfold(b"") == b""


@pytest.mark.parametrize(
    ("headers", "hops"),
    [
        (b"", 0),
        (b"Received: a\r\n", 1),
        (b"RECEIVED: a\r\nreceived: b\r\n by c\r\nReceived : d\r\nReceived\t: e\r\n", 4),
        (b"Received-SPF: pass\r\nX-Received: no\r\nSubject: Received: no\r\n Received: folded\r\n", 0),
    ],
)
def test_received_fields_are_counted(headers: bytes, hops: int) -> None:
    assert count_received(headers) == hops


@pytest.mark.parametrize("data", [b"", b"\r\nbody", b"Subject: a\r\n", b"Subject : a"])
def test_no_gap_before_a_header_section(data: bytes) -> None:
    assert gap(data) == b""


@pytest.mark.parametrize("data", [b"hello\r\n", b" x: y\r\n", b": empty name\r\n", "é: 8-bit name".encode()])
def test_a_gap_before_a_letter_that_is_all_body(data: bytes) -> None:
    assert gap(data) == b"\r\n"
    traced = b"Received: x\r\n" + gap(data) + data
    assert traced[split(traced).body_offset :] == data


class Watched:
    """Content that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._inner = Bytes(data)
        self.read = 0

    @property
    def size(self) -> int:
        return self._inner.size

    def chunks(self, at_most: int = 262_144):  # type: ignore[no-untyped-def]
        for chunk in self._inner.chunks(at_most):
            self.read += len(chunk)
            yield chunk


def test_without_leaves_the_body_unread() -> None:
    body = b"Return-Path: <in@body>\r\n" * 100_000
    content = Watched(b"Return-Path: <old@example.org>\r\nA: b\r\n\r\n" + body)
    trimmed: Content = without(content, b"return-path")
    assert content.read <= 65_536
    assert b"".join(trimmed.chunks()) == b"A: b\r\n\r\n" + body
    assert without(Bytes(b"A: b\r\n\r\n" + body), b"Return-Path").size == len(b"A: b\r\n\r\n" + body)


def test_without_gives_the_same_content_where_nothing_is_to_be_removed() -> None:
    content = Bytes(b"A: Return-Path\r\n\r\n")
    assert without(content, b"Return-Path") is content
    endless = Watched(b"x" * (HEADER_LIMIT * 3))
    assert without(endless, b"Return-Path") is endless
    assert endless.read <= HEADER_LIMIT + 65_536
