"""Sessions between messages, what a host's limits make of them, and what an attempt leaves for the story."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from posthouse.core import Address, AttemptTrace, Outcome, Recipient, Result
from posthouse.delivery.adapt import batches
from posthouse.delivery.feedback import Feedback
from posthouse.delivery.model import Delivery
from posthouse.delivery.smtp import SmtpDeliverer
from posthouse.delivery.tracer import AttemptTracer
from posthouse.net import Endpoint
from posthouse.testing import StreamFault

from .test_smtp import FULL, MX1, MX2, ZONE, Peer, World, job, one, tell


async def traced(
    world: World, deliverer: SmtpDeliverer, a_job: Delivery, target: str
) -> tuple[Sequence[Outcome], AttemptTracer]:
    tracer = AttemptTracer(world.clock)
    return await deliverer.deliver(a_job._replace(tracer=tracer), target), tracer


def trace_of(tracer: AttemptTracer) -> AttemptTrace:
    return tracer.trace("sina.com", "the default")


# -- kept sessions


def test_domains_with_the_same_exchanges_share_sessions() -> None:
    peer = Peer(FULL)

    async def scenario(world: World) -> None:
        world.resolver = type(world.resolver)({**ZONE, "sina.cn": {"MX": ["5 mx1.sina.com", "7 mx2.sina.com"]}})
        deliverer = world.deliverer()
        await deliverer.deliver(job(), "sina.com")
        await deliverer.deliver(job("b@sina.cn"), "sina.cn")
        assert await deliverer.locate("sina.cn") == deliverer.site_now("sina.com") == "mx1.sina.com,mx2.sina.com"
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 1


def test_a_retry_gets_a_session_of_its_own_if_the_last_one_deferred_everybody() -> None:
    """Hosts that test new clients (postscreen) defer all mail of a session until the client comes again."""
    peer = Peer(("PIPELINING",))

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        peer.replies["RCPT"] = "450 4.3.2 Service currently unavailable"
        await deliverer.deliver(job(), "sina.com")
        await world.clock.sleep(1.0)
        assert world.network.open == 0
        del peer.replies["RCPT"]
        for _ in range(3):
            assert one(await deliverer.deliver(job(), "sina.com"))[0] is Result.DELIVERED
        assert peer.sessions == 2
        peer.replies["RCPT"] = "450 4.2.0 greylisted"  # one that has taken mail is kept
        await deliverer.deliver(job(), "sina.com")
        await deliverer.deliver(job(), "sina.com")
        assert peer.sessions == 2
        await deliverer.close()

    tell({MX1: peer}, scenario)


def test_a_session_grows_old_however_busy_it_is() -> None:
    peer = Peer(FULL)

    async def scenario(world: World) -> None:
        deliverer = world.deliverer(age=10.0, idle=5.0)
        for _ in range(8):
            await deliverer.deliver(job(), "sina.com")
            await world.clock.sleep(3.0)
        await deliverer.close()
        assert world.network.open == 0

    tell({MX1: peer}, scenario)
    assert peer.sessions == 2
    assert len(peer.contents) == 8


def test_one_that_rested_sends_no_content_before_it_is_answered_so_its_loss_is_not_ambiguous() -> None:
    peer = Peer(("PIPELINING", "CHUNKING", "8BITMIME"))

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        await deliverer.deliver(job(), "sina.com")
        await world.clock.sleep(2.0)
        peer.until_next_session["MAIL"] = None
        outcomes, tracer = await traced(world, deliverer, job(), "sina.com")
        assert one(outcomes)[0] is Result.DELIVERED
        assert tracer.feedback is Feedback.OK
        first, second = trace_of(tracer).connections
        assert (first.reused, second.reused) == (1, 0)
        assert "a new one is opened" in first.ended
        assert not any("BDAT" in line for line in first.lines)
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert len(peer.contents) == 2


def test_a_busy_one_that_is_lost_behind_the_whole_message_is_ambiguous() -> None:
    peer = Peer(("PIPELINING", "CHUNKING", "8BITMIME"))

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        await deliverer.deliver(job(), "sina.com")
        peer.until_next_session["MAIL"] = None
        outcomes, tracer = await traced(world, deliverer, job(), "sina.com")
        assert one(outcomes)[0] is Result.AMBIGUOUS
        assert tracer.feedback is Feedback.THROTTLED
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 1


# -- limits (RFC 9422)


def people(*addresses: str) -> list[Recipient]:
    return [Recipient(Address(*address.rsplit("@", 1))) for address in addresses]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [[0, 1, 2, 3, 4]]),
        ({"MAILMAX": 1}, [[0, 1, 2, 3, 4]]),
        ({"RCPTMAX": 2}, [[0, 1], [2, 3], [4]]),
        ({"RCPTDOMAINMAX": 1}, [[0, 2, 4], [1], [3]]),
        ({"RCPTDOMAINMAX": 2}, [[0, 2, 4, 1], [3]]),
        ({"RCPTDOMAINMAX": 1, "RCPTMAX": 2}, [[0, 2], [4], [1], [3]]),
        ({"RCPTDOMAINMAX": 9}, [[0, 2, 4, 1, 3]]),
    ],
)
def test_batches_that_a_host_allows(limits: dict[str, int], expected: list[list[int]]) -> None:
    assert batches(people("a@x.test", "b@y.test", "c@X.test", "d@z.test", "e@x.test"), limits) == expected


def test_mailmax_bounds_the_messages_of_a_session() -> None:
    peer = Peer((*FULL, "LIMITS MAILMAX=2"))

    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        for _ in range(5):
            await deliverer.deliver(job(), "sina.com")
        await deliverer.close()

    tell({MX1: peer}, scenario)
    assert peer.sessions == 3
    assert len(peer.contents) == 5


def test_few_recipients_and_few_messages_in_each_session_are_dealt_with_to_the_end() -> None:
    peer = Peer((*FULL, "LIMITS RCPTMAX=2 MAILMAX=2 RCPTDOMAINMAX=1"))
    peer.replies["RCPT TO:<u7@"] = "550 5.1.1 nobody"
    addresses = [f"u{n}@{'sina.com' if n % 2 else 'sina.cn'}" for n in range(11)]

    async def scenario(world: World) -> Sequence[Outcome]:
        deliverer = world.deliverer()
        outcomes = await deliverer.deliver(job(*addresses), "sina.com")
        await deliverer.close()
        return outcomes

    outcomes = tell({MX1: peer}, scenario)
    assert [str(outcome.recipient.address) for outcome in outcomes] == addresses
    assert [n for n, outcome in enumerate(outcomes) if outcome.result is not Result.DELIVERED] == [7]
    assert len([line for line in peer.said if line.startswith("RCPT")]) == 11, "nobody twice"
    assert peer.sessions == 3


# -- the trace


def test_a_delivery_is_told_with_its_dialogue_and_phases_but_without_content() -> None:
    peer = Peer(("PIPELINING",))

    async def scenario(world: World) -> AttemptTrace:
        deliverer = world.deliverer()
        _, tracer = await traced(world, deliverer, job(), "sina.com")
        await deliverer.close()
        return trace_of(tracer)

    trace = tell({MX1: peer}, scenario)
    assert (trace.site, trace.target, trace.rule) == ("mx1.sina.com,mx2.sina.com", "sina.com", "the default")
    (connection,) = trace.connections
    assert connection.peer == "mx1.sina.com[192.0.2.1]:25"
    assert connection.mx == "mx1.sina.com"
    assert [phase for phase, _ in connection.timings] == ["resolve", "connect", "greet", "envelope", "content", "final"]
    assert connection.lines[0] == "R: 220 mx ready"
    assert "S: MAIL FROM:<a@sohu.com>" in connection.lines
    assert connection.lines[-1] == "R: 250 OK"
    assert not any("hello" in line for line in connection.lines)


def test_hosts_that_were_passed_over_are_told_too() -> None:
    async def scenario(world: World) -> AttemptTrace:
        deliverer = world.deliverer()
        _, tracer = await traced(world, deliverer, job(), "sina.com")
        await deliverer.close()
        return trace_of(tracer)

    trace = tell({MX2: Peer(greeting="421 busy")}, scenario)
    assert [connection.mx for connection in trace.connections] == ["mx1.sina.com", "mx2.sina.com"]
    assert trace.connections[0].ended
    assert "421 busy" in trace.connections[1].ended


def test_a_long_dialogue_is_shortened_in_the_middle() -> None:
    peer = Peer(("PIPELINING",))

    async def scenario(world: World) -> AttemptTrace:
        deliverer = world.deliverer()
        _, tracer = await traced(world, deliverer, job(*(f"u{n}@sina.com" for n in range(500))), "sina.com")
        await deliverer.close()
        return trace_of(tracer)

    (connection,) = tell({MX1: peer}, scenario).connections
    assert len(connection.lines) == 101
    assert connection.lines[80] == "… 911 lines …"
    assert connection.lines[-1] == "R: 250 OK"


@pytest.mark.parametrize(
    ("peers", "faults", "feedback"),
    [
        ({}, {}, Feedback.UNREACHABLE),
        ({MX2: Peer(greeting="421 busy")}, {}, Feedback.THROTTLED),
        ({}, {MX1: StreamFault(silent=True)}, Feedback.UNREACHABLE),
        ({MX1: Peer(RCPT="450 4.2.1 not now")}, {}, Feedback.OK),
        ({MX1: Peer(RCPT="450 4.7.1 too much from you")}, {}, Feedback.THROTTLED),
        ({MX1: Peer(MAIL="421 4.7.0 enough"), MX2: Peer()}, {}, Feedback.THROTTLED),
    ],
    ids=["nobody", "refused", "silent", "recipient", "policy", "421"],
)
def test_what_an_attempt_tells_of_the_site(
    peers: dict[Endpoint, Peer], faults: dict[Endpoint, StreamFault], feedback: Feedback
) -> None:
    async def scenario(world: World) -> AttemptTracer:
        world.network.faults.update(faults)
        deliverer = world.deliverer()
        _, tracer = await traced(world, deliverer, job(), "sina.com")
        await deliverer.close()
        return tracer

    assert tell(peers, scenario).feedback is feedback


def test_exchanges_are_remembered_for_a_minute_and_trouble_for_ten_seconds() -> None:
    async def scenario(world: World) -> None:
        deliverer = world.deliverer()
        assert deliverer.site_now("sina.com") is None
        assert await deliverer.locate("sina.com") == "mx1.sina.com,mx2.sina.com"
        assert await deliverer.locate("nomail.test") == ""
        assert deliverer.site_now("nomail.test") == ""
        await world.clock.sleep(11.0)
        assert deliverer.site_now("nomail.test") is None
        assert deliverer.site_now("sina.com") is not None
        await world.clock.sleep(50.0)
        assert deliverer.site_now("sina.com") is None
        assert deliverer.site_now("relay.test:587") == "relay.test:587"

    tell({}, scenario)
