"""Speak SMTP on the console: forms without a script, JSON for programs, and sessions that do not meet."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from posthouse.codes import ALL_BASIC, ALL_COMMANDS
from posthouse.service.practice.occasions import CLASSIC_DIALOGUE


def token(client: TestClient, path: str = "/speak") -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def post(client: TestClient, path: str, **fields: str) -> str:
    """Send a form; the address that the browser goes on to."""
    answer = client.post(path, data={"csrf": token(client), **fields})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_the_page_before_anything_is_said(client: TestClient) -> None:
    page = client.get("/speak")
    assert page.status_code == 200
    assert "Begin with EHLO" in page.text
    assert 'class="law"' in page.text
    assert 'class="state here"' not in page.text


def test_a_line_is_answered_explained_and_lights_the_diagram(client: TestClient) -> None:
    where = post(client, "/speak/say", line="EHLO sohu.com")
    page = client.get(where).text
    assert "250-PIPELINING" in page
    assert "250 to EHLO leads from greeted to ready." in page
    assert '<g class="state here" data-state="ready">' in page
    assert '<g class="edge lit" data-from="greeted" data-to="ready">' in page
    session = re.search(r"session=([\w-]+)", where)
    assert session is not None
    again = post(client, "/speak/say", line="MAIL FROM:<langrui@sohu.com>", session=session[1])
    assert session[1] in again
    assert '<g class="state here" data-state="sender">' in client.get(again).text


def test_in_chinese(client: TestClient) -> None:
    where = post(client, "/speak/say", line="EHLO sohu.com").replace("#say", "&lang=zh")
    page = client.get(where).text
    assert "对 EHLO 应答 250，状态由已问候（greeted）变为就绪（ready）。" in page
    assert "发送SMTP 报出主机名，并询问对方支持哪些扩展。" in page


def test_the_classic_dialogue_step_by_step(client: TestClient) -> None:
    where = post(client, "/speak/begin", replay="1")
    for number, line in enumerate(CLASSIC_DIALOGUE):
        page = client.get(where).text
        [shown] = re.findall(r'name="line" value="([^"]*)" data-testid="speak-next"', page)
        assert shown.replace("&lt;", "<").replace("&gt;", ">") == line
        session = re.search(r"session=([\w-]+)", where)
        assert session is not None
        where = post(client, "/speak/say", line=line, session=session[1], replay=str(number + 1))
    page = client.get(where).text
    assert "The message has been delivered." in page
    assert "221 2.0.0" in page


def test_a_program_gets_json(client: TestClient) -> None:
    first = client.post("/speak/say", json={"line": "HELO a.test"}).json()
    assert first["state"] == "ready"
    assert [each["who"] for each in first["lines"]] == ["R", "S", "R"]
    assert {each["input"] for each in first["legal"]} >= {"MAIL", "QUIT"}
    second = client.post("/speak/say", json={"line": "QUIT", "session": first["session"]}).json()
    assert second["over"] is True
    twin = client.get("/speak.json", params={"session": first["session"]}).json()
    assert twin == second


def test_a_message_may_be_pasted(client: TestClient) -> None:
    lines = "EHLO a.test\r\nMAIL FROM:<>\nRCPT TO:<renping@sina.com>\nDATA\nSubject: x\n\nhello\n.\n"
    got = client.post("/speak/say", json={"line": lines}).json()
    assert got["lines"][-1]["text"].startswith("250 2.0.0 OK, 21 octets")
    too_many = client.post("/speak/say", json={"line": "NOOP\n" * 300})
    assert too_many.status_code == 400


def test_what_is_typed_is_text(client: TestClient) -> None:
    where = post(client, "/speak/say", line="<script>alert(1)</script><img src=x onerror=alert(1)>")
    page = client.get(where).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_session_that_is_gone_says_so(client: TestClient) -> None:
    assert "That session has ended" in client.get("/speak?session=never-was").text
    begun = client.post("/speak/say", json={"line": "NOOP", "session": "never-was"}).json()
    assert begun["session"] != "never-was"  # a key is ours, not the visitor's choice
    assert len(begun["lines"]) == 3


def test_two_sessions_do_not_meet(client: TestClient) -> None:
    one = client.post("/speak/say", json={"line": "HELO one.test"}).json()
    two = client.post("/speak/say", json={"line": "HELO two.test"}).json()
    assert one["session"] != two["session"]
    assert "one.test" not in str(client.get("/speak.json", params={"session": two["session"]}).json())


@pytest.mark.parametrize("given", [{"door": "back"}, {"door": "mx", "line": "x" * 5_000}])
def test_wrong_requests_are_refused(client: TestClient, given: dict[str, str]) -> None:
    path = "/speak/say" if "line" in given else "/speak/begin"
    answer = client.post(path, json=given)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_every_code_and_command_is_in_the_table(client: TestClient) -> None:
    table = client.get("/speak/codes.json").json()
    assert [each["code"] for each in table["codes"]] == list(ALL_BASIC)
    assert {each["command"] for each in table["commands"]} == set(ALL_COMMANDS)
    page = client.get("/speak/codes?lang=zh")
    assert "如何见到每个应答码和命令" in page.text


@pytest.mark.parametrize(("field", "name", "last"), [("code", "452", "452 4.5.3"), ("command", "EXPN", "250 2.1.5")])
def test_an_occasion_is_shown(client: TestClient, field: str, name: str, last: str) -> None:
    page = client.get(post(client, "/speak/occasion", **{field: name})).text
    assert last in page


def test_no_such_occasion(client: TestClient) -> None:
    assert client.post("/speak/occasion", json={"code": "299"}).status_code == 404
