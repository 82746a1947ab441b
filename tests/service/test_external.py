"""EXTERNAL at a daemon (RFC 4422 appendix A): the account is that of the client's certificate, and no other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from posthouse.net.certificates import make_self_signed
from posthouse.service import Daemon, parse
from posthouse.service.accounts import AccountFile

from .test_daemon import Talk
from .test_secured import Log

TEXT = """
data_dir = "{root}"
hostname = "mx.test"
[[listener]]
bind = "127.0.0.1:0"
name = "starttls"
kind = "submission"
tls = "starttls"
tls_cert = "{root}/server.pem"
tls_client_ca = "{root}/ca.pem"
mechanisms = ["EXTERNAL", "PLAIN"]
{more}
[[listener]]
bind = "127.0.0.1:0"
name = "implicit"
kind = "submission"
tls = "implicit"
tls_cert = "{root}/server.pem"
tls_client_ca = "{root}/ca.pem"
mechanisms = ["EXTERNAL", "PLAIN"]
{more}
[[domain]]
name = "x.test"
mailboxes = "any"
"""
ACCOUNT = "ann@x.test"


class World:
    """A daemon with the accounts ann@x.test and bob@x.test, an authority that it trusts, and one that it does not."""

    def __init__(self, root: Path, more: str = "") -> None:
        self.root = root
        self.ours, self.theirs = trustme.CA(), trustme.CA()
        self.ours.cert_pem.write_to_path(root / "ca.pem")
        self.ours.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(root / "server.pem")
        for name in ("ann@x.test", "bob@x.test"):
            AccountFile(root).add(name, "pw", (), 0.0)
        self.more = more
        self.log = Log()

    def run(self, scenario: Callable[[Daemon], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(60):
                daemon = Daemon(parse(TEXT.format(root=self.root, more=self.more)), log=self.log)
                await daemon.start()
                try:
                    await scenario(daemon)
                finally:
                    await daemon.drain(0.5)

        asyncio.run(bounded())

    async def client(self, daemon: Daemon, certificate: trustme.LeafCert | None, listener: str = "starttls") -> Talk:
        context = ssl.create_default_context(cafile=str(self.root / "ca.pem"))
        if certificate is not None:
            certificate.configure_cert(context)
        if listener == "implicit":
            port = daemon.endpoints[listener].port
            talk = Talk(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"))
            await talk.reply()
        else:
            talk = await Talk.to(daemon, listener)
            await talk.reply()
            assert "EXTERNAL" not in await talk.say("EHLO client.test")  # no certificate is shown in clear
            assert (await talk.say("AUTH EXTERNAL =")).startswith("538 5.7.11")
            await talk.say("STARTTLS")
            await talk.writer.start_tls(context, server_hostname="localhost")
        offered = "AUTH PLAIN" if certificate is None else "AUTH EXTERNAL PLAIN"
        assert offered in await talk.say("EHLO client.test")
        return talk


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("listener", ["starttls", "implicit"])
@pytest.mark.parametrize("form", ["=", "", b64(ACCOUNT), f" {b64(ACCOUNT)}"])
def test_the_certificate_names_the_account(tmp_path: Path, listener: str, form: str) -> None:
    """``=`` is an empty response; without one there is an empty challenge, and the response may be empty too."""
    world = World(tmp_path)

    async def scenario(daemon: Daemon) -> None:
        client = await world.client(daemon, world.ours.issue_cert(ACCOUNT), listener)
        if form in ("", b64(ACCOUNT)):
            assert await client.say("AUTH EXTERNAL") == "334 "
            reply = await client.say(form)
        else:
            reply = await client.say(f"AUTH EXTERNAL {form.strip()}")
        assert reply == "235 2.7.0 Authentication successful"
        assert (await client.say("MAIL FROM:<bob@x.test>")).startswith("553 5.7.1")
        assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("250")
        await client.close()

    world.run(scenario)
    (login,) = world.log.of("login")
    assert (login["user"], login["mechanism"]) == (ACCOUNT, "EXTERNAL")


@pytest.mark.parametrize("typed", ["=", b64(ACCOUNT), b64("bob@x.test"), b64("\0bob@x.test"), b64("ann@x.test\n")])
@pytest.mark.parametrize(
    "names",
    [(), ("client.x.test",), ("bob@x.test",), ("nobody@x.test",), ("192.0.2.1",), ("http://ann@x.test/",)],
    ids=repr,
)
def test_the_name_that_the_client_types_is_never_the_account(
    tmp_path: Path, typed: str, names: tuple[str, ...]
) -> None:
    world = World(tmp_path)

    async def scenario(daemon: Daemon) -> None:
        certificate = world.ours.issue_cert(*names, common_name=ACCOUNT) if names != () else None
        client = await world.client(daemon, certificate)
        reply = await client.say(f"AUTH EXTERNAL {typed}")
        if names == ("bob@x.test",) and typed in ("=", b64("bob@x.test")):
            assert reply.startswith("235")
        else:
            assert reply.startswith("504 5.5.4") if names == () else reply.startswith("535 5.7.8")
            assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("530")
        await client.close()

    world.run(scenario)
    assert all(each["user"] != ACCOUNT for each in world.log.of("login"))


@pytest.mark.parametrize(
    ("names", "common_name", "code"),
    [
        (("client.x.test",), ACCOUNT, "235"),
        (("client.x.test",), None, "535"),
        (("bob@x.test",), ACCOUNT, "235 bob"),
        (("client.x.test",), "nobody", "535"),
    ],
)
def test_the_common_name_counts_where_it_is_configured(
    tmp_path: Path, names: tuple[str, ...], common_name: str | None, code: str
) -> None:
    world = World(tmp_path, 'tls_client_name = "common_name"')

    async def scenario(daemon: Daemon) -> None:
        client = await world.client(daemon, world.ours.issue_cert(*names, common_name=common_name))
        assert (await client.say("AUTH EXTERNAL =")).startswith(code[:3])
        await client.close()

    world.run(scenario)
    users = [each["user"] for each in world.log.of("login")]
    assert users == {"235": [ACCOUNT], "235 bob": ["bob@x.test"], "535": []}[code]


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def scenario(daemon: Daemon) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            client = await world.client(daemon, world.theirs.issue_cert(ACCOUNT), "implicit")
            reply = await client.say("AUTH EXTERNAL =")
            assert not reply.startswith("235")

    world.run(scenario)
    assert not world.log.of("login")


def test_an_account_that_is_switched_off_stays_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    AccountFile(tmp_path).set_active(ACCOUNT, False)

    async def scenario(daemon: Daemon) -> None:
        client = await world.client(daemon, world.ours.issue_cert(ACCOUNT))
        assert (await client.say("AUTH EXTERNAL =")).startswith("535 5.7.8")
        await client.close()

    world.run(scenario)


@pytest.mark.parametrize("listener", ["starttls", "implicit"])
def test_a_certificate_of_a_proxy_is_not_that_of_the_client_it_names(tmp_path: Path, listener: str) -> None:
    """XCLIENT hands the session to a client that has shown no certificate."""
    world = World(tmp_path, 'xclient_networks = ["127.0.0.1/32"]')

    async def scenario(daemon: Daemon) -> None:
        client = await world.client(daemon, world.ours.issue_cert(ACCOUNT), listener)
        assert (await client.say("XCLIENT ADDR=192.0.2.7")).startswith("220")
        assert "AUTH PLAIN" in await client.say("EHLO other.test")
        assert (await client.say("AUTH EXTERNAL =")).startswith("504 5.5.4")
        assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("530")
        await client.close()

    world.run(scenario)
    assert not world.log.of("login")


@pytest.mark.parametrize("kind", ["self-signed", "of another authority"])
def test_a_certificate_of_a_client_that_is_refused_is_told_with_the_setting_of_the_listener(
    tmp_path: Path, kind: str
) -> None:
    """The client is the one that is not trusted: what to do where a client does not trust ours is no help."""
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if kind == "self-signed":
        pair, _ = make_self_signed(["client.test"], tmp_path / "client", time.time())
        context.load_cert_chain(pair.certificate)
    else:
        theirs.issue_cert(ACCOUNT).configure_cert(context)
    log = Log()
    listener = f'[[listener]]\nbind = "127.0.0.1:0"\ntls = "implicit"\ntls_client_ca = "{tmp_path}/ca.pem"\n'

    async def scenario() -> None:
        async with asyncio.timeout(60):
            daemon = Daemon(parse(f'hostname = "daemon.test"\ndata_dir = "{tmp_path}/data"\n{listener}'), log=log)
            await daemon.start()
            (endpoint,) = daemon.endpoints.values()
            with contextlib.suppress(OSError):  # in TLS 1.3 the client's handshake is over before
                reader, writer = await asyncio.open_connection(*endpoint, ssl=context)
                await reader.read()
                writer.close()
            while not [each for each in log.of("tls") if "source" in each]:
                await asyncio.sleep(0.01)
            await daemon.drain(0.5)

    asyncio.run(scenario())
    (line,) = [each for each in log.of("tls") if "source" in each]
    assert "if it is the right one, put it" in line["reason"]
    assert line["reason"].endswith("into the file or folder that tls_client_ca names")
