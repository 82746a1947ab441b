"""How TLS sessions end at a daemon: what was promised is kept, nothing else is, and every end has its reason in the
log."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import warnings
from pathlib import Path

import pytest

from posthouse.net.tls_context import client_context
from posthouse.service import Daemon

from .test_secured import Log, kept, trusting, with_daemon
from .tls_client import RawTls

LISTENERS = """
data_dir = "{0}"
hostname = "mx.example.org"
[[listener]]
bind = "127.0.0.1:0"
name = "implicit"
tls = "implicit"
[[listener]]
bind = "127.0.0.1:0"
name = "starttls"
tls = "starttls"
[[domain]]
name = "example.org"
mailboxes = "any"
"""
BOTH = pytest.mark.parametrize("listener", ["implicit", "starttls"])
EACH_VERSION = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
VERSIONS = pytest.mark.parametrize("version", EACH_VERSION, ids=lambda each: each.name)
MESSAGE = "From: ann@example.org\r\n\r\nkept\r\n"


def context_of(tmp_path: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = trusting(tmp_path)
    context.minimum_version = context.maximum_version = version
    return context


async def transaction(client: RawTls, listener: str) -> None:
    """Up to the recipient."""
    if listener == "implicit":
        assert (await client.reply()).startswith("220")
    assert (await client.say("EHLO client.example")).startswith("250")
    assert (await client.say("MAIL FROM:<ann@example.net>")).startswith("250")
    assert (await client.say("RCPT TO:<bob@example.org>")).startswith("250")


@BOTH
@VERSIONS
def test_a_chunk_that_close_notify_cuts_off_is_dropped_and_nothing_goes_on_in_clear(
    tmp_path: Path, listener: str, version: ssl.TLSVersion
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        client = await RawTls.to(daemon, listener, context_of(tmp_path, version))
        await transaction(client, listener)
        part = client.encrypted("BDAT 1000 LAST\r\n" + "x" * 500)
        client.writer.write(part + client.engine.close() + b"x" * 500 + b"\r\nNOOP\r\n")
        text, clear = await client.rest()
        assert clear == b""
        assert not text or text.startswith(b"421"), text
        await client.close()
        await daemon.wait_idle()
        assert not log.of("accepted")
        assert not log.of("fault")

    with_daemon(tmp_path, scenario, LISTENERS)


@BOTH
@VERSIONS
@pytest.mark.parametrize("by", ["DATA", "BDAT"])
def test_a_message_whose_end_was_seen_is_kept_without_close_notify(
    tmp_path: Path, listener: str, version: ssl.TLSVersion, by: str
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        client = await RawTls.to(daemon, listener, context_of(tmp_path, version))
        await transaction(client, listener)
        if by == "DATA":
            assert (await client.say("DATA")).startswith("354")
            client.writer.write(client.encrypted(MESSAGE + ".\r\n"))
        else:
            client.writer.write(client.encrypted(f"BDAT {len(MESSAGE)} LAST\r\n{MESSAGE}"))
        client.writer.write_eof()
        text, clear = await client.rest()
        assert text.startswith(b"250 2.0.0 Ok: queued as")
        assert clear == b""
        assert (await kept(daemon, "bob@example.org")).endswith(MESSAGE.encode())
        await client.close()

    with_daemon(tmp_path, scenario, LISTENERS)


@BOTH
@VERSIONS
@pytest.mark.parametrize("end", ["notify", "fin", "reset"])
@pytest.mark.parametrize("content", ["", "x", MESSAGE, MESSAGE + ".", MESSAGE + ".\r"])
def test_a_message_without_its_end_is_dropped(
    tmp_path: Path, listener: str, version: ssl.TLSVersion, end: str, content: str
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        client = await RawTls.to(daemon, listener, context_of(tmp_path, version))
        await transaction(client, listener)
        assert (await client.say("DATA")).startswith("354")
        client.writer.write(client.encrypted(content))
        if end == "notify":
            client.writer.write(client.engine.close())
        if end == "reset":
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.close()
        else:
            client.writer.write_eof()
            text, clear = await client.rest()
            assert clear == b""
            assert b"250" not in text
            await client.close()
        await daemon.wait_idle()
        assert not log.of("accepted")
        assert not log.of("fault")

    with_daemon(tmp_path, scenario, LISTENERS)


@BOTH
@VERSIONS
def test_what_came_before_a_sudden_end_is_worked_through(
    tmp_path: Path, listener: str, version: ssl.TLSVersion
) -> None:
    """The client has its 250 for one message, says QUIT behind a second one and is gone: our session tickets and the
    replies meet a reset."""

    async def scenario(daemon: Daemon, log: Log) -> None:
        client = await RawTls.to(daemon, listener, context_of(tmp_path, version))
        await transaction(client, listener)
        assert (await client.say("DATA")).startswith("354")
        assert (await client.say(MESSAGE + ".")).startswith("250")
        client.writer.write(client.encrypted("QUIT\r\n"))
        await client.close()
        assert (await kept(daemon, "bob@example.org")).endswith(MESSAGE.encode())
        assert not log.of("fault")
        assert not log.of("tls")[1:], "the certificate's line only"

    with_daemon(tmp_path, scenario, LISTENERS)


@BOTH
@VERSIONS
def test_a_client_that_does_not_trust_our_certificate_is_one_line_in_the_log(
    tmp_path: Path, listener: str, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 its alert comes when our handshake is over."""

    async def scenario(daemon: Daemon, log: Log) -> None:
        context = client_context()
        context.minimum_version = context.maximum_version = version
        client = await RawTls.to(daemon, listener, context, shake=False)
        with pytest.raises(Exception, match="certificate"):
            await client.shake()
        client.writer.write(client.engine.pending())
        _, clear = await client.rest()
        assert clear == b""
        await client.close()
        while not (lines := log.of("tls")[1:]):
            await asyncio.sleep(0)
        (line,) = lines
        assert "does not trust our certificate (unknown ca)" in line["reason"], line
        assert "127.0.0.1" in line["source"]
        assert not log.of("fault")

    with_daemon(tmp_path, scenario, LISTENERS)


@BOTH
@pytest.mark.parametrize(("version", "said"), [("TLSv1", "1.0"), ("TLSv1_1", "1.1")])
def test_a_device_that_speaks_old_tls_only_is_told_apart_in_the_log(
    tmp_path: Path, listener: str, version: str, said: str
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        context = client_context(verify=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        context.set_ciphers("ALL:@SECLEVEL=0")
        client = await RawTls.to(daemon, listener, context, shake=False)
        with pytest.raises(Exception, match=r"speaks none of our TLS versions|TLS"):
            await client.shake()
        await client.rest()
        await client.close()
        while not (lines := log.of("tls")[1:]):
            await asyncio.sleep(0)
        (line,) = lines
        assert line["reason"].endswith(f"offers TLS {said} at most, and TLS 1.2 and 1.3 are spoken here"), line

    with_daemon(tmp_path, scenario, LISTENERS)
