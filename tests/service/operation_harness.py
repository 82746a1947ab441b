"""A daemon that is not started, over an ephemeral spool: what operations need, and messages to ask about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

from posthouse.core import Address, AttemptTrace, ConnectionTrace, Envelope, Outcome, Recipient, Reply, Result
from posthouse.relay.routes import Route
from posthouse.relay.scheduling.outlook import AttemptPosition, SiteOutlook
from posthouse.service import OPERATIONS, Context, Daemon, parse
from posthouse.spool import RecipientState, Settlement, SqliteSpool
from posthouse.spool.history import Origin
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver

T = TypeVar("T")

CONFIG = """
hostname = "mx.here.test"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[domain]]
name = "here.test"
mailboxes = ["ann"]
aliases = { team = ["ann", "bob@far.test"] }
[[route]]
to = "chosen.test"
via = "smtp://192.0.2.99:2600"
"""
_OPEN: list[SqliteSpool] = []  # to be closed at the end of the run
CONTENT = b"Message-ID: <a@here.test>\r\nSubject: x\r\n\r\nhello\r\n"


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


class OperationHarness:
    """A spool, a clock, and the operations on them; ``await`` it to open the spool, within ``run``.

    What the relay is told is kept in ``reopened`` and ``woken``; what it says of sites and attempts is in ``outlooks``
    (by target or site), ``positions`` and ``sites``; other worker processes answer ``reports``.
    """

    def __init__(self, *, text: str = CONFIG, zones: Mapping[str, Any] | None = None) -> None:
        self.clock = ManualClock()
        self.queue = SqliteSpool.ephemeral(time=self.clock.time)
        self.daemon = Daemon(
            parse(text),
            clock=self.clock,
            network=MemoryNetwork(self.clock),
            spool=self.queue,
            resolver=StaticResolver(zones or {}),
            log=lambda event, /, **fields: self.reported.append((event, fields)),
        )
        self.reported: list[tuple[str, dict[str, Any]]] = []
        self.reopened: list[list[str]] = []
        self.woken = 0
        self.outlooks: dict[str, SiteOutlook] = {}
        self.positions: dict[tuple[str, int], AttemptPosition] = {}
        self.sites: list[tuple[SiteOutlook, list[str]]] = []
        self.reports: list[Any] = []

    def __await__(self) -> Generator[Any, None, OperationHarness]:
        yield from self.queue.open(self.clock.time()).__await__()
        _OPEN.append(self.queue)
        return self

    def context(self, who: str = "ann (uid 1000)") -> Context:
        def wake() -> None:
            self.woken += 1

        def outlook(route: Route, destination: str, site: str) -> SiteOutlook:
            name = site or route.target
            return self.outlooks.get(name, SiteOutlook(name))

        return self.daemon.context(who)._replace(
            reopen=lambda destinations: self.reopened.append(sorted(destinations)),
            wake=wake,
            outlook=outlook,
            positions=lambda: self.positions,
            sites=lambda: self.sites,
            peers=self._peers,
        )

    async def _peers(self, operation: object, given: Mapping[str, Any]) -> list[Any]:
        return self.reports

    async def do(self, name: str, **given: Any) -> Any:
        return await OPERATIONS[name].run(self.context(), **given)

    async def store(self, *to: str, sender: str = "me@here.test", arrival: Origin | None = None) -> str:
        """A message in the queue, due now; its id."""
        receipt = self.queue.receive()
        receipt.write(CONTENT)
        envelope = Envelope(address(sender) if sender else None, tuple(Recipient(address(each)) for each in to))
        destinations = [each.rpartition("@")[2] for each in to]
        now = self.clock.time()
        await receipt.commit(
            envelope,
            destinations,
            received=now,
            due=now,
            source="mx 192.0.2.1:40000",
            arrival=arrival or Origin("<a@here.test>"),
        )
        return receipt.id

    async def attempt(
        self, result: Result, reply: Reply, *, again: float = 300.0, trace: AttemptTrace | None = None, only: str = ""
    ) -> None:
        """Everything that is due (and goes to ``only``) is attempted, with one end for all."""
        now = self.clock.time()
        state = {Result.DELIVERED: RecipientState.DELIVERED, Result.FAILED: RecipientState.FAILED}.get(
            result, RecipientState.WAITING
        )
        for work in await self.queue.lease("w", now, now + 60, limit=1000):
            if only and work.destination != only:
                await self.queue.release(work)
                continue
            ends: Sequence[Settlement] = [
                Settlement(
                    each.key,
                    state,
                    now + again,
                    Outcome(each.recipient, result, reply, f"mx.far.test said: {reply}", "mx.far.test[192.0.2.7]:25"),
                    "the other side asked for 5 minutes",
                )
                for each in work.recipients
            ]
            await self.queue.record(work, ends, trace=trace)


LATER = Reply(450, "4.7.1", "Greylisted; come again")
TAKEN = Reply(250, "2.0.0", "OK")
NEVER = Reply(550, "5.1.1", "No such user")
TRACE = AttemptTrace(
    1_800_000_000.0,
    "mx.far.test",
    "far.test",
    "no route says otherwise: the mail exchangers of the domain",
    (
        ConnectionTrace(
            "192.0.2.7:25",
            "mx.far.test",
            "",
            (("resolve", 0.02), ("connect", 0.1), ("greet", 0.0004), ("final", 2.0)),
            ("R: 220 mx.far.test", "S: EHLO mx.here.test", "R: 450 4.7.1 Greylisted; come again"),
            "",
            0,
        ),
    ),
)


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        try:
            async with asyncio.timeout(30):
                return await scenario()
        finally:
            while _OPEN:
                await _OPEN.pop().close()

    return asyncio.run(bounded())
