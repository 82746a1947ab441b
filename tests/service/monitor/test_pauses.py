"""Pauses: no attempts for a destination, until a time or until it is resumed, also after a restart."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from posthouse.core import SettingError
from posthouse.relay.scheduling.destinations import DestinationTable, LeaseChoice
from posthouse.service import OPERATIONS, Context, Daemon, parse
from posthouse.service.daemon.offline import context as offline
from posthouse.service.monitor.pauses import MOST_PAUSES, PAUSED_FILE, DestinationPause, read_pauses, write_pauses
from posthouse.spool.interface import DueDestination
from posthouse.testing import ManualClock

from .test_sessions import HERE, Client, daemon, do, run

ROUTED = """
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "far.test"
via = "smtp://127.0.0.1:{}"
"""


def test_mail_for_a_paused_destination_waits_and_is_sent_when_it_is_resumed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path / "there", more='[[domain]]\nname = "far.test"\ndeliver = "discard"') as there:
            port = there.endpoints["mx"].port
            async with daemon(tmp_path / "us", more=ROUTED.format(port)) as us:
                report = await do(us, "queue pause", destination="FAR.test.", why="they  move")
                assert [(each.destination, each.until, each.why) for each in report.pauses] == [
                    ("far.test", None, "they move")
                ]
                client = await Client.to(us)
                await client.say("EHLO client.test")
                assert (await client.send("bob@far.test")).startswith("250")
                assert (await client.send("ann@here.test")).startswith("250")
                await us.wait_idle()
                (waiting,) = await do(us, "queue list")
                assert (waiting.recipients, waiting.attempts, waiting.next.state) == (["bob@far.test"], 0, "paused")
                assert waiting.next.why == "they move"
                await do(us, "queue retry", filter="all")  # asks the site again; the pause stays
                await us.wait_idle()
                assert there.monitor.tally.totals()["accepted"] == 0
                await do(us, "queue resume", destination="far.test")
                while await do(us, "queue list"):
                    await asyncio.sleep(0.01)
                assert there.monitor.tally.totals()["accepted"] == 1
                await client.quit()

    run(scenario)


def test_a_pause_is_kept_over_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon(tmp_path) as made:
            await do(made, "queue pause", destination="far.test", duration="2h")
        async with daemon(tmp_path) as made:
            (pause,) = (await do(made, "queue paused")).pauses
            assert pause.until == pause.at + 7_200.0
            assert made.worker.scheduler.destinations.left_out("far.test")

    run(scenario)


def test_a_pause_ends_at_its_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        made = Daemon(parse(HERE.format(tmp_path, "", "")), clock=clock, log=lambda event, /, **facts: None)
        await do(made, "queue pause", destination="far.test", duration="90s")
        await do(made, "queue pause", destination="slow.test", duration="1h")
        table = made.worker.scheduler.destinations
        assert table.left_out("far.test")
        await clock.advance(91.0)
        assert not table.left_out("far.test")
        assert table.left_out("slow.test")
        assert [each.destination for each in (await do(made, "queue paused")).pauses] == ["slow.test"]

    run(scenario)


def test_the_end_of_a_suspension_does_not_end_a_pause() -> None:
    looks: list[int] = []
    table = DestinationTable(ManualClock(), lambda: looks.append(1))
    table.prove(("far.test", "near.test"))
    table.pause(["far.test"])
    table.suspend(["far.test", "near.test"])
    table.resume(["far.test", "near.test"])
    choice = LeaseChoice(table, 10.0, most=5, probes=5)
    choice.see([DueDestination("far.test", 1.0), DueDestination("near.test", 1.0)])
    assert choice.wanted == ["near.test"]
    before = len(looks)
    table.pause([])
    assert len(looks) == before + 1
    assert not table.left_out("far.test")


def test_other_worker_processes_read_the_pauses_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked: list[tuple[str, object]] = []
        async with daemon(tmp_path) as made:

            async def peers(operation: object, given: object) -> list[object]:
                asked.append((getattr(operation, "name", ""), given))
                return []

            context = made.context("ann")._replace(peers=peers)
            await OPERATIONS["queue pause"].run(context, destination="far.test")
            assert asked == [("queue paused", {"again": True})]
            write_pauses(str(tmp_path), {})  # another process has ended it
            await OPERATIONS["queue paused"].run(context, again=True)
            assert not made.worker.scheduler.destinations.left_out("far.test")

    run(scenario)


def test_without_a_daemon_the_file_is_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        context: Context = offline(parse(HERE.format(tmp_path, "", "")))
        await OPERATIONS["queue pause"].run(context, destination="dömäin.test")
        assert list(read_pauses(str(tmp_path), 0.0)) == ["xn--dmin-moa0i.test"]
        assert os.stat(tmp_path / PAUSED_FILE).st_mode & 0o777 == 0o600
        await OPERATIONS["queue resume"].run(context, destination="dömäin.test")
        assert json.loads((tmp_path / PAUSED_FILE).read_text()) == []

    run(scenario)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("queue pause", {"destination": "not a domain"}, "is no destination"),
        ("queue pause", {"destination": "*"}, "is no destination"),
        ("queue pause", {"destination": ""}, "is no destination"),
        ("queue pause", {"destination": "far.test", "duration": "soon"}, "is no duration"),
        ("queue pause", {"destination": "far.test", "why": "x" * 501}, "longer than 500"),
        ("queue resume", {"destination": "far.test"}, "is not paused"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, given: dict[str, str], words: str) -> None:
    async def scenario() -> None:
        made = Daemon(parse(HERE.format(tmp_path, "", "")), log=lambda event, /, **facts: None)
        with pytest.raises(SettingError, match=words):
            await do(made, name, **given)
        assert not (tmp_path / PAUSED_FILE).exists()

    run(scenario)


def test_the_number_of_pauses_is_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = [f"{number}.test" for number in range(MOST_PAUSES)]
        write_pauses(
            str(tmp_path), {each: DestinationPause(destination=each, at=0.0, until=None, who="x") for each in names}
        )
        made = Daemon(parse(HERE.format(tmp_path, "", "")), log=lambda event, /, **facts: None)
        with pytest.raises(SettingError, match="1,000 destinations are paused"):
            await do(made, "queue pause", destination="one-more.test")
        await do(made, "queue pause", destination="7.test", why="again")

    run(scenario)


def test_a_damaged_file_is_told_and_stops_no_mail(tmp_path: Path) -> None:
    async def scenario() -> None:
        told: list[str] = []
        (tmp_path / PAUSED_FILE).write_text("{")

        def log(event: str, /, **facts: object) -> None:
            if event == "fault":
                told.append(str(facts["reason"]))

        made = Daemon(parse(HERE.format(tmp_path, "", "")), log=log)
        await made.start()
        try:
            assert any("the pauses cannot be read" in each for each in told)
            with pytest.raises(SettingError, match="the pauses cannot be read"):
                await do(made, "queue paused")
        finally:
            await made.drain(0.0)

    run(scenario)
