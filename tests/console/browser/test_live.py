"""Live updates in a browser: a change reaches every tab, and one tab of them listens."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.console.live_console import LiveConsole

from posthouse.service import OPERATIONS

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


#: What a page of another site tries; "stopped" says that it has learnt nothing.
TRIES = {
    "read": "fetch(`${at}/configuration.json`).then(r => r.text(), () => 'stopped')",
    "read blindly": "fetch(`${at}/inbox`, {mode: 'no-cors'}).then(r => r.type, () => 'stopped')",
    "picture": "new Promise(r => {const i = new Image(); i.onload = () => r('read'); i.onerror = () => r('stopped');"
    " i.src = `${at}/static/icon.svg`;})",
    "form": "fetch(`${at}/queue/pause`, {method: 'POST', mode: 'no-cors',"
    " body: new URLSearchParams({destination: 'victim.test'})}).then(r => r.type, () => 'stopped')",
    "JSON as text": "fetch(`${at}/api/v1/send`, {method: 'POST', mode: 'no-cors', body:"
    " JSON.stringify({From: {Email: 'a@x.test'}, To: [{Email: 'b@x.test'}], Subject: 'evil', Text: 'x'})})"
    ".then(r => r.type, () => 'stopped')",
    "no body": "fetch(`${at}/api/v2/jim`, {method: 'POST', mode: 'no-cors'}).then(r => r.type, () => 'stopped')",
    "delete": "fetch(`${at}/api/v1/messages`, {method: 'DELETE'}).then(r => r.text(), () => 'stopped')",
    "stream": "new Promise(r => {const s = new EventSource(`${at}/events`);"
    " s.onerror = () => {s.close(); r('stopped');}; s.onopen = () => {s.close(); r('read');};})",
    "socket": "new Promise(r => {const s = new WebSocket(`${at.replace('http', 'ws')}/api/events`);"
    " s.onclose = () => r('stopped'); s.onopen = () => r('read');})",
    "frame": "new Promise(r => {const f = document.createElement('iframe'); f.src = `${at}/configuration`;"
    " f.onload = () => r(f.contentDocument ? 'read' : 'stopped'); document.body.append(f);})",
}


@pytest.mark.parametrize("site", ["http://evil.test/", "http://127.0.0.1:4321/"])
def test_a_page_of_another_site_reads_and_changes_nothing(
    foreign_browser: Browser, browser_thread: object, live: LiveConsole, site: str
) -> None:
    """A page under a foreign name, or on another port of this machine, tries what such pages try."""
    context = foreign_browser.new_context()
    foreign = context.new_page()
    foreign.route(site, lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    foreign.goto(site)
    for name, attempt in TRIES.items():
        before = len(live.answered)
        assert foreign.evaluate(f"(at) => {attempt}", live.address) == "stopped", name
        # That the browser showed nothing to the page is not enough: the console itself refused.
        assert [status for _, status in live.answered[before:]] == [1008 if name == "socket" else 403], name
    foreign.evaluate(SUBMIT, live.address)  # a form may lead here, as a link may, and is refused all the same
    foreign.wait_for_url(f"{live.address}/**")
    assert "may change nothing here" in foreign.content()
    assert live.run(OPERATIONS["queue paused"].run, live.daemon.context("test")).pauses == []
    context.close()


@pytest.mark.parametrize("site", ["http://evil.test/", "http://127.0.0.1:4321/"])
def test_a_page_of_another_site_keeps_no_handle_of_a_window_that_it_opens_here(
    foreign_browser: Browser, browser_thread: object, live: LiveConsole, site: str
) -> None:
    """It could count the frames of a page, and so learn what a search has found."""
    context = foreign_browser.new_context()
    foreign = context.new_page()
    foreign.route(site, lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
    foreign.goto(site)
    with context.expect_page() as opened:
        foreign.evaluate("(at) => { window.kept = open(`${at}/configuration`); }", live.address)
    console = opened.value
    console.wait_for_url(f"{live.address}/configuration")
    for path in ("/configuration", "/queue"):
        console.wait_for_url(f"{live.address}{path}")
        foreign.wait_for_function("kept.closed")  # for this page; the window is there
        assert console.evaluate("window.opener") is None
        console.get_by_role("link", name="Queue", exact=True).click()  # our own page leads here: no policy is sent
    context.close()


SUBMIT = """(at) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${at}/queue/pause`;
    form.innerHTML = "<input name=destination value=victim.test>";
    document.body.append(form);
    form.submit();
}"""


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
