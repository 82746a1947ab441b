"""Sites in the worker: growth, the breaker, what is not leased meanwhile, what goes together, who starves (nobody)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.core import Outcome, Recipient, Reply, Result
from posthouse.delivery.feedback import Feedback
from posthouse.delivery.model import Delivery
from posthouse.relay.recording.retry import RetrySchedule
from posthouse.relay.routes import NoRoute, Route, RouteRule, RouteTable
from posthouse.spool.interface import RecipientState

from .fakes import FakeDeliverer
from .test_worker import RelayRig, play

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class SitedFake(FakeDeliverer):
    """Knows sites by a dictionary of targets (a target is its own site otherwise), and gives signs as it is told."""

    sited = True

    def __init__(self, sites: dict[str, str] | None = None, *, hold: bool = False) -> None:
        super().__init__(hold=hold)
        self.sites = sites or {}
        self.signs: dict[str, Feedback] = {}  # by site; what is not here goes well
        self.replies: dict[str, Reply] = {}
        self.known: set[str] = set()  # targets that need no looking up
        self.looked_up: list[str] = []
        self.most_at: dict[str, int] = {}
        self._at: dict[str, int] = {}

    def site_now(self, target: str) -> str | None:
        return self.sites.get(target, target) if target in self.known else None

    async def locate(self, target: str) -> str:
        self.looked_up.append(target)
        await asyncio.sleep(0)
        self.known.add(target)
        return self.sites.get(target, target)

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        site = self.sites.get(target, target)
        self._at[site] = self._at.get(site, 0) + 1
        self.most_at[site] = max(self.most_at.get(site, 0), self._at[site])
        try:
            await super().deliver(job, target)
        finally:
            self._at[site] -= 1
        assert job.tracer is not None
        job.tracer.feedback = sign = self.signs.get(site, Feedback.OK)
        if sign is Feedback.OK:
            return self.outcomes(job)
        reply = self.replies.get(site, Reply(451, "4.4.1", "nobody there"))
        return [Outcome(person, Result.DEFERRED, reply, "no") for person in job.recipients]

    def tried(self, target: str) -> int:
        return sum(where == target for _, where in self.jobs)


def kill(fake: SitedFake, *sites: str) -> None:
    fake.signs.update(dict.fromkeys(sites, Feedback.UNREACHABLE))


async def close(rig: RelayRig, fake: SitedFake, domain: str) -> None:
    """Three attempts that find nobody."""
    kill(fake, fake.sites.get(domain, domain))
    for n in range(3):
        rig.arrive(f"first{n}@{domain}")
        await rig.worker.idle()
    assert rig.worker.sites()[fake.sites.get(domain, domain)].until is not None


# -- the window


def test_a_site_is_asked_for_little_at_first_and_for_more_with_each_success() -> None:
    fake = SitedFake(hold=True)

    async def scenario(rig: RelayRig) -> None:
        for n in range(60):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.settle()
        assert fake.running == 2
        fake.let_go()
        await rig.worker.idle()
        fake._gate.clear()
        for n in range(60):
            rig.arrive(f"v{n}@sina.com")
        await rig.clock.settle()
        assert fake.running == 20
        fake.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(fake, per_destination=20, concurrency=50), scenario)
    assert rig.worker.sites()["sina.com"].limit == 20
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert fake.looked_up.count("sina.com") <= 2


def test_domains_that_share_a_site_share_its_window() -> None:
    fake = SitedFake({f"d{n}.test": "mx.host.test" for n in range(10)}, hold=True)

    async def scenario(rig: RelayRig) -> None:
        for n in range(10):
            rig.arrive(f"u@d{n}.test")
        await rig.clock.settle()
        assert fake.running == 2
        fake.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(fake), scenario)
    assert set(rig.worker.sites()) == {"mx.host.test"}
    assert len(fake.jobs) == 10


# -- what goes together


def test_recipients_at_one_site_are_one_job_once_the_site_is_known() -> None:
    fake = SitedFake({"a.test": "mx.host.test", "b.test": "mx.host.test"})

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("x@a.test", "y@b.test", "z@c.test")
        await rig.worker.idle()
        assert len(fake.jobs) == 3
        rig.arrive("x2@a.test", "y2@b.test", "z2@c.test")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(fake), scenario)
    jobs = [{str(person.address) for person in job.recipients} for job, _ in fake.jobs[3:]]
    assert sorted(map(sorted, jobs)) == [["x2@a.test", "y2@b.test"], ["z2@c.test"]]
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


def test_they_part_when_one_has_moved_meanwhile() -> None:
    fake = SitedFake({"a.test": "mx.host.test", "b.test": "mx.host.test"})

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("x@a.test", "y@b.test")
        await rig.worker.idle()
        fake.jobs.clear()
        fake.known.clear()
        fake.sites["b.test"] = "elsewhere.test"
        rig.arrive("x2@a.test", "y2@b.test")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(fake), scenario)
    assert sorted((target, len(job.recipients)) for job, target in fake.jobs) == [("a.test", 1), ("b.test", 1)]
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


# -- the breaker


def test_a_dead_site_is_not_leased_for_whatever_waits_for_it() -> None:
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "dead.test")
        until = rig.worker.sites()["dead.test"].until
        assert until is not None
        for n in range(500):
            rig.spool.put([f"u{n}@dead.test"], now=rig.clock.time())
        rig.worker.wake()
        await rig.worker.idle()
        leases, records, releases = (rig.spool.calls[call] for call in ("lease", "record", "release"))
        for n in range(20):
            rig.arrive_unclaimed(f"u{n}@alive.test")
            await rig.worker.idle()
        assert fake.tried("alive.test") == 20
        assert fake.tried("dead.test") == 3
        assert rig.spool.calls["lease"] - leases <= 60
        assert rig.spool.calls["record"] - records == 20
        assert rig.spool.calls["release"] == releases
        assert rig.worker.claim(["dead.test"]) == 0.0

    play(lambda: RelayRig(fake), scenario)


def test_one_probe_is_sent_when_the_pause_is_over_and_success_reopens() -> None:
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "dead.test")
        for n in range(300):
            rig.spool.put([f"u{n}@dead.test"], now=rig.clock.time())
        await rig.clock.advance(76.0)
        assert fake.tried("dead.test") == 4
        fake.signs.clear()
        await rig.clock.advance(100.0)
        assert fake.tried("dead.test") == 4, "closed for twice as long"
        await rig.clock.advance(60.0)
        await rig.worker.idle()
        assert fake.tried("dead.test") == 303, "three that closed it, the probe, and those that were not probed with"
        assert rig.worker.sites()["dead.test"].until is None

    play(lambda: RelayRig(fake), scenario)


def test_a_domain_that_is_found_to_live_at_a_dead_site_is_not_attempted() -> None:
    fake = SitedFake({"one.test": "mx.host.test", "two.test": "mx.host.test"})

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "one.test")
        rig.arrive("u@two.test")
        await rig.worker.idle()
        assert fake.tried("two.test") == 0
        row = rig.spool.state("u@two.test")
        assert (row.until, row.waiting.attempts) == (0.0, 0), "back in the queue, untouched"
        assert rig.worker.claim(["two.test"]) == 0.0

    play(lambda: RelayRig(fake), scenario)


def test_mail_for_a_dead_site_is_given_up_in_the_end_though_most_of_it_is_never_tried() -> None:
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "dead.test")
        for n in range(60):
            rig.spool.put([f"u{n}@dead.test"], now=rig.clock.time())
        for _ in range(5 * 24 + 12):
            await rig.clock.advance(HOUR)
        states = [row.waiting.state for row in rig.spool.rows.values()]
        assert states == [RecipientState.HELD] * 63, "nobody writes reports here"
        lasts = [row.waiting.last for row in rig.spool.rows.values()]
        assert any("not attempted: dead.test is suspended" in last for last in lasts)
        ends = [outcome for row in rig.spool.rows.values() for outcome in row.outcomes if "not att" in outcome.reason]
        assert {str(outcome.reply)[:9] for outcome in ends} == {"451 4.4.1"}
        assert max(row.waiting.due for row in rig.spool.rows.values()) <= rig.clock.time()
        assert fake.tried("dead.test") < 400, "a probe in half an hour, and not 63 times 37 attempts"

    play(lambda: RelayRig(fake, schedule=RetrySchedule(ceiling=14_400.0)), scenario)


def test_a_lease_of_overdue_mail_begins_now_and_takes_what_was_due_an_hour_ago() -> None:
    """The spool dates crashes and its history by *now*; only what is due is asked as of an hour ago."""
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "dead.test")
        for n in range(60):
            rig.spool.put([f"u{n}@dead.test"], now=rig.clock.time())
        first = rig.clock.time() + HOUR
        rig.spool.leased.clear()
        overdue: list[tuple[float, float, float]] = []
        while not overdue and rig.clock.time() < first + HOUR:
            await rig.clock.advance(MINUTE)
            overdue = [(now, until, due) for now, until, due in rig.spool.leased if due is not None]
        assert overdue
        for now, until, due in overdue:
            assert first <= now <= rig.clock.time()
            assert until == now + 300.0
            assert due == now - HOUR

    play(lambda: RelayRig(fake), scenario)


def test_an_operator_reopens_a_site() -> None:
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        await close(rig, fake, "dead.test")
        fake.signs.clear()
        rig.arrive_unclaimed("u@dead.test")
        await rig.worker.idle()
        assert fake.tried("dead.test") == 3
        rig.worker.reopen(["dead.test"])
        await rig.worker.idle()
        assert fake.tried("dead.test") == 4

    rig = play(lambda: RelayRig(fake), scenario)
    assert rig.state("u@dead.test") is RecipientState.DELIVERED


# -- pauses


def test_a_host_that_asks_for_time_gets_it_and_its_mail_goes_back_to_the_queue() -> None:
    fake = SitedFake()
    fake.signs["sina.com"] = Feedback.THROTTLED
    fake.replies["sina.com"] = Reply(421, "4.7.0", "Too much mail, try again in 10 minutes")

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("first@sina.com")
        await rig.worker.idle()
        waiting = rig.spool.state("first@sina.com").waiting
        assert 600.0 <= waiting.due - rig.clock.time() <= 660.0
        rig.arrive_unclaimed("second@sina.com")
        await rig.clock.advance(590.0)
        assert fake.tried("sina.com") == 1
        fake.signs.clear()
        await rig.clock.advance(170.0)
        await rig.worker.idle()
        assert fake.tried("sina.com") == 3

    rig = play(lambda: RelayRig(fake), scenario)
    assert rig.log[0][1]["why"] == "the other side asked for 10 minutes"


def test_those_in_line_are_given_back_when_the_site_is_to_be_left_alone() -> None:
    fake = SitedFake(hold=True)
    fake.signs["sina.com"] = Feedback.THROTTLED

    async def scenario(rig: RelayRig) -> None:
        for n in range(10):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.settle()
        fake.let_go()
        await rig.worker.idle()
        assert fake.tried("sina.com") == 2
        untouched = [row for row in rig.spool.rows.values() if row.waiting.attempts == 0]
        assert len(untouched) == 8
        assert {row.until for row in untouched} == {0.0}

    play(lambda: RelayRig(fake), scenario)


# -- fairness


def test_one_sites_backlog_does_not_starve_the_others() -> None:
    fake = SitedFake(hold=True)

    def with_backlog() -> RelayRig:
        rig = RelayRig(fake, concurrency=10, per_destination=4)
        for n in range(1000):
            rig.spool.put([f"u{n}@slow.test"], now=rig.clock.time() - 100)
        for n in range(5):
            rig.spool.put([f"u@other{n}.test"], now=rig.clock.time() - 1)
        return rig

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.settle()
        assert {target for _, target in fake.jobs} == {"slow.test", *(f"other{n}.test" for n in range(5))}
        assert fake.tried("slow.test") == 1, "no more as long as nothing is known of it"
        fake.let_go()
        await rig.worker.idle()

    rig = play(with_backlog, scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert fake.most_at["slow.test"] <= 4


def test_sites_in_doubt_leave_half_of_the_slots_to_the_others() -> None:
    fake = SitedFake()

    async def scenario(rig: RelayRig) -> None:
        for n in range(8):
            kill(fake, f"dead{n}.test")
            rig.arrive(f"u@dead{n}.test")
        await rig.worker.idle()
        fake._gate.clear()
        for n in range(8):
            rig.arrive(f"v@dead{n}.test")
        await rig.clock.settle()
        assert fake.running == 4
        rig.arrive("u@alive.test")
        await rig.clock.settle()
        assert fake.tried("alive.test") == 1
        fake.let_go()
        await rig.worker.idle()

    play(lambda: RelayRig(fake, concurrency=8), scenario)


# -- late binding


def test_the_way_is_asked_at_each_attempt_and_an_operators_word_goes_before() -> None:
    first, second = FakeDeliverer(Result.DEFERRED), FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.worker.idle()
        rig.worker.router = RouteTable([RouteRule("sina.com", second, "new.test:25")])
        await rig.clock.advance(301.0)

    rig = play(lambda: RelayRig(first), scenario)
    assert [target for _, target in second.jobs] == ["new.test:25"]
    assert rig.state("a@sina.com") is RecipientState.DELIVERED


@pytest.mark.parametrize(
    ("override", "target"), [("smtp://192.0.2.7:2525", "192.0.2.7:2525"), ("mx", "sina.com"), ("lmtp:/run/l", "/run/l")]
)
def test_an_override_names_its_way(override: str, target: str) -> None:
    fake = FakeDeliverer()
    table = RouteTable([RouteRule("sina.com", FakeDeliverer())], ways={"smtp": fake, "mx": fake, "lmtp": fake})
    way = table.route(recipient("a@sina.com"), override)
    assert isinstance(way, Route)
    assert (way.deliverer, way.target) == (fake, target)
    assert override in way.reason


def test_an_override_that_nobody_understands_leaves_the_mail_waiting() -> None:
    way = RouteTable(default=RouteRule("*", FakeDeliverer())).route(recipient("a@sina.com"), "pigeon:grey")
    assert isinstance(way, NoRoute)
    assert way.outcome.result is Result.DEFERRED
    assert "pigeon:grey" in way.outcome.reason


def recipient(address: str) -> Recipient:
    from posthouse.core import Address

    return Recipient(Address(*address.rsplit("@", 1)))
