"""Event loop on virtual time, and processes that can be stopped between any two of their callbacks.

The loop never waits: when no callback is ready, time jumps to the next timer.  Callbacks run in the order in which they
were scheduled, timers in the order of their due times, and work for threads runs on the loop; so a run is a function of
its input, down to the last callback.

Each callback carries the context in which it was scheduled (a task's callbacks that of the task), and the context names
a ``VirtualProcess``.  When that process is stopped, no callback with its context runs again: its tasks stop where they
await, without ``finally`` and ``except`` blocks, as when a machine loses power.  The simulated disk and the simulated
network decide what remains of the data that the process has written.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import warnings
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from posthouse.core import LocalError
from posthouse.net import Timer

__all__ = ["VirtualClock", "VirtualLoop", "VirtualProcess", "outside_processes"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PROCESS: contextvars.ContextVar[VirtualProcess | None] = contextvars.ContextVar("process", default=None)


class VirtualProcess:
    """Process on a virtual loop: the callbacks that stop together.

    ``steps`` counts the callbacks that have run.  Before step number ``last_step`` (0: none) ``fatal`` is called,
    outside of any process; the step runs only if the process is still alive.
    """

    def __init__(self, name: str, fatal: Callable[[], object] | None = None) -> None:
        self.name = name
        self.alive = True
        self.steps = 0
        self.last_step = 0
        self._fatal = fatal
        self._depth = 0

    def stop(self) -> None:
        """Stop the process: no further callback of it runs."""
        self.alive = False

    def step(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Run a callback, if the process is alive.  What ``callback`` schedules belongs to the process."""
        if not self._depth and self.alive:  # a step within a step is part of it
            self.steps += 1
            if self.steps == self.last_step and self._fatal is not None:
                outside_processes(self._fatal)
        if not self.alive:
            return
        token = _PROCESS.set(self)
        self._depth += 1
        try:
            callback(*arguments)
        finally:
            self._depth -= 1
            _PROCESS.reset(token)


def outside_processes(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function`` so that what it schedules belongs to no process."""
    return contextvars.Context().run(function, *arguments)


class _Selector:
    """Selector without sockets: where the loop would wait for one, virtual time passes."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Event loop on virtual time.  ``latency`` gives the seconds that one piece of work for a thread takes."""

    def __init__(self, latency: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self._now = 0.0
        self._latency = latency
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._failed: list[tuple[asyncio.Task[Any], VirtualProcess | None]] = []
        self.complaints: list[str] = []
        """Messages that asyncio would log: exceptions that were never retrieved, and the like."""
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def pass_time(self, timeout: float | None) -> None:
        """Jump to the next timer.  Raises ``LocalError`` if there is none and no callback is ready."""
        if timeout is None:
            raise LocalError("the simulation waits for something that will never happen: no timer is left")
        if timeout > 0:
            timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
            self._now = max(self._now, timers[0].when())  # exactly: adding ``timeout`` could round to less

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback; one of a stopped process never runs."""
        context = contextvars.copy_context() if context is None else context
        process = context.get(_PROCESS)
        if process is not None:
            return super().call_soon(partial(process.step, callback, *args), context=context)
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """``call_soon``: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a timer; one of a stopped process never fires."""
        context = contextvars.copy_context() if context is None else context
        process = context.get(_PROCESS)
        if process is not None:
            return super().call_at(when, partial(process.step, callback, *args), context=context)
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, coro: Any, **rest: Any) -> asyncio.Task[Any]:
        """Start a task, and remember its exception for ``unheard``."""
        task: asyncio.Task[Any] = super().create_task(coro, **rest)
        self._tasks[task] = None
        context = rest.get("context")
        process = _PROCESS.get() if context is None else context.get(_PROCESS)

        def ended(done: asyncio.Task[Any]) -> None:
            self._tasks.pop(done, None)
            if done._exception is not None:  # read without marking it as retrieved
                self._failed.append((done, process))

        task.add_done_callback(ended, context=contextvars.Context())
        return task

    def unheard(self) -> list[str]:
        """Exceptions of tasks that no living process has retrieved, and what else asyncio would log."""
        failed = [
            f"an exception that was never retrieved: {task._exception!r}"
            for task, process in self._failed
            if task._log_traceback and (process is None or process.alive)
        ]
        return failed + self.complaints

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``func`` on the loop, after its latency; never, if its process is stopped before."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._latency(), run)
        return future

    def close(self) -> None:
        """Close the loop, and all tasks that have not ended, without a log line about them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that were never awaited
            for _ in self._closed_tasks():
                pass
            self._tasks.clear()
        for task, _ in self._failed:
            task._log_traceback = False
        self._failed.clear()
        super().close()

    def _closed_tasks(self) -> Iterator[None]:
        """Close the coroutines of tasks that have not ended.

        A generator, because a compiled coroutine whose last block fails leaves its exception as the one being handled;
        what a generator handles ends with the generator.
        """
        for task in [task for task in self._tasks if not task.done()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if isinstance(coroutine, Coroutine):
                with contextlib.suppress(Exception):  # raised by its last blocks; no caller is left
                    coroutine.close()
            yield

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "spool" in context and "exception" not in context:  # a spool that was replaced: no fault of the code
            return
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class VirtualClock:
    """A machine's clock on a virtual loop.  ``jump`` sets its calendar; its stopwatch and its timers do not change."""

    def __init__(self, loop: VirtualLoop, start: float = 1_800_000_000.0) -> None:
        self._loop = loop
        self._calendar = start

    def time(self) -> float:
        return self._calendar + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(max(0.0, seconds), callback)

    def jump(self, seconds: float) -> None:
        """Set the calendar forward, or back."""
        self._calendar += seconds
