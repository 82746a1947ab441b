"""The application: pages and their JSON twins, errors, languages, appearance, static files."""

from __future__ import annotations

import base64
import hashlib
import html
import re

import pytest
from starlette.testclient import TestClient

from posthouse.console.page_request import preferred_language


def test_a_page_and_its_twin_have_the_same_data(client: TestClient) -> None:
    page = client.get("/configuration?q=hostname")
    twin = client.get("/configuration.json?q=hostname")
    assert page.status_code == twin.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    [setting] = [each for each in twin.json()["settings"] if each["name"] == "hostname"]
    assert setting["value"] == '"mx.here.test"'
    assert setting["help"] in html.unescape(page.text)
    assert "mx.here.test" in page.text


def test_accept_asks_for_json_too(client: TestClient) -> None:
    assert client.get("/configuration", headers={"accept": "application/json"}).json()["settings"]


def test_the_first_page_leads_somewhere(client: TestClient) -> None:
    found = client.get("/")
    assert found.status_code in (200, 302)
    assert client.get("/", follow_redirects=True).status_code == 200
    for path, headers in (("/index.json", {}), ("/", {"accept": "application/json"})):
        twin = client.get(path, headers=headers, follow_redirects=True)
        assert twin.status_code == 200, path
        assert twin.headers["content-type"] == "application/json"
        assert twin.json() == client.get("/inbox.json").json()


@pytest.mark.parametrize("path", ["/nothing", "/configuration/nothing", "/static/nothing.css"])
def test_what_does_not_exist_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_error_is_a_page_or_problem_details(client: TestClient) -> None:
    page = client.get("/nothing", headers={"accept": "text/html"})
    assert "<h1>Not found</h1>" in page.text
    assert "There is no page at /nothing." in page.text
    problem = client.get("/nothing.json")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json() == {
        "type": "about:blank", "title": "Not found", "status": 404, "detail": "There is no page at /nothing."
    }  # fmt: skip


def test_a_path_in_an_error_is_escaped(client: TestClient) -> None:
    assert "<script>alert" not in client.get("/<script>alert(1)</script>").text


def test_the_method_decides(client: TestClient) -> None:
    assert client.head("/configuration").status_code == 200
    assert client.head("/configuration").content == b""
    assert client.post("/configuration").status_code == 405
    assert client.post("/configuration").headers["allow"] == "GET, HEAD"


# Language and appearance -------------------------------------------------------------------------------------------


def test_the_language_is_the_browsers_and_then_the_chosen_one(client: TestClient) -> None:
    chinese = client.get("/configuration", headers={"accept-language": "zh-TW,en;q=0.5"})
    assert '<html lang="zh-CN"' in chinese.text
    assert "<h1>配置</h1>" in chinese.text
    assert '<html lang="en"' in client.get("/configuration").text
    chosen = client.get("/configuration?lang=zh")
    assert "<h1>配置</h1>" in chosen.text
    assert "posthouse_lang=zh" in chosen.headers["set-cookie"]
    assert "<h1>配置</h1>" in client.get("/configuration").text  # by the cookie


def test_another_site_does_not_choose(client: TestClient) -> None:
    found = client.get("/configuration?lang=zh&theme=dark", headers={"sec-fetch-site": "cross-site"})
    assert "set-cookie" not in found.headers


def test_the_appearance_is_chosen(client: TestClient) -> None:
    assert 'data-theme="auto"' in client.get("/configuration").text
    client.get("/configuration?theme=dark")
    assert 'data-theme="dark"' in client.get("/configuration").text


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "en"), ("zh", "zh"), ("en-GB, zh;q=0.9", "en"), ("fr, zh;q=0.2, en;q=0.1", "zh"), ("zh;q=x", "en"),
     ("zh;q=0", "en"), (",;q=,,", "en")],
)  # fmt: skip
def test_accept_language_is_weighed(header: str, language: str) -> None:
    assert preferred_language(header) == language


# Static files ------------------------------------------------------------------------------------------------------


def test_static_files_have_an_etag_and_an_address_for_good(client: TestClient) -> None:
    page = client.get("/configuration").text
    [path] = re.findall(r'src="(/static/base\.js\?v=[0-9a-f]{16})"', page)
    found = client.get(path)
    assert found.headers["content-type"] == "text/javascript; charset=utf-8"
    assert found.headers["content-encoding"] == "gzip"
    assert "immutable" in found.headers["cache-control"]
    assert found.headers["x-content-type-options"] == "nosniff"
    assert client.get(path, headers={"accept-encoding": "identity"}).text == found.text
    again = client.get(path, headers={"if-none-match": f'"x", W/{found.headers["etag"]}'})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get(path.partition("?")[0]).headers["cache-control"] == "no-cache"


def test_the_style_sheet_of_a_page_is_that_of_its_policy_and_no_other(client: TestClient) -> None:
    for path in ("/configuration", "/nothing"):
        found = client.get(path, headers={"accept": "text/html"})
        [style] = re.findall(r"<style>(.*?)</style>", found.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}' 'self';" in found.headers["content-security-policy"]
        assert ":root" in style
        assert ".mail-link" in style
    assert "sha256" not in client.get("/configuration.json").headers["content-security-policy"]


def test_a_script_that_others_import_is_loaded_once(client: TestClient) -> None:
    page = client.get("/configuration").text
    for name in re.findall(r'src="(/static/\w+\.js\?v=[0-9a-f]{16})"', page):
        for imported in re.findall(r'from "\./([^"]+)"', client.get(name).text):
            assert f'src="/static/{imported}"' in page


def test_no_page_loads_anything_from_elsewhere(client: TestClient) -> None:
    page = client.get("/configuration").text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "style=" not in page
    assert not re.findall(r"<script(?![^>]*src=)", page)
