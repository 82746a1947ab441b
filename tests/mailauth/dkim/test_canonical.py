"""Canonicalization: RFC 6376's examples, a slow reading of its rules, and a body in pieces of any size."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.mailauth.dkim.body_hash import BodyForm, BodyHashes, MessageHasher
from posthouse.mailauth.dkim.canonical import BodyCanonicalizer, Canonicalization, relaxed_field
from posthouse.mailauth.dkim.header_section import HeaderSection, canonical_field, without_signature
from posthouse.message.headers import split

SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED

#: Octets in which canonicalization has something to decide.
awkward = st.text(alphabet="\r\n \t.a\xe9", max_size=40).map(lambda text: text.encode("latin-1"))
bodies = st.one_of(
    awkward,
    st.lists(st.sampled_from([b"\r\n", b" ", b"\t", b"a", b"b c", b" \r\n", b"\r", b"\n"]), max_size=30).map(b"".join),
)


def canonical(body: bytes, canonicalization: Canonicalization, *cuts: int) -> bytes:
    """The canonical body, written in pieces that end at ``cuts``."""
    made: list[bytes] = []
    canonicalizer = BodyCanonicalizer(canonicalization, made.append)
    at = 0
    for cut in (*sorted(cuts), len(body)):
        canonicalizer.write(body[at:cut])
        at = cut
    canonicalizer.finish()
    assert b"" not in made
    return b"".join(made)


def by_the_rules(body: bytes, canonicalization: Canonicalization) -> bytes:
    """RFC 6376 §3.4.3 and §3.4.4, rule by rule over the lines of the whole body."""
    lines = body.split(b"\r\n")
    if canonicalization is RELAXED:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if canonicalization is RELAXED and not lines:
        return b""
    return b"\r\n".join(lines) + b"\r\n"


def test_the_example_of_the_rfc() -> None:
    message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
    found = split(message)
    first, second = HeaderSection(found).fields
    assert relaxed_field(first.raw) + relaxed_field(second.raw) == b"a:X\r\nb:Y Z\r\n"
    assert canonical_field(second.raw, SIMPLE) == b"B : Y\t\r\n\tZ  \r\n"
    body = message[found.body_offset :]
    assert canonical(body, RELAXED) == b" C\r\nD E\r\n"
    assert canonical(body, SIMPLE) == b" C \r\nD \t E\r\n"


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize(
    ("canonicalization", "expected"),
    [
        (SIMPLE, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),
        (RELAXED, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_the_hashes_of_an_empty_body(body: bytes, canonicalization: Canonicalization, expected: str) -> None:
    hashes = BodyHashes([BodyForm(canonicalization)])
    hashes.write(body)
    hashes.finish()
    assert base64.b64encode(hashes.of(BodyForm(canonicalization)).digest).decode() == expected


@pytest.mark.parametrize(
    ("body", "simple", "relaxed"),
    [
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a \t", b"a \t\r\n", b"a\r\n"),
        (b"a \t\r\n \t\r\n", b"a \t\r\n \t\r\n", b"a\r\n"),
        (b" \t", b" \t\r\n", b""),
        (b"\ta\t\tb\r\n", b"\ta\t\tb\r\n", b" a b\r\n"),
        (b"\r\n\r\na\r\n\r\n", b"\r\n\r\na\r\n", b"\r\n\r\na\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),
        (b"a\n", b"a\n\r\n", b"a\n\r\n"),
        (b"a\r\n\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
        (b"a \r\r\n\r\r\n", b"a \r\r\n\r\r\n", b"a \r\r\n\r\r\n"),
        (b".\r\n..\r\n", b".\r\n..\r\n", b".\r\n..\r\n"),
        (b"\xff \xa0\x0b\x0c \r\n", b"\xff \xa0\x0b\x0c \r\n", b"\xff \xa0\x0b\x0c\r\n"),
    ],
)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes) -> None:
    assert canonical(body, SIMPLE) == simple
    assert canonical(body, RELAXED) == relaxed


@given(bodies, st.sampled_from(Canonicalization), st.lists(st.integers(0, 60), max_size=6))
def test_a_body_in_pieces_is_the_whole_body(body: bytes, canonicalization: Canonicalization, cuts: list[int]) -> None:
    expected = by_the_rules(body, canonicalization)
    assert canonical(body, canonicalization) == expected
    assert canonical(body, canonicalization, *cuts) == expected
    assert canonical(body, canonicalization, *range(len(body))) == expected


@given(bodies, st.sampled_from(Canonicalization))
def test_a_body_split_at_every_octet(body: bytes, canonicalization: Canonicalization) -> None:
    expected = by_the_rules(body, canonicalization)
    assert all(canonical(body, canonicalization, cut) == expected for cut in range(len(body)))


@given(bodies, st.sampled_from(Canonicalization))
def test_canonicalization_changes_nothing_the_second_time(body: bytes, canonicalization: Canonicalization) -> None:
    once = canonical(body, canonicalization)
    assert canonical(once, canonicalization) == once


@given(bodies, st.lists(st.integers(0, 60), max_size=4), st.lists(st.integers(0, 50), min_size=1, max_size=4))
def test_each_length_is_the_hash_of_so_many_octets(body: bytes, cuts: list[int], lengths: list[int]) -> None:
    wanted = [BodyForm(each, length) for each in Canonicalization for length in [None, *lengths]]
    hasher = MessageHasher(lambda header: wanted)
    message = b"Subject: x\r\n\r\n" + body
    at = 0
    for cut in (*sorted(cuts), len(message)):
        hasher.write(message[at:cut])
        at = cut
    hasher.finish()
    for form in wanted:
        whole = by_the_rules(body, form.canonicalization)
        found = hasher.body_hash(form)
        assert found.total == len(whole)
        assert found.digest == hashlib.sha256(whole[: form.length]).digest()
        assert found.hashed == (len(whole) if form.length is None else min(form.length, len(whole)))


@given(bodies, st.lists(st.sampled_from(Canonicalization), max_size=2))
@example(b"a b\r\n", [SIMPLE, RELAXED])
@example(b"a\tb\r\n", [SIMPLE, RELAXED])
@example(b"a\r\n\r\n", [SIMPLE])
@example(b"a\r", [RELAXED])
def test_a_body_that_comes_as_a_whole(body: bytes, forms: list[Canonicalization]) -> None:
    wanted = [BodyForm(each) for each in forms]
    hasher = MessageHasher(lambda header: wanted)
    hasher.write(b"Subject: x\r\n\r\n" + body)
    hasher.finish()
    for each in Canonicalization:
        if each in forms:
            whole = by_the_rules(body, each)
            expected = hashlib.sha256(whole).digest(), len(whole), len(whole)
            assert hasher.body_hash(BodyForm(each)) == expected
        else:
            with pytest.raises(KeyError):
                hasher.body_hash(BodyForm(each))


def test_many_empty_lines_are_held_as_a_number() -> None:
    made: list[bytes] = []
    canonicalizer = BodyCanonicalizer(RELAXED, made.append)
    canonicalizer.write(b"a")
    for _ in range(1_000):
        canonicalizer.write(b" \r\n" * 1_000)
    assert made == [b"a"]
    canonicalizer.write(b"b")
    assert max(map(len, made)) <= 8_192
    assert b"".join(made) == b"a" + b"\r\n" * 1_000_000 + b"b"


@pytest.mark.parametrize("canonicalization", Canonicalization)
@pytest.mark.parametrize("size", [1, 7, 4_096, 200_000])
@pytest.mark.parametrize(
    "piece", [b" ", b"\r\n", b"\r", b"\n", b" \r\n", b"a ", b"\t\r", b"\n\r\n", b"\r\n" * 999 + b"\n", b"a\r\n"]
)
def test_work_is_linear(canonicalization: Canonicalization, size: int, piece: bytes) -> None:
    """Each octet is looked at in its own chunk alone: at most 2 octets are held, and what is emitted is not more."""
    body = piece * (20_000 // len(piece)) + b"end"
    made: list[int] = []
    canonicalizer = BodyCanonicalizer(canonicalization, lambda octets: made.append(len(octets)))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    for chunk in chunks:
        canonicalizer.write(chunk)
        assert len(canonicalizer._carry) <= 2
    canonicalizer.finish()
    assert sum(made) == len(by_the_rules(body, canonicalization)) <= len(body) + 2
    assert len(made) <= 2 * len(chunks) + len(body) // 8_192 + 1


# Fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "relaxed"),
    [
        (b"SUBJect: AbC\r\n", b"subject:AbC\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \t \r\n", b"subject:\r\n"),
        (b"Subject:\r\n a\r\n", b"subject:a\r\n"),
        (b"Subject :a\tb  \r\n\t c:d \r\n", b"subject:a b c:d\r\n"),
        (b"Subject: \xe4\xbd\xa0\x0b \x0c\r\n", b"subject:\xe4\xbd\xa0\x0b \x0c\r\n"),
        (b"Subject: without end", b"subject:without end\r\n"),
    ],
)
def test_a_relaxed_field(raw: bytes, relaxed: bytes) -> None:
    assert relaxed_field(raw) == relaxed


@pytest.mark.parametrize(
    ("raw", "without"),
    [
        (b"D: v=1; b=abc\r\n", b"D: v=1; b="),
        (b"D: v=1; b= a\r\n\tb = ; s=x\r\n", b"D: v=1; b=; s=x"),
        (b"D: b=abc; bh=b=; x=b\r\n", b"D: b=; bh=b=; x=b"),
        (b"D:\r\n\tb\r\n\t=\r\n abc\r\n ;bh=x\r\n", b"D:\r\n\tb\r\n\t=;bh=x"),
        (b"D: h=from:b=x; bh=y; b=z", b"D: h=from:b=x; bh=y; b="),
        (b"D: v=1; b=\r\n", b"D: v=1; b="),
        (b"D: v=1; bb=x\r\n", b"D: v=1; bb=x"),
    ],
)
def test_only_the_signature_is_taken_out(raw: bytes, without: bytes) -> None:
    assert without_signature(raw) == without


def test_fields_are_taken_from_the_bottom_up() -> None:
    message = b"Received: A\r\nTo: x\r\nreceived: B\r\nRECEIVED : C\r\nDKIM-Signature: own\r\n\r\n"
    section = HeaderSection(split(message))
    assert section.select([b"Received", b"received", b"from", b"To", b"to"]) == [3, 2, 1]
    assert section.select([b"received"] * 5) == [3, 2, 0]
    assert section.select([b"dkim-signature"]) == [4]
    assert section.select([b"dkim-signature"], own=4) == []
    assert section.signed_octets([b"received", b"x"], RELAXED, b"DKIM-Signature: b=1;\r\n\tv=1\r\n") == (
        b"received:C\r\ndkim-signature:b=; v=1"
    )
    assert section.signed_octets([b"to", b"received"], SIMPLE, b"DKIM-Signature: v=1; b=1 \r\n") == (
        b"To: x\r\nRECEIVED : C\r\nDKIM-Signature: v=1; b="
    )


@pytest.mark.parametrize("cut", range(60))
def test_a_header_section_that_comes_in_pieces(cut: int) -> None:
    for message in (
        b"From: a\r\nTo: b\r\n\r\nbody \r\n\r\n",
        b"\r\nonly a body\r\n",
        b"no header\r\n\r\nFrom: a",
        b"From: a\r\nnothing else\r\n",
        b"",
    ):
        hasher = MessageHasher(lambda header: [BodyForm(RELAXED)])
        for piece in (message[:cut], message[cut:]):
            hasher.write(piece)
        hasher.finish()
        found = split(message)
        assert hasher.header is not None
        assert b"".join(field.raw for field in hasher.header.fields) == found.headers
        expected = by_the_rules(message[found.body_offset :], RELAXED)
        assert hasher.body_hash(BodyForm(RELAXED)).digest == hashlib.sha256(expected).digest()


LINES = st.lists(
    st.sampled_from(
        [b"Subject", b"From: a", b":", b" ", b"\t", b"x", b"\r\n", b"\r\n ", b"\r\n\t", b"\r", b"\n", b"  b"]
    )
)


@given(LINES)
@example([b"From: a", b"\r\n", b"Subject", b"\r\n ", b":", b"x", b"\r\n"])  # a name that is folded before its colon
@example([b"From: a", b"\r\n", b"Subject", b" ", b":", b"x", b"\r\n"])
def test_both_ways_to_read_a_section_find_the_same_fields(pieces: list[bytes]) -> None:
    found = split(b"A: b\r\n" + b"".join(pieces) + b"\r\nTo: c\r\n\r\n")
    section = HeaderSection(found)
    names = {field.name.lower() for field in section.fields if field.name}
    for name in {b"a", b"from", b"subject", b"to", b"x", *names}:
        expected = [place for place, field in enumerate(section.fields) if field.name.lower() == name]
        assert list(section.places(name)) == expected, name
    for place, field in enumerate(section.fields):
        if field.name:
            assert section.canonical(place, Canonicalization.RELAXED) == relaxed_field(field.raw)
            assert section.canonical(place, Canonicalization.SIMPLE) == canonical_field(
                field.raw, Canonicalization.SIMPLE
            )


def test_a_header_section_too_long_is_not_complete() -> None:
    for message in (b"X: " + b"a" * 300_000, b"X: y\r\n" * 10_001 + b"\r\n"):
        hasher = MessageHasher(lambda header: [])
        for start in range(0, len(message), 1_000):
            hasher.write(message[start : start + 1_000])
        hasher.finish()
        assert hasher.header is not None
        assert not hasher.header.complete
