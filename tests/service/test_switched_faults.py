"""Faults that are switched on while the daemon runs: when they strike, when they end, and the operations on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from posthouse.core import Address, SettingError
from posthouse.sandbox.faulty_policy import Moment
from posthouse.service import Daemon
from posthouse.service.config_file import default_config
from posthouse.service.operations.faults.fault_operations import FaultReport
from posthouse.service.operations.registry import OPERATIONS
from posthouse.service.policy.switched_faults import MOST_SWITCHES, FaultSwitch, SwitchedFaults
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver

ANN, BOB = Address("ann", "a.example"), Address("bob", "b.example")


def switched(*switches: FaultSwitch, clock: ManualClock | None = None) -> SwitchedFaults:
    faults = SwitchedFaults(clock or ManualClock(), Random(7))
    for each in switches:
        faults.on(each)
    return faults


def codes(faults: SwitchedFaults, moments: Sequence[Moment]) -> list[int]:
    found = []
    for moment in moments:
        strike = faults.strike(moment)
        found.append(strike.reply.code if strike is not None and strike.reply is not None else 0)
    return found


def rcpt(*to: Address) -> list[Moment]:
    return [Moment("rcpt", Address("me", "c.example"), (each,)) for each in to]


def test_by_address() -> None:
    faults = switched(FaultSwitch(reply="450 4.2.1 Not now", to="*@a.example"))
    assert codes(faults, rcpt(ANN, BOB, ANN)) == [450, 0, 450]
    ((switch, struck),) = faults.state
    assert (switch.name, struck) == ("fault-1", 2)


def test_by_sender_at_mail() -> None:
    faults = switched(FaultSwitch(stage="mail", reply="550", sender="me@*"))
    assert codes(faults, [Moment("mail", Address("me", "x.example")), Moment("mail", ANN), Moment("mail")]) == [
        550,
        0,
        0,
    ]


def test_for_the_next_few_it_ends_by_itself() -> None:
    faults = switched(FaultSwitch(reply="451", times=2))
    assert codes(faults, rcpt(ANN, BOB, ANN)) == [451, 451, 0]
    assert faults.state == []


def test_beyond_a_rate() -> None:
    async def told() -> None:
        clock = ManualClock()
        faults = switched(FaultSwitch(stage="mail", reply="421", rate=3), clock=clock)
        mail = [Moment("mail", ANN)]
        assert codes(faults, mail * 5) == [0, 0, 0, 421, 421]
        await clock.advance(59.0)
        assert codes(faults, mail) == [421]
        await clock.advance(1.5)
        assert codes(faults, mail * 4) == [0, 0, 0, 421]

    asyncio.run(told())


def test_until_a_time() -> None:
    async def told() -> None:
        clock = ManualClock()
        faults = switched(FaultSwitch(reply="451", until=clock.time() + 600), clock=clock)
        assert codes(faults, rcpt(ANN)) == [451]
        await clock.advance(601)
        assert codes(faults, rcpt(ANN)) == [0]
        assert faults.state == []

    asyncio.run(told())


def test_by_chance() -> None:
    faults = switched(FaultSwitch(reply="451", percent=30))
    struck = sum(map(bool, codes(faults, rcpt(*[ANN] * 2_000))))
    assert 500 < struck < 700  # of a generator with a seed


def test_a_slow_server_delays_each_answer_and_another_fault_answers() -> None:
    faults = switched(FaultSwitch(stage="rcpt", reply="451", delay=1.0), FaultSwitch(stage="all", delay=2.5))
    for stage in ("connect", "helo", "auth", "mail", "data", "end"):
        strike = faults.strike(Moment(stage))
        assert strike is not None
        assert (strike.delay, strike.reply, strike.drop) == (2.5, None, False)
    strike = faults.strike(rcpt(ANN)[0])
    assert strike is not None
    assert strike.reply is not None
    assert (strike.delay, strike.reply.code) == (2.5, 451)


def test_the_newest_decides() -> None:
    faults = switched(FaultSwitch(reply="451"), FaultSwitch(drop=True, to="bob@*"))
    ann, bob = (faults.strike(each) for each in rcpt(ANN, BOB))
    assert ann is not None
    assert bob is not None
    assert not ann.drop
    assert bob.drop


def test_the_address_still_asks() -> None:
    faults = switched()
    assert codes(faults, rcpt(Address("permfail", "a.example"), ANN)) == [550, 0]
    faults.on(FaultSwitch(reply="451", to="*@b.example"))
    assert codes(faults, rcpt(Address("permfail", "a.example"), ANN, BOB)) == [550, 0, 451]


def test_a_name_replaces() -> None:
    faults = switched(FaultSwitch(name="x", reply="451"), FaultSwitch(name="x", reply="452"))
    assert codes(faults, rcpt(ANN)) == [452]
    assert len(faults.state) == 1
    assert faults.off(["y"]) == 0
    assert faults.off(["x"]) == 1
    assert not faults.watches("rcpt", (ANN,))


@pytest.mark.parametrize(
    ("switch", "sentence"),
    [
        (FaultSwitch(), "the fault does nothing"),
        (FaultSwitch(reply="251x"), "is no reply"),
        (FaultSwitch(stage="lunch", reply="451"), "is no stage"),
        (FaultSwitch(stage="mail", reply="451", to="a@b.c"), "no recipient is known"),
        (FaultSwitch(stage="connect", reply="450"), "refused with 421"),
        (FaultSwitch(stage="all", reply="451"), "for a delay alone"),
        (FaultSwitch(reply="451", drop=True), "without a reply"),
        (FaultSwitch(reply="451", percent=0), "percentage"),
        (FaultSwitch(reply="451", rate=-1), "rate"),
        (FaultSwitch(delay=9_999.0), "a delay is 0 to"),
    ],
)
def test_what_cannot_be_meant(switch: FaultSwitch, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        switched(switch)


def test_not_too_many() -> None:
    faults = switched(*[FaultSwitch(reply="451", to=f"a{number}@*") for number in range(MOST_SWITCHES)])
    with pytest.raises(SettingError, match="which is the most"):
        faults.on(FaultSwitch(reply="451"))
    faults.on(FaultSwitch(name="fault-1", reply="452"))  # in place of another


class TestTheOperations:
    """On a daemon that is not started."""

    def daemon(self, text: bool = True) -> Daemon:
        clock = ManualClock()
        config = default_config("/nowhere", fault_addresses=text)
        return Daemon(
            config,
            clock=clock,
            network=MemoryNetwork(clock),
            spool=SqliteSpool.ephemeral(time=clock.time),
            resolver=StaticResolver({}),
            log=lambda event, /, **fields: None,
        )

    def test_on_list_and_off(self) -> None:
        async def asked() -> None:
            context = self.daemon().context("ann")._replace(peers=None)
            on: FaultReport = await OPERATIONS["fault on"].run(
                context, stage="RCPT", reply="451", to="*@a.example", times=5, lasts="10m"
            )
            (entry,) = on.faults
            assert (entry.name, entry.stage, entry.reply, entry.left) == ("fault-1", "rcpt", "451", 5)
            assert entry.until == context.clock.time() + 600
            assert context.faults is not None
            assert codes(context.faults, rcpt(ANN, BOB)) == [451, 0]
            listed: FaultReport = await OPERATIONS["fault list"].run(context)
            assert (listed.possible, listed.faults[0].struck, listed.faults[0].left) == (True, 1, 4)
            off: FaultReport = await OPERATIONS["fault off"].run(context, all=True)
            assert (off.changed, off.faults) == (1, [])

        asyncio.run(asked())

    def test_the_other_processes_are_told_and_asked(self) -> None:
        async def asked() -> None:
            first, second = self.daemon().context("ann"), self.daemon().context("ann")
            second = second._replace(peers=None)
            told = []

            async def peers(operation: object, given: dict[str, object]) -> list[FaultReport]:
                told.append(given)
                return [await operation.run(second, **given)]  # type: ignore[attr-defined]

            first = first._replace(peers=peers)  # type: ignore[arg-type]
            await OPERATIONS["fault on"].run(first, reply="451")
            assert second.faults is not None
            assert codes(second.faults, rcpt(ANN)) == [451]
            report: FaultReport = await OPERATIONS["fault list"].run(first)
            assert [(each.name, each.struck) for each in report.faults] == [("fault-1", 1)]
            await OPERATIONS["fault off"].run(first, fault="fault-1")
            assert second.faults.state == []
            assert all(each["peers"] is False for each in told)

        asyncio.run(asked())

    def test_where_no_fault_is_possible(self) -> None:
        async def asked() -> None:
            context = self.daemon(False).context("ann")._replace(peers=None)
            assert not (await OPERATIONS["fault list"].run(context)).possible
            with pytest.raises(SettingError, match="fault_addresses"):
                await OPERATIONS["fault on"].run(context, reply="451")

        asyncio.run(asked())

    def test_wrong_requests(self) -> None:
        async def asked() -> None:
            context = self.daemon().context("ann")._replace(peers=None)
            for given, sentence in (
                ({"reply": "451", "delay": "soon"}, "is no duration"),
                ({"reply": "451", "fault": "a b"}, "is no name"),
            ):
                with pytest.raises(SettingError, match=sentence):
                    await OPERATIONS["fault on"].run(context, **given)
            for given in ({}, {"fault": "x", "all": True}, {"fault": "x"}):
                with pytest.raises(SettingError):
                    await OPERATIONS["fault off"].run(context, **given)

        asyncio.run(asked())
