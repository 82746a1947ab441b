"""Each dialogue of this directory, held with whoever its file names:

    receiver   the sans-IO ``Receiver``, whole and octet by octet.  The file plays the policy: what the law refuses must
               come from the engine, everything else is answered as the file says, and the engine has to agree that
               such a reply may be given
    house      a whole ``Daemon`` with the file's configuration, over a loopback socket
    client     our client, with a peer that knows nothing but the file: it must say the C: lines, octet by octet

What every reply must have is asked here as well: an enhanced code that the catalogue knows, of the reply's own class,
on all but greetings, 3yz and the replies to HELO, EHLO and LHLO (RFC 2034 §4).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from posthouse.client import SessionRefused, Timeouts, connect
from posthouse.codes.lookup import explain_enhanced
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
#: Codes that the law alone may give: who stands behind the engine has nothing to say about them.
LAWS_OWN: Final = frozenset({500, 501, 503, 555})
HOUSE: Final = """
hostname = "mx.example.org"
data_dir = "{data_dir}"
[[listener]]
bind = "127.0.0.1:0"
name = "door"
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


def those(who: str) -> Callable[[Any], Any]:
    """Parametrise with the dialogues that ``who`` runs."""
    some = [each for each in DIALOGUES if who in each.runs]
    return pytest.mark.parametrize("dialogue", some, ids=[each.name for each in some])


def configuration(dialogue: Dialogue, data_dir: Path) -> Config:
    """What the house of a dialogue is configured with."""
    return parse(HOUSE.format(data_dir=data_dir, **{key: "\n".join(each) for key, each in dialogue.settings.items()}))


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(bounded())


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=[each.name for each in DIALOGUES])
def test_a_dialogue_can_be_read(dialogue: Dialogue) -> None:
    assert dialogue.about.endswith("."), "a file opens with what it shows"
    assert dialogue.replies
    assert set(dialogue.runs) <= {"receiver", "house", "client"}
    assert ("client" in dialogue.runs) is bool(dialogue.outcomes)


def judge(wire: list[str], *, bare: bool) -> None:
    """What holds for each reply of ours, whatever it says; ``bare`` for greetings and replies to EHLO and its kin."""
    code = wire[0][:3]
    for line in wire:
        assert line[:3] == code
        assert len(line) <= 510  # RFC 5321 §4.5.3.1.5
        found = re.match(r"[2-5][0-9]{2}[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)", line)
        if found is None:
            assert bare or code[0] == "3", f"{line}: a reply without enhanced code"
        else:
            assert found[1][0] == code[0]
            assert explain_enhanced(found[1]) is not None, f"{line}: nobody can explain this enhanced code"


# The engine alone -----------------------------------------------------------------------------------------------------


def offer_of(dialogue: Dialogue) -> Offer:
    """What the dialogue's own EHLO reply announces, or all there is."""
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
    """A receiver whose policy is the file."""

    def __init__(self, dialogue: Dialogue, config: Config) -> None:
        listener = config.listener[0]
        size = listener.max_message_size
        self.receiver = Receiver(
            offer_of(dialogue), lmtp=listener.kind == "lmtp", limits=Limits(message=size, chunk=size)
        )
        self.expected = deque(dialogue.replies)
        self.said: deque[list[str]] = deque()
        self.content = b""
        self.letters: list[bytes] = []
        self.answer(None)

    def feed(self, data: bytes) -> None:
        self.receiver.receive_data(data)
        while (event := self.receiver.next_event()) not in (Pause.NEED_DATA, Pause.CLOSED):
            assert event is not Pause.PAUSED, "a reply is owed and nobody gave it"
            if isinstance(event, ContentChunk):
                self.content += event.data
                continue
            if isinstance(event, Bdat):
                continue
            owed = 1
            if isinstance(event, EndOfContent):
                owed = event.owed
                self.letters.append(self.content)
            if isinstance(event, Refused | EndOfContent):
                self.content = b""
            for _ in range(event.owed if isinstance(event, Refused) else owed):
                self.answer(event)

    def answer(self, event: object) -> None:
        """The file's reply, or the engine's own; and what the wire then carries."""
        hear = self.expected.popleft() if self.expected else None
        if isinstance(event, Refused):
            reply = event.reply
        elif hear is None:
            assert isinstance(event, Quit), f"the file has no reply to {event}"
            reply = Reply(221, "2.0.0", "Bye")
        else:
            reply = hear.reply
            assert reply.code not in LAWS_OWN, f"the engine should have refused {event} with {reply.code}"
        wire = self.receiver.send(reply, utf8=not reply.text.isascii()).decode()
        assert wire.endswith("\r\n")
        lines = wire[:-2].split("\r\n")
        judge(lines, bare=event is None or isinstance(event, Greet))
        self.said.append(lines)


@those("receiver")
@pytest.mark.parametrize("piece", [1 << 20, 1], ids=["whole", "octets"])
def test_the_engine(dialogue: Dialogue, piece: int, tmp_path: Path) -> None:
    played = Played(dialogue, configuration(dialogue, tmp_path))
    for step in dialogue.steps:
        if isinstance(step, Say):
            for start in range(0, len(step.data), piece):
                played.feed(step.data[start : start + piece])
        elif isinstance(step, Hear):
            assert played.said, f"nothing was said in place of {step.lines}"
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
    typed = dialogue.letters()
    assert [each for each in played.letters if each in typed] == typed


# A whole house --------------------------------------------------------------------------------------------------------


class Trouble:
    """A receipt whose message cannot be stored."""

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


class Troubled(SqliteSpool):
    """A spool on a disk that has no room, or that fails."""

    how: str

    @classmethod
    def on(cls, how: str) -> Troubled:
        spool = cls.ephemeral()
        spool.how = how
        return spool

    def receive(self) -> Any:
        if self.how == "full":
            return Trouble(StorageFull("/dev/sda1 has no room: secret detail"))
        assert self.how == "failing"
        return Trouble(StorageError("/dev/sda1 does not answer: secret detail"))


class Talk:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, endpoint: Endpoint) -> Talk:
        return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))

    async def reply(self) -> list[str]:
        """One reply's lines."""
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
    """A log that keeps the ids of accepted messages, and any fault."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.faults: list[object] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        if event == "accepted":
            self.accepted.append(fields["id"])
        if event == "fault":
            self.faults.append(fields)


async def hold(dialogue: Dialogue, house: Daemon) -> list[str]:
    """Hold the dialogue with a house that has started; the queue ids that were promised."""
    talk = await Talk.to(house.endpoints["door"])
    draining: list[asyncio.Future[None]] = []
    try:
        ids = await converse(dialogue, talk, lambda: draining.append(asyncio.ensure_future(house.drain(10))))
    finally:
        await talk.close()
    await asyncio.gather(*draining)
    return ids


async def converse(dialogue: Dialogue, talk: Talk, drain: Callable[[], object]) -> list[str]:
    """The steps one by one; the queue ids that were promised."""
    ids = []
    greeting = True
    said = b""
    for step in dialogue.steps:
        if isinstance(step, Say):
            said = step.data
            talk.writer.write(said)
        elif isinstance(step, Hear):
            lines = await talk.reply()
            assert step.fits(lines), (step.lines, lines)
            assert "secret" not in " ".join(lines)
            judge(lines, bare=greeting or re.match(rb"(?i)(?:EHLO|HELO|HELLO|LHLO) ", said) is not None)
            greeting = False
            ids += re.findall(r"^250 2\.0\.0 Message queued as (\S+)$", lines[-1])
        elif isinstance(step, Act):
            assert step.what == "drain"
            drain()
        else:
            assert await talk.reader.read() == b""
    if not dialogue.closes:
        talk.writer.write(b"QUIT\r\n")
        assert await talk.reply() == ["221 2.0.0 mx.example.org closing connection"]
        assert await talk.reader.read() == b""
    return ids


@those("house")
def test_the_house(dialogue: Dialogue, tmp_path: Path) -> None:
    async def story() -> None:
        journal = Journal()
        house = Daemon(
            configuration(dialogue, tmp_path),
            log=journal,
            resolver=StaticResolver({}),
            queue=Troubled.on(dialogue.queue) if dialogue.queue else None,
        )
        await house.start()
        others = [await Talk.to(house.endpoints["door"]) for _ in range(dialogue.others)]
        for each in others:
            assert (await each.reply())[0].startswith("220")
        ids = await hold(dialogue, house)
        for each in others:
            await each.close()
        await house.drain(5)
        assert set(ids) <= set(journal.accepted), "a message was promised and not stored"
        assert bool(ids) is bool(journal.accepted), "a message was stored and not promised"
        assert not journal.faults

    run(story)


# Our client -----------------------------------------------------------------------------------------------------------


def given(dialogue: Dialogue) -> tuple[str, bool, Envelope, bytes]:
    """What our client must be asked to do so that it says the C: lines: its name, LMTP, the envelope, the content."""
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
            (content,) = dialogue.letters()
            words = words.partition(b"\r\n.\r\n")[2]
    if mail is None:
        return name or "sohu.com", lmtp, Envelope(None), content
    envelope = Envelope(mail.sender, tuple(recipients), mail.body, mail.smtputf8, ret=mail.ret, envid=mail.envid)
    return name, lmtp, envelope, content


async def play(dialogue: Dialogue, talk: Talk) -> None:
    """The peer: expects exactly the C: lines, says exactly the S: lines."""
    for step in dialogue.steps:
        if isinstance(step, Say):
            got = await talk.reader.readexactly(len(step.data))
            assert got == step.data
        elif isinstance(step, Hear):
            talk.writer.write("".join(f"{line}\r\n" for line in step.lines).encode())
    talk.writer.write_eof()
    assert await talk.reader.read() == b"", "our client says more than the file has"


@those("client")
def test_our_client(dialogue: Dialogue) -> None:
    name, lmtp, envelope, content = given(dialogue)

    async def send(port: int) -> tuple[str, ...]:
        try:
            session = await connect(
                [Endpoint("127.0.0.1", port)],
                network=SocketNetwork(),
                clock=SystemClock(),
                hostname=name,
                lmtp=lmtp,
                timeouts=Timeouts(10, 10, 10, 10, 10, 10, 10),
            )
        except SessionRefused:
            return ("refused",)
        outcomes = await session.deliver(envelope, Bytes(content))
        await session.quit()
        return tuple(str(each.result) for each in outcomes)

    async def story() -> None:
        peers: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            peers.append(task)
            try:
                await play(dialogue, Talk(reader, writer))
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        assert await send(server.sockets[0].getsockname()[1]) == dialogue.outcomes
        await asyncio.gather(*peers)
        server.close()
        await server.wait_closed()

    run(story)


# The files themselves -------------------------------------------------------------------------------------------------


def test_a_file_with_a_wrong_reply_fails(tmp_path: Path) -> None:
    """The runner can tell: each change of one reply of the tutorial is noticed by the house and by the engine."""
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

        async def story(dialogue: Dialogue = dialogue) -> None:
            house = Daemon(configuration(dialogue, tmp_path), log=Journal(), resolver=StaticResolver({}))
            await house.start()
            try:
                await hold(dialogue, house)
            finally:
                await house.drain(0)

        with pytest.raises(AssertionError):
            run(story)
