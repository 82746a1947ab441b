"""The frame of every page in a browser: themes, languages, keyboard, phone, accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh")])
def test_the_page_is_accessible(page: Page, accessible: Callable[[Page], None], theme: str, language: str) -> None:
    page.goto(f"/configuration?q=dns&theme={theme}&lang={language}")
    accessible(page)


def test_the_choice_of_language_and_appearance_stays(page: Page) -> None:
    page.goto("/configuration")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("配置")
    page.get_by_role("link", name="深色").click()
    page.goto("/configuration")
    expect(page.get_by_role("heading", level=1)).to_have_text("配置")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/configuration")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_it_is_usable_on_a_phone(page: Page, accessible: Callable[[Page], None]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/configuration?q=dns")
    navigation = page.get_by_role("navigation", name="Pages")
    expect(navigation).to_be_hidden()
    page.get_by_text("Menu").click()
    expect(navigation).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    accessible(page)


def test_everything_but_live_updates_works_without_javascript(plain_page: Page) -> None:
    plain_page.goto("/configuration")
    plain_page.get_by_role("searchbox").fill("max_hops")
    plain_page.get_by_role("button", name="Show").click()
    expect(plain_page.get_by_role("row")).to_have_count(2)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_keys_go_to_pages_and_show_themselves(page: Page, lang: str) -> None:
    page.goto(f"/configuration?lang={lang}")
    expect(page.locator("[data-opens='#keys']")).to_be_visible()  # the script has run
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    expect(page.locator("#keys")).to_contain_text("到搜索框" if lang == "zh" else "To the search field")
    page.keyboard.press("g")  # behind a dialog, no key does anything
    page.keyboard.press("q")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_test_id("configuration-search")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("main").focus()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page).to_have_url(re.compile(r"/queue$"))


def test_the_palette_finds_pages_and_searches(page: Page) -> None:
    page.goto("/configuration")
    expect(page.locator("[data-opens='#keys']")).to_be_visible()
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox")
    expect(box).to_be_focused()
    box.fill("sess")
    expect(page.get_by_role("option").first).to_contain_text("Sessions")
    box.fill("order 4711")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Search the inbox for order 4711")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Filter the queue by")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/inbox\?q=order%204711$"))


def test_single_letters_can_be_switched_off(page: Page) -> None:
    page.goto("/configuration")
    page.locator("[data-opens='#keys']").click()
    page.locator("[data-letters]").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/configuration$"))
