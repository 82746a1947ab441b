"""The faults page: switched on and off by forms and by programs, and loud on every page as long as one is on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.service import Daemon
from posthouse.service.config_file import default_config
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver


def console(fault_addresses: bool) -> Console:
    clock = ManualClock()
    daemon = Daemon(
        default_config("/nowhere", fault_addresses=fault_addresses),
        clock=clock,
        network=MemoryNetwork(clock),
        spool=SqliteSpool.ephemeral(time=clock.time),
        resolver=StaticResolver({}),
        log=lambda event, /, **fields: None,
    )
    return Console(ContextRunner(lambda who: daemon.context(who)._replace(peers=None)))


@pytest.fixture
def catcher() -> Iterator[TestClient]:
    with TestClient(console(True).guarded, base_url="http://127.0.0.1:8025", follow_redirects=False) as made:
        yield made


def form(client: TestClient, path: str, **fields: str) -> None:
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/faults").text)
    assert token is not None
    answer = client.post(path, data={"csrf": token[1], **fields})
    assert answer.status_code == 303, answer.text


def test_on_and_off_by_forms(catcher: TestClient) -> None:
    assert "No fault is switched on." in catcher.get("/faults").text
    form(catcher, "/faults/on", stage="rcpt", does="reply", reply="450 4.2.1 Not now", to="*@a.example", times="3")
    [fault] = catcher.get("/faults.json").json()["faults"]
    assert (fault["stage"], fault["reply"], fault["to"], fault["left"]) == (
        "rcpt",
        "450 4.2.1 Not now",
        "*@a.example",
        3,
    )
    page = catcher.get("/faults").text
    assert "450 4.2.1 Not now" in page
    form(catcher, "/faults/off", name=fault["name"])
    assert catcher.get("/faults.json").json()["faults"] == []


def test_every_page_says_it_while_one_is_on(catcher: TestClient) -> None:
    assert "notice notice-fault" not in catcher.get("/configuration").text
    form(catcher, "/faults/on", stage="all", does="delay", reply="451", delay="2s", name="slow")
    for path in ("/configuration", "/speak", "/faults"):
        page = catcher.get(path).text
        assert 'class="notice notice-fault" role="alert"' in page
        assert "A fault is switched on: slow" in page
    assert "已开启一个故障：slow" in catcher.get("/configuration?lang=zh").text
    form(catcher, "/faults/off", all="1")
    assert "notice notice-fault" not in catcher.get("/configuration").text


def test_a_program_switches_with_json(catcher: TestClient) -> None:
    answer = catcher.post("/faults/on", json={"stage": "end", "does": "drop", "percent": 20, "lasts": "10m"})
    [fault] = answer.json()["faults"]
    assert (fault["drop"], fault["percent"], fault["reply"]) == (True, 20, "")
    assert catcher.post("/faults/off", json={"all": True}).json()["changed"] == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"stage": "rcpt", "reply": "nonsense"}, "is no reply"),
        ({"stage": "mail", "reply": "451", "to": "a@b.c"}, "no recipient is known"),
        ({"reply": "451", "times": "-1"}, "is no number"),
        ({"reply": "451", "lasts": "soon"}, "is no duration"),
    ],
)
def test_what_cannot_be_meant_is_said(catcher: TestClient, given: dict[str, str], sentence: str) -> None:
    answer = catcher.post("/faults/on", json=given)
    assert answer.status_code == 400
    assert sentence in answer.json()["detail"]


def test_patterns_and_replies_are_text(catcher: TestClient) -> None:
    form(catcher, "/faults/on", reply="451 <script>x</script>", to="<img src=x>*")
    page = catcher.get("/faults").text
    assert "<script>x" not in page
    assert "<img src=x" not in page


def test_where_no_fault_is_possible() -> None:
    with TestClient(console(False).guarded, base_url="http://127.0.0.1:8025") as client:
        assert "No listener of this daemon can have faults" in client.get("/faults").text
        assert client.post("/faults/on", json={"reply": "451"}).status_code == 400
