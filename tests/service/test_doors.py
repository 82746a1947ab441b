"""Daemons and clients that are no mail programs: silent ones, browsers, TLS where none is, those that speak first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.core import SettingError
from posthouse.service import ConfigError, Daemon, parse

from .test_daemon import Talk
from .test_proxies import CONFIG, HandMadeTls, ended
from .test_secured import Log, trusting, with_daemon

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64))


def daemon_with(tmp_path: Path, settings: str, scenario: Callable[[Daemon, Log], Awaitable[None]]) -> None:
    with_daemon(tmp_path, scenario, CONFIG.replace("SETTINGS", settings))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_connections_that_are_silent_before_their_handshake_are_sessions(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        silent = [await Talk.to(daemon) for _ in range(3)]
        await until(lambda: daemon.sessions == 3)
        fourth, client = await Talk.to(daemon), HandMadeTls(trusting(tmp_path))
        fourth.writer.write(client.hello())
        await client.handshake(fourth)
        assert (await client.read(fourth)).startswith(b"421 4.7.0 Too many connections from your host (limit 3)")
        await silent[0].close()
        await until(lambda: daemon.sessions <= 3 and bool(log.of("tls")))
        fifth, client = await Talk.to(daemon), HandMadeTls(trusting(tmp_path))
        fifth.writer.write(client.hello())
        await client.handshake(fifth)
        assert (await client.read(fifth)).startswith(b"220 ")
        for talk in (*silent[1:], fourth, fifth):
            await talk.close()

    daemon_with(tmp_path, 'tls = "implicit"\nmax_connections_per_host = 3', scenario)


def test_a_silent_connection_ends_after_the_time_of_a_handshake(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        assert await ended(talk) == b""
        assert "within 0.2 s" in next(line for line in log.of("tls") if "source" in line)["reason"]
        await talk.close()
        await until(lambda: daemon.sessions == 0)

    daemon_with(tmp_path, 'tls = "implicit"\ntls_timeout = "0.2s"', scenario)


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "put / HTTP/1.1"])
@pytest.mark.parametrize("where", ["clear", "starttls", "inside implicit"])
def test_a_browser_is_shown_out_at_its_first_line(tmp_path: Path, where: str, request_line: str) -> None:
    octets = f"{request_line}\r\nHost: a\r\n\r\nMAIL FROM:<a@b.example>\r\n".encode()

    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        if where == "clear":
            await talk.reply()
            talk.writer.write(octets)
            said = await ended(talk)
        else:
            client = HandMadeTls(trusting(tmp_path))
            if where == "starttls":
                await talk.reply()
                await talk.say("EHLO a")
                await talk.say("STARTTLS")
            talk.writer.write(client.hello())
            await client.handshake(talk)
            if where != "starttls":
                await client.read(talk)
            client.tls.write(octets)
            talk.writer.write(client.outgoing.read())
            said = await client.read(talk)
        assert said.splitlines() == [b"554 5.5.1 This looks like HTTP, and here is SMTP. Closing connection"]
        await talk.close()
        await until(lambda: daemon.sessions == 0)
        assert [line["command"] for line in log.of("refused")] == ["HTTP"]

    tls = {"clear": "off", "starttls": "starttls", "inside implicit": "implicit"}[where]
    daemon_with(tmp_path, f'tls = "{tls}"', scenario)


def test_a_browser_at_the_implicit_port_is_no_handshake(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        talk.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nMAIL FROM:<a@b.example>\r\n")
        assert b"220" not in await ended(talk)
        await talk.close()
        await until(lambda: daemon.sessions == 0)
        assert len([line for line in log.of("tls") if "source" in line]) == 1

    daemon_with(tmp_path, 'tls = "implicit"', scenario)


@pytest.mark.parametrize("tls", ["off", "starttls"])
def test_a_client_hello_in_clear_is_called_tls_once_and_never_logged_raw(tmp_path: Path, tls: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        await talk.reply()
        talk.writer.write(HELLO + b"\r\n" + HELLO)
        said = await ended(talk)
        assert said.startswith(b"554 5.5.1 This looks like TLS")
        assert said.count(b"\r\n") == 1
        assert log.text().count("looks like TLS") == 1
        assert "\\x16" not in log.text()
        assert "\\xfc" not in log.text()
        await talk.close()

    daemon_with(tmp_path, f'tls = "{tls}"', scenario)


@pytest.mark.parametrize(("kind", "code"), [("mx", "554"), ("submission", "220")])
def test_the_pause_before_the_greeting_is_never_at_submission(tmp_path: Path, kind: str, code: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        talk.writer.write(b"EHLO client.example\r\n")
        assert (await talk.reply()).startswith(code)
        await talk.close()

    daemon_with(tmp_path, f'kind = "{kind}"\ngreeting_pause = "0.3s"', scenario)


def test_the_pause_is_at_most_10_s() -> None:
    text = '[[listener]]\nbind = "127.0.0.1:0"\ngreeting_pause = {}\n'
    for written, seconds in (("0", 0.0), ('"0s"', 0.0), ('"6s"', 6.0), ("10", 10.0)):
        assert parse(text.format(written)).listener[0].greeting_pause == seconds
    for written in ('"20s"', "-1", "true", '"soon"'):
        with pytest.raises((ConfigError, SettingError)):
            parse(text.format(written))


@pytest.mark.parametrize(
    ("header", "settings", "source"),
    [
        ("", "", "mx 127.0.0.1:"),
        ("PROXY TCP4 192.0.2.7 192.0.2.2 5000 587\r\n", 'proxy_networks = ["127.0.0.1"]', "mx 192.0.2.7:5000"),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 5000 587\r\n", 'proxy_networks = ["127.0.0.1"]', "mx 192.0.2.7:5000"),
    ],
)
def test_a_failed_login_is_one_line_with_the_clients_address(
    tmp_path: Path, header: str, settings: str, source: str
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await Talk.to(daemon)
        talk.writer.write(header.encode())
        await talk.reply()
        await talk.say("EHLO client.example")
        if source == "mx 127.0.0.1:":
            assert (await talk.say("AUTH PLAIN AGV2ZQB4")).startswith("535")
        else:  # in clear, a password is not asked for
            assert (await talk.say("AUTH SCRAM-SHA-256 biwsbj1ldmUscj1hYmM=")).startswith("334")
            assert (await talk.say("bm90aGluZw==")).startswith("5")
        (line,) = (each for each in log.of("refused") if each["command"] == "AUTH")
        assert line["source"].startswith(source)
        assert line["reason"]
        await talk.close()

    daemon_with(tmp_path, f'kind = "submission"\n{settings}', scenario)
