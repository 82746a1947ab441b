"""Two post houses in one process, and a letter between them: the main job, small enough to watch.

Everything is real but the distance: real sockets on loopback, a spool on disk for each house, the relay's own search
for a next hop.  Two things stand in for the world outside.  The DNS is a dictionary that knows the mail exchangers of
``sohu.com`` and ``sina.com``; and since port 25 is not ours to take, the network leads port 25 of the address which
that dictionary gives for a house to the port where the house really listens.  So each house finds the other as it
would anywhere, and nothing can leave the machine.

Temporary directories are removed when the houses close, and by the interpreter's end if that comes first.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple

from posthouse.core import MX, Answer, Bytes, EventSink, Kind, Outcome, Question, Status
from posthouse.message import Composed, compose
from posthouse.net import (
    Clock,
    Endpoint,
    Handler,
    HandlerFactory,
    Listener,
    Network,
    SocketNetwork,
    Stream,
    SystemClock,
)
from posthouse.protocol import Transcript
from posthouse.sending import ServerAddress, submit
from posthouse.service.config import model
from posthouse.service.config.mail_types import DeliverySetting
from posthouse.service.config.types import NETWORKS
from posthouse.service.daemon.daemon import Daemon
from posthouse.service.daemon.transcripts import Dialogue, TranscriptRecorder
from posthouse.spool import InboxMessage

__all__ = ["Demo", "DemoArrival", "DemoMessage", "HOUSES", "LETTERS"]

#: The houses: domain → its mail exchanger, the address that exchanger has in the demonstration's DNS, who lives there.
HOUSES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {"sohu.com": ("mx.sohu.com", "127.0.25.1", "langrui"), "sina.com": ("mx.sina.com", "127.0.25.2", "renping")}
)


class DemoMessage(NamedTuple):
    """What is written."""

    subject: str
    text: str


#: The demonstration's letter; both languages stand in it, whoever reads.
LETTERS: Final = DemoMessage(
    "A letter from the first post house / 第一封信",
    """\
任平：

    你好！这封信从 sohu.com 的驿站出发，换了一次马，到了 sina.com 的驿站，
    放进了你的邮箱。两个驿站之间说的每一句话，上面都能看到。

Dear Renping,

    this letter set out from the post house of sohu.com, changed horses once,
    and was put into your mailbox by the post house of sina.com.

朗瑞 / Langrui
""",
)


class DemoArrival(NamedTuple):
    """The delivered letter: the mailbox, its entry there, and its octets."""

    mailbox: str
    entry: InboxMessage
    content: bytes


class Demo:
    """The two houses.  ``async with Demo() as demo``; closed, nothing of them is left.

    ``heard`` is told of each line of each dialogue as it is said.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        network: Network | None = None,
        heard: Callable[[Dialogue, str, str], object] | None = None,
        log: EventSink | Callable[..., object] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.recorder = TranscriptRecorder(self.clock, sessions=100, lines=1_000)
        self.houses: dict[str, Daemon] = {}
        self.directories: dict[str, str] = {}
        self._heard = heard
        self._log = log or _silent
        self._network = _Roads(network or SocketNetwork())
        self._stack = AsyncExitStack()
        self._arrived = asyncio.Event()
        self._root: str | None = None

    async def __aenter__(self) -> Demo:
        try:
            root = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-demo-"))
            self._root = root
            for domain in HOUSES:
                await self._open(domain, os.path.join(root, domain))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self, domain: str, directory: str) -> None:
        exchange, address, resident = HOUSES[domain]
        anywhere = Endpoint("127.0.0.1", 0)
        config = model.Config(
            hostname=exchange,
            data_dir=directory,
            listener=(
                model.ListenerSettings(bind=anywhere, kind="mx", name="mx"),
                model.ListenerSettings(bind=anywhere, kind="submission", name="submission"),
            ),
            relay=model.RelaySettings(trusted_networks=NETWORKS.read(["127.0.0.0/8"])),
            domain=(model.DomainSettings(name=domain, deliver=DeliverySetting("mailbox"), mailboxes=(resident,)),),
        )
        house = Daemon(
            config,
            clock=self.clock,
            network=self._network,
            resolver=_Dns(),
            log=self._listening(domain),
            transcript=lambda listener: self._transcript(domain, listener),
        )
        self._stack.push_async_callback(house.drain, 2.0)
        await house.start()
        self.houses[domain] = house
        self.directories[domain] = directory
        self._network.roads[Endpoint(address, 25)] = house.endpoints["mx"]

    def _listening(self, domain: str) -> Callable[..., object]:
        def record(event: str, /, **fields: Any) -> None:
            if event == "delivered" and domain == "sina.com":
                self._arrived.set()
            self._log(event, house=domain, **fields)

        return record

    def _transcript(self, domain: str, listener: str) -> Transcript:
        other = next(name for name in HOUSES if name != domain)
        note = self.recorder(f"{other} → {domain}" if listener == "mx" else f"a mail program → {domain}")
        dialogue = self.recorder.dialogues[-1]
        heard = self._heard

        def both(who: str, text: str) -> None:
            note(who, text)
            if heard is not None:
                heard(dialogue, who, text)

        return both

    @property
    def dialogues(self) -> list[Dialogue]:
        """What has been said so far, session by session."""
        return self.recorder.dialogues

    def submission(self, domain: str) -> Endpoint:
        """Where the house takes letters from its own people."""
        return self.houses[domain].endpoints["submission"]

    def compose(self) -> Composed:
        """The letter from langrui@sohu.com to renping@sina.com."""
        seconds = self.clock.time()
        return compose(
            from_="朗瑞 Langrui <langrui@sohu.com>",
            to="任平 Renping <renping@sina.com>",
            subject=LETTERS.subject,
            text=LETTERS.text,
            date=datetime.fromtimestamp(seconds).astimezone(),
            message_id=f"{int(seconds * 1000)}.{os.getpid()}@mx.sohu.com",
        )

    async def send(self, letter: Composed) -> tuple[Outcome, ...]:
        """Submit it to the first house, as a mail program does: with DATA."""
        host, port = self.submission("sohu.com")
        return await submit(
            ServerAddress("smtp", host, port),
            letter.envelope,
            Bytes(letter.content),
            network=self._network,
            clock=self.clock,
            hostname="langrui.sohu.com",
            chunking=False,
        )

    async def arrival(self) -> DemoArrival:
        """Wait until a letter is in renping's mailbox; the last one.  Bound it from outside."""
        mailbox = "renping@sina.com"
        queue = self.houses["sina.com"].queue
        while True:
            self._arrived.clear()
            entries = await queue.inbox(mailbox)
            kept = await queue.kept(entries[-1].number) if entries else None
            if kept is not None:
                return DemoArrival(mailbox, kept[0], b"".join(kept[1].chunks()))
            await self._arrived.wait()

    async def close(self) -> None:
        """Close the houses in the order in which letters travel, so that every dialogue ends in order (QUIT, 221)."""
        for house in self.houses.values():
            await house.drain(5.0)

    def remove(self) -> None:
        """Remove the directories at once, houses open or not: the last act before an exit that waits for nothing."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)


def _silent(event: str, /, **fields: Any) -> None:
    """Nobody wants to know."""


class _Dns:
    """A ``Resolver`` that knows the two houses, and that there is nothing else."""

    async def ask(self, question: Question) -> Answer:
        name = question.name.lower()
        for domain, (exchange, address, _) in HOUSES.items():
            if name == domain and question.kind is Kind.MX:
                return Answer(Status.OK, (MX(10, exchange),), 300)
            if name == exchange and question.kind is Kind.A:
                return Answer(Status.OK, (address,), 300)
            if name in (domain, exchange):
                return Answer(Status.NODATA)
        return Answer(Status.NXDOMAIN, reason=f"the demonstration's DNS knows {' and '.join(HOUSES)} only, not {name}")


class _Roads:
    """A ``Network`` in which a house's public address leads to where the house is; no road leads anywhere else."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.roads: dict[Endpoint, Endpoint] = {}

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        return await self._network.connect(self.roads.get(endpoint, endpoint), handler, source=source)

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        return await self._network.listen(endpoint, factory, backlog=backlog)
