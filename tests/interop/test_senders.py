"""Programs of other authors send to the daemon: each message must arrive unchanged, as far as the program can send it.

smtp-source and msmtp end lines themselves, so they are given LF and the message is compared with CRLF.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterable
from pathlib import Path

import aiosmtplib
import pytest

from .corpus import EIGHT_BIT, HEAD, LARGE, MESSAGES, PLAIN, kept, large
from .peers import CATCH_ALL, Host, behind_trace, opened, program, run

CATCHING = CATCH_ALL.format(port=0, kind="mx")
CATCHING_LMTP = CATCH_ALL.format(port=0, kind="lmtp")
#: Messages for programs that read a header section.
WITH_HEAD = {name: message for name, message in MESSAGES.items() if name not in ("nothing", "headless", "header-only")}


def stuffed(message: bytes) -> bytes:
    """A message as it is sent after DATA: dot-stuffed, with the final dot."""
    return (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


async def arrived(host: Host, names: Iterable[str], *, more: bytes = b"") -> None:
    """Each message is once in the inbox of its name, unchanged apart from ``more`` at its end."""
    found = await host.messages()
    assert sorted(found) == sorted(f"{name}@box.test" for name in names)
    for name in names:
        (octets,) = found[f"{name}@box.test"]
        assert behind_trace(octets) == kept(name) + more, name


# -- swaks


def swaks(host: Host, recipient: str, *more: str) -> tuple[str, ...]:
    """A command line of swaks."""
    place = host.endpoint
    options = ("--helo", "swaks.example", "--from", "langrui@sohu.com", "--to", recipient)
    return ("swaks", "--server", place.host, "--port", str(place.port), *options, *more)


@pytest.mark.system("swaks", "swaks")
@pytest.mark.parametrize(
    ("text", "more"),
    [
        (CATCHING, ()),
        (CATCHING, ("--pipeline",)),
        (CATCHING, ("--protocol", "SMTP")),
        (CATCHING_LMTP, ("--protocol", "LMTP")),
    ],
    ids=["esmtp", "pipeline", "smtp", "lmtp"],
)
def test_swaks(tmp_path: Path, text: str, more: tuple[str, ...]) -> None:
    names = ("dots", "long-lines", "empty-body", "nothing", "all-octets", "chinese-fields", "header-only")

    async def scenario() -> None:
        async with opened(text, tmp_path) as host:
            for name in names:
                # --no-data-fixup: what is read goes out as it is, so it is stuffed here.
                command = swaks(host, f"{name}@box.test", "--no-data-fixup", "--data", "-", *more)
                dialogue = await program(*command, octets=stuffed(MESSAGES[name]))
                assert "250 2.0.0 Ok: queued as" in dialogue
            await arrived(host, names)

    run(scenario)


@pytest.mark.system("swaks", "swaks")
def test_swaks_composes_a_message_and_gets_a_refusal(tmp_path: Path) -> None:
    text = CATCHING.replace('name = "*"', 'name = "sina.com"').replace('mailboxes = "any"', 'mailboxes = ["renping"]')

    async def scenario() -> None:
        async with opened(text, tmp_path) as host:
            recipients = "renping@sina.com,nobody@sina.com,langrui@sohu.com"
            written = ("--header", "Subject: 你好", "--body", ".床前明月光\n..\n")
            dialogue = await program(*swaks(host, recipients, *written))
            assert "250 2.1.5 Recipient OK" in dialogue
            assert "550 5.1.1 " in dialogue
            assert "550 5.7.1 Relaying denied" in dialogue
            message = behind_trace(await host.only_message())
            assert "\r\nSubject: 你好\r\n".encode() in message
            assert "\r\n\r\n.床前明月光\r\n..\r\n".encode() in message

    run(scenario)


# -- curl


@pytest.mark.system("curl", "curl")
def test_curl(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            for name, message in WITH_HEAD.items():
                (tmp_path / "message").write_bytes(message)
                await program(
                    *curl(host, "langrui@sohu.com", f"{name}@box.test"), "--upload-file", tmp_path / "message"
                )
            await arrived(host, WITH_HEAD)

    run(scenario)


def curl(host: Host, sender: str, recipient: str) -> tuple[str, ...]:
    """A command line of curl."""
    addresses = ("--mail-from", f"<{sender}>", "--mail-rcpt", f"<{recipient}>")
    return ("curl", "--silent", "--show-error", f"smtp://{host.endpoint}/curl.example", *addresses)


@pytest.mark.system("curl", "curl")
def test_curl_sends_thirty_mebibytes(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(large())

    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            await program(*curl(host, "langrui@sohu.com", "large@box.test"), "--upload-file", tmp_path / "message")
            message = behind_trace(await host.only_message())
            assert len(message) == LARGE
            assert message == (tmp_path / "message").read_bytes()

    run(scenario)


@pytest.mark.system("curl", "curl")
def test_curl_asks_for_smtputf8(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGES["chinese-fields"])

    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            command = curl(host, "郎锐@sohu.com", "任平@box.test")
            await program(*command, "--upload-file", tmp_path / "message")
            message = await host.only_message()
            assert message.startswith("Return-Path: <郎锐@sohu.com>\r\n".encode())
            assert b" with UTF8SMTP id " in message
            assert behind_trace(message) == MESSAGES["chinese-fields"]

    run(scenario)


@pytest.mark.system("curl", "curl")
def test_curl_is_refused_a_message_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(large(200_000))
    text = CATCHING.replace("100 MiB", "100 KiB")

    async def scenario() -> None:
        async with opened(text, tmp_path / "host") as host:
            command = curl(host, "langrui@sohu.com", "large@box.test")
            said = await program(*command, "--verbose", "--upload-file", tmp_path / "message", code=55)
            assert "552 5.3.4 Message too large" in said
            assert await host.messages() == {}

    run(scenario)


# -- smtp-source


@pytest.mark.system("postfix", "smtp-source")
@pytest.mark.parametrize(("text", "flags"), [(CATCHING, ()), (CATCHING_LMTP, ("-L",))], ids=["smtp", "lmtp"])
def test_smtp_source(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with opened(text, tmp_path / "host") as host:
            for name, message in WITH_HEAD.items():
                (tmp_path / "message").write_bytes(message.replace(b"\r\n", b"\n"))
                addresses = ("-f", "langrui@sohu.com", "-t", f"{name}@box.test")
                await program("smtp-source", *flags, "-F", tmp_path / "message", *addresses, str(host.endpoint))
            await arrived(host, WITH_HEAD, more=b"\r\n")  # it ends every message with an empty line

    run(scenario)


@pytest.mark.system("postfix", "smtp-source")
def test_smtp_source_over_many_sessions(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(HEAD.replace(b"\r\n", b"\n") + b"\n" + b"." * 70 + b"\n" + b"x" * 4000)
    expected = HEAD + b"\r\n" + b"." * 70 + b"\r\n" + b"x" * 4000 + b"\r\n\r\n"

    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            addresses = ("-f", "langrui@sohu.com", "-t", "many@box.test", "-r", "3")
            load = ("-s", "20", "-m", "600", "-d", "-F", tmp_path / "message")
            await program("smtp-source", *load, *addresses, str(host.endpoint))
            found = await host.messages()
            assert len(found) == 3
            for messages in found.values():
                assert [behind_trace(message) for message in messages] == [expected] * 600

    run(scenario)


# -- msmtp


@pytest.mark.system("msmtp", "msmtp")
@pytest.mark.parametrize(
    ("text", "flags"), [(CATCHING, ()), (CATCHING_LMTP, ("--protocol=lmtp",))], ids=["smtp", "lmtp"]
)
def test_msmtp(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with opened(text, tmp_path) as host:
            place = host.endpoint
            where = (f"--host={place.host}", f"--port={place.port}", "--domain=a.example", "--tls=off", "--auth=off")
            added = tuple(f"--{name}=off" for name in ("set-from-header", "set-date-header", "set-msgid-header"))
            for name, message in WITH_HEAD.items():
                addresses = ("--from=langrui@sohu.com", "--", f"{name}@box.test")
                octets = message.replace(b"\r\n", b"\n")
                await program("msmtp", "--file=", *where, *flags, *added, *addresses, octets=octets)
            await arrived(host, WITH_HEAD)

    run(scenario)


# -- Python's own, and the one for asyncio


@pytest.mark.parametrize("kind", ["smtp", "lmtp"])
def test_smtplib(tmp_path: Path, kind: str) -> None:
    # It makes CRLF of every line end, and one of what has none.
    sent = {name: message for name, message in MESSAGES.items() if name != "nothing"}

    def send(host: Host) -> None:
        classes: dict[str, type[smtplib.SMTP]] = {"smtp": smtplib.SMTP, "lmtp": smtplib.LMTP}
        place = host.endpoint
        with classes[kind](place.host, place.port, local_hostname="smtplib.example", timeout=30) as server:
            for name, message in sent.items():
                options = ["BODY=8BITMIME"] if name in EIGHT_BIT else []
                assert server.sendmail("langrui@sohu.com", [f"{name}@box.test"], message, options) == {}
            assert server.verify("renping")[0] == 252
            assert server.noop()[0] == 250

    async def scenario() -> None:
        async with opened(CATCHING if kind == "smtp" else CATCHING_LMTP, tmp_path) as host:
            await asyncio.to_thread(send, host)
            await arrived(host, sent)

    run(scenario)


def test_smtplib_with_smtputf8(tmp_path: Path) -> None:
    message = MESSAGES["chinese-fields"]

    def send(host: Host) -> None:
        with smtplib.SMTP(host.endpoint.host, host.endpoint.port, "smtplib.example", timeout=30) as server:
            server.ehlo()
            options = ["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=a+2Bb"]
            server.sendmail("郎锐@搜狐.中国", ["任平@box.test"], message, options, ["NOTIFY=FAILURE,DELAY"])

    async def scenario() -> None:
        async with opened(CATCHING, tmp_path) as host:
            await asyncio.to_thread(send, host)
            found = await host.only_message()
            assert found.startswith("Return-Path: <郎锐@搜狐.中国>\r\n".encode())
            assert behind_trace(found) == message

    run(scenario)


def aiosmtp(host: Host) -> aiosmtplib.SMTP:
    """A client of aiosmtplib."""
    place = host.endpoint
    return aiosmtplib.SMTP(hostname=place.host, port=place.port, local_hostname="aio.example", start_tls=False)


def test_aiosmtplib(tmp_path: Path) -> None:
    sent = {name: message for name, message in MESSAGES.items() if name != "nothing"}

    async def scenario() -> None:
        async with opened(CATCHING, tmp_path) as host:
            async with aiosmtp(host) as server:
                for name, message in sent.items():
                    options = ["BODY=8BITMIME"] if name in EIGHT_BIT else []
                    refused, _ = await server.sendmail(
                        "a@sohu.com", [f"{name}@box.test"], message, mail_options=options
                    )
                    assert refused == {}
            await arrived(host, sent)

    run(scenario)


def test_twenty_aiosmtplib_clients_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(CATCHING, tmp_path) as host:

            async def client(number: int) -> None:
                async with aiosmtp(host) as server:
                    for name, message in PLAIN.items():
                        await server.sendmail("a@sohu.com", [f"{name}-{number}@box.test"], message)

            await asyncio.gather(*(client(number) for number in range(20)))
            found = await host.messages()
            for name, message in PLAIN.items():
                for number in range(20):
                    (octets,) = found[f"{name}-{number}@box.test"]
                    assert behind_trace(octets) == message

    run(scenario)
