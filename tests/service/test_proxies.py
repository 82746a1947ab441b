"""Daemons behind proxies: whose address counts, what a proxy may say, and what nobody else may."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.service import Daemon
from posthouse.spool.history import Accepted

from .test_daemon import Talk
from .test_secured import Log, kept, trusting, with_daemon

MESSAGE = b"From: a@example.net\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
CLIENT = "PROXY TCP4 192.0.2.7 192.0.2.2 5000 25\r\n"
CONFIG = """
data_dir = "{0}"
hostname = "mx.example.org"
[[listener]]
bind = "127.0.0.1:0"
name = "mx"
SETTINGS
[[domain]]
name = "example.org"
mailboxes = "any"
[relay]
trusted_networks = ["127.0.0.0/8", "10.0.0.0/8"]
[[route]]
to = "*"
via = "smtp://127.0.0.1:9"
"""
PROXIES = 'proxy_networks = ["127.0.0.1/32"]\n'
XCLIENT = 'xclient_networks = ["127.0.0.1/32"]\nxforward_networks = ["127.0.0.1/32"]\n'


def daemon_with(tmp_path: Path, settings: str, scenario: Callable[[Daemon, Log], Awaitable[None]]) -> None:
    with_daemon(tmp_path, scenario, CONFIG.replace("SETTINGS", settings))


async def raw(daemon: Daemon) -> Talk:
    return await Talk.to(daemon)


async def ended(talk: Talk) -> bytes:
    """What comes until the connection ends."""
    try:
        return await talk.reader.read()
    except ConnectionResetError:
        return b""


async def relayed(talk: Talk) -> str:
    """The reply to a recipient that only trusted clients may send to; the session has been greeted."""
    await talk.say("EHLO client.example")
    assert (await talk.say("MAIL FROM:<a@example.net>")).startswith("250")
    return await talk.say("RCPT TO:<b@elsewhere.example>")


async def sends(talk: Talk) -> str:
    await talk.say("MAIL FROM:<a@example.net>")
    await talk.say("RCPT TO:<bob@example.org>")
    await talk.say("DATA")
    talk.writer.write(MESSAGE)
    return await talk.reply()


# -- PROXY -------------------------------------------------------------------------------------------------------------


def test_the_address_in_the_proxy_header_is_the_clients(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        talk.writer.write(CLIENT.encode() + b"EHLO client.example\r\n")
        assert (await talk.reply()).startswith("220")
        assert (await talk.reply()).startswith("250")
        assert (await sends(talk)).startswith("250")
        assert (await relayed(talk)).startswith("550 5.7.1")  # 127.0.0.1 is trusted, and the client is not
        assert [each["source"] for each in log.of("accepted")] == ["mx 192.0.2.7:5000"]
        assert [each["source"] for each in log.of("refused")] == ["mx 192.0.2.7:5000"]
        assert b"from client.example ([192.0.2.7])" in await kept(daemon, "bob@example.org")
        await talk.close()

    daemon_with(tmp_path, PROXIES, scenario)


def test_a_client_that_is_trusted_is_trusted_behind_a_proxy_too(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        talk.writer.write(b"PROXY TCP4 10.1.2.3 192.0.2.2 5000 25\r\n")
        await talk.reply()
        assert (await relayed(talk)).startswith("250")
        await talk.close()

    daemon_with(tmp_path, PROXIES, scenario)


LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x11\x00\x0c" + bytes(12)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL, b"PROXY TCP4 127.0.0.1 127.0.0.1 5000 25\r\n"])
def test_what_a_proxy_passes_on_for_nobody_is_never_trusted(tmp_path: Path, header: bytes) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        talk.writer.write(header)
        assert (await talk.reply()).startswith("220")
        assert (await relayed(talk)).startswith("550 5.7.1")
        assert log.of("refused")[0]["source"].startswith("mx 127.0.0.1:")
        await talk.close()

    daemon_with(tmp_path, PROXIES, scenario)


def test_limits_count_the_client_and_not_the_proxy(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talks = []
        for host in ("192.0.2.7", "192.0.2.8", "::ffff:192.0.2.7"):
            talk = await raw(daemon)
            family = "TCP6" if ":" in host else "TCP4"
            talk.writer.write(f"PROXY {family} {host} {host} 5000 25\r\n".encode())
            talks.append((talk, await talk.reply()))
        assert [said[:3] for _, said in talks] == ["220", "220", "421"]
        for talk, _ in talks:
            await talk.close()

    daemon_with(tmp_path, PROXIES + "max_connections_per_host = 1", scenario)


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO client.example\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 192.0.2.7 192.0.2.2 5000\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.2 5000 25\n",
        b"PROXY TCP9 192.0.2.7 192.0.2.2 5000 25\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd",
    ],
)
def test_a_proxy_that_sends_no_right_header_is_cut_off(tmp_path: Path, octets: bytes) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        talk.writer.write(octets + b"MAIL FROM:<>\r\n")
        assert await ended(talk) == b""
        (line,) = log.of("proxy")
        assert line["source"].startswith("mx 127.0.0.1:")
        assert daemon.sessions == 0
        await talk.close()

    daemon_with(tmp_path, PROXIES, scenario)


def test_a_proxy_that_is_silent_is_cut_off_and_one_that_only_looks_is_not_logged(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        looks = await raw(daemon)
        looks.writer.write_eof()
        assert await ended(looks) == b""
        silent = await raw(daemon)
        assert await ended(silent) == b""
        assert [line["reason"] for line in log.of("proxy")] == ["no complete PROXY header came in time"]
        await looks.close()
        await silent.close()

    daemon_with(tmp_path, PROXIES + 'proxy_timeout = "0.2s"', scenario)


def test_a_header_from_anywhere_else_is_a_bad_command(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        assert (await talk.reply()).startswith("220")
        assert (await talk.say(CLIENT.strip())).startswith("500 5.5.2")
        assert (await talk.say("EHLO client.example")).startswith("250")
        assert (await relayed(talk)).startswith("250")  # 127.0.0.1 itself
        await talk.close()

    daemon_with(tmp_path, 'proxy_networks = ["192.0.2.0/24"]', scenario)


class HandMadeTls:
    """A TLS client whose octets the test writes itself."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hello(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    async def handshake(self, talk: Talk) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.incoming.write(await talk.reader.read(65_536))
            talk.writer.write(self.outgoing.read())
        talk.writer.write(self.outgoing.read())

    async def read(self, talk: Talk) -> bytes:
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                octets = await talk.reader.read(65_536)
                assert octets
                self.incoming.write(octets)


@pytest.mark.parametrize(
    "header", [CLIENT.encode(), b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\0\2\7\xc0\0\2\2\x13\x88\1\xd1"]
)
@pytest.mark.parametrize("cut", [-1, 0, 3, 1_000_000])
def test_a_proxy_header_and_a_client_hello_in_one_segment(tmp_path: Path, header: bytes, cut: int) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        client = HandMadeTls(trusting(tmp_path))
        octets = header + client.hello()
        place = len(header) + cut
        talk = await raw(daemon)
        talk.writer.write(octets[:place])
        if octets[place:]:
            await talk.writer.drain()
            while not daemon.sessions and cut >= 0:  # the header has arrived
                await asyncio.sleep(0.01)
            talk.writer.write(octets[place:])
        await client.handshake(talk)
        assert (await client.read(talk)).startswith(b"220 ")
        client.tls.write(b"NOOP\r\n")
        talk.writer.write(client.outgoing.read())
        assert (await client.read(talk)).startswith(b"250 ")
        assert [line for line in log.of("tls") if "source" in line] == []
        await talk.close()

    daemon_with(tmp_path, PROXIES + 'tls = "implicit"\n', scenario)


# -- XCLIENT -----------------------------------------------------------------------------------------------------------


def test_xclient_makes_the_session_that_of_another_client(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        assert (
            " XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT "
            in f"{await talk.say('EHLO filter.example')} ".replace("250-", "")
        )
        said = await talk.say("XCLIENT NAME=spike.example ADDR=192.0.2.7 PORT=5000 PROTO=ESMTP HELO=client.example")
        assert said.startswith("220 mx.example.org")
        assert (await talk.say("MAIL FROM:<a@b.example>")).startswith("503")  # nobody has said HELO
        assert (await relayed(talk)).startswith("550 5.7.1")
        await talk.say("RSET")
        assert (await sends(talk)).startswith("250")
        assert b"from client.example ([192.0.2.7])" in await kept(daemon, "bob@example.org")
        assert {each["source"] for each in log.of("accepted") + log.of("refused")} == {"mx 192.0.2.7:5000"}
        (named,) = log.of("client")
        assert named["by"].startswith("127.0.0.1:")
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


def test_what_is_pipelined_behind_xclient_has_the_rights_of_the_client_and_not_of_the_proxy(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        assert (await talk.reply()).startswith("220")
        claim = b"XCLIENT ADDR=192.0.2.7 PORT=5000\r\nEHLO client.example\r\nMAIL FROM:<a@example.net>\r\n"
        content = b"RCPT TO:<bob@example.org>\r\nBDAT 18 LAST\r\nSubject: x\r\n\r\nhi\r\n"
        talk.writer.write(claim + b"RCPT TO:<b@elsewhere.example>\r\n" + content)
        replies = [(await talk.reply())[:3] for _ in range(6)]
        assert replies == ["220", "250", "250", "550", "250", "250"]
        assert [facts["source"] for facts in log.of("accepted")] == ["mx 192.0.2.7:5000"]
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


def test_more_may_be_pipelined_behind_xclient_also_where_greetings_have_a_pause(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        talk.writer.write(b"XCLIENT ADDR=192.0.2.7\r\nEHLO client.example\r\nMAIL FROM:<a@example.net>\r\n")
        assert [(await talk.reply())[:3] for _ in range(3)] == ["220", "250", "250"]
        await talk.close()

    daemon_with(tmp_path, XCLIENT + 'greeting_pause = "0.2s"', scenario)


def test_a_client_without_an_address_is_trusted_by_nobody(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        await talk.say("EHLO filter.example")
        assert (await talk.say("XCLIENT ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]")).startswith("220")
        assert (await relayed(talk)).startswith("550 5.7.1")
        assert log.of("refused")[0]["source"] == "mx unknown:0"
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


def test_the_client_that_xclient_names_is_the_one_that_limits_count(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talks = []
        for _ in range(2):
            talk = await raw(daemon)
            await talk.reply()
            talks.append((talk, await talk.say("XCLIENT ADDR=192.0.2.7")))
        assert [said[:3] for _, said in talks] == ["220", "421"]
        await talks[0][0].close()
        await ended(talks[1][0])
        while daemon.sessions:
            await asyncio.sleep(0.01)
        again = await raw(daemon)
        await again.reply()
        assert (await again.say("XCLIENT ADDR=192.0.2.7")).startswith("220")
        assert (await again.say("XCLIENT ADDR=192.0.2.8")).startswith("220")
        for talk in (again, talks[1][0]):
            await talk.close()

    daemon_with(tmp_path, XCLIENT + "max_connections_per_host = 1", scenario)


def test_xclient_does_not_go_on_for_ever(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        replies = [(await talk.say(f"XCLIENT ADDR=192.0.2.{number}"))[:3] for number in range(1, 7)]
        assert replies == ["220"] * 5 + ["421"]
        await talk.close()

    daemon_with(tmp_path, XCLIENT + "max_idle_commands = 5", scenario)


@pytest.mark.parametrize(("login", "reply"), [("ann@example.org", "220"), ("eve@example.org", "421")])
def test_a_login_that_xclient_names_is_one_only_if_the_account_exists(tmp_path: Path, login: str, reply: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        said = await talk.say(f"XCLIENT ADDR=192.0.2.7 LOGIN={login}")
        assert said.startswith(reply)
        if reply == "220":
            await talk.say("EHLO client.example")
            assert (await talk.say("AUTH PLAIN AGEAYg==")).startswith("503")
            assert (await talk.say("MAIL FROM:<eve@example.org>")).startswith("553 5.7.1")
            assert (await talk.say("MAIL FROM:<ann@example.org>")).startswith("250")
            assert (await talk.say("RCPT TO:<b@elsewhere.example>")).startswith("250")
            await talk.say("RSET")
            assert (await talk.say("XCLIENT ADDR=192.0.2.8")).startswith("220")  # another client, who has not logged in
            await talk.say("EHLO client.example")
            assert (await talk.say("MAIL FROM:<ann@example.org>")).startswith("530")
        await talk.close()

    daemon_with(tmp_path, XCLIENT + 'kind = "submission"', scenario)


@pytest.mark.parametrize("command", ["XCLIENT ADDR=10.1.2.3", "XFORWARD ADDR=10.1.2.3"])
def test_xclient_and_xforward_from_anywhere_else_are_bad_commands(tmp_path: Path, command: str) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        offered = await talk.say("EHLO client.example")
        assert "XCLIENT" not in offered
        assert "XFORWARD" not in offered
        assert (await talk.say(command)).startswith("500 5.5.2")
        await talk.close()

    others = 'xclient_networks = ["10.0.0.0/8"]\nxforward_networks = ["10.0.0.0/8"]\n'
    daemon_with(tmp_path, others, scenario)


def test_a_malformed_xclient_is_the_end(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        assert (await talk.say("XCLIENT ADDR=mail.example")).startswith("501 5.5.4")
        assert await ended(talk) == b""
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


# -- XFORWARD ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name"),
    [("ADDR=192.0.2.7 HELO=client.example", "client.example"), ("ADDR=192.0.2.7", ""), ("IDENT=1", "filter.example")],
)
def test_the_history_has_the_name_of_the_client_that_xforward_names_and_not_the_filters(
    tmp_path: Path, said: str, name: str
) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        await talk.say("EHLO filter.example")
        assert (await talk.say(f"XFORWARD {said}")).startswith("250")
        assert (await sends(talk)).startswith("250")
        assert (await sends(talk)).startswith("250")  # another message, which is the filter's own
        names = []
        for each in log.of("accepted"):
            accepted = (await daemon.spool.queries.history(each["id"]))[0]
            assert isinstance(accepted, Accepted)
            names.append(accepted.arrival.helo)
        assert names == [name, "filter.example"]
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


def test_xforward_changes_what_is_recorded_of_the_next_message_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(daemon: Daemon, log: Log) -> None:
        talk = await raw(daemon)
        await talk.reply()
        assert "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE" in await talk.say("EHLO filter.example")
        assert (await talk.say("XFORWARD NAME=spike.example ADDR=192.0.2.7 PORT=5000")).startswith("250 2.0.0")
        assert (await talk.say("XFORWARD HELO=client.example PROTO=ESMTP")).startswith("250 2.0.0")
        assert (await talk.say("MAIL FROM:<a@example.net>")).startswith("250")
        assert (await talk.say("RCPT TO:<b@elsewhere.example>")).startswith("250")  # the filter is trusted, as before
        await talk.say("RSET")
        await talk.say("XFORWARD ADDR=192.0.2.8 PORT=5001")
        assert (await sends(talk)).startswith("250")
        assert (await sends(talk)).startswith("250")
        first, second = (each["source"] for each in log.of("accepted"))
        assert first.startswith("mx 192.0.2.8:5001 (by 127.0.0.1:")
        assert second.startswith("mx 127.0.0.1:")
        assert b"from filter.example ([127.0.0.1])" in await kept(daemon, "bob@example.org")
        await talk.close()

    daemon_with(tmp_path, XCLIENT, scenario)


# -- the log -----------------------------------------------------------------------------------------------------------


def test_listeners_of_one_kind_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """In refusals, failed handshakes and wrong PROXY headers, in the history of messages, and behind XFORWARD."""

    async def scenario(daemon: Daemon, log: Log) -> None:
        for name in ("mx", "mx-2", "outside"):
            talk = await Talk.to(daemon, name)
            await talk.reply()
            await talk.say("EHLO client.example")
            assert (await talk.say("MAIL FROM:<a@example.net> SIZE=99999999999")).startswith("552")
            assert (await sends(talk)).startswith("250")
            if name == "outside":
                await talk.say("XFORWARD ADDR=192.0.2.8 PORT=5001")
                assert (await sends(talk)).startswith("250")
            assert (await talk.say("STARTTLS")).startswith("220")
            talk.writer.write(b"this is no handshake\r\n")
            await ended(talk)
            await talk.close()
        talk = await Talk.to(daemon, "proxied")
        talk.writer.write(b"EHLO client.example\r\n")
        await ended(talk)
        await talk.close()
        for event in ("refused", "accepted", "tls", "proxy"):
            found = list(dict.fromkeys(str(each.get("source", "")).partition(" ")[0] for each in log.of(event)))
            assert [each for each in found if each] == (["mx", "mx-2", "outside"] if event != "proxy" else ["proxied"])
        last = log.of("accepted")[-1]["source"]
        assert last.startswith("outside 192.0.2.8:5001 (by 127.0.0.1:")

    more = 'bind = "127.0.0.1:0"\ntls = "starttls"\n'
    listeners = f'tls = "starttls"\n[[listener]]\n{more}[[listener]]\n{more}name = "outside"\n{XCLIENT}'
    listeners += f'[[listener]]\nbind = "127.0.0.1:0"\nname = "proxied"\n{PROXIES}'
    daemon_with(tmp_path, listeners, scenario)
