"""The configuration pages: settings, findings with certificates that end soon, accounts, tokens, aliases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.console.conftest import ConsoleHarness

from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile

CONFIG = """
hostname = "mx.here.test"
data_dir = "{path}"
[[listener]]
bind = "127.0.0.1:2525"
tls_cert = "{path}/gone.pem"
tls = "starttls"
[[domain]]
name = "here.test"
mailboxes = ["ann"]
aliases = {{ info = ["ann"] }}
moved = {{ bob = "bob@far.test" }}
"""


@pytest.fixture
def harness(tmp_path: Path) -> ConsoleHarness:
    return ConsoleHarness(CONFIG.format(path=tmp_path))


def test_findings_name_what_is_wrong_with_certificates(harness: ConsoleHarness, tmp_path: Path) -> None:
    with harness:
        found = harness.client.get("/configuration/findings.json").json()
        assert any(f"{tmp_path}/gone.pem" in each for each in found["machine"])
        page = harness.client.get("/configuration/findings").text
        assert f"{tmp_path}/gone.pem" in page
        assert 'href="/configuration/findings"' in harness.client.get("/configuration").text
        chinese = harness.client.get("/configuration/findings?lang=zh").text
        assert "照此，守护进程不能启动。" in chinese
        assert "as it is, the daemon would not start" not in chinese


def test_settings_are_explained_in_the_language_of_the_reader(harness: ConsoleHarness) -> None:
    with harness:
        settings = harness.client.get("/configuration.json").json()["settings"]
        page = harness.client.get("/configuration?lang=zh").text
        titles = re.findall(r'<code title="([^"]*)">', page)
        assert len(titles) == len(settings) > 50
        assert [each for each in titles if each.isascii()] == []
        assert settings[0]["help"] in harness.client.get("/configuration?lang=en").text.replace("&#39;", "'")


def test_accounts_tokens_and_addresses_stand_on_one_page(harness: ConsoleHarness, tmp_path: Path) -> None:
    AccountFile(tmp_path).add("ann@here.test", "secret word", (), 1.0)
    text = OperatorFile(tmp_path).add_token("monitoring", read_only=True, now=1.0)
    with harness:
        page = harness.client.get("/configuration/accounts").text
        for part in ("ann@here.test", "monitoring", "info@here.test", "bob@far.test"):
            assert part in page
        twin = harness.client.get("/configuration/accounts.json").text
        for secret in (text, "secret word", "argon2", "digest"):
            assert secret not in page + twin


def test_accounts_elsewhere_are_named() -> None:
    with ConsoleHarness('accounts = "any"\n[[domain]]\nname = "*"\nmailboxes = "any"') as harness:
        assert "every name with every password may log in here" in harness.client.get("/configuration/accounts").text
