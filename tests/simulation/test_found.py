"""What the simulation has found, told as small stories, so that it stays found."""

from __future__ import annotations

import pytest

from posthouse.spool.sqlite.liveness import LOOK
from posthouse.testing.simulation import World
from posthouse.testing.simulation.scenario import bad_day


def test_the_calendar_jumps_while_an_attempt_is_under_way() -> None:
    """Seed 350: the lease ran out by the calendar, the worker leased its own mail again, and delivered it twice."""
    with World(350) as world:
        target = world.destination("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok", "ok"])
        house = world.house("mail.a.test")
        world.send(house, "ann@a.test", ["bob@b.test", "eve@b.test"])
        world.at(60, lambda: house.jump(3600))
        world.at(61, lambda: world.send(house, "ann@a.test", ["cat@b.test"]))  # has the worker look at the queue
        world.run(7200)
        world.check(quiet=True)
        assert sorted(arrival.recipient for arrival in world.arrivals) == [
            "bob@b.test",
            "cat@b.test",
            "eve@b.test",
        ]
        assert "ambiguous" not in "\n".join(world.trace)
        assert len(target.steps) == 2


@pytest.mark.parametrize("jump", [3600.0, 90_000.0, -3600.0])
def test_the_calendar_jumps_under_two_houses_on_one_spool(jump: float) -> None:
    """The other house took what the first was at, and delivered it twice."""
    with World(351) as world:
        target = world.destination("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok", "ok"])
        house = world.house("mail.a.test")
        other = world.house("mail2.a.test", shares=house)
        world.send(house, "ann@a.test", ["bob@b.test", "eve@b.test"])
        world.at(60, lambda: house.jump(jump))
        world.at(61, lambda: world.send(other, "ann@a.test", ["cat@b.test"]))  # has it look at the queue
        world.run(7200)
        world.check(quiet=True)
        assert sorted(arrival.recipient for arrival in world.arrivals) == ["bob@b.test", "cat@b.test", "eve@b.test"]
        assert "ambiguous" not in "\n".join(world.trace)
        assert len(target.steps) == 2


def test_what_a_dead_house_had_is_soon_anothers() -> None:
    """It waited until the dead one's leases had run out."""
    with World(352) as world:
        world.destination("mx.b.test", domains=["b.test"], script=["wait:rcpt:250", "ok"])
        house = world.house("mail.a.test")
        world.house("mail2.a.test", shares=house)
        world.send(house, "ann@a.test", ["bob@b.test"])
        world.at(60, lambda: house.crash(down=None))
        world.run(60 + LOOK + 5)
        assert [arrival.recipient for arrival in world.arrivals] == ["bob@b.test"]
        world.check(quiet=True)


@pytest.mark.parametrize("seed", [113, 226, 350, 41])
def test_a_seed_that_once_failed(seed: int) -> None:
    with bad_day(seed) as world:
        world.check(quiet=True)
