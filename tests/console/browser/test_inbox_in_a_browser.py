"""Inbox and message pages in a browser: keys, live arrival, accessibility, and hostile messages that do nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, Page, Request, expect
from tests.console.live_console import LiveConsole
from tests.console.test_inbox_page import RICH, VECTORS, plain

from posthouse.core import Address, Bytes, Envelope, Recipient
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import StoredMessage

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


async def keep(spool: SqliteSpool, octets: bytes, inbox: str) -> None:
    incoming = spool.receive()
    incoming.abort()
    envelope = Envelope(Address("shop", "x.test"), (Recipient(Address("bob", "x.test")),))
    await spool.keep(inbox, StoredMessage(incoming.id, envelope, 1_800_000_000.0, len(octets)), Bytes(octets))


def arrive(live: LiveConsole, inbox: str, *messages: bytes) -> str:
    """Messages put into an inbox of their own; its page."""
    for octets in messages:
        live.run(keep, live.spool, octets, inbox)
    return f"/inbox?view={inbox}"


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh")])
def test_list_and_message_are_accessible(
    page: Page, live: LiveConsole, accessible: Callable[[Page], None], theme: str, language: str
) -> None:
    place = arrive(live, f"a11y-{theme}@x.test", plain("one"), RICH)
    page.goto(f"{place}&theme={theme}&lang={language}")
    accessible(page)
    page.get_by_test_id("mail-row").first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your code")
    accessible(page)
    page.goto("/compose")
    accessible(page)


def shown(page: Page, subject: str) -> None:
    """Wait until the message is shown and its page takes keys: its scripts have run when it is loaded."""
    expect(page.get_by_role("heading", level=1)).to_have_text(subject)
    page.wait_for_load_state("load")


def test_keys_walk_choose_open_and_delete(page: Page, live: LiveConsole) -> None:
    page.goto(arrive(live, "keys@x.test", plain("first"), plain("second"), plain("third")))
    page.locator("body").press("j")
    page.keyboard.press("j")
    page.keyboard.press("o")
    shown(page, "second")
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile("tab=headers"))
    page.wait_for_load_state("load")
    page.keyboard.press("]")
    shown(page, "first")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("mail-row")).to_have_count(3)
    focused = page.locator(".mail-link:focus")
    expect(focused).to_contain_text("first")  # the message that was open
    page.keyboard.press("k")
    expect(focused).to_contain_text("second")
    page.keyboard.press("#")
    expect(page.get_by_test_id("mail-row")).to_have_count(2)
    expect(focused).to_contain_text("first")  # the one behind what was deleted
    page.get_by_test_id("inbox-undo").click()
    page.goto("/inbox?view=keys@x.test")
    expect(page.get_by_test_id("mail-row")).to_have_count(3)


def test_what_arrives_is_told_and_no_row_moves(page: Page, live: LiveConsole) -> None:
    page.goto(arrive(live, "live@x.test", plain("first")))
    expect(page.get_by_test_id("mail-row")).to_have_count(1)
    arrive(live, "live@x.test", plain("second"))
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    expect(page.get_by_test_id("mail-row")).to_have_count(1)
    page.get_by_role("button", name="1 new").click()
    expect(page.get_by_test_id("mail-row")).to_have_count(2)


def test_hostile_messages_run_nothing_and_fetch_nothing(page: Page, live: LiveConsole) -> None:
    html = "\r\n".join(VECTORS).encode()
    hostile = b"From: <script>alert(1)</script> <a@x.test>\r\nSubject: <img src=x onerror=alert(1)>\r\n"
    place = arrive(live, "evil@x.test", hostile + b"Content-Type: text/html\r\n\r\n" + html)
    dialogs: list[str] = []
    foreign: list[Request] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("request", lambda request: foreign.append(request))
    page.goto(place)
    page.get_by_test_id("mail-row").first.get_by_role("link").click()
    frame = page.frame_locator("[data-testid=message-frame]")
    expect(frame.locator("body")).to_contain_text("x")
    inner = next(each for each in page.frames if "/view/" in each.url)
    assert inner.evaluate("self.origin") == "null"
    for tab in ("text", "headers", "parts", "source", "links"):
        page.goto(f"{page.url.partition('?')[0]}?tab={tab}")
    assert dialogs == []
    # What the policy blocks is reported as a request too; none may have got beyond that.
    allowed = (live.address, "data:")
    assert [each.url for each in foreign if not each.url.startswith(allowed) and each.failure != "csp"] == []


def test_everything_works_without_javascript(plain_page: Page, live: LiveConsole) -> None:
    plain_page.goto(arrive(live, "plain@x.test", plain("one"), plain("two")))
    plain_page.get_by_role("searchbox").fill("subject:two")
    plain_page.get_by_role("button", name="Find").click()
    expect(plain_page.get_by_test_id("mail-row")).to_have_count(1)
    plain_page.get_by_test_id("mail-row").get_by_role("checkbox").check()
    plain_page.get_by_role("button", name="Delete", exact=True).click()
    expect(plain_page.get_by_text("1 deleted", exact=True)).to_be_visible()
    plain_page.get_by_test_id("inbox-undo").click()
    expect(plain_page.get_by_text("1 restored")).to_be_visible()
