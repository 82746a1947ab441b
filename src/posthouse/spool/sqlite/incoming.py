"""One message on its way into the SQLite spool.

Up to the threshold its octets wait in memory and go into its row; above it they go to a file as they come.  ``commit``
returns a plain future: no task for a small message, and a waiter that is cancelled interrupts nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from posthouse.core import Bytes, Envelope, LocalError, StorageError
from posthouse.spool.history import Origin, QueueEvent, packed_note, packed_origin
from posthouse.spool.ids import text_of
from posthouse.spool.model import (
    Lease,
    QueuedRecipient,
    RecipientState,
    Stored,
    StoredMessage,
)
from posthouse.spool.sqlite.history_store import history_row
from posthouse.spool.sqlite.rows import encode_envelope, recipient_rows, shared_destination
from posthouse.spool.sqlite.storage.content_files import ContentWriter, ContentWriters
from posthouse.spool.sqlite.storage.operations import Accept, NewMessage
from posthouse.spool.sqlite.storage.writer import Writer

__all__ = ["ContentCache", "IncomingHost", "SqliteIncoming", "leases_of", "new_message"]

_BUFFER = 64 << 20  # octets of arriving small content in memory; beyond it they go to files, however small
_REMEMBERED = 16 << 20  # octets of fresh content kept for the first attempt
_REMEMBERED_MESSAGES = 20_000
_PIECES = 8  # of arriving content that are kept apart; further ones are joined, because each costs 33 octets more
_WAITING = RecipientState.WAITING


class IncomingHost:
    """Writer, content cache and memory bound, which the messages on their way into one spool share.

    Content of up to ``threshold`` octets goes into the message's row.  Until then it waits in memory, as long as
    ``buffered`` octets of all messages are no more than ``buffer``.
    """

    def __init__(
        self,
        slot: int,
        loop: asyncio.AbstractEventLoop,
        writer: Writer,
        contents: ContentWriters,
        cache: ContentCache,
        unlink: Callable[[Sequence[int]], None],
        *,
        threshold: int,
    ) -> None:
        self.slot = slot
        self.loop = loop
        self.writer = writer
        self.contents = contents
        self.cache = cache
        self.unlink = unlink
        self.threshold = threshold
        self.buffer = _BUFFER
        self.buffered = 0


class SqliteIncoming:
    """A message on its way into a SQLite spool."""

    __slots__ = ("_announced", "_arriving", "_chunks", "_ended", "_host", "_number", "_size", "id")

    def __init__(self, host: IncomingHost, number: int, announced: int = 0) -> None:
        room = host.contents.room
        room.check_announced(announced)
        room.announced += announced
        self._announced = announced  # octets that have not come yet
        self._host = host
        self._number = number
        self.id = text_of(number)
        self._size = 0
        self._chunks: list[bytes | bytearray] = []
        self._arriving: ContentWriter | None = None
        self._ended = False

    @property
    def size(self) -> int:
        return self._size

    def write(self, chunk: bytes) -> asyncio.Future[None] | None:
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        size = len(chunk)
        self._size += size
        arriving = self._arriving
        if self._announced:
            come = min(size, self._announced)
            self._announced -= come
            self._host.contents.room.announced -= come
            if arriving is not None:
                arriving.announced = self._announced
        if arriving is None:
            chunks = self._chunks
            if len(chunks) < _PIECES:
                chunks.append(chunk)
            else:
                _join(chunks, chunk)
            host = self._host
            host.buffered += size
            if self._size <= host.threshold and host.buffered <= host.buffer:
                return None
            host.buffered -= self._size
            self._arriving = arriving = ContentWriter(host.contents, self._number)
            arriving.announced = self._announced
            chunks, self._chunks = self._chunks, []
            chunk = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
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
        if self._ended:
            raise LocalError("this message has been committed or aborted")
        if not destinations or len(destinations) != len(envelope.recipients):
            raise LocalError("a message needs recipients, and one destination for each")
        if held and owner:
            raise LocalError("a message that is held cannot be leased")
        host, number, arriving = self._host, self._number, self._arriving
        size = self._size + len(prefix)
        if arriving is None:
            host.contents.room.take(size)
        message = StoredMessage(self.id, envelope, received, size, source)
        content: bytes | None = None
        if arriving is None:
            chunks = self._chunks
            if prefix:
                content = b"".join((prefix, *chunks))
            else:
                content = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
        new = new_message(
            number,
            message,
            destinations,
            due,
            content,
            prefix=prefix,
            lease=(host.slot, owner, until) if owner else None,
            arrival=arrival,
            held=held,
        )
        stored = Stored(message, leases_of(message, destinations, due, owner, until) if owner else ())
        future: asyncio.Future[Stored] = host.loop.create_future()
        op = Accept(future, new, stored, size if content is not None else 0)
        if arriving is None:
            assert content is not None
            self._end()
            if not new.recipients:
                host.cache.add(self.id, number, content, arrival)
                op.refused = partial(host.cache.pop, self.id)
            host.writer.submit(op)
        else:
            self._ended = True
            self._forget_announced()
            op.refused = partial(host.unlink, (number,))
            op.check = partial(host.contents.complaint, number, self._size)
            arriving.seal(partial(_seal, host.writer, op))
        return future

    def abort(self) -> None:
        if self._ended:
            return
        self._end()
        if self._arriving is not None:
            self._arriving.abort()

    def _forget_announced(self) -> None:
        self._host.contents.room.announced -= self._announced
        self._announced = 0

    def _end(self) -> None:
        self._ended = True
        self._forget_announced()
        if self._arriving is None:
            self._host.buffered -= self._size
        self._chunks = []


def _join(chunks: list[bytes | bytearray], chunk: bytes) -> None:
    """Append a piece of content to the last one of ``chunks``."""
    last = chunks[-1]
    if isinstance(last, bytearray):
        last += chunk
    else:
        chunks[-1] = bytearray(last + chunk)


class ContentCache:
    """Messages kept in memory until the first attempt of each recipient ends, within a bound, by queue id: the id's
    number, the content, and how the message came."""

    __slots__ = ("_octets", "_parted", "messages")

    def __init__(self) -> None:
        #: By queue id, the oldest first.
        self.messages: dict[str, tuple[int, Bytes, Origin | None]] = {}
        self._parted: dict[str, int] = {}  # of those of which some have ended: how many
        self._octets = 0

    def add(self, name: str, number: int, content: bytes, arrival: Origin | None) -> None:
        """Remember a message; the oldest are forgotten where there are too many."""
        messages = self.messages
        messages[name] = (number, Bytes(content), arrival)
        self._octets += len(content)
        while self._octets > _REMEMBERED or len(messages) > _REMEMBERED_MESSAGES:
            self.pop(next(iter(messages)))

    def pop(self, name: str) -> tuple[int, Bytes, Origin | None] | None:
        """Forget a message, and return what was remembered."""
        remembered = self.messages.pop(name, None)
        if remembered is not None:
            self._octets -= len(remembered[1].data)
            if self._parted:
                self._parted.pop(name, None)
        return remembered

    def part(self, name: str, some: int, of: int) -> tuple[int, Bytes, Origin | None] | None:
        """What is remembered of a message; ``some`` more of its ``of`` recipients have ended, and it is forgotten with
        the last."""
        ended = some + self._parted.get(name, 0)
        if ended >= of:
            return self.pop(name)
        remembered = self.messages.get(name)
        if remembered is not None:
            self._parted[name] = ended
        return remembered


def _seal(writer: Writer, op: Accept, error: StorageError | None) -> None:
    """Store the rows of a message whose content is in its file, or refuse it because its content is not."""
    if error is None:
        writer.submit(op)
    else:
        writer.look()  # the file could not be written, perhaps because its directory has gone
        writer.refuse(op, error)


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
    """The rows of a message: a fresh one if it is leased, and its row can hold the destinations.

    ``content`` is None where it lies in a file, with ``prefix`` in front of the file; ``lease`` is slot, owner and end.
    """
    _, envelope, received, size, source = message
    count = len(destinations)
    rest = (received, size, source, count, encode_envelope(envelope), content)
    file = (size - len(prefix), prefix) if content is None else None
    first = None if lease is None else shared_destination(destinations, envelope.recipients)
    if lease is not None and first is not None:
        slot, owner, until = lease
        packed = None if arrival is None else packed_origin(arrival)
        return NewMessage((number, until, slot, owner, due, first, *rest, packed), (), file)
    slot_, owner, ready = (None, "", due) if lease is None else lease
    quarantined = (packed_note(QueueEvent(received, "quarantined", text=held)),) if held else ()
    return NewMessage(
        (number, None, None, None, None, None, *rest, None),
        recipient_rows(number, message, destinations, due, ready, slot_, owner, held=held),
        file,
        history_row(number, message, arrival, *quarantined),
    )


def leases_of(
    message: StoredMessage, destinations: Sequence[str], due: float, owner: str, until: float
) -> tuple[Lease, ...]:
    """The leases of a message that was stored leased: one for each destination."""
    people = message.envelope.recipients
    if len(people) == 1:
        name = destinations[0]
        return (Lease(message, name, (QueuedRecipient(0, people[0], name, _WAITING, 0, due),), owner, until),)
    groups: dict[str, list[QueuedRecipient]] = {}
    for nth, (recipient, name) in enumerate(zip(people, destinations, strict=True)):
        groups.setdefault(name, []).append(QueuedRecipient(nth, recipient, name, _WAITING, 0, due))
    return tuple(Lease(message, name, tuple(waiting), owner, until) for name, waiting in groups.items())
