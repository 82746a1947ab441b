"""A world of post houses, other people's hosts and clients, in one process and one afternoon of virtual time.

    with World(seed=7) as world:
        world.destination("mx.b.test", domains=["b.test"], script=["rcpt:450:4.2.1", "lose"])
        house = world.house("mail.a.test", '[relay]\nretry_first = "1m"')
        letter = world.send(house, "ann@a.test", ["bob@b.test"])
        world.run(3600)
        house.crash()
        world.run(86_400)
        world.check()

Everything that is chance comes from one ``random.Random(seed)``: the same seed tells the same story, to the octet and
the microsecond.  ``trace`` is that story, ``digest`` its hash.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, TypeVar

from posthouse.client import connect
from posthouse.core import (
    Address,
    Answer,
    Bytes,
    Envelope,
    LocalError,
    NetworkError,
    Notify,
    Outcome,
    Question,
    Recipient,
    RemoteError,
    Result,
    Status,
)
from posthouse.net import Endpoint
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.simulation.chaos import Calm, Weather
from posthouse.testing.simulation.invariants import violations
from posthouse.testing.simulation.ledger import FIELD, CopyEnd, DeliveredCopy, Ledger
from posthouse.testing.simulation.loop import Life, VirtualClock, VirtualLoop
from posthouse.testing.simulation.network import Port, SimulatedNetwork
from posthouse.testing.simulation.node import SimulatedNode
from posthouse.testing.simulation.remote_host import RemoteHost, Script
from posthouse.testing.static_resolver import StaticResolver

__all__ = ["SimulatedMessage", "World"]

T = TypeVar("T")


@dataclasses.dataclass
class SimulatedMessage:
    """What a client was asked to send.  ``outcomes`` are those of its last attempt; empty before the first ended and
    where no session could be had."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    number: int
    tokens: list[str] = dataclasses.field(default_factory=list)
    outcomes: tuple[Outcome, ...] = ()
    done: bool = False

    @property
    def accepted(self) -> bool:
        """Whether every recipient was answered 250."""
        return bool(self.outcomes) and all(each.result is Result.DELIVERED for each in self.outcomes)


class World:
    """Virtual machines on virtual time.

    Houses keep mail in SQLite spools, in temporary directories.  ``simulation.chaos`` is what goes wrong by chance, and
    may be exchanged at any time.  Close it, or use it as a context manager.
    """

    def __init__(self, seed: int = 0, *, weather: Weather | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.weather: Weather = weather or Calm()
        self.loop = VirtualLoop(lambda: self.weather.disk_pause(self.random))
        self.clock = VirtualClock(self.loop)
        self.book = Ledger(self.loop.time)
        self.resolver = _Resolver(self)
        self.wires = SimulatedNetwork(self.clock, self._channel, on_error=self._fault)
        self.houses: dict[str, SimulatedNode] = {}
        self.destinations: dict[str, RemoteHost] = {}
        self.letters: list[SimulatedMessage] = []
        self.results: dict[tuple[str, str], Result] = {}
        """(token, recipient) → what its client was told."""
        self._places: dict[Endpoint, RemoteHost] = {}
        self._addresses = 0
        self._client = Life("client")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- who there is ----------------------------------------------------------------------------------------------

    def house(
        self,
        name: str,
        toml: str = "",
        *,
        shares: SimulatedNode | None = None,
        wrap: Callable[[Any], Any] | None = None,
    ) -> SimulatedNode:
        """Start a post house.

        ``toml`` is its configuration; what the world decides need not be there: host name, directory, addresses, and
        that simulated machines may relay (unless it has ``trusted_networks``).  Its domains get MX records.
        ``shares`` names a house whose spool it shares.  ``wrap`` may put something around its queue (a broken one, to
        see whether that is found).
        """
        house = SimulatedNode(self, name, toml, self.new_address(name), shares=shares, wrap=wrap)
        self.houses[name] = house
        for domain in house.config.domain:
            if domain.name != "*":
                self.mail_exchanger(domain.name, 10, name)
        self.do(house.started())
        return house

    def destination(
        self, name: str, *, domains: Sequence[str] = (), script: Script = (), preference: int = 10, lmtp: bool = False
    ) -> RemoteHost:
        """Open a host that takes mail as ``script`` says (see ``simulation.remote_host``), and is MX of ``domains``.
        SMTP is spoken on port 25, LMTP on port 24."""
        where = self.new_address(name)
        made = RemoteHost(name, where, script, wires=self.wires, clock=self.clock, book=self.book, lmtp=lmtp)
        self.destinations[name] = self._places[made.endpoint] = made
        for domain in domains:
            self.mail_exchanger(domain, preference, name)
        self.do(made.open())
        return made

    def new_address(self, name: str) -> str:
        """An IP address for a new machine, which the DNS then knows."""
        self._addresses += 1
        address = f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}"
        self.resolver.zone.setdefault(name, {})["A"] = [address]
        return address

    def mail_exchanger(self, domain: str, preference: int, name: str) -> None:
        """Add an MX record."""
        records = self.resolver.zone.setdefault(domain, {})
        records["MX"] = [*records.get("MX", ()), f"{preference} {name}"]

    # -- what happens ----------------------------------------------------------------------------------------------

    def send(
        self,
        house: SimulatedNode,
        sender: str,
        recipients: Sequence[str],
        content: bytes = b"Subject: hello\r\n\r\nhello\r\n",
        *,
        after: float = 0.0,
        tries: int = 1,
        pause: float = 60.0,
        notify: Notify | None = None,
    ) -> SimulatedMessage:
        """Have a client give a letter to ``simulation.node``, ``after`` so many seconds; "" is the null sender.

        Recipients that it has not been told 250 or 5yz for are tried again, ``tries`` times in all.  A field of the
        world's own goes before ``content``, so that copies can be told apart.
        """
        letter = SimulatedMessage(sender, tuple(recipients), content, len(self.letters) + 1)
        self.letters.append(letter)
        port = Port(self.wires, self.new_address(f"client{letter.number}"), self._client)
        sending = self._sending(letter, house, port, after, tries, pause, notify)
        self._client.step(self.loop.create_task, sending)
        return letter

    async def _sending(
        self,
        letter: SimulatedMessage,
        house: SimulatedNode,
        port: Port,
        after: float,
        tries: int,
        pause: float,
        notify: Notify | None,
    ) -> None:
        await asyncio.sleep(after)
        left = [Recipient(_address(each), notify) for each in letter.recipients]
        sender = _address(letter.sender) if letter.sender else None
        for attempt in range(tries):
            token = f"{letter.number}.{attempt + 1}"
            letter.tokens.append(token)
            content = FIELD + token.encode() + b"\r\n" + letter.content
            self.book.sent[token] = content
            self.book.tell("client", "sends", token=token, to=house.name)
            letter.outcomes = await self._give(house, port, Envelope(sender, tuple(left)), content)
            for outcome in letter.outcomes:
                address = str(outcome.recipient.address)
                self.results[token, address] = outcome.result
                self.book.tell("client", outcome.result.value, token=token, recipient=address, reason=outcome.reason)
            ended = [o.recipient for o in letter.outcomes if o.result in (Result.DELIVERED, Result.FAILED)]
            left = [recipient for recipient in left if recipient not in ended]
            if not left:
                break
            await asyncio.sleep(pause)
        letter.done = True

    async def _give(self, house: SimulatedNode, port: Port, envelope: Envelope, content: bytes) -> tuple[Outcome, ...]:
        try:
            session = await connect(
                [house.endpoint], network=port, clock=self.clock, hostname="client.test", name=house.name
            )
            outcomes = await session.deliver(envelope, Bytes(content))
            await session.quit()
            return outcomes
        except (NetworkError, RemoteError) as error:
            return tuple(Outcome(each, Result.DEFERRED, None, str(error)) for each in envelope.recipients)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.do(asyncio.sleep(seconds))

    def at(self, seconds: float, happening: Callable[[], object]) -> None:
        """Have something happen ``seconds`` from now."""
        self.loop.call_later(seconds, happening)

    def do(self, story: Coroutine[Any, Any, T]) -> T:
        """Run until ``story`` has ended; its result."""
        return self.loop.run_until_complete(story)

    # -- what to make of it ----------------------------------------------------------------------------------------

    @property
    def trace(self) -> list[str]:
        """What happened, one line each."""
        return self.book.trace

    @property
    def digest(self) -> str:
        """The trace's hash: equal for equal stories."""
        return self.book.digest

    @property
    def ends(self) -> list[CopyEnd]:
        """Every end of a recipient in an attempt, in the order of recording."""
        return self.book.ends

    @property
    def arrivals(self) -> list[DeliveredCopy]:
        """Every copy of a letter, and every report, at its end."""
        return self.book.arrivals

    def violations(self, *, quiet: bool = False) -> list[str]:
        """What was wrong, in sentences.  ``quiet``: nothing may be waiting any more either."""
        return self.do(violations(self, quiet=quiet))

    def check(self, *, quiet: bool = False) -> None:
        """Raises ``AssertionError`` with everything that was wrong, and the seed."""
        found = self.violations(quiet=quiet)
        if found:
            raise AssertionError(f"seed {self.seed}: " + "\n".join(found))

    def close(self) -> None:
        """CopyEnd it; everybody stops where they are."""
        if self.loop.is_closed():
            return
        for house in self.houses.values():
            house.bury()
        self._client.end()
        for destination in self.destinations.values():
            destination.life.end()
        self.loop.close()

    # -- for those in it -------------------------------------------------------------------------------------------

    def _channel(self, source: str, endpoint: Endpoint) -> StreamFault:
        """What happens to a new channel: by chance, or by its destination's script."""
        fault = self.weather.channel(self.random, source, endpoint)
        destination = self._places.get(endpoint)
        if destination is not None and not (fault.refuse or fault.silent):
            scripted = destination.channel()
            if scripted.refuse or scripted.silent:
                fault = scripted
        if fault != StreamFault():
            self.book.tell("wires", "fault", source=source, to=endpoint, **_told(fault))
        return fault

    def _fault(self, error: BaseException) -> None:
        self.book.wrong("wires", f"a handler raised {type(error).__name__}: {error}")


class _Resolver(StaticResolver):
    """The world's DNS, in its weather."""

    def __init__(self, world: World) -> None:
        super().__init__({})
        self._world = world

    async def ask(self, question: Question) -> Answer:
        """See ``Resolver.ask``."""
        world = self._world
        pause, failing = world.weather.dns(world.random)
        await asyncio.sleep(pause)
        if failing:
            world.book.tell("dns", "fails", name=question.name, kind=question.kind.value)
            return Answer(Status.FAILED, reason=f"the DNS server failed for the {question.kind} record")
        return await super().ask(question)


def _told(fault: StreamFault) -> dict[str, object]:
    return {name: value for name, value in fault._asdict().items() if value not in (False, 0.0, None)}


def _address(text: str) -> Address:
    local, at, domain = text.rpartition("@")
    if not at:
        raise LocalError(f'"{text}" is no address; write local@domain')
    return Address(local, domain)
