"""Logins: who gets in, by password, session, token; what a wrong password costs; what a reader may not do."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.service.operation_harness import OperationHarness, run

from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.console.security import console_logins as logins
from posthouse.core import SettingError, StorageError
from posthouse.service import Daemon, parse
from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile

PASSWORD = "correct horse"


@pytest.fixture
def operators(tmp_path: Path) -> OperatorFile:
    """ann is an operator, bob is not."""
    accounts, file = AccountFile(tmp_path), OperatorFile(tmp_path)
    for name in ("ann", "bob"):
        accounts.add(name, PASSWORD, (), 0.0)
    file.set_operator("ann", True)
    return file


@pytest.fixture
def client(tmp_path: Path, operators: OperatorFile, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Asks a console that needs a login; nothing waits for a wrong password."""

    async def no_wait(seconds: float) -> None:
        return None

    monkeypatch.setattr(logins, "_delay", no_wait)
    config = parse(f'data_dir = "{tmp_path}"\n[console]\nlogin = "required"')
    daemon = Daemon(config, log=lambda event, /, **fields: None)
    console = Console(ContextRunner(daemon.context), settings=config.console)
    with TestClient(console.guarded, base_url="http://127.0.0.1:8025", follow_redirects=False) as made:
        yield made
        assert made.portal is not None
        made.portal.call(console.logins.close)
        made.portal.call(daemon.spool.close)


def log_in(client: TestClient, user: str = "ann", password: str = PASSWORD, **more: str) -> Any:
    page = client.get("/login").text
    [token] = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)
    return client.post("/login", data={"csrf": token, "user": user, "password": password, **more})


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("path", ["/configuration", "/", "/events", "/nothing", "/configuration?q=a&b=1"])
def test_a_browser_is_led_to_the_login(client: TestClient, path: str) -> None:
    found = client.get(path, headers={"accept": "text/html"})
    assert found.status_code == 303
    assert found.headers["location"].startswith("/login?next=/")
    assert "mx.here.test" not in found.text


def test_a_program_is_asked_for_credentials(client: TestClient) -> None:
    found = client.get("/configuration.json")
    assert found.status_code == 401
    assert found.json()["detail"] == "log in first, or send an API token"
    assert found.headers["www-authenticate"].startswith("Basic ")
    assert "www-authenticate" not in client.get("/configuration.json", headers={"sec-fetch-mode": "cors"}).headers


def test_an_operator_logs_in_and_out(client: TestClient) -> None:
    page = client.get("/login?next=/configuration?q=a")
    assert 'value="/configuration?q=a"' in page.text
    assert "data-nav" not in page.text  # the navigation is not for everybody
    done = log_in(client, next="/configuration?q=dns")
    assert (done.status_code, done.headers["location"]) == (303, "/configuration?q=dns")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=43200" in cookie
    shown = client.get("/configuration?q=dns")
    assert shown.status_code == 200
    assert "Logged in as ann" in shown.text
    assert client.post("/logout", data={}).status_code == 400
    [token] = re.findall(r'name="csrf" value="([0-9a-f]{64})"', shown.text)
    secret = client.cookies["posthouse_session"]
    assert client.post("/logout", data={"csrf": token}).status_code == 303
    assert client.get("/configuration.json").status_code == 401
    assert client.get("/configuration.json", headers={"cookie": f"posthouse_session={secret}"}).status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/login", "x", ""])
def test_a_login_leads_to_no_other_site(client: TestClient, target: str) -> None:
    assert log_in(client, next=target).headers["location"] == "/"


@pytest.mark.parametrize(("user", "password"), [("ann", "wrong"), ("bob", PASSWORD), ("eve", PASSWORD), ("", "")])
def test_nobody_else_gets_in(client: TestClient, user: str, password: str) -> None:
    refused = log_in(client, user, password)
    assert refused.status_code == 401
    assert "no operator has this name and password" in refused.text
    assert "set-cookie" not in refused.headers
    assert client.get("/configuration.json", headers=basic(user, password)).status_code == 401


def test_the_flag_can_be_taken_away(client: TestClient, operators: OperatorFile) -> None:
    log_in(client)
    assert client.get("/configuration.json").status_code == 200
    operators.set_operator("ann", False)
    assert client.get("/configuration.json").status_code == 401
    operators.set_operator("ann", True)
    assert client.get("/configuration.json").status_code == 401  # the session has ended


def test_a_program_logs_in_by_password_or_token(client: TestClient, operators: OperatorFile) -> None:
    assert client.get("/configuration.json", headers=basic("ann", PASSWORD)).status_code == 200
    text = operators.add_token("ci", read_only=False, now=1.0)
    for headers in ({"authorization": f"Bearer {text}"}, basic("api", text)):
        assert client.get("/configuration.json", headers=headers).status_code == 200
        assert client.post("/configuration", headers=headers).status_code == 405  # past the gate
    operators.remove_token("ci")
    assert client.get("/configuration.json", headers={"authorization": f"Bearer {text}"}).status_code == 401


def test_a_reading_token_changes_nothing(client: TestClient, operators: OperatorFile) -> None:
    text = operators.add_token("monitor", read_only=True, now=1.0)
    headers = {"authorization": f"Bearer {text}"}
    assert client.get("/configuration.json", headers=headers).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        found = client.request(method, "/configuration", headers=headers)
        assert (found.status_code, "this token may read" in found.text) == (403, True)


def test_a_session_ends(tmp_path: Path, operators: OperatorFile) -> None:
    text = operators.begin_session("ann", now=0.0, until=100.0)
    assert operators.session(text, 99.0) == "ann"
    assert operators.session(text, 100.0) is None
    assert operators.session(text + "x", 1.0) is None
    assert text.encode() not in operators.path.read_bytes()


def test_who_guesses_waits_and_is_refused_at_last(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    async def noted(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(logins, "_delay", noted)
    monkeypatch.setattr(logins.LoginFailures, "is_barred", lambda self, host, now: len(waits) >= 6)
    found = [client.get("/configuration.json", headers=basic("nobody", "x")).status_code for _ in range(7)]
    assert found == [401] * 6 + [429]
    assert waits == [0.0, 0.0, 0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize("header", ["Basic !", "Basic", "Bearer", "Bearer x", "Digest a", "Basic /w=="])
def test_what_is_no_login_is_none(client: TestClient, header: str) -> None:
    assert client.get("/configuration.json", headers={"authorization": header}).status_code == 401


@pytest.mark.parametrize(("how", "words"), [("missing", "不见了"), ("empty", "是空的")])
def test_a_lost_file_of_operators_is_told_to_who_logs_in(
    client: TestClient, operators: OperatorFile, how: str, words: str
) -> None:
    """A wrong password would be no explanation, and a new file would take the flags of all operators."""
    token = operators.add_token("monitoring", read_only=True, now=1.0)
    assert log_in(client).status_code == 303
    if how == "missing":
        operators.path.unlink()
    else:
        operators.path.write_bytes(b"")
    sentence = f"{operators.path} is {how}, and operators and tokens were made in it; put it back"
    for headers in ({}, basic("ann", PASSWORD), {"authorization": f"Bearer {token}"}):
        found = client.get("/configuration.json", headers=headers)
        assert found.status_code == 503
        assert sentence in found.json()["detail"]
    page = client.get("/configuration?lang=zh", headers={"accept": "text/html"})
    assert f"控制台登录文件 {operators.path} {words}；" in page.text
    assert client.get("/login").status_code == 200
    for each in (operators, OperatorFile(operators.path.parent)):
        assert sentence in each.loss()
        for change in (
            lambda each=each: each.set_operator("ann", True),
            lambda each=each: each.add_token("more", read_only=True, now=1.0),
            lambda each=each: each.end_sessions_of("ann"),
            each.operators,
        ):
            with pytest.raises(StorageError, match=f"is {how}, and operators and tokens were made in it"):
                change()
    operators.path.with_name("operators.made").unlink()
    assert OperatorFile(operators.path.parent).operators() == []


def test_an_account_is_kept_while_the_file_of_operators_is_lost(tmp_path: Path, operators: OperatorFile) -> None:
    """Put back later, the file would have the flag and the sessions still."""
    made = OperationHarness(text=f'data_dir = "{tmp_path}"\nhostname = "mx.here.test"')
    operators.path.unlink()

    async def scenario() -> None:
        await made
        for operation, given in (
            ("user remove", {}),
            ("user passwd", {"password": "another"}),
            ("user change", {"active": "no"}),
        ):
            with pytest.raises(StorageError, match="is missing, and operators and tokens were made in it"):
                await made.do(operation, account="ann", **given)

    run(scenario)
    accounts = AccountFile(tmp_path)
    assert accounts.check("ann", PASSWORD)
    assert accounts.find("ann").active  # type: ignore[union-attr]


def test_a_file_of_operators_without_a_note_is_noted_by_the_console(
    tmp_path: Path, operators: OperatorFile, client: TestClient
) -> None:
    note = operators.path.with_name("operators.made")
    note.unlink()
    config = parse(f'data_dir = "{tmp_path}"\n[console]\nlogin = "required"')
    logins.ConsoleLogins(config, config.console)
    assert "operators.sqlite3" in note.read_text()
    assert note.stat().st_mode & 0o777 == 0o600


def test_tokens_have_names(operators: OperatorFile) -> None:
    operators.add_token("ci", read_only=True, now=5.0)
    assert operators.tokens() == [("ci", True, 5.0, None)]
    for name, problem in (("ci", "there is a token ci already"), ("", "1 to 100"), ("a\nb", "1 to 100")):
        with pytest.raises(SettingError, match=problem):
            operators.add_token(name, read_only=True, now=5.0)
    with pytest.raises(SettingError, match="there is no token other"):
        operators.remove_token("other")


@pytest.mark.parametrize(
    ("operation", "given"), [("user passwd", {"password": "another horse"}), ("user change", {"active": "no"})]
)
def test_a_session_ends_with_its_password_and_its_account(
    tmp_path: Path, operators: OperatorFile, operation: str, given: dict[str, str]
) -> None:
    async def go() -> None:
        desk = await OperationHarness(text=f'data_dir = "{tmp_path}"')
        operators.set_operator("bob", True)
        mine, other = (operators.begin_session(each, now=0.0, until=100.0) for each in ("ann", "bob"))
        await desk.do(operation, account="ann", **given)
        assert (operators.session(mine, 1.0), operators.session(other, 1.0)) == (None, "bob")

    run(go)
