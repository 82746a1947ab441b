"""Delivery reports, composed and read (RFC 3464, RFC 6522, RFC 6533, RFC 3461 §6)."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address, Body, Bytes, Envelope, LocalError, OriginalRecipient, Recipient, Reply, Ret
from posthouse.message import Action, Composed, OriginalMessage, RecipientStatus, compose_report, is_report, read_dsn
from posthouse.message.dsn.read import AT_MOST
from posthouse.message.dsn.report import LIMIT
from posthouse.message.dsn.text import wants_chinese

MESSAGE = b"From: langrui@sohu.com\r\nMessage-ID: <q1@sohu.com>\r\nSubject: hi\r\n\r\nhello\r\n"
NOW = 1_000_000_000.0
SENDER = Address("langrui", "sohu.com")
REFUSED = RecipientStatus(
    Recipient(Address("renping", "sina.com")), Action.FAILED, Reply(550, "5.1.1", "no such mailbox"), "mx.sina.com", NOW
)


def original(content: bytes = MESSAGE, *, whole: bool = True, **fields: Any) -> OriginalMessage:
    envelope = Envelope(SENDER, (Recipient(Address("renping", "sina.com")),), **fields)
    return OriginalMessage("Q1", envelope, NOW - 3600, content, whole)


def report(
    statuses: Sequence[RecipientStatus] = (REFUSED,), about: OriginalMessage | None = None, **changes: Any
) -> bytes:
    return composed(statuses, about, **changes).content


def composed(
    statuses: Sequence[RecipientStatus] = (REFUSED,), about: OriginalMessage | None = None, **changes: Any
) -> Composed:
    arguments: dict[str, Any] = {
        "to": [SENDER],
        "hostname": "mail.sohu.com",
        "postmaster": Address("postmaster", "sohu.com"),
        "date": NOW,
        "message_id": "r1@mail.sohu.com",
    }
    return compose_report(about or original(), statuses, **{**arguments, **changes})


def parsed(content: bytes) -> EmailMessage:
    """What the standard library, which knows nothing of us, makes of it."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def travels(content: bytes, *, ascii_only: bool = True) -> bool:
    lines = content.split(b"\r\n")
    assert lines[-1] == b""
    return (content.isascii() or not ascii_only) and all(
        len(line) <= 998 and b"\r" not in line and b"\n" not in line and b"\0" not in line for line in lines
    )


# -- the frame


def test_a_report_has_the_three_parts_and_the_header_of_one() -> None:
    report = composed()
    assert report.envelope == Envelope(None, (Recipient(SENDER),)), "null reverse-path, no RET (RFC 3461 §6.1)"
    assert travels(report.content)
    message = parsed(report.content)
    assert message["From"] == "Mail Delivery System <postmaster@sohu.com>"
    assert message["To"] == "langrui@sohu.com"
    assert message["Subject"] == "Not delivered to renping@sina.com"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<r1@mail.sohu.com>"
    assert message["In-Reply-To"] == message["References"] == "<q1@sohu.com>"
    assert message["Date"].datetime.timestamp() == NOW
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "message/rfc822"]


def test_the_machines_part_of_a_failure() -> None:
    part = report(about=original(envid="QQ 314159")).split(b"\r\n--")[2].partition(b"\r\n\r\n")[2]
    assert part.decode().split("\r\n") == [
        "Original-Envelope-Id: QQ 314159",
        "Reporting-MTA: dns; mail.sohu.com",
        "Arrival-Date: Sun, 9 Sep 2001 00:46:40 +0000",
        "",
        "Final-Recipient: rfc822; renping@sina.com",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.sina.com",
        "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox",
        "Last-Attempt-Date: Sun, 9 Sep 2001 01:46:40 +0000",
        "",
    ]


def test_what_was_not_given_is_not_made_up() -> None:
    """RFC 3461 §6.3 (a), (b), (d): no ENVID, no ORCPT, a host without a full name."""
    made = report([REFUSED._replace(remote="", attempted=None)], hostname="localhost")
    assert b"Original-Envelope-Id" not in made
    assert b"Original-Recipient" not in made
    assert b"Remote-MTA" not in made
    assert b"Reporting-MTA: x-local-hostname; localhost\r\n" in made
    assert b"Diagnostic-Code: x-posthouse; 550 5.1.1 no such mailbox\r\n" in made, "our own words are no SMTP"


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "5.7.1", "no")), "5.7.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "no")), "5.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "2.1.5", "odd")), "5.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "sorry, no mailbox (#5.1.1)")), "5.1.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "#5.1.0 Address rejected.")), "5.1.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "[5.7.1] blocked")), "5.7.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "no such user (5.1.1)")), "5.1.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "client [5.7.1.9] blocked")), "5.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "no\n5.1.1 User unknown")), "5.1.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "5.1.1.7 is blocked")), "5.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(550, "", "no (#4.1.1)")), "5.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(556, "", "no mail")), "5.1.10"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(551, "", "moved")), "5.1.6"),
        (RecipientStatus(REFUSED.recipient, Action.DELAYED, Reply(452, "", "full")), "4.3.1"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, Reply(451, "4.4.1", "no"), expired=True), "5.4.7"),
        (RecipientStatus(REFUSED.recipient, Action.FAILED, None, expired=True), "5.4.7"),
        (RecipientStatus(REFUSED.recipient, Action.DELAYED, Reply(451, "4.2.1", "no")), "4.2.1"),
        (RecipientStatus(REFUSED.recipient, Action.DELAYED), "4.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.DELIVERED, Reply(250, "2.1.5", "ok")), "2.1.5"),
        (RecipientStatus(REFUSED.recipient, Action.RELAYED, Reply(250, "", "ok")), "2.0.0"),
        (RecipientStatus(REFUSED.recipient, Action.EXPANDED), "2.0.0"),
    ],
)
def test_status_agrees_with_the_action(one: RecipientStatus, status: str) -> None:
    found = read_dsn(report([one]))
    assert found is not None
    assert (found.recipients[0].action, found.recipients[0].status) == (one.action, status)


def test_a_delay_says_until_when_and_returns_headers_only() -> None:
    late = REFUSED._replace(action=Action.DELAYED, reply=Reply(451, "4.4.1", "not now"), until=NOW + 86_400)
    found = read_dsn(report([late]))
    assert found is not None
    assert found.recipients[0].retry_until == "Mon, 10 Sep 2001 01:46:40 +0000"
    assert found.returned_kind == "text/rfc822-headers"
    assert found.returned == MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert "you need not send it again" in " ".join(found.text.split())
    assert "What to do" not in found.text


def test_nothing_to_say_or_nobody_to_say_it_to() -> None:
    with pytest.raises(LocalError):
        report([])
    with pytest.raises(LocalError):
        report(to=[])


# -- what is returned


@pytest.mark.parametrize(
    ("about", "status", "kind"),
    [
        (original(), REFUSED, "message/rfc822"),
        (original(ret=Ret.FULL), REFUSED, "message/rfc822"),
        (original(ret=Ret.HDRS), REFUSED, "text/rfc822-headers"),
        (original(ret=Ret.FULL), REFUSED._replace(action=Action.RELAYED), "text/rfc822-headers"),
        (original(ret=Ret.FULL), REFUSED._replace(action=Action.DELAYED), "text/rfc822-headers"),
        (original(ret=Ret.FULL, require_tls=True), REFUSED, "text/rfc822-headers"),
        (original(MESSAGE + b"x" * 60 + b"\r\n", whole=False), REFUSED, "text/rfc822-headers"),
        (original(MESSAGE + b"line\r\n" * (LIMIT // 6)), REFUSED, "text/rfc822-headers"),
        (original(b""), REFUSED, ""),
    ],
)
def test_how_much_is_returned(about: OriginalMessage, status: RecipientStatus, kind: str) -> None:
    """RFC 3461 §4.3, §6.2; RFC 8689 §5."""
    made = composed([status], about)
    found = read_dsn(made.content)
    assert found is not None
    assert found.returned_kind == kind
    if kind == "message/rfc822":
        assert found.returned == about.content
        assert "returned below" in found.text
    assert made.envelope.require_tls is about.envelope.require_tls


@pytest.mark.parametrize(
    "content",
    [
        MESSAGE + "你好\r\n".encode(),
        MESSAGE + b"x" * 2_000 + b"\r\n",
        MESSAGE + b"a\0b\rc\nd\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n\xff\xfe\r\n--x--\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno part \xff\r\n",
        b"Subject: " + b"x" * 3_000 + b"\r\n\r\nhello\r\n",
        b"Subject: \xff\xfe\r\n\r\nhello\r\n",
        "Subject: 你好\r\nFrom: 郎锐@搜狐.中国\r\n\r\nhello\r\n".encode(),
        b"no header section at all \xff\r\n",
        b"Subject: cut",
    ],
)
def test_whatever_is_returned_the_report_can_travel(content: bytes) -> None:
    made = report(about=original(content))
    assert travels(made)
    assert is_report(made)
    assert read_dsn(made) is not None


def test_a_message_with_utf8_headers_comes_back_whole_and_exact() -> None:
    content = "Subject: 你好\r\n\r\nhello\r\n".encode()
    found = read_dsn(report(about=original(content)))
    assert found is not None
    assert (found.returned_kind, found.returned) == ("message/global", content)
    found = read_dsn(report(about=original(content, ret=Ret.HDRS)))
    assert found is not None
    assert (found.returned_kind, found.returned) == (
        "message/global-headers",
        content.partition(b"\r\n\r\n")[0] + b"\r\n",
    )


def test_a_boundary_in_the_message_is_avoided() -> None:
    mark = report().partition(b'boundary="')[2].partition(b'"')[0]
    content = MESSAGE + b"--" + mark + b"\r\nhaha\r\n--" + mark + b"--\r\n"
    found = read_dsn(report(about=original(content)))
    assert found is not None
    assert found.returned == content


# -- addresses beyond ASCII (RFC 6533)


FOREIGN = RecipientStatus(
    Recipient(Address("任平", "sina.com"), None, OriginalRecipient("utf-8", "任+平@新浪.中国")),
    Action.FAILED,
    Reply(553, "5.6.7", "要 SMTPUTF8"),
    "mx.sina.com",
    NOW,
)


def test_an_address_beyond_ascii_in_seven_bits() -> None:
    made = composed([FOREIGN])
    assert travels(made.content)
    assert not made.envelope.smtputf8
    assert b"Final-Recipient: utf-8; \\x{4EFB}\\x{5E73}@sina.com\r\n" in made.content
    assert b"Original-Recipient: utf-8;\r\n \\x{4EFB}\\x{2B}\\x{5E73}@" in made.content
    assert b"message/delivery-status\r\n" in made.content
    found = read_dsn(made.content)
    assert found is not None
    (one,) = found.recipients
    assert one.final == OriginalRecipient("utf-8", "任平@sina.com")
    assert one.original == FOREIGN.recipient.orcpt
    assert one.diagnostic == "553 5.6.7 要 SMTPUTF8"


def test_codes_in_front_of_words_beyond_ascii_stay_readable() -> None:
    made = report([REFUSED._replace(reply=Reply(554, "5.6.3", "a part § 5"))])
    assert b"Diagnostic-Code: smtp; 554 5.6.3 a part =?utf-8?q?" in made
    found = read_dsn(made)
    assert found is not None
    assert found.recipients[0].diagnostic == "554 5.6.3 a part § 5"


def test_a_sender_beyond_ascii_gets_the_forms_of_rfc_6533() -> None:
    made = composed([FOREIGN], original("Subject: 你好\r\n\r\n你好\r\n".encode()), to=[Address("郎锐", "sohu.com")])
    assert made.envelope.smtputf8
    assert made.envelope.body is Body.EIGHTBITMIME
    assert travels(made.content, ascii_only=False)
    assert "To: <郎锐@sohu.com>\r\n".encode() in made.content
    assert b"Content-Type: message/global-delivery-status\r\n" in made.content
    assert "Final-Recipient: utf-8; 任平@sina.com\r\n".encode() in made.content
    found = read_dsn(made.content)
    assert found is not None
    assert found.returned_kind == "message/global"
    assert found.recipients[0].original == FOREIGN.recipient.orcpt


# -- the text


def test_the_text_says_what_happened_why_and_what_to_do() -> None:
    alias = Recipient(Address("robert", "sina.com"), None, OriginalRecipient("rfc822", "bob@example.org"))
    gone = RecipientStatus(alias, Action.FAILED, Reply(451, "4.4.1", "no answer"), "mx.sina.com", NOW, expired=True)
    found = read_dsn(report([REFUSED, gone, REFUSED._replace(action=Action.RELAYED)]))
    assert found is not None
    text = " ".join(found.text.split())
    assert "This is the mail system at mail.sohu.com." in text
    assert "mx.sina.com said: 550 5.1.1 no such mailbox" in text
    assert "it has no mailbox of this name" in text
    assert "Correct the part before the @" in text
    assert "<robert@sina.com> (which you wrote to as <bob@example.org>)" in text
    assert "The last attempt ended with this. mx.sina.com said: 451 4.4.1 no answer" in text
    assert "passed on to a host that does not report deliveries" in text
    assert "queue id is Q1" in text
    assert "write to postmaster@sohu.com" in text
    assert parsed(report([REFUSED, gone]))["Subject"] == "Not delivered to 2 recipients"


@pytest.mark.parametrize(
    ("headers", "chinese"),
    [
        (b"Content-Language: zh-CN\r\n", True),
        (b"Accept-Language: en, zh-Hant;q=0.5\r\n", True),
        (b"Content-Language: en\r\nSubject: \xe4\xbd\xa0\xe5\xa5\xbd\r\n", False),
        (b"Content-Type: text/plain; charset=GB2312\r\n", True),
        (b'Content-Type: text/plain; charset="big5"\r\n', True),
        (b"Subject: =?gb18030?B?xOO6ww==?=\r\n", True),
        (b"Subject: =?utf-8?B?5L2g5aW9?=\r\n", True),
        (b"Subject: \xe4\xbd\xa0\xe5\xa5\xbd\r\n", True),
        ("Subject: 日本語の件名\r\n".encode(), False),
        (b"Subject: hello\r\nContent-Type: text/plain; charset=utf-8\r\n", False),
        (b"Subject: =?utf-8?B?!!?= =?what?q?x?=\r\n", False),
        (b"Content-Language: mazhzh\r\n", False),
        (b"", False),
    ],
)
def test_when_chinese_is_spoken_too(headers: bytes, chinese: bool) -> None:
    assert wants_chinese(headers) is chinese
    found = read_dsn(report(about=original(headers + b"\r\nhello\r\n")))
    assert found is not None
    assert ("你的邮件未能送达" in found.text) is chinese
    assert "could not be delivered" in found.text, "English is always there"


def test_a_notice_is_no_report_to_anybody_who_looks() -> None:
    made = report(notice=True, to=[Address("postmaster", "sohu.com")], about=original(report()))
    assert parsed(made)["Auto-Submitted"] == "auto-generated"
    assert not is_report(made)
    found = read_dsn(made)
    assert found is not None
    assert "once; nothing more" in found.text
    assert is_report(found.returned), "the postmaster sees the report that could not be sent"


@pytest.mark.parametrize(
    "content",
    [b"", MESSAGE, report().replace(b"auto-replied", b"no"), report().replace(b"delivery-status", b"disposition-x")],
)
def test_what_is_not_a_report(content: bytes) -> None:
    assert not is_report(content)


# -- hostile values


@settings(max_examples=60, deadline=None)
@given(
    reply=st.text(max_size=400),
    remote=st.text(max_size=60),
    local=st.text(max_size=30),
    orcpt=st.text(max_size=60),
    utf8=st.booleans(),
)
def test_no_value_breaks_out_of_its_field(reply: str, remote: str, local: str, orcpt: str, utf8: bool) -> None:
    recipient = Recipient(Address(local, "x.test"), None, OriginalRecipient("rfc822", orcpt))
    status = RecipientStatus(recipient, Action.FAILED, Reply(550, "5.1.1", reply), remote, NOW)
    made = report([status], to=[Address("郎锐" if utf8 else "langrui", "sohu.com")])
    assert travels(made, ascii_only=not utf8)
    found = read_dsn(made)
    assert found is not None
    assert [(one.action, one.status) for one in found.recipients] == [("failed", "5.1.1")]
    assert found.returned == MESSAGE


def test_very_long_values_are_cut() -> None:
    status = REFUSED._replace(reply=Reply(550, "5.1.1", "x" * 50_000), remote="h" * 5_000)
    assert travels(report([status]))
    assert len(report([status])) < 20_000


# -- reading what others wrote


FOREIGN_REPORT = b"""\
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary=b\r
\r
This is a MIME message.\r
--b\r
\r
Sorry.\r
--b  \r
Content-Type: Message/Delivery-Status\r
\r
Reporting-MTA: DNS;mx.example.org\r
\r
Original-Recipient: RFC822;bob@example.org\r
Final-Recipient: RFC822; robert@example.net\r
Action: Failed (permanently)\r
Status: 5.2.2 (mailbox full)\r
Diagnostic-Code: smtp; 552\r
 5.2.2 full\r
\r
Action: failed\r
\r
--b\r
Content-Type: text/rfc822-headers\r
\r
Subject: hi\r
"""


def test_a_report_of_another_kind_of_system() -> None:
    found = read_dsn(FOREIGN_REPORT)
    assert found is not None
    assert (found.reporting_mta, found.envelope_id, found.text) == ("mx.example.org", None, "Sorry.")
    (one,) = found.recipients
    assert one.original == OriginalRecipient("rfc822", "bob@example.org")
    assert one.final == OriginalRecipient("rfc822", "robert@example.net")
    assert (one.action, one.status, one.diagnostic) == (Action.FAILED, "5.2.2", "552 5.2.2 full")
    assert (found.returned_kind, found.returned) == ("text/rfc822-headers", b"Subject: hi\r\n")


def test_what_is_no_delivery_report_is_none() -> None:
    assert read_dsn(b"") is None
    assert read_dsn(MESSAGE) is None
    assert read_dsn(FOREIGN_REPORT.replace(b"report-type=delivery-status", b"report-type=feedback")) is None
    assert read_dsn(FOREIGN_REPORT.replace(b"Message/Delivery-Status", b"text/plain")) is None
    assert read_dsn(FOREIGN_REPORT.replace(b"boundary=b", b"x=y")) is None


def test_reading_is_bounded() -> None:
    found = read_dsn(Bytes(FOREIGN_REPORT + b"X-Long: x\r\n" * 500_000))
    assert found is not None
    assert len(found.returned) <= AT_MOST


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(FOREIGN_REPORT)), st.integers(0, len(FOREIGN_REPORT)))
def test_reading_never_raises(noise: bytes, start: int, end: int) -> None:
    read_dsn(FOREIGN_REPORT[:start] + noise + FOREIGN_REPORT[end:])
    is_report(noise)
    wants_chinese(noise)
