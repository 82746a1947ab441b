"""Deliveries told to webhooks and traces: the journal of the workers, its reader, and what becomes of each line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.console.api.delivery_feed import DeliveryFeed, DeliveryLine
from posthouse.console.api.webhooks import DeliveryWebhook, Webhook
from posthouse.core import Address, CallbackSink, Envelope, Recipient
from posthouse.service import OPERATIONS, Config, ConfigError, Daemon, parse
from posthouse.service.config.changes import in_force
from posthouse.service.config.console_settings import WebhookSettings
from posthouse.service.monitor import delivery_journal
from posthouse.service.monitor.delivery_journal import DeliveryJournal, JournalingSink, journaled
from posthouse.service.monitor.queue_undo import undoable, undoable_action
from posthouse.service.operations.monitor.undo_operations import give_up
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, StaticResolver

ALL = ("delivered", "deferred", "failed", "expired", "ambiguous", "held", "dropped")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


class Taker:
    """Takes lines; ``room`` says how many more, and ``settled`` is moved by hand."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.settled = 0
        self.lines: list[DeliveryLine] = []

    def has_room(self) -> bool:
        return self.room > 0

    def take(self, line: DeliveryLine) -> None:
        self.room -= 1
        self.lines.append(line)


def config(*events: str, more: str = "") -> Config:
    names = ", ".join(f'"{each}"' for each in events)
    return parse(f'[console]\n{more}\n[[webhook]]\nurl = "https://x.test/"\nevents = [{names}]\n')


def test_without_a_webhook_for_deliveries_the_log_is_the_log() -> None:
    log = CallbackSink(lambda event, /, **facts: None)
    assert journaled(log, config("message"), ManualClock(), 0) is log
    assert journaled(log, parse(""), ManualClock(), 0) is log
    assert journaled(log, config("failed"), ManualClock(), 0) is not log
    assert journaled(log, config("message", more="traces = true"), ManualClock(), 0) is not log


def test_the_first_webhook_for_deliveries_waits_for_a_restart() -> None:
    assert in_force(config("message"), config("failed"))[1] == ("webhook",)
    assert in_force(config("failed"), config("held"))[1] == ()


def test_events_are_noted_and_read_in_their_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, logged = ManualClock(), list[str]()
        journal = DeliveryJournal(str(tmp_path), clock, 3, logged.append)
        sink = JournalingSink(CallbackSink(lambda event, /, **facts: logged.append(event)), journal)
        sink("accepted", id="q1", sender="ann@here.test")
        sink("delivered", id="q1", recipient="b@x.test", destination="x.test", peer="192.0.2.1:25", reply="250 ok",
             reason="", tls=None)  # fmt: skip
        sink.each("deferred", "recipient", ["c@y.test", "d@y.test"], id="q1", recipient=None, destination="y.test",
                  reply="450 4.2.1 later", again=17.5)  # fmt: skip
        sink("failed", id="q2", recipient="e@x.test", reason="gave up after 30 attempts in 5.0 days; the last: busy")
        assert list(tmp_path.iterdir()) == []
        await clock.advance(0.3)
        taker = Taker()
        feed = DeliveryFeed(str(tmp_path), [taker])
        assert await feed.look()
        assert [(each.number, each.event, each.facts["id"], each.facts["recipient"]) for each in taker.lines] == [
            (1, "delivered", "q1", "b@x.test"),
            (2, "deferred", "q1", "c@y.test"),
            (3, "deferred", "q1", "d@y.test"),
            (4, "expired", "q2", "e@x.test"),
        ]
        first = taker.lines[0].facts
        assert set(first) == {"at", "id", "recipient", "destination", "peer", "reply"}
        assert taker.lines[1].facts["again"] == 17.5
        assert len({each.id for each in taker.lines}) == 4
        assert not await feed.look()
        sink("held", id="q3", recipient="f@x.test")
        sink("ended")
        assert await feed.look()
        assert taker.lines[-1].event == "held"
        assert logged == ["accepted", "delivered", "deferred", "deferred", "failed", "held", "ended"]

    run(scenario)


def test_another_process_goes_on_behind_what_is_settled(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = DeliveryJournal(str(tmp_path), ManualClock(), 0, lambda text: None)
        for number in range(3):
            journal.add("delivered", {"id": f"q{number}"}, ("b@x.test",))
        journal.flush()
        first = Taker()
        feed = DeliveryFeed(str(tmp_path), [first])
        await feed.look()
        first.settled = 2
        await feed.settle()
        journal.close()
        second = Taker()
        feed = DeliveryFeed(str(tmp_path), [second])
        task = asyncio.ensure_future(feed.run())
        while not second.lines:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [each.facts["id"] for each in second.lines] == ["q2"]
        assert second.lines[0].id == first.lines[2].id

    run(scenario)


def test_a_file_that_is_done_goes_when_its_worker_has_left_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        taker = Taker()
        feed = DeliveryFeed(str(tmp_path), [taker])
        for number in range(2):
            journal = DeliveryJournal(str(tmp_path), clock, 0, lambda text: None)
            journal.add("held", {"id": f"q{number}"}, ("b@x.test",))
            journal.close()
            await clock.advance(1.0)
        while await feed.look():
            pass
        assert len(list(tmp_path.glob("*.jsonl"))) == 2  # nothing is settled yet
        taker.settled = 2
        await feed.settle()
        assert not await feed.look()
        (left,) = tmp_path.glob("*.jsonl")
        assert b"q1" in left.read_bytes()

    run(scenario)


def test_nothing_is_read_while_a_taker_has_no_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = DeliveryJournal(str(tmp_path), ManualClock(), 0, lambda text: None)
        journal.add("delivered", {"id": "q"}, ("a@x.test", "b@x.test", "c@x.test"))
        journal.close()
        quick, slow = Taker(), Taker(room=2)
        feed = DeliveryFeed(str(tmp_path), [quick, slow])
        assert not await feed.look()
        assert (len(quick.lines), len(slow.lines)) == (2, 2)
        assert not await feed.look()
        slow.room = 1
        await feed.look()
        assert [each.facts["recipient"] for each in slow.lines] == ["a@x.test", "b@x.test", "c@x.test"]

    run(scenario)


def test_the_journal_is_bounded_and_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_journal, "_SEGMENT", 1)
    monkeypatch.setattr(delivery_journal, "_MOST_FILES", 3)
    said: list[str] = []

    async def scenario() -> None:
        clock = ManualClock()
        journal = DeliveryJournal(str(tmp_path), clock, 0, said.append)
        for number in range(5):
            journal.add("held", {"id": f"q{number}"}, ("b@x.test",))
            await clock.advance(1.0)
        journal.close()
        assert len(list(tmp_path.glob("*.jsonl"))) == 3

    run(scenario)
    assert len(said) == 2
    assert all("webhooks or traces are too far behind" in each for each in said)


def test_a_disk_that_refuses_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").write_bytes(b"")

    async def scenario() -> None:
        journal = DeliveryJournal(str(tmp_path / "file"), ManualClock(), 0, said.append)
        for _ in range(2):
            journal.add("held", {"id": "q"}, ("b@x.test",))
            journal.flush()

    run(scenario)
    assert len(said) == 1


def test_damaged_lines_are_settled_as_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        name = f"{1:014d}-0-1.jsonl"
        good = b'{"event":"held","id":"q"}\n'
        (tmp_path / name).write_bytes(b"\xff{\n[]\n" + good + b"half")
        taker = Taker()
        await DeliveryFeed(str(tmp_path), [taker]).look()
        assert [each.event for each in taker.lines] == ["", "", "held"]

    run(scenario)


def test_a_webhook_gets_what_it_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        got: list[tuple[str, Any]] = []
        enough = asyncio.Event()

        async def send(url: str, headers: Any, body: bytes) -> int:
            got.append((headers["x-posthouse-delivery"], json.loads(body)))
            if len(got) == 2:
                enough.set()
            return 200

        settings = WebhookSettings(url="https://x.test/", events=("failed", "expired"), recipients=("*@x.test",))
        hook = Webhook(settings, b"", settled=0, log=lambda event, **facts: None, send=send)
        made = DeliveryWebhook(settings, hook)
        for number, (event, recipient) in enumerate(
            [("failed", "a@x.test"), ("failed", "a@y.test"), ("deferred", "a@x.test"), ("expired", "B@X.test"),
             ("", "a@x.test")], 1,
        ):  # fmt: skip
            made.take(DeliveryLine(number, f"s-{number}", event, {"recipient": recipient, "id": "q"}))
        task = asyncio.ensure_future(made.run())
        await enough.wait()
        while made.settled < 5:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert got == [
            ("delivery-s-1", {"event": "failed", "id": "delivery-s-1",
                              "delivery": {"recipient": "a@x.test", "id": "q"}}),
            ("delivery-s-4", {"event": "expired", "id": "delivery-s-4",
                              "delivery": {"recipient": "B@X.test", "id": "q"}}),
        ]  # fmt: skip

    run(scenario)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('events = ["bounced"]', "is no event; there are message, delivered"),
        ("events = []", "the list is empty"),
        ('recipients = ["example.org"]', "is no address"),
    ],
)
def test_a_wrong_setting_is_explained(line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(f'[[webhook]]\nurl = "https://x.test/"\n{line}\n')


def test_a_star_is_every_event() -> None:
    assert set(config("*").webhook[0].events) == {"message", *ALL}


# What a user gives up -------------------------------------------------------------------------------------------------


def lines_in(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / delivery_journal.JOURNAL_FOLDER).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_what_a_user_gives_up_is_noted_once_it_is_final(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        spool = SqliteSpool.ephemeral(time=clock.time)
        settings = parse(
            f'hostname = "mx.here.test"\ndata_dir = "{tmp_path}"\n[console]\n'
            '[[webhook]]\nurl = "https://x.test/"\nevents = ["dropped"]\n'
        )
        daemon = Daemon(
            settings, clock=clock, spool=spool, resolver=StaticResolver({}), log=lambda event, /, **facts: None
        )
        await spool.open(clock.time())

        async def drop(**given: Any) -> None:
            await OPERATIONS["queue drop"].run(daemon.context("ann"), **given)

        async def store(*names: str) -> str:
            incoming = spool.receive()
            incoming.write(b"Subject: x\r\n\r\nhello\r\n")
            alias = (Address("team", "x.test"),)  # led to each of them, and is not told
            recipients = tuple(Recipient(Address(name, "x.test"), originals=alias) for name in names)
            envelope = Envelope(Address("bob", "here.test"), recipients)
            now = clock.time()
            await incoming.commit(
                envelope, ["x.test"] * len(names), received=now, due=now + 60, source="mx 192.0.2.1:4000"
            )
            return incoming.id

        first, second = await store("a", "b", "c"), await store("d", "e")
        await drop(filter="to:a@x.test")
        await drop(filter="to:b@x.test", report=True)
        await drop(filter=f"id:{second}", undo_for="10m")  # held until then, and not told yet
        await OPERATIONS["queue release"].run(daemon.context("ann"), filter="to:e@x.test")
        await OPERATIONS["queue hold"].run(daemon.context("ann"), filter="to:c@x.test")
        assert isinstance(daemon.log, JournalingSink)
        daemon.log("ended")  # writes what waits
        noted = [(each["event"], each["id"], each["recipient"], each["destination"]) for each in lines_in(tmp_path)]
        assert noted == [("dropped", first, "a@x.test", "x.test"), ("dropped", first, "b@x.test", "x.test")]
        assert {each["reason"] for each in lines_in(tmp_path)} == {"dropped by ann"}
        (entry,) = undoable(str(tmp_path))
        action = undoable_action(str(tmp_path), entry.number)
        assert action is not None
        assert await give_up(daemon.context, action) == 1
        daemon.log("ended")
        assert [each["recipient"] for each in lines_in(tmp_path)] == ["a@x.test", "b@x.test", "d@x.test"]
        await spool.close()

    run(scenario)
