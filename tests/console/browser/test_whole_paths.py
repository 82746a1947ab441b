"""Whole paths in a browser: mail comes by SMTP to a catcher that runs, and is read, answered, found and led to its
session; mail that waits is tried now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.console.browser.browser_thread import BrowserThread
from tests.console.compat.conftest import ServedCatcher, written
from tests.console.live_console import LiveConsole
from tests.console.test_inbox_page import RICH

from posthouse.core import Address, Envelope, Recipient
from posthouse.service import OPERATIONS
from posthouse.service.operations.results import QueueEntry

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[ServedCatcher]:
    with ServedCatcher(tmp_path) as made:
        yield made
        assert made.faults == []


def test_mail_arrives_is_read_answered_and_found(
    page: Page, browser_thread: BrowserThread, catcher: ServedCatcher
) -> None:
    page.goto(f"{catcher.url}/inbox")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    catcher.send(written("Welcome"), "ann@a.example")
    page.get_by_role("button", name="1 new").click()
    page.get_by_test_id("mail-row").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome")
    expect(page.get_by_test_id("code").first).to_have_text("482913")
    expect(page.frame_locator("[data-testid=message-frame]").locator("b")).to_have_text("482913")
    message = page.url

    page.get_by_role("link", name="Reply").click()
    expect(page.get_by_label("Subject")).to_have_value("Re: Welcome")
    page.locator("textarea[name=text]").fill("The code works.\n")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-flash]")).to_contain_text("Queued as")
    assert catcher.run("inbox wait", to="shop@example.org", timeout=60).met

    page.get_by_role("searchbox").first.fill("subject:Re body:works")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_test_id("mail-row")).to_have_count(1)
    page.get_by_test_id("mail-row").get_by_role("link").click()
    expect(page.get_by_test_id("message-text")).to_contain_text("The code works.")

    page.goto(message)
    page.get_by_test_id("brought-by").click()
    page.get_by_test_id("session").click()
    expect(
        page.locator("code", has_text="TO:<ann@a.example>")
    ).to_be_visible()  # smtplib writes commands in small letters
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("会话 in0"))


def test_a_message_is_forwarded_with_its_files(
    page: Page, browser_thread: BrowserThread, catcher: ServedCatcher
) -> None:
    catcher.send(written("Figures"), "ann@a.example")
    page.goto(f"{catcher.url}/view/latest")
    page.get_by_role("link", name="Forward").click()
    expect(page.get_by_label("With the files of the original: numbers.csv")).to_be_checked()
    page.get_by_role("button", name="Send").click()  # without a recipient, the form itself stops it
    page.get_by_label("To", exact=True).fill("no address")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a mailbox")
    expect(page.get_by_label("With the files of the original: numbers.csv")).to_be_checked()
    page.get_by_label("To", exact=True).fill("bob@b.example")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-flash]")).to_contain_text("Queued as")
    assert catcher.run("inbox wait", to="bob@b.example", timeout=60).met
    page.goto(f"{catcher.url}/view/latest")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fwd: Figures")
    number = int(page.locator("article").get_attribute("data-number") or 0)
    (file,) = [each for each in catcher.run("inbox read", number=number).parts if each.kind == "attachment"]
    assert (file.name, file.type) == ("numbers.csv", "text/csv")
    assert catcher.run("inbox part", number=number, part=file.number).content == b"a,b\r\n1,2\r\n"


def test_html_is_forwarded_as_it_was_with_its_pictures(
    page: Page, browser_thread: BrowserThread, catcher: ServedCatcher
) -> None:
    script = b"<style>b { color: teal }</style><script>parent.document.title = 'run'</script>"
    catcher.send(RICH.replace(b"<p>Your code", script + b"<p>Your code"), "ann@a.example")
    page.goto(f"{catcher.url}/view/latest")
    page.get_by_role("link", name="Forward").click()
    expect(page.frame_locator("[data-testid=forwarded-frame]").locator("b")).to_have_text("482913")
    expect(page).to_have_title(re.compile("Write a message"))
    page.get_by_label("Text", exact=True).fill("See <below>.\n")
    page.get_by_label("To", exact=True).fill("bob@b.example")
    page.get_by_label("With the files of the original: evil.html").uncheck()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-flash]")).to_contain_text("Queued as")
    assert catcher.run("inbox wait", to="bob@b.example", timeout=60).met
    page.goto(f"{catcher.url}/view/latest")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fwd: Your code")
    frame = page.frame_locator("[data-testid=message-frame]")
    expect(frame.locator("p").first).to_have_text("See <below>.")
    expect(frame.locator("body")).to_contain_text("Forwarded message")
    expect(frame.locator("img").first).to_have_js_property("naturalWidth", 1)
    number = int(page.locator("article").get_attribute("data-number") or 0)
    read = catcher.run("inbox read", number=number)
    assert script.decode() in read.html  # as it was; what is shown is made safe
    assert "See <below>." in read.text
    assert [(each.kind, each.type, each.content_id) for each in read.parts if each.type == "image/png"] == [
        ("inline", "image/png", "logo@x")
    ]
    assert [each.name for each in read.parts if each.kind == "attachment"] == []


def test_what_is_forwarded_from_a_chinese_page_is_introduced_in_chinese(
    page: Page, browser_thread: BrowserThread, catcher: ServedCatcher
) -> None:
    catcher.send(RICH, "ann@a.example")
    page.goto(f"{catcher.url}/inbox?lang=zh")  # the language is kept
    page.goto(f"{catcher.url}/view/latest")
    page.get_by_role("link", name="转发").click()
    page.get_by_label("收件人", exact=True).fill("bob@b.example")
    page.get_by_role("button", name="发送").click()
    expect(page.locator("[data-flash]")).to_contain_text("已放入队列")
    found = catcher.run("inbox wait", to="bob@b.example", timeout=60)
    read = catcher.run("inbox read", number=found.messages[-1].number)
    assert "---------- 转发的邮件 ----------" in read.text
    assert "---------- 转发的邮件 ----------" in read.html


def test_a_message_is_written_as_source(page: Page, browser_thread: BrowserThread, catcher: ServedCatcher) -> None:
    page.goto(f"{catcher.url}/compose?raw=1&lang=zh")
    page.get_by_label("收件人").fill("ann@a.example")
    page.get_by_label("要发送的邮件原文").fill("From: me@b.example\nTo: ann@a.example\nSubject: 源码\n\n你好\n")
    page.get_by_role("button", name="发送").click()
    expect(page.locator("[data-flash]")).to_contain_text("已放入队列")
    assert catcher.run("inbox wait", to="ann@a.example", timeout=60).met
    page.goto(f"{catcher.url}/view/latest")
    expect(page.get_by_role("heading", level=1)).to_have_text("源码")
    expect(page.get_by_test_id("message-text")).to_contain_text("你好")


async def _store(live: LiveConsole) -> None:
    now = live.daemon.clock.time()
    receipt = live.spool.receive()
    receipt.write(b"Subject: x\r\n\r\nhello\r\n")
    envelope = Envelope(Address("ann", "here.test"), (Recipient(Address("bob", "tried.test")),))
    await receipt.commit(envelope, ["tried.test"], received=now - 7_200, due=now + 3_600, source="mx 192.0.2.1:40000")


async def _waiting(live: LiveConsole) -> QueueEntry:
    context = live.daemon.context("test")
    found: list[QueueEntry] = await OPERATIONS["queue list"].run(context, filter="domain:tried.test")
    return found[0]


def test_mail_that_waits_is_tried_now(page: Page, live: LiveConsole) -> None:
    live.run(_store, live)
    before = live.run(_waiting, live).next
    assert before is not None
    assert before.state == "scheduled"
    page.goto("/queue?q=domain:tried.test")
    page.get_by_role("table").last.get_by_role("checkbox").last.check()
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Try 1 recipient now?")
    page.get_by_test_id("confirm").click()
    expect(page.locator("[data-flash]")).to_contain_text("1 recipient")
    after = live.run(_waiting, live).next
    assert after is not None
    assert after.state != "scheduled"
