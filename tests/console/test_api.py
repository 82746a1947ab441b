"""The API: operations by HTTP, their description, and what is not offered."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient
from tests.console.conftest import ConsoleHarness

from posthouse.console.api.openapi import description
from posthouse.console.api.operation_routes import api_path, offered
from posthouse.console.texts import tables
from posthouse.service import OPERATIONS

JSON = {"content-type": "application/json"}


def test_an_operation_that_reads_is_asked_by_get(client: TestClient) -> None:
    found = client.get("/api/check/settings", params={"search": "max_hops", "changed": "false"})
    assert [each["name"] for each in found.json()["settings"]] == ["relay.max_hops"]
    assert client.get("/api/queue/list", params={"limit": "5"}).json() == []
    assert client.post("/api/queue/list", json={"limit": 5}).json() == []


def test_an_operation_that_changes_is_asked_by_post(client: TestClient) -> None:
    assert client.get("/api/queue/hold", params={"filter": "state:waiting"}).status_code == 405
    found = client.post("/api/queue/hold", json={"filter": "state:waiting"})
    assert found.json()["recipients"] == 0
    assert client.get("/api/queue/audit").json()[0]["who"] == "console"


def test_what_is_wrong_is_said_in_one_sentence(client: TestClient) -> None:
    for answer, status, detail in (
        (client.get("/api/queue/list?limits=1"), 400, '"queue list" has no parameter "limits"; it has filter, limit'),
        (client.get("/api/queue/list?limit=x"), 400, '"limit" is not a whole number'),
        (client.get("/api/queue/list?limit=1&limit=2"), 400, '"limit" is given 2 times'),
        (client.get("/api/queue/sites?peers=perhaps"), 400, '"peers" is neither true nor false'),
        (client.get("/api/queue/show"), 400, 'the parameter "id" is missing'),
        (client.get("/api/queue/list?filter=sate:held"), 400, 'did you mean "state"'),
        (client.post("/api/queue/hold", content=b"{", headers=JSON), 400, "the body is no JSON"),
        (client.post("/api/queue/hold", json={"filter": 1}), 400, '"filter" is not a str'),
        (client.post("/api/inbox/mark", json={"numbers": ["1"]}), 400, "is not a list of at most"),
        (client.post("/api/queue/list", json={"limit": 1 << 70}), 400, "too large a number"),
        (client.post("/api/dkim/keygen", json={"domain": "../../x"}), 400, ""),
        (client.post("/api/dkim/rotate", json={"domain": ""}), 400, "no domain is named"),
        (client.post("/api/queue/hold", content=b"filter=a"), 415, "application/json"),
        (client.get("/api/queue/burn"), 404, "There is no page at /api/queue/burn"),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert detail in answer.json()["detail"]


def test_what_makes_accounts_or_names_files_is_not_offered(client: TestClient) -> None:
    local = {each.name for each in OPERATIONS.values() if each.local}
    assert {"user add", "user passwd", "user operator", "user token-add", "check config"} <= local
    for name in local:
        assert client.post(f"/api/{name.replace(' ', '/')}", json={}).status_code == 404


def test_every_operation_is_described(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {api_path(each) for each in offered()}
    get = document["paths"]["/api/queue/list"]["get"]
    assert {each["name"] for each in get["parameters"]} == {"filter", "limit", "after", "before"}
    assert "get" not in document["paths"]["/api/queue/hold"]
    undone = document["components"]["schemas"]["InboxUndo"]
    assert undone["required"] == ["deletion", "restored", "who"]
    assert "so many messages were ``restored``" in undone["description"]
    assert document["components"]["schemas"]["Problem"]["required"] == ["title", "status", "detail"]
    assert client.get("/api").status_code == 200
    assert len(client.get("/api.json").json()) == len(document["paths"])
    assert "api.title" in tables()


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"


def test_a_daemon_whose_spool_was_replaced_is_not_ready(harness: ConsoleHarness) -> None:
    """It answers, and refuses all mail: who watches it must hear of that."""
    assert harness.client.get("/api/queue/sites").json()["fault"] == ""
    harness.spool.writer.out_of_order = "the spool was replaced"
    try:
        answer = harness.client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the spool was replaced\n")
        assert harness.client.get("/healthz").status_code == 200
        assert harness.client.get("/api/queue/sites").json()["fault"] == "the spool was replaced"
    finally:
        harness.spool.writer.out_of_order = ""


#: Waiting until mail arrives is no question of form.
_WAITING = ("inbox wait",)


def test_no_request_that_the_description_allows_is_a_fault(harness: ConsoleHarness) -> None:
    """Requests made from the description: right ones and wrong ones.  None is answered 5xx."""
    schema = schemathesis.openapi.from_dict(description())
    faults: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if any(operation.path == f"/api/{each.replace(' ', '/')}" for each in _WAITING):
            continue

        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            body = case.body if isinstance(case.body, dict) else None
            answer = harness.client.request(
                case.method, case.path, params=case.query or None, json=body if case.method != "GET" else None
            )
            if answer.status_code >= 500:
                faults.append(f"{case.method} {case.path} {case.query} {body}: {answer.status_code} {answer.text}")

        ask()
    assert faults == []
