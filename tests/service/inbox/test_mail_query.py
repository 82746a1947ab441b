"""The language of searches, the digest of messages, and rules: the same terms in Python and in SQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.service.inbox.inbox_rules import InboxRule, meets, proper_tag
from posthouse.service.inbox.mail_digest import digest_of
from posthouse.service.inbox.mail_query import MOST_TERMS, read_query
from posthouse.spool import SqliteSpool
from posthouse.spool.history import Accepted, Origin
from posthouse.spool.interface import StoredMessage
from posthouse.spool.mail_index import MailDigest, MailTerm
from posthouse.spool.model import InboxMessage

NOW = 1_800_000_000.0
MESSAGE = b"""\
Return-Path: <bounce@shop.test>\r
From: =?utf-8?b?5byg5LiJ?= <ZHANG@Shop.test>\r
To: Bob <bob@x.test>, "Team, all" <team@x.test>\r
Cc: c@y.test\r
Subject: Your =?utf-8?q?order_=E2=84=96?= 7\r
Message-ID: <m7@shop.test>\r
Date: Tue, 01 Sep 2026 10:00:00 +0200\r
X-Tags: Nightly, two words\r
X-Trace: abc-123\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/html; charset=utf-8\r
\r
<p data-testid="total">Total: <b>42 EUR</b></p>\r
--b\r
Content-Type: application/pdf; name="Rechnung.pdf"\r
Content-Disposition: attachment\r
\r
x\r
--b--\r
"""
PLACE = InboxMessage(7, "bob@x.test", "72mhfmgjc0w83", "bounce@shop.test", NOW, len(MESSAGE))
EVENTS = (Accepted(NOW, "mx 192.0.2.1:4000", "bounce@shop.test", ("bob+signup@x.test",), 9, Origin(user="ann")),)


def digest(*rules: InboxRule, octets: bytes = MESSAGE) -> MailDigest:
    return digest_of(rules)(PLACE, octets, EVENTS)


def test_the_digest_has_what_a_list_shows() -> None:
    made = digest()
    assert made[:6] == (
        "张三",
        "ZHANG@Shop.test",
        'Bob <bob@x.test>, "Team, all" <team@x.test>',
        "Your order № 7",
        "Total: 42 EUR",
        "m7@shop.test",
    )
    assert (made.date, made.attachments, made.html, made.login) == (1_788_249_600.0, 1, True, "ann")
    assert made.envelope == "bob+signup@x.test"
    assert made.labels == ("tag:signup", "tag:nightly", "tag:two words")


def test_rules_give_tags_and_inboxes() -> None:
    rule = InboxRule(read_query("from:*@shop.test has:attachment", NOW), ("tag:bill", "box:shop"))
    other = InboxRule(read_query("-from:*@shop.test", NOW), ("tag:never",))
    assert digest(rule, other).labels[-2:] == ("tag:bill", "box:shop")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("due  today", (MailTerm("any", "~", "due"), MailTerm("any", "~", "today"))),
        ('"due today"', (MailTerm("any", "~", "due today"),)),
        ('-"due today" !x', (MailTerm("any", "~", "due today", True), MailTerm("any", "~", "x", True))),
        ("12:30 http://x.test/?a=b", (MailTerm("any", "~", "12:30"), MailTerm("any", "~", "http://x.test/?a=b"))),
        ("to:a@x.test", (MailTerm("to", "=", "a@x.test"),)),
        ("to~a@x.test", (MailTerm("to", "~", "a@x.test"),)),
        ("to:bob cc:<b@x>", (MailTerm("to", "~", "bob"), MailTerm("to", "=", "b@x"))),
        ("from!=a@x.test", (MailTerm("from", "=", "a@x.test", True),)),
        ('subject:"due today"', (MailTerm("subject", "~", "due today"),)),
        ("is:unread -is:read", (MailTerm("unread", "=", 1), MailTerm("unread", "=", 0, True))),
        ("tag:Red -tag:b", (MailTerm("view", "=", "tag:red"), MailTerm("view", "=", "tag:b", True))),
        ("inbox:Bob@Bücher.Test", (MailTerm("view", "=", "bob@xn--bcher-kva.test"),)),
        ("domain:@x.test login:Ann", (MailTerm("view", "=", "@x.test"), MailTerm("view", "=", "login:Ann"))),
        ("size>=1k", (MailTerm("size", "<", 1000, True),)),
        ("age<1h", (MailTerm("received", ">", NOW - 3600),)),
        ("before:2026-04-01 after:2026/04/01T12:30+02:00", None),
        ("id:7", (MailTerm("number", "=", 7.0),)),
        ("id:72mhfmgjc0w83", (MailTerm("queue", "=", "72mhfmgjc0w83"),)),
        ("message-id:<m@x>", (MailTerm("message-id", "=", "m@x"),)),
        ('- -- ""', (MailTerm("any", "~", "-"), MailTerm("any", "~", "-", True))),
        ('un"closed quotation', (MailTerm("any", "~", "unclosed quotation"),)),
    ],
)
def test_the_language(text: str, terms: Any) -> None:
    found = read_query(text, NOW)
    if terms is None:
        terms = (MailTerm("received", "<", 1_775_001_600.0), MailTerm("received", ">", 1_775_039_400.0))
    assert found == terms


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("size>big", '"big" is no size; write a number'),
        ("age<soon", '"soon" is no duration'),
        ("before:yesterday", '"yesterday" is no date'),
        ("is:blue", "there is no is:blue; write is:read or is:unread"),
        ('size>"a\nb"', '"a b" is no size'),
        ("id:x", '"x" is no number and no queue id'),
        ("x " * (MOST_TERMS + 1), "more than 50 terms"),
        ("x" * 2001, "longer than 2000 characters"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_remedy(text: str, error: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_query(text, NOW)
    assert error in str(raised.value)


QUERIES = {
    "zhang": True,
    "张三": True,
    "三": True,
    "order": True,
    "rechnung": True,
    "42 eur": False,
    '"42 eur"': True,
    "nothing": False,
    "-nothing": True,
    "from:zhang@shop.test": True,
    "from:hang@shop.test": False,
    "from~hang@shop.test": True,
    "from:bounce@shop.test": True,
    "from:*@shop.test": True,
    "from:?hang@shop.test": False,
    "from=[z]*@shop.test": False,
    "to:team@x.test": True,
    "to:bob+signup@x.test": True,
    "to:c@y.test": True,
    "to:ob@x.test": False,
    "subject:№": True,
    "subject:total": False,
    "body:total": True,
    "header:abc-123": True,
    'header:"x-trace: abc"': True,
    "html:data-testid": True,
    "body:data-testid": False,
    "tag:nightly": True,
    'tag:"two words"': True,
    "tag:night": False,
    "inbox:bob@x.test": True,
    "domain:x.test": True,
    "login:ann": True,
    "login:bob": False,
    "is:unread": True,
    "has:attachment": True,
    "-has:attachment": False,
    "size>100": True,
    "size<100": False,
    "message-id:m7@shop.test": True,
    "age<1d": True,
    "age>1d": False,
}


def test_a_search_in_sql_and_a_rule_in_python_agree() -> None:
    made = digest()
    wrong = [query for query, expected in QUERIES.items() if meets(read_query(query, NOW), made, PLACE) != expected]
    assert wrong == ["42 eur"]  # two words, each of which stands there

    async def scenario() -> None:
        async with SqliteSpool.ephemeral(time=lambda: NOW) as spool:
            sender = Address("bounce", "shop.test")
            envelope = Envelope(sender, (Recipient(Address("bob+signup", "x.test")),))
            incoming = spool.receive()
            incoming.write(MESSAGE)
            stored = await incoming.commit(envelope, ["x.test"], received=NOW, due=NOW, arrival=Origin(user="ann"))
            message = StoredMessage(stored.message.id, envelope, NOW, len(MESSAGE))
            await spool.keep("bob@x.test", message, Bytes(MESSAGE))
            await spool.index.follow(digest_of(), limit=10)
            for query in QUERIES:
                found = await spool.index.search("", read_query(query, NOW))
                assert bool(found.rows) is meets(read_query(query, NOW), made, PLACE), query

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"From: A <\x00a\x1b@x>\r\n\r\n",
        b"\r\n",
        b"\x00\xff\x01" * 100,
        b"From: \r\nTo: <>\r\nSubject:\r\n\r\n",
        b"Subject: " + b"x" * 100_000,
    ],
)
def test_the_digest_of_anything_is_bounded_and_raises_nothing(octets: bytes) -> None:
    made = digest(octets=octets)
    assert len(made.subject) <= 500
    assert all(text.isprintable() for text in made[:6])
    assert all(len(text) <= 100_000 for text in made if isinstance(text, str))
    assert "\x00" not in "".join(text for text in made if isinstance(text, str))


def test_many_parts_and_a_large_text_are_digested_in_bounds() -> None:
    parts = b"--b\r\n\r\nx\r\n" * 10_000
    made = digest(octets=b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n")
    assert made.body_text.startswith("x")
    large = digest(octets=b"Content-Type: text/html\r\n\r\n" + b"<p>words " * 500_000)
    assert len(large.html_text) == 65_536
    assert large.body_text.startswith("words")


def test_a_tag_is_one_line_of_small_letters() -> None:
    assert proper_tag("  Two\r\n Words\u202e ") == "two words"
    assert proper_tag("\x00") == ""
