"""Whole daemons that relay over TLS and log in at each other: what arrives, and what logs and histories say."""

from __future__ import annotations

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.core import Address, Recipient, SettingError
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.accounts import AccountFile
from posthouse.service.operations.explain_text import address_sentences, history_sentences
from posthouse.testing import StaticResolver

from .operation_harness import OperationHarness, run
from .test_secured import Log

ZONE = {"mx.test": {"A": ["127.0.0.1"]}}
SECRET = "correct horse"
RECIPIENT = Recipient(Address("bob", "far.test"))
CONTENT = b"Subject: s\r\n\r\nthe content of the message\r\n"

SMARTHOST = """
hostname = "mx.test"
data_dir = "{0}"
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
name = "mx"
tls = "starttls"
[[domain]]
name = "far.test"
mailboxes = ["bob"]
"""
RELAY = """
hostname = "relay.test"
data_dir = "{0}"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
retry_first = "1h"
[[route]]
to = "far.test"
{1}
"""


async def done(operation: str, daemon: Daemon, **given: Any) -> Any:
    return await OPERATIONS[operation].run(daemon.context(), **given)


class Chain:
    """A relay, its smarthost, and their logs."""

    def __init__(self, tmp_path: Path) -> None:
        self.far_log, self.log = Log(), Log()
        self.ca = tmp_path / "far" / "tls" / "self-signed.pem"
        self.password_file = tmp_path / "password"
        self.password_file.write_text(f"{SECRET}\nnot this line\n")
        self.far = Daemon(parse(SMARTHOST.format(tmp_path / "far")), log=self.far_log)
        self.relay: Daemon

    def facts(self) -> dict[str, Any]:
        ports = {name: place.port for name, place in self.far.endpoints.items()}
        return {**ports, "ca": self.ca, "password": self.password_file}


@asynccontextmanager
async def chain(tmp_path: Path, route: str) -> AsyncIterator[Chain]:
    """A smarthost with an account, and a relay whose ``route`` leads there; ``{starttls}`` and the like are ports."""
    AccountFile(tmp_path / "far").add("office@here.test", SECRET, ("*",), 0.0)
    made = Chain(tmp_path)
    async with asyncio.timeout(60):
        await made.far.start()
        try:
            text = RELAY.format(tmp_path / "relay", route.format(**made.facts()))
            made.relay = Daemon(parse(text), log=made.log, resolver=StaticResolver(ZONE))
            await made.relay.start()
            try:
                yield made
            finally:
                await made.relay.drain(0.5)
        finally:
            await made.far.drain(0.5)


async def queue(made: Chain) -> str:
    """Send a message to the relay, and wait until its attempt is over; its queue id."""

    def blocking() -> None:
        with smtplib.SMTP("127.0.0.1", made.relay.endpoints["mx"].port, timeout=30) as client:
            client.sendmail("ann@here.test", ["bob@far.test"], CONTENT)

    await asyncio.to_thread(blocking)
    while not any(made.log.of(event) for event in ("delivered", "deferred", "failed")):
        await asyncio.sleep(0.01)
    await made.relay.wait_idle()
    return str(made.log.of("accepted")[0]["id"])


async def story(made: Chain, queue_id: str, lang: str = "en") -> str:
    found = await done("explain", made.relay, what=queue_id)
    return "\n".join(each.text for each in history_sentences(found.message, lang, str, transcript=True))


LOGIN = 'user = "office@here.test"\npassword_file = "{password}"'


@pytest.mark.parametrize("via", ["smtps://mx.test:{implicit}", "smtp+starttls://mx.test:{starttls}"])
def test_a_relay_logs_in_at_its_smarthost_and_says_how(tmp_path: Path, via: str) -> None:
    async def scenario() -> None:
        async with chain(tmp_path, f'via = "{via}"\nca = "{{ca}}"\n{LOGIN}') as made:
            queue_id = await queue(made)
            (delivered,) = made.log.of("delivered")
            assert delivered["tls"].startswith("TLSv1.3 TLS_")
            (login,) = made.far_log.of("login")
            assert login["user"] == "office@here.test"
            told = await story(made, queue_id)
            assert "certificate of mx.test, verified" in told
            assert "TLSv1.3 TLS_" in told
            assert "mx.test 的证书，已验证" in await story(made, queue_id, "zh")
            for operation, given in (("explain", {"what": queue_id}), ("queue list", {}), ("queue sites", {})):
                told += msgspec.json.encode(await done(operation, made.relay, **given)).decode()  # --json
            said = told + made.log.text() + made.far_log.text() + repr(made.relay.config)
            plain = base64.b64encode(f"\0office@here.test\0{SECRET}".encode()).decode()
            for secret in (SECRET, base64.b64encode(SECRET.encode()).decode(), plain):
                assert secret not in said
                for file in (*(tmp_path / "relay").rglob("*"), *(tmp_path / "far").rglob("*")):
                    assert not file.is_file() or secret.encode() not in file.read_bytes(), file

    asyncio.run(scenario())


def test_mail_for_a_smarthost_that_refuses_the_login_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        route = f'via = "smtps://mx.test:{{implicit}}"\nca = "{{ca}}"\n{LOGIN}'
        async with chain(tmp_path, route) as made:
            made.password_file.write_text("another\n")
            queue_id = await queue(made)
            (deferred,) = made.log.of("deferred")
            assert deferred["reply"].startswith("451 4.7.8")
            (fault,) = made.log.of("fault")
            assert "refused the login by " in fault["reason"]
            assert "535 5.7.8" in fault["reason"]
            (site,) = (await done("queue sites", made.relay)).sites
            assert site.until is not None
            assert "refused the login" in site.why
            assert made.log.of("failed") == []
            made.password_file.write_text(SECRET)  # the mended file counts at once
            await done("queue retry", made.relay, filter=f"id:{queue_id}")
            while not made.log.of("delivered"):
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_an_mx_is_sent_to_with_what_it_offers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with chain(tmp_path, 'via = "smtp://mx.test:{mx}"') as made:
            queue_id = await queue(made)
            assert made.log.of("delivered")[0]["tls"].startswith("TLSv1.3")
            told = await story(made, queue_id)
            assert "certificate of mx.test, not verified" in told

    asyncio.run(scenario())


def test_a_certificate_that_is_not_trusted_defers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with chain(tmp_path, 'via = "smtp://mx.test:{mx}"\ntls = "verify"') as made:
            queue_id = await queue(made)
            (deferred,) = made.log.of("deferred")
            assert deferred["reply"].startswith("451 4.7.5")
            told = await story(made, queue_id)
            assert "is self-signed" in told
            assert "trust it with ca=FILE" in told
            assert "MAIL FROM" not in told
            assert 'tls = "verify"' in told  # the rule

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("route", "where"),
    [
        ('user = "u"\npassword_file = "/nowhere/password"', "password_file /nowhere/password"),
        ('user = "u"\npassword_env = "POSTHOUSE_TEST_NO_SUCH"', "password_env POSTHOUSE_TEST_NO_SUCH"),
        ('ca = "/nowhere/ca.pem"', "/nowhere/ca.pem"),
        ('tls_cert = "/nowhere/own.pem"', "/nowhere/own.pem"),
    ],
)
def test_files_that_a_route_cannot_read_stop_the_start(tmp_path: Path, route: str, where: str) -> None:
    async def scenario() -> None:
        daemon = Daemon(parse(RELAY.format(tmp_path, f'via = "smtps://mx.test"\n{route}')), log=Log())
        with pytest.raises(SettingError, match=r"cannot be read|is not set") as caught:
            await daemon.start()
        assert where in str(caught.value)

    asyncio.run(scenario())


def test_the_certificates_of_a_route_count_from_the_start(tmp_path: Path) -> None:
    """Not from its first session: until the next reload nothing that happens to the file matters."""

    async def scenario() -> None:
        async with chain(tmp_path, 'via = "smtp://mx.test:{mx}"\ntls = "verify"\nca = "{ca}"') as made:
            made.ca.unlink()
            await queue(made)
            assert made.log.of("delivered")

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["smtps", "smtp+starttls"])
def test_an_operator_may_name_any_way_and_keeps_the_login_of_its_route(tmp_path: Path, kind: str) -> None:
    text = RELAY.format(tmp_path, 'via = "smtps://mx.test"\nuser = "u"\npassword_env = "P"')
    router = Daemon(parse(text), log=Log()).router
    recipient = RECIPIENT
    same = router.route(recipient)
    assert router.route(recipient, "smtps://mx.test:465").deliverer is same.deliverer  # type: ignore[union-attr]
    other = router.route(recipient, f"{kind}://other.test")
    assert other.deliverer is not same.deliverer  # type: ignore[union-attr]
    security = other.deliverer._opener.security  # type: ignore[union-attr]
    assert security.tls.verify
    assert security.tls.required
    assert security.login is None


@pytest.mark.parametrize(
    ("route", "mode", "english", "chinese"),
    [
        ('via = "smtps://mx.test"', "verify", "a certificate that proves the host's name", "证书须证明主机名"),
        ('via = "smtps://mx.test"\ntls = "require"', "require", "with TLS or not at all", "必须使用 TLS"),
        ('via = "smtp://mx.test"', "opportunistic", "where the host offers it", "对方提供时使用 TLS"),
        ('via = "smtp://mx.test"\ntls = "off"', "off", "in clear, without TLS", "不加密"),
    ],
)
def test_explain_says_how_mail_would_be_protected(
    tmp_path: Path, route: str, mode: str, english: str, chinese: str
) -> None:
    async def scenario() -> None:
        desk = await OperationHarness(text=RELAY.format(tmp_path, route), zones=ZONE)
        found = (await desk.do("explain", what="bob@far.test")).address
        assert [each.tls for each in found.ends] == [mode]
        for lang, words in (("en", english), ("zh", chinese)):
            assert any(words in each.text for each in address_sentences(found, lang, str))

    run(scenario)
