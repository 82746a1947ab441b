"""The worker: leases, attempts, records; nothing sleeps, the clock jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from random import Random
from typing import Any

import pytest

from posthouse.core import Address, CallbackSink, Envelope, LocalError, Outcome, Recipient, Result, StorageBusy
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.relay.recording.retry import RetrySchedule
from posthouse.relay.routes import Router, RouteRule, RouteTable
from posthouse.relay.wake_up import WakeUp
from posthouse.relay.worker import Worker
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import DueDestination, DuePage, RecipientState
from posthouse.testing import ManualClock

from .fakes import FakeDeliverer, FakeQueue, InstantFake

DAY = 86_400.0


class RelayRig:
    """A worker with everything around it."""

    def __init__(
        self, deliverer: Deliverer, *, router: Router | None = None, spool: FakeQueue | None = None, **options: Any
    ) -> None:
        self.clock = ManualClock()
        self.spool = spool or FakeQueue()
        self.log: list[tuple[str, dict[str, object]]] = []
        self.worker = Worker(
            self.spool,  # type: ignore[arg-type]
            router or RouteTable(default=RouteRule("*", deliverer)),
            clock=self.clock,
            random=Random(1),
            owner="w1",
            log=CallbackSink(lambda event, /, **facts: self.log.append((event, facts))),
            **options,
        )

    def arrive(self, *recipients: str) -> None:
        """As reception does it: claim, commit, wake."""
        until = self.worker.claim([address.rpartition("@")[2] for address in recipients])
        owner = self.worker.owner if until else ""
        self.worker.new_mail.put(self.spool.put(recipients, now=self.clock.time(), owner=owner, until=until))

    def arrive_unclaimed(self, *recipients: str) -> None:
        self.spool.put(recipients, now=self.clock.time())
        self.worker.wake()

    def events(self) -> list[str]:
        return [event for event, _ in self.log]

    def state(self, address: str) -> RecipientState:
        return self.spool.state(address).waiting.state


def play(rig_of: Callable[[], RelayRig], scenario: Callable[[RelayRig], Awaitable[None]]) -> RelayRig:
    """Start the relay, play the scenario, stop the relay."""

    async def whole() -> RelayRig:
        rig = rig_of()
        async with asyncio.timeout(100):
            await rig.worker.start()
            await rig.clock.settle()
            await scenario(rig)
            stopping = asyncio.ensure_future(rig.worker.stop(5.0))
            await rig.clock.advance(30.0)
            await stopping
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], "something still runs"
        return rig

    return asyncio.run(whole())


# -- getting work


def test_claimed_mail_is_delivered_without_asking_the_queue() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        asked = rig.spool.calls["lease"]
        for n in range(20):
            rig.arrive(f"u{n}@sina.com")
        await rig.worker.idle()
        assert rig.spool.calls["lease"] == asked

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert len(deliverer.jobs) == 20
    assert all(row.waiting.state is RecipientState.DELIVERED for row in rig.spool.rows.values())
    assert rig.events() == ["delivered"] * 20


def test_a_backlog_does_not_read_the_destinations_again_for_each_batch() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        asked = rig.spool.calls["due"], rig.spool.calls["lease"]
        for n in range(2_000):
            rig.spool.put([f"u@host{n % 20}.test"], now=rig.clock.time())
        rig.worker.wake()
        await rig.worker.idle()
        assert rig.spool.calls["lease"] - asked[1] >= 2_000 // 128
        assert rig.spool.calls["due"] - asked[0] <= 8

    play(lambda: RelayRig(deliverer), scenario)
    assert len(deliverer.jobs) == 2_000


def test_mail_that_comes_while_the_destinations_are_remembered_is_found() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        for n in range(3):
            rig.arrive_unclaimed(f"u@host{n}.test")  # at one moment of the clock, one after another
            await rig.worker.idle()
            assert len(deliverer.jobs) == n + 1

    play(lambda: RelayRig(deliverer), scenario)


def test_a_delivery_asks_whether_its_lease_is_held() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("renping@sina.com")
        await rig.worker.idle()
        ((delivery, _),) = deliverer.jobs
        assert not delivery.lost
        rig.spool.lost.update(rig.spool.rows)
        assert delivery.lost

    play(lambda: RelayRig(deliverer), scenario)


def test_an_instant_deliverer_needs_no_task() -> None:
    deliverer = InstantFake()

    async def scenario(rig: RelayRig) -> None:
        tasks = len(asyncio.all_tasks())
        for n in range(500):
            rig.arrive(f"u{n}@sina.com")
        assert not deliverer.jobs, "not in the turn of the commit"
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(deliverer.jobs) == 500
        assert len(asyncio.all_tasks()) == tasks
        await rig.worker.idle()

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


def test_unclaimed_mail_is_leased_on_waking_and_at_the_start() -> None:
    deliverer = FakeDeliverer()

    def with_mail() -> RelayRig:
        rig = RelayRig(deliverer)
        rig.spool.put([f"u{n}@sina.com" for n in range(300)], now=rig.clock.time() - 10)
        return rig

    async def scenario(rig: RelayRig) -> None:
        await rig.worker.idle()
        assert len({str(person.address) for job, _ in deliverer.jobs for person in job.recipients}) == 300
        rig.arrive_unclaimed("late@sina.com")
        await rig.worker.idle()

    rig = play(with_mail, scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


def test_what_the_spool_tells_is_logged_and_its_mail_looked_for() -> None:
    async def scenario(rig: RelayRig) -> None:
        rig.spool.put(["a@x.test"], now=rig.clock.time())  # nobody says so
        rig.spool.tell("worker 2 died with a lease on 72jh: it is due again")
        await rig.clock.settle()

    rig = play(lambda: RelayRig(FakeDeliverer()), scenario)
    assert ("spool", {"text": "worker 2 died with a lease on 72jh: it is due again"}) in rig.log
    assert rig.spool.state("a@x.test").waiting.state is RecipientState.DELIVERED


def test_nothing_polls() -> None:
    async def scenario(rig: RelayRig) -> None:
        await rig.worker.idle()
        asked = rig.spool.calls["due"]
        await rig.clock.advance(3600)
        assert rig.spool.calls["due"] - asked <= 12, "one look in five minutes, for leases of the dead"

    play(lambda: RelayRig(FakeDeliverer()), scenario)


def test_mail_that_becomes_due_later_is_taken_then_and_not_before() -> None:
    deliverer = FakeDeliverer()

    def with_mail() -> RelayRig:
        rig = RelayRig(deliverer)
        now = rig.clock.time()
        rig.spool.put(["soon@a.test"], now=now, due=now + 100)
        rig.spool.put(["later@b.test"], now=now, due=now + 5000)
        return rig

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.advance(99)
        assert not deliverer.jobs
        await rig.clock.advance(2)
        assert len(deliverer.jobs) == 1
        await rig.clock.advance(4880)
        assert len(deliverer.jobs) == 1
        await rig.clock.advance(30)
        assert len(deliverer.jobs) == 2

    play(with_mail, scenario)


def test_the_leases_of_a_dead_worker_are_taken_over_when_they_run_out() -> None:
    deliverer = FakeDeliverer()

    def with_mail() -> RelayRig:
        rig = RelayRig(deliverer)
        now = rig.clock.time()
        rig.spool.put(["a@a.test"], now=now, owner="dead", until=now + 200)
        return rig

    async def scenario(rig: RelayRig) -> None:
        await rig.clock.advance(199)
        assert not deliverer.jobs
        await rig.clock.advance(2)
        assert len(deliverer.jobs) == 1

    play(with_mail, scenario)


# -- wake-ups


class SlowQueue(FakeQueue):
    """A spool whose ``due`` answers what it saw when it was asked, and only when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def due(self, now: float, *, limit: int = 1000, after: DueDestination | None = None) -> DuePage:
        page = await super().due(now, limit=limit, after=after)
        self.asked.set()
        await self.gate.wait()
        return page


def test_a_retry_that_is_planned_while_the_spool_is_asked_is_not_forgotten() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED, hold=True)

    async def scenario(rig: RelayRig) -> None:
        queue = rig.spool
        assert isinstance(queue, SlowQueue)
        queue.gate.set()
        rig.arrive("a@sina.com")
        await rig.clock.settle()
        queue.gate.clear()
        queue.asked.clear()
        rig.worker.wake()  # a look for other mail; the only recipient is leased, for 300 s
        await queue.asked.wait()
        deliverer.let_go()
        await rig.clock.settle()
        due = rig.spool.state("a@sina.com").waiting.due
        assert due - rig.clock.time() < 10
        queue.gate.set()
        await rig.clock.settle()
        await rig.clock.advance(due - rig.clock.time() + 0.1)
        assert len(deliverer.jobs) == 2

    play(lambda: RelayRig(deliverer, spool=SlowQueue(), schedule=RetrySchedule(first=5.0)), scenario)


def test_a_retry_that_is_due_before_its_record_is_stored_is_made_when_it_is_stored() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        rig.spool.broken = StorageBusy("behind")
        rig.arrive("a@sina.com")
        await rig.clock.advance(20)  # the retry is due after 5 s
        rig.spool.broken = None
        deliverer.answer = Result.DELIVERED
        await rig.clock.advance(40)
        assert rig.state("a@sina.com") is RecipientState.DELIVERED

    play(lambda: RelayRig(deliverer, schedule=RetrySchedule(first=5.0)), scenario)


def test_a_lease_that_was_released_is_taken_again_at_once() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        stored = rig.spool.put(["a@sina.com"], now=rig.clock.time(), owner="w1", until=rig.clock.time() + 300)
        rig.worker._leases.release(stored.leases[0])
        await rig.clock.settle()
        assert len(deliverer.jobs) == 1

    play(lambda: RelayRig(deliverer), scenario)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_comes_in_between_no_due_time_passes_by(seed: int) -> None:
    """Looks, new due times and time itself come in any order: each due time has a look that begins when it has come."""
    chance = Random(seed)

    async def scenario() -> None:
        clock = ManualClock()
        wake_up = WakeUp(clock)
        named: set[float] = set()
        looks = 0

        async def look() -> None:
            nonlocal looks
            while True:
                if wake_up.due > clock.time():
                    await wake_up.sleep(wake_up.due)
                    continue
                wake_up.due = inf
                looks += 1
                done = {due for due in named if due <= clock.time()}
                next_due = min(named - done, default=clock.time() + 300.0)
                for _ in range(chance.randrange(4)):  # the look takes some turns
                    await asyncio.sleep(0)
                wake_up.at(next_due)  # as of its beginning
                named.difference_update(done)

        task = asyncio.ensure_future(look())
        wake_up.at()
        for _ in range(200):
            if chance.random() < 0.5:
                due = clock.time() + chance.choice([0.0, 0.0, 1.0, 5.0, 400.0])
                named.add(due)
                wake_up.at(due)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                await clock.advance(chance.choice([0.5, 3.0]))
                assert not [due for due in named if due <= clock.time() - 0.01]
        assert looks
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), 20))


# -- what is recorded


def test_deferred_mail_is_tried_again_when_the_schedule_says() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.worker.idle()
        waiting = rig.spool.state("a@sina.com").waiting
        assert (waiting.state, waiting.attempts) == (RecipientState.WAITING, 1)
        assert 240 <= waiting.due - rig.clock.time() <= 300
        assert rig.log[-1][0] == "deferred"
        assert rig.log[-1][1]["again"] == waiting.due
        await rig.clock.advance(waiting.due - rig.clock.time() - 1)
        assert len(deliverer.jobs) == 1
        deliverer.answer = Result.DELIVERED
        await rig.clock.advance(2)
        assert len(deliverer.jobs) == 2

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED


def test_those_who_were_put_off_together_travel_together_again() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        people = [f"u{n}@sina.com" for n in range(5)]
        rig.arrive(*people)
        await rig.worker.idle()
        assert rig.events() == ["deferred"] * 5
        (due,) = {rig.spool.state(each).waiting.due for each in people}
        deliverer.answer = Result.DELIVERED
        await rig.clock.advance(due - rig.clock.time() + 1)
        assert [len(job.recipients) for job, _ in deliverer.jobs] == [5, 5]

    play(lambda: RelayRig(deliverer), scenario)


def test_failed_mail_is_held_with_its_reason_and_never_vanishes() -> None:
    deliverer = FakeDeliverer(Result.FAILED)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("nobody@sina.com")
        await rig.clock.advance(10 * DAY)

    rig = play(lambda: RelayRig(deliverer), scenario)
    row = rig.spool.state("nobody@sina.com")
    assert row.waiting.state is RecipientState.HELD
    assert row.outcomes[0].reply is not None
    assert row.outcomes[0].reply.code == 550
    assert "the host said failed" in row.waiting.last
    assert len(deliverer.jobs) == 1
    assert rig.events() == ["held"]


def test_after_five_days_it_gives_up_and_holds() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.advance(4.9 * DAY)
        assert rig.state("a@sina.com") is RecipientState.WAITING
        await rig.clock.advance(DAY)

    rig = play(lambda: RelayRig(deliverer), scenario)
    row = rig.spool.state("a@sina.com")
    assert row.waiting.state is RecipientState.HELD
    assert row.outcomes[-1].result is Result.FAILED
    assert f"gave up after {row.waiting.attempts} attempts" in row.waiting.last
    assert "the host said deferred" in row.waiting.last


def test_a_calendar_that_is_set_ahead_fails_no_mail() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.advance(1_000.0)
        rig.clock.set_calendar(rig.clock.time() + 365 * DAY)
        rig.worker.wake()
        await rig.clock.advance(3_000.0)
        assert rig.state("a@sina.com") is RecipientState.WAITING
        rig.clock.set_calendar(rig.clock.time() - 365 * DAY)
        rig.worker.wake()
        await rig.clock.advance(DAY)
        assert rig.state("a@sina.com") is RecipientState.WAITING

    play(lambda: RelayRig(deliverer), scenario)
    assert len(deliverer.jobs) > 4


def test_mail_that_came_while_the_calendar_was_ahead_is_given_up_too() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.advance(10.0)
        rig.clock.set_calendar(rig.clock.time() - 365 * DAY)
        key = rig.spool.state("a@sina.com").waiting.key  # the spool makes due what is due later than any retry
        row = rig.spool.rows[key]
        rig.spool.rows[key] = row._replace(waiting=row.waiting._replace(due=rig.clock.time()))
        rig.worker.wake()
        await rig.clock.advance(4 * DAY)
        assert rig.state("a@sina.com") is RecipientState.WAITING
        await rig.clock.advance(3 * DAY)

    row = play(lambda: RelayRig(deliverer), scenario).spool.state("a@sina.com")
    assert row.waiting.state is RecipientState.HELD
    assert row.waiting.last.startswith(f"gave up after {row.waiting.attempts} attempts; the last: ")


def test_an_ambiguous_end_is_tried_again_and_says_so() -> None:
    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(FakeDeliverer(Result.AMBIGUOUS)), scenario)
    row = rig.spool.state("a@sina.com")
    assert row.waiting.state is RecipientState.WAITING
    assert row.outcomes[0].result is Result.AMBIGUOUS
    assert "second copy" in row.waiting.last


def test_each_recipient_has_its_own_end() -> None:
    ends = {"yes": Result.DELIVERED, "later": Result.DEFERRED, "never": Result.FAILED}

    def answer(person: Recipient) -> Result:
        return ends[person.address.local]

    deliverer = FakeDeliverer(answer)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("yes@sina.com", "later@sina.com", "never@sina.com")
        await rig.worker.idle()
        ends["later"] = Result.DELIVERED
        await rig.clock.advance(301)

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert [len(job.recipients) for job, _ in deliverer.jobs] == [3, 1]
    assert rig.state("yes@sina.com") is RecipientState.DELIVERED
    assert rig.state("later@sina.com") is RecipientState.DELIVERED
    assert rig.state("never@sina.com") is RecipientState.HELD


def test_recipients_of_one_message_with_the_same_route_travel_together() -> None:
    smart, mailbox = FakeDeliverer(), FakeDeliverer()
    table = RouteTable([RouteRule("*", smart, "smart.test:25"), RouteRule("here.test", mailbox, str)])

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@one.test", "b@two.test", "c@here.test", "d@here.test")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(smart, router=table), scenario)
    assert [([str(r.address) for r in job.recipients], target) for job, target in smart.jobs] == [
        (["a@one.test", "b@two.test"], "smart.test:25")
    ]
    assert sorted(target for _, target in mailbox.jobs) == ["c@here.test", "d@here.test"]
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


def test_who_has_no_route_waits_while_the_others_go() -> None:
    deliverer = FakeDeliverer(hold=True)

    def target(address: Any) -> str:
        if address.local == "bad":
            raise LocalError("no mailbox can be called so")
        return str(address)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("good@a.test", "bad@a.test", "x@nowhere.test")
        await rig.clock.settle()
        assert rig.state("bad@a.test") is RecipientState.HELD
        assert rig.state("x@nowhere.test") is RecipientState.WAITING
        assert "no rule" in rig.spool.state("x@nowhere.test").waiting.last
        assert rig.spool.state("good@a.test").until > 0, "still leased to its attempt"
        deliverer.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(deliverer, router=RouteTable([RouteRule("a.test", deliverer, target)])), scenario)
    assert rig.state("good@a.test") is RecipientState.DELIVERED


# -- faults of ours


@pytest.mark.parametrize("make", [FakeDeliverer, InstantFake])
def test_a_deliverer_that_breaks_defers_and_is_told_to_the_log(make: type[FakeDeliverer]) -> None:
    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(make(ZeroDivisionError("oops"))), scenario)
    row = rig.spool.state("a@sina.com")
    assert row.waiting.state is RecipientState.WAITING
    assert "local error" in row.waiting.last
    assert "oops" not in row.waiting.last
    assert rig.events() == ["fault", "deferred"]
    assert "oops" in str(rig.log[0][1]["reason"])


def test_a_deliverer_with_too_few_answers_defers() -> None:
    class Short(FakeDeliverer):
        def outcomes(self, job: Any) -> list[Any]:
            return super().outcomes(job)[1:]

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com", "b@sina.com")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(Short()), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.WAITING}
    assert "fault" in rig.events()


def test_a_router_that_breaks_defers() -> None:
    class Broken:
        def route(self, recipient: Recipient, override: str = "") -> Any:
            raise RuntimeError("no table")

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(FakeDeliverer(), router=Broken()), scenario)
    assert rig.state("a@sina.com") is RecipientState.WAITING
    assert rig.events() == ["fault", "deferred"]


def test_content_that_is_gone_is_held_for_an_operator() -> None:
    async def scenario(rig: RelayRig) -> None:
        rig.spool.corrupt.add("m1")
        rig.arrive("a@sina.com")
        await rig.worker.idle()

    rig = play(lambda: RelayRig(FakeDeliverer()), scenario)
    assert rig.state("a@sina.com") is RecipientState.HELD
    assert "look at the spool" in rig.spool.state("a@sina.com").waiting.last


@pytest.mark.parametrize("make", [FakeDeliverer, InstantFake])
def test_a_record_that_fails_is_made_again(make: type[FakeDeliverer]) -> None:
    deliverer = make()

    async def scenario(rig: RelayRig) -> None:
        rig.spool.broken = StorageBusy("behind")
        rig.arrive("a@sina.com")
        await rig.clock.advance(10)
        assert rig.state("a@sina.com") is RecipientState.WAITING
        rig.spool.broken = None
        await rig.clock.advance(30)

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED
    assert len(deliverer.jobs) == 1, "the mail itself must not be sent twice"


@pytest.mark.parametrize("result", [Result.DELIVERED, Result.DEFERRED])
@pytest.mark.parametrize("hours", [0.12, 20.0])
def test_a_record_is_offered_until_it_is_taken(result: Result, hours: float) -> None:
    """Longer than a lease lasts: the mail is leased again meanwhile, and not attempted again."""

    class Refusing(FakeQueue):
        refuses = True

        def _record(self, *record: Any) -> None:
            self.broken = StorageBusy("behind") if self.refuses else None
            super()._record(*record)
            self.broken = None

    deliverer = FakeDeliverer(result)

    def with_refusing_spool() -> RelayRig:
        return RelayRig(deliverer, lease=100.0, spool=Refusing())

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        for _ in range(round(hours * 60)):
            await rig.clock.advance(60)
        assert rig.state("a@sina.com") is RecipientState.WAITING
        assert rig.spool.calls["lease"] > 1, "the lease has expired and has been taken again"
        assert len(deliverer.jobs) == 1, "the message must not be sent twice"
        rig.spool.refuses = False
        await rig.clock.advance(65)

    rig = play(with_refusing_spool, scenario)
    if result is Result.DELIVERED:
        assert rig.state("a@sina.com") is RecipientState.DELIVERED
        assert len(deliverer.jobs) == 1
    else:  # its time for another attempt has come long ago
        assert rig.spool.state("a@sina.com").waiting.attempts >= 1


def test_a_record_that_can_never_be_made_leads_to_another_attempt_not_to_a_loss() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        rig.spool.broken = ValueError("a fault of ours")
        rig.arrive("a@sina.com")
        await rig.clock.advance(250)
        rig.spool.broken = None
        await rig.clock.advance(700)

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED
    assert len(deliverer.jobs) == 2


def test_a_queue_that_cannot_be_asked_is_asked_again() -> None:
    deliverer = FakeDeliverer()

    async def scenario(rig: RelayRig) -> None:
        rig.spool.broken = StorageBusy("behind")
        rig.arrive_unclaimed("a@sina.com")
        await rig.clock.advance(60)
        assert 5 <= rig.spool.calls["due"] <= 30
        rig.spool.broken = None
        await rig.clock.advance(10)

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED
    assert "fault" in rig.events()


# -- bounds


def test_attempts_are_bounded_in_all_and_for_each_destination() -> None:
    deliverer = FakeDeliverer(hold=True)
    per: dict[str, int] = {}

    async def scenario(rig: RelayRig) -> None:
        for n in range(40):
            rig.arrive_unclaimed(f"u{n}@d{n % 4}.test")
        await rig.clock.settle()
        assert deliverer.running == 6
        for _, target in deliverer.jobs:
            per[target] = per.get(target, 0) + 1
        assert max(per.values()) <= 2
        deliverer.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(deliverer, concurrency=6, per_destination=2), scenario)
    assert deliverer.most == 6
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert len(deliverer.jobs) == 40


def test_one_slow_host_does_not_stop_the_others() -> None:
    slow, quick = FakeDeliverer(hold=True), FakeDeliverer()
    table = RouteTable([RouteRule("slow.test", slow)], default=RouteRule("*", quick))

    async def scenario(rig: RelayRig) -> None:
        for n in range(300):
            rig.arrive_unclaimed(f"u{n}@slow.test")
        for n in range(50):
            rig.arrive_unclaimed(f"u{n}@quick{n}.test")
        await rig.clock.settle()
        assert len(quick.jobs) == 50
        assert slow.running == 3
        assert rig.worker.claim(["slow.test"]) == 0.0, "its line is long enough"
        assert rig.worker.claim(["quick1.test"]) > 0.0
        slow.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(quick, router=table, concurrency=20, per_destination=3), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert slow.most == 3
    assert len(slow.jobs) == 300


def test_claimed_mail_above_the_bounds_stands_in_line() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        for n in range(10):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.settle()
        assert deliverer.running == 2
        deliverer.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(deliverer, per_destination=2), scenario)
    assert len(deliverer.jobs) == 10
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}


def test_leases_are_renewed_while_an_attempt_or_the_line_takes_long() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("first@sina.com")
        rig.arrive("second@sina.com")
        for _ in range(20):
            await rig.clock.advance(100)
            for row in rig.spool.rows.values():
                assert row.until > rig.clock.time()
        assert len(deliverer.jobs) == 1
        deliverer.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(deliverer, per_destination=1, lease=300.0), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert len(deliverer.jobs) == 2


def test_who_stood_in_line_when_the_lease_ran_out_is_asked_for_again() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        rig.spool.no_renewals = True
        rig.arrive("first@sina.com")
        rig.arrive("second@sina.com")
        await rig.clock.advance(299)
        assert len(deliverer.jobs) == 1
        for row in list(rig.spool.rows.values()):  # another worker took both over, and has the second still
            rig.spool.rows[row.waiting.key] = row._replace(until=rig.clock.time() + 500)
        await rig.clock.advance(2)
        deliverer.answer = Result.DEFERRED
        rig.spool.lost.add(1)
        deliverer.let_go()
        await rig.clock.settle()
        assert len(deliverer.jobs) == 1, "not ours any more"

    play(lambda: RelayRig(deliverer, per_destination=1, lease=300.0), scenario)


def test_a_local_deliverer_is_not_bound_by_what_protects_the_world() -> None:
    class LocalFake(FakeDeliverer):
        local = True

    outside, inside = FakeDeliverer(hold=True), LocalFake(hold=True)
    table = RouteTable([RouteRule("here.test", inside, str)], default=RouteRule("*", outside))

    async def scenario(rig: RelayRig) -> None:
        for n in range(5):
            rig.arrive(f"u{n}@far{n}.test")
        for n in range(400):
            rig.arrive(f"u{n}@here.test")
        await rig.clock.settle()
        assert (outside.running, inside.running) == (2, 256)
        inside.let_go()
        await rig.clock.settle()
        assert len(inside.jobs) == 400
        assert outside.running == 2
        outside.let_go()
        await rig.worker.idle()

    rig = play(lambda: RelayRig(outside, router=table, concurrency=2), scenario)
    assert {row.waiting.state for row in rig.spool.rows.values()} == {RecipientState.DELIVERED}
    assert inside.most == 256


def test_an_attempt_that_never_ends_is_ended() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.advance(601)
        row = rig.spool.state("a@sina.com")
        assert row.outcomes[0].result is Result.AMBIGUOUS
        assert "longer than 600 seconds" in row.waiting.last

    play(lambda: RelayRig(deliverer, longest=600.0, schedule=RetrySchedule(first=7200)), scenario)
    assert deliverer.cancelled == 1


# -- ends


def test_idle_waits_for_what_is_under_way_but_not_for_another_day() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED, hold=True)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        idle = asyncio.ensure_future(rig.worker.idle())
        await rig.clock.settle()
        assert not idle.done()
        deliverer.let_go()
        await rig.clock.settle()
        assert idle.done()

    play(lambda: RelayRig(deliverer), scenario)


def test_stop_lets_attempts_finish() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.settle()
        stopping = asyncio.ensure_future(rig.worker.stop(30.0))
        await rig.clock.advance(10)
        assert not stopping.done()
        assert rig.worker.claim(["sina.com"]) == 0.0
        deliverer.let_go()
        await rig.clock.settle()
        assert stopping.done()

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED
    assert deliverer.cancelled == 0


def test_stop_ends_what_does_not_finish_and_gives_leases_back() -> None:
    deliverer = FakeDeliverer(hold=True)

    async def scenario(rig: RelayRig) -> None:
        for n in range(5):
            rig.arrive(f"u{n}@sina.com")
        await rig.clock.settle()
        stopping = asyncio.ensure_future(rig.worker.stop(30.0))
        await rig.clock.settle()
        rig.worker.new_mail.put(
            rig.spool.put(["late@sina.com"], now=rig.clock.time(), owner="w1", until=rig.clock.time() + 9)
        )
        await rig.clock.advance(40)
        assert stopping.done()

    rig = play(lambda: RelayRig(deliverer, per_destination=2), scenario)
    assert deliverer.cancelled == 2
    assert len(deliverer.jobs) == 2
    for row in rig.spool.rows.values():
        assert (row.waiting.state, row.waiting.attempts, row.until) == (RecipientState.WAITING, 0, 0.0)


class HostFake(FakeDeliverer):
    """A host that answers at once; ``then`` is called in the turn of the event loop after its answer."""

    sited = True

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then
        self.task: asyncio.Task[object] | None = None

    def site_now(self, target: str) -> str | None:
        return target

    async def locate(self, target: str) -> str:
        return target

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        outcomes = await super().deliver(job, target)
        self.task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(self._then)
        return outcomes


def test_what_has_arrived_is_answered_before_an_outcome_is_recorded() -> None:
    seen: list[list[str]] = []
    deliverer = HostFake(lambda: seen.append(rig.events()))
    rig = RelayRig(deliverer)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.settle()

    play(lambda: rig, scenario)
    assert seen == [[]]
    assert rig.events() == ["delivered"]


def test_an_attempt_that_is_cancelled_after_its_host_has_answered_is_recorded() -> None:
    """Else the mail would be delivered twice."""

    def cancel() -> None:
        assert deliverer.task is not None
        deliverer.task.cancel()

    deliverer = HostFake(cancel)

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("a@sina.com")
        await rig.clock.settle()

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert rig.state("a@sina.com") is RecipientState.DELIVERED
    assert rig.spool.calls["record"] == 1


def test_with_the_spools_own_queue() -> None:
    deliverer = FakeDeliverer(Result.DEFERRED, hold=True)

    async def scenario() -> None:
        clock = ManualClock()
        queue = SqliteSpool.ephemeral(time=clock.time)
        await queue.open(clock.time())
        table = RouteTable(default=RouteRule("*", deliverer))
        worker = Worker(queue, table, clock=clock, random=Random(1), owner="w1")
        await worker.start()
        receipt = queue.receive()
        receipt.write(b"Subject: hi\r\n\r\nhello\r\n")
        people = (Recipient(Address("a", "sina.com")), Recipient(Address("b", "sohu.com")))
        until = worker.claim(["sina.com", "sohu.com"])
        now = clock.time()
        stored = await receipt.commit(
            Envelope(None, people), ["sina.com", "sohu.com"], received=now, due=now, owner=worker.owner, until=until
        )
        worker.new_mail.put(stored)
        await clock.advance(1000)  # longer than three leases
        assert len(deliverer.jobs) == 2
        assert await queue.lease("another", clock.time(), clock.time() + 1, limit=10) == []
        deliverer.let_go()
        await worker.idle()
        entry = await queue.queries.entry(stored.message.id)
        assert entry is not None
        assert [waiting.attempts for waiting in entry.recipients] == [1, 1]
        deliverer.answer = Result.DELIVERED
        await clock.advance(301)
        assert await queue.queries.count() == 0
        stopping = asyncio.ensure_future(worker.stop(1.0))
        await clock.advance(2)
        await stopping
        await queue.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_worker_starts_once() -> None:
    async def scenario(rig: RelayRig) -> None:
        with pytest.raises(LocalError):
            await rig.worker.start()

    play(lambda: RelayRig(FakeDeliverer()), scenario)


# -- exceptions that are no errors


@pytest.mark.parametrize(
    "raised", [GeneratorExit, asyncio.CancelledError, KeyboardInterrupt, SystemExit, BaseException]
)
def test_whatever_a_deliverer_raises_is_an_attempt_and_is_recorded(raised: type[BaseException]) -> None:
    class Raising(FakeDeliverer):
        def outcomes(self, job: Delivery) -> list[Outcome]:
            raise raised

    deliverer = Raising()

    async def scenario(rig: RelayRig) -> None:
        rig.arrive("renping@sina.com")
        await rig.worker.idle()
        row = rig.spool.state("renping@sina.com")
        assert (row.waiting.attempts, row.waiting.state) == (1, RecipientState.WAITING)
        assert row.waiting.due > rig.clock.time()
        await rig.clock.advance(6 * DAY)
        assert rig.state("renping@sina.com") is not RecipientState.WAITING

    rig = play(lambda: RelayRig(deliverer), scenario)
    assert "deferred" in rig.events()
    assert "fault" in rig.events()
