"""The demonstration: two daemons in one process, and a message that one of them relays to the other.

Sockets, spools and next-hop look-up are real; two things are replaced.  The DNS is a table with the mail exchangers of
``sohu.com`` and ``sina.com``.  Because port 25 needs privileges, the network connects port 25 of an address in that
table to the port where the daemon really listens.  So each daemon finds the other as it would anywhere, and nothing can
leave the machine.

The temporary directories are removed when the daemons stop, and at the latest when the interpreter ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping
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

__all__ = ["DEMO_DOMAINS", "DEMO_MESSAGE", "Demo", "DemoArrival", "DemoMessage"]

#: Domain → its mail exchanger, the exchanger's address in the DNS of the demonstration, and the one mailbox.
DEMO_DOMAINS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {"sohu.com": ("mx.sohu.com", "127.0.25.1", "langrui"), "sina.com": ("mx.sina.com", "127.0.25.2", "renping")}
)


class DemoMessage(NamedTuple):
    """Subject and text of the message."""

    subject: str
    text: str


#: The message of the demonstration, in both languages.
DEMO_MESSAGE: Final = DemoMessage(
    "A first message / 第一封信",
    """\
任平：

    你好！这封信提交给了 sohu.com 的服务器，由它中转到 sina.com 的服务器，
    再投递到你的邮箱。两台服务器之间的会话，上面每一行都能看到。

Dear Renping,

    this message was submitted to the server of sohu.com, relayed to the
    server of sina.com, and delivered to your mailbox there.

朗瑞 / Langrui
""",
)


class DemoArrival(NamedTuple):
    """The delivered message: the mailbox, its entry there, and its octets."""

    mailbox: str
    entry: InboxMessage
    content: bytes


class Demo:
    """The two daemons.  ``async with Demo() as demo`` starts them; afterwards no file of them is left.

    ``heard`` is called with each line of each dialogue as it is sent.
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
        self.daemons: dict[str, Daemon] = {}
        self.directories: dict[str, str] = {}
        self._heard = heard
        self._log = log or _silent
        self._network = _RedirectingNetwork(network or SocketNetwork())
        self._stack = AsyncExitStack()
        self._arrived = asyncio.Event()
        self._root: str | None = None

    async def __aenter__(self) -> Demo:
        try:
            root = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-demo-"))
            self._root = root
            for domain in DEMO_DOMAINS:
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
        exchange, address, resident = DEMO_DOMAINS[domain]
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
        daemon = Daemon(
            config,
            clock=self.clock,
            network=self._network,
            resolver=_Dns(),
            log=self._listening(domain),
            transcript=lambda listener: self._transcript(domain, listener),
            loopback=True,
        )
        self._stack.push_async_callback(daemon.drain, 2.0)
        await _to_the_end(daemon.start())
        self.daemons[domain] = daemon
        self.directories[domain] = directory
        self._network.redirects[Endpoint(address, 25)] = daemon.endpoints["mx"]

    def _listening(self, domain: str) -> Callable[..., object]:
        def record(event: str, /, **fields: Any) -> None:
            if event == "delivered" and domain == "sina.com":
                self._arrived.set()
            self._log(event, daemon=domain, **fields)

        return record

    def _transcript(self, domain: str, listener: str) -> Transcript:
        other = next(name for name in DEMO_DOMAINS if name != domain)
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
        """Where the daemon accepts mail of its own users."""
        return self.daemons[domain].endpoints["submission"]

    def compose(self) -> Composed:
        """Compose the message from langrui@sohu.com to renping@sina.com."""
        seconds = self.clock.time()
        return compose(
            from_="朗瑞 Langrui <langrui@sohu.com>",
            to="任平 Renping <renping@sina.com>",
            subject=DEMO_MESSAGE.subject,
            text=DEMO_MESSAGE.text,
            date=datetime.fromtimestamp(seconds).astimezone(),
            message_id=f"{int(seconds * 1000)}.{os.getpid()}@mx.sohu.com",
        )

    async def send(self, message: Composed) -> tuple[Outcome, ...]:
        """Submit it to the first daemon by DATA, as a mail program does."""
        host, port = self.submission("sohu.com")
        return await submit(
            ServerAddress("smtp", host, port),
            message.envelope,
            Bytes(message.content),
            network=self._network,
            clock=self.clock,
            hostname="langrui.sohu.com",
            chunking=False,
        )

    async def arrival(self) -> DemoArrival:
        """Wait until a message is in renping's mailbox, and return the last one.  The caller bounds the wait."""
        mailbox = "renping@sina.com"
        spool = self.daemons["sina.com"].spool
        while True:
            self._arrived.clear()
            entries = await spool.queries.inbox(mailbox)
            kept = await spool.queries.kept(entries[-1].number) if entries else None
            if kept is not None:
                return DemoArrival(mailbox, kept[0], b"".join(kept[1].chunks()))
            await self._arrived.wait()

    async def close(self) -> None:
        """Stop the daemons in the direction of the mail, so that every dialogue ends with QUIT and 221."""
        for daemon in self.daemons.values():
            await daemon.drain(5.0)

    def remove(self) -> None:
        """Remove the directories at once, while the daemons may run: for an exit that waits for nothing."""
        for _ in range(10):  # a thread of a spool may make a file meanwhile
            if self._root is not None and os.path.isdir(self._root):
                shutil.rmtree(self._root, ignore_errors=True)


async def _to_the_end(start: Coroutine[Any, Any, None]) -> None:
    """Run ``start`` to its end also if the caller is cancelled, as a thread of it may still be making files."""
    task = asyncio.ensure_future(start)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _silent(event: str, /, **fields: Any) -> None:
    """An event sink that does nothing."""


class _Dns:
    """A ``Resolver`` for the two domains; every other name does not exist."""

    async def ask(self, question: Question) -> Answer:
        name = question.name.lower()
        for domain, (exchange, address, _) in DEMO_DOMAINS.items():
            if name == domain and question.kind is Kind.MX:
                return Answer(Status.OK, (MX(10, exchange),), 300)
            if name == exchange and question.kind is Kind.A:
                return Answer(Status.OK, (address,), 300)
            if name in (domain, exchange):
                return Answer(Status.NODATA)
        return Answer(
            Status.NXDOMAIN, reason=f"the demonstration's DNS knows {' and '.join(DEMO_DOMAINS)} only, not {name}"
        )


class _RedirectingNetwork:
    """A ``Network`` that connects the public address of a daemon to its real one; other addresses are unchanged."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.redirects: dict[Endpoint, Endpoint] = {}

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        return await self._network.connect(self.redirects.get(endpoint, endpoint), handler, source=source)

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        return await self._network.listen(endpoint, factory, backlog=backlog)
