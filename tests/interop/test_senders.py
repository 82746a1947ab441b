"""Programs that others wrote send to a house: each letter must arrive as it left, each as far as the program can.

smtp-source and msmtp end lines themselves, so they are given LF and the letter is compared with CRLF.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterable
from pathlib import Path

import aiosmtplib
import pytest

from .corpus import EIGHT_BIT, HEAD, LARGE, LETTERS, PLAIN, kept, large
from .peers import CATCH_ALL, Post, behind_trace, opened, program, run

CATCHING = CATCH_ALL.format(port=0, kind="mx")
CATCHING_LMTP = CATCH_ALL.format(port=0, kind="lmtp")
#: What programs that read a header section can be given.
WITH_HEAD = {name: letter for name, letter in LETTERS.items() if name not in ("nothing", "headless", "header-only")}


def stuffed(letter: bytes) -> bytes:
    """A letter as it stands on the wire, its end included."""
    return (b"." if letter.startswith(b".") else b"") + letter.replace(b"\r\n.", b"\r\n..") + b".\r\n"


async def arrived(post: Post, names: Iterable[str], *, more: bytes = b"") -> None:
    """Each letter lies in the inbox of its name, once, and is what was sent, ``more`` at its end included."""
    found = await post.letters()
    assert sorted(found) == sorted(f"{name}@box.test" for name in names)
    for name in names:
        (octets,) = found[f"{name}@box.test"]
        assert behind_trace(octets) == kept(name) + more, name


# -- swaks


def swaks(post: Post, recipient: str, *more: str) -> tuple[str, ...]:
    """A command line of swaks."""
    place = post.endpoint
    told = ("--helo", "swaks.example", "--from", "langrui@sohu.com", "--to", recipient)
    return ("swaks", "--server", place.host, "--port", str(place.port), *told, *more)


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

    async def story() -> None:
        async with opened(text, tmp_path) as post:
            for name in names:
                # --no-data-fixup: what is read goes out as it is, so it is stuffed here.
                command = swaks(post, f"{name}@box.test", "--no-data-fixup", "--data", "-", *more)
                dialogue = await program(*command, octets=stuffed(LETTERS[name]))
                assert "250 2.0.0 Message queued as" in dialogue
            await arrived(post, names)

    run(story)


@pytest.mark.system("swaks", "swaks")
def test_swaks_composes_a_letter_and_hears_who_is_refused(tmp_path: Path) -> None:
    text = CATCHING.replace('name = "*"', 'name = "sina.com"').replace('mailboxes = "any"', 'mailboxes = ["renping"]')

    async def story() -> None:
        async with opened(text, tmp_path) as post:
            people = "renping@sina.com,nobody@sina.com,langrui@sohu.com"
            written = ("--header", "Subject: 你好", "--body", ".床前明月光\n..\n")
            dialogue = await program(*swaks(post, people, *written))
            assert "250 2.1.5 Recipient OK" in dialogue
            assert "550 5.1.1 " in dialogue
            assert "550 5.7.1 Relaying denied" in dialogue
            letter = behind_trace(await post.only_letter())
            assert "\r\nSubject: 你好\r\n".encode() in letter
            assert "\r\n\r\n.床前明月光\r\n..\r\n".encode() in letter

    run(story)


# -- curl


@pytest.mark.system("curl", "curl")
def test_curl(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(CATCHING, tmp_path / "house") as post:
            for name, letter in WITH_HEAD.items():
                (tmp_path / "letter").write_bytes(letter)
                await program(*curl(post, "langrui@sohu.com", f"{name}@box.test"), "--upload-file", tmp_path / "letter")
            await arrived(post, WITH_HEAD)

    run(story)


def curl(post: Post, sender: str, recipient: str) -> tuple[str, ...]:
    """A command line of curl."""
    addresses = ("--mail-from", f"<{sender}>", "--mail-rcpt", f"<{recipient}>")
    return ("curl", "--silent", "--show-error", f"smtp://{post.endpoint}/curl.example", *addresses)


@pytest.mark.system("curl", "curl")
def test_curl_sends_thirty_mebibytes(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(large())

    async def story() -> None:
        async with opened(CATCHING, tmp_path / "house") as post:
            await program(*curl(post, "langrui@sohu.com", "large@box.test"), "--upload-file", tmp_path / "letter")
            letter = behind_trace(await post.only_letter())
            assert len(letter) == LARGE
            assert letter == (tmp_path / "letter").read_bytes()

    run(story)


@pytest.mark.system("curl", "curl")
def test_curl_asks_for_smtputf8(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(LETTERS["chinese-fields"])

    async def story() -> None:
        async with opened(CATCHING, tmp_path / "house") as post:
            command = curl(post, "郎锐@sohu.com", "任平@box.test")
            await program(*command, "--upload-file", tmp_path / "letter")
            letter = await post.only_letter()
            assert letter.startswith("Return-Path: <郎锐@sohu.com>\r\n".encode())
            assert b" with UTF8SMTP id " in letter
            assert behind_trace(letter) == LETTERS["chinese-fields"]

    run(story)


@pytest.mark.system("curl", "curl")
def test_curl_is_told_that_a_letter_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(large(200_000))
    text = CATCHING.replace("100 MiB", "100 KiB")

    async def story() -> None:
        async with opened(text, tmp_path / "house") as post:
            command = curl(post, "langrui@sohu.com", "large@box.test")
            said = await program(*command, "--verbose", "--upload-file", tmp_path / "letter", code=55)
            assert "552 5.3.4 Message too large" in said
            assert await post.letters() == {}

    run(story)


# -- smtp-source


@pytest.mark.system("postfix", "smtp-source")
@pytest.mark.parametrize(("text", "flags"), [(CATCHING, ()), (CATCHING_LMTP, ("-L",))], ids=["smtp", "lmtp"])
def test_smtp_source(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    async def story() -> None:
        async with opened(text, tmp_path / "house") as post:
            for name, letter in WITH_HEAD.items():
                (tmp_path / "letter").write_bytes(letter.replace(b"\r\n", b"\n"))
                addresses = ("-f", "langrui@sohu.com", "-t", f"{name}@box.test")
                await program("smtp-source", *flags, "-F", tmp_path / "letter", *addresses, str(post.endpoint))
            await arrived(post, WITH_HEAD, more=b"\r\n")  # it ends every letter with an empty line

    run(story)


@pytest.mark.system("postfix", "smtp-source")
def test_smtp_source_over_many_sessions(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(HEAD.replace(b"\r\n", b"\n") + b"\n" + b"." * 70 + b"\n" + b"x" * 4000)
    expected = HEAD + b"\r\n" + b"." * 70 + b"\r\n" + b"x" * 4000 + b"\r\n\r\n"

    async def story() -> None:
        async with opened(CATCHING, tmp_path / "house") as post:
            addresses = ("-f", "langrui@sohu.com", "-t", "many@box.test", "-r", "3")
            load = ("-s", "20", "-m", "600", "-d", "-F", tmp_path / "letter")
            await program("smtp-source", *load, *addresses, str(post.endpoint))
            found = await post.letters()
            assert len(found) == 3
            for letters in found.values():
                assert [behind_trace(letter) for letter in letters] == [expected] * 600

    run(story)


# -- msmtp


@pytest.mark.system("msmtp", "msmtp")
@pytest.mark.parametrize(
    ("text", "flags"), [(CATCHING, ()), (CATCHING_LMTP, ("--protocol=lmtp",))], ids=["smtp", "lmtp"]
)
def test_msmtp(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    async def story() -> None:
        async with opened(text, tmp_path) as post:
            place = post.endpoint
            where = (f"--host={place.host}", f"--port={place.port}", "--domain=a.example", "--tls=off", "--auth=off")
            added = tuple(f"--{name}=off" for name in ("set-from-header", "set-date-header", "set-msgid-header"))
            for name, letter in WITH_HEAD.items():
                people = ("--from=langrui@sohu.com", "--", f"{name}@box.test")
                octets = letter.replace(b"\r\n", b"\n")
                await program("msmtp", "--file=", *where, *flags, *added, *people, octets=octets)
            await arrived(post, WITH_HEAD)

    run(story)


# -- Python's own, and the one for asyncio


@pytest.mark.parametrize("kind", ["smtp", "lmtp"])
def test_smtplib(tmp_path: Path, kind: str) -> None:
    # It makes CRLF of every line end, and one of what has none.
    sent = {name: letter for name, letter in LETTERS.items() if name != "nothing"}

    def send(post: Post) -> None:
        classes: dict[str, type[smtplib.SMTP]] = {"smtp": smtplib.SMTP, "lmtp": smtplib.LMTP}
        place = post.endpoint
        with classes[kind](place.host, place.port, local_hostname="smtplib.example", timeout=30) as server:
            for name, letter in sent.items():
                options = ["BODY=8BITMIME"] if name in EIGHT_BIT else []
                assert server.sendmail("langrui@sohu.com", [f"{name}@box.test"], letter, options) == {}
            assert server.verify("renping")[0] == 252
            assert server.noop()[0] == 250

    async def story() -> None:
        async with opened(CATCHING if kind == "smtp" else CATCHING_LMTP, tmp_path) as post:
            await asyncio.to_thread(send, post)
            await arrived(post, sent)

    run(story)


def test_smtplib_with_smtputf8(tmp_path: Path) -> None:
    letter = LETTERS["chinese-fields"]

    def send(post: Post) -> None:
        with smtplib.SMTP(post.endpoint.host, post.endpoint.port, "smtplib.example", timeout=30) as server:
            server.ehlo()
            options = ["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=a+2Bb"]
            server.sendmail("郎锐@搜狐.中国", ["任平@box.test"], letter, options, ["NOTIFY=FAILURE,DELAY"])

    async def story() -> None:
        async with opened(CATCHING, tmp_path) as post:
            await asyncio.to_thread(send, post)
            found = await post.only_letter()
            assert found.startswith("Return-Path: <郎锐@搜狐.中国>\r\n".encode())
            assert behind_trace(found) == letter

    run(story)


def aiosmtp(post: Post) -> aiosmtplib.SMTP:
    """A client of aiosmtplib."""
    place = post.endpoint
    return aiosmtplib.SMTP(hostname=place.host, port=place.port, local_hostname="aio.example", start_tls=False)


def test_aiosmtplib(tmp_path: Path) -> None:
    sent = {name: letter for name, letter in LETTERS.items() if name != "nothing"}

    async def story() -> None:
        async with opened(CATCHING, tmp_path) as post:
            async with aiosmtp(post) as server:
                for name, letter in sent.items():
                    options = ["BODY=8BITMIME"] if name in EIGHT_BIT else []
                    refused, _ = await server.sendmail("a@sohu.com", [f"{name}@box.test"], letter, mail_options=options)
                    assert refused == {}
            await arrived(post, sent)

    run(story)


def test_twenty_aiosmtplib_clients_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(CATCHING, tmp_path) as post:

            async def client(number: int) -> None:
                async with aiosmtp(post) as server:
                    for name, letter in PLAIN.items():
                        await server.sendmail("a@sohu.com", [f"{name}-{number}@box.test"], letter)

            await asyncio.gather(*(client(number) for number in range(20)))
            found = await post.letters()
            for name, letter in PLAIN.items():
                for number in range(20):
                    (octets,) = found[f"{name}-{number}@box.test"]
                    assert behind_trace(octets) == letter

    run(story)
