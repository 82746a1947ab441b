"""Messages as people read them: decoded whatever they break, and names of attachments that are safe."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from posthouse.message.message_view import MessageView, view


def made(**given: object) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "任平 <renping@sina.com>"
    message["To"] = "langrui@sohu.com"
    message["Subject"] = "第一封邮件"
    message.set_content("你好，任平。\n")
    return message


def seen(message: EmailMessage) -> MessageView:
    return view(message.as_bytes(policy=SMTP))


def test_header_fields_and_text_are_decoded() -> None:
    found = seen(made())
    assert found.fields == (
        ("From", "任平 <renping@sina.com>"),
        ("To", "langrui@sohu.com"),
        ("Subject", "第一封邮件"),
    )
    assert found.text == "你好，任平。"
    assert [(part.type, part.shown) for part in found.parts] == [("text/plain", True)]


def test_plain_text_is_preferred_to_html() -> None:
    message = made()
    message.add_alternative("<p>Hello <b>HTML</b></p>", subtype="html")
    assert seen(message).text == "你好，任平。"


def test_html_alone_is_read_as_text() -> None:
    source = (
        "<html><head><title>no</title><style>p {}</style></head><body><h1>Order 7</h1><script>alert(1)</script>"
        "<p>Dear&nbsp;Ann,<br>your <a href='https://shop.example/7'>order</a> is on its way.</p>"
        "<ul><li>tea</li><li>cups</li></ul></body></html>"
    )
    message = EmailMessage()
    message.set_content(source, subtype="html")
    found = seen(message)
    assert found.text.split("\n") == [
        *("Order 7", "", "Dear Ann,", "your order <https://shop.example/7> is on its way.", "", "- tea", "", "- cups"),
    ]
    assert found.attachments == []


def test_attachments_are_listed_with_their_decoded_octets() -> None:
    message = made()
    message.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename="清单.bin")
    message.add_attachment("a,b\n", subtype="csv", filename="a.csv")
    inner = EmailMessage()
    inner["Subject"] = "inside"
    inner.set_content("inner")
    message.add_attachment(inner)
    found = seen(message)
    assert [(part.number, part.type, part.name) for part in found.attachments] == [
        (2, "application/octet-stream", "清单.bin"),
        (3, "text/csv", "a.csv"),
        (4, "message/rfc822", "part-4.eml"),
    ]
    assert found.attachments[0].content == b"\x00\x01"
    assert b"Subject: inside" in found.attachments[2].content
    assert found.text == "你好，任平。"


@pytest.mark.parametrize(
    ("charset", "octets"),
    [("gb2312", "你好€".encode("gb18030")), ("utf-8", "你好€".encode()), ("nonsense", "你好€".encode())],
)
def test_charsets(charset: str, octets: bytes) -> None:
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert view(head.encode() + base64.encodebytes(octets)).text == "你好€"


def test_raw_utf8_in_header_fields_is_read() -> None:
    found = view("Subject: 你好\r\nFrom: 任平@例子.测试\r\n\r\nbody\r\n".encode())
    assert (found.field("Subject"), found.field("From")) == ("你好", "任平@例子.测试")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"\xff\xfe\x00",
        b"Subject: =?utf-8?b?!!!?=\r\n\r\n\xff",
        b"Subject: =?nonsense?q?x?=\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        b"Content-Type: text/plain; charset*=utf-8''%FF%FE\r\n\r\nx",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!x",
        b"Content-Disposition: attachment; filename*=nonsense''%41\r\n\r\nx",
        b"Content-Type: text/html\r\n\r\n<![x<!--<a href=>\x00</p></p>",
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(3000)),
        b"Content-Type: message/rfc822\r\n\r\n" * 3000,
        b"From: =?ut\x96\xd28?q?a?= <a@b.test>\r\nSubject: =?\xff?b?YQ==?=\r\n\r\nx",
        b"Content-Disposition: attachment; filename==?\xe4?q?a?=\r\n\r\nx",
        b"Content-Type: message/x\r\n\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nA: b\x0bc: d\r\n\r\n",
    ],
)
def test_whatever_a_message_breaks_it_is_shown(octets: bytes) -> None:
    found = view(octets)
    assert isinstance(found.text, str)
    assert all(isinstance(part.content, bytes) for part in found.parts)
