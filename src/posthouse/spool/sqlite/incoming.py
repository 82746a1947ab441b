"""One message on its way into the SQLite spool.

Up to the threshold its octets wait in memory and go into its row; above it they go to a file as they come.  ``commit``
returns a plain future: no task for a small message, and a waiter that is cancelled interrupts nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from posthouse.core import Envelope, LocalError, StorageError
from posthouse.spool.history import Origin, QueueEvent, encode, packed_note
from posthouse.spool.ids import text_of
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Stored, StoredMessage
from posthouse.spool.sqlite.batch import Accept, NewMessage
from posthouse.spool.sqlite.history_store import story_row
from posthouse.spool.sqlite.rows import encode_envelope, recipient_rows, told_destination
from posthouse.spool.sqlite.storage.content_files import ContentWriter

if TYPE_CHECKING:
    from posthouse.spool.sqlite.spool import SqliteSpool

__all__ = ["Fresh", "SqliteIncoming", "new_message", "works_of"]

_REMEMBERED = 16 << 20  # octets of fresh content kept for the first attempt
_REMEMBERED_MESSAGES = 20_000
_WAITING = RecipientState.WAITING


class SqliteIncoming:
    """A ``Receipt`` of the SQLite queue."""

    __slots__ = ("_arriving", "_chunks", "_ended", "_number", "_queue", "_size", "id")

    def __init__(self, queue: SqliteSpool, number: int) -> None:
        self._queue = queue
        self._number = number
        self.id = text_of(number)
        self._size = 0
        self._chunks: list[bytes] = []
        self._arriving: ContentWriter | None = None
        self._ended = False

    @property
    def size(self) -> int:
        """See ``Receipt.size``."""
        return self._size

    def write(self, chunk: bytes) -> asyncio.Future[None] | None:
        """See ``Receipt.write``."""
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        size = len(chunk)
        self._size += size
        arriving = self._arriving
        if arriving is None:
            self._chunks.append(chunk)
            queue = self._queue
            queue.buffered += size
            if self._size <= queue.threshold and queue.buffered <= queue.buffer:
                return None
            queue.buffered -= self._size
            self._arriving = arriving = queue.arrive(self._number)
            chunks, self._chunks = self._chunks, []
            chunk = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return arriving.write(chunk)

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
        held: str = "",
    ) -> asyncio.Future[Stored]:
        """See ``Receipt.commit``."""
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        if not destinations or len(destinations) != len(envelope.recipients):
            raise LocalError("a message needs recipients, and one destination for each")
        if held and owner:
            raise LocalError("a message that is held cannot be leased")
        queue, number, arriving = self._queue, self._number, self._arriving
        size = self._size + len(prefix)
        message = StoredMessage(self.id, envelope, received, size, source)
        content: bytes | None = None
        if arriving is None:
            chunks = self._chunks
            if prefix:
                content = b"".join((prefix, *chunks))
            else:
                content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        new = new_message(
            number,
            message,
            destinations,
            due,
            content,
            prefix=prefix,
            lease=(queue.slot, owner, until) if owner else None,
            arrival=arrival,
            held=held,
        )
        stored = Stored(message, works_of(message, destinations, due, owner, until) if owner else ())
        future: asyncio.Future[Stored] = queue.loop.create_future()
        op = Accept(future, new, stored, size if content is not None else 0)
        if arriving is None:
            assert content is not None
            queue.writer.submit(op)
            self._end()
            if new.row[1] is not None:
                queue.fresh.add(self.id, number, content, arrival)
        else:
            self._ended = True
            op.finished = queue.discard_if_failed(number)
            arriving.seal(_then(queue, op))
        return future

    def abort(self) -> None:
        """See ``Receipt.abort``."""
        if self._ended:
            return
        self._end()
        if self._arriving is not None:
            self._arriving.abort()

    def _end(self) -> None:
        self._ended = True
        if self._arriving is None:
            self._queue.buffered -= self._size
        self._chunks = []


class Fresh:
    """What is remembered of messages until the first attempt of each recipient ends, within a bound, by queue id: the
    id's number, the content, and how they came."""

    __slots__ = ("_messages", "_octets", "_parted")

    def __init__(self) -> None:
        self._messages: dict[str, tuple[int, bytes, Origin | None]] = {}
        self._parted: dict[str, int] = {}  # of those of which some have ended: how many
        self._octets = 0

    def add(self, name: str, number: int, content: bytes, arrival: Origin | None) -> None:
        """Remember a message; the oldest are forgotten where there are too many."""
        messages = self._messages
        messages[name] = (number, content, arrival)
        self._octets += len(content)
        while self._octets > _REMEMBERED or len(messages) > _REMEMBERED_MESSAGES:
            self.pop(next(iter(messages)))

    def get(self, name: str) -> tuple[int, bytes, Origin | None] | None:
        """What is remembered of it, if anything is."""
        return self._messages.get(name)

    def pop(self, name: str) -> tuple[int, bytes, Origin | None] | None:
        """The same, for the last time."""
        remembered = self._messages.pop(name, None)
        if remembered is not None:
            self._octets -= len(remembered[1])
            if self._parted:
                self._parted.pop(name, None)
        return remembered

    def part(self, name: str, some: int, of: int) -> tuple[int, bytes, Origin | None] | None:
        """The same, for so many of all its recipients: for the last time if there are no others."""
        ended = some + self._parted.get(name, 0)
        if ended >= of:
            return self.pop(name)
        remembered = self._messages.get(name)
        if remembered is not None:
            self._parted[name] = ended
        return remembered


def _then(queue: SqliteSpool, op: Accept) -> Callable[[StorageError | None], None]:
    """Content is in its file, or is not: on to the rows, or say so."""

    def then(error: StorageError | None) -> None:
        if error is None:
            queue.writer.submit(op)
        else:
            queue.writer.refuse(op, error)

    return then


def new_message(
    number: int,
    message: StoredMessage,
    destinations: Sequence[str],
    due: float,
    content: bytes | None,
    *,
    lease: tuple[int, str, float] | None,
    prefix: bytes = b"",
    arrival: Origin | None = None,
    held: str = "",
) -> NewMessage:
    """The rows of a message: a fresh one if it is leased, and its row can tell the destinations.

    ``content`` is None where it lies in a file, with ``prefix`` in front of the file; ``lease`` is slot, owner and end.
    """
    _, envelope, received, size, source = message
    count = len(destinations)
    rest = (received, size, source, count, encode_envelope(envelope), content)
    file = (size - len(prefix), prefix) if content is None else None
    first = None if lease is None else told_destination(destinations, envelope.recipients)
    if lease is not None and first is not None:
        slot, owner, until = lease
        told = None if arrival is None else encode(arrival)
        return NewMessage((number, until, slot, owner, due, first, *rest, told), (), file)
    slot_, owner, ready = (None, "", due) if lease is None else lease
    quarantined = (packed_note(QueueEvent(received, "quarantined", text=held)),) if held else ()
    return NewMessage(
        (number, None, None, None, None, None, *rest, None),
        recipient_rows(number, message, destinations, due, ready, slot_, owner, held=held),
        file,
        story_row(number, message, arrival, *quarantined),
    )


def works_of(
    message: StoredMessage, destinations: Sequence[str], due: float, owner: str, until: float
) -> tuple[Lease, ...]:
    """The leases of a message that was stored leased: one work for each destination."""
    people = message.envelope.recipients
    if len(people) == 1:
        name = destinations[0]
        return (Lease(message, name, (QueuedRecipient(0, people[0], name, _WAITING, 0, due),), owner, until),)
    groups: dict[str, list[QueuedRecipient]] = {}
    for nth, (recipient, name) in enumerate(zip(people, destinations, strict=True)):
        groups.setdefault(name, []).append(QueuedRecipient(nth, recipient, name, _WAITING, 0, due))
    return tuple(Lease(message, name, tuple(waiting), owner, until) for name, waiting in groups.items())
