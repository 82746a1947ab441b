"""Requests and messages that are meant to harm the console: odd queries, pages of other sites, what takes long."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from posthouse.console.mail_html import is_remote, safe_document
from posthouse.console.problems import RequestRefused
from posthouse.console.security.console_logins import ConsoleLogins
from posthouse.message.reading.readable_text import links_in_html, links_in_text
from posthouse.service import parse

from .conftest import ConsoleHarness
from .live_console import LiveConsole
from .test_inbox_page import RICH, Mailbox


@pytest.fixture
def mailbox(harness: ConsoleHarness) -> Mailbox:
    return Mailbox(harness)


# Queries and paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["path", "self", "query", "page", "key", "lang"])
@pytest.mark.parametrize("path", ["/inbox", "/queue", "/nothing"])
def test_a_parameter_may_have_any_name(client: TestClient, path: str, name: str) -> None:
    assert client.get(f"{path}?{name}=x", headers={"accept": "text/html"}).status_code in (200, 404)


@pytest.mark.parametrize(
    "path", ["/compose?reply=%C2%B2", f"/compose?forward={'9' * 5000}", "/compose?all=%D9%A3", "/speak?replay=%C2%B2"]
)
def test_a_number_that_is_none_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 400


def test_a_number_of_a_form_that_is_none_is_refused(client: TestClient) -> None:
    assert client.post("/speak/occasion", json={"code": "²²²"}).status_code == 404
    assert client.post("/inbox/undo", json={"deletion": "9" * 5000}).status_code == 400
    assert client.post("/inbox", content=b"x", headers={"content-length": "9" * 5000}).status_code == 413


@pytest.mark.parametrize("path", ["/%5Cevil.example", "/%5C%5Cevil.example", "/%2F%2Fevil.example/x", "/x%3Fy%23z"])
def test_no_link_of_an_error_page_leads_to_another_site(client: TestClient, path: str) -> None:
    found = client.get(path, headers={"accept": "text/html"})
    assert found.status_code == 404
    links = re.findall(r'href="([^"]*)"', found.text)
    assert len(links) > 5
    assert not [each for each in links if each.startswith(("//", "/\\"))]
    assert not [
        each for each in links if "?" in each.partition("?lang=")[0].partition("?theme=")[0].partition("?v=")[0]
    ]


# Pages of other sites -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dest", ["image", "script", "empty", "iframe", "style", "object"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_loads_nothing(client: TestClient, dest: str, site: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-dest": dest}
    assert client.get("/api/inbox/search?query=secret", headers=headers).status_code == 403
    assert client.get("/inbox", headers={**headers, "sec-fetch-dest": "document"}).status_code == 200


def test_a_page_of_another_site_marks_nothing_and_loads_no_pictures(mailbox: Mailbox) -> None:
    mailbox.keep(RICH)
    led = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "accept": "text/html"}
    policy = mailbox.client.get("/view/1.html?remote=1", headers=led).headers["content-security-policy"]
    assert "https:" not in policy
    assert mailbox.client.get("/message/1", headers=led).status_code == 200
    assert mailbox.json("/inbox.json")["total_unread"] == 1
    mailbox.client.get("/message/1", headers={**led, "sec-fetch-user": "?1"})  # a person has followed a link
    assert mailbox.json("/inbox.json")["total_unread"] == 0


# What would take long -------------------------------------------------------------------------------------------------


def test_no_message_makes_the_page_wait() -> None:
    """Each of these took minutes or days when the time grew with the square of the length."""
    assert not is_remote("src=" + " " * 2_000_000)
    assert not is_remote("url(" + " " * 2_000_000)
    assert is_remote("<img src = \n ' HTTPS://x.test/a.png'>")
    assert is_remote('a { background: url( "//x.test/a.png") }')
    assert links_in_html(f"<a {'a' * 16_000}>" * 400) == []
    assert len(links_in_text(f"http://a.test/{')' * 1_900} " * 1_000)) == 1
    assert links_in_text("(see http://a.test/x(1)), [http://b.test].") == ["http://a.test/x(1)", "http://b.test"]


def test_references_in_a_message_are_bounded() -> None:
    assert safe_document("a &amp; b" * 100, {}).count("&amp;") == 100
    assert safe_document("&" * 1_000_000, {}).count("&amp;") <= 50_000
    assert safe_document(f"<a title='{'&' * 90}'>x</a>" * 10_000, {}).count("&amp;") <= 50_000


def test_a_frame_needs_one_thread(mailbox: Mailbox) -> None:
    mailbox.keep(RICH)

    async def one_thread() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    mailbox.harness.run(one_thread)
    assert "data:image/png;base64,iVBOR" in mailbox.client.get("/view/1.html").text


def test_a_flood_of_guesses_does_not_pass_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse(f'data_dir = "{tmp_path}"\n[console]\nlogin = "required"')
    logins = ConsoleLogins(config, config.console)
    checked = 0

    class Store:
        async def check_password(self, user: str, password: str) -> bool:
            nonlocal checked
            checked += 1
            await asyncio.sleep(0)
            return False

    async def no_wait(seconds: float) -> None:
        return None

    monkeypatch.setattr(logins, "_store", Store())
    monkeypatch.setattr("posthouse.console.security.console_logins._delay", no_wait)

    async def flood() -> list[int]:
        tried = [logins.checked(f"user{number}", "x", "192.0.2.9") for number in range(300)]
        found = await asyncio.gather(*tried, return_exceptions=True)
        return [each.status for each in found if isinstance(each, RequestRefused)]

    statuses = asyncio.run(flood())
    assert checked == 100
    assert (statuses.count(401), statuses.count(429)) == (100, 200)


@pytest.fixture
def live() -> Iterator[LiveConsole]:
    with LiveConsole() as made:
        yield made


def test_a_client_that_leaves_in_its_body_is_no_fault(live: LiveConsole) -> None:
    with socket.create_connection(("127.0.0.1", live.port), 60) as client:
        client.sendall(b"POST /speak/say HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                       b"Content-Length: 100\r\n\r\n{")  # fmt: skip

    async def gone() -> None:
        async with asyncio.timeout(60):
            while live._server._server.server_state.connections or live._server._server.server_state.tasks:
                await asyncio.sleep(0.01)

    live.run(gone)
    assert live.faults == []
