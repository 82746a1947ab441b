"""Messages in the forms that callers have, as they arrive at servers with and without extensions."""

from __future__ import annotations

import email.policy
import io
import tracemalloc
from collections.abc import Iterator
from email.message import EmailMessage
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sending.scripted_peer import ScriptedPeer

import posthouse
from posthouse import LocalError, Message, read
from posthouse.core import Address, Bytes, Content, Envelope, Outcome, Recipient, Result
from posthouse.message.composing.internationalized import in_ascii
from posthouse.protocol import Capabilities
from posthouse.protocol.readers import only_crlf
from posthouse.sending import SendResult, memory
from posthouse.sending.messages import outgoing
from posthouse.sending.messages.fitting import fit

RAW = b"From: ann@a.example\r\nTo: b@b.example\r\nSubject: hi\r\n\r\none\r\ntwo\r\n"


def octets(content: Content) -> bytes:
    return b"".join(content.chunks())


# The forms of a message -------------------------------------------------------------------------------------------


class Unseekable(io.RawIOBase):
    """A pipe: it is read once, and gives a few octets at a time."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(7 if size < 0 else min(size, 7))


def forms(tmp_path: Path) -> Iterator[object]:
    with_lf = RAW.replace(b"\r\n", b"\n")
    yield RAW
    yield bytearray(with_lf)
    yield memoryview(RAW.removesuffix(b"\r\n"))
    path = tmp_path / "message.eml"
    path.write_bytes(with_lf)
    yield path
    yield io.BytesIO(with_lf)
    yield Unseekable(with_lf)
    yield read(RAW)
    yield email.message_from_bytes(RAW)
    yield email.message_from_bytes(RAW, policy=email.policy.default)


def test_every_form_is_the_same_message(tmp_path: Path) -> None:
    for form in forms(tmp_path):
        envelope, content = outgoing(form)
        assert octets(content) == RAW, form
        assert octets(content) == RAW, "content can be read again"
        assert content.size == len(RAW)
        assert envelope.sender == Address("ann", "a.example")
        assert [str(each.address) for each in envelope.recipients] == ["b@b.example"]


@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_of_a_file_become_crlf_whatever_its_length(tmp_path: Path, size: int, end: bytes) -> None:
    lines = [b"From: a@a.example", b"To: b@b.example", b"bcc: c@c.example", b"", *[b"x" * 70] * (size // 70), b"last"]
    path = tmp_path / "message.eml"
    path.write_bytes(end.join(lines))
    expected = b"\r\n".join([*lines[:2], *lines[3:], b""])
    for form in (path, io.BytesIO(path.read_bytes()), Unseekable(path.read_bytes()) if size < 1_000 else path):
        envelope, content = outgoing(form)
        assert octets(content) == expected
        assert content.size == envelope.size == len(expected)
        assert len(envelope.recipients) == 2


def test_a_message_that_is_not_open_as_octets() -> None:
    with pytest.raises(LocalError, match="open it with the mode 'rb'"):
        outgoing(io.StringIO("From: a@a.example"))


def test_resent_fields_are_the_envelope_of_a_message_that_is_sent_again() -> None:
    raw = b"Resent-From: r@r.example\r\nResent-To: s@s.example\r\nResent-Bcc: t@t.example\r\n" + RAW
    envelope, content = outgoing(raw)
    assert str(envelope.sender) == "r@r.example"
    assert [str(each.address) for each in envelope.recipients] == ["s@s.example", "t@t.example"]
    assert b"t@t.example" not in octets(content)


def test_a_standard_message_with_a_comma_in_a_name_and_bcc() -> None:
    message = EmailMessage()
    message["From"] = "ann@a.example"
    message["To"] = '"Bär, Bo" <bo@b.example>, cy@bücher.example'
    message["Bcc"] = "secret@b.example"
    message.set_content("hello\n")
    envelope, content = outgoing(message)
    addresses = [str(each.address) for each in envelope.recipients]
    assert addresses == ["bo@b.example", "cy@xn--bcher-kva.example", "secret@b.example"]
    assert octets(content).isascii()
    assert not envelope.smtputf8
    assert b"secret" not in octets(content)
    assert [each.name for each in read(octets(content)).to] == ["Bär, Bo", ""]
    assert message["Bcc"] == "secret@b.example"
    old = MIMEText("hällo", _charset="utf-8")
    old["From"], old["To"] = "ann@a.example", "b@b.example"
    assert read(octets(outgoing(old).content)).text == "hällo"


def test_a_large_file_is_not_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.eml"
    with path.open("wb") as file:
        file.write(b"From: a@a.example\nTo: b@b.example\n\n")
        for _ in range(12):
            file.write((b"y" * 76 + b"\n") * 13_618)  # 1 MiB
    seen = 0

    class Counting:
        def deliver(self, envelope: Envelope, content: Content) -> SendResult:
            nonlocal seen
            seen = sum(map(len, content.chunks()))
            return SendResult([Outcome(each, Result.DELIVERED) for each in envelope.recipients])

    tracemalloc.start()
    try:
        assert posthouse.send(path, Counting()).ok
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert seen > 12 * 1_048_576


# SMTPUTF8 ---------------------------------------------------------------------------------------------------------


def test_a_recipient_who_needs_smtputf8_fails_alone() -> None:
    """Case 4."""
    message = Message(
        sender="ann@a.example",
        to=["jörg@example.com", "ann@example.com", "julial@periódico.example.mx"],
        subject="Grüße",
        text="hällo",
    )
    with ScriptedPeer({}) as peer:
        result = posthouse.send(message, peer.url)
    assert result["jörg@example.com"].result is Result.FAILED
    assert str(result["jörg@example.com"].reply).startswith("553 5.6.7 ")
    assert len(result.delivered) == 2
    (lines,) = peer.dialogues
    assert lines[2:4] == ["RCPT TO:<ann@example.com>", "RCPT TO:<julial@xn--peridico-y3a.example.mx>"]
    assert not any("jörg" in line for line in lines)
    arrived = read(lines[5].encode())
    group = "Internationalized Address jörg@example.com Removed"
    assert [str(each.address) for each in arrived.to if each.address] == [
        "ann@example.com",
        "julial@xn--peridico-y3a.example.mx",
    ]
    assert arrived.header("to").startswith(f"{group}:;, ann@example.com")
    assert arrived.subject == "Grüße"
    with ScriptedPeer({"EHLO": "250-x\r\n250-8BITMIME\r\n250 SMTPUTF8"}) as peer:
        assert posthouse.send(message, peer.url).ok
    assert "SMTPUTF8" in peer.dialogues[0][1]


def test_a_sender_who_needs_smtputf8_fails_for_all() -> None:
    with ScriptedPeer({}) as peer:
        result = posthouse.send(RAW, peer.url, envelope=("jörg@a.example", ["b@b.example", "c@b.example"]))
    assert [str(each.reply)[:9] for each in result] == ["553 5.6.7"] * 2
    assert not any(line.startswith("MAIL") for line in peer.dialogues[0])


def test_domains_beyond_ascii_need_nothing_of_the_server() -> None:
    with ScriptedPeer({"EHLO": "250 x"}) as peer:
        message = Message(sender="ann@a.example", to="info@faß.de", reply_to="ivan@bücher.example", text="x")
        assert posthouse.send(message, peer.url).ok
    assert peer.dialogues[0][1:3] == ["MAIL FROM:<ann@a.example>", "RCPT TO:<info@xn--fa-hia.de>"]


def test_header_fields_in_ascii() -> None:
    raw = (
        "From: Jörg <jörg@a.example>\r\nReceived: from ü\r\nSubject: Grüße\r\nX-Note: später\r\n"
        'Message-ID: <ü@a.example>\r\nContent-Type: text/plain; name="Maß.txt"; charset=utf-8\r\n'
        "To: Team: Ann <ann@b.example>, bö@b.example;\r\n\r\nbödy\r\n"
    ).encode()
    made = octets(in_ascii(Bytes(raw)))
    head, _, body = made.partition(b"\r\n\r\n")
    assert head.isascii()
    assert body == "bödy\r\n".encode()
    found = read(made)
    assert found.header("from") == "Jörg Internationalized Address jörg@a.example Removed:;"
    assert [str(each.address) for each in found.to if each.address] == ["ann@b.example"]
    assert (found.subject, found.header("x-note")) == ("Grüße", "später")
    assert found.header("downgraded-message-id") == "<ü@a.example>"
    assert found.header("downgraded-received") == "from ü"
    assert b"name*=utf-8''Ma%C3%9F.txt" in head
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))
    same = Bytes(RAW)
    assert in_ascii(same) is same
    long = Bytes("Subject: ü\r\n\r\n".encode() + b"x" * 2_000_000)
    assert in_ascii(long).size == sum(map(len, in_ascii(long).chunks()))


# 8BITMIME, BINARYMIME ---------------------------------------------------------------------------------------------

EIGHT = b"From: a@a.example\r\nTo: b@b.example\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4\r\n"


def test_content_is_converted_for_a_server_without_8bitmime() -> None:
    envelope, content = outgoing(EIGHT)
    assert envelope.body == "8BITMIME"
    fitted = fit(Capabilities({}), envelope, content, "mx")
    assert fitted.envelope.body == "7BIT"
    assert fitted.envelope.size == fitted.content.size
    assert b"=C3=A4" in octets(fitted.content)
    same = fit(Capabilities({"8BITMIME": ""}), envelope, content, "mx")
    assert same.content is content


def test_what_cannot_be_converted_fails_for_all() -> None:
    envelope = Envelope(Address("a", "a.example"), tuple(Recipient(Address(one, "b.example")) for one in ("b", "jö")))
    signed = EIGHT.replace(b"text/plain; charset=utf-8", b'multipart/signed; boundary="x"').replace(
        b"\xc3\xa4", b"--x\r\n\r\n\xc3\xa4\r\n--x--"
    )
    made = outgoing(signed, envelope)
    fitted = fit(Capabilities({}), made.envelope, made.content, "mx")
    assert fitted.envelope.recipients == ()
    outcomes = fitted.join((), made.envelope.recipients)
    assert [each.result for each in outcomes] == [Result.FAILED] * 2
    assert [each.reply.enhanced for each in outcomes if each.reply is not None][1] == "5.6.7"


def test_the_memory_transport_takes_any_form(tmp_path: Path) -> None:
    box = memory("forms")
    for form in forms(tmp_path):
        posthouse.send(form, "memory:forms").raise_for_failures()  # type: ignore[arg-type]
    assert {each.content for each in box.messages} == {RAW}


@given(st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"bcc: x\r\n"]), max_size=12).map(b"".join))
def test_content_that_need_not_be_checked_again_has_no_other_line_end_than_crlf(data: bytes) -> None:
    """What is written without another look must not hold a line end of one octet, which could smuggle a message."""
    content = outgoing(data, ("a@a.example", "b@b.example")).content
    assert isinstance(content, Bytes)
    assert content.crlf is False or only_crlf(content.data)


def test_octets_in_memory_are_checked_once() -> None:
    made = outgoing(RAW.replace(b"\r\n", b"\n"), None)
    assert isinstance(made.content, Bytes)
    assert (made.content.data, made.content.crlf) == (RAW, True)
