r"""A world of nodes, remote hosts and clients, in one process and on virtual time.

    with World(seed=7) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450:4.2.1", "lose"])
        node = world.node("mail.a.test", '[relay]\nretry_first = "1m"')
        message = world.send(node, "ann@a.test", ["bob@b.test"])
        world.run(3600)
        node.crash()
        world.run(86_400)
        world.check()

All random numbers come from one ``random.Random(seed)``: equal seeds give equal runs, to the octet and the microsecond.
``trace`` has one line for each event, ``digest`` is its hash.
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
    StorageError,
)
from posthouse.net import Endpoint
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.simulation.chaos import Chaos, NoChaos
from posthouse.testing.simulation.invariants import violations
from posthouse.testing.simulation.ledger import FIELD, DeliveredCopy, Ledger, RecordedOutcome
from posthouse.testing.simulation.loop import VirtualClock, VirtualLoop, VirtualProcess
from posthouse.testing.simulation.network import Port, SimulatedNetwork
from posthouse.testing.simulation.node import Environment, SimulatedNode
from posthouse.testing.simulation.remote_host import RemoteHost, Script
from posthouse.testing.static_resolver import StaticResolver

__all__ = ["SimulatedMessage", "World"]

T = TypeVar("T")


@dataclasses.dataclass
class SimulatedMessage:
    """A message that a client was asked to send.

    ``outcomes`` are those of its last attempt; empty before the first attempt has ended.
    """

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

    Nodes keep mail in SQLite spools in temporary directories.  ``chaos`` decides which faults occur by chance, and may
    be exchanged at any time.  Close the world, or use it as a context manager.
    """

    def __init__(self, seed: int = 0, *, chaos: Chaos | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.chaos: Chaos = chaos or NoChaos()
        self.loop = VirtualLoop(lambda: self.chaos.thread_pause(self.random))
        self.clock = VirtualClock(self.loop)
        self.ledger = Ledger(self.loop.time)
        self.resolver = _FaultyResolver(self)
        self.network = SimulatedNetwork(self.clock, self._connection_fault, on_error=self._network_error)
        self.nodes: dict[str, SimulatedNode] = {}
        self.remote_hosts: dict[str, RemoteHost] = {}
        self.messages: list[SimulatedMessage] = []
        self._environment = Environment(self.loop, self.network, self.resolver, _ChaoticDisk(self), self.ledger)
        self._hosts_at: dict[Endpoint, RemoteHost] = {}
        self._addresses = 0
        self._client = VirtualProcess("client")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- machines --------------------------------------------------------------------------------------------------

    def node(
        self,
        name: str,
        toml: str = "",
        *,
        shares: SimulatedNode | None = None,
        beside: SimulatedNode | None = None,
        wrap: Callable[[Any], Any] | None = None,
    ) -> SimulatedNode:
        """Start a node, and add MX records for its domains.

        Args:
            name: its host name.
            toml: its configuration.  The world decides the host name, the directory and the addresses, and trusts the
                simulated machines unless ``trusted_networks`` is set.
            shares: a node whose spool it shares, as another worker of one daemon.
            beside: a node in whose data directory it is, although it is another daemon; raises ``SettingError`` if that
                node runs.
            wrap: puts another spool around its spool (a broken one, to see whether the invariants notice).
        """
        node = SimulatedNode(
            self._environment,
            name,
            toml,
            self.new_address(name),
            random=Random(self.random.getrandbits(64)),
            shares=shares,
            beside=beside,
            wrap=wrap,
        )
        self.nodes[name] = node
        for domain in node.config.domain:
            if domain.name != "*":
                self.mail_exchanger(domain.name, 10, name)
        self.do(node.started())
        return node

    def remote_host(
        self,
        name: str,
        *,
        domains: Sequence[str] = (),
        script: Script = (),
        preference: int = 10,
        lmtp: bool = False,
        most: int = 0,
    ) -> RemoteHost:
        """Start a host that receives mail as ``script`` says (``simulation.remote_host``), and is MX of ``domains``.

        SMTP is on port 25, LMTP on port 24.  Beyond ``most`` open connections (0: any number) it answers 421.
        """
        host = RemoteHost(
            name,
            self.new_address(name),
            script,
            network=self.network,
            clock=self.clock,
            ledger=self.ledger,
            lmtp=lmtp,
            most=most,
        )
        self.remote_hosts[name] = self._hosts_at[host.endpoint] = host
        for domain in domains:
            self.mail_exchanger(domain, preference, name)
        self.do(host.open())
        return host

    def new_address(self, name: str) -> str:
        """An IP address for a new machine, with its A record."""
        self._addresses += 1
        address = f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}"
        self.resolver.zone.setdefault(name, {})["A"] = [address]
        return address

    def mail_exchanger(self, domain: str, preference: int, name: str) -> None:
        """Add an MX record."""
        records = self.resolver.zone.setdefault(domain, {})
        records["MX"] = [*records.get("MX", ()), f"{preference} {name}"]

    # -- events ----------------------------------------------------------------------------------------------------

    def send(
        self,
        node: SimulatedNode,
        sender: str,
        recipients: Sequence[str],
        content: bytes = b"Subject: hello\r\n\r\nhello\r\n",
        *,
        after: float = 0.0,
        tries: int = 1,
        pause: float = 60.0,
        notify: Notify | None = None,
    ) -> SimulatedMessage:
        """Have a client send a message to ``node``, ``after`` so many seconds; "" is the null sender.

        The client makes ``tries`` attempts, with ``pause`` seconds between them, for the recipients that were not
        answered 250 or 5yz.  The world puts a field in front of ``content``, by which copies are told apart.
        """
        message = SimulatedMessage(sender, tuple(recipients), content, len(self.messages) + 1)
        self.messages.append(message)
        port = Port(self.network, self.new_address(f"client{message.number}"), self._client)
        sending = self._sending(message, node, port, after, tries, pause, notify)
        self._client.step(self.loop.create_task, sending)
        return message

    async def _sending(
        self,
        message: SimulatedMessage,
        node: SimulatedNode,
        port: Port,
        after: float,
        tries: int,
        pause: float,
        notify: Notify | None,
    ) -> None:
        await asyncio.sleep(after)
        left = [Recipient(_address(each), notify) for each in message.recipients]
        sender = _address(message.sender) if message.sender else None
        for attempt in range(tries):
            token = f"{message.number}.{attempt + 1}"
            message.tokens.append(token)
            content = FIELD + token.encode() + b"\r\n" + message.content
            self.ledger.sent[token] = content
            self.ledger.log("client", "sends", token=token, to=node.name)
            message.outcomes = await self._submit(node, port, Envelope(sender, tuple(left)), content)
            for outcome in message.outcomes:
                address = str(outcome.recipient.address)
                self.ledger.results[token, address] = outcome.result
                self.ledger.log("client", outcome.result.value, token=token, recipient=address, reason=outcome.reason)
            ended = [o.recipient for o in message.outcomes if o.result in (Result.DELIVERED, Result.FAILED)]
            left = [recipient for recipient in left if recipient not in ended]
            if not left:
                break
            await asyncio.sleep(pause)
        message.done = True

    async def _submit(self, node: SimulatedNode, port: Port, envelope: Envelope, content: bytes) -> tuple[Outcome, ...]:
        try:
            session = await connect(
                [node.endpoint], network=port, clock=self.clock, hostname="client.test", name=node.name
            )
            outcomes = await session.deliver(envelope, Bytes(content))
            await session.quit()
            return outcomes
        except (NetworkError, RemoteError) as error:
            return tuple(Outcome(each, Result.DEFERRED, None, str(error)) for each in envelope.recipients)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.do(asyncio.sleep(seconds))

    def at(self, seconds: float, call: Callable[[], object]) -> None:
        """Call ``call`` in so many seconds."""
        self.loop.call_later(seconds, call)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the world until ``coroutine`` has ended; its result."""
        return self.loop.run_until_complete(coroutine)

    # -- results ---------------------------------------------------------------------------------------------------

    @property
    def trace(self) -> list[str]:
        """The events of the run, one line each."""
        return self.ledger.trace

    @property
    def digest(self) -> str:
        """The hash of the trace: equal for equal runs."""
        return self.ledger.digest

    @property
    def results(self) -> dict[tuple[str, str], Result]:
        """(token, recipient) → the result that the client was given."""
        return self.ledger.results

    @property
    def outcomes(self) -> list[RecordedOutcome]:
        """Every outcome of a recipient in an attempt, in the order of recording."""
        return self.ledger.outcomes

    @property
    def copies(self) -> list[DeliveredCopy]:
        """Every copy of a message, and every report, at its destination."""
        return self.ledger.copies

    def violations(self, *, quiet: bool = False) -> list[str]:
        """A sentence for each invariant that does not hold.  ``quiet``: no recipient may be waiting any more."""
        owners = [node for node in self.nodes.values() if node.owns_spool]
        unseen = {
            (node.spool_name, domain.name)
            for node in self.nodes.values()
            for domain in node.config.domain
            if domain.deliver.kind in ("discard", "maildir")
        }
        spools = {node.spool_name: self.do(node.storage.look()) for node in owners}
        return violations(self.ledger, spools, unseen=unseen, quiet=quiet) + self.loop.unheard()

    def check(self, *, quiet: bool = False) -> None:
        """Raises ``AssertionError`` with all violations, and the seed."""
        found = self.violations(quiet=quiet)
        if found:
            raise AssertionError(f"seed {self.seed}: " + "\n".join(found))

    def close(self) -> None:
        """Stop all machines where they are."""
        if self.loop.is_closed():
            return
        for node in self.nodes.values():
            node.close()
        self._client.stop()
        for host in self.remote_hosts.values():
            host.process.stop()
        self.loop.close()

    # -- faults ----------------------------------------------------------------------------------------------------

    def _connection_fault(self, source: str, endpoint: Endpoint) -> StreamFault:
        """The fault of a new connection: by chance, or by the script of the remote host."""
        fault = self.chaos.connection(self.random, source, endpoint)
        host = self._hosts_at.get(endpoint)
        if host is not None and not (fault.refuse or fault.silent):
            scripted = host.connection_fault()
            if scripted.refuse or scripted.silent:
                fault = scripted
        if fault != StreamFault():
            self.ledger.log("network", "fault", source=source, to=endpoint, **_fields(fault))
        return fault

    def _network_error(self, error: BaseException) -> None:
        self.ledger.violation("network", f"a handler raised {type(error).__name__}: {error}")


class _FaultyResolver(StaticResolver):
    """The DNS of a world, with its faults by chance."""

    def __init__(self, world: World) -> None:
        super().__init__({})
        self._world = world

    async def ask(self, question: Question) -> Answer:
        world = self._world
        pause, failing = world.chaos.dns(world.random)
        await asyncio.sleep(pause)
        if failing:
            world.ledger.log("dns", "fails", name=question.name, kind=question.kind.value)
            return Answer(Status.FAILED, reason=f"the DNS server failed for the {question.kind} record")
        return await super().ask(question)


class _ChaoticDisk:
    """``DiskFaults`` by chance."""

    def __init__(self, world: World) -> None:
        self._world = world

    def pause(self) -> float:
        return self._world.chaos.disk_pause(self._world.random)

    def error(self) -> StorageError | None:
        return self._world.chaos.disk_error(self._world.random)


def _fields(fault: StreamFault) -> dict[str, object]:
    return {name: value for name, value in fault._asdict().items() if value not in (False, 0.0, None)}


def _address(text: str) -> Address:
    local, at, domain = text.rpartition("@")
    if not at:
        raise LocalError(f'"{text}" is no address; write local@domain')
    return Address(local, domain)
