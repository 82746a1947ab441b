"""``Message`` is a value: what it is made of, what it refuses, and what is sent of it."""

from __future__ import annotations

import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse import Address, Attachment, CalendarEvent, LocalError, Message
from posthouse.core import Body, Content
from posthouse.message import Mailbox, needs
from posthouse.message.authoring.list_fields import ListFields
from posthouse.message.lint import lint_message

DATE = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
BASIC: dict[str, Any] = {"sender": "朗瑞 <langrui@sohu.com>", "to": "renping@sina.com"}


def made(**changes: Any) -> Message:
    return Message(**{**BASIC, **changes})


def head(message: Message) -> list[str]:
    """The header lines, unfolded."""
    return message.as_bytes().partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ").split("\r\n")


def kinds(message: Message) -> list[str]:
    """The content types of all parts, each within ( ) of its multipart."""

    def walk(part: posthouse.message.reading.ReadPart) -> Iterator[str]:
        yield part.type
        for each in part.parts:
            yield from walk(each)

    return list(walk(posthouse.read(message.as_bytes()).root))


# A value -------------------------------------------------------------------------------------------------------------


def test_date_and_id_are_drawn_once_and_survive_copies() -> None:
    first, second = made(text="a"), made(text="a")
    assert first.message_id != second.message_id
    assert first.message_id.endswith("@sohu.com")
    assert first.date.tzinfo is not None
    assert first.as_bytes() == first.as_bytes()
    for other in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first), Message.from_json(first.to_json())):
        assert (other, hash(other), other.as_bytes()) == (first, hash(first), first.as_bytes())
    assert first != second


def full(tmp_path: Path) -> Message:
    (tmp_path / "a.pdf").write_bytes(b"%PDF\x00\xff")
    return made(
        to=["a@x.example", Address("李雷", "b@y.example"), ("Ann, B", "c@z.example"), Address("d", "x.example")],
        cc="Ann <ann@x.example>, bob@x.example",
        bcc=Mailbox("", Address("secret", "x.example")),
        reply_to="info@faß.de",
        subject="你好，世界",
        text="é" * 600,
        html='<p>Hé</p><img src="cid:logo">',
        attachments=[tmp_path / "a.pdf", Attachment(b"\x00", name="零.bin"), Attachment("零,一\r\n", name="c.csv")],
        inline={"logo": Attachment(b"png", name="logo.png")},
        headers=[("X-Note", "é"), ("X-Note", "again")],
        in_reply_to="<1@x.example>",
        references=["0@x.example", "<1@x.example>"],
        priority="high",
        auto_submitted="auto-generated",
        mailing_list=ListFields("news.example.org", name="Nöws", post="NO", help="mailto:help@example.org"),
        unsubscribe=("https://m.example.com/u?t=1", "mailto:leave@example.com"),
        date=DATE,
    )


def test_everything_survives_pickle_and_json(tmp_path: Path) -> None:
    message = full(tmp_path)
    for other in (pickle.loads(pickle.dumps(message)), Message.from_json(message.to_json())):
        assert (other, hash(other), other.as_bytes()) == (message, hash(message), message.as_bytes())


def test_each_field_is_written(tmp_path: Path) -> None:
    lines = head(full(tmp_path))
    assert lines[:5] == [
        "Date: Mon, 23 Nov 2026 16:00:00 +0000",
        "From: =?utf-8?b?5pyX55Ge?= <langrui@sohu.com>",
        'To: a@x.example, =?utf-8?b?5p2O6Zu3?= <b@y.example>, "Ann, B" <c@z.example>, d@x.example',
        "Cc: Ann <ann@x.example>, bob@x.example",
        "Reply-To: info@xn--fa-hia.de",
    ]
    for line in (
        "In-Reply-To: <1@x.example>",
        "References: <0@x.example> <1@x.example>",
        "Auto-Submitted: auto-generated",
        "List-Id: =?utf-8?b?TsO2d3M=?= <news.example.org>",
        "List-Help: <mailto:help@example.org>",
        "List-Post: NO",
        "List-Unsubscribe: <https://m.example.com/u?t=1>, <mailto:leave@example.com>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Importance: high",
        "X-Priority: 1",
        "X-Note: again",
    ):
        assert line in lines


def test_our_own_rules_for_messages_find_nothing(tmp_path: Path) -> None:
    event = CalendarEvent("Tea", DATE, description="é" * 100)
    flowed = made(subject="x", html="<p>é</p>", flowed=True, text="a " * 100, calendar=event)
    for message in (made(subject="x", text="y"), full(tmp_path), flowed):
        assert list(lint_message(message.as_bytes())) == []


def test_it_does_not_change() -> None:
    message = made(text="a", attachments=[Attachment(b"x", name="x")])
    with pytest.raises(AttributeError, match=r"replace\(subject=…\)"):
        message.subject = "b"
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del message.subject
    with pytest.raises(AttributeError):
        message.attachments[0].name = "y"
    other = message.replace(subject="b", to=["a@x.example"])
    assert (other.subject, other.text, other.message_id, other.date) == ("b", "a", message.message_id, message.date)
    assert message.subject == ""
    assert other != message
    assert message.__replace__(subject="b") == message.replace(subject="b")
    assert Attachment(b"x", name="a").__replace__(name="b") == Attachment(b"x", name="b")


def test_its_representation_has_no_content() -> None:
    message = made(subject="code 123456", text="secret", bcc="hidden@x.example", message_id="1@sohu.com")
    assert repr(message) == "<Message 1@sohu.com from langrui@sohu.com to 2 recipients>"
    assert repr(Attachment(b"secret", name="a.txt")) == "<Attachment 'a.txt': 6 octets>"


def test_json_from_elsewhere_is_checked(tmp_path: Path) -> None:
    message = full(tmp_path)
    with pytest.raises(LocalError, match="paths=False"):
        Message.from_json(message.to_json(), paths=False)
    for bad in ("", "[]", "{}", '{"posthouse": 2}', '{"posthouse": 1}', '{"posthouse": 1, "sender": 3}',
                '{"posthouse": 1, "sender": {"name": "", "address": "a@b.c"}, "unheard": 1}',
                '{"posthouse": 1, "sender": {"name": "", "address": "a@b.c"}, "subject": 3}',
                '{"posthouse": 1, "sender": {"name": "", "address": "a@b.c"}, "attachments": [{"base64": "§"}]}',
                "[" * 100_000):  # fmt: skip
        with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
            Message.from_json(bad)


# Mailboxes -----------------------------------------------------------------------------------------------------------


def test_a_text_is_a_list_and_an_item_is_one_mailbox() -> None:
    assert [str(each.address) for each in made(to="a@x.example, b@x.example").to] == ["a@x.example", "b@x.example"]
    with pytest.raises(LocalError, match="quotation marks"):
        made(to="李雷, 韩 <b@y.example>")
    with pytest.raises(LocalError, match="list of mailboxes"):
        made(to=["a@x.example, b@x.example"])
    with pytest.raises(LocalError, match="empty"):
        made(cc=[""])
    for odd in (3, [3], [None], [("a", 3)], object()):
        with pytest.raises(LocalError, match="of the type"):
            made(to=odd)


def test_mailboxes_that_were_read_are_taken() -> None:
    read = posthouse.read(b"From: =?utf-8?b?5p2O6Zu3?= <b@y.example>\nTo: nobody\n\n")
    assert made(to=read.sender).to == (Mailbox("李雷", Address("b", "y.example")),)
    with pytest.raises(LocalError, match="without an address"):
        made(to=read.to)


def test_the_envelope_has_every_recipient_once_and_bcc_alone() -> None:
    message = made(to="A@x.example", cc=["B <b@x.example>", "A@x.example"], bcc="secret@bücher.example")
    assert [str(each.address) for each in message.envelope.recipients] == [
        "A@x.example",
        "b@x.example",
        "secret@xn--bcher-kva.example",
    ]
    assert message.envelope.sender == Address("langrui", "sohu.com")
    assert message.envelope.size == message.size == len(message.as_bytes())
    assert b"secret" not in message.as_bytes()
    assert isinstance(message, Content)


def test_without_a_recipient_there_is_no_envelope() -> None:
    message = Message("a@x.example", text="a draft")
    assert message.as_bytes().endswith(b"a draft\r\n")
    with pytest.raises(LocalError, match="no recipient"):
        _ = message.envelope


def test_smtputf8_is_asked_for_only_where_a_local_part_needs_it() -> None:
    plain = made(to="julial@periódico.example.mx", subject="你好").envelope
    assert (plain.smtputf8, plain.body) == (False, Body.SEVENBIT)
    needed = made(to=["jörg@example.com", "ann@example.com"])
    assert (needed.envelope.smtputf8, needed.envelope.body) == (True, Body.EIGHTBITMIME)
    assert "jörg@example.com".encode() in needed.as_bytes()
    blind = made(bcc="jörg@example.com")
    assert (blind.envelope.smtputf8, blind.as_bytes().isascii()) == (True, True)


# What is refused -----------------------------------------------------------------------------------------------------


BREAK = "a@example.com>\r\nBcc: evil@example.org"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"subject": "a\rb"}, r"Subject holds the character U\+000D at position 2"),
        ({"reply_to": Address("x", BREAK)}, r"reply_to holds the character U\+000D at position 15"),
        ({"to": [Address("x\n", "a@example.com")]}, r"to holds the character U\+000A at position 2"),
        ({"sender": ("x\0", "a@example.com")}, r"sender holds the character U\+0000"),
        ({"headers": {"X-A": "a\r\nBcc: b@c.d"}}, r"X-A holds the character U\+000D"),
        ({"headers": {"X-A\r\nBcc": "b@c.d"}}, "is not a header field name"),
        ({"headers": {"Bcc": "b@c.d"}}, "from its own argument"),
        ({"headers": {"Content-Type": "text/html"}}, "from its own argument"),
        ({"headers": {"X-A": 3}}, "each a str"),
        ({"headers": {"Reply-To": "b@c.d"}, "reply_to": "e@f.g"}, "Reply-To is given in headers"),
        ({"headers": {"importance": "low"}, "priority": "high"}, "Importance is given in headers"),
        ({"in_reply_to": "<a\0b>"}, "which is not a Message-ID"),
        ({"references": ["<a@b>\r\nX: y"]}, "which is not a Message-ID"),
        ({"message_id": "1@x.example\r\nX: y"}, r"Message-ID holds the character U\+000D"),
        ({"message_id": "no id"}, "is not a Message-ID"),
        ({"date": datetime(2026, 1, 1)}, "no time zone"),
        ({"priority": "urgent"}, "'high', 'normal' or 'low'"),
        ({"auto_submitted": "auto submitted\r\n"}, "Auto-Submitted"),
        ({"unsubscribe": "https://x.example/\r\nX: y"}, r"unsubscribe holds the character U\+000D"),
        ({"unsubscribe": "x.example"}, "write https://"),
        ({"mailing_list": ListFields("news")}, "like a host name"),
        ({"mailing_list": ListFields("news.x.example", "a\nb")}, r"List-Id holds the character U\+000A"),
        ({"mailing_list": ListFields("news.x.example", help="ftp://x")}, "List-Help"),
        ({"subject": None, "text": b"x"}, "decode bytes"),
        ({"text": "\ud800"}, "text holds an unpaired surrogate at position 1"),
        ({"html": "a\ud800"}, "html holds an unpaired surrogate at position 2"),
        ({"calendar": "hello"}, "BEGIN:VCALENDAR"),
        ({"sender": "a@x.example, b@x.example"}, "list of mailboxes"),
        ({"markdown": "a", "html": "b"}, "markdown and html"),
    ],
)  # fmt: skip
def test_what_cannot_stand_in_a_message_is_refused_when_it_is_made(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LocalError, match=sentence):
        made(**changes)


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\n", "\x00", "a\u2028b", "a\x85"])
def test_no_text_of_an_attachment_breaks_its_fields(bad: str) -> None:
    for attempt in (
        lambda: Attachment(b"x", name=bad),
        lambda: Attachment(b"x", name="a", content_type=f"text/plain; x={bad}"),
        lambda: Attachment(b"x", name="a", content_id=bad),
        lambda: made(html='<img src="cid:a">', inline={bad: b"x"}),
        lambda: made(attachments={bad: b"x"}),
        lambda: made(attachments=[(bad, b"x")]),
    ):
        with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
            attempt()


# The body ------------------------------------------------------------------------------------------------------------


def test_the_structure_that_all_readers_show() -> None:
    picture = {"logo": Attachment(b"png", name="logo.png")}
    html = '<img src="cid:logo">'
    assert kinds(made()) == ["text/plain"]
    assert kinds(made(html="<p>x", text="")) == ["text/html"]
    assert kinds(made(html="<p>x")) == ["multipart/alternative", "text/plain", "text/html"]
    assert kinds(made(text="", html=html, inline=picture)) == ["multipart/related", "text/html", "image/png"]
    assert kinds(made(text="x", html=html, inline=picture, attachments={"a.pdf": b"x"})) == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]


def test_a_text_is_made_of_html() -> None:
    read = posthouse.read(made(html="<h1>Hi</h1><p>See <a href='https://x.example'>this</a></p>").as_bytes())
    assert read.text == "Hi\n\nSee this <https://x.example>\n"


def test_texts_that_are_no_files_and_links_that_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIBRARY case 10."""
    (tmp_path / "notes.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)
    html = '<a href="https://example.com/v">v</a>'
    message = made(text="notes.txt", html=html)
    assert kinds(message) == ["multipart/alternative", "text/plain", "text/html"]
    assert posthouse.read(message.as_bytes()).text == "notes.txt\n"
    assert b"secret" not in message.as_bytes()


def test_html_and_its_pictures_name_each_other() -> None:
    with pytest.raises(LocalError, match="shows cid:logo, and no inline part"):
        made(html='<img src="cid:logo">')
    with pytest.raises(LocalError, match="does not show the inline part 'logo'"):
        made(html="<p>cid:logo</p>", inline={"logo": b"x"})
    with pytest.raises(LocalError, match="needs HTML"):
        made(text="x", inline={"logo": b"x"})
    with pytest.raises(LocalError, match="two inline parts"):
        made(html="x", inline=[("logo", b"x"), ("logo", b"y")])
    made(html="x", inline={"logo": b"x"}, check_inline=False)
    message = made(
        html="<style>p{background:url( cid:a%40b )}</style><img src=cid:c&amp;d>", inline={"a@b": b"x", "<c&d>": b"y"}
    )
    read = posthouse.read(message.as_bytes())
    assert [each.content_id for each in read.attachments] == ["a@b", "c&d"]
    assert b"Content-ID: <a@b>\r\n" in message.as_bytes()


def test_lines_are_counted_in_octets() -> None:
    """LIBRARY case 8."""
    for text in ("é" * 600, "a" * 1200):
        raw = made(text=text).as_bytes()
        assert needs((raw,)) == (False, False, False)
        assert posthouse.read(raw).text == text + "\n"


def test_html_arrives_as_it_is() -> None:
    """The second half of LIBRARY case 7."""
    html = "<style>\r\n" + "".join(f"  .c{n} {{ color: #{n:06x} }}\r\n" for n in range(40)) + "</style>\r\n"
    assert posthouse.read(made(html=html, text="").as_bytes()).root.content == html.encode()


# Attachments ---------------------------------------------------------------------------------------------------------


def attachments(*given: Any, **changes: Any) -> list[tuple[str, str, bytes]]:
    message = made(attachments=given[0] if len(given) == 1 and isinstance(given[0], dict) else list(given), **changes)
    return [(each.filename_raw, each.type, each.content) for each in posthouse.read(message.as_bytes()).attachments]


def test_every_form_of_an_attachment(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with (tmp_path / "a.pdf").open("rb") as file:
        found = attachments(
            tmp_path / "a.pdf",
            file,
            Attachment(b"\x00\r\n", name="b.bin"),
            Attachment("零,一\r\n", name="c.csv"),
            Attachment(tmp_path / "a.pdf", name="renamed.png"),
            ("d.json", b"{}"),
            ("e", b"x", "image/gif"),
            io.BytesIO(b"stream"),
            b"bare",
            bytearray(b"array"),
            "data:image/png;base64,iVBORw0KGgo",
            "data:text/plain;charset=gbk,%c4%e3",
        )
    assert found == [
        ("a.pdf", "application/pdf", b"%PDF"),
        ("a.pdf", "application/pdf", b"%PDF"),
        ("b.bin", "application/octet-stream", b"\x00\r\n"),
        ("c.csv", "text/csv", "零,一\r\n".encode()),
        ("renamed.png", "image/png", b"%PDF"),
        ("d.json", "application/json", b"{}"),
        ("e", "image/gif", b"x"),
        ("attachment-8.bin", "application/octet-stream", b"stream"),
        ("attachment-9.bin", "application/octet-stream", b"bare"),
        ("attachment-10.bin", "application/octet-stream", b"array"),
        ("attachment-11.png", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("attachment-12.txt", "text/plain", b"\xc4\xe3"),
    ]
    assert attachments({"a.txt": "text", "b.png": b"x"}) == [
        ("a.txt", "text/plain", b"text"),
        ("b.png", "image/png", b"x"),
    ]


def test_a_bare_str_is_refused_with_both_spellings() -> None:
    for given in ("report.pdf", ["report.pdf"]):
        with pytest.raises(LocalError, match=r"Path\('report.pdf'\) for a file, or Attachment\(\"…\", name="):
            made(attachments=given)


@pytest.mark.parametrize("url", ["data:", "data:text/plain", "data:;base64,%%%", "data:x,y", "data:;base64,abcde"])
def test_a_broken_data_url_is_refused(url: str) -> None:
    with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
        made(attachments=[url])


def test_text_of_an_attachment_arrives_octet_for_octet() -> None:
    """The first half of LIBRARY case 7."""
    text = "A" * 300 + " " + "A" * 300 + "\r\n" + "B" * 300
    assert attachments(Attachment(text, name="r.csv")) == [("r.csv", "text/csv", text.encode())]


def test_names_for_readers_with_and_without_rfc_2231() -> None:
    """LIBRARY case 6 and row 27."""
    name = "Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------Ɣ------.pdf"
    raw = made(attachments=[Attachment(b"x", name=name)]).as_bytes()
    assert posthouse.read(raw).attachments[0].filename_raw == name
    assert raw.isascii()
    assert b'name="=?utf-8?b?' in raw
    assert b"filename*0*=utf-8''%C6%94" in raw
    without = made(attachments=[Attachment(b"x", name=name)], legacy_names=False).as_bytes()
    assert b"name=" not in without
    assert posthouse.read(without).attachments[0].filename_raw == name


def test_a_message_is_attached_as_one_where_it_may_be() -> None:
    inner = made(subject="inner", text="x")
    found = attachments(("a.eml", inner.as_bytes()), ("b.eml", b"Subject: \xff\r\n\r\nx"), ("c.eml", b"no message"))
    assert [kind for _, kind, _ in found] == ["message/rfc822", "application/octet-stream", "application/octet-stream"]
    assert found[0][2] == inner.as_bytes()
    assert found[1][2] == b"Subject: \xff\r\n\r\nx"


def test_a_path_is_read_when_the_message_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "later.txt"
    monkeypatch.chdir(tmp_path)
    message = made(attachments=[Path("later.txt")])
    monkeypatch.chdir("/")
    with pytest.raises(LocalError, match=r"later.txt cannot be read: .* when the message is sent"):
        message.as_bytes()
    file.write_bytes(b"first")
    assert posthouse.read(message.as_bytes()).attachments[0].content == b"first"
    file.write_bytes(b"the second")
    assert message.size == len(message.as_bytes())
    assert posthouse.read(message.as_bytes()).attachments[0].content == b"the second"
    file.unlink()
    file.mkdir()
    with pytest.raises(LocalError, match="is not a file"):
        message.as_bytes()


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    for name in ("a.txt", "a.bin", "a.eml"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(LocalError, match="is not a file"):
            made(attachments=[tmp_path / name]).as_bytes()


def test_a_file_that_changes_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    for before, after in ((b"x" * 200_000, b"x"), (b"x" * 200_000, b"x" * 300_000)):
        file.write_bytes(before)
        chunks = made(attachments=[file]).chunks()
        next(chunks)
        file.write_bytes(after)
        with pytest.raises(LocalError, match="changed while it was sent"):
            list(chunks)


class Endless:
    """A stream of so many octets, none of which are in memory before they are read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest = 0

    def read(self, size: int = -1) -> bytes:
        self.largest = max(self.largest, size)
        count = min(size, self.left)
        self.left -= count
        return b"\x5a" * count


def test_a_stream_is_read_once_and_sent_as_often_as_wanted() -> None:
    stream = Endless(3_000_000)
    message = made(attachments=[Attachment(stream, name="big.bin")])
    assert stream.left == 0
    assert 0 < stream.largest <= 1_048_576
    first = message.as_bytes()
    assert message.size == len(first)
    assert message.as_bytes() == first
    assert posthouse.read(first).attachments[0].content == b"\x5a" * 3_000_000
    for other in (pickle.loads(pickle.dumps(message)), Message.from_json(message.to_json())):
        assert (other, hash(other), other.as_bytes()) == (message, hash(message), first)


def test_chunks_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(500_000))
    message = made(attachments=[tmp_path / "a.bin"], text="é" * 200_000)
    for at_most in (1_000, 65_536, 1_000_000):
        chunks = list(message.chunks(at_most))
        assert max(map(len, chunks)) <= min(at_most, 65_536)
        assert b"".join(chunks) == message.as_bytes()
    with pytest.raises(LocalError, match="holds nothing"):
        list(message.chunks(0))


class TextStream:
    def read(self, size: int = -1) -> str:
        return "text"


class AsyncStream:
    async def read(self, size: int = -1) -> bytes:
        return b"x"


def test_streams_of_other_kinds_are_refused() -> None:
    with pytest.raises(LocalError, match="mode 'rb'"):
        Attachment(TextStream(), name="a")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="asynchronous"):
        Attachment(AsyncStream(), name="a")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="and not int"):
        Attachment(3, name="a")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="is a str and not int"):
        Attachment(b"x", name=3)  # type: ignore[arg-type]


def test_a_plain_message_imports_little() -> None:
    """What only files, JSON, HTML or other domains need is not imported: ``posthouse.send`` is to start fast."""
    unwanted = (
        "email asyncio ssl json tempfile secrets random hashlib mimetypes dataclasses inspect logging idna html urllib "
        "jinja2 threading posthouse.message.reading posthouse.message.authoring"
    )
    script = (
        "import sys; from posthouse import Message\n"
        "Message('a@x.example', 'b@x.example', subject='é', text='x').as_bytes()\n"
        f"print(*[name for name in {unwanted.split()} if name in sys.modules])"
    )
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", "-c", script]  # site-packages may import anything
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=where)
    assert done.stdout.split() == []


ODD = (None, 5, 1.5, b"x", "x", object(), [], {}, True, date(2026, 1, 1), [5], ["x"], {"a": 5}, ("x", 5, 6, 7))


@pytest.mark.parametrize("name", list(inspect.signature(Message).parameters))
def test_a_value_of_an_odd_type_is_told_by_the_name_of_its_argument(name: str) -> None:
    for value in ODD:
        given: dict[str, Any] = {"sender": "a@x.test", "to": "b@x.test", "subject": "s", "text": "t", name: value}
        try:
            Message(**given).as_bytes()
        except LocalError:
            continue  # any other exception fails the test


def test_none_means_that_an_argument_is_left_out() -> None:
    plain: dict[str, Any] = {"sender": "a@x.test", "to": "b@x.test", "date": DATE, "message_id": "1@x.test"}
    names = ("cc", "bcc", "reply_to", "headers", "in_reply_to", "references", "attachments", "inline", "text", "html")
    assert Message(**plain, **dict.fromkeys(names)) == Message(**plain)
    assert Message("a@x.test", None, bcc="b@x.test").to == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"date": "tomorrow"}, "date is a datetime with a time zone, such as .* and not str"),
        ({"date": date(2026, 1, 1)}, "and not date"),
        ({"headers": "X-Note: hello"}, "headers has a str in the place of a name and its text"),
        ({"in_reply_to": 5}, "in_reply_to is a Message-ID, or a list of them, and not int"),
        ({"mailing_list": "news.example.org"}, r"mailing_list is ListFields\('news.example.org'\) and not str"),
        ({"unsubscribe": [b"https://x.test"]}, "unsubscribe has a bytes in the place of a URL"),
        ({"inline": 5}, "inline is a mapping"),
    ],
)
def test_the_sentence_says_what_to_write(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LocalError, match=sentence):
        Message("a@x.test", "b@x.test", **given)


@pytest.mark.parametrize("kind", ["text/pl ain", "a/b/c", 'text/a"b; x=y', "text/plain charset=utf-8", "text/plain, x"])
def test_of_a_content_type_nothing_gets_lost(kind: str) -> None:
    with pytest.raises(LocalError, match="is not a content type"):
        Message("a@here.test", "b@here.test", attachments=[Attachment(b"x", "n", kind)])
