"""Access to some inboxes only: each way to what an account or a token does not see is tried, and shows nothing."""

from __future__ import annotations

import base64
import functools
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.service.operation_harness import OperationHarness, run

from posthouse.console.app import Console
from posthouse.console.operating import checked
from posthouse.console.problems import RequestRefused
from posthouse.console.security import console_logins as logins
from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.service import parse
from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile
from posthouse.service.operations.registry import OPERATIONS
from posthouse.spool.interface import StoredMessage

from .conftest import CONFIG, ConsoleHarness

PASSWORD = "correct horse"
#: What only bob sees: texts, his address, and whoever else is in his mail.
SECRETS = re.compile("SECRET|bob@x|hidden@", re.IGNORECASE)
PLAIN = "From: Shop <shop@x.test>\r\nTo: list@x.test\r\nSubject: {subject}\r\n\r\n{text} https://x.test/{text}\r\n"


class Access:
    """A console that needs a login, with mail of ann (1), of bob (2), of both (3 and 4), and of cat elsewhere (5);
    tokens that see ann's, ann's and no change, ann's domain, cat's and what has the tag."""

    def __init__(self, directory: Path) -> None:
        accounts, self.file = AccountFile(directory), OperatorFile(directory)
        for name in ("ann", "op"):
            accounts.add(name, PASSWORD, (), 0.0)
        self.file.set_operator("op", True)
        self.file.set_views("ann", ["ann@x.test"])
        views = {"ann": ["ann@x.test"], "domain": ["@x.test"], "two": ["cat@y.test", "tag:shared"], "all": []}
        self.tokens = {
            name: self.file.add_token(name, read_only=False, now=0.0, views=each) for name, each in views.items()
        }
        self.tokens["reader"] = self.file.add_token("reader", read_only=True, now=0.0, views=["ann@x.test"])
        text = f'data_dir = "{directory}"\n{CONFIG}\n[console]\nlogin = "required"\n'
        self.harness = ConsoleHarness(text, settings=parse(text).console)
        self.client: TestClient = self.harness.client

    def fill(self) -> None:
        self.keep("ANN", "ann@x.test")
        self.keep("SECRET", "bob@x.test", "hidden@z.test")
        self.keep("both", "ann@x.test", "bob@x.test")
        self.keep("CAT", "cat@y.test")
        self.call("all", "POST", "/api/inbox/tag", json={"numbers": [3], "tags": "shared"})

    def keep(self, subject: str, *to: str) -> None:
        self.harness.run(self.put, subject, *to)

    async def put(self, subject: str, *to: str, known: bool = False) -> None:
        """Deliver a message; its history says for whom it was if that is ``known``."""
        octets = PLAIN.format(subject=subject, text=f"text-of-{subject}").encode()
        incoming = self.harness.spool.receive()
        addresses = [each.partition("@") for each in to]
        envelope = Envelope(Address("shop", "x.test"), tuple(Recipient(Address(a, b)) for a, _, b in addresses))
        if known:
            now = self.harness.clock.time()
            incoming.write(octets)
            await incoming.commit(envelope, [b for _, _, b in addresses], received=now, due=now, source="mx 192.0.2.1")
        else:
            incoming.abort()
        stored = StoredMessage(incoming.id, envelope, self.harness.clock.time(), len(octets))
        for each in to:
            if not each.startswith("hidden"):
                await self.harness.spool.keep(each, stored, Bytes(octets))

    def call(self, token: str, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.tokens[token]}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def subjects(self, token: str, **query: Any) -> list[str]:
        found = self.call(token, "GET", "/inbox.json", params=query).json()
        return [each["subject"] for each in found["messages"]]


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    async def no_wait(seconds: float) -> None:
        return None

    monkeypatch.setattr(logins, "_delay", no_wait)
    made = Access(tmp_path)
    with made.harness:
        made.fill()
        yield made
        assert made.harness.faults == []


class TestLists:
    def test_each_sees_its_own(self, access: Access) -> None:
        assert access.subjects("all") == ["CAT", "both", "SECRET", "ANN"]
        assert access.subjects("ann") == ["both", "ANN"]
        assert access.subjects("domain") == ["both", "SECRET", "ANN"]
        assert access.subjects("two") == ["CAT", "both"]
        assert access.subjects("two", view="tag:shared") == ["both"]
        assert access.subjects("ann", view="bob@x.test") == []
        assert access.subjects("ann", view="@y.test") == []
        assert access.subjects("ann", q="text-of") == ["both", "ANN"]
        assert access.subjects("ann", q="SECRET") == []

    def test_no_search_confirms_a_blind_recipient(self, access: Access) -> None:
        access.harness.run(functools.partial(access.put, known=True), "blind", "ann@x.test", "bob@x.test", "zoe@w.test")
        assert access.subjects("all", q="to:zoe@w.test") == ["blind"]
        for search in ("to:bob@x.test", "to~bob", "bob@", "inbox:bob@x.test", "to:zoe@w.test", "zoe@", "domain:w.test",
                       "to:*@w.test"):  # fmt: skip
            assert access.subjects("ann", q=search) == [], search
            assert access.call("ann", "GET", f"/api/inbox/count?query={quote(search)}").json()["messages"] == 0
            assert access.subjects("ann", q=f"-{search}") == ["blind", "both", "ANN"], search
        for own in ("to:ann@x.test", "to~ann@", "inbox:ann@x.test", "ann@"):
            assert access.subjects("ann", q=own) == ["blind", "both", "ANN"], own
        assert access.subjects("domain", q="to:bob@x.test") == ["blind", "SECRET"]
        assert access.subjects("domain", q="to:zoe@w.test") == []
        access.call("all", "POST", "/api/inbox/tag", json={"numbers": [6], "tags": "shared"})
        assert access.subjects("two", q="to:zoe@w.test") == ["blind"]  # by its tag alone, it is seen whole

    def test_a_recipient_that_the_header_names_is_found(self, access: Access) -> None:
        access.keep("named\r\nCc: Bob <bob@x.test>", "ann@x.test", "bob@x.test")
        for search in ("to:bob@x.test", "to~bob", "bob"):
            assert access.subjects("ann", q=search) == ["named"], search

    def test_counts_and_views_are_those_of_what_is_seen(self, access: Access) -> None:
        counts = access.call("ann", "GET", "/inbox.json").json()
        assert (counts["total"], counts["total_unread"]) == (2, 2)
        assert access.call("two", "GET", "/api/inbox/count").json()["messages"] == 2
        views = access.call("ann", "GET", "/api/inbox/views").json()
        assert [(each["name"], each["messages"]) for each in views] == [("", 2), ("ann@x.test", 2)]
        views = access.call("domain", "GET", "/api/inbox/views").json()
        assert [each["name"] for each in views] == ["", "@x.test", "ann@x.test", "bob@x.test"]
        found = access.call("ann", "GET", "/api/inbox/summary").json()
        assert [each["name"] for each in found] == ["ann@x.test"]

    def test_a_message_of_several_names_no_other_mailbox(self, access: Access) -> None:
        entry = access.call("ann", "GET", "/message/3.json").json()["entry"]
        assert (entry["inboxes"], entry["places"], entry["envelope"]) == (["ann@x.test"], [3], ["ann@x.test"])
        entry = access.call("two", "GET", "/message/3.json").json()["entry"]  # by its tag, it is seen whole
        assert entry["inboxes"] == ["ann@x.test", "bob@x.test"]


def every_way(number: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests for a message by its number, or for all that there is."""
    one = {"number": number}
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/api/inbox/{each}", {"params": one}) for each in ("show", "read", "source", "extract", "check")
    ]
    ways += [
        ("GET", "/api/inbox/part", {"params": {**one, "part": "1"}}),
        ("POST", "/api/inbox/links", {"json": one}),
        ("GET", "/api/inbox/list", {}),
        ("GET", "/api/inbox/list", {"params": {"inbox": "bob@x.test"}}),
        ("GET", "/api/inbox/list", {"params": {"inbox": "bob"}}),
        ("GET", "/api/inbox/search", {"params": {"view": "bob@x.test", "query": "SECRET"}}),
        ("GET", "/api/inbox/search", {"params": {"query": f"id:{number}"}}),
        ("GET", "/api/inbox/wait", {"params": {"to": "bob@x.test", "timeout": "0"}}),
        ("GET", "/api/inbox/wait", {"params": {"query": "SECRET", "timeout": "0"}}),
        ("GET", "/api/inbox/wait", {"params": {"subject": "nothing", "timeout": "0"}}),
        ("GET", "/api/inbox/deletions", {}),
        ("GET", "/inbox", {"headers": {"accept": "text/html"}}),
        ("GET", "/inbox/export.mbox", {}),
        ("GET", "/inbox/export.mbox", {"params": {"view": "bob@x.test"}}),
    ]
    pages = ("", ".json", "/part/1", "/source.eml")
    ways += [("GET", f"/message/{number}{each}", {"headers": {"accept": "text/html"}}) for each in pages]
    ways += [("GET", f"/view/{number}.{each}", {}) for each in ("html", "txt")]
    ways += [("GET", f"/view/latest{each}", {"params": {"query": "SECRET"}}) for each in ("", ".html", ".txt")]
    ways += [("GET", each, {}) for each in ("/api/v1/messages", "/api/v2/messages", "/api/v1/tags", "/api/v1/info")]
    ways += [("GET", "/api/v1/search", {"params": {"query": "SECRET"}}), ("GET", "/api/v1/webui", {})]
    ways += [("GET", "/api/v2/search", {"params": {"kind": "containing", "query": "SECRET"}})]
    return ways


class TestEachWay:
    def test_reading_shows_nothing_of_others(self, access: Access) -> None:
        for method, path, more in every_way(2):
            for token in ("ann", "reader"):
                answer = access.call(token, method, path, **{**more, "headers": dict(more.get("headers", {}))})
                shown = re.sub('"query":"SECRET"|query=SECRET', "", answer.text)  # what was asked stands there
                shown = shown.replace("bob@x.test", "") if "bob@x.test" in str(more) else shown
                assert SECRETS.search(shown) is None, (method, path, answer.text[:500])
                assert answer.status_code < 500

    def test_by_queue_id_too(self, access: Access) -> None:
        found = access.call("all", "GET", "/message/2.json").json()["entry"]["queue_id"]
        for path in ("", "/headers", "/raw", "/part/1", "/link-check", "/download", "/mime/part/0/download"):
            kind = "messages" if path.endswith("download") else "message"
            assert access.call("ann", "GET", f"/api/v1/{kind}/{found}{path}").status_code == 404
        assert access.call("ann", "GET", f"/view/{found}.txt").status_code == 404
        assert access.call("ann", "DELETE", f"/api/v1/messages/{found}").status_code == 404
        for path, body in (("/api/v1/messages", {"IDs": [found]}), ("/api/v1/tags", {"IDs": [found], "Tags": ["x"]})):
            assert access.call("ann", "PUT", path, json={**body, "Read": True}).status_code == 200
        assert access.call("all", "GET", "/message/2.json").json()["entry"]["tags"] == []
        assert access.call("all", "GET", "/message/2.json").json()["entry"]["unread"]

    def test_cached_recipients_of_one_are_not_shown_to_another(self, access: Access) -> None:
        for token in ("all", "ann"):
            found = access.call(token, "GET", "/api/v1/messages").json()["messages"]
        assert [each["Bcc"] for each in found] == [[{"Name": "", "Address": "ann@x.test"}]] * 2

    def test_no_other_operation_is_run(self, access: Access) -> None:
        others = [each for each in OPERATIONS.values() if not each.narrowed]
        assert {"queue list", "inbox send", "inbox again", "inbox rebuild", "inbox import"} <= {
            each.name for each in others
        }
        for each in others:
            with pytest.raises(RequestRefused):
                checked(each, {}, ("ann@x.test",))
            if not each.local:
                answer = access.call("ann", "POST", f"/api/{each.name.replace(' ', '/')}", json={})
                assert answer.status_code == 403, each.name

    def test_no_other_page_is_shown(self, access: Access) -> None:
        console: Console = access.harness.console
        paths = [
            each.path for each in console._router.routes if isinstance(each, Route) and "GET" in (each.methods or ())
        ]
        others = [each for each in paths if not logins.is_of_inboxes(each.replace("{name}", "x"))]
        free = {"/login", "/login.json", "/healthz", "/readyz", "/static/{name}"}
        assert {"/queue", "/configuration", "/sessions", "/overview.json", "/metrics", "/compose"} <= set(others)
        for path in set(others) - free:
            named = re.sub(r"{[a-z:]+}", "1", path)
            assert access.call("ann", "GET", named).status_code == 403, path

    def test_the_navigation_and_the_first_page_are_of_the_inboxes(self, access: Access) -> None:
        page = access.call("ann", "GET", "/inbox", headers={"accept": "text/html"}).text
        assert set(re.findall(r'data-nav="([^"]+)"', page)) == {"/inbox", "/api-map", "/speak"}
        assert access.call("ann", "GET", "/").headers["location"] == "/inbox"

    def test_live_events_are_of_what_is_seen(self, access: Access) -> None:
        headers = {"authorization": f"Bearer {access.tokens['ann']}"}
        with access.client.websocket_connect("ws://127.0.0.1:8025/api/events", headers=headers) as socket:
            assert socket.receive_json()["Data"]["Total"] == 2
        with pytest.raises(WebSocketDisconnect), access.client.websocket_connect("ws://127.0.0.1:8025/api/events"):
            pass

    def test_a_page_is_told_of_changes_in_its_inboxes_and_of_no_others(
        self, access: Access, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def events(topics: Sequence[str], last_id: str) -> AsyncIterator[bytes]:
            asked.append(list(topics))
            yield b"event: hello\n\n"
            await access.put("SECRET too", "bob@x.test")
            yield b"event: change\nid: 1\n\n"
            await access.put("ANN too", "ann@x.test")
            yield b"event: change\nid: 2\n\n"
            yield b": alive\n\n"

        asked: list[list[str]] = []
        monkeypatch.setattr(access.harness.console.feed, "events", events)
        for token, told in (("ann", ["2"]), ("all", ["1", "2"])):
            text = access.call(token, "GET", "/events?topics=spool").text
            assert re.findall(r"id: (\d)", text) == told
        assert asked == [["inbox"], ["spool"]]


class TestChanges:
    def test_deleting_takes_what_is_seen_and_no_more(self, access: Access) -> None:
        for body in ({"numbers": [2]}, {"numbers": [2], "whole": True}, {"to": "bob@x.test"}, {"view": "@y.test"}):
            deleted = access.call("ann", "POST", "/api/inbox/delete", json=body).json()["deleted"]
            assert deleted == 0, body
        assert (
            access.call("ann", "POST", "/api/inbox/delete", json={"numbers": [3], "whole": True}).json()["deleted"] == 1
        )
        assert access.subjects("ann") == ["ANN"]
        assert access.subjects("all", view="bob@x.test") == ["both", "SECRET"]  # it stays in his
        assert access.call("ann", "DELETE", "/api/v1/messages").content == b"ok"
        assert access.subjects("ann") == []
        assert access.subjects("all") == ["CAT", "both", "SECRET"]

    def test_only_an_own_deletion_is_undone(self, access: Access) -> None:
        access.call("all", "POST", "/api/inbox/delete", json={"all": True})
        assert access.call("ann", "GET", "/api/inbox/deletions").json() == []
        for number in (0, 1):
            assert access.call("ann", "POST", "/api/inbox/undo", json={"deletion": number}).status_code == 400
        assert access.subjects("all") == []
        access.call("all", "POST", "/api/inbox/undo", json={})
        access.call("ann", "POST", "/api/inbox/delete", json={"all": True})
        assert access.call("ann", "POST", "/api/inbox/undo", json={}).status_code == 200
        assert access.subjects("ann") == ["both", "ANN"]

    def test_marks_and_tags_reach_what_is_seen_only(self, access: Access) -> None:
        access.call("ann", "POST", "/api/inbox/mark", json={"all": True})
        access.call("ann", "POST", "/api/inbox/mark", json={"numbers": [2, 5]})
        access.call("ann", "POST", "/api/inbox/tag", json={"numbers": [1, 2, 5], "tags": "mine"})
        assert access.subjects("all", q="is:unread") == ["CAT", "SECRET"]
        assert access.subjects("all", q="tag:mine") == ["ANN"]

    def test_a_token_that_reads_changes_nothing(self, access: Access) -> None:
        assert access.call("reader", "POST", "/api/inbox/delete", json={"all": True}).status_code == 403
        assert access.call("reader", "POST", "/api/inbox/links", json={"number": 1}).status_code == 403
        queue_id = access.call("all", "GET", "/message/1.json").json()["entry"]["queue_id"]
        assert access.call("reader", "GET", f"/api/v1/message/{queue_id}/link-check").status_code == 403
        assert access.call("reader", "GET", f"/api/v1/message/{queue_id}").status_code == 200
        assert access.subjects("all", q="is:unread") == ["CAT", "both", "SECRET", "ANN"]


class TestAccounts:
    def log_in(self, access: Access, name: str) -> int:
        page = access.client.get("/login").text
        (token,) = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)
        given = {"csrf": token, "user": name, "password": PASSWORD}
        return int(access.client.post("/login", data=given).status_code)

    def test_an_account_with_an_inbox_logs_in_and_sees_it(self, access: Access) -> None:
        assert self.log_in(access, "ann") == 303
        assert [each["subject"] for each in access.client.get("/inbox.json").json()["messages"]] == ["both", "ANN"]
        assert access.client.get("/queue.json").status_code == 403
        access.file.set_views("ann", ["cat@y.test"])  # at once, within the session
        assert [each["subject"] for each in access.client.get("/inbox.json").json()["messages"]] == ["CAT"]
        access.file.set_views("ann", [])
        assert access.client.get("/inbox.json").status_code == 401
        assert self.log_in(access, "ann") == 401

    def test_basic_login(self, access: Access) -> None:
        given = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
        found = access.client.get("/api/v1/messages", headers={"authorization": f"Basic {given}"}).json()
        assert [each["Subject"] for each in found["messages"]] == ["both", "ANN"]

    def test_an_operator_sees_everything_and_is_not_limited(self, access: Access) -> None:
        with pytest.raises(SettingError, match="is an operator"):
            access.file.set_views("op", ["ann@x.test"])
        assert access.file.views_of("op") is None
        assert access.file.views_of("nobody") == ()

    def test_an_account_that_becomes_operator_and_no_longer_is_limited_again(self, access: Access) -> None:
        access.file.set_operator("ann", True)
        assert access.file.views_of("ann") is None
        access.file.set_operator("ann", False)
        assert access.file.views_of("ann") == ("ann@x.test",)

    def test_a_file_of_before_is_brought_up_to_date(self, tmp_path: Path) -> None:
        folder = tmp_path / "old"
        folder.mkdir()
        file = OperatorFile(folder)
        text = file.add_token("ci", read_only=False, now=1.0)
        connection = sqlite3.connect(file.path)
        connection.executescript("DROP TABLE access; PRAGMA user_version = 1;")
        connection.close()
        token = file.token(text)
        assert token is not None
        assert token.views is None
        file.set_views("ann", ["ann@x.test"])
        assert file.views_of("ann") == ("ann@x.test",)

    def test_the_operations_of_the_command_line(self, tmp_path: Path) -> None:
        async def go() -> None:
            desk = await OperationHarness(text=f'data_dir = "{tmp_path}"\n{CONFIG}')
            with pytest.raises(SettingError, match="no view"):
                await desk.do("user inboxes", account="ann", views="nonsense")
            AccountFile(tmp_path).add("eve", PASSWORD, (), 0.0)
            made = await desk.do("user inboxes", account="eve", views="Eve@X.test, login:eve")
            assert made.views == ["eve@x.test", "login:eve"]
            assert [(each.name, each.views) for each in await desk.do("user inbox-list")] == [
                ("eve", ["eve@x.test", "login:eve"])
            ]
            await desk.do("user token-add", token="ci", inboxes="@x.test")
            assert [each.views for each in await desk.do("user token-list")] == [["@x.test"]]
            await desk.do("user remove", account="eve")
            assert await desk.do("user inbox-list") == []  # nobody inherits it who takes the name

        run(go)
