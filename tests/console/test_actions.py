"""Actions: forms with their token, JSON bodies, and what a browser and a program get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from posthouse.console import Done, NavEntry, NotFound, Notice, Page, PageAction, PageRequest, Shown
from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.core import SettingError, StorageBusy
from posthouse.service import Daemon, parse


async def _show(page: PageRequest) -> Shown:
    context = {"detail": page.csrf_token, "spoken": page.language}
    return Shown("error.html", {"status": page.number("n", 1, 0, 9), "title": page.path}, context)


async def _change(page: PageRequest) -> Done:
    form = await page.form()
    if form.get("wrong"):
        raise SettingError("the value is wrong", remedy="give another")
    if form.get("gone"):
        raise NotFound("there is no such thing")
    if form.get("busy"):
        raise StorageBusy("the daemon is behind")
    if form.get("fault"):
        raise ZeroDivisionError
    return Done("/thing", f"changed {', '.join(str(each) for each in form.getlist('name'))}")


async def _notices(page: PageRequest) -> list[Notice]:
    return [Notice("faults are on <b>", "fault", "/thing")]


async def _count(page: PageRequest) -> int:
    return 1234


MODULE = SimpleNamespace(
    ROUTES=(Page("/thing", _show), Page("/thing/{id}", _show), PageAction("/thing", _change)),
    NAV=(NavEntry("/thing", "configuration.title", "mail", badge=_count),),
    NOTICES=(_notices,),
    BODY_LIMITS={"/thing/large": 2 << 20},
)


class Faults(list[str]):
    """What the console logged."""

    def __call__(self, event: str, /, *, reason: str, error: BaseException) -> None:
        self.append(reason)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def client(faults: Faults) -> Iterator[TestClient]:
    daemon = Daemon(parse('hostname = "mx.here.test"'), log=lambda event, /, **fields: None)
    console = Console(ContextRunner(daemon.context), log=faults, modules=[MODULE])
    with TestClient(console.guarded, base_url="http://localhost", follow_redirects=False) as made:
        yield made


def token(client: TestClient) -> str:
    [found] = re.findall(r"\b[0-9a-f]{64}\b", client.get("/thing").text)
    return str(found)


def test_a_form_with_its_token_is_done_and_the_browser_sent_on(client: TestClient) -> None:
    done = client.post("/thing", data={"csrf": token(client), "name": ["<i>", "b"]})
    assert (done.status_code, done.headers["location"]) == (303, "/thing")
    assert "changed &lt;i&gt;, b" in client.get("/thing").text
    assert "changed" not in client.get("/thing").text  # once


def test_a_file_may_come_with_a_form(client: TestClient) -> None:
    done = client.post("/thing", data={"csrf": token(client), "name": "a"}, files={"file": ("x", b"y")})
    assert done.status_code == 303


@pytest.mark.parametrize("given", ["", "0" * 64, None])
def test_a_form_without_its_token_changes_nothing(client: TestClient, given: str | None) -> None:
    data = {"name": "a"} if given is None else {"name": "a", "csrf": given}
    refused = client.post("/thing", data=data)
    assert refused.status_code == 403
    assert "load its page again" in refused.text


def test_a_program_sends_json_and_gets_json(client: TestClient) -> None:
    assert client.post("/thing", json={"name": ["a", 2]}).json() == {"message": "changed a, 2"}
    assert client.post("/thing.json", json={"name": True}).json() == {"message": "changed 1"}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"{", 400, "the body is no JSON"),
        (b"\xff", 400, "the body is no JSON"),
        (b"[" * 100_000, 400, "the body is no JSON"),
        (b"[]", 400, "the body is JSON, but no object"),
        (b'{"name": {}}', 400, 'the value of "name" is neither'),
        (b'{"name": [null]}', 400, 'the value of "name" is neither'),
        (b'{"name": [' + b"1," * 2_000 + b"1]}", 400, "more than 2,000 values"),
        (b'{"wrong": 1}', 400, "the value is wrong; give another"),
        (b'{"gone": 1}', 404, "there is no such thing"),
        (b'{"busy": 1}', 503, "the daemon is behind"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, body: bytes, status: int, detail: str) -> None:
    found = client.post("/thing", content=body, headers={"content-type": "application/json"})
    assert found.status_code == found.json()["status"] == status
    assert detail in found.json()["detail"]


def test_a_body_of_another_kind_is_refused(client: TestClient) -> None:
    assert client.post("/thing", content=b"a=b", headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/thing").status_code == 400


def test_a_fault_is_logged_and_shown_without_its_text(client: TestClient, faults: Faults) -> None:
    found = client.post("/thing", json={"fault": 1})
    assert found.status_code == 500
    assert "ZeroDivisionError" not in found.text
    assert faults == ["POST /thing: ZeroDivisionError: "]


def test_a_number_of_the_query_has_its_limits(client: TestClient) -> None:
    assert client.get("/thing.json?n=9").json()["status"] == 9
    for wrong in ("10", "-1", "x", "٣", "9" * 30):
        assert client.get("/thing.json", params={"n": wrong}).status_code == 400


def test_the_twin_of_a_path_with_a_part(client: TestClient) -> None:
    assert client.get("/thing/4.json").json()["title"] == "/thing/4"


def test_notices_and_numbers_stand_on_every_page(client: TestClient) -> None:
    page = client.get("/thing").text
    assert "faults are on &lt;b&gt;" in page
    assert ">1,234<" in page
    assert "faults are on" in client.get("/nothing").text


def test_a_longer_body_is_taken_where_a_page_says_so(client: TestClient) -> None:
    assert client.post("/thing", content=b"x" * (1 << 20) + b"x").status_code == 413
    assert client.post("/thing/large", content=b"x" * (1 << 20) + b"x").status_code == 405

    def chunks() -> Iterator[bytes]:
        yield from [b'"' * 65_536] * 17

    headers = {"content-type": "application/json"}
    assert client.post("/thing", content=chunks(), headers=headers).status_code == 413
