"""Awkward inputs that other libraries compose wrongly, each with where it went wrong."""

from __future__ import annotations

import re
from base64 import b64decode
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from quopri import decodestring
from typing import Any

import pytest

import posthouse
from posthouse import Address, Attachment, LocalError, Message
from posthouse.message.structured import parameters_of

WORD = re.compile(r"=\?utf-8\?([bq])\?([^?]*)\?=")


def raw(**given: Any) -> bytes:
    return Message(**{"sender": "ann@x.example", "to": "bob@y.example", "text": "x", **given}).as_bytes()


def field(octets: bytes, name: str) -> str:
    """The value of a header field as it stands there, unfolded."""
    head = octets.partition(b"\r\n\r\n")[0].decode()
    return re.sub(r"\r\n(?=[ \t])", "", head).partition(f"{name}: ")[2].partition("\r\n")[0]


def by_the_library(octets: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=default).parsebytes(octets)


def pairs(octets: bytes, name: str = "to") -> list[tuple[str, str]]:
    return [(each.name, str(each.address)) for each in posthouse.read(octets).mailboxes(name)]


def test_a_comma_between_mailboxes_is_never_encoded() -> None:
    """cpython#100884."""
    local = "01234567890123456789012345678901234567890123456789012345678901"
    octets = raw(to=f"{local}@example.org, ä <foo@example.org>")
    assert pairs(octets) == [("", f"{local}@example.org"), ("ä", "foo@example.org")]
    assert [one.addr_spec for one in by_the_library(octets)["To"].addresses] == [
        f"{local}@example.org",
        "foo@example.org",
    ]
    before, comma, behind = field(octets, "To").partition(",")
    assert comma
    assert "=?" not in before
    assert len(WORD.findall(behind)) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_name_in_encoded_words_is_one_mailbox(again: bool) -> None:
    """cpython#121284: the comma of the name, and its quotation marks, survive composing and composing again."""
    given: Any = "=?utf-8?q?A_v=C3=A9ry_long_name_with_non-ASCII_char_and=2C_comma?= <to@example.com>"
    if again:
        given = posthouse.read(raw(to=given)).to
    octets = raw(to=given)
    name = "A véry long name with non-ASCII char and, comma"
    assert pairs(octets) == [(name, "to@example.com")]
    (one,) = by_the_library(octets)["To"].addresses
    assert (one.display_name, one.addr_spec) == (name, "to@example.com")
    assert Message("a@x.example", '"=?utf-8?q?literal?=" <b@x.example>').to[0].name == "=?utf-8?q?literal?="


def test_urls_and_ids_are_in_one_piece_and_never_encoded() -> None:
    """cpython#100991, #124452: providers ignore one-click unsubscribing and threads of encoded words."""
    url = "https://m.example.com/u?d=279&email=user%40example.com&t=" + "0123456789abcdef" * 10
    ids = [f"{n:03}{'x' * 54}@example.com" for n in range(30)]
    octets = raw(unsubscribe=url, references=ids)
    assert b"=?" not in octets
    assert f" <{url}>\r\n".encode() in octets
    assert field(octets, "References").split() == [f"<{each}>" for each in ids]
    for line in octets.split(b"\r\n"):
        assert line.count(b"@example.com>") <= 1
    assert posthouse.read(octets).references == tuple(ids)
    assert field(octets, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("domain", "wire"),
    [
        ("faß.de", "xn--fa-hia.de"),  # odoo#25023: IDNA 2003 makes fass.de of it, which is another domain
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("ｂücher。example", "xn--bcher-kva.example"),
        ("xn--fa-hia.bücher.de", "xn--fa-hia.xn--bcher-kva.de"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_domains_are_in_a_labels(domain: str, wire: str) -> None:
    message = Message(f"a@{domain}", f"info@{domain}", reply_to=f"ivan@{domain}")
    assert not message.envelope.smtputf8
    assert message.envelope.sender == Address("a", wire)
    assert [str(each.address) for each in message.envelope.recipients] == [f"info@{wire}"]
    assert field(message.as_bytes(), "Reply-To") == f"ivan@{wire}"
    assert message.message_id.endswith(f"@{wire}")


@pytest.mark.parametrize(
    "domain",
    [
        "i❤.ws",
        "a＠ü.example",
        "ü..de",
        "ü。",
        "ü_x.de",
        "ü" * 60 + ".de",
        "-ü.de",
        "a\u200bb.test",
        "ü\u00ad.de",
        "ü\ufe0f.de",
    ],
)
def test_what_is_no_international_domain_is_refused(domain: str) -> None:
    with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
        _ = Message("a@x.example", Address("a", domain)).envelope


def test_a_local_part_is_never_an_encoded_word() -> None:
    """cpython#122476."""
    octets = raw(to=["jörg@example.com", "ann@example.com"])
    assert field(octets, "To") == "jörg@example.com, ann@example.com"
    assert pairs(octets) == [("", "jörg@example.com"), ("", "ann@example.com")]


NAME = "Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------.pdf"


@pytest.mark.parametrize(
    "name", [NAME, "😀" * 40 + ".png", 'a"b\\c;d=e.txt', "=?utf-8?b?eA==?=", "a%20b*.txt", "发票 (1).pdf"]
)
def test_names_of_files(name: str) -> None:
    """nodemailer#579, #496: segments with a percent sign without ``*``, and characters cut in two."""
    octets = raw(attachments=[Attachment(b"x", name=name)])
    assert octets.isascii()
    assert posthouse.read(octets).attachments[0].filename_raw == name
    (part,) = by_the_library(octets).iter_attachments()
    assert part.get_filename() == name
    disposition = re.findall(rb"\r\nContent-Disposition: ((?:[^\r]|\r\n )*)", octets)[-1].replace(b"\r\n", b"")
    for segment in disposition.split(b";")[1:]:
        parameter, _, value = segment.strip().partition(b"=")
        if b"%" in value and b'"' not in value:
            assert parameter.endswith(b"*")
    assert parameters_of(disposition)["filename"].octets.decode() == name


@pytest.mark.parametrize(
    "text",
    ["漢" * 100, "a é " * 40 + "b", "  two  spaces  é ", "é" + " " * 80 + "é", "😀" * 60, "=?utf-8?q?x?=", "é" * 61],
)
def test_no_character_is_cut_and_no_space_lost(text: str) -> None:
    octets = raw(subject=text, headers={"X-Note": text}, to=[(text, "bob@y.example")])
    for name in ("Subject", "X-Note", "To"):
        for encoding, word in WORD.findall(field(octets, name)):
            (b64decode(word) if encoding == "b" else decodestring(word, header=True)).decode("utf-8")
    assert all(len(line) <= 78 for line in octets.split(b"\r\n"))
    assert by_the_library(octets)["Subject"] == by_the_library(octets)["X-Note"] == text
    assert posthouse.read(octets).subject == text
    assert pairs(octets) == [(" ".join(text.split()), "bob@y.example")]
