"""The parts of a simulated world: time, processes, network, scripts; and what a test does with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.core import LocalError, Notify, Result
from posthouse.spool import RecipientState
from posthouse.testing.simulation import CrashKind, VirtualClock, VirtualLoop, VirtualProcess, World, parse_step

pytestmark = pytest.mark.leaves_open("databases that were replaced stay open")

RETRY = '[relay]\nretry_first = "1m"\n'


def test_time_passes_when_nothing_can_run() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, start=1000.0)
    order: list[str] = []

    async def scenario() -> None:
        clock.call_later(3_600.0, lambda: order.append("an hour"))
        clock.call_later(5.0, lambda: order.append("five seconds"))
        await clock.sleep(86_400.0)
        order.append("a day")
        assert (clock.monotonic(), clock.time()) == (86_400.0, 87_400.0)
        clock.jump(-400.0)
        assert (clock.monotonic(), clock.time()) == (86_400.0, 87_000.0)

    loop.run_until_complete(scenario())
    loop.close()
    assert order == ["five seconds", "an hour", "a day"]


def test_waiting_for_nothing_is_an_error() -> None:
    loop = VirtualLoop()
    with pytest.raises(LocalError, match="never happen"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_process_is_stopped() -> None:
    """Its tasks stop where they await; no ``finally`` block runs."""
    loop = VirtualLoop()
    reported: list[str] = []

    async def mortal() -> None:
        try:
            reported.append("began")
            await asyncio.sleep(10)
            reported.append("went on")
            await asyncio.to_thread(reported.append, "worked")
            await asyncio.sleep(10)
        finally:
            reported.append("cleaned up")

    process = VirtualProcess("one")
    process.step(loop.create_task, mortal())
    loop.call_later(15, process.stop)
    loop.run_until_complete(asyncio.sleep(100))
    assert reported == ["began", "went on", "worked"]
    loop.close()


def test_a_process_is_stopped_before_a_step() -> None:
    loop = VirtualLoop()
    steps: list[int] = []

    async def walker() -> None:
        for number in range(100):
            steps.append(number)
            await asyncio.sleep(1)

    process = VirtualProcess("walker", lambda: process.stop())
    process.step(loop.create_task, walker())
    process.last_step = 40
    loop.run_until_complete(asyncio.sleep(1000))
    loop.close()
    assert process.steps == 40
    assert 0 < len(steps) < 40


def test_an_exception_that_is_never_retrieved_is_reported() -> None:
    loop = VirtualLoop()

    async def fails() -> None:
        raise ValueError("unheard")

    async def scenario() -> None:
        task = loop.create_task(fails())
        await asyncio.sleep(1)
        del task

    loop.run_until_complete(scenario())
    assert "unheard" in loop.unheard()[0]
    loop.close()


@pytest.mark.parametrize(
    "text", ["", "nap", "rcpt", "rcpt:250", "rcpt:450:9.9.9", "wait:rcpt", "drop:lunch", "lunch:450"]
)
def test_what_is_no_step(text: str) -> None:
    with pytest.raises(LocalError, match="is no step"):
        parse_step(text)


@pytest.mark.parametrize(
    ("step", "result", "kept"),
    [
        ("ok", "delivered", True),
        ("refuse", "deferred", False),
        ("silent", "deferred", False),
        ("connect:554", "failed", False),
        ("helo:550", "failed", False),
        ("mail:451", "deferred", False),
        ("rcpt:450:4.2.1", "deferred", False),
        ("rcpt:550:5.1.1", "failed", False),
        ("data:451", "deferred", False),
        ("end:452", "deferred", False),
        ("end:554", "failed", False),
        ("drop:connect", "deferred", False),
        ("drop:mail", "ambiguous", False),  # with BDAT the whole message had been sent by then
        ("drop:end", "ambiguous", False),
        ("lose", "ambiguous", True),
        ("wait:connect:20", "delivered", True),
        ("wait:rcpt:20", "delivered", True),
        ("wait:end:700", "ambiguous", True),
    ],
)
def test_a_step(step: str, result: str, kept: bool) -> None:
    """The result at the node, and whether the remote host has kept the message."""
    with World(2) as world:
        target = world.remote_host("mx.b.test", domains=["b.test"], script=[step])
        node = world.node("mail.a.test", '[relay]\nretry_first = "30m"\n')
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.run(1200)
        assert target.steps == [step]
        assert any(f" {result} id=" in line for line in world.trace), "\n".join(world.trace)
        assert any(not copy.report for copy in world.copies) is kept
        world.check()


def test_the_manuals_example() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    space: dict[str, Callable[[], None]] = {}
    exec(example, space)
    space["test_a_message_survives_a_crash"]()


def test_a_message_is_deferred_and_delivered() -> None:
    with World(3) as world:
        target = world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450", "refuse", "end:451"])
        node = world.node("mail.a.test", RETRY)
        message = world.send(node, "ann@a.test", ["bob@b.test", "eve@b.test"])
        world.run(60)
        assert message.accepted
        assert [waiting.state for entry in node.entries() for waiting in entry.recipients] == [
            RecipientState.WAITING
        ] * 2
        world.run(7200)
        world.check(quiet=True)
        assert node.entries() == []
        assert {copy.recipient for copy in world.copies} == {"bob@b.test", "eve@b.test"}
        assert target.steps[-1] == "ok"


def test_a_refusal_comes_back_as_a_report() -> None:
    with World(4) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:550:5.1.1"])
        world.remote_host("mx.a.test", domains=["a.test"])
        node = world.node("mail.a.test")
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.send(node, "ann@a.test", ["eve@nowhere.test"], notify=Notify.NEVER)
        world.run(3600)
        world.check(quiet=True)
        assert [(a.place, a.recipient, a.report) for a in world.copies] == [("mx.a.test", "ann@a.test", True)]


@pytest.mark.parametrize("kind", list(CrashKind))
def test_a_node_crashes_at_every_step_of_a_message(kind: CrashKind) -> None:
    """From the first octet of the session to the recorded end; the client tries again when it was not answered."""
    crashed = accepted_before = 0
    for step in range(1, 70):
        with World(step) as world:
            world.remote_host("mx.b.test", domains=["b.test"])
            node = world.node("mail.a.test", RETRY)
            node.crash_at_step(step, kind)
            message = world.send(node, "ann@a.test", ["bob@b.test"], tries=3)
            world.run(7200)
            world.check(quiet=True)
            assert message.accepted
            assert world.copies
            crashed += node.incarnations == 2
            accepted_before += len(message.tokens) == 1
    assert crashed > 30
    assert 0 < accepted_before < 69


def test_two_nodes_on_one_spool() -> None:
    with World(5) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450"] * 3)
        first = world.node("mail1.a.test", RETRY)
        second = world.node("mail2.a.test", RETRY, shares=first)
        for number in range(6):
            world.send((first, second)[number % 2], "ann@a.test", [f"p{number}@b.test"])
        world.run(30)
        first.crash(CrashKind.SILENT, down=None)
        world.run(7200)
        world.check(quiet=True)
        assert len(world.copies) == 6


def test_domains_that_receive_no_mail() -> None:
    with World(6) as world:
        world.resolver.zone["null.test"] = {"MX": ["0 ."]}
        world.resolver.failing.add("later.test")
        world.remote_host("mx.a.test", domains=["a.test"])
        node = world.node("mail.a.test", RETRY)
        world.send(node, "ann@a.test", ["a@null.test", "b@nowhere.test", "c@later.test"])
        world.run(600)
        left = [str(w.recipient.address) for entry in node.entries() for w in entry.recipients if w.attempts]
        assert "c@later.test" in left
        text = "\n".join(world.trace)
        assert "5.1.10" in text
        assert "5.1.2" in text
        world.check()


def test_a_drained_node_starts_again() -> None:
    with World(7) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["wait:rcpt:100"])
        node = world.node("mail.a.test", RETRY)
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.at(20, node.drain_and_restart)
        world.run(3600)
        assert node.incarnations == 2
        world.check(quiet=True)
        assert world.results == {("1.1", "bob@b.test"): Result.DELIVERED}


def test_a_mailbox_at_a_second_node() -> None:
    with World(8) as world:
        inner = world.node("mx.b.test", '[[domain]]\nname = "b.test"\ndeliver = "mailbox"\nmailboxes = "any"\n')
        outer = world.node("mail.a.test", RETRY)
        world.send(outer, "ann@a.test", ["bob@b.test"], b"Subject: hi\r\n\r\n.dot\r\n..dots\r\n")
        world.at(0.01, inner.crash)
        world.run(3600)
        world.check(quiet=True)
        assert [(a.place, a.recipient) for a in world.copies] == [("mx.b.test", "bob@b.test")]
