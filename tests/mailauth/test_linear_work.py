"""Work of the readers of records and fields on awkward input: twice the octets cost no more than twice the steps.

What is counted are lines of Python, so the result is the same on every machine.  The expressions that the lines use
match without going back (possessive), which is their part of the promise.  SPF and Authentication-Results have tests of
their own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import pytest

from posthouse.core import Address
from posthouse.mailauth import Srs, answer, verify_arc
from posthouse.mailauth.batv import Batv
from posthouse.mailauth.dkim.key_record import read_key_record
from posthouse.mailauth.dkim.signature import dkim_signature, tags_of_value, usual_signature
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.dmarc.author_domains import author_domains
from posthouse.mailauth.dmarc.dmarc_record import read_dmarc_record
from posthouse.mailauth.tag_list import TagFault
from posthouse.message.authors import Unreadable

SRS, BATV = Srs("forward.test", ["a secret of this host"]), Batv(["a secret of this host"])
TAGS = b"v=1; a=rsa-sha256; d=example.org; s=s; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AAAA; "


def _arc(octets: bytes) -> None:
    fields = (b"ARC-Seal: i=1; ", b"ARC-Message-Signature: i=1; ", b"ARC-Authentication-Results: i=1; ")
    answer(verify_arc(b"".join(name + octets + b"\r\n" for name in fields) + b"From: a@example.org\r\n\r\n"), {})


READERS: dict[str, Callable[[bytes], object]] = {
    "key record": lambda octets: read_key_record(b"v=DKIM1; p=AAAA; " + octets),
    "public key": lambda octets: read_key_record(b"v=DKIM1; p=" + octets),
    "signature": lambda octets: dkim_signature(tags_of_value(TAGS + octets)),
    "signature as signers write it": lambda octets: usual_signature(TAGS + b"h=from" + octets),
    "signed fields": lambda octets: dkim_signature(tags_of_value(TAGS + b"h=from:" + octets)),
    "identity": lambda octets: dkim_signature(tags_of_value(TAGS + b"h=from; i=" + octets)),
    "policy": lambda octets: read_dmarc_record(b"v=DMARC1; p=none; " + octets),
    "report addresses": lambda octets: read_dmarc_record(b"v=DMARC1; p=none; rua=" + octets),
    "author": lambda octets: author_domains(b"From: " + octets + b"\r\n\r\n"),
    "chain": _arc,
    "reverse-path": lambda octets: SRS.reverse(Address("SRS0=" + octets.decode("latin-1"), "forward.test"), 0),
    "signed sender": lambda octets: BATV.check(Address("prvs=" + octets.decode("latin-1"), "forward.test"), 0),
}
UNITS = (
    b"a", b" ", b"\r\n ", b";", b"x=;", b"a=b;", b"=", b":", b"a:b:",
    b"(", b"()", b"(\\", b'"', b"\\", b"<a@b>,", b"a.",
    b"@", b"=41", b"AA", b"mailto:a@b!1m,", b"SRS0=", b"!", b"[1]", b"\xc3\xa9", b"=?utf-8?q?a?= ",
)  # fmt: skip


def steps(reader: Callable[[bytes], object], octets: bytes) -> int:
    """Lines of Python that reading runs."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        with contextlib.suppress(TagFault, SignatureFault, Unreadable):
            reader(octets)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", READERS)
def test_reading_is_linear_in_the_length(name: str) -> None:
    reader = READERS[name]
    for unit in UNITS:
        once = steps(reader, unit)  # what is done once, and is not repeated for another input
        short, long = steps(reader, unit * 200), steps(reader, unit * 400)
        assert long <= 2 * short + once + 50, unit


def test_the_measure_sees_work_that_grows_faster() -> None:
    def squared(octets: bytes) -> None:
        for _ in octets:
            for _ in octets:
                pass

    assert steps(squared, b"a" * 40) > 2 * steps(squared, b"a" * 20) + 500
