"""Forwarding between two daemons, over real sockets and a real DNS server: SPF breaks, and ARC and SRS save it.

A sender's host (127.0.0.9) sends a message to an alias of the forwarder (whose mail leaves from 127.0.0.2), which leads
to a mailbox of the last server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Recipient
from posthouse.mailauth.results import AuthenticationResults, read_results
from posthouse.message.headers import fields, split
from posthouse.net import Endpoint
from posthouse.service import Daemon, parse
from posthouse.service.directory.directory import Home
from posthouse.service.mailauth.key_store import KeyStore
from posthouse.service.mailauth.path_secrets import ROTATE, PathSecrets
from posthouse.service.mailauth.reverse_paths import ReversePaths
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.explain_text import history_sentences
from posthouse.testing import DnsServer, ManualClock

SENDER = "127.0.0.9"
CONTENT = b"From: ann@sender.test\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\nSubject: hi\r\n\r\nhello\r\n"
LAST = """
hostname = "mx.last.test"
data_dir = "{root}/last"
[[listener]]
bind = "127.0.0.1:0"
verify = "enforce"
[[domain]]
name = "last.test"
mailboxes = ["bob"]
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
[dns]
nameservers = ["{dns}"]
[mailauth]
{settings}
"""
FORWARDER = """
hostname = "mx.forward.test"
data_dir = "{root}/forward"
[[listener]]
bind = "127.0.0.1:0"
verify = "mark"
[[domain]]
name = "forward.test"
mailboxes = ["ann"]
aliases = {{ bob = ["bob@last.test"] }}
[relay]
source = "127.0.0.2"
[[route]]
to = "*"
via = "smtp://{last}"
tls = "off"
[dns]
nameservers = ["{dns}"]
[mailauth]
{settings}
"""
ZONE: dict[str, dict[str, list[str]]] = {
    "sender.test": {"TXT": [f"v=spf1 ip4:{SENDER} -all"], "A": [SENDER]},
    "_dmarc.sender.test": {"TXT": ["v=DMARC1; p=reject"]},
    "forward.test": {"TXT": ["v=spf1 ip4:127.0.0.2 -all"], "A": ["127.0.0.2"]},
}


class Forwarding:
    """Both daemons, a DNS server, and what they say."""

    def __init__(self, root: Path, dns: DnsServer, forwarder: str, last: str) -> None:
        self.root, self.dns = root, dns
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.settings = {"forward": forwarder, "last": last}
        self.last: Daemon
        self.forwarder: Daemon

    def _log(self, who: str) -> Callable[..., None]:
        return lambda event, /, **facts: self.events.append((who, event, facts))

    async def start(self) -> None:
        common = {"root": self.root, "dns": self.dns.endpoint}
        self.last = Daemon(parse(LAST.format(**common, settings=self.settings["last"])), log=self._log("last"))
        await self.last.start()
        text = FORWARDER.format(**common, settings=self.settings["forward"], last=self.last.endpoints["mx"])
        self.forwarder = Daemon(parse(text), log=self._log("forward"))
        await self.forwarder.start()

    async def end(self) -> None:
        await self.forwarder.drain(5)
        await self.last.drain(5)

    async def send(self, recipient: str, sender: str = "ann@sender.test", content: bytes = CONTENT) -> str:
        """Bring a message to the forwarder; the last reply."""
        at: Endpoint = self.forwarder.endpoints["mx"]
        reader, writer = await asyncio.open_connection(at.host, at.port, local_addr=(SENDER, 0))
        reply = b""
        said = ["EHLO out.sender.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"]
        for line in [b"", *(each.encode() + b"\r\n" for each in said), content + b".\r\n"]:
            writer.write(line)
            reply = await reader.readline()
            while reply[3:4] == b"-":
                reply = await reader.readline()
            if not reply.startswith((b"2", b"3")):
                break
        writer.close()
        await writer.wait_closed()
        return reply.decode().strip()

    async def settled(self) -> None:
        async with asyncio.timeout(60):
            await self.forwarder.wait_idle()
            await self.last.wait_idle()

    @property
    def delivered(self) -> bytes:
        (file,) = (self.root / "mail" / "bob" / "new").iterdir()
        return file.read_bytes()

    def results(self, message: bytes) -> AuthenticationResults:
        """What the last server found."""
        found = [each for each in fields(split(message).headers) if each.name == b"Authentication-Results"]
        read = [read_results(each.value) for each in found]
        return next(each for each in read if each.authserv_id == "mx.last.test")

    def logged(self, who: str, event: str) -> list[dict[str, Any]]:
        return [facts for name, kind, facts in self.events if (name, kind) == (who, event)]


def scenario(root: Path, forwarder: str, last: str, act: Callable[[Forwarding], Awaitable[None]]) -> None:
    """Act with both daemons; a key of the forwarder exists, and its record."""

    async def play() -> None:
        key = KeyStore(root / "forward" / "dkim").generate("forward.test", "rsa", 0.0, signs=0.0)
        async with DnsServer({**ZONE, key.record_name: {"TXT": [key.record]}}) as dns:
            here = Forwarding(root, dns, forwarder, last)
            await here.start()
            try:
                await act(here)
            finally:
                await here.end()

    asyncio.run(play())


def test_without_help_a_forwarded_message_is_refused(tmp_path: Path) -> None:
    async def act(here: Forwarding) -> None:
        assert (await here.send("bob@forward.test")).startswith("250")
        await here.settled()
        assert not (tmp_path / "mail").exists()
        assert here.logged("last", "refused")[0]["reply"].startswith("550 5.7.26")
        assert here.logged("forward", "verified")[0]["results"] == "spf=pass dkim=none dmarc=pass"

    scenario(tmp_path, "seal = false", "", act)


def test_a_trusted_seal_saves_it(tmp_path: Path) -> None:
    async def act(here: Forwarding) -> None:
        assert (await here.send("bob@forward.test")).startswith("250")
        await here.settled()
        words = {each.method: each.result for each in here.results(here.delivered).results}
        assert words == {"spf": "fail", "dkim": "none", "arc": "pass", "dmarc": "fail"}
        assert here.delivered.count(b"\r\nARC-Seal: ") == 1
        assert here.delivered.endswith(CONTENT)
        queue_id = here.logged("last", "verified")[0]["id"]
        history = await history_of(here.last.context(), queue_id)
        assert history is not None
        told = [each.text for each in history_sentences(history, "en", str)]
        assert any("sealed by forward.test, which is trusted" in each for each in told), told
        said = here.logged("last", "verified")[0]["results"]
        assert said == "spf=fail dkim=none dmarc=fail(none) arc=pass"

    scenario(tmp_path, "", 'trusted_sealers = ["forward.test"]', act)


def test_a_seal_that_nobody_trusts_saves_nothing(tmp_path: Path) -> None:
    async def act(here: Forwarding) -> None:
        assert (await here.send("bob@forward.test")).startswith("250")
        await here.settled()
        assert not (tmp_path / "mail").exists()

    scenario(tmp_path, "", 'trusted_sealers = ["other.test"]', act)


def test_srs_passes_spf_and_reports_come_home(tmp_path: Path) -> None:
    async def act(here: Forwarding) -> None:
        assert (await here.send("bob@forward.test")).startswith("250")
        await here.settled()
        message = here.delivered
        spf = next(each for each in here.results(message).results if each.method == "spf")
        assert spf.result == "pass"
        found = re.match(rb"Return-Path: <(SRS0=[^>]+@forward\.test)>", message)
        assert found is not None
        address = found[1].decode()
        assert address.endswith("=sender.test=ann@forward.test")
        (accepted,) = here.logged("forward", "accepted")
        history = await history_of(here.forwarder.context(), accepted["id"])
        assert history is not None
        for lang, words in (("en", f"sent with the sender {address} (SRS)"), ("zh", f"发件人改写为 {address}（SRS）")):
            assert any(words in each.text for each in history_sentences(history, lang, str))

        report = b"From: <>\r\nSubject: failed\r\n\r\nsorry\r\n"
        assert (await here.send(address, "", report)).startswith("250")
        forged = address.replace("SRS0=", "SRS0=x")
        assert (await here.send(forged, "", report)).startswith("550")
        await here.settled()
        # Every route of the forwarder leads to the last server, which does not take the report that goes home.
        assert here.logged("last", "refused")[0]["recipient"] == "ann@sender.test"

    scenario(tmp_path, 'srs_domain = "forward.test"', 'trusted_sealers = ["forward.test"]', act)


# Reverse-paths by themselves --------------------------------------------------------------------------------------


def paths(root: Path, clock: ManualClock) -> ReversePaths:
    text = (
        f'hostname = "mx.x.test"\ndata_dir = "{root}"\n[[domain]]\nname = "x.test"\n[mailauth]\nsrs_domain = "x.test"'
    )
    made = ReversePaths(parse(text), clock)
    made.load()
    return made


def envelope(to: str, sender: str | None = "ann@far.test", led: str = "bob@x.test") -> Envelope:
    def address(text: str) -> Address:
        return Address(*text.rsplit("@", 1))

    originals = (address(led),) if led else ()
    return Envelope(None if sender is None else address(sender), (Recipient(address(to), originals=originals),))


@pytest.mark.parametrize(
    "kept",
    [
        envelope("bob@other.test", led=""),  # not sent on
        envelope("bob@x.test"),  # to us
        envelope("bob@other.test", "ann@x.test"),  # from us
        envelope("bob@other.test", None),
    ],
)
def test_a_sender_that_needs_no_rewriting_stays(tmp_path: Path, kept: Envelope) -> None:
    assert paths(tmp_path, ManualClock()).leaving(kept) is kept


def test_an_address_leads_home_until_it_is_old(tmp_path: Path) -> None:
    clock = ManualClock()
    made = paths(tmp_path, clock)
    sender = made.leaving(envelope("bob@other.test")).sender
    assert sender is not None
    assert sender.domain == "x.test"
    assert made.home(sender) == Home(Address("ann", "far.test"))
    assert made.home(Address(sender.local.upper(), "x.test")) == Home(Address("ANN", "far.test"))
    assert made.home(Address("bob", "x.test")) is None
    clock.set_calendar(clock.time() + 23 * 86_400)
    assert made.home(sender) == Home(None, "srs: the SRS address is older than 21 days")


def test_every_worker_has_the_same_secrets_and_they_are_private(tmp_path: Path) -> None:
    clock = ManualClock()
    first, second = paths(tmp_path, clock), paths(tmp_path, clock)
    sender = first.leaving(envelope("bob@other.test")).sender
    assert sender is not None
    assert second.home(sender) == Home(Address("ann", "far.test"))
    assert (tmp_path / "srs-secrets").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "srs-secrets").read_text().split()[1]
    assert secret not in repr(PathSecrets(str(tmp_path), "srs-secrets", 21).current(clock.time()))


def test_a_new_secret_signs_a_day_after_all_have_read_it(tmp_path: Path) -> None:
    store, now = PathSecrets(str(tmp_path), "srs-secrets", 21), 1_800_000_000.0
    (old,) = store.current(now)
    assert store.current(now + ROTATE - 1) == (old,)
    both = store.current(now + ROTATE)
    assert (len(both), both[0]) == (2, old)
    later = store.current(now + ROTATE + 86_401)
    assert (len(later), later[1]) == (2, old)
    assert store.current(now + ROTATE + 24 * 86_400) == (later[0],)


def test_secrets_that_cannot_be_read_are_told_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "srs-secrets").write_text("nonsense")
    with pytest.raises(ValueError, match="the secrets in srs-secrets cannot be read"):
        paths(tmp_path, ManualClock())
    assert (tmp_path / "srs-secrets").read_text() == "nonsense"
