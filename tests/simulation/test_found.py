"""Regression tests of faults that the simulation has found."""

from __future__ import annotations

import pytest

from posthouse.spool.sqlite.liveness import LOOK
from posthouse.testing.simulation import World
from posthouse.testing.simulation.scenario import bad_day

pytestmark = pytest.mark.leaves_open("databases that were replaced stay open")


def test_the_calendar_jumps_while_an_attempt_is_under_way() -> None:
    """Seed 350: the lease ran out by the calendar, the worker leased its own mail again, and delivered it twice."""
    with World(350) as world:
        target = world.remote_host("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok", "ok"])
        node = world.node("mail.a.test")
        world.send(node, "ann@a.test", ["bob@b.test", "eve@b.test"])
        world.at(60, lambda: node.jump(3600))
        world.at(61, lambda: world.send(node, "ann@a.test", ["cat@b.test"]))  # makes the worker lease
        world.run(7200)
        world.check(quiet=True)
        assert sorted(copy.recipient for copy in world.copies) == [
            "bob@b.test",
            "cat@b.test",
            "eve@b.test",
        ]
        assert "ambiguous" not in "\n".join(world.trace)
        assert len(target.steps) == 2


@pytest.mark.parametrize("jump", [3600.0, 90_000.0, -3600.0])
def test_the_calendar_jumps_with_two_nodes_on_one_spool(jump: float) -> None:
    """The second node leased what the first one was delivering, and delivered it twice."""
    with World(351) as world:
        target = world.remote_host("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok", "ok"])
        node = world.node("mail.a.test")
        other = world.node("mail2.a.test", shares=node)
        world.send(node, "ann@a.test", ["bob@b.test", "eve@b.test"])
        world.at(60, lambda: node.jump(jump))
        world.at(61, lambda: world.send(other, "ann@a.test", ["cat@b.test"]))  # makes it lease
        world.run(7200)
        world.check(quiet=True)
        assert sorted(copy.recipient for copy in world.copies) == ["bob@b.test", "cat@b.test", "eve@b.test"]
        assert "ambiguous" not in "\n".join(world.trace)
        assert len(target.steps) == 2


def test_leases_of_a_crashed_node_are_soon_taken() -> None:
    """The second node waited until the leases of the crashed one had expired."""
    with World(352) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok"])
        node = world.node("mail.a.test")
        world.node("mail2.a.test", shares=node)
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.at(60, lambda: node.crash(down=None))
        world.run(60 + LOOK + 5)
        assert [copy.recipient for copy in world.copies] == ["bob@b.test"]
        world.check(quiet=True)


@pytest.mark.parametrize("seed", [113, 226, 350, 41])
def test_a_seed_that_once_failed(seed: int) -> None:
    with bad_day(seed) as world:
        world.check(quiet=True)


def test_a_node_that_is_starting_is_not_drained() -> None:
    """Seed 201030: the daemon of the last incarnation was drained while the next one began, and two of them started."""
    with World(352) as world:
        world.remote_host("mx.b.test", domains=["b.test"])
        node = world.node("mail.a.test")
        world.send(node, "ann@a.test", ["bob@b.test"])

        def drain_in_each_turn(turns: int) -> None:
            node.drain_and_restart()
            if turns:
                node._loop.call_soon(drain_in_each_turn, turns - 1)

        def restart() -> None:
            node.restart()
            drain_in_each_turn(20)

        world.at(60, lambda: node.crash(down=None))
        world.at(70, restart)
        world.run(600)
        world.check(quiet=True)
        assert [line.split()[-1] for line in world.trace if " start " in line] == ["incarnation=1", "incarnation=2"]


def test_two_nodes_that_crash_alike_excuse_two_copies() -> None:
    """Seed 200760: the first incarnations of two nodes on one spool crashed, and that counted as one accident."""
    with World(353) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["wait:end:50", "wait:end:50", "ok"])
        node = world.node("mail.a.test")
        other = world.node("mail2.a.test", shares=node)
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.at(10, lambda: node.crash(down=None))
        world.at(70, lambda: other.crash(down=None))
        world.at(200, node.restart)
        world.run(7200)
        world.check(quiet=True)
        assert len(world.copies) == 3
