"""What a submission server adds and takes out; the other octets stay."""

from __future__ import annotations

import tracemalloc

import pytest

from posthouse.core import Address
from posthouse.message.submitted import completed, is_complete

DATE = "Mon, 23 Nov 2026 08:46:22 +0100"
BOTH = b"Date: x\r\nMessage-ID: <y@z>\r\nFrom: a@x.test\r\n"
ANN = Address("ann", "x.test")


def complete(headers: bytes) -> bytes:
    return completed(headers, DATE, "<q@mx.test>", ANN)


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: a@x.test\r\n",
        b"Bcc :a@x.test,\r\n b@x.test\r\n",
        b"BCC:\r\n\t\r\n a@x.test\r\n",
        b"bcc\t: a@x.test\r\n",
        b"Bcc:\r\n",
        b"Resent-Bcc: a@x.test\r\n",
        b"RESENT-BCC \t: a@x.test\r\n",
        b"Bcc: a@x.test,\r\nb@x.test\r\n",  # not folded; RFC 7103 §7.2 reads it as the same field
    ],
)
@pytest.mark.parametrize("before", [b"", b"Subject: bcc\r\n Bcc: no field\r\n"])
@pytest.mark.parametrize("times", [1, 2])
def test_bcc_goes_in_every_spelling(field: bytes, before: bytes, times: int) -> None:
    after = BOTH + b"X-Bcc: stays\r\nBcc-Note: stays\r\nSubject  : \xff odd\r\n \r\n"
    assert complete(before + field * times + after) == before + after


def test_the_last_of_very_many_fields_goes_too() -> None:
    many = BOTH + b"A:\r\n" * 12_000
    assert complete(many + b"Bcc: a@x.test\r\n") == many


def test_a_header_section_of_many_fields_is_not_taken_apart() -> None:
    """256 KiB have 50,000 fields of 5 octets: an object for each would hold up all sessions for 0.1 s."""
    many = b"A:\r\n" * 60_000
    tracemalloc.start()
    try:
        assert complete(many + BOTH) == many + BOTH
        assert tracemalloc.get_traced_memory()[1] < 4 * len(many)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("headers", "added"),
    [
        (b"", b"Date: %s\r\nFrom: ann@x.test\r\nMessage-ID: <q@mx.test>\r\n"),
        (
            b"Subject: Date: x\r\n Message-ID: y\r\n From: z\r\n",
            b"Date: %s\r\nFrom: ann@x.test\r\nMessage-ID: <q@mx.test>\r\n",
        ),
        (b"dAtE : x\r\nfROM\t: a\r\n", b"Message-ID: <q@mx.test>\r\n"),
        (b"MESSAGE-ID\t:\r\n <a@b>\r\nFrom:\r\n", b"Date: %s\r\n"),
        (b"Date: x\r\nMessage-ID: <y@z>\r\nSender: b@x.test\r\nX-From: c@x.test\r\n", b"From: ann@x.test\r\n"),
        (
            b"Resent-Date: x\r\nResent-From: a@x.test\r\nResent-Message-ID: <a@b>\r\n",
            b"Date: %s\r\nFrom: ann@x.test\r\nMessage-ID: <q@mx.test>\r\n",
        ),
        (BOTH, b""),
    ],
)
def test_what_is_missing_is_put_in_front(headers: bytes, added: bytes) -> None:
    assert complete(headers) == added.replace(b"%s", DATE.encode()) + headers


@pytest.mark.parametrize("headers", [BOTH + b"Bcc: x\r\n", b"Subject: bcc\r\n" + BOTH, b"Date: x\r\n", b""])
def test_only_what_needs_no_change_is_called_complete(headers: bytes) -> None:
    assert is_complete(b"\r\n" + BOTH.lower())
    assert not is_complete(b"\r\n" + headers.lower())
    for missing in (b"Date: x\r\n", b"Message-ID: <y@z>\r\n", b"From: a@x.test\r\n"):
        assert not is_complete(b"\r\n" + BOTH.replace(missing, b"").lower())


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        (None, b""),
        (Address("b c", "x.test"), b'From: "b c"@x.test\r\n'),
        (Address("a..b", "docomo.test"), b'From: "a..b"@docomo.test\r\n'),
        (Address("a", "[IPv6:::1]"), b"From: a@[IPv6:::1]\r\n"),
        (Address("a", "b\u00fccher.test"), b"From: a@xn--bcher-kva.test\r\n"),
        (Address("\u00fc", "b\u00fccher.test"), "From: \u00fc@b\u00fccher.test\r\n".encode()),
        (Address("a" * 200, "x.test"), b"From: " + b"a" * 200 + b"@x.test\r\n"),
    ],
)
def test_the_sender_of_the_envelope_becomes_the_author(sender: Address | None, field: bytes) -> None:
    both = b"Date: x\r\nMessage-ID: <y@z>\r\n"
    assert completed(both, DATE, "<q@mx.test>", sender) == field + both
