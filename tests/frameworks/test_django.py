"""Django's e-mail backend, with Django itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from email import message_from_bytes
from email.mime.image import MIMEImage
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.core import mail
from django.db import connections, transaction
from django.test.utils import override_settings
from django.utils.functional import empty

import posthouse
from posthouse import read
from posthouse.core import Content, Envelope, LocalError, Outcome, Reply, Result, SettingError
from posthouse.sandbox import Sandbox
from posthouse.sending import SendFailed, SendResult
from posthouse.sending.via import default_via

BACKEND = "posthouse.django.EmailBackend"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


class Kept:
    """A transport that keeps what it is given; recipients named here are refused."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.sent: list[tuple[Envelope, bytes]] = []

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        self.sent.append((envelope, b"".join(content.chunks())))
        no = Reply(550, "5.1.1", "no such mailbox")
        return SendResult(
            Outcome(each, Result.FAILED, no, no.text)
            if str(each.address) in self.refused
            else Outcome(each, Result.DELIVERED)
            for each in envelope.recipients
        )


@pytest.fixture(scope="module", autouse=True)
def _django() -> Iterator[None]:
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    settings.configure(DATABASES=databases, USE_TZ=True, DEFAULT_FROM_EMAIL="shop@here.test", LOGGING_CONFIG=None)
    django.setup()
    yield
    from posthouse.django import _pools

    _pools.close()
    connections.close_all()
    # Configured settings would name the server of every message that a later test sends (posthouse.sending.via).
    settings._wrapped = empty


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    made = Kept()
    with override_settings(EMAIL_BACKEND=BACKEND, POSTHOUSE_URL=made, POSTHOUSE_ON_COMMIT=False):
        yield made


def people(envelope: Envelope) -> list[str]:
    return [str(each.address) for each in envelope.recipients]


def test_send_mail(kept: Kept) -> None:
    number = mail.send_mail(
        "你好", "Hello!\n.\n", "郎锐 <langrui@sohu.com>", ["renping@sina.com"], html_message="<b>Hi</b>"
    )
    assert number == 1
    ((envelope, octets),) = kept.sent
    assert str(envelope.sender) == "langrui@sohu.com"
    assert people(envelope) == ["renping@sina.com"]
    message = read(octets)
    assert message.subject == "你好"
    assert message.text == "Hello!\n.\n"
    assert "<b>Hi</b>" in (message.html or "")
    assert octets.count(b"\n") == octets.count(b"\r\n")


def test_bcc_and_the_three_kinds_of_attachments(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "报告.txt").write_text("the report")
    message = mail.EmailMessage(
        "x",
        "text",
        "a@here.test",
        ["b@here.test"],
        bcc=["Eve <eve@here.test>"],
        cc=["c@here.test"],
        reply_to=["r@here.test"],
    )
    message.attach("data.bin", b"\0\1\2", "application/octet-stream")
    message.attach_file(str(tmp_path / "报告.txt"))
    message.attach(MIMEImage(PNG, "png"))
    message.attach(
        "nested.eml", mail.EmailMessage("inner", "body", "a@here.test", ["b@here.test"]).message(), "message/rfc822"
    )
    assert message.send() == 1
    ((envelope, octets),) = kept.sent
    assert people(envelope) == ["b@here.test", "c@here.test", "eve@here.test"]
    assert b"eve@here.test" not in octets
    attached = read(octets).attachments
    assert [each.filename for each in attached][:2] == ["data.bin", "报告.txt"]
    assert attached[0].content == b"\0\1\2"
    parts = message_from_bytes(octets).walk()
    assert [each.get_payload(decode=True) for each in parts if each.get_content_type() == "image/png"] == [PNG]
    assert [str(each.recipient.address) for each in message.posthouse_result] == people(envelope)


def test_a_message_nobody_got_raises_and_the_others_are_counted(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.refused = ("no@here.test",)
    connection = mail.get_connection()
    good, half, bad = (
        mail.EmailMessage("x", "x", "a@here.test", to)
        for to in (["b@here.test"], ["b@here.test", "no@here.test"], ["no@here.test"])
    )
    assert connection.send_messages([good, half]) == 2
    assert not half.posthouse_result.ok
    assert "not sent to all: no@here.test" in caplog.text
    with pytest.raises(SendFailed, match="no such mailbox"):
        connection.send_messages([bad])
    assert mail.get_connection(fail_silently=True).send_messages([good, bad]) == 1
    assert bad.posthouse_result.failed


def test_on_commit_waits_for_the_transaction_and_is_dropped_with_it(kept: Kept) -> None:
    with override_settings(POSTHOUSE_ON_COMMIT=True):
        with transaction.atomic():
            message = mail.EmailMessage("committed", "x", "a@here.test", ["b@here.test"])
            assert message.send() == 1
            message.subject = "changed too late"
            assert kept.sent == []
        assert len(kept.sent) == 1
        assert b"Subject: committed" in kept.sent[0][1]
        with transaction.atomic():
            mail.send_mail("rolled back", "x", "a@here.test", ["b@here.test"])
            transaction.set_rollback(True)
        assert len(kept.sent) == 1
        assert mail.get_connection(on_commit=False).send_messages([message]) == 1
        assert len(kept.sent) == 2


def test_a_failure_after_the_commit_is_logged_and_harms_nothing(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.refused = ("no@here.test",)
    with transaction.atomic():
        mail.get_connection(on_commit=True).send_messages(
            [mail.EmailMessage("x", "x", "a@here.test", ["no@here.test"])]
        )
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "no@here.test was not sent after the commit" in record.getMessage()


def test_what_cannot_be_an_address(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises((LocalError, ValueError)):
        mail.send_mail("x", "x", "a@here.test", ["b@here.test\r\nRCPT TO:<c@here.test>"])
    assert kept.sent == []
    assert mail.send_mail("x", "x", "a@here.test", [""]) == 0


def test_options_of_mailers(kept: Kept, tmp_path: Path) -> None:
    from posthouse.django import EmailBackend

    message = mail.EmailMessage("x", "x", "a@here.test", ["b@here.test"])
    backend = EmailBackend(alias="durable", via=f"spool:{tmp_path}")
    assert backend.send_messages([message]) == 1
    assert (tmp_path / "maildrop" / message.posthouse_result.queue_id).is_file()
    with pytest.raises(SettingError, match="no option colour"):
        EmailBackend(alias="x", colour="red")
    backend = EmailBackend(host="mail.here.test", port=465, use_ssl=True, username="u@x", password="p w", timeout=5)
    assert backend._route() == "smtps://u%40x:p%20w@mail.here.test:465?timeout=5"
    with pytest.raises(SettingError, match="exclude each other"):
        EmailBackend(host="h", use_ssl=True, use_tls=True)._route()


def test_the_settings_of_django_name_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    server: dict[str, Any] = {"EMAIL_HOST": "mail.here.test", "EMAIL_PORT": 587, "EMAIL_USE_TLS": True}
    with override_settings(EMAIL_BACKEND=BACKEND, POSTHOUSE_URL=None, **server):
        assert mail.get_connection()._route() == "smtp+starttls://mail.here.test:587"
        assert mail.get_connection(username="u", password="p")._route() == "smtp+starttls://u:p@mail.here.test:587"


def test_one_connection_for_many_messages(server: Sandbox) -> None:
    """Against a real server: connections are kept between calls."""
    from posthouse.django import _pools

    with override_settings(EMAIL_BACKEND=BACKEND, POSTHOUSE_URL=server.url):
        for number in range(5):
            assert mail.send_mail(f"number {number}", "x", "a@here.test", ["b@here.test"]) == 1
        _pools.close()
    assert (len(server.messages), len(server.sessions)) == (5, 1)


def test_a_login_of_send_mail_is_for_the_server_that_is_named(server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """auth_user and auth_password name no server: the mail must not go to another one for them."""
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    url = f"{server.url}?allow_plain_text=true"
    login = {"auth_user": "u", "auth_password": "p"}
    with override_settings(EMAIL_BACKEND=BACKEND, POSTHOUSE_URL=url, EMAIL_HOST="192.0.2.1"):
        assert mail.send_mail("x", "x", "a@here.test", ["b@here.test"], **login) == 1
        assert mail.get_connection(via=url, username="v", password="p").send_messages(
            [mail.EmailMessage("x", "x", "a@here.test", ["b@here.test"])]
        )
        assert mail.get_connection(via="memory:django", username="v")._route() == "memory:django"
    assert [each.session.user for each in server.messages] == ["u", "v"]


def test_the_backend_takes_what_django_6_1_gives_it(server: Sandbox) -> None:
    from posthouse.django import EmailBackend

    # As get_connection(fail_silently=True) makes it in a project with MAILERS.
    backend = EmailBackend(
        alias="default", via=server.url, fail_silently=True, _ignore_unknown_kwargs={"fail_silently"}
    )
    assert (backend.alias, backend.fail_silently) == ("default", True)
    assert backend.send_messages([mail.EmailMessage("x", "x", "a@here.test", ["b@here.test"])]) == 1


if django.VERSION >= (6, 1):  # the version that has MAILERS

    def test_django_6_1_warns_of_nothing_in_the_backend(server: Sandbox, recwarn: pytest.WarningsRecorder) -> None:
        mailers = {"default": {"BACKEND": BACKEND, "OPTIONS": {"via": server.url}}}
        with override_settings(MAILERS=mailers):
            assert mail.EmailMessage("x", "x", "a@here.test", ["b@here.test"]).send(using="default") == 1
        assert [each.message for each in recwarn] == []


MAILERS_AND_URLS: list[tuple[dict[str, Any], str]] = [
    ({"BACKEND": BACKEND, "OPTIONS": {"via": "smtps://u:p@mail.here.test"}}, "smtps://u:p@mail.here.test"),
    ({"OPTIONS": {"host": "mail.here.test", "use_tls": True}}, "smtp+starttls://mail.here.test"),
    (
        {"OPTIONS": {"host": "::1", "port": 2525, "username": "u@x", "password": "p w", "timeout": 5}},
        "smtp://u%40x:p%20w@[::1]:2525?timeout=5",
    ),
]


@pytest.mark.parametrize(("mailer", "url"), MAILERS_AND_URLS)
def test_the_default_mailer_names_the_server(mailer: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    with override_settings(MAILERS={"default": mailer}):
        assert default_via() == url


def test_a_default_mailer_without_a_server_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    for mailers in ({}, {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}):
        with override_settings(MAILERS=mailers), pytest.raises(SettingError, match="no server is named"):
            default_via()


def test_the_setting_posthouse_url_is_the_default_of_the_library_too(kept: Kept) -> None:
    with override_settings(EMAIL_HOST="192.0.2.1"):
        assert posthouse.send(b"From: a@here.test\nTo: b@here.test\n\nx\n").ok
    assert len(kept.sent) == 1


def test_the_settings_of_a_sandbox_win_over_posthouse_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    away = "smtp://192.0.2.1"
    with override_settings(EMAIL_BACKEND=BACKEND, POSTHOUSE_URL=away), Sandbox() as sandbox:
        with sandbox.settings.in_place():
            assert mail.send_mail("x", "x", "a@here.test", ["b@here.test"]) == 1
        assert away == settings.POSTHOUSE_URL
        assert len(sandbox.messages) == 1


def test_the_settings_of_a_sandbox_replace_mailers() -> None:
    console = {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    mailers = {
        "default": {"OPTIONS": {"host": "192.0.2.1"}},
        "kept": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
        "ours": {"BACKEND": BACKEND, "OPTIONS": {"via": "smtp://192.0.2.1", "on_commit": True}},
        "console": console,
    }
    with override_settings(MAILERS=mailers), Sandbox() as sandbox:
        with sandbox.settings.in_place():
            found = settings.MAILERS
            assert default_via() == sandbox.url
        assert mailers == settings.MAILERS
    server = {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": sandbox.host,
            "port": sandbox.port,
            "username": "",
            "password": "",
            "use_tls": False,
            "use_ssl": False,
        },
    }
    assert found["default"] == found["kept"] == server
    assert found["ours"] == {"BACKEND": BACKEND, "OPTIONS": {"via": sandbox.url, "on_commit": True}}
    assert found["console"] == console
