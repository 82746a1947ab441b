"""A real browser for tests of pages: one Chromium and one console for the whole run.

A test in this folder asks for ``page`` (a fresh browser context on an empty page), ``live`` (the console, see
``LiveConsole``) and ``accessible`` (runs axe).  Playwright's event loop would be in the way of tests that use asyncio,
so browser, fixtures and tests of this folder run in one thread of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from tests.console.browser.browser_thread import BrowserThread
from tests.console.live_console import LiveConsole

_CHROMIUM = "chromium"
_PATIENCE = 60_000.0  # milliseconds

expect.set_options(timeout=_PATIENCE)


@pytest.fixture
def plain_page(browser: Browser, browser_thread: BrowserThread, live: LiveConsole) -> Iterator[Page]:
    """An empty page of a browser whose JavaScript is off."""

    def start() -> Page:
        context = browser.new_context(base_url=live.address, locale="en-GB", java_script_enabled=False)
        context.set_default_timeout(_PATIENCE)
        return context.new_page()

    made = browser_thread.run(start)
    yield made
    browser_thread.run(made.context.close)
    assert live.faults == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/console/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.system("chromium", _CHROMIUM))


@pytest.fixture(scope="session")
def browser_thread() -> Iterator[BrowserThread]:
    """The thread of the browser."""
    thread = BrowserThread()
    yield thread
    thread.end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that uses the browser in the browser's thread."""
    if "browser_thread" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    thread: BrowserThread = pyfuncitem.funcargs["browser_thread"]
    thread.run(pyfuncitem.obj, **arguments)
    return True


@pytest.fixture(scope="session")
def browser(browser_thread: BrowserThread) -> Iterator[Browser]:
    """Debian's Chromium."""

    def start() -> tuple[Playwright, Browser]:
        playwright = sync_playwright().start()
        try:
            path = shutil.which(_CHROMIUM)
            return playwright, playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except BaseException:
            playwright.stop()
            raise

    playwright, browser = browser_thread.run(start)
    yield browser
    browser_thread.run(browser.close)
    browser_thread.run(playwright.stop)


@pytest.fixture
def rebinding_browser(browser: Browser, browser_thread: BrowserThread) -> Iterator[Browser]:
    """A browser for which evil.test is this machine, as after a DNS rebinding."""

    def start() -> Browser:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP evil.test 127.0.0.1"]
        return browser.browser_type.launch(executable_path=shutil.which(_CHROMIUM), args=arguments)

    made = browser_thread.run(start)
    yield made
    browser_thread.run(made.close)


@pytest.fixture
def foreign_browser(browser: Browser, browser_thread: BrowserThread) -> Iterator[Browser]:
    """A browser that lets pages of other sites ask this machine, as most do: what stops them is the console."""

    def start() -> Browser:
        arguments = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        return browser.browser_type.launch(executable_path=shutil.which(_CHROMIUM), args=arguments)

    made = browser_thread.run(start)
    yield made
    browser_thread.run(made.close)


@pytest.fixture(scope="session")
def live() -> Iterator[LiveConsole]:
    """The console that listens; all tests of the run share it and its spool."""
    with LiveConsole() as console:
        yield console


@pytest.fixture
def page(browser: Browser, browser_thread: BrowserThread, live: LiveConsole) -> Iterator[Page]:
    """A fresh context with an empty page; a path alone is one of ``live``.  No test may leave an error in the page's
    console or a fault in the server."""

    def start() -> Page:
        context = browser.new_context(base_url=live.address, locale="en-GB", viewport={"width": 1280, "height": 800})
        context.set_default_timeout(_PATIENCE)
        made = context.new_page()
        made.on("pageerror", lambda error: errors.append(str(error)))
        return made

    errors: list[str] = []
    made = browser_thread.run(start)
    yield made
    browser_thread.run(made.context.close)
    assert errors == []
    assert live.faults == []


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Run axe on a page: it finds nothing that WCAG 2.2 AA forbids."""

    def check(page: Page) -> None:
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        results: Any = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
        found = [
            f"{each['id']} ({each['impact']}): {node['target']}: {node['failureSummary']}"
            for each in results.response["violations"]
            for node in each["nodes"]
        ]
        assert not found, "\n".join(found)

    return check
