"""Actions on the queue that can be undone: noted first, ended at their time, and undone exactly."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, Recipient, SettingError
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.monitor import queue_undo
from posthouse.service.monitor.queue_undo import UndoableAction, UndoKeeper, keep_undoable, undoable
from posthouse.service.operations.explain_text import history_sentences
from posthouse.service.operations.monitor import undo_operations
from posthouse.service.operations.monitor.undo_operations import give_up
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver


class Queue:
    """A daemon that is not started, over a spool of its own; ``clock`` is moved by hand."""

    def __init__(self, data_dir: Path) -> None:
        self.clock = ManualClock()
        self.spool = SqliteSpool.ephemeral(time=self.clock.time)
        self.data_dir = str(data_dir)
        self.daemon = Daemon(
            parse(f'hostname = "mx.here.test"\ndata_dir = "{data_dir}"'),
            clock=self.clock,
            network=MemoryNetwork(self.clock),
            spool=self.spool,
            resolver=StaticResolver({}),
            log=lambda event, /, **facts: None,
        )
        self.problems: list[str] = []

    async def __aenter__(self) -> Queue:
        await self.spool.open(self.clock.time())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.spool.close()

    async def store(self, *people: str) -> str:
        now = self.clock.time()
        incoming = self.spool.receive()
        incoming.write(b"Subject: x\r\n\r\nhello\r\n")
        addresses = [Address(*each.rsplit("@", 1)) for each in people]
        envelope = Envelope(Address("ann", "here.test"), tuple(map(Recipient, addresses)))
        names = [each.domain for each in addresses]
        await incoming.commit(envelope, names, received=now, due=now + 60, source="mx 192.0.2.1:4000")
        return incoming.id

    async def do(self, name: str, **given: Any) -> Any:
        return await OPERATIONS[name].run(self.daemon.context("ann"), **given)

    async def states(self) -> dict[str, str]:
        return {row.address: row.state for row in await self.spool.queries.select(now=self.clock.time())}

    def keeper(self) -> UndoKeeper:
        return UndoKeeper(self.data_dir, self.clock, self.give_up, self.problems.append)

    async def give_up(self, action: UndoableAction) -> None:
        await give_up(self.daemon.context, action)


async def ended(queue: Queue, keeper: UndoKeeper) -> None:
    """Wait until nothing can be undone and nothing is being ended."""
    async with asyncio.timeout(60):
        while undoable(queue.data_dir) or keeper.ending:
            await asyncio.sleep(0.001)


def test_a_drop_is_held_undone_and_only_then_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test", "c@x.test")
            await queue.store("d@y.test")
            await queue.do("queue hold", filter="to:c@x.test")
            changed = await queue.do("queue drop", filter="domain:x.test", undo_for="10m")
            assert (changed.recipients, changed.undo, changed.until) == (2, 1, queue.clock.time() + 600)
            assert await queue.states() == {"b@x.test": "held", "c@x.test": "held", "d@y.test": "waiting"}
            (entry,) = (await queue.do("queue undoable")).actions
            assert (entry.act, entry.recipients, entry.who, entry.filter) == ("drop", 2, "ann", "domain:x.test")
            undone = await queue.do("queue undo", number=1)
            assert (undone.act, undone.recipients) == ("undo drop", 1)
            assert await queue.states() == {"b@x.test": "waiting", "c@x.test": "held", "d@y.test": "waiting"}
            with pytest.raises(SettingError, match="nothing can be undone"):
                await queue.do("queue undo")
            assert os.listdir(tmp_path / "undo") == ["last"]

    asyncio.run(scenario())


def test_a_drop_ends_at_its_time_and_spares_what_was_released(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test", "c@x.test")
            keeper = queue.keeper()
            await queue.do("queue drop", filter="domain:x.test", undo_for="10m", report=True)
            keeper.start()
            await queue.do("queue release", filter="to:c@x.test")
            await queue.clock.advance(599.0)
            assert await queue.states() == {"b@x.test": "held", "c@x.test": "waiting"}
            await queue.clock.advance(2.0)
            await ended(queue, keeper)
            assert await queue.states() == {"c@x.test": "waiting", "ann@here.test": "waiting"}  # and the report
            (line, *_) = await queue.do("queue audit", limit=1)
            assert (line.act, line.who, line.filter, line.recipients) == ("drop", "ann", "domain:x.test", 1)
            await keeper.stop()
            assert queue.problems == []

    asyncio.run(scenario())


def test_what_was_to_end_while_no_daemon_ran_ends_at_its_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            queue_id = await queue.store("b@x.test")
            await queue.do("queue drop", ids=queue_id, undo_for="1s")
            await queue.clock.advance(90.0)
            with pytest.raises(SettingError, match="cannot be undone any more"):
                await queue.do("queue undo", number=1)
            keeper = queue.keeper()
            keeper.start()
            await queue.clock.advance(1.0)
            await ended(queue, keeper)
            assert await queue.states() == {}
            await keeper.stop()

    asyncio.run(scenario())


def test_holding_and_releasing_are_undone_for_the_recipients_that_they_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            one, two = await queue.store("b@x.test"), await queue.store("c@x.test")
            await queue.do("queue hold", filter=f"id:{one}")
            held = await queue.do("queue hold", filter="domain:x.test", undo_for="10m")
            assert held.recipients == 1
            assert (await queue.do("queue undo")).recipients == 1
            assert await queue.states() == {"b@x.test": "held", "c@x.test": "waiting"}
            released = await queue.do("queue release", ids=f"{one},{two}", undo_for="10m")
            assert released.recipients == 1
            assert (await queue.do("queue undo", number=released.undo)).act == "undo release"
            assert await queue.states() == {"b@x.test": "held", "c@x.test": "waiting"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("act", "before", "state", "words", "chinese"),
    [
        ("hold", "waiting", "waiting", "ann undid the hold of b@x.test", "ann 撤销了对 b@x.test 的扣留"),
        ("drop", "waiting", "waiting", "ann undid the drop of b@x.test", "ann 撤销了对 b@x.test 的丢弃"),
        (
            "release",
            "held",
            "held",
            "ann undid the release of b@x.test, held again",
            "ann 撤销了对 b@x.test 的放行，重新扣留",
        ),
    ],
)
def test_what_was_undone_is_named_in_the_audit_log_and_in_the_story(
    tmp_path: Path, act: str, before: str, state: str, words: str, chinese: str
) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            queue_id = await queue.store("b@x.test")
            if before == "held":
                await queue.do("queue hold", filter="domain:x.test")
            await queue.do(f"queue {act}", filter="domain:x.test", undo_for="10m")
            await queue.do("queue undo")
            assert await queue.states() == {"b@x.test": state}
            (line, *_) = await queue.do("queue audit", limit=1)
            assert (line.act, line.who, line.filter, line.recipients) == (f"undo {act}", "ann", "domain:x.test", 1)
            told = await queue.do("explain", what=queue_id)
            last = told.message.events[-1]
            assert (last.kind, last.who, last.text, last.recipients) == ("undone", "ann", act, ["b@x.test"])
            assert told.message.standing[0].state == state
            for language, sentence in (("en", words), ("zh", chinese)):
                assert sentence in [each.text for each in history_sentences(told.message, language, str)]

    asyncio.run(scenario())


def test_a_retry_and_a_reroute_are_undone_for_what_was_not_tried(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test")
            await queue.store("c@x.test")
            due = {row.address: row.due for row in await queue.spool.queries.select()}
            changed = await queue.do("queue retry", filter="domain:x.test", undo_for="10m")
            assert (changed.act, changed.recipients, changed.undo) == ("retry", 2, 1)
            (lease,) = await queue.spool.lease("w", queue.clock.time(), queue.clock.time() + 60, limit=1)
            taken = str(lease.recipients[0].recipient.address)
            undone = await queue.do("queue undo", number=1)
            assert (undone.act, undone.recipients) == ("undo retry", 1)
            (other,) = [row for row in await queue.spool.queries.select() if row.address != taken]
            assert other.due == due[other.address]
            changed = await queue.do("queue reroute", ids=other.id, via="smtp://192.0.2.5:25", undo_for="10m")
            assert (changed.recipients, changed.target) == (1, "smtp://192.0.2.5:25")
            assert (await queue.do("queue undo")).recipients == 1
            (row,) = [row for row in await queue.spool.queries.select() if row.address == other.address]
            assert (row.due, row.route) == (other.due, "")
            told = await queue.do("explain", what=other.id)
            assert [each.kind for each in told.message.events][-2:] == ["rerouted", "restored"]
            assert told.message.standing[0].route == ""

    asyncio.run(scenario())


def test_a_new_action_takes_the_place_of_the_oldest_retry_and_of_nothing_to_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_undo, "MOST_UNDOABLE", 2)

    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test", "c@y.test")
            await queue.do("queue drop", filter="domain:y.test", undo_for="1m")
            for _ in range(3):
                await queue.do("queue retry", filter="domain:x.test", undo_for="1m")
            assert [each.act for each in undoable(queue.data_dir)] == ["drop", "retry"]

    asyncio.run(scenario())


def test_actions_at_one_time_have_numbers_of_their_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            domains = [f"x{number}.test" for number in range(6)]
            for domain in domains:
                await queue.store(f"b@{domain}")
            drops = [queue.do("queue drop", filter=f"domain:{domain}", undo_for="1m") for domain in domains]
            assert sorted(each.undo for each in await asyncio.gather(*drops)) == [1, 2, 3, 4, 5, 6]
            for number in range(1, 7):
                await queue.do("queue undo", number=number)
            assert set((await queue.states()).values()) == {"waiting"}

    asyncio.run(scenario())


def test_undoing_twice_leaves_the_action_of_another_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test")
            await queue.store("c@y.test")
            retried = await queue.do("queue retry", filter="domain:x.test", undo_for="1m")
            await queue.do("queue undo", number=retried.undo)
            held = await queue.do("queue hold", filter="domain:y.test", undo_for="1m")
            with pytest.raises(SettingError, match="action 1 cannot be undone any more; there are 2"):
                await queue.do("queue undo", number=retried.undo)
            assert (held.undo, await queue.states()) == (2, {"b@x.test": "waiting", "c@y.test": "held"})

    asyncio.run(scenario())


def test_a_fault_at_the_end_is_told_and_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test")
            await queue.do("queue drop", filter="all", undo_for="1s")
            tried: list[int] = []

            async def fails(action: UndoableAction) -> None:
                tried.append(action.number)
                if len(tried) == 1:
                    raise OSError("no disk")

            keeper = UndoKeeper(queue.data_dir, queue.clock, fails, queue.problems.append)
            keeper.start()
            await queue.clock.advance(2.0)
            await queue.clock.advance(30.0)
            assert (len(undoable(queue.data_dir)), tried) == (1, [1])
            await queue.clock.advance(31.0)
            await ended(queue, keeper)
            assert tried == [1, 1]
            assert queue.problems == ["an action on the queue could not be ended, and is tried again in 60 s: no disk"]
            await keeper.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"filter": "all", "undo_for": "2d"}, "is no time for undoing"),
        ({"filter": "all", "undo_for": "soon"}, "is no time for undoing"),
        ({"ids": "abc"}, "write undo_for too"),
        ({"ids": "abc", "filter": "all", "undo_for": "1m"}, "ids stand in place of a filter"),
        ({"ids": "a:b", "undo_for": "1m"}, "the queue ids are too many, or are none"),
        ({"ids": ",".join(map(str, range(501))), "undo_for": "1m"}, "the queue ids are too many"),
    ],
)
def test_a_wrong_question_is_explained(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test")
            with pytest.raises(SettingError, match=words):
                await queue.do("queue drop", **given)
            assert await queue.states() == {"b@x.test": "waiting"}

    asyncio.run(scenario())


def test_there_are_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo_operations, "MOST_RECIPIENTS", 2)
    monkeypatch.setattr(queue_undo, "MOST_UNDOABLE", 1)

    async def scenario() -> None:
        async with Queue(tmp_path) as queue:
            await queue.store("b@x.test", "c@x.test", "d@y.test")
            with pytest.raises(SettingError, match="more than 2 recipients, too many to undo"):
                await queue.do("queue drop", filter="all", undo_for="1m")
            await queue.do("queue hold", filter="domain:x.test", undo_for="1m")
            with pytest.raises(SettingError, match="1 actions can be undone already"):
                await queue.do("queue drop", filter="domain:y.test", undo_for="1m")
            assert (await queue.states())["d@y.test"] == "waiting"

    asyncio.run(scenario())


def test_a_damaged_file_is_explained(tmp_path: Path) -> None:
    action = UndoableAction(
        number=0, act="hold", filter="all", at=1.0, until=2.0, who="ann", report=False, recipients=0, changed=[]
    )
    assert keep_undoable(str(tmp_path), action).number == 1
    (tmp_path / "undo" / "00000001.json").write_bytes(b"{")
    with pytest.raises(SettingError, match="cannot be read"):
        undoable(str(tmp_path))
