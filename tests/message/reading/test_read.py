"""Whole messages that are read: fields, parts, texts, attachments, defects, and octets that stay as they are."""

from __future__ import annotations

import base64
import email
import io
import mmap
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import posthouse
from posthouse import LocalError, read
from posthouse.message import compose
from posthouse.message.reading import ReadMessage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def codes(message: ReadMessage) -> list[str]:
    return [defect.code for defect in message.defects]


def multipart(kind: str, boundary: str, *parts: bytes, end: bytes | None = None) -> bytes:
    """A multipart with these parts, each with its header section."""
    lines = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    close = f"--{boundary}--\r\n".encode() if end is None else end
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + lines + close


def text(content: str, kind: str = "plain", more: str = "") -> bytes:
    return f"Content-Type: text/{kind}; charset=utf-8\r\n{more}\r\n{content}".encode()


def picture(cid: str = "", name: str = "", disposition: str = "inline") -> bytes:
    more = f"Content-ID: <{cid}>\r\n" if cid else ""
    file = f'; filename="{name}"' if name else ""
    head = f"Content-Type: image/png\r\n{more}Content-Disposition: {disposition}{file}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(PNG)


# -- sources and octets ------------------------------------------------------------------------------------------------


def test_octets_files_and_paths_are_read(tmp_path: Path) -> None:
    octets = b"Subject: a\r\n\r\nb\r\n"
    path = tmp_path / "a.eml"
    path.write_bytes(octets)
    for source in (octets, bytearray(octets), memoryview(octets), path, str(path), io.BytesIO(octets)):
        message = read(source)
        assert (message.subject, message.text, message.as_bytes()) == ("a", "b\n", octets)


def test_a_large_file_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(b"Subject: a\n\n" + b"x" * 79 + b"\n" * (5 << 20))
    message = read(path)
    assert isinstance(message._source.buffer, mmap.mmap)
    assert message.subject == "a"
    message.save(tmp_path / "b.eml")
    assert (tmp_path / "b.eml").read_bytes() == path.read_bytes()


def test_text_instead_of_octets_is_refused_with_the_remedy() -> None:
    with pytest.raises(LocalError, match="give its octets"):
        read("Subject: a\n\nb")
    with pytest.raises(LocalError, match="'rb'"):
        read(io.StringIO("Subject: a\n\nb"))  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_all_line_ends_are_read(end: str) -> None:
    octets = f"From a Mon Jan  1{end}Subject: a{end} b{end}To: x@y.test{end}{end}one{end}two{end}".encode()
    message = read(octets)
    assert message.mbox_line.rstrip() == b"From a Mon Jan  1"
    assert (message.subject, str(message.to[0]), message.text) == ("a b", "x@y.test", "one\ntwo\n")
    assert [field.name for field in message.headers] == ["Subject", "To"]
    assert message.as_bytes() == octets
    assert not message.defects


def test_mixed_line_ends_are_read() -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\n\r\n--b\r\n\none\n--b\n\r\ntwo\r\n--b--\n"
    assert read(octets).text == "one\n\ntwo"


# -- header fields -----------------------------------------------------------------------------------------------------


def test_fields_keep_their_octets_and_their_place() -> None:
    octets = b"Subject : =?utf-8?q?=C3=A9?=\r\n  x\r\nX-Empty:\r\n\r\n"
    first, second = read(octets).headers
    assert (first.name, first.value, first.raw, first.offset) == ("Subject", "é  x", octets[:35], 0)
    assert (second.name, second.value, second.offset) == ("X-Empty", "", 35)


def test_ids_are_read_without_their_brackets() -> None:
    message = read(
        b"Message-ID: <a@x.test> (c)\r\nReferences: <b@x.test>\r\n <c@\r\n x.test>\r\nIn-Reply-To: d@x.test\r\n\r\n"
    )
    assert (message.message_id, message.references, message.in_reply_to) == (
        "a@x.test",
        ("b@x.test", "c@x.test"),
        ("d@x.test",),
    )


def test_addresses_of_all_fields_are_each_given_once() -> None:
    message = read(b"From: A <a@x.test>\nTo: b@x.test, A <a@x.test>\nCc: c@x.test\nReply-To: root\n\n")
    assert [str(each.address) for each in message.addresses] == ["a@x.test", "b@x.test", "c@x.test"]
    assert message.sender is not None
    assert message.sender.name == "A"


@pytest.mark.parametrize(
    ("octets", "subject", "body", "code"),
    [
        (b"no header at all\r\nx", "", "no header at all\nx", ""),
        (b"\r\nbody", "", "body", ""),
        (b"", "", "", ""),
        (b"Subject: a", "a", "", ""),
        (b"Subject: a\nbroken line\nTo: b@x.test\n\nbody", "a", "body", "not-a-field"),
        (b"Subject: a\nthis is the body\nof it", "a", "this is the body\nof it", "no-empty-line"),
        (b"Subject: a\n \n\nbody", "a", "body", ""),
        (b"Subject: a\x00b\xff\n\nbody", "a bÿ", "body", "guessed-charset"),
    ],
)
def test_broken_header_sections_are_read(octets: bytes, subject: str, body: str, code: str) -> None:
    message = read(octets)
    assert (message.subject, message.text) == (subject, body)
    assert codes(message) == ([code] if code else [])


def test_a_header_section_is_read_up_to_its_limits() -> None:
    message = read(b"A: b\n" * 20_000 + b"Subject: a\n\nbody")
    assert len(message.headers) == 10_000
    assert message.text == "body"
    assert codes(message) == ["long-header"]


# -- what is text, what is attached (RFC 8621 §4.1.4) ------------------------------------------------------------------


def test_alternatives_are_one_text() -> None:
    message = read(multipart("alternative", "a", text("plain"), text("<p>html</p>", "html")))
    assert (message.text, message.html, message.attachments) == ("plain", "<p>html</p>", ())


def test_html_alone_is_the_text_as_well() -> None:
    message = read(text("<p>Hello,<br>you</p>", "html"))
    assert (message.text, message.html) == ("Hello,\nyou", "<p>Hello,<br>you</p>")


def test_plain_text_alone_is_no_html() -> None:
    assert read(text("plain")).html is None


def test_a_picture_within_html_is_an_attachment_that_is_referenced() -> None:
    html = text('<img src="cid:logo@x"><img src="CID:none">', "html")
    related = multipart("related", "r", html, picture("logo@x", "logo.png"), picture("other@x"))
    message = read(
        multipart(
            "mixed",
            "m",
            multipart("alternative", "a", text("plain"), related),
            picture(name="a.png", disposition="attachment"),
        )
    )
    assert message.text == "plain"
    assert [(each.filename, each.number, each.inline, each.referenced) for each in message.attachments] == [
        ("logo.png", "1.2.2", True, True),
        ("part-1.2.3.png", "1.2.3", True, False),
        ("a.png", "2", False, False),
    ]
    assert all(each.content == PNG for each in message.attachments)
    assert message.attachments[0].content_id == "logo@x"


def test_texts_in_a_row_are_one_text_and_a_named_one_is_attached() -> None:
    named = text("c", more='Content-Disposition: inline; filename="c.txt"\r\n')
    message = read(
        multipart("mixed", "m", text("a"), text("b"), named, text("d", more="Content-Disposition: attachment\r\n"))
    )
    assert message.text == "a\n\nb"
    assert [each.text for each in message.attachments] == ["c", "d"]


def test_an_enclosed_message_is_one_attachment() -> None:
    inner = b"Subject: inner\r\n\r\n" + multipart("mixed", "i", text("x"))
    digest = multipart("digest", "d", b"\r\nSubject: one\r\n\r\nfirst", b"\r\nSubject: two\r\n\r\nsecond")
    message = read(multipart("mixed", "m", text("outer"), b"Content-Type: message/rfc822\r\n\r\n" + inner, digest))
    assert message.text == "outer"
    assert [each.message().subject for each in message.attachments] == ["inner", "one", "two"]


def test_each_part_is_reached_once() -> None:
    signed = multipart("signed", "s", text("signed text"), b"Content-Type: application/pgp-signature\r\n\r\nsig")
    message = read(multipart("mixed", "m", signed, text("footer"), text("x", "calendar")))
    reached = [part.number for part in message.text_parts] + [each.number for each in message.attachments]
    assert sorted(reached) == ["1.1", "1.2", "2", "3"]


# -- multiparts that are broken ----------------------------------------------------------------------------------------


def test_preamble_and_epilogue_are_no_text() -> None:
    octets = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b--\r\nepilogue'
    assert read(octets).text == "text"


@pytest.mark.parametrize(
    ("octets", "body", "code"),
    [
        (b"Content-Type: multipart/mixed\r\n\r\nthe text", "the text", "no-boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nthe text", "the text", "no-parts"),
        (multipart("mixed", "b", text("one"), text("two"), end=b""), "one\n\ntwo", "no-end"),
        (b"Content-Type: nonsense\r\n\r\nthe text", "the text", "bad-type"),
        (b"Content-Type: text/plain; name*\r\n\r\nthe text", "the text", "bad-parameter"),
        (multipart("mixed", "b", text("one")) + b"--b\r\n\r\ntwo", "one\n\ntwo", "part-after-end"),
        (b"Content-Transfer-Encoding: base64\r\n\r\naGVsb!G8=\r\n", "hello", "bad-base64"),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz", "a=zz", "bad-quoted-printable"),
        (b"Content-Transfer-Encoding: rot13\r\n\r\nabc", "abc", "unknown-encoding"),
    ],
)
def test_broken_parts_are_read(octets: bytes, body: str, code: str) -> None:
    message = read(octets)
    assert message.text.rstrip("\n") == body
    assert code in codes(message)


def test_a_boundary_that_begins_with_another_is_another() -> None:
    inner = multipart("alternative", "b-inner", text("one"), text("<p>", "html"))
    message = read(multipart("mixed", "b", inner, text("two")))
    assert message.text == "one\n\ntwo"


def test_multiparts_with_one_boundary_are_taken_apart() -> None:
    message = read(multipart("mixed", "b", multipart("mixed", "b", text("one"), text("two")), text("three")))
    assert "one" in message.text
    assert "three" in message.text


def test_depth_and_number_of_parts_are_bounded() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(300))
    assert "too-deep" in codes(read(deep))
    many = read(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 100_100)
    assert len(many.root.parts) <= 100_000
    assert "too-many-parts" in codes(many)


# -- attachments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ('Content-Disposition: attachment; filename="a b.txt"', "a b.txt"),
        ("Content-Disposition: attachment; filename*=utf-8''%E6%B8%85%E5%8D%95.xlsx", "清单.xlsx"),
        ("Content-Disposition: attachment; filename=x.txt; filename*=utf-8''%C3%A9.txt", "é.txt"),
        ("Content-Disposition: attachment; filename*0*=utf-8'de'%E6%B8; filename*1*=%85; filename*2=.txt", "清.txt"),
        ("Content-Disposition: attachment; filename*1=b.txt; filename*0=a", "ab.txt"),
        ('Content-Disposition: attachment; filename="=?utf-8?B?5riF5Y2VLnhsc3g=?="', "清单.xlsx"),
        ("Content-Disposition: attachment; filename==?utf-8?B?dGVzdC50eHQ=?=", "test.txt"),
        ("Content-Disposition: attachment\r\nContent-Type: text/plain; name=n.txt", "n.txt"),
        ("Content-Disposition: attachment; filename*=iso-2022-jp''%1B$B$%22%1B%28B.txt", "あ.txt"),
    ],
)
def test_names_of_files(fields: str, name: str) -> None:
    (attachment,) = read(f"{fields}\r\n\r\nx".encode()).attachments
    assert attachment.filename == name


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("a.txt", "a.txt"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("C:\\Users\\a.txt", "a.txt"),
        (".bashrc", "bashrc"),
        ("..", "part-1.bin"),
        ("   ", "part-1.bin"),
        ("a\x00b\x1b[2J.txt", "ab[2J.txt"),
        ("gnp\u202etxt.exe", "gnptxt.exe"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("清" * 100, "清" * 66),
        ("a?b*c.txt", "abc.txt"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1", "_com1"),
        ("console.txt", "console.txt"),
        ("e\u0301.txt", "é.txt"),
        ("a. ", "a"),
    ],
)
def test_names_are_safe(written: str, safe: str) -> None:
    name = base64.b64encode(written.encode()).decode()
    octets = f'Content-Type: application/x-a\r\nContent-Disposition: attachment; filename="=?utf-8?b?{name}?="\r\n\r\nx'
    (attachment,) = read(octets.encode()).attachments
    assert attachment.filename == safe


@given(st.text(max_size=50))
def test_no_name_leaves_a_directory(written: str) -> None:
    from posthouse.message.reading.attachment_names import safe_file_name

    name = safe_file_name(written, "instead")
    assert name == os.path.basename(name) != ""
    assert name not in (".", "..")
    assert len(name.encode()) <= 201


def test_saving_replaces_nothing_and_follows_no_link(tmp_path: Path) -> None:
    (attachment,) = read(b'Content-Disposition: attachment; filename="a.txt"\r\n\r\nx').attachments
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.txt").symlink_to(outside)
    (inside / "a (2).txt").write_bytes(b"mine")
    assert attachment.save(inside) == str(inside / "a (3).txt")
    assert (inside / "a (3).txt").read_bytes() == b"x"
    assert (inside / "a (2).txt").read_bytes() == b"mine"
    assert not outside.exists()


def test_a_uuencoded_file_in_the_text_is_an_attachment() -> None:
    file = b"begin 644 b.txt\r\n%:&5L;&\\\r\n`\r\nend\r\n"
    octets = b"Subject: a\r\n\r\nbefore\r\n" + file + b"after\r\nbegin 644 words\r\nno file\r\n"
    message = read(octets)
    (attachment,) = message.attachments
    assert (attachment.filename, attachment.content) == ("b.txt", b"hello")
    assert message.text == "before\n\nafter\nbegin 644 words\nno file\n"
    assert "uuencode" in codes(message)


def test_tnef_is_named() -> None:
    message = read(b"Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx")
    assert codes(message) == ["tnef"]
    assert message.attachments[0].filename == "winmail.dat"


# -- charsets ----------------------------------------------------------------------------------------------------------


def test_a_label_elsewhere_helps_where_a_field_has_none() -> None:
    name = "ЭКВАЙРИНГ".encode("cp1251")
    message = read(
        b'From: "' + name + b'" <a@example.ru>\r\nContent-Type: text/plain; charset=windows-1251\r\n\r\n' + name
    )
    assert message.sender is not None
    assert (message.sender.name, str(message.sender.address), message.text) == (
        "ЭКВАЙРИНГ",
        "a@example.ru",
        "ЭКВАЙРИНГ",
    )
    assert codes(message) == ["guessed-charset"]


def test_an_unknown_charset_is_guessed_and_said() -> None:
    message = read(
        b"Subject: =?x-unknown-charset?B?SGVsbG8=?=\r\nContent-Type: text/plain; charset=bogus\r\n\r\nC:\\Users\\x"
    )
    assert (message.subject, message.text) == ("Hello", "C:\\Users\\x")
    assert [(defect.code, defect.field) for defect in message.defects] == [
        ("guessed-charset", "Subject"),
        ("guessed-charset", ""),
    ]


# -- round trips and robustness ----------------------------------------------------------------------------------------

LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=40)


@given(subject=LINE, name=LINE, body=st.lists(LINE, max_size=5), data=st.binary(max_size=200))
def test_what_we_compose_is_read_back(subject: str, name: str, body: list[str], data: bytes) -> None:
    composed = compose(
        from_=(name, posthouse.Address("a", "x.test")),
        to=["b@y.test", ("李雷", posthouse.Address("c", "y.test"))],
        subject=subject,
        text="".join(f"{line}\n" for line in body),
        attachments=[("清单.bin", data)],
        date=(1_700_000_000.0, 60),
        message_id="id@x.test",
    )
    message = read(composed.content)
    assert message.sender is not None
    assert (message.sender.name, message.subject) == (name, subject)
    assert [str(each) for each in message.to] == ["b@y.test", "李雷 <c@y.test>"]
    assert message.text.rstrip("\n") == "".join(f"{line}\n" for line in body).rstrip("\n")
    assert [(each.filename, each.content) for each in message.attachments] == [("清单.bin", data)]
    assert (message.message_id, message.date and message.date.timestamp()) == ("id@x.test", 1_700_000_000.0)
    assert codes(message) in ([], ["address-as-name"])


PIECES = st.sampled_from(
    [
        *(
            b"--b",
            b"--b--",
            b"\r\n",
            b"\n",
            b"\r",
            b": ",
            b"Content-Type: multipart/mixed; boundary=b",
            b"=?utf-8?q?a?=",
        ),
        *(b"Content-Type: text/html", b"Content-Transfer-Encoding: base64", b"<a href=x>", b"begin 644 a\n", b"end\n"),
        *(
            b"Content-Disposition: attachment; filename*0*=a''%ff",
            b"From: a@b (",
            b'"',
            b"\xff\xfe",
            b"\x1b$B",
            b"From ",
        ),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=8), max_size=30))
def test_anything_is_read_and_kept(pieces: list[bytes]) -> None:
    octets = b"".join(pieces)
    message = read(octets)
    assert message.as_bytes() == octets
    for defect in message.defects:
        assert 0 <= defect.offset <= len(octets)
    _ = message.links, message.codes, message.root.parts
    for attachment in message.attachments:
        assert attachment.filename


@pytest.mark.parametrize("source", [None, 5, email.message_from_string("Subject: x\n\nhi")])
def test_what_has_no_octets_is_told_what_can_be_read(source: Any) -> None:
    with pytest.raises(LocalError, match="is no message that can be read; give its octets"):
        read(source)


def test_a_message_and_its_parts_are_shown_by_name() -> None:
    message = read(b"From: a@x.test\nMessage-ID: <1@x.test>\nContent-Type: text/x; name=a.b\n\n")
    assert repr(message) == "<ReadMessage 1@x.test from a@x.test>"
    assert repr(message.root) == "<ReadPart 1: text/x 'a.b'>"
    assert repr(message.attachments) == "(<ReadAttachment 1: text/x 'a.b'>,)"
    assert repr(read(b"")) == "<ReadMessage (no id) from (no author)>"


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        (b"  hello \t\r\n", "hello"),
        (b" =?utf-8?q?_hello__?= \r\n", " hello  "),
        (b" =?utf-8?b?44CA5YWo6KeS?=\r\n", "\u3000全角"),
        (b" =?utf-8?q?hello=0D=0A?=\r\n", "hello"),
        ("\u00a0x\r\n".encode(), "\u00a0x"),
    ],
)
def test_white_space_at_the_ends_is_text_where_an_encoded_word_has_it(field: bytes, subject: str) -> None:
    """RFC 2047 §6.2: what stands within an encoded word is text; around the value of a field it is none."""
    assert posthouse.read(b"Subject:" + field + b"\r\n").subject == subject
