"""The invariants notice faults: a node that is broken on purpose does not pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from posthouse.core import Bytes, Outcome
from posthouse.delivery import SmtpDeliverer
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.service.daemon import daemon
from posthouse.spool.interface import DueDestination, DuePage, Lease, Stored, StoredMessage
from posthouse.testing.simulation import World

RETRY = '[relay]\nretry_first = "1m"\n'


class SpoolWrapper:
    """Passes every call on to a spool; a saboteur overrides what it breaks."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class IncomingWrapper(SpoolWrapper):
    """Passes every call on to an incoming message."""


def found(
    wrap: Callable[[Any], Any] | None,
    *,
    script: tuple[str, ...] = (),
    to: str = "bob@b.test",
    crash: float | None = None,
    down: float = 10.0,
) -> str:
    """The violations of a node with a sabotaged spool that has one message to deliver."""
    with World(1) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=script)
        world.remote_host("mx.a.test", domains=["a.test"])
        node = world.node("mail.a.test", RETRY, wrap=wrap)
        message = world.send(node, "ann@a.test", [to])
        if crash is not None:
            world.at(crash, lambda: node.crash(down=down))
        world.run(7200)
        assert message.accepted
        return "\n".join(world.violations(quiet=True))


def test_a_node_in_order_passes() -> None:
    assert found(None) == ""
    assert found(None, script=("rcpt:450", "lose", "end:554")) == ""


def test_a_commit_is_forgotten() -> None:
    class Forgetful(SpoolWrapper):
        def receive(self, announced: int = 0) -> Any:
            return Forgotten(self.inner.receive(announced))

    class Forgotten(IncomingWrapper):
        def commit(self, envelope: Any, destinations: Any, **rest: Any) -> Awaitable[Stored]:
            future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
            message = StoredMessage(self.inner.id, envelope, rest["received"], self.inner.size, rest["source"])
            self.inner.abort()
            future.set_result(Stored(message))
            return future

    assert "was promised and has vanished" in found(Forgetful)


def test_250_is_said_before_the_commit() -> None:
    class Hasty(SpoolWrapper):
        def receive(self, announced: int = 0) -> Any:
            return Early(self.inner.receive(announced))

    class Early(IncomingWrapper):
        def commit(self, envelope: Any, destinations: Any, **rest: Any) -> Awaitable[Stored]:
            loop = asyncio.get_running_loop()
            loop.call_later(30, lambda: self.inner.commit(envelope, destinations, **{**rest, "owner": ""}))
            future: asyncio.Future[Stored] = loop.create_future()
            message = StoredMessage(self.inner.id, envelope, rest["received"], self.inner.size, rest["source"])
            future.set_result(Stored(message))
            return future

    assert "was promised and has vanished" in found(Hasty, crash=20)


def test_an_outcome_is_not_recorded() -> None:
    class Amnesiac(SpoolWrapper):
        def record(self, work: Lease, *rest: Any, **more: Any) -> Awaitable[None]:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future

    said = found(Amnesiac)
    assert "copies, and nothing to excuse it" in said
    assert "still waits" in said


def test_a_report_is_lost() -> None:
    class Careless(SpoolWrapper):
        def record(self, work: Lease, settlements: Any, reports: Any = (), **more: Any) -> Any:
            return self.inner.record(work, settlements, (), **more)

    assert "failed, and the report is nowhere" in found(Careless, script=("rcpt:550",))


def test_content_is_changed() -> None:
    class Sloppy(SpoolWrapper):
        def content_now(self, message: StoredMessage) -> None:
            return None

        async def open_content(self, message: StoredMessage) -> Bytes:
            octets = b"".join((await self.inner.open_content(message)).chunks())
            return Bytes(octets.replace(b"hello\r\n", b"hullo\r\n"))

    assert "was changed on its way" in found(Sloppy)


def test_leases_are_given_twice() -> None:
    class Generous(SpoolWrapper):
        async def due(self, now: float, **rest: Any) -> DuePage:
            return DuePage((DueDestination("any.test", now),))

        async def lease(self, owner: str, now: float, until: float, **rest: Any) -> list[Lease]:
            rest["wanted"] = rest["probe"] = None  # a worker does not ask for more where something is under way
            return await self.inner.lease(owner, now + 86_400, until, **rest)  # type: ignore[no-any-return]

    assert "was leased twice at one time" in found(Generous, script=("wait:rcpt:200", "wait:rcpt:200"), crash=20)


class DelivererWrapper(Deliverer):
    """Passes every call on to an SMTP deliverer; a saboteur overrides what it breaks.

    A wrapper, not a patched method: methods of a compiled class cannot be replaced.
    """

    sited = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.inner = SmtpDeliverer(*arguments, **options)

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        return await self.inner.deliver(delivery, target)

    def site_now(self, target: str) -> str | None:
        return self.inner.site_now(target)

    async def locate(self, target: str) -> str:
        return await self.inner.locate(target)

    async def close(self) -> None:
        await self.inner.close()


def test_a_wrapped_deliverer_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "SmtpDeliverer", DelivererWrapper)
    assert found(None, script=("rcpt:450", "lose", "end:554")) == ""


def test_a_worker_delivers_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(DelivererWrapper):
        async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
            await super().deliver(delivery, target)
            return await super().deliver(delivery, target)

    monkeypatch.setattr(daemon, "SmtpDeliverer", Twice)
    assert "has 2 copies, and nothing to excuse it" in found(None)


def test_a_deliverer_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(DelivererWrapper):
        async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
            raise ZeroDivisionError("the deliverer is wrong")

    monkeypatch.setattr(daemon, "SmtpDeliverer", Broken)
    assert "a fault: " in found(None)
