"""Sites that have not proved themselves: dead ones by the thousand delay nobody, and living ones are soon found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from posthouse.core import Outcome
from posthouse.delivery.feedback import Feedback
from posthouse.delivery.model import Delivery
from posthouse.spool.interface import RecipientState

from .fakes import FakeDeliverer, InstantFake
from .test_scheduler import SitedFake
from .test_worker import RelayRig, play

TIMEOUT = 30.0


class Outside(SitedFake):
    """Hosts called ``silent…`` say nothing for half a minute, those called ``gone…`` refuse, the others live."""

    def __init__(self) -> None:
        super().__init__()
        self.rig: RelayRig | None = None
        self.waiting = 0
        self.most_waiting = 0

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        assert self.rig is not None
        if target.startswith(("silent", "gone")):
            self.signs[target] = Feedback.UNREACHABLE
        if target.startswith("silent"):
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            try:
                await self.rig.clock.sleep(TIMEOUT)
            finally:
                self.waiting -= 1
        return await super().deliver(job, target)


def rig_of(fake: Outside, *queued: str, concurrency: int = 16, each: int = 1) -> Callable[[], RelayRig]:
    """A relay whose spool holds messages that came and were due long ago."""

    def make() -> RelayRig:
        rig = fake.rig = RelayRig(fake, concurrency=concurrency)
        for n, domain in enumerate(queued):
            for _ in range(each):
                rig.spool.put([f"u{n}@{domain}"], now=rig.clock.time() - 1000)
        return rig

    return make


def silent(count: int) -> list[str]:
    return [f"silent{n}.test" for n in range(count)]


def gone(count: int) -> list[str]:
    return [f"gone{n}.test" for n in range(count)]


# -- silent hosts


def test_a_letter_is_attempted_at_once_while_more_silent_hosts_hang_than_there_are_slots() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.advance(25.0)
        assert fake.waiting > 16
        rig.arrive("u@unproven.test")
        await rig.clock.settle()
        assert fake.tried("unproven.test") == 1
        rig.arrive("v@unproven.test")
        await rig.clock.settle()
        assert fake.tried("unproven.test") == 2

    play(rig_of(fake, *silent(500)), scenario)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 10.0, 40.0])
def test_neither_do_letters_to_silent_hosts_that_have_just_come_delay_one_to_a_proven_host(seconds: float) -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("u@live.test")
        await rig.worker.idle()
        for domain in silent(300):
            rig.arrive(f"u@{domain}")
        await rig.clock.advance(seconds)
        rig.arrive("v@live.test")
        await rig.clock.settle()
        assert fake.tried("live.test") == 2

    play(rig_of(fake), scenario)


def test_a_new_host_waits_for_a_moment_at_most_behind_hosts_that_turn_out_to_be_silent() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        for domain in silent(20):
            rig.arrive(f"u@{domain}")
        rig.arrive("u@unproven.test")
        await rig.clock.settle()
        assert fake.tried("unproven.test") == 0
        await rig.clock.advance(3.0)
        assert fake.tried("unproven.test") == 1

    play(rig_of(fake), scenario)


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_hosts_that_answer_nothing_are_bounded_too_and_all_have_their_turn(concurrency: int) -> None:
    fake = Outside()
    queued = [*silent(40), "live.test", *silent(60)[40:]]

    async def scenario(rig: RelayRig) -> None:
        for n in range(40):
            rig.arrive(f"u@silent{100 + n}.test")
        for _ in range(3000):
            await rig.clock.advance(1.0)
            if len({target for _, target in fake.jobs}) == 101:
                break
        assert fake.tried("live.test") == 1
        assert {target for _, target in fake.jobs} >= {*queued, *(f"silent{100 + n}.test" for n in range(40))}

    rig = play(rig_of(fake, *queued, concurrency=concurrency), scenario)
    assert rig.state("u40@live.test") is RecipientState.DELIVERED
    assert concurrency < fake.most_waiting <= 3 * concurrency


def test_leasing_does_not_spin_while_the_share_is_full() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.advance(20.0)
        before, tried = dict(rig.spool.calls), len(fake.jobs)
        await rig.clock.advance(9.0)
        assert len(fake.jobs) == tried, "nothing ended, and nothing has room"
        assert rig.spool.calls["lease"] - before["lease"] <= 10
        assert rig.spool.calls["release"] == 0

    play(rig_of(fake, *silent(2000)), scenario)


def test_what_is_due_at_proven_hosts_is_leased_while_strangers_have_no_room() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("u@live.test")
        await rig.clock.advance(20.0)
        assert fake.tried("live.test") == 1
        rig.arrive_unclaimed("v@live.test")  # behind two thousand that wait for longer
        await rig.clock.settle()
        assert fake.tried("live.test") == 2

    play(rig_of(fake, *silent(2000)), scenario)


def test_places_in_line_are_kept_for_fresh_mail_and_the_last_for_proven_hosts() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("u@live.test")
        await rig.worker.idle()
        n = 0
        while rig.worker.claim([f"silent{n}.test"]):
            rig.arrive(f"u@silent{n}.test")
            for _ in range(3):
                await asyncio.sleep(0)
            n += 1
        assert 3000 < n < 4096, "bounded, and not by what is kept"
        assert rig.worker.claim(["unproven.test"]) == 0.0
        assert rig.worker.claim(["unproven.test", "live.test"]) == 0.0
        assert rig.worker.claim(["live.test"]) > 0.0
        rig.arrive("v@live.test")
        await rig.clock.settle()
        assert fake.tried("live.test") == 2

    play(rig_of(fake), scenario)


# -- hosts that are gone


def test_a_dead_site_is_found_dead_by_three_letters_and_no_more_are_leased() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.settle()
        assert fake.tried("gone0.test") == 3
        assert rig.worker.sites()["gone0.test"].until is not None
        assert rig.spool.calls["release"] == 0
        assert sum(row.until > 0 for row in rig.spool.rows.values()) == 0

    play(rig_of(fake, "gone0.test", each=500), scenario)


def test_an_outage_that_is_over_is_worked_off_as_fast_as_hosts_take_it() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        await rig.worker.idle()

    rig = play(rig_of(fake, *[f"live{n}.test" for n in range(5)], each=400), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert rig.clock.monotonic() < 40.0, "30 of them to stop"


def test_attempts_in_vain_are_paced_and_more_so_while_mail_arrives() -> None:
    def rate(busy: bool) -> int:
        fake = Outside()
        counts: list[int] = []

        async def scenario(rig: RelayRig) -> None:
            for second in range(11):
                for n in range(10 if busy else 0):
                    rig.arrive(f"u{second}-{n}@live.test")
                    await rig.clock.advance(0.1)
                if not busy:
                    await rig.clock.advance(1.0)
                counts.append(len(fake.jobs) - fake.tried("live.test"))

        play(rig_of(fake, *gone(2500), each=2), scenario)
        assert counts[0] <= 256 + 256
        return counts[-1] - counts[0]

    idle, busy = rate(busy=False), rate(busy=True)
    assert 2000 <= idle <= 2600
    assert 250 <= busy <= 350


def test_a_living_host_behind_thousands_that_are_gone_is_found_and_its_mail_goes() -> None:
    fake = Outside()

    async def scenario(rig: RelayRig) -> None:
        for n in range(100):
            rig.spool.put([f"late{n}@live.test"], now=rig.clock.time())
        await rig.clock.advance(20.0)
        assert fake.tried("live.test") == 100

    play(rig_of(fake, *gone(2000)), scenario)


@pytest.mark.parametrize("make_fake", [FakeDeliverer, InstantFake])
def test_mail_for_a_place_of_our_own_is_not_paced(make_fake: type[FakeDeliverer]) -> None:
    fake = make_fake()

    def make() -> RelayRig:
        rig = RelayRig(fake)
        for n in range(1000):
            rig.spool.put([f"u{n}@here.test"], now=rig.clock.time() - 1000)
        return rig

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.settle()
        assert len(fake.jobs) == 1000

    play(make, scenario)
