"""What the interfaces of other catchers refuse, and what they never do, asked without their clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest
from starlette.testclient import TestClient

from posthouse.console.app import Console
from posthouse.console.compat.api_map import API_MAP, map_as_markdown
from posthouse.console.operating import ContextRunner
from posthouse.console.pages.compat_page import ROUTES
from posthouse.service.operations.registry import OPERATIONS

from .conftest import ROOT, ServedCatcher, written


@pytest.fixture
def http(catcher: ServedCatcher) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=catcher.url, timeout=60) as made:
        yield made


class TestDeleting:
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"not json", "text/plain"),
            (b"[]", "application/json"),
            (b'{"IDs": "x"}', "application/json"),
            (b'{"IDs": [1]}', "application/json"),
            (b'{"IDs": ["x"]', "application/json"),
            (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
            (b"a=b", "application/x-www-form-urlencoded"),
            (b"ID=x&IDs=y", "application/x-www-form-urlencoded"),
            (b'{"ID": ["x"]}', "application/json"),
            (b'{"IDs": ["x"]', "application/x-www-form-urlencoded"),
        ],
    )
    def test_a_body_that_is_not_understood_deletes_nothing(
        self, http: httpx.Client, catcher: ServedCatcher, content: bytes, kind: str
    ) -> None:
        catcher.send(written("Kept"), "ann@a.example")
        answer = http.request("DELETE", "/api/v1/messages", content=content, headers={"content-type": kind})
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/plain")
        assert catcher.run("inbox count").messages == 1

    def test_json_is_json_whatever_its_type_says_and_names_are_read_in_any_case(
        self, http: httpx.Client, catcher: ServedCatcher
    ) -> None:
        """curl says that what -d sends is a form: taken for one without IDs, it deleted everything."""
        kept, gone, form = (catcher.send(written(name), "ann@a.example") for name in ("Kept", "Gone", "Form"))
        curl = {"content-type": "application/x-www-form-urlencoded"}
        body = json.dumps({"ids": [gone]}).encode()
        assert http.request("DELETE", "/api/v1/messages", content=body, headers=curl).content == b"ok"
        assert {each["ID"] for each in http.get("/api/v1/messages").json()["messages"]} == {kept, form}
        assert http.request("DELETE", "/api/v1/messages", data={"IDs": form}).content == b"ok"
        assert [each["ID"] for each in http.get("/api/v1/messages").json()["messages"]] == [kept]
        assert http.request("DELETE", "/api/v1/messages", content=b'{"IDs": []}', headers=curl).content == b"ok"
        assert http.get("/api/v1/messages").json()["total"] == 0

    def test_marks_are_read_in_any_case_and_nothing_else_is_taken_for_all(
        self, http: httpx.Client, catcher: ServedCatcher
    ) -> None:
        first, _ = (catcher.send(written(name), "ann@a.example") for name in ("One", "Two"))
        curl = {"content-type": "application/x-www-form-urlencoded"}

        def read() -> list[str]:
            return [each["Subject"] for each in http.get("/api/v1/messages").json()["messages"] if each["Read"]]

        body = json.dumps({"ids": [first], "read": True}).encode()
        assert http.put("/api/v1/messages", content=body, headers=curl).content == b"ok"
        assert read() == ["One"]
        assert http.put("/api/v1/messages", json={"read": True, "search": "subject:Two"}).content == b"ok"
        assert read() == ["Two", "One"]
        for wrong in ({"ID": [first]}, {"Read": "false"}, {"IDs": [first], "Search": "Two", "Read": False}):
            assert http.put("/api/v1/messages", json=wrong).status_code == 400
        assert read() == ["Two", "One"]

    def test_a_search_that_is_not_understood_deletes_nothing(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        catcher.send(written("Kept"), "ann@a.example")
        for query in ("is:tagged", "larger:many", " "):
            assert http.delete("/api/v1/search", params={"query": query}).status_code == 400
        assert catcher.run("inbox count").messages == 1

    def test_ids_that_are_not_there_delete_nothing(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        catcher.send(written("Kept"), "ann@a.example")
        for name in ("nobody", "latest", '" OR 1', "../x"):
            body = json.dumps({"IDs": [name]}).encode()
            assert http.request("DELETE", "/api/v1/messages", content=body).content == b"ok"
        assert catcher.run("inbox count").messages == 1

    def test_a_message_in_several_inboxes_goes_whole(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        sent = catcher.send(written("Gone"), "ann@a.example", "bob@a.example")
        http.request("DELETE", "/api/v1/messages", content=json.dumps({"IDs": [sent]}).encode())
        assert catcher.run("inbox count").messages == 0
        assert catcher.run("inbox undo").restored == 1  # and can be had back


class TestOtherSites:
    FOREIGN = ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"})

    @pytest.mark.parametrize("headers", FOREIGN)
    def test_a_page_of_another_site_changes_nothing(
        self, http: httpx.Client, catcher: ServedCatcher, headers: dict[str, str]
    ) -> None:
        sent = catcher.send(written("Kept"), "ann@a.example")
        for method, path in (
            ("DELETE", "/api/v1/messages"),
            ("PUT", "/api/v1/messages"),
            ("DELETE", f"/api/v1/messages/{sent}"),
            ("POST", "/api/v1/send"),
            ("PUT", "/api/v1/chaos"),
            ("POST", "/api/v2/jim"),
        ):
            answer = http.request(method, path, content=b"{}", headers={**headers, "content-type": "text/plain"})
            assert answer.status_code == 403, (method, path)
        assert catcher.run("inbox count").messages == 1
        assert catcher.run("fault list").faults == []

    def test_its_get_marks_nothing_as_read(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        sent = catcher.send(written("Unread"), "ann@a.example")
        http.get(f"/api/v1/message/{sent}", headers={"sec-fetch-site": "cross-site"})
        assert catcher.run("inbox count").unread == 1
        http.get(f"/api/v1/message/{sent}")
        assert catcher.run("inbox count").unread == 0

    def test_another_name_of_this_machine_is_refused(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        assert http.get("/api/v1/messages", headers={"host": "evil.example"}).status_code == 421


class TestLinkCheck:
    def test_it_answers_as_mailpit_does_and_asks_nothing_of_this_machine(
        self, http: httpx.Client, catcher: ServedCatcher
    ) -> None:
        message = EmailMessage()
        message.set_content(f"See {catcher.url}/livez and mailto:ann@a.example\n")
        name = catcher.send(message, "ann@a.example")
        found = http.get(f"/api/v1/message/{name}/link-check", params={"follow": "true"}).json()
        text = "127.0.0.1 is not a public address; name its network in link_networks of [inbox] to have it asked."
        assert found == {
            "Errors": 1,
            "Links": [{"URL": f"{catcher.url}/livez", "StatusCode": 0, "Status": text}],
        }

    def test_a_page_of_another_site_asks_for_no_links(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        name = catcher.send(written("Links"), "ann@a.example")
        answer = http.get(f"/api/v1/message/{name}/link-check", headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403


class TestHostileMessages:
    def test_parts_do_not_run(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@b.example", "ann@a.example", "<script>alert(1)</script>"
        message.set_content("x")
        message.add_attachment(b"<script>alert(1)</script>", maintype="text", subtype="html", filename="x.html")
        message.add_attachment(
            b"<svg onload='alert(1)'/>", maintype="image", subtype="svg+xml", filename='a"b/../c.svg'
        )
        sent = catcher.send(message, "ann@a.example")
        shown = http.get(f"/api/v1/message/{sent}").json()
        for part in shown["Attachments"]:
            answer = http.get(f"/api/v1/message/{sent}/part/{part['PartID']}")
            assert answer.headers["content-disposition"].startswith("attachment; ")
            assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
            assert answer.headers["x-content-type-options"] == "nosniff"
            name = re.search(r'filename="([^"]*)"', answer.headers["content-disposition"])
            assert name is not None
            assert not set(name[1]) & set('/\\"')
        raw = http.get(f"/api/v1/message/{sent}/raw", params={"dl": "1"})
        assert raw.headers["content-type"] == "text/plain; charset=utf-8"
        assert raw.headers["content-disposition"].startswith(f'attachment; filename="{sent}.eml"')

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            b"\r\n\r\n",
            b"Subject: =?utf-8?b?4p==?=\r\nFrom: <\r\nTo: ,,,\r\n\r\nx",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x\r\nContent-Type: text/html; charset\r\n",
            b"From: a\xff@b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed\r\n\r\n",
        ],
    )
    def test_broken_ones_are_shown(self, http: httpx.Client, catcher: ServedCatcher, octets: bytes) -> None:
        sent = catcher.send(octets, "ann@a.example", sender="app@example.org")
        for path in (
            "/api/v1/messages",
            f"/api/v1/message/{sent}",
            f"/api/v1/message/{sent}/headers",
            f"/api/v1/message/{sent}/raw",
            "/api/v2/messages",
            f"/api/v1/messages/{sent}",
            f"/api/v1/messages/{sent}/download",
        ):
            assert http.get(path).status_code == 200, path
        assert http.get(f"/api/v1/message/{sent}/part/99").status_code == 400
        assert http.get(f"/api/v1/messages/{sent}/mime/part/99/download").status_code == 404


class TestSending:
    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ({}, "From has no address"),
            ({"From": {"Email": "a@b.example"}, "To": "x"}, "To is no list"),
            ({"From": {"Email": "a@b.example"}, "To": [{"Email": "x\r\ny@z"}]}, "To has no address"),
            ({"From": {"Email": "a@b.example"}, "To": []}, "no recipient"),
            ({"From": {"Email": "a@b.example"}, "Headers": {"Subject": "x"}}, "cannot be among Headers"),
            ({"From": {"Email": "a@b.example"}, "Headers": {"X-A": "b\r\nEvil: c"}}, ""),
            ({"From": {"Email": "a@b.example"}, "Attachments": [{"Content": "%%%"}]}, "not base64"),
        ],
    )
    def test_what_cannot_be_sent_is_said(
        self, http: httpx.Client, catcher: ServedCatcher, body: object, sentence: str
    ) -> None:
        answer = http.post("/api/v1/send", json=body)
        assert answer.status_code == 400
        assert sentence in answer.json()["Error"]
        assert catcher.run("inbox count").messages == 0

    def test_what_curl_calls_a_form_is_sent(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        body = {"from": {"email": "a@b.example"}, "to": [{"email": "ann@a.example"}], "subject": "by curl", "text": "x"}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = http.post("/api/v1/send", content=json.dumps(body).encode(), headers=headers)
        assert answer.status_code == 200, answer.text
        assert catcher.run("inbox wait", to="ann@a.example", subject="by curl", timeout=60).met

    def test_options_are_answered(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        for path in ("/api/v1/messages", "/api/v1/message/x", "/api/v1/send"):
            answer = http.options(path)
            assert (answer.status_code, answer.content) == (200, b"")

    def test_the_id_in_the_last_250_is_found(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        sent = catcher.send(written("Found"), "ann@a.example")
        assert http.get(f"/api/v1/message/{sent}").json()["Subject"] == "Found"
        assert http.get("/api/v1/message/latest").json()["ID"] == sent
        assert http.get(f"/api/v1/messages/{sent}").json()["ID"] == sent


class TestChaosAndJim:
    @pytest.mark.parametrize(
        "body",
        [
            {"Sender": {"ErrorCode": 399, "Probability": 5}},
            {"Sender": {"ErrorCode": 451, "Probability": 101}},
            {"Recipient": {"ErrorCode": "451", "Probability": 5}},
            {"Recipient": 5},
        ],
    )
    def test_wrong_triggers_change_nothing(self, http: httpx.Client, catcher: ServedCatcher, body: object) -> None:
        assert http.put("/api/v1/chaos", json=body).status_code == 400
        assert catcher.run("fault list").faults == []

    def test_jim(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        assert http.get("/api/v2/jim").status_code == 404
        assert http.put("/api/v2/jim", json={}).status_code == 400
        assert http.post("/api/v2/jim", json={"RejectSenderChance": 0.25, "AcceptChance": 1}).status_code == 201
        assert http.post("/api/v2/jim").status_code == 400
        assert http.get("/api/v2/jim").json()["RejectSenderChance"] == 0.25
        names = {each.name: each.percent for each in catcher.run("fault list").faults}
        assert names["jim-rejects-senders"] == 25
        assert "jim-refuses-connections" not in names
        assert http.put("/api/v2/jim", json={"RejectSenderChance": 2}).status_code == 400
        assert http.delete("/api/v2/jim").status_code == 200
        assert http.delete("/api/v2/jim").status_code == 404


class TestLists:
    def test_bounds(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        catcher.send(written("One"), "ann@a.example")
        assert http.get("/api/v1/messages", params={"limit": "0"}).json()["count"] == 1
        assert http.get("/api/v1/messages", params={"start": "7"}).json()["messages"] == []
        assert http.get("/api/v1/messages", params={"start": "100000000"}).status_code == 400
        assert http.get("/api/v1/messages", params={"start": "x", "limit": "-1"}).json()["count"] == 1
        assert http.get("/api/v1/search").status_code == 400
        assert http.get("/api/v2/search", params={"kind": "x", "query": "y"}).status_code == 400
        many = json.dumps({"IDs": [str(n) for n in range(10_001)]}).encode()
        assert http.request("DELETE", "/api/v1/messages", content=many).status_code == 400

    def test_addresses_that_clients_print(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        sent = catcher.send(written("Seen"), "ann@a.example")
        assert "482913" in http.get(f"/view/{sent}.txt").text
        assert http.get(f"/view/{sent}.html").text == http.get("/view/latest.html").text
        assert "/message/" in http.get(f"/view/{sent}").headers["location"]
        assert http.get(f"{catcher.url}//view/{sent}.txt").headers["location"] == f"/view/{sent}.txt"
        for wrong in ("//evil.example", "//view/..%2f..%2fevil", "//view/evil.example/x.html"):
            assert http.get(f"{catcher.url}{wrong}").status_code == 404
        found = http.get("/search", params={"q": "to:ann@a.example is:unread"})
        assert found.headers["location"] == "/inbox?q=to~%22ann%40a.example%22%20is%3Aunread"
        assert "Seen" in http.get(found.headers["location"]).text
        assert http.get("/view/1bcdfghjkmnpq.html").status_code == 404

    def test_methods_that_are_not_there(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        assert http.patch("/api/v1/messages").status_code == 405
        assert http.head("/api/v1/messages").status_code == 200


class TestEvents:
    def client(self, catcher: ServedCatcher) -> TestClient:
        console = Console(ContextRunner(catcher._daemon.context))
        return TestClient(console.guarded, base_url="http://127.0.0.1:8025")

    def test_another_site_cannot_listen(self, catcher: ServedCatcher) -> None:
        from starlette.websockets import WebSocketDisconnect

        for path in ("/api/events", "/api/v2/websocket"):
            with (
                pytest.raises(WebSocketDisconnect) as closed,
                self.client(catcher).websocket_connect(path, headers={"origin": "https://evil.example"}),
            ):
                pass
            assert closed.value.code == 1008


class TestTheMap:
    def test_the_manual_has_it(self) -> None:
        page = (ROOT / "docs" / "console-api-map.md").read_text(encoding="utf-8")
        assert page == map_as_markdown(), (
            "write it anew: python -m posthouse.console.compat.api_map >docs/console-api-map.md"
        )

    def test_it_says_what_is_served(self) -> None:
        served = set()
        for each in ROUTES:
            if getattr(each, "path", "").startswith("//"):  # a slip of a client
                continue
            path = re.sub(r":path", "", getattr(each, "path", ""))
            for method in getattr(each, "methods", None) or (
                {"WebSocket"} if "WebSocket" in type(each).__name__ else ()
            ):
                if method not in ("HEAD", "OPTIONS"):
                    served.add(f"{method} {path}")
        mapped = {each.call for each in API_MAP if each.tool != "smtp4dev"}
        served |= {f"GET /view/{{id}}{kind}" for kind in ("", ".html", ".txt")}  # of the pages of messages
        served |= {"GET /readyz", "GET /metrics"}  # of the console itself
        assert served == mapped
        for each in API_MAP:
            if each.served:
                assert each.call in served, each

    def test_what_it_names_in_place_of_a_call_is_there(self) -> None:
        for each in API_MAP:
            method, path = (each.here or "GET /api/v1/messages").partition("?")[0].split(" ")
            words = path.split("/")[2:]
            if words and words[0] in ("inbox", "monitor", "check"):
                operation = OPERATIONS[" ".join(words)]
                assert method == "POST" or operation.reads, each
            else:
                assert f"{method} {path}" in {other.call for other in API_MAP} | {"GET /events"}, each

    def test_every_call_of_smtp4dev_has_a_line(self) -> None:
        """The calls of its controllers: messages, sessions, mailboxes, server and version; and its hub."""
        mapped = {each.call.partition("?")[0] for each in API_MAP if each.tool == "smtp4dev"}
        messages = ("", "/new", "/{id}", "/{id}/raw", "/{id}/source", "/{id}/plaintext", "/{id}/html", "/{id}/download")
        parts = ("content", "source", "raw")
        assert mapped == {
            *(f"GET /api/messages{each}" for each in messages),
            *(f"GET /api/messages/{{id}}/part/{{part}}/{each}" for each in parts),
            *(
                f"POST /api/messages/{each}"
                for each in ("{id}/markRead", "markAllRead", "{id}/relay", "{id}/reply", "send")
            ),
            *("PUT /api/messages", "DELETE /api/messages/{id}", "DELETE /api/messages/*"),
            *("GET /api/sessions", "GET /api/sessions/{id}", "GET /api/sessions/{id}/log", "DELETE /api/sessions/*"),
            *("GET /api/mailboxes", "GET /api/version", "GET /api/server", "SignalR /hubs/notifications"),
        }

    def test_the_page_speaks_both_languages(self, http: httpx.Client, catcher: ServedCatcher) -> None:
        assert "the same" in http.get("/api-map").text
        assert "兼容的接口" in http.get("/api-map", params={"lang": "zh"}).text
        assert len(http.get("/api-map.json").json()["calls"]) == len(API_MAP)
