"""Login, API, findings and accounts in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.console.browser.browser_thread import BrowserThread
from tests.console.live_console import CONFIG, LiveConsole

from posthouse.service import parse
from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


@pytest.mark.parametrize("path", ["/api", "/configuration/findings", "/configuration/accounts", "/login", "/nothing"])
def test_a_page_is_accessible(page: Page, accessible: Callable[[Page], None], path: str) -> None:
    page.goto(f"{path}?theme=dark")
    accessible(page)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[LiveConsole]:
    """A console that needs a login; ann is an operator."""
    AccountFile(tmp_path).add("ann", "correct horse", (), 0.0)
    OperatorFile(tmp_path).set_operator("ann", True)
    config = parse(f'data_dir = "{tmp_path}"\n{CONFIG}\n[console]\nlogin = "required"')
    with LiveConsole(config) as console:
        yield console


def test_an_operator_logs_in_and_out(
    browser: Browser, browser_thread: BrowserThread, guarded: LiveConsole, accessible: Callable[[Page], None]
) -> None:
    context = browser.new_context(base_url=guarded.address, locale="en-GB")
    page = context.new_page()
    page.goto("/configuration?q=dns")
    expect(page).to_have_url(f"{guarded.address}/login?next=/configuration%3Fq%3Ddns")
    accessible(page)
    page.get_by_label("Account").fill("ann")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("no operator has this name and password")
    page.get_by_label("Account").fill("ann")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Logged in as ann")).to_be_visible()
    expect(page).to_have_url(f"{guarded.address}/configuration?q=dns")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.goto("/configuration")
    expect(page.get_by_label("Password")).to_be_visible()
    context.close()
