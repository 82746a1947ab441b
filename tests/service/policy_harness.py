"""What the tests of this package share: a spool that only receives, and a policy made from a configuration's text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from posthouse.core import Address, CallbackSink, Envelope, Recipient, Reply, StorageError, Verdict
from posthouse.net.clock import Clock
from posthouse.net.system_clock import SystemClock
from posthouse.protocol.commands import Greet
from posthouse.server import CheckFactory, Peer
from posthouse.service.accounts import AccountStore, AnyAccounts
from posthouse.service.config_file import parse
from posthouse.service.directory.directory import Directory
from posthouse.service.mailauth.auth_terms import NO_AUTH, AuthTerms
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.login_failures import LoginFailures
from posthouse.service.policy.logins import Logins
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.spool.history import Origin
from posthouse.spool.interface import Inbox, Stored, StoredMessage


class Receiving:
    """A receipt that keeps what it is given; ``write_error`` and ``commit_error`` are raised where they are set."""

    def __init__(self, spool: Spool, number: int) -> None:
        self.spool = spool
        self.id = f"Q{number}"
        self.content = b""
        self.ended = ""

    @property
    def size(self) -> int:
        return len(self.content)

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        assert not self.ended
        if self.spool.write_error is not None:
            raise self.spool.write_error
        self.content += chunk
        return self._late() if self.spool.late_error is not None and len(self.content) > 1000 else None

    async def _late(self) -> None:
        assert self.spool.late_error is not None
        raise self.spool.late_error

    def commit(self, envelope: Envelope, destinations: Sequence[str], **rest: Any) -> Awaitable[Stored]:
        """Gives a future or a coroutine, or raises at once, as the spool was told."""
        if self.spool.commits == "at once" and self.spool.commit_error is not None:
            raise self.spool.commit_error
        storing = self._store(envelope, destinations, **rest)
        return storing if self.spool.commits == "coroutine" else asyncio.ensure_future(storing)

    async def _store(self, envelope: Envelope, destinations: Sequence[str], **rest: Any) -> Stored:
        assert not self.ended
        if self.spool.commit_error is not None:
            raise self.spool.commit_error
        self.ended = "committed"
        content = rest.get("prefix", b"") + self.content
        message = StoredMessage(self.id, envelope, rest["received"], len(content), rest["source"])
        self.spool.stored.append((message, content, tuple(destinations)))
        self.spool.held.append(rest.get("held", ""))
        self.spool.origins.append(rest["arrival"])
        return Stored(message)

    def abort(self) -> None:
        self.ended = self.ended or "aborted"


class Spool:
    """As much of a spool as a policy and an intake use."""

    def __init__(self) -> None:
        self.receipts: list[Receiving] = []
        self.held: list[str] = []
        self.origins: list[Origin] = []
        self.stored: list[tuple[StoredMessage, bytes, tuple[str, ...]]] = []
        self.inbox_sizes: dict[str, int] = {}
        self.asked = 0
        self.write_error: StorageError | None = None
        self.late_error: StorageError | None = None
        self.commit_error: StorageError | None = None
        self.receive_error: StorageError | None = None
        self.commits = "future"
        self.reachable = True

    def accepting(self) -> bool:
        return self.reachable

    def out_of_order(self) -> str:
        return ""

    def receive(self, announced: int = 0) -> Receiving:
        if self.receive_error is not None:
            raise self.receive_error
        receipt = Receiving(self, len(self.receipts) + 1)
        self.receipts.append(receipt)
        return receipt

    @property
    def queries(self) -> Self:
        return self

    async def inboxes(self) -> list[Inbox]:
        self.asked += 1
        return [Inbox(name, 1, octets) for name, octets in self.inbox_sizes.items()]


class PolicyHarness:
    """The policy of the first listener of a configuration, and what it logged."""

    def __init__(
        self,
        text: str,
        *,
        free: int | None = 1 << 40,  # None: the system is asked
        zone: Callable[[float], int] | None = None,
        clock: Clock | None = None,
        checks: Sequence[CheckFactory] = (),
        counts: SharedCounts | None = None,
        accounts: bool | AccountStore = False,
        auth: AuthTerms = NO_AUTH,
    ) -> None:
        config = parse(text)
        clock = clock or SystemClock()
        self.spool = Spool()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.woken: list[Stored] = []
        self.free = free or 0
        self.policy = ListenerPolicy(
            config,
            config.listener[0],
            directory=Directory(config),
            spool=self.spool,  # type: ignore[arg-type]
            clock=clock,
            destination=lambda address: address.domain,
            stored=lambda stored, is_answered: self.woken.append(stored),
            log=CallbackSink(lambda event, /, **fields: self.events.append((event, fields))),
            free=None if free is None else lambda: self.free,
            zone=zone,
            checks=checks,
            logins=self._logins(accounts, clock) if accounts else None,
            counts=counts,
            auth=auth,
        )

    def _logins(self, accounts: bool | AccountStore, clock: Clock) -> Logins:
        store = accounts if isinstance(accounts, AccountStore) else AnyAccounts()
        return Logins(store, decoy_secret=b"", failures=LoginFailures(), clock=clock, hostname="mx")

    def connect(self, host: str = "192.0.2.1", port: int = 4000) -> SessionPolicy:
        """A session's policy, not asked anything yet."""
        return SessionPolicy(self.policy, Peer(host, port, "192.0.2.9", 25))

    def session(self, host: str = "192.0.2.1", *, greet: str = "EHLO") -> SessionPolicy:
        """A session's policy, greeted."""
        session = self.connect(host)
        assert now(session.connected()).code == 220
        assert now(session.greeted(Greet(greet, "client.example"))).code == 250
        return session


def now(answer: Any) -> Reply:
    """The reply of an answer, which may have to be waited for."""
    if isinstance(answer, Verdict):
        return answer.reply

    async def wait() -> Verdict:
        async with asyncio.timeout(10):
            verdict: Verdict = await answer
            return verdict

    return asyncio.run(wait()).reply


def envelope(*recipients: str, sender: str = "me@example.com") -> Envelope:
    """An envelope as a session has it after RCPT."""
    local, _, domain = sender.rpartition("@")
    return Envelope(Address(local, domain), tuple(Recipient(address(each)) for each in recipients))


def address(text: str) -> Address:
    if "@" not in text:
        return Address(text)
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def bring_in(session: SessionPolicy, to: Envelope, *chunks: bytes) -> list[Reply]:
    """Bring a message in; the final replies."""

    async def bring() -> list[Reply]:
        async with asyncio.timeout(10):
            intake = session.intake(to)
            if isinstance(intake, Verdict):
                return [intake.reply]
            for chunk in chunks:
                pressure = intake.write(chunk)
                if pressure is not None:
                    await pressure
            answer = intake.commit()
            verdicts = answer if isinstance(answer, tuple) else await answer
            return [each.reply for each in verdicts]

    return asyncio.run(bring())
