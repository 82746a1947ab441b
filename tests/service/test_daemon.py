"""Whole daemons on loopback: real sockets, a real spool on disk, the real relay."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from posthouse.core import SettingError
from posthouse.net import SystemClock
from posthouse.service import OPERATIONS, Daemon, TranscriptRecorder, context, parse, serve
from posthouse.service.config.model import Config
from posthouse.service.operations.results import InboxContent, InboxEntry

MESSAGE = b"From: langrui@sohu.com\r\nSubject: =?utf-8?B?5L2g5aW9?=\r\n\r\n.. hello\r\n"


CATCH_ALL = """
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "*"
mailboxes = "any"
"""


def quiet(event: str, /, **fields: object) -> None:
    """A log that nobody reads."""


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


class Talk:
    """A client that says what it is told, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, daemon: Daemon, name: str = "mx") -> Talk:
        endpoint = daemon.endpoints[name]
        return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))

    async def reply(self) -> str:
        """One reply, its lines joined by spaces."""
        lines = []
        while True:
            line = (await self.reader.readline()).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return " ".join(lines)

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def send(self, sender: str, recipients: list[str], message: bytes = MESSAGE) -> str:
        """A whole transaction by HELO; the final reply."""
        await self.say("EHLO client.example")
        await self.say(f"MAIL FROM:<{sender}>")
        for each in recipients:
            assert (await self.say(f"RCPT TO:<{each}>")).startswith("25")
        assert (await self.say("DATA")).startswith("354")
        self.writer.write(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return await self.reply()


def configuration(text: str, data_dir: Path) -> Config:
    return parse(f'data_dir = "{data_dir}"\n{text}')


def test_two_daemons_exchange_a_letter(tmp_path: Path) -> None:
    async def scenario() -> None:
        recorder = TranscriptRecorder(SystemClock())
        sina = Daemon(
            configuration(
                f"""hostname = "sina.com"
                [[listener]]
                bind = "127.0.0.1:0"
                [[domain]]
                name = "sina.com"
                deliver = "maildir:{tmp_path}/mail/{{domain}}/{{local}}"
                mailboxes = ["renping"]
                """,
                tmp_path / "sina",
            ),
            log=quiet,
            transcript=recorder,
        )
        await sina.start()
        sohu = Daemon(
            configuration(
                f"""hostname = "sohu.com"
                [[listener]]
                bind = "127.0.0.1:0"
                kind = "submission"
                [relay]
                trusted_networks = ["127.0.0.0/8"]
                [[route]]
                to = "sina.com"
                via = "smtp://{sina.endpoints["mx"]}"
                """,
                tmp_path / "sohu",
            ),
            log=quiet,
            transcript=recorder,
        )
        await sohu.start()
        talk = await Talk.to(sohu, "submission")
        assert (await talk.reply()) == "220 sohu.com ESMTP Posthouse"
        assert "queued as" in await talk.send("langrui@sohu.com", ["renping@sina.com"])
        assert (await talk.say("QUIT")).startswith("221")
        await talk.close()
        await sohu.wait_idle()
        await sina.wait_idle()
        (file,) = (tmp_path / "mail/sina.com/renping/new").iterdir()
        octets = file.read_bytes()
        assert octets.startswith(
            b"Return-Path: <langrui@sohu.com>\nX-Original-To: renping@sina.com\nDelivered-To: renping@sina.com\n"
            b"Received: from sohu.com ([127.0.0.1])"
        )
        assert octets.count(b"\nReceived: ") == 2
        assert octets.endswith(MESSAGE.replace(b"\r\n", b"\n"))
        assert len(recorder.dialogues) == 2
        said = [line.text for line in recorder.dialogues[1].lines if line.who == "S"]
        assert any(text.startswith("MAIL FROM:<langrui@sohu.com>") for text in said)
        await sohu.drain(5)
        await sina.drain(5)

    run(scenario)


def test_what_is_caught_can_be_read_while_the_daemon_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = parse(CATCH_ALL.format(tmp_path))
        daemon = Daemon(config, log=quiet)
        await daemon.start()
        talk = await Talk.to(daemon)
        await talk.reply()
        await talk.send("me@example.com", ["A@one.test", "b@two.test"])
        await talk.close()
        await daemon.wait_idle()
        here = context(config)
        entries: list[InboxEntry] = await OPERATIONS["inbox list"].run(here)
        assert sorted(each.inbox for each in entries) == ["a@one.test", "b@two.test"]
        assert {each.subject for each in entries} == {"你好"}
        assert {each.written_by for each in entries} == {"langrui@sohu.com"}
        shown: InboxContent = await OPERATIONS["inbox show"].run(here, number=entries[0].number)
        assert shown.text.startswith("Return-Path: <me@example.com>\r\nReceived: from client.example")
        assert shown.text.endswith(MESSAGE.decode())
        assert shown.raw is None
        summary = await OPERATIONS["inbox summary"].run(here)
        assert [(each.name, each.messages) for each in summary] == [("a@one.test", 1), ("b@two.test", 1)]
        assert await OPERATIONS["queue list"].run(here) == []
        with pytest.raises(SettingError, match="no inbox has a message number 999"):
            await OPERATIONS["inbox show"].run(here, number=999)
        await daemon.drain(5)

    run(scenario)


def test_what_cannot_be_delivered_waits_and_is_still_there_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        text = """
            [[listener]]
            bind = "127.0.0.1:0"
            [relay]
            trusted_networks = ["127.0.0.1/32"]
            [[route]]
            to = "*"
            via = "smtp://127.0.0.1:1"
        """
        config = configuration(text, tmp_path)
        daemon = Daemon(config, log=quiet)
        await daemon.start()
        talk = await Talk.to(daemon)
        await talk.reply()
        queue_id = (await talk.send("me@example.com", ["you@far.test"])).rpartition(" ")[2]
        await talk.close()
        await daemon.wait_idle()
        await daemon.drain(5)
        daemon = Daemon(config, log=quiet)
        await daemon.start()
        (entry,) = await OPERATIONS["queue list"].run(context(config))
        assert (entry.id, entry.recipients, entry.waiting) == (queue_id, ["you@far.test"], 1)
        assert entry.attempts >= 1
        shown = await OPERATIONS["queue show"].run(context(config), id=queue_id)
        assert "127.0.0.1:1" in shown.recipients[0].last
        with pytest.raises(SettingError, match="there is no message"):
            await OPERATIONS["queue show"].run(context(config), id="nonsense")
        await daemon.drain(5)

    run(scenario)


def test_a_quota_and_vrfy_over_the_wire(tmp_path: Path) -> None:
    async def scenario() -> None:
        text = """
            hostname = "mx.example.org"
            [[listener]]
            bind = "127.0.0.1:0"
            vrfy = true
            expn = true
            [[domain]]
            name = "example.org"
            mailboxes = ["bob"]
            quota = 200
            lists.team = { members = ["bob"] }
        """
        daemon = Daemon(configuration(text, tmp_path), log=quiet)
        await daemon.start()
        talk = await Talk.to(daemon)
        await talk.reply()
        assert (await talk.send("me@example.com", ["bob@example.org"])).startswith("250 2.0.0")
        await daemon.wait_idle()
        await talk.say("MAIL FROM:<>")
        assert (await talk.say("RCPT TO:<bob@example.org>")).startswith("552 5.2.2")
        assert await talk.say("VRFY bob") == "250 2.1.5 <bob@example.org>"
        assert await talk.say("EXPN team") == "250 2.1.5 <bob@example.org>"
        assert (await talk.say("HELP")).startswith("211")
        await talk.close()
        await daemon.drain(5)

    run(scenario)


def test_lmtp_on_a_unix_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        text = f"""
            hostname = "mx.example.org"
            [[listener]]
            bind = "unix:{tmp_path}/lmtp"
            kind = "lmtp"
            [[domain]]
            name = "example.org"
            mailboxes = ["bob", "ann"]
        """
        config = configuration(text, tmp_path)
        daemon = Daemon(config, log=quiet)
        await daemon.start()
        talk = Talk(*await asyncio.open_unix_connection(daemon.endpoints["lmtp"].host))
        await talk.reply()
        assert "250-mx.example.org" in await talk.say("LHLO client.example")
        assert (await talk.say("MAIL FROM:<me@example.com>")).startswith("250")
        assert (await talk.say("RCPT TO:<bob@example.org>")).startswith("250")
        assert (await talk.say("RCPT TO:<x@example.net>")).startswith("550 5.7.1")
        assert (await talk.say("RCPT TO:<ann@example.org>")).startswith("250")
        await talk.say("DATA")
        assert (await talk.say("Subject: hi\r\n\r\nhi\r\n.")).startswith("250 2.0.0")
        assert (await talk.reply()).startswith("250 2.0.0")
        await talk.close()
        await daemon.wait_idle()
        entries = await OPERATIONS["inbox list"].run(context(config))
        shown = await OPERATIONS["inbox show"].run(context(config), number=entries[0].number)
        assert "Received: from client.example\r\n\tby mx.example.org with LMTP id" in shown.text
        await daemon.drain(5)

    run(scenario)


def test_draining_says_421_and_lets_a_transaction_finish(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = parse(CATCH_ALL.format(tmp_path))
        daemon = Daemon(config, log=quiet)
        await daemon.start()
        idle = await Talk.to(daemon)
        await idle.reply()
        busy = await Talk.to(daemon)
        await busy.reply()
        await busy.say("EHLO x.test")
        await busy.say("MAIL FROM:<>")
        await busy.say("RCPT TO:<a@b.test>")
        draining = asyncio.ensure_future(daemon.drain(10))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert (await busy.say("DATA")).startswith("354")
        assert (await busy.say("hi\r\n.")).startswith("250 2.0.0")
        assert (await busy.reply()).startswith("421 4.3.2")
        await idle.close()
        await busy.close()
        await draining
        await daemon.drain(10)

    run(scenario)


def test_a_place_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        text = '[[listener]]\nbind = "127.0.0.1:{}"'
        first = Daemon(configuration(text.format(0), tmp_path / "a"), log=quiet)
        await first.start()
        taken = first.endpoints["mx"].port
        second = Daemon(configuration(text.format(taken), tmp_path / "b"), log=quiet)
        with pytest.raises(SettingError, match=str(taken)):
            await second.start()
        third = Daemon(configuration(text.format(0), tmp_path / "b"), log=quiet)
        await third.start()
        await third.drain(5)
        await first.drain(5)

    run(scenario)


DAEMON = """
import asyncio, sys
from posthouse.service import parse, serve
config = parse(sys.argv[1])
asyncio.run(serve(config, ready=lambda daemon: print(daemon.endpoints["mx"].port, flush=True)))
"""


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector, which a daemon sets for its whole process, as it was before."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
def test_what_nobody_caught_is_a_line_of_the_log(tmp_path: Path) -> None:
    """The spool says in this way that the disk does not sync its log."""
    said: list[tuple[str, dict[str, object]]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def ready(daemon: Daemon) -> None:
            loop.call_exception_handler({"message": "the disk sulks", "exception": OSError("no")})
            os.kill(os.getpid(), signal.SIGTERM)

        config = configuration('[[listener]]\nbind = "127.0.0.1:0"', tmp_path)
        await serve(config, ready=ready, log=lambda event, /, **fields: said.append((event, fields)))
        assert loop.get_exception_handler() is None

    run(scenario)
    ((_, fields),) = [each for each in said if each[0] == "fault"]
    assert fields["reason"] == "the disk sulks"
    assert isinstance(fields["error"], OSError)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    text = f'data_dir = "{tmp_path}"\n[[listener]]\nbind = "127.0.0.1:0"'
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert int(daemon.stdout.readline())
        os.kill(daemon.pid, number)
        _, errors = daemon.communicate(timeout=30)
        assert daemon.returncode == 0
        assert " listening " in errors
        assert errors.rstrip().endswith(" ended")


def test_a_second_signal_ends_the_daemon_at_once(tmp_path: Path) -> None:
    text = f'data_dir = "{tmp_path}"\n[[listener]]\nbind = "127.0.0.1:0"'
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        port = int(daemon.stdout.readline())

        async def keep_a_transaction_open() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            talk = Talk(reader, writer)
            await talk.reply()
            await talk.say("EHLO x.test")
            await talk.say("MAIL FROM:<>")
            os.kill(daemon.pid, signal.SIGTERM)
            while " draining " not in await asyncio.to_thread(daemon.stderr.readline):
                pass
            os.kill(daemon.pid, signal.SIGTERM)
            await asyncio.to_thread(daemon.wait, 30)
            writer.close()

        asyncio.run(keep_a_transaction_open())
        assert daemon.returncode == 128 + signal.SIGTERM
