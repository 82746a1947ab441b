"""Messages as the judgements take them: bytes, contents and chunks, with either line end."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Bytes
from posthouse.mailauth.octets import message_chunks


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b":"]), max_size=20).map(b"".join),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_chunks_are_the_message(message: bytes, cuts: list[int]) -> None:
    first = re.search(rb"\r?\n", message)
    text = first is not None and first[0] == b"\n"
    expected = re.sub(rb"(?<!\r)\n", b"\r\n", message) if text else message
    edges = [0, *sorted(cuts), len(message)]
    pieces = [message[start:end] for start, end in pairwise(edges)]
    octets = [message[at : at + 1] for at in range(len(message))]
    for whole in (message, bytearray(message), Bytes(message), pieces, iter(pieces), octets):
        chunks, line_end = message_chunks(whole)
        assert b"".join(chunks) == expected
        assert line_end == (b"\n" if text else b"\r\n")


def test_a_long_message_without_line_ends_is_not_gathered() -> None:
    chunks, line_end = message_chunks(b"x" * 50_000 for _ in range(10))
    assert line_end == b"\r\n"
    assert [len(chunk) for chunk in chunks] == [100_000, *[50_000] * 8]
    chunks, _ = message_chunks(b"x" * 200_000)
    assert max(map(len, chunks)) <= 131_072


def test_text_is_refused() -> None:
    with pytest.raises(TypeError, match="encode it"):
        message_chunks("From: x")  # type: ignore[arg-type]
