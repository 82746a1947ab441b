"""Forged Authentication-Results fields: what is removed, and that every other octet passes, however it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.service.mailauth.forged_fields import ForgedFields

OURS = ("mx.test",)
LIMIT = 65_536


def filtered(*chunks: bytes, limit: int = LIMIT) -> bytes:
    each = ForgedFields(OURS, limit)
    return b"".join([*map(each.write, chunks), each.end()])


FORGED = b"Authentication-Results: mx.test; spf=pass\r\n"
FOLDED = b"AUTHENTICATION-results :\r\n\t MX.TEST (ours) 1;\r\n\tdkim=pass header.d=bank.test\r\n"
OTHER = b"Authentication-Results: other.test; spf=fail\r\n"
REST = b"From: a@b.test\r\nSubject: Authentication-Results: mx.test; spf=pass\r\n"
BODY = b"\r\nAuthentication-Results: mx.test; spf=pass\r\n\r\nx"


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (FORGED + REST + BODY, REST + BODY),
        (REST + FOLDED + OTHER + BODY, REST + OTHER + BODY),
        (FORGED + FOLDED + FORGED + BODY, BODY),
        (FORGED + REST, REST),
        (FORGED, b""),
        (REST + FORGED[:-2], REST),
        (BODY, BODY),
        (b"no field\r\n" + FORGED, b"no field\r\n" + FORGED),
        (b"", b""),
        (OTHER.replace(b"other", b"mx.test.other") + b"\r\n", OTHER.replace(b"other", b"mx.test.other") + b"\r\n"),
        (b"Authentication-Results: \x00mx.test; spf=pass\r\n\r\n", b"\r\n"),
        (b"Authentication-Results: mx.test 9; spf=pass\r\n\r\n", b"\r\n"),
    ],
)  # fmt: skip
def test_only_our_name_is_removed(content: bytes, kept: bytes) -> None:
    assert filtered(content) == kept
    assert filtered(*(content[at : at + 1] for at in range(len(content)))) == kept


@given(
    st.lists(st.sampled_from([FORGED, FOLDED, OTHER, REST, b"X: y\r\n z\r\n"]), max_size=6).map(b"".join),
    st.sampled_from([b"", BODY, b"\r\n", b"line\r\n" * 200]),
    st.lists(st.integers(1, 90), min_size=1, max_size=30),
)
def test_pieces_make_no_difference(head: bytes, body: bytes, sizes: list[int]) -> None:
    content, pieces, at = head + body, [], 0
    while at < len(content):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(content[at : at + size])
        at += size
    assert filtered(*pieces) == filtered(content)


def test_what_is_held_is_bounded() -> None:
    each = ForgedFields(OURS, 2_000)
    assert each.write(b"X: " + b"y" * 1_500) == b""
    assert len(each.write(b"y" * 1_500)) == 3_003
    assert each.write(b"z") == b"z"
    assert each.end() == b""


def test_a_body_without_a_header_section_is_not_held() -> None:
    each = ForgedFields(OURS, LIMIT)
    assert each.write(b"just text\r\n") == b""
    assert len(each.write(b"more text\r\n" * 100)) == 1_111
