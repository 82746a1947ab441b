"""A new configuration while sessions are in the middle of a handshake, a login or a message.

These end on the old terms.  The new configuration has another certificate, other accounts and another largest message;
one that cannot be used changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
import types
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from posthouse.core import SettingError
from posthouse.service import Daemon, parse
from posthouse.service.accounts import AccountFile

from .test_daemon import Talk
from .test_secured import Log
from .tls_client import RawTls

TEXT = """
data_dir = "{root}"
hostname = "mx.test"
accounts = "{accounts}"
[[listener]]
bind = "127.0.0.1:0"
name = "starttls"
kind = "submission"
tls = "starttls"
tls_cert = "{root}/{certificate}.pem"
[[listener]]
bind = "127.0.0.1:0"
name = "implicit"
kind = "submission"
tls = "implicit"
tls_cert = "{root}/{certificate}.pem"
max_message_size = "{size}"
[[domain]]
name = "x.test"
mailboxes = "any"
"""
OLD = {"accounts": "file", "certificate": "old", "size": "1MiB"}
NEW = {"accounts": "python:posthouse_test_midway:Accounts", "certificate": "new", "size": "2MiB"}


class Accounts:
    """The accounts of the new configuration; ``closed`` says whether they were let go."""

    def check_password(self, user: str, password: str) -> bool:
        return (user, password) == ("bob@x.test", "other")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


LOGIN = f"AUTH PLAIN {b64(chr(0) + 'ann@x.test' + chr(0) + 'pw')}"


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        authority = trustme.CA()
        for name in ("old", "new"):
            leaf = authority.issue_cert("localhost", common_name=name)
            leaf.private_key_and_cert_chain_pem.write_to_path(root / f"{name}.pem")
        authority.cert_pem.write_to_path(root / "ca.pem")
        AccountFile(root).add("ann@x.test", "pw", (), 0.0)
        self.log = Log()

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root / "ca.pem"))

    async def switch(self, daemon: Daemon, **settings: str) -> None:
        text = TEXT.format(root=self.root, **(NEW | settings))
        await daemon.switch(await daemon.prepare(parse(text)))

    def run(self, scenario: Callable[[Daemon], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                daemon = Daemon(parse(TEXT.format(root=self.root, **OLD)), log=self.log)
                await daemon.start()
                try:
                    await scenario(daemon)
                finally:
                    await daemon.drain(0.5)

        asyncio.run(bounded())

    def shown(self, client: RawTls) -> str:
        """Which certificate the client was shown."""
        assert client.engine.info is not None
        for name in ("old", "new"):
            pem = _first((self.root / f"{name}.pem").read_text())
            if ssl.PEM_cert_to_DER_cert(pem) == client.engine.info.certificate:
                return name
        return "another"


def _first(pem: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return pem[pem.index(begin) : pem.index(end) + len(end)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    module = types.ModuleType("posthouse_test_midway")
    module.__dict__["Accounts"] = Accounts
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return World(tmp_path)


def test_what_has_begun_ends_on_the_old_terms_and_what_begins_has_the_new(world: World) -> None:
    async def scenario(daemon: Daemon) -> None:
        half = await RawTls.to(daemon, "implicit", world.context, shake=False)
        hello = half.engine.start()
        half.writer.write(hello[:100])
        promised = await RawTls.to(daemon, "starttls", world.context, shake=False)  # 220 was said, no ClientHello
        clear = await Talk.to(daemon, "starttls")
        await clear.reply()
        assert "SCRAM-SHA-256" in await clear.say("EHLO client.test")
        assert (await clear.say(f"AUTH LOGIN {b64('ann@x.test')}")).startswith("334")
        busy = await RawTls.to(daemon, "implicit", world.context)
        await busy.reply()
        for line in ("EHLO c.test", LOGIN, "MAIL FROM:<ann@x.test>", "RCPT TO:<ann@x.test>", "DATA"):
            assert (await busy.say(line))[:3] in ("250", "235", "354")
        busy.writer.write(busy.encrypted("Subject: half a mess"))

        await world.switch(daemon)

        half.writer.write(hello[100:])
        await half.finish()
        assert (await half.reply()).startswith("220")
        await promised.shake()
        assert (await clear.say(b64("pw"))).startswith("235")
        assert (await clear.say("MAIL FROM:<ann@x.test>")).startswith("250")
        busy.writer.write(busy.encrypted("age\r\n\r\n.\r\n"))
        assert (await busy.reply()).startswith("250 2.0.0")

        fresh = await RawTls.to(daemon, "implicit", world.context)
        await fresh.reply()
        assert f"SIZE {2 * 1_048_576}" in await fresh.say("EHLO c.test")
        assert (await fresh.say(LOGIN)).startswith("535")
        other = b64("\0bob@x.test\0other")
        assert (await fresh.say(f"AUTH PLAIN {other}")).startswith("235")
        assert [world.shown(each) for each in (half, promised, busy, fresh)] == ["old", "old", "old", "new"]
        await clear.close()
        for each in (half, promised, busy, fresh):
            await each.close()

    world.run(scenario)
    assert {each["sender"] for each in world.log.of("accepted")} == {"ann@x.test"}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"certificate": "nowhere"}, "nowhere.pem"),
        ({"certificate": "ca"}, "ca.pem"),
        ({"accounts": "python:posthouse_test_midway:Missing"}, "Missing"),
    ],
)
def test_a_configuration_that_cannot_be_used_changes_nothing(world: World, settings: dict[str, str], why: str) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = await RawTls.to(daemon, "implicit", world.context)
        with pytest.raises(SettingError, match=why):
            await world.switch(daemon, **settings)
        await before.reply()
        after = await RawTls.to(daemon, "implicit", world.context)
        await after.reply()
        for client in (before, after):
            assert f"SIZE {1_048_576}" in await client.say("EHLO c.test")
            assert (await client.say(LOGIN)).startswith("235")
            assert world.shown(client) == "old"
            await client.close()

    world.run(scenario)
