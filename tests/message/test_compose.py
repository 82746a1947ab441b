"""Letters are written so that every reader gets back what was put in (RFC 5322, 2045–2047, 2231, 6532)."""

from __future__ import annotations

import re
import tracemalloc
from datetime import datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address, Body, LocalError, Recipient
from posthouse.message import Attachment, Composed, compose, fields, first, needs, split, to_crlf
from posthouse.message.compose import compose_streamed

DATE = datetime(2026, 11, 23, 16, 0, tzinfo=timezone(timedelta(hours=8)))


def write(**changes: Any) -> Composed:
    values: dict[str, Any] = {
        "from_": "langrui@sohu.com",
        "to": "renping@sina.com",
        "date": DATE,
        "message_id": "<1@sohu.com>",
    }
    return compose(**{**values, **changes})


def read(composed: Composed) -> EmailMessage:
    return BytesParser(EmailMessage, policy=default).parsebytes(composed.content)


def text_of(part: Any) -> str:
    """A part's text with the library's own line ends."""
    return str(part.get_content()).replace("\r\n", "\n")


def mailboxes_in(composed: Composed, name: bytes) -> list[tuple[str, str]]:
    """Names and addresses of a field.  By the library's older reader: the newer one, in some versions, shows the white
    space between encoded words in a name (RFC 2047 §6.2 says not to)."""
    field = first(fields(split(composed.content).headers), name)
    assert field is not None
    found = getaddresses([field.value.decode("ascii")])
    return [(str(make_header(decode_header(one))), address) for one, address in found]


def check_octets(composed: Composed) -> None:
    content = composed.content
    assert content.endswith(b"\r\n")
    assert not needs((content,)).binary
    assert composed.envelope.size == len(content)
    if not composed.envelope.smtputf8:
        assert content.isascii()


def test_a_plain_letter_octet_for_octet() -> None:
    composed = write(subject="Hello", text="Dear Renping,\n\nall is well.\n", to=["Ren Ping <renping@sina.com>"])
    assert composed.content == (
        b"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\n"
        b"From: langrui@sohu.com\r\n"
        b"To: Ren Ping <renping@sina.com>\r\n"
        b"Subject: Hello\r\n"
        b"Message-ID: <1@sohu.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="us-ascii"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Dear Renping,\r\n\r\nall is well.\r\n"
    )
    assert composed.envelope.sender == Address("langrui", "sohu.com")
    assert composed.envelope.recipients == (Recipient(Address("renping", "sina.com")),)
    assert (composed.envelope.body, composed.envelope.smtputf8) == (Body.SEVENBIT, False)


def test_the_same_letter_is_the_same_octets() -> None:
    values: dict[str, Any] = {"text": "a", "html": "<p>a</p>", "attachments": [("x.bin", b"\0")]}
    assert write(**values) == write(**values)


def test_blind_copies_are_in_the_envelope_only() -> None:
    composed = write(cc="cc@example.org", bcc=["secret@example.org", "cc@example.org"], text="x")
    assert [str(one.address) for one in composed.envelope.recipients] == [
        "renping@sina.com",
        "cc@example.org",
        "secret@example.org",
    ]
    assert b"secret" not in composed.content
    assert b"bcc" not in composed.content.lower()
    only = write(to=(), bcc="secret@example.org")
    assert b"\r\nTo:" not in only.content
    assert len(only.envelope.recipients) == 1


line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=100)
names = st.one_of(
    line, st.sampled_from(["=?utf-8?q?x?=", 'a "b" \\c', "a  b", " a ", "Smith, John", "x" * 300, "郎锐"])
)
# Text as a reader can give it back: the library's own line ends are "\n".
body = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=300
)


@given(
    subject=names,
    name=names,
    text=st.one_of(st.none(), body),
    html=st.one_of(st.none(), body),
    files=st.lists(st.tuples(line, st.binary(max_size=200)), max_size=3),
    extra=names,
)
@settings(deadline=None, max_examples=50)
def test_everything_comes_back(
    subject: str, name: str, text: str | None, html: str | None, files: list[tuple[str, bytes]], extra: str
) -> None:
    composed = write(
        from_=(name, Address("langrui", "sohu.com")),
        to=[(name, Address("renping", "sina.com")), Address("a,b c", "example.org")],
        subject=subject,
        text=text,
        html=html,
        attachments=files,
        headers=[("X-Note", extra), ("X-Note", "again")],
    )
    check_octets(composed)
    message = read(composed)
    assert not message.defects
    # Readers ignore white space around a field's value that is not encoded; ours is encoded if it has any.
    assert (message["Subject"] or "") == subject
    assert message.get_all("X-Note") == [extra, "again"]
    assert message["Message-ID"] == "<1@sohu.com>"
    assert parsedate_to_datetime(message["Date"]) == DATE
    plain = " ".join(name.split())
    assert mailboxes_in(composed, b"From") == [(plain, "langrui@sohu.com")]
    assert mailboxes_in(composed, b"To") == [(plain, "renping@sina.com"), ("", '"a,b c"@example.org')]
    assert [one.addr_spec for one in message["To"].addresses] == ["renping@sina.com", '"a,b c"@example.org']
    leaves = [part for part in message.walk() if not part.is_multipart()]
    bodies = [one for one in (text, html) if one is not None] or [""]
    for wanted, part in zip(bodies, leaves, strict=False):
        assert text_of(part) == (wanted if wanted.endswith("\n") or not wanted else wanted + "\n")
    attached = leaves[len(bodies) :]
    assert [part.get_filename("") for part in attached] == [file.strip() for file, _ in files]
    assert [part.get_payload(decode=True) for part in attached] == [data for _, data in files]


def test_structure() -> None:
    def kinds(**values: Any) -> list[str]:
        return [part.get_content_type() for part in read(write(**values)).walk()]

    assert kinds() == ["text/plain"]
    assert kinds(html="<p>") == ["text/html"]
    assert kinds(text="a", html="b") == ["multipart/alternative", "text/plain", "text/html"]
    assert kinds(text="a", html="b", attachments=[("c.png", b"")]) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
    ]


def test_content_types_of_files() -> None:
    files = [
        ("a.png", b"x"),
        ("b.tar.gz", b"x"),
        ("c.unheard-of", b"x"),
        Attachment(b"x", "d.txt", "application/pdf"),
        # Neither may be encoded in base64; the file is kept octet for octet instead.
        Attachment(b"Subject: \xff\r\n\r\n", "e.eml", "message/rfc822"),
        Attachment(b"x", "", "image/jpeg"),
    ]
    message = read(write(text="a", attachments=files))
    attached = list(message.iter_attachments())
    assert [part.get_content_type() for part in attached] == [
        "image/png",
        "application/gzip",
        "application/octet-stream",
        "application/pdf",
        "application/octet-stream",
        "image/jpeg",
    ]
    assert attached[4].get_payload(decode=True) == b"Subject: \xff\r\n\r\n"
    assert attached[5].get_filename() is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("NUL \0", "quoted-printable"),
        ("Grüße aus dem Posthaus\n", "quoted-printable"),
        ("郎锐给任平写了一封信。\n", "base64"),
    ],
)
def test_the_first_encoding_that_fits(text: str, encoding: str) -> None:
    composed = write(text=text)
    check_octets(composed)
    message = read(composed)
    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message).rstrip("\n") == text.rstrip("\n")


def test_line_ends_become_crlf() -> None:
    assert to_crlf(b"a\nb\rc\r\nd\n\r\n") == b"a\r\nb\r\nc\r\nd\r\n\r\n"
    assert write(text="a\rb\nc\r\nd").content.endswith(b"\r\n\r\na\r\nb\r\nc\r\nd\r\n")


def test_a_text_that_holds_the_boundary_gets_another() -> None:
    first = read(write(text="a", html="b")).get_boundary()
    composed = write(text=f"--{first}\n", html="b")
    message = read(composed)
    assert [text_of(part) for part in message.iter_parts()] == [f"--{first}\n", "b\n"]


def test_addresses_in_utf8_need_permission_and_set_smtputf8() -> None:
    values: dict[str, Any] = {"from_": "郎锐 <郎锐@搜狐.cn>", "subject": "你好", "text": "hi"}
    with pytest.raises(LocalError, match="utf8=True"):
        write(**values)
    composed = write(**values, utf8=True)
    check_octets(composed)
    assert (composed.envelope.smtputf8, composed.envelope.body) == (True, Body.EIGHTBITMIME)
    assert '\r\nFrom: "郎锐" <郎锐@搜狐.cn>\r\n' in composed.content.decode()
    assert "\r\nSubject: 你好\r\n" in composed.content.decode()
    message = BytesParser(EmailMessage, policy=SMTP.clone(utf8=True)).parsebytes(composed.content)
    assert message["Subject"] == "你好"
    for where in ("to", "cc", "bcc"):
        with pytest.raises(LocalError):
            write(**{where: "任平@sina.com"})
        assert write(**{where: "任平@sina.com"}, utf8=True).envelope.smtputf8


def test_smtputf8_is_asked_for_only_when_needed() -> None:
    composed = write(subject="你好", from_="郎锐 <langrui@sohu.com>", text="你好", utf8=True)
    assert not composed.envelope.smtputf8
    assert composed.content.isascii()


@given(names, line)
@settings(deadline=None)
def test_utf8_letters_come_back_too(subject: str, name: str) -> None:
    composed = write(from_=(name, Address("郎锐", "sohu.com")), subject=subject, text=subject, utf8=True)
    check_octets(composed)
    message = BytesParser(EmailMessage, policy=SMTP.clone(utf8=True)).parsebytes(composed.content)
    assert (message["Subject"] or "") == subject


def test_reply_to_and_sender_are_mailboxes() -> None:
    composed = write(headers={"Reply-To": "郎锐 <reply@sohu.com>, b@sohu.com", "List-Id": "<a.example.org>"})
    message = read(composed)
    assert [one.addr_spec for one in message["Reply-To"].addresses] == ["reply@sohu.com", "b@sohu.com"]
    assert message["List-Id"] == "<a.example.org>"
    for value in ("", "nobody"):
        with pytest.raises(LocalError):
            write(headers={"Reply-To": value})


def test_long_lists_and_subjects_are_folded() -> None:
    composed = write(
        to=[f"Recipient {n} <recipient{n}@example.org>" for n in range(200)], subject="word " * 100 + "end"
    )
    head = composed.content.partition(b"\r\n\r\n")[0]
    assert all(len(one) <= 78 for one in head.split(b"\r\n"))
    assert len(read(composed)["To"].addresses) == 200


BREAKS = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\x00", "a\u2028b", "a\x85b", "a\x0bb", "\ud800"]


@pytest.mark.parametrize("bad", BREAKS)
def test_no_value_begins_a_field_of_its_own(bad: str) -> None:
    attempts: list[dict[str, Any]] = [
        {"subject": bad},
        {"from_": (bad, Address("a", "sohu.com"))},
        {"from_": Address(bad, "sohu.com")},
        {"to": [Address("a", bad)]},
        {"to": f"{bad} <a@sohu.com>"},
        {"bcc": Address("a", bad)},
        {"message_id": f"<{bad}@sohu.com>"},
        {"headers": {"X-A": bad}},
        {"headers": {bad: "x"}},
        {"headers": {"Reply-To": f'"{bad}" <a@sohu.com>'}},
        {"attachments": [(bad, b"x")]},
        {"attachments": [("a", b"x", bad)]},
    ]
    for attempt in attempts:
        with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
            write(**attempt, utf8=True)


@pytest.mark.parametrize(
    "attempt",
    [
        {"to": ()},
        {"from_": "a@sohu.com, b@sohu.com"},
        {"from_": ""},
        {"date": datetime(2026, 1, 1)},
        {"message_id": "no id"},
        {"message_id": "a@b@c"},
        {"message_id": "中@sohu.com"},
        {"headers": {"Bcc": "a@b.org"}},
        {"headers": {"subject": "twice"}},
        {"headers": {"Content-Type": "text/html"}},
        {"headers": {"Received": "from here"}},
        {"headers": {"X A": "x"}},
        {"headers": {"X:A": "x"}},
        {"headers": {"": "x"}},
        {"headers": {"References": "<中@b>"}},
        {"attachments": [("a", b"x", "text")]},
        {"text": "\ud800"},
    ],
)
def test_what_cannot_be_sent_is_refused(attempt: dict[str, Any]) -> None:
    with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
        write(**attempt)


def test_dates_in_both_forms() -> None:
    assert b"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\n" in write(date=(DATE.timestamp(), 480)).content
    assert write(date=(DATE.timestamp(), 480)) == write()


def test_message_ids_get_their_brackets() -> None:
    for text in ("1@sohu.com", "<1@sohu.com>", "a.b+c@[192.0.2.1]"):
        found = re.search(rb"\r\nMessage-ID: (.*)\r\n", write(message_id=text).content)
        assert found is not None
        assert found.group(1).decode() == f"<{text.strip('<>')}>"


def test_a_message_that_is_streamed_reads_its_files_while_it_is_sent(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(16_000_000)
    given: dict[str, Any] = {"from_": "a@b.example", "to": "c@d.example", "date": (0.0, 0), "message_id": "x@b.example"}
    tracemalloc.start()
    try:
        envelope, content = compose_streamed(**given, text="hi", attachments=[Attachment(large)])
        size = sum(map(len, content.chunks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == content.size == envelope.size
    assert peak < 4_000_000
    whole = compose(**given, text="hi", attachments=[("large.bin", large.read_bytes())])
    assert b"".join(content.chunks()) == whole.content
    assert envelope == whole.envelope
