"""The operator's pages in a browser: accessible, usable on a phone and without JavaScript, and live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.console.live_console import LiveConsole

from posthouse.core import Address, Envelope, Recipient
from posthouse.server import Server
from posthouse.service.monitor.session_book import SessionRecord

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


async def _store(live: LiveConsole, to: str) -> str:
    now = live.daemon.clock.time()
    receipt = live.spool.receive()
    receipt.write(b"Subject: x\r\n\r\nhello\r\n")
    local, _, domain = to.partition("@")
    envelope = Envelope(Address("ann", "here.test"), (Recipient(Address(local, domain)),))
    await receipt.commit(envelope, [domain], received=now - 7_200, due=now + 600, source="mx 192.0.2.1:40000")
    return receipt.id


async def _session(live: LiveConsole, *lines: tuple[str, str]) -> SessionRecord:
    """A session that is open and has said these lines."""
    book = live.daemon.monitor.sessions
    policy: Any = None
    made = Server(policy, network=policy, clock=live.daemon.clock, hostname="x").session()
    book.joined("mx", made)  # type: ignore[arg-type]
    record = book.live(1)[0]
    for who, text in lines:
        record.take(live.daemon.clock.time(), who, text)
    return record


async def _say(live: LiveConsole, record: SessionRecord, who: str, text: str) -> None:
    record.take(live.daemon.clock.time(), who, text)


DIALOGUE = (
    ("R", "220 mx.here.test ESMTP"),
    ("S", "EHLO client.test"),
    ("R", "250-mx.here.test"),
    ("R", "250 STARTTLS"),
    ("S", "STARTTLS"),
    ("R", "220 2.0.0 Ready"),
    ("S", "MAIL FROM:<me@far.test>"),
    ("R", "452 4.3.1 No room"),
)


@pytest.mark.parametrize(("theme", "language", "width"), [("light", "en", 1280), ("dark", "zh", 380)])
def test_the_pages_are_accessible(
    page: Page, live: LiveConsole, accessible: Callable[[Page], None], theme: str, language: str, width: int
) -> None:
    queue_id = live.run(_store, live, "a@accessible.test")
    record = live.run(_session, live, *DIALOGUE)
    live.daemon.monitor.history.take()
    page.set_viewport_size({"width": width, "height": 800})
    for path in (
        "/overview",
        "/queue",
        "/queue/audit",
        "/sessions",
        f"/sessions/in0.{record.number}",
        f"/history/{queue_id}",
    ):
        page.goto(f"{path}?theme={theme}&lang={language}")
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_messages_are_held_and_released_again(page: Page, live: LiveConsole) -> None:
    live.run(_store, live, "a@held.test")
    page.goto("/queue?q=domain:held.test")
    page.get_by_role("table").last.get_by_role("checkbox").last.check()
    page.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hold 1 recipient?")
    page.get_by_test_id("confirm").click()
    expect(page.locator("[data-flash]")).to_have_text("1 recipient is held.")
    page.goto("/queue?q=domain:held.test state:held")
    expect(page.get_by_test_id("message")).to_have_count(1)
    page.go_back()
    page.locator("form").filter(has_text="held 1 recipient").get_by_test_id("undo").click()
    page.goto("/queue?q=domain:held.test state:held")
    expect(page.get_by_test_id("message")).to_have_count(0)


def test_the_heat_map_filters_without_javascript(plain_page: Page, live: LiveConsole) -> None:
    queue_id = live.run(_store, live, "a@plain.test")
    live.run(_store, live, "a@other.test")
    plain_page.goto("/queue")
    row = plain_page.get_by_role("row").filter(has=plain_page.get_by_role("link", name="plain.test", exact=True))
    row.get_by_role("link", name="1", exact=True).click()
    expect(plain_page.get_by_test_id("message")).to_have_text([queue_id])
    plain_page.get_by_test_id("message").click()
    expect(plain_page.get_by_role("heading", level=1)).to_have_text(f"History of {queue_id}")


def test_a_session_is_seen_as_it_goes_on(page: Page, live: LiveConsole) -> None:
    record = live.run(_session, live, *DIALOGUE)
    page.goto("/sessions")
    page.get_by_role("link", name=f"in0.{record.number}", exact=True).click()
    expect(page.locator(".line")).to_have_count(len(DIALOGUE))
    expect(page.locator(".in-tls")).to_have_count(2)
    live.run(_say, live, record, "S", "QUIT")
    expect(page.locator(".line")).to_have_count(len(DIALOGUE) + 1)
