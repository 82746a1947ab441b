"""What a busy machine, an operator and other hosts do to a daemon: slow threads, replaced spools, clocks, limits."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from posthouse.core import SettingError
from posthouse.relay import wake_up, worker
from posthouse.testing.simulation import CrashKind, NoChaos, World

pytestmark = pytest.mark.leaves_open("databases that were replaced stay open")

RETRY = '[relay]\nretry_first = "1m"\nretry_max = "5m"\n'
CATCHER = '[[domain]]\nname = "*"\ndeliver = "mailbox"\nmailboxes = "any"\n'
YEAR = 365 * 86_400.0

#: Compiled classes cannot be replaced by broken ones: there the two tests that do so do not exist.
INTERPRETED = str(wake_up.__file__).endswith(".py")


class SlowThreads(NoChaos):
    """Answers of threads that come late, in any order: what a query has seen may be old when it is told."""

    def __init__(self, longest: float) -> None:
        self.longest = longest

    def thread_pause(self, random: Random) -> float:
        return random.choice((0.0, 0.001, random.random() * self.longest))


def lateness(seed: int, longest: float) -> float:
    """The most seconds by which an attempt came later than it was planned, on a machine with slow threads.

    Some hosts defer each message a few times; nothing else wakes the relay.
    """
    with World(seed, chaos=SlowThreads(longest)) as world:
        for number in range(3):
            world.remote_host(f"mx{number}.test", domains=[f"d{number}.test"], script=["rcpt:450"] * 4)
        node = world.node("mail.a.test", RETRY)
        for number in range(3):
            after = world.random.random() * 5
            world.send(node, "ann@a.test", [f"p@d{number}.test"], after=after)
        world.run(3600)
        world.check()
        planned: dict[str, float] = {}
        worst = 0.0
        for line in world.trace:
            found = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if " deferred " in line or " delivered id=" in line:
                at = float(line.split()[0])
                worst = max(worst, at - planned.get(found["id"], at))
                if "again" in found:
                    planned[found["id"]] = float(found["again"]) - 1_800_000_000.0
        assert len(planned) == 3, "each message was deferred"
        return max(worst, 0.0 if not node.entries() else 3600.0)


@pytest.mark.parametrize("seed", range(25))
def test_no_wake_up_is_lost_whatever_the_order_of_answers(seed: int) -> None:
    """A retry comes at its time, but for the queries that must be answered before it."""
    longest = (0.05, 2.0, 10.0)[seed % 3]
    assert lateness(seed, longest) < 3.0 + 5 * longest


class Overwriting(wake_up.WakeUp if INTERPRETED else object):  # type: ignore[misc]
    """A wake-up that keeps the last time that was named, instead of the earliest."""

    def at(self, due: float = 0.0) -> None:
        self.due = due
        self._rung.set()


class Deaf(wake_up.WakeUp if INTERPRETED else object):  # type: ignore[misc]
    """A wake-up that forgets what is named while a look is under way."""

    def at(self, due: float = 0.0) -> None:
        if self.due < float("inf"):
            super().at(due)


if INTERPRETED:

    @pytest.mark.parametrize("broken", [Overwriting, Deaf])
    def test_a_wake_up_that_does_not_keep_the_earliest_time_is_noticed(
        broken: type[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker, "WakeUp", broken)
        assert max(lateness(seed, 2.0) for seed in range(12)) > 60.0


# -- replaced spools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_spool_that_is_replaced_loses_no_promise(seed: int) -> None:
    with World(seed) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450"] * 6)
        node = world.node("mail.a.test", RETRY)
        other = world.node("mail2.a.test", RETRY, shares=node) if seed % 2 else node
        for number in range(12):
            after = world.random.random() * 60
            world.send((node, other)[number % 2], "ann@a.test", [f"p{number}@b.test"], after=after, tries=4)
        when = 10 + world.random.random() * 40

        def replace() -> None:
            node.restore_spool(after=100)
            if other is not node:
                world.at(100, lambda: other.crash(down=1.0))

        world.at(when, replace)
        world.run(80)
        refused = [message for message in world.messages if not message.accepted]
        assert refused
        assert any("451" in outcome.reason for message in refused for outcome in message.outcomes)
        world.run(7200)
        world.check(quiet=True)
        assert all(message.accepted for message in world.messages)


def test_a_replaced_spool_makes_no_more_attempts() -> None:
    with World(3) as world:
        host = world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450"] * 3)
        node = world.node("mail.a.test", RETRY)
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.run(30)
        node.restore_spool(after=3600)
        before = len(host.steps)
        world.run(3000)
        assert len(host.steps) <= before + 1  # one may have been leased in the moment before
        world.run(3600)
        world.check(quiet=True)


# -- two daemons -------------------------------------------------------------------------------------------------------


def test_a_second_daemon_on_the_directory_is_refused() -> None:
    with World(4) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450"] * 3)
        first = world.node("mail.a.test", RETRY)
        world.send(first, "ann@a.test", ["bob@b.test"])
        world.run(5)
        with pytest.raises(SettingError, match="is in use by the daemon with process"):
            world.node("mail2.a.test", RETRY, beside=first)
        with pytest.raises(SettingError, match="is in use by the daemon with process"):
            world.node("catcher.test", CATCHER, beside=first)
        world.at(1, lambda: first.crash(CrashKind.KILLED, down=None))
        world.run(2)
        with pytest.raises(SettingError, match="the spool belongs to a daemon with a configuration"):
            world.node("catcher2.test", CATCHER, beside=first)
        world.node("mail3.a.test", RETRY, beside=first)  # no lock is left behind
        world.run(3600)
        assert [copy.recipient for copy in world.copies] == ["bob@b.test"]


def test_caught_mail_does_not_leave() -> None:
    with World(5) as world:
        host = world.remote_host("mx.b.test", domains=["b.test"])
        catcher = world.node("catcher.test", CATCHER)
        for number in range(5):
            world.send(catcher, "ann@a.test", [f"p{number}@b.test"])
        world.run(0.02)
        catcher.crash(CrashKind.KILLED, down=None)
        with pytest.raises(SettingError, match="the spool belongs to a catcher"):
            world.node("mail.a.test", RETRY, beside=catcher)
        world.run(3600)
        assert host.received == []


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_mail_goes_on_when_a_clock_is_set_back_by_a_year(workers: int) -> None:
    with World(6) as world:
        host = world.remote_host("mx.b.test", domains=["b.test"], script=["rcpt:450"] * 8)
        node = world.node("mail.a.test", RETRY)
        if workers == 2:
            world.node("mail2.a.test", RETRY, shares=node)
        node.jump(YEAR)
        for number in range(4):
            world.send(node, "ann@a.test", [f"p{number}@b.test"])
        world.run(20)
        assert len(host.steps) >= 4
        node.jump(-YEAR)
        world.run(1800)
        world.check(quiet=True)
        assert len(world.copies) == 4


def test_mail_goes_on_when_the_clock_was_wrong_until_the_next_start() -> None:
    with World(7) as world:
        world.remote_host("mx.b.test", domains=["b.test"], script=["refuse"] * 4)
        node = world.node("mail.a.test", RETRY)
        node.jump(YEAR)
        for number in range(4):
            world.send(node, "ann@a.test", [f"p{number}@b.test"])
        world.run(20)
        node.crash(down=None)
        node.jump(-YEAR)
        node.restart()
        world.run(1800)
        world.check(quiet=True)
        assert len(world.copies) == 4


# -- hosts with a limit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "seconds"), [(1, 60.0), (3, 30.0)])
def test_a_host_with_a_limit_of_connections_gets_its_mail(most: int, seconds: float) -> None:
    with World(8) as world:
        host = world.remote_host("mx.b.test", domains=["b.test"], most=most, script=lambda: "wait:end:0.04")
        node = world.node("mail.a.test", RETRY)
        for number in range(40):
            world.send(node, "ann@a.test", [f"p{number}@b.test"])
        world.run(seconds)
        assert host.turned_away
        assert len(host.received) == 40
        world.check(quiet=True)
