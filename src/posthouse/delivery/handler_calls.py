"""Calls of handlers, functions of the user's own: in time, and off the event loop if they are no coroutines.

A thread that hangs cannot be ended, so the threads are few and the interpreter's end does not wait for them: if all of
them hang, further calls wait, and the process can still stop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from posthouse.net import Clock

__all__ = ["HandlerCalls", "HandlerCrash", "described", "unusable"]

T = TypeVar("T")

_LONGEST_TEXT: Final = 400  # characters of an exception's text


class HandlerCrash(Exception):
    """An exception of a handler that must not be raised as it is: it would end the event loop, or look like one of the
    caller's own."""


def described(error: BaseException) -> str:
    """Kind and text of a handler's exception, in one line of at most 400 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of a handler may do anything
        text = ""
    if isinstance(error, HandlerCrash):
        return text
    return f"{type(error).__name__}: {text}"[:_LONGEST_TEXT] if text else type(error).__name__


def unusable(found: Callable[..., object], *arguments: str) -> str:
    """Why a function cannot serve calls with these arguments: "is a generator function: …", "cannot be called with
    (envelope, content): …"; "" if it can, or if what it takes is not known."""
    if any(map(_is_generator_function, (found, type(found).__call__))):
        return "is a generator function: it has a yield, so calling it runs none of its code"
    try:
        if hasattr(found, "__signature__"):  # whatever somebody has written there
            return ""
        # Not that of what it wraps: a decorator may pass on other arguments than it is given.
        signature = inspect.signature(found, follow_wrapped=False)
    except Exception:  # of code in C, or of attributes that do anything
        return ""
    try:
        signature.bind(*arguments)
    except TypeError as error:
        return f"cannot be called with ({', '.join(arguments)}): {error}"
    return ""


def _is_generator_function(found: object) -> bool:
    """Whether a call gives a generator; decorators that name what they wrap are looked through."""
    kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    inner = inspect.unwrap(found) if callable(found) else found
    return any(kind(each) for kind in kinds for each in (found, inner))


class HandlerCalls:
    """The calls of one event loop: each takes at most ``timeout`` seconds; at most ``threads`` functions run at one
    time."""

    def __init__(self, clock: Clock, *, timeout: float, threads: int) -> None:
        self.timeout = timeout
        self._clock = clock
        self._free = asyncio.Semaphore(threads)

    async def in_time(self, call: Awaitable[T]) -> T:
        """The result of ``call``.  If it takes too long it is cancelled, and ``TimeoutError`` is raised at once, even
        if it ignores the cancellation.  A call that cancels itself raises ``HandlerCrash``."""
        task = asyncio.ensure_future(call)
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self.timeout, late.cancel)
        both: set[asyncio.Future[Any]] = {task, late}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                if task.cancelled():
                    raise HandlerCrash("it cancelled itself")
                return task.result()
            raise TimeoutError
        finally:
            timer.cancel()
            late.cancel()
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """The result of ``function``, run with the caller's context variables in a thread of its own that the
        interpreter's end does not wait for."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def finish(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def run() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function, *arguments)
            except BaseException as raised:
                # What is no Exception would be taken for an act of this process; a future cannot carry StopIteration.
                plain = isinstance(raised, Exception) and not isinstance(raised, StopIteration)
                text = "it cancelled itself" if isinstance(raised, asyncio.CancelledError) else described(raised)
                error = raised if plain else HandlerCrash(text)
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:  # the event loop has ended meanwhile
                return

        try:
            threading.Thread(target=run, name="posthouse-handler", daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        return await future


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not report it
