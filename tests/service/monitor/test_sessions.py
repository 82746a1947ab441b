"""The sessions of a running daemon, as operators see them: open ones, recent ones, those with other hosts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import SettingError
from posthouse.net import Endpoint
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.monitor.message_source import client_of
from posthouse.service.operations.monitor.monitor_answers import (
    OverviewReport,
    SessionDialogue,
    SessionEntry,
    SessionsReport,
)

HERE = """
data_dir = "{}"
hostname = "here.test"
workers = 1
[[listener]]
bind = "127.0.0.1:0"
{}
[[domain]]
name = "here.test"
deliver = "discard"
mailboxes = ["ann"]
{}
"""
MESSAGE = b"Subject: x\r\n\r\nsecret words of the message\r\n"
XFORWARD = 'xforward_networks = ["127.0.0.1"]'
TROUBLE = "RCPT TO:<nobody@here.test>"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


@asynccontextmanager
async def daemon(home: Path, listener: str = "", more: str = "") -> AsyncIterator[Daemon]:
    made = Daemon(parse(HERE.format(home, listener, more)), log=lambda event, /, **facts: None)
    await made.start()
    try:
        yield made
    finally:
        await made.drain(0.0)


class Client:
    """A client of the daemon's listener; ``say`` gives the last line of the reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, made: Daemon, listener: str = "mx") -> Client:
        place = made.endpoints[listener]
        client = cls(*await asyncio.open_connection(place.host, place.port))
        await client.reply()
        return client

    async def reply(self) -> str:
        while True:
            line = (await self.reader.readline()).decode().rstrip("\r\n")
            if line[3:4] != "-":
                return line

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def send(self, to: str = "ann@here.test") -> str:
        await self.say("MAIL FROM:<me@far.test>")
        await self.say(f"RCPT TO:<{to}>")
        await self.say("DATA")
        self.writer.write(MESSAGE + b".\r\n")
        return await self.reply()

    async def quit(self) -> None:
        await self.say("QUIT")
        assert await self.reader.read() == b""
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def do(made: Daemon, name: str, **given: Any) -> Any:
    return await OPERATIONS[name].run(made.context("ann"), **given)


async def listed(made: Daemon, **given: Any) -> list[SessionEntry]:
    report: SessionsReport = await do(made, "monitor sessions", peers=False, **given)
    return report.sessions


async def shown(made: Daemon, entry: SessionEntry) -> list[tuple[str, str]]:
    found: SessionDialogue = await do(made, "monitor session", id=entry.id, peers=False)
    assert found.session.id == entry.id
    return [(line.who, line.text) for line in found.dialogue]


async def ended(made: Daemon, number: int = 1) -> None:
    """Return when so many sessions have ended."""
    while made.monitor.tally.totals()["sessions"] - made.monitor.sessions.open < number:
        await asyncio.sleep(0.001)


def test_a_session_is_seen_while_it_is_open_and_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            (entry,) = await listed(made, live=True)
            assert (entry.direction, entry.place, entry.ended, entry.problem) == ("in", "mx", None, "")
            assert (await shown(made, entry))[1] == ("S", "EHLO client.test")
            assert (await client.send()).startswith("250")
            await client.quit()
            await ended(made)
            assert await listed(made, live=True) == []
            (entry,) = await listed(made)
            assert (entry.messages, entry.problem) == (1, "")
            assert entry.ended is not None
            lines = await shown(made, entry)
            assert lines[0][1].startswith("220 ")
            assert lines[-1][1].startswith("221 ")
            assert ("S", f"({len(MESSAGE)} octets of content)") in lines
            assert "secret words" not in str(lines)
            assert await listed(made, failures=True) == []
            assert await listed(made, direction="out") == []

    run(scenario)


def test_what_was_refused_is_kept_apart_with_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            await client.say("MAIL FROM:<me@far.test>")
            refused = await client.say(TROUBLE)
            await client.quit()
            await ended(made)
            (entry,) = await listed(made, failures=True)
            assert entry.problem == refused
            lines = await shown(made, entry)
            at = lines.index(("S", TROUBLE))
            assert lines[at + 1][0] == "N"
            assert lines[at + 1][1].startswith("RCPT: ")
            assert lines[at + 2] == ("R", refused)

    run(scenario)


def test_a_message_leads_to_the_session_by_which_it_came(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            clients = [await Client.to(made) for _ in range(3)]
            for client in clients:
                await client.say(f"EHLO client{clients.index(client)}.test")
            reply = await clients[1].send()
            queue_id = reply.rpartition("queued as ")[2].split()[0]
            explained = await do(made, "explain", what=queue_id)
            (entry,) = await listed(made, source=explained.message.source)  # while it is open
            assert ("S", "EHLO client1.test") in await shown(made, entry)
            for client in clients:
                await client.quit()
            await ended(made, 3)
            assert [each.id for each in await listed(made, source=explained.message.source)] == [entry.id]
            assert await listed(made, source="mx 192.0.2.1:40000") == []
            with pytest.raises(SettingError, match="names no client"):
                await listed(made, source="unknown")

    run(scenario)


@pytest.mark.parametrize(
    ("source", "client"),
    [
        ("mx 192.0.2.1:40000", Endpoint("192.0.2.1", 40000)),
        ("submission 2001:db8::1:587", Endpoint("2001:db8::1", 587)),
        ("mx [2001:db8::1]:587", Endpoint("2001:db8::1", 587)),
        ("mx 198.51.100.7:0 (by 192.0.2.1:40000)", Endpoint("192.0.2.1", 40000)),
        ("mx-2 192.0.2.1:40000", Endpoint("192.0.2.1", 40000)),
        ("Front door 2 192.0.2.1:40000", Endpoint("192.0.2.1", 40000)),
        ("前门 198.51.100.7:0 (by 192.0.2.1:40000)", Endpoint("192.0.2.1", 40000)),
        ("mx fe80::1%eth0:40000", Endpoint("fe80::1%eth0", 40000)),
        ("front door unix socket:0", None),
        ("lmtp unix socket:0", None),
        ("sendmail root", None),
        ("", None),
        ("mx 192.0.2.1:", None),
        ("mx 192.0.2.1:٣", None),
    ],
)
def test_the_client_of_a_source(source: str, client: Endpoint | None) -> None:
    assert client_of(source) == client


@pytest.mark.parametrize("name", ["Front door 2", "mx-2", "unix socket"])
def test_what_is_refused_is_in_its_session_whatever_the_listener_is_called(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        setting = f'name = "{name}"' if name != "mx-2" else ""  # which a second listener of a kind is called
        second = f'[[listener]]\nbind = "127.0.0.1:0"\n{setting}\n'
        async with daemon(tmp_path, f"{second}{XFORWARD}") as made:
            client = await Client.to(made, name)
            await client.say("EHLO client.test")
            queue_id = (await client.send()).rpartition("queued as ")[2].split()[0]
            await client.say("XFORWARD ADDR=198.51.100.7 PORT=25")
            await client.say("MAIL FROM:<me@far.test>")
            await client.say(TROUBLE)
            explained = await do(made, "explain", what=queue_id)
            (entry,) = await listed(made, source=explained.message.source)
            lines = await shown(made, entry)
            assert lines[lines.index(("S", TROUBLE)) + 1][0] == "N"
            await client.close()

    run(scenario)


@pytest.mark.parametrize("port", [5000, 0])
@pytest.mark.parametrize("claims", ["ADDR=192.0.2.7", "NAME=client.test|ADDR=192.0.2.8 PORT=5000|ADDR=192.0.2.7"])
def test_a_session_is_that_of_the_client_that_xclient_names(tmp_path: Path, port: int, claims: str) -> None:
    """A claim may come in several commands, of which the last ADDR counts.  Where the proxy names no port, several
    sessions may be those of one client."""

    async def scenario() -> None:
        async with daemon(tmp_path, 'xclient_networks = ["127.0.0.1"]') as made:
            client = await Client.to(made)
            await client.say("EHLO proxy.test")
            for claim in f"{claims} PORT={port}".replace(" PORT=0", "").split("|"):
                assert (await client.say(f"XCLIENT {claim}")).startswith("220")
            await client.say("EHLO client.test")
            queue_id = (await client.send()).rpartition("queued as ")[2].split()[0]
            await client.say("MAIL FROM:<me@far.test>")
            refused = await client.say(TROUBLE)
            explained = await do(made, "explain", what=queue_id)
            assert explained.message.source == f"mx 192.0.2.7:{port}"
            await client.quit()
            await ended(made)
            (entry,) = await listed(made, source=explained.message.source)
            assert (entry.peer, entry.problem) == (f"192.0.2.7:{port}", refused)
            assert (len([each for each in await shown(made, entry) if each[0] == "N"]) > 0) is (port > 0)
            assert made.monitor.sessions._by_peer == {}  # no key is left for a later session

    run(scenario)


def test_what_is_refused_at_a_unix_socket_is_in_its_session_or_in_none(tmp_path: Path) -> None:
    """Clients of a unix socket have no address, so that nothing but their number tells them apart."""

    async def scenario() -> None:
        path = tmp_path / "lmtp"
        more = f'[[listener]]\nbind = "unix:{path}"\nkind = "lmtp"\nname = "post room"\n'
        async with daemon(tmp_path, more) as made:
            clients = []
            for _ in range(2):
                client = Client(*await asyncio.open_unix_connection(path))
                await client.reply()
                await client.say("LHLO client.test")
                await client.say("MAIL FROM:<me@far.test>")
                clients.append(client)
            await clients[0].say(TROUBLE)
            for entry in await listed(made, live=True):
                assert [each for each in await shown(made, entry) if each[0] == "N"] == []
            await clients[1].quit()
            await ended(made)
            await clients[0].say(TROUBLE)
            (entry,) = await listed(made, live=True)
            assert (await shown(made, entry))[-2][0] == "N"
            await clients[0].close()

    run(scenario)


def test_sessions_with_a_problem_stand_behind_the_open_ones_and_before_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            opened = await Client.to(made)
            bad = await Client.to(made)
            await bad.say("MAIL FROM:<me@far.test>")  # no EHLO
            await bad.quit()
            await ended(made, 1)
            for number in (2, 3):
                await (await Client.to(made)).quit()
                await ended(made, number)
            assert [each.id for each in await listed(made)] == ["in0.1", "in0.2", "in0.4", "in0.3"]
            # Of more than are asked for, the newest are chosen.
            assert [each.id for each in await listed(made, limit=2)] == ["in0.1", "in0.4"]
            await opened.quit()

    run(scenario)


def test_a_client_that_goes_without_quit_is_a_problem(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            await client.close()
            await ended(made)
            (entry,) = await listed(made, failures=True)
            assert entry.problem == "the client ended the connection without QUIT"

    run(scenario)


def test_a_handshake_that_fails_is_the_problem(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, 'tls = "starttls"') as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            assert (await client.say("STARTTLS")).startswith("220")
            client.writer.write(b"no TLS at all\r\n" * 10)
            while await client.reader.read(1_000):
                pass
            await client.close()
            await ended(made)
            (entry,) = await listed(made, failures=True)
            assert entry.problem == "127.0.0.1 does not speak TLS here"
            assert ("N", entry.problem) in await shown(made, entry)

    run(scenario)


def test_credentials_are_in_no_dialogue(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, 'auth = "offered"') as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            secret = base64.b64encode(b"\0ann\0hunter2hunter2").decode()
            await client.say(f"AUTH PLAIN {secret}")
            await client.say("AUTH LOGIN")
            await client.say(base64.b64encode(b"hunter2hunter2").decode())
            await client.close()
            await ended(made)
            (entry,) = await listed(made)
            lines = await shown(made, entry)
            assert "AUTH" in str(lines)
            assert "hunter2" not in str(lines)
            assert secret not in str(lines)
            assert base64.b64encode(b"hunter2hunter2").decode() not in str(lines)

    run(scenario)


def test_a_long_session_is_recorded_for_a_while_and_again_when_something_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path, "max_errors = 1000\nmax_idle_commands = 1000") as made:
            client = await Client.to(made)
            await client.say("EHLO client.test")
            for _ in range(60):
                await client.say("NOOP")
            (entry,) = await listed(made, live=True, watch=False)
            known = entry.lines
            assert known < 80
            await client.say("MAIL FROM:<me@far.test>")
            (entry,) = await listed(made, live=True, watch=False)
            assert entry.lines == known
            refused = await client.say(TROUBLE)
            (entry,) = await listed(made, live=True, watch=False)
            assert entry.problem == refused
            assert (await shown(made, entry))[-1] == ("R", refused)
            await client.quit()

    run(scenario)


def test_a_look_has_every_open_session_recorded(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            book = made.monitor.sessions
            none_left = book._of_any  # as if very many sessions had begun
            none_left._tokens, none_left._at = 0.0, book._clock.monotonic() + 3600.0
            client = await Client.to(made)
            await client.say("EHLO client.test")
            assert book.live(1)[0].kept == 0
            (entry,) = await listed(made)
            await client.say("NOOP looked at")
            lines = await shown(made, entry)
            assert lines[0] == ("S", "NOOP looked at")
            report = await do(made, "monitor session", id=entry.id)
            assert report.partial
            other = await Client.to(made)  # begins while somebody looks
            assert book.live(1)[0].kept == 1
            for each in (client, other):
                await each.quit()

    run(scenario)


def test_a_flood_of_good_sessions_leaves_the_bad_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            bad = await Client.to(made)
            await bad.say("EHLO client.test")
            await bad.say("MAIL FROM:<me@far.test>")
            refused = await bad.say(TROUBLE)
            await bad.quit()
            for _ in range(250):
                good = await Client.to(made)
                await good.quit()
            await ended(made, 251)
            assert 150 < len(await listed(made, limit=1000)) <= 201
            assert [each.problem for each in await listed(made, failures=True)] == [refused]

    run(scenario)


def test_sessions_with_other_hosts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path / "there") as there:
            place = there.endpoints["mx"]
            trusted = '[relay]\ntrusted_networks = ["127.0.0.0/8"]\n'
            route = f'{trusted}[[route]]\nto = "*"\nvia = "smtp://{place.host}:{place.port}"\n'
            async with daemon(tmp_path / "us", more=route.replace('to = "*"', 'to = "relayed.test"')) as us:
                client = await Client.to(us)
                await client.say("EHLO client.test")
                reply = await client.send("ann@relayed.test")
                await client.quit()
                await us.wait_idle()
                entry = next(each for each in await listed(us, direction="out") if each.place == "relayed.test")
                assert entry.queue_id == reply.split()[-1]
                assert entry.problem.startswith("550")  # the other host relays for nobody
                assert entry in await listed(us, failures=True)
                lines = await shown(us, entry)
                assert ("S", "RCPT TO:<ann@relayed.test>") in lines
                assert lines[0][0] == "N"
                overview: OverviewReport = await do(us, "monitor overview", peers=False)
                assert {each.destination: each.failed for each in overview.destinations}["relayed.test"] == 1
                assert sum(overview.latencies[2].counts) >= 1

    run(scenario)


@pytest.mark.parametrize(
    ("text", "words"),
    [("what", "is no session"), ("in0.99", "any more"), ("in7.1", "any more"), ("out0.1", "any more")],
)
def test_a_session_that_is_not_known(tmp_path: Path, text: str, words: str) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            with pytest.raises(SettingError, match=words):
                await do(made, "monitor session", id=text)
            with pytest.raises(SettingError, match="there is no direction"):
                await do(made, "monitor sessions", direction="up")

    run(scenario)


def test_without_a_daemon_there_are_no_sessions(tmp_path: Path) -> None:
    async def scenario() -> None:
        made = Daemon(parse(HERE.format(tmp_path, "", "")), log=lambda event, /, **facts: None)
        for name, given in (("monitor sessions", {}), ("monitor session", {"id": "in0.1"}), ("monitor overview", {})):
            with pytest.raises(SettingError, match="no daemon runs"):
                await OPERATIONS[name].run(made.context()._replace(monitor=None), **given)

    run(scenario)
