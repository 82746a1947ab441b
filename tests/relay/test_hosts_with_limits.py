"""Hosts that allow few sessions at one time and refuse more with 421: the relay goes on in those that are open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random

import pytest

from posthouse.core import Outcome
from posthouse.delivery.feedback import Feedback
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.delivery.smtp import SmtpDeliverer
from posthouse.net import Endpoint, Stream
from posthouse.relay.scheduling.site_health import SiteHealth
from posthouse.spool.interface import RecipientState
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver

from .test_worker import RelayRig, play

MX = Endpoint("192.0.2.1", 25)
BUSY = "421 4.7.0 too many connections"


class Host:
    """A host that allows ``most`` sessions at one time and takes ``pace`` seconds for a message.

    It refuses the others where ``at`` says: with the greeting, or in reply to EHLO, MAIL or RCPT.  ``keeps`` is False
    if it ends each session after a message.
    """

    def __init__(
        self, clock: ManualClock, most: int, *, at: str = "greeting", pace: float = 0.05, keeps: bool = True
    ) -> None:
        self.clock = clock
        self.most = most
        self.at = at
        self.pace = pace
        self.keeps = keeps
        self.open = 0
        self.most_open = 0
        self.refused = 0
        self.taken = 0

    def __call__(self) -> _Line:
        return _Line(self)


class _Line:
    """One connection of the host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.buffer = b""
        self.content = False
        self.counted = False
        self.stream: Stream | None = None

    def connected(self, stream: Stream) -> None:
        self.stream = stream
        self.counted = self.host.open < self.host.most
        self.host.open += self.counted
        self.host.most_open = max(self.host.most_open, self.host.open)
        self.answer("greeting", "220 mx")

    def answer(self, command: str, reply: str) -> None:
        assert self.stream is not None
        if not self.counted and command == self.host.at:
            self.host.refused += 1
            self.stream.write(BUSY.encode() + b"\r\n")
            self.stream.close()
            self.stream = None
        else:
            self.stream.write(reply.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.stream is not None:
            end = b"\r\n.\r\n" if self.content else b"\r\n"
            line, found, rest = self.buffer.partition(end)
            if not found:
                return
            self.buffer = rest
            if self.content:
                self.content = False
                self.host.clock.call_later(self.host.pace, self.take)
                continue
            verb = line[:4].decode()
            self.content = verb == "DATA"
            reply = {"DATA": "354 go", "EHLO": "250-mx\r\n250 8BITMIME", "QUIT": "221 bye"}.get(verb, "250 ok")
            self.answer(verb, reply)
            if verb == "QUIT" and self.stream is not None:
                self.stream.close()

    def take(self) -> None:
        if self.stream is not None:
            self.host.taken += 1
            self.stream.write(b"250 taken\r\n")
            if not self.host.keeps:
                self.stream.close()

    def eof_received(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def disconnected(self, error: Exception | None) -> None:
        self.host.open -= self.counted
        self.counted = False
        self.stream = None


class Late(Deliverer):
    """A deliverer by SMTP that is made when the rig's clock is there."""

    sited = True

    def __init__(self) -> None:
        self.inner: Deliverer = Deliverer()

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        return await self.inner.deliver(delivery, target)

    def site_now(self, target: str) -> str | None:
        return self.inner.site_now(target)

    async def locate(self, target: str) -> str:
        return await self.inner.locate(target)

    async def close(self) -> None:
        await self.inner.close()


def with_host(
    scenario: Callable[[RelayRig, Host], Awaitable[None]], most: int, has_company: bool = False, **options: object
) -> tuple[RelayRig, Host]:
    """Play a scenario with a host for sina.com."""
    late = Late()
    hosts: list[Host] = []

    async def whole(rig: RelayRig) -> None:
        network = MemoryNetwork(rig.clock)
        host = Host(rig.clock, most, **options)  # type: ignore[arg-type]
        hosts.append(host)
        await network.listen(MX, host)
        zone = {"sina.com": {"MX": ["10 mx.sina.com"]}, "mx.sina.com": {"A": [MX.host]}}
        late.inner = SmtpDeliverer(
            StaticResolver(zone), network=network, clock=rig.clock, random=Random(1), hostname="client.test"
        )
        await scenario(rig, host)
        await late.inner.close()
        assert late.inner._pool.open_at("mx.sina.com") == 0  # every session that was counted has been counted off

    return play(lambda: RelayRig(late, has_company=has_company), whole), hosts[0]


@pytest.mark.parametrize("at", ["greeting", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("keeps", [True, False], ids=["", "one message a session"])
@pytest.mark.parametrize("most", [1, 3])
def test_a_host_that_refuses_further_sessions_gets_all_mail_through_those_that_are_open(
    most: int, keeps: bool, at: str
) -> None:
    messages, pace = 40, 0.05

    async def scenario(rig: RelayRig, host: Host) -> None:
        for n in range(messages):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.advance(messages * pace / most + 1.0)
        assert host.taken == messages

    rig, host = with_host(scenario, most, at=at, keeps=keeps)
    assert host.most_open == most
    assert host.refused <= 4  # once or twice when the limit is found, and not with every success
    assert rig.events() == ["delivered"] * messages  # what was refused was no attempt
    assert rig.worker.sites()["mx.sina.com"].limit == most


def test_a_refusal_with_nothing_open_pauses() -> None:
    async def scenario(rig: RelayRig, host: Host) -> None:
        for n in range(5):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.advance(1.0)
        assert rig.worker.sites()["mx.sina.com"].until is not None
        assert host.refused <= 3
        assert rig.events() == ["deferred", "suspended"]
        host.most = 1
        await rig.clock.advance(30.0)
        assert host.taken == 4

    with_host(scenario, 0)


def test_the_session_may_be_that_of_another_process() -> None:
    """The first refusal is no attempt of the message, which the process with the session can take at once."""

    async def scenario(rig: RelayRig, host: Host) -> None:
        for n in range(5):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.advance(1.0)
        assert rig.worker.sites()["mx.sina.com"].until is not None
        assert rig.events() == ["suspended"]
        assert [each.waiting.attempts for each in rig.spool.rows.values()] == [0] * 5
        assert not any(each.until for each in rig.spool.rows.values())  # no lease is left
        await rig.clock.advance(20.0)
        assert rig.events() == ["suspended", "resumed", "deferred", "suspended"]  # a host that refuses everybody
        host.most = 1
        await rig.clock.advance(60.0)
        assert host.taken == 4

    with_host(scenario, 0, has_company=True)


def test_a_host_that_closes_its_sessions_late_is_given_a_moment() -> None:
    """At the end of a session the host still counts it when the next is opened."""

    async def scenario(rig: RelayRig, host: Host) -> None:
        for n in range(250):  # a session carries 100
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.advance(250 * 0.05 + 5.0)
        assert host.taken == 250

    rig, _ = with_host(scenario, 1)
    assert rig.events() == ["delivered"] * 250


def test_one_attempt_is_not_turned_away_for_ever() -> None:
    class Stubborn(Late):
        async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
            outcomes = await super().deliver(delivery, target)
            assert delivery.tracer is not None
            delivery.tracer.feedback, delivery.tracer.open = Feedback.LIMITED, 1
            return outcomes

    late = Stubborn()

    async def whole(rig: RelayRig) -> None:
        network = MemoryNetwork(rig.clock)
        host = Host(rig.clock, 0)
        await network.listen(MX, host)
        late.inner = SmtpDeliverer(
            StaticResolver({}), network=network, clock=rig.clock, random=Random(1), hostname="client.test"
        )
        rig.arrive("u@[192.0.2.1]")
        await rig.worker.idle()
        assert host.refused == 9
        assert rig.state("u@[192.0.2.1]") is RecipientState.WAITING
        await late.inner.close()

    assert play(lambda: RelayRig(late), whole).events() == ["deferred"]


def test_a_limit_that_the_host_has_shown_grows_gently() -> None:
    site = SiteHealth(20)
    for _ in range(10):
        site.learn(Feedback.OK, 0.0, 0.0, Random(1), full=True, asked=None)
    times = []
    now = 0.0
    for _ in range(5):
        site.allow_only(3, now)
        begun = now
        while site.limit == 3:
            now += 0.05
            site.learn(Feedback.OK, now - 0.05, now, Random(1), full=True, asked=None)
        times.append(round(now - begun))
    assert times == [10, 20, 40, 80, 160]
    site.allow_only(7, now)
    assert site.limit == 4  # a refusal never raises the limit
    site.reset()
    site.learn(Feedback.OK, now, now, Random(1), full=True, asked=None)
    assert site.limit == 4
