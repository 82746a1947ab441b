"""A house sends to programs that others wrote: Postfix (and through it back to a house), smtp-sink, aiosmtpd.

What goes out is compared with what came in behind the trace field of the first house.  Postfix takes BDAT; the others
take DATA only.
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

from .conftest import Postfix
from .corpus import BINARY, EIGHT_BIT, HEAD, LARGE, LETTERS, PLAIN, large
from .peers import CATCH_ALL, Post, behind_trace, envelope, free_port, hand_over, opened, run, session_with

RELAY = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
max_message_size = "100 MiB"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "{via}"
"""


def relay(via: str, data_dir: Path) -> contextlib.AbstractAsyncContextManager[Post]:
    """A house that sends everything ``via`` one place."""
    return opened(RELAY.format(via=via), data_dir)


#: What has a header section that ends with an empty line: Postfix mends the others.
WHOLE = {name: letter for name, letter in LETTERS.items() if b"\r\n\r\n" in letter and name != "headless"}


# -- Postfix, and through it back


async def logged(postfix: Postfix, pattern: str, times: int) -> None:
    """Postfix's log, which another process writes, has so many lines with this."""
    while len(re.findall(pattern, postfix.log.read_text())) < times:
        await asyncio.sleep(0.02)


@pytest.mark.system("postfix", "postfix")
@pytest.mark.parametrize("door", ["bdat", "data", "plain"])
def test_through_postfix_and_back(tmp_path: Path, postfix: Postfix, door: str) -> None:
    """A house → Postfix → another house, every letter as it was."""
    before = len(re.findall(r"disconnect from", postfix.log.read_text())) if postfix.log.exists() else 0
    sent = {**WHOLE, "large": large()}

    async def story() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.doors[door]}"
        async with opened(last, tmp_path / "last") as behind:
            async with relay(via, tmp_path / "first") as first:
                async with session_with(first.endpoint) as session:
                    await hand_over(session, sent, smtputf8=True)
                await first.house.wait_idle()
                assert await first.house.queue.count() == 0
            await behind.until("accepted", len(sent))
            found = await behind.letters()
        for name, letter in sent.items():
            (arrived,) = found[f"{name}@box.test"]
            assert behind_trace(arrived, stations=3) == letter, name
            assert b"by postfix.test (Postfix) with UTF8SMTP id" in arrived[:1000]
        await logged(postfix, r"disconnect from", before + 1)

    run(story)
    commands = " ".join(re.findall(r"disconnect from .*", postfix.log.read_text())[before:])
    assert ("bdat=" in commands) is (door == "bdat")
    assert (" data=" in commands) is (door != "bdat")


@pytest.mark.system("postfix", "postfix")
def test_addresses_in_chinese_through_postfix_and_back(tmp_path: Path, postfix: Postfix) -> None:
    letter = LETTERS["chinese-fields"]

    async def story() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.doors['bdat']}"
        async with opened(last, tmp_path / "last") as behind, relay(via, tmp_path / "first") as first:
            async with session_with(first.endpoint) as session:
                asked = envelope("任平@新浪.中国", "renping@sina.com", sender="郎锐@搜狐.中国", smtputf8=True)
                outcomes = await session.deliver(asked, Bytes(letter))
                assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 2
            await behind.until("accepted", 1)  # both in one transaction
            found = await behind.letters()
            assert len(found) == 2
            (arrived,) = found["任平@" + "新浪.中国".encode("idna").decode()]
            assert arrived.startswith("Return-Path: <郎锐@搜狐.中国>\r\n".encode())
            assert behind_trace(arrived, stations=3) == letter
            (arrived,) = found["renping@sina.com"]
            assert behind_trace(arrived, stations=3) == letter

    run(story)


@pytest.mark.system("postfix", "postfix")
def test_binary_is_converted_for_postfix(tmp_path: Path, postfix: Postfix) -> None:
    """It takes BDAT but offers no BINARYMIME; what the encoding stands for is what was sent."""
    letter = BINARY["octets"]

    async def story() -> None:
        last = CATCH_ALL.format(port=postfix.onward.port, kind="mx")
        via = f"smtp://{postfix.doors['bdat']}"
        async with opened(last, tmp_path / "last") as behind, relay(via, tmp_path / "first") as first:
            async with session_with(first.endpoint) as session:
                await hand_over(session, {"octets": letter}, body=Body.BINARYMIME)
            await behind.until("accepted", 1)
            found = email.message_from_bytes(behind_trace(await behind.only_letter(), stations=3))
            assert found["Content-Transfer-Encoding"] == "base64"
            assert found.get_payload(decode=True) == letter.partition(b"\r\n\r\n")[2]

    run(story)


# -- smtp-sink


@contextlib.asynccontextmanager
async def smtp_sink(directory: Path, *flags: str) -> AsyncIterator[int]:
    """A running smtp-sink that leaves a file for each message in ``directory``; its port."""
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
    """What smtp-sink got, by recipient, with the CRs that it leaves out and without the line end that it adds."""
    found = {}
    for path in directory.iterdir():
        told, _, rest = path.read_bytes().partition(b"\nReceived: from ")
        recipient = re.findall(rb"(?m)^X-Rcpt-Args: <(.*)>", told)[0].decode()
        assert rest.endswith(b"\n")
        # Behind its own field come ours and the letter.
        found[recipient] = b"Return-Path: <>\r\nReceived: from " + rest[:-1].replace(b"\n", b"\r\n")
    return found


@pytest.mark.system("postfix", "smtp-sink")
@pytest.mark.parametrize(
    ("scheme", "flags", "letters"),
    [
        ("smtp", (), {**PLAIN, **EIGHT_BIT}),
        ("smtp", ("-p",), {**PLAIN, **EIGHT_BIT}),
        ("smtp", ("-e",), PLAIN),
        ("lmtp", ("-L",), {**PLAIN, **EIGHT_BIT}),
    ],
    ids=["pipelining", "no pipelining", "no extensions", "lmtp"],
)
def test_smtp_sink(tmp_path: Path, scheme: str, flags: tuple[str, ...], letters: dict[str, bytes]) -> None:
    dumps = tmp_path / "dumps"

    async def story() -> None:
        async with smtp_sink(dumps, *flags) as port, relay(f"{scheme}://127.0.0.1:{port}", tmp_path / "house") as post:
            async with session_with(post.endpoint) as session:
                await hand_over(session, letters)
            await post.house.wait_idle()
            assert await post.house.queue.count() == 0

    run(story)
    found = dumped(dumps)
    for name, letter in letters.items():
        assert behind_trace(found[f"{name}@box.test"], stations=2) == letter, name


@pytest.mark.system("postfix", "smtp-sink")
def test_thirty_mebibytes_to_smtp_sink(tmp_path: Path) -> None:
    dumps = tmp_path / "dumps"
    letter = large()

    async def story() -> None:
        async with smtp_sink(dumps) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path / "house") as post:
            async with session_with(post.endpoint) as session:
                await hand_over(session, {"large": letter})
            await post.house.wait_idle()

    run(story)
    found = behind_trace(dumped(dumps)["large@box.test"], stations=2)
    assert len(found) == LARGE
    assert found == letter


@pytest.mark.system("postfix", "smtp-sink")
@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_smtp_sink_refuses_for_now_and_nothing_is_lost(tmp_path: Path, command: str) -> None:
    async def story() -> None:
        flags = ("-Q" if command == "." else "-r", command)
        async with (
            smtp_sink(tmp_path / "dumps", *flags) as port,
            relay(f"smtp://127.0.0.1:{port}", tmp_path / "house") as post,
        ):
            async with session_with(post.endpoint) as session:
                await hand_over(session, {"plain": PLAIN["plain"]})
            await post.house.wait_idle()
            (entry,) = await post.house.queue.entries()
            queued = b"".join(post.house.queue.content(entry.message).chunks())
            assert behind_trace(b"Return-Path: <>\r\n" + queued) == PLAIN["plain"]
            (waiting,) = entry.recipients
            assert waiting.attempts == 1
            assert ("421" if command == "." else "450 4.3.0") in waiting.last

    run(story)


# -- aiosmtpd


class Collector:
    """A handler of aiosmtpd's that keeps what it is given."""

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
    """A running aiosmtpd; its port."""
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
    sent = {name: letter for name, letter in LETTERS.items() if name != "headless"}

    async def story() -> None:
        async with aiosmtpd(collector) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path) as post:
            async with session_with(post.endpoint) as session:
                await hand_over(session, sent, smtputf8=True)
                asked = envelope("任平@新浪.中国", sender="郎锐@搜狐.中国", smtputf8=True)
                await session.deliver(asked, Bytes(LETTERS["chinese-fields"]))
                await hand_over(session, {"larger": large(3_000_000)})
            await post.house.wait_idle()
            assert await post.house.queue.count() == 0

    run(story)
    for name, letter in {**sent, "larger": large(3_000_000)}.items():
        sender, octets = collector.got[f"{name}@box.test"]
        assert sender == "langrui@sohu.com"
        assert behind_trace(b"Return-Path: <>\r\n" + octets) == letter, name
    sender, octets = collector.got["任平@新浪.中国"]
    assert sender == "郎锐@搜狐.中国"
    assert octets.endswith(LETTERS["chinese-fields"])


def test_one_reply_for_each_recipient(tmp_path: Path) -> None:
    """aiosmtpd refuses one of three: the others have the letter, that one has failed with its words."""

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

    async def story() -> None:
        async with aiosmtpd(collector) as port, relay(f"smtp://127.0.0.1:{port}", tmp_path) as post:
            async with session_with(post.endpoint) as session:
                people = ("a@box.test", "nobody@box.test", "b@box.test")
                await session.deliver(envelope(*people, sender=""), Bytes(HEAD + b"\r\nhi\r\n"))
            await post.house.wait_idle()
            told = {each["recipient"]: each for each in post.told("failed")}
            assert list(told) == ["nobody@box.test"]
            assert "550 5.1.1 nobody lives here" in str(told["nobody@box.test"])

    run(story)
    assert sorted(collector.got) == ["a@box.test", "b@box.test"]
