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

from posthouse import read
from posthouse.core import Content, Envelope, LocalError, Outcome, Reply, Result, SettingError
from posthouse.sandbox import Sandbox
from posthouse.sending import SendFailed, SendResult

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
