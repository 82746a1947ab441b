"""Short ways of verification: signatures as signers write them, and fields that are chosen without a count.

Each short way finds what the full reading finds, or leaves the work to it.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.mailauth.dkim.canonical import Canonicalization, relaxed_field
from posthouse.mailauth.dkim.header_section import HeaderSection, without_signature
from posthouse.mailauth.dkim.signature import SignatureTags, dkim_signature, tags_of_value, usual_signature
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.message.headers import split

DIGEST = b"A" * 43 + b"="
SIGNATURE = (
    b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s; t=5; x=9; h=From:To; bh=" + DIGEST + b"; b=AA AA"
)


def read_in_full(value: bytes) -> tuple[SignatureTags, str] | None:
    """Content and ``b=`` of a signature by the grammar; None for one that is refused."""
    try:
        tags = tags_of_value(value)
        return dkim_signature(tags), tags["b"].replace(" ", "").replace("\t", "")
    except SignatureFault:
        return None


def test_what_a_signer_repeats_is_read_once() -> None:
    for value in (SIGNATURE, SIGNATURE.replace(b"; ", b";"), SIGNATURE + b";", SIGNATURE.replace(b"t=5; x=9; ", b"")):
        found = usual_signature(value)
        assert found is not None
        assert found == read_in_full(value)
    first, second = (
        usual_signature(SIGNATURE),
        usual_signature(SIGNATURE.replace(b"t=5", b"t=6").replace(b"AA AA", b"BBBB")),
    )
    assert first is not None
    assert second is not None
    assert (first[0].time, second[0].time) == (5, 6)
    assert (first[1], second[1]) == ("AAAA", "BBBB")
    assert first[0].fields is second[0].fields  # of one template


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"v=1", b"v=2"),
        (b"v=1; ", b""),
        (b"rsa-sha256", b"rsa-sha1"),
        (b"From", b"Subject"),
        (b"t=5", b"t=9"),  # x= is not later
        (b"t=5", b"t="),
        (b"t=5", b"t =x"),
        (b"t=5", b"t=-5"),
        (b"t=5", b"t=\xb2"),
        (b"t=5", b"t=5; t=5"),
        (b"t=5", b"t=1234567890123"),
        (b"x=9", b"x=0"),
        (b"t=5; x=9", b"t=0; x=0"),
        (b"x=9", b"q=http"),
        (b"bh=", b"bh=A"),
        (b"bh=" + DIGEST, b"bh=AAAA"),
        (b"bh=" + DIGEST + b"; ", b""),
        (b"b=AA AA", b"b="),
        (b"b=AA AA", b"b=AAAA; b=AAAA"),
        (b"b=AA AA", b"b=AA*A"),
        (b"b=AA AA", b"b=AAA"),
        (b"b=AA AA", b"b=AAAA; ; z=1"),
        (b"d=example.org", b"d=example"),
        (b"s=s", b"s=s; i=@example.com"),
        (b"; d=", b" d="),
    ],
)
def test_what_is_refused_is_left_to_the_full_reading(old: bytes, new: bytes) -> None:
    value = SIGNATURE.replace(old, new, 1)
    assert value != SIGNATURE
    assert read_in_full(value) is None
    assert usual_signature(value) is None


@given(
    st.lists(
        st.sampled_from(
            [
                b"v=1",
                b"a=rsa-sha256",
                b"d=example.org",
                b"s=s",
                b"h=From",
                b"bh=" + DIGEST,
                b"b=AA AA",
                b"b =AAAA",
                b"t=5",
                b"x=9",
                b"x= 7 ",
                b"t=\t5",
                b"bh= " + DIGEST,
                b"l=3",
                b"i=a@example.org",
                b"q=dns/txt",
                b"z=b=1",
                b"b=A\x00",
                b"",
            ]
        ),
        min_size=6,
        max_size=14,
    ),
    st.sampled_from([b";", b"; ", b";  ", b" ; ", b";\t"]),
)
@example([b"b=AAAA", *SIGNATURE.split(b"; ")[:-1]], b"; ")
@example([*SIGNATURE.split(b"; "), b"z=" + b"a" * 2_000], b"; ")
@example([*SIGNATURE.split(b"; "), b"z=\xff"], b"; ")
def test_both_ways_to_read_a_signature_agree(parts: list[bytes], between: bytes) -> None:
    value = between.join(parts)
    found = usual_signature(value)
    if found is not None:
        assert found == read_in_full(value)


NAMES = st.sampled_from([b"From", b"from", b"To", b"Received", b"DKIM-Signature", b"X"])


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from([b" a", b"b ", b"\r\n  c\t d", b" v=1; b=x y;\r\n h=b", b"b=1", b""])),
        max_size=9,
    ),
    st.lists(NAMES, max_size=80),
    st.sampled_from([b" v=1; b=AA\r\n AA; h=x", b" v=1; b=", b" b=1; v=1", b" v=1;b=1;", b" v=1; b=1 "]),
    st.integers(0, 9),
    st.booleans(),
)
@example(
    [(b"Received", b" a"), (b"Received", b"b "), (b"To", b" a")], [b"Received"] * 3 + [b"To"] * 2, b" v=1; b=", 0, False
)
@example(
    [(b"DKIM-Signature", b" a"), (b"To", b" a")], [b"To", b"DKIM-Signature", b"DKIM-Signature"], b" v=1; b=", 1, False
)
def test_the_signed_octets_are_those_of_a_count_from_the_bottom(
    listed: list[tuple[bytes, bytes]], names: list[bytes], signature: bytes, at: int, malformed: bool
) -> None:
    own = min(at, len(listed))
    listed.insert(own, (b"DKIM-Signature", signature))
    raw = [name + b":" + value + b"\r\n" for name, value in listed]
    if malformed:  # the section is read field by field then
        raw.append(b"Y: 1\r\nno field\r\nZ: 1\r\n")
    left = {place: name.lower() for place, (name, _) in enumerate(listed) if place != own}
    expected = []
    for name in names:
        lowest = max((place for place, key in left.items() if key == name.lower()), default=None)
        if lowest is not None:
            del left[lowest]
            expected.append(relaxed_field(raw[lowest]))
    expected.append(relaxed_field(without_signature(raw[own]))[:-2])
    section = HeaderSection(split(b"".join(raw) + b"\r\n"))
    for given_names in (names, [name.decode() for name in names]):
        assert section.signed_octets(given_names, Canonicalization.RELAXED, own=own) == b"".join(expected)
