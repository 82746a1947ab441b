"""Settings of programs under test: what stands in the environment, in Django and in Flask, and that it goes again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from posthouse import parse_server
from posthouse.sandbox import ProgramSettings, Sandbox

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_environment_in_clear() -> None:
    with Sandbox() as sandbox:
        found = sandbox.settings.environment
        port = str(sandbox.port)
    assert found["POSTHOUSE_URL"] == found["EMAIL_URL"] == f"smtp://127.0.0.1:{port}"
    assert {found[name] for name in ("SMTP_HOST", "SMTP_SERVER", "EMAIL_HOST", "MAIL_HOST", "MAIL_SERVER")} == {
        "127.0.0.1"
    }
    assert {found[name] for name in ("SMTP_PORT", "EMAIL_PORT", "MAIL_PORT", "FLASK_MAIL_PORT")} == {port}
    assert {value for name, value in found.items() if "TLS" in name or "SSL" in name} == {"false"}
    assert not [name for name in found if "USER" in name or "PASSWORD" in name or name == "SSL_CERT_FILE"]


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp+tls"), ("implicit", "smtp+ssl")])
def test_the_environment_with_tls_and_a_login(tls: str, scheme: str) -> None:
    with Sandbox(tls=tls, auth="required", users={"ann": "pa:ss"}) as sandbox:  # type: ignore[arg-type]
        found = sandbox.settings.environment
        assert found["EMAIL_URL"] == f"{scheme}://ann:pa%3Ass@127.0.0.1:{sandbox.port}"
        server = parse_server(found["POSTHOUSE_URL"])
        assert (server.user, server.password, server.ca) == ("ann", "pa:ss", sandbox.certificate)
        names = {"SMTP_PASSWORD", "EMAIL_HOST_PASSWORD", "MAIL_PASSWORD", "FLASK_MAIL_PASSWORD"}
        assert {found[name] for name in names} == {"pa:ss"}
        assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (
            ("true", "false") if tls == "starttls" else ("false", "true")
        )
        trusted = Path(found["SSL_CERT_FILE"]).read_text(encoding="utf-8")
        assert "PRIVATE KEY" not in trusted
        assert trusted.count("BEGIN CERTIFICATE") >= 1
        assert sandbox.settings.environment["SSL_CERT_FILE"] == found["SSL_CERT_FILE"]


def test_a_certificate_of_ones_own_is_trusted_itself() -> None:
    with Sandbox(tls="starttls") as sandbox, Sandbox(tls="implicit", certificate=sandbox.certificate) as other:
        assert other.certificate == sandbox.certificate
    (own := Path(sandbox.certificate).with_name("own")).mkdir(exist_ok=True)
    copy = own / "own.pem"
    copy.write_bytes(Path(sandbox.certificate).read_bytes())
    with Sandbox(tls="implicit", certificate=copy) as sandbox:
        assert sandbox.settings.environment["SSL_CERT_FILE"] == str(copy)


def test_the_manual_lists_each_variable() -> None:
    with Sandbox(tls="starttls", auth="required") as sandbox:
        names = {name.removeprefix("FLASK_") for name in sandbox.settings.environment}
    text = (DOCS / "testing.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(names) if f"`{name}`" not in text]


class DjangoSettings:
    """Stands for ``django.conf.settings``."""

    configured = True

    def __init__(self, **values: object) -> None:
        vars(self).update(values)


def test_settings_of_django_are_put_in_place_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    locmem = "django.core.mail.backends.locmem.EmailBackend"
    settings = DjangoSettings(EMAIL_HOST="mail.example.org", EMAIL_BACKEND=locmem)
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))  # type: ignore[arg-type]
    before = dict(vars(settings))
    with Sandbox() as sandbox:
        with sandbox.settings.in_place():
            assert vars(settings) == {
                "EMAIL_HOST": "127.0.0.1",
                "EMAIL_PORT": sandbox.port,
                "EMAIL_HOST_USER": "",
                "EMAIL_HOST_PASSWORD": "",
                "EMAIL_USE_TLS": False,
                "EMAIL_USE_SSL": False,
                "POSTHOUSE_URL": sandbox.url,
                "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            }
        assert vars(settings) == before
        settings.EMAIL_BACKEND = "their.own.Backend"  # type: ignore[attr-defined]
        with sandbox.settings.in_place():
            assert settings.EMAIL_BACKEND == "their.own.Backend"  # type: ignore[attr-defined]
        settings.configured = False
        with sandbox.settings.in_place():
            assert settings.EMAIL_HOST == "mail.example.org"  # type: ignore[attr-defined]


def test_settings_of_flask_are_put_in_place_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    flask = ModuleType("flask")
    application = SimpleNamespace(config={"MAIL_SERVER": "mail.example.org", "DEBUG": True})
    flask.current_app = application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flask", flask)
    with Sandbox(auth="required") as sandbox:
        with sandbox.settings.in_place():
            assert application.config == {
                "MAIL_SERVER": "127.0.0.1",
                "MAIL_PORT": sandbox.port,
                "MAIL_USERNAME": "sandbox",
                "MAIL_PASSWORD": "sandbox",
                "MAIL_USE_TLS": False,
                "MAIL_USE_SSL": False,
                "POSTHOUSE_URL": sandbox.url,
                "DEBUG": True,
            }
        assert application.config == {"MAIL_SERVER": "mail.example.org", "DEBUG": True}


def test_the_environment_is_as_before_after_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.example.org")
    monkeypatch.delenv("SMTP_PORT", raising=False)
    before = dict(os.environ)
    with Sandbox() as sandbox, pytest.raises(ValueError, match="a test fails"):
        _fail_with(sandbox.settings)
    assert dict(os.environ) == before


def _fail_with(settings: ProgramSettings) -> None:
    with settings.in_place():
        assert os.environ["SMTP_HOST"] == "127.0.0.1"
        raise ValueError("a test fails")
