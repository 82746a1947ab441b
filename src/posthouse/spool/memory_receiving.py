"""A message on its way into the queue in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, TypeVar

from posthouse.core import Envelope, LocalError
from posthouse.spool.history import Origin
from posthouse.spool.interface import Stored, StoredMessage

if TYPE_CHECKING:
    from posthouse.spool.memory import MemorySpool

__all__ = ["Incoming", "done"]

T = TypeVar("T")


class Incoming:
    """A ``Receipt`` of the memory queue."""

    def __init__(self, queue: MemorySpool, queue_id: str) -> None:
        self._queue = queue
        self.id = queue_id
        self.size = 0
        self._chunks: list[bytes] = []
        self._ended = False

    def write(self, chunk: bytes) -> None:
        """See ``Receipt.write``."""
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        self._queue.grow(len(chunk))
        self.size += len(chunk)
        self._chunks.append(chunk)

    def commit(
        self,
        envelope: Envelope,
        destinations: Sequence[str],
        *,
        received: float,
        due: float,
        prefix: bytes = b"",
        source: str = "",
        owner: str = "",
        until: float = 0.0,
        arrival: Origin | None = None,
    ) -> Awaitable[Stored]:
        """See ``Receipt.commit``."""
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        if not destinations or len(destinations) != len(envelope.recipients):
            raise LocalError("a message needs recipients, and one destination for each")
        self._ended = True
        if prefix:
            self._queue.grow(len(prefix))
            self.size += len(prefix)
        message = StoredMessage(self.id, envelope, received, self.size, source)
        content = b"".join([prefix, *self._chunks])
        self._chunks = []
        claim = (owner, until) if owner else None
        return done(self._queue.store(message, content, destinations, due, claim, arrival))

    def abort(self) -> None:
        """See ``Receipt.abort``."""
        if not self._ended:
            self._ended = True
            self._chunks = []
            self._queue.shrink(self.size)


def done(result: T) -> asyncio.Future[T]:
    """An awaitable that is done, of the kind the SQLite queue gives."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
