"""Reading of reports: each kind, well formed and broken, and what is no report."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.reading import read
from posthouse.message.reports import BounceKind, ReportKind, read_report


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


DSN = crlf("""\
From: Mail Delivery System <MAILER-DAEMON@mx.example.org>
To: ann@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain

I could not deliver it.
--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Original-Envelope-Id: QQ314159

Original-Recipient: rfc822;info@shop.example
Final-Recipient: rfc822; bob@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mail.example.com
Diagnostic-Code: smtp; 550 5.1.1 <bob@example.com> User unknown

Final-Recipient: rfc822; eve@example.com
Action: delayed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 over quota

Final-Recipient: rfc822; carl@example.com
Action: delivered
Status: 2.0.0
--x
Content-Type: message/rfc822

From: ann@example.org
Message-ID: <one@example.org>

hello
--x--
""")


def test_a_delivery_status_notification() -> None:
    report = read_report(DSN)
    assert report is not None
    assert (report.kind, report.reporter) == (ReportKind.DELIVERY_STATUS, "mx.example.org")
    assert (report.message_id, report.envelope_id) == ("one@example.org", "QQ314159")
    bob, eve, carl = report.recipients
    assert (bob.address, bob.original, bob.remote_mta) == ("bob@example.com", "info@shop.example", "mail.example.com")
    assert bob.bounce is not None
    assert bob.bounce.kind is BounceKind.NO_MAILBOX
    assert bob.bounce.hard
    assert eve.bounce is not None
    assert eve.bounce.kind is BounceKind.FULL
    assert eve.bounce.soft
    assert carl.bounce is None
    assert (report.failed, report.delayed) == ((bob,), (eve,))
    assert b"hello" in report.original
    assert pickle.loads(pickle.dumps(report)) == report


def test_the_reason_in_the_text_counts_where_the_fields_have_none() -> None:
    generic = DSN.replace(b"Status: 5.1.1", b"Status: 5.0.0").replace(
        b"Diagnostic-Code: smtp; 550 5.1.1 <bob@example.com> User unknown\r\n", b""
    )
    generic = generic.replace(b"I could not deliver it.", b"bob@example.com:\r\n    mailbox is full\r\n")
    report = read_report(generic)
    assert report is not None
    bounce = report.recipients[0].bounce
    assert bounce is not None
    assert bounce.kind is BounceKind.FULL
    assert bounce.permanent


def test_a_disposition_notification() -> None:
    report = read_report(
        crlf("""\
From: Bob <bob@example.com>
To: ann@example.org
Subject: Read: hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=disposition-notification; boundary=y

--y
Content-Type: text/plain

Bob has seen it.
--y
Content-Type: message/disposition-notification

Reporting-UA: pc.example.com; Mailer 4.2
Original-Recipient: rfc822;info@example.com
Final-Recipient: rfc822;bob@example.com
Original-Message-ID: <one@example.org>
Disposition: manual-action/MDN-sent-manually; displayed/error
Error: one
 two

--y--
""")
    )
    assert report is not None
    assert report.disposition is not None
    assert (report.kind, report.message_id) == (ReportKind.DISPOSITION, "one@example.org")
    assert (report.disposition.kind, report.disposition.manual) == ("displayed", True)
    assert (report.disposition.modifiers, report.disposition.error) == (("error",), "one two")
    assert report.recipients[0].address == "bob@example.com"
    assert report.recipients[0].original == "info@example.com"


def test_a_feedback_report() -> None:
    report = read_report(
        crlf("""\
From: <abuse@provider.example>
To: fbl@example.org
Subject: FW: offer
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=z

--z
Content-Type: text/plain

A complaint.
--z
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Loop/1.0
Version: 1
Original-Mail-From: <bounce@example.org>
Original-Rcpt-To: <bob@provider.example>
Original-Rcpt-To: <eve@provider.example>
Source-IP: 192.0.2.1
Incidents: 3
Reported-Domain: example.org

--z
Content-Type: message/rfc822

From: ann@example.org
Message-ID: <two@example.org>

offer
--z--
""")
    )
    assert report is not None
    assert report.feedback is not None
    assert (report.kind, report.reporter) == (ReportKind.FEEDBACK, "Loop/1.0")
    feedback = report.feedback
    assert (feedback.kind, feedback.source_ip, feedback.mail_from) == ("abuse", "192.0.2.1", "bounce@example.org")
    assert (feedback.domains, feedback.incidents) == (("example.org",), 3)
    assert [each.address for each in report.recipients] == ["bob@provider.example", "eve@provider.example"]
    assert report.message_id == "two@example.org"


@pytest.mark.parametrize("incidents", ["-1", "many", "9" * 5000, "", "１２"])
def test_a_number_of_incidents_that_is_none_is_one(incidents: str) -> None:
    report = read_report(
        crlf(f"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nIncidents: {incidents}\n")
    )
    assert report is not None
    assert report.feedback is not None
    assert report.feedback.incidents in (1, 12)


FREE_FORM = {
    "qmail": (
        (
            "From: MAILER-DAEMON@mx.example.net\nTo: ann@example.org\nSubject: failure notice\n\n"
            "Hi, this is the mail program at mx.example.net.\nI wasn't able to deliver your message "
            "to these addresses.\n"
            "This is a permanent error; I've given up. Sorry.\n\n"
            "<bob@example.com>:\n192.0.2.5 does not like recipient.\nRemote host said: 550 5.1.1 no such user here\n"
            "Giving up on 192.0.2.5.\n\n"
            "--- Below this line is a copy of the message.\n\nReturn-Path: "
            "<ann@example.org>\nMessage-ID: <q@example.org>\n"
            "To: third@example.com\n"
        ),
        [("bob@example.com", "no-mailbox", "failed")],
        "q@example.org",
    ),
    "exim": (
        (
            "Return-Path: <>\nX-Failed-Recipients: bob@example.com,\n eve@example.com\n"
            "From: Mail Delivery System <Mailer-Daemon@mx.example.net>\nTo: ann@example.org\n"
            "Subject: Mail delivery failed: returning message to sender\n\n"
            "A message that you sent could not be delivered to one or more of its\nrecipients.\n\n"
            "  bob@example.com\n    host mx.example.com [192.0.2.1]\n    SMTP error from remote "
            "mail server after RCPT TO\n"
            "    552 5.2.2 mailbox full\n  eve@example.com\n    all relevant MX records point to non-existent hosts\n\n"
            "------ This is a copy of the message's headers. ------\n\nMessage-Id: <e@example.org>\n"
        ),
        [("bob@example.com", "full", "failed"), ("eve@example.com", "no-domain", "failed")],
        "e@example.org",
    ),
    "sendmail of old": (
        (
            "From: Mail Delivery Subsystem <MAILER-DAEMON>\nTo: <ann@example.org>\nSubject: Returned mail: unknown\n\n"
            "   ----- The following addresses had permanent fatal errors -----\n<bob@example.com>\n\n"
            "   ----- Transcript of session follows -----\n... while talking to mx.example.com.:\n"
            ">>> RCPT To:<bob@example.com>\n<<< 550 5.1.1 <bob@example.com>... User unknown\n"
            "550 <bob@example.com>... User unknown\n\n   ----- Original message follows -----\n\nFrom: x@y.example\n"
        ),
        [("bob@example.com", "no-mailbox", "failed")],
        "",
    ),
    "a provider in a sentence": (
        (
            "Return-Path: <>\nFrom: postmaster@provider.example\nTo: ann@example.org\nSubject: Undeliverable: hello\n\n"
            "Delivery has failed to these recipients or groups:\n\nBob Smith (bob@provider.example)\n"
            "The email address you entered couldn't be found; the recipient's mailbox was not found.\n"
        ),
        [("bob@provider.example", "no-mailbox", "failed")],
        "",
    ),
    "a Chinese provider": (
        (
            "From: postmaster@sina.example\nTo: ann@example.org\nSubject: 退信\n\n"
            "很抱歉，您的邮件被退回：\n\n收件人邮箱不存在，无法投递\nrenping@sina.example\n"
        ),
        [("renping@sina.example", "no-mailbox", "failed")],
        "",
    ),
    "a warning": (
        (
            "From: MAILER-DAEMON@mx.example.net\nTo: ann@example.org\nSubject: Warning: message delayed 24 hours\n\n"
            "THIS IS A WARNING MESSAGE ONLY. You do not need to resend your message.\n\nDelivery was delayed.\n\n"
            "<bob@example.com>: connect to mx.example.com: Connection timed out\n"
        ),
        [("bob@example.com", "network", "delayed")],
        "",
    ),
}


@pytest.mark.parametrize("name", FREE_FORM)
def test_a_bounce_in_words(name: str) -> None:
    text, expected, message_id = FREE_FORM[name]
    report = read_report(crlf(text))
    assert report is not None
    assert report.kind is ReportKind.FREE_FORM
    assert [
        (each.address, each.bounce and each.bounce.kind.value, each.action) for each in report.recipients
    ] == expected
    assert report.message_id == message_id


@pytest.mark.parametrize(
    "text",
    [
        "From: ann@example.org\nTo: bob@example.com\nSubject: Re: hello\n\nbob@example.com: user unknown, you said?\n",
        (
            "Return-Path: <>\nFrom: bob@example.com\nAuto-Submitted: auto-replied\nSubject: On "
            "holiday\n\nBack on 1.2. See"
            " eve@example.com.\n"
        ),
        "From: postmaster@example.com\nTo: ann@example.org\nSubject: our new address\n\nwrite to info@example.com\n",
        "",
        "\n\n",
        "Content-Type: multipart/report\n\nnothing",
    ],
)
def test_what_is_no_report_gives_none(text: str) -> None:
    assert read_report(crlf(text)) is None


def test_a_message_that_was_read_is_taken_as_well() -> None:
    assert read_report(read(DSN)) == read_report(DSN)


@given(st.binary(max_size=400))
def test_no_octets_raise(noise: bytes) -> None:
    for head in (DSN, *(crlf(text) for text, _, _ in FREE_FORM.values())):
        read_report(head[:200] + noise + head[200:])
        read_report(head + noise)
