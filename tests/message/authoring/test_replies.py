"""Replies and forwarded messages: recipients, threads, subjects, quotations, attachments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import posthouse
from posthouse import Attachment, LocalError, Message, forward, reply
from posthouse.message.reading import ReadMessage

ME = "Me <me@x.example>"


def original(*fields: str, body: str = "First line\n> older\n") -> ReadMessage:
    written = "".join(f"{field}\n" for field in fields)
    return posthouse.read(f"{written}\n{body}".encode())


def addresses(found: Any) -> list[str]:
    return [str(each.address) for each in found]


BASIC = (
    "From: Ann <ann@y.example>",
    "To: me@x.example, Bob <bob@y.example>",
    "Cc: ME@x.example, carol@y.example, alias@x.example, broken@-y, ann@y.example",
    "Subject: Re: AW: [list] Ürgent",
    "Message-ID: <3@y.example>",
    "References: <1@y.example> <2@y.example>",
    "Date: Mon, 23 Nov 2026 16:00:00 +0800",
)


def test_a_reply_stays_in_the_thread() -> None:
    made = reply(original(*BASIC), ME, text="Yes.")
    assert addresses(made.to) == ["ann@y.example"]
    assert (made.cc, made.to[0].name) == ((), "Ann")
    assert made.subject == "Re: [list] Ürgent"
    assert made.in_reply_to == ("3@y.example",)
    assert made.references == ("1@y.example", "2@y.example", "3@y.example")
    assert made.text == "Yes.\n\nOn 2026-11-23 16:00 +0800, Ann wrote:\n> First line\n>> older\n"
    assert made.html is None
    without = reply(original(*BASIC), ME, text="Yes.", quote=False, subject="New", to="d@y.example")
    assert (without.text, without.subject, addresses(without.to)) == ("Yes.", "New", ["d@y.example"])


def test_a_reply_to_everyone_leaves_own_addresses_out() -> None:
    made = reply(original(*BASIC), ME, everyone=True, own=["alias@x.example"])
    assert (addresses(made.to), addresses(made.cc)) == (["ann@y.example"], ["bob@y.example", "carol@y.example"])


def test_reply_to_goes_before_from() -> None:
    made = reply(original("Reply-To: list@y.example, more@y.example", *BASIC), ME, everyone=True)
    assert addresses(made.to) == ["list@y.example", "more@y.example"]
    assert "ann@y.example" in addresses(made.cc)


def test_a_reply_to_a_message_of_ones_own_goes_to_those_who_got_it() -> None:
    fields = ("From: me@x.example", "To: bob@y.example, me@x.example", "Cc: carol@y.example")
    assert addresses(reply(original(*fields), ME).to) == ["bob@y.example"]
    everyone = reply(original(*fields), ME, everyone=True)
    assert (addresses(everyone.to), addresses(everyone.cc)) == (["bob@y.example"], ["carol@y.example"])
    assert addresses(reply(original("From: me@x.example", "To: me@x.example"), ME).to) == ["me@x.example"]


def test_in_reply_to_stands_for_missing_references() -> None:
    made = reply(original("From: a@y.example", "Message-ID: <2@y.example>", "In-Reply-To: <1@y.example>"), ME)
    assert made.references == ("1@y.example", "2@y.example")
    broken = reply(original("From: a@y.example", "Message-ID: <[b378@microsoft.example]>"), ME)
    assert broken.references == ("[b378@microsoft.example]",)
    assert reply(original("From: a@y.example"), ME).references == ()
    long = original("From: a@y.example", "Message-ID: <x@y>", "References: " + " ".join(f"<{n}@y>" for n in range(500)))
    references = reply(long, ME).references
    assert (len(references), references[0], references[-2:]) == (100, "0@y", ("499@y", "x@y"))


@pytest.mark.parametrize(
    ("subject", "want"),
    [
        ("", "Re: "),
        ("Hi", "Re: Hi"),
        ("re: RE: Re[2]: Hi", "Re: Hi"),
        ("回复：你好", "Re: 你好"),
        ("Regarding", "Re: Regarding"),
    ],
)
def test_the_prefix_of_a_subject_stands_once(subject: str, want: str) -> None:
    made = reply(original("From: a@y.example", f"Subject: {subject}"), ME)
    assert made.subject == want
    assert forward(original(f"Subject: Fwd: {subject}"), ME, "b@y.example").subject == f"Fwd: {subject}"


def test_without_an_address_there_is_nobody_to_answer() -> None:
    for fields in ((), ("From: nobody",), ("From: broken@-y",)):
        with pytest.raises(LocalError, match="no address"):
            reply(original(*fields), ME)
        assert addresses(reply(original(*fields), ME, to="b@y.example").to) == ["b@y.example"]
    with pytest.raises(LocalError, match=r"posthouse\.read"):
        reply(b"From: a@b.c\n\n", ME)  # type: ignore[arg-type]


def with_picture() -> Message:
    return Message(
        "ann@y.example",
        "me@x.example",
        subject="Report",
        html='<html><head><style>p{}</style></head><body class="a"><p>Look</p><img src="cid:logo"></body></html>',
        inline={"logo": Attachment(b"png", name="logo.png")},
        attachments=[
            Attachment("零,一\r\n", name="c.csv"),
            ("b.txt", "日本".encode("cp932"), "text/plain; charset=cp932"),
        ],
    )


def test_a_reply_in_html_quotes_html_with_its_pictures() -> None:
    made = reply(with_picture(), ME, text="Fine.", html="<p>Fine.</p>")
    assert made.html is not None
    assert made.html.startswith("<p>Fine.</p><p>On ")
    assert made.html.endswith('<blockquote type="cite"><p>Look</p><img src="cid:logo"></blockquote>')
    assert [(each.content_id, each.content) for each in made.inline] == [("logo", b"png")]
    assert made.attachments == ()
    plain = reply(original(*BASIC, body="a < b\n"), ME, html="<p>x</p>")
    assert plain.html is not None
    assert "a &lt; b" in plain.html


@pytest.mark.parametrize(
    ("html", "want"),
    [
        ("<p>x", "<p>x"),
        ("<html><head><title>t</title></head><p>x</html>", "<p>x"),
        ("<!DOCTYPE html><HTML lang=x><Body class='a'>x</BODY ></html>", "x"),
        ("<head>no end", "<head>no end"),
        ("<body>no end", "no end"),
        ("<header>x</header>", "<header>x</header>"),
    ],
)
def test_html_is_quoted_without_what_makes_a_document(html: str, want: str) -> None:
    source = posthouse.read(f"From: a@y.example\nContent-Type: text/html\n\n{html}".encode())
    assert reply(source, ME, html="").html == f'<p>a@y.example wrote:</p><blockquote type="cite">{want}</blockquote>'


@pytest.mark.parametrize(
    ("html", "want"),
    [
        (
            "<html><head><title>t</title><style>p{}</style><STYLE media='x'>b{}</STYLE ></head><body>x</body></html>",
            "<style>p{}</style><STYLE media='x'>b{}</STYLE >x",
        ),
        (
            "<body bgcolor='#eee' style=\"font:1em 'A'\">x",
            '<div style="background-color:#eee;font:1em &#x27;A&#x27;">x</div>',
        ),
        ("<head><style>no end</head><p>x", "<p>x"),
        ("<head><style>p{}</style></head><p>x", "<style>p{}</style><p>x"),
        (
            "<!--[if mso]><style>p{}</style><![endif]--><!--[if !mso]><!--><style>b{}</style><!--<![endif]--><body>x",
            "<style>b{}</style>x",
        ),
        (
            '<!--[if mso]><body style="color:blue"><![endif]--><body style="color:red">x</body>',
            '<div style="color:red">x</div>',
        ),
        (
            "<style>/* <body style='a'> */</style><body style='b'>x",
            "<style>/* <body style='a'> */</style><div style=\"b\">x</div>",
        ),
        ("<!-- <body style='a'>x", "<!-- x"),
    ],
)
def test_html_is_forwarded_with_its_looks(html: str, want: str) -> None:
    source = posthouse.read(f"From: a@y.example\nContent-Type: text/html\n\n{html}".encode())
    made = forward(source, ME, "b@y.example").html
    assert made is not None
    assert made.endswith(f"</p>{want}")


@pytest.mark.parametrize(
    "piece", ["<head", "<body ", "<body <", "</head", "<!doctype ", "<html", "<head><body", "<style", "<!--", "<!-->"]
)
def test_html_of_many_pieces_takes_no_long_time(piece: str) -> None:
    """A quadratic search takes minutes here, and the test would exceed its time limit."""
    octets = b"From: a@y.example\nContent-Type: text/html\n\n" + piece.encode() * 200_000
    assert reply(posthouse.read(octets), ME, html="").html is not None
    assert forward(posthouse.read(octets + b"</head>"), ME, "b@y.example").html is not None


def test_a_forwarded_message_has_everything() -> None:
    source = with_picture()
    made = forward(source, ME, "bob@y.example", text="See below")
    read = posthouse.read(made.as_bytes())
    assert made.subject == "Fwd: Report"
    assert made.references == (source.message_id,)
    assert made.in_reply_to == ()
    assert "See below\n\n---------- Forwarded message ----------\nFrom: ann@y.example\n" in read.text
    assert read.text.endswith("\n\nLook\n")
    assert made.html is not None
    assert made.html.startswith("<p>See below</p><p>---------- Forwarded")
    assert [(each.filename, each.type, each.content) for each in read.attachments] == [
        ("logo.png", "image/png", b"png"),
        ("c.csv", "text/csv", "零,一\r\n".encode()),
        ("b.txt", "text/plain", "日本".encode("cp932")),
    ]
    assert posthouse.read(made.as_bytes()).attachments[2].text == "日本"


def test_a_forwarded_message_is_introduced_in_other_words() -> None:
    labels = {"Forwarded message": "转发的邮件", "From": "发件人"}
    made = forward(with_picture(), ME, "bob@y.example", labels=labels)
    assert made.text is not None
    assert made.text.startswith("---------- 转发的邮件 ----------\n发件人: ann@y.example\n")
    assert "\nSubject: Report\n" in made.text
    assert made.html is not None
    assert made.html.startswith("<p>---------- 转发的邮件 ----------<br>发件人: ann@y.example<br>")


def test_a_message_is_forwarded_as_an_attachment() -> None:
    source = posthouse.read(with_picture().as_bytes())
    made = forward(source, ME, "bob@y.example", as_attachment=True)
    (attached,) = posthouse.read(made.as_bytes()).attachments
    assert (attached.type, attached.filename) == ("message/rfc822", "Report.eml")
    assert attached.content == source.as_bytes()
    eight_bit = original("From: a@y.example", "Content-Type: text/plain; charset=utf-8", body="Grüße\n")
    (attached,) = posthouse.read(forward(eight_bit, ME, "b@y.example", as_attachment=True).as_bytes()).attachments
    assert attached.type == "message/rfc822"
    assert attached.message().text == "Grüße\n"
    raw_header = posthouse.read(b"Subject: \xff\n\nx")
    (attached,) = posthouse.read(forward(raw_header, ME, "b@y.example", as_attachment=True).as_bytes()).attachments
    assert (attached.type, attached.content) == ("application/octet-stream", b"Subject: \xff\r\n\r\nx")


def test_an_original_may_be_broken() -> None:
    source = posthouse.read(
        b"From: a@y.example\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: a b; c\n"
        b'Content-Disposition: attachment; filename="a\r\nb"\nContent-ID: <a b>\n\nx\n--x--\n'
    )
    made = forward(source, ME, "b@y.example", html='<img src="cid:a b">')
    assert [each.content for each in made.attachments] == [b"x"]
    assert len(posthouse.read(made.as_bytes()).attachments) == 1


NAMES = "From Reply-To To Cc Subject Message-ID References In-Reply-To Date"
HEADER = st.sampled_from(NAMES.split())
PIECES = st.sampled_from(
    [
        b"<",
        b">",
        b"@",
        b"a@b.example",
        b"\xff",
        b"=?utf-7?q?+2AA-?=",
        b"=?utf-8?q?=E2=80=A8=0A?=",
        b",",
        b" ",
        b"\xe4\xbd\xa0",
        b"x" * 1000,
        b"<1@x.example>",
        b"\x85",
        b"(",
        b'"',
        b"Re: ",
        b"\r\n\t",
        b"\0",
    ]
)
FIELDS = st.lists(st.tuples(HEADER, st.lists(PIECES, max_size=8)), max_size=8)
PART = st.sampled_from(
    [
        b"Content-Type: text/html; charset=utf-7\n\n+2AA-<img src='cid:a b'><img src=cid:c>",
        b"Content-Type: image/png; name*=utf-7''+2AA-\nContent-ID: <c>\n\nx",
        b'Content-Type: image/png\nContent-ID: <\xff>\nContent-Disposition: attachment; filename="\xe2\x80\xa8"\n\nx',
        b'Content-Type: a/b/c; charset="x\ny"\nContent-Disposition: attachment\n\nx',
        b"Content-Type: message/rfc822\n\nSubject: \xff\n\nx",
        b"\n\xff\xfe\0begin 644 a\n",
    ]
)


@given(FIELDS, st.lists(PART, max_size=4), st.booleans())
@example([("From", [b"a@b.example", b"\x85"])], [], False)  # a domain that has no A-labels
@settings(deadline=None, max_examples=150)
def test_whatever_the_original_is_only_a_missing_address_is_an_error(
    fields: list[tuple[str, list[bytes]]], parts: list[bytes], attach: bool
) -> None:
    head = b"".join(name.encode() + b": " + b"".join(pieces) + b"\n" for name, pieces in fields)
    body = b"".join(b"--b\n" + part + b"\n" for part in parts)
    source = posthouse.read(head + b"Content-Type: multipart/mixed; boundary=b\n\n" + body)
    made = [forward(source, ME, "b@y.example", text="x", as_attachment=attach)]
    refused = "no address"
    try:
        made.append(reply(source, ME, text="x", html="<p>x", everyone=True))
    except LocalError as error:
        refused = str(error)
    assert "no address" in refused
    for each in made:
        assert posthouse.read(each.as_bytes()).message_id == each.message_id
