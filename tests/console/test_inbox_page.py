"""The inbox, message and compose pages over operations in memory; hostile messages do nothing to them."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.console.live_console import LiveConsole
from tests.service.inbox.test_html_support import data_file, feature

from posthouse.console.assets import Assets
from posthouse.console.mail_html import is_remote, safe_document
from posthouse.console.mail_parts import INLINE_TYPES, attachment_header, part_response
from posthouse.console.pages.message_page import segments
from posthouse.core import Address, Bytes, Envelope, Recipient, Remark
from posthouse.message import parse_mailboxes
from posthouse.message.reading import read_octets
from posthouse.spool import SqliteSpool
from posthouse.spool.history import Origin
from posthouse.spool.interface import StoredMessage

from .conftest import CONFIG, ConsoleHarness

PLAIN = b"From: Ann <ann@here.test>\r\nTo: bob@x.test\r\nSubject: %s\r\nMessage-ID: <%s@here.test>\r\n\r\n%s\r\n"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
RICH = f"""\
From: Shop <shop@x.test>\r
To: bob@x.test\r
Subject: Your code\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=m\r
\r
--m\r
Content-Type: multipart/related; boundary=r\r
\r
--r\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Your code is <b>482913</b> <a href="https://x.test/confirm?a=1">confirm</a>\r
<img src="cid:logo@x"><img src="https://tracker.test/p.gif"></p>\r
--r\r
Content-Type: image/png\r
Content-ID: <logo@x>\r
Content-Transfer-Encoding: base64\r
\r
{PNG}\r
--r--\r
--m\r
Content-Type: text/html\r
Content-Disposition: attachment; filename="evil.html"\r
\r
<script>alert(1)</script>\r
--m\r
Content-Type: application/pdf\r
Content-Disposition: attachment; filename*=utf-8''%E8%B4%A6%E5%8D%95%22%0d%0a.pdf\r
\r
%PDF\r
--m--\r
""".encode()

VECTORS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='  jav\tascript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "<a href='vbscript:x'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='data:text/html,x'></object><embed src=x><applet code=x>",
    "<form action='https://x.test'><input name=p><button formaction='javascript:x'>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://x.test'>",
    "<base href='https://x.test/'><link rel=stylesheet href='https://x.test/a.css'>",
    "<body onload=alert(1)><div onmouseover='alert(1)'>x</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<textarea></textarea><script>alert(1)</script>",
    "<title></title><script>alert(1)</script>",
    "<style></style><script>alert(1)</script>",
    "<style>@import 'https://x.test/a.css'; body{background:url(https://x.test/b.png)}</style>",
    "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
    "<img src='cid:evil' onerror=alert(1)>",
    "<img srcset='https://x.test/1.png 1x'>",
    "<video src=x onerror=alert(1)><source src=x></video><audio src=x>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)><select onfocus=x><keygen>",
    "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
    "<!--><script>alert(1)</script>-->",
    "<<script>alert(1)//<</script>",
    '"><script>alert(1)</script>',
    "{{ 7*7 }} {% raw %} ${7*7}",
    "<template><script>alert(1)</script></template>",
    "<a target=_top href='https://x.test'>x</a>",
    "<p style='position:fixed;inset:0;background:url(javascript:alert(1))'>x</p>",
]
_FORBIDDEN = {"script", "iframe", "object", "embed", "form", "input", "button", "meta", "base", "link", "svg", "math"}


class Elements(HTMLParser):
    """The elements and attributes of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


class Mailbox:
    """A console with messages."""

    def __init__(self, harness: ConsoleHarness) -> None:
        self.harness = harness
        self.client: TestClient = harness.client

    def keep(
        self, octets: bytes, inbox: str = "bob@x.test", source: str = "", remarks: tuple[Remark, ...] = ()
    ) -> None:
        """Put a message into an inbox; with a source, it has been accepted from there, and ``remarks`` were made."""

        async def put() -> None:
            incoming = self.harness.spool.receive()
            envelope = Envelope(Address("shop", "x.test"), (Recipient(Address("bob", "x.test")),))
            now = self.harness.clock.time()
            if source:
                incoming.write(octets)
                arrival = Origin("", remarks=remarks)
                await incoming.commit(envelope, ["x.test"], received=now, due=now, source=source, arrival=arrival)
            else:
                incoming.abort()
            message = StoredMessage(incoming.id, envelope, now, len(octets))
            await self.harness.spool.keep(inbox, message, Bytes(octets))

        self.harness.run(put)

    def page(self, path: str, status: int = 200) -> str:
        response = self.client.get(path, headers={"accept": "text/html"})
        assert response.status_code == status, response.text[:2000]
        return response.text

    def json(self, path: str) -> Any:
        response = self.client.get(path)
        assert response.status_code == 200, response.text[:2000]
        return response.json()

    def post(self, path: str, **fields: Any) -> Any:
        response = self.client.post(path, json=fields)
        return response.status_code, response.json()


@pytest.fixture
def mailbox(harness: ConsoleHarness) -> Mailbox:
    return Mailbox(harness)


def plain(subject: str, text: str = "hello") -> bytes:
    return PLAIN % (subject.encode(), subject.encode().replace(b" ", b"-"), text.encode())


def test_an_empty_inbox_says_what_to_do(mailbox: Mailbox) -> None:
    assert "posthouse send --server" in mailbox.page("/inbox")
    assert mailbox.json("/inbox.json")["messages"] == []
    assert "还没有邮件" in mailbox.page("/inbox?lang=zh")


def test_many_mailboxes_are_shown_by_a_link_and_the_chosen_one_always(mailbox: Mailbox) -> None:
    names = [f"ann{number:02}@x.test" for number in range(18)]
    for name in names:
        mailbox.keep(plain(name), name)

    def shown(path: str) -> list[str]:
        return re.findall(r'href="/inbox\?view=(ann\d\d)%40x.test"', mailbox.page(path))

    whole = [name.partition("@")[0] for name in names]
    assert shown("/inbox") == whole[:15]
    assert shown("/inbox?view=ann17@x.test") == [*whole[:15], "ann17"]
    assert 'aria-label="Show all: Mailboxes"' in mailbox.page("/inbox")
    assert shown("/inbox?views=all") == whole
    assert "Show all" not in mailbox.page("/inbox?views=all")


def test_the_list_shows_searches_and_pages(mailbox: Mailbox) -> None:
    for number in range(55):
        mailbox.keep(plain(f"number {number}"), f"bob{number % 2}@x.test")
    text = mailbox.page("/inbox")
    assert text.count('data-testid="mail-row"') == 50
    assert "number 54" in text
    assert 'aria-label="Inboxes, tags and logins"' in text
    before = mailbox.json("/inbox.json")["before"]
    assert mailbox.page(f"/inbox?before={before}").count('data-testid="mail-row"') == 5
    found = mailbox.json("/inbox.json?q=subject:%22number+3%22&view=bob1@x.test")["messages"]
    assert [each["subject"] for each in found] == [
        "number 39",
        "number 37",
        "number 35",
        "number 33",
        "number 31",
        "number 3",
    ]
    assert "Nothing was found" in mailbox.page("/inbox?q=zzzz")
    assert mailbox.client.get("/inbox?q=size%3Ebig").status_code == 400
    assert len(mailbox.json(f"/inbox.json?after={found[0]['number']}")["messages"]) == 15


def test_reading_on_the_page_marks_and_by_json_does_not(mailbox: Mailbox) -> None:
    mailbox.keep(plain("one"))
    mailbox.keep(plain("two"))
    assert mailbox.json("/message/1.json")["entry"]["unread"] is True
    assert mailbox.json("/inbox.json")["total_unread"] == 2
    text = mailbox.page("/message/1")
    assert "<h1>one</h1>" in text
    assert mailbox.json("/inbox.json")["total_unread"] == 1
    assert mailbox.client.get("/message/99").status_code in (400, 404)
    assert mailbox.client.get("/message/x").status_code == 404


def test_every_tab_of_a_message(mailbox: Mailbox) -> None:
    mailbox.keep(RICH)
    text = mailbox.page("/message/1")
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in text
    assert "Remote pictures are blocked" in text
    assert "482913" in text
    for tab, part in (
        ("text", "482913"),
        ("headers", "multipart/mixed"),
        ("parts", "evil.html"),
        ("source", "boundary=m"),
        ("links", "https://x.test/confirm?a=1"),
        ("check", "missing-date"),
    ):
        assert part in mailbox.page(f"/message/1?tab={tab}"), tab
        assert mailbox.page(f"/message/1?tab={tab}&lang=zh")
    assert "frame-phone" in mailbox.page("/message/1?width=phone&dark=1&remote=1")


def test_what_is_wrong_with_a_message_is_told_once_and_in_the_language_of_the_reader(mailbox: Mailbox) -> None:
    types = b"Content-Type: text/plain; charset=utf-8\r\nContent-Type: text/html\r\n"
    mailbox.keep(b"From: x@y.test\r\n" + types + b"no field\r\n\r\nhello\r\n")
    english = mailbox.page("/message/1?tab=check")
    assert english.count("is no header field, and is left out") == 1  # a finding, and not a defect of the reader too
    assert english.count("a part has two fields Content-Type; the first counts") == 1  # no finding says it
    chinese = mailbox.page("/message/1?tab=check&lang=zh")
    (told,) = re.findall(r'<ul class="findings">(.*?)</ul>', chinese, re.DOTALL)
    assert "邮件头中有一行不是字段。" in told
    assert "有一个部分有两个 Content-Type 字段，以第一个为准。" in told
    assert not re.search(r"[a-z]{2,} [a-z]{2,}", re.sub(r"<[^>]*>", " ", told).replace("no-recipient-field", ""))


def test_what_was_tolerated_is_told_in_the_language_of_the_reader(mailbox: Mailbox) -> None:
    mailbox.keep(RICH, source="mx 192.0.2.1:40000", remarks=(Remark("8bit", "554 5.6.1", 3),))
    assert "encode the text as" in mailbox.page("/message/1")
    chinese = mailbox.page("/message/1?lang=zh")
    assert "encode the text as" not in chinese
    assert "改正方法：" in chinese


def test_a_message_leads_to_its_session_where_a_client_brought_it(mailbox: Mailbox) -> None:
    mailbox.keep(RICH, source="mx 192.0.2.1:40000")
    mailbox.keep(RICH, source="sendmail root")
    assert 'href="/sessions?source=mx%20192.0.2.1%3A40000"' in mailbox.page("/message/1")
    assert "/sessions?source=" not in mailbox.page("/message/2")
    assert "sendmail root" in mailbox.page("/message/2")


def test_the_frame_has_its_own_policy_and_pictures_within(mailbox: Mailbox) -> None:
    mailbox.keep(RICH)
    response = mailbox.client.get("/view/1.html")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert "script-src" not in policy
    assert "data:image/png;base64,iVBOR" in response.text
    assert (
        "img-src data: http: https:" in mailbox.client.get("/view/1.html?remote=1").headers["content-security-policy"]
    )
    assert mailbox.client.get("/view/latest.html?query=subject:code").text == response.text
    assert mailbox.client.get("/view/latest.html?query=nothing-like-it").status_code == 404
    assert mailbox.client.get("/view/latest").headers["location"] == "/message/1"
    assert "482913" in mailbox.client.get("/view/1.txt").text


def test_parts_are_shown_only_if_their_type_is_safe(mailbox: Mailbox) -> None:
    mailbox.keep(RICH)
    evil = mailbox.client.get("/message/1/part/2")
    assert evil.headers["content-type"] == "application/octet-stream"
    assert evil.headers["content-disposition"].startswith("attachment;")
    assert evil.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    pdf = mailbox.client.get("/message/1/part/3")
    assert pdf.headers["content-type"] == "application/pdf"
    assert "%E8%B4%A6%E5%8D%95" in pdf.headers["content-disposition"]
    assert mailbox.client.get("/message/1/part/3?download=1").headers["content-disposition"].startswith("attachment")
    assert mailbox.client.get("/message/1/part/1.2").headers["content-type"] == "image/png"
    assert mailbox.client.get("/message/1/part/9").status_code in (400, 404)
    assert mailbox.client.get("/message/1/source.eml").content == RICH


def test_many_messages_are_changed_at_once_and_deletion_is_undone(mailbox: Mailbox) -> None:
    for number in range(4):
        mailbox.keep(plain(f"m{number}"))
    assert mailbox.post("/inbox/act", act="read", number=[1, 2])[1]["messages"] == 2
    assert mailbox.post("/inbox/act", act="tag", number=[1], tags="Red")[0] == 200
    assert mailbox.json("/inbox.json?view=tag:red")["total"] == 1
    last = mailbox.json("/inbox.json")["last"]
    mailbox.keep(plain("late"))
    status, done = mailbox.post("/inbox/act", act="delete", everything="1", until=last)
    assert (status, done["deleted"]) == (200, 4)
    assert [each["subject"] for each in mailbox.json("/inbox.json")["messages"]] == ["late"]
    assert "4 deleted." in mailbox.page(f"/inbox?undo={done['undo']}")
    undone = mailbox.post("/inbox/undo", deletion=done["undo"])[1]
    assert undone == {"deletion": done["undo"], "restored": 4, "who": done["who"]}
    assert mailbox.json("/inbox.json")["total"] == 5
    for wrong in (
        {},
        {"act": "burn", "number": [1]},
        {"act": "delete"},
        {"act": "delete", "number": ["x"]},
        {"act": "delete", "everything": "1"},
    ):
        assert mailbox.post("/inbox/act", **wrong)[0] == 400, wrong


def test_deleting_in_one_mailbox_spares_the_other(mailbox: Mailbox) -> None:
    async def twice() -> None:
        spool = mailbox.harness.spool
        incoming = spool.receive()
        incoming.abort()
        envelope = Envelope(None, (Recipient(Address("a", "x.test")),))
        for inbox in ("a@x.test", "b@x.test"):
            await spool.keep(inbox, StoredMessage(incoming.id, envelope, 0.0, 9), Bytes(plain("both")))

    mailbox.harness.run(twice)
    assert mailbox.post("/inbox/act", act="delete", view="a@x.test", number=[1])[1]["deleted"] == 1
    assert mailbox.json("/inbox.json?view=a@x.test")["total"] == 0
    assert mailbox.json("/inbox.json?view=b@x.test")["total"] == 1


def test_the_whole_inbox_is_saved_as_mbox(mailbox: Mailbox) -> None:
    mailbox.keep(plain("one"))
    mailbox.keep(plain("two", "From here"))
    response = mailbox.client.get("/inbox/export.mbox?q=two")
    assert response.text.startswith("From shop@x.test ")
    assert "\n>From here\n" in response.text
    assert "one" not in response.text
    assert mailbox.client.get("/inbox/export.mbox?q=size%3Ebig").status_code == 400


def test_forms_of_the_page_work_without_a_script(mailbox: Mailbox) -> None:
    mailbox.keep(plain("one"))
    text = mailbox.page("/inbox")
    token = re.search(r'name="csrf" value="([^"]+)"', text)
    assert token is not None
    fields = {"csrf": token[1], "act": "delete", "number": "1", "view": "", "q": "", "until": "1"}
    response = mailbox.client.post("/inbox/act", data=fields)
    assert response.status_code == 303
    assert response.headers["location"] == "/inbox?undo=1"
    assert mailbox.client.post("/inbox/act", data={**fields, "csrf": "x"}).status_code == 403


def test_compose_offers_a_reply_and_names_a_mistake(mailbox: Mailbox) -> None:
    mailbox.keep(plain("one", "what do you say?"))
    text = mailbox.page("/compose?reply=1")
    assert 'value="Re: one"' in text
    assert "&gt; what do you say?" in text
    assert "Fwd: one" in mailbox.page("/compose?forward=1")
    assert 'name="source"' in mailbox.page("/compose?raw=1")
    token = re.search(r'name="csrf" value="([^"]+)"', text)
    assert token is not None
    response = mailbox.client.post("/compose", data={"csrf": token[1], "from": "not an address", "to": "x"})
    assert response.status_code == 400
    assert 'role="alert"' in response.text


def test_what_is_quoted_and_forwarded_is_introduced_in_the_language_of_the_page(mailbox: Mailbox) -> None:
    mailbox.keep(
        b"From: Ann <ann@x.test>\r\nTo: b@x.test\r\nDate: Mon, 30 Nov 2026 20:00:00 +0800\r\nSubject: one\r\n"
        b"\r\nhello\r\n"
    )
    mailbox.keep(b"Subject: two\r\nReply-To: c@x.test\r\n\r\nhello\r\n")
    assert "On 2026-11-30 20:00 +0800, Ann wrote:\n&gt; hello" in mailbox.page("/compose?reply=1")
    assert "Ann 于 2026-11-30 20:00 +0800 写道：\n&gt; hello" in mailbox.page("/compose?reply=1&lang=zh")
    assert "发件人 写道：" in mailbox.page("/compose?reply=2&lang=zh")
    english, chinese = mailbox.page("/compose?forward=1&lang=en"), mailbox.page("/compose?forward=1&lang=zh")
    assert "Forwarded message ----------\nFrom: Ann &lt;ann@x.test&gt;\n" in english
    assert "---------- 转发的邮件 ----------\n发件人: Ann &lt;ann@x.test&gt;\n日期: Mon, 30 Nov" in chinese


def test_html_is_forwarded_from_a_frame_of_its_own_or_as_text(mailbox: Mailbox) -> None:
    mailbox.keep(RICH.replace(b"<p>Your code", b"<script>alert(1)</script><p>Your code"))
    text = mailbox.page("/compose?forward=1&lang=zh")
    assert "改为按纯文本转发" in text
    (frame,) = re.findall(r"<iframe[^>]*>", text)
    assert 'src="/view/1.html"' in frame
    assert "allow-scripts" not in frame
    assert "allow-same-origin" not in frame
    assert "482913" not in text
    assert "alert(1)" not in text
    assert 'name="forward" value="1"' in text
    plain_text = mailbox.page("/compose?forward=1&plain=1")
    assert "482913" in plain_text
    assert "<iframe" not in plain_text
    assert 'name="forward"' not in plain_text
    token = re.search(r'name="csrf" value="([^"]+)"', text)
    assert token is not None
    form = {"csrf": token[1], "from": "a@here.test", "to": "no address", "forward": "1", "text": "see below"}
    again = mailbox.client.post("/compose", data=form, headers={"accept": "text/html"})
    assert again.status_code == 400
    assert 'name="forward" value="1"' in again.text
    assert re.search(r'name="carry" value="1">', again.text)  # it was not chosen, and can be
    wrong = mailbox.client.post("/compose", data={**form, "forward": "\u00b2"}, headers={"accept": "text/html"})
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    "author",
    [
        "Shop",
        "朗瑞",
        '"Last, First"',
        r'"The \"best\" \\ one"',
        "=?utf-8?q?a=40b=2C_c?=",
        '"(x) [y] : z"',
        '""',
        "x" * 200,
    ],
)
def test_a_reply_goes_to_the_author_whatever_the_name(mailbox: Mailbox, author: str) -> None:
    mailbox.keep(f"From: {author} <ann@x.test>\r\nCc: bob@y.test\r\nSubject: one\r\n\r\nhello\r\n".encode())
    text = mailbox.page("/compose?all=1")
    values = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', text)}
    [read] = read_octets(f"To: {author} <ann@x.test>\r\n\r\n".encode()).mailboxes("to")
    [written] = parse_mailboxes(values["to"])
    assert (written.name, str(written.address)) == (read.name, "ann@x.test")
    assert values["cc"] == "bob@y.test"


# Hostile messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS)
def test_a_vector_in_the_html_leaves_nothing_that_acts(vector: str) -> None:
    document = safe_document(vector, {"evil": ("text/html", lambda: b"<script>")})
    body = document.partition("<body>")[2]
    for tag, attributes in Elements(body).found:
        assert tag not in _FORBIDDEN, (tag, body)
        for name, value in attributes.items():
            assert not name.startswith("on"), (name, body)
            assert name not in ("srcset", "srcdoc", "action", "formaction", "target", "http-equiv"), (name, body)
            if name in ("href", "src", "background"):
                address = re.sub(r"\s", "", value or "").lower()
                assert address.startswith(("http://", "https://", "mailto:", "tel:", "data:image/png", "x", "")), body
                assert not address.startswith(("javascript", "vbscript", "data:text", "data:image/svg")), body


def test_vectors_in_every_field_are_text_on_every_page(mailbox: Mailbox) -> None:
    for vector in VECTORS:
        raw = " ".join(vector.split()).encode()
        mailbox.keep(
            b'From: "'
            + raw.replace(b'"', b"'")
            + b'" <a@x.test>\r\nTo: '
            + raw
            + b"\r\nSubject: "
            + raw
            + b"\r\nMessage-ID: <"
            + raw.replace(b" ", b"")
            + b"@x>\r\nX-Tags: "
            + raw
            + b"\r\nX-"
            + b"Odd: "
            + raw
            + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
            + raw
            + b'\r\n--b\r\nContent-Type: image/png; name="'
            + raw.replace(b'"', b"'")
            + b'"\r\nContent-ID: <'
            + raw
            + b">\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--\r\n",
        )
    pages = ["/inbox?limit=100", "/inbox?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/inbox?view=tag:%3Cscript%3E"]
    for number in range(1, len(VECTORS) + 1):
        pages += [
            f"/message/{number}?tab={tab}" for tab in ("text", "headers", "parts", "source", "check")[number % 5 :][:1]
        ]
        pages.append(f"/compose?reply={number}")
    own = {"base.js", "inbox.js", "keys.js"}
    icon = str(Assets().inline("icon.svg"))  # in the head of each page
    for path in pages:
        response = mailbox.client.get(path, headers={"accept": "text/html"})
        assert response.status_code in (200, 400), (path, response.text[:500])
        assert response.text.count(icon) == 1, path
        for tag, attributes in Elements(response.text.replace(icon, "")).found:
            assert not any(name.startswith("on") for name in attributes), path
            if tag == "script":
                assert (attributes.get("src") or "").partition("?")[0].rpartition("/")[2] in own, path
            assert tag not in ("object", "embed", "base", "svg", "math"), (path, tag)
            assert not re.sub(r"\s", "", attributes.get("href") or "").lower().startswith(("javascript", "data")), path


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        'a"b.txt',
        "a\r\nSet-Cookie: x=1",
        "\x00\x01.exe",
        "账单.pdf",
        "",
        "." * 500,
        "a;b=c.txt",
        "%0d%0a",
    ],
)
def test_a_file_name_with_a_trick_is_one_proper_header(name: str) -> None:
    value = attachment_header(name)
    assert value.isascii()
    assert value.isprintable()
    assert re.fullmatch(r"attachment; filename=\"[^\"/\\;%]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", value), value
    response = part_response("text/html", name, b"<script>", download=False)
    assert response.headers["content-disposition"].startswith("attachment")


def test_types_that_run_in_a_browser_are_never_inline() -> None:
    for kind in ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/javascript"):
        assert kind not in INLINE_TYPES


def test_ten_thousand_parts_and_a_large_text_are_shown_in_bounds(mailbox: Mailbox) -> None:
    parts = b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * 10_000
    mailbox.keep(b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n")
    text = mailbox.page("/message/1?tab=parts")
    assert text.count("<tr>") <= 1002
    assert "larger than this page shows" in text
    assert len(text) < 2_000_000
    assert mailbox.client.get("/message/1/part/9999").content == b"x"  # one that the page has no room for
    mailbox.keep(b"Subject: deep\r\nContent-Type: text/html\r\n\r\n" + b"<div>" * 400_000)
    assert mailbox.client.get("/view/2.html").status_code == 200


def test_html_of_fifty_mib_takes_little_memory_and_other_pages_are_answered(mailbox: Mailbox) -> None:
    """It is shown by its beginning; made into text as a whole, it took nearly nine times its size."""
    line = b"<p>%s<script>alert(1)</script></p>\r\n" % ("你好 ".encode() * 40)
    html = line * (50 * (1 << 20) // len(line))
    mailbox.keep(b"Subject: huge\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html)
    size = len(html)
    del html
    pages = ["/message/1", "/message/1?tab=text", "/message/1?tab=source", "/view/1.html", "/message/1?tab=check"]
    answers: dict[str, int] = {}

    def ask() -> None:
        for path in pages:
            answers[path] = mailbox.client.get(path, headers={"accept": "text/html"}).status_code

    mailbox.client.get("/inbox")  # the digest is made
    asking = threading.Thread(target=ask)
    meanwhile = 0
    tracemalloc.start()
    try:
        asking.start()
        while asking.is_alive():
            assert mailbox.client.get("/inbox", headers={"accept": "text/html"}).status_code == 200
            meanwhile += asking.is_alive()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        asking.join()
    assert answers == dict.fromkeys(pages, 200)
    assert meanwhile >= len(pages)
    assert most < 5 * size
    document = mailbox.client.get("/view/1.html").text
    assert "你好" in document
    assert "alert" not in document
    assert len(document) < 2 << 20
    assert "larger than this page shows" in mailbox.page("/message/1")


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: tags\r\nContent-Type: text/html\r\n\r\n" + b"<i>x</i> " * 20_001,
        b"Subject: signs\r\nContent-Type: text/html\r\n\r\n" + b"&amp; " * 50_001,
        b"Subject: long field\r\nX-Long: " + b"word " * 2_100 + b"\r\n\r\nhello\r\n",
        b"Subject: links\r\n\r\n" + b"".join(b"https://x.test/%d\r\n" % number for number in range(1_001)),
    ],
)
def test_whatever_a_page_has_no_room_for_it_says_so(mailbox: Mailbox, octets: bytes) -> None:
    mailbox.keep(octets)
    mailbox.keep(octets[: len(octets) // 2])
    assert "larger than this page shows" in mailbox.page("/message/1")
    assert "larger than this page shows" not in mailbox.page("/message/2")


def test_all_of_a_large_message_is_reached_from_its_page(mailbox: Mailbox) -> None:
    lines = [b"%06d \xe9\xa9\xbf\xe7\xab\x99 and more\r\n" % number for number in range(120_000)]
    content = base64.encodebytes(bytes(range(256)) * 4000).replace(b"\n", b"\r\n")
    octets = (
        b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n%s--b\r\n"
        b"Content-Disposition: attachment; filename=f.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n%s--b--\r\n"
        % (b"".join(lines), content)
    )
    mailbox.keep(octets)
    page = mailbox.page("/message/1")
    assert "larger than this page shows" in page
    wanted = [each.decode().rstrip() for each in octets.splitlines()]
    (link,) = re.findall(r'<a href="([^"]+)">All of its source</a>', page)
    address, found = unescape(link), []
    while address:
        page = mailbox.page(address)
        assert f'<ol start="{len(found) + 1}">' in page
        found += [unescape(each) for each in re.findall("<li>(.*?)</li>", page.partition('class="source"')[2])]
        following = re.search(r'href="([^"]+)">Next', page)
        address = unescape(following[1]) if following is not None else ""
    assert found == wanted
    assert mailbox.client.get("/message/1/source.eml").content == octets
    (part,) = re.findall(r'href="(/message/1/part/[^"]+)" download>f.bin', mailbox.page("/message/1"))
    assert mailbox.client.get(unescape(part)).content == bytes(range(256)) * 4000


def test_of_a_huge_html_only_the_beginning_is_made_into_text_and_links(mailbox: Mailbox) -> None:
    """Making text and links of HTML takes its time: the work for 50 MiB took half a minute, and has a bound."""
    filling = (b"<p>%s</p>\r\n" % (b"no more " * 60)) * (9 * (1 << 20) // 489)
    html = b"<a href='https://first.test/'>a</a>%s<a href='https://last.test/'>z</a>\r\n" % filling
    mailbox.keep(b"Subject: huge\r\nContent-Type: text/html\r\n\r\n" + html)
    read = mailbox.json("/message/1.json")
    assert read["links"] == ["https://first.test/"]
    assert len(read["html"]) == 2 << 20
    assert 500_000 < len(read["text"]) < 1 << 19
    assert read["cut"]
    for path in ("/message/1?tab=text", "/view/1.html"):
        assert len(mailbox.page(path)) < 4 << 20
    (finding,) = mailbox.json("/api/inbox/check?number=1")
    assert finding["text"] == "The message has more than 8 MiB, and is not checked here."
    assert mailbox.json("/api/inbox/extract?number=1")["links"] == ["https://first.test/"]
    assert mailbox.client.get("/message/1/source.eml").content.endswith(html)
    assert len(mailbox.json("/inbox.json?q=subject:huge")["messages"]) == 1


BOMBS = [
    "<div>" * 400_000,
    "<p>" * 600_000,
    "<b style='color:red'>" * 90_000,
    "<!--" * 500_000,
    "<a href=" * 200_000,
    "<a href='" * 200_000,
    "".join(f"<font color={n}>" for n in range(9_000)) + "<p>x" * 9_000,
    "<style>" * 100_000,
    "<table><tr><td>" * 60_000,
    '<x a="</x>">' * 100_000,
    "</p>" * 400_000,
    "<" * 1_000_000,
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:20])
def test_a_bomb_of_html_is_written_within_bounds(bomb: str) -> None:
    began = time.process_time()
    document = safe_document(bomb, {})
    assert time.process_time() - began < 60  # what grows with the square of these lengths takes minutes to hours
    assert len(document) < 8_000_000


def test_html_that_is_written_anew_says_the_same() -> None:
    source = (
        "<!doctype html><style>p > b { color: red }</style><table><tr><td bgcolor=#fff>1<td>2<tr><td>3</table>"
        "<ul><li>a<li>b</ul><p>x &amp; y &lt;z&gt; 1 < 2<br>caf&eacute;<p><b>bold <i>both</b> i</i>"
    )
    body = safe_document(source, {}).partition("<body>")[2]
    assert "<style>p > b { color: red }</style>" in body
    assert re.sub(r"</?tbody>", "", body).count("<td") == 3
    assert "<li>a</li><li>b</li>" in body
    assert "<p>x &amp; y &lt;z&gt; 1 &lt; 2<br>café</p><p><b>bold <i>both</i></b> i</p>" in body


def test_segments_link_addresses_of_the_web_only() -> None:
    text = "see https://x.test/a?b=1&c=<x>, javascript:alert(1) and http://y.test."
    assert [url for _, url in segments(text) if url] == ["https://x.test/a?b=1&c=", "http://y.test"]
    assert "".join(piece for piece, _ in segments(text)) == text


def test_remote_content_is_recognized() -> None:
    assert is_remote("<img src='https://x.test/a.png'>")
    assert is_remote("<td background=//x.test/a.png>")
    assert is_remote("<style>p{background:url( 'http://x.test')}</style>")
    assert not is_remote("<a href='https://x.test'>x</a><img src='cid:a'>")


def test_the_example_finds_the_code_of_the_newest_message() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "code_from_inbox.py"

    async def keep(spool: SqliteSpool) -> None:
        incoming = spool.receive()
        incoming.abort()
        envelope = Envelope(None, (Recipient(Address("renping", "sina.com")),))
        message = StoredMessage(incoming.id, envelope, time.time(), len(RICH))
        await spool.keep("renping@sina.com", message, Bytes(RICH))

    with LiveConsole() as live:
        live.run(keep, live.spool)
        command = [sys.executable, str(example), live.address, "renping@sina.com"]
        assert subprocess.run(command, capture_output=True, text=True, timeout=90).stdout == "482913\n"
        assert live.faults == []


def test_links_are_asked_for_on_demand_and_not_on_this_machine(mailbox: Mailbox) -> None:
    mailbox.keep(
        b"From: a@x.test\r\nSubject: links\r\nContent-Type: text/html\r\n\r\n"
        b"<a href='http://127.0.0.1:8025/inbox/act'>a</a><a href='http://[::1]/'>b</a><a href='mailto:a@x.test'>c</a>"
        b"<img src='http://169.254.169.254/latest'><img src='http://10.0.0.1/p.gif'>\r\n"
    )
    assert 'action="/message/1/links"' in mailbox.page("/message/1?tab=links")
    assert mailbox.client.get("/message/1/links").status_code == 405
    status, report = mailbox.post("/message/1/links")
    assert status == 200
    assert (report["works"], report["broken"], report["unclear"]) == (0, 0, 5)
    assert [each["kind"] for each in report["links"]] == ["private", "private", "scheme", "private", "private"]
    headers = {"accept": "text/html", "accept-language": "zh"}
    token = re.search(r'name="csrf" value="([^"]+)"', mailbox.page("/message/1?tab=links"))
    assert token is not None
    shown = mailbox.client.post("/message/1/links", data={"csrf": token[1]}, headers=headers).text
    assert "127.0.0.1 不是公网地址" in shown
    assert "href='http://127" not in shown
    assert mailbox.client.get("/api/inbox/links?number=1").status_code == 405  # a page elsewhere could make a GET
    assert mailbox.client.post("/api/inbox/links", json={"number": 1}).json() == report


def test_what_mail_programs_make_of_the_html(tmp_path: Path) -> None:
    path = data_file(tmp_path, feature("css-gap", "gap, row-gap", beta={"1": "n"}, alpha={"1": "a #1"}))
    octets = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p style='gap:1px'>x\r\n"
    with ConsoleHarness(f'{CONFIG}\n[inbox]\nhtml_support = "{path}"\n') as harness:
        mailbox = Mailbox(harness)
        mailbox.keep(octets)
        page = mailbox.page("/message/1?tab=check")
        assert 'href="https://www.caniemail.com/features/css-gap/"' in page
        assert '<span title="Not in tables.">Alpha Webmail</span>' in page
        assert "What is missing stands at a program" in page
        chinese = mailbox.page("/message/1?tab=check&lang=zh")
        assert "不支持" in chinese
        assert "<code>gap、row-gap</code>" in chinese
        assert '<span title="Not in tables." lang="en">Alpha 网页版</span>' in chinese
        assert "注释为英文原文" in chinese
        (entry,) = mailbox.json("/inbox.json")["messages"]
        found = mailbox.json(f"/api/v1/message/{entry['queue_id']}/html-check")
        assert found["Total"] == {"Tests": 1, "Nodes": 1, "Supported": 0.0, "Partial": 50.0, "Unsupported": 50.0}
        assert found["Platforms"] == {"Webmail": ["Alpha", "Beta"]}
        (warning,) = found["Warnings"]
        assert [each["Support"] for each in warning["Results"]] == ["no", "partial"]
        assert warning["NotesByNumber"] == {"1": "Not in tables."}
        Path(path).write_text("{}")
        assert "is no data of caniemail" in mailbox.page("/message/1?tab=check")


def test_without_the_data_the_page_says_how_to_have_it(mailbox: Mailbox) -> None:
    mailbox.keep(b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>x\r\n")
    assert "html_support" in mailbox.page("/message/1?tab=check")
    assert mailbox.client.get("/api/inbox/html-check?number=1").status_code == 400
