"""Writer of content files: large content on its way into a file.

Pieces gather on the loop; a thread writes them a quarter of a MiB or more at a time, one job at a time for each
message, and when the last is written, syncs the file, gives it its lasting name and syncs the directory: from S1 to S2
of the crash table.  None of this passes through the writer, so large messages do not hold up the commits of small ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from posthouse.core import StorageError
from posthouse.spool.sqlite.storage.disk_room import DiskRoom
from posthouse.spool.sqlite.storage.durability import Durable, storage_error
from posthouse.spool.sqlite.storage.layout import Layout, complaint_about

__all__ = ["ContentWriter", "ContentWriters", "store_file"]

_JOB = 256 << 10  # octets worth a job
_OWN = 1 << 20  # octets of one message in memory before its sender must wait
_ALL = 4 << 20  # octets of all messages in memory before every sender must wait


class ContentWriters:
    """Threads, durable acts and a count of unwritten octets, which the arriving contents of one spool share."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, executor: Executor, durable: Durable, layout: Layout, room: DiskRoom
    ) -> None:
        self.room = room
        self.loop = loop
        self.executor = executor
        self.durable = durable
        self.layout = layout
        self.octets = 0
        self.arriving: set[ContentWriter] = set()

    def complaint(self, number: int, size: int) -> str:
        """The fault of a content file of this size that is about to be promised; "" for none."""
        try:
            return complaint_about(self.layout.content_of(number), size)
        except StorageError as error:
            return str(error)

    async def land(self) -> None:
        """Abort what still arrives and wait until no file of it is left."""
        arriving = tuple(self.arriving)
        for one in arriving:
            one.abort()
        await asyncio.gather(*(one.task for one in arriving), return_exceptions=True)


class ContentWriter:
    """Writer of one content file.  All methods are called on the loop; ``task`` ends when its last job has ended."""

    def __init__(self, flight: ContentWriters, number: int) -> None:
        self._flight = flight
        self._number = number
        self._pieces: list[bytes] = []
        self._gathered = 0  # octets in pieces
        self._in_flight = 0  # octets in pieces and in the job
        self._descriptor = -1  # touched only by jobs, of which one runs at a time
        self._error: StorageError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._then: Callable[[StorageError | None], None] | None = None
        self._aborted = False
        #: Octets of it that its client has announced and not sent yet.
        self.announced = 0
        self._wake = asyncio.Event()
        self.task = flight.loop.create_task(self._live(), name="posthouse-arriving")
        flight.arriving.add(self)

    def write(self, piece: bytes) -> asyncio.Future[None] | None:
        """Take a piece; a future asks the caller to wait.  Raises what an earlier piece met."""
        if self._error is not None:
            raise self._error
        self._pieces.append(piece)
        size = len(piece)
        self._gathered += size
        self._in_flight += size
        self._flight.octets += size
        if self._in_flight <= _OWN and self._flight.octets <= _ALL:
            if self._gathered >= _JOB:
                self._wake.set()
            return None
        self._wake.set()
        if self._waiter is None or self._waiter.done():
            self._waiter = self._flight.loop.create_future()
        return self._waiter

    def seal(self, then: Callable[[StorageError | None], None]) -> None:
        """Nothing more comes.  Calls ``then(None)`` when the content is safe under its lasting name, or
        ``then(error)`` when it cannot be and nothing is left of it."""
        self._then = then
        self._wake.set()

    def abort(self) -> None:
        """Forget it; no file is left.  Harmless after ``seal``."""
        if self._then is None:
            self._aborted = True
            self._wake.set()

    async def _live(self) -> None:
        flight = self._flight
        run = flight.loop.run_in_executor
        try:
            while not self._aborted and self._error is None:
                await self._wake.wait()
                self._wake.clear()
                pieces, size, then = self._pieces, self._gathered, self._then
                self._pieces, self._gathered = [], 0
                try:
                    if not self._aborted:
                        await run(flight.executor, self._write, pieces, then is not None)
                except Exception as error:
                    self._error = storage_error(error, "writing content")
                finally:
                    self._landed(size)
                if then is not None and self._error is None:
                    self._then = None
                    then(None)
                    return
            while not self._aborted and self._then is None:  # an error waits for its receipt to end
                await self._wake.wait()
                self._wake.clear()
            self._landed(self._gathered)
            # What cannot be removed is swept at the next start; without a thread, RuntimeError.
            with contextlib.suppress(OSError, RuntimeError):
                await run(flight.executor, self._discard)
        finally:
            flight.arriving.discard(self)
            then, self._then = self._then, None
            if then is not None:  # whoever waits for the 250 is always answered
                then(self._error or StorageError("writing content was interrupted"))

    def _landed(self, size: int) -> None:
        self._in_flight -= size
        self._flight.octets -= size
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            if self._error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._error)
                waiter.exception()  # whoever stopped waiting will meet it at commit

    # -- in a thread -----------------------------------------------------------------------------------------------

    def _write(self, pieces: list[bytes], last: bool) -> None:
        flight = self._flight
        durable, layout = flight.durable, flight.layout
        if pieces:
            flight.room.check(flight.octets, flight.room.announced - self.announced)
        if self._descriptor < 0:
            self._descriptor = durable.open_temp(layout.temp_of(self._number))
        if pieces:
            durable.write(self._descriptor, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if last:
            _sync_and_close(durable, self._take_descriptor())
            _name(durable, layout, self._number)

    def _take_descriptor(self) -> int:
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor

    def _discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._take_descriptor())
        _discard(self._flight.durable, self._flight.layout, self._number)


def store_file(durable: Durable, layout: Layout, number: int, pieces: Iterable[bytes]) -> None:
    """Store a whole content as a file; in a thread.  Nothing is left if it fails."""
    try:
        descriptor = durable.open_temp(layout.temp_of(number))
        try:
            for piece in pieces:
                durable.write(descriptor, piece)
        except BaseException:
            os.close(descriptor)
            raise
        _sync_and_close(durable, descriptor)
        _name(durable, layout, number)
    except BaseException:
        with contextlib.suppress(OSError):
            _discard(durable, layout, number)
        raise


def _sync_and_close(durable: Durable, descriptor: int) -> None:
    try:
        durable.sync(descriptor)
    finally:
        os.close(descriptor)


def _name(durable: Durable, layout: Layout, number: int) -> None:
    durable.rename(layout.temp_of(number), layout.content_of(number))
    durable.sync_directory(layout.shelf(number))


def _discard(durable: Durable, layout: Layout, number: int) -> None:
    for path in (layout.temp_of(number), layout.content_of(number)):
        if os.path.exists(path):
            durable.unlink(path)
