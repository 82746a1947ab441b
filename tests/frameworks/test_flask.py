"""Flask's extension, with Flask itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app

import posthouse
from posthouse.core import LocalError, SettingError
from posthouse.flask import Mail, _server_of
from posthouse.sandbox import Sandbox

MESSAGE = posthouse.Message("shop@here.test", "ann@here.test", subject="x", text="hi")


def test_a_view_sends(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    app = Flask("shop")
    app.config.update(server.settings.flask)
    mail = Mail(app)

    @app.get("/order")
    def order() -> str:
        assert current_app.extensions["posthouse"] is mail
        return "ok" if mail.send(MESSAGE).ok else "failed"

    for _ in range(3):
        assert app.test_client().get("/order").text == "ok"
    mail.close()
    assert (len(server.messages), len(server.sessions)) == (3, 1)


def test_a_message_is_left_to_the_daemon(tmp_path: Path) -> None:
    mail = Mail()
    app = Flask("shop")
    app.config["POSTHOUSE_SPOOL"] = f"spool:{tmp_path}"
    with pytest.raises(LocalError, match="init_app"):
        mail.enqueue(MESSAGE)
    mail.init_app(app)
    result = mail.enqueue(MESSAGE)  # outside of a request too
    assert (tmp_path / "maildrop" / result.queue_id).is_file()
    with app.app_context():
        again = [mail.enqueue(MESSAGE, key="order 7").queue_id for _ in range(2)]
    assert again[0] == again[1] != result.queue_id


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"POSTHOUSE_URL": "memory:x", "MAIL_SERVER": "h"}, "memory:x"),
        ({"MAIL_SERVER": "mail.here.test"}, "smtp://mail.here.test"),
        ({"MAIL_SERVER": "::1", "MAIL_PORT": 587, "MAIL_USE_TLS": True}, "smtp+starttls://[::1]:587"),
        (
            {"MAIL_SERVER": "h.test", "MAIL_USE_SSL": True, "MAIL_USERNAME": "a@b", "MAIL_PASSWORD": "p/q"},
            "smtps://a%40b:p%2Fq@h.test",
        ),
    ],
)
def test_the_configuration_names_the_server(config: dict[str, Any], url: str) -> None:
    assert _server_of(config) == url


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    with pytest.raises(SettingError, match="exclude each other"):
        _server_of({"MAIL_SERVER": "h", "MAIL_USE_TLS": True, "MAIL_USE_SSL": True})
    with pytest.raises(SettingError, match="no server is named"):
        Mail(Flask("shop")).send(MESSAGE)
