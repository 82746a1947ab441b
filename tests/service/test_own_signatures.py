"""Signatures of this server that hold: of its delivery reports, and of messages that are converted on their way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Bytes
from posthouse.mailauth import answer, check_dmarc, verify_dkim
from posthouse.mailauth.dkim import DkimKey, DkimResult, sign_dkim
from posthouse.message.headers import split
from posthouse.service import Daemon, parse
from posthouse.service.config.mailauth_settings import MailauthSettings
from posthouse.service.mailauth.key_store import KeyStore
from posthouse.service.mailauth.mail_auth import MailAuth
from posthouse.service.mailauth.signers import Signers
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.explain_text import history_sentences
from posthouse.testing import ManualClock

CONFIG = """
hostname = "mx.x.test"
data_dir = "{root}/data"
[[listener]]
bind = "127.0.0.1:0"
kind = "submission"
auth = "off"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "x.test"
mailboxes = ["ann", "postmaster"]
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
[[route]]
to = "*"
via = "smtp://127.0.0.1:{port}"
tls = "off"
"""
SMALL = "Subject: Gruß\r\nFrom: ann@x.test\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()
LARGE = SMALL.replace(b"Gru\xc3\x9f", b"hi") + "Grüße aus Köln\r\n".encode() * 20_000


class OldHost:
    """A host without 8BITMIME; it refuses the mailbox ``nobody``."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 old.test\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                self.taken.append(content[:-3].replace(b"\r\n..", b"\r\n."))
            elif b"nobody@" in line:
                writer.write(b"550 no such mailbox\r\n")
                continue
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                break
        writer.close()


class Sending:
    """A daemon with a key, and the old host as its next hop."""

    def __init__(self, root: Path, daemon: Daemon, host: OldHost) -> None:
        self.root, self.daemon, self.host = root, daemon, host
        self.ids: list[str] = []

    async def send(self, content: bytes, recipient: str = "bob@far.test") -> None:
        at = self.daemon.endpoints["submission"]
        reader, writer = await asyncio.open_connection(at.host, at.port)
        for line in ["", "EHLO me.test", "MAIL FROM:<ann@x.test> BODY=8BITMIME", f"RCPT TO:<{recipient}>", "DATA", "."]:
            if line:
                writer.write((content if line == "." else b"") + line.encode() + b"\r\n")
            reply = await reader.readline()
            while reply[3:4] == b"-":
                reply = await reader.readline()
            assert reply[:1] in b"23", reply
        self.ids.append(reply.decode().rpartition(" ")[2].strip())
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(60):
            await self.daemon.wait_idle()

    async def story(self, queue_id: str, lang: str) -> str:
        history = await history_of(self.daemon.context(), queue_id)
        assert history is not None
        return "\n".join(each.text for each in history_sentences(history, lang, str))


def scenario(root: Path, act: Callable[[Sending], Awaitable[None]], *algorithms: Any) -> None:
    async def play() -> None:
        host = OldHost()
        server = await asyncio.start_server(host.serve, "127.0.0.1", 0, limit=1 << 22)
        for algorithm in algorithms:
            KeyStore(root / "data" / "dkim").generate("x.test", algorithm, 0.0, signs=0.0)
        port = server.sockets[0].getsockname()[1]
        daemon = Daemon(parse(CONFIG.format(root=root, port=port)), log=lambda *a, **k: None)
        await daemon.start()
        try:
            await act(Sending(root, daemon, host))
        finally:
            await daemon.drain(5)
            server.close()
            await server.wait_closed()

    asyncio.run(play())


def zone(root: Path) -> dict[str, dict[str, list[str]]]:
    store = KeyStore(root / "data" / "dkim")
    return {key.record_name: {"TXT": [key.record]} for name in store.domains() for key in store.keys(name)}


def verified(root: Path, message: bytes) -> DkimResult:
    return answer(verify_dkim(message), zone(root))


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["in memory", "in a thread"])
def test_a_message_that_is_converted_is_signed_again(tmp_path: Path, content: bytes) -> None:
    async def act(here: Sending) -> None:
        await here.send(content)
        (taken,) = here.host.taken
        assert split(taken).headers.count(b"DKIM-Signature:") == 2
        assert taken[split(taken).body_offset :].isascii()
        found = verified(tmp_path, taken)
        assert [each.result for each in found.signatures] == ["pass", "pass"], found
        story = await here.story(here.ids[0], "en")
        assert "converted, because this host does not offer 8BITMIME; signed again by x.test" in story
        story = await here.story(here.ids[0], "zh")
        assert "因该主机不提供 8BITMIME 而转换了编码；x.test 重新签了名" in story

    scenario(tmp_path, act, "rsa", "ed25519")


def test_what_needs_no_conversion_keeps_its_signature(tmp_path: Path) -> None:
    async def act(here: Sending) -> None:
        await here.send(b"From: ann@x.test\r\nSubject: hi\r\n\r\nhello\r\n")
        assert verified(tmp_path, here.host.taken[0]).result == "pass"
        assert "converted" not in await here.story(here.ids[0], "en")

    scenario(tmp_path, act, "ed25519")


def test_a_delivery_report_is_signed_and_passes_dmarc(tmp_path: Path) -> None:
    async def act(here: Sending) -> None:
        await here.send(b"From: ann@x.test\r\nSubject: hi\r\n\r\nhello\r\n", "nobody@far.test")
        (file,) = (tmp_path / "mail" / "ann" / "new").iterdir()
        report = file.read_bytes()
        assert b"multipart/report" in report
        found = verified(tmp_path, report)
        assert found.domains == ("x.test",), found
        records = {"_dmarc.x.test": {"TXT": ["v=DMARC1; p=reject; adkim=s"]}}
        assert answer(check_dmarc(report, None, found), records).result == "pass"

    scenario(tmp_path, act, "ed25519")


def test_without_a_key_a_report_is_as_before(tmp_path: Path) -> None:
    async def act(here: Sending) -> None:
        await here.send(b"From: ann@x.test\r\nSubject: hi\r\n\r\nhello\r\n", "nobody@far.test")
        (file,) = (tmp_path / "mail" / "ann" / "new").iterdir()
        assert b"DKIM-Signature" not in file.read_bytes()

    scenario(tmp_path, act)


# The decision by itself -------------------------------------------------------------------------------------------


class Signed:
    """A key store, what is signed by it, and what is signed again."""

    def __init__(self, root: Path, settings: MailauthSettings | None = None) -> None:
        self.root, self.clock = root, ManualClock()
        self.store = KeyStore(root / "data" / "dkim")
        self.signers = Signers(self.store, settings or MailauthSettings(), self.clock, lambda text: None)

    def key(self, domain: str) -> DkimKey:
        made = self.store.generate(domain, "ed25519", 0.0, signs=0.0)
        self.signers.load()
        return self.store.signing_key(made)

    def again(self, original: bytes, converted: bytes) -> tuple[bytes, str]:
        content, said = self.signers.signed_again(Bytes(original), Bytes(converted))
        octets = b"".join(content.chunks(1000))
        assert len(octets) == content.size
        return octets, said

    def verified(self, message: bytes) -> DkimResult:
        return answer(verify_dkim(message, self.clock.time()), zone(self.root))


MESSAGE = b"From: ann@x.test\r\nSubject: hi\r\n\r\nhello\r\n"


def test_a_forged_signature_of_ours_gets_no_true_one(tmp_path: Path) -> None:
    here = Signed(tmp_path)
    signature = sign_dkim(MESSAGE, here.key("x.test"), now=here.clock.time())
    forged = signature + MESSAGE.replace(b"hello", b"other")
    octets, said = here.again(forged, forged)
    assert octets == forged
    assert said == "this breaks the signatures of x.test"


def test_signatures_and_seals_of_others_are_named(tmp_path: Path) -> None:
    here = Signed(tmp_path)
    other = DkimKey.generate("far.test", "s", "ed25519")
    foreign = sign_dkim(MESSAGE, other, now=here.clock.time())
    seal = b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=list.test; s=s; b=AA==\r\n"
    rest = foreign + seal + MESSAGE
    ours = sign_dkim(rest, here.key("x.test"), now=here.clock.time())
    octets, said = here.again(ours + rest, ours + rest.replace(b"hello", b"bye"))
    assert said == "signed again by x.test; this breaks the signatures of far.test, list.test (ARC)"
    assert octets.endswith(rest.replace(b"hello", b"bye"))
    assert here.verified(octets).domains == ("x.test",)
    assert octets.count(b"DKIM-Signature") == 2


def test_a_new_signature_ends_with_the_old_one(tmp_path: Path) -> None:
    here = Signed(tmp_path)
    key = here.key("x.test")
    first = sign_dkim(MESSAGE, key, lifetime=100, now=here.clock.time())
    here.clock.set_calendar(here.clock.time() + 60)
    octets, _ = here.again(first + MESSAGE, first + MESSAGE)
    (found,) = here.verified(octets).signatures
    assert found.result == "pass"
    assert found.expires == int(here.clock.time()) + 40
    here.clock.set_calendar(here.clock.time() + 41)
    octets, said = here.again(first + MESSAGE, first + MESSAGE)
    assert said == "this breaks the signatures of x.test"


def test_a_retired_key_still_signs_what_it_had_signed(tmp_path: Path) -> None:
    here = Signed(tmp_path)
    old = here.key("x.test")
    first = sign_dkim(MESSAGE, old, now=here.clock.time())
    here.key("x.test")
    octets, said = here.again(first + MESSAGE, first + MESSAGE)
    assert said == "signed again by x.test"
    assert f"s={old.selector};".encode() in octets


def test_a_daemon_without_keys_names_whose_signatures_break(tmp_path: Path) -> None:
    config = parse(CONFIG.format(root=tmp_path, port=1))

    class Bare:
        signers = None
        reverse_paths = None

    auth = MailAuth(config, None, ManualClock(), Bare, lambda text: None)
    signed = Bytes(sign_dkim(MESSAGE, DkimKey.generate("far.test", "s", "ed25519")) + MESSAGE)
    assert auth.converted(signed, signed) == (signed, "this breaks the signatures of far.test")
    plain = Bytes(MESSAGE)
    assert auth.converted(plain, plain) == (plain, "")
    assert auth.own_fields(MESSAGE) == b""
