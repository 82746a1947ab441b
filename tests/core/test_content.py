"""Content in memory, with and without a prefix."""

from __future__ import annotations

import pytest

from posthouse.core import Bytes, Content, Prefixed


@pytest.mark.parametrize(
    ("data", "at_most", "chunks"),
    [
        (b"", 4, []),
        (b"abc", 4, [b"abc"]),
        (b"abcd", 4, [b"abcd"]),
        (b"abcde", 4, [b"abcd", b"e"]),
        (b"abcdefghi", 4, [b"abcd", b"efgh", b"i"]),
    ],
)
def test_bytes_come_in_chunks_of_at_most_so_many_octets(data: bytes, at_most: int, chunks: list[bytes]) -> None:
    content = Bytes(data)
    assert isinstance(content, Content)
    assert content.size == len(data)
    assert list(content.chunks(at_most)) == chunks
    assert list(content.chunks(at_most)) == chunks, "reading again gives the same"


@pytest.mark.parametrize(
    ("prefix", "data", "chunks"),
    [
        (b"", b"", []),
        (b"P:", b"", [b"P:"]),
        (b"", b"abcdef", [b"abcd", b"ef"]),
        (b"P:", b"abc", [b"P:ab", b"c"]),
        (b"P:", b"abcdef", [b"P:ab", b"cd", b"ef"]),
        (b"P345", b"abc", [b"P345", b"abc"]),
        (b"P34567", b"abc", [b"P345", b"67ab", b"c"]),
    ],
)
def test_a_prefix_shares_a_chunk_with_the_content(prefix: bytes, data: bytes, chunks: list[bytes]) -> None:
    content = Prefixed(prefix, Bytes(data))
    assert isinstance(content, Content)
    assert content.size == len(prefix) + len(data)
    assert list(content.chunks(4)) == chunks
    assert b"".join(content.chunks()) == prefix + data
