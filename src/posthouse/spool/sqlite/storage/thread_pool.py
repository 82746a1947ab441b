"""Pool of threads that has its first thread before any work is given to it.

``concurrent.futures`` starts a thread when work arrives.  Where the system gives no more threads (``TasksMax``,
``RLIMIT_NPROC``), that raises in the middle of a message.  Here the first thread is started by ``start``, when the
spool is opened and the error can be told; further ones are started while there is work for them, and if one cannot be,
those that are there do the work.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from posthouse.core import StorageError

__all__ = ["ThreadPool", "no_threads"]

T = TypeVar("T")


def no_threads(error: RuntimeError) -> StorageError:
    """The error of a spool that cannot be opened because the system gives no thread."""
    found = StorageError(f"the spool needs threads, and none can be started ({error}); allow more (TasksMax, nproc)")
    found.__cause__ = error
    return found


class ThreadPool(Executor):
    """An executor of at most ``size`` threads."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = 0  # pieces of work that wait or are being done
        self._ended = False

    def start(self) -> None:
        """Start the first thread.  Raises ``StorageError`` if the system gives none."""
        with self._lock:
            self._begin()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have ``fn`` called in a thread.  Raises ``RuntimeError`` after ``shutdown``."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._ended:
                raise RuntimeError("this pool of threads has ended")
            self._begin()
            self._busy += 1
            if len(self._threads) < min(self._busy, self._size):
                with contextlib.suppress(RuntimeError):  # those that are there do it
                    self._add()
            self._work.put(work)
        return future

    def _begin(self) -> None:
        if not self._threads:
            try:
                self._add()
            except RuntimeError as error:
                raise no_threads(error) from error

    def _add(self) -> None:
        thread = threading.Thread(target=self._live, name=f"{self._name}-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _live(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work
            with self._lock:
                self._busy -= 1
        self._work.put(None)  # for the next one

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; ``wait`` until what was given is done.  Work is never cancelled."""
        with self._lock:
            ended, self._ended = self._ended, True
            threads = tuple(self._threads)
        if not ended:
            self._work.put(None)
        if wait:
            for thread in threads:
                thread.join()
