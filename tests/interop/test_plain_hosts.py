"""A daemon that relays to a host with few extensions, over real sockets: what is said to it, and what it gets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.core import Body, Bytes, Result

from .peers import Host, behind_trace, envelope, opened, run, session_with

RELAY = """
hostname = "{hostname}"
[[listener]]
bind = "127.0.0.1:0"
complete_messages = false
strictness = "{strictness}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "home.test"
mailboxes = "any"
[[route]]
to = "*"
via = "smtp://127.0.0.1:{port}"
"""
HEAD = b"Subject: t\r\n"


class PlainHost:
    """A host with these keywords.  ``said`` has its commands, ``contents`` the messages that it took."""

    def __init__(self, *keywords: str) -> None:
        self.keywords = keywords
        self.said: list[str] = []
        self.contents: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(b"220 plain\r\n")
            while line := await reader.readline():
                text = line.decode().rstrip("\r\n")
                self.said.append(text)
                reply = "250 ok"
                if text.startswith("EHLO"):
                    reply = "\r\n".join([f"250-{each}" for each in ("plain", *self.keywords)] + ["250 HELP"])
                elif text == "DATA":
                    writer.write(b"354 go\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    self.contents.append(content.removesuffix(b".\r\n"))
                elif text == "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                writer.write(reply.encode() + b"\r\n")

    def mail(self) -> str:
        (line,) = [line for line in self.said if line.startswith("MAIL")]
        return line


@contextlib.asynccontextmanager
async def behind(host: PlainHost, data_dir: Path, **settings: str) -> AsyncIterator[Host]:
    """A relay whose only way out is the host."""
    server = await asyncio.start_server(host, "127.0.0.1", 0, limit=1 << 26)
    port = server.sockets[0].getsockname()[1]
    text = RELAY.format(port=port, **{"hostname": "relay.test", "strictness": "strict", **settings})
    try:
        async with opened(text, data_dir) as relay:
            yield relay
    finally:
        server.close()
        await server.wait_closed()


def relayed(
    host: PlainHost,
    tmp_path: Path,
    content: bytes,
    *recipients: str,
    settings: dict[str, str] | None = None,
    then: Callable[[Host], Awaitable[None]] | None = None,
    **asked: object,
) -> None:
    """Give a message to the relay, and wait for its attempt."""

    async def scenario() -> None:
        async with behind(host, tmp_path, **(settings or {})) as relay:
            async with session_with(relay.endpoint) as session:
                outcomes = await session.deliver(envelope(*recipients, **asked), Bytes(content))
                assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * len(recipients)
            await relay.daemon.wait_idle()
            if then is not None:
                await then(relay)

    run(scenario)


@pytest.mark.parametrize("keywords", [(), ("8BITMIME",), ("8BITMIME", "SMTPUTF8", "PIPELINING")])
@pytest.mark.parametrize("recipients", [("u@bücher.test",), ("u@bücher.test", "v@例子.test")])
@pytest.mark.parametrize("sender", ["s@home.test", "s@搜狐.中国"])
def test_an_international_domain_and_our_own_trace_need_no_smtputf8(
    tmp_path: Path, keywords: tuple[str, ...], recipients: tuple[str, ...], sender: str
) -> None:
    host = PlainHost(*keywords)
    settings = {"hostname": "relay.例子.test"}
    content = HEAD + b"\r\nhi\r\n"
    relayed(host, tmp_path, content, *recipients, settings=settings, sender=sender, smtputf8=True)
    (got,) = host.contents
    assert got.isascii()
    assert "SMTPUTF8" not in host.mail()
    assert host.said[2] == "RCPT TO:<u@xn--bcher-kva.test>"
    if len(recipients) == 1:
        assert b"for <u@xn--bcher-kva.test>" in got
    assert b"by relay.xn--fsqu00a.test with UTF8SMTP" in got


def test_an_alias_with_a_local_part_beyond_ascii_leaves_no_trace_that_needs_smtputf8(tmp_path: Path) -> None:
    host = PlainHost("8BITMIME")
    text = RELAY.replace('mailboxes = "any"\n', 'mailboxes = "any"\naliases = {{ "任平" = ["u@x.test"] }}\n')

    async def scenario() -> None:
        server = await asyncio.start_server(host, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        filled = text.format(port=port, hostname="relay.test", strictness="strict")
        async with opened(filled, tmp_path) as relay, session_with(relay.endpoint) as session:
            await session.deliver(envelope("任平@home.test", smtputf8=True), Bytes(HEAD + b"\r\nhi\r\n"))
            await relay.daemon.wait_idle()
        server.close()
        await server.wait_closed()

    run(scenario)
    (got,) = host.contents
    assert got.isascii()
    assert "RCPT TO:<u@x.test>" in host.said


@pytest.mark.parametrize(
    ("content", "recipient"),
    [(HEAD + b"\r\nhi\r\n", "почта@x.test"), ("Subject: тест\r\n\r\nhi\r\n".encode(), "u@x.test")],
    ids=["local part", "header"],
)
def test_what_needs_smtputf8_is_returned_and_the_host_is_not_blamed(
    tmp_path: Path, content: bytes, recipient: str
) -> None:
    host = PlainHost("8BITMIME")

    async def then(relay: Host) -> None:
        (report,) = (await relay.messages())["s@home.test"]
        assert b"Remote-MTA" not in report
        assert b"Diagnostic-Code: smtp" not in report
        assert b"not sent to " in report
        (facts,) = relay.logged("failed")
        assert facts["peer"] == ""
        assert facts["reason"].startswith("not sent to 127.0.0.1")

    relayed(host, tmp_path, content, recipient, sender="s@home.test", smtputf8=True, then=then)
    assert [line.split(" ")[0] for line in host.said] == ["EHLO", "QUIT"]


def test_a_message_larger_than_the_host_takes_is_returned_and_the_host_is_not_blamed(tmp_path: Path) -> None:
    host = PlainHost("SIZE 100")

    async def then(relay: Host) -> None:
        (report,) = (await relay.messages())["s@home.test"]
        assert b"Remote-MTA" not in report
        assert b"Diagnostic-Code: x-posthouse; 552 5.3.4" in report
        assert b"at most 100 (SIZE)" in report.replace(b"\r\n ", b" ")
        assert b"127.0.0.1" in report

    relayed(host, tmp_path, HEAD + b"\r\nhi\r\n", "u@x.test", sender="s@home.test", then=then)


@pytest.mark.parametrize("strictness", ["strict", "lenient"])
@pytest.mark.parametrize("times", [1, 20_000], ids=["short", "long"])
def test_undeclared_8_bit_content_is_announced_to_a_host_that_knows_it(
    tmp_path: Path, strictness: str, times: int
) -> None:
    host = PlainHost("8BITMIME")
    content = HEAD + b"\r\n" + "Grüße\r\n".encode() * times
    relayed(host, tmp_path, content, "u@x.test", settings={"strictness": strictness}, body=Body.SEVENBIT)
    assert host.mail().endswith(" BODY=8BITMIME")
    assert behind_trace(b"Return-Path: <>\r\n" + host.contents[0]) == content


@pytest.mark.parametrize("keywords", [(), ("8BITMIME",)])
@pytest.mark.parametrize("field", ["Subject: Grüße", "From: Jürgen <j@x.test>", "To: 任平 <u@x.test>"])
@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_raw_8_bit_header_fields_are_sent_as_they_are(
    tmp_path: Path, keywords: tuple[str, ...], field: str, charset: str
) -> None:
    host = PlainHost(*keywords)
    content = field.encode(charset) + b"\r\n\r\nhi\r\n"
    relayed(host, tmp_path, content, "u@x.test", body=Body.SEVENBIT)
    assert behind_trace(b"Return-Path: <>\r\n" + host.contents[0]) == content


@pytest.mark.parametrize("keywords", [("8BITMIME",), ("8BITMIME", "PIPELINING")])
def test_a_line_of_more_than_998_octets_is_relayed_as_it_is(tmp_path: Path, keywords: tuple[str, ...]) -> None:
    host = PlainHost(*keywords)
    content = HEAD + b"\r\n" + b"x" * 9000 + b"\r\n"
    relayed(host, tmp_path, content, "u@x.test")
    assert behind_trace(b"Return-Path: <>\r\n" + host.contents[0]) == content
