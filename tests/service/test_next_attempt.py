"""The next attempt: its true time and what it waits for, the same in `queue list`, `queue show` and `explain`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posthouse.core import Result
from posthouse.relay.scheduling.outlook import AttemptPosition, SiteOutlook
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.operations.explain_text import history_sentences
from posthouse.service.operations.results import AttemptEntry, Explained, MessageHistory, NextAttempt, QueueEntry
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver

from .operation_harness import LATER, OperationHarness, run

WHY = "192.0.2.7:25 refused a session: 421 4.3.2 Try later"


def clock_words(at: float) -> str:
    return f"T+{at - 1_800_000_000.0:.0f}"


def said(history: MessageHistory, lang: str = "en") -> str:
    return "\n".join(each.text for each in history_sentences(history, lang, clock_words))


async def everywhere(desk: OperationHarness, queue_id: str) -> tuple[NextAttempt, MessageHistory]:
    """The next attempt as each operation gives it, which must be the same, and the history."""
    (listed,) = await desk.do("queue list", filter=f"id:{queue_id}")
    shown = await desk.do("queue show", id=queue_id)
    explained: Explained = await desk.do("explain", what=queue_id)
    assert explained.message is not None
    (standing,) = explained.message.standing
    assert listed.next == shown.recipients[0].next == standing.next
    assert standing.next is not None
    assert listed.due == standing.next.at
    return standing.next, explained.message


SITES: list[tuple[SiteOutlook, str, float | None, str]] = [
    (SiteOutlook("far.test"), "soon", 0, "bob@far.test: attempt 1 begins now"),
    (
        SiteOutlook("far.test", 1, 600.0, WHY),
        "suspended",
        600,
        f"attempt 1 waits until T+600 (in 10 minutes): far.test is suspended: {WHY}; posthouse queue retry id:",
    ),
    (SiteOutlook("far.test", 5, is_full=True, waiting=40), "line", None, "as 40 attempts wait for far.test already"),
    (SiteOutlook("far.test", 2, is_probed=True), "probe", None, "waits for the result of another at far.test"),
    (SiteOutlook("far.test", 2, wait=3.0), "rate", 3, "attempt 1 waits until T+3 (in 3 seconds): attempts at unproven"),
]


@pytest.mark.parametrize(("outlook", "state", "at", "sentence"), SITES, ids=[row[1] for row in SITES])
def test_what_due_mail_waits_for(outlook: SiteOutlook, state: str, at: float | None, sentence: str) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        begin = desk.clock.monotonic()
        until = None if outlook.until is None else begin + outlook.until
        desk.outlooks["far.test"] = outlook._replace(until=until)
        queue_id = await desk.store("bob@far.test")
        found, history = await everywhere(desk, queue_id)
        assert found.state == state
        assert found.at == (None if at is None else desk.clock.time() + at)
        assert sentence in said(history)
        assert len(said(history, "zh").splitlines()) == len(said(history).splitlines())

    run(scenario)


def test_a_suspension_that_ends_before_the_due_time_does_not_count() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("bob@far.test")
        await desk.attempt(Result.DEFERRED, LATER, again=300.0)
        for seconds, state, at in ((60.0, "scheduled", 300.0), (600.0, "suspended", 600.0)):
            desk.outlooks["far.test"] = SiteOutlook("far.test", 1, desk.clock.monotonic() + seconds, WHY)
            found, _ = await everywhere(desk, queue_id)
            assert (found.state, found.at) == (state, desk.clock.time() + at)

    run(scenario)


def test_mail_that_an_operator_rerouted_waits_for_the_site_of_that_route() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("bob@far.test")
        desk.outlooks["192.0.2.5:25"] = SiteOutlook("192.0.2.5:25", 1, desk.clock.monotonic() + 60, WHY)
        assert (await everywhere(desk, queue_id))[0].state == "soon"
        await desk.do("queue reroute", filter="to:bob@far.test", via="smtp://192.0.2.5:25")
        assert (await everywhere(desk, queue_id))[0].state == "suspended"

    run(scenario)


@pytest.mark.parametrize(
    ("position", "state", "sentence"),
    [
        (AttemptPosition("far.test", -5.0), "trying", "attempt 1 at far.test is under way since T+-5"),
        (AttemptPosition("far.test", None, 3), "slot", "waits for a connection slot at far.test; 3 before it"),
        (None, "leased", "attempt 1 has just begun, or its result is being recorded"),
    ],
)
def test_leased_mail(position: AttemptPosition | None, state: str, sentence: str) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("bob@far.test")
        now = desk.clock.time()
        await desk.queue.lease("w", now, now + 60, limit=10)
        if position is not None:
            began = None if position.began is None else desk.clock.monotonic() + position.began
            desk.positions[queue_id, 0] = position._replace(began=began)
        found, history = await everywhere(desk, queue_id)
        assert found.state == state
        assert sentence in said(history)

    run(scenario)


def test_without_a_daemon_nothing_is_promised() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("bob@far.test")
        alone = desk.context()._replace(outlook=None, positions=None)
        (entry,) = await OPERATIONS["queue list"].run(alone)
        assert entry.next.state == "stopped"
        message = (await OPERATIONS["explain"].run(alone, what=queue_id)).message
        assert "no daemon answers, and attempt 1 is made when one runs" in said(message)

    run(scenario)


def test_the_end_of_all_attempts_is_said() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        _, history = await everywhere(desk, await desk.store("bob@far.test"))
        assert "given up if not delivered by T+432000 (in 5 days)" in said(history)
        assert "放弃期限 T+432000（5 天后）：届时仍未投递即放弃" in said(history, "zh")

    run(scenario)


def test_attempts_have_one_numbering() -> None:
    """Each recipient counts its own attempts: the number in the sentence is that of TRIES and of the next attempt."""

    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test", "b@near.test")
        for only in ("near.test", "near.test", "far.test"):
            await desk.attempt(Result.DEFERRED, LATER, again=1.0, only=only)
            await desk.clock.advance(2)
        message = (await desk.do("explain", what=queue_id)).message
        attempts = [each for each in message.events if isinstance(each, AttemptEntry)]
        assert [(each.destination, each.numbers) for each in attempts] == [
            *(("near.test", [1]), ("near.test", [2]), ("far.test", [1])),
        ]
        assert [(each.address, each.attempts) for each in message.standing] == [("a@far.test", 1), ("b@near.test", 2)]
        text = said(message)
        assert "attempt 2, for near.test" in text
        assert "b@near.test: attempt 3 begins now" in text
        assert "a@far.test: attempt 2 begins now" in text

    run(scenario)


def test_a_history_that_has_lost_attempts_numbers_the_last_ones_rightly() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("a@far.test")
        for _ in range(80):
            await desk.attempt(Result.DEFERRED, LATER, again=1.0)
            await desk.clock.advance(2)
        message = (await desk.do("explain", what=queue_id)).message
        numbers = [each.numbers for each in message.events if isinstance(each, AttemptEntry)]
        assert numbers[:2] == [[1], [2]]
        assert numbers[-1] == [80]
        assert message.standing[0].attempts == 80

    run(scenario)


ROUTED = """
hostname = "mx.here.test"
[relay]
retry_first = "1s"
retry_max = "2s"
[[route]]
to = "*"
via = "smtp://192.0.2.99:2600"
"""


def test_a_running_relay_tells_its_suspension() -> None:
    """A smarthost that refuses connections: once it is suspended, NEXT and `explain` name the end of the suspension."""

    events: list[tuple[str, dict[str, Any]]] = []

    async def scenario() -> None:
        clock = ManualClock()
        spool = SqliteSpool.ephemeral(time=clock.time)
        daemon = Daemon(
            parse(ROUTED),
            clock=clock,
            network=MemoryNetwork(clock),
            spool=spool,
            resolver=StaticResolver({}),
            log=lambda event, /, **fields: events.append((event, fields)),
        )
        await daemon.start()
        try:
            desk = OperationHarness.__new__(OperationHarness)
            desk.clock, desk.queue = clock, spool
            queue_id = await desk.store("bob@far.test")
            context = daemon.context("ann")
            daemon.worker.wake()
            found: QueueEntry | None = None
            for _ in range(40):
                await asyncio.wait_for(daemon.wait_idle(), 20)
                (found,) = await OPERATIONS["queue list"].run(context)
                if found.next is not None and found.next.state == "suspended":
                    break
                await clock.advance(1)
            assert found is not None
            assert found.next is not None
            assert found.next.state == "suspended"
            assert found.next.at is not None
            assert 50 < found.next.at - clock.time() < 80
            message: Any = (await OPERATIONS["explain"].run(context, what=queue_id)).message
            assert message.standing[0].next == found.next
            why = "3 connections in a row could not be opened: 192.0.2.99:2600 refused the connection"
            assert f"192.0.2.99:2600 is suspended: {why}" in said(message)
            assert "连续 3 次无法建立连接：192.0.2.99:2600 拒绝连接" in said(message, "zh")
            ((_, suspended),) = [each for each in events if each[0] == "suspended"]
            assert suspended["site"] == "192.0.2.99:2600"
            assert suspended["reason"] == why
            assert suspended["again"] == pytest.approx(found.next.at)
            address: Any = (await OPERATIONS["explain"].run(context, what="zoe@far.test")).address
            assert address.ends[0].next.at == found.next.at
            await clock.advance(found.next.at - clock.time() + 1)
            await asyncio.wait_for(daemon.wait_idle(), 20)
            (after,) = await OPERATIONS["queue list"].run(context)
            assert after.attempts == found.attempts + 1
            assert [fields["site"] for event, fields in events if event == "resumed"] == ["192.0.2.99:2600"]
        finally:
            await daemon.drain(1.0)

    run(scenario)
