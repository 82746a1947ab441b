"""The stream of changes: topics, what a slow reader gets, where it goes on, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Hashable, Mapping
from contextlib import aclosing
from typing import Any

import pytest
from starlette.testclient import TestClient

from posthouse.console import change_feed as events
from posthouse.console.change_feed import ChangeFeed, TooManyReaders
from posthouse.core import StorageBusy
from posthouse.service import Config, parse
from posthouse.service.monitor.spool_changes import SpoolChanges

PATIENCE = 60.0


class Spool:
    """What a feed looks at: a number of commits, and the state of one topic."""

    def __init__(self) -> None:
        self.commits = 0
        self.looked = 0
        self.inbox = "0"
        self.busy = False

    @property
    def config(self) -> Config:
        return parse("")

    def token(self) -> Hashable:
        self.looked += 1
        return self.commits

    async def run(self, operation: str, given: Mapping[str, Any], who: str) -> Any:
        raise NotImplementedError

    async def state(self, runner: object) -> str:
        if self.busy:
            raise StorageBusy("behind")
        return self.inbox


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario

    asyncio.run(bounded())


def feed_of(spool: Spool) -> ChangeFeed:
    return ChangeFeed(spool, spool.token, {"inbox": spool.state})


def fields(event: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))


async def change(stream: AsyncIterator[bytes]) -> list[str]:
    """The topics of the next change."""
    while True:
        event = fields(await anext(stream))
        if event.get("event") == "change":
            topics: list[str] = json.loads(event["data"])["topics"]
            return topics


def test_a_reader_is_told_what_has_changed() -> None:
    async def scenario() -> None:
        spool = Spool()
        feed = feed_of(spool)
        async with aclosing(feed.events()) as stream, aclosing(feed.events(["inbox"])) as narrow:
            assert fields(await anext(stream))["event"] == "hello"
            await anext(narrow)
            while not spool.looked > 2:  # the watcher has its first state
                await asyncio.sleep(0)
                await asyncio.sleep(events.PERIOD / 10)
            spool.commits += 1
            assert await change(stream) == ["spool"]
            spool.commits, spool.inbox = spool.commits + 1, "1"
            assert await change(stream) == ["inbox", "spool"]
            assert await change(narrow) == ["inbox"]

    run(scenario())


def test_a_slow_reader_gets_one_event_for_many_changes() -> None:
    async def scenario() -> None:
        spool = Spool()
        feed = feed_of(spool)
        async with aclosing(feed.events()) as slow, aclosing(feed.events()) as quick:
            await anext(slow)
            await anext(quick)
            for number in range(3):
                while spool.looked < 2:
                    await asyncio.sleep(events.PERIOD / 10)
                spool.commits, spool.inbox = spool.commits + 1, str(number + 1)
                await change(quick)
            assert await change(slow) == ["inbox", "spool"]
            (reader, _) = feed._readers
            assert reader.pending == set()

    run(scenario())


def test_a_reader_that_comes_back_is_told_at_once_what_it_has_missed() -> None:
    async def scenario() -> None:
        feed = feed_of(Spool())
        async with aclosing(feed.events(last_id="other-7")) as stream:
            await anext(stream)
            assert await change(stream) == ["inbox", "spool"]
        async with aclosing(feed.events(last_id=feed.last_id)) as stream:
            await anext(stream)
            (reader,) = feed._readers
            assert not reader.ready.is_set()

    run(scenario())


def test_nobody_looks_while_nobody_listens() -> None:
    async def scenario() -> None:
        spool = Spool()
        feed = feed_of(spool)
        assert feed._watch is None
        async with aclosing(feed.events()) as stream:
            await anext(stream)
            watch = feed._watch
            assert watch is not None
        assert feed._watch is None
        await asyncio.wait([watch])
        assert watch.cancelled()

    run(scenario())


def test_the_end_ends_every_stream() -> None:
    async def scenario() -> None:
        feed = feed_of(Spool())
        async with aclosing(feed.events()) as stream:
            await anext(stream)
            feed.close()
            assert [each async for each in stream] == []

    run(scenario())


def test_a_stream_ends_after_its_time_so_that_nobody_keeps_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        feed = feed_of(Spool())
        assert len([each async for each in feed.events()]) == 1
        assert not feed._readers

    monkeypatch.setattr(events, "LIFETIME", 0.0)
    run(scenario())


def test_too_many_readers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        feed = feed_of(Spool())
        async with aclosing(feed.events()) as stream:
            await anext(stream)
            with pytest.raises(TooManyReaders, match="asks every few seconds"):
                await anext(feed.events())

    monkeypatch.setattr(events, "_READERS", 1)
    run(scenario())


def test_a_daemon_that_is_busy_ends_no_stream() -> None:
    async def scenario() -> None:
        spool = Spool()
        spool.busy = True
        feed = feed_of(spool)
        async with aclosing(feed.events()) as stream:
            await anext(stream)
            while spool.looked < 2:
                await asyncio.sleep(events.PERIOD / 10)
            spool.commits += 1
            assert await change(stream) == ["spool"]

    run(scenario())


def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with aclosing(feed_of(Spool()).events()) as stream:
            await anext(stream)
            assert await anext(stream) == b": alive\n\n"

    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    run(scenario())


def test_another_origin_reads_no_stream(client: TestClient) -> None:
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.get("/events", headers=headers).status_code == 403


def test_the_files_of_a_spool_tell_of_changes(tmp_path: Any) -> None:
    changes = SpoolChanges(str(tmp_path))
    before = changes.token()
    (tmp_path / "spool").mkdir()
    assert changes.token() == before
    (tmp_path / "spool" / "queue.sqlite3-wal").write_bytes(b"x")
    after = changes.token()
    assert after != before
    assert changes.token() == after
