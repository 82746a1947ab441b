"""Each dialogue of this directory, run with what its file names:

    receiver   the sans-IO ``Receiver``, in one piece and octet by octet.  The file is the policy: the engine must
               refuse what the state table forbids, the file answers everything else, and the engine must accept
               that reply
    daemon     a ``Daemon`` with the file's configuration, over a loopback socket
    client     our client, with a peer that follows the file: the client must send the C: lines, octet by octet

Every reply is also checked for its enhanced code: it is in the catalogue and of the reply's class, on all replies but
greetings, 3yz and the replies to HELO, EHLO and LHLO (RFC 2034 §4).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from posthouse.client import SessionRefused, Timeouts, connect, open_blocking
from posthouse.codes.code_lookup import explain_enhanced
from posthouse.core import Bytes, Envelope, Recipient, Reply, StorageError, StorageFull
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol import (
    Bdat,
    ContentChunk,
    EndOfContent,
    Greet,
    Limits,
    Mail,
    Offer,
    Pause,
    Quit,
    Rcpt,
    Receiver,
    Refused,
    parse_command,
)
from posthouse.service import Daemon
from posthouse.service.config.model import Config
from posthouse.service.config_file import parse
from posthouse.spool import SqliteSpool
from posthouse.testing import StaticResolver

from .script import Act, Closed, Dialogue, Hear, Say, read

HERE = Path(__file__).resolve().parent
DIALOGUES: Final = [read(path) for path in sorted(HERE.glob("*.txt"))]
#: Codes that only the engine may give, never a policy.
ENGINE_ONLY: Final = frozenset({500, 501, 503, 555})
CONFIG: Final = """
hostname = "mx.example.org"
data_dir = "{data_dir}"
[[listener]]
bind = "127.0.0.1:0"
name = "mx"
{listener}
[relay]
{relay}
[spool]
{spool}
[[domain]]
name = "sina.com"
mailboxes = ["renping", "liming", "zhangwei", "zhaolei", '"li ming"', "任平"]
moved = {{ wanghong = "wanghong@sohu.com", jiu = "新@sohu.com" }}
paused = ["zhaolei"]
lists.bianji = {{ members = ["renping", "liming"] }}
lists.dushu = {{ members = ["renping", "任平"] }}
{domain}
[[domain]]
name = "told.example"
mailboxes = ["renping"]
moved = {{ wanghong = "wanghong@sohu.com", jiu = "新@sohu.com" }}
moved_action = "tell"
[[domain]]
name = "full.example"
mailboxes = ["renping"]
quota = 1000
[[domain]]
name = "later.example"
mailboxes = ["renping"]
quota = 1000
quota_action = "defer"
"""


def run_by(what: str) -> Callable[[Any], Any]:
    """Parametrise with the dialogues that ``what`` runs."""
    some = [each for each in DIALOGUES if what in each.runs]
    return pytest.mark.parametrize("dialogue", some, ids=[each.name for each in some])


def configuration(dialogue: Dialogue, data_dir: Path) -> Config:
    """The configuration of a dialogue's daemon."""
    return parse(CONFIG.format(data_dir=data_dir, **{key: "\n".join(each) for key, each in dialogue.settings.items()}))


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=[each.name for each in DIALOGUES])
def test_a_dialogue_can_be_read(dialogue: Dialogue) -> None:
    assert dialogue.about.endswith("."), "a file opens with what it shows"
    assert dialogue.replies
    assert set(dialogue.runs) <= {"receiver", "daemon", "client"}
    assert ("client" in dialogue.runs) is bool(dialogue.outcomes)


def check_reply(wire: list[str], *, bare: bool) -> None:
    """Check what holds for each reply; ``bare``: a greeting, or a reply to EHLO, HELO or LHLO."""
    code = wire[0][:3]
    for line in wire:
        assert line[:3] == code
        assert len(line) <= 510  # RFC 5321 §4.5.3.1.5
        found = re.match(r"[2-5][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)", line)
        if found is None:
            assert bare or code[0] == "3", f"{line}: a reply without enhanced code"
        else:
            assert found[1][0] == code[0]
            assert explain_enhanced(found[1]) is not None, f"{line}: the catalogue does not have this enhanced code"


# The engine alone -----------------------------------------------------------------------------------------------------


def offer_of(dialogue: Dialogue) -> Offer:
    """The extensions that the dialogue's own EHLO reply announces, or all."""
    for each in dialogue.replies:
        lines = each.reply.lines
        if each.reply.code == 250 and not each.reply.enhanced and (len(lines) > 1 or lines[0] != "..."):
            said = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines[1:]}
            size = int(said["SIZE"] or 0) if "SIZE" in said else None
            if any(name in said for name in ("PIPELINING", "SIZE", "HELP")) or dialogue.name == "client-plain":
                return Offer(
                    size=size,
                    pipelining="PIPELINING" in said,
                    eightbitmime="8BITMIME" in said,
                    smtputf8="SMTPUTF8" in said,
                    chunking="CHUNKING" in said,
                    binarymime="BINARYMIME" in said,
                    dsn="DSN" in said,
                )
    return Offer()


class Played:
    """A receiver with the file as its policy."""

    def __init__(self, dialogue: Dialogue, config: Config) -> None:
        listener = config.listener[0]
        size = listener.max_message_size
        self.receiver = Receiver(
            offer_of(dialogue), lmtp=listener.kind == "lmtp", limits=Limits(message=size, chunk=size)
        )
        self.expected = deque(dialogue.replies)
        self.said: deque[list[str]] = deque()
        self.content = b""
        self.contents: list[bytes] = []
        self.answer(None)

    def feed(self, data: bytes) -> None:
        self.receiver.receive_data(data)
        while (event := self.receiver.next_event()) not in (Pause.NEED_DATA, Pause.CLOSED):
            assert event is not Pause.PAUSED, "a reply is owed and was not given"
            if isinstance(event, ContentChunk):
                self.content += event.data
                continue
            if isinstance(event, Bdat):
                continue
            owed = 1
            if isinstance(event, EndOfContent):
                owed = event.owed
                self.contents.append(self.content)
            if isinstance(event, Refused | EndOfContent):
                self.content = b""
            for _ in range(event.owed if isinstance(event, Refused) else owed):
                self.answer(event)

    def answer(self, event: object) -> None:
        """Give the file's reply, or the engine's own, and keep the lines that are sent."""
        hear = self.expected.popleft() if self.expected else None
        if isinstance(event, Refused):
            reply = event.reply
        elif hear is None:
            assert isinstance(event, Quit), f"the file has no reply to {event}"
            reply = Reply(221, "2.0.0", "Bye")
        else:
            reply = hear.reply
            assert reply.code not in ENGINE_ONLY, f"the engine should have refused {event} with {reply.code}"
        wire = self.receiver.send(reply, utf8=not reply.text.isascii()).decode()
        assert wire.endswith("\r\n")
        lines = wire[:-2].split("\r\n")
        check_reply(lines, bare=event is None or isinstance(event, Greet))
        self.said.append(lines)


@run_by("receiver")
@pytest.mark.parametrize("piece", [1 << 20, 1], ids=["whole", "octets"])
def test_the_engine(dialogue: Dialogue, piece: int, tmp_path: Path) -> None:
    played = Played(dialogue, configuration(dialogue, tmp_path))
    for step in dialogue.steps:
        if isinstance(step, Say):
            for start in range(0, len(step.data), piece):
                played.feed(step.data[start : start + piece])
        elif isinstance(step, Hear):
            assert played.said, f"no reply in place of {step.lines}"
            assert step.fits(played.said[0]), (step.lines, played.said[0])
            played.said.popleft()
        else:
            assert isinstance(step, Closed)
            assert played.receiver.next_event() is Pause.CLOSED
    assert not played.said
    if not dialogue.closes:
        played.feed(b"QUIT\r\n")
        assert played.said.pop()[0].startswith("221")
        assert played.receiver.next_event() is Pause.CLOSED
    typed = dialogue.contents()
    assert [each for each in played.contents if each in typed] == typed


# A daemon -------------------------------------------------------------------------------------------------------------


class FailingIncoming:
    """An incoming message that cannot be stored."""

    id = "NOWHERE"
    size = 0

    def __init__(self, error: StorageError) -> None:
        self._error = error

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error

    def abort(self) -> None:
        pass


class FailingSpool(SqliteSpool):
    """A spool on a disk that has no room, or that fails."""

    how: str

    @classmethod
    def on(cls, how: str) -> FailingSpool:
        spool = cls.ephemeral()
        spool.how = how
        return spool

    def receive(self, announced: int = 0) -> Any:
        if self.how == "full":
            return FailingIncoming(StorageFull("/dev/sda1 has no room: secret detail"))
        assert self.how == "failing"
        return FailingIncoming(StorageError("/dev/sda1 does not answer: secret detail"))


class RawClient:
    """A client that writes octets and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, endpoint: Endpoint) -> RawClient:
        return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))

    async def reply(self) -> list[str]:
        """Read one reply; its lines."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            line = await self.reader.readline()
            assert line.endswith(b"\r\n"), (lines, line)
            lines.append(line[:-2].decode())
        return lines

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class Journal:
    """A log that keeps the ids of accepted messages, and the faults."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.faults: list[object] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        if event == "accepted":
            self.accepted.append(fields["id"])
        if event == "fault":
            self.faults.append(fields)


async def hold(dialogue: Dialogue, daemon: Daemon) -> list[str]:
    """Run the dialogue with a daemon; the queue ids that were promised."""
    client = await RawClient.to(daemon.endpoints["mx"])
    draining: list[asyncio.Future[None]] = []
    try:
        ids = await converse(dialogue, client, lambda: draining.append(asyncio.ensure_future(daemon.drain(10))))
    finally:
        await client.close()
    await asyncio.gather(*draining)
    return ids


async def converse(dialogue: Dialogue, client: RawClient, drain: Callable[[], object]) -> list[str]:
    """Run the steps one by one; the queue ids that were promised."""
    ids = []
    greeting = True
    said = b""
    for step in dialogue.steps:
        if isinstance(step, Say):
            said = step.data
            client.writer.write(said)
        elif isinstance(step, Hear):
            lines = await client.reply()
            assert step.fits(lines), (step.lines, lines)
            assert "secret" not in " ".join(lines)
            check_reply(lines, bare=greeting or re.match(rb"(?i)(?:EHLO|HELO|HELLO|LHLO) ", said) is not None)
            greeting = False
            ids += re.findall(r"^250 2\.0\.0 Ok: queued as (\S+)$", lines[-1])
        elif isinstance(step, Act):
            assert step.what == "drain"
            drain()
        else:
            assert await client.reader.read() == b""
    if not dialogue.closes:
        client.writer.write(b"QUIT\r\n")
        assert await client.reply() == ["221 2.0.0 mx.example.org closing connection"]
        assert await client.reader.read() == b""
    return ids


@run_by("daemon")
def test_the_daemon(dialogue: Dialogue, tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal()
        daemon = Daemon(
            configuration(dialogue, tmp_path),
            log=journal,
            resolver=StaticResolver({}),
            spool=FailingSpool.on(dialogue.storage) if dialogue.storage else None,
        )
        await daemon.start()
        others = [await RawClient.to(daemon.endpoints["mx"]) for _ in range(dialogue.others)]
        for each in others:
            assert (await each.reply())[0].startswith("220")
        ids = await hold(dialogue, daemon)
        for each in others:
            await each.close()
        await daemon.drain(5)
        assert set(ids) <= set(journal.accepted), "a message was promised and not stored"
        assert bool(ids) is bool(journal.accepted), "a message was stored and not promised"
        assert not journal.faults

    run(scenario)


# Our client -----------------------------------------------------------------------------------------------------------


def given(dialogue: Dialogue) -> tuple[str, bool, Envelope, bytes]:
    """The arguments with which our client sends the C: lines: its name, LMTP, the envelope, the content."""
    words = b"".join(step.data for step in dialogue.steps if isinstance(step, Say))
    accepts = Offer().accepts()
    name, lmtp, mail, recipients, content = "", False, None, [], b""
    while words:
        line, _, words = words.partition(b"\r\n")
        command = parse_command(line, accepts)
        if isinstance(command, Greet):
            name, lmtp = command.domain, command.verb == "LHLO"
        elif isinstance(command, Mail):
            mail = command
        elif isinstance(command, Rcpt):
            recipients.append(Recipient(command.address, command.notify, command.orcpt))
        elif isinstance(command, Bdat):
            content, words = words[: command.size], words[command.size :]
        elif line == b"DATA":
            (content,) = dialogue.contents()
            words = words.partition(b"\r\n.\r\n")[2]
    if mail is None:
        return name or "sohu.com", lmtp, Envelope(None), content
    envelope = Envelope(mail.sender, tuple(recipients), mail.body, mail.smtputf8, ret=mail.ret, envid=mail.envid)
    return name, lmtp, envelope, content


async def play(dialogue: Dialogue, client: RawClient) -> None:
    """The peer: expects exactly the C: lines, and sends exactly the S: lines."""
    for step in dialogue.steps:
        if isinstance(step, Say):
            got = await client.reader.readexactly(len(step.data))
            assert got == step.data
        elif isinstance(step, Hear):
            client.writer.write("".join(f"{line}\r\n" for line in step.lines).encode())
    client.writer.write_eof()
    assert await client.reader.read() == b"", "our client sends more than the file has"


@run_by("client")
@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
def test_our_client(dialogue: Dialogue, blocking: bool) -> None:
    name, lmtp, envelope, content = given(dialogue)
    timeouts = Timeouts(10, 10, 10, 10, 10, 10, 10)

    async def send(port: int) -> tuple[str, ...]:
        try:
            session = await connect(
                [Endpoint("127.0.0.1", port)],
                network=SocketNetwork(),
                clock=SystemClock(),
                hostname=name,
                lmtp=lmtp,
                timeouts=timeouts,
            )
        except SessionRefused:
            return ("refused",)
        outcomes = await session.deliver(envelope, Bytes(content))
        await session.quit()
        return tuple(str(each.result) for each in outcomes)

    def send_blocking(port: int) -> tuple[str, ...]:
        try:
            session = open_blocking([Endpoint("127.0.0.1", port)], hostname=name, lmtp=lmtp, timeouts=timeouts)
        except SessionRefused:
            return ("refused",)
        with session:
            outcomes = session.deliver(envelope, Bytes(content))
        return tuple(str(each.result) for each in outcomes)

    async def scenario() -> None:
        peers: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            peers.append(task)
            try:
                await play(dialogue, RawClient(reader, writer))
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await (asyncio.to_thread(send_blocking, port) if blocking else send(port)) == dialogue.outcomes
        await asyncio.gather(*peers)
        server.close()
        await server.wait_closed()

    run(scenario)


# The files themselves -------------------------------------------------------------------------------------------------


def test_a_file_with_a_wrong_reply_fails(tmp_path: Path) -> None:
    """Each change of one reply of the tutorial is noticed, with the daemon and with the engine."""
    text = (HERE / "tutorial.txt").read_text(encoding="utf-8")
    for right, wrong in (
        ("S: 250 mx.example.org", "S: 250 mx.example.com"),
        ("S: 354 ...", "S: 503 5.5.1 ..."),
        ("S: 250 2.1.5 ", "S: 250 2.1.0 "),
        ("C: DATA\nS: 354 ...", "C: DATA"),
        ("S: (closed)", "S: 221 2.0.0 ..."),
    ):
        file = tmp_path / "wrong.txt"
        file.write_text(text.replace(right, wrong, 1), encoding="utf-8")
        dialogue = read(file)

        async def scenario(dialogue: Dialogue = dialogue) -> None:
            daemon = Daemon(configuration(dialogue, tmp_path), log=Journal(), resolver=StaticResolver({}))
            await daemon.start()
            try:
                await hold(dialogue, daemon)
            finally:
                await daemon.drain(0)

        with pytest.raises(AssertionError):
            run(scenario)
