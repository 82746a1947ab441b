"""What a message needs, and conversion for stations that offer less (RFC 6152, RFC 3030, RFC 2045, RFC 1428)."""

from __future__ import annotations

import base64
import binascii
from email.message import Message
from email.parser import BytesParser
from email.policy import SMTP, compat32
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Bytes
from posthouse.message import Needs, Scanner, Unconvertible, downgrade, needs
from posthouse.message.headers import split

pieces = st.sampled_from([b"\r\n", b"\r", b"\n", b"\x00", b"\xff", b"a" * 997, b"b", b": ", b"\r\n\r\n", b"A: b\r\n"])


def plainly(data: bytes) -> Needs:
    """The definition of ``Needs``, spelt out."""
    lines = data.split(b"\r\n")
    odd = any(b"\r" in line or b"\n" in line or b"\0" in line or len(line) > 998 for line in lines)
    return Needs(not data.isascii(), not split(data).headers.isascii(), odd)


@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 4000), max_size=8))
@settings(deadline=None)
def test_needs_are_the_same_however_the_message_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    want = plainly(data)
    assert needs((data,)) == want
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert needs(data[a:b] for a, b in pairwise(edges)) == want
    assert needs(parts) == want


@given(st.lists(pieces.filter(lambda piece: len(piece) < 9), max_size=12))
@settings(deadline=None)
def test_needs_octet_by_octet(parts: list[bytes]) -> None:
    data = b"".join(parts)
    scanner = Scanner()
    for octet in data:
        scanner.feed(bytes((octet,)))
        scanner.feed(b"")
    assert scanner.result() == plainly(data)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", Needs()),
        (b"A: b\r\n\r\nbody\r\n", Needs()),
        (b"A: b\r\n\r\n\xe4\r\n", Needs(eightbit=True)),
        ("A: é\r\n\r\n".encode(), Needs(eightbit=True, utf8_headers=True)),
        ("\r\nA: é\r\n".encode(), Needs(eightbit=True)),
        (b"A: b\r\n\r\n\x00", Needs(binary=True)),
        (b"A: b\r\n\r\nx\ny\r\n", Needs(binary=True)),
        (b"A: b\r\n\r\nx\r", Needs(binary=True)),
        (b"A: b\r\n\r\n" + b"x" * 998 + b"\r\n", Needs()),
        (b"A: b\r\n\r\n" + b"x" * 999 + b"\r\n", Needs(binary=True)),
        (b"A: b\r\n\r\n" + b"x" * 999, Needs(binary=True)),
        (b"A: b\r\n\r\n" + (b"x" * 998 + b"\r\n") * 500, Needs()),
    ],
)
def test_needs(data: bytes, want: Needs) -> None:
    assert needs((data,)) == want
    for at in range(1, min(len(data), 20)):
        assert needs((data[:at], data[at:])) == want
        assert needs((data[:-at], data[-at:])) == want


# Messages with known leaves ------------------------------------------------------------------------------------------

payloads = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b" ", b"=", b"--b", b"x" * 999, b"\xe9", b"."]), max_size=8).map(
        b"".join
    ),
)


@st.composite
def leaf(draw: Any) -> tuple[bytes, list[bytes]]:
    kind = draw(st.sampled_from(["text/plain", "text/html; charset=utf-8", "image/png", "application/pdf", ""]))
    payload = draw(payloads)
    label = draw(st.sampled_from(["8bit", "binary", "BINARY (as it is)", "", "base64", "quoted-printable"]))
    lines = [b"X-Before: kept\r\n"]
    if kind:
        lines.append(b"Content-Type: " + kind.encode() + b"\r\n")
    if label:
        lines.append(b"Content-Transfer-Encoding: " + label.encode() + b"\r\n")
    octets = payload
    if label == "base64":
        octets = base64.encodebytes(payload).replace(b"\n", b"\r\n")
    elif label == "quoted-printable":
        octets = binascii.b2a_qp(payload, istext=False).replace(b"=\n", b"=\r\n")
    return b"".join((*lines, b"\r\n", octets)), [payload]


def multipart(parts: list[tuple[bytes, list[bytes]]], boundary: bytes, preamble: bytes) -> tuple[bytes, list[bytes]]:
    mark = b"\r\n--" + boundary
    body = preamble + b"".join(mark + b" \r\n" + octets for octets, _ in parts) + mark + b"--\r\nepilogue \xff\r\n"
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary="' + boundary + b'"\r\n'
    label = b"Content-Transfer-Encoding: binary\r\n\r\n"
    return head + label + body, [payload for _, payloads in parts for payload in payloads]


@st.composite
def mime_message(draw: Any, depth: int = 0) -> tuple[bytes, list[bytes]]:
    choice = draw(st.integers(0, 3 if depth < 3 else 0))
    if choice == 0:
        octets, payloads = draw(leaf())
    elif choice == 1:
        octets, payloads = draw(mime_message(depth=depth + 1))
        octets = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + octets
    else:
        parts = draw(st.lists(mime_message(depth=depth + 1), min_size=1, max_size=3))
        # The outer boundary is a prefix of the inner one: only the whole line tells them apart.
        boundary = b"=_boundary" + b"x" * depth
        octets, payloads = multipart(parts, boundary, draw(st.sampled_from([b"", b"preamble", b"\xff"])))
    if depth == 0:
        octets = b"From: a@example.org\r\nSubject: kept\r\n" + octets
    return octets, payloads


def leaves(data: bytes) -> list[bytes]:
    message = BytesParser(Message, policy=compat32).parsebytes(data)
    return [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]  # type: ignore[misc]


@given(mime_message())
@settings(deadline=None)
def test_downgrade_to_seven_bits_keeps_every_leaf(made: tuple[bytes, list[bytes]]) -> None:
    data, payloads = made
    result = downgrade(data)
    assert isinstance(result, bytes)
    assert result.isascii()
    assert needs((result,)) == Needs()
    assert leaves(result) == payloads
    assert b"content-transfer-encoding: 8bit" not in result.replace(b"unknown-8bit", b"").lower()
    assert result.count(b"X-Before: kept\r\n") == data.count(b"X-Before: kept\r\n")
    again = downgrade(Bytes(result))
    assert again == result


@given(mime_message())
@settings(deadline=None)
def test_downgrade_to_eight_bits_keeps_every_leaf(made: tuple[bytes, list[bytes]]) -> None:
    data, payloads = made
    result = downgrade(data, to_7bit=False)
    assert isinstance(result, bytes)
    assert not needs((result,)).binary
    assert leaves(result) == payloads
    assert b"binary" not in result.lower()


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None)
def test_downgrade_answers_for_any_octets(data: bytes, to_7bit: bool) -> None:
    result = downgrade(data, to_7bit=to_7bit)
    if isinstance(result, Unconvertible):
        assert result.status.startswith("5.6.")
        assert result.reason
    else:
        found = needs((result,))
        assert not found.binary
        assert not (to_7bit and found.eightbit)


def test_only_the_encoding_changes() -> None:
    before = (
        b"received: x\r\nContent-Type:  text/plain;\r\n\tcharset=iso-8859-1\r\n"
        b"content-transfer-encoding:\r\n 8bit\r\nMIME-Version: 1.0\r\n"
    )
    result = downgrade(before + b"\r\nGr\xfc\xdfe\r\n")
    assert result == before.replace(
        b"content-transfer-encoding:\r\n 8bit\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"
    ) + (b"\r\nGr=FC=DFe\r\n")


def test_a_message_without_mime_gets_it() -> None:
    assert downgrade(b"Subject: x\r\n\r\nGr\xfc\xdfe\r\n") == (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"no header\r\n",
        b"Subject: x\r\n\r\nplain\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\n\r\n--b--",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno delimiter\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnever closed\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin\r\n",
        b"Content-Type: nonsense;;; \r\nContent-Transfer-Encoding:\r\n\r\nx\r\n",
    ],
)
def test_what_can_travel_is_left_alone(data: bytes) -> None:
    assert downgrade(data) == data
    assert downgrade(data, to_7bit=False) == data


def test_a_label_that_asks_for_too_much_is_corrected() -> None:
    data = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\nMIME-Version: 1.0\r\n\r\nplain\r\n"
    assert downgrade(data) == data.replace(b"binary", b"7bit")
    assert downgrade(data, to_7bit=False) == data.replace(b"binary", b"8bit")


def test_text_becomes_quoted_printable_and_the_rest_base64() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\n"
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n--b\r\n"
        b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: binary\r\n\r\na\x00\r\n--b--\r\n"
    )
    result = downgrade(data)
    assert isinstance(result, bytes)
    message = BytesParser(policy=SMTP).parsebytes(result)
    encodings = [part["Content-Transfer-Encoding"] for part in message.walk()]
    assert encodings == [None, "quoted-printable", "base64", "base64"]
    assert leaves(result) == [b"\xe4", b"\x89PNG", b"a\x00"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("From: 郎锐 <langrui@sohu.com>\r\n\r\nx".encode(), "5.6.7"),
        ("Subject: x\r\nTo: 任平@sina.com\r\n\r\nx".encode(), "5.6.7"),
        ("Subject: 你好\r\n\r\nx".encode(), "5.6.9"),
        (b"Content-Type: message/rfc822\r\n\r\nSubject: \xff\r\n\r\nx", "5.6.9"),
        (b"Subject: " + b"x" * 999 + b"\r\n\r\nx", "5.6.3"),
        (b"Subject: a\nb\r\n\r\nx", "5.6.3"),
        (b"A: " + b"x\r\n " * 100_000 + b"\r\n\r\nx", "5.6.3"),
        (b"Content-Transfer-Encoding: x-uuencode\r\n\r\n\xff", "5.6.3"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff no delimiter", "5.6.3"),
        (b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff", "5.6.3"),
        (b"Content-Type: message/partial\r\n\r\n\xff", "5.6.3"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nA\xff", "5.6.5"),
    ],
)
def test_what_cannot_be_converted_says_why(data: bytes, status: str) -> None:
    result = downgrade(data)
    assert isinstance(result, Unconvertible)
    assert result.status == status
    assert " " in result.reason


def test_raw_utf8_headers_are_no_hindrance_to_eight_bits() -> None:
    data = "Subject: 你好\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\na\nb\r\n".encode()
    result = downgrade(data, to_7bit=False)
    assert isinstance(result, bytes)
    assert result.startswith("Subject: 你好\r\n".encode())
    assert result.endswith(b"\r\na=0Ab\r\n")


def test_a_global_message_is_encoded_as_a_whole() -> None:
    inner = "Subject: 你好\r\n\r\n任平\r\n".encode()
    data = b"MIME-Version: 1.0\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + inner
    result = downgrade(data)
    assert isinstance(result, bytes)
    head, _, body = result.partition(b"\r\n\r\n")
    assert b"Content-Transfer-Encoding: base64" in head
    assert base64.b64decode(body) == inner


def nested(levels: int, payload: bytes) -> bytes:
    head = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return b"MIME-Version: 1.0\r\n" + head + b"\r\n" + payload


def test_depth_and_parts_are_bounded() -> None:
    assert isinstance(downgrade(nested(40, b"\xff\r\n")), bytes)
    assert downgrade(nested(200, b"plain\r\n")) == nested(200, b"plain\r\n")
    deep = downgrade(nested(200, b"\xff\r\n"))
    assert isinstance(deep, Unconvertible)
    assert deep.status == "5.6.3"
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2_000
    assert downgrade(many) == many
    assert isinstance(downgrade(many + b"--b\r\n\r\n\xff\r\n"), Unconvertible)
    assert isinstance(downgrade(b"\xff" * 11, at_most=10), Unconvertible)
