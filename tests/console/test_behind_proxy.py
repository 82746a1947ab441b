"""The console behind a reverse proxy: prefix, forwarded fields, and who is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.service import Daemon, parse
from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile

CONFIG = """
data_dir = "{path}"
hostname = "mx.here.test"
[console]
bind = "192.0.2.1:8025"
hosts = ["mail.example.org"]
proxies = ["192.0.2.7/32"]
base_path = "/console"
"""
FORWARDED = {
    "host": "backend.internal",
    "x-forwarded-host": "mail.example.org",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "198.51.100.4",
}


@pytest.fixture
def token(tmp_path: Path) -> str:
    AccountFile(tmp_path).add("ann", "correct horse", (), 0.0)
    file = OperatorFile(tmp_path)
    file.set_operator("ann", True)
    return file.add_token("t", read_only=False, now=0.0)


@contextmanager
def made(config: str, peer: str, base_url: str = "http://backend.internal") -> Iterator[TestClient]:
    parsed = parse(config)
    daemon = Daemon(parsed, log=lambda event, /, **fields: None)
    console = Console(ContextRunner(daemon.context), settings=parsed.console)
    with TestClient(console.guarded, base_url=base_url, follow_redirects=False, client=(peer, 4711)) as client:
        yield client
        assert client.portal is not None
        client.portal.call(daemon.spool.close)


@pytest.fixture
def client(tmp_path: Path, token: str) -> Iterator[TestClient]:
    """The proxy asks, with the token."""
    with made(CONFIG.format(path=tmp_path), "192.0.2.7") as client:
        client.headers = {**FORWARDED, "authorization": f"Bearer {token}"}  # type: ignore[assignment]
        yield client


@pytest.mark.parametrize("path", ["/console/configuration?q=dns", "/configuration?q=dns"])
def test_the_prefix_may_stay_or_be_taken_off(client: TestClient, path: str) -> None:
    found = client.get(path)
    assert found.status_code == 200
    assert 'data-base="/console"' in found.text
    assert 'href="/console/configuration"' in found.text
    assert 'src="/console/static/base.js?v=' in found.text
    assert 'href="/configuration' not in found.text
    assert client.get("/console/configuration.json").status_code == 200
    assert client.get("/console/api/check/settings").status_code == 200
    assert client.get("/console").status_code in (302, 307)
    assert client.get("/console/").headers["location"].startswith("/console/")
    assert client.get("/console/api/openapi.json").json()["servers"] == [{"url": "/console"}]
    assert client.get("/consolex/configuration").status_code == 404


def test_the_origin_is_that_of_the_browser(client: TestClient) -> None:
    for origin, status in (
        ("https://mail.example.org", 405),  # past the guard: there is no such action
        ("http://mail.example.org", 403),
        ("https://backend.internal", 403),
    ):
        assert client.post("/console/configuration", headers={"origin": origin}).status_code == status


def test_a_name_that_is_not_configured_is_misdirected(client: TestClient) -> None:
    assert client.get("/console/configuration", headers={"x-forwarded-host": "evil.example"}).status_code == 421


def test_a_login_is_secure_and_below_the_prefix(client: TestClient) -> None:
    del client.headers["authorization"]
    led = client.get("/console/configuration?q=dns", headers={"accept": "text/html"})
    assert led.headers["location"] == "/console/login?next=/configuration%3Fq%3Ddns"
    token = client.get("/console/login").text.partition('name="csrf" value="')[2][:64]
    form = {"csrf": token, "user": "ann", "password": "correct horse", "next": "/configuration"}
    done = client.post("/console/login", data=form)
    assert done.headers["location"] == "/console/configuration"
    assert "Secure" in done.headers["set-cookie"]
    assert "Path=/console" in done.headers["set-cookie"]


def test_nobody_but_the_proxy_is_answered(tmp_path: Path, token: str) -> None:
    with made(CONFIG.format(path=tmp_path), "192.0.2.8") as client:
        found = client.get("/console/configuration", headers={**FORWARDED, "authorization": f"Bearer {token}"})
        assert found.status_code == 403
        assert "through its reverse proxy only" in found.text


def test_forwarded_fields_of_others_are_not_believed(tmp_path: Path, token: str) -> None:
    config = f'data_dir = "{tmp_path}"\n[console]\nhosts = ["mail.example.org"]'
    with made(config, "127.0.0.1", "http://evil.example") as client:
        headers = {"x-forwarded-host": "mail.example.org", "authorization": f"Bearer {token}"}
        assert client.get("/configuration", headers=headers).status_code == 421


def test_the_nearest_proxy_tells_who_asks(tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        "posthouse.console.security.console_logins.LoginFailures.is_barred",
        lambda self, host, now: bool(seen.append(host)),
    )

    async def no_wait(seconds: float) -> None:
        return None

    monkeypatch.setattr("posthouse.console.security.console_logins.asyncio.sleep", no_wait)
    with made(CONFIG.format(path=tmp_path), "192.0.2.7") as client:
        forwarded = {**FORWARDED, "x-forwarded-for": "203.0.113.9, 198.51.100.4"}
        client.get("/console/configuration.json", headers={**forwarded, "authorization": "Basic YTpi"})
    assert seen == ["198.51.100.4"]


@pytest.mark.parametrize(
    "forwarded", ["198.51.100.4:5678", "[2001:db8::1]:443", "2001:db8::1", "unknown", "a:b:c", "_hidden", "", "\xb2"]
)
def test_a_client_is_told_in_any_form(tmp_path: Path, token: str, forwarded: str) -> None:
    with made(CONFIG.format(path=tmp_path), "192.0.2.7") as client:
        headers = {**FORWARDED, "x-forwarded-for": forwarded.encode("latin-1"), "authorization": "Basic YW5uOng="}
        assert client.get("/configuration", headers=headers).status_code == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/console/queue/", "/queue/", "/console/queue//"])
def test_a_redirect_leads_to_the_name_that_the_proxy_has(client: TestClient, path: str) -> None:
    found = client.get(path)
    assert (found.status_code, found.headers["location"]) == (307, "https://mail.example.org/console/queue")
