"""An event loop on virtual time, and lives that can end between any two of its steps.

Nothing here waits: when no callback is ready, time jumps to the next timer.  Callbacks run in the order in which they
were made, timers in the order of their due times, work for threads runs on the spot; so a run is a function of what it
was given, to the last step.

Whose step is it?  Each callback carries the context it was made in (a task's callbacks that of the task), and a
``Life`` stands in that context.  When a life ends, whatever carries it never runs again: its tasks stop where they
await, no ``finally`` and no ``except`` is reached, as when the machine loses its power.  What the dead left on a disk
or a wire is the business of those who play disk and wire.
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

__all__ = ["Life", "VirtualClock", "VirtualLoop", "neutrally"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class Life:
    """One incarnation of something that can die.

    ``steps`` counts what it has done; before step number ``last_step`` (0: none) ``fatal`` is called, outside of any
    life, and the step is not taken.
    """

    def __init__(self, name: str, fatal: Callable[[], object] | None = None) -> None:
        self.name = name
        self.alive = True
        self.steps = 0
        self.last_step = 0
        self._fatal = fatal
        self._depth = 0

    def end(self) -> None:
        """It takes no further step."""
        self.alive = False

    def step(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Take one step, if it still can.  What ``callback`` begins belongs to this life."""
        if not self._depth and self.alive:  # a step within a step is part of it
            self.steps += 1
            if self.steps == self.last_step and self._fatal is not None:
                neutrally(self._fatal)
        if not self.alive:
            return
        token = _LIFE.set(self)
        self._depth += 1
        try:
            callback(*arguments)
        finally:
            self._depth -= 1
            _LIFE.reset(token)


def neutrally(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function`` so that what it begins belongs to no life: the world's own doing."""
    return contextvars.Context().run(function, *arguments)


class _Selector:
    """Where the loop would wait for sockets, it lets time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """No socket is ever ready; time goes to the next timer."""
        self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """``latency`` gives the seconds that a piece of work for a thread takes (each time anew)."""

    def __init__(self, latency: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self._now = 0.0
        self._latency = latency
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._failed: list[tuple[asyncio.Task[Any], Life | None]] = []
        self.complaints: list[str] = []
        """What asyncio wanted to log: exceptions that nobody fetched, and the like."""
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def pass_time(self, timeout: float | None) -> None:
        """Jump to the next timer.  Raises ``LocalError`` if there is none and nothing to do."""
        if timeout is None:
            raise LocalError("everybody waits for something that will never happen: no timer is left")
        if timeout > 0:
            timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
            self._now = max(self._now, timers[0].when())  # to the very moment: a sum might fall short of it

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See ``asyncio.loop.call_soon``; a dead life's callback never runs."""
        context = contextvars.copy_context() if context is None else context
        life = context.get(_LIFE)
        if life is not None:
            return super().call_soon(partial(life.step, callback, *args), context=context)
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """See ``asyncio.loop.call_at``; a dead life's callback never runs."""
        context = contextvars.copy_context() if context is None else context
        life = context.get(_LIFE)
        if life is not None:
            return super().call_at(when, partial(life.step, callback, *args), context=context)
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, coro: Any, **rest: Any) -> asyncio.Task[Any]:
        """See ``asyncio.loop.create_task``."""
        task: asyncio.Task[Any] = super().create_task(coro, **rest)
        self._tasks[task] = None
        context = rest.get("context")
        life = _LIFE.get() if context is None else context.get(_LIFE)

        def ended(done: asyncio.Task[Any]) -> None:
            self._tasks.pop(done, None)
            if done._exception is not None:  # to look without having fetched it
                self._failed.append((done, life))

        task.add_done_callback(ended, context=contextvars.Context())
        return task

    def unheard(self) -> list[str]:
        """What went wrong and nobody living noticed: exceptions of tasks that were never fetched, and whatever else
        asyncio wanted to log."""
        failed = [
            f"an exception that nobody fetched: {task._exception!r}"
            for task, life in self._failed
            if task._log_traceback and (life is None or life.alive)
        ]
        return failed + self.complaints

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``func`` on the loop, after a moment; a life that ends before never did it."""
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
        """End it, and bury all tasks that never ended without a word from them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that nobody will ever await now
            for _ in self._buried():
                pass
            self._tasks.clear()
        for task, _ in self._failed:
            task._log_traceback = False
        self._failed.clear()
        super().close()

    def _buried(self) -> Iterator[None]:
        """Close what never ended.  A generator, because a compiled coroutine whose last block fails then leaves that
        exception being handled for ever, and what a generator handles ends with it."""
        for task in [task for task in self._tasks if not task.done()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if isinstance(coroutine, Coroutine):
                with contextlib.suppress(Exception):  # what a dead task says in its last blocks matters to nobody
                    coroutine.close()
            yield

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class VirtualClock:
    """A machine's clock on a virtual loop.  ``jump`` moves its calendar; its stopwatch and timers do not notice."""

    def __init__(self, loop: VirtualLoop, start: float = 1_800_000_000.0) -> None:
        self._loop = loop
        self._calendar = start

    def time(self) -> float:
        """See ``Clock.time``."""
        return self._calendar + self._loop.time()

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See ``Clock.call_later``."""
        return self._loop.call_later(max(0.0, seconds), callback)

    def jump(self, seconds: float) -> None:
        """Put the calendar forward, or back."""
        self._calendar += seconds
