"""Events as a stream: readers are told that something has changed, by topic, at most 4 times a second.

One watcher looks at the spool while anybody listens, and at nothing while nobody does.  A page module may declare
``TOPICS``: name → a coroutine function that takes the ``OperationRunner`` and returns a text which differs when the
topic has changed.  It is asked only after a commit, and only while somebody listens.  Without topics of its own a page
listens to ``spool``, which is every commit.

An event says only what has changed; a page asks for the rest.  So a reader that is slow gets one event for many
changes, and no queue grows.  ``Last-Event-ID`` of a reader that comes back is compared with the number of now: it is
told at once what it has missed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Mapping
from typing import Final

import msgspec

from posthouse.console.operating import OperationRunner
from posthouse.core import PosthouseError

__all__ = ["ChangeFeed", "HEARTBEAT", "LIFETIME", "PERIOD", "TooManyReaders", "Topic"]

#: Seconds between two looks at the spool, and between two signs of life to a reader.
PERIOD: Final = 0.25
HEARTBEAT: Final = 15.0
#: Seconds after which a stream ends and its reader comes back by itself, so that one which never reads keeps no place.
LIFETIME: Final = 3_600.0
_READERS: Final = 200

Topic = Callable[[OperationRunner], Awaitable[str]]


class TooManyReaders(PosthouseError):
    """As many read the stream as may."""


class _StreamReader:
    """One reader: the topics that it has not been told of yet, and the number of the last change."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.pending: set[str] = set()
        self.ready = asyncio.Event()


class ChangeFeed:
    """The changes of a spool, for any number of readers up to 200.

    Args:
        runner: what topics ask.
        token: a value that differs when something was committed.
        topics: name → what says whether a topic has changed.
    """

    def __init__(self, runner: OperationRunner, token: Callable[[], Hashable], topics: Mapping[str, Topic]) -> None:
        self._runner = runner
        self._token = token
        self._topics = topics
        self._readers: set[_StreamReader] = set()
        self._watch: asyncio.Task[None] | None = None
        self._instance = os.urandom(6).hex()
        self._number = 0
        self._closed = False

    @property
    def last_id(self) -> str:
        """The id of the last event."""
        return f"{self._instance}-{self._number}"

    async def events(self, topics: Collection[str] = (), last_id: str = "") -> AsyncGenerator[bytes, None]:
        """The stream for one reader, in the form of server-sent events; ends when the feed is closed, or after 1 h.

        ``topics`` are those that it wants, all of them without any; ``last_id`` is the last event that it had.  Raises
        ``TooManyReaders``.
        """
        if len(self._readers) >= _READERS:
            raise TooManyReaders(f"{_READERS} pages listen already; this one asks every few seconds instead")
        reader = _StreamReader(frozenset(topics))
        self._readers.add(reader)
        loop = asyncio.get_running_loop()
        end = loop.time() + LIFETIME
        if self._watch is None:
            self._watch = loop.create_task(self._look())
        try:
            if last_id and last_id != self.last_id:
                reader.pending.update(reader.topics or {"spool", *self._topics})
                reader.ready.set()
            yield f"retry: 2000\nid: {self.last_id}\nevent: hello\ndata: {{}}\n\n".encode()
            while not self._closed and loop.time() < end:
                try:
                    await asyncio.wait_for(reader.ready.wait(), HEARTBEAT)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                reader.ready.clear()
                changed, reader.pending = sorted(reader.pending), set()
                if changed:
                    yield b"id: %s\nevent: change\ndata: %s\n\n" % (
                        self.last_id.encode(), msgspec.json.encode({"topics": changed})
                    )  # fmt: skip
        finally:
            self._readers.discard(reader)
            if not self._readers and self._watch is not None:
                self._watch.cancel()
                self._watch = None

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for reader in self._readers:
            reader.ready.set()

    async def _look(self) -> None:
        """Look 4 times a second, and tell the readers."""
        before, states = self._token(), dict[str, str]()
        await self._changed(states)
        while True:
            await asyncio.sleep(PERIOD)
            now = self._token()
            if now == before:
                continue
            before = now
            changed = {"spool", *(await self._changed(states))}
            self._number += 1
            for reader in list(self._readers):
                if news := changed & reader.topics if reader.topics else changed:
                    reader.pending |= news
                    reader.ready.set()

    async def _changed(self, states: dict[str, str]) -> set[str]:
        """The topics whose state differs from that in ``states``, which is renewed."""
        wanted = set(self._topics)
        if all(reader.topics for reader in self._readers):
            wanted &= {topic for reader in self._readers for topic in reader.topics}
        changed = set()
        for name in wanted:
            try:
                state = await self._topics[name](self._runner)
            except PosthouseError:  # the daemon is busy, or starts; the next commit tells
                continue
            if states.get(name, state) != state:
                changed.add(name)
            states[name] = state
        return changed
