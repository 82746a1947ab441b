"""The daemon sends to programs of other authors: Postfix (and from there back to a daemon), smtp-sink, aiosmtpd.

The received message is compared with the sent one behind the trace field of the first daemon.  Postfix takes BDAT; the
others take DATA only.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from posthouse.core import Body, Bytes, Result
from posthouse.testing import unfinished

from .conftest import Postfix
from .corpus import BINARY, EIGHT_BIT, HEAD, LARGE, MESSAGES, PLAIN, large
from .peers import CATCH_ALL, Host, behind_trace, envelope, free_port, hand_over, opened, run, session_with

RELAY = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
complete_messages = false
max_message_size = "100 MiB"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "{via}"
"""


def relay(via: str, data_dir: Path) -> contextlib.AbstractAsyncContextManager[Host]:
    """A daemon that relays all mail ``via`` one next hop."""
    return opened(RELAY.format(via=via), data_dir)


#: Messages with a header section that ends with an empty line; Postfix changes the others.
WHOLE = {name: message for name, message in MESSAGES.items() if b"\r\n\r\n" in message and name != "headless"}


# -- Postfix, and through it back


async def postfix_logged(postfix: Postfix, pattern: str, times: int) -> None:
    """Wait until Postfix's log has ``times`` matches of ``pattern``; another process writes it."""
    while len(re.findall(pattern, postfix.log.read_text())) < times:
        await asyncio.sleep(0.02)


@pytest.mark.system("postfix", "postfix")
@pytest.mark.parametrize("listener", ["bdat", "data", "plain"])
def test_through_postfix_and_back(tmp_path: Path, postfix: Postfix, listener: str) -> None:
    """Daemon → Postfix → another daemon: each message is unchanged."""
    before = len(re.findall(r"disconnect from", postfix.log.read_text())) if postfix.log.exists() else 0
    sent = {**WHOLE, "large": large()}

    async def scenario() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.listeners[listener]}"
        async with opened(last, tmp_path / "last") as behind:
            async with relay(via, tmp_path / "first") as first:
                async with session_with(first.endpoint) as session:
                    await hand_over(session, sent, smtputf8=True)
                await first.daemon.wait_idle()
                assert await first.daemon.spool.queries.count() == 0
            await behind.until("accepted", len(sent))
            found = await behind.messages()
        for name, message in sent.items():
            (arrived,) = found[f"{name}@box.test"]
            assert behind_trace(arrived, hops=3) == message, name
            # SMTPUTF8 goes along only where the header needs it.
            kind = b"ESMTP" if message.partition(b"\r\n\r\n")[0].isascii() else b"UTF8SMTP"
            assert b"by postfix.test (Postfix) with %b id" % kind in arrived[:1000]
        await postfix_logged(postfix, r"disconnect from", before + 1)

    run(scenario)
    commands = " ".join(re.findall(r"disconnect from .*", postfix.log.read_text())[before:])
    assert ("bdat=" in commands) is (listener == "bdat")
    assert (" data=" in commands) is (listener != "bdat")


@pytest.mark.system("postfix", "postfix")
def test_addresses_in_chinese_through_postfix_and_back(tmp_path: Path, postfix: Postfix) -> None:
    message = MESSAGES["chinese-fields"]

    async def scenario() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.listeners['bdat']}"
        async with opened(last, tmp_path / "last") as behind, relay(via, tmp_path / "first") as first:
            async with session_with(first.endpoint) as session:
                asked = envelope("任平@新浪.中国", "renping@sina.com", sender="郎锐@搜狐.中国", smtputf8=True)
                outcomes = await session.deliver(asked, Bytes(message))
                assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 2
            await behind.until("accepted", 1)  # both in one transaction
            found = await behind.messages()
            assert len(found) == 2
            (arrived,) = found["任平@" + "新浪.中国".encode("idna").decode()]
            assert arrived.startswith("Return-Path: <郎锐@xn--u2u404a.xn--fiqs8s>\r\n".encode())
            assert behind_trace(arrived, hops=3) == message
            (arrived,) = found["renping@sina.com"]
            assert behind_trace(arrived, hops=3) == message

    run(scenario)


@pytest.mark.system("postfix", "postfix")
def test_binary_is_converted_for_postfix(tmp_path: Path, postfix: Postfix) -> None:
    """Postfix takes BDAT and does not offer BINARYMIME; the encoded part decodes to the octets that were sent."""
    message = BINARY["octets"]

    async def scenario() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.listeners['bdat']}"
        async with opened(last, tmp_path / "last") as behind, relay(via, tmp_path / "first") as first:
            async with session_with(first.endpoint) as session:
                await hand_over(session, {"octets": message}, body=Body.BINARYMIME)
            await behind.until("accepted", 1)
            found = email.message_from_bytes(behind_trace(await behind.only_message(), hops=3))
            assert found["Content-Transfer-Encoding"] == "base64"
            assert found.get_payload(decode=True) == message.partition(b"\r\n\r\n")[2]

    run(scenario)


# -- smtp-sink


@contextlib.asynccontextmanager
async def smtp_sink(directory: Path, *flags: str) -> AsyncIterator[int]:
    """A running smtp-sink that writes each message to a file in ``directory``; gives its port."""
    directory.mkdir()
    port = free_port()
    user = ("-u", "root") if os.geteuid() == 0 else ()
    command = ("smtp-sink", *user, *flags, "-d", f"{directory}/", f"127.0.0.1:{port}", "100")
    process = await asyncio.create_subprocess_exec(*command)
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                assert process.returncode is None
                await asyncio.sleep(0.01)
            else:
                writer.close()
                break
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def dumped(directory: Path) -> dict[str, bytes]:
    """The messages by recipient; the CRs that smtp-sink removes are added, and the line end that it adds is removed."""
    found = {}
    for path in directory.iterdir():
        head, _, rest = path.read_bytes().partition(b"\nReceived: from ")
        recipient = re.findall(rb"(?m)^X-Rcpt-Args: <(.*)>", head)[0].decode()
        assert rest.endswith(b"\n")
        # The field of smtp-sink comes first, then that of the daemon and the message.
        found[recipient] = b"Return-Path: <>\r\nReceived: from " + rest[:-1].replace(b"\n", b"\r\n")
    return found


@pytest.mark.system("postfix", "smtp-sink")
@pytest.mark.parametrize(
    ("scheme", "flags", "messages"),
    [
        ("smtp", (), {**PLAIN, **EIGHT_BIT}),
        ("smtp", ("-p",), {**PLAIN, **EIGHT_BIT}),
        ("smtp", ("-e",), PLAIN),
        ("lmtp", ("-L",), {**PLAIN, **EIGHT_BIT}),
    ],
    ids=["pipelining", "no pipelining", "no extensions", "lmtp"],
)
def test_smtp_sink(tmp_path: Path, scheme: str, flags: tuple[str, ...], messages: dict[str, bytes]) -> None:
    dumps = tmp_path / "dumps"

    async def scenario() -> None:
        async with smtp_sink(dumps, *flags) as port, relay(f"{scheme}://127.0.0.1:{port}", tmp_path / "host") as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, messages)
            await host.daemon.wait_idle()
            assert await host.daemon.spool.queries.count() == 0

    run(scenario)
    found = dumped(dumps)
    for name, message in messages.items():
        assert behind_trace(found[f"{name}@box.test"], hops=2) == message, name


@pytest.mark.system("postfix", "smtp-sink")
def test_thirty_mebibytes_to_smtp_sink(tmp_path: Path) -> None:
    dumps = tmp_path / "dumps"
    message = large()

    async def scenario() -> None:
        async with smtp_sink(dumps) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path / "host") as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, {"large": message})
            await host.daemon.wait_idle()

    run(scenario)
    found = behind_trace(dumped(dumps)["large@box.test"], hops=2)
    assert len(found) == LARGE
    assert found == message


@pytest.mark.system("postfix", "smtp-sink")
@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_smtp_sink_refuses_for_now_and_nothing_is_lost(tmp_path: Path, command: str) -> None:
    async def scenario() -> None:
        flags = ("-Q" if command == "." else "-r", command)
        async with (
            smtp_sink(tmp_path / "dumps", *flags) as port,
            relay(f"smtp://127.0.0.1:{port}", tmp_path / "host") as host,
        ):
            async with session_with(host.endpoint) as session:
                await hand_over(session, {"plain": PLAIN["plain"]})
            await host.daemon.wait_idle()
            (entry,) = await unfinished(host.daemon.spool)
            queued = b"".join((await host.daemon.spool.open_content(entry.message)).chunks())
            assert behind_trace(b"Return-Path: <>\r\n" + queued) == PLAIN["plain"]
            (waiting,) = entry.recipients
            assert waiting.attempts == 1
            assert ("421" if command == "." else "450 4.3.0") in waiting.last

    run(scenario)


# -- aiosmtpd


class Collector:
    """A handler of aiosmtpd that keeps each message."""

    def __init__(self) -> None:
        self.got: dict[str, tuple[str, bytes]] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd's hook; the content is whole and unstuffed."""
        assert isinstance(envelope.content, bytes)
        for recipient in envelope.rcpt_tos:
            self.got[recipient] = (envelope.mail_from or "", envelope.content)
        return "250 2.0.0 OK"


@contextlib.asynccontextmanager
async def aiosmtpd(collector: Collector) -> AsyncIterator[int]:
    """A running aiosmtpd; gives its port."""
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(collector, hostname="aiosmtpd.test", enable_SMTPUTF8=True, data_size_limit=LARGE * 2, loop=loop)

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def test_aiosmtpd(tmp_path: Path) -> None:
    collector = Collector()
    sent = {name: message for name, message in MESSAGES.items() if name != "headless"}

    async def scenario() -> None:
        async with aiosmtpd(collector) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path) as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, sent, smtputf8=True)
                asked = envelope("任平@新浪.中国", sender="郎锐@搜狐.中国", smtputf8=True)
                await session.deliver(asked, Bytes(MESSAGES["chinese-fields"]))
                await hand_over(session, {"larger": large(3_000_000)})
            await host.daemon.wait_idle()
            assert await host.daemon.spool.queries.count() == 0

    run(scenario)
    for name, message in {**sent, "larger": large(3_000_000)}.items():
        sender, octets = collector.got[f"{name}@box.test"]
        assert sender == "langrui@sohu.com"
        assert behind_trace(b"Return-Path: <>\r\n" + octets) == message, name
    sender, octets = collector.got["任平@xn--efvx5o.xn--fiqs8s"]
    assert sender == "郎锐@xn--u2u404a.xn--fiqs8s"
    assert octets.endswith(MESSAGES["chinese-fields"])


def test_one_reply_for_each_recipient(tmp_path: Path) -> None:
    """aiosmtpd refuses one of three recipients: the others get the message, that one fails with the reply."""

    class Choosy(Collector):
        async def handle_RCPT(  # noqa: N802
            self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
        ) -> str:
            """aiosmtpd's hook."""
            if address.startswith("nobody"):
                return "550 5.1.1 nobody lives here"
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"

    collector = Choosy()

    async def scenario() -> None:
        async with aiosmtpd(collector) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path) as host:
            async with session_with(host.endpoint) as session:
                recipients = ("a@box.test", "nobody@box.test", "b@box.test")
                await session.deliver(envelope(*recipients, sender=""), Bytes(HEAD + b"\r\nhi\r\n"))
            await host.daemon.wait_idle()
            failed = {each["recipient"]: each for each in host.logged("failed")}
            assert list(failed) == ["nobody@box.test"]
            assert "550 5.1.1 nobody lives here" in str(failed["nobody@box.test"])

    run(scenario)
    assert sorted(collector.got) == ["a@box.test", "b@box.test"]
