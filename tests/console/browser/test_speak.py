"""Speak SMTP in a real browser: with a script and without, by keyboard, and for readers of screens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.leaves_open("browser and console are those of the whole run")


def say(page: Page, line: str) -> None:
    page.get_by_test_id("speak-input").fill(line)
    page.keyboard.press("Enter")


def test_lines_are_answered_without_leaving_the_page(page: Page) -> None:
    page.goto("/speak")
    page.evaluate("window.stays = true")
    say(page, "EHLO sohu.com")
    lines = page.get_by_test_id("speak-lines")
    expect(lines).to_contain_text("250-PIPELINING")
    expect(page.get_by_test_id("speak-state")).to_have_text("ready")
    expect(page.locator(".law .here")).to_have_attribute("data-state", "ready")
    say(page, "MAIL FROM:<langrui@sohu.com>")
    expect(page.locator(".law .here")).to_have_attribute("data-state", "sender")
    expect(page.locator(".law .edge.lit")).to_have_attribute("data-to", "sender")
    expect(page.get_by_test_id("speak-input")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_test_id("speak-input")).to_have_value("MAIL FROM:<langrui@sohu.com>")
    assert page.evaluate("window.stays") is True
    page.reload()  # the session is in the address
    expect(lines).to_contain_text("250 2.1.0 Sender OK")


def test_the_classic_dialogue_without_a_script(plain_page: Page) -> None:
    plain_page.goto("/speak")
    plain_page.get_by_test_id("speak-replay").click()
    for _ in range(11):
        plain_page.get_by_test_id("speak-next").click()
    expect(plain_page.get_by_test_id("speak-lines")).to_contain_text("221 2.0.0 mx.sina.com closing connection")
    expect(plain_page.get_by_text("The message has been delivered.")).to_be_visible()


def test_an_occasion_of_the_table(page: Page) -> None:
    page.goto("/speak/codes?lang=zh")
    page.get_by_role("button", name="演示: 235").click()
    expect(page.get_by_test_id("speak-lines")).to_contain_text("235 2.7.0 Authentication successful")
    expect(page.get_by_test_id("speak-lines")).to_contain_text("本页已代为完成客户端的 TLS 握手")


def test_what_is_typed_does_not_run(page: Page) -> None:
    page.goto("/speak")
    say(page, "<img src=x onerror='window.ran=1'><script>window.ran=1</script>")
    expect(page.get_by_test_id("speak-lines")).to_contain_text("<script>window.ran=1</script>")
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize(
    "path", ["/speak?theme=light", "/speak?theme=dark", "/speak/codes?lang=zh", "/faults", "/api-map?theme=dark"]
)
def test_the_pages_are_accessible(page: Page, accessible: Callable[[Page], None], path: str) -> None:
    page.goto(path)
    if path.startswith("/speak?"):
        say(page, "EHLO sohu.com")
        expect(page.get_by_test_id("speak-state")).to_have_text("ready")
    accessible(page)


def test_it_fits_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/speak", "/speak/codes", "/faults", "/api-map"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
