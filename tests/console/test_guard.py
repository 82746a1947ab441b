"""The guard: host names, origins, sizes of bodies, headers of every response."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from posthouse.console.security.guard import CONTENT_POLICY, host_name, is_loopback_name

PATH = "/configuration"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8025", "LOCALHOST:80", "localhost.", "[::1]:8025",
                                  "127.9.9.9", "mail.localhost:8025"])  # fmt: skip
def test_a_loopback_name_is_answered(client: TestClient, host: str) -> None:
    assert client.get(PATH, headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8025",
                                  "192.168.1.2", "[::1", "127.0.0.1:x", "", "127.1", "0x7f000001",
                                  "evil.example:8025@localhost", "0.0.0.0"])  # fmt: skip
def test_any_other_name_is_misdirected(client: TestClient, host: str) -> None:
    found = client.get(PATH, headers={"host": host})
    assert found.status_code == 421
    assert "hosts of [console]" in found.text
    assert found.headers["content-security-policy"] == CONTENT_POLICY


def test_names_are_read_like_a_browser() -> None:
    assert host_name("Example.ORG.:25") == "example.org"
    assert host_name("[fe80::1]") == "fe80::1"
    assert host_name("[::1]x") == ""
    assert is_loopback_name("::1")
    assert not is_loopback_name("::2")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},  # another port
        {"origin": "https://127.0.0.1:8025"},  # another scheme
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-origin", "origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_origin_changes_nothing(client: TestClient, headers: dict[str, str], method: str) -> None:
    found = client.request(method, PATH, headers=headers, content=b"{}")
    assert found.status_code == 403


def test_programs_and_own_pages_pass(client: TestClient) -> None:
    for headers in ({}, {"origin": "http://127.0.0.1:8025", "sec-fetch-site": "same-origin"}):
        assert client.post(PATH, headers=headers).status_code == 405  # past the guard: there is no such action


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    found = client.post(PATH, content=b"x" * ((1 << 20) + 1))
    assert found.status_code == 413
    assert "1,048,576 octets" in found.text


def test_every_response_has_the_headers(client: TestClient) -> None:
    for path in (PATH, "/nothing", "/static/base.js", f"{PATH}.json"):
        headers = client.get(path).headers
        policy = re.sub(r" 'sha256-[^']+'", "", headers["content-security-policy"])  # of a page's own style sheet
        assert policy == CONTENT_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"  # a program does not say where it comes from
    assert "'unsafe" not in CONTENT_POLICY


@pytest.mark.parametrize(
    ("site", "policy"),
    [("none", None), ("same-origin", None), ("same-site", "same-origin"), ("cross-site", "same-origin")],
)
def test_a_page_that_no_other_site_leads_to_needs_no_process_of_its_own(
    client: TestClient, site: str, policy: str | None
) -> None:
    for path in (PATH, "/nothing"):
        found = client.get(path, headers={"sec-fetch-site": site, "sec-fetch-dest": "document"})
        assert found.headers.get("cross-origin-opener-policy") == policy
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
