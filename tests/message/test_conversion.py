"""Conversion streams, leaves signed parts alone, and encodes no multipart as a leaf (RFC 1847, 2045, 2046, 8551)."""

from __future__ import annotations

import base64
import quopri
import tracemalloc
from collections.abc import Iterator
from email import message_from_bytes
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Bytes, Content
from posthouse.message import Converted, Needs, Unconvertible, convert, downgrade, needs

EIGHTBIT = "Grüße".encode()
LEAF = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + EIGHTBIT
SIGNED = (
    b'Content-Type: multipart/signed%s; micalg=pgp-sha256;\r\n protocol="application/pgp-signature"; boundary=s\r\n'
    b"Content-Transfer-Encoding: 8bit\r\n\r\n--s\r\n%s\r\n--s\r\n"
    b"Content-Type: application/pgp-signature\r\n\r\nxxxx\r\n--s--\r\n"
)
ASCII_LEAF = LEAF.replace(EIGHTBIT, b"Gruss")
TOP = b"Subject: t\r\nMIME-Version: 1.0\r\n"


def mixed(*parts: bytes) -> bytes:
    return (
        TOP
        + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n"
        + b"".join(b"--m\r\n" + part + b"\r\n" for part in parts)
        + b"--m--\r\n"
    )


class Cut:
    """Content that comes in chunks cut at given places, whatever size is asked for."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        self._data = data
        self._edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})

    @property
    def size(self) -> int:
        return len(self._data)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for start, end in pairwise(self._edges):
            yield self._data[start:end]


def written(content: Content, *, to_7bit: bool = True) -> bytes | Unconvertible:
    made = convert(content, to_7bit=to_7bit)
    if isinstance(made, Unconvertible):
        return made
    octets = b"".join(made.chunks(50))
    assert len(octets) == made.size
    assert octets == b"".join(made.chunks())
    return octets


# Signed parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comment", [b"", b" (signed)", b" ; (signed) x=y"])
@pytest.mark.parametrize(
    "around",
    [
        lambda signed: TOP + signed,
        lambda signed: mixed(signed),
        lambda signed: mixed(LEAF, b"Content-Type: message/rfc822\r\n\r\n" + TOP + signed),
        lambda signed: TOP + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + TOP + signed,
    ],
)
def test_a_signed_part_in_eight_bits_is_returned_and_never_altered(around: object, comment: bytes) -> None:
    assert callable(around)
    result = downgrade(around(SIGNED % (comment, LEAF)))
    assert isinstance(result, Unconvertible)
    assert result.status == "5.6.3"
    assert "signed" in result.reason
    assert result.reason.isascii()


def test_what_stands_outside_of_a_signed_part_is_converted() -> None:
    signed = SIGNED % (b"", ASCII_LEAF)
    inside = b"Content-Type: message/rfc822\r\n\r\n" + TOP + signed
    result = downgrade(mixed(LEAF, signed, inside))
    assert isinstance(result, bytes)
    assert result.isascii()
    assert result.count(signed) == 2, "its label and its parts are as they were"
    assert b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n" in result


@pytest.mark.parametrize("content", [b"x" * 999, b"a\nb", b"a\0b"])
def test_a_signed_part_that_needs_binarymime_is_returned(content: bytes) -> None:
    result = downgrade(TOP + SIGNED % (b"", b"\r\n" + content), to_7bit=False)
    assert isinstance(result, Unconvertible)
    assert result.status == "5.6.3"


def test_a_signed_part_within_a_signed_part_is_left_to_the_outer_one() -> None:
    data = TOP + SIGNED % (
        b"",
        (SIGNED % (b"", ASCII_LEAF)).replace(b"boundary=s", b"boundary=i").replace(b"--s", b"--i"),
    )
    assert downgrade(data) == data


def test_an_opaque_smime_message_is_a_leaf() -> None:
    data = TOP + b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\n\x30\x80\xff\r\n"
    result = downgrade(data)
    assert isinstance(result, bytes)
    assert message_from_bytes(result).get_payload(decode=True) == b"\x30\x80\xff\r\n"


# Comments and spaces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        b"multipart/mixed; boundary=b (x)",
        b'multipart/mixed; boundary="b" (x)',
        b"multipart/mixed; boundary=b\r\n (x)",
        b"multipart/mixed; (x) boundary=b",
        b"(x) multipart/mixed; boundary=b",
        b"multipart / mixed; boundary=b",
        b"multipart /mixed; boundary=b",
        b"multipart/mixed; boundary=(x)b",
        b"multipart/mixed; boundary*0=b",
        b"(multipart/alternative) multipart/mixed (text/plain); boundary=b",
    ],
)
def test_a_multipart_is_converted_however_its_type_is_written(field: bytes) -> None:
    body = b"\r\n\r\n--b\r\n" + LEAF + b"\r\n--b--\r\n"
    result = downgrade(TOP + b"Content-Type: " + field + body)
    want = body.replace(b"8bit", b"quoted-printable").replace(EIGHTBIT, b"Gr=C3=BC=C3=9Fe")
    assert result == TOP + b"Content-Type: " + field + want


def test_a_boundary_with_parentheses_and_without_quotes_is_found() -> None:
    result = downgrade(
        TOP + b"Content-Type: multipart/mixed; boundary=b(1)\r\n\r\n--b(1)\r\n" + LEAF + b"\r\n--b(1)--\r\n"
    )
    assert isinstance(result, bytes)
    assert b"\r\n--b(1)\r\n" in result


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart\r\n",
        b"Content-Type: multipart\\mixed; boundary=b\r\n",
        b'Content-Type: "multipart/mixed"; boundary=b\r\n',
        b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: message\r\n",
        b"Content-Type: message/globals\r\n",
        b"Content-Type: message/external-body (x)\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: x-gzip64\r\n",
        b"Content-Type: (x) multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n",
    ],
)
def test_what_may_be_a_multipart_or_message_is_never_encoded_as_a_leaf(head: bytes) -> None:
    result = downgrade(TOP + head + b"\r\n--b\r\n\r\n" + EIGHTBIT + b"\r\n--b--\r\n")
    assert isinstance(result, Unconvertible)
    assert result.status == "5.6.3"
    assert result.reason.isascii()


# Labels --------------------------------------------------------------------------------------------------------------


def test_plain_ascii_with_a_long_line_is_labelled_us_ascii() -> None:
    result = downgrade(b"Subject: t\r\n\r\n" + b"x" * 1500 + b"\r\n")
    assert isinstance(result, bytes)
    assert b"Content-Type: text/plain; charset=us-ascii\r\n" in result
    assert b"unknown-8bit" not in result
    assert quopri.decodestring(result.partition(b"\r\n\r\n")[2]) == b"x" * 1500 + b"\r\n"
    part = downgrade(
        TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"x" * 999 + b"\r\n--b--\r\n"
    )
    assert isinstance(part, bytes)
    assert b"charset=us-ascii" in part


def test_a_part_of_a_digest_is_not_labelled_as_text() -> None:
    data = TOP + (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"Subject: inner\r\n\r\n" + EIGHTBIT + b"\r\n--b--\r\n"
    )
    result = downgrade(data)
    assert isinstance(result, bytes)
    (part,) = message_from_bytes(result).get_payload()
    assert part.get_content_type() == "message/rfc822"  # type: ignore[union-attr]
    assert part.get_payload(0).get_payload(decode=True) == EIGHTBIT  # type: ignore[union-attr]
    assert part.get_payload(0)["MIME-Version"] == "1.0"  # type: ignore[union-attr]


def test_header_fields_beyond_ascii_pass_where_that_is_wanted() -> None:
    data = "Subject: Grüße\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()
    assert isinstance(downgrade(data), Unconvertible)
    result = downgrade(data, raw_headers=True)
    assert isinstance(result, bytes)
    head, _, body = result.partition(b"\r\n\r\n")
    assert head.startswith("Subject: Grüße\r\n".encode())
    assert body == b"Gr=C3=BC=C3=9Fe\r\n"
    broken = b"Content-Type: multipart/mixed; boundary=\xff\r\n\r\n--\xff\r\n\r\nx\r\n--\xff--\r\n"
    assert isinstance(downgrade(broken, raw_headers=True), Unconvertible), "a delimiter is no header field"


def test_base64_with_foreign_octets_keeps_its_characters() -> None:
    data = TOP + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    body = base64.b64encode(bytes(range(256)) * 3)
    result = downgrade(data + body[:100] + b"\xff\xfe" + body[100:] + b"\r\n")
    assert isinstance(result, bytes)
    assert message_from_bytes(result).get_payload(decode=True) == bytes(range(256)) * 3
    assert all(len(line) <= 76 for line in result.split(b"\r\n"))


def test_a_delimiter_longer_than_a_line_may_be_is_refused() -> None:
    result = downgrade(mixed(LEAF).replace(b"--m\r\n", b"--m" + b" " * 1_200 + b"\r\n"))
    assert isinstance(result, Unconvertible)
    assert result.status == "5.6.3"


# Streaming -----------------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        b"\r\n", b"\r", b"\n", b"--m", b"--m--", b"--n", b"\r\n--m\r\n", b"\r\n--n--\r\n", b"\xe9", b"\0", b"=",
        b"=4", b" ",
        b"Content-Type: multipart/mixed; boundary=m\r\n", b"Content-Type: multipart/digest; boundary=n\r\n",
        b"Content-Type: message/rfc822\r\n", b"Content-Type: text/plain\r\n", b"Content-Type: image/png\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n", b"Content-Transfer-Encoding: base64\r\n", b"QUJD", b"x" * 999,
        b"Content-Transfer-Encoding: quoted-printable\r\n", b"\r\n\r\n", b"text",
    ]
)  # fmt: skip


@given(st.lists(pieces, max_size=25), st.lists(st.integers(0, 3_000), max_size=12), st.booleans())
@settings(deadline=None)
def test_the_result_is_the_same_however_the_message_is_cut(parts: list[bytes], cuts: list[int], to_7bit: bool) -> None:
    data = b"".join(parts)
    whole = written(Bytes(data), to_7bit=to_7bit)
    assert written(Cut(data, cuts), to_7bit=to_7bit) == whole
    assert written(Cut(data, list(range(200))), to_7bit=to_7bit) == whole
    if isinstance(whole, bytes):
        found = needs((whole,))
        assert not found.binary
        assert not (to_7bit and found.eightbit)


class Long:
    """A message with one body of ``count`` equal lines, which is never in memory as a whole."""

    def __init__(self, head: bytes, line: bytes, count: int, end: bytes = b"") -> None:
        self._head, self._line, self._count, self._end = head, line, count, end

    @property
    def size(self) -> int:
        return len(self._head) + len(self._line) * self._count + len(self._end)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        yield self._head
        many = max(1, at_most // len(self._line))
        for start in range(0, self._count, many):
            yield self._line * min(many, self._count - start)
        yield self._end


@pytest.mark.parametrize(
    "content",
    [
        Long(TOP + b"\r\n", b"\xe9" * 60 + b"\r\n", 60_000),
        Long(TOP + b"Content-Type: image/png\r\n\r\n", b"\x89" * 64, 60_000),
        Long(TOP + b"Content-Type: text/plain\r\n\r\n", b"\xe9" * 64, 60_000),
        Long(TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"\xe9=41" + b"x" * 66 + b"= \r\n", 60_000),
        Long(TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n\r\nx", 400_000, b"\r\n"),
        Long(TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\xe9", b"\r\n--" + b"y" * 40, 130_000),
        Long(TOP, b"X: y\r\n", 600_000),
    ],
    ids=["text", "binary", "one line", "quoted-printable", "parts", "near delimiters", "header"],
)
def test_memory_does_not_grow_with_the_message(content: Long) -> None:
    tracemalloc.start()
    try:
        made = convert(content)
        size = sum(map(len, made.chunks(65_536))) if isinstance(made, Converted) else 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(made, Unconvertible) or made.size == size
    assert peak < content.size * 2 / 3


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6), st.sampled_from(["text/plain", "image/png"]))
@settings(deadline=None)
def test_a_leaf_of_any_octets_decodes_to_them(body: bytes, cuts: list[int], kind: str) -> None:
    data = TOP + b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
    result = written(Cut(data, cuts))
    assert isinstance(result, bytes)
    assert needs((result,)) == Needs()
    decoded = message_from_bytes(result).get_payload(decode=True)
    assert decoded == body or (result == data and decoded == body)
