"""Live updates in a browser: a change reaches every tab, and one tab of them listens."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.console.live_console import LiveConsole

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")

#: Keeps a promise of the next change; the function itself returns nothing, so that nothing waits yet.
WAIT = """() => {
    window.told = new Promise((told) => {
        document.addEventListener("posthouse:change", (event) => told(event.detail.topics), { once: true });
    });
}"""


def touched(live: LiveConsole) -> None:
    """Make the spool look as after a commit."""
    path = os.path.join(live.spool._layout.root, "queue.sqlite3")
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_a_change_reaches_every_tab(page: Page, live: LiveConsole) -> None:
    page.goto("/configuration?q=dns")
    other = page.context.new_page()
    other.goto("/configuration?q=dns")
    for each in (page, other):
        each.evaluate(WAIT)
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    touched(live)
    for each in (page, other):
        assert "spool" in each.evaluate("window.told")
    assert len(live.console.feed._readers) == 1
    expect(other.locator("[data-live]")).to_have_text("Live")


def test_a_page_says_once_that_it_is_not_live(page: Page) -> None:
    page.route("**/events*", lambda route: route.abort())
    page.goto("/configuration?q=dns")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "poll")
    expect(page.locator("[data-live]")).to_contain_text("every 5 s")


def test_a_page_of_another_site_reads_and_changes_nothing(
    browser: Browser, browser_thread: object, live: LiveConsole
) -> None:
    """A page under a foreign name, on another port of this machine, tries what such pages try."""
    context = browser.new_context()
    foreign = context.new_page()
    foreign.route("http://evil.test/", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    foreign.goto("http://evil.test/")
    attempt: Callable[[str], object] = foreign.evaluate
    tries = {
        "read": f"fetch('{live.address}/configuration.json').then(r => r.text()).catch(e => 'stopped')",
        "change": f"fetch('{live.address}/configuration', {{method: 'POST', body: 'a=b', mode: 'no-cors'}})"
        ".then(r => r.type).catch(e => 'stopped')",
        "stream": f"new Promise(r => {{const s = new EventSource('{live.address}/events');"
        " s.onerror = () => {s.close(); r('stopped');};"
        " s.addEventListener('hello', () => {s.close(); r('read');});})",
        "frame": "new Promise(r => {const f = document.createElement('iframe');"
        f" f.src = '{live.address}/configuration'; f.onload = () => {{try {{r(f.contentDocument.body.innerText)}}"
        " catch (e) {r('stopped')}}; document.body.append(f);})",
    }
    assert attempt(tries["read"]) == "stopped"
    assert attempt(tries["change"]) in ("opaque", "stopped")  # it was answered 403, which the page cannot read
    assert attempt(tries["stream"]) == "stopped"
    assert attempt(tries["frame"]) in ("stopped", "")
    context.close()


@pytest.fixture
def rebound(live: LiveConsole) -> str:
    """The address of the console under a name that an attacker's DNS has led to this machine."""
    return f"http://evil.test:{live.port}"


def test_a_name_that_was_led_here_is_not_answered(
    live: LiveConsole, rebound: str, browser_thread: object, rebinding_browser: Browser
) -> None:
    context = rebinding_browser.new_context()
    page = context.new_page()
    response = page.goto(f"{rebound}/configuration")
    assert response is not None
    assert response.status == 421
    assert page.evaluate("fetch('/configuration.json').then(r => r.status)") == 421
    assert "mx.here.test" not in page.content()
    context.close()
