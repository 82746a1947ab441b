"""Delivery reports that other programs write, rules of RFC 3464 broken or not: no recipient is lost in reading."""

from __future__ import annotations

import pytest

from posthouse.core import OriginalRecipient
from posthouse.message import DeliveryReport, is_report, read_dsn
from posthouse.message.headers import FIELDS_LIMIT

MESSAGE_GROUP = "Reporting-MTA: dns; mx.x.test\nArrival-Date: Mon, 1 Jan 2024 00:00:00 +0000\n"
U = "Final-Recipient: rfc822; u@x.test\nAction: failed\nStatus: 5.1.1\n"
V = "Final-Recipient: rfc822; v@x.test\nAction: delayed\nStatus: 4.2.2\n"
KIND = "multipart/report; report-type=delivery-status; boundary=b"


def report(status: str, *, kind: str = KIND, first: str = "Content-Type: text/plain\n\nSorry.\n") -> bytes:
    text = (
        f"Content-Type: {kind}\nSubject: failed\n\n--b\n{first}--b\nContent-Type: message/delivery-status\n\n"
        f"{status}\n--b\nContent-Type: message/rfc822\n\nSubject: original\n\nhi\n--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


def read(data: bytes) -> DeliveryReport:
    found = read_dsn(data)
    assert found is not None
    return found


def told(data: bytes) -> list[tuple[str, str, str]]:
    return [(one.final.address, one.action, one.status) for one in read(data).recipients]


BOTH = [("u@x.test", "failed", "5.1.1"), ("v@x.test", "delayed", "4.2.2")]


@pytest.mark.parametrize(
    "status",
    [
        f"{MESSAGE_GROUP}\n{U}\n{V}",
        f"{MESSAGE_GROUP}{U}\n{V}",
        f"{MESSAGE_GROUP}{U}{V}",
        f"{MESSAGE_GROUP}\n{U}{V}",
        f"{U}\n{V}",
        f"{U}{V}",
        f"\n\n{MESSAGE_GROUP} \n\t\n{U}\n \n{V}\n\n",
        (
            "Action: failed\nFinal-Recipient: rfc822; u@x.test\nDiagnostic-Code: smtp; 550\nStatus: 5.1.1\n"
            "Action: delayed\nFinal-Recipient: rfc822; v@x.test\nDiagnostic-Code: smtp; 450\nStatus: 4.2.2\n"
        ),
        (
            "Status: 5.1.1\nAction: failed\nFinal-Recipient: rfc822; u@x.test\n"
            "Status: 4.2.2\nAction: delayed\nFinal-Recipient: rfc822; v@x.test\n"
        ),
        (
            f"{MESSAGE_GROUP}Final-Recipient: rfc822;u@x.test (U)\nAction: Failed now\nStatus: 5.1.1 no such user\n"
            "Final-Recipient: <v@x.test>\nAction: delayed (x)\nStatus: (full) 4.2.2\n"
        ),
    ],
)
def test_every_final_recipient_is_a_recipient(status: str) -> None:
    assert told(report(status)) == BOTH


def test_an_original_recipient_stays_with_its_own_final_recipient() -> None:
    status = MESSAGE_GROUP + "".join(
        f"Original-Recipient: rfc822; old-{name}@x.test\n{group}" for name, group in (("u", U), ("v", V))
    )
    expected = [("old-u@x.test", "u@x.test"), ("old-v@x.test", "v@x.test")]
    for text in (status, status.replace(MESSAGE_GROUP, ""), f"{MESSAGE_GROUP}\n{status[len(MESSAGE_GROUP) :]}"):
        recipients = read(report(text)).recipients
        assert [(one.original and one.original.address, one.final.address) for one in recipients] == expected
    only_second = f"{U}Original-Recipient: rfc822; old-v@x.test\n{V}"
    assert [one.original for one in read(report(only_second)).recipients] == [
        None,
        OriginalRecipient("rfc822", "old-v@x.test"),
    ]


def test_ten_thousand_recipients_in_one_group_are_found() -> None:
    status = "".join(f"Final-Recipient: rfc822; u{n}@x.test\nAction: failed\n" for n in range(FIELDS_LIMIT))
    assert len(read(report(status)).recipients) == FIELDS_LIMIT


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("5.1.1 no such user", "5.1.1"),
        ("5.1.1 (no such user)", "5.1.1"),
        ("(5.0.0) 5.1.1", "5.1.1"),
        ("550 5.1.1", "5.1.1"),
        ("5.1.1;", "5.1.1"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_status_is_its_code(status: str, code: str) -> None:
    found = read(report(f"{MESSAGE_GROUP}\nFinal-Recipient: rfc822; u@x.test\nAction: failed\nStatus: {status}\n"))
    assert found.recipients[0].status == code


def test_a_recipient_without_a_required_field_is_not_lost() -> None:
    found = read(report(f"{MESSAGE_GROUP}\nFinal-Recipient: rfc822; u@x.test\nStatus: 5.1.1\n\n{V}")).recipients
    assert [(one.final.address, one.action) for one in found] == [("u@x.test", ""), ("v@x.test", "delayed")]
    found = read(report(f"{MESSAGE_GROUP}\nOriginal-Recipient: rfc822; u@x.test\nAction: failed\n")).recipients
    assert [one.final.address for one in found] == ["u@x.test"]


@pytest.mark.parametrize(
    "kind",
    [
        KIND,
        "multipart/report; report-type=delivery-status (x); boundary=b (y)",
        "(x) Multipart/Report; boundary=b; report-type=Delivery-Status",
        "multipart / report; report-type = (x) delivery-status ; boundary = b",
        "multipart/report; boundary=b",
        "multipart/mixed; boundary=b",
        'multipart/mixed; boundary="b"',
    ],
)
def test_a_report_is_known_however_its_type_is_written(kind: str) -> None:
    data = report(f"{MESSAGE_GROUP}\n{U}\n{V}", kind=kind)
    assert told(data) == BOTH
    found = read(data)
    assert (found.text, found.reporting_mta) == ("Sorry.", "mx.x.test")
    assert (found.returned_kind, found.returned) == ("message/rfc822", b"Subject: original\r\n\r\nhi")
    answered = b"Auto-Submitted: (x) auto-replied (y)\r\n" + data
    assert is_report(answered) is ("report" in kind.lower())


@pytest.mark.parametrize("kind", ["disposition-notification", "feedback-report", '"x"'])
def test_a_report_of_another_type_is_none(kind: str) -> None:
    assert read_dsn(report(f"{MESSAGE_GROUP}\n{U}", kind=f"multipart/report; report-type={kind}; boundary=b")) is None


def test_line_ends_and_an_mbox_line_do_not_matter() -> None:
    data = report(f"{MESSAGE_GROUP}\n{U}\n{V}")
    unix = data.replace(b"\r\n", b"\n")
    for form in (
        unix,
        b"From MAILER-DAEMON Mon Jan  1 00:00:00 2024\n" + unix,
        b"From MAILER-DAEMON Mon Jan  1 00:00:00 2024\r\n" + data,
        b">From MAILER-DAEMON Mon Jan  1 00:00:00 2024\n" + data,
        b"Return-Path: <>\r\n" + unix,
    ):
        assert told(form) == BOTH
        assert read(form).text == "Sorry."


def test_a_message_that_is_nothing_but_a_delivery_status_is_read() -> None:
    data = f"Content-Type: message/delivery-status (x)\n\n{MESSAGE_GROUP}\n{U}{V}".encode()
    assert told(data) == BOTH
    assert read(data).text == ""


def test_a_list_that_wraps_a_report_does_not_hide_it() -> None:
    inner = report(f"{MESSAGE_GROUP}\n{U}\n{V}")
    outer = b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + inner + b"\r\n--o\r\n\r\nfooter\r\n--o--\r\n"
    assert told(outer) == BOTH


@pytest.mark.parametrize(
    "first",
    [
        (
            "Content-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\nSorry.\n--c\n"
            "Content-Type: text/html\n\n<p>Sorry\n--c--\n"
        ),
        (
            "Content-Type: multipart/alternative (x); boundary=c (y)\n\n--c\nContent-Type: text/html\n\n<p>Sorry\n--c\n"
            "Content-Type: text/plain (z)\n\nSorry.\n--c--\n"
        ),
        (
            "Content-Type: multipart/related; boundary=c\n\n--c\nContent-Type: multipart/alternative; boundary=d\n\n"
            "--d\nContent-Type: text/plain\n\nSorry.\n--d--\n--c\nContent-Type: image/png\n\nx\n--c--\n"
        ),
        (
            "Content-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: text/plain\n"
            "Content-Transfer-Encoding: (x) BASE64\n\nU29ycnku\n--c--\n"
        ),
    ],
)
def test_the_text_is_found_within_a_multipart(first: str) -> None:
    found = read(report(f"{MESSAGE_GROUP}\n{U}", first=first))
    assert found.text == "Sorry."
    assert [one.final.address for one in found.recipients] == ["u@x.test"]
