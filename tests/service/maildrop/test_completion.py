"""What sendmail adds to a message, takes out of it and reads in it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.service.maildrop.completion import Author, Completed, complete, read_lines

ANN = Author("Ann Example", Address("ann", "h.example"))
GIVEN = {"date": "Sun, 29 Nov 2026 10:00:00 +0000", "message_id": "<1@h.example>"}
ADDED = b"Date: Sun, 29 Nov 2026 10:00:00 +0000\r\nFrom: Ann Example <ann@h.example>\r\nMessage-ID: <1@h.example>\r\n"


def completed(text: bytes, author: Author = ANN, *, dots: bool = False, **more: Any) -> tuple[Completed, bytes]:
    lines = read_lines(io.BytesIO(text), dot_ends=dots)
    made = complete(lines, author, "h.example", **{**GIVEN, **more})
    return made, made.headers + b"".join(made.body)


def people(made: Completed) -> list[str]:
    return [str(each) for each in made.recipients]


def test_what_is_missing_is_added_and_bcc_is_taken_out() -> None:
    text = b"To: root\nBcc: secret@x.example,\n hidden\nReturn-Path: <x@y>\nContent-Length: 3\nSubject: x\n\nhi\n"
    made, whole = completed(text, gathers=True)
    assert whole == ADDED + b"To: root@h.example\r\nSubject: x\r\n\r\nhi\r\n"
    assert people(made) == ["root@h.example", "secret@x.example", "hidden@h.example"]
    assert made.message_id == "<1@h.example>"


def test_what_is_there_stays_as_it_is() -> None:
    fields = b"From: a@x.example\r\nDate: yesterday\r\nMessage-ID: <own@x.example>\r\nX-A:\tb  c \r\n"
    made, whole = completed(fields + b"\r\nhi\r\n")
    assert whole == fields + b"\r\nhi\r\n"
    assert made.message_id == "<own@x.example>"
    assert made.recipients == ()


def test_recipients_only_in_bcc() -> None:
    made, whole = completed(b"Bcc: a@x.example\n\nhi\n", gathers=True)
    assert people(made) == ["a@x.example"]
    assert b"cc" not in whole


def test_a_resent_message_goes_to_whom_it_is_resent() -> None:
    text = b"Resent-To: new\nTo: old@x.example\nFrom: a@x.example\nDate: d\nMessage-ID: <o@x>\nResent-Bcc: b\n\nhi\n"
    made, whole = completed(text, gathers=True)
    assert people(made) == ["new@h.example", "b@h.example"]
    assert whole.startswith(b"Resent-Date: Sun, 29 Nov")
    assert whole.count(b"Resent-From: ") == whole.count(b"Resent-Message-ID: ") == 1
    assert b"Resent-Bcc" not in whole


def test_a_message_without_header_is_all_body() -> None:
    assert completed(b"hello: world\nno field\n")[1] == ADDED + b"hello: world\r\n\r\nno field\r\n"
    assert completed(b"\nno field: at all\n")[1] == ADDED + b"\r\nno field: at all\r\n"
    assert completed(b"just text\n\nmore\n")[1] == ADDED + b"\r\njust text\r\n\r\nmore\r\n"
    assert completed(b"")[1] == ADDED + b"\r\n"
    assert completed(b"Subject: only a header")[1] == ADDED + b"Subject: only a header\r\n\r\n"


def test_the_first_line_of_a_mailbox_file_is_dropped() -> None:
    assert completed(b"From ann Thu Nov 26 10:00:00 2026\nSubject: x\n\nFrom the text\n")[1] == (
        ADDED + b"Subject: x\r\n\r\nFrom the text\r\n"
    )


def test_a_dot_ends_the_message_or_does_not() -> None:
    text = b"Subject: x\n\none\n.\ntwo\n"
    assert completed(text, dots=True)[1].endswith(b"\r\none\r\n")
    assert completed(text)[1].endswith(b"\r\none\r\n.\r\ntwo\r\n")
    assert completed(b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n", dots=True)[1].endswith(b"\r\none\r\n")
    assert completed(b"Subject: x\n\n..\n .\nx.\n", dots=True)[1].endswith(b"\r\n..\r\n .\r\nx.\r\n")


def test_a_dot_at_the_end_of_a_piece_is_text() -> None:
    long = b"a" * 65_536 + b".\nmore\n"
    assert completed(b"\n" + long, dots=True)[1].endswith(b"a.\r\nmore\r\n")


def test_line_ends_become_crlf_wherever_pieces_are_cut() -> None:
    for shift in range(5):
        text = b"x" * (65_535 - shift) + b"\r\ny\rz\n" + b"w\n" * 40_000 + b"end"
        _, whole = completed(b"\n" + text)
        body = whole.partition(b"\r\n\r\n")[2]
        assert body == text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def test_octets_of_every_kind_are_kept() -> None:
    text = bytes(each for each in range(256) if each not in b"\r\n")
    assert completed(b"Subject: " + text + b"\n\n" + text + b"\n")[1] == ADDED + b"Subject: " + text + b"\r\n\r\n" + (
        text + b"\r\n"
    )


def test_authors() -> None:
    assert b"From: MAILER-DAEMON@h.example\r\n" in completed(b"", Author("", None))[1]
    assert b"From: =?utf-8?" in completed(b"", Author("李雷", Address("lilei", "h.example")))[1]
    assert b'From: "A. B, C" <ann@h.example>\r\n' in completed(b"", Author("A. B, C\n", ANN.address))[1]
    unusual = completed(b"", Author("", Address("jörg", "x.example")))[1]
    assert "From: jörg@x.example\r\n".encode() in unusual


def test_a_gateway_adds_nothing() -> None:
    text = b"To: root\r\nBcc: b@x.example\r\n\r\nhi\r\n"
    made, whole = completed(text, gateway=True, gathers=True)
    assert whole == b"To: root\r\n\r\nhi\r\n"
    assert people(made) == ["root@h.example", "b@x.example"]


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(LocalError, match="'two words"):
        completed(b"To: two words\n\nhi\n", gathers=True)
    with pytest.raises(LocalError, match="header section is longer"):
        completed(b"X: " + b"y" * (2 << 20) + b"\n\nhi\n")


@given(st.binary(max_size=200), st.booleans())
def test_no_input_breaks_the_header(text: bytes, dots: bool) -> None:
    try:
        made, whole = completed(text, dots=dots, gathers=True)
    except LocalError:
        return
    assert made.headers.endswith(b"\r\n")
    assert whole.count(b"\n") == whole.count(b"\r\n") == whole.count(b"\r")
