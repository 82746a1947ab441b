"""``[console]``: when it runs, where it may listen, and what it needs there."""

from __future__ import annotations

import pytest

from posthouse.net import Endpoint
from posthouse.service import ConfigError, default_config, parse
from posthouse.service.config.console_settings import needs_login

TLS = 'tls_cert = "/x.pem"'


def test_it_runs_where_the_table_is_written() -> None:
    assert not parse("").console.enabled
    assert parse("[console]").console.enabled
    assert not parse("[console]\nenabled = false").console.enabled


def test_the_catcher_has_one(tmp_path: object) -> None:
    assert default_config(str(tmp_path)).console.enabled
    assert default_config(str(tmp_path), console="127.0.0.1:9999").console.bind == Endpoint("127.0.0.1", 9999)
    assert not default_config(str(tmp_path), console="off").console.enabled
    with pytest.raises(ValueError, match="can be reached by other machines"):
        default_config(str(tmp_path), console="0.0.0.0:8025")


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("", False),
        ('bind = "[::1]:8025"', False),
        ('login = "required"', True),
        ('hosts = ["mail.example.org"]', True),
        ('proxies = ["127.0.0.1/32"]', True),
        (f'bind = "192.0.2.1:443"\n{TLS}', True),
    ],
)
def test_a_login_is_asked_where_others_can_come(text: str, login: bool) -> None:
    assert needs_login(parse(f"[console]\n{text}").console) is login


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('bind = "0.0.0.0:8025"', "0.0.0.0:8025 can be reached by other machines, and without TLS"),
        ('bind = "[::]:8025"', "can be reached by other machines"),
        ('bind = "unix:/run/console"', "the console listens at an IP address only"),
        ('tls_key = "/x"', "there is a key without a certificate"),
        ('base_path = "mail"', "is no prefix of paths"),
        ('base_path = "/a/../b"', "is no prefix of paths"),
        ('hosts = ["a b"]', "is no host name"),
        ('hosts = ["mail.example.org:80"]', "is no host name"),
        ('login = "never"', "is not one of the choices"),
    ],
)
def test_what_would_be_unsafe_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("[", r"\[")):
        parse(f"[console]\n{text}")


def test_anybody_is_no_operator() -> None:
    text = 'accounts = "any"\n[[domain]]\nname = "*"\n[console]\nlogin = "required"'
    with pytest.raises(ConfigError, match="would let everybody in"):
        parse(text)


def test_names_and_prefix_are_brought_to_one_form() -> None:
    console = parse('[console]\nhosts = ["Mail.Example.ORG.", "[::1]"]\nbase_path = "/mail/"').console
    assert console.hosts == ("mail.example.org", "::1")
    assert console.base_path == "/mail"
    assert parse('[console]\nbase_path = "/"').console.base_path == ""
