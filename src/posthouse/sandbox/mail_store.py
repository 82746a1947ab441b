"""The messages of a sandbox, and those who wait for one: threads, and tasks of any event loop.

The server adds messages in its thread; a test looks at them, and waits, in others.  Whoever waits is woken by the next
message and does not poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Final

from posthouse.core import LocalError
from posthouse.sandbox.caught_message import CaughtMessage
from posthouse.sandbox.conditions import Conditions

__all__ = ["MailStore"]

#: Conditions whose last message is remembered; of more, the oldest are forgotten.
_CURSORS_MOST: Final = 10_000
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class MailStore:
    """Messages in the order in which they came: at most ``messages`` of them, with ``octets`` in all."""

    def __init__(self, messages: int, octets: int) -> None:
        self._most = messages
        self._most_octets = octets
        self._octets = 0
        self._messages: list[CaughtMessage] = []
        self._first = 0  # number of the first of them; numbers go on after a clear
        self._given: set[int] = set()  # numbers of messages that a call has returned
        self._after: dict[object, int] = {}  # key of conditions → where to look for the next message
        self._changed = threading.Condition()
        self._waiting: list[_Waiter] = []

    def add(self, message: CaughtMessage, size: int) -> bool:
        """Take a message of so many octets; False if there is no room."""
        with self._changed:
            if len(self._messages) >= self._most or self._octets + size > self._most_octets:
                return False
            self._octets += size
            self._messages.append(message)
            self._changed.notify_all()
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            _wake(loop, future)
        return True

    @property
    def messages(self) -> tuple[CaughtMessage, ...]:
        """All of them."""
        with self._changed:
            return tuple(self._messages)

    def clear(self) -> None:
        """Forget all of them."""
        with self._changed:
            self._first = self._end
            self._messages.clear()
            self._given.clear()
            self._after.clear()
            self._octets = 0

    @property
    def _end(self) -> int:
        """The number that the next message will have."""
        return self._first + len(self._messages)

    # -- asking without waiting ----------------------------------------------------------------------------------------

    def all(self, conditions: Conditions) -> list[CaughtMessage]:
        """The messages that meet the conditions; they count as given."""
        with self._changed:
            found = [
                (number, each) for number, each in enumerate(self._messages, self._first) if conditions.met_by(each)
            ]
            self._given.update(number for number, _ in found)
            return [each for _, each in found]

    def unexpected(self, conditions: Conditions) -> list[CaughtMessage]:
        """The messages that meet the conditions, and that no call has given."""
        with self._changed:
            return self._ungiven(conditions)

    def _ungiven(self, conditions: Conditions) -> list[CaughtMessage]:
        numbered = enumerate(self._messages, self._first)
        return [each for number, each in numbered if number not in self._given and conditions.met_by(each)]

    def _next(self, conditions: Conditions, key: object, seen: int = 0) -> CaughtMessage | None:
        """The next message that meets the conditions: behind the one that they were given last, and of the number
        ``seen`` or above; those below do not meet them."""
        for number in range(max(self._first, seen, self._after.get(key, 0)), self._end):
            message = self._messages[number - self._first]
            if conditions.met_by(message):
                self._after.pop(key, None)
                self._after[key] = number + 1
                if len(self._after) > _CURSORS_MOST:
                    del self._after[next(iter(self._after))]
                self._given.add(number)
                return message
        return None

    # -- waiting -------------------------------------------------------------------------------------------------------

    def wait_next(self, conditions: Conditions, seconds: float) -> CaughtMessage | None:
        """The next message that meets the conditions; None if none came within ``seconds``.

        Raises ``LocalError`` where waiting would stop the event loop of this thread.
        """
        key, seen = conditions.key, 0
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found, seen = self._next(conditions, key, seen), self._end
                left = deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                _refuse_in_a_loop("wait_for", "await_for")
                self._changed.wait(left)

    async def await_next(self, conditions: Conditions, seconds: float) -> CaughtMessage | None:
        """``wait_next`` for a task."""
        key, seen = conditions.key, 0
        loop = _running_loop("wait_for")
        deadline = loop.time() + seconds
        while True:
            with self._changed:
                found, seen = self._next(conditions, key, seen), self._end
                if found is not None or loop.time() >= deadline:
                    return found
                future = self._register(loop)
            await self._woken(future, loop, deadline)

    def wait_unexpected(self, conditions: Conditions, seconds: float) -> list[CaughtMessage]:
        """The messages that no call has given, as soon as there is one; none after ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = self._ungiven(conditions)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                _refuse_in_a_loop("expect_none", "await_none")
                self._changed.wait(left)

    async def await_unexpected(self, conditions: Conditions, seconds: float) -> list[CaughtMessage]:
        """``wait_unexpected`` for a task."""
        loop = _running_loop("expect_none")
        deadline = loop.time() + seconds
        while True:
            with self._changed:
                found = self._ungiven(conditions)
                if found or loop.time() >= deadline:
                    return found
                future = self._register(loop)
            await self._woken(future, loop, deadline)

    def _register(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((loop, future))
        return future

    async def _woken(self, future: asyncio.Future[None], loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Wait until ``add`` has woken the future, or the deadline has passed."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await future
        finally:
            with self._changed:
                self._waiting = [each for each in self._waiting if each[1] is not future]


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    def wake() -> None:
        if not future.done():
            future.set_result(None)

    with contextlib.suppress(RuntimeError):  # that loop is closed
        loop.call_soon_threadsafe(wake)


def _running_loop(name: str) -> asyncio.AbstractEventLoop:
    """The event loop of the coroutine that calls."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LocalError(
            f"this waits on asyncio, and no loop of asyncio runs here; on Trio, let a thread call {name} "
            f"(trio.to_thread.run_sync)"
        ) from None


def _refuse_in_a_loop(name: str, twin: str) -> None:
    """Raise where a coroutine would stop its own event loop, and with it perhaps the program that is to send."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LocalError(f"{name} would stop the event loop that runs here; write `await sandbox.{twin}(…)`")
