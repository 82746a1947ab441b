"""Daemons with TLS and AUTH on loopback: the standard library's client and a raw one against each kind of listener."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import SettingError
from posthouse.net import Clock, SystemClock
from posthouse.service import Daemon, parse
from posthouse.service.accounts import AccountFile

from .test_daemon import Talk, quiet

MESSAGE = "From: ann@example.org\r\nSubject: hello\r\n\r\nhi\r\n"
LISTENERS = """
data_dir = "{0}"
hostname = "mx.example.org"
[[listener]]
bind = "127.0.0.1:0"
name = "starttls"
kind = "submission"
tls = "starttls"
tls_required = true
[[listener]]
bind = "127.0.0.1:0"
name = "implicit"
kind = "submission"
tls = "implicit"
[[listener]]
bind = "127.0.0.1:0"
name = "clear"
kind = "submission"
[[listener]]
bind = "127.0.0.1:0"
name = "mx"
tls = "starttls"
[[domain]]
name = "example.org"
mailboxes = "any"
[[route]]
to = "*"
via = "smtp://127.0.0.1:9"
"""


class Log:
    """The events of a daemon."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]

    def text(self) -> str:
        return repr(self.events)


class Recording:
    """A clock whose ``sleep`` returns at once, and notes for how long it was asked to wait."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.time, self.monotonic, self.call_later = clock.time, clock.monotonic, clock.call_later
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def with_daemon(
    tmp_path: Path,
    scenario: Callable[[Daemon, Log], Awaitable[None]],
    text: str = LISTENERS,
    clock: Clock | None = None,
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            log = Log()
            daemon = Daemon(parse(text.format(tmp_path)), log=log, clock=clock)
            await daemon.start()
            try:
                await scenario(daemon, log)
            finally:
                await daemon.drain(0.5)

    AccountFile(tmp_path).add("ann@example.org", "correct horse", (), 0.0)
    asyncio.run(bounded())


def trusting(tmp_path: Path) -> ssl.SSLContext:
    """A client that trusts the daemon's self-made certificate, and checks it strictly."""
    context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "self-signed.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


async def submit(daemon: Daemon, tmp_path: Path, listener: str, **changes: Any) -> dict[str, Any]:
    """Log in with smtplib and send one message; what was refused, by recipient."""
    port = daemon.endpoints[listener].port

    def blocking() -> dict[str, Any]:
        context = trusting(tmp_path) if listener != "clear" else None
        made: smtplib.SMTP
        if listener == "implicit":
            made = smtplib.SMTP_SSL("localhost", port, context=context, timeout=10)
        else:
            made = smtplib.SMTP("127.0.0.1" if listener == "clear" else "localhost", port, timeout=10)
        with made as client:
            if listener in ("starttls", "mx"):
                client.starttls(context=context)
            client.login(changes.get("user", "ann@example.org"), changes.get("password", "correct horse"))
            return client.sendmail(changes.get("sender", "ann@example.org"), ["bob@example.org"], MESSAGE)

    return await asyncio.to_thread(blocking)


@pytest.mark.parametrize("listener", ["starttls", "implicit", "clear"])
def test_a_program_logs_in_and_sends(tmp_path: Path, listener: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        assert await submit(daemon, tmp_path, listener) == {}
        (login,) = log.of("login")
        assert login["user"] == "ann@example.org"
        assert len(log.of("accepted")) == 1
        assert "correct horse" not in log.text()
        assert base64.b64encode(b"correct horse").decode() not in log.text()
        content = await kept(daemon, "bob@example.org")
        if listener == "clear":
            assert b" with ESMTPA id " in content
        else:
            assert b" with ESMTPSA id " in content
            assert b"\ttls TLS_AES_256_GCM_SHA384 (TLSv1.3)\r\n" in content
        assert b"\t(Authenticated sender: ann@example.org);\r\n" in content

    with_daemon(tmp_path, scenario)


async def kept(daemon: Daemon, inbox: str) -> bytes:
    """The octets of the first message in an inbox, once it is there."""
    while not (found := await daemon.spool.queries.inbox(inbox)):
        await asyncio.sleep(0)
    message = await daemon.spool.queries.kept(found[0].number)
    assert message is not None
    return b"".join(message[1].chunks())


def test_a_wrong_password_is_535_and_in_the_log(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            await submit(daemon, tmp_path, "starttls", password="gu3ss-m3")
        assert caught.value.smtp_code == 535
        refused = [each for each in log.of("refused") if each["command"] == "AUTH"]
        assert refused
        assert {each["user"] for each in refused} == {"ann@example.org"}
        assert "gu3ss-m3" not in log.text()

    with_daemon(tmp_path, scenario)


def test_an_account_sends_as_itself_only(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            await submit(daemon, tmp_path, "implicit", sender="boss@example.org")
        assert caught.value.smtp_code == 553
        assert await submit(daemon, tmp_path, "implicit", sender="ann+shop@example.org") == {}

    with_daemon(tmp_path, scenario)


def test_before_tls_and_before_login_mail_is_refused(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon, "starttls")
        await talk.reply()
        offered = await talk.say("EHLO client.example")
        assert "STARTTLS" in offered
        assert "AUTH" not in offered, "no login without TLS where TLS is required"
        assert (await talk.say("MAIL FROM:<ann@example.org>")).startswith("530 5.7.0 Must issue a STARTTLS")
        assert (await talk.say("VRFY ann@example.org")).startswith("530")
        assert (await talk.say("AUTH PLAIN AHUAcA==")).startswith("538 5.7.11")
        await talk.close()

        talk = await Talk.to(daemon, "clear")
        await talk.reply()
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN" in await talk.say("EHLO client.example")
        assert (await talk.say("MAIL FROM:<ann@example.org>")) == "530 5.7.0 Authentication required"
        assert (await talk.say("AUTH FOO")).startswith("504 5.5.4")
        assert (await talk.say("AUTH PLAIN")) == "334 "
        assert (await talk.say("*")).startswith("501 5.7.0")
        assert (await talk.say("AUTH PLAIN !")).startswith("501 5.5.2")
        assert (await talk.say("AUTH LOGIN")) == "334 VXNlcm5hbWU6"
        assert (await talk.say(base64.b64encode(b"ann@example.org").decode())) == "334 UGFzc3dvcmQ6"
        assert (await talk.say(base64.b64encode(b"correct horse").decode())).startswith("235 2.7.0")
        assert (await talk.say("AUTH PLAIN AHUAcA==")).startswith("503")
        assert (await talk.say("MAIL FROM:<ann@example.org>")).startswith("250")
        await talk.close()

        talk = await Talk.to(daemon, "mx")
        await talk.reply()
        assert "AUTH" not in await talk.say("EHLO client.example"), "an mx listener has no AUTH unless it is asked for"
        await talk.close()

    with_daemon(tmp_path, scenario)


def test_what_was_said_in_clear_does_not_count_inside(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon, "mx")
        await talk.reply()
        await talk.say("EHLO client.example")
        assert (await talk.say("STARTTLS")).startswith("220")
        await talk.writer.start_tls(trusting(tmp_path), server_hostname="localhost")
        assert (await talk.say("MAIL FROM:<a@example.net>")).startswith("503"), "EHLO must be said again"
        assert "STARTTLS" not in await talk.say("EHLO client.example")
        assert (await talk.say("STARTTLS")).startswith("503")
        assert (await talk.say("MAIL FROM:<a@example.net>")).startswith("250")
        await talk.close()

    with_daemon(tmp_path, scenario)


@pytest.mark.parametrize("behind", ["MAIL FROM:<a@example.net>\r\n", "NOOP\r\n", "NO", "\x16\x03\x01"])
def test_plaintext_behind_starttls_ends_the_session(tmp_path: Path, behind: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon, "mx")
        await talk.reply()
        await talk.say("EHLO client.example")
        talk.writer.write(b"STARTTLS\r\n" + behind.encode("latin-1"))
        rest = await talk.reader.read()
        assert rest.startswith(b"5")
        assert rest.count(b"\r\n") == 1, "nothing behind it is answered"
        await talk.close()

    with_daemon(tmp_path, scenario)


def test_a_failed_handshake_never_goes_on_in_clear(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon, "mx")
        await talk.reply()
        await talk.say("EHLO client.example")
        assert (await talk.say("STARTTLS")).startswith("220")
        talk.writer.write(b"MAIL FROM:<a@example.net>\r\n")
        rest = await talk.reader.read()
        assert b"250" not in rest
        assert not rest or rest[0] == 0x15, "an alert, or nothing"
        assert "does not speak TLS" in log.of("tls")[-1]["reason"]
        await talk.close()

        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.endpoints["implicit"].port)
        writer.write(b"EHLO client.example\r\n")
        rest = await reader.read()
        assert not rest or rest[0] == 0x15
        writer.close()

    with_daemon(tmp_path, scenario)


def test_guessing_is_slowed_and_then_ends(tmp_path: Path) -> None:
    """20 wrong passwords in a session are errors like any other; the fourth already waits."""

    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon, "clear")
        await talk.reply()
        await talk.say("EHLO client.example")
        guess = base64.b64encode(b"\0ann@example.org\0guess").decode()
        replies = []
        for _ in range(100):
            try:
                replies.append(await talk.say(f"AUTH PLAIN {guess}"))
            except (ConnectionError, BrokenPipeError):
                break
            if not replies[-1] or "421" in replies[-1]:
                break
        assert replies[0].startswith("535")
        assert len(replies) < 40
        assert clock.waits[:3] == [0.5, 1.0, 2.0]
        assert max(clock.waits) <= 10.0
        await talk.close()

    clock = Recording()
    with_daemon(tmp_path, scenario, clock=clock)


def test_the_catcher_lets_every_account_in(tmp_path: Path) -> None:
    text = """
data_dir = "{0}"
accounts = "any"
[[listener]]
bind = "127.0.0.1:0"
tls = "starttls"
auth = "offered"
[[domain]]
name = "*"
mailboxes = "any"
"""

    async def scenario(daemon: Daemon, log: Log) -> None:
        assert await submit(daemon, tmp_path, "mx", user="whoever", password="whatever", sender="x@y.example") == {}

    with_daemon(tmp_path, scenario, text)


def test_any_account_with_a_way_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="lets everybody in"):
        parse(f'data_dir = "{tmp_path}"\naccounts = "any"\n[[route]]\nto = "*"\n')


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('tls = "off"\ntls_required = true', "TLS is off"),
        ('tls = "starttls"\ntls_key = "/k.pem"', "without a certificate"),
        ('mechanisms = ["EXTERNAL"]', "EXTERNAL needs"),
        ('mechanisms = ["NTLM"]', "no mechanism"),
        ("check_from = true", "nobody can log in"),
        ('check_from = true\nauth = "off"\nkind = "submission"', "nobody can log in"),
        ('tls_client_name = "common_name"', "no certificates of clients"),
    ],
)
def test_settings_that_contradict_each_other(line: str, match: str) -> None:
    with pytest.raises(SettingError, match=match):
        parse(f'[[listener]]\nbind = "127.0.0.1:0"\n{line}\n')


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    text = '[[listener]]\nbind = "127.0.0.1:0"\ntls = "implicit"\ntls_cert = "/none/cert.pem"\n'

    async def start() -> None:
        await Daemon(parse(f'data_dir = "{tmp_path}"\n{text}'), log=quiet).start()

    with pytest.raises(SettingError, match=r"cert\.pem"):
        asyncio.run(start())
