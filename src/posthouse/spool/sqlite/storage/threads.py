"""Threads for the blocking work of a spool; an ephemeral spool does it on the event loop.

A daemon's spool has ``Threads``.  An ephemeral spool (``SqliteSpool.ephemeral``) has ``InlineThreads``: without syncs
an operation takes less time than handing it to a thread, and a clock that a test moves sees that the operation is done.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ClassVar, TypeVar

from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.operations import Op
from posthouse.spool.sqlite.storage.thread_pool import ThreadPool
from posthouse.spool.sqlite.storage.writer import Writer

__all__ = ["InlineExecutor", "InlineThreads", "InlineWriter", "PrivateDirectory", "Threads", "Unsynced"]

T = TypeVar("T")

_SHARED_MEMORY = "/dev/shm"


class Threads:
    """The threads of one spool: the writer's, and pools for files, listings and searches.

    ``blocking`` is the executor for opening and closing.
    """

    writer: ClassVar[type[Writer]] = Writer

    def __init__(self) -> None:
        self.blocking: Executor = self.pool(1, "posthouse-opening")

    def pool(self, size: int, name: str) -> Executor:
        """An executor of at most ``size`` threads, of which none is started yet."""
        return ThreadPool(size, name)

    def start(self, *pools: Executor) -> None:
        """Start the first thread of each pool.  Raises ``StorageError`` if the system gives none."""
        for pool in pools:
            if isinstance(pool, ThreadPool):
                pool.start()


class InlineExecutor(Executor):
    """An executor that runs each call within ``submit``."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class InlineWriter(Writer):
    """A writer that commits on the event loop whatever one turn of the loop has gathered."""

    _connection: sqlite3.Connection

    def start(self) -> None:
        self._connection = self._connect()

    def stop(self) -> None:
        self._close(self._connection)

    def submit(self, op: Op, *, patient: bool = False) -> None:
        super().submit(op)  # nothing is saved by waiting for company

    def _hand_over(self, ops: list[Op]) -> None:
        self._settle_group(self._connection, ops)


class InlineThreads(Threads):
    """No threads: everything is done on the event loop, at once."""

    writer = InlineWriter

    def pool(self, size: int, name: str) -> Executor:
        return InlineExecutor()


class Unsynced(Durable):
    """``Durable`` without syncs, for a spool that does not outlive its process."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass

    def sync_log(self, connection: sqlite3.Connection) -> None:
        pass


class PrivateDirectory:
    """A new directory for this process, in RAM where the system has shared memory.

    ``remove`` deletes it; so do the end of the process and the moment in which nothing refers to this object any more.
    """

    def __init__(self) -> None:
        place = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self.path = tempfile.mkdtemp(prefix="posthouse-", dir=place)
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    @property
    def exists(self) -> bool:
        """Whether it has not been removed yet."""
        return self._finalizer.alive

    def remove(self) -> None:
        """Delete the directory and all that is in it."""
        self._finalizer()
